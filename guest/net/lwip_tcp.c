/*
 * Streams through lwIP: connections from connect(2) to close(2). The struct stays that of tcp.c, whose state, names and options say the
 * same as for those inside; the bytes are in lwip_tcp_io.c.
 */
#include "lwip/priv/tcp_priv.h"
#include "lwip/tcp.h"

#include <asm/ioctls.h>
#include <linux/sockios.h>
#include <linux/tcp.h>

#include "arch/uaccess.h"
#include "lib/kmalloc.h"
#include "net/lwip_tcp.h"
#include "net/stack_addr.h"
#include "sys/timespec.h"

#define TIME_WAIT_MAX 256u
#define BACKLOG 255 /* lwIP's most; how many wait for accept(2) is counted here */

static const struct socket_ops stack_tcp_ops;

/* --- the stack's half --- */

static void free_half(struct stack_sock *k)
{
    stack_rx_purge(k);
    stack_tx_purge(k);
    kfree(k);
}

/* The stack has let go of the connection. */
static void gone(struct stack_sock *k)
{
    k->tcp = NULL;
    stack_tx_purge(k);
    if (!k->s)
        free_half(k);
}

static void detach(struct tcp_pcb *pcb)
{
    tcp_arg(pcb, NULL);
    tcp_recv(pcb, NULL);
    tcp_sent(pcb, NULL);
    tcp_err(pcb, NULL);
}

/* --- what the stack tells --- */

/*
 * Both ends have said that nothing more comes, and the peer has it all: what is left to do (the last acknowledgements, TIME-WAIT) is the
 * stack's alone, which won't tell when it is done.
 */
static void settle(struct stack_sock *k, const struct tcp_pcb *pcb)
{
    bool ended = pcb->state == CLOSING || pcb->state == TIME_WAIT || !k->s;

    if (!ended || k->tx_len > 0)
        return;
    detach(k->tcp);
    gone(k);
}

static err_t on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err UNUSED)
{
    struct stack_sock *k = arg;
    struct tcp_sock *t;

    if (!k || !k->s) { /* close(2) was said: what still comes is refused (RFC 2525, 2.17) */
        if (p) {
            tcp_recved(pcb, p->tot_len);
            pbuf_free(p);
        }
        return ERR_OK;
    }
    t = tcp_sock(k->s);
    if (p) {
        stack_rx_add(k, p);
        if (stack_tcp_readable(t))
            socket_wake_read(k->s);
        return ERR_OK;
    }
    t->fin = true;
    k->s->shut |= SHUT_RECV;
    if (t->state == TCP_STATE_ESTABLISHED) {
        t->state = TCP_STATE_CLOSE_WAIT;
    } else { /* both ends have said it */
        t->state = TCP_STATE_CLOSE;
        k->s->shut = SHUT_MASK;
    }
    socket_wake_event(k->s, k->s->shut == SHUT_MASK ? POLL_HUP : POLL_IN);
    settle(k, pcb);
    return ERR_OK;
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t n)
{
    struct stack_sock *k = arg;

    if (!k)
        return ERR_OK;
    stack_tx_acked(k, n);
    if (k->s && tcp_sock(k->s)->want_space && stack_tcp_writable(tcp_sock(k->s))) {
        tcp_sock(k->s)->want_space = false;
        socket_wake_write(k->s);
    }
    if (k->s && k->tx_len == 0 && k->s->opt.linger)
        wait_wake_all(&k->s->write_wait, 0); /* close(2) may wait for it */
    settle(k, pcb);
    return ERR_OK;
}

/* The connection has ended in another way than both sides' saying so; the pcb is gone already. */
static void on_error(void *arg, err_t err)
{
    struct stack_sock *k = arg;
    struct tcp_sock *t;
    int error = -stack_errno(err);

    if (!k)
        return;
    if (k->s) {
        t = tcp_sock(k->s);
        if (t->state == TCP_STATE_SYN_SENT && err == ERR_RST)
            error = ECONNREFUSED;
        if (t->state == TCP_STATE_CLOSE_WAIT && err == ERR_RST)
            error = EPIPE;
        if (err == ERR_CLSD)
            error = 0;
        t->state = TCP_STATE_CLOSE;
        k->s->shut = SHUT_MASK;
        if (error && !(t->fin && err == ERR_CLSD))
            k->s->error = error;
        socket_wake_event(k->s, POLL_ERR);
    }
    gone(k);
}

