/*
 * Signal frames on the app's stack, exactly as Linux lays them out (arch/x86/kernel/signal_64.c, arch/x86/include/uapi/
 * asm/sigcontext.h): unwinders, Go, Java and V8 read and change them. What comes back is hostile to nobody but the app,
 * yet must not fault the shim: the vector state goes through fpu_restore_checked, flags and selectors are filtered.
 */
#include "proc/signal.h"

#include "arch/cpu.h"
#include "lib/string.h"

#include <asm/sigcontext.h>
#include <linux/signal.h>

#define RED_ZONE 128
#define FPU_ALIGN 64
#define FXSAVE_SIZE 512
#define FXSAVE_MXCSR 24
#define XSTATE_HEADER 512 /* offset of struct _header in the area */
#define XFEATURES_LEGACY 3ull
#define XSAVE_MIN (FXSAVE_SIZE + sizeof(struct _header))
#define MXCSR_DEFINED 0xffffu

/* uc_flags (asm/ucontext.h, which needs the C library's struct sigcontext). */
#define UC_FP_XSTATE 1
#define UC_SIGCONTEXT_SS 2
#define UC_STRICT_RESTORE_SS 4

/* What sigreturn takes over (Linux's FIX_EFLAGS): not NT, with which iret faults. */
#define FLAGS_OF_FRAME 0x50dd5ul

#define ALTSTACK_MIN 2048
#define ALTSTACK_AUTODISARM (1u << 31)

struct user_stack {
    uint64_t sp;
    uint32_t flags;
    uint32_t padding;
    uint64_t size;
};

struct rt_sigframe {
    uint64_t pretcode;
    struct {
        uint64_t flags;
        uint64_t link;
        struct user_stack stack;
        struct sigcontext_64 mcontext;
        uint64_t sigmask;
    } uc;
    siginfo_t info;
};

_Static_assert(sizeof(struct rt_sigframe) == 8 + 304 + 128, "the frame is Linux ABI");
_Static_assert(sizeof(struct _fpx_sw_bytes) == 48, "sw_reserved is Linux ABI");

/* --- the alternate stack --- */

static bool in_altstack(const struct thread *t, uint64_t sp)
{
    return sp > t->altstack_sp && sp - t->altstack_sp <= t->altstack_size;
}

static bool on_altstack(const struct thread *t, uint64_t sp)
{
    if (t->altstack_flags & ALTSTACK_AUTODISARM)
        return false;
    return in_altstack(t, sp);
}

static uint32_t altstack_state(const struct thread *t, uint64_t sp)
{
    if (t->altstack_size == 0)
        return SS_DISABLE;
    return on_altstack(t, sp) ? SS_ONSTACK : 0;
}

void altstack_reset(struct thread *t)
{
    t->altstack_sp = 0;
    t->altstack_size = 0;
    t->altstack_flags = SS_DISABLE;
}

static void altstack_get(const struct thread *t, uint64_t sp, struct user_stack *ret)
{
    *ret = (struct user_stack){ t->altstack_sp, altstack_state(t, sp), 0, t->altstack_size };
    ret->flags |= t->altstack_flags & ALTSTACK_AUTODISARM;
}

static long altstack_put(struct thread *t, const struct user_stack *s, uint64_t sp)
{
    uint32_t mode = s->flags & ~ALTSTACK_AUTODISARM;

    if (on_altstack(t, sp))
        return -EPERM;
    if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
        return -EINVAL;
    if (mode == SS_DISABLE) {
        altstack_reset(t);
        t->altstack_flags = s->flags;
        return 0;
    }
    if (s->size < ALTSTACK_MIN)
        return -ENOMEM;
    t->altstack_sp = s->sp;
    t->altstack_size = s->size;
    t->altstack_flags = s->flags;
    return 0;
}

long sigaltstack_set(uaddr_t new_stack, uaddr_t old_stack, uint64_t sp)
{
    struct user_stack old, new;
    long error;

    altstack_get(current, sp, &old);
    if (new_stack) {
        if (get_user(new, new_stack) < 0)
            return -EFAULT;
        error = altstack_put(current, &new, sp);
        if (error < 0)
            return error;
    }
    return old_stack ? put_user(old, old_stack) : 0;
}

