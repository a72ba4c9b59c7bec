#include "dialect.h"

#include <stdio.h>
#include <string.h>

static bool begins(const struct frame *frame, const char *text) {
    size_t size = strlen(text);
    return frame->started >= size && memcmp(frame->start, text, size) == 0;
}

static enum event plain_event(const struct frame *text) {
    if (begins(text, "{\"type\":\"message\","))
        return EVENT_MESSAGE;
    if (begins(text, "{\"type\":\"ack\","))
        return EVENT_ACK;
    if (begins(text, "{\"type\":\"subscribed\","))
        return EVENT_JOINED;
    return begins(text, "{\"type\":\"error\",") ? EVENT_ERROR : EVENT_OTHER;
}

static size_t plain_reply(const struct frame *text, const char *token, unsigned channel, char *out,
                          size_t room) {
    (void)text, (void)token, (void)channel, (void)out, (void)room;
    return 0;
}

/* The first digit is Engine.IO's (0 open, 1 close, 2 ping, 3 pong, 4 message), a second one behind
 * 4 is Socket.IO's (0 connect, 1 disconnect, 2 event, 4 connect error). */
static enum event socketio_event(const struct frame *text) {
    if (begins(text, "42[\"message\","))
        return EVENT_MESSAGE;
    if (begins(text, "42[\"subscribed\","))
        return EVENT_JOINED;
    if (text->length == 1 && begins(text, "2"))
        return EVENT_PING;
    if (begins(text, "1") || begins(text, "41") || begins(text, "44"))
        return EVENT_REFUSED;
    return begins(text, "42[\"error\",") ? EVENT_ERROR : EVENT_OTHER;
}

static size_t socketio_reply(const struct frame *text, const char *token, unsigned channel,
                             char *out, size_t room) {
    int size = 0;
    if (text->length == 1 && begins(text, "2"))
        size = snprintf(out, room, "3");
    else if (begins(text, "0{"))
        size = snprintf(out, room, "40{\"token\":\"%s\",\"channel_id\":%u}", token, channel);
    return size > 0 && (size_t)size < room ? (size_t)size : 0;
}

static const struct dialect dialects[] = {
    {"plain", true, plain_event, plain_reply},
    {"socketio", false, socketio_event, socketio_reply},
};

const struct dialect *dialect_named(const char *name) {
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++)
        if (strcmp(dialects[i].name, name) == 0)
            return &dialects[i];
    return NULL;
}
