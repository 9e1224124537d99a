/*
 * Data from one descriptor to another without the app's memory: sendfile, copy_file_range, splice, tee, vmsplice. It passes
 * through a buffer of the shim's; a pipe's data is only taken out once it has been written.
 */
#include "fs/pipe.h"
#include "lib/kmalloc.h"
#include "sys/file_util.h"
#include "sys/syscall.h"

#define COPY_BUFFER 65536ul
#define SPLICE_F_NONBLOCK 2u
#define SPLICE_F_ALL 15u

/*
 * One side of a copy: a file at its own position, or at one of the app's. Transfers at the own position must name &file->pos
 * itself: an inherited descriptor's position is the host's, shared with whoever has it too.
 */
struct side {
    struct file *file;
    uaddr_t offset_addr; /* 0: the file's own position */
    uint64_t pos;        /* the app's */
};

static uint64_t *cursor(struct side *s)
{
    return s->offset_addr ? &s->pos : &s->file->pos;
}

/* Take the descriptor and read the offset. Released by side_end. */
static long side_begin(struct side *s, int fd, uaddr_t offset_addr)
{
    *s = (struct side){ .file = fd_get_io(fd), .offset_addr = offset_addr };
    if (!s->file)
        return -EBADF;
    if (!offset_addr)
        return 0;
    if (get_user(s->pos, offset_addr) < 0)
        return -EFAULT;
    return (int64_t)s->pos < 0 ? -EINVAL : 0;
}

static long side_end(struct side *s)
{
    long err = 0;

    if (!s->file)
        return 0;
    if (s->offset_addr)
        err = put_user(s->pos, s->offset_addr);
    file_put(s->file);
    return err;
}

static ssize_t write_buffer(struct side *out, char *buf, size_t n)
{
    struct iter_segment seg;
    struct iter it;
    size_t done = 0;

    while (done < n) {
        ssize_t ret;

        iter_kernel(&it, &seg, buf + done, n - done);
        ret = file_write_iter(out->file, &it, cursor(out));
        if (ret <= 0)
            return done ? (ssize_t)done : ret;
        done += (size_t)ret;
    }
    return (ssize_t)done;
}

/* Step back over what was read and couldn't be written. */
static void unread(struct side *in, size_t n)
{
    if (in->offset_addr)
        in->pos -= n;
    else if (n > 0 && in->file->ops->seek)
        in->file->ops->seek(in->file, -(loff_t)n, SEEK_CUR);
}

/* One buffer's worth from a file. Bytes that arrived, 0 at the end, or -errno; the position counts those only. */
static ssize_t copy_chunk(struct side *in, struct side *out, char *buf, size_t n)
{
    struct iter_segment seg;
    struct iter it;
    ssize_t got, put;

    iter_kernel(&it, &seg, buf, n);
    got = file_read_iter(in->file, &it, cursor(in));
    if (got <= 0)
        return got;
    put = write_buffer(out, buf, (size_t)got);
    unread(in, (size_t)(got - MAX(put, 0)));
    return put;
}

static ssize_t copy_bytes(struct side *in, struct side *out, size_t count)
{
    size_t size = MIN(count, COPY_BUFFER), done = 0;
    char *buf = size ? kmalloc(size) : NULL;
    ssize_t n = 0;

    if (size == 0)
        return 0;
    if (!buf)
        return -ENOMEM;
    while (done < count) {
        size_t want = MIN(count - done, size);

        n = copy_chunk(in, out, buf, want);
        if (n <= 0)
            break;
        done += (size_t)n;
        if ((size_t)n < want)
            break;
    }
    kfree(buf);
    return done ? (ssize_t)done : n;
}

static long finish(struct side *in, struct side *out, long ret)
{
    long in_err = side_end(in);
    long out_err = side_end(out);

    if (ret >= 0 && (in_err < 0 || out_err < 0))
        return -EFAULT;
    return ret;
}

static long check_modes(const struct side *in, const struct side *out)
{
    return file_readable(in->file) && file_writable(out->file) ? 0 : -EBADF;
}

