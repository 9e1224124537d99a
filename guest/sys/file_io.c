/* read(2), write(2) and their relatives, lseek(2). */
#include <asm/resource.h>
#include <asm/signal.h>
#include <linux/uio.h>

#include "fs/notify.h"
#include "lib/kmalloc.h"
#include "sys/file_util.h"
#include "sys/syscall.h"

#define SIGNAL_FROM_KERNEL 0x80 /* SI_KERNEL */

ssize_t file_read_iter(struct file *f, struct iter *to, uint64_t *pos)
{
    ssize_t n;

    if (!file_readable(f))
        return -EBADF;
    if (!f->ops->read)
        return f->inode && S_ISDIR(f->inode->mode) ? -EISDIR : -EINVAL;
    n = f->ops->read(f, to, pos);
    if (n > 0) {
        current->proc->read_bytes += (uint64_t)n;
        notify_file(f, IN_ACCESS);
    }
    return n;
}

ssize_t file_size_limit(const struct file *f, uint64_t pos, size_t n)
{
    uint64_t limit;

    if (!f->inode || !S_ISREG(f->inode->mode))
        return (ssize_t)n;
    limit = rlimit(RLIMIT_FSIZE);
    if (likely(limit == RLIM_INFINITY) || n == 0)
        return (ssize_t)n;
    if (pos >= limit) {
        signal_send_thread(current, SIGXFSZ, SIGNAL_FROM_KERNEL, 0, 0);
        return -EFBIG;
    }
    return (ssize_t)MIN(n, limit - pos);
}

ssize_t file_write_iter(struct file *f, struct iter *from, uint64_t *pos)
{
    ssize_t n;

    if (!file_writable(f))
        return -EBADF;
    if (!f->ops->write)
        return -EINVAL;
    n = file_size_limit(f, f->flags & O_APPEND ? file_size(f) : *pos, from->left);
    if (n < 0)
        return n;
    from->left = (uint64_t)n;
    n = f->ops->write(f, from, pos);
    if (n <= 0)
        return n;
    current->proc->write_bytes += (uint64_t)n;
    vfs_written(f);
    if ((f->flags & O_DSYNC) && f->ops->fsync) {
        int err = f->ops->fsync(f, (f->flags & O_SYNC) != O_SYNC);

        if (err < 0)
            return err;
    }
    return n;
}

/* --- at the file's own position --- */

static ssize_t at_own_pos(int fd, struct iter *it, transfer_fn transfer)
{
    struct file *f = fd_get_io(fd);
    bool lock;
    ssize_t n;

    if (!f)
        return -EBADF;
    lock = file_has_pos(f);
    if (lock)
        mutex_lock(&f->pos_lock);
    n = transfer(f, it, &f->pos);
    if (lock)
        mutex_unlock(&f->pos_lock);
    file_put(f);
    return n;
}

static ssize_t at_pos(int fd, struct iter *it, loff_t offset, transfer_fn transfer)
{
    uint64_t pos = (uint64_t)offset;
    struct file *f;
    ssize_t n;

    if (offset < 0)
        return -EINVAL;
    f = fd_get_io(fd);
    if (!f)
        return -EBADF;
    n = f->ops->seek ? transfer(f, it, &pos) : -ESPIPE;
    file_put(f);
    return n;
}

static int user_buffer(struct iter *it, struct iter_segment *seg, uaddr_t buf, size_t count)
{
    if (!user_range(buf, MIN(count, (size_t)APP_END)) || (ssize_t)count < 0)
        return (ssize_t)count < 0 ? -EINVAL : -EFAULT;
    iter_user(it, seg, buf, MIN(count, MAX_RW_COUNT));
    return 0;
}

static ssize_t one_buffer(int fd, uaddr_t buf, size_t count, const loff_t *offset, transfer_fn transfer)
{
    struct iter_segment seg;
    struct iter it;
    int err = user_buffer(&it, &seg, buf, count);

    if (err < 0) {
        struct file *f = fd_get_io(fd); /* a bad descriptor is seen before a bad buffer */

        if (!f)
            return -EBADF;
        if (f->inode && S_ISDIR(f->inode->mode) && transfer == file_read_iter)
            err = -EISDIR;
        file_put(f);
        return err;
    }
    return offset ? at_pos(fd, &it, *offset, transfer) : at_own_pos(fd, &it, transfer);
}

SYSCALL_DEFINE3(read, int, fd, uaddr_t, buf, size_t, count)
{
    return one_buffer(fd, buf, count, NULL, file_read_iter);
}

SYSCALL_DEFINE3(write, int, fd, uaddr_t, buf, size_t, count)
{
    return one_buffer(fd, buf, count, NULL, file_write_iter);
}

SYSCALL_DEFINE4(pread64, int, fd, uaddr_t, buf, size_t, count, loff_t, offset)
{
    return one_buffer(fd, buf, count, &offset, file_read_iter);
}

SYSCALL_DEFINE4(pwrite64, int, fd, uaddr_t, buf, size_t, count, loff_t, offset)
{
    return one_buffer(fd, buf, count, &offset, file_write_iter);
}

/* --- vectors --- */

