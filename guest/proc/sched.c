/*
 * The scheduler: one vCPU, and a queue of runnable threads ordered by how much CPU time they have had (as CFS of Linux:
 * vruntime, weighted by the nice value). Who has had least runs next, for at most SCHED_SLICE_NS if others wait; who
 * wakes up after a sleep is placed a little before those that compute, so that handing work to and fro isn't held up by them.
 *
 * There is no idle thread: a thread that parks looks for the next one itself, on its own stack, and idles there if nobody
 * can run. Nothing preempts the shim; the app is preempted by a kick of the vmm, for which the scheduler keeps one
 * deadline armed (HYPERCALL_DEADLINE), never disarmed and seldom moved, because that costs an exit.
 */
#include "proc/sched.h"

#include "arch/bootinfo.h"
#include "arch/cpu.h"
#include "drivers/ring.h"
#include "drivers/virtio.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/mm.h"
#include "net/gofer.h"
#include "net/stack.h"
#include "proc/clone.h"
#include "proc/cputimer.h"
#include "proc/exit.h"
#include "proc/process.h"
#include "proc/signal.h"
#include "proc/usage.h"

#define POLLER_MAX 8
#define STACK_CANARY 0x5a17ca9a4f00d5ecull

/* How long to look at the ring before idling; adapts between these to whether it pays. */
#define SPIN_MIN_NS 10000ull
#define SPIN_MAX_NS 100000ull
#define SPIN_RETRY 32u /* misses between tries of the longest */
#define SPIN_DISK_NS 400000ull
#define SPIN_DISK_REST 32u
/* A deadline this near is waited for by spinning: WAIT and its way back take about as long. */
#define SPIN_DEADLINE_NS 50000ull

/* How long the app may go on when the gofer has died. */
#define GOFER_GRACE_NS NSEC_PER_SEC

/* How far a thread that has slept is placed before the others, and how far before current it must be to interrupt it. */
#define SLEEPER_CREDIT_NS 4000000ull
#define WAKEUP_GRANULARITY_NS 1000000ull

struct thread *current;

static struct thread boot_thread;
static struct rb_root run_queue;     /* by vruntime; without current */
static struct thread *leftmost;      /* the first of it */
static uint64_t run_queue_length;
static uint64_t min_vruntime;        /* of who could run; never goes back */
static bool (*pollers[POLLER_MAX])(void);
static size_t poller_count;
static uint64_t armed_ns = NEVER; /* what the vmm knows */
static uint64_t slice_end_ns;
static uint64_t spin_ns = SPIN_MAX_NS / 2;
static uint64_t idle_ns;
static bool idling;
static struct thread *fpu_owner; /* whose vector state is in the registers */
static struct thread *leaving;   /* ended; its stack is free once we are off it */

void sched_init(void)
{
    boot_thread.proc = init_process;
    boot_thread.kstack_base = cpu_kstack_base;
    boot_thread.kstack_top = cpu_kstack_top;
    boot_thread.state = THREAD_RUNNABLE;
    boot_thread.timer_slack_ns = 50000;
    sigqueue_init(&boot_thread.pending);
    strlcpy(boot_thread.comm, "init", sizeof(boot_thread.comm));
    thread_rename(&boot_thread, 1); /* later it is what others see of init, and never runs again */
    init_process->leader = &boot_thread;
    *(uint64_t *)boot_thread.kstack_base = STACK_CANARY;
    current = &boot_thread;
}

void sched_add_poller(bool (*poll)(void))
{
    BUG_ON(poller_count == POLLER_MAX);
    pollers[poller_count++] = poll;
}

static void poll_all(void)
{
    for (size_t i = 0; i < poller_count; i++)
        pollers[i]();
}

/* --- the run queue --- */

/* Linux's sched_prio_to_weight: a step of nice is a quarter more or less CPU time. */
static const uint32_t weight_of_nice[40] = {
    88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916, 9548, 7620, 6100, 4904,
    3906,  3121,  2501,  1991,  1586,  1277,  1024,  820,   655,   526,   423,  335,  272,  215,
    172,   137,   110,   87,    70,    56,    45,    36,    29,    23,    18,   15,
};

