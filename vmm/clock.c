/* See clock.h. The guest's TSC is the host's (cpu_state.c sets the offset to 0). */
#include "vmm/clock.h"

#include <linux/kvm.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <time.h>
#include <x86intrin.h>

#define NSEC 1000000000ull

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    uint64_t tsc, mono_ns, mult; /* what the page says: only we write it, so our copy is the truth */
    uint64_t host_ns;            /* the host's clock at tsc */
    uint64_t rate;               /* the TSC's, measured; in units of mult */
} state;

static uint64_t now_ns(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * NSEC + (uint64_t)ts.tv_nsec;
}

uint64_t clock_host_mono_ns(void)
{
    return now_ns(CLOCK_MONOTONIC);
}

uint64_t clock_tsc_khz(int vcpu_fd)
{
    int khz = ioctl(vcpu_fd, KVM_GET_TSC_KHZ, 0);

    return khz > 0 ? (uint64_t)khz : 0;
}

/* A TSC reading and the time that belongs to it: the narrowest of a few brackets. */
static void sample(uint64_t *ret_tsc, uint64_t *ret_mono)
{
    uint64_t best = UINT64_MAX;

    for (int i = 0; i < 3; i++) {
        uint64_t before = __rdtsc(), mono = clock_host_mono_ns(), after = __rdtsc();

        if (after - before < best) {
            best = after - before;
            *ret_tsc = before + best / 2;
            *ret_mono = mono;
        }
    }
}

static void publish(struct clock_page *page)
{
    uint64_t real = now_ns(CLOCK_REALTIME), boot = now_ns(CLOCK_BOOTTIME), mono = clock_host_mono_ns();
    uint32_t seq = __atomic_load_n(&page->seq, __ATOMIC_RELAXED) | 1;

    __atomic_store_n(&page->seq, seq, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&page->tsc, state.tsc, __ATOMIC_RELAXED);
    __atomic_store_n(&page->mono_ns, state.mono_ns, __ATOMIC_RELAXED);
    __atomic_store_n(&page->mult, state.mult, __ATOMIC_RELAXED);
    __atomic_store_n(&page->real_offset_ns, real - mono, __ATOMIC_RELAXED);
    __atomic_store_n(&page->boot_offset_ns, boot - mono, __ATOMIC_RELAXED);
    __atomic_store_n(&page->seq, seq + 1, __ATOMIC_RELEASE);
}

void clock_init(struct clock_page *page, uint64_t tsc_khz)
{
    state.rate = (uint64_t)(((unsigned __int128)1000000 << 32) / tsc_khz);
    state.mult = state.rate;
    sample(&state.tsc, &state.mono_ns);
    state.host_ns = state.mono_ns;
    page->tsc_khz = tsc_khz;
    publish(page);
}

static uint64_t shown_at(uint64_t tsc)
{
    return state.mono_ns + (uint64_t)((unsigned __int128)(tsc - state.tsc) * state.mult >> 32);
}

/* Hosts whose clock isn't the TSC may be far from the frequency that they state (an emulated one by half). */
static void measure_rate(uint64_t ticks, uint64_t ns)
{
    if (ticks > 0 && ns >= CLOCK_PERIOD_NS / 4 && ns < UINT32_MAX * 100ull)
        state.rate = (uint64_t)(((unsigned __int128)ns << 32) / ticks);
}

static void renew(struct clock_page *page)
{
    uint64_t tsc, mono, shown, ticks;
    int64_t error;

    sample(&tsc, &mono);
    tsc = tsc > state.tsc ? tsc : state.tsc; /* processors whose counters differ: never a leap by the difference's wrap */
    shown = shown_at(tsc);
    measure_rate(tsc - state.tsc, mono - state.host_ns);
    error = (int64_t)(mono - shown);
    if (error > 100000000 || error < -100000000)
        shown = error > 0 ? mono : shown; /* the host slept: forward at once, never back */
    ticks = (uint64_t)(((unsigned __int128)CLOCK_PERIOD_NS << 32) / state.rate);
    error = (int64_t)(mono - shown);
    if (error > (int64_t)CLOCK_PERIOD_NS / 2)
        error = (int64_t)CLOCK_PERIOD_NS / 2;
    if (error < -(int64_t)CLOCK_PERIOD_NS / 2)
        error = -(int64_t)CLOCK_PERIOD_NS / 2;
    state.tsc = tsc;
    state.mono_ns = shown;
    state.host_ns = mono;
    state.mult = (uint64_t)(((unsigned __int128)((int64_t)CLOCK_PERIOD_NS + error) << 32) / ticks);
    publish(page);
}

uint64_t clock_until(uint64_t guest_ns)
{
    uint64_t tsc, mono, shown;

    pthread_mutex_lock(&lock);
    sample(&tsc, &mono);
    shown = shown_at(tsc > state.tsc ? tsc : state.tsc);
    pthread_mutex_unlock(&lock);
    return guest_ns > shown ? guest_ns - shown : 0;
}

void clock_update(struct clock_page *page)
{
    if (pthread_mutex_trylock(&lock))
        return; /* the other thread is at it */
    renew(page);
    pthread_mutex_unlock(&lock);
}
