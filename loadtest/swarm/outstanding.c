#include "outstanding.h"

#include <stdlib.h>

/* One that has so many behind it is not waited for any more, and stays unanswered. */
#define MOST 65536u

static struct message *ring;
static uint64_t oldest, next;

static struct message *at(uint64_t number) {
    return &ring[number % MOST];
}

void outstanding_add(const struct message *message) {
    if (!ring && !(ring = calloc(MOST, sizeof *ring)))
        abort();
    *at(message->number) = *message;
    next = message->number + 1;
    if (next - oldest > MOST)
        oldest = next - MOST;
}

bool outstanding_done(uint64_t number, uint64_t intended_ns) {
    if (number < oldest || number >= next || !at(number)->waiting ||
        at(number)->intended_ns != intended_ns)
        return false;
    at(number)->waiting = false;
    while (oldest < next && !at(oldest)->waiting)
        oldest++;
    return true;
}

void outstanding_of(uint32_t sender, void (*again)(const struct message *message)) {
    for (uint64_t number = oldest; number < next; number++)
        if (at(number)->waiting && at(number)->sender == sender)
            again(at(number));
}
