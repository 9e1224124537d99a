/*
 * TCP inside the sandbox (tcp(7)), between tcp.c (connections) and tcp_io.c (bytes). The states are those of RFC 793 as far as they
 * last: without segments there are no SYN_RECV, FIN_WAIT1, CLOSING and LAST_ACK, and nothing waits in TIME_WAIT.
 */
#ifndef NET_TCP_H
#define NET_TCP_H

#include "net/inet.h"

enum { /* as /proc/net/tcp and TCP_INFO number them */
    TCP_STATE_ESTABLISHED = 1,
    TCP_STATE_SYN_SENT = 2,
    TCP_STATE_FIN_WAIT2 = 5,
    TCP_STATE_CLOSE = 7,
    TCP_STATE_CLOSE_WAIT = 8,
    TCP_STATE_LISTEN = 10,
};

enum tcp_urgent { URGENT_NONE, URGENT_VALID, URGENT_READ };

struct tcp_sock {
    struct inet_sock i;
    int state;                  /* TCP_STATE_* */
    struct tcp_sock *peer;      /* a reference; it stays when the peer's file is gone (orphan) */
    struct list accepts, accept_node; /* connections that nobody has accepted yet; each is a reference */
    uint32_t accept_count, backlog;
    struct list waiting, waiting_node; /* connecting sockets for which the backlog has no room yet; not counted */
    bool connecting;            /* connect(2) was called and hasn't told that it is done */
    bool spoiled;               /* shut down after a connect that failed: only AF_UNSPEC helps, as in Linux */
    bool fin;                   /* the peer has said that nothing more comes */
    bool orphan;                /* its file is gone */
    bool want_space;            /* somebody was told that there is no room */
    struct mutex read_lock, write_lock;
    uint64_t read_seq, write_seq; /* bytes ever taken from and put into rx */
    enum tcp_urgent urgent;     /* one byte out of band, at urgent_seq */
    uint8_t urgent_byte;
    uint64_t urgent_seq;
};

static inline struct tcp_sock *tcp_sock(struct socket *s)
{
    return (struct tcp_sock *)s;
}

/* The peer won't take more: it reset the connection, or is gone. */
void tcp_reset(struct tcp_sock *t);

/* A socket that a connection to the listener needs, with what it inherits and a reference for the caller. NULL: no memory. */
struct tcp_sock *tcp_embryo(struct tcp_sock *listener);
/* Put an established one, whose reference it takes, before accept(2). */
void tcp_offer(struct tcp_sock *listener, struct tcp_sock *embryo);
bool tcp_accepts_full(const struct tcp_sock *t);

/* --- tcp_io.c --- */

ssize_t tcp_stream_send(struct socket *s, struct socket_msg *msg);
ssize_t tcp_stream_recv(struct socket *s, struct socket_msg *msg);
bool tcp_readable(const struct tcp_sock *t);
bool tcp_writable(const struct tcp_sock *t);
bool tcp_at_mark(const struct tcp_sock *t);
int tcp_inq(const struct tcp_sock *t); /* FIONREAD */

/*
 * What connect(2) waits for, of the sandbox's own connections as of those that lead out. disconnect makes a socket whose
 * attempt has failed ready for the next one.
 */
int tcp_wait_connected(struct tcp_sock *t, uint64_t deadline_ns, int (*disconnect)(struct tcp_sock *t));

/* Where received bytes lie, of one transport: the queue of packets inside, a ring, the stack's packets. */
struct tcp_receiver {
    uint64_t (*count)(const struct tcp_sock *t); /* unread */
    int (*inq)(const struct tcp_sock *t);        /* FIONREAD's answer, where it isn't that. May be NULL */
    /*
     * Copy what fits, from `skip` bytes on (peeking), and take it unless MSG_PEEK. *copied grows. 0: go on when more comes; 1: stop here;
     * -EFAULT: not all of it could be copied. May sleep.
     */
    int (*read)(struct tcp_sock *t, struct socket_msg *msg, uint64_t skip, size_t *copied);
    size_t peek_max;                             /* more can't be seen at once */
};

/* recv(2) of data in line: locks, waits, ends, and tells TCP_INQ. */
ssize_t tcp_receive(struct tcp_sock *t, struct socket_msg *msg, const struct tcp_receiver *r);

/* May bytes be sent in this state? */
static inline bool tcp_may_send(const struct tcp_sock *t)
{
    return t->state == TCP_STATE_ESTABLISHED || t->state == TCP_STATE_CLOSE_WAIT;
}

/* What a sender waits for while its connection is being made. */
int tcp_wait_sendable(struct tcp_sock *t, uint64_t deadline_ns);
/* What send(2) returns after `sent` bytes and err: EPIPE is the socket's error, or a signal. */
ssize_t tcp_send_result(struct socket *s, const struct socket_msg *msg, ssize_t sent, ssize_t err);

#endif
