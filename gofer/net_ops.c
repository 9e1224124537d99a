/* The messages about sockets (hypercalls/p9.h, Tn…). Data goes by rings; see net.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"
#include "gofer/engine.h"
#include "gofer/net.h"

#define OPTION_SIZE_MAX 512
#define BACKLOG_MAX 4096u

static int find(const struct engine *e, uint32_t number, struct net **ret_net, struct net_socket **ret)
{
    struct net *net = e->config.net;

    if (!net)
        return -EOPNOTSUPP;
    if (number >= NET_SOCKET_MAX || !net->sockets[number] || net->sockets[number]->closing)
        return -EBADF;
    *ret_net = net;
    *ret = net->sockets[number];
    return 0;
}

static void get_end(struct p9_cursor *c, struct net_end *end)
{
    const uint8_t *addr = p9_take(c, 16);

    *end = (struct net_end){ 0 };
    if (addr)
        memcpy(end->addr, addr, 16);
    end->scope = p9_get32(c);
    end->port = p9_get16(c);
    end->family = p9_get16(c);
}

static void put_end(struct p9_cursor *c, const struct net_end *end)
{
    p9_put_bytes(c, end->addr, 16);
    p9_put32(c, end->scope);
    p9_put16(c, end->port);
    p9_put16(c, end->family);
}

static bool ring_is_good(const struct net *net, uint32_t offset, uint32_t size, bool datagram)
{
    if (size < (datagram ? NET_RECORD_RING_MIN : NET_RING_MIN) || size > NET_RING_MAX || size & (size - 1))
        return false;
    return offset % NET_RING_MIN == 0 && offset <= net->rings_size && size <= net->rings_size - offset;
}

static int get_rings(const struct net *net, struct p9_cursor *c, struct net_socket *s)
{
    struct net_ring *const rings[] = { &s->tx, &s->rx };

    for (unsigned i = 0; i < 2; i++) {
        uint32_t offset = p9_get32(c), size = p9_get32(c);

        if (c->bad || !ring_is_good(net, offset, size, s->datagram))
            return -EINVAL;
        *rings[i] = (struct net_ring){ net->rings + offset, size };
    }
    return 0;
}

int op_nsocket(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    uint16_t family = p9_get16(&rq->in), type = p9_get16(&rq->in), protocol = p9_get16(&rq->in);
    struct net_socket model = { .family = family, .datagram = type == SOCK_DGRAM }, *s;
    int fd, err;

    if (!e->config.net)
        return -EOPNOTSUPP;
    err = get_rings(e->config.net, &rq->in, &model);
    if (err || (err = request_end(rq)))
        return err;
    if (family != AF_INET && family != AF_INET6)
        return -EAFNOSUPPORT;
    if (type != SOCK_STREAM && type != SOCK_DGRAM)
        return -EPROTONOSUPPORT;
    model.echo = type == SOCK_DGRAM && protocol == (family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);
    if (protocol && !model.echo && protocol != (type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP))
        return -EPROTONOSUPPORT;
    if (model.echo && !e->config.net->config.plan->outgoing)
        return -EACCES;
    fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, model.echo ? protocol : 0);
    return fd < 0 ? -errno : net_add(e->config.net, number, fd, &model, &s);
}

static int dissolve(struct net_socket *s)
{
    struct sockaddr none = { .sa_family = AF_UNSPEC };

    if (!s->datagram)
        return -EAFNOSUPPORT;
    s->connected = s->own_dns = false;
    return connect(s->fd, &none, sizeof(none)) < 0 ? -errno : 0;
}

int op_nconnect(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    struct net_target target;
    struct net_end end;
    struct net_socket *s;
    struct net *net;
    int err;

    get_end(&rq->in, &end);
    err = request_end(rq);
    if (err || (err = find(e, number, &net, &s)))
        return err;
    if (s->listening || s->publish)
        return -EOPNOTSUPP;
    if (s->connecting)
        return -EALREADY;
    if (!s->datagram && s->connected)
        return -EISCONN;
    if (!end.family)
        return dissolve(s);
    err = net_check(net, s, &end, &target);
    if (err)
        return err;
    s->own_dns = target.own_dns;
    s->checked = end;
    s->connected = s->datagram;
    if (target.own_dns) {
        if (!s->datagram)
            net_connected(net, s);
        return 0;
    }
    if (connect(s->fd, &target.sa.any, target.size) == 0) {
        if (!s->datagram)
            net_connected(net, s);
        return 0;
    }
    err = -errno;
    if (err == -EINPROGRESS)
        s->connecting = true;
    else
        s->connected = false;
    return err;
}

/*
 * A source address and port. That the port is another's or needs a privilege is an error only where the guest's app asked for just this
 * address (NET_BIND_EXACT).
 */
