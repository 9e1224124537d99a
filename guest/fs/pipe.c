/*
 * Pipes and FIFOs (pipe(7), fifo(7)): a ring of pages, each with a run of bytes or, with O_DIRECT, one packet.
 *
 * Copying from and to the app may sleep (a page fault), so readers and writers hold the pipe's lock; whoever waits for the
 * other side lets go of it.
 */
#include "fs/pipe.h"

#include "arch/uaccess.h"
#include "fs/anon.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "proc/process.h"

#include <asm/ioctls.h>
#include <asm/siginfo.h>
#include <asm/signal.h>
#include <linux/capability.h>
#include <linux/eventpoll.h>

#define PIPEFS_MAGIC 0x50495045
#define PIPE_BUF_SIZE 4096u /* PIPE_BUF: writes up to this are atomic */
#define SLOTS_DEFAULT 16u
#define SIZE_MAX_PLAIN (1u << 20) /* /proc/sys/fs/pipe-max-size */
#define SIZE_MAX_EVER (1u << 31)
#define SPARE_MAX 2 /* emptied pages kept for the next write */

struct slot {
    uint8_t *page;
    uint32_t offset;
    uint32_t len;
    bool packet;
};

struct pipe {
    uint32_t files;             /* open files: the last one frees it */
    uint32_t readers, writers;
    uint32_t reader_opens, writer_opens; /* ever, for the rendezvous of FIFOs */
    uint32_t head, count;       /* used slots: head, head + 1 … */
    uint32_t slots;             /* a power of two */
    struct slot *slot;
    uint8_t *spare[SPARE_MAX];
    uint64_t bytes;
    struct mutex lock;
    struct wait_queue read_wait, write_wait;
    struct inode *inode;        /* whose inode->pipe this is; not counted */
};

static const struct file_ops pipe_ops;

/* --- life --- */

static struct pipe *pipe_new(struct inode *inode)
{
    struct pipe *p = kzalloc(sizeof(*p));

    if (!p)
        return NULL;
    p->slot = kcalloc(SLOTS_DEFAULT, sizeof(*p->slot));
    if (!p->slot) {
        kfree(p);
        return NULL;
    }
    p->slots = SLOTS_DEFAULT;
    mutex_init(&p->lock);
    wait_queue_init(&p->read_wait);
    wait_queue_init(&p->write_wait);
    p->inode = inode;
    inode->pipe = p;
    return p;
}

static void pipe_free(struct pipe *p)
{
    p->inode->pipe = NULL;
    for (uint32_t i = 0; i < p->count; i++)
        pages_free(p->slot[(p->head + i) & (p->slots - 1)].page, 1);
    for (size_t i = 0; i < SPARE_MAX; i++) {
        if (p->spare[i])
            pages_free(p->spare[i], 1);
    }
    kfree(p->slot);
    kfree(p);
}

struct pipe *pipe_of(const struct file *f)
{
    return f->ops == &pipe_ops ? f->data : NULL;
}

/* --- slots --- */

static struct slot *slot_at(const struct pipe *p, uint32_t i)
{
    return &p->slot[(p->head + i) & (p->slots - 1)];
}

static bool pipe_full(const struct pipe *p)
{
    return p->count >= p->slots;
}

static uint8_t *page_get(struct pipe *p)
{
    for (size_t i = 0; i < SPARE_MAX; i++) {
        uint8_t *page = p->spare[i];

        if (page) {
            p->spare[i] = NULL;
            return page;
        }
    }
    return pages_alloc(1);
}

static void page_put(struct pipe *p, uint8_t *page)
{
    for (size_t i = 0; i < SPARE_MAX; i++) {
        if (!p->spare[i]) {
            p->spare[i] = page;
            return;
        }
    }
    pages_free(page, 1);
}

static void slot_pop(struct pipe *p)
{
    struct slot *s = slot_at(p, 0);

    p->bytes -= s->len;
    page_put(p, s->page);
    p->head = (p->head + 1) & (p->slots - 1);
    p->count--;
}

/* How much more fits behind the last slot's bytes. */
static uint32_t tail_room(const struct pipe *p)
{
    const struct slot *s;

    if (p->count == 0)
        return 0;
    s = slot_at(p, p->count - 1);
    return s->packet ? 0 : (uint32_t)PAGE_SIZE - s->offset - s->len;
}

uint64_t pipe_bytes(const struct pipe *p)
{
    return p->bytes;
}

uint64_t pipe_room(const struct pipe *p)
{
    return (uint64_t)(p->slots - p->count) * PAGE_SIZE + tail_room(p);
}

/* --- reading --- */

