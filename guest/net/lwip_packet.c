/*
 * AF_PACKET (packet(7)): whole frames of the network device, beside the stack. lo has no frames, so nothing is ever seen or sent there.
 * There is no ring in shared memory and no filter in the kernel.
 */
#include "lwip/pbuf.h"

#include <asm/ioctls.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "drivers/virtio_net.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "net/netdev.h"
#include "net/socket.h"
#include "net/stack.h"

#define SOL_PACKET 263
#define ADDRESS 6u        /* Ethernet's */
#define ADDRESS_AT offsetof(struct sockaddr_ll, sll_addr)
#define HEADER ((uint32_t)ETH_HLEN)
#define LOOPBACK_INDEX 1

struct packet_sock {
    struct socket s;
    struct list node;
    struct mutex read_lock;
    uint16_t protocol;    /* host order; 0: nothing is wanted */
    int ifindex;          /* 0: every device's */
    bool auxdata, origdev, ignore_outgoing;
    uint32_t promiscuous; /* memberships */
    uint32_t packets, drops;
};

static struct list all = LIST_INIT(all);
static const struct packet_sock *sender; /* of the frame that is on its way */
static uint32_t promiscuous;             /* of all sockets */
static const struct socket_ops packet_ops;

static struct packet_sock *packet_sock(struct socket *s)
{
    return (struct packet_sock *)s;
}

static uint16_t swap16(uint16_t v)
{
    return (uint16_t)(v << 8 | v >> 8);
}

/* --- frames --- */

static uint16_t type_of(const uint8_t *frame)
{
    uint16_t type = (uint16_t)(frame[12] << 8 | frame[13]);

    return type >= ETH_P_802_3_MIN ? type : ETH_P_802_2;
}

static uint8_t kind_of(const uint8_t *frame, const struct netdev *dev)
{
    static const uint8_t broadcast[ADDRESS] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

    if (memcmp(frame, broadcast, ADDRESS) == 0)
        return PACKET_BROADCAST;
    if (frame[0] & 1)
        return PACKET_MULTICAST;
    return memcmp(frame, dev->hwaddr, ADDRESS) == 0 ? PACKET_HOST : PACKET_OTHERHOST;
}

static bool wants(const struct packet_sock *ps, uint16_t type, uint8_t kind, int ifindex)
{
    if (ps == sender || (ps->ifindex && ps->ifindex != ifindex) || (ps->s.shut & SHUT_RECV))
        return false;
    if (kind == PACKET_OUTGOING)
        return ps->protocol == ETH_P_ALL && !ps->ignore_outgoing;
    return ps->protocol == ETH_P_ALL || ps->protocol == type;
}

static void queue_frame(struct packet_sock *ps, const struct pbuf *frame, uint8_t kind, const uint8_t *head)
{
    struct socket *s = &ps->s;
    uint16_t skip = s->type == SOCK_DGRAM ? HEADER : 0;
    struct packet *p = s->rx.charge > s->opt.rcvbuf ? NULL : packet_alloc((uint32_t)frame->tot_len - skip);

    ps->packets++;
    if (!p) {
        ps->drops++;
        return;
    }
    p->len = pbuf_copy_partial(frame, p->data, (u16_t)(frame->tot_len - skip), skip);
    p->link.type = type_of(head);
    p->link.kind = kind;
    memcpy(p->link.from, head + ADDRESS, ADDRESS);
    p->charge = packet_truesize(p->len);
    p->time_ns = s->opt.timestamp ? clock_real_ns() : 0;
    packet_push(&s->rx, p);
    socket_wake_read(s);
}

void stack_watch(const struct pbuf *frame, bool outgoing)
{
    const struct netdev *dev = stack_netdev();
    struct packet_sock *ps;
    uint8_t head[ETH_HLEN], kind;

    if (list_empty(&all) || pbuf_copy_partial(frame, head, HEADER, 0) < HEADER)
        return;
    kind = outgoing ? PACKET_OUTGOING : kind_of(head, dev);
    list_for_each(ps, &all, node) {
        if (wants(ps, type_of(head), kind, dev->index))
            queue_frame(ps, frame, kind, head);
    }
}

