/* /proc/net: the tables of sockets and devices (proc(5)). */
#include <linux/rtnetlink.h>

#include "fs/procfs.h"
#include "net/inet.h"
#include "net/netdev.h"
#include "net/route.h"
#include "net/tcp.h"
#include "net/unix.h"

#define TCP_LINE 149u /* Linux pads its lines to this and 127 for UDP */
#define UDP_LINE 127u
#define ROUTE_LINE 127u
#define RTF_UP 1u /* <linux/route.h> wants the C library */
#define RTF_GATEWAY 2u

static void put_end(struct seq *s, const struct inet_sock *i, const struct inet_end *end)
{
    const uint8_t *a = end->addr;

    /* words of network order, printed as the machine's own */
    for (int w = i->s.family == AF_INET ? 3 : 0; w < 4; w++)
        seq_printf(s, "%02X%02X%02X%02X", a[4 * w + 3], a[4 * w + 2], a[4 * w + 1], a[4 * w]);
    seq_printf(s, ":%04X", end->port);
}

static void put_socket(struct seq *s, const struct inet_sock *i, int number, bool tcp)
{
    int state = tcp ? tcp_state(i) : i->remote.port ? TCP_STATE_ESTABLISHED : TCP_STATE_CLOSE;
    const struct tcp_sock *t = tcp ? (const struct tcp_sock *)i : NULL;
    unsigned int rx = t && state == TCP_STATE_LISTEN ? t->accept_count : (unsigned int)(tcp ? i->s.rx.bytes : i->s.rx.charge);
    size_t start = s->len;

    seq_printf(s, tcp ? "%4d: " : "%5d: ", number);
    put_end(s, i, &i->local);
    seq_puts(s, " ");
    put_end(s, i, &i->remote);
    seq_printf(s, " %02X %08X:%08X 00:00000000 00000000 %5u        0 %lu %u 0000000000000000%s", (unsigned int)state, 0u, rx,
               i->s.owner.uid, (unsigned long)socket_inode_number(&i->s), i->s.refs, tcp ? " 100 0 0 10 0" : " 0");
    if (i->s.family == AF_INET)
        seq_pad(s, start, tcp ? TCP_LINE : UDP_LINE);
    seq_puts(s, "\n");
}

static int show_inet(struct seq *s, int family, bool tcp)
{
    int number = 0;

    for (uint16_t b = 0; b < INET_BUCKETS; b++) {
        struct list *head = inet_port_bucket(tcp ? IPPROTO_TCP : IPPROTO_UDP, b);
        struct inet_sock *i;

        list_for_each(i, head, port_node) {
            if (i->s.family == family && (!tcp || tcp_state(i) != TCP_STATE_CLOSE))
                put_socket(s, i, number++, tcp);
        }
    }
    return 0;
}

static int show_tcp(struct seq *s, const struct proc_node *node UNUSED)
{
    size_t start = s->len;

    seq_puts(s, "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode");
    seq_pad(s, start, TCP_LINE);
    seq_puts(s, "\n");
    return show_inet(s, AF_INET, true);
}

static int show_tcp6(struct seq *s, const struct proc_node *node UNUSED)
{
    seq_puts(s, "  sl  local_address                         remote_address                        st tx_queue rx_queue tr "
                "tm->when retrnsmt   uid  timeout inode\n");
    return show_inet(s, AF_INET6, true);
}

static int show_udp(struct seq *s, const struct proc_node *node UNUSED)
{
    size_t start = s->len;

    seq_puts(s, "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops");
    seq_pad(s, start, UDP_LINE);
    seq_puts(s, "\n");
    return show_inet(s, AF_INET, false);
}

static int show_udp6(struct seq *s, const struct proc_node *node UNUSED)
{
    seq_puts(s, "  sl  local_address                         remote_address                        st tx_queue rx_queue tr "
                "tm->when retrnsmt   uid  timeout inode ref pointer drops\n");
    return show_inet(s, AF_INET6, false);
}

static void put_unix_name(struct seq *s, const struct unix_name *n)
{
    const char *path = n->addr.sun_path;
    size_t len = n->len - UNIX_PATH_OFFSET;
    bool abstract = path[0] == '\0';

    seq_puts(s, " ");
    if (!abstract)
        len--; /* without the NUL */
    for (size_t i = 0; i < len; i++)
        seq_write(s, path[i] ? &path[i] : "@", 1);
}

