/* TCP inside the sandbox: connections from connect(2) to close(2). */
#include "net/tcp.h"

#include <asm/ioctls.h>
#include <linux/sockios.h>
#include <linux/tcp.h>

#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "lib/string.h"

#define SNDBUF_INITIAL 16384u       /* /proc/sys/net/ipv4/tcp_wmem */
#define SNDBUF_CONNECTED 2626560u   /* what it has grown to on Linux's loopback once it is connected */
#define RCVBUF_INITIAL 131072u

static const struct socket_ops tcp_ops;

/* --- life --- */

static struct tcp_sock *tcp_create(int family)
{
    struct tcp_sock *t = (struct tcp_sock *)socket_alloc(sizeof(*t), &tcp_ops, family, SOCK_STREAM, IPPROTO_TCP);

    if (!t)
        return NULL;
    inet_options_init(&t->i);
    inet_forget_binding(&t->i);
    t->state = TCP_STATE_CLOSE;
    t->i.s.opt.sndbuf = SNDBUF_INITIAL;
    t->i.s.opt.rcvbuf = RCVBUF_INITIAL;
    list_init(&t->i.port_node);
    list_init(&t->accepts);
    list_init(&t->accept_node);
    list_init(&t->waiting);
    list_init(&t->waiting_node);
    mutex_init(&t->read_lock);
    mutex_init(&t->write_lock);
    return t;
}

struct socket *tcp_socket(int family)
{
    struct tcp_sock *t = tcp_create(family);

    return t ? &t->i.s : err_ptr(-ENOMEM);
}

int tcp_state(const struct inet_sock *i)
{
    return ((const struct tcp_sock *)i)->state;
}

static void set_peer(struct tcp_sock *t, struct tcp_sock *peer)
{
    socket_get(&peer->i.s);
    t->peer = peer;
}

static void drop_peer(struct tcp_sock *t)
{
    struct tcp_sock *peer = t->peer;

    t->peer = NULL;
    if (peer)
        socket_put(&peer->i.s);
}

/* Nothing goes in either direction any more; what has arrived can still be read. */
static void finish(struct tcp_sock *t)
{
    t->state = TCP_STATE_CLOSE;
    t->i.s.shut = SHUT_MASK;
}

void tcp_reset(struct tcp_sock *t)
{
    int error = ECONNRESET;

    if (t->state == TCP_STATE_CLOSE || t->orphan)
        return;
    if (t->state == TCP_STATE_SYN_SENT) {
        error = ECONNREFUSED;
        if (!t->i.bound_port) { /* it may be bound anew */
            inet_release_port(&t->i);
            t->i.local.port = 0;
        }
    }
    if (t->state == TCP_STATE_CLOSE_WAIT)
        error = EPIPE;
    finish(t);
    socket_set_error(&t->i.s, error);
}

/* The peer will send nothing more. */
static void receive_fin(struct tcp_sock *t)
{
    if (t->orphan || t->fin || t->state == TCP_STATE_CLOSE)
        return;
    t->fin = true;
    t->i.s.shut |= SHUT_RECV;
    if (t->state == TCP_STATE_FIN_WAIT2)
        finish(t);
    else
        t->state = TCP_STATE_CLOSE_WAIT;
    socket_wake_event(&t->i.s, t->i.s.shut == SHUT_MASK ? POLL_HUP : POLL_IN);
}

static void send_fin(struct tcp_sock *t)
{
    if (t->state == TCP_STATE_ESTABLISHED)
        t->state = TCP_STATE_FIN_WAIT2;
    else if (t->state == TCP_STATE_CLOSE_WAIT)
        finish(t);
    else
        return;
    if (t->peer)
        receive_fin(t->peer);
}

static void stop_listening(struct tcp_sock *t)
{
    t->i.s.listening = false;
    t->state = TCP_STATE_CLOSE;
    if (inet_outside)
        inet_outside->unlisten(&t->i.s);
    while (!list_empty(&t->waiting)) {
        struct tcp_sock *client = list_first(&t->waiting, struct tcp_sock, waiting_node);

        list_remove(&client->waiting_node);
        tcp_reset(client);
    }
    while (!list_empty(&t->accepts)) {
        struct tcp_sock *embryo = list_first(&t->accepts, struct tcp_sock, accept_node);

        list_remove(&embryo->accept_node);
        t->accept_count--;
        embryo->i.s.opt.linger = true; /* nobody has read what came: a reset */
        embryo->i.s.opt.linger_seconds = 0;
        embryo->i.s.ops->release(&embryo->i.s);
        socket_put(&embryo->i.s);
    }
}

