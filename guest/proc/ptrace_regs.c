/* The registers of a stopped tracee, in the forms that debuggers know: user_regs_struct, fxsave, xsave. */
#include "proc/ptrace.h"

#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "hypercalls/layout.h"
#include "lib/kmalloc.h"
#include "lib/string.h"

#include <linux/elf.h>

/* sys/user.h's struct user_regs_struct; the first ones are laid out as struct regs, without the error code. */
struct user_regs {
    uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax;
    uint64_t rip, cs, rflags, rsp, ss, fs_base, gs_base, ds, es, fs, gs;
};

#define COMMON_COUNT 16u /* r15 to orig_rax */
#define USER_SIZE 928u   /* of Linux's struct user */
#define DEBUGREG_OFFSET 848u
#define DEBUGREG_COUNT 8u

_Static_assert(offsetof(struct user_regs, rip) == COMMON_COUNT * 8 && offsetof(struct regs, error) == COMMON_COUNT * 8,
               "the same up to orig_rax");

#define FXSAVE_SIZE 512u
#define FXSAVE_MXCSR 24u
#define FXSAVE_MXCSR_MASK 28u
#define FXSAVE_SOFTWARE 464u /* bytes that the CPU leaves alone: what is enabled, for debuggers */
#define XSAVE_HEADER 512u    /* XSTATE_BV, XCOMP_BV (SDM vol. 1, 13.4.2) */
#define XSAVE_HEADER_SIZE 64u
#define XSTATE_LEGACY 3u     /* x87 and SSE */
#define MXCSR_DEFINED 0xffffu

/* --- general registers --- */

static void get_general(const struct thread *t, struct user_regs *u)
{
    memset(u, 0, sizeof(*u));
    memcpy(u, t->regs, COMMON_COUNT * sizeof(uint64_t));
    u->rip = t->regs->rip;
    u->cs = t->regs->cs;
    u->rflags = t->regs->rflags;
    if (t->trace && t->trace->own_tf)
        u->rflags &= ~(uint64_t)RFLAGS_TF;
    u->rsp = t->regs->rsp;
    u->ss = t->regs->ss;
    u->fs_base = t->fs_base;
    u->gs_base = t->gs_base;
}

/* Flags are filtered; selectors must be what they are, and bases the app's. */
static long set_general(struct thread *t, const struct user_regs *u)
{
    struct regs *r = t->regs;

    if (u->cs != USER_CS || u->ss != USER_SS || u->ds || u->es || u->fs || u->gs)
        return -EIO;
    if (u->fs_base >= APP_END || u->gs_base >= APP_END)
        return -EIO;
    memcpy(r, u, COMMON_COUNT * sizeof(uint64_t));
    r->rip = u->rip;
    r->rsp = u->rsp;
    r->rflags = (u->rflags & RFLAGS_USER) | (r->rflags & ~(uint64_t)RFLAGS_USER);
    if (t->trace && t->trace->own_tf && (u->rflags & RFLAGS_TF))
        t->trace->own_tf = false; /* now it is the program's */
    else if (t->trace && t->trace->own_tf)
        r->rflags |= RFLAGS_TF;
    t->fs_base = u->fs_base;
    t->gs_base = u->gs_base;
    return 0;
}

long ptrace_peek_user(const struct thread *t, uint64_t offset, uint64_t *ret)
{
    struct user_regs u;

    if ((offset & 7) || offset >= USER_SIZE)
        return -EIO;
    *ret = 0;
    if (offset < sizeof(u)) {
        get_general(t, &u);
        *ret = ((const uint64_t *)&u)[offset / 8];
    }
    return 0;
}

/* Debug registers aren't there to be set; clearing them is fine. */
long ptrace_poke_user(struct thread *t, uint64_t offset, uint64_t value)
{
    struct user_regs u;

    if ((offset & 7) || offset >= USER_SIZE)
        return -EIO;
    if (offset >= sizeof(u))
        return offset >= DEBUGREG_OFFSET && offset < DEBUGREG_OFFSET + DEBUGREG_COUNT * 8 && value == 0 ? 0 : -EIO;
    get_general(t, &u);
    ((uint64_t *)&u)[offset / 8] = value;
    return set_general(t, &u);
}

/* --- vector state --- */

static uint32_t mxcsr_mask(const uint8_t *area)
{
    uint32_t mask;

    memcpy(&mask, area + FXSAVE_MXCSR_MASK, sizeof(mask));
    return mask ? mask & MXCSR_DEFINED : 0xffbf; /* SDM vol. 1, 11.6.6 */
}

