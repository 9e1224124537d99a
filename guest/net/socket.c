/* The generic half of sockets: their life, their files, waiting, waking. */
#include "net/socket.h"

#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "fs/anon.h"
#include "fs/async.h"
#include "fs/poll.h"
#include "net/inet.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "proc/process.h"
#include "proc/signal.h"
#include "sys/timespec.h"

#include <asm/ioctls.h>
#include <linux/capability.h>
#include <linux/sockios.h>

#define SOCKFS_MAGIC 0x534f434b

static const struct file_ops socket_file_ops;
static uint64_t live_sockets;

/* --- life --- */

struct socket *socket_alloc(size_t size, const struct socket_ops *ops, int family, int type, int protocol)
{
    const struct cred *cred = &current->proc->cred;
    struct socket *s = kzalloc(size);

    if (!s)
        return NULL;
    s->refs = 1;
    s->ops = ops;
    s->family = family;
    s->type = type;
    s->protocol = protocol;
    wait_queue_init(&s->read_wait);
    wait_queue_init(&s->write_wait);
    packet_queue_init(&s->rx);
    socket_options_init(&s->opt);
    s->owner = (struct ucred){ (uint32_t)current->proc->pid, cred->euid, cred->egid };
    s->peer_cred = (struct ucred){ 0, UINT32_MAX, UINT32_MAX };
    live_sockets++;
    return s;
}

void socket_get(struct socket *s)
{
    s->refs++;
}

void socket_put(struct socket *s)
{
    if (!s || --s->refs > 0)
        return;
    if (s->ops->destroy)
        s->ops->destroy(s);
    live_sockets--;
    kfree(s);
}

uint64_t socket_count(void)
{
    return live_sockets;
}

uint64_t socket_inode_number(const struct socket *s)
{
    return s->file ? file_ino(s->file) : 0;
}

static int check_type(int family, int type)
{
    if (family < 0 || family >= AF_MAX)
        return -EAFNOSUPPORT;
    if (type < 0 || type >= SOCK_MAX)
        return -EINVAL;
    return 0;
}

struct socket *socket_create(int family, int type, int protocol)
{
    int err = check_type(family, type);

    if (err < 0)
        return err_ptr(err);
    switch (family) {
    case AF_UNIX:
        return unix_socket(type, protocol);
    case AF_INET:
    case AF_INET6:
        return inet_socket(family, type, protocol);
    case AF_PACKET:
        return frame_socket(type, protocol);
    case AF_NETLINK:
        return netlink_socket(type, protocol);
    default:
        return err_ptr(-EAFNOSUPPORT);
    }
}

/* --- files --- */

static const struct inode_ops socket_inode_ops = { .evict = NULL };

static struct inode *socket_inode(void)
{
    static struct superblock *sb;
    struct inode *inode;

    if (!sb)
        sb = superblock_alloc("sockfs", SOCKFS_MAGIC);
    inode = sb ? inode_alloc(sb, &socket_inode_ops, S_IFSOCK | 0777, inode_new_number()) : NULL;
    if (!inode)
        return NULL;
    inode->uid = vfs_fsuid();
    inode->gid = vfs_fsgid();
    return inode;
}

static struct file *new_file(uint32_t flags)
{
    static const struct file_ops no_ops;
    struct file *f = file_alloc(&no_ops, O_RDWR | flags);
    struct inode *inode = f ? socket_inode() : NULL;
    char name[32];

    if (inode) {
        ksnprintf(name, sizeof(name), "socket:[%lu]", (unsigned long)inode->ino);
        if (anon_attach(f, inode, name) == 0)
            return f;
    }
    if (f)
        file_put(f);
    return NULL;
}

struct file *socket_file(struct socket *s, uint32_t flags)
{
    struct file *f = new_file(flags);

    if (!f) {
        if (s->ops->release)
            s->ops->release(s);
        socket_put(s);
        return err_ptr(-ENOMEM);
    }
    f->ops = &socket_file_ops;
    f->data = s;
    s->file = f;
    return f;
}

struct socket *socket_of(const struct file *f)
{
    return f->ops == &socket_file_ops ? f->data : NULL;
}

static ssize_t socket_read(struct file *f, struct iter *to, uint64_t *pos UNUSED)
{
    struct socket *s = f->data;
    struct socket_msg msg = { .data = to, .flags = f->flags & O_NONBLOCK ? MSG_DONTWAIT : 0 };

    return to->left == 0 ? 0 : s->ops->recv(s, &msg);
}

ssize_t socket_send(struct socket *s, struct socket_msg *msg)
{
    ssize_t n = s->ops->send(s, msg);

    s->no_room |= n == -EAGAIN || (n > 0 && msg->data->left > 0);
    return n;
}

