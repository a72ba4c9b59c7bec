/* Open loop: messages leave by the clock, whatever has arrived of those before. A latency begins
 * when its message was due, so a server (or this client) that holds messages up has to show it. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connections.h"
#include "histogram.h"
#include "loads.h"

#define FIRST_NS 20000000u /* from the command to the first message */
/* As long after the last message, what is missing counts as lost. */
#ifndef DRAIN_SECONDS
#define DRAIN_SECONDS 20
#endif
#define DRAIN_NS (DRAIN_SECONDS * 1000000000ull)
#define SPIN_NS 1500000u

static struct {
    uint64_t start;
    double interval;
    unsigned long due;            /* messages of the whole load */
    unsigned *first_us, *last_us; /* of each message: its first and its last delivery */
    unsigned long unexpected;     /* arrived before they were due, or nobody sent them */
    struct histogram *latencies;
} load;

static uint64_t due_ns(unsigned long message) {
    return load.start + (uint64_t)((double)message * load.interval);
}

/* One connection sends all of them and nothing overtakes on the way, so the n-th message that a
 * connection receives is the n-th that was sent. */
static void take_message(struct connection *connection) {
    uint64_t now = now_ns();
    unsigned long message = connection->messages - 1;
    if (message >= load.due || now < due_ns(message)) {
        load.unexpected++;
        return;
    }
    uint64_t late_us = (now - due_ns(message)) / 1000;
    histogram_add(load.latencies, late_us);
    unsigned short_us = late_us < UINT32_MAX ? (unsigned)late_us : UINT32_MAX;
    if (load.first_us[message] == 0)
        load.first_us[message] = short_us ? short_us : 1;
    if (short_us > load.last_us[message])
        load.last_us[message] = short_us;
}

static void report(int count, double rate, unsigned long sent, uint64_t worst_send_ns,
                   uint64_t took_ns) {
    const struct histogram *all = load.latencies;
    unsigned long uneven = 0; /* connections that lack a message or have one too many */
    for (int i = 0; i < count; i++)
        uneven += connections[i].messages != sent;
    printf("{\"rate\":%.6f,\"sent\":%lu,\"deliveries\":%llu,\"seconds\":%.6f,\"uneven\":%lu,"
           "\"unexpected\":%lu,\"send_late_ms_max\":%.3f,",
           rate, sent, (unsigned long long)all->count, (double)took_ns / 1e9, uneven, load.unexpected,
           (double)worst_send_ns / 1e6);
    printf("\"ms_p50\":%.3f,\"ms_p95\":%.3f,\"ms_p99\":%.3f,\"ms_p999\":%.3f,\"ms_max\":%.3f,",
           (double)histogram_at(all, 50) / 1e3, (double)histogram_at(all, 95) / 1e3,
           (double)histogram_at(all, 99) / 1e3, (double)histogram_at(all, 99.9) / 1e3,
           (double)all->largest / 1e3);
    printf("\"first_ms_p50\":%.3f,\"last_ms_p50\":%.3f,\"buckets_us\":",
           percentile_ms(load.first_us, sent, 50), percentile_ms(load.last_us, sent, 50));
    histogram_print(all, stdout);
    printf("}\n");
}

void load_pace(double rate, double seconds, const char *text) {
    int count = totals.joined;
    size_t size = strlen(text);
    uint8_t *frame = malloc(size + 14);
    size_t used = frame_write(frame, OP_TEXT, text, size);
    memset(&load, 0, sizeof load);
    load.interval = 1e9 / rate;
    load.due = (unsigned long)(rate * seconds + 0.5);
    if (load.due == 0)
        load.due = 1;
    load.first_us = calloc(load.due, sizeof *load.first_us);
    load.last_us = calloc(load.due, sizeof *load.last_us);
    load.latencies = calloc(1, sizeof *load.latencies);
    if (!frame || !load.first_us || !load.last_us || !load.latencies)
        abort();
    for (int i = 0; i < count; i++)
        connections[i].messages = 0;

    unsigned long sent = 0;
    uint64_t worst_send_ns = 0, before = totals.messages, want = load.due * (uint64_t)count;
    uint64_t now = now_ns();
    load.start = now + FIRST_NS;
    uint64_t last_due = due_ns(load.due - 1);
    on_message = take_message;
    while (sent < load.due || (totals.messages - before < want && now < last_due + DRAIN_NS)) {
        uint64_t left = sent < load.due && due_ns(sent) > now ? due_ns(sent) - now : 0;
        /* Whole milliseconds are slept, the rest is looked at again and again. */
        int wait_ms = sent == load.due ? 100 : left < SPIN_NS ? 0 : (int)(left / 1000000) - 1;
        connections_poll(wait_ms < 100 ? wait_ms : 100);
        now = now_ns();
        for (; sent < load.due && now >= due_ns(sent); now = now_ns()) {
            if (now - due_ns(sent) > worst_send_ns)
                worst_send_ns = now - due_ns(sent);
            connection_send(&connections[0], frame, used);
            sent++;
        }
    }
    on_message = NULL;
    report(count, rate, sent, worst_send_ns, now - load.start);
    free(frame);
    free(load.first_us);
    free(load.last_us);
    free(load.latencies);
}
