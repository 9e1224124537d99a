/* Network devices, as netlink, ioctls and /proc/net tell of them: lo, and whatever a driver adds. */
#ifndef NET_NETDEV_H
#define NET_NETDEV_H

#include "lib/base.h"
#include "lib/list.h"

#define NETDEV_ADDRS_MAX 4

#define NETDEV_UP 0x1u
#define NETDEV_BROADCAST 0x2u
#define NETDEV_LOOPBACK 0x8u
#define NETDEV_RUNNING 0x40u
#define NETDEV_MULTICAST 0x1000u
#define NETDEV_LOWER_UP 0x10000u

struct netdev_addr {
    int family;          /* AF_INET or AF_INET6 */
    uint8_t addr[16];    /* IPv4: the first four bytes */
    uint8_t prefix_len;
    uint8_t scope;       /* RT_SCOPE_* */
};

struct netdev_counts {
    uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
};

struct netdev {
    struct list node;
    int index;
    char name[16];
    uint32_t flags;      /* IFF_* */
    uint32_t mtu, tx_queue_len;
    uint16_t type;       /* ARPHRD_* */
    uint8_t hwaddr[6];
    struct netdev_addr addrs[NETDEV_ADDRS_MAX];
    size_t addr_count;
    bool has_routes;     /* packets take them: netlink and /proc/net/route tell of it */
    bool has_gateway4, has_gateway6; /* the way to everywhere else */
    uint8_t gateway4[4], gateway6[16];
    void (*count)(struct netdev_counts *ret); /* NULL: nobody counts */
};

struct list *netdev_all(void); /* struct netdev by node, in the order of their indexes */
struct netdev *netdev_by_index(int index);
struct netdev *netdev_by_name(const char *name);

#endif
