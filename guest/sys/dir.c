/* getdents(2): directory entries as the app's records. */
#include "fs/notify.h"
#include "lib/string.h"
#include "sys/file_util.h"
#include "sys/syscall.h"

struct linux_dirent64 {
    uint64_t d_ino;
    int64_t d_off;
    uint16_t d_reclen;
    uint8_t d_type;
    char d_name[];
};

/* The old record: the type sits in its last byte. */
struct linux_dirent {
    uint64_t d_ino;
    uint64_t d_off;
    uint16_t d_reclen;
    char d_name[];
};

#define RECORD_MAX 288 /* a name of 255 and the header, aligned */

struct fill {
    uaddr_t pos;
    size_t left;
    bool old_form;
    long error;
};

static size_t format(const struct fill *c, char *record, const char *name, size_t len, uint64_t ino, uint64_t next,
                     uint8_t type)
{
    size_t header = c->old_form ? offsetof(struct linux_dirent, d_name) : offsetof(struct linux_dirent64, d_name);
    size_t size = ALIGN_UP(header + len + (c->old_form ? 2 : 1), 8);
    struct linux_dirent64 *d = (struct linux_dirent64 *)(void *)record;

    memset(record, 0, size);
    d->d_ino = ino;
    d->d_off = (int64_t)next;
    d->d_reclen = (uint16_t)size;
    if (c->old_form)
        record[size - 1] = (char)type;
    else
        d->d_type = type;
    memcpy(record + header, name, len);
    return size;
}

static bool emit(void *ctx, const char *name, size_t len, uint64_t ino, uint64_t next_pos, uint8_t type)
{
    _Alignas(8) char record[RECORD_MAX];
    struct fill *c = ctx;
    size_t size;

    if (len > VFS_NAME_MAX) {
        c->error = -EIO;
        return false;
    }
    size = format(c, record, name, len, ino, next_pos, type);
    if (size > c->left) {
        c->error = -EINVAL; /* for a buffer that takes not even one */
        return false;
    }
    if (copy_to_user(c->pos, record, size) < 0) {
        c->error = -EFAULT;
        return false;
    }
    c->pos += size;
    c->left -= size;
    return true;
}

static long getdents(int fd, uaddr_t buf, uint32_t size, bool old_form)
{
    struct fill c = { .pos = buf, .left = size, .old_form = old_form };
    struct file *f = fd_get_io(fd);
    long ret;

    if (!f)
        return -EBADF;
    if (!f->ops->readdir) {
        file_put(f);
        return -ENOTDIR;
    }
    mutex_lock(&f->pos_lock);
    mutex_lock(&file_vfs_inode(f)->lock); /* names that come up are cached: they must not change meanwhile */
    if (f->dentry && f->dentry->deleted)
        ret = -ENOENT;
    else
        ret = f->ops->readdir(f, emit, &c);
    if (ret == 0)
        notify_file(f, IN_ACCESS);
    mutex_unlock(&file_vfs_inode(f)->lock);
    mutex_unlock(&f->pos_lock);
    file_put(f);
    if (c.pos > buf)
        return (long)(c.pos - buf);
    return ret < 0 ? ret : c.error;
}

SYSCALL_DEFINE3(getdents, int, fd, uaddr_t, buf, uint32_t, size)
{
    return getdents(fd, buf, size, true);
}

SYSCALL_DEFINE3(getdents64, int, fd, uaddr_t, buf, uint32_t, size)
{
    return getdents(fd, buf, size, false);
}
