/* The handshake of a connection: one request, its answer, then all subscriptions in one write. */
#define _GNU_SOURCE /* memmem, strcasestr */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chance.h"
#include "connections.h"

#define REQUEST_MOST 4096
#define ANSWER_MOST 4096
#define TARGETS_MOST 64

/* RFC 6455's own example: the server's answer to it is known without computing anything. */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

static char host[64];

void upgrade_host(uint32_t target, const char *name) {
    if (target == 0)
        snprintf(host, sizeof host, "%s", name);
}

/* A command that subscribes, or resumes. Returns the size of the frame. */
static size_t subscribe(uint32_t number, uint8_t index, uint8_t *out) {
    char text[96];
    struct connection *connection = &connections[number];
    struct subscription *to = &connection->subscriptions[index];
    int size;
    if (connection->been_open & 1u << index)
        size = snprintf(text, sizeof text, "{\"type\":\"subscribe\",\"channel_id\":%u,\"since\":%u}",
                        to->channel, ledger_resume(number, index, to));
    else
        size = snprintf(text, sizeof text, "{\"type\":\"subscribe\",\"channel_id\":%u}",
                        to->channel);
    return frame_write(out, OP_TEXT, text, (size_t)size);
}

/* Who is a member already names no channel in the URL; who comes back says for each of its channels
 * since when. */
static bool by_url(const struct connection *connection, uint8_t index) {
    return index == 0 && !(connection->been_open & 1) &&
           plan_of((uint32_t)(connection - connections)).joins;
}

bool upgrade_send(struct connection *connection) {
    char request[REQUEST_MOST], query[32] = "";
    struct plan_line line = plan_of((uint32_t)(connection - connections));
    if (by_url(connection, 0))
        snprintf(query, sizeof query, "?channel_id=%u", line.channel[0]);
    int size = snprintf(request, sizeof request,
                        "GET /ws%s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Key: " KEY "\r\n"
                        "Sec-WebSocket-Version: 13\r\nAuthorization: Bearer %.*s\r\n\r\n",
                        query, host, line.token_size, line.token);
    if (size >= REQUEST_MOST) {
        connection_lost(connection, "plan", "token too long", 14);
        return false;
    }
    return connection_write(connection, request, (size_t)size);
}

/* How long a refusal asks to stay away, with as much again at random: not everybody at once. */
static uint64_t retry_after_ms(const char *answer) {
    const char *at = strcasestr(answer, "\r\nretry-after:");
    double seconds = at ? atof(at + 14) : 0;
    return seconds > 0 && seconds < 3600 ? (uint64_t)(seconds * 1000 * (1 + chance())) + 1 : 0;
}

static bool subscribe_all(struct connection *connection) {
    uint8_t out[CHANNELS_MOST * 128];
    uint32_t number = (uint32_t)(connection - connections);
    size_t size = 0;
    connection->awaited = 0;
    for (uint8_t i = 0; i < CHANNELS_MOST && connection->subscriptions[i].channel; i++) {
        connection->awaited |= (uint8_t)(1u << i);
        if (!by_url(connection, i))
            size += subscribe(number, i, out + size);
    }
    return connection_write(connection, out, size);
}

long upgrade_read(struct connection *connection, const uint8_t *data, size_t size) {
    size_t before = connection->kept ? connection->kept->have : 0;
    partial_add(&connection->kept, data, size, 512);
    struct partial *kept = connection->kept;
    const uint8_t *end = memmem(kept->data, kept->have, "\r\n\r\n", 4);
    if (!end && kept->have < ANSWER_MOST)
        return (long)size;
    char answer[ANSWER_MOST + 1];
    size_t have = end ? (size_t)(end + 2 - kept->data) : kept->have;
    if (have > ANSWER_MOST)
        have = ANSWER_MOST;
    memcpy(answer, kept->data, have);
    answer[have] = 0;
    long used = end ? (long)((size_t)(end + 4 - kept->data) - before) : 0;
    free(kept);
    connection->kept = NULL;
    if (!end || strncmp(answer, "HTTP/1.1 101", 12) != 0) {
        size_t status = strcspn(answer, "\r\n");
        const char *text = status > 9 ? answer + 9 : answer;
        connection_lost_until(connection, "http", text, strcspn(text, "\r\n"),
                              retry_after_ms(answer));
        return -1;
    }
    if (!strstr(answer, ACCEPT)) {
        connection_lost(connection, "http", "wrong Sec-WebSocket-Accept", 26);
        return -1;
    }
    connection->state = SUBSCRIBING;
    return subscribe_all(connection) ? used : -1;
}
