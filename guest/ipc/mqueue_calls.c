/* The calls on POSIX message queues: mq_open(2) and its relatives. */
#include "ipc/mqueue.h"

#include "fs/anon.h"
#include "fs/poll.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "net/socket.h"
#include "proc/signal.h"
#include "sys/syscall.h"
#include "sys/timespec.h"

SYSCALL_DEFINE4(mq_open, uaddr_t, name_addr, uint32_t, flags, uint32_t, mode, uaddr_t, attr_addr)
{
    struct mq_attr attr;
    struct file *f;
    char *name;

    if (attr_addr && get_user(attr, attr_addr) < 0)
        return -EFAULT;
    name = user_path_copy(name_addr, false);
    if (is_err(name))
        return ptr_err(name);
    f = mqueue_open(name, flags, mode, attr_addr ? &attr : NULL);
    kfree(name);
    return anon_install(f, true); /* always close-on-exec, whatever the flags */
}

SYSCALL_DEFINE1(mq_unlink, uaddr_t, name_addr)
{
    char *name = user_path_copy(name_addr, false);
    long ret;

    if (is_err(name))
        return ptr_err(name);
    ret = mqueue_unlink(name);
    kfree(name);
    return ret;
}

/* The queue at fd, open for mode (O_WRONLY or O_RDONLY; O_PATH: any); *ret_file is to be put. */
static struct mq *queue_at(int fd, uint32_t mode, struct file **ret_file)
{
    struct file *f = fd_get_io(fd);
    struct mq *q = f ? mqueue_of(f) : NULL;
    uint32_t access = f ? f->flags & O_ACCMODE : 0;

    if (!q || (mode != O_PATH && access != mode && access != O_RDWR)) {
        if (f)
            file_put(f);
        return NULL;
    }
    *ret_file = f;
    return q;
}

/* --- the queue --- */

static void enqueue(struct mq *q, struct mq_message *m)
{
    struct list *after = q->messages.prev;

    while (after != &q->messages && list_entry(after, struct mq_message, node)->priority < m->priority)
        after = after->prev;
    list_insert_between(&m->node, after, after->next);
    q->count++;
    q->bytes += m->size;
}

static struct mq_message *dequeue(struct mq *q)
{
    struct mq_message *m = list_first(&q->messages, struct mq_message, node);

    list_remove(&m->node);
    q->count--;
    q->bytes -= m->size;
    return m;
}

static struct mq_waiter *first_waiter(struct list *waiters)
{
    return list_empty(waiters) ? NULL : list_first(waiters, struct mq_waiter, node);
}

static void serve(struct mq_waiter *w)
{
    w->served = true;
    list_remove(&w->node);
    thread_wake(w->thread);
}

/* A message came to an empty queue for which nobody waits (mq_notify(3)): once. */
static void notify(struct mq *q)
{
    siginfo_t info;

    if (!q->notify)
        return;
    if (q->notify_method == SIGEV_SIGNAL && q->notify_signal && !q->notify->zombie) {
        memset(&info, 0, sizeof(info));
        info.si_signo = q->notify_signal;
        info.si_code = SI_MESGQ;
        info.si_pid = current->proc->pid;
        info.si_uid = current->proc->cred.uid;
        info.si_value.sival_ptr = (void *)q->notify_value;
        signal_send(q->notify, NULL, &info);
    }
    mqueue_post_cookie(q, NOTIFY_WOKENUP);
    mqueue_forget_notify(q);
}

/* Until served, the time is over, or a signal came. */
static int wait_in(struct list *waiters, struct mq_waiter *w, uint64_t deadline_ns)
{
    int err = 0;

    list_push_back(waiters, &w->node);
    while (!w->served && err == 0)
        err = thread_park(deadline_ns, true);
    if (w->served)
        return 0;
    list_remove(&w->node);
    return err;
}

/* The message is the queue's, or a receiver's, on success. */
static int queue_send(struct mq *q, struct mq_message *m, bool nonblock, uint64_t deadline_ns)
{
    struct mq_waiter self = { .thread = current, .message = m }, *receiver;

    if (q->count >= q->max_count)
        return nonblock ? -EAGAIN : wait_in(&q->senders, &self, deadline_ns);
    receiver = first_waiter(&q->receivers);
    if (receiver) {
        receiver->message = m;
        serve(receiver);
        return 0;
    }
    enqueue(q, m);
    if (q->count == 1)
        notify(q);
    wait_wake_all(&q->poll_wait, EPOLLIN | EPOLLRDNORM);
    return 0;
}

static struct mq_message *queue_receive(struct mq *q, bool nonblock, uint64_t deadline_ns)
{
    struct mq_waiter self = { .thread = current }, *sender;
    struct mq_message *m;
    int err;

    if (q->count == 0) {
        err = nonblock ? -EAGAIN : wait_in(&q->receivers, &self, deadline_ns);
        return err < 0 ? err_ptr(err) : self.message;
    }
    m = dequeue(q);
    sender = first_waiter(&q->senders);
    if (sender) {
        enqueue(q, sender->message);
        serve(sender);
    } else {
        wait_wake_all(&q->poll_wait, EPOLLOUT | EPOLLWRNORM);
    }
    return m;
}

/* --- sending and receiving --- */

static long deadline_of(uaddr_t timeout, uint64_t *ret_ns)
{
    uint64_t ns;
    long error;

    *ret_ns = NEVER;
    if (!timeout)
        return 0;
    error = timespec_read(timeout, &ns);
    if (error == 0)
        *ret_ns = deadline_from_real(ns);
    return error;
}

static struct mq_message *message_fetch(uaddr_t addr, size_t size, uint32_t priority)
{
    struct mq_message *m = kmalloc(sizeof(*m) + size);

