/* Latencies in buckets that grow with the value, so that millions of them cost the same few
 * kilobytes, and histograms of several runs can be added up: 64 buckets for each doubling, which
 * makes a value at most 1.6 % larger than it was, and never smaller.
 */
#ifndef STORMLOAD_HISTOGRAM_H
#define STORMLOAD_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

#define HISTOGRAM_BUCKETS 2048 /* up to 2^36 microseconds, 19 hours */

struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t largest;
};

void histogram_add(struct histogram *histogram, uint64_t value);
/* The value that `percent` of all are not above; 0 when there are none. */
uint64_t histogram_at(const struct histogram *histogram, double percent);
/* Writes [[highest value, count], …] of the buckets that are not empty. */
void histogram_print(const struct histogram *histogram, FILE *out);

#endif
