/*
 * A run of bytes on its way from one socket to another, with what travels along: who sent it, descriptors, addresses. Datagrams
 * are one packet each; streams are queues of packets that are consumed from the front.
 */
#ifndef NET_PACKET_H
#define NET_PACKET_H

#include "fs/file.h"
#include "lib/list.h"
#include "net/abi.h"

struct socket;
struct fd_bundle;

/* An end of an internet connection: IPv4 is kept mapped (::ffff:a.b.c.d), so that one comparison serves both. */
struct inet_end {
    uint8_t addr[16];
    uint16_t port; /* host order */
};

struct packet {
    struct list node;
    uint8_t *data;
    uint32_t offset, len;      /* what hasn't been read: data[offset … offset + len) */
    uint32_t capacity;
    uint32_t pages;            /* of data; 0: it follows the struct */
    uint32_t charge;           /* what it counts in the sender's buffer, as Linux counts it */
    struct socket *sender;     /* a reference: whose buffer is charged; NULL: nobody's */
    bool has_cred;
    struct ucred cred;
    struct fd_bundle *fds;     /* SCM_RIGHTS */
    union {
        struct {
            struct inet_end from;
            uint8_t to[16];
            uint8_t ttl, tos;
            uint8_t device;    /* index of the one it came by; 0: lo */
            struct sock_error error; /* in a queue of errors: `from` is where it was to go, `to` who says that it can't */
        } inet;                /* UDP, raw sockets */
        struct {
            uint16_t type;     /* ETH_P_* */
            uint8_t kind;      /* PACKET_HOST … */
            uint8_t from[6];
        } link;                /* AF_PACKET */
    };
    uint64_t time_ns;          /* CLOCK_REALTIME, if somebody wants it */
};

struct packet_queue {
    struct list packets;
    uint32_t count;
    uint64_t bytes;  /* unread */
    uint64_t charge;
};

void packet_queue_init(struct packet_queue *q);
void packet_queue_purge(struct packet_queue *q);

/* A packet with room for capacity bytes, none of them in it yet. NULL: no memory. */
struct packet *packet_alloc(uint32_t capacity);
void packet_free(struct packet *p); /* gives back its charge and descriptors */

/* Count the packet in the send buffer of s (taking a reference), as one of `bytes` bytes. */
void packet_charge(struct packet *p, struct socket *s, size_t bytes);

void packet_push(struct packet_queue *q, struct packet *p);
struct packet *packet_first(const struct packet_queue *q); /* NULL: empty */
void packet_unlink(struct packet_queue *q, struct packet *p);

/* Take n bytes off the front of p, which is in q. */
static inline void packet_consume(struct packet_queue *q, struct packet *p, uint32_t n)
{
    p->offset += n;
    p->len -= n;
    q->bytes -= n;
}

/* What Linux would count for a packet of n bytes: the sender's buffer fills as fast as there. */
uint32_t packet_truesize(size_t n);

#endif
