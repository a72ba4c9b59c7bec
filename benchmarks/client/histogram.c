#include "histogram.h"

#include <stdbool.h>

/* Below 128 every value has a bucket of its own. From there on the highest seven bits choose: the
 * first of them is always set, the other six count 64 buckets. */
#define EXACT 128
#define STEPS 64

static unsigned bucket_of(uint64_t value) {
    if (value < EXACT)
        return (unsigned)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - 6;
    unsigned bucket = shift * STEPS + (unsigned)(value >> shift);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static uint64_t highest_in(unsigned bucket) {
    if (bucket < EXACT)
        return bucket;
    unsigned shift = bucket / STEPS - 1;
    return ((uint64_t)(bucket - shift * STEPS + 1) << shift) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t value) {
    histogram->buckets[bucket_of(value)]++;
    histogram->count++;
    if (value > histogram->largest)
        histogram->largest = value;
}

uint64_t histogram_at(const struct histogram *histogram, double percent) {
    double wanted = percent / 100 * (double)histogram->count;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen && (double)seen >= wanted) {
            uint64_t highest = highest_in(i);
            return highest < histogram->largest ? highest : histogram->largest;
        }
    }
    return histogram->largest;
}

void histogram_print(const struct histogram *histogram, FILE *out) {
    bool first = true;
    fputc('[', out);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        if (histogram->buckets[i]) {
            fprintf(out, "%s[%llu,%llu]", first ? "" : ",", (unsigned long long)highest_in(i),
                    (unsigned long long)histogram->buckets[i]);
            first = false;
        }
    fputc(']', out);
}
