/* stormload: the load client of STORM's benchmarks.
 *
 * It measures what a server does for many WebSocket clients at once, and costs so little itself
 * that one core of it keeps any server on another core busy:
 *   - upgrades: sockets opened with a bounded number in flight, each with a token of its own,
 *     finished when its `subscribed` event has arrived;
 *   - deliveries: bursts of messages into one room, closed loop, until every client has them all;
 *   - latencies: messages by the clock, open loop, counted from when each was due;
 *   - acks: senders with a window of outstanding messages each.
 *
 * usage: stormload ADDRESS PORT PATH TOKENS      (TOKENS: a file, one token a line)
 *
 * Then it reads commands, one a line, and answers each with one line of JSON, so that whoever
 * runs it can look at the server's memory and CPU time in between; it keeps answering pings
 * while it waits for the next one.
 *   open COUNT IN_FLIGHT         say FIRST COUNT TEXT         state         close
 *   burst FRAMES SECONDS TEXT    acks SENDERS WINDOW SECONDS TEXT           quit
 *   pace RATE SECONDS TEXT       (messages a second)
 *   channels COUNT               (connection n uses channel 1 + n % COUNT; before `open`)
 *   dialect plain|socketio       (how the server talks; before `open`)
 */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "connections.h"
#include "loads.h"

/* The messages of one open-loop load. */
#define MESSAGES_MOST 1000000

static char **read_tokens(const char *file, int *count) {
    FILE *in = fopen(file, "r");
    char **tokens = NULL, *line = NULL;
    size_t room = 0;
    ssize_t size;
    if (!in) {
        perror(file);
        exit(1);
    }
    while ((size = getline(&line, &room, in)) > 0) {
        line[strcspn(line, "\r\n")] = 0;
        if (!(tokens = realloc(tokens, (size_t)(*count + 1) * sizeof *tokens)))
            abort();
        tokens[(*count)++] = strdup(line);
    }
    free(line);
    fclose(in);
    return tokens;
}

static void say(int first, int count, const char *text) {
    size_t size = strlen(text);
    uint8_t *frame = malloc(size + 14);
    size_t used = frame_write(frame, OP_TEXT, text, size);
    for (int i = first; i < first + count; i++)
        connection_send(&connections[i], frame, used);
    free(frame);
    printf("{\"said\":%d}\n", count);
}

static void state(void) {
    printf("{\"joined\":%d,\"messages\":%llu,\"others\":%llu,\"errors\":%llu,\"pings\":%llu,"
           "\"closed_by_server\":%llu}\n",
           totals.joined, (unsigned long long)totals.messages, (unsigned long long)totals.others,
           (unsigned long long)totals.errors, (unsigned long long)totals.pings,
           (unsigned long long)totals.closed_by_server);
}

/* Returns false at the last command. */
static bool run(const char *line, char *const *tokens, int room) {
    int a = 0, b = 0, text = 0;
    double rate = 0, seconds = 0;
    if (sscanf(line, "open %d %d", &a, &b) == 2 && a <= room)
        load_open(a, b, tokens);
    else if (sscanf(line, "burst %d %lf %n", &a, &seconds, &text) == 2 && text && totals.joined)
        load_burst(a, seconds, line + text);
    else if (sscanf(line, "pace %lf %lf %n", &rate, &seconds, &text) == 2 && text && rate > 0 &&
             rate * seconds < MESSAGES_MOST && totals.joined)
        load_pace(rate, seconds, line + text);
    else if (sscanf(line, "acks %d %d %lf %n", &a, &b, &seconds, &text) == 3 && text && a <= room)
        load_acks(a, b, seconds, line + text);
    else if (sscanf(line, "say %d %d %n", &a, &b, &text) == 2 && text && a + b <= room)
        say(a, b, line + text);
    else if (sscanf(line, "channels %d", &a) == 1 && a > 0)
        channels = a, state();
    else if (strncmp(line, "dialect ", 8) == 0 && totals.joined == 0 && dialect_named(line + 8))
        dialect = dialect_named(line + 8), state();
    else if (strcmp(line, "state") == 0)
        state();
    else if (strcmp(line, "close") == 0)
        connections_close_all(), state();
    else if (strcmp(line, "quit") == 0)
        return false;
    else
        printf("{\"error\":\"cannot do this\"}\n");
    return true;
}

/* One line of standard input, unbuffered: stdio would hide lines from epoll. */
static bool read_line(char *line, size_t room) {
    size_t size = 0;
    while (size < room - 1 && read(STDIN_FILENO, line + size, 1) == 1) {
        if (line[size] == '\n') {
            line[size] = 0;
            return true;
        }
        size++;
    }
    return false;
}

int main(int argc, char **argv) {
    char line[4096];
    int room = 0;
    if (argc != 5) {
        fprintf(stderr, "usage: stormload ADDRESS PORT PATH TOKENS\n");
        return 2;
    }
    struct target target = {argv[1], atoi(argv[2]), argv[3]};
    char **tokens = read_tokens(argv[4], &room);
    setvbuf(stdout, NULL, _IOLBF, 0);
    connections_start(&target, room);
    do {
        while (!connections_poll(-1))
            continue;
    } while (read_line(line, sizeof line) && run(line, tokens, room));
    connections_close_all();
    return 0;
}