/* --- sending --- */

struct target {
    const struct netdev *dev;
    uint16_t type;
    uint8_t to[ADDRESS];
};

static int find_target(const struct packet_sock *ps, const struct net_addr *addr, struct target *ret)
{
    const struct sockaddr_ll *ll = (const void *)(addr ? addr->bytes : NULL);
    int ifindex = ps->ifindex;

    *ret = (struct target){ .type = ps->protocol };
    if (ll) {
        if (addr->len < sizeof(*ll) || addr->len < ADDRESS_AT + ll->sll_halen)
            return -EINVAL;
        ifindex = ll->sll_ifindex;
        ret->type = swap16(ll->sll_protocol);
        memcpy(ret->to, ll->sll_addr, ADDRESS);
    }
    ret->dev = netdev_by_index(ifindex);
    if (!ret->dev)
        return -ENXIO;
    return ret->dev->index == LOOPBACK_INDEX ? -EOPNOTSUPP : 0;
}

static ssize_t packet_send(struct socket *s, struct socket_msg *msg)
{
    struct packet_sock *ps = packet_sock(s);
    uint32_t room = s->type == SOCK_DGRAM ? HEADER : 0;
    size_t n = msg->data->left;
    struct target target;
    struct pbuf *p;
    int err = find_target(ps, msg->addr, &target);

    if (err < 0)
        return err;
    if (n + room > target.dev->mtu + HEADER)
        return -EMSGSIZE;
    if (n + room < HEADER)
        return -EINVAL;
    p = pbuf_alloc(PBUF_RAW, (u16_t)(n + room), PBUF_RAM);
    if (!p)
        return -ENOBUFS;
    if (iter_copy_from(msg->data, (uint8_t *)p->payload + room, n) < n) {
        err = -EFAULT;
    } else {
        uint16_t type = swap16(target.type);

        if (room) {
            memcpy(p->payload, target.to, ADDRESS);
            memcpy((uint8_t *)p->payload + ADDRESS, target.dev->hwaddr, ADDRESS);
            memcpy((uint8_t *)p->payload + 2 * ADDRESS, &type, sizeof(type));
        }
        sender = ps;
        err = stack_errno(stack_send_frame(p));
        sender = NULL;
        stack_done();
    }
    pbuf_free(p);
    return err < 0 ? err : (ssize_t)n;
}

/* --- receiving --- */

static void put_auxdata(struct socket_msg *msg, const struct packet *p, bool datagram)
{
    struct tpacket_auxdata aux = { .tp_status = TP_STATUS_USER, .tp_net = datagram ? 0 : HEADER };

    aux.tp_len = aux.tp_snaplen = p->len;
    ancillary_put(msg, SOL_PACKET, PACKET_AUXDATA, &aux, sizeof(aux));
}

static void show(const struct packet *p, struct net_addr *ret)
{
    struct sockaddr_ll ll = { .sll_family = AF_PACKET, .sll_protocol = swap16(p->link.type), .sll_ifindex = stack_netdev()->index,
                              .sll_hatype = stack_netdev()->type, .sll_pkttype = p->link.kind, .sll_halen = ADDRESS };

    memcpy(ll.sll_addr, p->link.from, ADDRESS);
    memcpy(ret->bytes, &ll, sizeof(ll));
    ret->len = sizeof(ll);
}

