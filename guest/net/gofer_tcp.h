/* Between gofer_tcp.c (connections) and gofer_tcp_io.c (bytes). */
#ifndef NET_GOFER_TCP_H
#define NET_GOFER_TCP_H

#include "net/gofer.h"

ssize_t gofer_tcp_send(struct socket *s, struct socket_msg *msg);
ssize_t gofer_tcp_recv(struct socket *s, struct socket_msg *msg);
bool gofer_tcp_readable(const struct tcp_sock *t);
bool gofer_tcp_writable(const struct tcp_sock *t);
/* Wait until the host has everything, at most so long (SO_LINGER). */
void gofer_tcp_linger(struct tcp_sock *t, uint64_t ns);

#endif
