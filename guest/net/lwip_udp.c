/*
 * Datagrams through lwIP (struct udp_outside in udp.h): what leads out goes to the stack, and what comes is put into the socket's queue.
 */
#include "lwip/udp.h"

#include "arch/cpu.h"
#include "lib/kmalloc.h"
#include "net/stack.h"
#include "net/stack_addr.h"
#include "net/udp.h"

#define PAYLOAD_MAX6 65487u /* lwIP's packets are of 16 bits with all their headers */

/* --- receiving --- */

void stack_take_header(struct packet *packet)
{
    packet->inet.device = STACK_DEVICE;
    addr_from_lwip(stack_destination(), packet->inet.to);
    if (ip_current_is_v6()) {
        packet->inet.ttl = IP6H_HOPLIM(ip6_current_header());
        packet->inet.tos = (uint8_t)IP6H_TC(ip6_current_header());
    } else {
        packet->inet.ttl = IPH_TTL(ip4_current_header());
        packet->inet.tos = IPH_TOS(ip4_current_header());
    }
}

static void on_datagram(void *arg, struct udp_pcb *pcb UNUSED, struct pbuf *p, const ip_addr_t *from, u16_t port)
{
    struct socket *s = ((struct stack_sock *)arg)->s;
    const struct udp_sock *u = udp_sock(s);
    struct packet *packet = NULL;
    struct inet_end source;

    addr_from_lwip(from, source.addr);
    source.port = port;
    if (u->connected && (u->i.remote.port != port || !inet_same(u->i.remote.addr, source.addr)))
        goto drop;
    if (!udp_has_room(s))
        goto drop;
    packet = packet_alloc(p->tot_len);
    if (!packet)
        goto drop;
    packet->len = pbuf_copy_partial(p, packet->data, p->tot_len, 0);
    packet->inet.from = source;
    stack_take_header(packet);
    udp_receive(s, packet);
drop:
    pbuf_free(p);
}

/* --- sending --- */

static int bind_pcb(const struct udp_sock *u, struct udp_pcb *pcb)
{
    ip_addr_t local;

    if (pcb->local_port == u->i.local.port)
        return 0;
    addr_to_lwip(u->i.local.addr, &local);
    return stack_errno(udp_bind(pcb, !inet_is_any(u->i.local.addr) ? &local : u->i.s.family == AF_INET ? IP4_ADDR_ANY : IP_ANY_TYPE,
                                u->i.local.port));
}

/* The app's bytes as a packet with room for headers in front. */
static struct pbuf *gather(struct iter *data, size_t n)
{
    struct pbuf *p = pbuf_alloc(PBUF_TRANSPORT, (u16_t)n, PBUF_RAM);

    if (!p)
        return err_ptr(-ENOBUFS);
    if (iter_copy_from(data, p->payload, n) < n) {
        pbuf_free(p);
        return err_ptr(-EFAULT);
    }
    return p;
}

static int stack_udp_send(struct udp_sock *u, const struct udp_head *head, struct iter *data, bool nonblock UNUSED)
{
    struct stack_sock *k = u->i.stack;
    struct pbuf *p;
    ip_addr_t dst;
    int err;

    if (data->left > PAYLOAD_MAX6)
        return -EMSGSIZE;
    err = bind_pcb(u, k->udp);
    if (err < 0)
        return err;
    p = gather(data, data->left);
    if (is_err(p))
        return (int)ptr_err(p);
    addr_to_lwip(head->to.addr, &dst);
    k->sent_ns = clock_mono_ns();
    err = stack_errno(udp_sendto(k->udp, p, &dst, head->to.port));
    pbuf_free(p);
    stack_done();
    return err;
}

/* --- names --- */

static int stack_udp_connect(struct udp_sock *u, const struct inet_end *to)
{
    ip_addr_t dst;
    int err;

    if (!to)
        return 0;
    err = bind_pcb(u, u->i.stack->udp);
    if (err < 0)
        return err;
    addr_to_lwip(to->addr, &dst);
    if (!u->i.bound_addr) /* programs choose among destinations by that (RFC 6724) */
        stack_source_for(&dst, u->i.local.addr);
    return 0;
}

static int stack_udp_bound(struct udp_sock *u)
{
    return bind_pcb(u, u->i.stack->udp);
}

static void stack_udp_release(struct udp_sock *u)
{
    struct stack_sock *k = u->i.stack;

    stack_leave_all(k);
    stack_done();
    udp_remove(k->udp);
    u->i.stack = NULL;
    kfree(k);
}

static void stack_udp_option_set(struct socket *s, int name UNUSED)
{
    stack_apply_options(s);
}

static const struct udp_outside stack_udp = {
    .send = stack_udp_send,
    .connect = stack_udp_connect,
    .bound = stack_udp_bound,
    .look = stack_look,
    .release = stack_udp_release,
    .setsockopt = stack_setsockopt,
    .getsockopt = inet_getsockopt,
    .option_set = stack_udp_option_set,
};

int stack_udp_adopt(struct socket *s)
{
    struct udp_sock *u = udp_sock(s);
    struct stack_sock *k;
    int err = 0;

    if (u->i.stack)
        return 0;
    k = kzalloc(sizeof(*k));
    if (k)
        k->udp = udp_new_ip_type(s->family == AF_INET ? IPADDR_TYPE_V4 : IPADDR_TYPE_ANY);
    if (!k || !k->udp) {
        kfree(k);
        return -ENOBUFS;
    }
    ip_set_option(k->udp, SOF_REUSEADDR);
    ip_set_option(k->udp, SOF_BROADCAST);
    if (u->i.local.port)
        err = bind_pcb(u, k->udp);
    if (err < 0) {
        udp_remove(k->udp);
        kfree(k);
        return err;
    }
    k->s = s;
    list_init(&k->memberships);
    udp_recv(k->udp, on_datagram, k);
    u->i.stack = k;
    u->outside = &stack_udp;
    stack_apply_options(s);
    return 0;
}
