/*
 * Sockets: what is common to all families, and what a family (or a transport of one) implements.
 *
 * A struct socket belongs to a file; the generic half (net/socket.c, net/options.c, sys/socket*.c) copies arguments, keeps options,
 * waits and reports; the family decides. Families: AF_UNIX (unix*.c), AF_INET and AF_INET6 (inet.c, with tcp.c and udp.c for what
 * stays inside the sandbox), AF_NETLINK (netlink.c).
 *
 * A further transport for AF_INET and AF_INET6 (sockets of the host, packets) plugs in as struct inet_outside (net/inet.h): a socket
 * is handed over when its first address leads out of the sandbox, by replacing its ops.
 *
 * The shim isn't preempted, but copying from and to the app may sleep: between a copy and the use of what was looked at before it,
 * everything is looked at again.
 */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include <asm/siginfo.h>
#include <linux/eventpoll.h>

#include "fs/file.h"
#include "fs/poll.h"
#include "lib/list.h"
#include "net/abi.h"
#include "net/packet.h"

/* An address as the app gave it or will get it; len 0: none. */
struct net_addr {
    uint32_t len;
    union {
        uint16_t family;
        struct sockaddr_un un;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_nl nl;
        struct __kernel_sockaddr_storage storage;
        uint8_t bytes[128];
    };
};

#define UNIX_PATH_OFFSET offsetof(struct sockaddr_un, sun_path)

/* One message to be sent or received. */
struct socket_msg {
    struct iter *data;
    uint32_t flags;          /* MSG_*; with MSG_DONTWAIT if the descriptor is non-blocking */
    struct net_addr *addr;   /* send: the destination or NULL. recv: for the source (len 0 stays if there is none) or NULL */
    const uint8_t *control;  /* send: the ancillary data, the shim's copy */
    size_t control_len;
    uaddr_t control_to;      /* recv: where ancillary data goes, and how much room is left */
    size_t control_room;
    uint32_t out_flags;      /* recv: msg_flags */
};

enum {
    SHUT_RECV = 1, /* nothing more will come */
    SHUT_SEND = 2, /* nothing more may be sent */
    SHUT_MASK = 3,
};

/*
 * What a family implements. A NULL callback answers as its line says. Errors are -errno. Those that may block look at
 * MSG_DONTWAIT or nonblock, honour the socket's timeouts, and return -ERESTARTSYS or -EINTR by socket_wait's result.
 * The caller holds a reference to the file, so the socket stays.
 */
struct socket_ops {
    int (*bind)(struct socket *s, const struct net_addr *addr);                    /* EOPNOTSUPP */
    int (*connect)(struct socket *s, const struct net_addr *addr, bool nonblock);  /* EOPNOTSUPP */
    int (*listen)(struct socket *s, int backlog);                                  /* EOPNOTSUPP; backlog is capped */
    /* A connected socket with a reference for the caller and no file yet; or err_ptr. */
    struct socket *(*accept)(struct socket *s, bool nonblock);                     /* EOPNOTSUPP */
    int (*getname)(struct socket *s, struct net_addr *ret, bool peer);             /* EOPNOTSUPP */
    ssize_t (*send)(struct socket *s, struct socket_msg *msg);
    ssize_t (*recv)(struct socket *s, struct socket_msg *msg);
    uint32_t (*poll)(struct socket *s);
    int (*shutdown)(struct socket *s, int how);                                    /* EOPNOTSUPP; how is valid */
    long (*ioctl)(struct socket *s, uint32_t cmd, uaddr_t arg);                    /* ENOTTY */
    /* Levels other than SOL_SOCKET, and SO_* that only some have. value has len bytes (at most OPTION_MAX). ENOPROTOOPT. */
    int (*setsockopt)(struct socket *s, int level, int name, const void *value, uint32_t len);
    /* Fill buf (OPTION_MAX bytes) and *len, which comes in as the app's; ENOPROTOOPT. */
    int (*getsockopt)(struct socket *s, int level, int name, void *buf, uint32_t *len);
    /* An option of SOL_SOCKET that all have was set. May be NULL. */
    void (*option_set)(struct socket *s, int name);
    /* Some of what it sent has been read: tell writers if there is room now. Never sleeps. May be NULL. */
    void (*write_space)(struct socket *s);
    /* The file is gone: leave peers and names. The struct stays as long as references do. */
    void (*release)(struct socket *s);
    void (*destroy)(struct socket *s); /* the last reference is gone, the struct goes next; may be NULL */
};

#define OPTION_MAX 1024u /* bytes of an option's value */
#define SOMAXCONN 4096
#define BUFFER_DEFAULT 212992u /* /proc/sys/net/core/[rw]mem_default, and _max */

/* SOL_SOCKET's, as far as somebody acts on them or asks for them back. */
struct socket_options {
    uint32_t sndbuf, rcvbuf;
    uint64_t send_timeout_ns, recv_timeout_ns; /* NEVER: none; 0: don't wait */
    int rcvlowat, priority, mark, peek_offset, incoming_cpu;
    int linger_seconds;
    bool sndbuf_set, linger, debug, reuseaddr, reuseport, dontroute, broadcast, keepalive, oobinline, passcred, passpidfd, passsec,
        timestamp, timestamp_ns, rxq_overflow, nofcs, select_err_queue;
};

