/* What the server says on an open connection. The way of a `message` is short: it is nearly all
 * that comes.
 */
#include <stdio.h>
#include <string.h>

#include "connections.h"
#include "sending.h"
#include "tallies.h"
#include "text.h"

#define TYPE "{\"type\":\""
#define MESSAGE TYPE "message\",\"channel_id\":"
#define PAYLOAD ",\"payload\":\""
/* How a live message ends, behind its seq: a moment has always the same length. */
#define SENT_AT "\"sent_at\":\"2026-01-31T12:00:00.000Z\"}"

static struct subscription *subscription_of(struct connection *connection, uint64_t channel) {
    for (int i = 0; i < CHANNELS_MOST && connection->subscriptions[i].channel; i++)
        if (connection->subscriptions[i].channel == channel)
            return &connection->subscriptions[i];
    return NULL;
}

static void take_durable(struct connection *connection, uint64_t channel, uint64_t seq) {
    struct subscription *to = subscription_of(connection, channel);
    if (to)
        ledger_take((uint32_t)(connection - connections), (uint8_t)(to - connection->subscriptions),
                    to, (uint32_t)seq);
    else
        tallies.strangers++;
}

/* The seq of a message stands before its `sent_at`, at the end; else it is searched. */
static uint64_t seq_of(const char *text, size_t size) {
    const char *tail = text + size - (sizeof SENT_AT - 1), *digit = tail - 1;
    if (size > sizeof MESSAGE + sizeof SENT_AT && memcmp(tail, SENT_AT, 11) == 0 &&
        *digit == ',') {
        while (digit[-1] >= '0' && digit[-1] <= '9')
            digit--;
        if (memcmp(digit - 6, "\"seq\":", 6) == 0)
            return text_number(&digit, tail);
    }
    return text_field(text, size, "\"seq\":", 0);
}

static void take_message(struct connection *connection, const char *text, size_t size) {
    const char *at = text + sizeof MESSAGE - 1, *end = text + size;
    uint64_t channel = text_number(&at, end);
    tallies.deliveries++;
    if ((size_t)(end - at) > sizeof PAYLOAD && memcmp(at, PAYLOAD, sizeof PAYLOAD - 1) == 0) {
        at += sizeof PAYLOAD - 1;
        uint64_t intended = text_number(&at, end);
        /* Only our own messages begin with a moment and a stop. */
        if (intended && at < end && *at == '.' && intended <= received_ns) {
            bool replayed = ms_of(intended) < connection->at_ms;
            histogram_add(replayed ? &tallies.replayed : &tallies.delivery,
                          (received_ns - intended) / 1000);
            sending_delivered(intended);
        }
    }
    take_durable(connection, channel, seq_of(text, size));
}

static void take_subscribed(struct connection *connection, const char *text, size_t size) {
    struct subscription *to =
        subscription_of(connection, text_field(text, size, "\"channel_id\":", 0));
    uint32_t head = (uint32_t)text_field(text, size, "\"head\":", 0);
    if (!to)
        return;
    uint8_t bit = (uint8_t)(1u << (to - connection->subscriptions));
    const char *gap = text_after(text, size, "\"gap\":");
    if (text_after(text, size, "\"reset\":true")) {
        tallies.resets++;
        to->seq = head;
    } else if (!(connection->been_open & bit)) {
        to->seq = head;
    } else if (gap) {
        uint64_t last = text_field(gap, (size_t)(text + size - gap), "\"to\":", 0);
        tallies.gaps += last > to->seq ? last - to->seq : 0;
        to->seq = (uint32_t)last;
    }
    connection->been_open |= bit;
    connection->awaited &= (uint8_t)~bit;
    if (connection->awaited || connection->state != SUBSCRIBING)
        return;
    histogram_add(connection->back ? &tallies.back_after : &tallies.connect,
                  (received_ns - connection->began_ns) / 1000);
    if (connection->back)
        tallies.back++;
    else
        tallies.opened++;
    connection->back = 1;
    connection->failures = 0;
    connection->state = OPEN;
    connection->at_ms = ms_of(received_ns);
    tallies.opening--;
    tallies.open++;
    tallies.last_open_ns = received_ns;
    sending_again((uint32_t)(connection - connections));
}

