/* swarm: many light WebSocket users of STORM in one process.
 *
 * usage: swarm PLAN FIRST COUNT SOURCE TARGETS
 *   PLAN    a file: a line for each user, TOKEN CHANNEL CHANNEL …; lines FIRST … are this process's
 *   SOURCE  the address that connections come from; - for any
 *   TARGETS ADDRESS:PORT, several with commas between
 *
 * It reads commands, one a line, and answers each at once with one line of JSON; what a command
 * began goes on meanwhile. Moments are nanoseconds of CLOCK_MONOTONIC, 0 is now.
 *   open RATE WINDOW START       RATE a second (0: as fast as it goes), WINDOW on their way (0: any)
 *   send RATE SECONDS BURST SIZE START WEIGHT…   messages by the clock, to the 1st, 2nd, … channel
 *   retry on|off                 whether lost connections come back
 *   track on|off                 first and last delivery of each message, for few messages
 *   check FILE                   lines CHANNEL HEAD: what is below them and has not come is lost
 *   state  tracked  segments  close  quit
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "chance.h"
#include "connections.h"
#include "opening.h"
#include "sending.h"
#include "tallies.h"

#define TIMER_SLACK_NS 1000
#define IDLE_NS 1000000000ull
#define OTHER_FILES 16

uint64_t chance_state;

static bool check(const char *path) {
    FILE *in = fopen(path, "r");
    uint32_t *heads = NULL, most = 0, channel, head;
    if (!in)
        return false;
    while (fscanf(in, "%u %u", &channel, &head) == 2) {
        if (channel >= most) {
            uint32_t room = channel * 2 + 1;
            if (!(heads = realloc(heads, room * sizeof *heads)))
                abort();
            memset(heads + most, 0, (room - most) * sizeof *heads);
            most = room;
        }
        heads[channel] = head;
    }
    fclose(in);
    for (uint32_t number = 0; number < connection_count; number++)
        for (uint8_t i = 0; i < CHANNELS_MOST; i++) {
            struct subscription *to = &connections[number].subscriptions[i];
            if (!(connections[number].been_open & 1u << i) || to->channel >= most)
                continue;
            if (to->seq > heads[to->channel])
                tallies.ahead += to->seq - heads[to->channel];
            ledger_head(number, i, to, heads[to->channel]);
        }
    free(heads);
    return true;
}

static bool start_sending(const char *line) {
    struct sending wanted = {0};
    double *weights = wanted.weights;
    int got = sscanf(line, "send %lf %lf %u %u %" SCNu64 " %lf %lf %lf %lf", &wanted.rate,
                     &wanted.seconds, &wanted.burst, &wanted.size, &wanted.start_ns, &weights[0],
                     &weights[1], &weights[2], &weights[3]);
    if (!wanted.start_ns)
        wanted.start_ns = now_ns();
    return got >= 6 && sending_start(&wanted);
}

static void answer(bool well) {
    puts(well ? "{\"ok\":true}" : "{\"error\":\"cannot do this\"}");
}

/* Returns false at the last command. */
static bool run(const char *line) {
    double rate;
    uint32_t window;
    uint64_t start;
    if (sscanf(line, "open %lf %u %" SCNu64, &rate, &window, &start) == 3)
        opening_start(rate, window, start), answer(true);
    else if (strncmp(line, "send ", 5) == 0)
        answer(start_sending(line));
    else if (strncmp(line, "check ", 6) == 0)
        answer(check(line + 6));
    else if (strncmp(line, "retry ", 6) == 0)
        opening_retry(strcmp(line + 6, "on") == 0), answer(true);
    else if (strncmp(line, "track ", 6) == 0)
        sending_track(strcmp(line + 6, "on") == 0), answer(true);
    else if (strcmp(line, "state") == 0)
        tallies_print(stdout);
    else if (strcmp(line, "tracked") == 0)
        sending_print_tracked();
    else if (strcmp(line, "segments") == 0)
        printf("{\"segments\":%" PRIu64 "}\n", connections_segments());
    else if (strcmp(line, "close") == 0)
        connections_close_all(), answer(true);
    else if (strcmp(line, "quit") == 0)
        return false;
    else
        answer(false);
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

/* As many files as the connections need; what a shell allows is often only 1,024. */
static bool allow_files(uint32_t count) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return false;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max >= count + OTHER_FILES;
}

int main(int argc, char **argv) {
    char line[4096];
    int count = argc == 6 ? atoi(argv[3]) : 0;
    if (count < 1) {
        fprintf(stderr, "usage: swarm PLAN FIRST COUNT SOURCE TARGETS\n");
        return 2;
    }
    if (!allow_files((uint32_t)count)) {
        fprintf(stderr, "%d connections are more files than this process may open (ulimit -Hn)\n",
                count);
        return 2;
    }
    chance_state = now_ns() ^ (uint64_t)getpid() << 32;
    prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0);
    setvbuf(stdout, NULL, _IOLBF, 0);
    plan_open(argv[1], (uint32_t)atoi(argv[2]), (uint32_t)count);
    if (!connections_start((uint32_t)count, strcmp(argv[4], "-") ? argv[4] : NULL, argv[5])) {
        fprintf(stderr, "SOURCE is an IPv4 address or -, TARGETS are ADDRESS:PORT\n");
        return 2;
    }
    bool goes_on = true;
    uint64_t swept = now_ns();
    while (goes_on) {
        uint64_t wait = IDLE_NS, sends = sending_run(), opens = opening_run();
        wait = sends < wait ? sends : wait;
        wait = opens < wait ? opens : wait;
        if (connections_poll(wait))
            goes_on = read_line(line, sizeof line) && run(line);
        if (now_ns() - swept > IDLE_NS) {
            connections_sweep();
            swept = now_ns();
        }
    }
    connections_close_all();
    return 0;
}
