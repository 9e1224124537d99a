/*
 * Calls that make, change and end mappings. What they mean is in mm/map.c; here are the app's
 * arguments.
 */
#include <linux/mman.h>

#include "fs/file.h"
#include "mm/mm.h"
#include "sys/syscall.h"

SYSCALL_DEFINE1(brk, uaddr_t, brk)
{
    return (long)mm_brk(current->mm, brk);
}

SYSCALL_DEFINE6(mmap, uaddr_t, addr, uint64_t, len, int, prot, int, flags, int, fd, uint64_t,
                offset)
{
    struct file *file = NULL;
    long r;

    if (offset % PAGE_SIZE)
        return -EINVAL;
    if (!(flags & MAP_ANONYMOUS)) {
        file = fd_get(fd);
        if (!file)
            return -EBADF;
    }
    r = mm_mmap(current->mm, addr, len, prot, flags, file, file ? offset : 0);
    if (file)
        file_put(file);
    return r;
}

SYSCALL_DEFINE2(munmap, uaddr_t, addr, uint64_t, len)
{
    return mm_munmap(current->mm, addr, len);
}

SYSCALL_DEFINE3(mprotect, uaddr_t, addr, uint64_t, len, int, prot)
{
    return mm_mprotect(current->mm, addr, len, prot);
}

SYSCALL_DEFINE5(mremap, uaddr_t, old_addr, uint64_t, old_len, uint64_t, new_len, int, flags,
                uaddr_t, new_addr)
{
    return mm_mremap(current->mm, old_addr, old_len, new_len, flags, new_addr);
}

/* --- protection keys, as on a CPU without them --- */

SYSCALL_DEFINE4(pkey_mprotect, uaddr_t, addr, uint64_t, len, int, prot, int, pkey)
{
    return pkey == -1 ? mm_mprotect(current->mm, addr, len, prot) : -EINVAL;
}

SYSCALL_DEFINE2(pkey_alloc, uint64_t, flags, uint64_t, rights)
{
    return flags || (rights & ~(uint64_t)PKEY_ACCESS_MASK) ? -EINVAL : -ENOSPC;
}

SYSCALL_DEFINE1(pkey_free, int, pkey UNUSED)
{
    return -EINVAL;
}
