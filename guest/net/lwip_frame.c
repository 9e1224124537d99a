/*
 * Frames from lwIP's packets. TCP segments that follow each other are joined to one frame that the host cuts up again (segmentation
 * offload, virtio 1.2 §5.1.6.2), since a frame costs the host much more than its bytes do. Checksums of TCP are left to it too.
 */
#include "lwip/err.h"
#include "lwip/pbuf.h"

#include "drivers/virtio_net.h"
#include "lib/string.h"
#include "net/stack.h"

#define ETHERNET_HEADER 14u
#define TYPE_IPV4 0x0800u
#define TYPE_IPV6 0x86ddu
#define PROTOCOL_TCP 6u
#define TCP_HEADER_MIN 20u
#define TCP_CHECKSUM 16u
#define JOIN_MIN 512u       /* smaller payloads aren't worth a large buffer */
#define FLAGS_JOINABLE 0x10u /* ACK; PSH and FIN end a frame */
#define FLAGS_LAST 0x09u

/* A frame that may still grow. */
static struct {
    struct net_buffer *buffer;
    uint32_t headers;  /* bytes up to the payload */
    uint32_t tcp;      /* offset of TCP's header */
    uint32_t mss;      /* payload of each segment but the last */
    uint32_t next_seq;
    bool v6;
} open;

