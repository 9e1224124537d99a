/* Text for the operator, through the vmm; and the end when the shim finds itself broken. */
#ifndef LIB_LOG_H
#define LIB_LOG_H

#include "hypercalls/hypercall.h"
#include "lib/base.h"

struct regs;

/* One line, without a newline at its end. Dropped if level is above the operator's. */
void klog(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Write raw text (strace lines). */
void klog_write(enum log_level level, const char *text, size_t len);

/* What the operator is told of a negative errno. Valid until the next call. */
const char *error_text(long error);

/* Print registers and a symbolised backtrace through the vmm and end the sandbox with status 125. */
_Noreturn void panic(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void panic_regs(const struct regs *regs, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define BUG_ON(cond)                                                                               \
    do {                                                                                           \
        if (unlikely(cond))                                                                        \
            panic("%s:%d: %s", __FILE__, __LINE__, #cond);                                         \
    } while (0)

#endif
