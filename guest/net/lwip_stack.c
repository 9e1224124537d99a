/* lwIP in the shim: the device as its interface, addresses, timers. See stack.h. */
#include "lwip/dhcp.h"
#include "lwip/etharp.h"
#include "lwip/ethip6.h"
#include "lwip/init.h"
#include "lwip/nd6.h"
#include "lwip/netif.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/sys.h"
#include "lwip/timeouts.h"
#include "lwip_hooks.h"
#include "netif/ethernet.h"

#include "arch/bootinfo.h"
#include "arch/cpu.h"
#include "drivers/virtio_net.h"
#include "lib/kmalloc.h"
#include "lib/log.h"
#include "net/netdev.h"
#include "net/stack.h"
#include "net/stack_addr.h"
#include "proc/process.h"
#include "proc/sched.h"
#include "proc/timer.h"

#include <linux/rtnetlink.h>

#define NSEC_PER_MSEC 1000000ull
#define DHCP_WAIT_NS (15 * NSEC_PER_SEC)
#define DRAIN_NS (10 * NSEC_PER_SEC)
#define DRAIN_HURRY_NS (NSEC_PER_SEC / 2)
#define DRAIN_FRAMES_NS (NSEC_PER_SEC / 2)
#define DNS_MAX 3
#define ARPHRD_ETHER 1

static struct virtio_net *device;
static struct netif interface;
static struct timer timer;
static bool room_came;
static bool promiscuous;
static ip_addr_t dns[DNS_MAX];
static ip6_addr_t gateway6;

static struct netdev eth0 = {
    .index = STACK_DEVICE,
    .name = "eth0",
    .flags = NETDEV_UP | NETDEV_BROADCAST | NETDEV_RUNNING | NETDEV_MULTICAST | NETDEV_LOWER_UP,
    .tx_queue_len = 1000,
    .type = ARPHRD_ETHER,
};

/* --- what lwIP asks of its platform --- */

u32_t sys_now(void)
{
    return (u32_t)(clock_mono_ns() / NSEC_PER_MSEC);
}

uint32_t stack_random(void)
{
    uint32_t v;

    random_bytes(&v, sizeof(v));
    return v;
}

_Noreturn void stack_broken(const char *what)
{
    panic("lwIP: %s", what);
}

int stack_errno(int err)
{
    switch (err) {
    case ERR_OK:
        return 0;
    case ERR_MEM:
    case ERR_BUF:
        return -ENOBUFS;
    case ERR_TIMEOUT:
    case ERR_ABRT:
        return -ETIMEDOUT;
    case ERR_RTE:
        return -ENETUNREACH;
    case ERR_USE:
        return -EADDRINUSE;
    case ERR_ALREADY:
        return -EALREADY;
    case ERR_ISCONN:
        return -EISCONN;
    case ERR_CONN:
        return -ENOTCONN;
    case ERR_RST:
        return -ECONNRESET;
    default:
        return -EINVAL;
    }
}

/* --- in and out --- */

static void timer_fired(struct timer *t UNUSED)
{
    sys_check_timeouts();
    stack_done();
}

static void set_timer(void)
{
    u32_t ms = sys_timeouts_sleeptime();
    uint64_t due;

    if (ms == SYS_TIMEOUTS_SLEEPTIME_INFINITE)
        return;
    due = clock_mono_ns() + (ms ? ms : 1) * NSEC_PER_MSEC;
    if (!timer.armed || due + NSEC_PER_MSEC < timer.deadline_ns)
        timer_set(&timer, due);
}

void stack_done(void)
{
    if (room_came) {
        room_came = false;
        tcp_txnow();
    }
    netif_poll(&interface); /* what was sent to a group that we are in too */
    frame_flush(device);
    set_timer();
}

void stack_room(void)
{
    room_came = true;
}

/* What was sent while nobody was in the stack: replies to the room that has come. */
static bool poll_room(void)
{
    if (!room_came)
        return false;
    stack_done();
    return true;
}

void stack_look(void)
{
    if (device)
        virtio_poll();
}

