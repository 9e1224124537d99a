/*
 * What entry.S calls: system calls to the table, exceptions to the memory manager or to a signal, and the work on the
 * way back to the app.
 */
#include "arch/cpu.h"
#include "arch/entry.h"
#include "arch/profile.h"
#include "lib/log.h"
#include "mm/mm.h"
#include "mm/rewrite.h"
#include "proc/process.h"
#include "proc/ptrace.h"
#include "proc/sched.h"
#include "proc/seccomp.h"
#include "proc/signal.h"
#include "proc/usage.h"
#include "sys/strace.h"
#include "sys/syscall.h"
#include "sys/table.h"
#include "sys/vsyscall.h"

#include <asm/siginfo.h>
#include <asm/signal.h>

enum vector {
    VECTOR_DE = 0,
    VECTOR_DB = 1,
    VECTOR_BP = 3,
    VECTOR_OF = 4,
    VECTOR_BR = 5,
    VECTOR_UD = 6,
    VECTOR_DF = 8,
    VECTOR_NP = 11,
    VECTOR_SS = 12,
    VECTOR_GP = 13,
    VECTOR_PF = 14,
    VECTOR_MF = 16,
    VECTOR_AC = 17,
    VECTOR_XM = 19,
    VECTOR_WINDOW = 32, /* entry.S: a window page lost its file */
};

struct fixup {
    uint64_t begin, end, landing;
};

extern const struct fixup fixup_table[], fixup_table_end[];
extern const char return_restart_begin[], return_restart_end[];
extern struct regs *cpu_frame;

/* --- system calls --- */

/* What REFUSED rows answer. ENOSYS is answered, and counted, by the table's empty places. */
static long refused_EPERM(struct regs *regs UNUSED)
{
    return -EPERM;
}

static long refused_EOPNOTSUPP(struct regs *regs UNUSED)
{
    return -EOPNOTSUPP;
}

#define refused_ENOSYS NULL

#define SYSCALL_DECLARE_FULL(name) long sys_##name(struct regs *regs);
#define SYSCALL_DECLARE_PART(name) long sys_##name(struct regs *regs);
#define SYSCALL_DECLARE_REFUSED(name)
#define SYSCALL_DECLARE_NONE(name)
#define X(number, name, state, ...) SYSCALL_DECLARE_##state(name)
SYSCALL_LIST(X)
#undef X

#define SYSCALL_ENTRY_FULL(name, ...) sys_##name
#define SYSCALL_ENTRY_PART(name, ...) sys_##name
#define SYSCALL_ENTRY_REFUSED(name, error, ...) refused_##error
#define SYSCALL_ENTRY_NONE(name, ...) NULL
static const syscall_fn syscall_table[SYSCALL_NR_MAX] = {
#define X(number, name, state, ...) [number] = SYSCALL_ENTRY_##state(name, ##__VA_ARGS__),
    SYSCALL_LIST(X)
#undef X
};

static long dispatch(struct regs *regs)
{
    uint32_t nr = (uint32_t)regs->orig_rax; /* as on Linux the upper half doesn't count */
    syscall_fn fn = nr < SYSCALL_NR_MAX ? syscall_table[nr] : NULL;
    long ret;

    report.syscalls++;
    if (nr < SYSCALL_NR_MAX)
        report.syscall_count[nr]++;
    if (likely(fn)) {
        usage_call_begins(nr, regs->rdx);
        ret = fn(regs);
        usage_call_ends();
        return ret;
    }
    if (nr < SYSCALL_NR_MAX)
        report.enosys_count[nr]++;
    return -ENOSYS;
}

