/* Datagrams: records between rings and the host's sockets; see net.h. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "common/iov.h"
#include "common/net_policy.h"
#include "gofer/net.h"
#include "gofer/net_dns.h"

#define TURN_MAX 64u /* datagrams each way before others get their turn */
#define RECORD_MAX (sizeof(struct net_record) + NET_DATAGRAM_MAX + NET_RECORD_ALIGN)

static uint32_t record_size(uint32_t length)
{
    return (uint32_t)(sizeof(struct net_record) + ((length + NET_RECORD_ALIGN - 1) & ~(NET_RECORD_ALIGN - 1)));
}

static void publish_rx(struct net *net, struct net_socket *s, const struct net_record *record)
{
    struct iovec vec[2];
    size_t n = net_ring_span(&s->rx, s->rx_tail, sizeof(*record), vec);

    iov_write(vec, n, 0, record, sizeof(*record));
    s->rx_tail += record_size(record->length);
    __atomic_store_n(&net_block(net, s)->rx_tail, s->rx_tail, __ATOMIC_RELEASE);
    net_push(net, s);
}

/* The name service of an allow-list is us. An answer that finds no room is lost, as UDP has it. */
static void answer_query(struct net *net, struct net_socket *s, const struct iovec *query, size_t count, size_t size,
                         const struct net_end *end)
{
    uint8_t text[NET_DNS_QUERY_MAX], out[NET_DNS_DATAGRAM_MAX];
    struct net_record record = { .end = *end };
    int64_t used = net_rx_used(net, s);
    struct iovec vec[2];
    size_t n;

    size = iov_read(text, query, count, 0, size < sizeof(text) ? size : sizeof(text));
    record.length = (uint32_t)net_dns_answer(net->config.plan, text, size, out, sizeof(out));
    if (!record.length || used < 0 || s->rx.size - used < (int64_t)record_size(record.length))
        return;
    n = net_ring_span(&s->rx, s->rx_tail + (uint32_t)sizeof(record), record.length, vec);
    iov_write(vec, n, 0, out, record.length);
    publish_rx(net, s, &record);
}

