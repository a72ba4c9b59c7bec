#include "tallies.h"

#include <string.h>
#include <sys/resource.h>

#define REASONS 64
#define REASON_SIZE 48

struct tallies tallies;

static struct {
    char text[REASON_SIZE];
    uint64_t count;
} reasons[REASONS];

void reason_add(const char *kind, const char *text, size_t size) {
    char name[REASON_SIZE];
    snprintf(name, sizeof name, "%s %.*s", kind, (int)(size < REASON_SIZE ? size : REASON_SIZE),
             text);
    for (char *at = name; *at; at++) /* it goes into JSON */
        if (*at == '"' || *at == '\\' || (unsigned char)*at < ' ' || (unsigned char)*at > '~')
            *at = '?';
    int i = 0;
    while (i < REASONS - 1 && reasons[i].count && strcmp(reasons[i].text, name) != 0)
        i++;
    strcpy(reasons[i].text, i < REASONS - 1 ? name : "other");
    reasons[i].count++;
}

static double seconds(struct timeval time) {
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void print_histogram(const char *name, const struct histogram *histogram, FILE *out) {
    fprintf(out, ",\"%s\":", name);
    histogram_print(histogram, out);
}

void tallies_print(FILE *out) {
    struct rusage usage;
    const char *comma = "";
    fputc('{', out);
#define PRINT(name) fprintf(out, "\"" #name "\":%llu,", (unsigned long long)tallies.name);
    COUNTERS(PRINT)
#undef PRINT
    fprintf(out, "\"last_open_ns\":%llu,", (unsigned long long)tallies.last_open_ns);
    getrusage(RUSAGE_SELF, &usage);
    fprintf(out, "\"user_seconds\":%.3f,\"system_seconds\":%.3f,\"reasons\":{",
            seconds(usage.ru_utime), seconds(usage.ru_stime));
    for (int i = 0; i < REASONS && reasons[i].count; i++) {
        fprintf(out, "%s\"%s\":%llu", comma, reasons[i].text, (unsigned long long)reasons[i].count);
        comma = ",";
    }
    fputs("},\"histograms\":{\"unit\":\"us\"", out);
    print_histogram("connect", &tallies.connect, out);
    print_histogram("back_after", &tallies.back_after, out);
    print_histogram("ack", &tallies.ack, out);
    print_histogram("delivery", &tallies.delivery, out);
    print_histogram("replayed", &tallies.replayed, out);
    print_histogram("send_late", &tallies.send_late, out);
    fputs("}}\n", out);
}
