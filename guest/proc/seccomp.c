/*
 * seccomp(2). A filter is a BPF program and those that were installed before it; threads share them by reference. The
 * newest runs first, all of them run, and the strictest answer counts.
 */
#include "proc/seccomp.h"

#include "fs/fdtable.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "proc/bpf.h"
#include "proc/exit.h"
#include "proc/ptrace.h"
#include "proc/seccomp_notify.h"
#include "proc/signal.h"
#include "sys/syscall.h"

#include <asm/unistd.h>
#include <linux/audit.h>
#include <linux/capability.h>

#define PATH_MAX_INSTRUCTIONS 32768u /* of all filters of a thread together (Linux: 256 KiB) */
#define FILTER_PENALTY 4u            /* what each filter costs beside its instructions */
#define ERRNO_MAX 4095u
#define FLAGS_KNOWN                                                                                \
    (SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW |        \
     SECCOMP_FILTER_FLAG_TSYNC_ESRCH | SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)

struct seccomp_filter {
    uint32_t refs;
    uint32_t count;          /* instructions */
    uint32_t path_count;     /* with all before it */
    struct seccomp_filter *prev; /* a reference */
    struct seccomp_listener *listener; /* NULL: none */
    struct sock_filter program[];
};

/* --- sharing --- */

static void filter_put(struct seccomp_filter *f)
{
    struct seccomp_filter *prev;

    for (; f && --f->refs == 0; f = prev) {
        prev = f->prev;
        if (f->listener)
            seccomp_listener_orphan(f->listener);
        kfree(f);
    }
}

void seccomp_inherit(struct thread *t)
{
    t->seccomp_mode = current->seccomp_mode;
    t->seccomp = current->seccomp;
    if (t->seccomp)
        t->seccomp->refs++;
}

void seccomp_release(struct thread *t)
{
    filter_put(t->seccomp);
    t->seccomp = NULL;
}

uint32_t seccomp_filter_count(const struct thread *t)
{
    uint32_t count = 0;

    for (const struct seccomp_filter *f = t->seccomp; f; f = f->prev)
        count++;
    return count;
}

/* --- a call is made --- */

/* *ret_filter: whose answer it is; NULL: nobody's. */
static uint32_t run_filters(struct seccomp_filter *f, const struct seccomp_data *data, struct seccomp_filter **ret_filter)
{
    uint32_t result = SECCOMP_RET_ALLOW;

    *ret_filter = NULL;

    for (; f; f = f->prev) {
        uint32_t r = bpf_run(f->program, data);

        if ((int32_t)(r & SECCOMP_RET_ACTION_FULL) < (int32_t)(result & SECCOMP_RET_ACTION_FULL)) {
            result = r;
            *ret_filter = f;
        }
    }
    return result;
}

static void fill_info(siginfo_t *info, const struct regs *regs, uint32_t data)
{
    memset(info, 0, sizeof(*info));
    info->si_signo = SIGSYS;
    info->si_code = SYS_SECCOMP;
    info->si_errno = (int)data;
    info->si_call_addr = (void *)regs->rip;
    info->si_syscall = (int)regs->orig_rax;
    info->si_arch = AUDIT_ARCH_X86_64;
}

/* The call wasn't made: the handler sees its number in rax, and decides what it answers. */
static void trap(struct regs *regs, uint32_t data)
{
    siginfo_t info;

    fill_info(&info, regs, data);
    regs->rax = regs->orig_rax;
    regs->orig_rax = NO_SYSCALL;
    signal_force(&info, false);
}

static void kill(struct regs *regs, bool whole_process)
{
    siginfo_t info;

    if (!whole_process && current->proc->thread_count > 1)
        thread_exit(SIGSYS);
    fill_info(&info, regs, 0);
    regs->orig_rax = NO_SYSCALL;
    current->proc->sighand->action[SIGSYS - 1].flags |= ACTION_FINAL;
    signal_force(&info, true);
}

static bool strict_allows(uint64_t nr)
{
    return nr == __NR_read || nr == __NR_write || nr == __NR_exit || nr == __NR_rt_sigreturn;
}

static struct seccomp_data call_data(const struct regs *regs)
{
    return (struct seccomp_data){
        .nr = (int)regs->orig_rax,
        .arch = AUDIT_ARCH_X86_64,
        .instruction_pointer = regs->rip,
        .args = { regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9 },
    };
}