static err_t on_connected(void *arg, struct tcp_pcb *pcb UNUSED, err_t err UNUSED)
{
    struct stack_sock *k = arg;

    if (!k || !k->s)
        return ERR_OK;
    tcp_sock(k->s)->state = TCP_STATE_ESTABLISHED;
    socket_wake_event(k->s, POLL_OUT);
    return ERR_OK;
}

static void attach(struct stack_sock *k, struct tcp_pcb *pcb)
{
    k->tcp = pcb;
    tcp_arg(pcb, k);
    tcp_recv(pcb, on_recv);
    tcp_sent(pcb, on_sent);
    tcp_err(pcb, on_error);
}

/* --- life --- */

static struct tcp_pcb *new_pcb(const struct tcp_sock *t)
{
    struct tcp_pcb *pcb = tcp_new_ip_type(t->i.s.family == AF_INET ? IPADDR_TYPE_V4 : IPADDR_TYPE_ANY);

    if (pcb)
        ip_set_option(pcb, SOF_REUSEADDR);
    return pcb;
}

static struct stack_sock *take_over(struct socket *s)
{
    struct stack_sock *k = kzalloc(sizeof(*k));

    if (!k)
        return NULL;
    k->s = s;
    inet_sock(s)->stack = k;
    s->ops = &stack_tcp_ops;
    return k;
}

int stack_tcp_adopt(struct socket *s)
{
    if (s->listening)
        return -EOPNOTSUPP;
    return take_over(s) ? 0 : -ENOBUFS;
}

/* lwIP walks through all connections for each segment: those that only wait for stray ones must not become many. */
static void trim_time_wait(void)
{
    struct tcp_pcb *pcb = tcp_tw_pcbs, *next; /* the latest comes first */

    for (unsigned n = 0; pcb && n < TIME_WAIT_MAX; n++)
        pcb = pcb->next;
    for (; pcb; pcb = next) {
        next = pcb->next;
        tcp_abort(pcb); /* says nothing to the peer in this state */
    }
}

/* Linux resets a connection whose data hasn't been read, and one with SO_LINGER and no time (tcp(7), RFC 2525 2.17). */
static void stack_release(struct socket *s)
{
    struct tcp_sock *t = tcp_sock(s);
    struct stack_sock *k = stack_of(t);
    bool abort = k->rx_len > 0 || (s->opt.linger && s->opt.linger_seconds == 0);
    struct tcp_pcb *pcb;

    if (s->opt.linger && !abort && k->tcp) {
        stack_tcp_flush(k);
        wait_until(&s->write_wait, k->tx_len == 0 || !k->tcp,
                   deadline_after((uint64_t)(uint32_t)s->opt.linger_seconds * NSEC_PER_SEC), true);
    }
    pcb = k->tcp;
    t->state = TCP_STATE_CLOSE;
    t->i.stack = NULL;
    inet_release_port(&t->i);
    k->s = NULL;
    stack_rx_purge(k);
    if (!pcb) {
        free_half(k);
        return;
    }
    if (abort) {
        detach(pcb);
        tcp_abort(pcb);
        free_half(k);
    } else {
        if (k->tx_len == 0) {
            detach(pcb);
            free_half(k);
        }
        if (tcp_close(pcb) != ERR_OK) /* no memory even for that */
            tcp_abort(pcb);
    }
    trim_time_wait();
    stack_done();
}

/* --- names --- */

static int stack_bind(struct socket *s UNUSED, const struct net_addr *addr UNUSED)
{
    return -EINVAL; /* it is connected, or was */
}

static int stack_getname(struct socket *s, struct net_addr *ret, bool peer)
{
    struct tcp_sock *t = tcp_sock(s);

    return inet_getname(s, ret, t->state != TCP_STATE_CLOSE && t->state != TCP_STATE_SYN_SENT, peer);
}

/* --- connecting --- */

static int disconnect(struct tcp_sock *t)
{
    struct stack_sock *k = stack_of(t);
    struct socket *s = &t->i.s;
    struct tcp_pcb *pcb = k->tcp;

    k->tcp = NULL;
    if (pcb) {
        detach(pcb);
        tcp_abort(pcb);
        stack_done();
    }
    stack_rx_purge(k);
    stack_tx_purge(k);
    t->state = TCP_STATE_CLOSE;
    t->connecting = t->fin = false;
    s->shut = 0;
    s->error = 0;
    inet_forget_binding(&t->i);
    socket_wake_state(s);
    return 0;
}

