/* The table of sockets, the two queues and what the guest is told; see net.h. */
#include "gofer/net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/fd.h"

#define RUN_MAX 256            /* sockets looked at before the ring of requests gets its turn */
#define KICK_AFTER_NS 100000u  /* a computing guest looks by itself whenever it calls the shim; so long it gets for that */
#define CLOSE_NS 60000000000u  /* how long a closed socket's last data may take */
#define NAP_MS 1                /* a guest that computes may leave what it has sent lying for so long */
#define NAPS_MAX 8              /* in a row; then it must ring at once */
#define BURST_MIN (64u << 10)

uint64_t net_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int watch(struct net *net, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = { .events = events, .data.u64 = data };

    return epoll_ctl(net->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int net_init(struct net *net, const struct net_config *config)
{
    uint8_t *region = config->arena + ARENA_SIZE;
    int err;

    if (config->arena_size < ARENA_SIZE + NET_REGION_SIZE)
        return -EINVAL;
    *net = (struct net){ .config = *config, .epoch = 1 };
    net->arena_header = (void *)config->arena;
    net->header = (void *)region;
    net->blocks = (void *)(region + NET_BLOCK_OFFSET);
    net->submit_queue = (void *)(region + NET_SUBMIT_OFFSET);
    net->event_queue = (void *)(region + NET_EVENT_OFFSET);
    net->rings = region + NET_RINGS_OFFSET;
    net->rings_size = NET_REGION_SIZE - NET_RINGS_OFFSET;
    for (unsigned i = 0; i < 2; i++)
        net->bucket[i] = (struct net_bucket){ config->plan->rate, 0, net_now_ns() };
    net->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (net->epoll_fd < 0)
        return -errno;
    err = net_routes_open(&net->routes);
    if (!err)
        err = watch(net, net->routes.change_fd, EPOLLIN, NET_SOCKET_MAX);
    if (err)
        fd_close(&net->epoll_fd);
    return err;
}

void net_destroy(struct net *net)
{
    for (uint32_t i = 0; i < NET_SOCKET_MAX && net->count; i++)
        if (net->sockets[i])
            net_remove(net, net->sockets[i]);
    net_routes_close(&net->routes);
    fd_close(&net->epoll_fd);
}

/* --- telling the guest --- */

void net_push(struct net *net, struct net_socket *s)
{
    struct net_block *b = net_block(net, s);

    /* A full barrier: what was stored before is seen by whoever clears the flag after. */
    if (__atomic_exchange_n(&b->evented, 1, __ATOMIC_SEQ_CST))
        return;
    /* A guest that keeps the rules never fills the queue: each number is in it once. */
    if (net->event_tail - guest_fetch32(&net->header->event_head) >= NET_SOCKET_MAX)
        return;
    guest_store32(&net->event_queue[net->event_tail % NET_SOCKET_MAX], s->number);
    net->event_tail++;
    __atomic_store_n(&net->header->event_tail, net->event_tail, __ATOMIC_RELEASE);
    net->pushed = true;
}

void net_tell(struct net *net)
{
    if (!net->pushed)
        return;
    net->pushed = false;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (guest_fetch32(&net->header->event_head) == net->event_tail)
        return;
    if (guest_fetch32(&net->arena_header->notify_mode) == NOTIFY_IDLE)
        fd_signal_event(net->config.call_fd);
    else if (guest_fetch32(&net->header->kick) && !net->kick_due_ns)
        net->kick_due_ns = net_now_ns() + KICK_AFTER_NS;
}

static void kick_if_due(struct net *net)
{
    if (!net->kick_due_ns || net_now_ns() < net->kick_due_ns)
        return;
    net->kick_due_ns = 0;
    if (guest_fetch32(&net->header->event_head) != net->event_tail && guest_fetch32(&net->header->kick))
        fd_signal_event(net->config.kick_fd);
}

void net_set_state(struct net *net, struct net_socket *s, uint32_t set, uint32_t clear)
{
    uint32_t state = (s->state | set) & ~clear;

    if (state == s->state)
        return;
    s->state = state;
    __atomic_store_n(&net_block(net, s)->state, state, __ATOMIC_RELEASE);
    if (set)
        net_push(net, s);
}

void net_set_error(struct net *net, struct net_socket *s, int err)
{
    struct net_block *b = net_block(net, s);

    if (!err)
        return;
    guest_store32(&b->error, (uint32_t)(err < 0 ? -err : err));
    __atomic_store_n(&b->error_count, ++s->error_count, __ATOMIC_RELEASE);
    net_push(net, s);
}

/* --- the table --- */

int net_add(struct net *net, uint32_t number, int fd, struct net_socket *model, struct net_socket **ret)
{
    struct net_socket *s;
    struct net_block *b;
    int err = -EINVAL;

    if (number >= NET_SOCKET_MAX || net->sockets[number])
        goto close_fd;
    err = -EMFILE;
    if (net->count >= net->config.socket_max)
        goto close_fd;
    err = -ENOMEM;
    s = malloc(sizeof(*s));
    if (!s)
        goto close_fd;
    *s = *model;
    s->number = number;
    s->fd = fd;
    s->waiting_fd = -1;
    b = net_block(net, s);
    guest_store32(&b->tx_head, 0);
    guest_store32(&b->rx_tail, 0);
    guest_store32(&b->error, 0);
    guest_store32(&b->error_count, 0);
    guest_store32(&b->rx_stalled, 0);
    guest_store32(&b->evented, 0);
    guest_store32(&b->state, s->state);
    net->sockets[number] = s;
    net->count++;
    err = watch(net, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET, number);
    if (err) {
        net_remove(net, s);
        return err;
    }
    *ret = s;
    return 0;
close_fd:
    close(fd);
    return err;
}

static void leave_ready(struct net *net, const struct net_socket *s)
{
    struct net_socket *previous = NULL;

    for (struct net_socket *r = net->ready_head; r; previous = r, r = r->next_ready) {
        if (r != s)
            continue;
        if (previous)
            previous->next_ready = s->next_ready;
        else
            net->ready_head = s->next_ready;
        if (net->ready_tail == s)
            net->ready_tail = previous;
        return;
    }
}

/* There is room for a connection again. */
static void look_at_listeners(struct net *net)
{
    net->starved = false;
    for (uint32_t i = 0; i < NET_SOCKET_MAX; i++)
        if (net->sockets[i] && net->sockets[i]->listening)
            net_requeue(net, net->sockets[i]);
}

void net_remove(struct net *net, struct net_socket *s)
{
    if (s->ready)
        leave_ready(net, s);
    if (s->closing)
        net->closing_count--;
    fd_close(&s->waiting_fd);
    if (s->listening)
        shutdown(s->fd, SHUT_RD); /* the host's socket is shared with the publication: it stops listening, and stays bound */
    if (s->publish) { /* closing this duplicate wouldn't take it out of the epoll set */
        struct epoll_event none = { 0 };

        epoll_ctl(net->epoll_fd, EPOLL_CTL_DEL, s->fd, &none);
    }
    fd_close(&s->fd);
    net->sockets[s->number] = NULL;
    net->count--;
    free(s->known);
    free(s);
    if (net->starved)
        look_at_listeners(net);
}

void net_finish_close(struct net *net, struct net_socket *s)
{
    net_set_state(net, s, NET_RELEASED, 0);
    net_remove(net, s);
}

void net_reset(const struct net_socket *s)
{
    const struct linger now = { .l_onoff = 1, .l_linger = 0 };

    if (!s->datagram && !s->listening)
        setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

void net_break(struct net *net, struct net_socket *s)
{
    net_reset(s);
    net_set_error(net, s, EPROTO);
    net_set_state(net, s, NET_EOF | NET_HUP | NET_NO_SEND | NET_RELEASED, 0);
    net_remove(net, s);
}

void net_requeue(struct net *net, struct net_socket *s)
{
    if (s->ready)
        return;
    s->ready = true;
    s->next_ready = NULL;
    if (net->ready_tail)
        net->ready_tail->next_ready = s;
    else
        net->ready_head = s;
    net->ready_tail = s;
}

/* --- rings --- */

size_t net_ring_span(const struct net_ring *r, uint32_t at, uint32_t len, struct iovec vec[2])
{
    uint32_t offset = at & (r->size - 1);
    uint32_t first = len < r->size - offset ? len : r->size - offset;

    vec[0] = (struct iovec){ r->base + offset, first };
    if (first == len)
        return 1;
    vec[1] = (struct iovec){ r->base, len - first };
    return 2;
}

int64_t net_tx_used(struct net *net, const struct net_socket *s)
{
    uint32_t used = __atomic_load_n(&net_block(net, s)->tx_tail, __ATOMIC_ACQUIRE) - s->tx_head;

    return used <= s->tx.size ? (int64_t)used : -EPROTO;
}

int64_t net_rx_used(struct net *net, const struct net_socket *s)
{
    uint32_t used = s->rx_tail - __atomic_load_n(&net_block(net, s)->rx_head, __ATOMIC_ACQUIRE);

    return used <= s->rx.size ? (int64_t)used : -EPROTO;
}

void net_tx_moved(struct net *net, struct net_socket *s, bool empty)
{
    struct net_block *b = net_block(net, s);
    int64_t used;

    __atomic_store_n(&b->tx_head, s->tx_head, __ATOMIC_SEQ_CST);
    if (!(__atomic_load_n(&b->want, __ATOMIC_SEQ_CST) & NET_WANT_ROOM))
        return;
    used = net_tx_used(net, s);
    if (empty || (used >= 0 && used <= s->tx.size / 2))
        net_push(net, s);
}

void net_rx_resume(struct net *net, struct net_socket *s)
{
    if (!s->rx_waits)
        return;
    s->rx_waits = false;
    guest_store32(&net_block(net, s)->rx_stalled, 0);
}

bool net_rx_stall(struct net *net, struct net_socket *s, uint32_t needed)
{
    struct net_block *b = net_block(net, s);
    int64_t used;

    s->rx_waits = true;
    __atomic_store_n(&b->rx_stalled, 1, __ATOMIC_SEQ_CST);
    used = net_rx_used(net, s);
    if (used < 0 || s->rx.size - used < needed)
        return true; /* broken ones are seen by the next look */
    net_rx_resume(net, s);
    return false;
}

/* --- rate --- */

static void fill(struct net_bucket *b)
{
    uint64_t burst = b->rate / 10 > BURST_MIN ? b->rate / 10 : BURST_MIN;
    uint64_t now = net_now_ns();
    uint64_t passed = now - b->filled_ns;
    uint64_t more;

    if (passed > 1000000000u)
        passed = 1000000000u;
    more = (uint64_t)((double)passed * (double)b->rate / 1e9);
    if (!more)
        return;
    b->filled_ns = now;
    b->tokens = b->tokens + more > burst ? burst : b->tokens + more;
}

size_t net_take_tokens(struct net *net, struct net_socket *s, int direction, size_t wanted)
{
    struct net_bucket *b = &net->bucket[direction];

    if (!b->rate)
        return wanted;
    fill(b);
    if (!b->tokens) {
        net->throttled = true;
        net_requeue(net, s);
        return 0;
    }
    wanted = wanted < b->tokens ? wanted : (size_t)b->tokens;
    b->tokens -= wanted;
    return wanted;
}

void net_return_tokens(struct net *net, int direction, size_t n)
{
    if (net->bucket[direction].rate)
        net->bucket[direction].tokens += n;
}

/* --- the loop's side --- */

void net_send_some(struct net *net, struct net_socket *s)
{
    if (s->listening || s->connecting)
        return;
    if (s->datagram)
        net_datagram_send(net, s);
    else if (s->own_dns)
        net_serve_names(net, s);
    else if (s->connected)
        net_stream_send(net, s);
}

void net_receive_some(struct net *net, struct net_socket *s)
{
    if (s->listening)
        net_accept_some(net, s);
    else if (s->connecting || s->closing || s->ended)
        return;
    else if (s->datagram)
        net_datagram_receive(net, s);
    else if (s->own_dns)
        net_serve_names(net, s);
    else if (s->connected)
        net_stream_receive(net, s);
}

/* Either may end the socket. */
static void serve(struct net *net, uint32_t number)
{
    struct net_socket *s = net->sockets[number];

    if (s && !s->tx_blocked)
        net_send_some(net, s);
    s = net->sockets[number];
    if (s && s->rx_waits)
        net_receive_some(net, s);
}

static int serve_submitted(struct net *net)
{
    for (unsigned n = 0; n < RUN_MAX; n++) {
        uint32_t tail = __atomic_load_n(&net->header->submit_tail, __ATOMIC_ACQUIRE);
        uint32_t number;

        if (tail == net->submit_head)
            break;
        number = guest_fetch32(&net->submit_queue[net->submit_head % NET_SOCKET_MAX]);
        if (tail - net->submit_head > NET_SOCKET_MAX || number >= NET_SOCKET_MAX)
            return -EPROTO;
        net->submit_head++;
        net->naps = NAPS_MAX;
        net->napping = false;
        guest_store32(&net->header->submit_head, net->submit_head);
        /* A full barrier: what is submitted from now on comes in a new entry. */
        __atomic_exchange_n(&net->blocks[number].submitted, 0, __ATOMIC_SEQ_CST);
        serve(net, number);
    }
    return 0;
}

static void serve_ready(struct net *net)
{
    struct net_socket *last = net->ready_tail;

    net->throttled = false;
    for (unsigned n = 0; n < RUN_MAX && net->ready_head && !net->throttled; n++) {
        struct net_socket *s = net->ready_head;
        uint32_t number = s->number;
        bool is_last = s == last;

        net->ready_head = s->next_ready;
        if (!net->ready_head)
            net->ready_tail = NULL;
        s->ready = false;
        if (!s->tx_blocked)
            net_send_some(net, s);
        s = net->sockets[number];
        if (s)
            net_receive_some(net, s);
        if (is_last)
            break;
    }
}

int net_run(struct net *net)
{
    int err = serve_submitted(net);

    if (err)
        return err;
    if (net->ready_head)
        serve_ready(net);
    net_tell(net);
    kick_if_due(net);
    return 0;
}

bool net_has_work(const struct net *net)
{
    return __atomic_load_n(&net->header->submit_tail, __ATOMIC_ACQUIRE) != net->submit_head ||
           (net->ready_head && !net->throttled);
}

int net_begin_sleep(struct net *net)
{
    net->napping = net->naps && guest_fetch32(&net->arena_header->notify_mode) != NOTIFY_IDLE;
    if (net->napping)
        net->naps--;
    guest_store32(&net->header->napping, net->napping);
    return net->napping ? NAP_MS : -1;
}

/* Last data that a peer doesn't take can't hold number and ring for ever. */
static void end_closing(struct net *net)
{
    uint64_t now = net_now_ns();

    for (uint32_t i = 0; i < NET_SOCKET_MAX && net->closing_count; i++) {
        struct net_socket *s = net->sockets[i];

        if (s && s->closing && now >= s->close_deadline_ns) {
            net_reset(s);
            net_finish_close(net, s);
        }
    }
}

void net_before_sleep(struct net *net, int *timeout_ms)
{
    if (net->kick_due_ns) {
        net->kick_due_ns = 1; /* nothing else to do: now */
        kick_if_due(net);
    }
    if (net->throttled)
        *timeout_ms = 1;
    if (!net->closing_count)
        return;
    end_closing(net);
    if (*timeout_ms < 0 || *timeout_ms > 1000)
        *timeout_ms = 1000;
}

void net_start_close(struct net *net, struct net_socket *s)
{
    s->closing = true;
    s->close_deadline_ns = net_now_ns() + CLOSE_NS;
    net->closing_count++;
}
