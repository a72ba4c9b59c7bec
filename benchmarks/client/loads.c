#include "loads.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connections.h"
#include "segments.h"

/* A load that makes no progress for this long has failed: a frame was lost, or the server hangs. */
#define STALL_NS (60ull * 1000000000u)

static int open_done, open_failed;
static unsigned *open_us;

static int compare(const void *a, const void *b) {
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    return (x > y) - (x < y);
}

double percentile_ms(unsigned *values_us, unsigned long count, double percent) {
    if (count == 0)
        return 0;
    qsort(values_us, count, sizeof *values_us, compare);
    unsigned long at = (unsigned long)(percent / 100 * (double)count);
    return values_us[at < count ? at : count - 1] / 1000.0;
}

static void count_join(struct connection *connection, bool joined) {
    if (joined)
        open_us[open_done++] = (unsigned)((now_ns() - connection->began_ns) / 1000);
    else
        open_failed++;
}

void load_open(int count, int in_flight, char *const *tokens) {
    int begun = 0, last = 0;
    uint64_t start = now_ns(), progress = start;
    open_done = open_failed = 0;
    open_us = calloc((size_t)count, sizeof *open_us);
    on_join = count_join;
    while (open_done + open_failed < count && now_ns() - progress < STALL_NS) {
        while (begun < count && begun - open_done - open_failed < in_flight) {
            connection_open(begun, tokens[begun]);
            begun++;
        }
        connections_poll(100);
        if (open_done + open_failed != last) {
            last = open_done + open_failed;
            progress = now_ns();
        }
    }
    double seconds = (double)(now_ns() - start) / 1e9;
    on_join = NULL;
    printf("{\"joined\":%d,\"failed\":%d,\"seconds\":%.6f,\"ms_p50\":%.3f,\"ms_p95\":%.3f,"
           "\"ms_p99\":%.3f}\n",
           open_done, count - open_done, seconds,
           percentile_ms(open_us, (unsigned long)open_done, 50),
           percentile_ms(open_us, (unsigned long)open_done, 95),
           percentile_ms(open_us, (unsigned long)open_done, 99));
    free(open_us);
}

void load_burst(int frames, double seconds, const char *text) {
    int count = totals.joined;
    size_t size = strlen(text), used = 0, bursts = 0, room = 1024;
    uint8_t *burst = malloc((size + 14) * (size_t)frames);
    unsigned *burst_us = malloc(room * sizeof *burst_us);
    for (int i = 0; i < frames; i++)
        used += frame_write(burst + used, OP_TEXT, text, size);
    for (int i = 0; i < count; i++)
        connections[i].messages = 0;

    struct totals before = totals;
    uint64_t segments_before = data_segments(count), each = (uint64_t)count * (uint64_t)frames;
    uint64_t start = now_ns(), now = start;
    bool stalled = false;
    while (!stalled && (double)(now - start) / 1e9 < seconds) {
        uint64_t want = before.messages + (bursts + 1) * each, seen = totals.messages;
        uint64_t sent = now, progress = now;
        connection_send(&connections[0], burst, used);
        while (totals.messages < want && !stalled) {
            connections_poll(100);
            now = now_ns();
            if (totals.messages != seen) {
                seen = totals.messages;
                progress = now;
            }
            stalled = now - progress > STALL_NS;
        }
        if (bursts == room && !(burst_us = realloc(burst_us, (room *= 2) * sizeof *burst_us)))
            abort();
        burst_us[bursts] = (unsigned)((now - sent) / 1000);
        bursts += !stalled;
    }
    double took = (double)(now - start) / 1e9;

    int uneven = 0; /* connections that lack a frame or have one too many */
    for (int i = 0; i < count; i++)
        uneven += connections[i].messages != bursts * (uint64_t)frames;
    uint64_t deliveries = totals.messages - before.messages;
    uint64_t receives = totals.receives - before.receives;
    uint64_t written = data_segments(count) - segments_before;
    printf("{\"frames\":%d,\"bursts\":%zu,\"deliveries\":%llu,\"seconds\":%.6f,\"uneven\":%d,"
           "\"stalled\":%s,\"frame_bytes\":%.1f,\"frames_per_receive\":%.3f,"
           "\"frames_per_segment\":%.3f,\"burst_ms_p50\":%.3f,\"burst_ms_p99\":%.3f,"
           "\"other_frames\":%llu}\n",
           frames, bursts, (unsigned long long)deliveries, took, uneven,
           stalled ? "true" : "false",
           deliveries ? (double)(totals.message_bytes - before.message_bytes) / (double)deliveries
                      : 0,
           receives ? (double)deliveries / (double)receives : 0,
           written ? (double)deliveries / (double)written : 0, percentile_ms(burst_us, bursts, 50),
           percentile_ms(burst_us, bursts, 99),
           (unsigned long long)(totals.others - before.others));
    free(burst);
    free(burst_us);
}
