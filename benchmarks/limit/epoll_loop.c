/* The limit: what one core and this kernel can do when nothing is left to leave out.
 *
 * A bare epoll loop that upgrades every connection without looking at its token, and sends what
 * one connection said to all of them: one send per connection, on blocking sockets, one after the
 * other. No JSON, no accounts, no store, no timers, no slow readers. The frames it sends have the
 * same fields and size as everybody else's, so the bytes on the wire are the same. Messages that
 * arrive together leave together, in one send per connection.
 *
 * usage: epoll_loop PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sha1.h"

#define BUFFER (256 * 1024)
#define FILES 65536

struct client {
    char *held; /* bytes of an incomplete request or frame, else NULL */
    size_t size;
    int upgraded;
};

static struct client *clients[FILES];
static int room[FILES], in_room; /* the sockets of all upgraded clients */
static int epoll_fd;
static unsigned long seq;
static uint8_t received[BUFFER + 1], burst[BUFFER * 2];
static size_t burst_size;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static size_t frame_header(uint8_t *out, size_t size) {
    out[0] = 0x81;
    if (size < 126) {
        out[1] = (uint8_t)size;
        return 2;
    }
    out[1] = 126;
    out[2] = (uint8_t)(size >> 8);
    out[3] = (uint8_t)size;
    return 4;
}

static void drop(int fd) {
    for (int i = 0; clients[fd]->upgraded && i < in_room; i++)
        if (room[i] == fd) {
            room[i] = room[--in_room];
            break;
        }
    free(clients[fd]->held);
    free(clients[fd]);
    clients[fd] = NULL;
    close(fd);
}

static void accept_all(int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (fd >= FILES || !(clients[fd] = calloc(1, sizeof **clients)) ||
            epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
            die("client");
    }
}

/* The upgrade and the `subscribed` event leave in one send. Returns the bytes used. */
static size_t upgrade(int fd, char *request) {
    static const char name[] = "Sec-WebSocket-Key: ";
    char *end = strstr(request, "\r\n\r\n"), *key = strstr(request, name);
    char accept[29], answer[512], event[96];
    if (!end || !key || key > end)
        return 0;
    key += sizeof name - 1;
    websocket_accept(key, strcspn(key, "\r"), accept);
    int size = snprintf(answer, sizeof answer,
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                        accept);
    int length = snprintf(event, sizeof event,
                          "{\"type\":\"subscribed\",\"channel_id\":1,\"head\":%lu}", seq);
    size += (int)frame_header((uint8_t *)answer + size, (size_t)length);
    memcpy(answer + size, event, (size_t)length);
    clients[fd]->upgraded = 1;
    room[in_room++] = fd;
    send(fd, answer, (size_t)(size + length), MSG_NOSIGNAL);
    return (size_t)(end + 4 - request);
}

/* Adds what the others see of one message: its own fields, then the author, number and time. */
static void add_to_burst(int fd, const uint8_t *text, size_t size) {
    char fields[128];
    int more = snprintf(fields, sizeof fields,
                        ",\"user_id\":\"user-%05d\",\"id\":%lu,\"seq\":%lu,"
                        "\"sent_at\":\"2025-01-01T00:00:00.000Z\"}",
                        fd, seq + 1, seq + 1);
    size_t total = size - 1 + (size_t)more;
    seq++;
    if (size < 2 || burst_size + total + 4 > sizeof burst)
        return;
    burst_size += frame_header(burst + burst_size, total);
    memcpy(burst + burst_size, text, size - 1); /* without the closing brace */
    memcpy(burst + burst_size + size - 1, fields, (size_t)more);
    burst_size += total;
}

/* Takes one frame off the front of `data`. Returns the bytes used, 0 if it is not whole yet. */
static size_t read_frame(int fd, uint8_t *data, size_t size, int *closed) {
    size_t length = size < 2 ? 0 : data[1] & 0x7f, at = length == 126 ? 4 : 2;
    if (size < at + 4)
        return 0;
    if (length == 127) /* no client of ours sends 64 KiB */
        *closed = 1;
    if (length == 126)
        length = (size_t)data[2] << 8 | data[3];
    if (size < at + 4 + length)
        return 0;
    uint8_t *mask = data + at, *text = data + at + 4;
    for (size_t i = 0; i < length; i++)
        text[i] ^= mask[i & 3];
    if ((data[0] & 0x0f) == 1)
        add_to_burst(fd, text, length);
    else if ((data[0] & 0x0f) == 8)
        *closed = 1;
    return at + 4 + length;
}

static void send_burst(void) {
    for (int i = 0; burst_size && i < in_room; i++)
        send(room[i], burst, burst_size, MSG_NOSIGNAL);
    burst_size = 0;
}

static void receive(int fd) {
    struct client *client = clients[fd];
    size_t size = client->size, used = 0, step;
    int closed = 0;
    if (size)
        memcpy(received, client->held, size);
    ssize_t more = recv(fd, received + size, BUFFER - size, MSG_DONTWAIT);
    if (more <= 0) {
        if (more == 0 || errno != EAGAIN)
            drop(fd);
        return;
    }
    size += (size_t)more;
    received[size] = 0;
    do {
        step = client->upgraded ? read_frame(fd, received + used, size - used, &closed)
                                : upgrade(fd, (char *)received + used);
        used += step;
    } while (step && used < size && !closed);
    free(client->held);
    client->held = NULL;
    client->size = size - used;
    if (client->size) {
        if (!(client->held = malloc(client->size)))
            die("held");
        memcpy(client->held, received + used, client->size);
    }
    send_burst();
    if (closed)
        drop(fd);
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct epoll_event events[512];
    int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (argc != 2)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listener, 2048) < 0 || (epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0)
        die("listen");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(epoll_fd, events, 512, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                accept_all(listener);
            else if (clients[events[i].data.fd])
                receive(events[i].data.fd);
        }
    }
}
