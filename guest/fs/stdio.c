/*
 * Inherited descriptors: attaching them, their data and their attributes. Polling is in stdio_poll.c, terminals are in tty.c.
 *
 * The offset of a redirected file belongs to the host's open file, which others share (a shell's `{ a; b; } > file`), so
 * reads and writes go to the descriptor's own position and only pread and pwrite name one.
 */
#include "fs/stdio.h"

#include "arch/bootinfo.h"
#include "fs/anon.h"
#include "fs/gofer.h"
#include "fs/stdio_impl.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "proc/process.h"
#include "tty/bridge.h"
#include "tty/tty.h"

#include <asm/signal.h>
#include <asm/siginfo.h>
#include <linux/mman.h>

static struct stdio *stdio_of[3];

static struct stdio *stdio_i(const struct file *f)
{
    return f->data;
}

static const struct file_ops stdio_reopened_ops;

/* --- attributes --- */

static void take_attr(struct inode *inode, const struct p9_attr *attr)
{
    inode->mode = attr->mode;
    inode->uid = attr->uid;
    inode->gid = attr->gid;
    inode->nlink = (uint32_t)attr->nlink;
    inode->rdev = attr->rdev;
    inode->size = attr->size;
    inode->blksize = (uint32_t)attr->blksize;
    inode->blocks = attr->blocks;
    inode->atime = (struct timestamp){ (int64_t)attr->atime_sec, (uint32_t)attr->atime_nsec };
    inode->mtime = (struct timestamp){ (int64_t)attr->mtime_sec, (uint32_t)attr->mtime_nsec };
    inode->ctime = (struct timestamp){ (int64_t)attr->ctime_sec, (uint32_t)attr->ctime_nsec };
    inode->btime = (struct timestamp){ (int64_t)attr->btime_sec, (uint32_t)attr->btime_nsec };
}

static int stdio_getattr(struct inode *inode, uint32_t mask UNUSED)
{
    const struct stdio *s = inode->data;
    struct p9_attr attr;
    long err = gofer_stat_fid(s->fid, &attr);

    if (err < 0)
        return (int)err;
    take_attr(inode, &attr);
    return 0;
}

/* The user's own file: its length may change, nothing else. */
static int stdio_setattr(struct inode *inode, const struct attr *attr)
{
    const struct stdio *s = inode->data;
    struct ring_request *rq;
    long err;

    if (!(attr->valid & ATTR_SIZE))
        return -EPERM;
    rq = ring_get(P9_Tsetattr);
    p9_put32(&rq->out, s->fid);
    p9_put32(&rq->out, P9_SETATTR_SIZE);
    p9_put32(&rq->out, 0);
    p9_put32(&rq->out, 0);
    p9_put32(&rq->out, 0);
    p9_put64(&rq->out, attr->size);
    for (int i = 0; i < 4; i++)
        p9_put64(&rq->out, 0);
    err = ring_call(rq);
    ring_put(rq);
    if (err == 0)
        inode->size = attr->size;
    return (int)err;
}

/* /proc/self/fd/N and /dev/stdout lead here: another open file, with a position of its own if the host's file has one. */
static int stdio_open(struct inode *inode, struct file *f)
{
    f->data = inode->data;
    f->ops = S_ISREG(inode->mode) ? &stdio_reopened_ops : &stdio_ops;
    return 0;
}

static void stdio_evict(struct inode *inode)
{
    struct stdio *s = inode->data;

    if (!s)
        return;
    gofer_clunk(s->fid);
    if (stdio_of[s->index] == s)
        stdio_of[s->index] = NULL;
    kfree(s);
}

static const struct inode_ops stdio_inode_ops = {
    .getattr = stdio_getattr,
    .setattr = stdio_setattr,
    .open = stdio_open,
    .evict = stdio_evict,
};

/* --- data --- */

/* pread and pwrite pass a position of their own. */
static bool is_stream(const struct file *f, const uint64_t *pos)
{
    return !S_ISREG(f->inode->mode) || pos == &f->pos;
}

