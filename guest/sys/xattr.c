/* Extended attributes: xattr(7). Names and values are copied in and out here; file systems see the shim's memory only. */
#include <linux/capability.h>
#include <linux/limits.h>
#include <linux/xattr.h>

#include "fs/namei.h"
#include "fs/notify.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "sys/syscall.h"

/* Where an attribute call goes: a path, or a descriptor. */
struct target {
    struct path path;  /* references, or those of file */
    struct file *file;
};

static long by_path(uaddr_t path, uint32_t lookup, struct target *t)
{
    *t = (struct target){ 0 };
    return user_path_lookup(AT_FDCWD, path, lookup, &t->path);
}

static long by_fd(int fd, struct target *t)
{
    *t = (struct target){ .file = fd_get_io(fd) };
    if (!t->file)
        return -EBADF;
    if (!t->file->dentry) {
        file_put(t->file);
        return -EOPNOTSUPP;
    }
    t->path = (struct path){ t->file->mount, t->file->dentry };
    return 0;
}

static void target_put(struct target *t)
{
    if (t->file)
        file_put(t->file);
    else
        path_put(&t->path);
}

static long copy_name(char *name, uaddr_t addr)
{
    ssize_t len = strncpy_from_user(name, addr, XATTR_NAME_MAX + 1);

    if (len == 0 || len == -ENAMETOOLONG)
        return -ERANGE;
    return len < 0 ? len : 0;
}

/* xattr(7): who may use which names. */
static long check_name(struct inode *inode, const char *name, uint32_t mask)
{
    bool writing = mask & MAY_WRITE;

    if (strncmp(name, "security.", 9) == 0 || strncmp(name, "system.", 7) == 0)
        return writing && strncmp(name, "security.", 9) == 0 && !vfs_capable(CAP_SYS_ADMIN) ? -EPERM : 0;
    if (strncmp(name, "trusted.", 8) == 0) {
        if (vfs_capable(CAP_SYS_ADMIN))
            return 0;
        return writing ? -EPERM : -ENODATA;
    }
    if (strncmp(name, "user.", 5) != 0)
        return -EOPNOTSUPP;
    if (!S_ISREG(inode->mode) && !S_ISDIR(inode->mode))
        return writing ? -EPERM : -ENODATA;
    if (S_ISDIR(inode->mode) && (inode->mode & S_ISVTX) && writing && !vfs_owner(inode))
        return -EPERM;
    return vfs_permission(inode, mask);
}

/* --- setting --- */

static long set_value(const struct path *p, const char *name, uaddr_t value, size_t size, int flags)
{
    struct inode *inode = p->dentry->inode;
    void *copy;
    long err = vfs_want_write(p);

    if (err == 0)
        err = check_name(inode, name, MAY_WRITE);
    if (err < 0)
        return err;
    copy = kmalloc(MAX(size, (size_t)1));
    if (!copy)
        return -ENOMEM;
    if (copy_from_user(copy, value, size) < 0)
        err = -EFAULT;
    else
        err = inode->ops->setxattr ? inode->ops->setxattr(inode, name, copy, size, flags) : -EOPNOTSUPP;
    if (err == 0)
        notify_dentry(p->dentry, IN_ATTRIB);
    kfree(copy);
    return err;
}

static long set_on(struct target *t, uaddr_t name_addr, uaddr_t value, size_t size, int flags)
{
    char name[XATTR_NAME_MAX + 1];
    long err;

    if (flags & ~(XATTR_CREATE | XATTR_REPLACE))
        err = -EINVAL;
    else
        err = copy_name(name, name_addr);
    if (err == 0 && size > XATTR_SIZE_MAX)
        err = -E2BIG;
    if (err == 0)
        err = set_value(&t->path, name, value, size, flags);
    target_put(t);
    return err;
}

SYSCALL_DEFINE5(setxattr, uaddr_t, path, uaddr_t, name, uaddr_t, value, size_t, size, int, flags)
{
    struct target t;
    long err = by_path(path, LOOKUP_FOLLOW, &t);

    return err < 0 ? err : set_on(&t, name, value, size, flags);
}

