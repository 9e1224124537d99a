/*
 * The gofer's file system: data of regular files. Small transfers lie in the message, large ones go through bulk
 * buffers of the arena, several at a time so that copying here overlaps with the gofer's work. Files that are read again and
 * again in small pieces are read from the window instead.
 */
#include "fs/gofer.h"

#include "lib/kmalloc.h"
#include "lib/string.h"
#include "mm/mm.h"

#include <linux/falloc.h>

#define READ_INLINE_MAX (RING_MESSAGE_SIZE - RING_IO_HEADER)
#define WRITE_HEADER 23
#define WRITE_INLINE_MAX (RING_MESSAGE_SIZE - WRITE_HEADER)
#define PIPELINE 4

/*
 * After so many small reads a file of an exclusive mount is mapped: that costs as much as a few requests, and again as much for each
 * page that is touched for the first time. So a large file has to be read often.
 */
#define HOT_READS 24
#define HOT_READS_PER_PAGE 4
#define HOT_READ_MAX (64u << 10)

struct chunk {
    struct ring_request *rq;
    void *buf;
    uint32_t size;
};

/* --- reading through the arena --- */

static ssize_t read_inline(uint32_t fid, struct iter *to, uint64_t offset)
{
    struct ring_request *rq = ring_get(P9_Tread);
    const uint8_t *data;
    uint32_t count;
    ssize_t ret;

    p9_put32(&rq->out, fid);
    p9_put64(&rq->out, offset);
    p9_put32(&rq->out, (uint32_t)MIN(to->left, (uint64_t)READ_INLINE_MAX));
    ret = ring_call(rq);
    if (ret == 0) {
        count = p9_get32(&rq->in);
        data = p9_take(&rq->in, count);
        ret = data ? (ssize_t)iter_copy_to(to, data, count) : -EIO;
        if (ret == 0 && count > 0)
            ret = -EFAULT;
    }
    ring_put(rq);
    return ret;
}

/* Only the first of a transfer's chunks may wait for memory, or two transfers could wait for each other. */
static bool chunk_get(struct chunk *c, uint8_t type, bool first)
{
    c->buf = first ? ring_bulk_get() : ring_bulk_try_get();
    if (!c->buf)
        return false;
    c->rq = first ? ring_get(type) : ring_try_get(type);
    if (!c->rq)
        ring_bulk_put(c->buf);
    return c->rq != NULL;
}

static void chunk_put(struct chunk *c)
{
    ring_put(c->rq);
    ring_bulk_put(c->buf);
}

static void read_submit(struct chunk *c, uint32_t fid, uint64_t offset, uint32_t size)
{
    c->size = size;
    p9_put32(&c->rq->out, fid);
    p9_put64(&c->rq->out, offset);
    p9_put32(&c->rq->out, size);
    c->rq->data_in = c->buf;
    c->rq->data_in_size = size;
    ring_submit(c->rq);
}

/* Bytes that came for this chunk and were copied, or -errno. */
static ssize_t read_finish(struct chunk *c, struct iter *to, bool discard)
{
    ssize_t ret = ring_wait(c->rq);
    uint32_t count;

    if (ret == 0) {
        count = p9_get32(&c->rq->in);
        if (c->rq->in.bad || count > c->size)
            ret = -EIO;
        else if (!discard && count > 0)
            ret = (ssize_t)iter_copy_to(to, c->buf, count);
        if (ret == 0 && count > 0 && !discard)
            ret = -EFAULT;
    }
    chunk_put(c);
    return ret;
}

static ssize_t read_bulk(uint32_t fid, struct iter *to, uint64_t offset)
{
    struct chunk chunk[PIPELINE];
    uint64_t size = to->left, asked = 0, done = 0;
    size_t head = 0, tail = 0;
    bool stop = false;
    ssize_t err = 0, n;

    for (;;) {
        while (!stop && asked < size && head - tail < PIPELINE && chunk_get(&chunk[head % PIPELINE], P9_Tread, head == tail)) {
            uint32_t part = (uint32_t)MIN(size - asked, (uint64_t)RING_BULK_SIZE);

            read_submit(&chunk[head++ % PIPELINE], fid, offset + asked, part);
            asked += part;
        }
        if (head == tail)
            break;
        n = read_finish(&chunk[tail % PIPELINE], to, stop);
        if (!stop && n < 0)
            err = n;
        if (!stop && n > 0)
            done += (uint64_t)n;
        /* Short: the end of the file, an error, or bad memory. What was asked for beyond is dropped. */
        if (n != (ssize_t)chunk[tail % PIPELINE].size)
            stop = true;
        tail++;
    }
    return done > 0 ? (ssize_t)done : err;
}

