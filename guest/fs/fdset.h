/*
 * Which descriptor numbers are in use: a growing bitmap with the lowest free number at hand. Pure logic, tested on
 * the host.
 */
#ifndef FS_FDSET_H
#define FS_FDSET_H

#include "lib/base.h"

struct fdset {
    uint64_t *used;
    size_t capacity; /* numbers that `used` covers; a multiple of 64 */
    size_t lowest;   /* no number below this one is free */
};

static inline bool fdset_test(const struct fdset *s, size_t fd)
{
    return fd < s->capacity && (s->used[fd / 64] >> (fd % 64) & 1);
}

static inline void fdset_set(struct fdset *s, size_t fd)
{
    s->used[fd / 64] |= 1ull << (fd % 64);
    if (fd == s->lowest)
        s->lowest++;
}

static inline void fdset_clear(struct fdset *s, size_t fd)
{
    s->used[fd / 64] &= ~(1ull << (fd % 64));
    if (fd < s->lowest)
        s->lowest = fd;
}

/* The lowest free number >= from; capacity if there is none. */
static inline size_t fdset_find_free(struct fdset *s, size_t from)
{
    bool whole = from <= s->lowest;
    size_t fd = whole ? s->lowest : from;

    while (fd < s->capacity) {
        uint64_t word = ~s->used[fd / 64] >> (fd % 64);

        if (word) {
            fd += (size_t)__builtin_ctzll(word);
            break;
        }
        fd = (fd / 64 + 1) * 64;
    }
    if (whole)
        s->lowest = fd;
    return fd;
}

#endif
