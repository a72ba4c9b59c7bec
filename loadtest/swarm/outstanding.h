/* Messages that were sent and not yet answered. One whose connection broke meanwhile is sent again
 * by the same sender once it is back, with the same ref: then it is stored once, whatever became of
 * the first.
 */
#ifndef SWARM_OUTSTANDING_H
#define SWARM_OUTSTANDING_H

#include <stdbool.h>
#include <stdint.h>

struct message {
    uint64_t number; /* of this process's messages; part of the ref */
    uint64_t intended_ns;
    uint32_t sender;
    uint8_t index; /* of the sender's channels */
    bool waiting;
};

void outstanding_add(const struct message *message);
/* It was answered. False when it was before, or is none of ours. */
bool outstanding_done(uint64_t number, uint64_t intended_ns);
/* Calls `again` for each of this sender that waits. */
void outstanding_of(uint32_t sender, void (*again)(const struct message *message));

#endif
