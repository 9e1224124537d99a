/* Checked access to the app's memory: the range checks around uaccess.S. */
#include "arch/uaccess.h"

#include "lib/string.h"

size_t user_copy(void *dst, const void *src, size_t n);
size_t user_clear(void *dst, size_t n);
int user_word_load(const uint32_t *addr, uint32_t *ret);
int user_word_cmpxchg(uint32_t *addr, uint32_t expected, uint32_t desired, uint32_t *ret_old);
int user_word_xchg(uint32_t *addr, uint32_t value, uint32_t *ret_old);
int user_word_xadd(uint32_t *addr, uint32_t value, uint32_t *ret_old);

size_t copy_from_user_partial(void *dst, uaddr_t src, size_t n)
{
    return access_ok(src, n) ? user_copy(dst, (const void *)src, n) : n;
}

size_t copy_to_user_partial(uaddr_t dst, const void *src, size_t n)
{
    return access_ok(dst, n) ? user_copy((void *)dst, src, n) : n;
}

long copy_from_user(void *dst, uaddr_t src, size_t n)
{
    return copy_from_user_partial(dst, src, n) ? -EFAULT : 0;
}

long copy_to_user(uaddr_t dst, const void *src, size_t n)
{
    return copy_to_user_partial(dst, src, n) ? -EFAULT : 0;
}

long clear_user(uaddr_t dst, size_t n)
{
    return !access_ok(dst, n) || user_clear((void *)dst, n) ? -EFAULT : 0;
}

/* A page at a time: what lies behind the string's end may not be mapped. */
ssize_t strncpy_from_user(char *dst, uaddr_t src, size_t size)
{
    size_t done = 0;

    while (done < size) {
        size_t chunk = MIN(size - done, PAGE_SIZE - ((src + done) & (PAGE_SIZE - 1)));
        size_t left;

        chunk = MIN(chunk, 256ul);
        left = copy_from_user_partial(dst + done, src + done, chunk);
        for (size_t i = done; i < done + chunk - left; i++)
            if (!dst[i])
                return (ssize_t)i;
        if (left)
            return -EFAULT;
        done += chunk;
    }
    return -ENAMETOOLONG;
}

long user_load32(uaddr_t addr, uint32_t *ret)
{
    return access_ok(addr, 4) ? user_word_load((const uint32_t *)addr, ret) : -EFAULT;
}

long user_cmpxchg32(uaddr_t addr, uint32_t expected, uint32_t desired, uint32_t *ret_old)
{
    return access_ok(addr, 4) ? user_word_cmpxchg((uint32_t *)addr, expected, desired, ret_old) : -EFAULT;
}

long user_xchg32(uaddr_t addr, uint32_t value, uint32_t *ret_old)
{
    return access_ok(addr, 4) ? user_word_xchg((uint32_t *)addr, value, ret_old) : -EFAULT;
}

long user_xadd32(uaddr_t addr, uint32_t value, uint32_t *ret_old)
{
    return access_ok(addr, 4) ? user_word_xadd((uint32_t *)addr, value, ret_old) : -EFAULT;
}

long copy_struct_from_user(void *dst, size_t dst_size, uaddr_t src, size_t size)
{
    uint8_t rest[64];

    for (size_t done = dst_size; done < size;) {
        size_t n = MIN(size - done, sizeof(rest));

        if (copy_from_user(rest, src + done, n) < 0)
            return -EFAULT;
        for (size_t i = 0; i < n; i++)
            if (rest[i])
                return -E2BIG;
        done += n;
    }
    memset(dst, 0, dst_size);
    return copy_from_user(dst, src, MIN(size, dst_size));
}
