/*
 * Calls that wait for a listener's answer. A notification lies on the stack of the thread that made the call, which also installs the
 * descriptors that the listener gives it (SECCOMP_IOCTL_NOTIF_ADDFD): they go into that thread's table.
 */
#include "proc/seccomp_notify.h"

#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "fs/anon.h"
#include "fs/fdtable.h"
#include "fs/poll.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "proc/sched.h"
#include "proc/signal.h"

#define ADDFD_SIZE_MIN 24u /* of the struct as it was first */
#define ID_VALID_AS_IT_WAS SECCOMP_IOR(2, uint64_t) /* older headers had the direction wrong */
#define ANY_SIZE ((uint32_t)(IOCSIZE_MASK | IOC_INOUT)) /* of a request whose struct may grow */

enum state { STATE_NEW, STATE_SENT, STATE_REPLIED };

struct notification {
    struct list node;
    struct thread *thread;
    const struct seccomp_data *data;
    uint64_t id;
    enum state state;
    int error;
    long value;
    uint32_t flags;     /* of the answer */
    struct list addfds; /* struct addfd that the thread hasn't seen yet */
};

/* On the listener's stack. */
struct addfd {
    struct list node;
    struct file *file;
    int fd;             /* with SECCOMP_ADDFD_FLAG_SETFD */
    uint32_t flags, newfd_flags;
    bool done;
    int result;
    struct thread *waiter;
};

struct seccomp_listener {
    struct seccomp_listener **slot; /* NULL: the filter is gone */
    struct list notifications;
    struct wait_queue wait;
    uint64_t next_id;
    bool wait_killable;
};

/* --- the thread that made the call --- */

static void addfd_finish(struct addfd *a, int result)
{
    list_remove(&a->node);
    a->done = true;
    a->result = result;
    thread_wake(a->waiter);
}

static int addfd_install(const struct addfd *a)
{
    bool cloexec = a->newfd_flags & O_CLOEXEC;
    int fd;

    if (a->flags & SECCOMP_ADDFD_FLAG_SETFD)
        return fd_dup_to(a->file, a->fd, cloexec);
    file_get(a->file);
    fd = fd_install(a->file, 0, cloexec);
    if (fd < 0)
        file_put(a->file);
    return fd;
}

/* SECCOMP_ADDFD_FLAG_SEND makes the descriptor the answer; without one the listener may answer anew. */
static void take_addfds(struct notification *n)
{
    while (!list_empty(&n->addfds)) {
        struct addfd *a = list_first(&n->addfds, struct addfd, node);
        int fd = addfd_install(a);

        if (a->flags & SECCOMP_ADDFD_FLAG_SEND) {
            n->state = fd < 0 ? STATE_SENT : STATE_REPLIED;
            n->value = fd < 0 ? 0 : fd;
            n->error = 0;
            n->flags = 0;
        }
        addfd_finish(a, fd);
    }
}

static int wait_for_answer(const struct seccomp_listener *l, struct notification *n)
{
    bool killable;
    int err = 0;

    for (;;) {
        take_addfds(n);
        if (n->state == STATE_REPLIED) /* perhaps because the listener is gone */
            return 0;
        killable = l->wait_killable && n->state == STATE_SENT;
        if (killable && signal_fatal_pending(current))
            return -EINTR;
        if (err < 0 && !killable)
            return err;
        err = sched_park(NEVER, killable ? PARK_KILLABLE : PARK_INTERRUPTIBLE);
    }
}

bool seccomp_notify(struct seccomp_listener *l, const struct seccomp_data *data, long *ret)
{
    struct notification n = { .thread = current, .data = data, .id = l->next_id++ };
    int err;

    list_init(&n.addfds);
    list_push_back(&l->notifications, &n.node);
    wait_wake_all(&l->wait, EPOLLIN | EPOLLRDNORM);
    err = wait_for_answer(l, &n);
    while (!list_empty(&n.addfds))
        addfd_finish(list_first(&n.addfds, struct addfd, node), -ESRCH);
    list_remove(&n.node); /* a listener that goes has taken it off already, which is harmless */
    if (err == 0 && (n.flags & SECCOMP_USER_NOTIF_FLAG_CONTINUE))
        return true;
    *ret = err ? err : n.error ? n.error : n.value;
    return false;
}

