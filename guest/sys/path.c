/* Calls on names: access, links, directories, renaming, the working directory. The work is in fs/names.c. */
#include <linux/capability.h>

#include "fs/namei.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "sys/syscall.h"

#ifndef AT_EACCESS
#define AT_EACCESS 0x200
#endif

/* --- access --- */

/* The check goes by real ids, and by root's capabilities only if the real user is root (access(2)). */
static void use_real_ids(struct cred *saved)
{
    struct cred *c = &current->proc->cred;

    *saved = *c;
    c->fsuid = c->uid;
    c->fsgid = c->gid;
    c->cap_effective = c->uid == 0 ? c->cap_permitted : 0;
}

static int check_access(const struct path *p, uint32_t mask)
{
    struct inode *inode = p->dentry->inode;
    int err;

    if ((mask & MAY_EXEC) && S_ISREG(inode->mode) && (inode->sb->flags & SB_NOEXEC))
        return -EACCES;
    err = vfs_permission(inode, mask);
    if (err < 0 || !(mask & MAY_WRITE))
        return err;
    if (!S_ISREG(inode->mode) && !S_ISDIR(inode->mode) && !S_ISLNK(inode->mode))
        return 0;
    return vfs_want_write(p);
}

static long access_user(int dirfd, uaddr_t path, uint32_t mode, int flags)
{
    bool effective = flags & AT_EACCESS;
    uint32_t lookup = flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW;
    struct cred *saved = NULL;
    struct path p;
    long err;

    if ((mode & ~7u) || (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)))
        return -EINVAL;
    if (flags & AT_EMPTY_PATH)
        lookup |= LOOKUP_EMPTY;
    if (!effective && current->proc->cred.fsuid == current->proc->cred.uid &&
        current->proc->cred.fsgid == current->proc->cred.gid)
        effective = true;
    if (!effective) {
        saved = kmalloc(sizeof(*saved));
        if (!saved)
            return -ENOMEM;
        use_real_ids(saved);
    }
    err = user_path_lookup(dirfd, path, lookup, &p);
    if (err == 0) {
        err = check_access(&p, mode);
        path_put(&p);
    }
    if (saved)
        current->proc->cred = *saved;
    kfree(saved);
    return err;
}

SYSCALL_DEFINE2(access, uaddr_t, path, uint32_t, mode)
{
    return access_user(AT_FDCWD, path, mode, 0);
}

SYSCALL_DEFINE3(faccessat, int, dirfd, uaddr_t, path, uint32_t, mode)
{
    return access_user(dirfd, path, mode, 0);
}

SYSCALL_DEFINE4(faccessat2, int, dirfd, uaddr_t, path, uint32_t, mode, int, flags)
{
    return access_user(dirfd, path, mode, flags);
}

/* --- one path --- */

/* Copy the path and pass it to a function of fs/names.c. */
#define WITH_PATH(addr, text, call)                                                                \
    ({                                                                                             \
        char *text = user_path_copy((addr), false);                                                \
        long with_ret_ = is_err(text) ? ptr_err(text) : (call);                                    \
        if (!is_err(text))                                                                         \
            kfree(text);                                                                           \
        with_ret_;                                                                                 \
    })

SYSCALL_DEFINE2(mkdir, uaddr_t, path, uint32_t, mode)
{
    return WITH_PATH(path, text, vfs_mkdir(AT_FDCWD, text, mode));
}

SYSCALL_DEFINE3(mkdirat, int, dirfd, uaddr_t, path, uint32_t, mode)
{
    return WITH_PATH(path, text, vfs_mkdir(dirfd, text, mode));
}

SYSCALL_DEFINE1(rmdir, uaddr_t, path)
{
    return WITH_PATH(path, text, vfs_rmdir(AT_FDCWD, text));
}

SYSCALL_DEFINE1(unlink, uaddr_t, path)
{
    return WITH_PATH(path, text, vfs_unlink(AT_FDCWD, text));
}