/* Would the CPU take it? Current's own state is saved and restored around the try. */
static bool is_loadable(const uint8_t *area)
{
    long r;

    fpu_save(current->fpu);
    r = fpu_restore_checked(area);
    fpu_restore(current->fpu);
    return r == 0;
}

/* Put the changed image into force, if the CPU would take it. */
static long commit_area(struct thread *t, uint8_t *area)
{
    uint32_t mxcsr;

    memcpy(&mxcsr, area + FXSAVE_MXCSR, sizeof(mxcsr));
    if ((mxcsr & ~mxcsr_mask(t->fpu)) || !is_loadable(area))
        return -EINVAL;
    memcpy(t->fpu, area, fpu_size);
    return 0;
}

/* 64-byte aligned, as xrstor wants it; *ret_block is what to kfree. */
static uint8_t *area_copy(const struct thread *t, void **ret_block)
{
    uint8_t *area;

    *ret_block = kmalloc(fpu_size + 64);
    if (!*ret_block)
        return NULL;
    area = (uint8_t *)ALIGN_UP((uint64_t)*ret_block, 64);
    memcpy(area, t->fpu, fpu_size);
    return area;
}

static long set_fxsave(struct thread *t, uaddr_t buf)
{
    void *block;
    uint8_t *area = area_copy(t, &block);
    uint32_t mask;
    uint64_t present;
    long r;

    if (!area)
        return -ENOMEM;
    memcpy(&mask, area + FXSAVE_MXCSR_MASK, sizeof(mask));
    r = copy_from_user(area, buf, FXSAVE_SIZE);
    memcpy(area + FXSAVE_MXCSR_MASK, &mask, sizeof(mask));
    memcpy(&present, area + XSAVE_HEADER, sizeof(present));
    present |= XSTATE_LEGACY;
    memcpy(area + XSAVE_HEADER, &present, sizeof(present));
    if (r == 0)
        r = commit_area(t, area);
    kfree(block);
    return r;
}

static long set_xsave(struct thread *t, uaddr_t buf, uint64_t size)
{
    static const uint8_t zeroes[XSAVE_HEADER_SIZE - 8];
    void *block;
    uint8_t *area;
    uint64_t present;
    long r;

    if (size < fpu_size)
        return -EFAULT;
    area = area_copy(t, &block);
    if (!area)
        return -ENOMEM;
    r = copy_from_user(area, buf, fpu_size);
    memcpy(&present, area + XSAVE_HEADER, sizeof(present));
    if (r == 0 && ((present & ~fpu_mask) || memcmp(area + XSAVE_HEADER + 8, zeroes, sizeof(zeroes)) != 0))
        r = -EINVAL;
    if (r == 0)
        r = commit_area(t, area);
    kfree(block);
    return r;
}

static long get_xsave(const struct thread *t, uaddr_t buf, uint64_t size)
{
    uint8_t software[FXSAVE_SIZE - FXSAVE_SOFTWARE] = { 0 };
    long r = copy_to_user(buf, t->fpu, MIN(size, (uint64_t)fpu_size));

    memcpy(software, &fpu_mask, sizeof(fpu_mask));
    if (r == 0 && size >= FXSAVE_SIZE)
        r = copy_to_user(buf + FXSAVE_SOFTWARE, software, sizeof(software));
    return r;
}

/* --- by type --- */

long ptrace_get_regset(struct thread *t, uint32_t type, uaddr_t buf, uint64_t *size)
{
    struct user_regs u;

    switch (type) {
    case NT_PRSTATUS:
        get_general(t, &u);
        *size = MIN(*size, sizeof(u));
        return copy_to_user(buf, &u, *size);
    case NT_PRFPREG:
        *size = MIN(*size, (uint64_t)FXSAVE_SIZE);
        return copy_to_user(buf, t->fpu, *size);
    case NT_X86_XSTATE:
        *size = MIN(*size, (uint64_t)fpu_size);
        return get_xsave(t, buf, *size);
    default:
        return -EINVAL;
    }
}

long ptrace_set_regset(struct thread *t, uint32_t type, uaddr_t buf, uint64_t *size)
{
    struct user_regs u;

    switch (type) {
    case NT_PRSTATUS:
        get_general(t, &u);
        *size = MIN(*size, sizeof(u));
        return copy_from_user(&u, buf, *size) < 0 ? -EFAULT : set_general(t, &u);
    case NT_PRFPREG:
        if (*size < FXSAVE_SIZE)
            return -EINVAL;
        *size = FXSAVE_SIZE;
        return set_fxsave(t, buf);
    case NT_X86_XSTATE:
        if (*size < fpu_size)
            return -EFAULT;
        *size = fpu_size;
        return set_xsave(t, buf, *size);
    default:
        return -EINVAL;
    }
}
