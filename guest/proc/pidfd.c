/* pidfds (pidfd_open(2)): readable once the process has ended; keeps its struct, not the zombie. */
#include "proc/pidfd.h"

#include "fs/anon.h"
#include "fs/procfs.h"

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

/* A process that has been waited for has no number any more. */
static void pidfd_fdinfo(const struct file *f, struct seq *s)
{
    const struct process *p = f->data;
    int pid = p->reaped ? -1 : p->pid;

    seq_printf(s, "Pid:\t%d\nNSpid:\t%d\n", pid, pid);
}

static const struct file_ops pidfd_ops = {
    .poll = pidfd_poll,
    .release = pidfd_release,
    .fdinfo = pidfd_fdinfo,
};

int pidfd_install(struct process *p, uint32_t flags)
{
    struct file *f = anon_file(&pidfd_ops, O_RDWR | flags, p, "anon_inode:[pidfd]");

    if (!is_err(f))
        process_get(p);
    return (int)anon_install(f, true);
}

struct process *pidfd_process(const struct file *f)
{
    return f->ops == &pidfd_ops ? f->data : NULL;
}
