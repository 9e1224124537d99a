/* Open files: references, attributes, and what exec and mm want of them. */
#include "arch/uaccess.h"
#include "fs/async.h"
#include "fs/epoll.h"
#include "fs/locks.h"
#include "fs/notify.h"
#include "fs/vfs.h"
#include "lib/kmalloc.h"
#include "lib/string.h"

struct file *file_alloc(const struct file_ops *ops, uint32_t flags)
{
    struct file *f = kzalloc(sizeof(*f));

    if (!f)
        return NULL;
    f->refs = 1;
    f->flags = flags;
    f->ops = ops;
    mutex_init(&f->pos_lock);
    return f;
}

void file_get(struct file *f)
{
    f->refs++;
}

void file_put(struct file *f)
{
    if (!f || --f->refs > 0)
        return;
    if (f->flags & FILE_WATCHED)
        notify_file(f, (f->flags & O_ACCMODE) == O_RDONLY ? IN_CLOSE_NOWRITE : IN_CLOSE_WRITE);
    if (f->watchers)
        epoll_file_released(f);
    async_released(f);
    locks_release_file(f);
    if (f->ops->release)
        f->ops->release(f);
    file_uncount_writer(f);
    if (f->mount)
        f->mount->refs--;
    inode_put(f->inode);
    dentry_put(f->dentry);
    kfree(f);
}

struct inode *file_vfs_inode(const struct file *f)
{
    return f->dentry ? f->dentry->inode : f->inode;
}

ssize_t file_pread(struct file *f, void *buf, size_t n, uint64_t offset)
{
    struct iter it;
    struct iter_segment seg;
    size_t done = 0;

    if (!f->ops->read)
        return -EINVAL;
    while (done < n) {
        ssize_t got;

        iter_kernel(&it, &seg, (char *)buf + done, n - done);
        got = f->ops->read(f, &it, &offset);
        if (got < 0)
            return done ? (ssize_t)done : got;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

uint64_t file_size(const struct file *f)
{
    return f->inode ? f->inode->size : 0;
}

uint32_t file_mode(const struct file *f)
{
    const struct inode *inode = file_vfs_inode(f);

    return inode ? inode->mode : 0;
}

uint64_t file_dev(const struct file *f)
{
    const struct inode *inode = file_vfs_inode(f);

    return inode ? inode->sb->dev : 0;
}

uint64_t file_ino(const struct file *f)
{
    const struct inode *inode = file_vfs_inode(f);

    return inode ? inode->ino : 0;
}

ssize_t file_path(const struct file *f, char *buf, size_t size)
{
    struct path p = { f->mount, f->dentry };
    ssize_t len;
    char *text;

    if (!f->dentry)
        return -ENOENT;
    len = path_text(&p, NULL, buf, size, &text);
    if (len >= 0)
        memmove(buf, text, (size_t)len + 1);
    return len;
}