    if (!m)
        return err_ptr(-ENOMEM);
    m->size = size;
    m->priority = priority;
    if (copy_from_user(m->data, addr, size) == 0)
        return m;
    kfree(m);
    return err_ptr(-EFAULT);
}

SYSCALL_DEFINE5(mq_timedsend, int, fd, uaddr_t, addr, size_t, size, uint32_t, priority, uaddr_t, timeout)
{
    struct mq_message *m;
    uint64_t deadline_ns;
    struct file *f;
    struct mq *q;
    long error;

    if (priority >= MQ_PRIO_MAX)
        return -EINVAL;
    error = deadline_of(timeout, &deadline_ns);
    if (error < 0)
        return error;
    q = queue_at(fd, O_WRONLY, &f);
    if (!q)
        return -EBADF;
    m = size > q->max_size ? err_ptr(-EMSGSIZE) : message_fetch(addr, size, priority);
    error = is_err(m) ? ptr_err(m) : queue_send(q, m, f->flags & O_NONBLOCK, deadline_ns);
    if (error < 0 && !is_err(m))
        kfree(m);
    file_put(f);
    return error;
}

SYSCALL_DEFINE5(mq_timedreceive, int, fd, uaddr_t, addr, size_t, size, uaddr_t, priority_addr, uaddr_t, timeout)
{
    uint64_t deadline_ns;
    struct mq_message *m;
    struct file *f;
    struct mq *q;
    long ret = deadline_of(timeout, &deadline_ns);

    if (ret < 0)
        return ret;
    q = queue_at(fd, O_RDONLY, &f);
    if (!q)
        return -EBADF;
    m = size < q->max_size ? err_ptr(-EMSGSIZE) : queue_receive(q, f->flags & O_NONBLOCK, deadline_ns);
    file_put(f);
    if (is_err(m))
        return ptr_err(m);
    ret = (long)m->size;
    if ((priority_addr && put_user(m->priority, priority_addr) < 0) || copy_to_user(addr, m->data, m->size) < 0)
        ret = -EFAULT;
    kfree(m);
    return ret;
}

/* --- mq_notify, mq_getsetattr --- */

/* What mq_notify(2) was asked for, out of the app's memory. */
struct request {
    struct sigevent event;
    struct socket *socket; /* SIGEV_THREAD: a reference */
    uint8_t cookie[NOTIFY_COOKIE_LEN];
};

/* SIGEV_THREAD is the C library's affair: to the kernel it is a netlink socket, in sigev_signo, and a cookie for it. */
static long request_thread(struct request *r)
{
    if (copy_from_user(r->cookie, (uaddr_t)r->event.sigev_value.sival_ptr, sizeof(r->cookie)) < 0)
        return -EFAULT;
    r->socket = netlink_get(r->event.sigev_signo);
    if (!is_err(r->socket))
        return 0;
    return ptr_err(r->socket);
}

static long request_fetch(struct request *r, uaddr_t addr)
{
    r->socket = NULL;
    if (get_user(r->event, addr) < 0)
        return -EFAULT;
    switch (r->event.sigev_notify) {
    case SIGEV_NONE:
        return 0;
    case SIGEV_SIGNAL:
        return r->event.sigev_signo < 0 || r->event.sigev_signo > SIGNAL_COUNT ? -EINVAL : 0;
    case SIGEV_THREAD:
        return request_thread(r);
    default:
        return -EINVAL;
    }
}

/* Takes r's socket on success. */
static long subscribe(struct mq *q, const struct request *r)
{
    if (q->notify)
        return -EBUSY;
    process_get(current->proc);
    q->notify = current->proc;
    q->notify_method = r->event.sigev_notify;
    q->notify_signal = r->event.sigev_signo;
    q->notify_value = (uint64_t)r->event.sigev_value.sival_ptr;
    q->notify_socket = r->socket;
    memcpy(q->notify_cookie, r->cookie, sizeof(r->cookie));
    return 0;
}

SYSCALL_DEFINE2(mq_notify, int, fd, uaddr_t, event_addr)
{
    struct request r = { 0 };
    struct file *f;
    struct mq *q;
    long error = event_addr ? request_fetch(&r, event_addr) : 0;

    if (error < 0)
        return error;
    q = queue_at(fd, O_PATH, &f);
    error = !q ? -EBADF : event_addr ? subscribe(q, &r) : 0;
    if (!event_addr && q && q->notify == current->proc)
        mqueue_forget_notify(q);
    if (error < 0 && r.socket)
        socket_put(r.socket);
    if (q)
        file_put(f);
    return error;
}

SYSCALL_DEFINE3(mq_getsetattr, int, fd, uaddr_t, new_addr, uaddr_t, old_addr)
{
    struct mq_attr new, old;
    struct file *f;
    struct mq *q;
    long error;

    if (new_addr && get_user(new, new_addr) < 0)
        return -EFAULT;
    if (new_addr && (new.mq_flags & ~(long)O_NONBLOCK))
        return -EINVAL;
    q = queue_at(fd, O_PATH, &f);
    if (!q)
        return -EBADF;
    memset(&old, 0, sizeof(old));
    old.mq_flags = f->flags & O_NONBLOCK;
    old.mq_maxmsg = (long)q->max_count;
    old.mq_msgsize = (long)q->max_size;
    old.mq_curmsgs = (long)q->count;
    if (new_addr)
        f->flags = (f->flags & ~(uint32_t)O_NONBLOCK) | (uint32_t)new.mq_flags;
    error = old_addr ? put_user(old, old_addr) : 0;
    file_put(f);
    return error;
}