SYSCALL_DEFINE5(lsetxattr, uaddr_t, path, uaddr_t, name, uaddr_t, value, size_t, size, int, flags)
{
    struct target t;
    long err = by_path(path, 0, &t);

    return err < 0 ? err : set_on(&t, name, value, size, flags);
}

SYSCALL_DEFINE5(fsetxattr, int, fd, uaddr_t, name, uaddr_t, value, size_t, size, int, flags)
{
    struct target t;
    long err = by_fd(fd, &t);

    return err < 0 ? err : set_on(&t, name, value, size, flags);
}

/* --- reading --- */

typedef ssize_t (*fetch_fn)(struct inode *inode, const char *name, void *buf, size_t size);

static ssize_t fetch_value(struct inode *inode, const char *name, void *buf, size_t size)
{
    return inode->ops->getxattr ? inode->ops->getxattr(inode, name, buf, size) : -EOPNOTSUPP;
}

static ssize_t fetch_list(struct inode *inode, const char *name UNUSED, void *buf, size_t size)
{
    return inode->ops->listxattr ? inode->ops->listxattr(inode, buf, size) : 0;
}

/* Let fetch fill a buffer and copy it out; size 0 asks for the length. */
static long fetch_to_user(struct inode *inode, const char *name, fetch_fn fetch, uaddr_t buf, size_t size)
{
    void *copy;
    ssize_t n;

    if (size == 0)
        return fetch(inode, name, NULL, 0);
    size = MIN(size, (size_t)XATTR_SIZE_MAX);
    copy = kmalloc(size);
    if (!copy)
        return -ENOMEM;
    n = fetch(inode, name, copy, size);
    if (n > 0 && copy_to_user(buf, copy, (size_t)n) < 0)
        n = -EFAULT;
    kfree(copy);
    return n;
}

static long get_from(struct target *t, uaddr_t name_addr, uaddr_t buf, size_t size)
{
    char name[XATTR_NAME_MAX + 1];
    struct inode *inode = t->path.dentry->inode;
    long ret = copy_name(name, name_addr);

    if (ret == 0)
        ret = check_name(inode, name, MAY_READ);
    if (ret == 0)
        ret = fetch_to_user(inode, name, fetch_value, buf, size);
    target_put(t);
    return ret;
}

SYSCALL_DEFINE4(getxattr, uaddr_t, path, uaddr_t, name, uaddr_t, buf, size_t, size)
{
    struct target t;
    long err = by_path(path, LOOKUP_FOLLOW, &t);

    return err < 0 ? err : get_from(&t, name, buf, size);
}

SYSCALL_DEFINE4(lgetxattr, uaddr_t, path, uaddr_t, name, uaddr_t, buf, size_t, size)
{
    struct target t;
    long err = by_path(path, 0, &t);

    return err < 0 ? err : get_from(&t, name, buf, size);
}

SYSCALL_DEFINE4(fgetxattr, int, fd, uaddr_t, name, uaddr_t, buf, size_t, size)
{
    struct target t;
    long err = by_fd(fd, &t);

    return err < 0 ? err : get_from(&t, name, buf, size);
}

static long list_of(struct target *t, uaddr_t buf, size_t size)
{
    long ret = fetch_to_user(t->path.dentry->inode, NULL, fetch_list, buf, size);

    target_put(t);
    return ret;
}

SYSCALL_DEFINE3(listxattr, uaddr_t, path, uaddr_t, buf, size_t, size)
{
    struct target t;
    long err = by_path(path, LOOKUP_FOLLOW, &t);

    return err < 0 ? err : list_of(&t, buf, size);
}

SYSCALL_DEFINE3(llistxattr, uaddr_t, path, uaddr_t, buf, size_t, size)
{
    struct target t;
    long err = by_path(path, 0, &t);

    return err < 0 ? err : list_of(&t, buf, size);
}

SYSCALL_DEFINE3(flistxattr, int, fd, uaddr_t, buf, size_t, size)
{
    struct target t;
    long err = by_fd(fd, &t);

    return err < 0 ? err : list_of(&t, buf, size);
}

