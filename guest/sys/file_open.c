/* open(2) and its relatives, close(2), dup(2). */
#include <linux/close_range.h>
#include <linux/openat2.h>

#include "fs/fdtable.h"
#include "lib/kmalloc.h"
#include "sys/file_util.h"
#include "sys/syscall.h"

#define OPEN_FLAGS_KNOWN                                                                           \
    (O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_DSYNC | O_DIRECT |   \
     O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | __O_SYNC | O_PATH | __O_TMPFILE)

static long open_user(int dirfd, uaddr_t path, uint32_t flags, uint32_t mode, uint32_t lookup)
{
    char *text = user_path_copy(path, lookup & LOOKUP_EMPTY);
    struct file *f;
    int fd;

    if (is_err(text))
        return ptr_err(text);
    fd = fd_reserve(0, flags & O_CLOEXEC);
    if (fd >= 0) {
        f = vfs_open(dirfd, text, flags, mode, lookup);
        if (is_err(f)) {
            fd_unreserve(fd);
            fd = (int)ptr_err(f);
        } else {
            fd_fill(fd, f);
        }
    }
    kfree(text);
    return fd;
}

/* Unknown flags are ignored, as open(2) has always done; 64-bit programs have O_LARGEFILE without asking. */
static long open_classic(int dirfd, uaddr_t path, int flags, uint32_t mode)
{
    return open_user(dirfd, path, ((uint32_t)flags & OPEN_FLAGS_KNOWN) | O_LARGEFILE, mode, 0);
}

SYSCALL_DEFINE3(open, uaddr_t, path, int, flags, uint32_t, mode)
{
    return open_classic(AT_FDCWD, path, flags, mode);
}

SYSCALL_DEFINE4(openat, int, dirfd, uaddr_t, path, int, flags, uint32_t, mode)
{
    return open_classic(dirfd, path, flags, mode);
}

SYSCALL_DEFINE2(creat, uaddr_t, path, uint32_t, mode)
{
    return open_classic(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

static long copy_how(struct open_how *how, uaddr_t addr, size_t size)
{
    if (size < sizeof(*how))
        return -EINVAL;
    if (size > PAGE_SIZE)
        return -E2BIG;
    return copy_struct_from_user(how, sizeof(*how), addr, size);
}

static long check_how(const struct open_how *how)
{
    uint64_t path_flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    uint64_t resolve = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH |
                       RESOLVE_IN_ROOT | RESOLVE_CACHED;

    if ((how->flags & ~(uint64_t)OPEN_FLAGS_KNOWN) || (how->resolve & ~resolve))
        return -EINVAL;
    if ((how->resolve & RESOLVE_BENEATH) && (how->resolve & RESOLVE_IN_ROOT))
        return -EINVAL;
    if (how->mode & (how->flags & (O_CREAT | __O_TMPFILE) ? ~07777ull : ~0ull))
        return -EINVAL;
    if ((how->flags & O_PATH) && (how->flags & ~path_flags))
        return -EINVAL;
    return how->resolve & RESOLVE_CACHED ? -EAGAIN : 0;
}

static uint32_t resolve_to_lookup(uint64_t resolve)
{
    static const struct {
        uint32_t resolve, lookup;
    } map[] = {
        { RESOLVE_NO_XDEV, LOOKUP_NO_XDEV },
        { RESOLVE_NO_MAGICLINKS, LOOKUP_NO_MAGICLINKS },
        { RESOLVE_NO_SYMLINKS, LOOKUP_NO_SYMLINKS | LOOKUP_NO_MAGICLINKS },
        { RESOLVE_BENEATH, LOOKUP_BENEATH },
        { RESOLVE_IN_ROOT, LOOKUP_IN_ROOT },
    };
    uint32_t lookup = 0;

    for (size_t i = 0; i < ARRAY_SIZE(map); i++) {
        if (resolve & map[i].resolve)
            lookup |= map[i].lookup;
    }
    return lookup;
}

SYSCALL_DEFINE4(openat2, int, dirfd, uaddr_t, path, uaddr_t, how_addr, size_t, size)
{
    struct open_how how;
    long err = copy_how(&how, how_addr, size);

    if (err == 0)
        err = check_how(&how);
    if (err < 0)
        return err;
    return open_user(dirfd, path, (uint32_t)how.flags | O_LARGEFILE, (uint32_t)how.mode, resolve_to_lookup(how.resolve));
}

SYSCALL_DEFINE1(close, int, fd)
{
    long err = fd_close(fd);

    /* The descriptor is gone in any case: restarting would close another thread's. */
    return err == -ERESTARTSYS || err == -ERESTARTNOINTR ? -EINTR : err;
}

SYSCALL_DEFINE3(close_range, uint32_t, first, uint32_t, last, uint32_t, flags)
{
    if ((flags & ~(uint32_t)(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) || first > last)
        return -EINVAL;
    if ((flags & CLOSE_RANGE_UNSHARE) && current->files->refs > 1) {
        struct fd_table *own = fd_table_copy(current->files);

        if (!own)
            return -ENOMEM;
        fd_table_put(current->files);
        current->files = own;
    }
    fd_close_range(first, last, flags & CLOSE_RANGE_CLOEXEC);
    return 0;
}

SYSCALL_DEFINE1(dup, int, fd)
{
    struct file *f = fd_get(fd);

    return f ? fd_install_or_put(f, false) : -EBADF;
}

static long dup_to(int from, int to, bool cloexec)
{
    struct file *f = fd_get(from);
    long ret;

    if (!f)
        return -EBADF;
    ret = fd_dup_to(f, to, cloexec);
    file_put(f);
    return ret;
}

SYSCALL_DEFINE2(dup2, int, from, int, to)
{
    if (from == to) {
        struct file *f = fd_get(from);

        file_put(f);
        return f ? to : -EBADF;
    }
    return dup_to(from, to, false);
}

SYSCALL_DEFINE3(dup3, int, from, int, to, int, flags)
{
    if ((flags & ~O_CLOEXEC) || from == to)
        return -EINVAL;
    return dup_to(from, to, flags & O_CLOEXEC);
}
