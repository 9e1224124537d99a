/* Ancillary data of datagrams, between records and cmsg(3); see net.h. What the host says is passed on as far as a record has room for it. */
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <linux/errqueue.h>

#include "common/net_policy.h"
#include "gofer/net.h"

static void put(struct msghdr *msg, union net_control *room, int level, int type, const void *data, size_t len)
{
    struct cmsghdr *c;

    msg->msg_control = room->bytes;
    c = (struct cmsghdr *)(void *)(room->bytes + msg->msg_controllen);
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(c), data, len);
    msg->msg_controllen += CMSG_SPACE(len);
}

void net_put_control(const struct net_record *record, const struct net_target *local, bool v4, union net_control *room,
                     struct msghdr *msg)
{
    struct in_pktinfo info4 = { 0 };
    struct in6_pktinfo info6 = { 0 };

    if (record->ttl >= 0)
        put(msg, room, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TTL : IPV6_HOPLIMIT, &record->ttl, sizeof(record->ttl));
    if (record->tos >= 0)
        put(msg, room, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS, &record->tos, sizeof(record->tos));
    if (!local)
        return;
    if (local->sa.any.sa_family == AF_INET) {
        info4.ipi_spec_dst = local->sa.in.sin_addr;
        put(msg, room, IPPROTO_IP, IP_PKTINFO, &info4, sizeof(info4));
    } else {
        info6.ipi6_addr = local->sa.in6.sin6_addr;
        put(msg, room, IPPROTO_IPV6, IPV6_PKTINFO, &info6, sizeof(info6));
    }
}

static void show_addr(const struct net *net, const union net_sockaddr *sa, uint8_t ret[16])
{
    struct net_end end;

    net_show(net, sa, &end);
    memcpy(ret, end.addr, 16);
}

static void take_v4(const struct net *net, struct cmsghdr *c, struct net_record *record)
{
    union net_sockaddr sa = { .any.sa_family = AF_INET };
    struct in_pktinfo info;

    if (c->cmsg_type == IP_TTL) {
        memcpy(&record->ttl, CMSG_DATA(c), sizeof(record->ttl));
    } else if (c->cmsg_type == IP_TOS) {
        record->tos = *CMSG_DATA(c);
    } else if (c->cmsg_type == IP_PKTINFO) {
        memcpy(&info, CMSG_DATA(c), sizeof(info));
        sa.in.sin_addr = info.ipi_addr;
        show_addr(net, &sa, record->local);
    }
}

static void take_v6(const struct net *net, struct cmsghdr *c, struct net_record *record)
{
    union net_sockaddr sa = { .any.sa_family = AF_INET6 };
    struct in6_pktinfo info;

    if (c->cmsg_type == IPV6_HOPLIMIT) {
        memcpy(&record->ttl, CMSG_DATA(c), sizeof(record->ttl));
    } else if (c->cmsg_type == IPV6_TCLASS) {
        memcpy(&record->tos, CMSG_DATA(c), sizeof(record->tos));
    } else if (c->cmsg_type == IPV6_PKTINFO) {
        memcpy(&info, CMSG_DATA(c), sizeof(info));
        sa.in6.sin6_addr = info.ipi6_addr;
        show_addr(net, &sa, record->local);
    }
}

static void take_time(struct cmsghdr *c, struct net_record *record)
{
    struct timespec t;

    if (c->cmsg_type != SO_TIMESTAMPNS)
        return;
    memcpy(&t, CMSG_DATA(c), sizeof(t));
    record->time_ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void net_take_control(const struct net *net, struct msghdr *msg, struct net_record *record)
{
    record->ttl = record->tos = -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level == IPPROTO_IP)
            take_v4(net, c, record);
        else if (c->cmsg_level == IPPROTO_IPV6)
            take_v6(net, c, record);
        else if (c->cmsg_level == SOL_SOCKET)
            take_time(c, record);
    }
}

static bool is_error(const struct cmsghdr *c)
{
    return (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
           (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR);
}

bool net_take_error(const struct net *net, struct msghdr *msg, struct net_record *record)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        union net_sockaddr offender = { 0 };
        struct sock_extended_err e;
        size_t rest;

        if (!is_error(c) || c->cmsg_len < CMSG_LEN(sizeof(e)))
            continue;
        memcpy(&e, CMSG_DATA(c), sizeof(e));
        if (e.ee_origin != SO_EE_ORIGIN_LOCAL && e.ee_origin != SO_EE_ORIGIN_ICMP && e.ee_origin != SO_EE_ORIGIN_ICMP6)
            return false;
        rest = c->cmsg_len - CMSG_LEN(sizeof(e));
        memcpy(&offender, CMSG_DATA(c) + sizeof(e), rest < sizeof(offender) ? rest : sizeof(offender));
        if (offender.any.sa_family == AF_INET || offender.any.sa_family == AF_INET6)
            show_addr(net, &offender, record->local);
        record->error = (struct net_error){ e.ee_errno, e.ee_origin, e.ee_type, e.ee_code, 0, e.ee_info, e.ee_data };
        record->flags |= NET_RECORD_ERROR;
        return true;
    }
    return false;
}