static void tcp_release(struct socket *s)
{
    struct tcp_sock *t = tcp_sock(s);
    bool abort = s->rx.bytes > 0 || (s->opt.linger && s->opt.linger_seconds == 0);

    if (t->state == TCP_STATE_LISTEN)
        stop_listening(t);
    list_remove(&t->waiting_node);
    if (t->peer && abort)
        tcp_reset(t->peer);
    else
        send_fin(t);
    t->orphan = true;
    finish(t);
    inet_release_port(&t->i);
    packet_queue_purge(&s->rx);
    if (t->peer && !t->peer->orphan)
        wait_wake_all(&t->peer->i.s.write_wait, EPOLLOUT | EPOLLWRNORM);
    drop_peer(t);
}

static void tcp_destroy(struct socket *s)
{
    drop_peer(tcp_sock(s));
    packet_queue_purge(&s->rx);
}

/* --- listening --- */

static int tcp_bind(struct socket *s, const struct net_addr *addr)
{
    return inet_bind(s, addr, tcp_sock(s)->state == TCP_STATE_CLOSE);
}

static int tcp_listen(struct socket *s, int backlog)
{
    struct tcp_sock *t = tcp_sock(s);
    int err;

    if ((t->state != TCP_STATE_CLOSE && t->state != TCP_STATE_LISTEN) || t->connecting || t->peer)
        return -EINVAL;
    t->backlog = (uint32_t)backlog;
    if (t->state == TCP_STATE_LISTEN)
        return 0;
    err = inet_autobind(&t->i);
    if (err == 0 && inet_conflict(&t->i, t->i.local.port, true))
        err = -EADDRINUSE;
    if (err < 0)
        return err;
    t->state = TCP_STATE_LISTEN;
    t->i.s.shut = 0;
    s->listening = true;
    if (inet_outside)
        inet_outside->listening(s);
    return 0;
}

/* Who listens there: the exact address before all addresses; among equals (SO_REUSEPORT) chance decides. */
static struct tcp_sock *find_listener(const struct inet_end *to)
{
    struct list *head = inet_port_bucket(IPPROTO_TCP, to->port);
    struct inet_sock *i, *best = NULL;
    uint32_t best_score = 0, equals = 0, dice;

    list_for_each(i, head, port_node) {
        uint32_t score = inet_same(i->local.addr, to->addr) ? 3 : inet_is_v4(i->local.addr) == inet_is_v4(to->addr) ? 2 : 1;

        if (!i->s.listening || i->local.port != to->port || !inet_hears(i, to->addr) || score < best_score)
            continue;
        equals = score > best_score ? 1 : equals + 1;
        best_score = score;
        random_bytes(&dice, equals > 1 ? sizeof(dice) : 0);
        if (equals == 1 || dice % equals == 0)
            best = i;
    }
    return (struct tcp_sock *)best;
}

bool tcp_accepts_full(const struct tcp_sock *t)
{
    return t->accept_count > t->backlog;
}

/* What a connection takes over from the socket that listened. */
static void inherit(struct tcp_sock *t, const struct tcp_sock *listener)
{
    t->i.s.opt = listener->i.s.opt;
    t->i.s.owner = listener->i.s.owner;
    memcpy(t->i.options, listener->i.options, sizeof(t->i.options));
}

struct tcp_sock *tcp_embryo(struct tcp_sock *listener)
{
    struct tcp_sock *embryo = tcp_create(listener->i.s.family);

    if (embryo)
        inherit(embryo, listener);
    return embryo;
}

void tcp_offer(struct tcp_sock *listener, struct tcp_sock *embryo)
{
    list_push_back(&listener->accepts, &embryo->accept_node);
    listener->accept_count++;
    socket_wake_read(&listener->i.s);
}

static void connected(struct tcp_sock *t, struct tcp_sock *peer)
{
    set_peer(t, peer);
    t->state = TCP_STATE_ESTABLISHED;
    if (!t->i.s.opt.sndbuf_set)
        t->i.s.opt.sndbuf = SNDBUF_CONNECTED;
}

static int establish(struct tcp_sock *client, struct tcp_sock *listener)
{
    struct tcp_sock *embryo = tcp_embryo(listener);

    if (!embryo)
        return -ENOMEM;
    embryo->i.local = client->i.remote;
    embryo->i.remote = client->i.local;
    inet_add_port(&embryo->i);
    connected(embryo, client);
    connected(client, embryo);
    socket_wake_event(&client->i.s, POLL_OUT);
    tcp_offer(listener, embryo);
    return 0;
}

/* There is room in the backlog again. */
static void admit_waiting(struct tcp_sock *t)
{
    while (!tcp_accepts_full(t) && !list_empty(&t->waiting)) {
        struct tcp_sock *client = list_first(&t->waiting, struct tcp_sock, waiting_node);

        list_remove(&client->waiting_node);
        if (establish(client, t) < 0)
            tcp_reset(client);
    }
}

