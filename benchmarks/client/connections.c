#define _GNU_SOURCE
#include "connections.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define RECEIVE_BUFFER (256 * 1024)
#define ANSWER_LIMIT 4096
#define STANDARD_INPUT UINT32_MAX

/* RFC 6455's own example: the server's answer to it is known without computing anything. */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

struct answer {
    size_t size;
    char text[ANSWER_LIMIT];
};

struct connection *connections;
struct totals totals;
int channels = 1;
const struct dialect *dialect;
void (*on_message)(struct connection *);
void (*on_ack)(struct connection *, const struct frame *);
void (*on_join)(struct connection *, bool);

static int epoll_fd;
static int room;
static uint8_t *receive_buffer;
static struct sockaddr_in server;
static char host[64];
static const char *request_path;
static const char **tokens; /* of connections that are not joined yet */

uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void watch(int fd, uint32_t number, uint32_t events, int operation) {
    struct epoll_event event = {.events = events, .data.u32 = number};
    if (epoll_ctl(epoll_fd, operation, fd, &event) < 0)
        die("epoll_ctl");
}

void connections_start(const struct target *target, int room_for) {
    room = room_for;
    dialect = dialect_named("plain");
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)target->port);
    if (inet_pton(AF_INET, target->address, &server.sin_addr) != 1)
        die("address");
    snprintf(host, sizeof host, "%s:%d", target->address, target->port);
    request_path = target->path;
    connections = calloc((size_t)room, sizeof *connections);
    tokens = calloc((size_t)room, sizeof *tokens);
    receive_buffer = malloc(RECEIVE_BUFFER);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!connections || !tokens || !receive_buffer || epoll_fd < 0)
        die("start");
    watch(STDIN_FILENO, STANDARD_INPUT, EPOLLIN, EPOLL_CTL_ADD);
}

static void drop(struct connection *connection, bool by_server) {
    if (connection->state == CLOSED)
        return;
    bool was_joined = connection->state == JOINED;
    /* A reset, so that 10,000 closed sockets do not stay behind in TIME_WAIT. */
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(connection->fd);
    reader_reset(&connection->reader);
    free(connection->answer);
    connection->answer = NULL;
    connection->state = CLOSED;
    if (was_joined)
        totals.joined--;
    if (by_server) {
        totals.closed_by_server++;
        if (!was_joined && on_join)
            on_join(connection, false);
    }
}

void connections_close_all(void) {
    for (int i = 0; i < room; i++)
        drop(&connections[i], false);
}

void connection_open(int number, const char *token) {
    struct connection *connection = &connections[number];
    memset(connection, 0, sizeof *connection);
    connection->began_ns = now_ns();
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0)
        die("socket");
    int on = 1;
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(connection->fd, (struct sockaddr *)&server, sizeof server) < 0 &&
        errno != EINPROGRESS)
        die("connect");
    connection->state = CONNECTING;
    tokens[number] = token;
    watch(connection->fd, (uint32_t)number, EPOLLOUT, EPOLL_CTL_ADD);
}

void connection_send(struct connection *connection, const void *data, size_t size) {
    const uint8_t *at = data;
    while (size && connection->state != CLOSED) {
        ssize_t sent = send(connection->fd, at, size, MSG_NOSIGNAL);
        if (sent >= 0) {
            at += sent;
            size -= (size_t)sent;
        } else if (errno == EAGAIN) {
            struct pollfd writable = {.fd = connection->fd, .events = POLLOUT};
            poll(&writable, 1, 1000);
        } else if (errno != EINTR) {
            drop(connection, true);
        }
    }
}

static unsigned channel_of(uint32_t number) {
    return 1 + number % (unsigned)channels;
}

static void send_upgrade(struct connection *connection, uint32_t number) {
    char request[ANSWER_LIMIT], channel[12] = "";
    size_t path_size = strlen(request_path);
    bool token = dialect->token_in_upgrade;
    if (path_size && request_path[path_size - 1] == '=')
        snprintf(channel, sizeof channel, "%u", channel_of(number));
    int size = snprintf(request, sizeof request,
                        "GET %s%s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Key: " KEY "\r\n"
                        "Sec-WebSocket-Version: 13\r\n%s%s%s\r\n",
                        request_path, channel, host, token ? "Authorization: Bearer " : "",
                        token ? tokens[number] : "", token ? "\r\n" : "");
    connection->state = UPGRADING;
    watch(connection->fd, number, EPOLLIN, EPOLL_CTL_MOD);
    connection_send(connection, request, (size_t)size);
}