/* One record whose head has been copied. -EAGAIN: the host has no room now. Other errors are the socket's. */
static int send_record(struct net *net, struct net_socket *s, const struct net_record *record)
{
    static const uint8_t none[16];
    struct net_target target = { .own_dns = s->own_dns }, local;
    bool has_local = memcmp(record->local, none, sizeof(none)) != 0;
    union net_control control;
    struct iovec vec[2];
    struct msghdr msg = { .msg_iov = vec };
    uint32_t v4;
    int err;

    msg.msg_iovlen = net_ring_span(&s->tx, s->tx_head + (uint32_t)sizeof(*record), record->length, vec);
    if (record->end.family) {
        err = net_check(net, s, &record->end, &target);
        if (err)
            return err;
        msg.msg_name = &target.sa;
        msg.msg_namelen = target.size;
    } else if (!s->connected) {
        return -EDESTADDRREQ;
    }
    if (target.own_dns) {
        answer_query(net, s, vec, msg.msg_iovlen, record->length, record->end.family ? &record->end : &s->checked);
        return 0;
    }
    if (has_local) {
        struct net_end end = { .family = AF_INET6 };

        memcpy(end.addr, record->local, sizeof(end.addr));
        err = net_check_local(net, s, &end, &local);
        if (err)
            return err;
    }
    net_put_control(record, has_local ? &local : NULL,
                    net_mapped_v4(record->end.family ? record->end.addr : s->checked.addr, &v4), &control, &msg);
    return sendmsg(s->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

void net_datagram_send(struct net *net, struct net_socket *s)
{
    for (unsigned turn = 0; turn < TURN_MAX; turn++) {
        int64_t used = net_tx_used(net, s);
        struct net_record record;
        struct iovec vec[2];
        size_t n;
        int err;

        if (used == 0) {
            if (s->closing)
                net_finish_close(net, s);
            return;
        }
        if (used < (int64_t)sizeof(record)) {
            net_break(net, s);
            return;
        }
        n = net_ring_span(&s->tx, s->tx_head, sizeof(record), vec);
        iov_read(&record, vec, n, 0, sizeof(record));
        if (record.length > NET_DATAGRAM_MAX || record_size(record.length) > used) {
            net_break(net, s);
            return;
        }
        if (record.length && !net_take_tokens(net, s, NET_TX, record.length))
            return;
        err = send_record(net, s, &record);
        if (err == -EAGAIN) {
            net_return_tokens(net, NET_TX, record.length);
            s->tx_blocked = true;
            return;
        }
        net_set_error(net, s, err);
        s->tx_head += record_size(record.length);
        net_tx_moved(net, s, used == record_size(record.length));
    }
    net_requeue(net, s);
}

/* Is there room for whatever comes? False: the socket has been broken, or waits for room. */
static bool has_room(struct net *net, struct net_socket *s)
{
    for (;;) {
        int64_t used = net_rx_used(net, s);

        if (used < 0) {
            net_break(net, s);
            return false;
        }
        if (s->rx.size - used >= (int64_t)RECORD_MAX)
            return true;
        if (net_rx_stall(net, s, RECORD_MAX))
            return false;
    }
}

/* One message of the host's into the rx ring, behind the place for its record. */
static ssize_t receive_one(struct net_socket *s, struct msghdr *msg, int flags)
{
    struct iovec vec[2];

    msg->msg_iov = vec;
    msg->msg_iovlen = net_ring_span(&s->rx, s->rx_tail + (uint32_t)sizeof(struct net_record), NET_DATAGRAM_MAX, vec);
    return recvmsg(s->fd, msg, flags | MSG_DONTWAIT);
}

bool net_datagram_errors(struct net *net, struct net_socket *s)
{
    uint32_t number = s->number;
    bool any = false;

    s->errors_wait = false;
    for (unsigned turn = 0; turn < TURN_MAX; turn++) {
        struct net_record record = { 0 };
        union net_sockaddr to = { 0 };
        union net_control control;
        struct msghdr msg = { .msg_name = &to, .msg_namelen = sizeof(to), .msg_control = &control, .msg_controllen = sizeof(control) };
        ssize_t got;

        if (!has_room(net, s)) {
            if (net->sockets[number] == s)
                s->errors_wait = true;
            return any;
        }
        got = receive_one(s, &msg, MSG_ERRQUEUE);
        if (got < 0)
            return any;
        if (!net_take_error(net, &msg, &record))
            continue;
        net_show(net, &to, &record.end);
        record.length = (uint32_t)got;
        publish_rx(net, s, &record);
        any = true;
    }
    s->errors_wait = true;
    net_requeue(net, s);
    return any;
}

void net_datagram_receive(struct net *net, struct net_socket *s)
{
    uint32_t number = s->number;

    net_rx_resume(net, s);
    if (s->errors_wait)
        net_datagram_errors(net, s);
    if (net->sockets[number] != s)
        return;
    for (unsigned turn = 0; turn < TURN_MAX; turn++) {
        struct net_record record = { 0 };
        union net_sockaddr from;
        union net_control control;
        struct msghdr msg = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_control = &control, .msg_controllen = sizeof(control) };
        ssize_t got;

        if (!has_room(net, s) || !net_take_tokens(net, s, NET_RX, 1))
            return;
        got = receive_one(s, &msg, 0);
        if (got < 0) {
            if (errno == EAGAIN)
                return;
            if (!s->errors_wanted) /* else the error queue has it too */
                net_set_error(net, s, errno);
            continue;
        }
        net_take_tokens(net, s, NET_RX, (size_t)got);
        net_take_control(net, &msg, &record);
        net_show(net, &from, &record.end);
        if (!s->connected && !net_check_source(net, s, &record.end))
            continue;
        record.length = (uint32_t)got;
        publish_rx(net, s, &record);
    }
    net_requeue(net, s);
}