struct socket {
    uint32_t refs;
    int family, type, protocol;
    const struct socket_ops *ops;
    struct file *file;         /* not counted; NULL: not accepted yet, or closed */
    uint32_t shut;             /* SHUT_RECV, SHUT_SEND */
    int error;                 /* SO_ERROR: positive, reported once */
    bool listening;
    bool no_room;              /* a writer was told so: O_ASYNC tells when there is some */
    struct wait_queue read_wait, write_wait;
    struct packet_queue rx;
    uint64_t send_charge;      /* of packets that it sent and nobody has read yet */
    struct socket_options opt;
    struct ucred owner;        /* whose it is: euid and egid at socket(2) */
    struct ucred peer_cred;    /* SO_PEERCRED; pid 0 and ids -1: none */
};

/* --- life (socket.c) --- */

/* A zeroed struct of size bytes that begins with a struct socket, with one reference. NULL: no memory. */
struct socket *socket_alloc(size_t size, const struct socket_ops *ops, int family, int type, int protocol);
void socket_get(struct socket *s);
void socket_put(struct socket *s);

/* A socket as socket(2) makes it, or err_ptr. type: without flags. */
struct socket *socket_create(int family, int type, int protocol);

/* A file for s, whose reference it takes (also on failure); or err_ptr. flags: O_NONBLOCK or 0. */
struct file *socket_file(struct socket *s, uint32_t flags);
struct socket *socket_of(const struct file *f); /* NULL: f isn't a socket. Borrowed from f */

/* ops->send, for the calls that write. */
ssize_t socket_send(struct socket *s, struct socket_msg *msg);

uint64_t socket_count(void); /* for /proc/net/sockstat */
uint64_t socket_inode_number(const struct socket *s); /* 0: no file */

/* --- waiting and waking --- */

/* Until when a call may wait: 0 (not at all), NEVER, or a time. */
uint64_t socket_deadline(uint64_t timeout_ns, bool nonblock);
int socket_wait_result(int err, uint64_t deadline_ns);

/* Sleep until cond holds: 0, -EAGAIN (time is over), -ERESTARTSYS or, with a timeout, -EINTR (signal(7)). */
#define socket_wait(q, cond, deadline_ns)                                                                            \
    ({                                                                                                               \
        int socket_wait_err_;                                                                                        \
        poll_sleep_begin();                                                                                          \
        socket_wait_err_ = (deadline_ns) == 0 ? ((cond) ? 0 : -ETIMEDOUT)                                            \
                                              : wait_until((q), (cond), (deadline_ns), true);                        \
        poll_sleep_end();                                                                                            \
        socket_wait_result(socket_wait_err_, (deadline_ns));                                                         \
    })

void socket_wake_read(struct socket *s);  /* data or a connection has come */
void socket_wake_write(struct socket *s); /* there is room */
void socket_wake_state(struct socket *s); /* anything may have changed */
void socket_wake_event(struct socket *s, int reason); /* the same, and O_ASYNC tells of it: POLL_IN … */
void socket_set_error(struct socket *s, int error); /* positive; wakes */

/* Has a read of packets anything to tell? */
static inline bool socket_rx_ready(const struct socket *s)
{
    return s->rx.count > 0 || s->error || (s->shut & SHUT_RECV);
}

/*
 * The packet that a read takes next, with the socket's read lock held: dropped while it waits for one. NULL: *err says why; 0 is
 * the end.
 */
struct packet *socket_next_packet(struct socket *s, struct mutex *read_lock, uint64_t deadline_ns, int *err);

int socket_take_error(struct socket *s);      /* -errno and forget it, or 0 */
int socket_broken_pipe(uint32_t msg_flags);   /* -EPIPE, with SIGPIPE unless MSG_NOSIGNAL */

/* --- options (options.c) --- */

int socket_set_option(struct socket *s, int level, int name, const void *value, uint32_t len);
int socket_get_option(struct socket *s, int level, int name, void *buf, uint32_t *len);
void socket_options_init(struct socket_options *o);

/* Helpers for the families' options. */
int option_int(const void *value, uint32_t len, int *ret);       /* -EINVAL if shorter than an int */
int option_put_int(void *buf, uint32_t *len, int value);
int option_put(void *buf, uint32_t *len, const void *value, size_t size);

/* --- ancillary data (ancillary.c) --- */

/* Append one to what the receiver gets; MSG_CTRUNC if it doesn't fit. */
void ancillary_put(struct socket_msg *msg, int level, int type, const void *data, size_t len);
/* SO_TIMESTAMP and SO_TIMESTAMPNS. */
void ancillary_put_time(struct socket *s, struct socket_msg *msg, const struct packet *p);
/* Step through a sender's. *pos: offset, 0 at first. 1: *ret and *data are set; 0: the end; -EINVAL. */
int ancillary_next(const struct socket_msg *msg, size_t *pos, struct cmsghdr_wire *ret, const uint8_t **data);

/* --- families --- */

struct socket *unix_socket(int type, int protocol);
int unix_pair(struct socket *a, struct socket *b);
struct socket *inet_socket(int family, int type, int protocol);
struct socket *netlink_socket(int type, int protocol);

/* For whoever tells an app something through a netlink socket of its (mq_notify(2)). A reference, or err_ptr. */
struct socket *netlink_get(int fd);
void netlink_post(struct socket *s, const void *data, uint32_t len); /* without memory, or nobody there, it is lost */

/* SIOCGIF* on any socket; -ENOIOCTLCMD: not one of them. */
#define ENOIOCTLCMD 515
long netdev_ioctl(uint32_t cmd, uaddr_t arg);

#endif