/* --- vector state --- */

/* The registers hold the app's state: the shim doesn't use them. thread->fpu serves as a buffer. */
static long put_fpu(uaddr_t area)
{
    uint8_t *buf = current->fpu;
    struct _header *header = (struct _header *)(buf + XSTATE_HEADER);
    uint32_t magic2 = FP_XSTATE_MAGIC2;
    struct _fpx_sw_bytes sw = {
        .magic1 = FP_XSTATE_MAGIC1,
        .extended_size = fpu_size + FP_XSTATE_MAGIC2_SIZE,
        .xfeatures = fpu_mask,
        .xstate_size = fpu_size,
    };

    fpu_save(buf);
    memcpy(buf + offsetof(struct _fpstate_64, sw_reserved), &sw, sizeof(sw));
    header->xfeatures |= XFEATURES_LEGACY; /* handlers read x87 and SSE without looking here */
    if (copy_to_user(area, buf, fpu_size) < 0)
        return -EFAULT;
    return copy_to_user(area + fpu_size, &magic2, sizeof(magic2));
}

/* How much of the frame's state is there: all of it if both magics are, else what FXSAVE knows. */
static size_t fpu_frame_size(uaddr_t area, struct _fpx_sw_bytes *sw)
{
    uint32_t magic2;

    if (copy_from_user(sw, area + offsetof(struct _fpstate_64, sw_reserved), sizeof(*sw)) < 0)
        return 0;
    if (sw->magic1 != FP_XSTATE_MAGIC1 || sw->xstate_size < XSAVE_MIN || sw->xstate_size > fpu_size ||
        sw->xstate_size > sw->extended_size)
        return FXSAVE_SIZE;
    if (get_user(magic2, area + sw->xstate_size) < 0 || magic2 != FP_XSTATE_MAGIC2)
        return FXSAVE_SIZE;
    return sw->xstate_size;
}

static long get_fpu(uaddr_t area)
{
    uint8_t *buf = current->fpu;
    struct _header *header = (struct _header *)(buf + XSTATE_HEADER);
    struct _fpx_sw_bytes sw;
    uint32_t mxcsr;
    size_t size;

    if (!area) {
        fpu_restore(fpu_initial);
        return 0;
    }
    size = fpu_frame_size(area, &sw);
    memset(buf, 0, fpu_size);
    if (size == 0 || copy_from_user(buf, area, size) < 0)
        return -EFAULT;
    header->xfeatures = size == FXSAVE_SIZE ? XFEATURES_LEGACY : header->xfeatures & sw.xfeatures & fpu_mask;
    memset((uint8_t *)header + sizeof(header->xfeatures), 0, sizeof(*header) - sizeof(header->xfeatures));
    memcpy(&mxcsr, buf + FXSAVE_MXCSR, sizeof(mxcsr));
    if ((mxcsr & ~MXCSR_DEFINED) || fpu_restore_checked(buf) < 0) {
        fpu_restore(fpu_initial);
        return -EFAULT;
    }
    return 0;
}

/* --- registers --- */

static void fill_context(struct sigcontext_64 *c, const struct regs *r, uint64_t mask, uaddr_t fpstate)
{
    /* clang-format off */
    *c = (struct sigcontext_64){
        .r8 = r->r8, .r9 = r->r9, .r10 = r->r10, .r11 = r->r11,
        .r12 = r->r12, .r13 = r->r13, .r14 = r->r14, .r15 = r->r15,
        .di = r->rdi, .si = r->rsi, .bp = r->rbp, .bx = r->rbx,
        .dx = r->rdx, .ax = r->rax, .cx = r->rcx, .sp = r->rsp,
        .ip = r->rip, .flags = r->rflags,
        .cs = USER_CS, .ss = USER_SS,
        .err = current->trap_error,
        .trapno = (__u64)current->trap_number,
        .oldmask = mask,
        .cr2 = current->trap_address,
        .fpstate = fpstate,
    };
    /* clang-format on */
}