static int bind_pcb(struct tcp_sock *t, struct tcp_pcb *pcb)
{
    ip_addr_t local;

    if (inet_is_any(t->i.local.addr))
        return tcp_bind(pcb, t->i.s.family == AF_INET ? IP4_ADDR_ANY : IP_ANY_TYPE, t->i.local.port);
    addr_to_lwip(t->i.local.addr, &local);
    return tcp_bind(pcb, &local, t->i.local.port);
}

static int start(struct tcp_sock *t, const struct inet_end *to)
{
    struct stack_sock *k = stack_of(t);
    struct tcp_pcb *pcb;
    ip_addr_t remote;
    int err = inet_autobind(&t->i);

    if (err < 0)
        return -EADDRNOTAVAIL;
    pcb = new_pcb(t);
    if (!pcb)
        return -ENOBUFS;
    attach(k, pcb);
    addr_to_lwip(to->addr, &remote);
    err = stack_errno(bind_pcb(t, pcb));
    if (err == 0) {
        stack_apply_options(&t->i.s);
        t->i.remote = *to;
        t->i.s.shut = 0;
        t->state = TCP_STATE_SYN_SENT;
        err = stack_errno(tcp_connect(pcb, &remote, to->port, on_connected));
    }
    if (err < 0) {
        t->state = TCP_STATE_CLOSE;
        k->tcp = NULL;
        detach(pcb);
        tcp_abort(pcb);
        return err == -EINVAL ? -ENETUNREACH : err;
    }
    addr_from_lwip(&pcb->local_ip, t->i.local.addr);
    return 0;
}

static int stack_connect(struct socket *s, const struct net_addr *addr, bool nonblock)
{
    struct tcp_sock *t = tcp_sock(s);
    uint64_t deadline_ns = socket_deadline(s->opt.send_timeout_ns, nonblock);
    struct inet_end to;
    int err;

    if (addr->len < sizeof(addr->family))
        return -EINVAL;
    if (addr->family == AF_UNSPEC)
        return disconnect(t);
    stack_look();
    if (t->connecting) {
        err = t->state == TCP_STATE_SYN_SENT ? -EALREADY : 0;
        return err < 0 && nonblock ? err : tcp_wait_connected(t, deadline_ns, disconnect);
    }
    if (t->state != TCP_STATE_CLOSE)
        return -EISCONN;
    err = inet_read_addr(&t->i, addr, &to);
    if (err == 0 && (inet_is_any(to.addr) || inet_is_inside(to.addr)))
        return -ENETUNREACH; /* once outside, always outside */
    if (err == 0)
        err = start(t, &to);
    if (err < 0) {
        inet_forget_binding(&t->i);
        return err;
    }
    t->connecting = true;
    stack_done();
    return nonblock ? -EINPROGRESS : tcp_wait_connected(t, deadline_ns, disconnect);
}

static int stack_listen(struct socket *s UNUSED, int backlog UNUSED)
{
    return -EINVAL;
}

static int stack_shutdown(struct socket *s, int how)
{
    struct tcp_sock *t = tcp_sock(s);
    struct stack_sock *k = stack_of(t);

    switch (t->state) {
    case TCP_STATE_CLOSE:
        s->shut |= (uint32_t)how + 1;
        socket_wake_state(s);
        return -ENOTCONN;
    case TCP_STATE_SYN_SENT:
        return disconnect(t);
    default:
        break;
    }
    s->shut |= (uint32_t)how + 1;
    if (s->shut & SHUT_SEND && k->tcp) { /* SHUT_RD alone has no effect on the wire, and what still comes can be read, as on Linux */
        tcp_shutdown(k->tcp, 0, 1);
        if (t->state == TCP_STATE_ESTABLISHED)
            t->state = TCP_STATE_FIN_WAIT2;
        stack_done();
    }
    socket_wake_state(s);
    return 0;
}

/* --- listening: a pcb of the stack's beside a socket of tcp.c's, before whose accept(2) connections are put --- */

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
    struct stack_sock *l = arg;
    struct tcp_sock *listener, *embryo;
    struct stack_sock *k;

    if (!pcb || err != ERR_OK || !l || !l->s)
        return ERR_VAL;
    listener = tcp_sock(l->s);
    embryo = tcp_embryo(listener);
    k = embryo ? take_over(&embryo->i.s) : NULL;
    if (!k) {
        if (embryo)
            socket_put(&embryo->i.s);
        return ERR_MEM; /* the stack resets it */
    }
    attach(k, pcb);
    addr_from_lwip(&pcb->local_ip, embryo->i.local.addr);
    addr_from_lwip(&pcb->remote_ip, embryo->i.remote.addr);
    embryo->i.local.port = pcb->local_port;
    embryo->i.remote.port = pcb->remote_port;
    embryo->state = TCP_STATE_ESTABLISHED;
    inet_add_port(&embryo->i);
    stack_apply_options(&embryo->i.s);
    if (tcp_accepts_full(listener)) {
        k->delayed = true;
        tcp_backlog_delayed(pcb);
    }
    tcp_offer(listener, embryo);
    return ERR_OK;
}