ssize_t gofer_read_fid(uint32_t fid, struct iter *to, uint64_t offset)
{
    if (to->left == 0)
        return 0;
    return to->left <= READ_INLINE_MAX ? read_inline(fid, to, offset) : read_bulk(fid, to, offset);
}

/* --- writing through the arena --- */

static void put_write(struct ring_request *rq, uint32_t fid, uint64_t offset, uint32_t count)
{
    p9_put32(&rq->out, fid);
    p9_put64(&rq->out, offset);
    p9_put32(&rq->out, count);
}

static ssize_t write_inline(uint32_t fid, struct iter *from, uint64_t offset)
{
    struct ring_request *rq = ring_get(P9_Twrite);
    uint32_t size = (uint32_t)from->left;
    uint8_t *data;
    ssize_t ret;

    put_write(rq, fid, offset, size);
    data = p9_take(&rq->out, size);
    if (iter_copy_from(from, data, size) < size) {
        ring_put(rq);
        return -EFAULT;
    }
    ret = ring_call(rq);
    if (ret == 0)
        ret = (ssize_t)p9_get32(&rq->in);
    if (ret > (ssize_t)size || (ret >= 0 && rq->in.bad))
        ret = -EIO;
    ring_put(rq);
    return ret;
}

/* Fill a chunk and send it. False if no byte could be taken from the app. */
static bool write_submit(struct chunk *c, uint32_t fid, struct iter *from, uint64_t offset)
{
    c->size = (uint32_t)iter_copy_from(from, c->buf, (size_t)MIN(from->left, (uint64_t)RING_BULK_SIZE));
    if (c->size == 0) {
        chunk_put(c);
        return false;
    }
    put_write(c->rq, fid, offset, c->size);
    c->rq->data_out = c->buf;
    c->rq->data_out_size = c->size;
    ring_submit(c->rq);
    ring_notify();
    return true;
}

static ssize_t write_finish(struct chunk *c)
{
    ssize_t ret = ring_wait(c->rq);

    if (ret == 0)
        ret = (ssize_t)p9_get32(&c->rq->in);
    if (ret > (ssize_t)c->size || (ret >= 0 && c->rq->in.bad))
        ret = -EIO;
    chunk_put(c);
    return ret;
}

static ssize_t write_bulk(uint32_t fid, struct iter *from, uint64_t offset, size_t depth)
{
    struct chunk chunk[PIPELINE];
    uint64_t sent = 0, done = 0;
    size_t head = 0, tail = 0;
    bool stop = false;
    ssize_t err = 0, n;

    for (;;) {
        while (!stop && from->left > 0 && head - tail < depth && chunk_get(&chunk[head % PIPELINE], P9_Twrite, head == tail)) {
            if (!write_submit(&chunk[head % PIPELINE], fid, from, offset == P9_OFFSET_STREAM ? offset : offset + sent)) {
                err = -EFAULT;
                stop = true;
                break;
            }
            sent += chunk[head++ % PIPELINE].size;
        }
        if (head == tail)
            break;
        n = write_finish(&chunk[tail % PIPELINE]);
        if (!stop && n < 0)
            err = n;
        if (!stop && n > 0)
            done += (uint64_t)n;
        if (n != (ssize_t)chunk[tail % PIPELINE].size)
            stop = true;
        tail++;
    }
    return done > 0 ? (ssize_t)done : err;
}

ssize_t gofer_write_fid(uint32_t fid, struct iter *from, uint64_t offset)
{
    if (from->left == 0)
        return 0;
    return from->left <= WRITE_INLINE_MAX ? write_inline(fid, from, offset) : write_bulk(fid, from, offset, PIPELINE);
}

/* --- files --- */

/* From the window, if the file is mapped and nobody outside can shorten it. Bytes; 0: not this way. */
static ssize_t read_window(struct inode *inode, struct iter *to, uint64_t offset)
{
    uint32_t faults = mm_window_faults;
    struct iter start = *to;
    size_t done = 0, n;
    const void *data;
    uint64_t len;

    while (to->left > 0 && (data = gofer_mapped(inode, offset + done, &len)) != NULL) {
        n = iter_copy_to(to, data, (size_t)MIN(len, to->left));
        if (mm_window_faults != faults) { /* a hole on a full file system, or an error: let the gofer answer */
            *to = start;
            gofer_maps_retire(inode);
            return 0;
        }
        done += n;
        if (n == 0)
            return done > 0 ? (ssize_t)done : -EFAULT;
    }
    return (ssize_t)done;
}

