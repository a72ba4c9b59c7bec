/* The measured loads. Each prints one line of JSON with what was seen. */
#ifndef STORMLOAD_LOADS_H
#define STORMLOAD_LOADS_H

/* Upgrades `count` connections with `in_flight` begun and not yet joined at any time. */
void load_open(int count, int in_flight, char *const *tokens);

/* Connection 0 sends `frames` messages in one write; when every connection has received all of
 * them, the next burst goes out. One burst is outstanding, never two. */
void load_burst(int frames, double seconds, const char *text);

/* Connections 0 … senders-1 keep `window` messages each outstanding, every one with a `ref` of
 * its own, and send the next when the `ack` of one arrives. */
void load_acks(int senders, int window, double seconds, const char *text);

/* Connection 0 sends `rate` messages a second by the clock, for `seconds`; latencies of all
 * deliveries, counted from when each message was due. */
void load_pace(double rate, double seconds, const char *text);

/* Sorts `values`; the value below which `percent` of them lie. */
double percentile_ms(unsigned *values_us, unsigned long count, double percent);

#endif
