/* Options of sockets in the stack. The shim keeps all of them, as for those inside; these act there. */
#include "lwip/priv/tcp_priv.h"
#include "lwip/tcp.h"
#include "lwip/udp.h"

#include <linux/tcp.h>

#include "net/lwip_tcp.h"

#define MSEC_PER_SEC 1000u
#define TCP_HEADERS4 40u /* IP's and TCP's */
#define TCP_HEADERS6 60u

static uint8_t traffic_class(const struct inet_sock *i)
{
    return (uint8_t)(i->s.family == AF_INET6 && i->options[OPT_V6_TCLASS] > 0 ? i->options[OPT_V6_TCLASS] : i->options[OPT_IP_TOS]);
}

static uint8_t hops(const struct inet_sock *i)
{
    return (uint8_t)(i->s.family == AF_INET6 && !inet_is_v4(i->remote.addr) ? i->options[OPT_V6_HOPS] : i->options[OPT_IP_TTL]);
}

static void apply_tcp(const struct inet_sock *i, struct tcp_pcb *pcb)
{
    if (i->options[OPT_TCP_NODELAY])
        tcp_nagle_disable(pcb);
    else
        tcp_nagle_enable(pcb);
    if (i->s.opt.keepalive)
        ip_set_option(pcb, SOF_KEEPALIVE);
    else
        ip_reset_option(pcb, SOF_KEEPALIVE);
    pcb->keep_idle = (u32_t)i->options[OPT_TCP_KEEPIDLE] * MSEC_PER_SEC;
    pcb->keep_intvl = (u32_t)i->options[OPT_TCP_KEEPINTVL] * MSEC_PER_SEC;
    pcb->keep_cnt = (u32_t)i->options[OPT_TCP_KEEPCNT];
    pcb->tos = traffic_class(i);
    pcb->ttl = hops(i);
}

void stack_apply_options(struct socket *s)
{
    const struct inet_sock *i = inet_sock(s);

    if (!i->stack)
        return;
    if (i->stack->udp) {
        i->stack->udp->tos = traffic_class(i);
        i->stack->udp->ttl = hops(i);
        stack_apply_multicast(i, i->stack->udp);
    } else if (i->stack->tcp && !s->listening) {
        apply_tcp(i, i->stack->tcp);
    }
}

int stack_setsockopt(struct socket *s, int level, int name, const void *value, uint32_t len)
{
    const struct inet_sock *i = inet_sock(s);
    int err = inet_setsockopt(s, level, name, value, len);

    if (err < 0 || !i->stack)
        return err;
    stack_apply_options(s);
    if (level == IPPROTO_TCP && (name == TCP_CORK || name == TCP_NODELAY) && !i->options[OPT_TCP_CORK])
        stack_tcp_flush(i->stack);
    return 0;
}

static int get_info(const struct tcp_sock *t, void *buf, uint32_t *len)
{
    const struct tcp_pcb *pcb = stack_of(t)->tcp;
    struct tcp_info info = { .tcpi_state = (uint8_t)t->state };

    if (pcb) {
        info.tcpi_snd_mss = info.tcpi_rcv_mss = info.tcpi_advmss = tcp_mss(pcb);
        info.tcpi_snd_cwnd = pcb->cwnd / tcp_mss(pcb);
        info.tcpi_snd_ssthresh = pcb->ssthresh / tcp_mss(pcb);
        info.tcpi_rto = (u32_t)pcb->rto * TCP_SLOW_INTERVAL * 1000u;
        info.tcpi_rtt = (u32_t)(pcb->sa > 0 ? pcb->sa >> 3 : 0) * TCP_SLOW_INTERVAL * 1000u;
        info.tcpi_retransmits = pcb->nrtx;
        info.tcpi_rcv_space = pcb->rcv_wnd;
        info.tcpi_notsent_bytes = 0;
        info.tcpi_pmtu = tcp_mss(pcb) + (IP_IS_V4(&pcb->remote_ip) ? TCP_HEADERS4 : TCP_HEADERS6);
    }
    return option_put(buf, len, &info, sizeof(info));
}

int stack_getsockopt(struct socket *s, int level, int name, void *buf, uint32_t *len)
{
    const struct stack_sock *k = inet_sock(s)->stack;
    const struct tcp_pcb *pcb = k && s->type == SOCK_STREAM && !s->listening ? k->tcp : NULL;

    if (level == IPPROTO_TCP && name == TCP_INFO && k && s->type == SOCK_STREAM)
        return get_info(tcp_sock(s), buf, len);
    if (pcb && level == IPPROTO_TCP && name == TCP_MAXSEG)
        return option_put_int(buf, len, tcp_mss(pcb));
    if (pcb && ((level == IPPROTO_IP && name == IP_MTU) || (level == IPPROTO_IPV6 && name == IPV6_MTU)))
        return option_put_int(buf, len, (int)(tcp_mss(pcb) + (IP_IS_V4(&pcb->remote_ip) ? TCP_HEADERS4 : TCP_HEADERS6)));
    return inet_getsockopt(s, level, name, buf, len);
}