/* --- the listener --- */

static struct notification *find(const struct seccomp_listener *l, uint64_t id)
{
    struct notification *n;

    list_for_each(n, &l->notifications, node)
        if (n->id == id)
            return n;
    return NULL;
}

static struct notification *find_state(const struct seccomp_listener *l, enum state state)
{
    struct notification *n;

    list_for_each(n, &l->notifications, node)
        if (n->state == state)
            return n;
    return NULL;
}

static long all_zeroes(uaddr_t addr, size_t size)
{
    uint8_t buf[sizeof(struct seccomp_notif)];

    if (copy_from_user(buf, addr, size) < 0)
        return -EFAULT;
    for (size_t i = 0; i < size; i++)
        if (buf[i])
            return -EINVAL;
    return 0;
}

static long receive(struct seccomp_listener *l, uaddr_t arg)
{
    struct seccomp_notif out;
    struct notification *n;
    long err = all_zeroes(arg, sizeof(out));

    if (err < 0)
        return err;
    if (wait_until(&l->wait, find_state(l, STATE_NEW) || !l->slot, NEVER, true) < 0)
        return -EINTR;
    n = find_state(l, STATE_NEW);
    if (!n)
        return -ENOENT;
    memset(&out, 0, sizeof(out));
    out.id = n->id;
    out.pid = (uint32_t)n->thread->tid;
    out.data = *n->data;
    n->state = STATE_SENT;
    wait_wake_all(&l->wait, EPOLLOUT | EPOLLWRNORM);
    if (put_user(out, arg) == 0)
        return 0;
    n = find(l, out.id); /* copying may sleep */
    if (n && n->state == STATE_SENT) {
        n->state = STATE_NEW;
        wait_wake_all(&l->wait, EPOLLIN | EPOLLRDNORM);
    }
    return -EFAULT;
}

static long answer(struct seccomp_listener *l, uaddr_t arg)
{
    struct seccomp_notif_resp in;
    struct notification *n;

    if (get_user(in, arg) < 0)
        return -EFAULT;
    if (in.flags & ~(uint32_t)SECCOMP_USER_NOTIF_FLAG_CONTINUE)
        return -EINVAL;
    if ((in.flags & SECCOMP_USER_NOTIF_FLAG_CONTINUE) && (in.error || in.val))
        return -EINVAL;
    n = find(l, in.id);
    if (!n)
        return -ENOENT;
    if (n->state != STATE_SENT)
        return -EINPROGRESS;
    n->state = STATE_REPLIED;
    n->error = in.error;
    n->value = in.val;
    n->flags = in.flags;
    thread_wake(n->thread);
    return 0;
}

static long id_is_valid(const struct seccomp_listener *l, uaddr_t arg)
{
    const struct notification *n;
    uint64_t id;

    if (get_user(id, arg) < 0)
        return -EFAULT;
    n = find(l, id);
    return n && n->state == STATE_SENT ? 0 : -ENOENT;
}

/* Hand a to n's thread and wait for what it says. */
static long hand_over(struct notification *n, struct addfd *a)
{
    if (a->flags & SECCOMP_ADDFD_FLAG_SEND) {
        if (!list_empty(&n->addfds))
            return -EBUSY;
        n->state = STATE_REPLIED; /* nobody else may answer now */
    }
    a->waiter = current;
    list_push_back(&n->addfds, &a->node);
    thread_wake(n->thread);
    while (!a->done) {
        int err = thread_park(NEVER, true);

        if (err < 0 && !a->done) {
            list_remove(&a->node);
            if (a->flags & SECCOMP_ADDFD_FLAG_SEND)
                n->state = STATE_SENT;
            return err;
        }
    }
    return a->result;
}

