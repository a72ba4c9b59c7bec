/* Who the connections of this process are: a file with a line for each,
 *     TOKEN CHANNEL CHANNEL …
 * The first channel is joined by the URL, the others are subscribed to. With 0 for the first none
 * is joined: a member of all of them. The file stays mapped:
 * tokens are needed again at every reconnection, and 100,000 of them are 20 MB that all processes
 * share.
 */
#ifndef SWARM_PLAN_H
#define SWARM_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#define CHANNELS_MOST 4 /* of one connection */

struct plan_line {
    const char *token;
    int token_size;
    bool joins; /* the first channel */
    int channels;
    uint32_t channel[CHANNELS_MOST];
};

/* The lines first … first + count - 1. Ends the program with a message when it cannot be read. */
void plan_open(const char *path, uint32_t first, uint32_t count);
struct plan_line plan_of(uint32_t number);

#endif