/* --- removing --- */

static long remove_from(struct target *t, uaddr_t name_addr)
{
    char name[XATTR_NAME_MAX + 1];
    struct inode *inode = t->path.dentry->inode;
    long err = copy_name(name, name_addr);

    if (err == 0)
        err = vfs_want_write(&t->path);
    if (err == 0)
        err = check_name(inode, name, MAY_WRITE);
    if (err == 0)
        err = inode->ops->removexattr ? inode->ops->removexattr(inode, name) : -EOPNOTSUPP;
    if (err == 0)
        notify_dentry(t->path.dentry, IN_ATTRIB);
    target_put(t);
    return err;
}

SYSCALL_DEFINE2(removexattr, uaddr_t, path, uaddr_t, name)
{
    struct target t;
    long err = by_path(path, LOOKUP_FOLLOW, &t);

    return err < 0 ? err : remove_from(&t, name);
}

SYSCALL_DEFINE2(lremovexattr, uaddr_t, path, uaddr_t, name)
{
    struct target t;
    long err = by_path(path, 0, &t);

    return err < 0 ? err : remove_from(&t, name);
}

SYSCALL_DEFINE2(fremovexattr, int, fd, uaddr_t, name)
{
    struct target t;
    long err = by_fd(fd, &t);

    return err < 0 ? err : remove_from(&t, name);
}

/* --- by directory and path: setxattrat(2) and its relatives --- */

struct xattr_args {
    uint64_t value;
    uint32_t size, flags;
};

static long by_at(int dirfd, uaddr_t path, int flags, struct target *t)
{
    uint32_t lookup = flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW;

    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if (!path && (flags & AT_EMPTY_PATH) && dirfd >= 0)
        return by_fd(dirfd, t);
    *t = (struct target){ 0 };
    return user_path_lookup(dirfd, path, flags & AT_EMPTY_PATH ? lookup | LOOKUP_EMPTY : lookup, &t->path);
}

static long fetch_args(uaddr_t addr, size_t size, struct xattr_args *ret)
{
    if (size < sizeof(*ret))
        return -EINVAL;
    if (size > PAGE_SIZE)
        return -E2BIG;
    for (size_t i = sizeof(*ret); i < size; i++) {
        uint8_t byte;

        if (get_user(byte, addr + i) < 0)
            return -EFAULT;
        if (byte)
            return -E2BIG;
    }
    return copy_from_user(ret, addr, sizeof(*ret));
}

SYSCALL_DEFINE6(setxattrat, int, dirfd, uaddr_t, path, int, at_flags, uaddr_t, name, uaddr_t, args_addr, size_t, size)
{
    struct xattr_args args;
    struct target t;
    long err = fetch_args(args_addr, size, &args);

    if (err == 0)
        err = by_at(dirfd, path, at_flags, &t);
    return err < 0 ? err : set_on(&t, name, args.value, args.size, (int)args.flags);
}

SYSCALL_DEFINE6(getxattrat, int, dirfd, uaddr_t, path, int, at_flags, uaddr_t, name, uaddr_t, args_addr, size_t, size)
{
    struct xattr_args args;
    struct target t;
    long err = fetch_args(args_addr, size, &args);

    if (err == 0 && args.flags)
        err = -EINVAL;
    if (err == 0)
        err = by_at(dirfd, path, at_flags, &t);
    return err < 0 ? err : get_from(&t, name, args.value, args.size);
}

SYSCALL_DEFINE5(listxattrat, int, dirfd, uaddr_t, path, int, at_flags, uaddr_t, buf, size_t, size)
{
    struct target t;
    long err = by_at(dirfd, path, at_flags, &t);

    return err < 0 ? err : list_of(&t, buf, size);
}

SYSCALL_DEFINE4(removexattrat, int, dirfd, uaddr_t, path, int, at_flags, uaddr_t, name)
{
    struct target t;
    long err = by_at(dirfd, path, at_flags, &t);

    return err < 0 ? err : remove_from(&t, name);
}
