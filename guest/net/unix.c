/* AF_UNIX: life, connections, readiness. Queue and name are in files of their own. */
#include "net/unix.h"

#include <asm/ioctls.h>
#include <linux/sockios.h>

#include "arch/uaccess.h"
#include "lib/kmalloc.h"
#include "net/scm.h"
#include "proc/process.h"

struct list unix_all = LIST_INIT(unix_all);

static const struct socket_ops stream_ops, dgram_ops, seqpacket_ops;

/* --- life --- */

static struct unix_sock *unix_create(const struct socket_ops *ops, int type)
{
    struct unix_sock *u = (struct unix_sock *)socket_alloc(sizeof(*u), ops, AF_UNIX, type, 0);

    if (!u)
        return NULL;
    list_init(&u->name_node);
    list_init(&u->clients);
    list_init(&u->client_node);
    list_init(&u->accepts);
    list_init(&u->accept_node);
    wait_queue_init(&u->space_wait);
    mutex_init(&u->read_lock);
    u->backlog = UNIX_DGRAM_BACKLOG;
    list_push_back(&unix_all, &u->all_node);
    return u;
}

struct socket *unix_socket(int type, int protocol)
{
    const struct socket_ops *ops;
    struct unix_sock *u;

    if (protocol && protocol != AF_UNIX)
        return err_ptr(-EPROTONOSUPPORT);
    switch (type) {
    case SOCK_STREAM:
        ops = &stream_ops;
        break;
    case SOCK_RAW: /* as Linux: another word for datagrams */
        type = SOCK_DGRAM;
        /* fallthrough */
    case SOCK_DGRAM:
        ops = &dgram_ops;
        break;
    case SOCK_SEQPACKET:
        ops = &seqpacket_ops;
        break;
    default:
        return err_ptr(-ESOCKTNOSUPPORT);
    }
    u = unix_create(ops, type);
    return u ? &u->s : err_ptr(-ENOMEM);
}

struct unix_sock *unix_of_file(const struct file *f)
{
    struct socket *s = socket_of(f);

    return s && s->family == AF_UNIX ? unix_sock(s) : NULL;
}

static void set_peer(struct unix_sock *u, struct unix_sock *peer)
{
    socket_get(&peer->s);
    u->peer = peer;
}

int unix_pair(struct socket *a, struct socket *b)
{
    struct unix_sock *ua = unix_sock(a), *ub = unix_sock(b);

    set_peer(ua, ub);
    set_peer(ub, ua);
    if (a->type == SOCK_DGRAM) {
        list_push_back(&ub->clients, &ua->client_node);
        list_push_back(&ua->clients, &ub->client_node);
    } else {
        ua->state = ub->state = UNIX_CONNECTED;
    }
    a->peer_cred = b->peer_cred = (struct ucred){ a->owner.pid, a->owner.uid, a->owner.gid };
    return 0;
}

/* The peer of a connection goes: it hears the end, or a reset if something was left unread. */
static void hang_up(struct unix_sock *u, bool reset)
{
    struct unix_sock *peer = u->peer;

    if (peer->dead)
        return;
    peer->s.shut = SHUT_MASK;
    if (reset)
        peer->s.error = ECONNRESET;
    socket_wake_event(&peer->s, POLL_HUP);
}

static void drop_accepts(struct unix_sock *u)
{
    while (!list_empty(&u->accepts)) {
        struct unix_sock *embryo = list_first(&u->accepts, struct unix_sock, accept_node);

        list_remove(&embryo->accept_node);
        u->accept_count--;
        embryo->dead = true;
        hang_up(embryo, true);
        packet_queue_purge(&embryo->s.rx);
        socket_put(&embryo->s);
    }
}

void unix_disconnect_dgram(struct unix_sock *u)
{
    struct unix_sock *peer = u->peer;

    if (!peer)
        return;
    u->peer = NULL;
    list_remove(&u->client_node);
    socket_put(&peer->s);
}

