/* Threads of the shim's own. */
#include "proc/kthread.h"

#include "lib/log.h"
#include "proc/clone.h"
#include "proc/sched.h"

static void first(void *arg)
{
    struct thread *t = arg;
    void (*fn)(void) = (void (*)(void))t->restart_arg[0];

    sched_started();
    fn();
    panic("a thread of the shim's returned");
}

long kthread_start(void (*fn)(void))
{
    struct thread *t = thread_create(init_process, 0);

    if (!t)
        return -ENOMEM;
    t->fpu = NULL; /* it has no vector state to be saved */
    t->restart_arg[0] = (uint64_t)fn;
    sched_start(t, first);
    return 0;
}
