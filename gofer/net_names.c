/*
 * The name service of an allow-list over a stream (RFC 7766): queries and answers with their length before them, between the socket's two
 * rings. The host's socket behind it is never connected.
 */
#include "common/iov.h"
#include "gofer/net.h"
#include "gofer/net_dns.h"

#define LENGTH_SIZE 2u
#define TURN_MAX 64u /* queries before others get their turn */

static void take(const struct net_socket *s, uint32_t at, uint8_t *out, uint32_t len)
{
    struct iovec vec[2];
    size_t n = net_ring_span(&s->tx, s->tx_head + at, len, vec);

    iov_read(out, vec, n, 0, len);
}

/* Both directions end; what isn't a query can't be answered, and nothing behind it can be found. */
static void end(struct net *net, struct net_socket *s)
{
    s->tx_head += (uint32_t)net_tx_used(net, s);
    s->ended = true;
    net_set_state(net, s, NET_EOF | NET_HUP | NET_NO_SEND, 0);
    net_tx_moved(net, s, true);
}

static void answer(struct net *net, struct net_socket *s, const uint8_t *query, uint32_t size, uint32_t room)
{
    size_t len = net_dns_answer(net->config.plan, query, size, net->datagram + LENGTH_SIZE, room - LENGTH_SIZE);
    struct iovec vec[2];
    size_t n;

    if (!len)
        return;
    net->datagram[0] = (uint8_t)(len >> 8);
    net->datagram[1] = (uint8_t)len;
    len += LENGTH_SIZE;
    n = net_ring_span(&s->rx, s->rx_tail, (uint32_t)len, vec);
    iov_write(vec, n, 0, net->datagram, len);
    s->rx_tail += (uint32_t)len;
    __atomic_store_n(&net_block(net, s)->rx_tail, s->rx_tail, __ATOMIC_RELEASE);
    net_push(net, s);
}

void net_serve_names(struct net *net, struct net_socket *s)
{
    uint32_t needed = s->rx.size < NET_DNS_STREAM_MAX + LENGTH_SIZE ? s->rx.size : NET_DNS_STREAM_MAX + LENGTH_SIZE;

    net_rx_resume(net, s);
    for (unsigned turn = 0; turn < TURN_MAX; turn++) {
        int64_t used = net_tx_used(net, s), filled = net_rx_used(net, s);
        uint8_t query[LENGTH_SIZE + NET_DNS_QUERY_MAX];
        uint32_t size = 0;

        if (used < 0 || filled < 0) {
            net_break(net, s);
            return;
        }
        if (used >= LENGTH_SIZE) {
            take(s, 0, query, LENGTH_SIZE);
            size = (uint32_t)query[0] << 8 | query[1];
            if (size > NET_DNS_QUERY_MAX) {
                end(net, s);
                return;
            }
        }
        if (used < LENGTH_SIZE || used < LENGTH_SIZE + size) {
            if (s->shut_wanted)
                end(net, s);
            return;
        }
        if (s->rx.size - filled < needed) {
            if (net_rx_stall(net, s, needed))
                return;
            continue;
        }
        take(s, LENGTH_SIZE, query + LENGTH_SIZE, size);
        s->tx_head += LENGTH_SIZE + size;
        net_tx_moved(net, s, used == LENGTH_SIZE + size);
        answer(net, s, query + LENGTH_SIZE, size, needed);
    }
    net_requeue(net, s);
}