/* Those that were connected to this datagram socket find out when they send. */
static void forget_clients(struct unix_sock *u)
{
    while (!list_empty(&u->clients)) {
        struct unix_sock *client = list_first(&u->clients, struct unix_sock, client_node);

        list_remove(&client->client_node);
        socket_wake_write(&client->s);
    }
}

static void unix_release(struct socket *s)
{
    struct unix_sock *u = unix_sock(s);
    bool unread = s->rx.count > 0;

    u->dead = true;
    s->shut = SHUT_MASK;
    s->listening = false;
    unix_unname(u);
    drop_accepts(u);
    wait_wake_all(&u->space_wait, 0);
    if (u->peer && s->type != SOCK_DGRAM)
        hang_up(u, unread);
    forget_clients(u);
    if (s->type == SOCK_DGRAM)
        unix_disconnect_dgram(u);
    u->state = UNIX_CLOSED;
    packet_queue_purge(&s->rx);
    if (u->peer) {
        struct unix_sock *peer = u->peer;

        u->peer = NULL;
        socket_put(&peer->s);
    }
    unix_gc_run();
}

static void unix_destroy(struct socket *s)
{
    struct unix_sock *u = unix_sock(s);

    if (u->peer)
        socket_put(&u->peer->s);
    list_remove(&u->all_node);
    packet_queue_purge(&s->rx);
    unix_name_put(u->name);
}

/* --- connections --- */

static int unix_listen(struct socket *s, int backlog)
{
    struct unix_sock *u = unix_sock(s);

    if (!u->name || u->state == UNIX_CONNECTED)
        return -EINVAL;
    if (u->state == UNIX_LISTENING && (uint32_t)backlog > u->backlog)
        wait_wake_all(&u->space_wait, 0);
    u->backlog = (uint32_t)backlog;
    u->state = UNIX_LISTENING;
    s->listening = true;
    s->peer_cred = s->owner;
    s->peer_cred.pid = (uint32_t)current->proc->pid;
    return 0;
}

static bool accepts_full(const struct unix_sock *u)
{
    return u->accept_count > u->backlog;
}

static bool takes_connections(const struct unix_sock *u)
{
    return u->state == UNIX_LISTENING && !(u->s.shut & SHUT_RECV) && !u->dead;
}

/* The listener at addr, with a reference, once it has room. */
static struct unix_sock *find_listener(struct unix_sock *u, const struct net_addr *addr, uint64_t deadline_ns)
{
    for (;;) {
        struct unix_sock *other = unix_find(addr, u->s.type);
        int err = 0;

        if (is_err(other))
            return other;
        if (!takes_connections(other))
            err = -ECONNREFUSED;
        else if (!accepts_full(other))
            return other;
        else
            err = socket_wait(&other->space_wait, !takes_connections(other) || !accepts_full(other), deadline_ns);
        socket_put(&other->s);
        if (err < 0)
            return err_ptr(err);
    }
}

static int make_connection(struct unix_sock *u, struct unix_sock *listener)
{
    struct unix_sock *embryo = unix_create(u->s.ops, u->s.type);

    if (!embryo)
        return -ENOMEM;
    embryo->state = UNIX_CONNECTED;
    embryo->name = unix_name_get(listener->name);
    embryo->s.peer_cred = (struct ucred){ (uint32_t)current->proc->pid, u->s.owner.uid, u->s.owner.gid };
    embryo->s.opt.passcred = listener->s.opt.passcred;
    embryo->s.opt.passpidfd = listener->s.opt.passpidfd;
    set_peer(embryo, u);
    set_peer(u, embryo);
    u->s.peer_cred = listener->s.peer_cred;
    u->state = UNIX_CONNECTED;
    list_push_back(&listener->accepts, &embryo->accept_node);
    listener->accept_count++;
    socket_wake_read(&listener->s);
    return 0;
}

