/* Messages by the clock: each has a moment at which it is due, which it carries in its payload and
 * in its ref, so that acks and deliveries in any process count from it.
 */
#ifndef SWARM_SENDING_H
#define SWARM_SENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan.h"

struct sending {
    double rate, seconds; /* messages a second, of this process */
    uint32_t burst;       /* so many are due at one moment and leave in one write */
    uint32_t size;        /* characters of the payload, at least 32 */
    uint64_t start_ns;
    double weights[CHANNELS_MOST]; /* of a connection's first, second, … channel */
};

/* False when it makes no sense. Replaces what is being sent. */
bool sending_start(const struct sending *wanted);
/* Sends what is due. Returns nanoseconds until the next one; UINT64_MAX: there is none. */
uint64_t sending_run(void);
/* An answer to a ref of ours: an `ack`, or an `error`. */
void sending_answered(const char *text, size_t size, bool well);
/* This connection is open again: what it has no answer to is sent again. */
void sending_again(uint32_t sender);

/* Follows each of the next messages by its moment: its first and last delivery here. */
void sending_track(bool on);
void sending_delivered(uint64_t intended_ns);
/* [[intended ns, first us, last us, deliveries], …] */
void sending_print_tracked(void);

#endif
