/* Calls that change attributes: chmod, chown, times, truncate, fallocate. */
#include <linux/falloc.h>
#include <linux/time_types.h>

#include "fs/namei.h"
#include "fs/notify.h"
#include "sys/file_util.h"
#include "sys/syscall.h"

static uint32_t at_to_lookup(int flags)
{
    uint32_t lookup = flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW;

    return flags & AT_EMPTY_PATH ? lookup | LOOKUP_EMPTY : lookup;
}

static long setattr_user(int dirfd, uaddr_t path, uint32_t lookup, struct attr *attr)
{
    struct path p;
    long err = user_path_lookup(dirfd, path, lookup, &p);

    if (err < 0)
        return err;
    err = vfs_setattr(&p, attr);
    path_put(&p);
    return err;
}

static long setattr_file(struct file *f, struct attr *attr)
{
    struct path p = { f->mount, f->dentry };
    struct inode *inode = f->inode;

    if (f->dentry)
        return vfs_setattr(&p, attr);
    if (!inode || !inode->ops->setattr)
        return -EPERM;
    return inode->ops->setattr(inode, attr);
}

static long setattr_fd(int fd, struct attr *attr)
{
    struct file *f = fd_get_io(fd);
    long err;

    if (!f)
        return -EBADF;
    err = setattr_file(f, attr);
    file_put(f);
    return err;
}

/* --- mode and owner --- */

static struct attr mode_attr(uint32_t mode)
{
    return (struct attr){ .valid = ATTR_MODE | ATTR_CTIME, .mode = mode & 07777 };
}

/* A symbolic link's mode can't be changed: EOPNOTSUPP, as Linux has it. */
static long chmod_user(int dirfd, uaddr_t path, uint32_t mode, int flags)
{
    struct attr attr = mode_attr(mode);
    struct path p;
    long err;

    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    err = user_path_lookup(dirfd, path, at_to_lookup(flags), &p);
    if (err < 0)
        return err;
    err = S_ISLNK(p.dentry->inode->mode) ? -EOPNOTSUPP : vfs_setattr(&p, &attr);
    path_put(&p);
    return err;
}

SYSCALL_DEFINE2(chmod, uaddr_t, path, uint32_t, mode)
{
    return chmod_user(AT_FDCWD, path, mode, 0);
}

SYSCALL_DEFINE3(fchmodat, int, dirfd, uaddr_t, path, uint32_t, mode)
{
    return chmod_user(dirfd, path, mode, 0);
}

SYSCALL_DEFINE4(fchmodat2, int, dirfd, uaddr_t, path, uint32_t, mode, int, flags)
{
    return chmod_user(dirfd, path, mode, flags);
}

SYSCALL_DEFINE2(fchmod, int, fd, uint32_t, mode)
{
    struct attr attr = mode_attr(mode);

    return setattr_fd(fd, &attr);
}

/* -1 leaves an id as it is. */
static struct attr owner_attr(uint32_t uid, uint32_t gid)
{
    struct attr attr = { .valid = ATTR_CTIME, .uid = uid, .gid = gid };

    if (uid != UINT32_MAX)
        attr.valid |= ATTR_UID;
    if (gid != UINT32_MAX)
        attr.valid |= ATTR_GID;
    return attr;
}

static long chown_user(int dirfd, uaddr_t path, uint32_t uid, uint32_t gid, int flags)
{
    struct attr attr = owner_attr(uid, gid);

    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    return setattr_user(dirfd, path, at_to_lookup(flags), &attr);
}

SYSCALL_DEFINE3(chown, uaddr_t, path, uint32_t, uid, uint32_t, gid)
{
    return chown_user(AT_FDCWD, path, uid, gid, 0);
}

SYSCALL_DEFINE3(lchown, uaddr_t, path, uint32_t, uid, uint32_t, gid)
{
    return chown_user(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW);
}

SYSCALL_DEFINE5(fchownat, int, dirfd, uaddr_t, path, uint32_t, uid, uint32_t, gid, int, flags)
{
    return chown_user(dirfd, path, uid, gid, flags);
}

SYSCALL_DEFINE3(fchown, int, fd, uint32_t, uid, uint32_t, gid)
{
    struct attr attr = owner_attr(uid, gid);

    return setattr_fd(fd, &attr);
}

