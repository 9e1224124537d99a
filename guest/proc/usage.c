/* The split of CPU time: what was measured of the shim's part, and how it is told. */
#include "proc/usage.h"

#include "proc/cputimer.h"
#include "proc/sched.h"

#include <linux/resource.h>

#define SAMPLE_EVERY 64u /* calls, on average */
#define SAMPLE_TRUSTED_NS 200000u /* what took longer isn't like the calls before it, or the host did something else meanwhile */

uint32_t usage_countdown = SAMPLE_EVERY;

/* The distance varies, or a loop of so many calls would be seen by one of them. */
void usage_sample(void)
{
    static uint32_t distance = SAMPLE_EVERY;

    usage_begin(distance);
    distance = SAMPLE_EVERY / 2 + 1 + (uint32_t)current->kernel_since_ns % SAMPLE_EVERY;
    usage_countdown = distance;
}

void usage_charge(struct thread *t, uint64_t now_ns)
{
    uint64_t ns;

    if (!t->kernel_since_ns || now_ns <= t->kernel_since_ns)
        return;
    ns = now_ns - t->kernel_since_ns;
    if (ns < SAMPLE_TRUSTED_NS)
        ns *= t->kernel_weight;
    t->split.kernel_ns += ns;
    t->proc->split.kernel_ns += ns;
    t->kernel_since_ns = now_ns;
}

void usage_end(void)
{
    usage_charge(current, clock_mono_ns());
    current->kernel_since_ns = 0;
}

/* What was told stays true: an estimate that jumped too far waits until the sum has caught up. */
static struct cpu_times tell(struct cpu_split *s, uint64_t cpu_ns)
{
    uint64_t most = cpu_ns > s->user_told_ns ? cpu_ns - s->user_told_ns : 0;
    uint64_t system_ns = MAX(s->system_told_ns, MIN(s->kernel_ns, most));

    system_ns = MIN(system_ns, cpu_ns);
    s->system_told_ns = system_ns;
    s->user_told_ns = cpu_ns - system_ns;
    return (struct cpu_times){ s->user_told_ns, system_ns };
}

struct cpu_times usage_thread(struct thread *t)
{
    if (t == current)
        sched_account();
    return tell(&t->split, t->cpu_ns);
}

struct cpu_times usage_process(struct process *p)
{
    if (p == current->proc)
        sched_account();
    return tell(&p->split, p->cpu_ns);
}

struct cpu_times usage_children(const struct process *p)
{
    return (struct cpu_times){ p->child_cpu_ns - p->child_system_ns, p->child_system_ns };
}

static struct __kernel_old_timeval timeval_of(uint64_t ns)
{
    return (struct __kernel_old_timeval){
        .tv_sec = (__kernel_long_t)(ns / NSEC_PER_SEC), .tv_usec = (__kernel_long_t)(ns % NSEC_PER_SEC / 1000)
    };
}

void usage_put(struct cpu_times t, struct rusage *ru)
{
    ru->ru_utime = timeval_of(t.user_ns);
    ru->ru_stime = timeval_of(t.system_ns);
}