/* The device says if it has looked at the checksum, or if there is none since the frame never was on a wire (§5.1.6.4.2). */
static void say_checksums(const struct virtio_net_hdr_v1 *header)
{
    bool good = header->flags & (VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID);
    u16_t flags = NETIF_CHECKSUM_ENABLE_ALL;

    if (good)
        flags &= (u16_t) ~(NETIF_CHECKSUM_CHECK_TCP | NETIF_CHECKSUM_CHECK_UDP);
    if (device->can_checksum)
        flags &= (u16_t)~NETIF_CHECKSUM_GEN_TCP;
    NETIF_SET_CHECKSUM_CTRL(&interface, flags);
}

/* Others' come too while somebody wants to see them. */
static bool for_us(const uint8_t *frame)
{
    return !promiscuous || frame[0] & 1 || memcmp(frame, device->mac, sizeof(device->mac)) == 0;
}

void stack_receive(struct virtio_net *net UNUSED, const struct virtio_net_hdr_v1 *header, const struct net_piece *pieces,
                   uint32_t count)
{
    uint32_t len = 0;
    struct pbuf *p;
    uint8_t *to;

    for (uint32_t i = 0; i < count; i++)
        len += pieces[i].len;
    if (len > UINT16_MAX) /* lwIP counts in 16 bits */
        return;
    p = pbuf_alloc(PBUF_RAW, (u16_t)len, PBUF_RAM);
    if (!p)
        return;
    to = p->payload;
    for (uint32_t i = 0; i < count; i++) {
        memcpy(to, pieces[i].data, pieces[i].len);
        to += pieces[i].len;
    }
    say_checksums(header);
    stack_watch(p, false);
    stack_hears(p);
    if (!for_us(p->payload)) {
        pbuf_free(p);
        stack_done();
        return;
    }
    if (interface.input(p, &interface) != ERR_OK)
        pbuf_free(p);
    stack_done();
}

static err_t link_output(struct netif *n UNUSED, struct pbuf *p)
{
    stack_watch(p, true);
    stack_asks(p);
    return (err_t)frame_output(device, p);
}

int stack_send_frame(struct pbuf *p)
{
    stack_watch(p, true);
    return frame_output_as_is(device, p);
}

void stack_set_promiscuous(bool on)
{
    promiscuous = on;
    virtio_net_promiscuous(device, on);
}

const ip_addr_t *stack_destination(void)
{
    return ip_current_dest_addr();
}

void stack_source_for(const ip_addr_t *to, uint8_t ret[16])
{
    const ip_addr_t *source = ip_netif_get_local_ip(&interface, to);

    if (source)
        addr_from_lwip(source, ret);
}

/* --- the interface --- */

static err_t interface_init(struct netif *n)
{
    n->name[0] = 'e';
    n->name[1] = 't';
    n->output = etharp_output;
    n->output_ip6 = ethip6_output;
    n->linkoutput = link_output;
    n->mtu = device->mtu;
    n->hwaddr_len = ETH_HWADDR_LEN;
    memcpy(n->hwaddr, device->mac, ETH_HWADDR_LEN);
    n->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP | NETIF_FLAG_IGMP |
               NETIF_FLAG_MLD6;
    n->hostname = system_hostname;
    NETIF_SET_CHECKSUM_CTRL(n, device->can_checksum ? NETIF_CHECKSUM_ENABLE_ALL & ~NETIF_CHECKSUM_GEN_TCP : NETIF_CHECKSUM_ENABLE_ALL);
    return ERR_OK;
}

static uint8_t bits_in(const uint8_t *mask, size_t n)
{
    uint8_t bits = 0;

    for (size_t i = 0; i < n; i++)
        for (uint8_t left = mask[i]; left; left = (uint8_t)(left << 1))
            bits++;
    return bits;
}

static void show_addr(int family, const void *addr, uint8_t prefix, uint8_t scope)
{
    struct netdev_addr *a = &eth0.addrs[eth0.addr_count];

    if (eth0.addr_count == NETDEV_ADDRS_MAX)
        return;
    *a = (struct netdev_addr){ .family = family, .prefix_len = prefix, .scope = scope };
    memcpy(a->addr, addr, family == AF_INET ? 4 : 16);
    eth0.addr_count++;
}