void syscall_entry(struct regs *regs)
{
    bool left_out = unlikely(current->trace) && !ptrace_syscall_enter(regs);
    uint64_t nr = regs->orig_rax;
    long ret;

    if (unlikely(strace_enabled))
        strace_enter(regs);
    if (unlikely(left_out))
        ret = (long)regs->rax;
    else if (likely(!current->seccomp_mode) || seccomp_allows(regs, &ret))
        ret = dispatch(regs);
    if (unlikely(strace_enabled))
        strace_exit(regs, nr, ret);
    regs->rax = (uint64_t)ret;
    if (unlikely(ret <= -ERESTARTSYS && ret >= -ERESTART_RESTARTBLOCK))
        cpu_work |= WORK_SIGNAL; /* signal_deliver decides whether it restarts */
    if (unlikely(current->trace))
        ptrace_syscall_exit(regs);
}

/* The same, by the instruction itself and not from a rewritten site. */
void syscall_trap(struct regs *regs)
{
    rewrite_trap(regs);
    syscall_entry(regs);
}

/* --- exceptions --- */

static bool fix_up(struct regs *regs)
{
    for (const struct fixup *f = fixup_table; f < fixup_table_end; f++) {
        if (regs->rip >= f->begin && regs->rip < f->end) {
            regs->rip = f->landing;
            return true;
        }
    }
    return false;
}

static bool may_fault(const struct regs *regs)
{
    struct regs copy = { .rip = regs->rip };

    return fix_up(&copy);
}

/* x87 and SSE exceptions: which of the unmasked flags it was (SDM vol. 1, 8.5 and 11.5). */
static int fpe_code(uint64_t vector)
{
    uint8_t area[512] __attribute__((aligned(16)));
    uint32_t flags;

    fpu_save_legacy(area);
    if (vector == VECTOR_MF) {
        uint32_t control = (uint32_t)(area[0] | area[1] << 8), status = (uint32_t)(area[2] | area[3] << 8);

        flags = status & ~control;
    } else {
        uint32_t mxcsr = (uint32_t)(area[24] | area[25] << 8);

        flags = mxcsr & ~(mxcsr >> 7);
    }
    if (flags & 1)
        return FPE_FLTINV;
    if (flags & 4)
        return FPE_FLTDIV;
    if (flags & 8)
        return FPE_FLTOVF;
    if (flags & (2 | 16))
        return FPE_FLTUND;
    return flags & 32 ? FPE_FLTRES : FPE_FLTUNK;
}

static void page_fault(struct regs *regs, uint64_t addr, bool in_shim)
{
    struct fault f;

    report.faults++;
    if (in_shim && !may_fault(regs))
        panic_regs(regs, "page fault at %lx", addr);
    if (addr < APP_END && mm_fault(current->mm, addr, (uint32_t)regs->error, &f))
        return;
    if (!in_shim && addr == regs->rip && vsyscall(regs))
        return;
    if (addr >= APP_END)
        f = (struct fault){ SIGSEGV, SEGV_MAPERR, addr };
    if (in_shim)
        fix_up(regs);
    else
        signal_force_fault(f.signo, f.si_code, f.addr, VECTOR_PF, regs->error);
}

/* In the middle of a call that is measured it is a part of that. */
static void measured_fault(struct regs *regs, uint64_t addr, bool in_shim)
{
    bool alone = !current->kernel_since_ns;

    if (alone)
        usage_begin(1);
    page_fault(regs, addr, in_shim);
    if (alone)
        usage_end();
}

/* What an exception other than a page fault means for the app (Linux: arch/x86/kernel/traps.c's table in signal(7) terms). */
static void app_exception(struct regs *regs, uint64_t vector)
{
    switch (vector) {
    case VECTOR_DE:
        signal_force_fault(SIGFPE, FPE_INTDIV, regs->rip, (int)vector, regs->error);
        break;
    case VECTOR_DB:
        regs->rflags &= ~(uint64_t)RFLAGS_RF;
        if (current->trace && ptrace_step_goes_on(regs))
            break;
        signal_force_fault(SIGTRAP, TRAP_TRACE, regs->rip, (int)vector, regs->error);
        break;
    case VECTOR_BP:
        signal_force_fault(SIGTRAP, SI_KERNEL, 0, (int)vector, regs->error);
        break;
    case VECTOR_UD:
        signal_force_fault(SIGILL, ILL_ILLOPN, regs->rip, (int)vector, regs->error);
        break;
    case VECTOR_MF:
    case VECTOR_XM:
        signal_force_fault(SIGFPE, fpe_code(vector), regs->rip, (int)vector, regs->error);
        break;
    case VECTOR_AC:
        signal_force_fault(SIGBUS, BUS_ADRALN, 0, (int)vector, regs->error);
        break;
    case VECTOR_NP:
    case VECTOR_SS:
        signal_force_fault(SIGBUS, SI_KERNEL, 0, (int)vector, regs->error);
        break;
    default:
        signal_force_fault(SIGSEGV, SI_KERNEL, 0, (int)vector, regs->error);
    }
}