SYSCALL_DEFINE3(unlinkat, int, dirfd, uaddr_t, path, int, flags)
{
    if (flags & ~AT_REMOVEDIR)
        return -EINVAL;
    if (flags & AT_REMOVEDIR)
        return WITH_PATH(path, text, vfs_rmdir(dirfd, text));
    return WITH_PATH(path, text, vfs_unlink(dirfd, text));
}

/* Device nodes are for whoever has CAP_MKNOD; there are only the sandbox's own devices behind them. */
static long mknod_user(int dirfd, uaddr_t path, uint32_t mode, uint32_t dev)
{
    uint64_t rdev = 0;

    switch (mode & S_IFMT) {
    case 0:
        mode |= S_IFREG;
        break;
    case S_IFCHR:
    case S_IFBLK:
        if (!vfs_capable(CAP_MKNOD))
            return -EPERM;
        rdev = dev;
        break;
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK:
        break;
    case S_IFDIR:
        return -EPERM;
    default:
        return -EINVAL;
    }
    return WITH_PATH(path, text, vfs_mknod(dirfd, text, mode, rdev, NULL));
}

SYSCALL_DEFINE3(mknod, uaddr_t, path, uint32_t, mode, uint32_t, dev)
{
    return mknod_user(AT_FDCWD, path, mode, dev);
}

SYSCALL_DEFINE4(mknodat, int, dirfd, uaddr_t, path, uint32_t, mode, uint32_t, dev)
{
    return mknod_user(dirfd, path, mode, dev);
}

/* --- two paths --- */

static long rename_user(int old_dirfd, uaddr_t old_path, int new_dirfd, uaddr_t new_path, uint32_t flags)
{
    char *from = user_path_copy(old_path, false);
    long err;

    if (is_err(from))
        return ptr_err(from);
    err = WITH_PATH(new_path, to, vfs_rename(old_dirfd, from, new_dirfd, to, flags));
    kfree(from);
    return err;
}

SYSCALL_DEFINE2(rename, uaddr_t, old_path, uaddr_t, new_path)
{
    return rename_user(AT_FDCWD, old_path, AT_FDCWD, new_path, 0);
}

SYSCALL_DEFINE4(renameat, int, old_dirfd, uaddr_t, old_path, int, new_dirfd, uaddr_t, new_path)
{
    return rename_user(old_dirfd, old_path, new_dirfd, new_path, 0);
}

SYSCALL_DEFINE5(renameat2, int, old_dirfd, uaddr_t, old_path, int, new_dirfd, uaddr_t, new_path, uint32_t, flags)
{
    return rename_user(old_dirfd, old_path, new_dirfd, new_path, flags);
}

static long link_user(int old_dirfd, uaddr_t old_path, int new_dirfd, uaddr_t new_path, int flags)
{
    char *from;
    long err;

    if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if ((flags & AT_EMPTY_PATH) && !vfs_capable(CAP_DAC_READ_SEARCH))
        return -ENOENT;
    from = user_path_copy(old_path, flags & AT_EMPTY_PATH);
    if (is_err(from))
        return ptr_err(from);
    err = WITH_PATH(new_path, to, vfs_link(old_dirfd, from, new_dirfd, to, flags));
    kfree(from);
    return err;
}

SYSCALL_DEFINE2(link, uaddr_t, old_path, uaddr_t, new_path)
{
    return link_user(AT_FDCWD, old_path, AT_FDCWD, new_path, 0);
}

SYSCALL_DEFINE5(linkat, int, old_dirfd, uaddr_t, old_path, int, new_dirfd, uaddr_t, new_path, int, flags)
{
    return link_user(old_dirfd, old_path, new_dirfd, new_path, flags);
}

static long symlink_user(uaddr_t target, int dirfd, uaddr_t path)
{
    char *text = user_path_copy(target, false);
    long err;

    if (is_err(text))
        return ptr_err(text);
    err = WITH_PATH(path, name, vfs_symlink(text, dirfd, name));
    kfree(text);
    return err;
}

