#include "frames.h"

#include <stdlib.h>
#include <string.h>

#define HEAD_MOST 10

void partial_add(struct partial **kept, const void *data, size_t size, size_t room) {
    uint32_t have = *kept ? (*kept)->have : 0;
    if (room < have + size)
        room = have + size;
    if (!*kept || (*kept)->room < room) {
        if (!(*kept = realloc(*kept, sizeof **kept + room)))
            abort();
        (*kept)->have = have;
        (*kept)->room = (uint32_t)room;
    }
    memcpy((*kept)->data + have, data, size);
    (*kept)->have = (uint32_t)(have + size);
}

/* Bytes of the header; 0 while too little of it is there to tell. */
static size_t head_size(const uint8_t *at, size_t have) {
    if (have < 2)
        return 0;
    size_t size = at[1] == 126 ? 4 : at[1] == 127 ? 10 : 2;
    return have < size ? 0 : size;
}

static uint64_t payload_size(const uint8_t *at) {
    uint64_t size = 0;
    if (at[1] < 126)
        return at[1];
    for (int i = 0; i < (at[1] == 126 ? 2 : 8); i++)
        size = size << 8 | at[2 + i];
    return size;
}

/* A server's frame is final (STORM never fragments), without reserved bits, and not masked. */
static bool is_proper(const uint8_t *at, size_t have) {
    return (at[0] & 0xf0) == 0x80 && (have < 2 || !(at[1] & 0x80));
}

/* Completes the kept frame as far as the new bytes go. Returns how many of them it took. */
static size_t take_kept(struct partial **kept, const uint8_t *data, size_t size, bool *complete) {
    size_t took = 0, head;
    *complete = false;
    while (!(head = head_size((*kept)->data, (*kept)->have))) {
        if (took == size)
            return took;
        partial_add(kept, data + took++, 1, HEAD_MOST);
        if (!is_proper((*kept)->data, (*kept)->have))
            return took;
    }
    uint64_t whole = head + payload_size((*kept)->data);
    if (whole > FRAME_MOST)
        return took;
    size_t lacks = (size_t)whole - (*kept)->have, piece = size - took;
    if (piece > lacks)
        piece = lacks;
    partial_add(kept, data + took, piece, (size_t)whole);
    *complete = piece == lacks;
    return took + piece;
}

bool frames_feed(struct partial **kept, const uint8_t *data, size_t size, whole_frame on_frame,
                 void (*broken)(void *owner), void *owner) {
    if (*kept && size) {
        bool complete;
        size_t took = take_kept(kept, data, size, &complete);
        struct partial *frame = *kept;
        size_t head = head_size(frame->data, frame->have);
        if (!is_proper(frame->data, frame->have) ||
            (head && payload_size(frame->data) > FRAME_MOST - head)) {
            broken(owner);
            return false;
        }
        if (!complete)
            return true;
        *kept = NULL;
        bool goes_on = on_frame(owner, frame->data[0] & 0x0f, frame->data + head,
                                frame->have - head);
        free(frame);
        if (!goes_on)
            return false;
        data += took;
        size -= took;
    }
    while (size) {
        size_t head = head_size(data, size);
        if (!is_proper(data, size) || (head && payload_size(data) > FRAME_MOST - head)) {
            broken(owner);
            return false;
        }
        size_t whole = head ? head + (size_t)payload_size(data) : 0;
        if (!head || whole > size) {
            partial_add(kept, data, size, head ? whole : HEAD_MOST);
            return true;
        }
        if (!on_frame(owner, data[0] & 0x0f, data + head, whole - head))
            return false;
        data += whole;
        size -= whole;
    }
    return true;
}
