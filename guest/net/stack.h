/*
 * The stack of packets behind a network device: lwIP (guest/net/lwip/ has its settings), the other transport for what leads out of the
 * sandbox (net/inet.h) beside the gofer's sockets.
 *
 * lwip_stack.c has the device, addresses and timers, lwip_frame.c makes frames, lwip_tcp*.c are streams, lwip_udp.c datagrams. The stack
 * never sleeps and isn't entered twice: it is called from the device's poller, from timers and from system calls, and whoever called it
 * ends with stack_done(), which sends what was built.
 */
#ifndef NET_STACK_H
#define NET_STACK_H

#include "lib/base.h"
#include "lib/list.h"

struct inet_sock;
struct iter;
struct netdev;
struct net_piece;
struct pbuf;
struct socket;
struct tcp_pcb;
struct tcp_sock;
struct udp_pcb;
struct virtio_net;
struct virtio_net_hdr_v1;
struct wait_queue;

/* --- for the driver --- */

void stack_add_device(struct virtio_net *net);
/* A frame has come; the memory is the driver's again afterwards. */
void stack_receive(struct virtio_net *net, const struct virtio_net_hdr_v1 *header, const struct net_piece *pieces, uint32_t count);
/* Buffers were all on their way, and some have come back. */
void stack_room(void);

/* --- for boot and the end --- */

/* Addresses: those of the command line, or by DHCP, for which it waits. Before the root is put together. */
void stack_configure(void);
void stack_drain(bool hurry); /* until peers have acknowledged what was sent, for a while */
bool stack_active(void);      /* a peer may answer soon */
bool stack_pending(void);     /* a frame has come that nobody has taken */

/* --- between the files --- */

/* The stack's half of a socket. It outlives the socket while there is something to be sent. */
struct stack_sock {
    struct socket *s;        /* not counted; NULL: closed */
    struct tcp_pcb *tcp;     /* NULL: gone */
    struct udp_pcb *udp;
    const struct socket_ops *inside; /* datagrams: what serves addresses inside */
    struct pbuf *rx, *rx_tail; /* what has come, linked by next */
    uint32_t rx_offset, rx_len; /* read of the first; unread in all */
    struct send_chunk *tx, *tx_tail; /* what hasn't been acknowledged */
    struct send_chunk *tx_pinned;    /* somebody copies into it */
    uint32_t tx_len;
    bool delayed;            /* accepted by the stack beyond the backlog */
    uint64_t sent_ns;        /* datagrams: the last */
    struct list memberships; /* datagrams: multicast groups that it is in */
};

void stack_done(void);
/* Look for frames now: they come without an exit, but only when somebody looks. */
void stack_look(void);
int stack_errno(int err); /* lwIP's err_t as -errno */

/* How a frame is made: of the stack's packet, joined with the one before where a device can segment. An err_t. */
int frame_output(struct virtio_net *net, struct pbuf *p);
int frame_output_as_is(struct virtio_net *net, struct pbuf *p);
void frame_flush(struct virtio_net *net);

int stack_tcp_adopt(struct socket *s);
void stack_tcp_listening(struct socket *s);
void stack_tcp_unlisten(struct socket *s);
int stack_udp_adopt(struct socket *s);
struct socket *stack_raw_socket(int family, int protocol);
struct socket *stack_packet_socket(int type, int protocol);
/* A frame goes in or out: to those who look at all. */
void stack_watch(const struct pbuf *frame, bool outgoing);
/* Neighbours that don't answer: called with each frame of the stack's, and with each that comes. */
void stack_neighbours_init(void);
void stack_asks(const struct pbuf *frame);
void stack_hears(const struct pbuf *frame);
bool stack_is_asking(void);
int stack_send_frame(struct pbuf *p); /* as it is. An err_t */
void stack_set_promiscuous(bool on);
const struct netdev *stack_netdev(void);
/* Multicast: IP_ADD_MEMBERSHIP and its like; what a socket leaves behind; how it sends. */
int stack_membership(struct socket *s, int level, int name, const void *value, uint32_t len);
void stack_leave_all(struct stack_sock *k);
void stack_apply_multicast(const struct inet_sock *i, struct udp_pcb *pcb);
bool stack_is_group(const uint8_t addr[16]);
void stack_apply_options(struct socket *s); /* those that act in the stack */
int stack_setsockopt(struct socket *s, int level, int name, const void *value, uint32_t len);
int stack_getsockopt(struct socket *s, int level, int name, void *buf, uint32_t *len);

#endif
