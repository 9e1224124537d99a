/*
 * The only way to the app's memory. A fault in here is resolved as one of the app's own (the page is brought in, and the
 * thread may sleep for that); where that can't be, the call returns -EFAULT. Nothing else in the shim may fault.
 */
#ifndef ARCH_UACCESS_H
#define ARCH_UACCESS_H

#include "hypercalls/layout.h"
#include "lib/base.h"

/* May this be the app's at all? What a call asks before it looks at anything else; copying decides. */
static inline bool user_range(uaddr_t addr, size_t size)
{
    return size <= APP_END && addr <= APP_END - size;
}

/* Below APP_BASE are stubs of rewritten call sites, which aren't the app's. */
static inline bool access_ok(uaddr_t addr, size_t size)
{
    return user_range(addr, size) && (addr >= APP_BASE || size == 0);
}

/* 0 or -EFAULT. On -EFAULT an unknown part has been copied. */
long copy_from_user(void *dst, uaddr_t src, size_t n);
long copy_to_user(uaddr_t dst, const void *src, size_t n);
long clear_user(uaddr_t dst, size_t n);

/* As above, but return how many bytes were NOT copied (0: all), for calls that report a short transfer. */
size_t copy_from_user_partial(void *dst, uaddr_t src, size_t n);
size_t copy_to_user_partial(uaddr_t dst, const void *src, size_t n);

/* Copy a string with its NUL. Returns its length; -EFAULT; -ENAMETOOLONG if no NUL came within size bytes. */
ssize_t strncpy_from_user(char *dst, uaddr_t src, size_t size);

/* Atomic operations on a 32-bit word of the app (futex). *old gets the value before. 0 or -EFAULT. */
long user_load32(uaddr_t addr, uint32_t *ret);
long user_cmpxchg32(uaddr_t addr, uint32_t expected, uint32_t desired, uint32_t *ret_old);
long user_xchg32(uaddr_t addr, uint32_t value, uint32_t *ret_old);
long user_xadd32(uaddr_t addr, uint32_t value, uint32_t *ret_old);

/*
 * A struct that may be longer or shorter than ours, as clone3(2) and its like take: what the app's lacks is zero, what it has more must
 * be (E2BIG). The caller has checked size against PAGE_SIZE.
 */
long copy_struct_from_user(void *dst, size_t dst_size, uaddr_t src, size_t size);

#define get_user(x, addr) copy_from_user(&(x), (addr), sizeof(x))
#define put_user(x, addr) copy_to_user((addr), &(x), sizeof(x))

#endif
