/* UDP inside the sandbox (udp(7)), for udp.c and for a transport that adopts such sockets. */
#ifndef NET_UDP_H
#define NET_UDP_H

#include "net/inet.h"

struct udp_sock {
    struct inet_sock i;
    bool connected;
    struct mutex read_lock;
    struct packet *corked; /* UDP_CORK, MSG_MORE: what has been gathered */
    bool cork;
    struct inet_end corked_to;
};

static inline struct udp_sock *udp_sock(struct socket *s)
{
    return (struct udp_sock *)s;
}

/* One of size bytes, which begin with a struct udp_sock, for a transport that makes others of the kind. NULL: no memory. */
struct udp_sock *udp_socket_of(size_t size, int family, int type, int protocol);

#endif
