/*
 * Host sockets for the sandbox: hypercalls/net.h's other side.
 *
 * The engine's thread does everything here, without ever blocking: messages (net_ops.c), data between rings and sockets
 * (net_stream.c, net_datagram.c), and what the host says of its sockets (net_poll.c). Who may be talked to is net_policy.c's to
 * say, asked for each destination (net_check.c). All of the guest's memory is fetched once and checked; a guest that
 * breaks the queues loses its gofer, one that breaks a socket's ring loses the socket.
 */
#ifndef GOFER_NET_H
#define GOFER_NET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "common/guest_mem.h"
#include "common/net_plan.h"
#include "gofer/net_route.h"
#include "hypercalls/net.h"

struct net_config {
    const struct net_plan *plan; /* borrowed, as everything here */
    uint8_t *arena;
    size_t arena_size;
    int call_fd;                 /* eventfds: an event while the guest idles, while it computes */
    int kick_fd;
    size_t socket_max;
};

struct net_ring {
    uint8_t *base;
    uint32_t size;
};

union net_sockaddr {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

/*
 * Who wrote to a published datagram socket lately: it may be answered, wherever it is. Or to whom a bound one wrote, which may answer:
 * a port that the sandbox chose isn't open to the world by that.
 */
#define NET_KNOWN_PUBLISHED 1024u
#define NET_KNOWN_BOUND 128u

enum { NET_ERRORS_V4 = 1, NET_ERRORS_V6 = 2 };

struct net_socket {
    uint32_t number;
    int fd;
    uint16_t family;   /* AF_INET or AF_INET6 */
    bool datagram;
    bool echo;         /* datagrams are ICMP echo requests and replies */
    bool bound;        /* to a port that the guest chose: only who was written to may write */
    unsigned errors_wanted; /* IP_RECVERR, IPV6_RECVERR: NET_ERRORS_* */
    bool errors_wait;  /* in the host's queue, for room in the rx ring */
    bool connecting;   /* a stream's connect is under way */
    bool connected;
    bool listening;
    bool closing;      /* the guest has closed it; what is in the tx ring still goes out */
    bool ended;        /* nothing more is read: end of file or an error */
    bool urgent;       /* has had out-of-band data: a short read doesn't mean that no more is there */
    bool peer_ended;   /* the host has said so; reads go on to the end of file */
    bool hung_up;      /* both directions have ended */
    bool tx_blocked;   /* the host's buffer was full */
    bool rx_waits;     /* the rx ring was full */
    bool shut_wanted;  /* shutdown(SHUT_WR) once the tx ring is empty */
    bool shut_done;
    bool own_dns;      /* connected to the name service that we are ourselves */
    bool ready;        /* in net.ready */
    struct net_ring tx, rx;
    uint32_t tx_head, rx_tail, state, error_count;
    uint64_t close_deadline_ns;
    struct net_end checked; /* the last destination that was permitted, */
    uint32_t checked_epoch; /* and when */
    struct net_end checked_local; /* the same, of source addresses */
    uint32_t checked_local_epoch;
    const struct net_publish *publish;
    struct net_end *known;  /* of published and bound datagram sockets, or NULL */
    size_t known_count;
    int waiting_fd;         /* listening: a connection that hasn't been taken, or -1 */
    union net_sockaddr waiting_peer;
    struct net_socket *next_ready;
};

struct net_bucket {
    uint64_t rate;     /* bytes a second; 0: no limit */
    uint64_t tokens;
    uint64_t filled_ns;
};

enum { NET_TX, NET_RX };

struct net {
    struct net_config config;
    struct arena_header *arena_header;
    struct net_header *header;
    struct net_block *blocks;
    uint32_t *submit_queue, *event_queue;
    uint8_t *rings;
    size_t rings_size;
    uint32_t submit_head, event_tail;
    struct net_socket *sockets[NET_SOCKET_MAX];
    size_t count;
    size_t closing_count;
    struct net_socket *ready_head, *ready_tail; /* more to do, though no event will say so */
    struct net_routes routes;
    uint32_t epoch;          /* of addresses and routes */
    int epoll_fd;
    unsigned naps;           /* sleeps left that are short because data goes back and forth */
    bool napping;            /* the last sleep was one of them, and nothing has come since */
    bool pushed;             /* events that nobody has been told of */
    bool starved;            /* connections wait because there are too many sockets */
    bool throttled;          /* the ready list waits for tokens */
    uint64_t kick_due_ns;    /* when a computing guest that leaves events alone is kicked; 0: no */
    struct net_bucket bucket[2];
    unsigned refused_lines;
    struct net_end refused[8]; /* said lately: not again */
    uint8_t datagram[NET_DATAGRAM_MAX];
};

/* Before the system call filter. The struct is large. 0 or -errno. */
int net_init(struct net *net, const struct net_config *config);
void net_destroy(struct net *net);

/* --- for the transport's loop --- */

/* Serve what the guest has submitted and what was left over, but not for ever. 0, or -EPROTO: the guest broke the queues. */
int net_run(struct net *net);
/* Cheap: is there anything for net_run? */
bool net_has_work(const struct net *net);
/* Ask the host what has happened to its sockets, without waiting, and deal with it. True if there was something. */
bool net_look(struct net *net);
/* Before sleeping: kick a guest that hasn't taken its events. A timeout in *timeout_ms if one is needed. */
void net_before_sleep(struct net *net, int *timeout_ms);
/* For how long to sleep, before the last look at the queues: -1, or a millisecond while the guest may put off its doorbell. */
int net_begin_sleep(struct net *net);
/* Has nothing come since the last such sleep began? */
static inline bool net_is_napping(const struct net *net)
{
    return net->napping;
}
static inline void net_end_naps(struct net *net)
{
    net->napping = false;
}
/* To be waited for (POLLIN); then net_look. */
static inline int net_poll_fd(const struct net *net)
{
    return net->epoll_fd;
}

/* --- inside --- */

static inline struct net_block *net_block(struct net *net, const struct net_socket *s)
{
    return &net->blocks[s->number];
}

uint64_t net_now_ns(void);

/*
 * Tell the guest that something about s has changed; net_tell then wakes it, which is a switch of threads where cores are short: so once
 * for what one look at the host has found.
 */
void net_push(struct net *net, struct net_socket *s);
void net_tell(struct net *net);
void net_set_state(struct net *net, struct net_socket *s, uint32_t set, uint32_t clear);
void net_set_error(struct net *net, struct net_socket *s, int err); /* positive or negative; 0: nothing */
void net_requeue(struct net *net, struct net_socket *s);            /* look at it again in the next net_run */

/* Takes fd. A socket with this number, watched. 0 or -errno (fd is closed). */
int net_add(struct net *net, uint32_t number, int fd, struct net_socket *model, struct net_socket **ret);
void net_remove(struct net *net, struct net_socket *s); /* closes it at once */
void net_break(struct net *net, struct net_socket *s);  /* the guest broke its ring: reset, and an error */
void net_finish_close(struct net *net, struct net_socket *s);
void net_start_close(struct net *net, struct net_socket *s); /* its tx ring is still to be sent */
void net_reset(const struct net_socket *s);                      /* closing it will reset the connection */

/* Data, as much as goes now. */
void net_send_some(struct net *net, struct net_socket *s);
void net_receive_some(struct net *net, struct net_socket *s);
void net_stream_send(struct net *net, struct net_socket *s);
void net_stream_receive(struct net *net, struct net_socket *s);
void net_datagram_send(struct net *net, struct net_socket *s);
void net_datagram_receive(struct net *net, struct net_socket *s);
bool net_datagram_errors(struct net *net, struct net_socket *s); /* the host's error queue. True if there was something */
void net_serve_names(struct net *net, struct net_socket *s);    /* a stream to the name service that we are */
void net_accept_some(struct net *net, struct net_socket *s);
void net_connected(struct net *net, struct net_socket *s);

/* Ring arithmetic. The spans [at, at + len) of a ring: one or two. */
size_t net_ring_span(const struct net_ring *r, uint32_t at, uint32_t len, struct iovec vec[2]);
/* How full the guest says that the ring is; -EPROTO if that can't be. */
int64_t net_tx_used(struct net *net, const struct net_socket *s);
int64_t net_rx_used(struct net *net, const struct net_socket *s);
/* The tx ring is empty up to tx_head, or less full: tell who wants to know. */
void net_tx_moved(struct net *net, struct net_socket *s, bool empty);
/* The rx ring is full: ask for word of room. False: there is room by now. */
bool net_rx_stall(struct net *net, struct net_socket *s, uint32_t needed);

void net_rx_resume(struct net *net, struct net_socket *s); /* the rx ring is looked at again */

/* Bytes that may pass now, at most wanted; 0: none, s is looked at again later. */
size_t net_take_tokens(struct net *net, struct net_socket *s, int direction, size_t wanted);
void net_return_tokens(struct net *net, int direction, size_t n);

/* --- destinations (net_check.c) --- */

struct net_target {
    union net_sockaddr sa;
    socklen_t size;
    bool own_dns; /* not for the host: we answer */
};

/* May s talk to `end`, and by which address of the host's? 0 or -errno; refusals are told to the operator. */
int net_check(struct net *net, struct net_socket *s, const struct net_end *end, struct net_target *ret);
/* May s have this source address? Unspecified ones leave it to the host. 0, -EADDRNOTAVAIL or -EAFNOSUPPORT. */
int net_check_local(struct net *net, struct net_socket *s, const struct net_end *end, struct net_target *ret);
/* May what comes from there be handed to s? */
bool net_check_source(struct net *net, struct net_socket *s, const struct net_end *end);
void net_remember(struct net_socket *s, const struct net_end *end);
int net_know(struct net_socket *s, size_t count); /* make room for so many. 0 or -ENOMEM */

/* The host's address as the guest is to see it (aliases are put in). */
void net_show(const struct net *net, const union net_sockaddr *sa, struct net_end *ret);

/* --- ancillary data of datagrams (net_control.c) --- */

/* Room for what a message carries. */
union net_control {
    size_t align;
    uint8_t bytes[256];
};

/* What record says of a datagram to an IPv4 or IPv6 address, into msg; local is the source address, or NULL. */
void net_put_control(const struct net_record *record, const struct net_target *local, bool v4, union net_control *room,
                     struct msghdr *msg);
/* What the host says of one that has come. */
void net_take_control(const struct net *net, struct msghdr *msg, struct net_record *record);
/* What its error queue says. False: nothing that is passed on. */
bool net_take_error(const struct net *net, struct msghdr *msg, struct net_record *record);

/* --- options (net_options.c): allow-lists. 0 or -errno --- */
int net_set_option(struct net_socket *s, int level, int name, const void *value, socklen_t size);
int net_get_option(struct net_socket *s, int level, int name, void *value, socklen_t *size);

#endif