static uint64_t stream_offset(const struct file *f)
{
    return f->flags & O_NONBLOCK ? P9_OFFSET_STREAM_NOWAIT : P9_OFFSET_STREAM;
}

/* One reader at a time: a blocked one occupies a worker of the gofer's. */
static long turn_take(struct stdio_turn *t)
{
    long err = wait_until(&t->queue, !t->taken, NEVER, true);

    if (err == 0)
        t->taken = true;
    return err;
}

static void turn_give(struct stdio_turn *t)
{
    t->taken = false;
    wait_wake_all(&t->queue, 0);
}

static ssize_t read_stream(const struct file *f, struct iter *to)
{
    uint32_t size = (uint32_t)MIN(to->left, (uint64_t)RING_BULK_SIZE), count;
    bool big = size > RING_MESSAGE_SIZE - RING_IO_HEADER;
    void *bulk = big ? ring_bulk_get() : NULL;
    struct ring_request *rq = ring_get(P9_Tread);
    const void *data;
    ssize_t ret;

    p9_put32(&rq->out, stdio_i(f)->fid);
    p9_put64(&rq->out, stream_offset(f));
    p9_put32(&rq->out, size);
    rq->data_in = bulk;
    rq->data_in_size = big ? size : 0;
    ret = ring_call_interruptible(rq);
    if (ret == 0) {
        count = p9_get32(&rq->in);
        data = big ? bulk : p9_take(&rq->in, count);
        if (rq->in.bad || count > size)
            ret = -EIO;
        else if (count > 0)
            ret = (ssize_t)iter_copy_to(to, data, count);
        if (ret == 0 && count > 0)
            ret = -EFAULT;
    }
    ring_put(rq);
    if (big)
        ring_bulk_put(bulk);
    return ret;
}

static ssize_t stdio_read(struct file *f, struct iter *to, uint64_t *pos)
{
    struct stdio *s = stdio_i(f);
    ssize_t n;

    if (to->left == 0)
        return 0;
    n = s->is_tty ? host_tty_check_read() : 0;
    if (n < 0)
        return n;
    if (!is_stream(f, pos)) {
        n = gofer_read_fid(s->fid, to, *pos);
    } else if (f->flags & O_NONBLOCK) {
        n = read_stream(f, to);
    } else {
        n = turn_take(&s->read_turn);
        if (n < 0)
            return n;
        n = read_stream(f, to);
        turn_give(&s->read_turn);
    }
    if (n > 0)
        *pos += (uint64_t)n;
    stdio_rearm(s);
    return n;
}

/* A piece that is being written. */
struct piece {
    struct ring_request *rq;
    void *bulk;
    uint32_t size;
};

static bool piece_fill(struct piece *p, struct iter *from)
{
    p->bulk = ring_bulk_get();
    p->size = (uint32_t)iter_copy_from(from, p->bulk, (size_t)MIN(from->left, (uint64_t)RING_BULK_SIZE));
    if (p->size == 0)
        ring_bulk_put(p->bulk);
    return p->size > 0;
}

static void piece_submit(struct piece *p, const struct file *f, uint32_t done)
{
    p->rq = ring_get(P9_Twrite);
    p9_put32(&p->rq->out, stdio_i(f)->fid);
    p9_put64(&p->rq->out, stream_offset(f));
    p9_put32(&p->rq->out, p->size - done);
    p->rq->data_out = (const uint8_t *)p->bulk + done;
    p->rq->data_out_size = p->size - done;
    ring_submit(p->rq);
    ring_notify();
}

/* Wait until all of the piece is out, sending again what was left. Bytes that went out, or -errno if none did. */
static ssize_t piece_finish(struct piece *p, const struct file *f)
{
    uint32_t done = 0, count;
    long err;

    for (;;) {
        err = ring_wait_interruptible(p->rq);
        if (err == 0) {
            count = p9_get32(&p->rq->in);
            err = p->rq->in.bad || count > p->size - done ? -EIO : 0;
            done += err == 0 ? count : 0;
        }
        ring_put(p->rq);
        if (err < 0 || done == p->size || (f->flags & O_NONBLOCK))
            break;
        piece_submit(p, f, done);
    }
    ring_bulk_put(p->bulk);
    return done > 0 ? (ssize_t)done : err;
}