/* Take what is there, up to to->left; one packet at most. Returns bytes, or -EFAULT if none could be copied. */
static ssize_t take_data(struct pipe *p, struct iter *to)
{
    ssize_t done = 0;

    while (p->count > 0 && to->left > 0) {
        struct slot *s = slot_at(p, 0);
        size_t want = MIN((size_t)s->len, to->left);
        size_t n = iter_copy_to(to, s->page + s->offset, want);
        bool packet = s->packet;

        s->offset += (uint32_t)n;
        s->len -= (uint32_t)n;
        p->bytes -= n;
        done += (ssize_t)n;
        if (n < want)
            return done > 0 ? done : -EFAULT;
        if (s->len == 0 || packet)
            slot_pop(p);
        if (packet)
            break;
    }
    return done;
}

long pipe_wait_data(struct pipe *p, bool nonblock)
{
    if (p->count == 0 && p->writers > 0 && nonblock)
        return -EAGAIN;
    if (p->count == 0 && p->writers > 0) {
        long err = wait_until(&p->read_wait, p->count > 0 || p->writers == 0, NEVER, true);

        if (err < 0)
            return err;
    }
    return p->count > 0;
}

static ssize_t pipe_read(struct file *f, struct iter *to, uint64_t *pos UNUSED)
{
    struct pipe *p = f->data;
    ssize_t n = 0;
    bool was_full;
    long ready;

    if (to->left == 0)
        return 0;
    do {
        ready = pipe_wait_data(p, f->flags & O_NONBLOCK);
        if (ready <= 0)
            return ready;
        mutex_lock(&p->lock);
        was_full = pipe_full(p);
        n = take_data(p, to);
        mutex_unlock(&p->lock);
        if (was_full && !pipe_full(p))
            wait_wake_all(&p->write_wait, EPOLLOUT | EPOLLWRNORM);
    } while (n == 0); /* another reader was faster */
    return n;
}

size_t pipe_peek(struct pipe *p, uint64_t skip, struct iter *to)
{
    size_t done = 0;

    for (uint32_t i = 0; i < p->count && to->left > 0; i++) {
        const struct slot *s = slot_at(p, i);
        size_t want, n;

        if (skip >= s->len) {
            skip -= s->len;
            continue;
        }
        want = MIN((size_t)(s->len - skip), to->left);
        n = iter_copy_to(to, s->page + s->offset + skip, want);
        skip = 0;
        done += n;
        if (n < want)
            break;
    }
    return done;
}

void pipe_consume(struct pipe *p, uint64_t n)
{
    bool was_full = pipe_full(p);

    while (n > 0 && p->count > 0) {
        struct slot *s = slot_at(p, 0);
        uint32_t part = (uint32_t)MIN(n, (uint64_t)s->len);

        s->offset += part;
        s->len -= part;
        p->bytes -= part;
        n -= part;
        if (s->len == 0)
            slot_pop(p);
    }
    if (was_full && !pipe_full(p))
        wait_wake_all(&p->write_wait, EPOLLOUT | EPOLLWRNORM);
}

/* --- writing --- */

static ssize_t append_to_tail(struct pipe *p, struct iter *from, size_t n)
{
    struct slot *s = slot_at(p, p->count - 1);
    size_t copied = iter_copy_from(from, s->page + s->offset + s->len, n);

    s->len += (uint32_t)copied;
    p->bytes += copied;
    return copied < n && copied == 0 ? -EFAULT : (ssize_t)copied;
}

static ssize_t append_slot(struct pipe *p, struct iter *from, bool packet)
{
    size_t want = MIN((size_t)PAGE_SIZE, from->left);
    uint8_t *page = page_get(p);
    struct slot *s;
    size_t n;

    if (!page)
        return -ENOMEM;
    n = iter_copy_from(from, page, want);
    if (n == 0) {
        page_put(p, page);
        return -EFAULT;
    }
    s = slot_at(p, p->count++);
    *s = (struct slot){ .page = page, .len = (uint32_t)n, .packet = packet };
    p->bytes += n;
    return (ssize_t)n;
}

/* Put in what fits. A write of up to PIPE_BUF goes in whole or, with 0 returned, not at all. */
static ssize_t put_data(struct pipe *p, struct iter *from, bool packet, bool atomic)
{
    uint64_t left = from->left;
    ssize_t done = 0, n;

    while (from->left > 0) {
        uint32_t room = packet ? 0 : tail_room(p);

        if (room > 0 && (!atomic || room >= left))
            n = append_to_tail(p, from, MIN((size_t)room, from->left));
        else if (!pipe_full(p))
            n = append_slot(p, from, packet);
        else
            break;
        if (n < 0)
            return done > 0 ? done : n;
        done += n;
    }
    return done;
}