/* --- times --- */

#define UTIME_NOW ((1l << 30) - 1l)
#define UTIME_OMIT ((1l << 30) - 2l)

#define ATTR_NOW_BOTH (ATTR_ATIME | ATTR_MTIME | ATTR_ATIME_NOW | ATTR_MTIME_NOW | ATTR_CTIME)

static bool nsec_valid(long nsec)
{
    return nsec == UTIME_NOW || nsec == UTIME_OMIT || (nsec >= 0 && nsec < (long)NSEC_PER_SEC);
}

static struct timestamp to_timestamp(const struct __kernel_timespec *t)
{
    return (struct timestamp){ t->tv_sec, (uint32_t)t->tv_nsec };
}

/* The attr of a pair of times as utimensat(2) gets it. 1: there is nothing to do. */
static long times_attr(const struct __kernel_timespec t[2], struct attr *attr)
{
    if (!nsec_valid(t[0].tv_nsec) || !nsec_valid(t[1].tv_nsec))
        return -EINVAL;
    *attr = (struct attr){ .valid = ATTR_CTIME, .atime = to_timestamp(&t[0]), .mtime = to_timestamp(&t[1]) };
    if (t[0].tv_nsec != UTIME_OMIT)
        attr->valid |= t[0].tv_nsec == UTIME_NOW ? ATTR_ATIME | ATTR_ATIME_NOW : ATTR_ATIME;
    if (t[1].tv_nsec != UTIME_OMIT)
        attr->valid |= t[1].tv_nsec == UTIME_NOW ? ATTR_MTIME | ATTR_MTIME_NOW : ATTR_MTIME;
    return attr->valid == ATTR_CTIME;
}

static long set_times(int dirfd, uaddr_t path, struct attr *attr, int flags)
{
    struct file *f;
    long err;

    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if (path)
        return setattr_user(dirfd, path, at_to_lookup(flags), attr);
    if (flags)
        return -EINVAL;
    f = fd_get_io(dirfd);
    if (!f)
        return -EBADF;
    err = setattr_file(f, attr);
    file_put(f);
    return err;
}

SYSCALL_DEFINE4(utimensat, int, dirfd, uaddr_t, path, uaddr_t, times, int, flags)
{
    struct __kernel_timespec t[2];
    struct attr attr = { .valid = ATTR_NOW_BOTH };
    long err;

    if (times) {
        if (get_user(t, times) < 0)
            return -EFAULT;
        err = times_attr(t, &attr);
        if (err != 0)
            return err < 0 ? err : 0;
    }
    return set_times(dirfd, path, &attr, flags);
}

static long set_times_usec(int dirfd, uaddr_t path, uaddr_t times)
{
    struct __kernel_old_timeval tv[2];
    struct attr attr = { .valid = ATTR_NOW_BOTH };

    if (times) {
        if (get_user(tv, times) < 0)
            return -EFAULT;
        if ((uint64_t)tv[0].tv_usec >= 1000000 || (uint64_t)tv[1].tv_usec >= 1000000)
            return -EINVAL;
        attr.valid = ATTR_ATIME | ATTR_MTIME | ATTR_CTIME;
        attr.atime = (struct timestamp){ tv[0].tv_sec, (uint32_t)tv[0].tv_usec * 1000 };
        attr.mtime = (struct timestamp){ tv[1].tv_sec, (uint32_t)tv[1].tv_usec * 1000 };
    }
    return set_times(dirfd, path, &attr, 0);
}

SYSCALL_DEFINE2(utimes, uaddr_t, path, uaddr_t, times)
{
    return path ? set_times_usec(AT_FDCWD, path, times) : -EFAULT;
}

SYSCALL_DEFINE3(futimesat, int, dirfd, uaddr_t, path, uaddr_t, times)
{
    return set_times_usec(dirfd, path, times);
}

