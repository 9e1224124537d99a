/*
 * The event thread: turns what happens on the host (signals, completions while the guest computes, timers, the gofer's
 * notes and its death) into pending bits and kicks.
 */
#ifndef VMM_EVENTS_H
#define VMM_EVENTS_H

#include "vmm/vcpu.h"

/*
 * Block the host signals that belong to the app (call before any thread starts), so that the event thread takes
 * them from a signalfd.
 */
void events_block_signals(void);

/* Start the thread. 0 or -errno. */
int events_start(struct sandbox *sb);

/*
 * For the vCPU thread, when it comes back from waiting: what was sent to us before, say, stdin was closed must not be
 * overtaken by that on its way through the event thread.
 */
void events_take_signals(struct sandbox *sb);

/* Kick the vCPU in ns from now on, without a bit of its own. */
void events_kick_later(uint64_t ns);

/* The gofer died in mid-run (for the exit status). */
bool events_gofer_died(void);

#endif