/* {"type":"heartbeat","heads":{"1":6,…}}: of what is below its head something is missing. */
static void take_heads(struct connection *connection, const char *text, size_t size) {
    char name[16];
    for (int i = 0; i < CHANNELS_MOST && connection->subscriptions[i].channel; i++) {
        struct subscription *to = &connection->subscriptions[i];
        snprintf(name, sizeof name, "\"%u\":", to->channel);
        if (connection->been_open & 1u << i && !(connection->awaited & 1u << i))
            ledger_head((uint32_t)(connection - connections), (uint8_t)i, to,
                        (uint32_t)text_field(text, size, name, 0));
    }
}

static void take_error(const char *text, size_t size) {
    const char *code = text_after(text, size, "\"code\":\"");
    const char *end = code ? memchr(code, '"', (size_t)(text + size - code)) : NULL;
    tallies.errors++;
    sending_answered(text, size, false);
    if (end)
        reason_add("error", code, (size_t)(end - code));
}

static bool is(const char *type, size_t size, const char *name) {
    return size > strlen(name) && memcmp(type, name, strlen(name)) == 0;
}

static void take_text(struct connection *connection, const char *text, size_t size) {
    const char *type = text + sizeof TYPE - 1;
    size_t left = size - (sizeof TYPE - 1);
    if (size >= sizeof MESSAGE && memcmp(text, MESSAGE, sizeof MESSAGE - 1) == 0) {
        take_message(connection, text, size);
    } else if (size < sizeof TYPE || memcmp(text, TYPE, sizeof TYPE - 1) != 0) {
        tallies.unread++;
    } else if (is(type, left, "ack\"")) {
        sending_answered(text, size, true);
    } else if (is(type, left, "presence\"")) {
        tallies.presence++;
    } else if (is(type, left, "heartbeat\"")) {
        tallies.heartbeats++;
        take_heads(connection, text, size);
    } else if (is(type, left, "subscribed\"")) {
        take_subscribed(connection, text, size);
    } else if (is(type, left, "error\"")) {
        take_error(text, size);
    } else if (is(type, left, "reconnect\"")) {
        connection->away_ms = ms_of(received_ns) +
                              (uint32_t)text_field(text, size, "\"after_ms\":", 0);
    } else if (is(type, left, "message.") || is(type, left, "member.") ||
               is(type, left, "channel.") || is(type, left, "reaction.")) {
        tallies.deliveries++;
        take_durable(connection, text_field(text, size, "\"channel_id\":", 0),
                     text_field(text, size, "\"seq\":", 0));
    } else if (!is(type, left, "hello\"") && !is(type, left, "read\"") &&
               !is(type, left, "typing\"") && !is(type, left, "pong\"") &&
               !is(type, left, "token.expiring\"") && !is(type, left, "event\"")) {
        tallies.unread++;
    }
}

bool event_take(void *owner, enum opcode opcode, const uint8_t *payload, size_t size) {
    struct connection *connection = owner;
    tallies.frames++;
    if (opcode == OP_TEXT) {
        take_text(connection, (const char *)payload, size);
    } else if (opcode == OP_PING) {
        uint8_t pong[125 + 14];
        tallies.pings++;
        if (size <= 125)
            connection_write(connection, pong, frame_write(pong, OP_PONG, payload, size));
    } else if (opcode == OP_CLOSE) {
        char code[8] = "none";
        if (size >= 2)
            snprintf(code, sizeof code, "%u", payload[0] << 8 | payload[1]);
        connection_lost(connection, "close", code, strlen(code));
    }
    return connection->state != CLOSED;
}
