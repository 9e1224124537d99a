/*
 * virtio-net's frames (§5.1.6). The header is copied once, checked, and only the copy is handed to the host; the frame itself goes
 * between the driver's memory and the wire without a look, but for its first bytes, by which it is filtered.
 */
#include "devices/net.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "common/checked.h"
#include "common/iov.h"

#define RUN_MAX 64u       /* frames each way in one go */
#define ETHERNET_HEADER 14u
#define VLAN_HEADER 4u
#define FRAME_MAX (65535u + ETHERNET_HEADER)
/* The part of a frame that is read into our own memory first: what the filter looks at. */
#define HEAD_SIZE (NET_HEADER_SIZE + ETHERNET_HEADER)

#define BIT(feature) (1ull << (feature))
#define GUEST_OFFLOADS                                                                             \
    (BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6) |   \
     BIT(VIRTIO_NET_F_GUEST_ECN))
#define HOST_OFFLOADS                                                                              \
    (BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) | BIT(VIRTIO_NET_F_HOST_ECN))

_Static_assert(NET_IOV_MAX >= VIRTQ_CHAIN_MAX + 2, "a chain and our own pieces fit");

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct vnet *vnet_of(struct virtio_device *dev)
{
    return dev->data;
}

static bool may_go(struct bucket *b, struct virtio_served *served)
{
    uint64_t when;

    if (!b->rate || bucket_ready(b, now_ns(), &when))
        return true;
    if (when < served->wait_ns)
        served->wait_ns = when;
    return false;
}

/* --- from the driver --- */

/* May the host see this header? Segmentation must have been negotiated (§5.1.6.2.2), and needs a checksum. */
static bool header_is_good(const struct virtio_device *dev, const struct virtio_net_hdr_v1 *h)
{
    uint8_t gso = h->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;

    if (h->flags & ~VIRTIO_NET_HDR_F_NEEDS_CSUM)
        return false;
    if (h->flags && !virtio_has_feature(dev, VIRTIO_NET_F_CSUM))
        return false;
    if (h->gso_type & VIRTIO_NET_HDR_GSO_ECN && !virtio_has_feature(dev, VIRTIO_NET_F_HOST_ECN))
        return false;
    switch (gso) {
    case VIRTIO_NET_HDR_GSO_NONE:
        return !(h->gso_type & VIRTIO_NET_HDR_GSO_ECN);
    case VIRTIO_NET_HDR_GSO_TCPV4:
        return h->flags && h->gso_size && virtio_has_feature(dev, VIRTIO_NET_F_HOST_TSO4);
    case VIRTIO_NET_HDR_GSO_TCPV6:
        return h->flags && h->gso_size && virtio_has_feature(dev, VIRTIO_NET_F_HOST_TSO6);
    default:
        return false;
    }
}

/* A frame that the host doesn't take is lost, as on a wire. Without a whole header the driver is broken. */
static int send_frame(struct vnet *net, const struct virtq_chain *c)
{
    struct virtio_net_hdr_v1 header;
    uint64_t len;
    size_t count;

    if (c->in_size < sizeof(header) || c->out_size)
        return -EPROTO;
    len = c->in_size - sizeof(header);
    if (len < ETHERNET_HEADER || len > FRAME_MAX)
        return 0;
    iov_read(&header, c->in, c->in_count, 0, sizeof(header));
    header.num_buffers = 0;
    if (!header_is_good(&net->dev, &header))
        return 0;
    net->iov[0] = (struct iovec){ &header, sizeof(header) };
    count = iov_slice(c->in, c->in_count, sizeof(header), len, net->iov + 1);
    if (!net->closed)
        (void)net->wire->ops->write(net->wire, net->iov, (int)count + 1);
    bucket_take(&net->sent, len);
    return 0;
}

/* Without a wire all frames can be lost at once. */
static bool can_send(struct vnet *net)
{
    net->blocked = !net->closed && net->wire->ops->ready && !net->wire->ops->ready(net->wire);
    return !net->blocked;
}

static int serve_tx(struct vnet *net, struct virtq *q, struct virtio_served *served)
{
    unsigned n;

    for (n = 0; n < RUN_MAX && can_send(net) && virtq_has_avail(q) && may_go(&net->sent, served); n++) {
        int got = virtq_pop(q, &net->chain);

        if (got < 0 || send_frame(net, &net->chain) < 0)
            return -EPROTO;
        virtq_push(q, net->chain.head, 0);
        served->progress = true;
    }
    if (n)
        virtio_notify(&net->dev, q);
    return 0;
}

/* --- to the driver --- */

static struct virtq_chain *held(struct vnet *net, uint16_t i)
{
    return &net->held[(net->held_first + i) % NET_HELD_MAX];
}

/* The longest frame that may come, with its header. */
static uint64_t longest_frame(const struct vnet *net)
{
    uint32_t mtu = net->wire->mtu > net->config.mtu ? net->wire->mtu : net->config.mtu;

    if (net->dev.accepted & (BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6)) || mtu > FRAME_MAX - VLAN_HEADER)
        return NET_HEADER_SIZE + FRAME_MAX;
    return NET_HEADER_SIZE + ETHERNET_HEADER + VLAN_HEADER + mtu;
}

