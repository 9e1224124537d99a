/*
 * Access to memory that a guest can change at any time.
 *
 * A guest-physical address is a gpa_t until guest_mem_ptr() has checked the whole range. What is fetched
 * through the pointer is fetched once, by the helpers below, into a local, and only the local is checked and used.
 */
#ifndef COMMON_GUEST_MEM_H
#define COMMON_GUEST_MEM_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t v;
} gpa_t;

struct guest_region {
    gpa_t gpa;
    uint64_t size;
    uint8_t *host;
};

/* A small table of regions, owned by the caller. It changes only while nobody translates. */
struct guest_mem {
    const struct guest_region *regions;
    size_t region_count;
};

/* Host address of [gpa, gpa + len), or NULL if it does not lie in one region. len 0 is valid up to its end. */
void *guest_mem_ptr(const struct guest_mem *mem, gpa_t gpa, uint64_t len);

/* One load each; p is aligned. */
static inline uint16_t guest_fetch16(const uint16_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline uint32_t guest_fetch32(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline uint64_t guest_fetch64(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline uint16_t guest_fetch16_acquire(const uint16_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void guest_store16(uint16_t *p, uint16_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELAXED);
}

static inline void guest_store32(uint32_t *p, uint32_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELAXED);
}

static inline void guest_store16_release(uint16_t *p, uint16_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
}

#endif