static int connect_stream(struct socket *s, const struct net_addr *addr, bool nonblock)
{
    struct unix_sock *u = unix_sock(s), *listener;
    uint64_t deadline_ns = socket_deadline(s->opt.send_timeout_ns, nonblock);
    int err = unix_check_addr(addr);

    if (err == 0 && (s->opt.passcred || s->opt.passpidfd))
        err = unix_autobind(u);
    if (err < 0)
        return err;
    listener = find_listener(u, addr, deadline_ns);
    if (is_err(listener))
        return (int)ptr_err(listener);
    if (u->state == UNIX_CONNECTED)
        err = -EISCONN;
    else if (u->state != UNIX_CLOSED)
        err = -EINVAL;
    else
        err = make_connection(u, listener);
    socket_put(&listener->s);
    return err;
}

bool unix_may_send(const struct unix_sock *from, const struct unix_sock *to)
{
    return !to->peer || to->peer == from;
}

/*
 * What came from the old peer isn't meant for the new connection. As in Linux, the old peer hears of it only if something was
 * thrown away.
 */
static void leave_peer(struct unix_sock *u)
{
    struct unix_sock *old = u->peer;

    if (!old)
        return;
    if (u->s.rx.count > 0) {
        mutex_lock(&u->read_lock);
        packet_queue_purge(&u->s.rx);
        mutex_unlock(&u->read_lock);
        wait_wake_all(&u->space_wait, 0);
        if (!old->dead && old->peer == u)
            socket_set_error(&old->s, ECONNRESET);
    }
    unix_disconnect_dgram(u);
}

static int connect_dgram(struct socket *s, const struct net_addr *addr, bool nonblock UNUSED)
{
    struct unix_sock *u = unix_sock(s), *other;
    int err;

    if (addr->len >= sizeof(addr->family) && addr->family == AF_UNSPEC) {
        leave_peer(u);
        u->state = UNIX_CLOSED;
        return 0;
    }
    err = unix_check_addr(addr);
    if (err == 0 && (s->opt.passcred || s->opt.passpidfd))
        err = unix_autobind(u);
    if (err < 0)
        return err;
    other = unix_find(addr, s->type);
    if (is_err(other))
        return (int)ptr_err(other);
    if (!unix_may_send(u, other)) {
        socket_put(&other->s);
        return -EPERM;
    }
    if (u->peer != other)
        leave_peer(u);
    else
        unix_disconnect_dgram(u);
    u->peer = other; /* takes the reference */
    list_push_back(&other->clients, &u->client_node);
    u->state = UNIX_CONNECTED;
    return 0;
}

static struct socket *unix_accept(struct socket *s, bool nonblock)
{
    struct unix_sock *u = unix_sock(s), *embryo;
    uint64_t deadline_ns = socket_deadline(s->opt.recv_timeout_ns, nonblock);
    int err;

    if (u->state != UNIX_LISTENING)
        return err_ptr(-EINVAL);
    err = socket_wait(&s->read_wait, !list_empty(&u->accepts) || (s->shut & SHUT_RECV) || s->error, deadline_ns);
    if (err < 0)
        return err_ptr(err);
    if (list_empty(&u->accepts)) {
        err = socket_take_error(s);
        return err_ptr(err < 0 ? err : deadline_ns == 0 ? -EAGAIN : -EINVAL);
    }
    embryo = list_first(&u->accepts, struct unix_sock, accept_node);
    list_remove(&embryo->accept_node);
    u->accept_count--;
    wait_wake_all(&u->space_wait, 0);
    return &embryo->s;
}

static int unix_getname(struct socket *s, struct net_addr *ret, bool peer)
{
    struct unix_sock *u = unix_sock(s);

    if (peer && !u->peer)
        return -ENOTCONN;
    unix_name_show(peer ? u->peer->name : u->name, ret);
    return 0;
}