SYSCALL_DEFINE4(sendfile, int, out_fd, int, in_fd, uaddr_t, offset, size_t, count)
{
    struct side in = { 0 }, out = { 0 };
    long ret = side_begin(&in, in_fd, offset);

    if (ret == 0)
        ret = side_begin(&out, out_fd, 0);
    if (ret == 0)
        ret = check_modes(&in, &out);
    if (ret == 0 && (!in.file->ops->seek || !in.file->ops->read))
        ret = offset ? -ESPIPE : -EINVAL;
    if (ret == 0 && (out.file->flags & O_APPEND))
        ret = -EINVAL;
    if (ret == 0)
        ret = copy_bytes(&in, &out, MIN(count, MAX_RW_COUNT));
    return finish(&in, &out, ret);
}

static long check_copy_range(const struct side *in, const struct side *out, size_t count, uint32_t flags)
{
    const struct inode *from = in->file->inode, *to = out->file->inode;
    uint64_t in_pos = in->offset_addr ? in->pos : in->file->pos, out_pos = out->offset_addr ? out->pos : out->file->pos;
    long err = check_modes(in, out);

    if (flags)
        return -EINVAL;
    if (err < 0 || (out->file->flags & O_APPEND))
        return -EBADF;
    if ((from && S_ISDIR(from->mode)) || (to && S_ISDIR(to->mode)))
        return -EISDIR;
    if (!from || !to || !S_ISREG(from->mode) || !S_ISREG(to->mode))
        return -EINVAL;
    if (in_pos + count < in_pos || out_pos + count < out_pos)
        return -EOVERFLOW;
    if (from == to && in_pos < out_pos + count && out_pos < in_pos + count)
        return -EINVAL;
    return 0;
}

SYSCALL_DEFINE6(copy_file_range, int, in_fd, uaddr_t, in_offset, int, out_fd, uaddr_t, out_offset, size_t, count,
                uint32_t, flags)
{
    struct side in = { 0 }, out = { 0 };
    long ret = side_begin(&in, in_fd, in_offset);

    if (ret == 0)
        ret = side_begin(&out, out_fd, out_offset);
    if (ret == 0) {
        uint64_t pos = *cursor(&in), size;

        if (in.file->inode)
            vfs_getattr(in.file->inode, STATX_SIZE);
        size = file_size(in.file);
        count = MIN(count, pos < size ? size - pos : 0);
        ret = check_copy_range(&in, &out, count, flags);
    }
    if (ret == 0)
        ret = copy_bytes(&in, &out, MIN(count, MAX_RW_COUNT));
    return finish(&in, &out, ret);
}

/* --- splice --- */

/* From a pipe: what is there, up to count, into a buffer, and out of the pipe as far as it was written. */
static long splice_from_pipe(struct pipe *from, struct side *out, size_t count, bool nonblock)
{
    struct iter_segment seg;
    struct iter it;
    char *buf;
    size_t n;
    long ret = pipe_wait_data(from, nonblock);

    if (ret <= 0)
        return ret;
    n = MIN(MIN(count, pipe_bytes(from)), COPY_BUFFER);
    buf = kmalloc(MAX(n, (size_t)1));
    if (!buf)
        return -ENOMEM;
    iter_kernel(&it, &seg, buf, n);
    n = pipe_peek(from, 0, &it);
    ret = write_buffer(out, buf, n);
    if (ret > 0)
        pipe_consume(from, (uint64_t)ret);
    kfree(buf);
    return ret;
}

static long splice_to_pipe(struct side *in, struct side *out, struct pipe *to, size_t count, bool nonblock)
{
    long ret = pipe_wait_room(to, nonblock);

    if (ret <= 0)
        return ret < 0 ? ret : -EPIPE;
    return copy_bytes(in, out, MIN(MIN(count, pipe_room(to)), COPY_BUFFER));
}