static struct socket *tcp_accept(struct socket *s, bool nonblock)
{
    struct tcp_sock *t = tcp_sock(s), *embryo;
    uint64_t deadline_ns = socket_deadline(s->opt.recv_timeout_ns, nonblock);
    int err;

    if (t->state != TCP_STATE_LISTEN)
        return err_ptr(-EINVAL);
    err = socket_wait(&s->read_wait, !list_empty(&t->accepts) || t->state != TCP_STATE_LISTEN, deadline_ns);
    if (err < 0)
        return err_ptr(err);
    if (list_empty(&t->accepts))
        return err_ptr(-EINVAL);
    embryo = list_first(&t->accepts, struct tcp_sock, accept_node);
    list_remove(&embryo->accept_node);
    t->accept_count--;
    admit_waiting(t);
    if (inet_outside)
        inet_outside->listening(s); /* there is room for one more */
    return &embryo->i.s;
}

/* --- connecting --- */

static int disconnect(struct tcp_sock *t)
{
    struct socket *s = &t->i.s;

    if (t->state == TCP_STATE_LISTEN)
        stop_listening(t);
    list_remove(&t->waiting_node);
    if (t->peer && t->state != TCP_STATE_CLOSE)
        tcp_reset(t->peer);
    drop_peer(t);
    t->state = TCP_STATE_CLOSE;
    t->connecting = t->spoiled = t->fin = false;
    t->urgent = URGENT_NONE;
    s->shut = 0;
    s->error = 0;
    packet_queue_purge(&s->rx);
    inet_forget_binding(&t->i);
    socket_wake_state(s);
    return 0;
}

/* Find the listener and connect, or join those who wait for it. */
static int start(struct tcp_sock *t, const struct inet_end *to)
{
    struct tcp_sock *listener;
    int err = inet_choose_source(&t->i, to);

    if (err == 0)
        err = inet_autobind(&t->i);
    if (err < 0)
        return err == -EADDRINUSE ? -EADDRNOTAVAIL : err;
    t->i.remote = *to;
    t->state = TCP_STATE_SYN_SENT;
    t->i.s.shut = 0;
    listener = find_listener(to);
    if (!listener && t->i.local.port == to->port && inet_same(t->i.local.addr, to->addr)) {
        connected(t, t); /* to itself: a simultaneous open (RFC 793, figure 8) */
        return 0;
    }
    if (!listener) {
        tcp_reset(t);
        return 0;
    }
    if (tcp_accepts_full(listener)) {
        list_push_back(&listener->waiting, &t->waiting_node);
        return 0;
    }
    return establish(t, listener);
}

static int finish_connect(struct tcp_sock *t, int (*disconnect_it)(struct tcp_sock *))
{
    int err;

    t->connecting = false;
    if (t->state != TCP_STATE_CLOSE)
        return 0;
    err = socket_take_error(&t->i.s);
    disconnect_it(t);
    return err < 0 ? err : -ECONNABORTED;
}

int tcp_wait_connected(struct tcp_sock *t, uint64_t deadline_ns, int (*disconnect_it)(struct tcp_sock *))
{
    int err = socket_wait(&t->i.s.write_wait, t->state != TCP_STATE_SYN_SENT, deadline_ns);

    if (err == -EAGAIN)
        return -EINPROGRESS;
    return err < 0 ? err : finish_connect(t, disconnect_it);
}

static int tcp_connect(struct socket *s, const struct net_addr *addr, bool nonblock)
{
    struct tcp_sock *t = tcp_sock(s);
    uint64_t deadline_ns = socket_deadline(s->opt.send_timeout_ns, nonblock);
    struct inet_end to;
    int err;

    if (addr->len < sizeof(addr->family))
        return -EINVAL;
    if (addr->family == AF_UNSPEC)
        return disconnect(t);
    if (t->spoiled)
        return -EINVAL;
    if (t->connecting) {
        err = t->state == TCP_STATE_SYN_SENT ? -EALREADY : 0;
        if (err < 0 && nonblock)
            return err;
        return tcp_wait_connected(t, deadline_ns, disconnect);
    }
    if (t->state != TCP_STATE_CLOSE || t->peer)
        return -EISCONN;
    err = inet_read_addr(&t->i, addr, &to);
    if (err == 0)
        err = inet_route(&t->i, &to);
    if (err > 0)
        return s->ops->connect(s, addr, nonblock);
    if (err == 0)
        err = start(t, &to);
    if (err < 0) {
        t->state = TCP_STATE_CLOSE;
        inet_forget_binding(&t->i);
        return err;
    }
    t->connecting = true;
    return nonblock ? -EINPROGRESS : tcp_wait_connected(t, deadline_ns, disconnect);
}

