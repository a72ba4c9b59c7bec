/* The sockets: opened, read, written and given up. One epoll loop, one shared receive buffer, and
 * one cache line for each connection.
 */
#ifndef SWARM_CONNECTIONS_H
#define SWARM_CONNECTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "frames.h"
#include "ledger.h"
#include "plan.h"

enum state { CLOSED, CONNECTING, UPGRADING, SUBSCRIBING, OPEN };

struct connection {
    int32_t fd;
    uint8_t state : 6;
    uint8_t back : 1;  /* has been open: the next time it is back */
    uint8_t owes : 1;  /* has sent something that may be unanswered */
    uint8_t awaited;   /* bits of the subscriptions that have no `subscribed` yet */
    uint8_t failures;  /* in a row, for the backoff */
    uint8_t been_open; /* bits of the subscriptions that can be resumed */
    struct partial *kept;
    uint64_t began_ns; /* the moment from which this opening counts */
    uint32_t at_ms;   /* the attempt's begin; once open, when that was so */
    uint32_t away_ms; /* not back before, as the server asked; 0: it did not */
    struct subscription subscriptions[CHANNELS_MOST];
};

extern struct connection *connections;
extern uint32_t connection_count;

uint64_t now_ns(void);
/* Milliseconds since the start, never 0. */
uint32_t ms_of(uint64_t moment_ns);

/* `source`: the first of eight addresses to connect from; NULL: any. `targets`: ADDRESS:PORT, with
 * commas between; connection n begins with the n-th of them and goes on to the next when one fails.
 * False when that is no address. */
bool connections_start(uint32_t count, const char *source, const char *targets);
/* The connection is wanted since `began_ns`. */
void connection_begin(uint32_t number, uint64_t began_ns);
/* Writes all of it, or gives the connection up. */
bool connection_write(struct connection *connection, const void *data, size_t size);
/* The connection is over, and comes back by itself where that is on. */
void connection_lost(struct connection *connection, const char *kind, const char *text,
                     size_t size);
/* The same after an HTTP answer or a wish that says when to come again. */
void connection_lost_until(struct connection *connection, const char *kind, const char *text,
                           size_t size, uint64_t delay_ms);
void connections_close_all(void);
/* Gives up those that have been opening for too long; to be called every second or so. */
void connections_sweep(void);
/* Handles what has happened, waiting up to `wait_ns`. True when standard input can be read. */
bool connections_poll(uint64_t wait_ns);
/* TCP segments with data that all open connections have received: as many writes of the server. */
uint64_t connections_segments(void);

/* --- what others do with them --- */

/* upgrade.c: the HTTP request and its answer; then the subscriptions. */
bool upgrade_send(struct connection *connection);
/* Takes a piece of the answer. Returns how much of it was used, or -1 when it is over. */
long upgrade_read(struct connection *connection, const uint8_t *data, size_t size);
void upgrade_host(uint32_t target, const char *host);

/* events.c: one frame of an upgraded connection. */
bool event_take(void *owner, enum opcode opcode, const uint8_t *payload, size_t size);
extern uint64_t received_ns; /* when the bytes at hand were read */

#endif
