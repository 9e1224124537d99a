/*
 * What the sandbox may reach of the network, as the vmm has decided it and the gofer enforces it. Part of the launch contract
 * (roles.h). Addresses are IPv6's 16 bytes; IPv4 is mapped (::ffff:a.b.c.d).
 */
#ifndef COMMON_NET_PLAN_H
#define COMMON_NET_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NET_RULE_MAX 1024
#define NET_NAME_MAX 256
#define NET_PUBLISH_MAX 64
#define NET_SERVER_MAX 3

/* --allow: these addresses, at this port. */
struct net_rule {
    uint8_t addr[16];
    uint8_t prefix; /* leading bits of addr that count, 0 to 128 */
    uint16_t port;  /* 0: every port */
};

/* A name of --allow and where it led when the sandbox started: rules [first, first + count). */
struct net_name {
    const char *name;
    size_t first, count;
};

/* --publish: a socket of the host, bound but not listening yet. */
struct net_publish {
    int fd;
    uint16_t port; /* inside */
    uint16_t host_port;
    bool datagram;
};

struct net_plan {
    bool outgoing;      /* --net or --allow */
    bool host_loopback; /* --net=host-loopback: what the host routes as local too */
    bool listed;        /* only what a rule names */
    struct net_rule rules[NET_RULE_MAX];
    size_t rule_count;
    struct net_name names[NET_NAME_MAX];
    size_t name_count;
    struct net_publish publish[NET_PUBLISH_MAX];
    size_t publish_count;
    struct {
        uint8_t addr[16];
        uint32_t scope;
    } servers[NET_SERVER_MAX]; /* the host's name servers */
    size_t server_count;
    bool has_v6;        /* the host has an IPv6 address for the world */
    uint64_t rate;      /* bytes a second each way; 0: as many as there are */
};

#endif