static void account(struct thread *t, uint64_t now)
{
    uint64_t delta;

    usage_charge(t, now);
    if (now <= t->run_start_ns) /* whoever was woken after the caller had read the clock has accounted already */
        return;
    delta = now - t->run_start_ns;
    t->cpu_ns += delta;
    t->proc->cpu_ns += delta;
    t->vruntime += t->nice ? delta * 1024 / weight_of_nice[t->nice + 20] : delta;
    t->run_start_ns = now;
    min_vruntime = MAX(min_vruntime, leftmost ? MIN(leftmost->vruntime, t->vruntime) : t->vruntime);
}

static struct thread *thread_of(struct rb_node *node)
{
    return node ? rb_entry(node, struct thread, run_node) : NULL;
}

static void enqueue(struct thread *t)
{
    struct rb_node **link = &run_queue.node, *parent = NULL;
    bool first = true;

    while (*link) {
        parent = *link;
        if (t->vruntime < thread_of(parent)->vruntime) {
            link = &parent->left;
        } else { /* equals go right: round robin */
            link = &parent->right;
            first = false;
        }
    }
    rb_link(&t->run_node, parent, link);
    rb_insert_fixup(&run_queue, &t->run_node);
    if (first)
        leftmost = t;
    run_queue_length++;
}

static struct thread *take_runnable(void)
{
    struct thread *t = leftmost;

    if (!t)
        return NULL;
    leftmost = thread_of(rb_next(&t->run_node));
    rb_erase(&run_queue, &t->run_node);
    run_queue_length--;
    min_vruntime = MAX(min_vruntime, t->vruntime);
    return t;
}

/* A long sleep doesn't save up CPU time, a short one gives a small lead. */
static void make_runnable(struct thread *t)
{
    uint64_t floor;

    if (!idling) {
        account(current, clock_mono_ns());
        cpu_work |= WORK_DEADLINE; /* current's turn has an end from now on */
    }
    floor = min_vruntime > SLEEPER_CREDIT_NS ? min_vruntime - SLEEPER_CREDIT_NS : 0;
    t->state = THREAD_RUNNABLE;
    t->vruntime = MAX(t->vruntime, floor);
    enqueue(t);
}

void thread_wake(struct thread *t)
{
    t->woken = true;
    if (t->state == THREAD_PARKED)
        make_runnable(t);
}

void sched_signal(struct thread *t, bool deadly)
{
    t->work |= WORK_SIGNAL;
    if (t == current)
        cpu_work |= WORK_SIGNAL;
    if ((t->state == THREAD_PARKED &&
         (t->park_mode == PARK_INTERRUPTIBLE || (deadly && t->park_mode == PARK_KILLABLE))) ||
        (t->state == THREAD_STOPPED && deadly))
        make_runnable(t);
}

void sched_continue(struct thread *t)
{
    if (t->state == THREAD_STOPPED)
        make_runnable(t);
}

static void park_timeout(struct timer *timer)
{
    struct thread *t = container_of(timer, struct thread, park_timer);

    t->timed_out = true;
    if (t->state == THREAD_PARKED)
        make_runnable(t);
}

/* --- what the vmm has to say --- */

static void gofer_grace_over(struct timer *timer UNUSED)
{
    sandbox_end(SIGKILL);
}

static void gofer_died(void)
{
    static struct timer grace = { .fire = gofer_grace_over };

    if (ring_is_dead())
        return;
    klog(LOG_ERROR, "gofer: ended unexpectedly; file operations fail from here on");
    ring_gofer_dead();
    timer_set(&grace, clock_mono_ns() + GOFER_GRACE_NS);
}