static ssize_t take_packet(struct packet_sock *ps, struct socket_msg *msg, struct packet *p)
{
    struct socket *s = &ps->s;
    size_t want = MIN((size_t)p->len, msg->data->left);
    uint32_t len = p->len;
    bool fault = iter_copy_to(msg->data, p->data, want) < want;

    if (want < len)
        msg->out_flags |= MSG_TRUNC;
    if (!fault) {
        if (msg->addr)
            show(p, msg->addr);
        if (s->opt.timestamp)
            ancillary_put_time(s, msg, p);
        if (ps->auxdata)
            put_auxdata(msg, p, s->type == SOCK_DGRAM);
    }
    if (!(msg->flags & MSG_PEEK)) {
        packet_unlink(&s->rx, p);
        packet_free(p);
    }
    return fault ? -EFAULT : (ssize_t)(msg->flags & MSG_TRUNC ? len : want);
}

static ssize_t packet_recv(struct socket *s, struct socket_msg *msg)
{
    struct packet_sock *ps = packet_sock(s);
    uint64_t deadline_ns = socket_deadline(s->opt.recv_timeout_ns, msg->flags & MSG_DONTWAIT);
    struct packet *p;
    ssize_t ret;
    int err = 0;

    if (msg->flags & (MSG_OOB | MSG_WAITALL))
        return -EINVAL;
    if (msg->flags & MSG_ERRQUEUE)
        return -EAGAIN;
    stack_look();
    mutex_lock(&ps->read_lock);
    p = socket_next_packet(s, &ps->read_lock, deadline_ns, &err);
    ret = p ? take_packet(ps, msg, p) : err;
    mutex_unlock(&ps->read_lock);
    return ret;
}

static uint32_t packet_poll(struct socket *s)
{
    return EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND | (s->rx.count > 0 ? EPOLLIN | EPOLLRDNORM : 0u) | (s->error ? EPOLLERR : 0u);
}

static long packet_ioctl(struct socket *s, uint32_t cmd, uaddr_t arg)
{
    const struct packet *first = packet_first(&s->rx);
    int value = cmd == FIONREAD && first ? (int)first->len : 0;

    return cmd == FIONREAD || cmd == TIOCOUTQ ? put_user(value, arg) : -ENOIOCTLCMD;
}

/* --- names --- */

static int packet_bind(struct socket *s, const struct net_addr *addr)
{
    struct packet_sock *ps = packet_sock(s);
    const struct sockaddr_ll *ll = (const void *)addr->bytes;

    if (addr->len < sizeof(*ll) || ll->sll_family != AF_PACKET)
        return -EINVAL;
    if (ll->sll_ifindex && !netdev_by_index(ll->sll_ifindex))
        return -ENODEV;
    ps->ifindex = ll->sll_ifindex;
    if (ll->sll_protocol)
        ps->protocol = swap16(ll->sll_protocol);
    return 0;
}

static int packet_getname(struct socket *s, struct net_addr *ret, bool peer)
{
    const struct packet_sock *ps = packet_sock(s);
    const struct netdev *dev = netdev_by_index(ps->ifindex);
    struct sockaddr_ll ll = { .sll_family = AF_PACKET, .sll_protocol = swap16(ps->protocol), .sll_ifindex = ps->ifindex };

    if (peer)
        return -EOPNOTSUPP;
    if (dev) {
        ll.sll_hatype = dev->type;
        ll.sll_halen = ADDRESS;
        memcpy(ll.sll_addr, dev->hwaddr, ADDRESS);
    }
    memcpy(ret->bytes, &ll, sizeof(ll));
    ret->len = (uint32_t)ADDRESS_AT + ll.sll_halen;
    return 0;
}

/* --- options --- */

static void count_promiscuous(struct packet_sock *ps, int change)
{
    bool before = promiscuous > 0;

    ps->promiscuous += (uint32_t)change;
    promiscuous += (uint32_t)change;
    if (before != (promiscuous > 0))
        stack_set_promiscuous(promiscuous > 0);
}

