#ifndef LIMIT_SHA1_H
#define LIMIT_SHA1_H

#include <stddef.h>

/* The Sec-WebSocket-Accept value (28 characters and a zero) for a Sec-WebSocket-Key. */
void websocket_accept(const char *key, size_t size, char out[29]);

#endif
