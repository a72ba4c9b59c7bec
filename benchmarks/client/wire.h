/* RFC 6455 frames as a client sees them: no sockets, no memory but a partial frame's.
 *
 * The reader is fed whatever one recv returned and calls back once per whole frame, with the
 * first bytes of its payload. It never copies a frame that lies whole in the caller's buffer,
 * which is what keeps the load client cheaper than any server it measures.
 */
#ifndef STORMLOAD_WIRE_H
#define STORMLOAD_WIRE_H

#include <stddef.h>
#include <stdint.h>

enum opcode { OP_CONTINUATION = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

/* A control frame's payload is at most 125 bytes, so that much of any frame is enough: pongs can
 * echo all of it, and the type and ref of a JSON event stand in its beginning. */
#define FRAME_START 125

struct frame {
    enum opcode opcode;
    const uint8_t *start; /* the first `started` bytes of the payload */
    size_t started;
    uint64_t length; /* of the whole payload */
};

struct reader {
    uint64_t length; /* payload of the frame being read */
    uint64_t left;   /* of it, not seen yet */
    uint8_t *start;  /* beginning of a payload that came in pieces, else NULL */
    uint8_t started;
    uint8_t head[10];
    uint8_t have; /* bytes of the header seen; the frame's payload follows once complete */
    uint8_t in_payload;
};

typedef void (*frame_handler)(void *owner, const struct frame *frame);

/* Returns 0, or -1 at a frame that no server may send (masked, or reserved bits). */
int reader_feed(struct reader *reader, const uint8_t *data, size_t size, frame_handler on_frame,
                void *owner);
void reader_reset(struct reader *reader);

/* Writes one masked, final frame and returns its size; `out` needs size + 14 bytes. */
size_t frame_write(uint8_t *out, enum opcode opcode, const void *payload, size_t size);

#endif