/* The device lets through all that is for several, so only frames for others are of interest. */
static int membership(struct packet_sock *ps, int name, const void *value, uint32_t len)
{
    struct packet_mreq r;

    if (len < sizeof(r))
        return -EINVAL;
    memcpy(&r, value, sizeof(r));
    if (r.mr_alen > sizeof(r.mr_address) || r.mr_type > PACKET_MR_UNICAST)
        return -EINVAL;
    if (!netdev_by_index(r.mr_ifindex))
        return name == PACKET_ADD_MEMBERSHIP ? -ENODEV : 0;
    if (name == PACKET_ADD_MEMBERSHIP && (r.mr_type == PACKET_MR_MULTICAST || r.mr_type == PACKET_MR_UNICAST) && r.mr_alen != ADDRESS)
        return -EINVAL;
    if (r.mr_type != PACKET_MR_PROMISC && r.mr_type != PACKET_MR_UNICAST)
        return 0;
    if (name == PACKET_ADD_MEMBERSHIP)
        count_promiscuous(ps, 1);
    else if (ps->promiscuous > 0)
        count_promiscuous(ps, -1);
    return 0;
}

static bool *flag_of(struct packet_sock *ps, int name)
{
    switch (name) {
    case PACKET_AUXDATA:
        return &ps->auxdata;
    case PACKET_ORIGDEV:
        return &ps->origdev;
    case PACKET_IGNORE_OUTGOING:
        return &ps->ignore_outgoing;
    default:
        return NULL;
    }
}

static int packet_setsockopt(struct socket *s, int level, int name, const void *value, uint32_t len)
{
    struct packet_sock *ps = packet_sock(s);
    bool *flag = flag_of(ps, name);
    int on;

    if (level != SOL_PACKET)
        return -ENOPROTOOPT;
    if (name == PACKET_ADD_MEMBERSHIP || name == PACKET_DROP_MEMBERSHIP)
        return membership(ps, name, value, len);
    if (!flag)
        return -ENOPROTOOPT;
    if (option_int(value, len, &on) < 0 || (name == PACKET_IGNORE_OUTGOING && (on < 0 || on > 1)))
        return -EINVAL;
    *flag = on != 0;
    return 0;
}

/* Lost ones count as packets too, and reading begins anew (packet(7)). */
static int packet_getsockopt(struct socket *s, int level, int name, void *buf, uint32_t *len)
{
    struct packet_sock *ps = packet_sock(s);
    const bool *flag = flag_of(ps, name);

    if (level != SOL_PACKET)
        return -ENOPROTOOPT;
    if (name == PACKET_STATISTICS) {
        struct tpacket_stats stats = { ps->packets, ps->drops };

        ps->packets = ps->drops = 0;
        return option_put(buf, len, &stats, sizeof(stats));
    }
    return flag ? option_put_int(buf, len, *flag) : -ENOPROTOOPT;
}

/* --- life --- */

static void packet_release(struct socket *s)
{
    struct packet_sock *ps = packet_sock(s);

    list_remove(&ps->node);
    if (ps->promiscuous)
        count_promiscuous(ps, -(int)ps->promiscuous);
    packet_queue_purge(&s->rx);
}

struct socket *stack_packet_socket(int type, int protocol)
{
    struct packet_sock *ps;

    if (type != SOCK_RAW && type != SOCK_DGRAM)
        return err_ptr(-ESOCKTNOSUPPORT);
    ps = (struct packet_sock *)socket_alloc(sizeof(*ps), &packet_ops, AF_PACKET, type, protocol);
    if (!ps)
        return err_ptr(-ENOBUFS);
    mutex_init(&ps->read_lock);
    ps->protocol = swap16((uint16_t)protocol);
    list_push_back(&all, &ps->node);
    return &ps->s;
}

static const struct socket_ops packet_ops = {
    .bind = packet_bind,
    .getname = packet_getname,
    .send = packet_send,
    .recv = packet_recv,
    .poll = packet_poll,
    .ioctl = packet_ioctl,
    .setsockopt = packet_setsockopt,
    .getsockopt = packet_getsockopt,
    .release = packet_release,
};
