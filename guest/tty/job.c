/* Controlling terminals, foreground groups, and what happens to a session whose leader or whose terminal goes. */
#include "tty/tty.h"

#include "arch/uaccess.h"
#include "proc/exit.h"
#include "proc/signal.h"

#include <asm/ioctls.h>
#include <linux/capability.h>

struct list all_ttys = LIST_INIT(all_ttys);
struct tty *user_tty;

static bool is_leader(const struct process *p)
{
    return p->sid == p->pid;
}

/* --- who may use it --- */

static bool is_ignored(int signo)
{
    return (current->blocked & SIGNAL_BIT(signo)) ||
           current->proc->sighand->action[signo - 1].handler == HANDLER_IGNORE;
}

/* A background process is stopped, unless nobody could continue it or it doesn't want to know (tcsetpgrp(3), read(2)). */
static long check_foreground(const struct tty *t, int signo)
{
    const struct process *p = current->proc;

    if (p->tty != t || t->pgid == 0 || p->pgid == t->pgid)
        return 0;
    if (is_ignored(signo))
        return signo == SIGTTIN ? -EIO : 0;
    if (pgrp_is_orphaned(p->pgid, NULL))
        return -EIO;
    signal_send_group(p->pgid, signo, SI_KERNEL, 0, 0);
    return -ERESTARTSYS;
}

long tty_check_change(const struct tty *t)
{
    return check_foreground(t, SIGTTOU);
}

long tty_check_read(const struct tty *t)
{
    return check_foreground(t, SIGTTIN);
}

/* --- getting and losing one --- */

void tty_set_session(struct tty *t, struct process *leader)
{
    t->sid = leader->sid;
    t->pgid = leader->pgid;
    leader->tty = t;
    leader->tty_old_pgid = 0;
}

void tty_opened(struct tty *t, const struct file *f)
{
    struct process *p = current->proc;

    if ((f->flags & O_NOCTTY) || (f->flags & O_ACCMODE) == O_WRONLY)
        return;
    if (is_leader(p) && !p->tty && t->sid == 0)
        tty_set_session(t, p);
}

static void forget(const struct tty *t, int sid)
{
    struct process *p;

    list_for_each(p, &all_processes, all_node)
        if (p->tty == t && (sid == 0 || p->sid == sid))
            p->tty = NULL;
}

void tty_signal(const struct tty *t, int signo)
{
    if (t->pgid)
        signal_send_group(t->pgid, signo, SI_KERNEL, 0, 0);
}

int tty_async_owner(const struct tty *t)
{
    return t && t->pgid && pgrp_exists(t->pgid) ? -t->pgid : current->proc->pid;
}

void tty_hang_up(struct tty *t)
{
    struct process *leader = t->sid ? process_find(t->sid) : NULL;

    if (leader && leader->tty == t) {
        leader->tty_old_pgid = t->pgid;
        signal_send_process(leader, SIGHUP, SI_KERNEL, 0, 0);
        signal_send_process(leader, SIGCONT, SI_KERNEL, 0, 0);
    }
    forget(t, 0);
    t->sid = t->pgid = 0;
}

/* Those in the foreground hear of it; if the leader only lets go of the terminal, they are continued as well. */
static void leave_session(struct tty *t, int sid, bool on_exit)
{
    tty_signal(t, SIGHUP);
    if (!on_exit)
        tty_signal(t, SIGCONT);
    t->sid = t->pgid = 0;
    forget(t, sid);
}

void tty_process_exit(struct process *p)
{
    int old = p->tty_old_pgid;

    if (!is_leader(p))
        return;
    if (p->tty) {
        leave_session(p->tty, p->sid, true);
    } else if (old) {
        signal_send_group(old, SIGHUP, SI_KERNEL, 0, 0);
        signal_send_group(old, SIGCONT, SI_KERNEL, 0, 0);
    }
}

/* --- ioctl_tty(2) --- */

static long put_int(int value, uint64_t arg)
{
    return put_user(value, arg) < 0 ? -EFAULT : 0;
}

static int session_of_group(int pgid)
{
    struct process *p;

    list_for_each(p, &all_processes, all_node)
        if (p->pgid == pgid)
            return p->sid;
    return 0;
}

static long set_foreground(struct tty *t, uint64_t arg)
{
    const struct process *self = current->proc;
    long err = tty_check_change(t);
    int pgid, sid;

    if (err < 0)
        return err == -EIO ? -ENOTTY : err;
    if (get_user(pgid, arg) < 0)
        return -EFAULT;
    if (pgid < 0)
        return -EINVAL;
    if (self->tty != t || t->sid != self->sid)
        return -ENOTTY;
    sid = session_of_group(pgid);
    if (sid == 0)
        return -ESRCH;
    if (sid != self->sid)
        return -EPERM;
    t->pgid = pgid;
    return 0;
}

static long set_controlling(struct tty *t, const struct file *f, uint64_t steal)
{
    struct process *p = current->proc;

    if (is_leader(p) && p->sid == t->sid)
        return 0;
    if (!is_leader(p) || p->tty)
        return -EPERM;
    if (t->sid) {
        if (steal != 1 || !capable(CAP_SYS_ADMIN))
            return -EPERM;
        forget(t, 0);
    }
    if ((f->flags & O_ACCMODE) == O_WRONLY && !capable(CAP_SYS_ADMIN))
        return -EPERM;
    tty_set_session(t, p);
    return 0;
}

static long give_up(struct tty *t)
{
    struct process *p = current->proc;

    if (p->tty != t)
        return -ENOTTY;
    if (is_leader(p))
        leave_session(t, p->sid, false);
    p->tty = NULL;
    return 0;
}

long tty_job_ioctl(struct tty *t, bool on_master, const struct file *f, uint32_t cmd, uint64_t arg)
{
    bool foreign = !on_master && current->proc->tty != t;

    switch (cmd) {
    case TIOCGPGRP:
        return foreign ? -ENOTTY : put_int(t->pgid, arg);
    case TIOCSPGRP:
        return set_foreground(t, arg);
    case TIOCGSID:
        return foreign || t->sid == 0 ? -ENOTTY : put_int(t->sid, arg);
    case TIOCSCTTY:
        return set_controlling(t, f, arg);
    case TIOCNOTTY:
        return on_master ? -ENOTTY : give_up(t);
    default:
        return -ENOIOCTLCMD;
    }
}
