/*
 * Options of sockets that lead out. The shim keeps all of them, as for those inside, and tells the host of those that act there; what only
 * the host knows is asked for.
 */
#include <linux/tcp.h>

#include "drivers/ring.h"
#include "lib/string.h"
#include "net/gofer.h"

static const struct told {
    int level, name;
    enum inet_option index;
} told[] = {
    { IPPROTO_TCP, TCP_NODELAY, OPT_TCP_NODELAY },
    { IPPROTO_TCP, TCP_KEEPIDLE, OPT_TCP_KEEPIDLE },
    { IPPROTO_TCP, TCP_KEEPINTVL, OPT_TCP_KEEPINTVL },
    { IPPROTO_TCP, TCP_KEEPCNT, OPT_TCP_KEEPCNT },
    { IPPROTO_TCP, TCP_SYNCNT, OPT_TCP_SYNCNT },
    { IPPROTO_TCP, TCP_LINGER2, OPT_TCP_LINGER2 },
    { IPPROTO_TCP, TCP_MAXSEG, OPT_TCP_MAXSEG },
    { IPPROTO_TCP, TCP_DEFER_ACCEPT, OPT_TCP_DEFER_ACCEPT },
    { IPPROTO_TCP, TCP_QUICKACK, OPT_TCP_QUICKACK },
    { IPPROTO_TCP, TCP_USER_TIMEOUT, OPT_TCP_USER_TIMEOUT },
    { IPPROTO_TCP, TCP_NOTSENT_LOWAT, OPT_TCP_NOTSENT_LOWAT },
    { IPPROTO_IP, IP_TOS, OPT_IP_TOS },
    { IPPROTO_IP, IP_TTL, OPT_IP_TTL },
    { IPPROTO_IP, IP_MTU_DISCOVER, OPT_IP_MTU_DISCOVER },
    { IPPROTO_IP, IP_PKTINFO, OPT_IP_PKTINFO },
    { IPPROTO_IP, IP_RECVTTL, OPT_IP_RECVTTL },
    { IPPROTO_IP, IP_RECVTOS, OPT_IP_RECVTOS },
    { IPPROTO_IP, IP_RECVERR, OPT_IP_RECVERR },
    { IPPROTO_IPV6, IPV6_UNICAST_HOPS, OPT_V6_HOPS },
    { IPPROTO_IPV6, IPV6_TCLASS, OPT_V6_TCLASS },
    { IPPROTO_IPV6, IPV6_V6ONLY, OPT_V6_ONLY },
    { IPPROTO_IPV6, IPV6_MTU_DISCOVER, OPT_V6_MTU_DISCOVER },
    { IPPROTO_IPV6, IPV6_RECVPKTINFO, OPT_V6_PKTINFO },
    { IPPROTO_IPV6, IPV6_RECVHOPLIMIT, OPT_V6_RECVHOPS },
    { IPPROTO_IPV6, IPV6_RECVTCLASS, OPT_V6_RECVTCLASS },
    { IPPROTO_IPV6, IPV6_RECVERR, OPT_V6_RECVERR },
};

static const struct told *find(int level, int name)
{
    for (size_t i = 0; i < ARRAY_SIZE(told); i++)
        if (told[i].level == level && told[i].name == name)
            return &told[i];
    return NULL;
}

/* A datagram's options are its own: the host must have them before the next is sent. A stream's needn't be waited for. */
static void tell(const struct outside_sock *o, int level, int name, int value)
{
    struct ring_request *rq = outside_request(P9_Tnsetopt, o);

    p9_put32(&rq->out, (uint32_t)level);
    p9_put32(&rq->out, (uint32_t)name);
    p9_put_str(&rq->out, (const char *)&value, sizeof(value));
    if (o->s && o->s->type == SOCK_DGRAM)
        outside_call(rq);
    else
        outside_post(rq);
}

int gofer_setsockopt(struct socket *s, int level, int name, const void *value, uint32_t len)
{
    const struct inet_sock *i = inet_sock(s);
    const struct told *t = find(level, name);
    int err = inet_setsockopt(s, level, name, value, len);

    if (err == 0 && i->outside && level == IPPROTO_TCP && (name == TCP_CORK || name == TCP_NODELAY) &&
        !i->options[OPT_TCP_CORK])
        outside_flush(i->outside);
    if (err == 0 && t && i->outside)
        tell(i->outside, level, name, i->options[t->index]);
    return err;
}

static bool is_asked(int level, int name)
{
    return (level == IPPROTO_TCP && (name == TCP_INFO || name == TCP_MAXSEG || name == TCP_CONGESTION)) ||
           (level == IPPROTO_IP && name == IP_MTU) || (level == IPPROTO_IPV6 && name == IPV6_MTU);
}

int gofer_getsockopt(struct socket *s, int level, int name, void *buf, uint32_t *len)
{
    const struct outside_sock *o = inet_sock(s)->outside;
    struct ring_request *rq;
    struct p9_str value;
    long err;

    if (!is_asked(level, name) || !o)
        return inet_getsockopt(s, level, name, buf, len);
    rq = outside_request(P9_Tngetopt, o);
    p9_put32(&rq->out, (uint32_t)level);
    p9_put32(&rq->out, (uint32_t)name);
    p9_put16(&rq->out, (uint16_t)MIN(*len, OPTION_MAX));
    err = ring_call(rq);
    if (err == 0) {
        value = p9_get_str(&rq->in);
        err = rq->in.bad ? -EIO : option_put(buf, len, value.data, value.len);
    }
    ring_put(rq);
    return (int)err;
}

void gofer_option_set(struct socket *s, int name)
{
    const struct outside_sock *o = inet_sock(s)->outside;
    int value;

    if (!o)
        return;
    switch (name) {
    case SO_KEEPALIVE:
        value = s->opt.keepalive;
        break;
    case SO_OOBINLINE:
        value = s->opt.oobinline;
        break;
    case SO_PRIORITY:
        value = s->opt.priority;
        break;
    case SO_SNDBUF:
        value = (int)s->opt.sndbuf / 2; /* both we and the host double it */
        break;
    case SO_RCVBUF:
        value = (int)s->opt.rcvbuf / 2;
        break;
    case SO_REUSEADDR:
        value = s->opt.reuseaddr;
        break;
    case SO_TIMESTAMP_OLD:
    case SO_TIMESTAMPNS_OLD:
        if (s->type != SOCK_DGRAM)
            return;
        name = SO_TIMESTAMPNS_OLD;
        value = s->opt.timestamp;
        break;
    default:
        return;
    }
    tell(o, SOL_SOCKET, name, value);
}

void gofer_send_options(struct socket *s)
{
    static struct inet_sock initial;
    const struct inet_sock *i = inet_sock(s);

    if (!initial.options[OPT_IP_TTL])
        inet_options_init(&initial);
    for (size_t n = 0; n < ARRAY_SIZE(told); n++) {
        int value = i->options[told[n].index];

        if (value != initial.options[told[n].index])
            tell(i->outside, told[n].level, told[n].name, value);
    }
    if (s->opt.keepalive)
        gofer_option_set(s, SO_KEEPALIVE);
    if (s->opt.oobinline)
        gofer_option_set(s, SO_OOBINLINE);
    if (s->opt.priority)
        gofer_option_set(s, SO_PRIORITY);
    if (s->opt.reuseaddr)
        gofer_option_set(s, SO_REUSEADDR);
    if (s->opt.timestamp)
        gofer_option_set(s, SO_TIMESTAMPNS_OLD);
    if (s->opt.sndbuf_set)
        gofer_option_set(s, SO_SNDBUF);
}
