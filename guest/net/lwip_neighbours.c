/*
 * Neighbours that don't answer. lwIP asks for an address (ARP, RFC 826; neighbour discovery, RFC 4861) and in the end forgets what waited
 * for it; programs are told here, as on Linux after three seconds: EHOSTUNREACH for who connects, or has sent from a connected datagram socket.
 */
#include "lwip/priv/tcp_priv.h"
#include "lwip/udp.h"

#include "arch/cpu.h"
#include "net/netdev.h"
#include "net/stack.h"
#include "net/stack_addr.h"
#include "net/udp.h"
#include "proc/timer.h"

#define PENDING_MAX 64u /* as many as lwIP asks for at once */
#define PATIENCE_NS (3 * NSEC_PER_SEC)
#define ARP_SIZE 42u    /* with Ethernet's header, as what follows */
#define ARP_OPERATION 21u
#define ARP_SENDER 28u
#define ARP_TARGET 38u
#define ND_SIZE 78u
#define ND_NEXT_HEADER 20u
#define ND_TYPE 54u
#define ND_TARGET 62u
#define SOLICITATION 135u
#define ADVERTISEMENT 136u

static struct {
    uint8_t addr[16];
    uint64_t since_ns; /* 0: the place is free */
} pending[PENDING_MAX];

static struct timer timer;

/* --- who is asked for, and who answers --- */

static void put_v4(uint8_t ret[16], const uint8_t *p)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

    memcpy(ret, mapped, sizeof(mapped));
    memcpy(ret + 12, p, 4);
}

/* The address that a frame asks for (a question) or tells of. */
static bool subject(const struct pbuf *p, bool question, uint8_t ret[16])
{
    const uint8_t *f = p->payload;

    if (p->len >= ARP_SIZE && f[12] == 0x08 && f[13] == 0x06) {
        if (question && (f[ARP_OPERATION] != 1 || memcmp(f + ARP_SENDER, f + ARP_TARGET, 4) == 0))
            return false;
        put_v4(ret, f + (question ? ARP_TARGET : ARP_SENDER));
        return true;
    }
    if (p->len >= ND_SIZE && f[12] == 0x86 && f[13] == 0xdd && f[ND_NEXT_HEADER] == IPPROTO_ICMPV6 &&
        f[ND_TYPE] == (question ? SOLICITATION : ADVERTISEMENT)) {
        memcpy(ret, f + ND_TARGET, 16);
        return true;
    }
    return false;
}

static void arm(void)
{
    uint64_t due = 0;

    for (uint32_t i = 0; i < PENDING_MAX; i++)
        if (pending[i].since_ns && (!due || pending[i].since_ns + PATIENCE_NS < due))
            due = pending[i].since_ns + PATIENCE_NS;
    if (due)
        timer_set(&timer, due);
}

void stack_asks(const struct pbuf *frame)
{
    uint32_t place = PENDING_MAX;
    uint8_t addr[16];

    if (!subject(frame, true, addr))
        return;
    for (uint32_t i = 0; i < PENDING_MAX; i++) {
        if (!pending[i].since_ns)
            place = i;
        else if (inet_same(pending[i].addr, addr))
            return;
    }
    if (place == PENDING_MAX)
        return;
    memcpy(pending[place].addr, addr, 16);
    pending[place].since_ns = clock_mono_ns();
    arm();
}

void stack_hears(const struct pbuf *frame)
{
    uint8_t addr[16];

    if (!subject(frame, false, addr))
        return;
    for (uint32_t i = 0; i < PENDING_MAX; i++)
        if (pending[i].since_ns && inet_same(pending[i].addr, addr))
            pending[i].since_ns = 0;
}

bool stack_is_asking(void)
{
    for (uint32_t i = 0; i < PENDING_MAX; i++)
        if (pending[i].since_ns)
            return true;
    return false;
}

/* --- who waits --- */

/* Do packets to addr go to this neighbour? */
static bool goes_to(const uint8_t addr[16], const uint8_t neighbour[16])
{
    const struct netdev *dev = stack_netdev();
    uint8_t gateway[16];
    ip_addr_t a;

    if (inet_same(addr, neighbour))
        return true;
    if (!inet_is_v4(addr))
        return dev->has_gateway6 && inet_same(dev->gateway6, neighbour);
    addr_to_lwip(addr, &a);
    put_v4(gateway, dev->gateway4);
    return dev->has_gateway4 && inet_same(gateway, neighbour) &&
           !ip4_addr_netcmp(ip_2_ip4(&a), netif_ip4_addr(netif_default), netif_ip4_netmask(netif_default));
}

static void fail_connects(const uint8_t neighbour[16])
{
    struct tcp_pcb *next;

    for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = next) {
        struct stack_sock *k = pcb->callback_arg;
        struct socket *s = k ? k->s : NULL;
        uint8_t addr[16];

        next = pcb->next;
        addr_from_lwip(&pcb->remote_ip, addr);
        if (pcb->state != SYN_SENT || !goes_to(addr, neighbour))
            continue;
        tcp_abandon(pcb, 0); /* tells the socket of another error */
        if (s)
            s->error = EHOSTUNREACH;
        next = tcp_active_pcbs; /* the list has changed; those that failed are gone from it */
    }
}

static void fail_datagrams(const uint8_t neighbour[16], uint64_t since_ns)
{
    for (uint32_t b = 0; b < INET_BUCKETS; b++) {
        struct inet_sock *i;

        list_for_each(i, inet_port_bucket(IPPROTO_UDP, (uint16_t)b), port_node) {
            if (i->stack && i->s.type == SOCK_DGRAM && udp_sock(&i->s)->connected && i->stack->sent_ns + NSEC_PER_SEC >= since_ns &&
                goes_to(i->remote.addr, neighbour))
                socket_set_error(&i->s, EHOSTUNREACH);
        }
    }
}

static void give_up(struct timer *t UNUSED)
{
    uint64_t now = clock_mono_ns();

    for (uint32_t i = 0; i < PENDING_MAX; i++) {
        uint64_t since = pending[i].since_ns;

        if (!since || now < since + PATIENCE_NS)
            continue;
        pending[i].since_ns = 0;
        fail_connects(pending[i].addr);
        fail_datagrams(pending[i].addr, since);
    }
    arm();
    stack_done();
}

void stack_neighbours_init(void)
{
    timer.fire = give_up;
}
