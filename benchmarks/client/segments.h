#ifndef STORMLOAD_SEGMENTS_H
#define STORMLOAD_SEGMENTS_H

#include <stdint.h>

/* TCP segments with data that the first `count` connections have received. On loopback a write
 * of the server arrives as a segment of its own, so this tells how many frames the server put
 * into one write; frames per recv also counts what merely waited together to be read. */
uint64_t data_segments(int count);

#endif