static void joined(struct connection *connection) {
    connection->state = JOINED;
    totals.joined++;
    if (on_join)
        on_join(connection, true);
}

static void say_back(struct connection *connection, const struct frame *frame) {
    char text[ANSWER_LIMIT];
    uint8_t out[ANSWER_LIMIT + 14];
    uint32_t number = (uint32_t)(connection - connections);
    size_t size = dialect->reply(frame, tokens[number], channel_of(number), text, sizeof text);
    if (size)
        connection_send(connection, out, frame_write(out, OP_TEXT, text, size));
}

static void on_text(struct connection *connection, const struct frame *frame) {
    switch (dialect->event_of(frame)) {
    case EVENT_MESSAGE:
        connection->messages++;
        totals.messages++;
        totals.message_bytes += frame->length;
        if (on_message)
            on_message(connection);
        return;
    case EVENT_ACK:
        if (on_ack)
            on_ack(connection, frame);
        else
            totals.others++;
        return;
    case EVENT_PING:
        totals.pings++;
        say_back(connection, frame);
        return;
    case EVENT_JOINED:
        if (connection->state == JOINING)
            joined(connection);
        break;
    case EVENT_REFUSED:
        fprintf(stderr, "refused: %.*s\n", (int)frame->started, frame->start);
        drop(connection, true);
        break;
    case EVENT_ERROR:
        if (totals.errors++ == 0)
            fprintf(stderr, "first error: %.*s\n", (int)frame->started, frame->start);
        break;
    case EVENT_OTHER:
        say_back(connection, frame);
        break;
    }
    totals.others++;
}

static void on_frame(void *owner, const struct frame *frame) {
    struct connection *connection = owner;
    uint8_t pong[FRAME_START + 14];
    if (frame->opcode == OP_PING) {
        totals.pings++;
        connection_send(connection, pong, frame_write(pong, OP_PONG, frame->start, frame->started));
    } else if (frame->opcode == OP_CLOSE) {
        drop(connection, true);
    } else if (frame->opcode == OP_TEXT) {
        on_text(connection, frame);
    } else {
        totals.others++;
    }
}

static void feed(struct connection *connection, const void *data, size_t size) {
    if (size && reader_feed(&connection->reader, data, size, on_frame, connection) < 0) {
        fprintf(stderr, "the server sent a frame that is none\n");
        drop(connection, true);
    }
}

/* The HTTP answer; what follows it in the same read is frames already. */
static void read_answer(struct connection *connection, const uint8_t *data, size_t size) {
    if (!connection->answer && !(connection->answer = calloc(1, sizeof *connection->answer)))
        die("answer");
    struct answer *answer = connection->answer;
    size_t before = answer->size;
    size_t piece = size < ANSWER_LIMIT - 1 - before ? size : ANSWER_LIMIT - 1 - before;
    memcpy(answer->text + before, data, piece);
    answer->size += piece;
    answer->text[answer->size] = 0;
    char *end = strstr(answer->text, "\r\n\r\n");
    if (!end && answer->size < ANSWER_LIMIT - 1)
        return;
    if (!end || strncmp(answer->text, "HTTP/1.1 101", 12) != 0 || !strstr(answer->text, ACCEPT)) {
        fprintf(stderr, "refused: %.60s\n", answer->text);
        drop(connection, true);
        return;
    }
    size_t used = (size_t)(end + 4 - answer->text) - before;
    free(answer);
    connection->answer = NULL;
    connection->state = JOINING;
    feed(connection, data + used, size - used);
}

static void handle(uint32_t number) {
    struct connection *connection = &connections[number];
    if (connection->state == CONNECTING) {
        send_upgrade(connection, number);
        return;
    }
    ssize_t size = recv(connection->fd, receive_buffer, RECEIVE_BUFFER, 0);
    if (size > 0) {
        totals.receives++;
        if (connection->state == UPGRADING)
            read_answer(connection, receive_buffer, (size_t)size);
        else
            feed(connection, receive_buffer, (size_t)size);
    } else if (size == 0 || (errno != EAGAIN && errno != EINTR)) {
        drop(connection, true);
    }
}

bool connections_poll(int wait_ms) {
    struct epoll_event events[512];
    bool input = false;
    int count = epoll_wait(epoll_fd, events, 512, wait_ms);
    for (int i = 0; i < count; i++) {
        if (events[i].data.u32 == STANDARD_INPUT)
            input = true;
        else if (connections[events[i].data.u32].state != CLOSED)
            handle(events[i].data.u32);
    }
    return input;
}
