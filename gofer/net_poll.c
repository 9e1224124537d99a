/* What the host says of its sockets. Edge-triggered, and registered once: a warm socket costs no epoll_ctl(2). */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "gofer/net.h"

#define EVENTS_MAX 64

static int take_error(const struct net_socket *s)
{
    int err = 0;
    socklen_t size = sizeof(err);

    return getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &size) < 0 ? errno : err;
}

/* A connect has come to its end, one way or the other. */
static void end_connect(struct net *net, struct net_socket *s)
{
    int err = take_error(s);

    if (!err) {
        net_connected(net, s);
        return;
    }
    s->connecting = false;
    net_set_error(net, s, err);
    net_set_state(net, s, NET_HUP, 0);
}

static void on_error(struct net *net, struct net_socket *s)
{
    uint32_t number = s->number;
    bool queued = s->errors_wanted && net_datagram_errors(net, s);
    int err;

    if (net->sockets[number] != s)
        return;
    err = take_error(s); /* 0: a read or write has told it already */
    if (queued)
        return; /* and what is in the queue tells itself */

    net_set_error(net, s, err);
    if (err && !s->datagram)
        net_set_state(net, s, NET_NO_SEND | (s->ended ? NET_HUP | NET_EOF : 0), 0);
}

static void on_socket(struct net *net, struct net_socket *s, uint32_t events)
{
    uint32_t number = s->number;

    if (s->own_dns && !s->datagram)
        return; /* nobody is behind it */
    if (!s->datagram && !s->connecting && !s->connected && !s->listening)
        return; /* a new stream socket shows EPOLLHUP */
    if (s->connecting) {
        if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
            return;
        end_connect(net, s);
    }
    if (events & EPOLLPRI) {
        s->urgent = true;
        net_set_state(net, s, NET_URGENT, 0);
    }
    if (events & (EPOLLRDHUP | EPOLLHUP))
        s->peer_ended = true;
    if (events & EPOLLHUP)
        s->hung_up = true;
    /* Data that came before a reset is still there to be read; the read gives the error then. */
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
        net_receive_some(net, s);
    s = net->sockets[number];
    if (s && events & EPOLLERR)
        on_error(net, s);
    s = net->sockets[number];
    if (s && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
        s->tx_blocked = false;
        net_send_some(net, s);
    }
    s = net->sockets[number];
    if (s && s->hung_up && s->ended)
        net_set_state(net, s, NET_HUP, 0);
}

bool net_look(struct net *net)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(net->epoll_fd, events, EVENTS_MAX, 0);

    for (int i = 0; i < n; i++) {
        uint64_t number = events[i].data.u64;

        if (number == NET_SOCKET_MAX) {
            net_routes_take_changes(&net->routes);
            net->epoch++;
        } else if (net->sockets[number]) { /* an earlier event of this batch may have ended it */
            on_socket(net, net->sockets[number], events[i].events);
        }
    }
    net_tell(net);
    if (n > 0)
        net->napping = false;
    return n > 0;
}
