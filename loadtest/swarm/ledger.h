/* Which seqs of its channels a connection has: what it lacks is lost until it comes. */
#ifndef SWARM_LEDGER_H
#define SWARM_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

struct subscription {
    uint32_t channel;
    uint32_t seq; /* the highest that came, or that the server said had come */
};

/* An event came. `number` is the connection's, `index` the subscription's in it. */
void ledger_take(uint32_t number, uint8_t index, struct subscription *subscription, uint32_t seq);

/* The server or the store says that this is the newest: what is between is missing. */
void ledger_head(uint32_t number, uint8_t index, struct subscription *subscription, uint32_t head);

/* The seq after which a resumed subscription is to be replayed: the last one before any hole. All
 * that is missing then counts anew, as it comes or does not. */
uint32_t ledger_resume(uint32_t number, uint8_t index, struct subscription *subscription);

#endif
