/* See events.h. */
#include "vmm/events.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/log.h"
#include "common/thread.h"
#include "vmm/clock.h"
#include "vmm/launch.h"
#include "vmm/terminal.h"
#include "vmm/window.h"

#define NSEC 1000000000ull

/* How long the shim gets to end the app after a time limit before the vmm ends without it. */
#define GRACE_NS (2 * NSEC)

static const int app_signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGTSTP, SIGCONT, SIGWINCH };

enum timer { TIMER_CLOCK, TIMER_TIMEOUT, TIMER_CPU, TIMER_DEBUG, TIMER_PROFILE, TIMER_AGAIN, TIMER_COUNT };

static int signal_fd = -1;
static int timer_fds[TIMER_COUNT];
static bool gofer_died;
static uint64_t grace_end;

bool events_gofer_died(void)
{
    return __atomic_load_n(&gofer_died, __ATOMIC_RELAXED);
}

static void app_signal_set(sigset_t *set)
{
    sigemptyset(set);
    for (size_t i = 0; i < sizeof(app_signals) / sizeof(app_signals[0]); i++)
        sigaddset(set, app_signals[i]);
}

void events_block_signals(void)
{
    sigset_t set;

    app_signal_set(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void set_timer(int fd, uint64_t first_ns, uint64_t period_ns)
{
    struct itimerspec spec = {
        .it_value = { (time_t)(first_ns / NSEC), (long)(first_ns % NSEC) },
        .it_interval = { (time_t)(period_ns / NSEC), (long)(period_ns % NSEC) },
    };

    timerfd_settime(fd, 0, &spec, NULL);
}

void events_kick_later(uint64_t ns)
{
    set_timer(timer_fds[TIMER_AGAIN], ns, 0);
}

/* What the signalfd has goes to the shared page. False: there was nothing. */
static bool take_signals(struct sandbox *sb)
{
    struct signalfd_siginfo info;
    bool any = false;

    while (read(signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        __atomic_fetch_or(&sb->vm.shared->host_signals, 1ull << (info.ssi_signo - 1), __ATOMIC_SEQ_CST);
        any = true;
    }
    return any;
}

void events_take_signals(struct sandbox *sb)
{
    if (take_signals(sb))
        __atomic_fetch_or(&sb->vm.shared->pending, PENDING_SIGNAL, __ATOMIC_SEQ_CST);
}

static void end_for_time(struct sandbox *sb, uint32_t why)
{
    uint32_t none = 0;

    if (!__atomic_compare_exchange_n(&sb->timed_out, &none, why, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        return;
    grace_end = clock_host_mono_ns() + GRACE_NS;
    set_timer(timer_fds[TIMER_TIMEOUT], GRACE_NS, 0);
    vcpu_kick(sb, PENDING_TIMEOUT);
}

/* Processor time of the vCPU thread; looked at again when it could be used up at the earliest. */
static void check_cpu_time(struct sandbox *sb)
{
    struct timespec ts = { 0 };
    clockid_t clock;
    uint64_t used;

    if (pthread_getcpuclockid(sb->vcpu_thread, &clock) || clock_gettime(clock, &ts) < 0)
        return;
    used = (uint64_t)ts.tv_sec * NSEC + (uint64_t)ts.tv_nsec;
    if (used >= sb->opt->cpu_time_ns)
        end_for_time(sb, 2);
    else
        set_timer(timer_fds[TIMER_CPU], sb->opt->cpu_time_ns - used, 0);
}

static void take_timer(struct sandbox *sb, enum timer which)
{
    fd_take_event(timer_fds[which]);
    switch (which) {
    case TIMER_CLOCK:
        if (!__atomic_load_n(&sb->waiting, __ATOMIC_RELAXED))
            clock_update(sb->vm.clock);
        break;
    case TIMER_TIMEOUT:
        if (__atomic_load_n(&sb->timed_out, __ATOMIC_RELAXED)) {
            terminal_end();
            log_error("app", "did not end when its time was over");
            _exit(128 + SIGKILL);
        }
        end_for_time(sb, 1);
        break;
    case TIMER_CPU:
        check_cpu_time(sb);
        break;
    case TIMER_DEBUG:
        vcpu_kick(sb, PENDING_COMPLETION);
        break;
    case TIMER_PROFILE:
        if (__atomic_load_n(&sb->waiting, __ATOMIC_RELAXED))
            break;
        __atomic_store_n(&sb->profile_due, 1, __ATOMIC_RELEASE);
        vcpu_kick(sb, 0);
        break;
    case TIMER_AGAIN:
        vcpu_kick(sb, 0);
        break;
    case TIMER_COUNT:
        break;
    }
}

/*
 * Notes of the gofer. We don't wait for its READY: it looks at the ring only when it is jailed, and until then the guest's first
 * requests lie there.
 */
static bool take_notes(void)
{
    struct gofer_note note;
    int err = window_drain(&note);

    if (note.type == GOFER_NOTE_FAILED) {
        note.text[sizeof(note.text) - 1] = '\0';
        terminal_end();
        log_error(NULL, "%s", note.text);
        _exit(STATUS_VMM_ERROR);
    }
    return err == 0;
}

static void gofer_gone(struct sandbox *sb)
{
    __atomic_store_n(&gofer_died, true, __ATOMIC_RELAXED);
    vcpu_kick(sb, PENDING_GOFER_DEAD);
}

static void *event_loop(void *arg)
{
    struct sandbox *sb = arg;
    struct pollfd fds[4 + TIMER_COUNT] = {
        { .fd = signal_fd, .events = POLLIN },
        { .fd = sb->kick_fd, .events = POLLIN },
        { .fd = sb->deadline_fd, .events = POLLIN },
        { .fd = sb->control_fd, .events = POLLIN },
    };

    /* Filters are per thread: this one was started before the vCPU's thread installs its own. */
    if (launch_filter_thread() < 0)
        _exit(STATUS_VMM_ERROR);
    for (int i = 0; i < TIMER_COUNT; i++)
        fds[4 + i] = (struct pollfd){ .fd = timer_fds[i], .events = POLLIN };
    for (;;) {
        if (ppoll(fds, 4 + TIMER_COUNT, NULL, NULL) < 0)
            continue;
        if (fds[0].revents && take_signals(sb))
            vcpu_kick(sb, PENDING_SIGNAL);
        if (fds[1].revents) {
            fd_take_event(sb->kick_fd);
            vcpu_kick(sb, PENDING_COMPLETION);
        }
        if (fds[2].revents) {
            fd_take_event(sb->deadline_fd);
            vcpu_kick(sb, PENDING_DEADLINE);
        }
        if (fds[3].revents && !take_notes()) {
            gofer_gone(sb);
            fds[3].fd = -1;
        }
        for (int i = 0; i < TIMER_COUNT; i++)
            if (fds[4 + i].revents)
                take_timer(sb, (enum timer)i);
    }
    return NULL;
}

int events_start(struct sandbox *sb)
{
    pthread_t thread;
    sigset_t set;

    app_signal_set(&set);
    signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signal_fd < 0)
        return -errno;
    for (int i = 0; i < TIMER_COUNT; i++) {
        timer_fds[i] = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (timer_fds[i] < 0)
            return -errno;
    }
    set_timer(timer_fds[TIMER_CLOCK], CLOCK_PERIOD_NS, CLOCK_PERIOD_NS);
    if (sb->opt->timeout_ns)
        set_timer(timer_fds[TIMER_TIMEOUT], sb->opt->timeout_ns, 0);
    if (sb->opt->cpu_time_ns)
        set_timer(timer_fds[TIMER_CPU], sb->opt->cpu_time_ns, 0);
    if (sb->opt->debug_kick_us)
        set_timer(timer_fds[TIMER_DEBUG], sb->opt->debug_kick_us * 1000, sb->opt->debug_kick_us * 1000);
    if (sb->profile_fd >= 0)
        set_timer(timer_fds[TIMER_PROFILE], PROFILE_PERIOD_NS, PROFILE_PERIOD_NS);
    return thread_start(&thread, 128 << 10, event_loop, sb);
}
