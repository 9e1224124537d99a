/* Calls that make, change and end mappings. What they mean is in mm/map.c; here are the app's arguments. */
#include <linux/fcntl.h>
#include <linux/memfd.h>
#include <linux/mman.h>

#include "fs/file.h"
#include "fs/vfs.h"
#include "lib/string.h"
#include "mm/mm.h"
#include "sys/syscall.h"

#define MEMFD_NAME_MAX 249 /* without "memfd:" and the NUL (memfd_create(2)) */
#define MEMFD_PREFIX "memfd:"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#define MFD_EXEC 16u
#endif

SYSCALL_DEFINE1(brk, uaddr_t, brk)
{
    return (long)mm_brk(current->mm, brk);
}

SYSCALL_DEFINE6(mmap, uaddr_t, addr, uint64_t, len, int, prot, int, flags, int, fd, uint64_t, offset)
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

SYSCALL_DEFINE5(mremap, uaddr_t, old_addr, uint64_t, old_len, uint64_t, new_len, int, flags, uaddr_t, new_addr)
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

/* --- memfd --- */

static long memfd_name(char *name, size_t size, uaddr_t addr)
{
    size_t prefix = strlcpy(name, MEMFD_PREFIX, size);
    ssize_t r = strncpy_from_user(name + prefix, addr, MEMFD_NAME_MAX + 1);

    if (r == -ENAMETOOLONG)
        return -EINVAL;
    return r < 0 ? r : 0;
}

SYSCALL_DEFINE2(memfd_create, uaddr_t, name_addr, uint32_t, flags)
{
    char name[sizeof(MEMFD_PREFIX) + MEMFD_NAME_MAX + 1];
    struct file *file;
    long r;

    if (flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC))
        return flags & MFD_HUGETLB ? -ENOSYS : -EINVAL;
    if ((flags & MFD_EXEC) && (flags & MFD_NOEXEC_SEAL))
        return -EINVAL;
    r = memfd_name(name, sizeof(name), name_addr);
    if (r < 0)
        return r;
    file = tmpfs_file_create(name, 0);
    if (is_err(file))
        return ptr_err(file);
    file->inode->seals = flags & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL) ? 0 : F_SEAL_SEAL;
    if (flags & MFD_NOEXEC_SEAL)
        file->inode->mode &= ~0111u;
    r = fd_install(file, 0, flags & MFD_CLOEXEC);
    if (r < 0)
        file_put(file);
    return r;
}