/* Programs and libraries are mapped anyway after their headers are read: then the headers come from there too. */
#define IMAGE_SIZE_MIN (16u << 10)

static bool is_image(const struct inode *inode, const struct iter *to)
{
    const struct gofer_inode *gi = gofer_i(inode);
    const char *name = gi->name;

    if (inode->size < IMAGE_SIZE_MIN || gi->open_count == 0)
        return false;
    if (to->kernel && (inode->mode & 0111))
        return true; /* exec */
    while (name && (name = strchr(name, '.')) != NULL) {
        if (name[1] == 's' && name[2] == 'o' && (name[3] == '.' || name[3] == '\0'))
            return true;
        name++;
    }
    return false;
}

static bool is_hot(const struct inode *inode)
{
    return gofer_i(inode)->hot_reads >= HOT_READS + (inode->size >> PAGE_SHIFT) * HOT_READS_PER_PAGE;
}

/* What can be had without asking the gofer for it now. */
static ssize_t read_here(struct file *f, struct iter *to, uint64_t offset)
{
    struct gofer_inode *gi = gofer_i(f->inode);
    ssize_t n = gi->kept ? gofer_kept_read(f->inode, to, offset) : 0;

    if (n != 0) /* or an error; the next read goes on where kept pages end */
        return n;
    if (!gi->map[0] && !gi->map[1])
        return gofer_ahead_read(f, to, offset);
    gofer_behind_wait(f->inode); /* those writes go around the window */
    return read_window(f->inode, to, offset);
}

static ssize_t read_exclusive(struct file *f, struct iter *to, uint64_t offset)
{
    struct gofer_inode *gi = gofer_i(f->inode);
    const struct gofer_handle *h = f->data;
    ssize_t n, rest;

    if (offset >= f->inode->size)
        return 0;
    to->left = MIN(to->left, f->inode->size - offset);
    if (gi->hot_reads == 0 && is_image(f->inode, to)) {
        if (gofer_is_small(f->inode))
            gofer_keep(f, 0, f->inode->size);
        if (!gi->kept)
            gofer_map_for_read(f);
    } else if (to->left <= HOT_READ_MAX && is_hot(f->inode)) {
        gofer_map_for_read(f);
    }
    n = read_here(f, to, offset);
    if (n < 0 || to->left == 0)
        return n;
    gi->hot_reads++;
    rest = gofer_read_fid(h->fid, to, offset + (uint64_t)n); /* the window may end before the file does */
    if (rest < 0)
        return n > 0 ? n : rest;
    return n + rest;
}

static ssize_t gofer_read(struct file *f, struct iter *to, uint64_t *pos)
{
    const struct gofer_handle *h = f->data;
    ssize_t n;

    if (gofer_sb(f->inode->sb)->exclusive)
        n = read_exclusive(f, to, *pos);
    else
        n = gofer_read_fid(h->fid, to, *pos);
    if (n > 0)
        *pos += (uint64_t)n;
    return n;
}

/*
 * Write at an offset, behind if that may be. What was read ahead is old then: also what a request brings that was sent before
 * this one.
 */
static ssize_t write_at(struct file *f, struct iter *from, uint64_t offset)
{
    const struct gofer_handle *h = f->data;
    ssize_t done, n;

    gofer_ahead_drop(f->inode);
    done = gofer_behind_write(f, from, offset);
    if (done < 0 || from->left == 0)
        return done;
    n = gofer_write_fid(h->fid, from, offset + (uint64_t)done);
    if (n > 0)
        done += n;
    return done > 0 ? done : n;
}

static void written(struct inode *inode, uint64_t end)
{
    uint64_t old_size = inode->size;

    inode_touch(inode, ATTR_MTIME | ATTR_CTIME);
    gofer_set_stale(gofer_i(inode));
    gofer_pages_drop(inode);
    if (end <= old_size)
        return;
    inode->size = end;
    gofer_maps_resized(inode, old_size);
}

static ssize_t write_append(struct file *f, struct iter *from, uint64_t *pos)
{
    struct inode *inode = f->inode;
    ssize_t n;

    mutex_lock(&inode->lock);
    if (!gofer_sb(inode->sb)->exclusive) {
        gofer_set_stale(gofer_i(inode));
        gofer_getattr(inode, STATX_SIZE);
    }
    *pos = inode->size;
    n = write_at(f, from, *pos);
    if (n > 0) {
        *pos += (uint64_t)n;
        written(inode, *pos);
    }
    mutex_unlock(&inode->lock);
    return n;
}

