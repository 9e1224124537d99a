/*
 * AF_UNIX (unix(7)), between its files: unix.c (life, connections), unix_name.c (names), unix_io.c (messages), unix_gc.c.
 */
#ifndef NET_UNIX_H
#define NET_UNIX_H

#include "fs/vfs.h"
#include "net/socket.h"

struct unix_name {
    uint32_t refs;
    uint32_t len; /* of the whole address */
    struct sockaddr_un addr;
};

enum unix_state { UNIX_CLOSED, UNIX_LISTENING, UNIX_CONNECTED };

struct unix_sock {
    struct socket s;
    enum unix_state state;
    struct list all_node;
    struct unix_name *name;
    struct path path;               /* of a name in the file system; inode->pipe points back here */
    bool abstract;                  /* name is in the table of abstract names */
    struct list name_node;
    struct unix_sock *peer;         /* a reference */
    struct list clients, client_node; /* datagram sockets whose peer this is */
    struct list accepts, accept_node; /* connections that nobody has accepted yet; each is a reference */
    uint32_t accept_count, backlog; /* backlog: also of datagrams, see unix_rx_full */
    struct wait_queue space_wait;   /* there is room for a connection or a datagram */
    struct mutex read_lock;         /* the queue's front stays while its bytes are copied */
    bool dead;                      /* its file is gone */
    uint32_t in_flight, gc_refs;    /* unix_gc.c */
    bool gc_candidate, gc_reached;
};

#define UNIX_DGRAM_BACKLOG 10u /* /proc/sys/net/unix/max_dgram_qlen */

static inline struct unix_sock *unix_sock(struct socket *s)
{
    return (struct unix_sock *)s;
}

static inline bool unix_is_stream(const struct unix_sock *u)
{
    return u->s.type == SOCK_STREAM;
}

/* As in Linux: writers wait for three quarters of the buffer. */
static inline bool unix_writable(const struct unix_sock *u)
{
    return u->state != UNIX_LISTENING && u->s.send_charge * 4 <= u->s.opt.sndbuf;
}

static inline bool unix_rx_full(const struct unix_sock *u)
{
    return u->s.rx.count > u->backlog;
}

extern struct list unix_all; /* struct unix_sock by all_node */

struct unix_sock *unix_of_file(const struct file *f); /* NULL: something else. Borrowed */

/* --- names (unix_name.c) --- */

void unix_name_put(struct unix_name *n); /* NULL is fine */
struct unix_name *unix_name_get(struct unix_name *n);
void unix_name_show(const struct unix_name *n, struct net_addr *ret); /* NULL: unnamed */

int unix_check_addr(const struct net_addr *addr); /* EINVAL */
int unix_bind(struct socket *s, const struct net_addr *addr);
int unix_autobind(struct unix_sock *u); /* harmless if it has a name */
/* Who has this name, with a reference; ECONNREFUSED, EPROTOTYPE, EACCES, what the walk says. */
struct unix_sock *unix_find(const struct net_addr *addr, int type);
void unix_unname(struct unix_sock *u); /* at its end: nobody finds it any more */

/* --- connections (unix.c), for unix_io.c --- */

void unix_disconnect_dgram(struct unix_sock *u); /* leave the peer */
bool unix_may_send(const struct unix_sock *from, const struct unix_sock *to); /* a connected one hears its peer only */

/* --- messages (unix_io.c) --- */

ssize_t unix_send_stream(struct socket *s, struct socket_msg *msg);
ssize_t unix_recv_stream(struct socket *s, struct socket_msg *msg);
ssize_t unix_send_dgram(struct socket *s, struct socket_msg *msg);
ssize_t unix_recv_dgram(struct socket *s, struct socket_msg *msg);
ssize_t unix_send_seqpacket(struct socket *s, struct socket_msg *msg);
ssize_t unix_recv_seqpacket(struct socket *s, struct socket_msg *msg);

#endif
