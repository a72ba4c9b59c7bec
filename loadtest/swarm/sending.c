#include "sending.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chance.h"
#include "connections.h"
#include "outstanding.h"
#include "tallies.h"
#include "text.h"

#define PAYLOAD_LEAST 32
#define PAYLOAD_MOST 4000
#define BURST_MOST 1000
#define COMMAND_MOST (PAYLOAD_MOST + 192)
#define TRIES 256 /* connections looked at for one that is open */
#define AT_ONCE 64
#define TRACKED_MOST 1024

static struct {
    struct sending wanted;
    uint64_t moments, done; /* moments of sending: of one burst each */
    double interval_ns, weight_sum;
    uint64_t number; /* of all messages of this process */
} load;

static uint8_t *batch;

static struct {
    bool on;
    uint32_t count;
    struct {
        uint64_t intended_ns, first_us, last_us, deliveries;
    } message[TRACKED_MOST];
} tracked;

bool sending_start(const struct sending *wanted) {
    double sum = 0;
    for (int i = 0; i < CHANNELS_MOST; i++)
        sum += wanted->weights[i];
    if (!(wanted->rate >= 0) || !(wanted->seconds >= 0) || !(sum > 0) ||
        wanted->burst < 1 || wanted->burst > BURST_MOST || wanted->size < PAYLOAD_LEAST ||
        wanted->size > PAYLOAD_MOST)
        return false;
    if (!(batch = realloc(batch, (size_t)wanted->burst * (COMMAND_MOST + 14))))
        abort();
    load.wanted = *wanted;
    load.weight_sum = sum;
    load.moments = (uint64_t)(wanted->rate * wanted->seconds / wanted->burst + 0.5);
    load.interval_ns = wanted->rate > 0 ? 1e9 * wanted->burst / wanted->rate : 0;
    load.done = 0;
    return true;
}

static int choose_channel(void) {
    double at = chance() * load.weight_sum;
    int i = 0;
    while (i < CHANNELS_MOST - 1 && (at -= load.wanted.weights[i]) >= 0)
        i++;
    while (load.wanted.weights[i] <= 0 && i > 0) /* rounding must not choose one of weight 0 */
        i--;
    return i;
}

static struct connection *choose_sender(int index) {
    for (int tries = 0; tries < TRIES; tries++) {
        struct connection *chosen = &connections[chance_bits() % connection_count];
        if (chosen->state == OPEN && chosen->subscriptions[index].channel)
            return chosen;
    }
    return NULL;
}

static size_t write_message(uint8_t *out, const struct message *message) {
    static const char filler[] = "The quick brown fox jumps over the lazy dog. ";
    char text[COMMAND_MOST], payload[PAYLOAD_MOST + 64];
    static int own; /* no two processes have the same refs */
    own = own ? own : getpid();
    int have = snprintf(payload, sizeof payload, "%" PRIu64 ".%d.%" PRIu64 ". ",
                        message->intended_ns, own, message->number);
    while (have < (int)load.wanted.size) {
        payload[have] = filler[(size_t)have % (sizeof filler - 1)];
        have++;
    }
    /* No space at its end. */
    payload[have - 1] = '.';
    int size = snprintf(text, sizeof text,
                        "{\"type\":\"message\",\"channel_id\":%u,\"payload\":\"%.*s\","
                        "\"ref\":\"%" PRIu64 ".%d.%" PRIu64 "\"}",
                        connections[message->sender].subscriptions[message->index].channel, have,
                        payload, message->intended_ns, own, message->number);
    return frame_write(out, OP_TEXT, text, (size_t)size);
}

static void send_moment(uint64_t intended) {
    int index = choose_channel();
    struct connection *sender = choose_sender(index);
    uint32_t burst = load.wanted.burst;
    tallies.due += burst;
    if (!sender) {
        tallies.unsendable += burst;
        return;
    }
    size_t size = 0;
    for (uint32_t i = 0; i < burst; i++) {
        struct message message = {load.number++, intended, (uint32_t)(sender - connections),
                                  (uint8_t)index, true};
        size += write_message(batch + size, &message);
        outstanding_add(&message);
    }
    histogram_add(&tallies.send_late, (now_ns() - intended) / 1000);
    tallies.sent += burst;
    sender->owes = 1;
    connection_write(sender, batch, size);
}

static void write_again(const struct message *message) {
    uint8_t frame[COMMAND_MOST + 14];
    struct connection *sender = &connections[message->sender];
    if (sender->state != OPEN)
        return;
    sender->owes = 1;
    tallies.resent++;
    connection_write(sender, frame, write_message(frame, message));
}

void sending_again(uint32_t sender) {
    if (!connections[sender].owes)
        return;
    connections[sender].owes = 0;
    outstanding_of(sender, write_again);
}

uint64_t sending_run(void) {
    for (int i = 0; i < AT_ONCE; i++) {
        if (load.done >= load.moments)
            return UINT64_MAX;
        uint64_t intended =
            load.wanted.start_ns + (uint64_t)((double)load.done * load.interval_ns);
        uint64_t now = now_ns();
        if (intended > now)
            return intended - now;
        load.done++;
        send_moment(intended);
    }
    return 0;
}

void sending_answered(const char *text, size_t size, bool well) {
    const char *at = text_after(text, size, "\"ref\":\""), *end = text + size;
    uint64_t now = received_ns, intended = at ? text_number(&at, end) : 0;
    if (!intended || intended > now || at++ == end)
        return;
    text_number(&at, end); /* the process */
    if (at++ == end || !outstanding_done(text_number(&at, end), intended))
        return;
    if (well) {
        tallies.acked++;
        histogram_add(&tallies.ack, (now - intended) / 1000);
    } else {
        tallies.refused++;
    }
}

void sending_track(bool on) {
    tracked.on = on;
    tracked.count = 0;
}

void sending_delivered(uint64_t intended_ns) {
    if (!tracked.on)
        return;
    uint64_t us = (received_ns - intended_ns) / 1000;
    uint32_t i = tracked.count;
    while (i > 0 && tracked.message[i - 1].intended_ns != intended_ns)
        i--;
    if (i == 0) {
        if (tracked.count == TRACKED_MOST)
            return;
        i = ++tracked.count;
        tracked.message[i - 1].intended_ns = intended_ns;
        tracked.message[i - 1].first_us = us;
        tracked.message[i - 1].last_us = 0;
        tracked.message[i - 1].deliveries = 0;
    }
    if (us > tracked.message[i - 1].last_us)
        tracked.message[i - 1].last_us = us;
    tracked.message[i - 1].deliveries++;
}

void sending_print_tracked(void) {
    printf("{\"tracked\":[");
    for (uint32_t i = 0; i < tracked.count; i++)
        printf("%s[%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "]", i ? "," : "",
               tracked.message[i].intended_ns, tracked.message[i].first_us,
               tracked.message[i].last_us, tracked.message[i].deliveries);
    printf("]}\n");
}
