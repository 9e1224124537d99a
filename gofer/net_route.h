/*
 * How the host would route a destination: one look-up in its tables for each (rtnetlink(7), RTM_GETROUTE), so that addresses that it
 * gets later are known too; and word of changes, for those who remember what they were told.
 */
#ifndef GOFER_NET_ROUTE_H
#define GOFER_NET_ROUTE_H

#include "common/net_policy.h"

struct net_routes {
    int query_fd;
    int change_fd;    /* readable when addresses or routes have changed */
    uint32_t sequence;
};

/* Before the system call filter. 0 or -errno. */
int net_routes_open(struct net_routes *r);
void net_routes_close(struct net_routes *r);

/* Where does it go? What can't be found out counts as NET_ROUTE_NONE: nothing is let out then. */
enum net_route net_routes_look_up(struct net_routes *r, const uint8_t addr[16], uint32_t scope);

/* Take what change_fd has. */
void net_routes_take_changes(struct net_routes *r);

#endif
