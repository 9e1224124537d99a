/* Time from the TSC and the vmm's clock page (hypercalls/hypercall.h says how). */
#include "arch/cpu.h"

static const struct clock_page *clock_page(void)
{
    return (const struct clock_page *)(DIRECT_BASE + GPA_CLOCK);
}

/* Read one offset together with the time, consistently. */
static uint64_t clock_read(const uint64_t *offset)
{
    const struct clock_page *c = clock_page();

    for (;;) {
        uint32_t seq = __atomic_load_n(&c->seq, __ATOMIC_ACQUIRE);
        uint64_t tsc = rdtsc(), base = READ_ONCE(c->tsc), ns;

        ns = READ_ONCE(c->mono_ns) + (offset ? READ_ONCE(*offset) : 0);
        if (tsc > base)
            ns += (uint64_t)((unsigned __int128)(tsc - base) * READ_ONCE(c->mult) >> 32);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (!(seq & 1) && seq == READ_ONCE(c->seq))
            return ns;
        cpu_relax();
    }
}

uint64_t clock_mono_ns(void)
{
    return clock_read(NULL);
}

uint64_t clock_real_ns(void)
{
    return clock_read(&clock_page()->real_offset_ns);
}

uint64_t clock_boot_ns(void)
{
    return clock_read(&clock_page()->boot_offset_ns);
}
