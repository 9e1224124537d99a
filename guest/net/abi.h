/* Linux's socket numbers and structures that the uapi headers leave to the C library (socket(2), recv(2), cmsg(3)). */
#ifndef NET_ABI_H
#define NET_ABI_H

#include <asm/socket.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/netlink.h>
#include <linux/socket.h>
#include <linux/un.h>

#include "lib/base.h"

#define AF_UNSPEC 0
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define AF_NETLINK 16
#define AF_PACKET 17
#define AF_MAX 46

#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_RAW 3
#define SOCK_RDM 4
#define SOCK_SEQPACKET 5
#define SOCK_TYPE_MASK 0xf
#define SOCK_MAX 11 /* first type that isn't one */
#define SOCK_NONBLOCK 04000
#define SOCK_CLOEXEC 02000000

#define SHUT_RD 0
#define SHUT_WR 1
#define SHUT_RDWR 2

#define MSG_OOB 0x1u
#define MSG_PEEK 0x2u
#define MSG_CTRUNC 0x8u
#define MSG_TRUNC 0x20u
#define MSG_DONTWAIT 0x40u
#define MSG_EOR 0x80u
#define MSG_WAITALL 0x100u
#define MSG_ERRQUEUE 0x2000u
#define MSG_NOSIGNAL 0x4000u
#define MSG_MORE 0x8000u
#define MSG_WAITFORONE 0x10000u
#define MSG_CMSG_COMPAT 0x80000000u
#define MSG_CMSG_CLOEXEC 0x40000000u

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#define SO_PEERPIDFD 77
#endif

#define SCM_RIGHTS 1
#define SCM_CREDENTIALS 2
#define SCM_MAX_FD 253

#define SOL_TCP 6
#define SOL_UDP 17
#define SOL_IPV6 41
#define SOL_NETLINK 270

struct ucred {
    uint32_t pid, uid, gid;
};

/* struct sock_extended_err (ip(7), IP_RECVERR), whose header wants a C library's struct timespec. */
struct sock_error {
    uint32_t code; /* errno */
    uint8_t origin, type, icmp_code, pad;
    uint32_t info, data;
};
_Static_assert(sizeof(struct sock_error) == 16, "as struct sock_extended_err");

#define SO_EE_ORIGIN_LOCAL 1
#define SO_EE_ORIGIN_ICMP 2
#define SO_EE_ORIGIN_ICMP6 3

struct msghdr_wire {
    uaddr_t name;
    int32_t name_len;
    uint32_t pad;
    uaddr_t iov;
    uint64_t iov_count;
    uaddr_t control;
    uint64_t control_len;
    uint32_t flags;
    uint32_t pad2;
};
_Static_assert(sizeof(struct msghdr_wire) == 56, "as struct user_msghdr");

struct mmsghdr_wire {
    struct msghdr_wire hdr;
    uint32_t len;
    uint32_t pad;
};
_Static_assert(sizeof(struct mmsghdr_wire) == 64, "as struct mmsghdr");

struct cmsghdr_wire {
    uint64_t len; /* with this header */
    int32_t level, type;
};

#define CMSG_ALIGN_UP(n) (((n) + 7ul) & ~7ul)

#endif
