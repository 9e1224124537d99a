/* Log lines and panics, by the LOG hypercall. */
#include "lib/log.h"

#include "arch/bootinfo.h"
#include "arch/cpu.h"
#include "arch/entry.h"
#include "arch/regs.h"
#include "lib/string.h"

#define BACKTRACE_MAX 24

void klog_write(enum log_level level, const char *text, size_t len)
{
    while (len) {
        size_t n = MIN(len, (size_t)LOG_MAX);

        hypercall(HYPERCALL_LOG, level, (uint64_t)text - DIRECT_BASE, n, 0, 0);
        text += n;
        len -= n;
    }
}

static void log_line(enum log_level level, const char *fmt, va_list ap)
{
    char line[512];
    int n = kvsnprintf(line, sizeof(line), fmt, ap);

    klog_write(level, line, MIN((size_t)n, sizeof(line) - 1));
}

/* Only of those that start, mounts and devices can end with: texts cost memory in every sandbox. */
const char *error_text(long error)
{
    static char number[32];

    switch (-error) {
    case EPERM:
        return "Operation not permitted";
    case ENOENT:
        return "No such file or directory";
    case EIO:
        return "Input/output error";
    case E2BIG:
        return "Argument list too long";
    case ENOEXEC:
        return "Exec format error";
    case ENOMEM:
        return "Cannot allocate memory";
    case EACCES:
        return "Permission denied";
    case ENODEV:
        return "No such device";
    case ENOTDIR:
        return "Not a directory";
    case EISDIR:
        return "Is a directory";
    case EINVAL:
        return "Invalid argument";
    case ENOSPC:
        return "No space left on device";
    case EROFS:
        return "Read-only file system";
    case ENAMETOOLONG:
        return "File name too long";
    case ELOOP:
        return "Too many levels of symbolic links";
    case ELIBBAD:
        return "Accessing a corrupted shared library";
    case EOPNOTSUPP:
        return "Operation not supported";
    case EUCLEAN:
        return "Structure needs cleaning";
    default:
        ksnprintf(number, sizeof(number), "error %ld", -error);
        return number;
    }
}

void klog(enum log_level level, const char *fmt, ...)
{
    va_list ap;

    if (level > boot_info.log_level)
        return;
    va_start(ap, fmt);
    log_line(level, fmt, ap);
    va_end(ap);
}

static bool is_shim_stack(uint64_t addr)
{
    return addr % 8 == 0 && addr >= DIRECT_BASE && addr < DIRECT_BASE + boot_info.ram_end;
}

/* Return addresses along the frame pointers; the vmm knows the symbols. */
static void log_backtrace(uint64_t rip, uint64_t rbp)
{
    uint64_t trace[BACKTRACE_MAX];
    size_t n = 0;

    trace[n++] = rip;
    while (n < BACKTRACE_MAX && is_shim_stack(rbp) && is_shim_stack(rbp + 8)) {
        const uint64_t *frame = (const uint64_t *)rbp;

        trace[n++] = frame[1];
        if (frame[0] <= rbp)
            break;
        rbp = frame[0];
    }
    klog_write(LOG_BACKTRACE, (const char *)trace, n * sizeof(trace[0]));
}

static void log_regs(const struct regs *r)
{
    klog(LOG_ERROR, "  rip %016lx rsp %016lx rflags %08lx vector %ld error %lx", r->rip, r->rsp, r->rflags,
         (long)r->orig_rax, r->error);
    klog(LOG_ERROR, "  rax %016lx rbx %016lx rcx %016lx rdx %016lx", r->rax, r->rbx, r->rcx, r->rdx);
    klog(LOG_ERROR, "  rsi %016lx rdi %016lx rbp %016lx r8  %016lx", r->rsi, r->rdi, r->rbp, r->r8);
    klog(LOG_ERROR, "  r9  %016lx r10 %016lx r11 %016lx r12 %016lx", r->r9, r->r10, r->r11, r->r12);
    klog(LOG_ERROR, "  r13 %016lx r14 %016lx r15 %016lx", r->r13, r->r14, r->r15);
}

static _Noreturn void panic_end(void)
{
    for (;;)
        hypercall(HYPERCALL_EXIT, EXIT_PANIC, 0, 0, 0, 0);
}

_Noreturn void panic(const char *fmt, ...)
{
    static bool panicking;
    va_list ap;

    if (panicking)
        panic_end();
    panicking = true;
    klog(LOG_ERROR, "panic in the shim:");
    va_start(ap, fmt);
    log_line(LOG_ERROR, fmt, ap);
    va_end(ap);
    log_backtrace((uint64_t)__builtin_return_address(0), (uint64_t)__builtin_frame_address(0));
    panic_end();
}

_Noreturn void panic_regs(const struct regs *regs, const char *fmt, ...)
{
    static bool panicking;
    va_list ap;

    if (panicking)
        panic_end();
    panicking = true;
    klog(LOG_ERROR, "panic in the shim:");
    va_start(ap, fmt);
    log_line(LOG_ERROR, fmt, ap);
    va_end(ap);
    log_regs(regs);
    log_backtrace(regs->rip, regs->rbp);
    panic_end();
}

_Noreturn void panic_stack_overflow(const struct regs *regs);
_Noreturn void panic_stack_overflow(const struct regs *regs)
{
    panic_regs(regs, "kernel stack overflow: rsp %lx, stack %lx to %lx", regs->rsp, cpu_kstack_base, cpu_kstack_top);
}
