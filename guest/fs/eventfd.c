/* eventfd(2): a counter that is read and written. */
#include "fs/eventfd.h"

#include "fs/anon.h"
#include "fs/poll.h"
#include "fs/procfs.h"
#include "lib/kmalloc.h"

#define COUNT_MAX (UINT64_MAX - 1)

struct eventfd {
    uint64_t count;
    bool semaphore;
    struct wait_queue wait;
};

static ssize_t eventfd_read(struct file *f, struct iter *to, uint64_t *pos UNUSED)
{
    struct eventfd *e = f->data;
    uint64_t value;
    int err;

    if (to->left < sizeof(value))
        return -EINVAL;
    if (e->count == 0 && (f->flags & O_NONBLOCK))
        return -EAGAIN;
    err = wait_until(&e->wait, e->count > 0, NEVER, true);
    if (err < 0)
        return err;
    value = e->semaphore ? 1 : e->count;
    e->count -= value;
    wait_wake_all(&e->wait, EPOLLOUT | EPOLLWRNORM);
    return iter_copy_to(to, &value, sizeof(value)) == sizeof(value) ? (ssize_t)sizeof(value) : -EFAULT;
}

static ssize_t eventfd_write(struct file *f, struct iter *from, uint64_t *pos UNUSED)
{
    struct eventfd *e = f->data;
    uint64_t value;
    int err;

    if (from->left < sizeof(value))
        return -EINVAL;
    if (iter_copy_from(from, &value, sizeof(value)) < sizeof(value))
        return -EFAULT;
    if (value > COUNT_MAX)
        return -EINVAL;
    if (e->count > COUNT_MAX - value && (f->flags & O_NONBLOCK))
        return -EAGAIN;
    err = wait_until(&e->wait, e->count <= COUNT_MAX - value, NEVER, true);
    if (err < 0)
        return err;
    e->count += value;
    wait_wake_all(&e->wait, EPOLLIN | EPOLLRDNORM);
    return sizeof(value);
}

static uint32_t eventfd_poll(struct file *f, struct poll_table *table)
{
    struct eventfd *e = f->data;

    if (table)
        table->add(table, &e->wait);
    return (e->count > 0 ? EPOLLIN | EPOLLRDNORM : 0u) | (e->count < COUNT_MAX ? EPOLLOUT | EPOLLWRNORM : 0u);
}

static void eventfd_release(struct file *f)
{
    kfree(f->data);
}

static void eventfd_fdinfo(const struct file *f, struct seq *s)
{
    const struct eventfd *e = f->data;

    seq_printf(s, "eventfd-count: %16lx\n", (unsigned long)e->count);
}

static const struct file_ops eventfd_ops = {
    .read = eventfd_read,
    .write = eventfd_write,
    .poll = eventfd_poll,
    .release = eventfd_release,
    .fdinfo = eventfd_fdinfo,
    .seek_nowhere = true,
};

bool eventfd_is(const struct file *f)
{
    return f->ops == &eventfd_ops;
}

void eventfd_add(struct file *f, uint64_t n)
{
    struct eventfd *e = f->data;

    e->count += MIN(n, UINT64_MAX - e->count);
    wait_wake_all(&e->wait, EPOLLIN | EPOLLRDNORM);
}

struct file *eventfd_create(uint64_t count, bool semaphore, uint32_t flags)
{
    struct eventfd *e = kzalloc(sizeof(*e));
    struct file *f;

    if (!e)
        return err_ptr(-ENOMEM);
    e->count = count;
    e->semaphore = semaphore;
    wait_queue_init(&e->wait);
    f = anon_file(&eventfd_ops, O_RDWR | flags, e, "anon_inode:[eventfd]");
    if (is_err(f))
        kfree(e);
    return f;
}
