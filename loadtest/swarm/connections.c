#define _GNU_SOURCE
#include "connections.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h> /* glibc's own tcp_info ends before the segment counters */
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "opening.h"
#include "tallies.h"

#define RECEIVE_BUFFER (256 * 1024)
#define EVENTS_AT_ONCE 128
#define TARGETS_MOST 64
#define STANDARD_INPUT UINT32_MAX
#define OPENING_MOST_MS 60000u
#define WRITE_WAIT_MS 200
#define SOURCES 8 /* addresses of this process, from `source` on */

struct connection *connections;
uint32_t connection_count;
uint64_t received_ns;

static int epoll_fd;
static uint8_t *receive_buffer;
static struct sockaddr_in source, targets[TARGETS_MOST];
static uint32_t target_count, begun;
static uint64_t base_ns;

uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint32_t ms_of(uint64_t moment_ns) {
    return moment_ns <= base_ns ? 1 : (uint32_t)((moment_ns - base_ns) / 1000000) + 1;
}

static void watch(int fd, uint32_t number, uint32_t events, int operation) {
    struct epoll_event event = {.events = events, .data.u32 = number};
    if (epoll_ctl(epoll_fd, operation, fd, &event) < 0) {
        perror("epoll_ctl");
        exit(1);
    }
}

static bool read_targets(const char *text) {
    while (*text && target_count < TARGETS_MOST) {
        char one[64];
        size_t size = strcspn(text, ",");
        const char *colon = memchr(text, ':', size);
        struct sockaddr_in *target = &targets[target_count];
        if (!colon || size >= sizeof one)
            return false;
        memcpy(one, text, size);
        one[size] = 0;
        upgrade_host(target_count++, one);
        one[colon - text] = 0;
        target->sin_family = AF_INET;
        target->sin_port = htons((uint16_t)atoi(one + (colon - text) + 1));
        if (inet_pton(AF_INET, one, &target->sin_addr) != 1)
            return false;
        text += size + (text[size] == ',');
    }
    return target_count > 0 && !*text;
}

bool connections_start(uint32_t count, const char *from, const char *to) {
    connection_count = count;
    base_ns = now_ns();
    source.sin_family = AF_INET;
    if ((from && inet_pton(AF_INET, from, &source.sin_addr) != 1) || !read_targets(to))
        return false;
    size_t size = (size_t)count * sizeof *connections;
    connections = aligned_alloc(sizeof *connections, size);
    receive_buffer = malloc(RECEIVE_BUFFER);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!connections || !receive_buffer || epoll_fd < 0) {
        perror("start");
        exit(1);
    }
    memset(connections, 0, size);
    for (uint32_t number = 0; number < count; number++) {
        struct plan_line line = plan_of(number);
        for (int i = 0; i < line.channels; i++)
            connections[number].subscriptions[i].channel = line.channel[i];
    }
    watch(STDIN_FILENO, STANDARD_INPUT, EPOLLIN, EPOLL_CTL_ADD);
    return true;
}

static void forget(struct connection *connection) {
    /* A reset, so that closed sockets do not keep their ports in TIME_WAIT. */
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(connection->fd);
    free(connection->kept);
    connection->kept = NULL;
    if (connection->state == OPEN)
        tallies.open--;
    else
        tallies.opening--;
    connection->state = CLOSED;
}

void connection_lost_until(struct connection *connection, const char *kind, const char *text,
                           size_t size, uint64_t delay_ms) {
    if (connection->state == CLOSED)
        return;
    uint64_t now = now_ns();
    if (connection->state == OPEN) {
        tallies.closes++;
        connection->began_ns = now;
    }
    reason_add(kind, text, size);
    if (connection->away_ms && !delay_ms)
        delay_ms = connection->away_ms > ms_of(now) ? connection->away_ms - ms_of(now) : 1;
    connection->away_ms = 0;
    forget(connection);
    uint32_t number = (uint32_t)(connection - connections);
    opening_again(number, connection->failures, delay_ms);
    if (connection->failures < UINT8_MAX)
        connection->failures++;
}

void connection_lost(struct connection *connection, const char *kind, const char *text,
                     size_t size) {
    connection_lost_until(connection, kind, text, size, 0);
}

static void lost_errno(struct connection *connection, const char *kind) {
    const char *name = strerrorname_np(errno);
    connection_lost(connection, kind, name ? name : "?", name ? strlen(name) : 1);
}