/* accept(2) has taken one: another that waited beyond the backlog counts no more for the stack. */
static void admit(struct tcp_sock *listener)
{
    struct tcp_sock *t;

    list_for_each(t, &listener->accepts, accept_node) {
        struct stack_sock *k = stack_of(t);

        if (k && k->delayed) {
            k->delayed = false;
            if (k->tcp)
                tcp_backlog_accepted(k->tcp);
            return;
        }
    }
}

void stack_tcp_listening(struct socket *s)
{
    struct tcp_sock *t = tcp_sock(s);
    struct tcp_pcb *pcb, *listening;
    struct stack_sock *k;

    if (t->i.stack) {
        admit(t);
        return;
    }
    k = kzalloc(sizeof(*k));
    pcb = k ? new_pcb(t) : NULL;
    if (!pcb) {
        kfree(k);
        return;
    }
    if (t->i.options[OPT_V6_ONLY])
        IP_SET_TYPE_VAL(pcb->local_ip, IPADDR_TYPE_V6);
    listening = bind_pcb(t, pcb) == ERR_OK ? tcp_listen_with_backlog(pcb, BACKLOG) : NULL;
    if (!listening) { /* another has the port (SO_REUSEPORT): that one gets what comes */
        tcp_abort(pcb);
        kfree(k);
        return;
    }
    k->s = s;
    k->tcp = listening;
    t->i.stack = k;
    tcp_arg(listening, k);
    tcp_accept(listening, on_accept);
}

void stack_tcp_unlisten(struct socket *s)
{
    struct stack_sock *k = inet_sock(s)->stack;

    if (!k)
        return;
    inet_sock(s)->stack = NULL;
    tcp_arg(k->tcp, NULL);
    tcp_close(k->tcp);
    kfree(k);
}

/* --- readiness --- */

static uint32_t stack_poll(struct socket *s)
{
    struct tcp_sock *t = tcp_sock(s);
    uint32_t events = 0;

    if (!stack_of(t))
        return EPOLLHUP;
    if (s->shut == SHUT_MASK || t->state == TCP_STATE_CLOSE)
        events |= EPOLLHUP;
    if (s->shut & SHUT_RECV)
        events |= EPOLLIN | EPOLLRDNORM | EPOLLRDHUP;
    if (t->state != TCP_STATE_SYN_SENT) {
        if (stack_tcp_readable(t))
            events |= EPOLLIN | EPOLLRDNORM;
        if ((s->shut & SHUT_SEND) || t->state == TCP_STATE_CLOSE || stack_tcp_writable(t))
            events |= EPOLLOUT | EPOLLWRNORM;
        else
            t->want_space = true;
    }
    return events | (s->error ? EPOLLERR : 0u);
}

static long stack_ioctl(struct socket *s, uint32_t cmd, uaddr_t arg)
{
    struct stack_sock *k = inet_sock(s)->stack;
    int value;

    stack_look();
    switch (cmd) {
    case FIONREAD:
        value = (int)k->rx_len;
        break;
    case TIOCOUTQ:
    case SIOCOUTQNSD:
        value = (int)k->tx_len;
        break;
    case SIOCATMARK:
        value = 0; /* the stack takes urgent data as all others */
        break;
    default:
        return -ENOIOCTLCMD;
    }
    return put_user(value, arg);
}

static void stack_option_set(struct socket *s, int name)
{
    if (name == SO_RCVLOWAT && (stack_tcp_readable(tcp_sock(s)) || tcp_sock(s)->fin))
        socket_wake_read(s);
    stack_apply_options(s);
}

static const struct socket_ops stack_tcp_ops = {
    .bind = stack_bind,
    .connect = stack_connect,
    .listen = stack_listen,
    .getname = stack_getname,
    .send = stack_tcp_send,
    .recv = stack_tcp_recv,
    .poll = stack_poll,
    .shutdown = stack_shutdown,
    .ioctl = stack_ioctl,
    .setsockopt = stack_setsockopt,
    .getsockopt = stack_getsockopt,
    .option_set = stack_option_set,
    .release = stack_release,
};
