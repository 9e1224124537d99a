/*
 * Hypercalls (hypercalls/hypercall.h). Arguments are copied from the shared page once; everything in them is the guest's.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/guest_mem.h"
#include "common/log.h"
#include "vmm/clock.h"
#include "vmm/cpu_state.h"
#include "vmm/events.h"
#include "vmm/shim_image.h"
#include "vmm/stats.h"
#include "vmm/vcpu.h"
#include "vmm/terminal.h"
#include "vmm/window.h"

#define NSEC 1000000000ull
#define PAGE 4096ull

static int64_t call_hello(struct sandbox *sb, const uint64_t *arg)
{
    (void)sb;
    return arg[0] == HYPERCALL_ABI_VERSION ? 0 : -EPROTO;
}

/* Idle: until a kick, a completion, or the deadline. The pending flag is looked at after `waiting` is set; see vcpu_kick. */
static int64_t call_wait(struct sandbox *sb, const uint64_t *arg)
{
    struct pollfd fds[] = { { .fd = sb->call_fd, .events = POLLIN }, { .fd = sb->wake_fd, .events = POLLIN } };
    struct timespec ts, *timeout = NULL;
    uint64_t now;

    if (arg[0] != UINT64_MAX) {
        uint64_t left = clock_until(arg[0]);

        ts = (struct timespec){ (time_t)(left / NSEC), (long)(left % NSEC) };
        timeout = &ts;
    }
    __atomic_store_n(&sb->waiting, 1, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&sb->vm.shared->pending, __ATOMIC_SEQ_CST))
        ppoll(fds, 2, timeout, NULL);
    __atomic_store_n(&sb->waiting, 0, __ATOMIC_SEQ_CST);
    if (fds[0].revents)
        fd_take_event(sb->call_fd);
    if (fds[1].revents)
        fd_take_event(sb->wake_fd);
    events_take_signals(sb);
    now = clock_host_mono_ns();
    if (now - sb->last_clock_ns > CLOCK_PERIOD_NS) {
        sb->last_clock_ns = now;
        clock_update(sb->vm.clock);
    }
    return 0;
}

static int64_t call_exit(struct sandbox *sb, const uint64_t *arg)
{
    const void *counts = arg[2] ? vm_ram_ptr(&sb->vm, arg[2], sizeof(sb->report)) : NULL;

    if (counts) {
        memcpy(&sb->report, counts, sizeof(sb->report));
        sb->have_report = true;
    }
    sb->ended = true;
    sb->exit_kind = arg[0];
    sb->exit_value = arg[1];
    return 0;
}

static int64_t call_deadline(struct sandbox *sb, const uint64_t *arg)
{
    struct itimerspec spec = { 0 };

    if (arg[0] != UINT64_MAX) {
        uint64_t left = clock_until(arg[0]);

        if (left / NSEC > INT32_MAX)
            return -EINVAL;
        left += left == 0; /* 0 would disarm it */
        spec.it_value = (struct timespec){ (time_t)(left / NSEC), (long)(left % NSEC) };
    }
    return timerfd_settime(sb->deadline_fd, 0, &spec, NULL) < 0 ? -errno : 0;
}

static void log_backtrace(const uint64_t *trace, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char where[128];

        shim_symbolise(trace[i], where, sizeof(where));
        log_error("  at", "%s", where);
    }
}

static int64_t call_log(struct sandbox *sb, const uint64_t *arg)
{
    uint8_t text[LOG_MAX];
    char line[LOG_MAX * 4 + 1];
    const void *p;

    if (arg[2] > LOG_MAX)
        return -EINVAL;
    p = vm_ram_ptr(&sb->vm, arg[1], arg[2]);
    if (!p)
        return -EFAULT;
    memcpy(text, p, arg[2]);
    if (arg[0] == LOG_BACKTRACE) {
        uint64_t trace[LOG_MAX / 8];

        memcpy(trace, text, arg[2] & ~7ull);
        log_backtrace(trace, arg[2] / 8);
        return 0;
    }
    if (arg[0] == LOG_PROFILE)
        return profile_log(sb, (const char *)text, arg[2]);
    if (arg[0] == LOG_STRACE) {
        size_t n = log_escape(line, sizeof(line) - 1, (const char *)text, arg[2]);

        line[n] = '\n';
        return write(sb->strace_fd, line, n + 1) < 0 ? -errno : 0;
    }
    log_escape(line, sizeof(line), (const char *)text, arg[2]);
    log_error(NULL, "%s", line);
    return 0;
}

static int64_t call_ram_grow(struct sandbox *sb, const uint64_t *arg)
{
    return vm_ram_grow(&sb->vm, arg[0]);
}