static long broken_pipe(void)
{
    signal_send_thread(current, SIGPIPE, SI_USER, current->proc->pid, current->proc->cred.uid);
    return -EPIPE;
}

long pipe_wait_room(struct pipe *p, bool nonblock)
{
    long err;

    if (p->readers == 0)
        return broken_pipe();
    if (!pipe_full(p))
        return 1;
    if (nonblock)
        return -EAGAIN;
    err = wait_until(&p->write_wait, !pipe_full(p) || p->readers == 0, NEVER, true);
    if (err < 0)
        return err;
    return p->readers == 0 ? broken_pipe() : 1;
}

static ssize_t pipe_write(struct file *f, struct iter *from, uint64_t *pos UNUSED)
{
    struct pipe *p = f->data;
    bool packet = f->flags & O_DIRECT, atomic = from->left <= PIPE_BUF_SIZE;
    ssize_t done = 0, n;
    long err;

    if (from->left == 0)
        return 0;
    if (p->readers == 0)
        return broken_pipe();
    for (;;) {
        mutex_lock(&p->lock);
        n = put_data(p, from, packet, atomic);
        mutex_unlock(&p->lock);
        if (n > 0) {
            done += n;
            wait_wake_all(&p->read_wait, EPOLLIN | EPOLLRDNORM);
        }
        if (n < 0 || from->left == 0)
            break;
        err = pipe_wait_room(p, f->flags & O_NONBLOCK);
        if (err < 0)
            return done > 0 ? done : err;
    }
    return done > 0 ? done : n;
}

/* --- the rest of a file's operations --- */

static uint32_t pipe_poll(struct file *f, struct poll_table *table)
{
    struct pipe *p = f->data;
    uint32_t access = f->flags & O_ACCMODE, events = 0;

    if (table && table->add && access != O_WRONLY)
        table->add(table, &p->read_wait);
    if (table && table->add && access != O_RDONLY)
        table->add(table, &p->write_wait);
    if (access != O_WRONLY) {
        events |= p->count > 0 ? EPOLLIN | EPOLLRDNORM : 0;
        /* A FIFO that nobody has written to yet has no end. */
        events |= p->writers == 0 && p->writer_opens != f->poll_state ? EPOLLHUP : 0;
    }
    if (access != O_RDONLY) {
        events |= !pipe_full(p) ? EPOLLOUT | EPOLLWRNORM : 0;
        events |= p->readers == 0 ? EPOLLERR : 0;
    }
    return events;
}

static long pipe_ioctl(struct file *f, uint32_t cmd, uint64_t arg)
{
    struct pipe *p = f->data;
    int bytes = (int)p->bytes;

    return cmd == FIONREAD ? put_user(bytes, arg) : -ENOTTY;
}

static void pipe_release(struct file *f)
{
    struct pipe *p = f->data;
    uint32_t access = f->flags & O_ACCMODE;

    if (access != O_WRONLY)
        p->readers--;
    if (access != O_RDONLY)
        p->writers--;
    if (--p->files == 0) {
        pipe_free(p);
        return;
    }
    if (p->readers == 0)
        wait_wake_all(&p->write_wait, EPOLLOUT | EPOLLERR | EPOLLHUP);
    if (p->writers == 0)
        wait_wake_all(&p->read_wait, EPOLLIN | EPOLLHUP);
}

static const struct file_ops pipe_ops = {
    .read = pipe_read,
    .write = pipe_write,
    .poll = pipe_poll,
    .ioctl = pipe_ioctl,
    .release = pipe_release,
    .async = ASYNC_BY_QUEUES,
};

/* --- opening --- */

static void attach(struct pipe *p, struct file *f)
{
    uint32_t access = f->flags & O_ACCMODE;

    p->files++;
    if (access != O_WRONLY) {
        p->readers++;
        p->reader_opens++;
        wait_wake_all(&p->write_wait, 0);
    }
    if (access != O_RDONLY) {
        p->writers++;
        p->writer_opens++;
        wait_wake_all(&p->read_wait, 0);
    }
    f->ops = &pipe_ops;
    f->data = p;
    f->poll_state = UINT32_MAX;
}

