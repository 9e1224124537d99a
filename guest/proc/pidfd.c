/* pidfds (pidfd_open(2)): readable once the process has ended; keeps its struct, not the zombie. */
#include "proc/pidfd.h"

#include <linux/fcntl.h>
#include <linux/poll.h>

static uint32_t pidfd_poll(struct file *f, struct poll_table *table)
{
    struct process *p = f->data;

    if (table)
        table->add(table, &p->exit_wait);
    return p->zombie ? POLLIN | POLLRDNORM : 0;
}

static void pidfd_release(struct file *f)
{
    process_put(f->data);
}

static const struct file_ops pidfd_ops = {
    .poll = pidfd_poll,
    .release = pidfd_release,
};

int pidfd_install(struct process *p, uint32_t flags)
{
    struct file *f = file_alloc(&pidfd_ops, O_RDWR | flags);
    int fd;

    if (!f)
        return -ENOMEM;
    process_get(p);
    f->data = p;
    fd = fd_install(f, 0, true);
    if (fd < 0)
        file_put(f);
    return fd;
}

struct process *pidfd_process(const struct file *f)
{
    return f->ops == &pidfd_ops ? f->data : NULL;
}