/* A filter without a listener doesn't get its calls answered. */
static bool ask_listener(const struct seccomp_filter *f, const struct seccomp_data *data, long *ret)
{
    if (f->listener)
        return seccomp_notify(f->listener, data, ret);
    *ret = -ENOSYS;
    return false;
}

bool seccomp_allows(struct regs *regs, long *ret)
{
    struct seccomp_filter *filter;
    struct seccomp_data data;
    bool traced = false;
    uint32_t result;

    *ret = (long)regs->orig_rax;
    if (current->seccomp_mode == SECCOMP_MODE_STRICT) {
        if (!strict_allows(regs->orig_rax))
            thread_exit(SIGKILL);
        return true;
    }
again:
    data = call_data(regs);
    result = run_filters(current->seccomp, &data, &filter);
    switch (result & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_ALLOW:
    case SECCOMP_RET_LOG:
        return true;
    case SECCOMP_RET_ERRNO:
        *ret = -(long)MIN(result & SECCOMP_RET_DATA, ERRNO_MAX);
        return false;
    case SECCOMP_RET_TRAP:
        trap(regs, result & SECCOMP_RET_DATA);
        return false;
    case SECCOMP_RET_TRACE:
        if (traced)
            return true;
        traced = true;
        if (ptrace_seccomp(regs, result & SECCOMP_RET_DATA, ret))
            goto again; /* its tracer may have made another call of it */
        return false;
    case SECCOMP_RET_USER_NOTIF:
        return ask_listener(filter, &data, ret);
    default:
        kill(regs, (result & SECCOMP_RET_ACTION_FULL) != SECCOMP_RET_KILL_THREAD);
        return false;
    }
}

/* --- installing --- */

static struct seccomp_filter *filter_fetch(uaddr_t args)
{
    struct seccomp_filter *f;
    struct {
        uint16_t len;
        uint64_t program;
    } prog; /* struct sock_fprog, whose pointer is the app's */

    if (get_user(prog, args) < 0)
        return err_ptr(-EFAULT);
    if (prog.len == 0 || prog.len > BPF_MAXINSNS || !prog.program)
        return err_ptr(-EINVAL);
    if (!current->proc->cred.no_new_privs && !capable(CAP_SYS_ADMIN))
        return err_ptr(-EACCES);
    f = kmalloc(sizeof(*f) + prog.len * sizeof(struct sock_filter));
    if (!f)
        return err_ptr(-ENOMEM);
    *f = (struct seccomp_filter){ .refs = 1, .count = prog.len };
    if (copy_from_user(f->program, prog.program, prog.len * sizeof(struct sock_filter)) < 0) {
        kfree(f);
        return err_ptr(-EFAULT);
    }
    if (!bpf_is_valid(f->program, f->count)) {
        kfree(f);
        return err_ptr(-EINVAL);
    }
    return f;
}

static bool is_ancestor(const struct seccomp_filter *old, const struct seccomp_filter *of)
{
    for (; of && of != old; of = of->prev)
        ;
    return of == old;
}

/* SECCOMP_FILTER_FLAG_TSYNC: a thread that went its own way, or NULL. */
static const struct thread *divergent_thread(void)
{
    const struct thread *t;

    list_for_each(t, &current->proc->threads, proc_node) {
        if (t == current || t->exiting)
            continue;
        if (t->seccomp_mode != SECCOMP_MODE_DISABLED &&
            (t->seccomp_mode != SECCOMP_MODE_FILTER || !is_ancestor(t->seccomp, current->seccomp)))
            return t;
    }
    return NULL;
}

static void synchronise_threads(void)
{
    struct thread *t;

    list_for_each(t, &current->proc->threads, proc_node) {
        if (t == current || t->exiting)
            continue;
        seccomp_release(t);
        seccomp_inherit(t);
    }
}

static long check_installing(uint32_t flags)
{
    const struct thread *other;

    if (current->seccomp_mode != SECCOMP_MODE_DISABLED && current->seccomp_mode != SECCOMP_MODE_FILTER)
        return -EINVAL;
    other = flags & SECCOMP_FILTER_FLAG_TSYNC ? divergent_thread() : NULL;
    if (!other)
        return 0;
    return flags & SECCOMP_FILTER_FLAG_TSYNC_ESRCH ? -ESRCH : other->tid;
}