SYSCALL_DEFINE2(utime, uaddr_t, path, uaddr_t, times)
{
    struct attr attr = { .valid = ATTR_NOW_BOTH };
    int64_t t[2];

    if (!path)
        return -EFAULT;
    if (times) {
        if (get_user(t, times) < 0)
            return -EFAULT;
        attr.valid = ATTR_ATIME | ATTR_MTIME | ATTR_CTIME;
        attr.atime.sec = t[0];
        attr.mtime.sec = t[1];
    }
    return set_times(AT_FDCWD, path, &attr, 0);
}

/* --- size --- */

static long check_new_size(const struct inode *inode, uint64_t size)
{
    struct file probe = { .inode = (struct inode *)(uintptr_t)inode };

    /* RLIMIT_FSIZE counts when a file grows */
    if (size <= inode->size)
        return 0;
    return file_size_limit(&probe, size - 1, 1) < 0 ? -EFBIG : 0;
}

static long truncate_path(const struct path *p, uint64_t size)
{
    struct inode *inode = p->dentry->inode;
    long err;

    if (S_ISDIR(inode->mode))
        return -EISDIR;
    if (!S_ISREG(inode->mode))
        return -EINVAL;
    err = vfs_want_write(p);
    if (err == 0)
        err = vfs_permission(inode, MAY_WRITE);
    if (err == 0 && inode->write_denied)
        err = -ETXTBSY;
    if (err == 0)
        err = vfs_getattr(inode, STATX_SIZE);
    if (err == 0)
        err = check_new_size(inode, size);
    if (err == 0)
        err = vfs_truncate_inode(inode, size);
    if (err == 0)
        notify_dentry(p->dentry, IN_MODIFY);
    return err;
}

SYSCALL_DEFINE2(truncate, uaddr_t, path, loff_t, size)
{
    struct path p;
    long err;

    if (size < 0)
        return -EINVAL;
    err = user_path_lookup(AT_FDCWD, path, LOOKUP_FOLLOW, &p);
    if (err < 0)
        return err;
    err = truncate_path(&p, (uint64_t)size);
    path_put(&p);
    return err;
}

SYSCALL_DEFINE2(ftruncate, int, fd, loff_t, size)
{
    struct file *f;
    long err;

    if (size < 0)
        return -EINVAL;
    f = fd_get_io(fd);
    if (!f)
        return -EBADF;
    if (!f->inode || !S_ISREG(f->inode->mode) || !file_writable(f))
        err = -EINVAL;
    else
        err = check_new_size(f->inode, (uint64_t)size);
    if (err == 0)
        err = vfs_truncate(f, (uint64_t)size);
    file_put(f);
    return err;
}

static long do_allocate(struct file *f, int mode, uint64_t offset, uint64_t len)
{
    const int whole = FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE;
    long err;
    int known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_UNSHARE_RANGE | whole;

    if ((mode & ~known) || ((mode & FALLOC_FL_PUNCH_HOLE) && (mode & FALLOC_FL_ZERO_RANGE)))
        return -EOPNOTSUPP;
    if ((mode & FALLOC_FL_PUNCH_HOLE) && !(mode & FALLOC_FL_KEEP_SIZE))
        return -EOPNOTSUPP;
    if ((mode & whole) && (mode & ~whole))
        return -EINVAL;
    if (!file_writable(f))
        return -EBADF;
    if (f->inode && S_ISFIFO(f->inode->mode))
        return -ESPIPE;
    if (f->inode && S_ISDIR(f->inode->mode))
        return -EISDIR;
    if (!f->inode || !S_ISREG(f->inode->mode))
        return -ENODEV;
    if (offset + len > INT64_MAX)
        return -EFBIG;
    if (!(mode & FALLOC_FL_KEEP_SIZE) && check_new_size(f->inode, offset + len) < 0)
        return -EFBIG;
    if (!f->ops->fallocate)
        return -EOPNOTSUPP;
    err = f->ops->fallocate(f, mode, offset, len);
    if (err == 0)
        vfs_written(f);
    return err;
}

SYSCALL_DEFINE4(fallocate, int, fd, int, mode, loff_t, offset, loff_t, len)
{
    struct file *f = fd_get_io(fd);
    long err;

    if (!f)
        return -EBADF;
    err = offset < 0 || len <= 0 ? -EINVAL : do_allocate(f, mode, (uint64_t)offset, (uint64_t)len);
    file_put(f);
    return err;
}
