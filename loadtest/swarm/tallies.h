/* What this process has counted: figures with a place of their own, and reasons by name. */
#ifndef SWARM_TALLIES_H
#define SWARM_TALLIES_H

#include <stdint.h>
#include <stdio.h>

#include "histogram.h"

/* X(name): one line here is a counter, and its name in the JSON. */
#define COUNTERS(X)                                                                              \
    X(open)           /* all channels subscribed, now */                                         \
    X(opening)        /* begun and not there yet, now */                                         \
    X(opened)         /* have been there for the first time */                                   \
    X(back)           /* were there again after a loss of the connection */                      \
    X(closes)         /* connections that ended without our doing */                             \
    X(frames)         /* of WebSocket, all kinds */                                              \
    X(bytes)          /* received, with HTTP and frame headers */                                \
    X(receives)       /* recv calls that returned data */                                        \
    X(deliveries)     /* durable events */                                                       \
    X(presence) X(heartbeats) X(pings) X(errors) X(unread) /* events of no known kind */         \
    X(lost)           /* seqs that are missing now */                                            \
    X(holes)          /* times that seqs were missing, whether or not they came later */         \
    X(late_fills)     /* came after a higher one */                                              \
    X(doubled)        /* came twice */                                                           \
    X(gaps)           /* seqs that the server said are too old to be replayed */                 \
    X(resets)         /* `reset: true` */                                                        \
    X(strangers)      /* deliveries of a channel that was not subscribed */                      \
    X(due) X(sent)    /* messages */                                                             \
    X(unsendable)     /* were due and had no connection to go by */                              \
    X(resent)         /* after a loss of their connection, with the same ref */                  \
    X(acked) X(refused) /* by an `error` */                                                      \
    X(ahead)          /* seqs that somebody has and the store has not */

struct tallies {
#define DECLARE(name) uint64_t name;
    COUNTERS(DECLARE)
#undef DECLARE
    uint64_t last_open_ns; /* when the last one was there */
    /* From the intended moment, microseconds. `replayed`: deliveries of what was sent before the
     * connection was there again. */
    struct histogram connect, back_after, ack, delivery, replayed, send_late;
};

extern struct tallies tallies;

/* Counts one more of this reason. At most 64 different ones are kept; the rest is "other". */
void reason_add(const char *kind, const char *text, size_t size);

/* One line of JSON with all counters, reasons, CPU time; with histograms too. Microseconds. */
void tallies_print(FILE *out);

#endif
