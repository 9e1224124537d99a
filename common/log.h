/*
 * One-line messages for the operator: "vmm: what: why" on stderr.
 *
 * What comes from a guest or a file name is escaped, so that it can't drive the operator's terminal. Every
 * line is one write(2), so lines of the two host processes don't mix. Called from any thread.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stddef.h>

#define LOG_LINE_MAX 1024

/* "vmm: what: why" with why formatted; what may be NULL. Truncated at LOG_LINE_MAX. */
void log_error(const char *what, const char *why, ...) __attribute__((format(printf, 2, 3)));

/* The same with the text of an errno; err may be negative. */
void log_errno(const char *what, int err);

/*
 * Copy text with control characters, DEL and backslash as \xNN; UTF-8 passes. Always terminates out (out_size > 0).
 * Returns the length written without the terminator; what does not fit is left out whole.
 */
size_t log_escape(char *out, size_t out_size, const char *text, size_t len);

#endif
