/*
 * Interval timers and POSIX timers. As in Linux, a periodic POSIX timer whose signal is still queued isn't armed again
 * before that signal is taken; what was missed meanwhile is its overrun count (timer_getoverrun(2)).
 */
#include "proc/posix_timer.h"

#include "arch/cpu.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "proc/cputimer.h"
#include "proc/sched.h"
#include "proc/usage.h"

#include <linux/time.h>

/* --- interval timers --- */

static void itimer_fire(struct timer *timer)
{
    struct interval_timer *it = container_of(timer, struct interval_timer, timer);
    uint64_t now = clock_mono_ns();

    signal_send_process(it->process, SIGALRM, SI_KERNEL, 0, 0);
    if (it->interval)
        it->expires += ((now - it->expires) / it->interval + 1) * it->interval;
    else
        it->expires = NEVER;
    timer_set(timer, it->expires);
}

static uint64_t itimer_now(struct process *p, int which)
{
    if (which == ITIMER_REAL)
        return clock_mono_ns();
    return which == ITIMER_VIRTUAL ? usage_process(p).user_ns : process_cpu_ns(p);
}

uint64_t itimer_left(struct process *p, int which)
{
    uint64_t expires = p->itimers[which].expires, now = itimer_now(p, which);

    if (expires == NEVER)
        return 0;
    return expires > now ? expires - now : 1000; /* due, but not delivered yet: not "off" */
}

void itimer_set(struct process *p, int which, uint64_t value_ns, uint64_t interval_ns)
{
    struct interval_timer *it = &p->itimers[which];
    uint64_t now = itimer_now(p, which);

    it->interval = interval_ns;
    it->expires = value_ns == 0 ? NEVER : value_ns >= NEVER - 1 - now ? NEVER - 1 : now + value_ns;
    if (which == ITIMER_REAL) {
        it->timer.fire = itimer_fire;
        timer_set(&it->timer, it->expires);
    } else {
        cputimer_changed(p);
    }
}

/* --- POSIX timers --- */

/* How often at most a timer fires that nobody is told of (its signal is ignored): Linux takes a tick. */
#define UNHEARD_PERIOD_NS 4000000ull

static bool is_cpu_clock(const struct posix_timer *pt)
{
    return pt->clock == TIMER_PROCESS_CPU || pt->clock == TIMER_THREAD_CPU;
}

static uint64_t timer_now(const struct posix_timer *pt)
{
    const struct thread *t;

    switch (pt->clock) {
    case TIMER_PROCESS_CPU:
        return process_cpu_ns(pt->process);
    case TIMER_THREAD_CPU:
        t = thread_find(pt->thread_tid);
        return t ? sched_thread_cpu_ns(t) : 0;
    default:
        return clock_mono_ns();
    }
}

/* Skip the periods up to now. Returns how many. */
static uint64_t forward(struct posix_timer *pt, uint64_t now)
{
    uint64_t periods;

    if (!pt->interval || pt->expires > now)
        return 0;
    periods = (now - pt->expires) / pt->interval + 1;
    pt->expires += periods * pt->interval;
    return periods;
}

static void rearm(struct posix_timer *pt)
{
    if (!is_cpu_clock(pt))
        timer_set(&pt->timer, pt->expires);
}

static struct thread *target_thread(const struct posix_timer *pt)
{
    struct thread *t = pt->notify_tid ? thread_find(pt->notify_tid) : NULL;

    return t && t->proc == pt->process ? t : NULL;
}

/* Expired at pt->expires. */
static void expire(struct posix_timer *pt, uint64_t now)
{
    struct thread *t = target_thread(pt);
    bool queued = false;

    /* One that was armed again while its signal waits is an overrun: it goes on when the signal is taken. */
    if (pt->notify == SIGEV_SIGNAL && !(pt->notify_tid && !t))
        queued = !list_empty(&pt->entry->node) || signal_send_entry(pt->process, t, pt->entry);
    if (!pt->interval) {
        pt->waiting = queued;
        pt->expires = NEVER;
    } else if (queued) {
        pt->waiting = true;
    } else {
        forward(pt, now + UNHEARD_PERIOD_NS);
        rearm(pt);
    }
}

static void posix_timer_fire(struct timer *timer)
{
    expire(container_of(timer, struct posix_timer, timer), clock_mono_ns());
}