static uint32_t get16(const uint8_t *p)
{
    return (uint32_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
    return get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static uint32_t sum(const uint8_t *p, uint32_t n, uint32_t start)
{
    for (uint32_t i = 0; i < n; i += 2)
        start += get16(p + i);
    return start;
}

static uint32_t fold(uint32_t s)
{
    s = (s >> 16) + (s & 0xffff);
    return (s >> 16) + (s & 0xffff);
}

/* --- headers --- */

/* Where TCP's header is; 0: it isn't a whole TCP segment of ours. */
static uint32_t find_tcp(const uint8_t *frame, uint32_t len, bool *v6)
{
    const uint8_t *ip = frame + ETHERNET_HEADER;
    uint32_t at;

    if (len < ETHERNET_HEADER + 40)
        return 0;
    *v6 = get16(frame + 12) == TYPE_IPV6;
    if (*v6) {
        at = ip[6] == PROTOCOL_TCP ? ETHERNET_HEADER + 40 : 0;
    } else {
        at = get16(frame + 12) == TYPE_IPV4 && ip[9] == PROTOCOL_TCP && (get16(ip + 6) & 0x3fff) == 0
                 ? ETHERNET_HEADER + 4u * (ip[0] & 15)
                 : 0;
    }
    return at && len >= at + TCP_HEADER_MIN ? at : 0;
}

/* Lengths, IP's checksum, and in TCP's the sum of the pseudo-header, from which the host goes on. */
static void finish_headers(struct net_buffer *b, uint32_t tcp, bool v6)
{
    uint8_t *ip = b->data + ETHERNET_HEADER;
    uint32_t len = b->len - tcp, pseudo;

    if (v6) {
        put16(ip + 4, b->len - ETHERNET_HEADER - 40);
        pseudo = sum(ip + 8, 32, len + PROTOCOL_TCP);
    } else {
        put16(ip + 2, b->len - ETHERNET_HEADER);
        put16(ip + 10, 0);
        put16(ip + 10, ~fold(sum(ip, tcp - ETHERNET_HEADER, 0)));
        pseudo = sum(ip + 12, 8, len + PROTOCOL_TCP);
    }
    put16(b->data + tcp + TCP_CHECKSUM, fold(pseudo));
    b->header->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    b->header->csum_start = (uint16_t)tcp;
    b->header->csum_offset = TCP_CHECKSUM;
}

/* --- joining --- */

static void close_frame(struct virtio_net *net)
{
    struct net_buffer *b = open.buffer;

    if (!b)
        return;
    open.buffer = NULL;
    finish_headers(b, open.tcp, open.v6);
    if (b->len - open.headers > open.mss) {
        b->header->gso_type = open.v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
        b->header->gso_size = (uint16_t)open.mss;
        b->header->hdr_len = (uint16_t)open.headers;
    }
    virtio_net_send(net, b);
}

/* Does the segment follow, with headers that differ only in what the host makes anew? */
static bool follows(const uint8_t *head, uint32_t tcp, uint32_t headers, uint32_t payload, bool v6)
{
    const uint8_t *first = open.buffer->data, *t = head + tcp, *f = first + tcp;
    uint32_t address = ETHERNET_HEADER + (v6 ? 8 : 12);

    if (v6 != open.v6 || tcp != open.tcp || headers != open.headers || payload > open.mss ||
        open.buffer->len + payload > ETHERNET_HEADER + UINT16_MAX - 64)
        return false;
    return get32(t + 4) == open.next_seq && (t[13] & ~FLAGS_LAST) == FLAGS_JOINABLE && memcmp(t + 8, f + 8, 4) == 0 &&
           memcmp(t + 14, f + 14, 2) == 0 && memcmp(t, f, 4) == 0 &&
           memcmp(t + TCP_HEADER_MIN, f + TCP_HEADER_MIN, headers - tcp - TCP_HEADER_MIN) == 0 &&
           memcmp(head, first, ETHERNET_HEADER) == 0 && memcmp(head + address, first + address, tcp - address) == 0;
}

static err_t send_alone(struct virtio_net *net, struct pbuf *p, uint32_t tcp, bool v6)
{
    struct net_buffer *b = virtio_net_buffer(net, p->tot_len);

    if (!b)
        return ERR_MEM;
    b->len = p->tot_len;
    pbuf_copy_partial(p, b->data, p->tot_len, 0);
    if (tcp && net->can_checksum)
        finish_headers(b, tcp, v6);
    virtio_net_send(net, b);
    return ERR_OK;
}

static void note_segment(const uint8_t *t, uint32_t payload, struct virtio_net *net)
{
    open.next_seq = get32(t + 4) + payload;
    open.buffer->data[open.tcp + 13] |= t[13] & FLAGS_LAST;
    if (payload < open.mss || (t[13] & FLAGS_LAST & 1))
        close_frame(net);
}

int frame_output_as_is(struct virtio_net *net, struct pbuf *p)
{
    close_frame(net);
    return send_alone(net, p, 0, false);
}

int frame_output(struct virtio_net *net, struct pbuf *p)
{
    const uint8_t *head = p->payload, *t;
    uint32_t headers, payload, tcp;
    bool v6 = false;

    tcp = find_tcp(head, p->len, &v6);
    headers = tcp ? tcp + 4u * (head[tcp + 12] >> 4) : 0;
    t = head + tcp;
    payload = p->tot_len - headers;
    if (!tcp || p->len < headers || payload < JOIN_MIN || !net->can_checksum || (t[13] & ~FLAGS_LAST) != FLAGS_JOINABLE ||
        !(v6 ? net->can_segment6 : net->can_segment4)) {
        close_frame(net); /* the order stays */
        return send_alone(net, p, tcp, v6);
    }
    if (open.buffer && follows(head, tcp, headers, payload, v6)) {
        pbuf_copy_partial(p, open.buffer->data + open.buffer->len, (u16_t)payload, (u16_t)headers);
        open.buffer->len += payload;
        note_segment(t, payload, net);
        return ERR_OK;
    }
    close_frame(net);
    open.buffer = virtio_net_buffer(net, NET_FRAME_MAX);
    if (!open.buffer)
        return send_alone(net, p, tcp, v6);
    open.headers = headers;
    open.tcp = tcp;
    open.mss = payload;
    open.v6 = v6;
    open.buffer->len = p->tot_len;
    pbuf_copy_partial(p, open.buffer->data, p->tot_len, 0);
    note_segment(t, payload, net);
    return ERR_OK;
}

void frame_flush(struct virtio_net *net)
{
    close_frame(net);
    virtio_net_flush(net);
}
