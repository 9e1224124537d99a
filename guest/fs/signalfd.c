/* signalfd(2): signals that are read. What is pending for the reader counts, whoever made the file. */
#include "fs/eventfd.h"

#include "fs/anon.h"
#include "fs/poll.h"
#include "fs/procfs.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "proc/signal.h"

#include <linux/signalfd.h>

struct signalfd {
    sigset mask;
};

static const struct file_ops signalfd_ops;

/* F_SETSIG's signals (fcntl(2)); those of faults and of children have such codes of their own. */
static bool is_poll(const siginfo_t *info)
{
    if (info->si_code == SI_SIGIO)
        return true;
    return info->si_code > 0 && info->si_code <= NSIGPOLL &&
           !(SIGNAL_BIT(info->si_signo) & (SIGNALS_OF_FAULTS | SIGNAL_BIT(SIGCHLD)));
}

static struct signalfd_siginfo to_wire(const siginfo_t *info)
{
    struct signalfd_siginfo s = {
        .ssi_signo = (uint32_t)info->si_signo,
        .ssi_errno = info->si_errno,
        .ssi_code = info->si_code,
    };

    if (is_poll(info)) {
        s.ssi_band = (uint32_t)info->si_band;
        s.ssi_fd = info->si_fd;
        return s;
    }
    s.ssi_pid = (uint32_t)info->si_pid;
    s.ssi_uid = info->si_uid;
    switch (info->si_signo) {
    case SIGCHLD:
        s.ssi_status = info->si_status;
        s.ssi_utime = (uint64_t)info->si_utime;
        s.ssi_stime = (uint64_t)info->si_stime;
        return s;
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
        if (info->si_code > 0) {
            s.ssi_addr = (uint64_t)(uintptr_t)info->si_addr;
            return s;
        }
        break;
    default:
        break;
    }
    if (info->si_code == SI_TIMER) {
        s.ssi_tid = (uint32_t)info->si_tid;
        s.ssi_overrun = (uint32_t)info->si_overrun;
    }
    s.ssi_int = info->si_int;
    s.ssi_ptr = (uint64_t)(uintptr_t)info->si_ptr;
    return s;
}

static bool pending(const struct signalfd *s)
{
    return (signal_pending_set(current) & s->mask) != 0;
}

static ssize_t signalfd_read(struct file *f, struct iter *to, uint64_t *pos UNUSED)
{
    const struct signalfd *s = f->data;
    struct signalfd_siginfo wire;
    siginfo_t info;
    ssize_t done = 0;
    int err;

    if (to->left < sizeof(wire))
        return -EINVAL;
    if (!pending(s) && (f->flags & O_NONBLOCK))
        return -EAGAIN;
    err = wait_until(&current->proc->signal_wait, pending(s), NEVER, true);
    if (err < 0)
        return err;
    while (to->left >= sizeof(wire) && signal_dequeue(s->mask, &info) > 0) {
        wire = to_wire(&info);
        if (iter_copy_to(to, &wire, sizeof(wire)) < sizeof(wire))
            return done > 0 ? done : -EFAULT;
        done += (ssize_t)sizeof(wire);
    }
    return done > 0 ? done : -EAGAIN;
}

static uint32_t signalfd_poll(struct file *f, struct poll_table *table)
{
    if (table)
        table->add(table, &current->proc->signal_wait);
    return pending(f->data) ? EPOLLIN | EPOLLRDNORM : 0;
}

static void signalfd_release(struct file *f)
{
    kfree(f->data);
}

static void signalfd_fdinfo(const struct file *f, struct seq *s)
{
    const struct signalfd *sf = f->data;

    seq_printf(s, "sigmask:\t%016lx\n", (unsigned long)sf->mask);
}

static const struct file_ops signalfd_ops = {
    .read = signalfd_read,
    .poll = signalfd_poll,
    .fdinfo = signalfd_fdinfo,
    .release = signalfd_release,
    .seek_nowhere = true,
};

bool signalfd_is(const struct file *f)
{
    return f->ops == &signalfd_ops;
}

void signalfd_set_mask(struct file *f, sigset mask)
{
    struct signalfd *s = f->data;

    s->mask = mask & ~SIGNALS_UNBLOCKABLE;
    wait_wake_all(&current->proc->signal_wait, EPOLLIN);
}

struct file *signalfd_create(sigset mask, uint32_t flags)
{
    struct signalfd *s = kzalloc(sizeof(*s));
    struct file *f;

    if (!s)
        return err_ptr(-ENOMEM);
    s->mask = mask & ~SIGNALS_UNBLOCKABLE;
    f = anon_file(&signalfd_ops, O_RDWR | flags, s, "anon_inode:[signalfd]");
    if (is_err(f))
        kfree(s);
    return f;
}
