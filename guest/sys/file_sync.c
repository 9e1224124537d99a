/* Calls about what is on its way to storage: fsync and its relatives, and hints about access. */
#include "fs/blkdev.h"
#include "sys/file_util.h"
#include "sys/syscall.h"

static long sync_file(int fd, bool data_only)
{
    struct file *f = fd_get_io(fd);
    long err;

    if (!f)
        return -EBADF;
    err = f->ops->fsync ? f->ops->fsync(f, data_only) : -EINVAL;
    file_put(f);
    return err;
}

SYSCALL_DEFINE1(fsync, int, fd)
{
    return sync_file(fd, false);
}

SYSCALL_DEFINE1(fdatasync, int, fd)
{
    return sync_file(fd, true);
}

static long sync_sb(struct superblock *sb)
{
    return sb->ops && sb->ops->sync ? sb->ops->sync(sb) : 0;
}

SYSCALL_DEFINE0(sync)
{
    for (struct mount *m = mount_first(); m; m = mount_next(m))
        sync_sb(m->sb);
    blkdev_sync_all();
    return 0;
}

SYSCALL_DEFINE1(syncfs, int, fd)
{
    struct file *f = fd_get_io(fd);
    const struct inode *inode;
    long err;

    if (!f)
        return -EBADF;
    inode = file_vfs_inode(f);
    err = inode && inode->sb ? sync_sb(inode->sb) : 0;
    file_put(f);
    return err;
}

/* Write-back of a part is answered with that of the whole file, which is more than was asked for. */
SYSCALL_DEFINE4(sync_file_range, int, fd, loff_t, offset, loff_t, len, uint32_t, flags)
{
    struct file *f;
    long err;

    if (offset < 0 || len < 0 || offset > INT64_MAX - len || (flags & ~7u))
        return -EINVAL;
    f = fd_get_io(fd);
    if (!f)
        return -EBADF;
    if (f->inode && !S_ISREG(f->inode->mode) && !S_ISDIR(f->inode->mode) && !S_ISBLK(f->inode->mode))
        err = -ESPIPE;
    else
        err = flags && f->ops->fsync ? f->ops->fsync(f, true) : 0;
    file_put(f);
    return err;
}

/* Hints, checked and not taken: what is read ahead is decided by the file system. */
SYSCALL_DEFINE4(fadvise64, int, fd, loff_t, offset UNUSED, loff_t, len, int, advice)
{
    struct file *f = fd_get_io(fd);
    long err = 0;

    if (!f)
        return -EBADF;
    if (f->inode && S_ISFIFO(f->inode->mode))
        err = -ESPIPE;
    else if (len < 0 || advice < 0 || advice > 5)
        err = -EINVAL;
    file_put(f);
    return err;
}

SYSCALL_DEFINE3(readahead, int, fd, loff_t, offset UNUSED, size_t, count UNUSED)
{
    struct file *f = fd_get_io(fd);
    long err = 0;

    if (!f)
        return -EBADF;
    if (!file_readable(f))
        err = -EBADF;
    else if (!f->inode || !S_ISREG(f->inode->mode))
        err = -EINVAL;
    file_put(f);
    return err;
}