static void handle_bits(uint32_t bits)
{
    if (bits & PENDING_GOFER_DEAD)
        gofer_died();
    if (bits & PENDING_TIMEOUT)
        sandbox_end(SIGKILL);
    if (bits & PENDING_SIGNAL)
        signal_from_host(__atomic_exchange_n(&shared_page()->host_signals, 0, __ATOMIC_ACQ_REL));
    if (bits & PENDING_DEADLINE)
        armed_ns = NEVER;
    if (bits & (PENDING_COMPLETION | PENDING_DEVICE))
        poll_all();
}

/* Look at everything that may make a thread runnable. Returns the time. */
static uint64_t look_around(void)
{
    uint64_t now;

    if (READ_ONCE(shared_page()->pending))
        handle_bits(__atomic_exchange_n(&shared_page()->pending, 0, __ATOMIC_ACQ_REL));
    if (ring_urgent() || gofer_net_pending() || stack_pending())
        poll_all();
    now = clock_mono_ns();
    timer_expire(now);
    return now;
}

void sched_handle_pending(uint32_t bits)
{
    handle_bits(bits);
    cpu_work |= WORK_DEADLINE; /* due timers are fired, and it is looked at whose turn it is */
}

/* --- deadlines --- */

void sched_deadline_changed(void)
{
    if (!idling)
        cpu_work |= WORK_DEADLINE;
}

/* Is it another thread's turn? Current's CPU time is up to date. */
static bool turn_is_over(uint64_t now)
{
    if (leftmost->vruntime + WAKEUP_GRANULARITY_NS < current->vruntime)
        return true;
    if (now < slice_end_ns)
        return false;
    slice_end_ns = now + SCHED_SLICE_NS;
    return leftmost->vruntime <= current->vruntime;
}

#define DEADLINE_NEAREST_NS 30000ull /* the hypercall and the kick take 20 µs */

/* Current goes back to the app: make sure that the vmm kicks it when something is due. */
static void arm_deadline(void)
{
    uint64_t now = clock_mono_ns(), due;

    timer_expire(now);
    cpu_work &= ~WORK_DEADLINE; /* what fired may have armed itself anew: that is looked at here */
    due = timer_nearest();
    if (current->proc->cpu_timers)
        due = MIN(due, cputimer_check(current, now));
    if (leftmost) {
        account(current, now);
        if (turn_is_over(now)) {
            cpu_work |= WORK_RESCHED;
            return;
        }
        due = MIN(due, slice_end_ns);
    }
    if (due == NEVER || (due >= armed_ns && armed_ns > now))
        return;
    /* What is due at once would come back before the app has run: timers with tiny periods would stop everything. */
    due = MAX(due, now + DEADLINE_NEAREST_NS);
    armed_ns = due;
    hypercall(HYPERCALL_DEADLINE, due, 0, 0, 0, 0);
}

/* --- idling --- */

static bool something_to_do(void)
{
    return leftmost || READ_ONCE(shared_page()->pending) != 0;
}

/* Poll until something happens or limit. True if something did. */
static bool spin_until(uint64_t limit_ns)
{
    for (;;) {
        poll_all();
        if (something_to_do())
            return true;
        if (clock_mono_ns() >= limit_ns)
            return false;
        cpu_relax();
    }
}

/*
 * Short spins that never succeed say nothing of longer ones: replies may just take a little more. So now and then the
 * longest is tried.
 */
static bool spin_for_replies(uint64_t now)
{
    static uint32_t misses;
    bool hit;

    if (!(ring_reply_near() || gofer_net_active() || stack_active()) || boot_info.poll_needs_exit)
        return false;
    hit = spin_until(MIN(now + spin_ns, timer_nearest()));
    if (hit)
        spin_ns = MIN(spin_ns * 2, SPIN_MAX_NS);
    else
        spin_ns = ++misses % SPIN_RETRY == 0 ? SPIN_MAX_NS : MAX(spin_ns / 2, SPIN_MIN_NS);
    return hit;
}

/*
 * Somebody waits for a disk: natively it would sleep. To look for the answer is quicker where a core is idle, but takes it from those who
 * work for the answer where none is; so who looked in vain doesn't look for a while.
 */