/* What netlink, ioctls and /proc tell: after every change of an address. */
static void show_interface(struct netif *n)
{
    static uint8_t prefix_of[LWIP_IPV6_NUM_ADDRESSES];

    for (size_t i = 0; i < boot_info.nic_addr_count; i++) {
        const uint8_t *a = boot_info.nic_addrs + 17 * i;

        for (int k = 0; k < LWIP_IPV6_NUM_ADDRESSES; k++)
            if (!inet_is_v4(a) && memcmp(netif_ip6_addr(n, k)->addr, a, 16) == 0)
                prefix_of[k] = a[16];
    }
    eth0.addr_count = 0;
    eth0.has_gateway6 = !ip6_addr_isany(&gateway6);
    memcpy(eth0.gateway6, gateway6.addr, 16);
    eth0.has_gateway4 = !ip4_addr_isany(netif_ip4_gw(n));
    memcpy(eth0.gateway4, netif_ip4_gw(n), 4);
    if (!ip4_addr_isany(netif_ip4_addr(n)))
        show_addr(AF_INET, netif_ip4_addr(n), bits_in((const uint8_t *)netif_ip4_netmask(n), 4), RT_SCOPE_UNIVERSE);
    for (int i = 0; i < LWIP_IPV6_NUM_ADDRESSES; i++) {
        const ip6_addr_t *a = netif_ip6_addr(n, i);

        if (ip6_addr_isvalid(netif_ip6_addr_state(n, i)))
            show_addr(AF_INET6, a->addr, prefix_of[i] ? prefix_of[i] : 64,
                      ip6_addr_islinklocal(a) ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE);
    }
}

static bool is_own(const uint8_t addr[16])
{
    for (size_t i = 0; i < eth0.addr_count; i++) {
        const struct netdev_addr *a = &eth0.addrs[i];

        if (a->family == AF_INET ? inet_is_v4(addr) && memcmp(a->addr, addr + 12, 4) == 0 : memcmp(a->addr, addr, 16) == 0)
            return true;
    }
    return false;
}

static void count(struct netdev_counts *ret)
{
    *ret = (struct netdev_counts){ device->rx_frames, device->rx_bytes, device->tx_frames, device->tx_bytes };
}

static int adopt(struct socket *s)
{
    return s->type == SOCK_STREAM ? stack_tcp_adopt(s) : stack_udp_adopt(s);
}

static void listening(struct socket *s)
{
    if (inet_is_loopback(inet_sock(s)->local.addr))
        return;
    if (s->type == SOCK_STREAM)
        stack_tcp_listening(s);
    else
        stack_udp_adopt(s);
}

const struct netdev *stack_netdev(void)
{
    return &eth0;
}

static const struct inet_outside outside = {
    .adopt = adopt,
    .listening = listening,
    .unlisten = stack_tcp_unlisten,
    .is_own = is_own,
    .membership = stack_membership,
    .is_group = stack_is_group,
    .raw = stack_raw_socket,
    .packet = stack_packet_socket,
};

void stack_add_device(struct virtio_net *net)
{
    if (device) {
        klog(LOG_WARN, "network: only the first device is used");
        return;
    }
    device = net;
    timer.fire = timer_fired;
    stack_neighbours_init();
    lwip_init();
    netif_add_noaddr(&interface, NULL, interface_init, ethernet_input);
    netif_set_default(&interface);
    eth0.mtu = net->mtu;
    eth0.has_routes = true;
    eth0.count = count;
    memcpy(eth0.hwaddr, net->mac, sizeof(eth0.hwaddr));
    list_push_back(netdev_all(), &eth0.node);
    inet_outside = &outside;
    sched_add_poller(poll_room);
}

/* --- addresses --- */

static void add_static(const uint8_t *addr, uint8_t prefix)
{
    ip4_addr_t mask;
    ip_addr_t a;
    s8_t index;

    addr_to_lwip(addr, &a);
    if (IP_IS_V4(&a)) {
        ip4_addr_set_u32(&mask, lwip_htonl(prefix ? UINT32_MAX << (32 - prefix) : 0));
        netif_set_addr(&interface, ip_2_ip4(&a), &mask, IP4_ADDR_ANY4);
        return;
    }
    if (netif_add_ip6_address(&interface, ip_2_ip6(&a), &index) == ERR_OK)
        netif_ip6_addr_set_state(&interface, index, IP6_ADDR_PREFERRED);
}

