/*
 * What every guest test uses: count checks, print the failed ones with errno, and end with a line that
 * is the same natively and in the VM. Nothing printed may hold pids, addresses or times.
 */
#ifndef TESTS_GUEST_CHECK_H
#define TESTS_GUEST_CHECK_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_count, check_failures;

#ifndef __GLIBC__ /* musl has no names */
#define strerrorname_np strerror
#endif

static inline const char *check_errno_name(int error)
{
    const char *name = error ? strerrorname_np(error) : "0";
    return name ? name : "?";
}

static inline bool check_report(bool ok, const char *file, int line, const char *text, int error)
{
    check_count++;
    if (!ok) {
        check_failures++;
        printf("not ok %s:%d: %s (errno %s)\n", file, line, text, check_errno_name(error));
        fflush(stdout);
    }
    return ok;
}

/* The expression holds. Evaluates to its truth. */
#define CHECK(expression)                                                                           \
    ({                                                                                              \
        bool check_ok_ = (expression);                                                              \
        check_report(check_ok_, __FILE__, __LINE__, #expression, errno);                            \
    })

/* The call succeeds, that is, does not return -1. */
#define CHECK_OK(call)                                                                              \
    ({                                                                                              \
        errno = 0;                                                                                  \
        bool check_ok_ = (long)(call) != -1;                                                        \
        check_report(check_ok_, __FILE__, __LINE__, #call, errno);                                  \
    })

/* The call returns -1 with exactly this errno. */
#define CHECK_ERRNO(call, expected)                                                                 \
    do {                                                                                            \
        errno = 0;                                                                                  \
        long check_result_ = (long)(call);                                                          \
        int check_error_ = check_result_ == -1 ? errno : 0;                                         \
        check_report(check_error_ == (expected), __FILE__, __LINE__, #call " gives " #expected,     \
                     check_error_);                                                                 \
    } while (0)

/* The two integers are equal; both are shown if not. */
#define CHECK_EQUAL(a, b)                                                                           \
    do {                                                                                            \
        long long check_a_ = (long long)(a), check_b_ = (long long)(b);                             \
        if (!check_report(check_a_ == check_b_, __FILE__, __LINE__, #a " == " #b, 0))               \
            printf("    %lld (%#llx), not %lld (%#llx)\n", check_a_, check_a_, check_b_, check_b_); \
    } while (0)

/* A section title: says where a crash happened. */
static inline void check_section(const char *title)
{
    printf("%s\n", title);
    fflush(stdout);
}

/* For the end of main: the summary and the exit status. */
static inline int check_done(void)
{
    printf("%d checks, %d failed\n", check_count, check_failures);
    return check_failures ? 1 : 0;
}

#endif
