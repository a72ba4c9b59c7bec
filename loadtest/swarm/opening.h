/* When connections are opened: the first time by the clock or as a window allows, then after each
 * loss by the server's wish or with backoff and full jitter.
 */
#ifndef SWARM_OPENING_H
#define SWARM_OPENING_H

#include <stdbool.h>
#include <stdint.h>

/* All connections, `rate` a second from `start_ns` on (0: as fast as the window goes), at most
 * `window` of them on their way (0: any number). */
void opening_start(double rate, uint32_t window, uint64_t start_ns);
/* Whether connections that were refused or lost come again. On at first. */
void opening_retry(bool on);
/* A connection that was lost just now; `delay_ms` 0: the backoff decides. */
void opening_again(uint32_t number, uint8_t failures, uint64_t delay_ms);
void opening_stop(void);
/* Begins what is due, some at a time. Returns nanoseconds until there is more to do. */
uint64_t opening_run(void);

#endif
