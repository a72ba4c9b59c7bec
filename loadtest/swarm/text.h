/* What is looked up in a JSON text of the server without parsing it. Quotes inside of strings are
 * escaped in JSON, so `"name":` is found only where a name is. */
#ifndef SWARM_TEXT_H
#define SWARM_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What follows `"name":`, or NULL; `name` with its quotes and colon. */
const char *text_after(const char *text, size_t size, const char *name);
/* Digits at `at`, before `end`; moves `at` behind them. 0 when there are none. */
uint64_t text_number(const char **at, const char *end);
/* The number of this name, or `otherwise`. */
uint64_t text_field(const char *text, size_t size, const char *name, uint64_t otherwise);

#endif
