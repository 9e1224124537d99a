/* ptrace(2): the tracer's requests. */
#include "proc/ptrace.h"

#include "arch/cpu.h"
#include "lib/string.h"
#include "mm/mm.h"
#include "sys/syscall.h"

#include <linux/audit.h>
#include <linux/elf.h>
#include <linux/ptrace.h>
#include <linux/uio.h>

/* x86's own (asm/ptrace-abi.h clashes with our registers' offsets). */
#define PTRACE_GETREGS 12
#define PTRACE_SETREGS 13
#define PTRACE_GETFPREGS 14
#define PTRACE_SETFPREGS 15
#define PTRACE_ARCH_PRCTL 30
#define PTRACE_SYSEMU 31
#define PTRACE_SYSEMU_SINGLESTEP 32
#define PTRACE_SINGLEBLOCK 33

#define USER_REGS_SIZE 216u
#define FPREGS_SIZE 512u

#define OPTIONS_KNOWN                                                                              \
    (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |      \
     PTRACE_O_TRACEEXEC | PTRACE_O_TRACEVFORKDONE | PTRACE_O_TRACEEXIT | PTRACE_O_TRACESECCOMP |   \
     PTRACE_O_EXITKILL | PTRACE_O_SUSPEND_SECCOMP)

/* --- becoming a tracer --- */

static long trace_me(void)
{
    struct process *parent = current->proc->parent;
    struct thread *tracer = thread_find(current->proc->creator);

    if (current->trace)
        return -EPERM;
    if (!tracer || tracer->proc != parent || tracer->exiting)
        tracer = parent->leader;
    if (parent == init_process || !tracer || tracer->exiting)
        return 0; /* Linux's init would be the tracer, and never look */
    return ptrace_attach(current, tracer, false, 0);
}

static long attach(int pid, uint64_t addr, uint64_t data, bool seize)
{
    struct thread *t = thread_find(pid);
    long r;

    if (!t)
        return -ESRCH;
    if (seize && (addr || (data & ~(uint64_t)OPTIONS_KNOWN)))
        return -EIO;
    if (seize && (data & PTRACE_O_SUSPEND_SECCOMP)) /* for those who checkpoint processes: takes CAP_SYS_ADMIN, which nobody has */
        return -EPERM;
    if (t->proc == current->proc || !ptrace_may_access(t->proc))
        return -EPERM;
    r = ptrace_attach(t, current, seize, seize ? (uint32_t)data : 0);
    if (r == 0 && !seize)
        signal_send_thread(t, SIGSTOP, SI_KERNEL, 0, 0);
    return r;
}

/* --- memory --- */

static long peek(struct thread *t, uaddr_t addr, uaddr_t to)
{
    uint64_t word;

    if (!t->mm || mm_read(t->mm, &word, addr, sizeof(word)) < 0)
        return -EIO;
    return put_user(word, to);
}

static long poke(struct thread *t, uaddr_t addr, uint64_t word)
{
    return t->mm && mm_write(t->mm, addr, &word, sizeof(word), true) == 0 ? 0 : -EIO;
}

/* --- signals --- */

static long get_siginfo(const struct trace *tr, uaddr_t to)
{
    if (!tr->info)
        return -EINVAL;
    return put_user(*tr->info, to);
}

static long set_siginfo(const struct trace *tr, uaddr_t from)
{
    siginfo_t info;

    if (get_user(info, from) < 0)
        return -EFAULT;
    if (!tr->info)
        return -EINVAL;
    *tr->info = info;
    return 0;
}

static long get_mask(const struct thread *t, uint64_t size, uaddr_t to)
{
    sigset mask = t->restore_blocked ? t->saved_blocked : t->blocked;

    return size == sizeof(mask) ? put_user(mask, to) : -EINVAL;
}

static long set_mask(struct thread *t, uint64_t size, uaddr_t from)
{
    sigset mask;

    if (size != sizeof(mask))
        return -EINVAL;
    if (get_user(mask, from) < 0)
        return -EFAULT;
    t->blocked = mask & ~SIGNALS_UNBLOCKABLE;
    t->restore_blocked = false;
    return 0;
}