static ssize_t socket_write(struct file *f, struct iter *from, uint64_t *pos UNUSED)
{
    struct socket *s = f->data;
    struct socket_msg msg = { .data = from, .flags = f->flags & O_NONBLOCK ? MSG_DONTWAIT : 0 };

    return socket_send(s, &msg);
}

static uint32_t socket_poll(struct file *f, struct poll_table *table)
{
    struct socket *s = f->data;
    uint32_t events;

    if (table) {
        table->add(table, &s->read_wait);
        table->add(table, &s->write_wait);
    }
    events = s->ops->poll(s);
    s->no_room |= !(events & EPOLLOUT);
    return events;
}

static long owner_ioctl(struct file *f, uint32_t cmd, uaddr_t arg)
{
    int id = async_owner_id(f);

    if (cmd == FIOGETOWN || cmd == SIOCGPGRP)
        return put_user(id, arg);
    return get_user(id, arg) < 0 ? -EFAULT : async_set_owner_id(f, id);
}

static long socket_ioctl(struct file *f, uint32_t cmd, uint64_t arg)
{
    struct socket *s = f->data;
    long ret;

    switch (cmd) {
    case FIOGETOWN:
    case SIOCGPGRP:
    case FIOSETOWN:
    case SIOCSPGRP:
        return owner_ioctl(f, cmd, arg);
    default:
        break;
    }
    ret = s->ops->ioctl ? s->ops->ioctl(s, cmd, arg) : -ENOIOCTLCMD;
    if (ret == -ENOIOCTLCMD)
        ret = netdev_ioctl(cmd, arg);
    return ret == -ENOIOCTLCMD ? -ENOTTY : ret;
}

static void socket_release(struct file *f)
{
    struct socket *s = f->data;

    s->file = NULL;
    if (s->ops->release)
        s->ops->release(s);
    socket_put(s);
}

static const struct file_ops socket_file_ops = {
    .read = socket_read,
    .write = socket_write,
    .poll = socket_poll,
    .ioctl = socket_ioctl,
    .release = socket_release,
    .async = ASYNC_BY_ITSELF,
};

/* --- waiting and waking --- */

uint64_t socket_deadline(uint64_t timeout_ns, bool nonblock)
{
    if (nonblock || timeout_ns == 0)
        return 0;
    return timeout_ns == NEVER ? NEVER : deadline_after(timeout_ns);
}

/* A call with a timeout isn't restarted after a signal: it would wait anew (signal(7)). */
int socket_wait_result(int err, uint64_t deadline_ns)
{
    if (err == -ETIMEDOUT)
        return -EAGAIN;
    if (err == -ERESTARTSYS && deadline_ns != NEVER)
        return -EINTR;
    return err;
}

void socket_wake_read(struct socket *s)
{
    wait_wake_one(&s->read_wait, EPOLLIN | EPOLLPRI | EPOLLRDNORM | EPOLLRDBAND);
    async_signal(s->file, POLL_IN);
}

void socket_wake_write(struct socket *s)
{
    wait_wake_one(&s->write_wait, EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND);
    if (s->no_room)
        async_signal(s->file, POLL_OUT);
    s->no_room = false;
}

void socket_wake_state(struct socket *s)
{
    wait_wake_all(&s->read_wait, 0);
    wait_wake_all(&s->write_wait, 0);
}

void socket_wake_event(struct socket *s, int reason)
{
    socket_wake_state(s);
    async_signal(s->file, reason);
}

void socket_set_error(struct socket *s, int error)
{
    s->error = error;
    socket_wake_event(s, POLL_ERR);
}

int socket_take_error(struct socket *s)
{
    int error = s->error;

    s->error = 0;
    return -error;
}

struct packet *socket_next_packet(struct socket *s, struct mutex *read_lock, uint64_t deadline_ns, int *err)
{
    for (;;) {
        struct packet *p;

        *err = socket_take_error(s);
        if (*err < 0)
            return NULL;
        p = packet_first(&s->rx);
        if (p)
            return p;
        if (s->shut & SHUT_RECV) {
            *err = s->type == SOCK_DGRAM && deadline_ns == 0 ? -EAGAIN : 0;
            return NULL;
        }
        mutex_unlock(read_lock);
        *err = socket_wait(&s->read_wait, socket_rx_ready(s), deadline_ns);
        mutex_lock(read_lock);
        if (*err < 0 && s->rx.count == 0)
            return NULL;
    }
}

int socket_broken_pipe(uint32_t msg_flags)
{
    if (!(msg_flags & MSG_NOSIGNAL))
        signal_send_thread(current, SIGPIPE, SI_USER, current->proc->pid, current->proc->cred.uid);
    return -EPIPE;
}