/* While the gofer writes one piece the next is copied; they are sent one after the other, as pipes keep no order else. */
static ssize_t write_stream(const struct file *f, struct iter *from)
{
    struct piece now, next = { 0 };
    ssize_t total = 0, n;
    bool more;

    if (!piece_fill(&now, from))
        return -EFAULT;
    for (;;) {
        piece_submit(&now, f, 0);
        more = from->left > 0 && piece_fill(&next, from);
        n = piece_finish(&now, f);
        if (n > 0)
            total += n;
        if (n != (ssize_t)now.size) {
            if (more)
                ring_bulk_put(next.bulk);
            return total > 0 ? total : n;
        }
        if (!more)
            return total;
        now = next;
    }
}

static ssize_t write_small(const struct file *f, struct iter *from)
{
    struct ring_request *rq = ring_get(P9_Twrite);
    uint32_t size = (uint32_t)from->left;
    ssize_t ret;

    p9_put32(&rq->out, stdio_i(f)->fid);
    p9_put64(&rq->out, stream_offset(f));
    p9_put32(&rq->out, size);
    if (iter_copy_from(from, p9_take(&rq->out, size), size) < size) {
        ring_put(rq);
        return -EFAULT;
    }
    ret = ring_call_interruptible(rq);
    if (ret == 0)
        ret = (ssize_t)p9_get32(&rq->in);
    if (ret > (ssize_t)size || (ret >= 0 && rq->in.bad))
        ret = -EIO;
    ring_put(rq);
    return ret;
}

#define SMALL_WRITE_MAX 4096u /* whole by PIPE_BUF's rule, or interrupted before anything was written */

static ssize_t stdio_write(struct file *f, struct iter *from, uint64_t *pos)
{
    struct stdio *s = stdio_i(f);
    ssize_t n;

    if (from->left == 0)
        return 0;
    if (!is_stream(f, pos)) {
        n = gofer_write_fid(s->fid, from, *pos);
    } else if (from->left <= SMALL_WRITE_MAX) {
        n = write_small(f, from);
    } else {
        n = turn_take(&s->write_turn);
        if (n < 0)
            return n;
        n = write_stream(f, from);
        turn_give(&s->write_turn);
    }
    if (n > 0)
        *pos += (uint64_t)n;
    if (n == -EPIPE)
        signal_send_thread(current, SIGPIPE, SI_USER, current->proc->pid, current->proc->cred.uid);
    return n;
}

static loff_t stdio_seek(struct file *f, loff_t offset, int whence)
{
    struct ring_request *rq;
    uint64_t pos = 0;
    long err;

    if (S_ISCHR(f->inode->mode) && !stdio_i(f)->is_tty)
        return 0; /* /dev/null and its like */
    if (!S_ISREG(f->inode->mode) && !S_ISBLK(f->inode->mode))
        return -ESPIPE;
    rq = ring_get(P9_Tseek);
    p9_put32(&rq->out, stdio_i(f)->fid);
    p9_put64(&rq->out, (uint64_t)offset);
    p9_put32(&rq->out, (uint32_t)whence);
    err = ring_call(rq);
    if (err == 0) {
        pos = p9_get64(&rq->in);
        err = rq->in.bad ? -EIO : 0;
    }
    ring_put(rq);
    if (err < 0)
        return err;
    f->pos = pos;
    return (loff_t)pos;
}

static int stdio_fsync(struct file *f, bool data_only)
{
    struct ring_request *rq;
    long err;

    if (!S_ISREG(f->inode->mode))
        return -EINVAL;
    rq = ring_get(P9_Tfsync);
    p9_put32(&rq->out, stdio_i(f)->fid);
    p9_put32(&rq->out, data_only);
    err = ring_call(rq);
    ring_put(rq);
    return (int)err;
}

