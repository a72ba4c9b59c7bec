#include "opening.h"

#include <stdlib.h>

#include "chance.h"
#include "connections.h"
#include "tallies.h"

#define AT_ONCE 64 /* what has arrived is read in between */
#define BACKOFF_FIRST_MS 500u
#define BACKOFF_MOST_MS 30000u

static struct {
    uint64_t start_ns;
    double interval_ns;
    uint32_t next, window;
} first = {.next = UINT32_MAX};

struct timer {
    uint64_t due_ns;
    uint32_t number;
};

/* A heap: the earliest is on top. A connection is in it at most once. */
static struct timer *timers;
static uint32_t waiting;
static bool retry = true;

static void swap(uint32_t a, uint32_t b) {
    struct timer kept = timers[a];
    timers[a] = timers[b];
    timers[b] = kept;
}

static void timer_add(uint32_t number, uint64_t due_ns) {
    if (!timers && !(timers = calloc(connection_count, sizeof *timers)))
        abort();
    uint32_t at = waiting++;
    timers[at] = (struct timer){due_ns, number};
    for (; at && timers[(at - 1) / 2].due_ns > timers[at].due_ns; at = (at - 1) / 2)
        swap(at, (at - 1) / 2);
}

static uint32_t timer_take(void) {
    uint32_t number = timers[0].number, at = 0;
    timers[0] = timers[--waiting];
    for (;;) {
        uint32_t least = at, left = 2 * at + 1, right = left + 1;
        if (left < waiting && timers[left].due_ns < timers[least].due_ns)
            least = left;
        if (right < waiting && timers[right].due_ns < timers[least].due_ns)
            least = right;
        if (least == at)
            return number;
        swap(at, least);
        at = least;
    }
}

void opening_start(double rate, uint32_t window, uint64_t start_ns) {
    first.start_ns = start_ns ? start_ns : now_ns();
    first.interval_ns = rate > 0 ? 1e9 / rate : 0;
    first.window = window;
    first.next = 0;
}

void opening_retry(bool on) {
    retry = on;
    if (!on)
        waiting = 0;
}

void opening_stop(void) {
    first.next = UINT32_MAX;
    waiting = 0;
}

void opening_again(uint32_t number, uint8_t failures, uint64_t delay_ms) {
    if (!retry)
        return;
    if (delay_ms == 0) {
        uint64_t bound = failures < 7 ? BACKOFF_FIRST_MS << failures : BACKOFF_MOST_MS;
        delay_ms = (uint64_t)(chance() * (double)(bound < BACKOFF_MOST_MS ? bound : BACKOFF_MOST_MS));
    }
    timer_add(number, now_ns() + delay_ms * 1000000);
}

static uint64_t intended_ns(uint32_t number) {
    return first.start_ns + (uint64_t)((double)number * first.interval_ns);
}

uint64_t opening_run(void) {
    uint64_t now = now_ns();
    int begun = 0;
    for (; waiting && timers[0].due_ns <= now && begun < AT_ONCE; begun++) {
        uint32_t number = timer_take();
        connection_begin(number, connections[number].began_ns);
    }
    while (first.next < connection_count && intended_ns(first.next) <= now && begun < AT_ONCE &&
           (!first.window || tallies.opening < first.window)) {
        /* Without a rate a connection is wanted when there is room for it. */
        uint32_t number = first.next++;
        connection_begin(number, first.interval_ns > 0 ? intended_ns(number) : now_ns());
        begun++;
    }
    if (begun == AT_ONCE)
        return 0;
    uint64_t wait = UINT64_MAX;
    if (waiting)
        wait = timers[0].due_ns - now;
    /* A full window is waited for by waiting for answers. */
    if (first.next < connection_count && (!first.window || tallies.opening < first.window)) {
        uint64_t next = intended_ns(first.next);
        wait = next <= now ? 0 : next - now < wait ? next - now : wait;
    }
    return wait;
}
