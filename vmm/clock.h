/* The clock page: time for the shim and the vDSO without an exit, kept in step with the host's clocks. */
#ifndef VMM_CLOCK_H
#define VMM_CLOCK_H

#include <stdint.h>

#include "hypercalls/hypercall.h"

/* How often the page is to be renewed while the guest runs. */
#define CLOCK_PERIOD_NS 500000000ull

/* TSC frequency by KVM's word (vcpu_fd), 0 if it doesn't say. */
uint64_t clock_tsc_khz(int vcpu_fd);

/* First values. tsc_khz must not be 0. */
void clock_init(struct clock_page *page, uint64_t tsc_khz);

/*
 * Renew: the time that the guest reads goes on without a step, and its rate is set such that it meets the host's clock
 * at the next renewal. From any thread.
 */
void clock_update(struct clock_page *page);

/*
 * How long, in the host's nanoseconds, until the guest's clock shows guest_ns; 0: it does. What the guest waits for it has
 * reckoned by its own clock, which may be ahead of the host's. From any thread.
 */
uint64_t clock_until(uint64_t guest_ns);

uint64_t clock_host_mono_ns(void);

#endif
