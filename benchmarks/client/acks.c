/* Durable messages: how many are acknowledged a second, and how long an `ack` takes. */
#define _GNU_SOURCE /* memmem */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connections.h"
#include "loads.h"

#define MESSAGE_ROOM 512
#define DRAIN_NS (15ull * 1000000000u)

struct slot {
    unsigned turn; /* which message of this slot is outstanding */
    bool waiting;
    uint64_t sent_ns;
};

static struct {
    struct slot *slots;
    int senders, window;
    const char *text;
    char *batch; /* the frames one sender sends next, in one write */
    size_t batch_size;
    uint64_t deadline;
    unsigned *latency_us;
    unsigned long acked, in_time, room, waiting, wrong;
} load;

/* A ref is unique for ever: the start of the load, the slot, and its turn. */
static unsigned long epoch;

static void queue_message(int slot) {
    char json[MESSAGE_ROOM];
    struct slot *at = &load.slots[slot];
    at->turn++;
    at->waiting = true;
    at->sent_ns = now_ns();
    load.waiting++;
    int size = snprintf(json, sizeof json,
                        "{\"type\":\"message\",\"channel_id\":%d,\"payload\":\"%s\","
                        "\"ref\":\"%d.%u.%lx\"}",
                        1 + slot / load.window % channels, load.text, slot, at->turn, epoch);
    load.batch_size += frame_write((uint8_t *)load.batch + load.batch_size, OP_TEXT, json,
                                   (size_t)size);
}

static void send_batch(int sender) {
    if (load.batch_size)
        connection_send(&connections[sender], load.batch, load.batch_size);
    load.batch_size = 0;
}

static void take_ack(struct connection *connection, const struct frame *frame) {
    uint64_t now = now_ns();
    int sender = (int)(connection - connections), slot = -1;
    unsigned turn = 0;
    static const char name[] = "\"ref\":\"";
    const char *ref = memmem(frame->start, frame->started, name, sizeof name - 1);
    char copy[40] = "";
    if (ref) {
        ref += sizeof name - 1;
        size_t left = frame->started - (size_t)(ref - (const char *)frame->start);
        memcpy(copy, ref, left < sizeof copy - 1 ? left : sizeof copy - 1);
        sscanf(copy, "%d.%u.", &slot, &turn);
    }
    if (slot < 0 || slot >= load.senders * load.window || slot / load.window != sender ||
        !load.slots[slot].waiting || load.slots[slot].turn != turn) {
        load.wrong++;
        return;
    }
    load.slots[slot].waiting = false;
    load.waiting--;
    load.acked++;
    if (now > load.deadline)
        return;
    if (load.in_time == load.room &&
        !(load.latency_us = realloc(load.latency_us, (load.room *= 2) * sizeof(unsigned))))
        abort();
    load.latency_us[load.in_time++] = (unsigned)((now - load.slots[slot].sent_ns) / 1000);
    queue_message(slot);
    send_batch(sender);
}

void load_acks(int senders, int window, double seconds, const char *text) {
    memset(&load, 0, sizeof load);
    load.senders = senders;
    load.window = window;
    load.text = text;
    load.room = 1 << 16;
    load.slots = calloc((size_t)(senders * window), sizeof *load.slots);
    load.batch = malloc((size_t)window * (MESSAGE_ROOM + 14));
    load.latency_us = malloc(load.room * sizeof(unsigned));
    uint64_t start = now_ns();
    struct totals before = totals;
    epoch = (unsigned long)(start / 1000);
    load.deadline = start + (uint64_t)(seconds * 1e9);
    on_ack = take_ack;
    for (int sender = 0; sender < senders; sender++) {
        for (int i = 0; i < window; i++)
            queue_message(sender * window + i);
        send_batch(sender);
    }
    uint64_t now = start;
    while (now < load.deadline || (load.waiting && now < load.deadline + DRAIN_NS)) {
        connections_poll(10);
        now = now_ns();
    }
    on_ack = NULL;
    printf("{\"senders\":%d,\"window\":%d,\"acked\":%lu,\"acked_in_time\":%lu,\"seconds\":%.3f,"
           "\"unanswered\":%lu,\"wrong\":%lu,\"errors\":%llu,\"received\":%llu,\"ms_p50\":%.3f,"
           "\"ms_p95\":%.3f,\"ms_p99\":%.3f}\n",
           senders, window, load.acked, load.in_time, seconds, load.waiting, load.wrong,
           (unsigned long long)(totals.errors - before.errors),
           (unsigned long long)(totals.messages - before.messages),
           percentile_ms(load.latency_us, load.in_time, 50),
           percentile_ms(load.latency_us, load.in_time, 95),
           percentile_ms(load.latency_us, load.in_time, 99));
    free(load.slots);
    free(load.batch);
    free(load.latency_us);
}