static bool spin_for_disk(uint64_t now)
{
    static uint32_t rest;

    if (!ring_urgent() || ring_reply_near() || boot_info.poll_needs_exit)
        return false;
    if (rest > 0) {
        rest--;
        return false;
    }
    if (spin_until(MIN(now + SPIN_DISK_NS, timer_nearest())))
        return true;
    rest = SPIN_DISK_REST;
    return false;
}

/* Nobody can run: wait for the outside world or for the nearest timer. */
static void idle(uint64_t now)
{
    uint64_t due;

    ring_set_notify(NOTIFY_NONE);
    virtio_listen(false);
    if (spin_for_replies(now) || spin_for_disk(now))
        return;
    due = timer_nearest();
    if (due <= now + SPIN_DEADLINE_NS) {
        spin_until(due);
        return;
    }
    ring_set_notify(NOTIFY_IDLE);
    virtio_listen(true);
    poll_all();
    if (!something_to_do())
        hypercall(HYPERCALL_WAIT, due, 0, 0, 0, 0);
    ring_set_notify(NOTIFY_NONE);
}

/* --- switching --- */

static struct thread *pick_next(uint64_t *ret_now)
{
    uint64_t now = look_around(), idle_begin = now;
    struct thread *next = take_runnable();

    if (!next) {
        idling = true;
        while (!(next = take_runnable())) {
            idle(now);
            now = look_around();
        }
        idling = false;
        idle_ns += now - idle_begin;
        cpu_work |= WORK_DEADLINE; /* timers were set meanwhile without a word to the vmm, and next may be current */
    }
    gofer_net_before_app(poll_sleepers > next->polling);
    /* Others may still wait for the gofer while next computes: then completions must kick. */
    if (ring_urgent()) {
        ring_set_notify(NOTIFY_KICK);
        ring_poll();
    } else {
        ring_set_notify(NOTIFY_NONE);
    }
    virtio_listen(true);
    *ret_now = now;
    return next;
}

static void fpu_switch(struct thread *next)
{
    if (fpu_owner == next || !next->fpu)
        return;
    if (fpu_owner)
        fpu_save(fpu_owner->fpu);
    fpu_restore(next->fpu);
    fpu_owner = next;
}

void sched_started(void)
{
    struct thread *ended = leaving;

    leaving = NULL;
    if (ended)
        thread_reap(ended);
    /* In a restartable sequence nothing else may have run. */
    if (current->rseq && current->regs->orig_rax == NO_SYSCALL)
        cpu_work |= WORK_SIGNAL;
}

static void switch_to(struct thread *next)
{
    struct thread *prev = current;

    if (unlikely(*(uint64_t *)prev->kstack_base != STACK_CANARY))
        panic("kernel stack of thread %d overflowed", prev->tid);
    prev->fs_base = rdfsbase();
    prev->gs_base = rdgsbase();
    prev->work |= cpu_work & WORK_SIGNAL;
    fpu_switch(next);
    wrfsbase(next->fs_base);
    wrgsbase(next->gs_base);
    if (next->mm)
        mm_activate(next->mm);
    current = next;
    cpu_kstack_base = next->kstack_base;
    cpu_kstack_top = next->kstack_top;
    cpu_work = next->work | WORK_DEADLINE;
    report.switches++;
    kstack_switch(&prev->krsp, next->krsp);
    sched_started();
}

void sched_account(void)
{
    account(current, clock_mono_ns());
}

uint64_t sched_thread_cpu_ns(const struct thread *t)
{
    return t->cpu_ns + (t == current ? clock_mono_ns() - t->run_start_ns : 0);
}

/* Current, accounted up to now, gives the vCPU to next; returns once it is current's turn again. */
static void run(struct thread *next, uint64_t now)
{
    next->run_start_ns = now;
    if (next->kernel_since_ns)
        next->kernel_since_ns = now;
    slice_end_ns = now + SCHED_SLICE_NS;
    if (next != current)
        switch_to(next);
}