void connection_begin(uint32_t number, uint64_t began_ns) {
    struct connection *connection = &connections[number];
    int on = 1;
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0) {
        perror("socket");
        exit(1);
    }
    connection->began_ns = began_ns;
    connection->at_ms = ms_of(now_ns());
    connection->state = CONNECTING;
    tallies.opening++;
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (source.sin_addr.s_addr) {
        /* The port is chosen at connect, when the other end is known. Of several addresses, because
         * one that has little more than enough ports gives who returns the port that became free:
         * nodes that share an address are chosen by the ports, so everybody whose node has died
         * would come to the same two of the others. */
        struct sockaddr_in from = source;
        from.sin_addr.s_addr = htonl(ntohl(source.sin_addr.s_addr) + begun++ % SOURCES);
        setsockopt(connection->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        if (bind(connection->fd, (struct sockaddr *)&from, sizeof from) < 0) {
            lost_errno(connection, "bind");
            return;
        }
    }
    struct sockaddr_in *target = &targets[(number + connection->failures) % target_count];
    if (connect(connection->fd, (struct sockaddr *)target, sizeof *target) < 0 &&
        errno != EINPROGRESS) {
        lost_errno(connection, "connect");
        return;
    }
    watch(connection->fd, number, EPOLLOUT, EPOLL_CTL_ADD);
}

bool connection_write(struct connection *connection, const void *data, size_t size) {
    const uint8_t *at = data;
    while (size) {
        ssize_t sent = send(connection->fd, at, size, MSG_NOSIGNAL);
        if (sent >= 0) {
            at += sent;
            size -= (size_t)sent;
            continue;
        }
        struct pollfd writable = {.fd = connection->fd, .events = POLLOUT};
        if (errno != EINTR && (errno != EAGAIN || poll(&writable, 1, WRITE_WAIT_MS) != 1)) {
            lost_errno(connection, "write");
            return false;
        }
    }
    return true;
}

void connections_close_all(void) {
    opening_stop();
    for (uint32_t i = 0; i < connection_count; i++)
        if (connections[i].state != CLOSED)
            forget(&connections[i]);
}

void connections_sweep(void) {
    uint32_t now = ms_of(now_ns());
    for (uint32_t i = 0; i < connection_count; i++)
        if (connections[i].state != CLOSED && connections[i].state != OPEN &&
            now - connections[i].at_ms > OPENING_MOST_MS)
            connection_lost(&connections[i], "timeout", "opening", 7);
}

static void broken(void *owner) {
    connection_lost(owner, "protocol", "no frame of a server", 20);
}

static void connected(struct connection *connection, uint32_t number) {
    socklen_t size = sizeof errno;
    int error = 0;
    getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if ((errno = error)) {
        lost_errno(connection, "connect");
        return;
    }
    connection->state = UPGRADING;
    watch(connection->fd, number, EPOLLIN, EPOLL_CTL_MOD);
    upgrade_send(connection);
}

static void handle(uint32_t number) {
    struct connection *connection = &connections[number];
    if (connection->state == CONNECTING) {
        connected(connection, number);
        return;
    }
    ssize_t size = recv(connection->fd, receive_buffer, RECEIVE_BUFFER, 0);
    if (size <= 0) {
        if (size == 0)
            connection_lost(connection, "ended", "without a close frame", 21);
        else if (errno != EAGAIN && errno != EINTR)
            lost_errno(connection, "read");
        return;
    }
    const uint8_t *data = receive_buffer;
    received_ns = now_ns();
    tallies.receives++;
    tallies.bytes += (uint64_t)size;
    if (connection->state == UPGRADING) {
        long used = upgrade_read(connection, data, (size_t)size);
        if (used < 0)
            return;
        data += used;
        size -= used;
    }
    frames_feed(&connection->kept, data, (size_t)size, event_take, broken, connection);
}

bool connections_poll(uint64_t wait_ns) {
    struct epoll_event events[EVENTS_AT_ONCE];
    struct timespec wait = {(time_t)(wait_ns / 1000000000), (long)(wait_ns % 1000000000)};
    bool input = false;
    int count = epoll_pwait2(epoll_fd, events, EVENTS_AT_ONCE, &wait, NULL);
    if (count < 0 && errno == ENOSYS) /* an old kernel knows milliseconds only */
        count = epoll_wait(epoll_fd, events, EVENTS_AT_ONCE, (int)(wait_ns / 1000000));
    for (int i = 0; i < count; i++) {
        if (events[i].data.u32 == STANDARD_INPUT)
            input = true;
        else if (connections[events[i].data.u32].state != CLOSED)
            handle(events[i].data.u32);
    }
    return input;
}

uint64_t connections_segments(void) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < connection_count; i++) {
        struct tcp_info info;
        socklen_t size = sizeof info;
        memset(&info, 0, sizeof info);
        if (connections[i].state == OPEN &&
            getsockopt(connections[i].fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0)
            sum += info.tcpi_data_segs_in;
    }
    return sum;
}