/* A redirected file can be mapped privately: its pages are read when they are touched. */
static int stdio_mmap(struct file *f, int prot, int flags)
{
    if (!S_ISREG(f->inode->mode))
        return -ENODEV;
    return (flags & MAP_TYPE) != MAP_PRIVATE && (prot & PROT_WRITE) ? -ENODEV : stdio_getattr(f->inode, STATX_SIZE);
}

static int stdio_page(struct file *f, uint64_t offset, bool write, gpa_t *ret_gpa, uint64_t *ret_run)
{
    struct iter_segment seg;
    struct iter to;
    ssize_t n;
    gpa_t gpa;

    if (write)
        return -EACCES;
    if (offset >= f->inode->size)
        return -ERANGE;
    gpa = frame_zalloc();
    if (!gpa)
        return -ENOMEM;
    iter_kernel(&to, &seg, gpa_to_ptr(gpa), PAGE_SIZE);
    n = gofer_read_fid(stdio_i(f)->fid, &to, offset);
    if (n < 0) {
        frame_put(gpa);
        return (int)n;
    }
    *ret_gpa = gpa;
    *ret_run = PAGE_SIZE;
    return 0;
}

static long stdio_ioctl(struct file *f, uint32_t cmd, uint64_t arg)
{
    return tty_ioctl(stdio_i(f), f, cmd, arg);
}

static uint32_t stdio_poll(struct file *f, struct poll_table *table)
{
    return stdio_poll_events(stdio_i(f), f, table);
}

static int stdio_async_owner(const struct file *f)
{
    return stdio_i(f)->is_tty ? tty_async_owner(user_tty) : 0;
}

const struct file_ops stdio_ops = {
    .read = stdio_read,
    .write = stdio_write,
    .seek = stdio_seek,
    .poll = stdio_poll,
    .ioctl = stdio_ioctl,
    .fsync = stdio_fsync,
    .mmap = stdio_mmap,
    .page = stdio_page,
    .async = ASYNC_BY_ROOM,
    .async_owner = stdio_async_owner,
};

/* --- a redirected file, opened again --- */

static ssize_t reopened_read(struct file *f, struct iter *to, uint64_t *pos)
{
    ssize_t n = gofer_read_fid(stdio_i(f)->fid, to, *pos);

    if (n > 0)
        *pos += (uint64_t)n;
    return n;
}

static ssize_t reopened_write(struct file *f, struct iter *from, uint64_t *pos)
{
    ssize_t n;

    if (f->flags & O_APPEND) {
        n = stdio_getattr(f->inode, STATX_SIZE);
        if (n < 0)
            return n;
        *pos = f->inode->size;
    }
    n = gofer_write_fid(stdio_i(f)->fid, from, *pos);
    if (n > 0)
        *pos += (uint64_t)n;
    return n;
}

static loff_t reopened_seek(struct file *f, loff_t offset, int whence)
{
    int err = stdio_getattr(f->inode, STATX_SIZE);

    return err < 0 ? err : seek_generic(f, offset, whence);
}

static const struct file_ops stdio_reopened_ops = {
    .read = reopened_read,
    .write = reopened_write,
    .seek = reopened_seek,
    .fsync = stdio_fsync,
    .mmap = stdio_mmap,
    .page = stdio_page,
};

/* --- start --- */

/* The host doesn't say how a descriptor was opened; what it is and its number do. */
static uint32_t guess_flags(uint32_t mode, uint32_t index)
{
    if (S_ISCHR(mode) || S_ISSOCK(mode))
        return O_RDWR | O_LARGEFILE;
    return (index == 0 ? O_RDONLY : O_WRONLY) | O_LARGEFILE;
}

static void text_of(const struct stdio *s, uint32_t mode, char *buf, size_t size)
{
    const char *kind = S_ISFIFO(mode) ? "pipe" : S_ISSOCK(mode) ? "socket" : "stdio";

    ksnprintf(buf, size, "%s:[%lu]", kind, (unsigned long)s->ino);
}