static int unix_shutdown(struct socket *s, int how)
{
    struct unix_sock *u = unix_sock(s), *peer = u->peer;
    uint32_t own = (uint32_t)how + 1, theirs = 0;

    s->shut |= own;
    if (peer && s->type != SOCK_DGRAM) {
        theirs = (own & SHUT_RECV ? SHUT_SEND : 0u) | (own & SHUT_SEND ? SHUT_RECV : 0u);
        peer->s.shut |= theirs;
        if (theirs & SHUT_RECV)
            socket_wake_event(&peer->s, theirs == SHUT_MASK ? POLL_HUP : POLL_IN);
        else
            socket_wake_state(&peer->s);
    }
    wait_wake_all(&u->space_wait, 0);
    socket_wake_state(s);
    return 0;
}

/* --- readiness --- */

static uint32_t poll_common(const struct unix_sock *u)
{
    const struct socket *s = &u->s;
    uint32_t events = 0;

    if (s->error)
        events |= EPOLLERR;
    if (s->shut == SHUT_MASK)
        events |= EPOLLHUP;
    if (s->shut & SHUT_RECV)
        events |= EPOLLRDHUP | EPOLLIN | EPOLLRDNORM;
    if (s->rx.count > 0 || u->accept_count > 0)
        events |= EPOLLIN | EPOLLRDNORM;
    if (s->type != SOCK_DGRAM && u->state == UNIX_CLOSED)
        events |= EPOLLHUP;
    return events;
}

static uint32_t poll_stream(struct socket *s)
{
    struct unix_sock *u = unix_sock(s);

    return poll_common(u) | (unix_writable(u) ? EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND : 0u);
}

static uint32_t poll_dgram(struct socket *s)
{
    struct unix_sock *u = unix_sock(s), *peer = u->peer;
    bool writable = unix_writable(u);

    if (writable && peer && peer->peer != u && unix_rx_full(peer))
        writable = false;
    return poll_common(u) | (writable ? EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND : 0u);
}

static void unix_write_space(struct socket *s)
{
    if (unix_writable(unix_sock(s)) && !unix_sock(s)->dead)
        socket_wake_write(s);
}

static long unix_ioctl(struct socket *s, uint32_t cmd, uaddr_t arg)
{
    struct unix_sock *u = unix_sock(s);
    const struct packet *first = packet_first(&s->rx);
    int value;

    switch (cmd) {
    case TIOCOUTQ: /* SIOCOUTQ */
        value = (int)s->send_charge;
        break;
    case FIONREAD:
        if (u->state == UNIX_LISTENING)
            return -EINVAL;
        value = s->type == SOCK_DGRAM ? (first ? (int)first->len : 0) : (int)s->rx.bytes;
        break;
    default:
        return -ENOIOCTLCMD;
    }
    return put_user(value, arg);
}

#define UNIX_COMMON                                                                                                  \
    .bind = unix_bind, .getname = unix_getname, .shutdown = unix_shutdown, .ioctl = unix_ioctl,                     \
    .write_space = unix_write_space, .release = unix_release, .destroy = unix_destroy

static const struct socket_ops stream_ops = {
    UNIX_COMMON,
    .connect = connect_stream,
    .listen = unix_listen,
    .accept = unix_accept,
    .send = unix_send_stream,
    .recv = unix_recv_stream,
    .poll = poll_stream,
};

static const struct socket_ops dgram_ops = {
    UNIX_COMMON,
    .connect = connect_dgram,
    .send = unix_send_dgram,
    .recv = unix_recv_dgram,
    .poll = poll_dgram,
};

static const struct socket_ops seqpacket_ops = {
    UNIX_COMMON,
    .connect = connect_stream,
    .listen = unix_listen,
    .accept = unix_accept,
    .send = unix_send_seqpacket,
    .recv = unix_recv_seqpacket,
    .poll = poll_dgram,
};
