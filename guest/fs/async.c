/* Signal-driven input and output: who is told, and of what. */
#include "fs/async.h"

#include "fs/poll.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "proc/signal.h"

#include <linux/eventpoll.h>
#include <linux/fcntl.h>

#define ASYNC_QUEUES 2 /* that one file's poll waits in */

struct async {
    enum async_kind kind;
    int id;             /* 0: nobody */
    uint32_t uid, euid; /* of who set it */
    int signo;
    struct file *file;
    int fd;             /* O_ASYNC was switched on through */
    bool no_room;       /* see async_no_room */
    struct poll_table table;
    struct wait_entry entries[ASYNC_QUEUES];
    size_t entry_count;
};

/* --- the owner --- */

static struct async *async_of(struct file *f)
{
    if (!f->async)
        f->async = kzalloc(sizeof(*f->async));
    return f->async;
}

/* Is it the number of anything? So F_SETOWN asks (Linux's find_vpid), whatever kind it is to be of. */
static bool number_in_use(int id)
{
    return thread_find(id) || process_find(id) || pgrp_exists(id);
}

long async_set_owner(struct file *f, enum async_kind kind, int id)
{
    struct async *a;

    if (id != 0 && !number_in_use(id))
        return -ESRCH;
    a = async_of(f);
    if (!a)
        return -ENOMEM;
    a->kind = kind;
    a->id = id;
    a->uid = current->proc->cred.uid;
    a->euid = current->proc->cred.euid;
    return 0;
}

long async_set_owner_id(struct file *f, int id)
{
    if (id == INT32_MIN)
        return -EINVAL;
    return id < 0 ? async_set_owner(f, ASYNC_GROUP, -id) : async_set_owner(f, ASYNC_PROCESS, id);
}

static bool owner_lives(const struct async *a)
{
    const struct process *p = process_find(a->id);

    switch (a->kind) {
    case ASYNC_GROUP:
        return pgrp_exists(a->id);
    case ASYNC_PROCESS:
        return p && !p->reaped;
    default:
        return thread_find(a->id) != NULL;
    }
}

int async_owner(const struct file *f, enum async_kind *ret_kind)
{
    const struct async *a = f->async;

    *ret_kind = a ? a->kind : ASYNC_THREAD;
    return a && a->id && owner_lives(a) ? a->id : 0;
}

int async_owner_id(const struct file *f)
{
    enum async_kind kind;
    int id = async_owner(f, &kind);

    return kind == ASYNC_GROUP ? -id : id;
}

void async_owner_uids(const struct file *f, uint32_t ret[2])
{
    ret[0] = f->async ? f->async->uid : 0;
    ret[1] = f->async ? f->async->euid : 0;
}

long async_set_signo(struct file *f, uint64_t signo)
{
    struct async *a;

    if (signo > SIGNAL_COUNT)
        return -EINVAL;
    a = async_of(f);
    if (!a)
        return -ENOMEM;
    a->signo = (int)signo;
    return 0;
}

int async_signo(const struct file *f)
{
    return f->async ? f->async->signo : 0;
}

/* --- sending --- */

/* Why a signal is sent, and about which descriptor. */
struct news {
    int reason, fd;
};

/* By reason, from POLL_IN: what si_band says (sigaction(2)). */
static const uint32_t bands[] = {
    EPOLLIN | EPOLLRDNORM,
    EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND,
    EPOLLIN | EPOLLRDNORM | EPOLLMSG,
    EPOLLERR,
    EPOLLPRI | EPOLLRDBAND,
    EPOLLHUP | EPOLLERR,
};

/* May who set the owner signal this one? Linux's sigio_perm. */
static bool permitted(const struct async *a, const struct process *p)
{
    const struct cred *c = &p->cred;

    return a->euid == 0 || a->euid == c->suid || a->euid == c->uid || a->uid == c->suid || a->uid == c->uid;
}

static void plain_info(siginfo_t *info, int signo)
{
    memset(info, 0, sizeof(*info));
    info->si_signo = signo;
    info->si_code = SI_KERNEL;
}

/*
 * With F_SETSIG the signal says what and where. Codes of signals that have codes of their own can't be told from theirs, so
 * those get SI_SIGIO. A queue that is full makes it a plain SIGIO.
 */
static void tell_process(const struct async *a, struct process *p, struct thread *only, struct news news)
{
    const sigset own_codes = SIGNALS_OF_FAULTS | SIGNAL_BIT(SIGCHLD);
    siginfo_t info;

    if (!permitted(a, p))
        return;
    if (a->signo) {
        memset(&info, 0, sizeof(info));
        info.si_signo = a->signo;
        info.si_code = own_codes & SIGNAL_BIT(a->signo) ? SI_SIGIO : news.reason;
        info.si_band = bands[news.reason - POLL_IN];
        info.si_fd = news.fd;
        if (signal_send(p, only, &info) == 0)
            return;
    }
    plain_info(&info, SIGIO);
    signal_send(p, only, &info);
}