static void add_gateway(const uint8_t *addr)
{
    ip_addr_t a;

    addr_to_lwip(addr, &a);
    if (IP_IS_V4(&a))
        netif_set_gw(&interface, ip_2_ip4(&a));
    else
        gateway6 = *ip_2_ip6(&a);
}

const ip6_addr_t *stack_gateway6(struct netif *n UNUSED, const ip6_addr_t *destination UNUSED)
{
    return ip6_addr_isany(&gateway6) ? NULL : &gateway6; /* NULL: what routers have said of themselves */
}

void dns_setserver(u8_t number, const ip_addr_t *server)
{
    if (number < DNS_MAX)
        dns[number] = *server;
}

/* /etc/resolv.conf as DHCP has it, in place of the empty one that the vmm has put among the mounts. */
static void write_resolv_conf(void)
{
    static char text[DNS_MAX * 32];
    size_t n = 0;

    for (size_t i = 0; i < DNS_MAX; i++) {
        const uint8_t *a = (const uint8_t *)ip_2_ip4(&dns[i]);

        if (IP_IS_V4(&dns[i]) && !ip_addr_isany(&dns[i]))
            n += (size_t)ksnprintf(text + n, sizeof(text) - n, "nameserver %u.%u.%u.%u\n", a[0], a[1], a[2], a[3]);
    }
    for (size_t i = 0; i < boot_info.mount_count; i++) {
        struct boot_mount *m = &boot_info.mounts[i];

        if (m->kind == BOOT_MOUNT_FILE && strcmp(m->dst, "/etc/resolv.conf") == 0 && m->text_len == 0) {
            m->text = text;
            m->text_len = n;
        }
    }
}

static void wait_for_lease(void)
{
    uint64_t deadline = clock_mono_ns() + DHCP_WAIT_NS;

    if (dhcp_start(&interface) != ERR_OK) {
        klog(LOG_WARN, "network: no memory for DHCP");
        return;
    }
    stack_done();
    while (!dhcp_supplied_address(&interface) && clock_mono_ns() < deadline)
        thread_park(MIN(deadline, clock_mono_ns() + 10 * NSEC_PER_MSEC), false);
    if (dhcp_supplied_address(&interface))
        write_resolv_conf();
    else
        klog(LOG_WARN, "network: no answer from a DHCP server; eth0 has no address");
}

void stack_configure(void)
{
    if (!device)
        return;
    netif_set_up(&interface);
    netif_create_ip6_linklocal_address(netif_default, 1);
    netif_ip6_addr_set_state(netif_default, 0, IP6_ADDR_PREFERRED);
    netif_set_ip6_autoconfig_enabled(netif_default, 1);
    for (size_t i = 0; i < boot_info.nic_addr_count; i++)
        add_static(boot_info.nic_addrs + 17 * i, boot_info.nic_addrs[17 * i + 16]);
    for (size_t i = 0; i < boot_info.nic_gateway_count; i++)
        add_gateway(boot_info.nic_gateways + 16 * i);
    if (boot_info.nic_dhcp)
        wait_for_lease();
    netif_set_status_callback(&interface, show_interface);
    show_interface(&interface);
    stack_done();
}

/* --- the end --- */

bool stack_active(void)
{
    return device && tcp_active_pcbs;
}

bool stack_pending(void)
{
    return device && virtq_has_used(&device->rx.vq);
}

/* Does a peer still have to acknowledge something? */
static bool unsent(void)
{
    for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = pcb->next)
        if (pcb->unsent || pcb->unacked)
            return true;
    return false;
}

static bool frames_wait(void)
{
    virtio_reap(&device->tx);
    return device->tx.out > 0;
}

void stack_drain(bool hurry)
{
    uint64_t deadline = clock_mono_ns() + (hurry ? DRAIN_HURRY_NS : DRAIN_NS);

    if (!device)
        return;
    stack_done();
    while (unsent() && clock_mono_ns() < deadline)
        thread_park(clock_mono_ns() + NSEC_PER_MSEC, false);
    /* Datagrams that wait for a neighbour's address, or for the device. */
    deadline = clock_mono_ns() + DRAIN_FRAMES_NS;
    while ((stack_is_asking() || frames_wait()) && clock_mono_ns() < deadline)
        thread_park(clock_mono_ns() + NSEC_PER_MSEC, false);
}