/* The app was to go on at an address that the CPU doesn't take: its fault, seen in the return path. */
static _Noreturn void bad_return(uint64_t vector, uint64_t error)
{
    struct regs *regs = cpu_frame;

    signal_force_fault(SIGSEGV, SI_KERNEL, 0, (int)vector, error);
    regs->orig_rax = NO_SYSCALL;
    return_to_user(regs);
}

/*
 * A window page is gone, or can't be had. In the second case the app, and the shim where it works on the app's addresses, fault
 * again page by page; the shim's own copies have the window's address in rsi or rdi.
 */
static void window_fault(struct regs *regs, bool in_shim)
{
    gpa_t gpa = shared_page()->fault_gpa;
    uint64_t len = shared_page()->fault_len;

    if (len > 0)
        mm_window_lost(gpa, len);
    else if (!mm_window_doubt(in_shim ? regs->rsi : 0, in_shim ? regs->rdi : 0))
        panic_regs(regs, "the host can't give memory");
}

/* An exception of the app's that belongs to a rewritten call site: then the call is done. */
static bool rewritten_exception(struct regs *regs, uint64_t vector, uint64_t cr2)
{
    bool mine = false;

    if (vector == VECTOR_DB)
        mine = rewrite_resume_step(regs);
    else if (vector == VECTOR_GP || (vector == VECTOR_PF && cr2 == regs->rax))
        mine = rewrite_resume_fault(regs);
    if (mine)
        syscall_entry(regs);
    return mine;
}

void exception_entry(struct regs *regs, uint64_t cr2)
{
    uint64_t vector = regs->orig_rax;
    bool in_shim = regs->rip - DIRECT_BASE < DIRECT_END - DIRECT_BASE;

    regs->orig_rax = NO_SYSCALL;
    if (in_shim && regs->rip >= (uint64_t)return_restart_begin && regs->rip < (uint64_t)return_restart_end)
        bad_return(vector, regs->error);
    if (!in_shim && rewritten_exception(regs, vector, cr2))
        return;
    switch (vector) {
    case VECTOR_PF:
        measured_fault(regs, cr2, in_shim);
        return;
    case VECTOR_WINDOW:
        window_fault(regs, in_shim);
        return;
    case VECTOR_DF:
        panic_regs(regs, "double fault");
    case VECTOR_DB:
    case VECTOR_AC:
        if (in_shim) { /* flags that the app left set: nothing of the shim's business */
            regs->rflags &= ~(uint64_t)(RFLAGS_TF | RFLAGS_AC);
            return;
        }
        break;
    default:
        break;
    }
    if (!in_shim)
        app_exception(regs, vector);
    else if (!fix_up(regs))
        panic_regs(regs, "exception %lu", vector);
}

/* --- the way back --- */

void return_work(struct regs *regs)
{
    uint32_t bits = __atomic_exchange_n(&shared_page()->pending, 0, __ATOMIC_ACQ_REL);

    if (unlikely(bits & PENDING_PROFILE) && regs->orig_rax == NO_SYSCALL)
        profile_sample(regs);
    if (bits)
        sched_handle_pending(bits);
    if (cpu_work)
        sched_return_work(regs);
}