/*
 * Buffers for one frame of any size. Returns the room in them; 0: the driver has put too little there so far; -EPROTO. What is held is
 * used though it may be too little where no more can come: without merging, and when it is as much as the queue can hold.
 */
static int64_t gather(struct vnet *net, struct virtq *q)
{
    bool merge = virtio_has_feature(&net->dev, VIRTIO_NET_F_MRG_RXBUF);
    uint16_t max = merge ? NET_HELD_MAX : 1;
    uint64_t needed = longest_frame(net), room = 0, pieces = 2;

    for (uint16_t i = 0; i < net->held_count; i++) {
        room += held(net, i)->out_size;
        pieces += held(net, i)->out_count;
    }
    while (net->held_count < max && room < needed && pieces + VIRTQ_CHAIN_MAX <= NET_IOV_MAX) {
        struct virtq_chain *c = held(net, net->held_count);
        int got = virtq_pop(q, c);

        if (got < 0 || (got > 0 && (c->in_size || c->out_size < HEAD_SIZE)))
            return -EPROTO;
        if (!got)
            break;
        room += c->out_size;
        pieces += c->out_count;
        net->held_count++;
    }
    if (merge && room < needed && net->held_count < max && pieces - 2 < q->size)
        return 0;
    return net->held_count ? (int64_t)room : 0;
}

/* The whole of what is held as one vector, between our own piece and a byte that shows if the frame is longer. */
static int frame_vector(struct vnet *net, uint8_t *head, uint8_t *spill)
{
    size_t count = 1;

    net->iov[0] = (struct iovec){ head, HEAD_SIZE };
    for (uint16_t i = 0; i < net->held_count; i++) {
        const struct virtq_chain *c = held(net, i);
        size_t skip = i ? 0 : HEAD_SIZE;

        count += iov_slice(c->out, c->out_count, skip, c->out_size - skip, net->iov + count);
    }
    net->iov[count++] = (struct iovec){ spill, 1 };
    return (int)count;
}

/* Give the buffers that a frame of len bytes (with header) has filled; the rest is held on. */
static void deliver(struct vnet *net, struct virtq *q, uint8_t *head, uint64_t len)
{
    struct virtio_net_hdr_v1 header;
    uint16_t used = 0;

    for (uint64_t left = len; left; used++)
        left -= left < held(net, used)->out_size ? left : held(net, used)->out_size;
    memcpy(&header, head, sizeof(header));
    header.num_buffers = used;
    memcpy(head, &header, sizeof(header));
    iov_write(held(net, 0)->out, held(net, 0)->out_count, 0, head, HEAD_SIZE);
    for (uint16_t i = 0; i < used; i++) {
        uint64_t n = len < held(net, i)->out_size ? len : held(net, i)->out_size;

        virtq_push(q, held(net, i)->head, (uint32_t)n);
        len -= n;
    }
    net->held_count = (uint16_t)(net->held_count - used);
    net->held_first = (uint16_t)((net->held_first + used) % NET_HELD_MAX);
}

/* The wire was taken from us: the link is down for good. */
static void link_lost(struct vnet *net)
{
    net->closed = true;
    net->config.status = 0;
    virtio_config_changed(&net->dev);
}

/* 1: a frame was taken; 0: there is none, or no room for it; -EPROTO: the driver is broken. */
static int receive_frame(struct vnet *net, struct virtq *q)
{
    uint8_t head[HEAD_SIZE], spill;
    int64_t room = gather(net, q);
    ssize_t n;

    net->starved = room == 0;
    if (room <= 0)
        return (int)room;
    n = net->wire->ops->read(net->wire, net->iov, frame_vector(net, head, &spill));
    if (n == -EAGAIN || n == -EINTR)
        return 0;
    if (n < 0) {
        link_lost(net);
        return 0;
    }
    if ((uint64_t)n < HEAD_SIZE || n > room || !vnet_filter_wants(net, head + NET_HEADER_SIZE))
        return 1;
    bucket_take(&net->received, (uint64_t)n);
    deliver(net, q, head, (uint64_t)n);
    return 1;
}

static int serve_rx(struct vnet *net, struct virtq *q, struct virtio_served *served)
{
    bool any = false;

    if (!net->closed && net->wire->ops->collect && net->wire->ops->collect(net->wire) < 0)
        link_lost(net);
    for (unsigned n = 0; n < RUN_MAX && !net->closed; n++) {
        int got;

        net->throttled = !may_go(&net->received, served);
        if (net->throttled)
            break;
        got = receive_frame(net, q);

        if (got < 0)
            return got;
        if (!got)
            break;
        any = true;
    }
    if (any)
        virtio_notify(&net->dev, q);
    served->progress = served->progress || any;
    return 0;
}

/* --- the model --- */

