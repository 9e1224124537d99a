/*
 * Streams through lwIP: bytes. What is sent lies in chunks of ours until the peer has it, and the stack points into them; what comes
 * stays in the stack's packets until it is read. Copying may sleep: writers and readers each hold a lock, and everything is looked at
 * again after it.
 */
#include "lwip/priv/tcp_priv.h"
#include "lwip/tcp.h"

#include "lib/string.h"
#include "mm/frame.h"
#include "net/lwip_tcp.h"
#include "sys/timespec.h"

#define CHUNK_MAX (64u << 10)
#define CHUNK_MIN (4u << 10)
#define SEND_MAX (1u << 20) /* in chunks at most; SO_SNDBUF makes it less */
#define WRITABLE_SHARE 3u   /* as Linux: a third must be free */

/* Page runs: the struct, then bytes. */
struct send_chunk {
    struct send_chunk *next;
    uint32_t used, acked, capacity, pages;
    uint8_t data[];
};

/* --- what is received --- */

void stack_rx_add(struct stack_sock *k, struct pbuf *p)
{
    k->rx_len += p->tot_len;
    if (k->rx_tail)
        k->rx_tail->next = p;
    else
        k->rx = p;
    while (p->next)
        p = p->next;
    k->rx_tail = p;
}

static void rx_drop_first(struct stack_sock *k)
{
    struct pbuf *p = k->rx;

    k->rx = p->next;
    if (!k->rx)
        k->rx_tail = NULL;
    k->rx_offset = 0;
    p->next = NULL;
    p->tot_len = p->len;
    pbuf_free(p);
}

void stack_rx_purge(struct stack_sock *k)
{
    while (k->rx)
        rx_drop_first(k);
    k->rx_len = 0;
}

static void rx_consume(struct stack_sock *k, uint32_t n)
{
    k->rx_len -= n;
    for (uint32_t left = n; k->tcp && left > 0;) {
        u16_t part = (u16_t)MIN(left, (uint32_t)UINT16_MAX);

        tcp_recved(k->tcp, part);
        left -= part;
    }
    while (n > 0 || (k->rx && k->rx_offset == k->rx->len)) {
        uint32_t here = MIN(n, (uint32_t)k->rx->len - k->rx_offset);

        k->rx_offset += here;
        n -= here;
        if (k->rx_offset == k->rx->len)
            rx_drop_first(k);
    }
}

bool stack_tcp_readable(const struct tcp_sock *t)
{
    const struct stack_sock *k = stack_of(t);

    return k->rx_len > 0 && k->rx_len >= MIN((uint32_t)t->i.s.opt.rcvlowat, (uint32_t)TCP_WND / 2);
}

/*
 * Take or look at what is there, from `skip` on. Nobody else takes from the front meanwhile (read_lock), and packets that come while we
 * copy go behind. -EFAULT if not even one byte could be copied.
 */
static int read_rx(struct tcp_sock *t, struct socket_msg *msg, uint64_t skip, size_t *copied)
{
    struct stack_sock *k = stack_of(t);
    size_t n = MIN(msg->data->left, (size_t)(k->rx_len > skip ? k->rx_len - skip : 0)), done = 0;
    bool discard = (msg->flags & (MSG_TRUNC | MSG_PEEK)) == MSG_TRUNC; /* thrown away (tcp(7)) */
    uint32_t offset = k->rx_offset + (uint32_t)skip;

    for (struct pbuf *p = k->rx; p && done < n; p = p->next) {
        size_t here, got;

        if (offset >= p->len) {
            offset -= p->len;
            continue;
        }
        here = got = MIN((size_t)p->len - offset, n - done);
        if (discard)
            iter_advance(msg->data, here);
        else
            got = iter_copy_to(msg->data, (const uint8_t *)p->payload + offset, here);
        done += got;
        offset = 0;
        if (got < here)
            break;
    }
    if (!(msg->flags & MSG_PEEK) && done > 0) {
        rx_consume(k, (uint32_t)done);
        stack_done(); /* the window may have opened */
    }
    *copied += done;
    return done < n ? -EFAULT : 0;
}

static uint64_t count(const struct tcp_sock *t)
{
    return stack_of(t)->rx_len;
}

ssize_t stack_tcp_recv(struct socket *s, struct socket_msg *msg)
{
    static const struct tcp_receiver stack = { .count = count, .read = read_rx, .peek_max = TCP_WND / 2 };

    if (msg->flags & MSG_ERRQUEUE)
        return -EAGAIN;
    if (msg->flags & MSG_OOB)
        return -EINVAL; /* urgent data comes in line */
    stack_look();
    return tcp_receive(tcp_sock(s), msg, &stack);
}

/* --- what is sent --- */

static void free_chunk(struct send_chunk *c)
{
    pages_free(c, c->pages);
}

void stack_tx_acked(struct stack_sock *k, uint32_t n)
{
    k->tx_len -= MIN(n, k->tx_len);
    while (k->tx && n > 0) {
        struct send_chunk *c = k->tx;
        uint32_t here = MIN(n, c->used - c->acked);

        c->acked += here;
        n -= here;
        if (c->acked < c->used)
            return;
        if (c == k->tx_tail && c->used < c->capacity)
            return; /* there is room for more in it */
        k->tx = c->next;
        if (!k->tx)
            k->tx_tail = NULL;
        free_chunk(c);
    }
}

void stack_tx_purge(struct stack_sock *k)
{
    while (k->tx) {
        struct send_chunk *c = k->tx;

        k->tx = c->next;
        if (c != k->tx_pinned)
            free_chunk(c);
    }
    k->tx_tail = NULL;
    k->tx_len = 0;
}

