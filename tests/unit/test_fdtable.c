/* Numbers of descriptors (guest/fs/fdset.h): always the lowest free one. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "fs/fdset.h"

#define CAPACITY 256

static uint64_t words[CAPACITY / 64];

static struct fdset empty(void)
{
    memset(words, 0, sizeof(words));
    return (struct fdset){ .used = words, .capacity = CAPACITY };
}

Test(fdset, lowest_first)
{
    struct fdset s = empty();

    for (size_t i = 0; i < CAPACITY; i++) {
        cr_assert_eq(fdset_find_free(&s, 0), i);
        fdset_set(&s, i);
    }
    cr_assert_eq(fdset_find_free(&s, 0), CAPACITY, "a full set has no free number");
    fdset_clear(&s, 200);
    fdset_clear(&s, 3);
    cr_assert_eq(fdset_find_free(&s, 0), 3);
    cr_assert_eq(fdset_find_free(&s, 4), 200);
}

Test(fdset, from)
{
    struct fdset s = empty();

    fdset_set(&s, 0);
    fdset_set(&s, 10);
    cr_assert_eq(fdset_find_free(&s, 10), 11);
    cr_assert_eq(fdset_find_free(&s, 63), 63);
    fdset_set(&s, 63);
    cr_assert_eq(fdset_find_free(&s, 63), 64);
    cr_assert_eq(fdset_find_free(&s, 0), 1, "a search from above must not move the lowest");
    cr_assert_eq(fdset_find_free(&s, CAPACITY), CAPACITY);
    cr_assert_eq(fdset_find_free(&s, CAPACITY + 7), CAPACITY + 7, "beyond what is covered everything is free");
}

/* Against a plain array, with the operations in a fixed pseudo-random order. */
Test(fdset, same_as_array)
{
    struct fdset s = empty();
    bool model[CAPACITY] = { false };
    uint32_t seed = 1;

    for (int step = 0; step < 100000; step++) {
        size_t fd, from, want;

        seed = seed * 1664525u + 1013904223u;
        fd = seed >> 8 & (CAPACITY - 1);
        from = seed >> 3 & 7 ? 0 : fd;
        for (want = from; want < CAPACITY && model[want]; want++)
            ;
        cr_assert_eq(fdset_find_free(&s, from), want, "step %d", step);
        cr_assert_eq(fdset_test(&s, fd), model[fd]);
        if (seed >> 28 < 9 && want < CAPACITY) {
            fdset_set(&s, want);
            model[want] = true;
        } else if (model[fd]) {
            fdset_clear(&s, fd);
            model[fd] = false;
        }
    }
}