static void take_context(struct regs *r, const struct sigcontext_64 *c)
{
    /* clang-format off */
    *r = (struct regs){
        .r8 = c->r8, .r9 = c->r9, .r10 = c->r10, .r11 = c->r11,
        .r12 = c->r12, .r13 = c->r13, .r14 = c->r14, .r15 = c->r15,
        .rdi = c->di, .rsi = c->si, .rbp = c->bp, .rbx = c->bx,
        .rdx = c->dx, .rax = c->ax, .rcx = c->cx, .rsp = c->sp,
        .rip = c->ip,
        .rflags = (r->rflags & ~FLAGS_OF_FRAME) | (c->flags & FLAGS_OF_FRAME),
        .cs = USER_CS, .ss = USER_SS,
        .orig_rax = NO_SYSCALL,
    };
    /* clang-format on */
}

/* --- push and pop --- */

/* Where the frame and the vector state go. 0: there is no room on the alternate stack. */
static uint64_t choose_stack(const struct regs *regs, const struct signal_action *action, uaddr_t *ret_fpstate)
{
    uint64_t sp = regs->rsp - RED_ZONE;
    bool alternate = on_altstack(current, regs->rsp);

    if ((action->flags & SA_ONSTACK) && current->altstack_size > 0 && !alternate) {
        sp = current->altstack_sp + current->altstack_size;
        alternate = true;
    }
    *ret_fpstate = ALIGN_DOWN(sp - (fpu_size + FP_XSTATE_MAGIC2_SIZE), FPU_ALIGN);
    sp = ALIGN_DOWN(*ret_fpstate - sizeof(struct rt_sigframe), 16) - 8;
    return alternate && !in_altstack(current, sp) ? 0 : sp;
}

static long write_frame(uint64_t sp, uaddr_t fpstate, const struct regs *regs, const struct signal_action *action,
                        const siginfo_t *info, sigset mask)
{
    struct rt_sigframe frame = {
        .pretcode = action->restorer,
        .uc.flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS,
        .uc.sigmask = mask,
        .info = *info,
    };

    altstack_get(current, regs->rsp, &frame.uc.stack);
    fill_context(&frame.uc.mcontext, regs, mask, fpstate);
    if (put_fpu(fpstate) < 0)
        return -EFAULT;
    return copy_to_user(sp, &frame, sizeof(frame));
}

int sigframe_push(struct regs *regs, const struct signal_action *action, const siginfo_t *info, sigset mask)
{
    uaddr_t fpstate;
    uint64_t sp = choose_stack(regs, action, &fpstate);

    if (sp == 0 || !(action->flags & SA_RESTORER) || write_frame(sp, fpstate, regs, action, info, mask) < 0)
        return -EFAULT;
    if (current->altstack_flags & ALTSTACK_AUTODISARM)
        altstack_reset(current);
    fpu_restore(fpu_initial);
    regs->rdi = (uint64_t)info->si_signo;
    regs->rsi = sp + offsetof(struct rt_sigframe, info);
    regs->rdx = sp + offsetof(struct rt_sigframe, uc);
    regs->rax = 0;
    regs->rip = action->handler;
    regs->rsp = sp;
    regs->rflags &= ~(uint64_t)(RFLAGS_DF | RFLAGS_RF | RFLAGS_TF);
    return 0;
}

int sigframe_pop(struct regs *regs)
{
    struct rt_sigframe frame;
    uaddr_t sp = regs->rsp - sizeof(frame.pretcode);

    if (copy_from_user(&frame, sp, offsetof(struct rt_sigframe, info)) < 0)
        return -EFAULT;
    current->restart = NULL;
    take_context(regs, &frame.uc.mcontext);
    if (get_fpu(frame.uc.mcontext.fpstate) < 0)
        return -EFAULT;
    altstack_put(current, &frame.uc.stack, regs->rsp); /* errors are ignored, as in Linux */
    signal_set_mask(frame.uc.sigmask);
    return 0;
}
