/* The sockets of the load client: one epoll loop, one shared receive buffer, and for each
 * connection only what the next frame needs. Everything is measured by the callers; here frames
 * are told apart, counted, and pings answered.
 */
#ifndef STORMLOAD_CONNECTIONS_H
#define STORMLOAD_CONNECTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "dialect.h"
#include "wire.h"

enum state { CLOSED, CONNECTING, UPGRADING, JOINING, JOINED };

struct connection {
    int fd;
    enum state state;
    uint32_t messages; /* message frames received */
    struct reader reader;
    struct answer *answer; /* the HTTP answer while it is incomplete */
    uint64_t began_ns;
};

/* What all connections together have seen; callers compare snapshots. */
struct totals {
    uint64_t messages;
    uint64_t message_bytes; /* payload bytes of message frames */
    uint64_t receives;      /* recv calls that returned data */
    uint64_t others;        /* frames that are neither messages nor acks: hello, presence, … */
    uint64_t errors;        /* error events */
    uint64_t pings;
    uint64_t closed_by_server;
    int joined;
};

extern struct connection *connections;
extern struct totals totals;

/* Connection n belongs to channel 1 + n % channels: of the path too, when it ends with '='. */
extern int channels;

/* How the server talks; to be changed before connections are opened. */
extern const struct dialect *dialect;

/* Called for every message, which is counted already; NULL to only count them. */
extern void (*on_message)(struct connection *connection);
/* Called for every acknowledgement; NULL to ignore them. */
extern void (*on_ack)(struct connection *connection, const struct frame *frame);
/* Called when a connection saw its `subscribed` event, or failed before it. */
extern void (*on_join)(struct connection *connection, bool joined);

struct target {
    const char *address;
    int port;
    const char *path;
};

void connections_start(const struct target *target, int room_for);
void connection_open(int number, const char *token);
/* Sends all of it; the kernel's buffer takes it at once, or this waits. */
void connection_send(struct connection *connection, const void *data, size_t size);
void connections_close_all(void);

/* Handles whatever has happened, waiting up to `wait_ms` for it.
 * Returns true when standard input has something to read. */
bool connections_poll(int wait_ms);

uint64_t now_ns(void);

#endif
