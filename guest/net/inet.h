/*
 * AF_INET and AF_INET6 (ip(7), ipv6(7)): what TCP and UDP share. inet.c has addresses, ports and names, inet_options.c options,
 * tcp*.c and udp.c the protocols for what stays inside the sandbox: 127.0.0.0/8 and ::1.
 *
 * There are no segments: what is sent is put into the receiver's queue.
 */
#ifndef NET_INET_H
#define NET_INET_H

#include "net/socket.h"

#define ADDR4(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

/* Options that are kept and told back; some act. The index into inet_sock.options. */
enum inet_option {
    OPT_IP_TOS, OPT_IP_TTL, OPT_IP_PKTINFO, OPT_IP_MTU_DISCOVER, OPT_IP_RECVERR, OPT_IP_RECVTTL, OPT_IP_RECVTOS,
    OPT_IP_RETOPTS,
    OPT_IP_FREEBIND, OPT_IP_BIND_NO_PORT, OPT_IP_MULTICAST_TTL, OPT_IP_MULTICAST_LOOP, OPT_IP_RECVORIGDST,
    OPT_V6_ONLY, OPT_V6_HOPS, OPT_V6_PKTINFO, OPT_V6_TCLASS, OPT_V6_RECVTCLASS, OPT_V6_RECVHOPS, OPT_V6_MTU_DISCOVER,
    OPT_V6_RECVERR, OPT_V6_DONTFRAG, OPT_V6_MULTICAST_HOPS, OPT_V6_MULTICAST_LOOP, OPT_V6_AUTOFLOWLABEL,
    OPT_TCP_NODELAY, OPT_TCP_MAXSEG, OPT_TCP_CORK, OPT_TCP_KEEPIDLE, OPT_TCP_KEEPINTVL, OPT_TCP_KEEPCNT, OPT_TCP_SYNCNT,
    OPT_TCP_LINGER2, OPT_TCP_DEFER_ACCEPT, OPT_TCP_WINDOW_CLAMP, OPT_TCP_QUICKACK, OPT_TCP_USER_TIMEOUT,
    OPT_TCP_NOTSENT_LOWAT, OPT_TCP_FASTOPEN, OPT_TCP_THIN, OPT_TCP_INQ,
    INET_OPTION_COUNT,
};

struct inet_sock {
    struct socket s;
    struct inet_end local, remote; /* remote.port 0: not connected */
    bool bound_addr, bound_port;   /* by bind(2): they stay when a connection ends */
    bool named;                    /* it has its port by bind(2), which may have asked for any */
    bool in_ports;
    struct list port_node;
    int options[INET_OPTION_COUNT];
    struct outside_sock *outside;  /* the transport's, once it has adopted the socket */
    struct stack_sock *stack;      /* the same, where that is the stack of packets (net/stack.h) */
    bool has_outside_name;         /* local is what the host calls it */
};

static inline struct inet_sock *inet_sock(struct socket *s)
{
    return (struct inet_sock *)s;
}

/*
 * A transport for what leads out of the sandbox. adopt takes a socket over: it replaces s->ops and keeps what it needs in a
 * struct of its own (the inet_sock stays, with its options and names), after which the call that led here is made again on the
 * new ops. -errno: the call fails with that. NULL: there is no network, and such addresses are ENETUNREACH (EADDRNOTAVAIL
 * for bind).
 */
struct inet_outside {
    int (*adopt)(struct socket *s);
    /*
     * A socket listens, or a datagram socket was bound, on all addresses: its port may have a way in from outside. Connections that come
     * are handed over by tcp_offer. unlisten: it doesn't listen any more.
     */
    void (*listening)(struct socket *s);
    void (*unlisten)(struct socket *s);
    /* Is this an address of the sandbox's own, to which it talks by itself? NULL: there are none but loopback. */
    bool (*is_own)(const uint8_t addr[16]);
    /* Join or leave a multicast group: the options of ip(7) and ipv6(7) for it. Without it there are no groups. */
    int (*membership)(struct socket *s, int level, int name, const void *value, uint32_t len);
    bool (*is_group)(const uint8_t addr[16]);
    /* bind(2) to an address that isn't one of those: it adopts the socket, and sets names. NULL: EADDRNOTAVAIL. */
    int (*bind)(struct inet_sock *i, const struct inet_end *end);
    /* A raw socket (raw(7)), or err_ptr. NULL: there are no packets to be seen or made. */
    struct socket *(*raw)(int family, int protocol);
    /* A packet socket (packet(7)), or err_ptr. NULL: there are no frames. */
    struct socket *(*packet)(int type, int protocol);
};

extern const struct inet_outside *inet_outside;

/* --- addresses (inet.c) --- */

bool inet_is_v4(const uint8_t addr[16]);     /* mapped */
bool inet_is_any(const uint8_t addr[16]);    /* 0.0.0.0 or :: */
bool inet_is_loopback(const uint8_t addr[16]);
bool inet_is_inside(const uint8_t addr[16]); /* loopback, or the sandbox's own */
bool inet_same(const uint8_t a[16], const uint8_t b[16]);

/* What sockets of this family call its end. */
void inet_show(const struct inet_sock *i, const struct inet_end *end, struct net_addr *ret);
int inet_getname(struct socket *s, struct net_addr *ret, bool connected, bool peer);

/* A destination from the app: EINVAL (too short), EAFNOSUPPORT, ENETUNREACH (a mapped one on a v6-only socket). */
int inet_read_addr(const struct inet_sock *i, const struct net_addr *addr, struct inet_end *ret);

/* Where a destination leads: 0 (stays inside; an unspecified address became loopback), 1 (the socket was adopted), -errno. */
int inet_route(struct inet_sock *i, struct inet_end *to);

/* Give it the source address that the destination calls for, unless it has one. EINVAL: they can't meet. */
int inet_choose_source(struct inet_sock *i, const struct inet_end *to);

/* --- ports (inet.c) --- */

struct list *inet_port_bucket(int protocol, uint16_t port); /* of inet_sock by port_node */
#define INET_BUCKETS 256u

/* Does this socket hear what is sent to addr? */
bool inet_hears(const struct inet_sock *i, const uint8_t addr[16]);
/* Is another bound so that this one can't have its port? listening: as listen(2) looks at it. */
bool inet_conflict(const struct inet_sock *i, uint16_t port, bool listening);
int inet_bind(struct socket *s, const struct net_addr *addr, bool idle);
int inet_autobind(struct inet_sock *i);      /* an ephemeral port unless it has one; EADDRINUSE */
void inet_add_port(struct inet_sock *i);     /* into the table at local.port */
void inet_release_port(struct inet_sock *i); /* harmless if it isn't there */
void inet_forget_binding(struct inet_sock *i); /* what wasn't bound by bind(2) */

/* --- options (inet_options.c) --- */

void inet_options_init(struct inet_sock *i);
int inet_setsockopt(struct socket *s, int level, int name, const void *value, uint32_t len);
int inet_getsockopt(struct socket *s, int level, int name, void *buf, uint32_t *len);
int tcp_get_info(struct socket *s, void *buf, uint32_t *len); /* TCP_INFO */

/* --- protocols --- */

struct socket *frame_socket(int type, int protocol); /* AF_PACKET */
struct socket *tcp_socket(int family);
struct socket *udp_socket(int family);
struct socket *ping_socket(int family, int protocol);
int tcp_state(const struct inet_sock *i); /* TCP_* as /proc/net/tcp shows it */

#endif
