#define _GNU_SOURCE /* O_CLOEXEC */
#include "plan.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char **lines;
static const char *end;

static void die(const char *path, const char *what) {
    fprintf(stderr, "%s: %s\n", path, what);
    exit(2);
}

void plan_open(const char *path, uint32_t first, uint32_t count) {
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &about) < 0 || about.st_size == 0)
        die(path, "cannot be read, or is empty");
    const char *text = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (text == MAP_FAILED || !(lines = calloc((size_t)count + 1, sizeof *lines)))
        die(path, "no memory to map it");
    close(fd);
    end = text + about.st_size;
    if (end[-1] != '\n') /* then numbers end before the end of the mapping */
        die(path, "its last line has no end");
    const char *at = text;
    for (uint32_t number = 0; number < first + count; number++) {
        if (at >= end)
            die(path, "has too few lines");
        if (number >= first) {
            lines[number - first] = at;
            if (plan_of(number - first).channels < 1)
                die(path, "has a line without a token and a channel");
        }
        at = (const char *)memchr(at, '\n', (size_t)(end - at)) + 1;
    }
}

struct plan_line plan_of(uint32_t number) {
    const char *at = lines[number];
    struct plan_line line = {.token = at, .joins = true};
    while (*at != ' ' && *at != '\n')
        at++;
    line.token_size = (int)(at - line.token);
    while (*at == ' ' && isdigit((unsigned char)at[1]) && line.channels < CHANNELS_MOST) {
        char *after;
        uint32_t channel = (uint32_t)strtoul(at + 1, &after, 10);
        at = after;
        if (channel)
            line.channel[line.channels++] = channel;
        else
            line.joins = false;
    }
    return line;
}