static int64_t call_discard(struct sandbox *sb, const uint64_t *arg)
{
    struct discard_range ranges[DISCARD_MAX];
    const void *p;

    if (arg[1] > DISCARD_MAX)
        return -EINVAL;
    p = vm_ram_ptr(&sb->vm, arg[0], arg[1] * sizeof(ranges[0]));
    if (!p)
        return -EFAULT;
    memcpy(ranges, p, arg[1] * sizeof(ranges[0]));
    for (uint64_t i = 0; i < arg[1]; i++) {
        void *start = vm_ram_ptr(&sb->vm, ranges[i].gpa, ranges[i].len);

        if (!start || (ranges[i].gpa | ranges[i].len) % PAGE)
            return -EINVAL;
        if (madvise(start, ranges[i].len, MADV_DONTNEED) < 0)
            return -errno;
    }
    return 0;
}

static int64_t call_map(struct sandbox *sb, const uint64_t *arg)
{
    return window_map(&sb->vm, arg[0], arg[1], arg[2], arg[3], arg[4]);
}

static int64_t call_unmap(struct sandbox *sb, const uint64_t *arg)
{
    return window_unmap(&sb->vm, arg[0], arg[1]);
}

static int64_t call_probe(struct sandbox *sb, const uint64_t *arg)
{
    return window_probe(&sb->vm, arg[0], arg[1] != 0, arg[2] != 0);
}

static int64_t call_populate(struct sandbox *sb, const uint64_t *arg)
{
    void *start = arg[1] <= POPULATE_MAX ? vm_ram_ptr(&sb->vm, arg[0], arg[1]) : NULL;

    if (!start || (arg[0] | arg[1]) % PAGE)
        return -EINVAL;
    return madvise(start, arg[1], MADV_POPULATE_WRITE) < 0 ? -errno : 0;
}

static int64_t call_load(struct sandbox *sb, const uint64_t *arg)
{
    uint64_t gpas[LOAD_MAX];
    struct iovec frames[LOAD_MAX];
    const void *list = arg[1] && arg[1] <= LOAD_MAX ? vm_ram_ptr(&sb->vm, arg[0], arg[1] * sizeof(gpas[0])) : NULL;

    if (!list)
        return -EINVAL;
    memcpy(gpas, list, arg[1] * sizeof(gpas[0]));
    for (uint64_t i = 0; i < arg[1]; i++) {
        frames[i] = (struct iovec){ vm_ram_ptr(&sb->vm, gpas[i], PAGE), PAGE };
        if (!frames[i].iov_base || gpas[i] % PAGE)
            return -EINVAL;
    }
    return window_load(arg[2], arg[3], frames, (unsigned)arg[1]);
}

/* QEMU's TCG ignores the I/O bitmap of a busy TSS; VT-x wants it busy. The shim asks for the other type when `out` faults. */
static int64_t call_tr_retry(struct sandbox *sb, const uint64_t *arg)
{
    struct kvm_sregs sregs;

    (void)arg;
    if (ioctl(sb->vm.vcpu_fd, KVM_GET_SREGS, &sregs) < 0)
        return -errno;
    sregs.tr.type = sregs.tr.type == 11 ? 9 : 11;
    return ioctl(sb->vm.vcpu_fd, KVM_SET_SREGS, &sregs) < 0 ? -errno : 0;
}

/* The app was stopped by job control: so are we, until somebody continues us. */
static int64_t call_stop(struct sandbox *sb, const uint64_t *arg)
{
    int err;

    (void)sb;
    (void)arg;
    terminal_as_before();
    err = kill(getpid(), SIGSTOP) < 0 ? -errno : 0;
    terminal_raw();
    return err;
}

typedef int64_t (*call_fn)(struct sandbox *sb, const uint64_t *arg);

static const call_fn calls[HYPERCALL_COUNT] = {
    [HYPERCALL_HELLO] = call_hello,       [HYPERCALL_WAIT] = call_wait,         [HYPERCALL_EXIT] = call_exit,
    [HYPERCALL_DEADLINE] = call_deadline, [HYPERCALL_LOG] = call_log,           [HYPERCALL_RAM_GROW] = call_ram_grow,
    [HYPERCALL_DISCARD] = call_discard,   [HYPERCALL_MAP] = call_map,           [HYPERCALL_UNMAP] = call_unmap,
    [HYPERCALL_TR_RETRY] = call_tr_retry, [HYPERCALL_STOP] = call_stop,         [HYPERCALL_PROBE] = call_probe,
    [HYPERCALL_POPULATE] = call_populate, [HYPERCALL_LOAD] = call_load,
};

void hypercall_dispatch(struct sandbox *sb, uint32_t number)
{
    struct hypercall_args *call = &sb->vm.shared->call;
    uint64_t arg[6];
    int64_t ret = -ENOSYS;

    for (unsigned i = 0; i < 6; i++)
        arg[i] = guest_fetch64(&call->arg[i]);
    if (number < HYPERCALL_COUNT && calls[number]) {
        sb->counts.hypercall[number]++;
        ret = calls[number](sb, arg);
    }
    __atomic_store_n(&call->ret, ret, __ATOMIC_RELEASE);
}
