#include "wire.h"

#include <stdlib.h>
#include <string.h>

static size_t header_size(const uint8_t *head) {
    switch (head[1] & 0x7f) {
    case 126:
        return 4;
    case 127:
        return 10;
    default:
        return 2;
    }
}

static uint64_t payload_length(const uint8_t *head) {
    uint64_t length = head[1] & 0x7f;
    int bytes = length == 126 ? 2 : length == 127 ? 8 : 0;
    if (bytes)
        length = 0;
    for (int i = 0; i < bytes; i++)
        length = length << 8 | head[2 + i];
    return length;
}

static int is_server_frame(const uint8_t *head) {
    return (head[0] & 0x70) == 0 && (head[1] & 0x80) == 0;
}

void reader_reset(struct reader *reader) {
    free(reader->start);
    memset(reader, 0, sizeof *reader);
}

static void finish(struct reader *reader, const uint8_t *start, size_t started,
                   frame_handler on_frame, void *owner) {
    struct frame frame = {reader->head[0] & 0x0f, start, started, reader->length};
    on_frame(owner, &frame);
    reader_reset(reader);
}

/* A payload that this read does not hold whole: keep its beginning, count the rest. */
static size_t read_piece(struct reader *reader, const uint8_t *data, size_t size,
                         frame_handler on_frame, void *owner) {
    size_t piece = size < reader->left ? size : (size_t)reader->left;
    size_t room = FRAME_START - reader->started;
    size_t keep = piece < room ? piece : room;
    if (keep) {
        if (!reader->start && !(reader->start = malloc(FRAME_START)))
            abort();
        memcpy(reader->start + reader->started, data, keep);
        reader->started += (uint8_t)keep;
    }
    reader->left -= piece;
    if (reader->left == 0)
        finish(reader, reader->start, reader->started, on_frame, owner);
    return piece;
}

int reader_feed(struct reader *reader, const uint8_t *data, size_t size, frame_handler on_frame,
                void *owner) {
    const uint8_t *end = data + size;
    while (data < end) {
        if (!reader->in_payload) {
            while (reader->have < 2 || reader->have < header_size(reader->head)) {
                if (data == end)
                    return 0;
                reader->head[reader->have++] = *data++;
            }
            if (!is_server_frame(reader->head))
                return -1;
            reader->length = reader->left = payload_length(reader->head);
            reader->in_payload = 1;
        }
        size_t here = (size_t)(end - data);
        if (reader->started == 0 && reader->left == reader->length && here >= reader->length) {
            size_t length = (size_t)reader->length;
            finish(reader, data, length < FRAME_START ? length : FRAME_START, on_frame, owner);
            data += length;
        } else if (here) {
            data += read_piece(reader, data, here, on_frame, owner);
        }
    }
    return 0;
}

size_t frame_write(uint8_t *out, enum opcode opcode, const void *payload, size_t size) {
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    size_t at = 2;
    out[0] = 0x80 | (uint8_t)opcode;
    if (size < 126) {
        out[1] = 0x80 | (uint8_t)size;
    } else if (size < 65536) {
        out[1] = 0x80 | 126;
        out[at++] = (uint8_t)(size >> 8);
        out[at++] = (uint8_t)size;
    } else {
        out[1] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8)
            out[at++] = (uint8_t)((uint64_t)size >> shift);
    }
    memcpy(out + at, mask, 4);
    at += 4;
    for (size_t i = 0; i < size; i++)
        out[at + i] = ((const uint8_t *)payload)[i] ^ mask[i & 3];
    return at + size;
}
