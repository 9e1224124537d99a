/*
 * Pseudo-terminals (pty(7)): the two ends as files, and their coming and going. A pty lives until its master and all files
 * of its slave are closed; its node in /dev/pts until the master is.
 */
#include "tty/pty.h"

#include "arch/uaccess.h"
#include "fs/async.h"
#include "fs/poll.h"
#include "lib/kmalloc.h"
#include "proc/signal.h"

#include <linux/capability.h>

#define CHUNK 512u

static long slave_open(struct tty *t, struct file *f);

/* --- life --- */

struct pty *pty_create(void)
{
    struct pty *p = kzalloc(sizeof(*p));
    int index = tty_free_index(), err;

    if (!p || index < 0) {
        kfree(p);
        return err_ptr(p ? index : -ENOMEM);
    }
    p->line = kmalloc(LINE_SIZE);
    p->tty.index = index;
    p->tty.open = slave_open;
    p->master_open = true;
    p->termios = pty_termios_initial;
    wait_queue_init(&p->slave_read);
    wait_queue_init(&p->slave_write);
    wait_queue_init(&p->master_read);
    wait_queue_init(&p->master_write);
    err = p->line ? tty_add_node(&p->tty) : -ENOMEM;
    if (err < 0) {
        kfree(p->line);
        kfree(p);
        return err_ptr(err);
    }
    return p;
}

static void free_if_closed(struct pty *p)
{
    if (p->master_open || p->slave_files > 0)
        return;
    bytes_free(&p->arrived);
    bytes_free(&p->output);
    bytes_free(&p->echo);
    kfree(p->line);
    kfree(p);
}

/* For any event; but nothing that O_ASYNC tells of. */
static void wake_everybody(struct pty *p)
{
    wait_wake_all(&p->slave_read, 0);
    wait_wake_all(&p->slave_write, 0);
    wait_wake_all(&p->master_read, 0);
    wait_wake_all(&p->master_write, 0);
}

/* --- the slave --- */

static ssize_t slave_read(struct file *f, struct iter *to, uint64_t *pos UNUSED)
{
    struct pty *p = f->data;
    long err;

    if (!p->master_open)
        return 0;
    err = tty_check_read(&p->tty);
    return err < 0 ? err : line_read(p, f, to);
}

static long wait_for_room(struct pty *p, const struct file *f)
{
    async_no_room(f);
    if (f->flags & O_NONBLOCK)
        return -EAGAIN;
    return wait_until(&p->slave_write, output_room(p) >= 8 || !p->master_open, NEVER, true);
}

/* All of data, however long that takes. Bytes, or -errno if it was none. */
static ssize_t write_all(struct pty *p, const struct file *f, const uint8_t *data, uint32_t n)
{
    uint32_t done = 0;
    long err = 0;

    while (done < n && err >= 0) {
        if (!p->master_open) {
            err = -EIO;
            break;
        }
        done += output_write(p, data + done, n - done);
        if (done < n)
            err = wait_for_room(p, f);
    }
    return done > 0 ? (ssize_t)done : err;
}

static ssize_t slave_write(struct file *f, struct iter *from, uint64_t *pos UNUSED)
{
    struct pty *p = f->data;
    ssize_t done = 0, n;
    uint8_t chunk[CHUNK];
    long err;

    if (!p->master_open)
        return -EIO;
    err = flag_l(p, TOSTOP) ? tty_check_change(&p->tty) : 0;
    if (err < 0)
        return err;
    while (from->left > 0) {
        size_t got = iter_copy_from(from, chunk, (size_t)MIN(from->left, (uint64_t)CHUNK));

        if (got == 0)
            return done > 0 ? done : -EFAULT;
        n = write_all(p, f, chunk, (uint32_t)got);
        if (n < (ssize_t)got)
            return n > 0 ? done + n : done > 0 ? done : n;
        done += n;
    }
    return done;
}

static uint32_t slave_poll(struct file *f, struct poll_table *table)
{
    struct pty *p = f->data;
    uint32_t events = 0;

    if (table && table->add) {
        table->add(table, &p->slave_read);
        table->add(table, &p->slave_write);
    }
    if (!p->master_open)
        return EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDNORM | EPOLLWRNORM;
    if (line_available(p, true))
        events |= EPOLLIN | EPOLLRDNORM;
    if (output_room(p) > 0)
        events |= EPOLLOUT | EPOLLWRNORM;
    return events;
}

