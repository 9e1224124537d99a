/*
 * What every file of the shim may count on: fixed-width types, errno values, small macros.
 */
#ifndef LIB_BASE_H
#define LIB_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/errno.h>

/* All of the shim is one image: without this, addresses of other files' functions would come from a GOT. */
#if !__STDC_HOSTED__
#pragma GCC visibility push(hidden)
#endif

typedef uint64_t gpa_t;   /* guest-physical address */
typedef uint64_t uaddr_t; /* address in the app's part of memory; never dereferenced but by arch/uaccess.h */
#if __STDC_HOSTED__ /* unit tests of pure logic on the host */
#include <sys/types.h>
#else
typedef long ssize_t;
typedef long long loff_t;
#endif

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096ul
#define PAGE_MASK (~(PAGE_SIZE - 1))
#define HUGE_SIZE 0x200000ul

#define NSEC_PER_SEC 1000000000ull
#define NEVER UINT64_MAX /* a deadline that doesn't come */

/* Never seen by the app: a blocking call was interrupted, and how it goes on (as in Linux). */
#ifndef ERESTARTSYS
#define ERESTARTSYS 512           /* restart if SA_RESTART, else EINTR */
#define ERESTARTNOINTR 513        /* always restart */
#define ERESTARTNOHAND 514        /* restart if no handler ran, else EINTR */
#define ERESTART_RESTARTBLOCK 516 /* as NOHAND, through restart_syscall */
#endif

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define ALIGN_DOWN(x, a) ((x) & ~((uint64_t)(a)-1))
#define ALIGN_UP(x, a) (((x) + ((uint64_t)(a)-1)) & ~((uint64_t)(a)-1))
#define PAGE_UP(x) ALIGN_UP(x, PAGE_SIZE)
#define PAGE_DOWN(x) ALIGN_DOWN(x, PAGE_SIZE)
#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#define EXTREME_(a, op, b, x, y)                                                                   \
    ({                                                                                             \
        __auto_type x = (a);                                                                       \
        __auto_type y = (b);                                                                       \
        x op y ? x : y;                                                                            \
    })
/* Each argument is evaluated once: they may be calls. */
#define MIN(a, b) EXTREME_(a, <, b, PASTE(min_a, __COUNTER__), PASTE(min_b, __COUNTER__))
#define MAX(a, b) EXTREME_(a, >, b, PASTE(max_a, __COUNTER__), PASTE(max_b, __COUNTER__))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define UNUSED __attribute__((unused))
#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))

/* Errors in pointers, for functions that return one. */
static inline void *err_ptr(long error)
{
    return (void *)error;
}

static inline bool is_err(const void *p)
{
    return (uintptr_t)p >= (uintptr_t)-4095l;
}

static inline long ptr_err(const void *p)
{
    return (long)p;
}

#endif