static long peek_siginfo(const struct thread *t, uaddr_t args_addr, uaddr_t to)
{
    struct ptrace_peeksiginfo_args args;
    const struct sigqueue *q = &t->pending;
    const struct siginfo_entry *e;
    uint64_t index = 0;
    long done = 0;

    if (get_user(args, args_addr) < 0)
        return -EFAULT;
    if ((args.flags & ~(uint32_t)PTRACE_PEEKSIGINFO_SHARED) || args.nr < 0)
        return -EINVAL;
    if (args.flags & PTRACE_PEEKSIGINFO_SHARED)
        q = &t->proc->pending;
    list_for_each(e, &q->entries, node) {
        if (done == args.nr)
            break;
        if (index++ < args.off)
            continue;
        if (put_user(e->info, to + (uint64_t)done * sizeof(e->info)) < 0)
            return done > 0 ? done : -EFAULT;
        done++;
    }
    return done;
}

/* --- what it is at --- */

static void entry_arguments(const struct regs *r, struct ptrace_syscall_info *info)
{
    const uint64_t args[6] = { r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9 };

    info->entry.nr = r->orig_rax;
    memcpy(info->entry.args, args, sizeof(args));
}

/* Returns the size of what there is to tell, and copies as much of it as the caller takes. */
static long syscall_info(const struct thread *t, uint64_t size, uaddr_t to)
{
    struct ptrace_syscall_info info;
    size_t actual = offsetof(struct ptrace_syscall_info, entry);
    const struct regs *r = t->regs;

    memset(&info, 0, sizeof(info));
    info.arch = AUDIT_ARCH_X86_64;
    info.instruction_pointer = r->rip;
    info.stack_pointer = r->rsp;
    if (t->trace->stop == TRACE_STOP_ENTRY) {
        info.op = PTRACE_SYSCALL_INFO_ENTRY;
        entry_arguments(r, &info);
        actual = offsetof(struct ptrace_syscall_info, entry) + sizeof(info.entry);
    } else if (t->trace->stop == TRACE_STOP_EXIT) {
        info.op = PTRACE_SYSCALL_INFO_EXIT;
        info.exit.rval = (int64_t)r->rax;
        info.exit.is_error = info.exit.rval < 0 && info.exit.rval >= -4095;
        actual = offsetof(struct ptrace_syscall_info, exit.is_error) + 1;
    }
    return copy_to_user(to, &info, MIN(size, actual)) < 0 ? -EFAULT : (long)actual;
}

static long regset(struct thread *t, bool set, uint32_t type, uaddr_t iov_addr)
{
    struct iovec iov;
    uint64_t size;
    long r;

    if (get_user(iov, iov_addr) < 0)
        return -EFAULT;
    size = iov.iov_len;
    r = set ? ptrace_set_regset(t, type, (uaddr_t)iov.iov_base, &size)
            : ptrace_get_regset(t, type, (uaddr_t)iov.iov_base, &size);
    if (r < 0)
        return r;
    iov.iov_len = size;
    return put_user(iov, iov_addr);
}

static long whole_set(struct thread *t, bool set, uint32_t type, uint64_t size, uaddr_t buf)
{
    long r = set ? ptrace_set_regset(t, type, buf, &size) : ptrace_get_regset(t, type, buf, &size);

    return r == -EFAULT ? -EIO : r;
}

static long rseq_configuration(const struct thread *t, uint64_t size, uaddr_t to)
{
    struct ptrace_rseq_configuration c = { .rseq_abi_pointer = t->rseq, .rseq_abi_size = t->rseq_len, .signature = t->rseq_sig };

    return copy_to_user(to, &c, MIN(size, sizeof(c))) < 0 ? -EFAULT : (long)sizeof(c);
}

/* --- going on --- */

static bool valid_signal(uint64_t signo)
{
    return signo <= SIGNAL_COUNT;
}

static long resume(struct thread *t, enum trace_run run, bool emulate, uint64_t signo)
{
    if (!valid_signal(signo))
        return -EIO;
    ptrace_resume(t, run, emulate, (int)signo);
    return 0;
}

static long detach(struct thread *t, uint64_t signo)
{
    if (!valid_signal(signo))
        return -EIO;
    ptrace_detach(t, (int)signo);
    return 0;
}

static long set_options(struct trace *tr, uint64_t options)
{
    if (options & ~(uint64_t)OPTIONS_KNOWN)
        return -EINVAL;
    if (options & PTRACE_O_SUSPEND_SECCOMP)
        return -EPERM;
    tr->options = (uint32_t)options;
    return 0;
}

