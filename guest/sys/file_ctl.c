/* fcntl(2), ioctl(2), flock(2), memfd_create(2): calls on a descriptor that aren't input or output. */
#include <asm/ioctls.h>
#include <asm/resource.h>
#include <linux/memfd.h>

#include "fs/async.h"
#include "fs/fdtable.h"
#include "mm/mm.h"
#include "fs/locks.h"
#include "fs/notify.h"
#include "fs/pipe.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "sys/file_util.h"
#include "sys/syscall.h"

#ifndef F_GETOWN_EX
#define F_GETOWN_EX 16
#define F_SETOWN_EX 15
#endif
#ifndef F_GETOWNER_UIDS
#define F_GETOWNER_UIDS 17
#endif

/* What F_SETFL may change, besides O_ASYNC. O_DIRECT is kept but has no effect of its own here. */
#define SETFL_MASK ((uint32_t)(O_APPEND | O_NONBLOCK | O_NDELAY | O_DIRECT | O_NOATIME))

#define SEALS_ALL (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)

static long dup_from(struct file *f, uint64_t lowest, bool cloexec)
{
    int fd;

    if (lowest >= rlimit(RLIMIT_NOFILE) || lowest >= FD_TABLE_MAX)
        return -EINVAL;
    file_get(f);
    fd = fd_install(f, (int)lowest, cloexec);
    if (fd < 0)
        file_put(f);
    return fd;
}

static long set_flags(struct file *f, int fd, uint32_t flags)
{
    struct inode *inode = file_vfs_inode(f);
    long err;

    if ((flags & O_NOATIME) && !(f->flags & O_NOATIME) && inode && !vfs_owner(inode))
        return -EPERM;
    err = async_switch(f, fd, flags & FASYNC);
    if (err < 0 && err != -ENOTTY) /* it never signals, and nobody minds */
        return err;
    f->flags = (f->flags & ~SETFL_MASK) | (flags & SETFL_MASK);
    return 0;
}

static long add_seals(struct file *f, uint32_t seals)
{
    struct inode *inode = f->inode;

    if (!file_writable(f))
        return -EPERM;
    if (!inode || inode->seals == INODE_NO_SEALS || (seals & ~(uint32_t)SEALS_ALL))
        return -EINVAL;
    if (inode->seals & F_SEAL_SEAL)
        return -EPERM;
    if ((seals & F_SEAL_WRITE) && !(inode->seals & F_SEAL_WRITE) && mm_file_is_writable(inode))
        return -EBUSY;
    inode->seals |= seals;
    return 0;
}

static long owner_ex(struct file *f, bool set, uaddr_t arg)
{
    struct f_owner_ex owner;
    enum async_kind kind;

    if (!set) {
        owner.pid = async_owner(f, &kind);
        owner.type = (int)kind;
        return put_user(owner, arg);
    }
    if (get_user(owner, arg) < 0)
        return -EFAULT;
    if ((uint32_t)owner.type >= ASYNC_KINDS)
        return -EINVAL;
    return async_set_owner(f, (enum async_kind)owner.type, owner.pid);
}

static long owner_uids(const struct file *f, uaddr_t arg)
{
    uint32_t uids[2];

    async_owner_uids(f, uids);
    return copy_to_user(arg, uids, sizeof(uids)) < 0 ? -EFAULT : 0;
}

/* Those that work on O_PATH descriptors too; -ENOSYS: not one of them. */
static long fcntl_any(int fd, struct file *f, uint32_t cmd, uint64_t arg)
{
    switch (cmd) {
    case F_DUPFD:
        return dup_from(f, arg, false);
    case F_DUPFD_CLOEXEC:
        return dup_from(f, arg, true);
    case F_GETFD:
        return fd_cloexec(fd) ? FD_CLOEXEC : 0;
    case F_SETFD:
        fd_set_cloexec(fd, arg & FD_CLOEXEC);
        return 0;
    case F_GETFL:
        return f->flags & ~FILE_FLAGS_INTERNAL;
    default:
        return -ENOSYS;
    }
}

