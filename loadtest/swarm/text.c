#define _GNU_SOURCE /* memmem */
#include "text.h"

#include <string.h>

const char *text_after(const char *text, size_t size, const char *name) {
    const char *at = memmem(text, size, name, strlen(name));
    return at ? at + strlen(name) : NULL;
}

uint64_t text_number(const char **at, const char *end) {
    uint64_t value = 0;
    while (*at < end && **at >= '0' && **at <= '9')
        value = value * 10 + (uint64_t)(*(*at)++ - '0');
    return value;
}

uint64_t text_field(const char *text, size_t size, const char *name, uint64_t otherwise) {
    const char *at = text_after(text, size, name);
    return at && at < text + size && *at >= '0' && *at <= '9' ? text_number(&at, text + size)
                                                               : otherwise;
}
