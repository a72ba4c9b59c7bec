#include "ledger.h"

#include <stddef.h>
#include <stdlib.h>

#include "tallies.h"

/* More holes than these are counted, but cannot be filled any more. */
#define HOLES_MOST 1000000u

struct hole {
    uint32_t number, from, to; /* both included */
    uint8_t index;
};

static struct hole *holes;
static uint32_t count, room;

static void remove_hole(uint32_t at) {
    holes[at] = holes[--count];
}

static void add_hole(uint32_t number, uint8_t index, uint32_t from, uint32_t to) {
    if (count == room) {
        if (room == HOLES_MOST)
            return;
        room = room ? room * 2 < HOLES_MOST ? room * 2 : HOLES_MOST : 64;
        if (!(holes = realloc(holes, room * sizeof *holes)))
            abort();
    }
    holes[count++] = (struct hole){number, from, to, index};
}

/* Newest first: what was skipped a moment ago is what comes late. */
static struct hole *hole_with(uint32_t number, uint8_t index, uint32_t seq) {
    for (uint32_t i = count; i-- > 0;)
        if (holes[i].number == number && holes[i].index == index && holes[i].from <= seq &&
            seq <= holes[i].to)
            return &holes[i];
    return NULL;
}

static void come_late(uint32_t number, uint8_t index, uint32_t seq) {
    struct hole *hole = hole_with(number, index, seq);
    if (!hole) {
        tallies.doubled++;
        return;
    }
    uint32_t to = hole->to;
    tallies.late_fills++;
    tallies.lost--;
    if (hole->from == seq && to == seq) {
        remove_hole((uint32_t)(hole - holes));
    } else if (hole->from == seq) {
        hole->from++;
    } else {
        hole->to = seq - 1;
        if (to > seq)
            add_hole(number, index, seq + 1, to);
    }
}

void ledger_head(uint32_t number, uint8_t index, struct subscription *subscription,
                 uint32_t head) {
    if (head <= subscription->seq)
        return;
    tallies.holes++;
    tallies.lost += head - subscription->seq;
    add_hole(number, index, subscription->seq + 1, head);
    subscription->seq = head;
}

void ledger_take(uint32_t number, uint8_t index, struct subscription *subscription, uint32_t seq) {
    if (seq == subscription->seq + 1) {
        subscription->seq = seq;
    } else if (seq <= subscription->seq) {
        come_late(number, index, seq);
    } else {
        ledger_head(number, index, subscription, seq - 1);
        subscription->seq = seq;
    }
}

uint32_t ledger_resume(uint32_t number, uint8_t index, struct subscription *subscription) {
    for (uint32_t i = count; i-- > 0;)
        if (holes[i].number == number && holes[i].index == index) {
            if (holes[i].from - 1 < subscription->seq)
                subscription->seq = holes[i].from - 1;
            tallies.lost -= holes[i].to - holes[i].from + 1;
            remove_hole(i);
        }
    return subscription->seq;
}
