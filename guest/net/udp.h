/*
 * UDP (udp(7)): udp.c has sockets and what stays inside the sandbox, udp_control.c ancillary data and queues of errors, ping.c sockets
 * for ICMP echo. A transport for what leads out plugs in as struct udp_outside.
 */
#ifndef NET_UDP_H
#define NET_UDP_H

#include "net/inet.h"

struct udp_sock;

/* Where a datagram goes, and how. */
struct udp_head {
    struct inet_end to;
    bool outside;          /* out of the sandbox, */
    bool to_peer;          /* to whom the socket is connected */
    bool has_source;       /* the app chose one (IP_PKTINFO) */
    uint8_t source[16];
    int ttl, tos;          /* -1: as the socket's options say */
};

/*
 * A transport of datagrams that lead out. The socket stays udp.c's: names, ports, options and the receive queue, which the transport
 * fills by udp_receive. inet_outside->adopt sets udp_sock.outside, once.
 */
struct udp_outside {
    /* Send all of data, whose length is at most UDP's; addresses and state have been looked at. 0 or -errno. May sleep unless nonblock. */
    int (*send)(struct udp_sock *u, const struct udp_head *head, struct iter *data, bool nonblock);
    /* connect(2) to a place outside; it may choose local.addr unless bound_addr. NULL: such a connection is dissolved. */
    int (*connect)(struct udp_sock *u, const struct inet_end *to);
    int (*bound)(struct udp_sock *u);      /* bind(2) has given it a name. May be NULL */
    void (*look)(void);                    /* take what has come, now */
    void (*taken)(struct udp_sock *u);     /* the receive queue has become shorter. May be NULL */
    bool (*writable)(struct udp_sock *u);  /* NULL: always */
    void (*release)(struct udp_sock *u);
    /* Of levels other than UDP. */
    int (*setsockopt)(struct socket *s, int level, int name, const void *value, uint32_t len);
    int (*getsockopt)(struct socket *s, int level, int name, void *buf, uint32_t *len);
    void (*option_set)(struct socket *s, int name);
};

struct udp_sock {
    struct inet_sock i;
    bool connected;
    struct mutex read_lock;
    struct packet *corked; /* UDP_CORK, MSG_MORE: what has been gathered */
    struct udp_head corked_head;
    bool cork;
    struct packet_queue errors; /* IP_RECVERR */
    const struct udp_outside *outside; /* NULL: not adopted */
};

static inline struct udp_sock *udp_sock(struct socket *s)
{
    return (struct udp_sock *)s;
}

/* One of size bytes, which begin with a struct udp_sock, for a transport that makes others of the kind. NULL: no memory. */
struct udp_sock *udp_socket_of(size_t size, int family, int type, int protocol);

/* Would it take a datagram that comes now? */
static inline bool udp_has_room(const struct socket *s)
{
    return s->rx.charge <= s->opt.rcvbuf && !(s->shut & SHUT_RECV);
}

/* Into the receive queue. Takes the packet; time_ns 0 becomes now if somebody wants it. */
void udp_receive(struct socket *s, struct packet *p);

/* --- udp.c, for ping.c --- */

/* Where this message goes, in *ret with what ancillary data say: 0, or -errno. */
int udp_read_head(struct udp_sock *u, const struct socket_msg *msg, struct udp_head *ret);
int udp_may_send(struct udp_sock *u); /* 0, or what send(2) fails with */

/* --- udp_control.c --- */

/* What the sender's ancillary data say of head. 0 or -EINVAL. */
int udp_read_control(const struct socket_msg *msg, struct udp_head *head);
/* What the receiver gets with the packet. */
void udp_put_control(struct udp_sock *u, struct socket_msg *msg, const struct packet *p);

/* Does it want a queue of errors (IP_RECVERR), for datagrams to such an address? */
bool udp_wants_errors(const struct udp_sock *u, const uint8_t to[16]);
/* p, whose inet.error is set, comes into the queue of errors. Takes it. */
void udp_push_error(struct udp_sock *u, struct packet *p);
/* p can't be delivered: nobody has the port. Takes it, and tells the sender as ICMP would. */
void udp_unreachable(struct udp_sock *u, struct packet *p, const struct inet_end *to);
ssize_t udp_recv_error(struct udp_sock *u, struct socket_msg *msg); /* MSG_ERRQUEUE */

#endif