static struct inode *stdio_inode(struct superblock *sb, uint32_t index, struct gofer_attach *attach)
{
    struct stdio *s;
    struct inode *inode;
    struct p9_attr attr;
    long err = gofer_attach_end(attach, &attr);

    if (err < 0)
        return err_ptr(err);
    s = kzalloc(sizeof(*s));
    inode = s ? inode_alloc(sb, &stdio_inode_ops, attr.mode, attr.qid.path) : NULL;
    if (!inode) {
        kfree(s);
        return err_ptr(-ENOMEM);
    }
    s->index = index;
    s->fid = attach->fid;
    wait_queue_init(&s->wait);
    wait_queue_init(&s->read_turn.queue);
    wait_queue_init(&s->write_turn.queue);
    take_attr(inode, &attr);
    s->ino = attr.qid.path;
    s->mode = attr.mode;
    s->is_tty = S_ISCHR(attr.mode) && tty_probe(s);
    inode->data = s;
    stdio_of[index] = s;
    if (s->is_tty)
        inode_get(inode); /* /dev/tty leads here for ever */
    return inode;
}

/* bridged: the program doesn't see it, it gets a terminal of its own. */
static struct file *open_one(struct superblock *sb, uint32_t index, struct gofer_attach *attach, bool bridged)
{
    struct inode *inode = stdio_inode(sb, index, attach);
    char text[48];
    struct file *f;
    long err;

    if (is_err(inode))
        return (struct file *)inode;
    f = file_alloc(&stdio_ops, guess_flags(inode->mode, index));
    if (!f) {
        inode_put(inode);
        return err_ptr(-ENOMEM);
    }
    f->data = inode->data;
    if (stdio_i(f)->is_tty && !bridged && host_tty_attach(f) == 0 /* so that ttyname(3) finds it */) {
        inode_put(inode);
        return f;
    }
    text_of(inode->data, inode->mode, text, sizeof(text));
    err = anon_attach(f, inode, text);
    if (err == 0)
        return f;
    file_put(f);
    return err_ptr(err);
}

static long install(uint32_t index, struct file *f)
{
    long err = fd_install_at(current->files, (int)index, f, false);

    if (err < 0)
        file_put(f);
    return err;
}

static long bridge(struct file *files[3])
{
    int terminal = stdio_tty();

    return bridge_start(files[0], files[1], terminal < 0 ? NULL : files[terminal]);
}

long stdio_open_all(void)
{
    struct superblock *sb = superblock_alloc("stdio", 0);
    struct file *files[3] = { NULL };
    struct gofer_attach attach[3];
    long err = 0;

    if (!sb || !anon_superblock())
        return -ENOMEM;
    sb->flags |= SB_OWN_DEVICES;
    for (uint32_t i = 0; i < 3; i++) {
        if (boot_info.stdio_open >> i & 1)
            gofer_attach_begin(&attach[i], P9_ATTACH_STDIO, i);
    }
    for (uint32_t i = 0; err >= 0 && i < 3; i++) {
        if (!(boot_info.stdio_open >> i & 1))
            continue;
        files[i] = open_one(sb, i, &attach[i], boot_info.tty);
        if (is_err(files[i]))
            err = ptr_err(files[i]);
        else if (!boot_info.tty)
            err = install(i, files[i]);
    }
    if (err >= 0 && boot_info.tty)
        err = bridge(files);
    return err < 0 ? err : 0; /* the sandbox ends on an error, so nothing is undone */
}

long stdio_open_tty(struct file *f)
{
    int index = stdio_tty();

    if (index < 0)
        return -ENXIO;
    f->data = stdio_of[index];
    f->ops = &stdio_ops;
    return 0;
}

int stdio_tty(void)
{
    for (int i = 0; i < 3; i++) {
        if (stdio_of[i] && stdio_of[i]->is_tty)
            return i;
    }
    return -1;
}