static int tcp_getname(struct socket *s, struct net_addr *ret, bool peer)
{
    struct tcp_sock *t = tcp_sock(s);

    return inet_getname(s, ret, t->i.remote.port && t->state != TCP_STATE_CLOSE && t->state != TCP_STATE_SYN_SENT, peer);
}

static int tcp_shutdown(struct socket *s, int how)
{
    struct tcp_sock *t = tcp_sock(s);
    uint32_t mask = (uint32_t)how + 1;

    switch (t->state) {
    case TCP_STATE_CLOSE:
        t->spoiled = t->connecting;
        s->shut |= mask;
        socket_wake_state(s);
        return -ENOTCONN;
    case TCP_STATE_LISTEN:
        return mask & SHUT_RECV ? disconnect(t) : 0;
    case TCP_STATE_SYN_SENT:
        return disconnect(t);
    default:
        break;
    }
    s->shut |= mask;
    if (mask & SHUT_SEND)
        send_fin(t);
    socket_wake_state(s);
    return 0;
}

/* --- readiness --- */

static uint32_t tcp_poll(struct socket *s)
{
    struct tcp_sock *t = tcp_sock(s);
    uint32_t events = 0;

    if (t->state == TCP_STATE_LISTEN)
        return t->accept_count > 0 ? EPOLLIN | EPOLLRDNORM : 0;
    if (s->shut == SHUT_MASK || t->state == TCP_STATE_CLOSE)
        events |= EPOLLHUP;
    if (s->shut & SHUT_RECV)
        events |= EPOLLIN | EPOLLRDNORM | EPOLLRDHUP;
    if (t->state != TCP_STATE_SYN_SENT) {
        if (tcp_readable(t))
            events |= EPOLLIN | EPOLLRDNORM;
        if ((s->shut & SHUT_SEND) || tcp_writable(t))
            events |= EPOLLOUT | EPOLLWRNORM;
        else
            t->want_space = true;
        if (t->urgent == URGENT_VALID)
            events |= EPOLLPRI;
    }
    return events | (s->error ? EPOLLERR : 0u);
}

static void tcp_write_space(struct socket *s)
{
    if (tcp_sock(s)->want_space && tcp_writable(tcp_sock(s)))
        socket_wake_write(s);
}

static long tcp_ioctl(struct socket *s, uint32_t cmd, uaddr_t arg)
{
    struct tcp_sock *t = tcp_sock(s);
    int value;

    switch (cmd) {
    case FIONREAD:
        if (t->state == TCP_STATE_LISTEN)
            return -EINVAL;
        value = tcp_inq(t);
        break;
    case TIOCOUTQ: /* SIOCOUTQ: what the receiver's window hasn't taken */
    case SIOCOUTQNSD:
        if (t->state == TCP_STATE_LISTEN)
            return -EINVAL;
        value = 0;
        if (t->peer && t->peer->i.s.rx.bytes > t->peer->i.s.opt.rcvbuf)
            value = (int)(t->peer->i.s.rx.bytes - t->peer->i.s.opt.rcvbuf);
        break;
    case SIOCATMARK:
        value = tcp_at_mark(t);
        break;
    default:
        return -ENOIOCTLCMD;
    }
    return put_user(value, arg);
}

int tcp_get_info(struct socket *s, void *buf, uint32_t *len)
{
    const struct tcp_sock *t = tcp_sock(s);
    struct tcp_info info = { .tcpi_state = (uint8_t)t->state, .tcpi_snd_mss = 65483, .tcpi_rcv_mss = 536, .tcpi_pmtu = 65535,
                             .tcpi_rcv_space = 65495, .tcpi_snd_cwnd = 10, .tcpi_advmss = 65483, .tcpi_reordering = 3 };

    info.tcpi_bytes_received = t->write_seq;
    if (t->state == TCP_STATE_LISTEN) {
        info.tcpi_unacked = t->accept_count; /* as Linux: how many wait to be accepted, and how many may */
        info.tcpi_sacked = t->backlog;
    }
    return option_put(buf, len, &info, sizeof(info));
}

static const struct socket_ops tcp_ops = {
    .bind = tcp_bind,
    .connect = tcp_connect,
    .listen = tcp_listen,
    .accept = tcp_accept,
    .getname = tcp_getname,
    .send = tcp_stream_send,
    .recv = tcp_stream_recv,
    .poll = tcp_poll,
    .shutdown = tcp_shutdown,
    .ioctl = tcp_ioctl,
    .setsockopt = inet_setsockopt,
    .getsockopt = inet_getsockopt,
    .write_space = tcp_write_space,
    .release = tcp_release,
    .destroy = tcp_destroy,
};