static void tell_urgent(const struct async *a, struct process *p, struct thread *only, struct news news UNUSED)
{
    siginfo_t info;

    plain_info(&info, SIGURG);
    if (permitted(a, p))
        signal_send(p, only, &info);
}

typedef void tell_fn(const struct async *a, struct process *p, struct thread *only, struct news news);

static void for_each_owner(const struct async *a, tell_fn *tell, struct news news)
{
    struct thread *t = thread_find(a->id);
    struct process *p, *tmp;

    if (a->id == 0)
        return;
    if (a->kind != ASYNC_GROUP) {
        if (t)
            tell(a, t->proc, a->kind == ASYNC_THREAD ? t : NULL, news);
        return;
    }
    list_for_each_safe(p, tmp, &all_processes, all_node)
        if (p->pgid == a->id)
            tell(a, p, NULL, news);
}

static bool armed(const struct file *f)
{
    return f && f->async && f->async->file;
}

void async_signal(const struct file *f, int reason)
{
    if (armed(f))
        for_each_owner(f->async, tell_process, (struct news){ reason, f->async->fd });
}

void async_urgent(const struct file *f)
{
    if (!f || !f->async)
        return;
    for_each_owner(f->async, tell_urgent, (struct news){ POLL_PRI, 0 });
    if (f->async->signo)
        async_signal(f, POLL_PRI);
}

long async_own(struct file *f)
{
    if (async_of(f) && f->async->id == 0)
        return async_set_owner(f, ASYNC_PROCESS, current->proc->pid);
    return f->async ? 0 : -ENOMEM;
}

void async_directory(const struct file *f, int fd)
{
    for_each_owner(f->async, tell_process, (struct news){ POLL_MSG, fd });
}

/* --- the queues that poll waits in --- */

static int reason_of(uint32_t events)
{
    if (events & EPOLLIN)
        return POLL_IN;
    if (events & EPOLLOUT)
        return POLL_OUT;
    if (events & EPOLLHUP)
        return POLL_HUP;
    return events & EPOLLERR ? POLL_ERR : 0;
}

static void queue_woken(struct wait_entry *e, uint32_t events)
{
    struct async *a = e->data;
    int reason = reason_of(events);

    if (a->file->ops->async == ASYNC_BY_ROOM && reason == POLL_OUT) {
        if (!a->no_room)
            return;
        a->no_room = false;
    }
    if (reason)
        async_signal(a->file, reason);
}

static void add_queue(struct poll_table *table, struct wait_queue *q)
{
    struct async *a = container_of(table, struct async, table);
    struct wait_entry *e;

    if (a->entry_count == ASYNC_QUEUES)
        return;
    e = &a->entries[a->entry_count++];
    *e = (struct wait_entry){ .wake = queue_woken, .data = a };
    wait_add(q, e);
}

void async_no_room(const struct file *f)
{
    if (armed(f))
        f->async->no_room = true;
}

/* --- O_ASYNC --- */

/* While it is on, a thread that computes is to be kicked by what comes from outside: see poll_sleepers. */
static void arm(struct async *a, struct file *f, int fd)
{
    a->file = f;
    a->fd = fd;
    a->no_room = false;
    a->table = (struct poll_table){ .add = add_queue, .events = EPOLLIN | EPOLLRDNORM };
    poll_sleepers++;
    if (f->ops->async != ASYNC_BY_ITSELF)
        poll_file(f, &a->table);
}

static void disarm(struct async *a)
{
    for (size_t i = 0; i < a->entry_count; i++)
        wait_remove(&a->entries[i]);
    a->entry_count = 0;
    a->file = NULL;
    poll_sleepers--;
}

long async_switch(struct file *f, int fd, bool on)
{
    struct async *a;

    if (on == ((f->flags & FASYNC) != 0))
        return 0;
    if (f->ops->async == ASYNC_NEVER)
        return -ENOTTY;
    a = async_of(f);
    if (!a)
        return -ENOMEM;
    if (!on) {
        f->flags &= ~(uint32_t)FASYNC;
        if (a->file)
            disarm(a);
        return 0;
    }
    if (a->id == 0 && f->ops->async_owner)
        async_set_owner_id(f, f->ops->async_owner(f));
    f->flags |= FASYNC;
    arm(a, f, fd);
    return 0;
}

void async_released(struct file *f)
{
    if (!f->async)
        return;
    if (f->async->file)
        disarm(f->async);
    kfree(f->async);
    f->async = NULL;
}