static ssize_t gofer_write(struct file *f, struct iter *from, uint64_t *pos)
{
    ssize_t n;

    if (from->left == 0)
        return 0;
    if (f->flags & O_APPEND)
        return write_append(f, from, pos);
    n = write_at(f, from, *pos);
    if (n > 0) {
        *pos += (uint64_t)n;
        written(f->inode, *pos);
    }
    return n;
}

static loff_t seek_host(struct file *f, loff_t offset, int whence)
{
    const struct gofer_handle *h = f->data;
    struct ring_request *rq = ring_get(P9_Tseek);
    uint64_t pos = 0;
    long err;

    p9_put32(&rq->out, h->fid);
    p9_put64(&rq->out, (uint64_t)offset);
    p9_put32(&rq->out, (uint32_t)whence);
    err = ring_call(rq);
    if (err == 0) {
        pos = p9_get64(&rq->in);
        if (rq->in.bad || pos > INT64_MAX)
            err = -EIO;
    }
    ring_put(rq);
    if (err < 0)
        return err;
    f->pos = pos;
    return (loff_t)pos;
}

static loff_t gofer_seek(struct file *f, loff_t offset, int whence)
{
    if ((whence == SEEK_DATA || whence == SEEK_HOLE) && offset >= 0)
        return seek_host(f, offset, whence);
    if (whence == SEEK_END && !gofer_sb(f->inode->sb)->exclusive) {
        gofer_set_stale(gofer_i(f->inode));
        gofer_getattr(f->inode, STATX_SIZE);
    }
    return seek_generic(f, offset, whence);
}

static int gofer_fsync(struct file *f, bool data_only)
{
    const struct gofer_handle *h = f->data;
    struct ring_request *rq = ring_get(P9_Tfsync);
    long err, late;

    p9_put32(&rq->out, h->fid);
    p9_put32(&rq->out, data_only);
    err = ring_call(rq); /* the writes before it are done then */
    ring_put(rq);
    gofer_behind_wait(f->inode);
    late = gofer_behind_error(f->inode);
    return (int)(late < 0 ? late : err);
}

static int gofer_flush(struct file *f)
{
    ring_poll();
    return (int)gofer_behind_error(f->inode);
}

static int gofer_fallocate(struct file *f, int mode, uint64_t offset, uint64_t len)
{
    const struct gofer_handle *h = f->data;
    struct ring_request *rq = ring_get(P9_Tfallocate);
    struct inode *inode = f->inode;
    uint64_t old_size = inode->size;
    long err;

    p9_put32(&rq->out, h->fid);
    p9_put32(&rq->out, (uint32_t)mode);
    p9_put64(&rq->out, offset);
    p9_put64(&rq->out, len);
    err = ring_call(rq);
    ring_put(rq);
    if (err < 0)
        return (int)err;
    inode_touch(inode, ATTR_CTIME);
    gofer_set_stale(gofer_i(inode));
    gofer_ahead_drop(inode);
    gofer_pages_drop(inode);
    if (mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE))
        return gofer_getattr(inode, STATX_SIZE);
    if (!(mode & FALLOC_FL_KEEP_SIZE) && offset + len > old_size) {
        inode->size = offset + len;
        gofer_maps_resized(inode, old_size);
    }
    return 0;
}

/*
 * The last file is gone. A handle for reading is kept for the next open, as long as there is room; one for writing isn't,
 * and on shared mounts none is: the host's owner shall get the space of a deleted file back.
 */
static void drop_idle_handles(struct inode *inode)
{
    struct gofer_inode *gi = gofer_i(inode);
    size_t first = gofer_sb(inode->sb)->exclusive ? O_WRONLY : O_RDONLY;

    if (gi->open_count > 0)
        return;
    gofer_ahead_drop(inode);
    if (!gi->parent)
        return;
    for (size_t i = first; i < ARRAY_SIZE(gi->handle); i++) {
        gofer_handle_put(gi->handle[i]);
        gi->handle[i] = NULL;
    }
    gi->want_writable = false;
}

void gofer_release(struct file *f)
{
    gofer_i(f->inode)->open_count--;
    gofer_handle_put(f->data);
    drop_idle_handles(f->inode);
}

const struct file_ops gofer_file_ops = {
    .read = gofer_read,
    .write = gofer_write,
    .seek = gofer_seek,
    .fsync = gofer_fsync,
    .flush = gofer_flush,
    .fallocate = gofer_fallocate,
    .release = gofer_release,
    .mmap = gofer_mmap,
    .page = gofer_page,
    .load = gofer_load,
    .keep = gofer_keep,
};