int op_nbind(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in), flags;
    struct net_target target;
    struct net_end end;
    union net_sockaddr sa;
    socklen_t size = sizeof(sa);
    struct net_socket *s;
    struct net *net;
    int err;

    get_end(&rq->in, &end);
    flags = p9_get32(&rq->in);
    err = request_end(rq);
    if (err || (err = find(e, number, &net, &s)))
        return err;
    if (s->listening || s->publish || s->connected || s->connecting || s->own_dns)
        return -EINVAL;
    err = net_check_local(net, s, &end, &target);
    if (err)
        return err;
    if (s->datagram && !s->echo && end.port && net_know(s, NET_KNOWN_BOUND))
        return -ENOMEM;
    if (bind(s->fd, &target.sa.any, target.size) == 0)
        s->bound |= s->known != NULL;
    else if (flags & NET_BIND_EXACT)
        return -errno;
    if (getsockname(s->fd, &sa.any, &size) < 0)
        return -errno;
    net_show(net, &sa, &end);
    put_end(&rq->out, &end);
    return 0;
}

static const struct net_publish *find_published(const struct net *net, uint16_t port, const struct net_socket *s)
{
    for (size_t i = 0; i < net->config.plan->publish_count; i++) {
        const struct net_publish *p = &net->config.plan->publish[i];

        if (p->port == port && p->datagram == s->datagram)
            return p;
    }
    return NULL;
}

static bool is_taken(const struct net *net, const struct net_publish *p, const struct net_socket *except)
{
    for (size_t i = 0, left = net->count; i < NET_SOCKET_MAX && left; i++) {
        const struct net_socket *s = net->sockets[i];

        if (s && s != except && s->publish == p)
            return true;
        left -= s != NULL;
    }
    return false;
}

/* The socket becomes the published one: its own descriptor gives way to a duplicate of that. */
static int take_published(struct net *net, struct net_socket *s, const struct net_publish *p)
{
    struct net_socket model = *s;
    uint32_t number = s->number;
    int fd = fcntl(p->fd, F_DUPFD_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    model.known = NULL;
    model.bound = false;
    if (s->datagram && net_know(&model, NET_KNOWN_PUBLISHED)) {
        close(fd);
        return -ENOMEM;
    }
    model.publish = p;
    model.ready = false;
    net_remove(net, s);
    return net_add(net, number, fd, &model, &s);
}

int op_nlisten(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    uint16_t port = p9_get16(&rq->in);
    uint32_t backlog = p9_get32(&rq->in);
    const struct net_publish *p;
    union net_sockaddr sa;
    socklen_t size = sizeof(sa);
    struct net_end end;
    struct net_socket *s;
    struct net *net;
    int err = request_end(rq);

    if (err || (err = find(e, number, &net, &s)))
        return err;
    if (s->connected || s->connecting)
        return -EINVAL;
    p = find_published(net, port, s);
    if (!p)
        return -EADDRNOTAVAIL;
    if (is_taken(net, p, s))
        return -EADDRINUSE;
    if (!s->publish && (err = take_published(net, s, p)))
        return err;
    s = net->sockets[number];
    if (!s->datagram && listen(s->fd, (int)(backlog < BACKLOG_MAX ? backlog : BACKLOG_MAX)) < 0)
        return -errno;
    s->listening = !s->datagram;
    if (getsockname(s->fd, &sa.any, &size) < 0)
        return -errno;
    net_show(net, &sa, &end);
    put_end(&rq->out, &end);
    net_receive_some(net, s);
    return 0;
}

static void put_names(const struct net *net, const struct net_socket *s, struct p9_cursor *out)
{
    for (int peer = 0; peer < 2; peer++) {
        struct net_end end = { 0 };
        union net_sockaddr sa;
        socklen_t size = sizeof(sa);

        if ((peer ? getpeername : getsockname)(s->fd, &sa.any, &size) == 0)
            net_show(net, &sa, &end);
        if (peer && s->own_dns)
            end = s->checked;
        put_end(out, &end);
    }
}

int op_naccept(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in), new_number = p9_get32(&rq->in);
    struct net_socket model = { .connected = true, .state = NET_CONNECTED };
    struct net_socket *s, *new_socket;
    struct net *net;
    int fd, err;

    if (!e->config.net)
        return -EOPNOTSUPP;
    err = get_rings(e->config.net, &rq->in, &model);
    if (err || (err = request_end(rq)) || (err = find(e, number, &net, &s)))
        return err;
    if (!s->listening)
        return -EINVAL;
    if (s->waiting_fd < 0)
        return -EAGAIN;
    model.family = s->waiting_peer.any.sa_family;
    fd = fd_take(&s->waiting_fd);
    net_set_state(net, s, 0, NET_ACCEPT);
    err = net_add(net, new_number, fd, &model, &new_socket);
    if (!err)
        put_names(net, new_socket, &rq->out);
    net_accept_some(net, s);
    return err;
}