static long do_move(struct side *in, struct side *out, size_t count, bool nonblock)
{
    struct pipe *from = pipe_of(in->file), *to = pipe_of(out->file);
    long ret = check_modes(in, out);

    if (ret < 0)
        return ret;
    if (!from && !to)
        return -EINVAL;
    if ((from && in->offset_addr) || (to && out->offset_addr))
        return -ESPIPE;
    if (from && from == to)
        return -EINVAL;
    if (!to && (out->file->flags & O_APPEND))
        return -EINVAL;
    if (from && to) {
        ret = pipe_wait_room(to, nonblock);
        if (ret <= 0)
            return ret < 0 ? ret : -EPIPE;
        count = MIN(count, pipe_room(to));
    }
    return from ? splice_from_pipe(from, out, count, nonblock) : splice_to_pipe(in, out, to, count, nonblock);
}

SYSCALL_DEFINE6(splice, int, in_fd, uaddr_t, in_offset, int, out_fd, uaddr_t, out_offset, size_t, count, uint32_t, flags)
{
    struct side in = { 0 }, out = { 0 };
    bool nonblock;
    long ret;

    if (flags & ~SPLICE_F_ALL)
        return -EINVAL;
    if (count == 0)
        return 0;
    ret = side_begin(&in, in_fd, in_offset);
    if (ret == 0)
        ret = side_begin(&out, out_fd, out_offset);
    if (ret == 0) {
        nonblock = (flags & SPLICE_F_NONBLOCK) ||
                   (pipe_of(in.file) ? in.file->flags & O_NONBLOCK : out.file->flags & O_NONBLOCK);
        ret = do_move(&in, &out, MIN(count, MAX_RW_COUNT), nonblock);
    }
    return finish(&in, &out, ret);
}

static long do_duplicate(struct side *in, struct side *out, size_t count, bool nonblock)
{
    struct pipe *from = pipe_of(in->file), *to = pipe_of(out->file);
    struct iter_segment seg;
    struct iter it;
    char *buf;
    long ret = check_modes(in, out);

    if (ret < 0)
        return ret;
    if (!from || !to || from == to)
        return -EINVAL;
    ret = pipe_wait_data(from, nonblock);
    if (ret > 0)
        ret = pipe_wait_room(to, nonblock);
    if (ret <= 0)
        return ret;
    count = MIN(MIN(count, COPY_BUFFER), MIN(pipe_bytes(from), pipe_room(to)));
    buf = kmalloc(MAX(count, (size_t)1));
    if (!buf)
        return -ENOMEM;
    iter_kernel(&it, &seg, buf, count);
    ret = write_buffer(out, buf, pipe_peek(from, 0, &it));
    kfree(buf);
    return ret;
}

SYSCALL_DEFINE4(tee, int, in_fd, int, out_fd, size_t, count, uint32_t, flags)
{
    struct side in = { 0 }, out = { 0 };
    long ret;

    if (flags & ~SPLICE_F_ALL)
        return -EINVAL;
    if (count == 0)
        return 0;
    ret = side_begin(&in, in_fd, 0);
    if (ret == 0)
        ret = side_begin(&out, out_fd, 0);
    if (ret == 0)
        ret = do_duplicate(&in, &out, count, (flags & SPLICE_F_NONBLOCK) || ((in.file->flags | out.file->flags) & O_NONBLOCK));
    return finish(&in, &out, ret);
}

/* Pages aren't given away: what this does is writev on the writing end, and readv on the reading one. */
SYSCALL_DEFINE4(vmsplice, int, fd, uaddr_t, vec, uint64_t, count, uint32_t, flags)
{
    struct iter_segment fast[SEGMENTS_ON_STACK];
    struct file *f;
    struct iter it;
    void *to_free = NULL;
    long ret;

    if (flags & ~SPLICE_F_ALL)
        return -EINVAL;
    f = fd_get_io(fd);
    if (!f)
        return -EBADF;
    ret = pipe_of(f) ? iter_import(&it, fast, vec, count, &to_free) : -EBADF;
    if (ret == 0 && it.left > 0)
        ret = file_writable(f) ? file_write_iter(f, &it, &f->pos) : file_read_iter(f, &it, &f->pos);
    kfree(to_free);
    file_put(f);
    return ret;
}
