/* Between lwip_tcp.c (connections) and lwip_tcp_io.c (bytes). */
#ifndef NET_LWIP_TCP_H
#define NET_LWIP_TCP_H

#include "net/stack.h"
#include "net/tcp.h"

static inline struct stack_sock *stack_of(const struct tcp_sock *t)
{
    return t->i.stack;
}

ssize_t stack_tcp_send(struct socket *s, struct socket_msg *msg);
ssize_t stack_tcp_recv(struct socket *s, struct socket_msg *msg);
bool stack_tcp_readable(const struct tcp_sock *t);
bool stack_tcp_writable(const struct tcp_sock *t);

/* Segments that came, which it takes. */
void stack_rx_add(struct stack_sock *k, struct pbuf *p);
void stack_rx_purge(struct stack_sock *k);
/* n bytes of what was sent are with the peer. */
void stack_tx_acked(struct stack_sock *k, uint32_t n);
void stack_tx_purge(struct stack_sock *k);
/* Send what was held back. */
void stack_tcp_flush(struct stack_sock *k);

#endif
