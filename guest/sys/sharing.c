/*
 * Calls about what the sandbox has one of: namespaces (unshare) and what processes share (kcmp). What is refused altogether
 * has only a row in sys/table.h.
 */
#include "fs/fdtable.h"
#include "fs/file.h"
#include "ipc/ipc.h"
#include "proc/ptrace.h"
#include "proc/signal.h"
#include "sys/syscall.h"

#include <linux/capability.h>
#include <linux/kcmp.h>
#include <linux/sched.h>

/* --- unshare(2): what threads share, not namespaces --- */

#define UNSHARE_NAMESPACES                                                                         \
    ((uint64_t)CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |          \
     CLONE_NEWNET | CLONE_NEWCGROUP | CLONE_NEWTIME)
#define UNSHARE_WITH_THREADS (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM)

static long unshare_fs(void)
{
    struct fs_context *own = fs_context_copy(current->fs);

    if (!own)
        return -ENOMEM;
    fs_context_put(current->fs);
    current->fs = own;
    return 0;
}

SYSCALL_DEFINE1(unshare, uint64_t, flags)
{
    long error = 0;

    if (flags & ~(UNSHARE_NAMESPACES | UNSHARE_WITH_THREADS | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM))
        return -EINVAL;
    if (flags & UNSHARE_NAMESPACES)
        return -EPERM;
    if ((flags & UNSHARE_WITH_THREADS) && current->proc->thread_count > 1)
        return -EINVAL;
    if (flags & CLONE_SYSVSEM)
        sem_exit(current);
    if (flags & CLONE_FS)
        error = unshare_fs();
    if (error == 0 && (flags & CLONE_FILES))
        error = proc_unshare_files();
    return error;
}

/* --- kcmp(2) --- */

/* Only to be compared: without a reference. */
static const void *kcmp_file(const struct thread *t, uint64_t index)
{
    struct file *f = t->files && index <= INT32_MAX ? fd_table_file(t->files, (int)index) : NULL;

    if (f)
        file_put(f);
    return f;
}

static const void *kcmp_object(const struct thread *t, int type, uint64_t index)
{
    switch (type) {
    case KCMP_VM:
        return t->mm;
    case KCMP_FILES:
        return t->files;
    case KCMP_FS:
        return t->fs;
    case KCMP_SIGHAND:
        return t->proc->sighand;
    case KCMP_FILE:
        return kcmp_file(t, index);
    case KCMP_SYSVSEM:
        return t->sem_undo;
    default: /* KCMP_IO: nobody has an I/O context */
        return NULL;
    }
}

/* Linux orders pointers after shuffling them, so that addresses don't leak; so does this. */
static uint64_t shuffled(const void *object)
{
    return ((uint64_t)object ^ 0x5bd1e995a5a5c3c3ull) * 0x9e3779b97f4a7c15ull;
}

SYSCALL_DEFINE5(kcmp, int, pid1, int, pid2, int, type, uint64_t, index1, uint64_t, index2)
{
    const struct thread *a = thread_find(pid1), *b = thread_find(pid2);
    const void *x, *y;

    if (!a || !b)
        return -ESRCH;
    if (!ptrace_may_access(a->proc) || !ptrace_may_access(b->proc))
        return -EPERM;
    if (type < 0 || type >= KCMP_TYPES || type == KCMP_EPOLL_TFD)
        return -EINVAL;
    x = kcmp_object(a, type, index1);
    y = kcmp_object(b, type, index2);
    if (type == KCMP_FILE && (!x || !y))
        return -EBADF;
    if (x == y)
        return 0;
    return shuffled(x) < shuffled(y) ? 1 : 2;
}
