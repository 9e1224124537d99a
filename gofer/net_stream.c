/* Streams: bytes between rings and the host's sockets, connections, listening. See net.h. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gofer/net.h"

#define TURN_MAX (512u << 10) /* bytes each way before others get their turn */

/* Nothing can be sent any more: what is in the ring, and what comes, is thrown away, as a reset connection does. */
static void stop_sending(struct net *net, struct net_socket *s, int err)
{
    uint32_t tail = s->tx_head + (uint32_t)net_tx_used(net, s);

    s->tx_head = tail;
    if (err != EPIPE)
        net_set_error(net, s, err);
    net_set_state(net, s, NET_NO_SEND | (err == EPIPE ? 0 : NET_EOF | NET_HUP), 0);
    net_tx_moved(net, s, true);
}

/* All that was there has gone: what had to wait for that? May end s. */
static void sent_all(struct net *net, struct net_socket *s)
{
    if (s->shut_wanted && !s->shut_done) {
        s->shut_done = true;
        shutdown(s->fd, SHUT_WR);
    }
    if (s->closing)
        net_finish_close(net, s);
}

void net_stream_send(struct net *net, struct net_socket *s)
{
    size_t turn = TURN_MAX;

    for (;;) {
        int64_t used = net_tx_used(net, s);
        struct iovec vec[2];
        struct msghdr msg = { .msg_iov = vec };
        size_t n;
        ssize_t sent;

        if (used < 0) {
            net_break(net, s);
            return;
        }
        if (used == 0 || s->state & NET_NO_SEND) {
            if (used > 0)
                stop_sending(net, s, EPIPE);
            sent_all(net, s);
            return;
        }
        n = net_take_tokens(net, s, NET_TX, (size_t)used < turn ? (size_t)used : turn);
        if (!n)
            break;
        msg.msg_iovlen = net_ring_span(&s->tx, s->tx_head, (uint32_t)n, vec);
        sent = sendmsg(s->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
        net_return_tokens(net, NET_TX, n - (sent > 0 ? (size_t)sent : 0));
        if (sent < 0 && errno == EAGAIN) {
            s->tx_blocked = true;
            break;
        }
        if (sent < 0) {
            stop_sending(net, s, errno);
            sent_all(net, s);
            return;
        }
        s->tx_head += (uint32_t)sent;
        turn -= (size_t)sent;
        net_tx_moved(net, s, sent == used);
        if (!turn) {
            net_requeue(net, s);
            break;
        }
    }
}

static void end_receiving(struct net *net, struct net_socket *s, int err)
{
    s->ended = true;
    net_set_error(net, s, err);
    net_set_state(net, s, NET_EOF | (err ? NET_HUP | NET_NO_SEND : s->hung_up ? NET_HUP : 0), 0);
}

/* recv(2) stops at the end of file and at out-of-band data; else a short count means that there is no more for now. */
static bool is_drained(const struct net_socket *s, size_t got, size_t wanted)
{
    return got < wanted && !s->peer_ended && !s->urgent;
}

void net_stream_receive(struct net *net, struct net_socket *s)
{
    size_t turn = TURN_MAX;

    net_rx_resume(net, s);
    while (turn) {
        int64_t used = net_rx_used(net, s);
        struct iovec vec[2];
        struct msghdr msg = { .msg_iov = vec };
        size_t room, n;
        ssize_t got;

        if (used < 0) {
            net_break(net, s);
            return;
        }
        room = s->rx.size - (size_t)used;
        if (!room) {
            if (net_rx_stall(net, s, 1))
                return;
            continue;
        }
        n = net_take_tokens(net, s, NET_RX, room < turn ? room : turn);
        if (!n)
            return;
        msg.msg_iovlen = net_ring_span(&s->rx, s->rx_tail, (uint32_t)n, vec);
        got = recvmsg(s->fd, &msg, MSG_DONTWAIT);
        net_return_tokens(net, NET_RX, n - (got > 0 ? (size_t)got : 0));
        if (got <= 0) {
            if (got == 0 || errno != EAGAIN)
                end_receiving(net, s, got == 0 ? 0 : errno);
            return;
        }
        s->rx_tail += (uint32_t)got;
        __atomic_store_n(&net_block(net, s)->rx_tail, s->rx_tail, __ATOMIC_RELEASE);
        net_push(net, s);
        if (is_drained(s, (size_t)got, n))
            return;
        net_tell(net); /* it reads that while we go on */
        turn -= (size_t)got;
    }
    net_requeue(net, s);
}

void net_connected(struct net *net, struct net_socket *s)
{
    s->connecting = false;
    s->connected = true;
    net_set_state(net, s, NET_CONNECTED, 0);
}

/* One connection is taken ahead, so that the guest knows whether accept(2) would find one. */
void net_accept_some(struct net *net, struct net_socket *s)
{
    socklen_t size = sizeof(s->waiting_peer);

    if (s->waiting_fd >= 0)
        return;
    if (net->count >= net->config.socket_max) {
        net->starved = true;
        return;
    }
    do
        s->waiting_fd = accept4(s->fd, &s->waiting_peer.any, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    while (s->waiting_fd < 0 && (errno == ECONNABORTED || errno == EINTR));
    if (s->waiting_fd >= 0)
        net_set_state(net, s, NET_ACCEPT, 0);
}
