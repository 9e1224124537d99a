/* The C library's memory and string functions that the compiler or the shim needs, and number formatting. */
#ifndef LIB_STRING_H
#define LIB_STRING_H

#include <stdarg.h>

#include "lib/base.h"

void *memcpy(void *dst, const void *src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *s, int c, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);

/* Copy with a terminating NUL always; returns strlen(src). */
size_t strlcpy(char *dst, const char *src, size_t size);

/* printf(3)'s %d %i %u %x %X %o %c %s %p %% with l, ll, z, width, precision, '-', '0'. Returns what would be written. */
int ksnprintf(char *buf, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int kvsnprintf(char *buf, size_t size, const char *fmt, va_list ap) __attribute__((format(printf, 3, 0)));

/* Parse an unsigned decimal number that makes up the whole of s; false if it isn't one or is too large. */
bool parse_u64(const char *s, uint64_t *ret);

#endif