static bool flags_are_valid(uint32_t flags)
{
    if (flags & ~(uint32_t)FLAGS_KNOWN)
        return false;
    if (flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) /* what is returned must tell a thread from a descriptor */
        return !(flags & SECCOMP_FILTER_FLAG_TSYNC) || (flags & SECCOMP_FILTER_FLAG_TSYNC_ESRCH);
    return !(flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
}

static bool has_listener(const struct seccomp_filter *f)
{
    for (; f && !f->listener; f = f->prev)
        ;
    return f != NULL;
}

/* Takes f on success. */
static long attach(struct seccomp_filter *f, uint32_t flags)
{
    uint32_t before = current->seccomp ? current->seccomp->path_count : 0;
    long ret;

    f->path_count = before + f->count + FILTER_PENALTY;
    ret = f->path_count > PATH_MAX_INSTRUCTIONS ? -ENOMEM : check_installing(flags);
    if (ret != 0)
        return ret;
    f->prev = current->seccomp;
    current->seccomp = f;
    current->seccomp_mode = SECCOMP_MODE_FILTER;
    if (flags & SECCOMP_FILTER_FLAG_TSYNC)
        synchronise_threads();
    return 0;
}

/* Returns the descriptor. */
static long attach_with_listener(struct seccomp_filter *f, uint32_t flags)
{
    struct file *file = seccomp_listener_create(&f->listener, flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
    int fd = is_err(file) ? (int)ptr_err(file) : fd_reserve(0, true);
    long ret = fd < 0 ? fd : has_listener(current->seccomp) ? -EBUSY : attach(f, flags);

    if (ret == 0) {
        fd_fill(fd, file);
        return fd;
    }
    if (fd >= 0)
        fd_unreserve(fd);
    if (!is_err(file))
        file_put(file); /* which clears f->listener */
    return ret;
}

static long install(uint32_t flags, uaddr_t args)
{
    struct seccomp_filter *f;
    long ret;

    if (!flags_are_valid(flags))
        return -EINVAL;
    f = filter_fetch(args);
    if (is_err(f))
        return ptr_err(f);
    ret = flags & SECCOMP_FILTER_FLAG_NEW_LISTENER ? attach_with_listener(f, flags) : attach(f, flags);
    if (current->seccomp != f)
        kfree(f);
    return ret;
}

static long set_strict(void)
{
    if (current->seccomp_mode != SECCOMP_MODE_DISABLED && current->seccomp_mode != SECCOMP_MODE_STRICT)
        return -EINVAL;
    current->seccomp_mode = SECCOMP_MODE_STRICT;
    return 0;
}

static long action_available(uaddr_t addr)
{
    uint32_t action;

    if (get_user(action, addr) < 0)
        return -EFAULT;
    switch (action) {
    case SECCOMP_RET_KILL_PROCESS:
    case SECCOMP_RET_KILL_THREAD:
    case SECCOMP_RET_TRAP:
    case SECCOMP_RET_ERRNO:
    case SECCOMP_RET_USER_NOTIF:
    case SECCOMP_RET_TRACE:
    case SECCOMP_RET_LOG:
    case SECCOMP_RET_ALLOW:
        return 0;
    default:
        return -EOPNOTSUPP;
    }
}

static long notification_sizes(uaddr_t addr)
{
    const struct seccomp_notif_sizes sizes = {
        sizeof(struct seccomp_notif), sizeof(struct seccomp_notif_resp), sizeof(struct seccomp_data)
    };

    return put_user(sizes, addr);
}

long seccomp_operation(uint32_t operation, uint32_t flags, uaddr_t args)
{
    switch (operation) {
    case SECCOMP_SET_MODE_STRICT:
        return flags || args ? -EINVAL : set_strict();
    case SECCOMP_SET_MODE_FILTER:
        return install(flags, args);
    case SECCOMP_GET_ACTION_AVAIL:
        return flags ? -EINVAL : action_available(args);
    case SECCOMP_GET_NOTIF_SIZES:
        return flags ? -EINVAL : notification_sizes(args);
    default:
        return -EINVAL;
    }
}

SYSCALL_DEFINE3(seccomp, uint32_t, operation, uint32_t, flags, uaddr_t, args)
{
    return seccomp_operation(operation, flags, args);
}