/* What both ends answer alike. */
static long common_ioctl(struct pty *p, bool on_master, const struct file *f, uint32_t cmd, uint64_t arg)
{
    int exclusive = p->exclusive;
    long ret;

    switch (cmd) {
    case TIOCEXCL:
    case TIOCNXCL:
        p->exclusive = cmd == TIOCEXCL;
        return 0;
    case TIOCGEXCL:
        return put_user(exclusive, arg);
    default:
        ret = tty_job_ioctl(&p->tty, on_master, f, cmd, arg);
        if (ret == -ENOIOCTLCMD)
            ret = pty_termios_ioctl(p, on_master, cmd, arg);
        return ret == -ENOIOCTLCMD ? -ENOTTY : ret;
    }
}

static long slave_ioctl(struct file *f, uint32_t cmd, uint64_t arg)
{
    struct pty *p = f->data;

    if (!p->master_open)
        return cmd == TIOCSPGRP ? -ENOTTY : -EIO;
    return common_ioctl(p, false, f, cmd, arg);
}

static void slave_release(struct file *f)
{
    struct pty *p = f->data;

    if (--p->slave_files > 0)
        return;
    p->slave_closed = true;
    p->packet = false;
    wake_everybody(p);
    free_if_closed(p);
}

static int slave_async_owner(const struct file *f)
{
    const struct pty *p = f->data;

    return tty_async_owner(&p->tty);
}

static const struct file_ops slave_ops = {
    .read = slave_read,
    .write = slave_write,
    .poll = slave_poll,
    .ioctl = slave_ioctl,
    .release = slave_release,
    .async = ASYNC_BY_ROOM,
    .async_owner = slave_async_owner,
};

static long slave_open(struct tty *t, struct file *f)
{
    struct pty *p = pty_of(t);

    if (!p->master_open || p->locked)
        return -EIO;
    if (p->exclusive && !capable(CAP_SYS_ADMIN))
        return -EBUSY;
    p->slave_files++;
    p->slave_closed = false;
    f->ops = &slave_ops;
    f->data = p;
    return 0;
}

/* --- the master --- */

static bool has_status(const struct pty *p)
{
    return p->packet && p->packet_status;
}

static ssize_t read_status(struct pty *p, struct iter *to)
{
    uint8_t status = p->packet_status;

    p->packet_status = 0;
    return iter_copy_to(to, &status, 1) == 1 ? 1 : -EFAULT;
}

static ssize_t read_output(struct pty *p, struct iter *to)
{
    static const uint8_t data_follows = TIOCPKT_DATA;
    ssize_t done = 0;
    const uint8_t *data;
    uint32_t n;

    if (p->packet) {
        if (iter_copy_to(to, &data_follows, 1) == 0)
            return -EFAULT;
        done = 1;
    }
    while (to->left > 0 && (data = bytes_front(&p->output, &n))) {
        size_t want = (size_t)MIN((uint64_t)n, to->left), copied = iter_copy_to(to, data, want);

        bytes_drop(&p->output, (uint32_t)copied);
        done += (ssize_t)copied;
        if (copied < want)
            return done > 0 ? done : -EFAULT;
    }
    return done;
}

static ssize_t master_read(struct file *f, struct iter *to, uint64_t *pos UNUSED)
{
    struct pty *p = f->data;
    ssize_t n;
    long err;

    if (to->left == 0)
        return 0;
    while (p->output.count == 0 && !has_status(p)) {
        if (p->slave_closed)
            return -EIO;
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        err = wait_until(&p->master_read, p->output.count > 0 || has_status(p) || p->slave_closed, NEVER, true);
        if (err < 0)
            return err;
    }
    if (has_status(p))
        return read_status(p, to);
    n = read_output(p, to);
    echo_drain(p);
    wait_wake_all(&p->slave_write, EPOLLOUT | EPOLLWRNORM);
    return n;
}