static uint32_t send_limit(const struct tcp_sock *t)
{
    return t->i.s.opt.sndbuf_set ? MIN(MAX(t->i.s.opt.sndbuf, CHUNK_MIN), SEND_MAX) : SEND_MAX;
}

static uint32_t send_room(const struct tcp_sock *t)
{
    const struct stack_sock *k = stack_of(t);
    uint32_t limit = send_limit(t), stack = k->tcp ? k->tcp->snd_buf : 0; /* tcp_sndbuf() says 64 KiB at most */

    return k->tx_len < limit ? MIN(limit - k->tx_len, stack) : 0;
}

bool stack_tcp_writable(const struct tcp_sock *t)
{
    const struct stack_sock *k = stack_of(t);

    return !k->tcp || (send_room(t) >= send_limit(t) / WRITABLE_SHARE && tcp_sndqueuelen(k->tcp) < TCP_SND_QUEUELEN * 2 / 3);
}

static bool is_broken(const struct tcp_sock *t)
{
    return t->i.s.error || (t->i.s.shut & SHUT_SEND) || !tcp_may_send(t) || !stack_of(t)->tcp;
}

void stack_tcp_flush(struct stack_sock *k)
{
    if (k->tcp)
        tcp_output(k->tcp);
    stack_done();
}

static int wait_room(struct tcp_sock *t, uint64_t deadline_ns)
{
    int err;

    if (send_room(t) > 0 && tcp_sndqueuelen(stack_of(t)->tcp) < TCP_SND_QUEUELEN - 8)
        return 0;
    stack_tcp_flush(stack_of(t));
    if (deadline_ns == 0)
        return -EAGAIN;
    t->want_space = true;
    mutex_unlock(&t->write_lock);
    err = socket_wait(&t->i.s.write_wait, is_broken(t) || stack_tcp_writable(t), deadline_ns);
    mutex_lock(&t->write_lock);
    return err;
}

/* Room at the end of the last chunk, or a new one for up to n bytes. NULL: no memory. */
static struct send_chunk *chunk_for(struct stack_sock *k, size_t n)
{
    struct send_chunk *c = k->tx_tail;
    size_t pages = PAGE_UP(MIN(MAX(n + sizeof(*c), (size_t)CHUNK_MIN), (size_t)CHUNK_MAX)) / PAGE_SIZE;

    if (c && c->used < c->capacity)
        return c;
    c = pages_alloc(pages);
    if (!c)
        return NULL;
    *c = (struct send_chunk){ .pages = (uint32_t)pages, .capacity = (uint32_t)(pages * PAGE_SIZE - sizeof(*c)) };
    if (k->tx_tail)
        k->tx_tail->next = c;
    else
        k->tx = c;
    k->tx_tail = c;
    return c;
}

/*
 * Bytes that were copied to the end of c go to the stack, as far as it takes them. Copying may have slept: the connection may have ended,
 * with its chunks, which is why the caller holds c by nothing but the write lock and looks at k->tcp first.
 */
static uint32_t hand_over(struct stack_sock *k, struct send_chunk *c, uint32_t n, bool more)
{
    uint32_t done = 0;

    while (done < n) {
        u16_t part = (u16_t)MIN(n - done, (uint32_t)32768);

        if (tcp_write(k->tcp, c->data + c->used, part, more || done + part < n ? TCP_WRITE_FLAG_MORE : 0) != ERR_OK)
            break;
        c->used += part;
        k->tx_len += part;
        done += part;
    }
    return done;
}

static ssize_t send_bytes(struct tcp_sock *t, struct socket_msg *msg, uint64_t deadline_ns, ssize_t *sent)
{
    struct stack_sock *k = stack_of(t);
    bool hold = t->i.options[OPT_TCP_CORK] || (msg->flags & MSG_MORE);

    while (msg->data->left > 0) {
        struct send_chunk *c;
        uint32_t n, done;
        size_t got;
        int err;

        if (is_broken(t))
            return -EPIPE;
        err = wait_room(t, deadline_ns);
        if (err < 0)
            return err;
        if (is_broken(t))
            continue;
        c = chunk_for(k, msg->data->left);
        if (!c)
            return -ENOBUFS;
        n = (uint32_t)MIN(MIN(msg->data->left, (size_t)send_room(t)), (size_t)(c->capacity - c->used));
        k->tx_pinned = c;
        got = iter_copy_from(msg->data, c->data + c->used, n);
        k->tx_pinned = NULL;
        if (k->tx_tail != c) { /* the connection ended meanwhile, and its chunks with it */
            free_chunk(c);
            continue;
        }
        done = hand_over(k, c, (uint32_t)got, hold || got < msg->data->left);
        *sent += done;
        if (got < n)
            return -EFAULT;
        if (done < got) /* no memory for a segment: a short write, if there was one */
            return -ENOBUFS;
    }
    return 0;
}

ssize_t stack_tcp_send(struct socket *s, struct socket_msg *msg)
{
    struct tcp_sock *t = tcp_sock(s);
    uint64_t deadline_ns = socket_deadline(s->opt.send_timeout_ns, msg->flags & MSG_DONTWAIT);
    ssize_t sent = 0, err;

    stack_look();
    err = tcp_wait_sendable(t, deadline_ns);
    if (err == 0 && is_broken(t))
        err = -EPIPE;
    if (err == 0) {
        mutex_lock(&t->write_lock);
        err = send_bytes(t, msg, deadline_ns, &sent);
        if (stack_of(t) && !(t->i.options[OPT_TCP_CORK] || (msg->flags & MSG_MORE)))
            stack_tcp_flush(stack_of(t));
        mutex_unlock(&t->write_lock);
    }
    return tcp_send_result(s, msg, sent, err);
}