void posix_timer_signal_taken(void *timer, siginfo_t *info)
{
    struct posix_timer *pt = timer;
    uint64_t periods = 0;

    if (pt->waiting && pt->interval && pt->expires != NEVER) {
        periods = forward(pt, timer_now(pt));
        rearm(pt);
    }
    pt->waiting = false;
    pt->overrun = periods > 0 ? (int)MIN(periods - 1, (uint64_t)INT32_MAX) : 0;
    info->si_overrun = pt->overrun;
    cpu_work |= WORK_DEADLINE;
}

struct posix_timer *posix_timer_create(enum timer_clock clock, int notify, int notify_tid, const siginfo_t *event)
{
    struct process *p = current->proc;
    struct posix_timer *pt = kzalloc(sizeof(*pt));
    struct siginfo_entry *e = kzalloc(sizeof(*e));

    if (!pt || !e) {
        kfree(pt);
        kfree(e);
        return err_ptr(-ENOMEM);
    }
    pt->id = p->next_posix_timer++;
    pt->process = p;
    pt->clock = clock;
    pt->thread_tid = current->tid;
    pt->notify = notify;
    pt->notify_tid = notify_tid;
    pt->timer.fire = posix_timer_fire;
    pt->expires = NEVER;
    pt->entry = e;
    list_init(&e->node);
    e->info = *event;
    e->info.si_tid = pt->id;
    e->timer = pt;
    list_push_back(&p->posix_timers, &pt->node);
    return pt;
}

struct posix_timer *posix_timer_find(int id)
{
    struct posix_timer *pt;

    list_for_each(pt, &current->proc->posix_timers, node)
        if (pt->id == id)
            return pt;
    return NULL;
}

/* A signal that is queued already is delivered all the same; its queue frees the entry then. */
void posix_timer_delete(struct posix_timer *pt)
{
    struct process *p = pt->process;

    timer_cancel(&pt->timer);
    pt->entry->timer = NULL;
    if (list_empty(&pt->entry->node))
        kfree(pt->entry);
    list_remove(&pt->node);
    if (is_cpu_clock(pt))
        cputimer_changed(p);
    kfree(pt);
}

void posix_timer_arm(struct posix_timer *pt, uint64_t expires, uint64_t interval)
{
    pt->expires = expires;
    pt->interval = interval;
    pt->waiting = false;
    if (is_cpu_clock(pt))
        cputimer_changed(pt->process);
    else
        timer_set(&pt->timer, expires);
}

uint64_t posix_timer_left(const struct posix_timer *pt)
{
    uint64_t now = timer_now(pt), expires = pt->expires;

    if (expires == NEVER)
        return 0;
    if (expires <= now && pt->interval)
        expires += ((now - expires) / pt->interval + 1) * pt->interval;
    return expires > now ? expires - now : 1;
}

/* --- ends --- */

void posix_timer_exec(struct process *p)
{
    struct posix_timer *pt, *tmp;

    list_for_each_safe(pt, tmp, &p->posix_timers, node)
        posix_timer_delete(pt);
}

void posix_timer_process_exit(struct process *p)
{
    posix_timer_exec(p);
    timer_cancel(&p->itimers[ITIMER_REAL].timer);
    for (size_t i = 0; i < ARRAY_SIZE(p->itimers); i++)
        p->itimers[i].expires = NEVER;
    p->cpu_timers = false;
}

/* --- CPU clocks --- */

static bool cpu_timer_is_armed(const struct posix_timer *pt)
{
    return is_cpu_clock(pt) && pt->expires != NEVER && !pt->waiting;
}

uint64_t posix_cpu_timers_check(struct process *p, uint64_t process_ns, const struct thread *t, uint64_t thread_ns,
                                uint64_t *ret_thread_next)
{
    uint64_t process_next = NEVER, thread_next = NEVER;
    struct posix_timer *pt;

    list_for_each(pt, &p->posix_timers, node) {
        bool of_thread = pt->clock == TIMER_THREAD_CPU;
        uint64_t now = of_thread ? thread_ns : process_ns;
        uint64_t *next = of_thread ? &thread_next : &process_next;

        if (!cpu_timer_is_armed(pt) || (of_thread && pt->thread_tid != t->tid))
            continue;
        if (pt->expires <= now)
            expire(pt, now);
        if (cpu_timer_is_armed(pt))
            *next = MIN(*next, pt->expires);
    }
    *ret_thread_next = thread_next;
    return process_next;
}

bool posix_cpu_timers_exist(const struct process *p)
{
    struct posix_timer *pt;

    list_for_each(pt, &p->posix_timers, node)
        if (is_cpu_clock(pt) && pt->expires != NEVER)
            return true;
    return false;
}