static int serve_control(struct vnet *net, struct virtq *q, struct virtio_served *served)
{
    bool any = false;

    for (unsigned n = 0; n < RUN_MAX && virtq_has_avail(q); n++) {
        int got = virtq_pop(q, &net->chain);
        uint8_t ack;

        if (got < 0 || !net->chain.out_size)
            return -EPROTO;
        ack = vnet_control(net, &net->chain);
        iov_write(net->chain.out, net->chain.out_count, 0, &ack, 1);
        virtq_push(q, net->chain.head, 1);
        any = true;
    }
    if (any)
        virtio_notify(&net->dev, q);
    served->progress = served->progress || any;
    return 0;
}

static struct virtio_served vnet_serve(struct virtio_device *dev)
{
    static int (*const serve[NET_QUEUES])(struct vnet *, struct virtq *, struct virtio_served *) = {
        [NET_RX] = serve_rx, [NET_TX] = serve_tx, [NET_CTRL] = serve_control
    };
    struct virtio_served served = { false, VIRTIO_WAIT_NONE };

    for (unsigned i = 0; i < NET_QUEUES; i++) {
        struct virtq *q = virtio_queue(dev, i);

        if (q && serve[i](vnet_of(dev), q, &served) < 0) {
            virtio_broken(dev);
            return served;
        }
    }
    return served;
}

/* Buffers for frames to come are no work by themselves: there are always some. Frames to go are none while the wire is full. */
static bool vnet_waits_for(struct virtio_device *dev, unsigned queue)
{
    const struct vnet *net = vnet_of(dev);

    return queue == NET_RX ? net->starved : queue != NET_TX || !net->blocked;
}

static void vnet_stop(struct virtio_device *dev)
{
    vnet_of(dev)->held_count = 0;
    vnet_of(dev)->starved = vnet_of(dev)->throttled = vnet_of(dev)->blocked = false;
}

static int vnet_start(struct virtio_device *dev)
{
    static const struct {
        unsigned feature;
        uint32_t offload;
    } offloads[] = {
        { VIRTIO_NET_F_GUEST_CSUM, TUN_F_CSUM },
        { VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4 },
        { VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6 },
        { VIRTIO_NET_F_GUEST_ECN, TUN_F_TSO_ECN },
    };
    struct vnet *net = vnet_of(dev);
    uint32_t wanted = 0;

    for (size_t i = 0; i < sizeof(offloads) / sizeof(offloads[0]); i++)
        if (virtio_has_feature(dev, offloads[i].feature))
            wanted |= offloads[i].offload;
    if (!(wanted & TUN_F_CSUM)) /* §5.1.3.1: segmentation requires it */
        wanted = 0;
    return net->wire->ops->set_offloads ? net->wire->ops->set_offloads(net->wire, wanted) : 0;
}

static void vnet_reset(struct virtio_device *dev)
{
    struct vnet *net = vnet_of(dev);

    vnet_filter_reset(&net->filter);
    memcpy(net->config.mac, net->mac, sizeof(net->mac));
}

static int vnet_pollfd(struct virtio_device *dev, short *ret_events)
{
    const struct vnet *net = vnet_of(dev);
    bool idle = (net->starved || net->throttled) && !net->wire->ops->collect;

    *ret_events = (short)((idle ? 0 : POLLIN) | (net->blocked ? POLLOUT : 0));
    return net->closed || !*ret_events || !dev->running ? -1 : net->wire->fd;
}

static const struct virtio_model model = {
    .id = VIRTIO_ID_NET,
    .queue_count = NET_QUEUES,
    .queue_size_max = NET_QUEUE_SIZE,
    .start = vnet_start,
    .stop = vnet_stop,
    .serve = vnet_serve,
    .reset = vnet_reset,
    .pollfd = vnet_pollfd,
    .waits_for = vnet_waits_for,
};

int vnet_init(struct vnet *net, const struct guest_mem *mem, virtio_irq_fn irq, void *irq_arg, const uint8_t mac[6], uint16_t mtu,
             uint64_t bps)
{
    uint64_t features = BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS) | BIT(VIRTIO_NET_F_MTU) | BIT(VIRTIO_NET_F_MRG_RXBUF) |
                        BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) |
                        BIT(VIRTIO_NET_F_CTRL_MAC_ADDR);

    if (net->wire->host_offloads)
        features |= HOST_OFFLOADS;
    if (net->wire->offloads)
        features |= GUEST_OFFLOADS;
    memcpy(net->mac, mac, sizeof(net->mac));
    memcpy(net->config.mac, mac, sizeof(net->mac));
    net->config.status = VIRTIO_NET_S_LINK_UP;
    net->config.max_virtqueue_pairs = 1;
    net->config.mtu = mtu;
    vnet_filter_reset(&net->filter);
    bucket_init(&net->sent, bps, now_ns());
    bucket_init(&net->received, bps, now_ns());
    net->dev = (struct virtio_device){
        .model = &model,
        .data = net,
        .mem = mem,
        .irq = irq,
        .irq_arg = irq_arg,
        .config = (uint8_t *)&net->config,
        .config_size = sizeof(net->config),
        .offered = features,
        .chain_max = VIRTQ_CHAIN_MAX,
    };
    return virtio_init(&net->dev);
}

void vnet_destroy(struct vnet *net)
{
    virtio_destroy(&net->dev);
    net->wire->ops->close(net->wire);
}