_Static_assert(sizeof(struct iovec) == sizeof(struct iter_segment), "an iovec is a segment");

static int check_segments(struct iter *it)
{
    for (size_t i = 0; i < it->segment_count; i++) {
        struct iter_segment *seg = &it->segments[i];

        if ((ssize_t)seg->len < 0)
            return -EINVAL;
        if (!user_range(seg->base, seg->len))
            return -EFAULT;
        seg->len = MIN(seg->len, MAX_RW_COUNT - it->left);
        it->left += seg->len;
    }
    return 0;
}

int iter_import(struct iter *it, struct iter_segment *fast, uaddr_t vec, uint64_t count, void **ret_free)
{
    struct iter_segment *seg = fast;
    int err;

    *ret_free = NULL;
    if (count > UIO_MAXIOV)
        return -EINVAL;
    if (count > SEGMENTS_ON_STACK) {
        seg = kmalloc(count * sizeof(*seg));
        if (!seg)
            return -ENOMEM;
        *ret_free = seg;
    }
    *it = (struct iter){ .segments = seg, .segment_count = count };
    err = copy_from_user(seg, vec, count * sizeof(*seg)) < 0 ? -EFAULT : check_segments(it);
    if (err < 0) {
        kfree(*ret_free);
        *ret_free = NULL;
    }
    return err;
}

static ssize_t vector(int fd, uaddr_t vec, uint64_t count, const loff_t *offset, transfer_fn transfer)
{
    struct iter_segment fast[SEGMENTS_ON_STACK];
    struct file *f = fd_get_io(fd);
    struct iter it;
    void *to_free;
    ssize_t n;

    if (!f)
        return -EBADF;
    file_put(f);
    n = iter_import(&it, fast, vec, count, &to_free);
    if (n < 0)
        return n;
    n = offset ? at_pos(fd, &it, *offset, transfer) : at_own_pos(fd, &it, transfer);
    kfree(to_free);
    return n;
}

SYSCALL_DEFINE3(readv, int, fd, uaddr_t, vec, uint64_t, count)
{
    return vector(fd, vec, count, NULL, file_read_iter);
}

SYSCALL_DEFINE3(writev, int, fd, uaddr_t, vec, uint64_t, count)
{
    return vector(fd, vec, count, NULL, file_write_iter);
}

SYSCALL_DEFINE4(preadv, int, fd, uaddr_t, vec, uint64_t, count, loff_t, offset)
{
    return vector(fd, vec, count, &offset, file_read_iter);
}

SYSCALL_DEFINE4(pwritev, int, fd, uaddr_t, vec, uint64_t, count, loff_t, offset)
{
    return vector(fd, vec, count, &offset, file_write_iter);
}

static ssize_t write_synced(struct file *f, struct iter *it, uint64_t *pos)
{
    ssize_t n = file_write_iter(f, it, pos);
    int err = n > 0 && f->ops->fsync ? f->ops->fsync(f, false) : 0;

    return err < 0 ? err : n;
}

static ssize_t write_appended(struct file *f, struct iter *it, uint64_t *pos UNUSED)
{
    uint64_t end = file_size(f);

    return file_write_iter(f, it, &end);
}

/* RWF_HIPRI is a hint; RWF_NOWAIT isn't supported, which callers must expect. */
long file_transfer(int flags, bool write, transfer_fn *ret)
{
    if (flags & ~(RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_APPEND))
        return -EOPNOTSUPP;
    if (write && (flags & RWF_APPEND))
        *ret = write_appended;
    else if (write && (flags & (RWF_DSYNC | RWF_SYNC)))
        *ret = write_synced;
    else
        *ret = write ? file_write_iter : file_read_iter;
    return 0;
}

/* Offset -1: the file's own position. */
static ssize_t vector2(int fd, uaddr_t vec, uint64_t count, loff_t offset, int flags, bool write)
{
    transfer_fn transfer;
    long err = file_transfer(flags, write, &transfer);

    if (err < 0)
        return err;
    return vector(fd, vec, count, offset == -1 ? NULL : &offset, transfer);
}

SYSCALL_DEFINE6(preadv2, int, fd, uaddr_t, vec, uint64_t, count, loff_t, offset, uint64_t, high UNUSED, int, flags)
{
    return vector2(fd, vec, count, offset, flags, false);
}

SYSCALL_DEFINE6(pwritev2, int, fd, uaddr_t, vec, uint64_t, count, loff_t, offset, uint64_t, high UNUSED, int, flags)
{
    return vector2(fd, vec, count, offset, flags, true);
}

SYSCALL_DEFINE3(lseek, int, fd, loff_t, offset, int, whence)
{
    struct file *f = fd_get_io(fd);
    loff_t ret;

    if (!f)
        return -EBADF;
    mutex_lock(&f->pos_lock);
    if ((unsigned)whence > SEEK_MAX)
        ret = -EINVAL;
    else if (f->ops->seek)
        ret = f->ops->seek(f, offset, whence);
    else
        ret = f->ops->seek_nowhere ? 0 : -ESPIPE;
    mutex_unlock(&f->pos_lock);
    file_put(f);
    return ret;
}
