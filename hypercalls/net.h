/*
 * Sockets of the host through the gofer: the memory that guest and gofer share for them, and what goes over it.
 *
 * The net region lies behind the first ARENA_SIZE bytes of the arena and exists only if the sandbox has a network. It has a
 * header, two queues of socket numbers, a control block for each socket, and ring memory that the guest hands out as it
 * likes. Everything about a socket that isn't data goes by messages (p9.h, Tn…); a warm send or receive takes none:
 *
 *   - The guest puts bytes (streams) or records (datagrams) into a socket's tx ring, moves tx_tail, and if the block's
 *     `submitted` was 0 makes it 1 and puts the socket's number into the submit queue. The gofer needs a doorbell only if
 *     arena_header.gofer_polling is 0. While `napping` is 1 the gofer looks again within a millisecond: the doorbell may wait until
 *     the guest has put together what it sends, if it rings before it idles.
 *   - The gofer puts what it received into the rx ring, moves rx_tail, changes `state`, and if `evented` was 0 makes it 1
 *     and puts the number into the event queue. Whoever takes a number out of a queue first clears the flag, then looks.
 *   - Readiness is what the block says; nobody asks. The gofer tells of room in a tx ring only if `want` asks for it, the
 *     guest of room in an rx ring only if `rx_stalled` is 1. Both are looked at after a full barrier behind the index's store.
 *
 * Indexes run freely (they aren't reduced to the ring's size). Everything that the guest writes is hostile to the gofer.
 */
#ifndef HYPERCALLS_NET_H
#define HYPERCALLS_NET_H

#include "arena.h"

#define NET_SOCKET_MAX 16384u
#define NET_REGION_SIZE (256u << 20)

/* Offsets from the region's start. */
#define NET_SUBMIT_OFFSET 0x10000u
#define NET_EVENT_OFFSET 0x20000u
#define NET_BLOCK_OFFSET 0x200000u
#define NET_RINGS_OFFSET 0x400000u

#define NET_RING_MIN 4096u          /* ring sizes are powers of two, and offsets multiples of NET_RING_MIN */
#define NET_RING_MAX (1u << 20)
#define NET_RECORD_RING_MIN (128u << 10) /* of a datagram socket: the longest record fits */

struct net_header {
    /* Guest. */
    uint32_t submit_tail;
    uint32_t event_head;
    uint32_t kick;              /* 1: the app computes while threads wait for sockets: events must kick it */
    uint32_t reserved[13];
    /* Gofer. */
    uint32_t submit_head;
    uint32_t event_tail;
    uint32_t napping;
};

/* Bits of net_block.state; set by the gofer, and cleared by it alone. */
enum net_state {
    NET_CONNECTED = 1u << 0, /* connect has succeeded, or it was accepted */
    NET_EOF = 1u << 1,       /* nothing comes behind rx_tail */
    NET_HUP = 1u << 2,       /* both directions have ended */
    NET_URGENT = 1u << 3,    /* out-of-band data is there */
    NET_ACCEPT = 1u << 4,    /* a connection waits */
    NET_RELEASED = 1u << 6,  /* closed, and its last data went out: number and rings are the guest's again */
    NET_NO_SEND = 1u << 7,   /* what is sent is lost: the peer has gone */
};

#define NET_WANT_ROOM 1u /* net_block.want: tell when the tx ring has become less full */

struct net_block {
    /* Guest. */
    uint32_t tx_tail;
    uint32_t rx_head;
    uint32_t want;
    uint32_t submitted;         /* guest sets, gofer clears */
    uint32_t reserved0[12];
    /* Gofer. */
    uint32_t tx_head;
    uint32_t rx_tail;
    uint32_t state;
    uint32_t error;             /* the latest error (SO_ERROR), a positive errno, */
    uint32_t error_count;       /* and how many there were */
    uint32_t rx_stalled;        /* the rx ring was full */
    uint32_t evented;           /* gofer sets, guest clears */
    uint32_t reserved1[9];
};

/* An address: IPv4 is mapped (::ffff:a.b.c.d). Port and scope in host order. */
struct net_end {
    uint8_t addr[16];
    uint32_t scope;
    uint16_t port;
    uint16_t family;            /* 0: none; else AF_INET or AF_INET6 */
};

/* What the host's error queue says of a datagram (ip(7), IP_RECVERR). */
struct net_error {
    uint32_t code;              /* a positive errno */
    uint8_t origin, type, icmp_code, pad;
    uint32_t info, data;
};

/* A datagram in a ring: this, its bytes, padding to NET_RECORD_ALIGN. May wrap around the ring's end anywhere. */
#define NET_RECORD_ALIGN 16u
#define NET_DATAGRAM_MAX 65535u
struct net_record {
    uint32_t length;            /* bytes that follow */
    uint32_t flags;             /* enum net_record_flag */
    struct net_end end;         /* tx: destination, family 0: the connected peer; rx: source, of an error the destination */
    uint8_t local[16];          /* tx: the source wanted; rx: the destination, of an error who said so; zeroes: none, not known */
    union {
        struct {
            int32_t ttl, tos;   /* -1: as the socket's options say, not known */
            uint64_t time_ns;   /* rx: when the host got it, CLOCK_REALTIME; 0: not known */
        };
        struct net_error error; /* NET_RECORD_ERROR */
    };
};

enum net_record_flag {
    NET_RECORD_ERROR = 1u << 0, /* rx: not a datagram that came, but one that couldn't be delivered */
};

/*
 * Addresses that stand for something else. Link-local ones are never let out, so nothing is hidden behind them.
 */
#define NET_DNS_COUNT 3
#define NET_DNS_ADDR(i) (0xa9fe3535u + (uint32_t)(i)) /* 169.254.53.53 and the next two: the host's name servers */
#define NET_HOST_ADDR 0xa9fe3501u                     /* 169.254.53.1: the host's 127.0.0.1, with --net=host-loopback */
#define NET_DNS_PORT 53

/* Tnbind's flags. */
#define NET_BIND_EXACT 1u  /* else a port that can't be had is no error: the host chooses another, as address translation does */

/* Tnclose's flags. */
#define NET_CLOSE_ABORT 1u /* reset rather than finish */

_Static_assert(sizeof(struct net_block) == 128, "ABI");
_Static_assert(sizeof(struct net_end) == 24, "ABI");
_Static_assert(sizeof(struct net_error) == 16, "ABI");
_Static_assert(sizeof(struct net_record) == 64, "ABI");
_Static_assert(NET_BLOCK_OFFSET + NET_SOCKET_MAX * sizeof(struct net_block) <= NET_RINGS_OFFSET, "the blocks fit");
_Static_assert((NET_SOCKET_MAX & (NET_SOCKET_MAX - 1)) == 0, "the queues' size is a power of two");

#endif