static ssize_t master_write(struct file *f, struct iter *from, uint64_t *pos UNUSED)
{
    struct pty *p = f->data;
    uint8_t chunk[CHUNK];
    ssize_t done = 0;
    long err;

    while (from->left > 0) {
        uint32_t room = QUEUE_LIMIT - p->arrived.count;
        size_t n;

        if (room == 0) {
            async_no_room(f);
            err = f->flags & O_NONBLOCK ? -EAGAIN
                                        : wait_until(&p->master_write, p->arrived.count < QUEUE_LIMIT, NEVER, true);
            if (err < 0)
                return done > 0 ? done : err;
            continue;
        }
        n = iter_copy_from(from, chunk, (size_t)MIN(MIN((uint64_t)room, (uint64_t)CHUNK), from->left));
        if (n == 0)
            return done > 0 ? done : -EFAULT;
        if (!bytes_put(&p->arrived, chunk, (uint32_t)n, QUEUE_LIMIT))
            return done > 0 ? done : -ENOMEM;
        done += (ssize_t)n;
        input_process(p);
    }
    return done;
}

static uint32_t master_poll(struct file *f, struct poll_table *table)
{
    struct pty *p = f->data;
    uint32_t events = 0;

    if (table && table->add) {
        table->add(table, &p->master_read);
        table->add(table, &p->master_write);
    }
    if (p->output.count > 0)
        events |= EPOLLIN | EPOLLRDNORM;
    if (has_status(p))
        events |= EPOLLPRI | EPOLLIN | EPOLLRDNORM;
    if (p->slave_closed)
        events |= EPOLLHUP;
    if (p->arrived.count < QUEUE_LIMIT)
        events |= EPOLLOUT | EPOLLWRNORM;
    return events;
}

static long set_packet_mode(struct pty *p, uint64_t arg)
{
    int on;

    if (get_user(on, arg) < 0)
        return -EFAULT;
    if (on && !p->packet)
        p->packet_status = 0;
    p->packet = on != 0;
    return 0;
}

static long set_lock(struct pty *p, uint64_t arg)
{
    int locked;

    if (get_user(locked, arg) < 0)
        return -EFAULT;
    p->locked = locked != 0;
    return 0;
}

/* A descriptor of the slave, without a path being walked (TIOCGPTPEER). */
static long open_peer(struct pty *p, uint32_t flags)
{
    static const struct file_ops no_ops;
    struct file *f = file_alloc(&no_ops, (flags & ~(uint32_t)O_CLOEXEC) | FILE_UNCOUNTED);
    long ret;

    if (!f)
        return -ENOMEM;
    ret = tty_attach_node(&p->tty, f);
    if (ret == 0)
        ret = slave_open(&p->tty, f);
    if (ret == 0) {
        tty_opened(&p->tty, f);
        ret = fd_install(f, 0, flags & O_CLOEXEC);
    }
    if (ret < 0)
        file_put(f);
    return ret;
}

/* A bit of a signal that the master may send to the foreground (TIOCSIG). */
static long send_signal(struct pty *p, int signo)
{
    if (signo < 1 || signo > SIGNAL_COUNT)
        return -EINVAL;
    tty_signal(&p->tty, signo);
    return 0;
}

static long master_ioctl(struct file *f, uint32_t cmd, uint64_t arg)
{
    struct pty *p = f->data;
    int number = p->tty.index, locked = p->locked, packet = p->packet;

    switch (cmd) {
    case TIOCGPTN:
        return put_user(number, arg);
    case TIOCSPTLCK:
        return set_lock(p, arg);
    case TIOCGPTLCK:
        return put_user(locked, arg);
    case TIOCPKT:
        return set_packet_mode(p, arg);
    case TIOCGPKT:
        return put_user(packet, arg);
    case TIOCGPTPEER:
        return open_peer(p, (uint32_t)arg);
    case TIOCSIG:
        return send_signal(p, (int)arg);
    default:
        return common_ioctl(p, true, f, cmd, arg);
    }
}

static void master_release(struct file *f)
{
    struct pty *p = f->data;

    p->master_open = false;
    tty_remove_node(&p->tty);
    tty_hang_up(&p->tty);
    wake_everybody(p);
    free_if_closed(p);
}

static int master_async_owner(const struct file *f UNUSED)
{
    return tty_async_owner(NULL);
}

static const struct file_ops master_ops = {
    .read = master_read,
    .write = master_write,
    .poll = master_poll,
    .ioctl = master_ioctl,
    .release = master_release,
    .async = ASYNC_BY_ROOM,
    .async_owner = master_async_owner,
};

long ptmx_open(struct file *f)
{
    struct pty *p = pty_create();

    if (is_err(p))
        return ptr_err(p);
    p->locked = true; /* until unlockpt(3) */
    f->ops = &master_ops;
    f->data = p;
    return 0;
}
