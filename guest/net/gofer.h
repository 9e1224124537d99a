/*
 * Sockets of the host: the transport of AF_INET and AF_INET6 for what leads out of the sandbox (net/inet.h), over the gofer's rings
 * (hypercalls/net.h).
 *
 * gofer.c has numbers, ring memory, events and messages, gofer_tcp*.c streams, gofer_udp.c datagrams, gofer_publish.c ports that are
 * reached from outside, gofer_options.c options. The gofer is outside the VM and trusted as far as the shim goes; indexes that make no
 * sense end the socket.
 */
#ifndef NET_GOFER_H
#define NET_GOFER_H

#include "hypercalls/net.h"
#include "net/tcp.h"
#include "net/udp.h"
#include "proc/timer.h"

struct ring_request;

#define OUTSIDE_DEVICE 2 /* the index of what getifaddrs(3) shows as the way out */

struct outside_ring {
    uint8_t *base;
    uint32_t offset, size; /* size 0: none */
};

/* The outside half of a socket. It outlives the socket while the host still sends what was left. */
struct outside_sock {
    struct socket *s;           /* not counted; NULL: closed */
    uint32_t number;
    struct net_block *block;
    struct outside_ring tx, rx;
    uint32_t tx_tail, rx_head;  /* what the block has too, except that the tail of */
    bool held;                  /* data that is held back isn't there yet */
    struct timer cork_timer;
    uint32_t errors_seen;
    uint32_t state_seen;
    bool want_room;
    bool shut_both;             /* we have ended both directions ourselves */
    bool closing;               /* Tnclose hasn't been answered */
    struct inet_end checked;    /* datagrams: where the last one was permitted to go */
    bool is_checked;
    struct mutex write_lock;         /* datagrams: of the tx ring */
    struct socket *listener;    /* publish: of which this is the outside half; not counted */
    struct outside_sock *parent; /* accepted: the listener's */
    bool accepting;             /* publish: an accept is on its way */
};

/* At boot, if the arena has a net region. */
void gofer_net_init(void);

/* For the scheduler: are there events that nobody has taken, does anybody wait for some, and the end of the sandbox. */
bool gofer_net_pending(void);
bool gofer_net_active(void);
void gofer_net_before_app(bool others); /* others: threads that may wait for sockets while the next one computes */
void gofer_net_drain(bool hurry);       /* until the host has what was sent, or a slow peer has had its time */

/* --- between the files --- */

/* Make the outside half, with the host's socket behind it if make_host. NULL and *err. */
struct outside_sock *outside_create(struct socket *s, bool make_host, int *err);
/* The socket is gone: close the host's too, and free what it has when it has sent everything. */
void outside_close(struct outside_sock *o, bool abort);
/* Free numbers and rings of one that the host doesn't have. */
void outside_free(struct outside_sock *o);

/*
 * What bind(2) chose is to be so at the host too, of a socket that has been adopted. A port that the host can't give is no error: it takes
 * another, as address translation does.
 */
void outside_keep_binding(struct inet_sock *i);

void outside_put_end(struct ring_request *rq, const struct inet_end *end);
void outside_get_end(struct ring_request *rq, struct inet_end *end);
void outside_put_rings(struct ring_request *rq, const struct outside_sock *o);
struct ring_request *outside_request(uint8_t type, const struct outside_sock *o);
/* Send and wait, and give the request back. */
long outside_call(struct ring_request *rq);
/* Send and forget. */
void outside_post(struct ring_request *rq);

/* Copy into and out of a ring at a free-running index. What is short of n is a fault of the app's address. */
size_t outside_ring_put(const struct outside_ring *r, uint32_t at, struct iter *from, size_t n);
size_t outside_ring_take(const struct outside_ring *r, uint32_t at, struct iter *to, size_t n);

/* The gofer is to look at it. */
void outside_submit(struct outside_sock *o);
/* Take what has happened, now: events come without an exit, but only when somebody looks. */
void outside_look(void);

static inline uint32_t outside_state(const struct outside_sock *o)
{
    return __atomic_load_n(&o->block->state, __ATOMIC_ACQUIRE);
}

static inline uint32_t outside_tx_room(const struct outside_sock *o)
{
    uint32_t used = o->tx_tail - __atomic_load_n(&o->block->tx_head, __ATOMIC_ACQUIRE);

    return used <= o->tx.size ? o->tx.size - used : 0;
}

static inline uint32_t outside_rx_used(const struct outside_sock *o)
{
    uint32_t used = __atomic_load_n(&o->block->rx_tail, __ATOMIC_ACQUIRE) - o->rx_head;

    return used <= o->rx.size ? used : 0;
}

/*
 * n bytes were put into the tx ring. hold: more will follow (TCP_CORK, MSG_MORE), so the gofer isn't told yet, at most for 200 ms. Kept
 * here, corks cost no message, and can't be overtaken by the data. outside_flush: tell it now.
 */
void outside_tx_add(struct outside_sock *o, uint32_t n, bool hold);
void outside_flush(struct outside_sock *o);
/* n bytes were taken. */
void outside_rx_consume(struct outside_sock *o, uint32_t n);
/* Ask to be told of room; true if there is some by now. */
bool outside_want_room(struct outside_sock *o, uint32_t needed);

/* Events of one kind of socket each. */
void gofer_tcp_event(struct outside_sock *o, uint32_t state);
void gofer_udp_event(struct outside_sock *o);
void gofer_publish_event(struct outside_sock *o, uint32_t state);

int gofer_tcp_adopt(struct socket *s);
int gofer_udp_adopt(struct socket *s);
int gofer_tcp_adopt_accepted(struct tcp_sock *t, struct outside_sock *o, const struct inet_end *local,
                             const struct inet_end *peer);
void gofer_publish_listening(struct socket *s);
void gofer_publish_unlisten(struct socket *s);

int gofer_setsockopt(struct socket *s, int level, int name, const void *value, uint32_t len);
int gofer_getsockopt(struct socket *s, int level, int name, void *buf, uint32_t *len);
void gofer_option_set(struct socket *s, int name);  /* SOL_SOCKET's that were set */
void gofer_send_options(struct socket *s);          /* those that were set before there was a host's socket */

#endif
