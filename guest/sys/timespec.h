/* struct timespec and timeval of the app, as nanoseconds; and the clocks' deadlines. */
#ifndef SYS_TIMESPEC_H
#define SYS_TIMESPEC_H

#include "lib/base.h"

/* 0; -EFAULT; -EINVAL if negative or not normalised. Times beyond what 64 bits of ns hold become NEVER - 1. */
long timespec_read(uaddr_t addr, uint64_t *ret_ns);
long timespec_write(uaddr_t addr, uint64_t ns);
long timeval_read(uaddr_t addr, uint64_t *ret_ns);
long timeval_read_long(uaddr_t addr, uint64_t *ret_ns); /* select(2): with more microseconds than make a second */
long timeval_write(uaddr_t addr, uint64_t ns);

/* Now plus ns on CLOCK_MONOTONIC; never wraps. */
uint64_t deadline_after(uint64_t ns);

/* A point on CLOCK_REALTIME as one on CLOCK_MONOTONIC (by the offset of now); 0 if it is long past. */
uint64_t deadline_from_real(uint64_t real_ns);
uint64_t deadline_from_boot(uint64_t boot_ns);

/* How much is left of an absolute monotonic deadline; 0 if it is past. */
uint64_t time_left(uint64_t deadline_ns);

#endif
