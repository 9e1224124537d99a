/* The guest's clock where the processor's counter doesn't run as fast as it is said to. */
#include <criterion/criterion.h>
#include <time.h>
#include <x86intrin.h>

#include "vmm/clock.h"

#define MS 1000000ull

static struct clock_page page;

/* As the shim reads it (hypercalls/hypercall.h). */
static uint64_t shown(void)
{
    return page.mono_ns + (uint64_t)((unsigned __int128)(__rdtsc() - page.tsc) * page.mult >> 32);
}

static void rest(uint64_t ns)
{
    nanosleep(&(struct timespec){ 0, (long)ns }, NULL);
}

static uint64_t true_khz(void)
{
    uint64_t tsc = __rdtsc(), ns = clock_host_mono_ns();

    rest(100 * MS);
    return (__rdtsc() - tsc) * 1000000 / (clock_host_mono_ns() - ns);
}

/* It never steps back, goes on at the host's rate soon, and waits as long as its own reckoning says. */
static void check_stated(uint64_t khz)
{
    uint64_t last, before, host;

    clock_init(&page, khz);
    last = shown();
    for (int i = 0; i < 3; i++) {
        rest(150 * MS);
        before = shown();
        clock_update(&page);
        cr_assert_geq(before, last);
        last = shown();
        cr_assert_geq(last, before);
    }
    before = clock_until(shown() + 20 * MS);
    cr_assert(before > 10 * MS && before <= 20 * MS, "%lu", (unsigned long)before);
    cr_assert_eq(clock_until(last), 0);
    /* at the pace that was set: the host's, corrected by at most a half of it */
    before = shown();
    host = clock_host_mono_ns();
    rest(100 * MS);
    before = shown() - before;
    host = clock_host_mono_ns() - host;
    cr_assert(before > host * 4 / 10 && before < host * 16 / 10, "%lu of %lu", (unsigned long)before, (unsigned long)host);
}

Test(clock, frequency_as_stated)
{
    check_stated(true_khz());
}

Test(clock, faster_than_stated)
{
    check_stated(true_khz() / 3);
}

Test(clock, slower_than_stated)
{
    check_stated(true_khz() * 3);
}
