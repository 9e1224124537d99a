/*
 * The vCPU thread: runs the guest, answers its exits, and is kicked by the event thread.
 */
#ifndef VMM_VCPU_H
#define VMM_VCPU_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/options.h"
#include "vmm/vm.h"

/* What KVM_RUN returned for, counted for --report. */
struct exit_counts {
    uint64_t doorbell;
    uint64_t total, io, mmio, interrupted, diverted, queued, recovered, other;
    uint64_t hypercall[HYPERCALL_COUNT];
};

#define PROFILE_PERIOD_NS 1000000u /* --profile takes a sample that often */

struct sandbox {
    struct vm vm;
    const struct options *opt;

    /* set up before the threads start */
    int wake_fd;      /* eventfd: ends a WAIT */
    int call_fd;      /* eventfd of the gofer: a completion while the guest idles */
    int doorbell_fd;  /* eventfd of the gofer: a request waits in the ring */
    int kick_fd;      /* eventfd of the gofer: a completion while the guest computes */
    int deadline_fd;  /* timerfd: HYPERCALL_DEADLINE */
    int control_fd;   /* to the gofer */
    int log_fd;       /* stderr */
    int strace_fd;
    int profile_fd;   /* --profile, or -1 */
    int gofer_pidfd;
    pthread_t vcpu_thread;
    int vcpu_tid;

    /* vCPU thread <-> event thread, atomics */
    uint32_t waiting;     /* the vCPU thread is in WAIT */
    uint32_t profile_due; /* the next kick takes a sample */
    uint32_t timed_out;   /* --timeout or --cpu-time struck: 1 or 2 */
    uint32_t kick_round;  /* how often the pending bits became other than 0 */

    /* vCPU thread */
    unsigned tss_type;
    bool ended;
    uint64_t exit_kind, exit_value;
    uint64_t last_clock_ns;
    struct {
        uint64_t rip, since_ns; /* of CPU time */
        uint32_t round;
    } hidden;             /* where a breakpoint may be queued */
    struct exit_counts counts;
    struct guest_report report;
    bool have_report;
    uint64_t start_ns;
    uint64_t phase_ns[8];
};

/* Run until the guest ends. Returns the exit status of vmm. */
int vcpu_run(struct sandbox *sb);

/* Set bits of shared_page.pending and make the guest look at them soon. From any thread. */
void vcpu_kick(struct sandbox *sb, uint32_t pending);

/* Install the kick signal's handler; before any thread starts. */
void vcpu_init_signal(struct sandbox *sb);

/* hypercall.c: answer the call in the shared page. Sets sb->ended on EXIT. */
void hypercall_dispatch(struct sandbox *sb, uint32_t number);

#endif