SYSCALL_DEFINE2(symlink, uaddr_t, target, uaddr_t, path)
{
    return symlink_user(target, AT_FDCWD, path);
}

SYSCALL_DEFINE3(symlinkat, uaddr_t, target, int, dirfd, uaddr_t, path)
{
    return symlink_user(target, dirfd, path);
}

/* --- reading links --- */

static long readlink_inode(struct inode *inode, bool empty, uaddr_t buf, size_t size)
{
    char *text;
    ssize_t len;

    if (!S_ISLNK(inode->mode))
        return empty ? -ENOENT : -EINVAL;
    text = kmalloc(VFS_PATH_MAX);
    if (!text)
        return -ENOMEM;
    len = vfs_readlink(inode, text, MIN(size, (size_t)VFS_PATH_MAX));
    if (len > 0 && copy_to_user(buf, text, (size_t)len) < 0)
        len = -EFAULT;
    kfree(text);
    return len;
}

static long readlink_user(int dirfd, uaddr_t path, uaddr_t buf, int size)
{
    struct path p;
    char first = 1;
    long ret;

    if (size <= 0)
        return -EINVAL;
    ret = user_path_lookup(dirfd, path, LOOKUP_EMPTY, &p);
    if (ret < 0)
        return ret;
    ret = get_user(first, path);
    if (ret == 0)
        ret = readlink_inode(p.dentry->inode, !first, buf, (size_t)size);
    path_put(&p);
    return ret;
}

SYSCALL_DEFINE3(readlink, uaddr_t, path, uaddr_t, buf, int, size)
{
    return readlink_user(AT_FDCWD, path, buf, size);
}

SYSCALL_DEFINE4(readlinkat, int, dirfd, uaddr_t, path, uaddr_t, buf, int, size)
{
    return readlink_user(dirfd, path, buf, size);
}

/* --- working directory and root --- */

SYSCALL_DEFINE2(getcwd, uaddr_t, buf, size_t, size)
{
    char *page = kmalloc(VFS_PATH_MAX);
    char *text;
    ssize_t len;

    if (!page)
        return -ENOMEM;
    if (current->fs->cwd.dentry->deleted)
        len = -ENOENT;
    else
        len = path_text(&current->fs->cwd, NULL, page, VFS_PATH_MAX, &text);
    if (len >= 0 && (size_t)len + 1 > size)
        len = -ERANGE;
    else if (len >= 0)
        len = copy_to_user(buf, text, (size_t)len + 1) < 0 ? -EFAULT : len + 1;
    kfree(page);
    return len;
}

SYSCALL_DEFINE1(chdir, uaddr_t, path)
{
    return WITH_PATH(path, text, fs_chdir(text));
}

SYSCALL_DEFINE1(fchdir, int, fd)
{
    struct file *f = fd_get(fd);
    struct path old;
    long err;

    if (!f)
        return -EBADF;
    if (!f->dentry || !S_ISDIR(f->dentry->inode->mode))
        err = -ENOTDIR;
    else
        err = vfs_permission(f->dentry->inode, MAY_EXEC);
    if (err == 0) {
        old = current->fs->cwd;
        current->fs->cwd = (struct path){ f->mount, f->dentry };
        path_get(&current->fs->cwd);
        path_put(&old);
    }
    file_put(f);
    return err;
}

SYSCALL_DEFINE1(chroot, uaddr_t, path)
{
    struct path p, old;
    long err = user_path_lookup(AT_FDCWD, path, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &p);

    if (err < 0)
        return err;
    err = vfs_permission(p.dentry->inode, MAY_EXEC);
    if (err == 0 && !vfs_capable(CAP_SYS_CHROOT))
        err = -EPERM;
    if (err < 0) {
        path_put(&p);
        return err;
    }
    old = current->fs->root;
    current->fs->root = p;
    path_put(&old);
    return 0;
}

SYSCALL_DEFINE1(umask, uint32_t, mask)
{
    uint32_t old = current->fs->umask;

    current->fs->umask = mask & 0777;
    return old;
}
