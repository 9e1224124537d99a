/* inotify_init(2), inotify_add_watch(2), inotify_rm_watch(2). */
#include "fs/anon.h"
#include "fs/notify.h"
#include "sys/syscall.h"

#define ADD_FLAGS \
    (IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK | \
     IN_MASK_CREATE | IN_MASK_ADD | IN_ISDIR | IN_ONESHOT)

SYSCALL_DEFINE1(inotify_init1, uint32_t, flags)
{
    if (flags & ~(uint32_t)(O_CLOEXEC | O_NONBLOCK))
        return -EINVAL;
    return anon_install(inotify_create(flags & O_NONBLOCK), flags & O_CLOEXEC);
}

SYSCALL_DEFINE0(inotify_init)
{
    return anon_install(inotify_create(0), false);
}

static long inotify_file(int fd, struct file **ret)
{
    struct file *f = fd_get_io(fd);

    if (!f)
        return -EBADF;
    if (!inotify_is(f)) {
        file_put(f);
        return -EINVAL;
    }
    *ret = f;
    return 0;
}

static long add_by_path(struct file *f, uaddr_t path, uint32_t mask)
{
    uint32_t lookup = (mask & IN_DONT_FOLLOW ? 0 : LOOKUP_FOLLOW) | (mask & IN_ONLYDIR ? LOOKUP_DIRECTORY : 0);
    struct path p;
    long ret = user_path_lookup(AT_FDCWD, path, lookup, &p);

    if (ret < 0)
        return ret;
    ret = vfs_permission(p.dentry->inode, MAY_READ);
    if (ret == 0)
        ret = inotify_add(f, p.dentry->inode, mask);
    path_put(&p);
    return ret;
}

SYSCALL_DEFINE3(inotify_add_watch, int, fd, uaddr_t, path, uint32_t, mask)
{
    struct file *f;
    long ret;

    if ((mask & ~ADD_FLAGS) || !mask)
        return -EINVAL;
    ret = inotify_file(fd, &f);
    if (ret < 0)
        return ret;
    ret = (mask & IN_MASK_ADD) && (mask & IN_MASK_CREATE) ? -EINVAL : add_by_path(f, path, mask);
    file_put(f);
    return ret;
}

SYSCALL_DEFINE2(inotify_rm_watch, int, fd, int, wd)
{
    struct file *f;
    long ret = inotify_file(fd, &f);

    if (ret < 0)
        return ret;
    ret = inotify_remove(f, wd);
    file_put(f);
    return ret;
}
