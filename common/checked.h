/*
 * Arithmetic on sizes that somebody else chose.
 */
#ifndef COMMON_CHECKED_H
#define COMMON_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* *ret = a + b, unless it wraps: then false, and *ret is not touched. */
static inline bool checked_add(uint64_t a, uint64_t b, uint64_t *ret)
{
    uint64_t sum;

    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *ret = sum;
    return true;
}

static inline bool checked_mul(uint64_t a, uint64_t b, uint64_t *ret)
{
    uint64_t product;

    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *ret = product;
    return true;
}

/* Does [off, off + len) lie in [0, size)? */
static inline bool checked_range(uint64_t off, uint64_t len, uint64_t size)
{
    return off <= size && len <= size - off;
}

/* Round up to a power of two; false if it wraps. */
static inline bool checked_align_up(uint64_t value, uint64_t align, uint64_t *ret)
{
    uint64_t sum;

    if (!checked_add(value, align - 1, &sum))
        return false;
    *ret = sum & ~(align - 1);
    return true;
}

static inline bool is_power_of_two(uint64_t value)
{
    return value && !(value & (value - 1));
}

static inline size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

#endif
