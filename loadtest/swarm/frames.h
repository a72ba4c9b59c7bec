/* RFC 6455 frames from a byte stream, each handed over whole. A frame that lies whole in the
 * caller's buffer is not copied; only what a read cut off is kept, until the rest comes.
 */
#ifndef SWARM_FRAMES_H
#define SWARM_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h" /* opcodes, and how a client's frame is written */

/* A longer frame is taken for a fault: the server's largest events are lists of some hundred names. */
#define FRAME_MOST (1u << 20)

/* The beginning of something whose end has not come. */
struct partial {
    uint32_t have, room;
    uint8_t data[];
};

/* Returns false when nothing more may be read: the owner has closed the connection. */
typedef bool (*whole_frame)(void *owner, enum opcode opcode, const uint8_t *payload, size_t size);

/* False when the owner stopped it. At bytes that no server may send it calls `broken` first. */
bool frames_feed(struct partial **kept, const uint8_t *data, size_t size, whole_frame on_frame,
                 void (*broken)(void *owner), void *owner);

/* Appends to what is kept, for others who read in pieces too. */
void partial_add(struct partial **kept, const void *data, size_t size, size_t room);

#endif