/* A reader waits for a writer and the other way round, unless O_NONBLOCK is set. */
static long rendezvous(struct pipe *p, struct file *f)
{
    uint32_t reader_opens = p->reader_opens, writer_opens = p->writer_opens;

    switch (f->flags & O_ACCMODE) {
    case O_RDONLY:
        if (p->writers > 0)
            return 0;
        if (f->flags & O_NONBLOCK) {
            f->poll_state = p->writer_opens;
            return 0;
        }
        return wait_until(&p->read_wait, p->writers > 0 || p->writer_opens != writer_opens, NEVER, true);
    case O_WRONLY:
        if (p->readers > 0)
            return 0;
        if (f->flags & O_NONBLOCK)
            return -ENXIO;
        return wait_until(&p->write_wait, p->readers > 0 || p->reader_opens != reader_opens, NEVER, true);
    default:
        return 0;
    }
}

static const struct inode_ops pipe_inode_ops = { .evict = NULL };

/* A pipe without a name, reopened through /proc/PID/fd, doesn't wait for the other end. */
long fifo_open(struct inode *inode, struct file *f)
{
    struct pipe *p = inode->pipe;
    long err;

    if ((f->flags & O_ACCMODE) == O_ACCMODE)
        return -EINVAL;
    if (!p)
        p = pipe_new(inode);
    if (!p)
        return -ENOMEM;
    attach(p, f);
    err = inode->ops == &pipe_inode_ops ? 0 : rendezvous(p, f);
    if (err < 0) {
        pipe_release(f);
        f->data = NULL;
    }
    return err;
}

static struct inode *pipe_inode(void)
{
    static struct superblock *sb;
    struct inode *inode;

    if (!sb)
        sb = superblock_alloc("pipefs", PIPEFS_MAGIC);
    inode = sb ? inode_alloc(sb, &pipe_inode_ops, S_IFIFO | 0600, inode_new_number()) : NULL;
    if (!inode)
        return NULL;
    inode->uid = vfs_fsuid();
    inode->gid = vfs_fsgid();
    return inode;
}

static struct file *pipe_end(struct inode *inode, struct pipe *p, uint32_t flags)
{
    static const struct file_ops no_ops;
    struct file *f = file_alloc(&no_ops, flags);
    char name[32];

    if (!f)
        return NULL;
    ksnprintf(name, sizeof(name), "pipe:[%lu]", (unsigned long)inode->ino);
    inode_get(inode);
    if (anon_attach(f, inode, name) < 0) {
        file_put(f);
        return NULL;
    }
    attach(p, f);
    return f;
}

long pipe_create(uint32_t flags, struct file *ret[2])
{
    struct inode *inode = pipe_inode();
    struct pipe *p = inode ? pipe_new(inode) : NULL;
    struct file *in, *out;

    if (!p) {
        inode_put(inode);
        return -ENOMEM;
    }
    p->files = 1; /* until both ends are made */
    in = pipe_end(inode, p, O_RDONLY | (flags & O_NONBLOCK));
    out = pipe_end(inode, p, O_WRONLY | (flags & (O_NONBLOCK | O_DIRECT)));
    p->files--;
    if (!in || !out) {
        if (p->files == 0)
            pipe_free(p);
        if (in)
            file_put(in);
        if (out)
            file_put(out);
        inode_put(inode);
        return -ENOMEM;
    }
    inode_put(inode);
    ret[0] = in;
    ret[1] = out;
    return 0;
}

/* --- size --- */

long pipe_get_size(const struct file *f)
{
    const struct pipe *p = pipe_of(f);

    return p ? (long)(p->slots * PAGE_SIZE) : -EBADF;
}

static long resize(struct pipe *p, uint32_t slots)
{
    struct slot *slot;

    if (slots < p->count)
        return -EBUSY;
    slot = kcalloc(slots, sizeof(*slot));
    if (!slot)
        return -ENOMEM;
    for (uint32_t i = 0; i < p->count; i++)
        slot[i] = *slot_at(p, i);
    kfree(p->slot);
    p->slot = slot;
    p->slots = slots;
    p->head = 0;
    return 0;
}

long pipe_set_size(struct file *f, uint64_t size)
{
    struct pipe *p = pipe_of(f);
    uint32_t slots = 1;
    long err;

    if (!p)
        return -EBADF;
    if (size > SIZE_MAX_EVER)
        return -EINVAL;
    while (slots * PAGE_SIZE < size)
        slots *= 2;
    if (slots * PAGE_SIZE > SIZE_MAX_PLAIN && !capable(CAP_SYS_RESOURCE))
        return -EPERM;
    mutex_lock(&p->lock);
    err = resize(p, slots);
    mutex_unlock(&p->lock);
    if (err < 0)
        return err;
    wait_wake_all(&p->write_wait, EPOLLOUT | EPOLLWRNORM);
    return (long)(slots * PAGE_SIZE);
}
