/*
 * Calls that make, change and end mappings. What they mean is in mm/map.c; here are the app's
 * arguments.
 */
#include <linux/mman.h>

#include "fs/file.h"
#include "mm/mm.h"
#include "mm/vma.h"
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

/* As Linux since 4.0: not several views within one mapping, but a mapping of its own for each. */
SYSCALL_DEFINE5(remap_file_pages, uaddr_t, addr, uint64_t, size, int, prot, uint64_t, page, int, flags)
{
    const struct vma *vma, *next;
    struct file *file;
    uint32_t rights;
    long r;

    addr = PAGE_DOWN(addr);
    size = PAGE_DOWN(size);
    if (prot || size == 0 || addr + size < addr || page + (size >> PAGE_SHIFT) < page || page > UINT64_MAX >> PAGE_SHIFT)
        return -EINVAL;
    vma = mm_find(current->mm, addr);
    if (!vma || vma->start > addr || !(vma->flags & VMA_SHARED) || !vma->file)
        return -EINVAL;
    for (next = vma; next->end < addr + size;) {
        const struct vma *after = mm_next((struct vma *)(uintptr_t)next);

        if (!after || after->start != next->end || after->file != vma->file || after->prot != vma->prot)
            return -EINVAL;
        next = after;
    }
    file = vma->file;
    rights = vma->prot;
    file_get(file);
    r = mm_mmap(current->mm, addr, size, (int)rights, MAP_SHARED | MAP_FIXED | MAP_POPULATE | (flags & MAP_NONBLOCK), file,
                page << PAGE_SHIFT);
    file_put(file);
    return r < 0 ? r : 0;
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