static long add_descriptor(struct seccomp_listener *l, uaddr_t arg, size_t size)
{
    struct seccomp_notif_addfd in;
    struct addfd a = { 0 };
    struct notification *n;
    long ret;

    if (size < ADDFD_SIZE_MIN || size >= PAGE_SIZE)
        return -EINVAL;
    ret = copy_struct_from_user(&in, sizeof(in), arg, size);
    if (ret < 0)
        return ret;
    if ((in.newfd_flags & ~(uint32_t)O_CLOEXEC) || (in.flags & ~(uint32_t)(SECCOMP_ADDFD_FLAG_SETFD | SECCOMP_ADDFD_FLAG_SEND)) ||
        (in.newfd && !(in.flags & SECCOMP_ADDFD_FLAG_SETFD)))
        return -EINVAL;
    a.file = fd_get_io((int)in.srcfd);
    if (!a.file)
        return -EBADF;
    a.fd = (int)in.newfd;
    a.flags = in.flags;
    a.newfd_flags = in.newfd_flags;
    n = find(l, in.id);
    ret = !n ? -ENOENT : n->state != STATE_SENT ? -EINPROGRESS : hand_over(n, &a);
    file_put(a.file);
    return ret;
}

static long listener_ioctl(struct file *f, uint32_t cmd, uint64_t arg)
{
    struct seccomp_listener *l = f->data;

    switch (cmd) {
    case SECCOMP_IOCTL_NOTIF_RECV:
        return receive(l, arg);
    case SECCOMP_IOCTL_NOTIF_SEND:
        return answer(l, arg);
    case SECCOMP_IOCTL_NOTIF_ID_VALID:
    case ID_VALID_AS_IT_WAS:
        return id_is_valid(l, arg);
    default:
        break;
    }
    if ((cmd & ~ANY_SIZE) == (SECCOMP_IOCTL_NOTIF_ADDFD & ~ANY_SIZE))
        return add_descriptor(l, arg, _IOC_SIZE(cmd));
    return -EINVAL;
}

static uint32_t listener_poll(struct file *f, struct poll_table *table)
{
    struct seccomp_listener *l = f->data;
    uint32_t events = 0;

    if (table)
        table->add(table, &l->wait);
    if (find_state(l, STATE_NEW))
        events |= EPOLLIN | EPOLLRDNORM;
    if (find_state(l, STATE_SENT))
        events |= EPOLLOUT | EPOLLWRNORM;
    return events | (l->slot ? 0u : EPOLLHUP);
}

/* Without a listener calls answer ENOSYS, those that wait too. */
static void listener_release(struct file *f)
{
    struct seccomp_listener *l = f->data;

    while (!list_empty(&l->notifications)) {
        struct notification *n = list_first(&l->notifications, struct notification, node);

        list_remove(&n->node);
        if (n->state != STATE_REPLIED) {
            n->state = STATE_REPLIED;
            n->error = -ENOSYS;
            n->value = 0;
            n->flags = 0;
        }
        thread_wake(n->thread);
    }
    if (l->slot)
        *l->slot = NULL;
    kfree(l);
}

static const struct file_ops listener_ops = {
    .ioctl = listener_ioctl,
    .poll = listener_poll,
    .release = listener_release,
};

void seccomp_listener_orphan(struct seccomp_listener *l)
{
    l->slot = NULL;
    wait_wake_all(&l->wait, EPOLLHUP);
}

struct file *seccomp_listener_create(struct seccomp_listener **slot, bool wait_killable)
{
    struct seccomp_listener *l = kzalloc(sizeof(*l));
    struct file *f;

    if (!l)
        return err_ptr(-ENOMEM);
    list_init(&l->notifications);
    wait_queue_init(&l->wait);
    random_bytes(&l->next_id, sizeof(l->next_id));
    l->wait_killable = wait_killable;
    f = anon_file(&listener_ops, O_RDWR, l, "anon_inode:seccomp notify");
    if (is_err(f)) {
        kfree(l);
        return f;
    }
    l->slot = slot;
    *slot = l;
    return f;
}
