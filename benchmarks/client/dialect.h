/* What a server says inside of its WebSocket frames: STORM's own JSON, which the plain peers speak
 * too, or Socket.IO (Engine.IO 4 below it). The measured events are the same in both.
 */
#ifndef STORMLOAD_DIALECT_H
#define STORMLOAD_DIALECT_H

#include <stdbool.h>
#include <stddef.h>

#include "wire.h"

enum event {
    EVENT_OTHER,   /* hello, presence, … */
    EVENT_MESSAGE, /* a delivery */
    EVENT_ACK,
    EVENT_JOINED,  /* `subscribed`: the connection is in its channel */
    EVENT_ERROR,
    EVENT_REFUSED, /* nothing will come of this connection */
    EVENT_PING,    /* one in a text frame; those of WebSocket are answered below */
};

struct dialect {
    const char *name;
    bool token_in_upgrade; /* in its Authorization header; else the handshake brings it */
    enum event (*event_of)(const struct frame *text);
    /* What the client must say at once to this frame (a step of the handshake, a pong).
     * Returns its size, 0 when there is nothing to say. */
    size_t (*reply)(const struct frame *text, const char *token, unsigned channel, char *out,
                    size_t room);
};

/* NULL when there is none of this name. */
const struct dialect *dialect_named(const char *name);

#endif
