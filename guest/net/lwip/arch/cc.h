/* What lwIP asks of a platform (its doc/sys_arch.txt); included by lwip/arch.h. */
#ifndef ARCH_CC_H
#define ARCH_CC_H

#include <stddef.h>
#include <stdint.h>

#define LWIP_NO_INTTYPES_H 1
#define LWIP_NO_LIMITS_H 1
#define LWIP_NO_CTYPE_H 1
#define LWIP_NO_UNISTD_H 1
#define SSIZE_MAX INT64_MAX /* so that it doesn't define ssize_t as an int */
typedef long ssize_t;
#define INT_MAX 0x7fffffff

#define BYTE_ORDER LITTLE_ENDIAN
#define X8_F "02x"
#define U16_F "u"
#define S16_F "d"
#define X16_F "x"
#define U32_F "u"
#define S32_F "d"
#define X32_F "x"
#define SZT_F "lu"

_Noreturn void stack_broken(const char *what);
void stack_clear_dns(void);
uint32_t stack_random(void);
void *kmalloc(size_t size);
void *kcalloc(size_t count, size_t size);
void kfree(void *ptr);

#define LWIP_PLATFORM_DIAG(x)
#define LWIP_PLATFORM_ASSERT(x) stack_broken(x)
#define LWIP_RAND() stack_random()

#define mem_clib_malloc kmalloc
#define mem_clib_calloc kcalloc
#define mem_clib_free kfree

#endif