/* Current isn't in the queue: somebody else must run, or it is woken while the vCPU idles. */
static void schedule(void)
{
    uint64_t now;
    struct thread *next;

    account(current, clock_mono_ns());
    next = pick_next(&now);
    run(next, now);
}

/* Current has had its turn; it goes on if it still has had least. */
static void preempt(void)
{
    uint64_t now = look_around();
    struct thread *next;

    account(current, now);
    enqueue(current);
    next = pick_next(&now);
    if (next != current)
        current->involuntary_switches++;
    run(next, now);
}

static bool interrupted(enum park_mode mode)
{
    if (mode == PARK_UNINTERRUPTIBLE)
        return false;
    return mode == PARK_INTERRUPTIBLE ? signal_pending(current) : signal_deadly_pending(current);
}

int sched_park(uint64_t deadline_ns, enum park_mode mode)
{
    struct thread *self = current;

    if (self->woken) {
        self->woken = false;
        return 0;
    }
    if (interrupted(mode))
        return -ERESTARTSYS;
    self->timed_out = false;
    self->park_mode = (uint8_t)mode;
    self->park_timer.fire = park_timeout;
    self->state = mode == PARK_STOPPED ? THREAD_STOPPED : THREAD_PARKED;
    timer_set(&self->park_timer, deadline_ns);
    self->voluntary_switches++;
    schedule();
    timer_cancel(&self->park_timer);
    if (self->woken) {
        self->woken = false;
        return 0;
    }
    if (self->timed_out)
        return -ETIMEDOUT;
    return interrupted(mode) ? -ERESTARTSYS : 0;
}

int thread_park(uint64_t deadline_ns, bool interruptible)
{
    return sched_park(deadline_ns, interruptible ? PARK_INTERRUPTIBLE : PARK_UNINTERRUPTIBLE);
}

/*
 * The next one runs even if current has had less, and for as long as any other: what current was ahead by is gone. (If it
 * weren't, the next one's turn would be over before its first instruction.)
 */
void thread_yield(void)
{
    uint64_t now = look_around();
    struct thread *next = take_runnable();

    if (!next)
        return;
    account(current, now);
    current->vruntime = MAX(current->vruntime, next->vruntime);
    current->involuntary_switches++;
    enqueue(current);
    run(next, now);
}

void sched_return_work(struct regs *regs)
{
    uint32_t work = cpu_work;

    cpu_work &= ~(WORK_RESCHED | WORK_DEADLINE);
    if (work & WORK_RESCHED)
        preempt();
    if (cpu_work & WORK_SIGNAL) {
        cpu_work &= ~WORK_SIGNAL;
        current->work = 0;
        signal_deliver(regs);
    }
    arm_deadline();
}

/* --- beginning and end of a thread --- */

void sched_start(struct thread *t, void (*fn)(void *))
{
    *(uint64_t *)t->kstack_base = STACK_CANARY;
    t->krsp = kstack_prepare((uint64_t)t->regs, fn, t);
    t->vruntime = current->vruntime; /* no lead for having been born */
    make_runnable(t);
}

/* Leave the current stack for good. */
static _Noreturn void run_others(void)
{
    uint64_t now;
    struct thread *next = pick_next(&now);

    run(next, now);
    panic("thread %d ran after its end", current->tid);
}

void sched_run_first(struct thread *t)
{
    BUG_ON(current != &boot_thread || t->state != THREAD_RUNNABLE);
    current->state = THREAD_DEAD;
    run_others();
}

void sched_leave(void)
{
    account(current, clock_mono_ns());
    current->state = THREAD_DEAD;
    if (fpu_owner == current)
        fpu_owner = NULL;
    leaving = current;
    run_others();
}

uint64_t sched_runnable_count(void)
{
    return run_queue_length + !idling;
}

uint64_t sched_idle_ns(void)
{
    return idle_ns;
}

uint64_t sched_switch_count(void)
{
    return report.switches;
}