static long fcntl_io(int fd, struct file *f, uint32_t cmd, uint64_t arg)
{
    switch (cmd) {
    case F_SETFL:
        return set_flags(f, fd, (uint32_t)arg);
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return locks_fcntl(f, cmd, arg);
    case F_GETOWN:
        return async_owner_id(f);
    case F_SETOWN:
        return async_set_owner_id(f, (int)arg);
    case F_GETOWN_EX:
    case F_SETOWN_EX:
        return owner_ex(f, cmd == F_SETOWN_EX, arg);
    case F_GETOWNER_UIDS:
        return owner_uids(f, arg);
    case F_GETSIG:
        return async_signo(f);
    case F_SETSIG:
        return async_set_signo(f, arg);
    case F_GETPIPE_SZ:
        return pipe_get_size(f);
    case F_SETPIPE_SZ:
        return pipe_set_size(f, arg);
    case F_ADD_SEALS:
        return add_seals(f, (uint32_t)arg);
    case F_GET_SEALS:
        return f->inode && f->inode->seals != INODE_NO_SEALS ? (long)f->inode->seals : -EINVAL;
    case F_GETLEASE:
        return F_UNLCK;
    case F_NOTIFY:
        return notify_directory(f, fd, arg, current->files);
    default:
        return -EINVAL; /* F_SETLEASE, F_*_RW_HINT */
    }
}

SYSCALL_DEFINE3(fcntl, int, fd, uint32_t, cmd, uint64_t, arg)
{
    struct file *f = fd_get(fd);
    long ret;

    if (!f)
        return -EBADF;
    ret = fcntl_any(fd, f, cmd, arg);
    if (ret == -ENOSYS)
        ret = f->flags & O_PATH ? -EBADF : fcntl_io(fd, f, cmd, arg);
    file_put(f);
    return ret;
}

static long set_nonblock(struct file *f, uaddr_t arg)
{
    int on;

    if (get_user(on, arg) < 0)
        return -EFAULT;
    if (on)
        f->flags |= O_NONBLOCK;
    else
        f->flags &= ~(uint32_t)O_NONBLOCK;
    return 0;
}

static long set_async(struct file *f, int fd, uaddr_t arg)
{
    int on;

    return get_user(on, arg) < 0 ? -EFAULT : async_switch(f, fd, on != 0);
}

static long readable_bytes(const struct file *f, uaddr_t arg)
{
    int n = (int)(f->inode->size > f->pos ? f->inode->size - f->pos : 0);

    return put_user(n, arg);
}

SYSCALL_DEFINE3(ioctl, int, fd, uint32_t, cmd, uint64_t, arg)
{
    struct file *f = fd_get_io(fd);
    long ret = -ENOTTY;

    if (!f)
        return -EBADF;
    switch (cmd) {
    case FIOCLEX:
    case FIONCLEX:
        fd_set_cloexec(fd, cmd == FIOCLEX);
        ret = 0;
        break;
    case FIONBIO:
        ret = set_nonblock(f, arg);
        break;
    case FIOASYNC:
        ret = set_async(f, fd, arg);
        break;
    case FIONREAD:
        if (f->inode && S_ISREG(f->inode->mode)) {
            ret = readable_bytes(f, arg);
            break;
        }
        /* fallthrough */
    default:
        if (f->ops->ioctl)
            ret = f->ops->ioctl(f, cmd, arg);
    }
    file_put(f);
    return ret;
}

SYSCALL_DEFINE2(flock, int, fd, int, operation)
{
    int what = operation & ~LOCK_NB;
    struct file *f;
    long ret;

    if (what != LOCK_SH && what != LOCK_EX && what != LOCK_UN)
        return -EINVAL;
    f = fd_get_io(fd);
    if (!f)
        return -EBADF;
    ret = locks_flock(f, operation);
    file_put(f);
    return ret;
}

/* MFD_HUGETLB isn't there: nothing reserves huge pages; memory is backed by large ones where it pays anyway. */
SYSCALL_DEFINE2(memfd_create, uaddr_t, name_addr, uint32_t, flags)
{
    static const char prefix[] = "memfd:";
    uint32_t known = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    char name[VFS_NAME_MAX + 1];
    struct file *f;
    ssize_t len;

    if (flags & ~known)
        return -EINVAL;
    memcpy(name, prefix, sizeof(prefix));
    len = strncpy_from_user(name + sizeof(prefix) - 1, name_addr, sizeof(name) - sizeof(prefix) + 1);
    if (len < 0)
        return len == -ENAMETOOLONG ? -EINVAL : len;
    f = tmpfs_file_create(name, 0);
    if (!is_err(f))
        f->inode->seals = flags & MFD_ALLOW_SEALING ? 0 : F_SEAL_SEAL;
    return fd_install_or_put(f, flags & MFD_CLOEXEC);
}
