/* See net_route.h. */
#include "gofer/net_route.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"

#define ANSWER_MAX 4096
#define CHANGES_MAX 64 /* taken in one go */

static int open_netlink(uint32_t groups)
{
    struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = groups };
    const struct sockaddr *sa = (const void *)&addr;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    int err;

    if (fd < 0)
        return -errno;
    if (bind(fd, sa, sizeof(addr)) == 0)
        return fd;
    err = -errno;
    close(fd);
    return err;
}

int net_routes_open(struct net_routes *r)
{
    const uint32_t changes = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;

    *r = (struct net_routes){ open_netlink(0), -1, 0 };
    if (r->query_fd < 0)
        return r->query_fd;
    r->change_fd = open_netlink(changes);
    if (r->change_fd >= 0)
        return 0;
    fd_close(&r->query_fd);
    return r->change_fd;
}

void net_routes_close(struct net_routes *r)
{
    fd_close(&r->query_fd);
    fd_close(&r->change_fd);
}

struct question {
    struct nlmsghdr head;
    struct rtmsg route;
    struct rtattr attr;
    uint8_t dst[16];
};

static size_t make_question(struct question *q, const uint8_t addr[16], uint32_t sequence)
{
    uint32_t v4;
    bool is_v4 = net_mapped_v4(addr, &v4);
    size_t len = is_v4 ? 4 : 16;

    *q = (struct question){
        .head = { .nlmsg_type = RTM_GETROUTE, .nlmsg_flags = NLM_F_REQUEST, .nlmsg_seq = sequence },
        .route = { .rtm_family = is_v4 ? AF_INET : AF_INET6, .rtm_dst_len = (uint8_t)(8 * len) },
        .attr = { (uint16_t)(sizeof(q->attr) + len), RTA_DST },
    };
    memcpy(q->dst, addr + 16 - len, len);
    q->head.nlmsg_len = (uint32_t)(offsetof(struct question, dst) + len);
    return q->head.nlmsg_len;
}

static enum net_route route_of_type(uint8_t type)
{
    switch (type) {
    case RTN_UNICAST:
        return NET_ROUTE_UNICAST;
    case RTN_LOCAL:
    case RTN_ANYCAST:
        return NET_ROUTE_LOCAL;
    case RTN_BROADCAST:
        return NET_ROUTE_BROADCAST;
    case RTN_MULTICAST:
        return NET_ROUTE_MULTICAST;
    default:
        return NET_ROUTE_NONE;
    }
}

enum net_route net_routes_look_up(struct net_routes *r, const uint8_t addr[16], uint32_t scope)
{
    _Alignas(struct nlmsghdr) char answer[ANSWER_MAX];
    const struct nlmsghdr *head = (const void *)answer;
    const struct rtmsg *route = (const void *)(answer + NLMSG_HDRLEN);
    struct question question;
    size_t size = make_question(&question, addr, ++r->sequence);
    ssize_t n;

    (void)scope; /* only link-local addresses have one, and those are refused anyhow */
    if (send(r->query_fd, &question, size, MSG_DONTWAIT) < 0)
        return NET_ROUTE_NONE;
    /* The kernel answers within send(); what is older than the question is left from one that failed. */
    do {
        n = recv(r->query_fd, answer, sizeof(answer), MSG_DONTWAIT);
        if (n < (ssize_t)sizeof(*head))
            return NET_ROUTE_NONE;
    } while (head->nlmsg_seq != r->sequence);
    if (n < (ssize_t)(NLMSG_HDRLEN + sizeof(*route)) || head->nlmsg_type != RTM_NEWROUTE)
        return NET_ROUTE_NONE; /* NLMSG_ERROR: unreachable, prohibited, no route */
    return route_of_type(route->rtm_type);
}

void net_routes_take_changes(struct net_routes *r)
{
    char text[ANSWER_MAX];

    for (unsigned i = 0; i < CHANGES_MAX; i++)
        if (recv(r->change_fd, text, sizeof(text), MSG_DONTWAIT) < 0 && errno != ENOBUFS)
            return;
}