int op_ncheck(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    struct net_target target;
    struct net_end end;
    struct net_socket *s;
    struct net *net;
    int err;

    get_end(&rq->in, &end);
    err = request_end(rq);
    return err || (err = find(e, number, &net, &s)) ? err : net_check(net, s, &end, &target);
}

static int send_urgent(struct net *net, struct net_socket *s, uint8_t byte)
{
    uint32_t number = s->number;

    net_send_some(net, s);
    if (net->sockets[number] != s)
        return -EPIPE;
    if (net_tx_used(net, s) != 0)
        return -EAGAIN;
    return send(s->fd, &byte, 1, MSG_OOB | MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int op_noob(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    uint8_t sending = p9_get8(&rq->in), byte = p9_get8(&rq->in);
    struct net_socket *s;
    struct net *net;
    ssize_t n;
    int err = request_end(rq);

    if (err || (err = find(e, number, &net, &s)))
        return err;
    if (s->datagram)
        return -EOPNOTSUPP;
    if (!s->connected)
        return sending ? -EPIPE : -EINVAL;
    if (sending) {
        err = send_urgent(net, s, byte);
        if (err)
            return err;
    } else {
        n = recv(s->fd, &byte, 1, MSG_OOB | MSG_DONTWAIT);
        if (n <= 0)
            return n < 0 ? -errno : -EINVAL;
        net_set_state(net, s, 0, NET_URGENT);
        net_receive_some(net, s); /* reading stopped there */
    }
    p9_put8(&rq->out, byte);
    return 0;
}

int op_nsetopt(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in), level = p9_get32(&rq->in), name = p9_get32(&rq->in);
    struct p9_str value = p9_get_str(&rq->in);
    _Alignas(8) uint8_t copy[OPTION_SIZE_MAX];
    struct net_socket *s;
    struct net *net;
    int err = request_end(rq);

    if (err || (err = find(e, number, &net, &s)))
        return err;
    if (value.len > sizeof(copy))
        return -EINVAL;
    memcpy(copy, value.data, value.len);
    net_send_some(net, s); /* what was sent before goes out as it would have (TCP_CORK, TCP_NODELAY) */
    if (net->sockets[number] != s)
        return -EPIPE;
    return net_set_option(s, (int)level, (int)name, copy, value.len);
}

int op_ngetopt(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in), level = p9_get32(&rq->in), name = p9_get32(&rq->in);
    uint16_t wanted = p9_get16(&rq->in);
    _Alignas(8) char value[OPTION_SIZE_MAX];
    socklen_t size = wanted < sizeof(value) ? wanted : sizeof(value);
    struct net_socket *s;
    struct net *net;
    int err = request_end(rq);

    if (!err)
        err = find(e, number, &net, &s);
    if (!err)
        err = net_get_option(s, (int)level, (int)name, value, &size);
    if (!err)
        p9_put_str(&rq->out, value, size);
    return err;
}

int op_nshutdown(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    uint8_t how = p9_get8(&rq->in);
    struct net_socket *s;
    struct net *net;
    int err = request_end(rq);

    if (err || (err = find(e, number, &net, &s)))
        return err;
    if (how > SHUT_RDWR)
        return -EINVAL;
    if (s->listening || !s->connected)
        return -ENOTCONN;
    if (how != SHUT_WR && !s->own_dns && shutdown(s->fd, SHUT_RD) < 0)
        return -errno;
    if (how != SHUT_RD) {
        s->shut_wanted = true;
        net_send_some(net, s);
    }
    return 0;
}

int op_nname(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    struct net_socket *s;
    struct net *net;
    int err = request_end(rq);

    if (err || (err = find(e, number, &net, &s)))
        return err;
    put_names(net, s, &rq->out);
    return 0;
}

int op_nclose(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in), flags = p9_get32(&rq->in);
    struct net_socket *s;
    struct net *net;
    int err = request_end(rq);

    if (err || (err = find(e, number, &net, &s)))
        return err;
    if (flags & NET_CLOSE_ABORT)
        net_reset(s);
    else if (s->connected && !s->own_dns && net_tx_used(net, s) > 0) {
        net_start_close(net, s);
        if (!s->tx_blocked)
            net_send_some(net, s);
        return net->sockets[number] ? -EINPROGRESS : 0;
    }
    net_remove(net, s);
    return 0;
}