/* From a stop that PTRACE_EVENT_STOP told of: it stays stopped, and tells when that changes. */
static long listen(struct trace *tr)
{
    if (!tr->seized || tr->code >> 8 != PTRACE_EVENT_STOP)
        return -EIO;
    tr->listening = true;
    tr->stop = TRACE_STOP_NONE;
    if (tr->trap_wanted) /* there is something already */
        ptrace_resume(tr->tracee, tr->run, tr->emulate, 0);
    return 0;
}

/* On a tracee that is stopped. */
static long request_stopped(struct thread *t, long request, uint64_t addr, uint64_t data)
{
    struct trace *tr = t->trace;
    uint64_t word;
    long r;

    switch (request) {
    case PTRACE_PEEKTEXT:
    case PTRACE_PEEKDATA:
        return peek(t, addr, data);
    case PTRACE_POKETEXT:
    case PTRACE_POKEDATA:
        return poke(t, addr, data);
    case PTRACE_PEEKUSR:
        r = ptrace_peek_user(t, addr, &word);
        return r < 0 ? r : put_user(word, data);
    case PTRACE_POKEUSR:
        return ptrace_poke_user(t, addr, data);
    case PTRACE_GETREGS:
    case PTRACE_SETREGS:
        return whole_set(t, request == PTRACE_SETREGS, NT_PRSTATUS, USER_REGS_SIZE, data);
    case PTRACE_GETFPREGS:
    case PTRACE_SETFPREGS:
        return whole_set(t, request == PTRACE_SETFPREGS, NT_PRFPREG, FPREGS_SIZE, data);
    case PTRACE_GETREGSET:
    case PTRACE_SETREGSET:
        return regset(t, request == PTRACE_SETREGSET, (uint32_t)addr, data);
    case PTRACE_GETSIGINFO:
        return get_siginfo(tr, data);
    case PTRACE_SETSIGINFO:
        return set_siginfo(tr, data);
    case PTRACE_PEEKSIGINFO:
        return peek_siginfo(t, addr, data);
    case PTRACE_GETSIGMASK:
        return get_mask(t, addr, data);
    case PTRACE_SETSIGMASK:
        return set_mask(t, addr, data);
    case PTRACE_GETEVENTMSG:
        return put_user(tr->message, data);
    case PTRACE_GET_SYSCALL_INFO:
        return syscall_info(t, addr, data);
    case PTRACE_GET_RSEQ_CONFIGURATION:
        return rseq_configuration(t, addr, data);
    case PTRACE_SETOPTIONS:
        return set_options(tr, data);
    case PTRACE_CONT:
        return resume(t, TRACE_RUN, false, data);
    case PTRACE_SYSCALL:
        return resume(t, TRACE_RUN_SYSCALL, false, data);
    case PTRACE_SINGLESTEP:
        return resume(t, TRACE_RUN_STEP, false, data);
    case PTRACE_SINGLEBLOCK:
        return resume(t, TRACE_RUN_BLOCK, false, data);
    case PTRACE_SYSEMU:
        return resume(t, TRACE_RUN, true, data);
    case PTRACE_SYSEMU_SINGLESTEP:
        return resume(t, TRACE_RUN_STEP, true, data);
    case PTRACE_DETACH:
        return detach(t, data);
    case PTRACE_LISTEN:
        return listen(tr);
    default:
        return -EIO;
    }
}

SYSCALL_DEFINE4(ptrace, long, request, int, pid, uint64_t, addr, uint64_t, data)
{
    struct thread *t;

    switch (request) {
    case PTRACE_TRACEME:
        return trace_me();
    case PTRACE_ATTACH:
    case PTRACE_SEIZE:
        return attach(pid, addr, data, request == PTRACE_SEIZE);
    default:
        break;
    }
    t = thread_find(pid);
    if (!t || !t->trace || t->trace->tracer_thread != current || t->trace->ended || t->proc->zombie)
        return -ESRCH;
    if (request == PTRACE_KILL) {
        signal_send_thread(t, SIGKILL, SI_KERNEL, 0, 0);
        return 0;
    }
    if (request == PTRACE_INTERRUPT)
        return ptrace_interrupt(t);
    return t->trace->stop == TRACE_STOP_NONE ? -ESRCH : request_stopped(t, request, addr, data);
}