static int show_unix(struct seq *s, const struct proc_node *node UNUSED)
{
    struct unix_sock *u;

    seq_puts(s, "Num       RefCount Protocol Flags    Type St Inode Path\n");
    list_for_each(u, &unix_all, all_node) {
        bool listening = u->state == UNIX_LISTENING;
        /* states of a socket, not of a connection: 1 unconnected, 2 connecting (not accepted yet), 3 connected */
        int state = u->state == UNIX_CONNECTED ? (u->s.file ? 3 : 2) : 1;

        if (u->dead)
            continue;
        seq_printf(s, "0000000000000000: %08X %08X %08X %04X %02X %5lu", u->s.refs, 0u, listening ? 0x10000u : 0u,
                   (unsigned int)u->s.type, (unsigned int)state, (unsigned long)socket_inode_number(&u->s));
        if (u->name)
            put_unix_name(s, u->name);
        seq_puts(s, "\n");
    }
    return 0;
}

static int show_dev(struct seq *s, const struct proc_node *node UNUSED)
{
    struct netdev *d;

    seq_puts(s, "Inter-|   Receive                                                |  Transmit\n"
                " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier "
                "compressed\n");
    list_for_each(d, netdev_all(), node) {
        struct netdev_counts c = { 0 };

        if (d->count)
            d->count(&c);
        seq_printf(s, "%6s: %7lu %7lu    0    0    0     0          0         0 %8lu %7lu    0    0    0     0       0          0\n",
                   d->name, (unsigned long)c.rx_bytes, (unsigned long)c.rx_packets, (unsigned long)c.tx_bytes,
                   (unsigned long)c.tx_packets);
    }
    return 0;
}

static int show_if_inet6(struct seq *s, const struct proc_node *node UNUSED)
{
    struct netdev *d;

    list_for_each(d, netdev_all(), node) {
        for (size_t i = 0; i < d->addr_count; i++) {
            const struct netdev_addr *a = &d->addrs[i];

            if (a->family != AF_INET6)
                continue;
            for (int b = 0; b < 16; b++)
                seq_printf(s, "%02x", a->addr[b]);
            /* the scope is Linux's own number: 0x10 for the host's own, 0x20 for the link's */
            seq_printf(s, " %02x %02x %02x %02x %8s\n", (unsigned int)d->index, a->prefix_len,
                       a->scope == RT_SCOPE_LINK ? 0x20u : a->scope == RT_SCOPE_HOST || !d->has_routes ? 0x10u : 0u, 0x80u, d->name);
        }
    }
    return 0;
}

static unsigned int word(const uint8_t *addr)
{
    return (unsigned int)(addr[3] << 24 | addr[2] << 16 | addr[1] << 8 | addr[0]);
}

/* The main table of IPv4. */
static int show_route(struct seq *s, const struct proc_node *node UNUSED)
{
    size_t start = s->len;
    struct route r;

    seq_puts(s, "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT");
    seq_pad(s, start, ROUTE_LINE);
    seq_puts(s, "\n");
    for (size_t i = 0; route_at(i, &r); i++) {
        unsigned int mask = r.prefix_len ? __builtin_bswap32(UINT32_MAX << (32 - r.prefix_len)) : 0;

        if (r.family != AF_INET || r.table != RT_TABLE_MAIN)
            continue;
        start = s->len;
        seq_printf(s, "%s\t%08X\t%08X\t%04X\t0\t0\t0\t%08X\t0\t0\t0", r.dev->name, word(r.dst), word(r.gateway),
                   r.has_gateway ? RTF_UP | RTF_GATEWAY : RTF_UP, mask);
        seq_pad(s, start, ROUTE_LINE);
        seq_puts(s, "\n");
    }
    return 0;
}

static int show_sockstat(struct seq *s, const struct proc_node *node UNUSED)
{
    seq_printf(s, "sockets: used %lu\n", (unsigned long)socket_count());
    return 0;
}

const struct proc_entry proc_net[] = {
    PROC_FILE("dev", 0444, show_dev),
    PROC_FILE("tcp", 0444, show_tcp),
    PROC_FILE("tcp6", 0444, show_tcp6),
    PROC_FILE("udp", 0444, show_udp),
    PROC_FILE("udp6", 0444, show_udp6),
    PROC_FILE("unix", 0444, show_unix),
    PROC_FILE("route", 0444, show_route),
    PROC_TEXT("arp", "IP address       HW type     Flags       HW address            Mask     Device\n"),
    PROC_FILE("if_inet6", 0444, show_if_inet6),
    PROC_FILE("sockstat", 0444, show_sockstat),
    { 0 },
};
