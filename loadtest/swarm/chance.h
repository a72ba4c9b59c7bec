/* Random numbers that are quick and good enough for jitter and choices. */
#ifndef SWARM_CHANCE_H
#define SWARM_CHANCE_H

#include <stdint.h>

extern uint64_t chance_state; /* never 0 */

static inline uint64_t chance_bits(void) {
    uint64_t x = chance_state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return chance_state = x;
}

/* At least 0, below 1. */
static inline double chance(void) {
    return (double)(chance_bits() >> 11) / 9007199254740992.0;
}

#endif
