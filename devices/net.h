/*
 * virtio-net (virtio 1.2 §5.1) on a wire of the host's (wire.h): a tap, or a stream to passt.
 *
 * Frames pass as they are: checksums and segmentation that the driver leaves to the device are left to the host's kernel, through the
 * header that both sides of a tap share with virtio (IFF_VNET_HDR). Other wires offer neither.
 */
#ifndef DEVICES_NET_H
#define DEVICES_NET_H

#include <linux/virtio_net.h>

#include "devices/bucket.h"
#include "devices/virtio.h"
#include "devices/wire.h"

#define NET_QUEUE_SIZE 256
#define NET_MACS_MAX 64   /* of VIRTIO_NET_CTRL_MAC_TABLE_SET; more: every such frame passes */
#define NET_HELD_MAX 64   /* buffers of the driver that wait here for a frame */
#define NET_IOV_MAX 512   /* pieces that one frame is spread over */
#define NET_HEADER_SIZE sizeof(struct virtio_net_hdr_v1)

enum { NET_RX, NET_TX, NET_CTRL, NET_QUEUES };

struct vnet_macs {
    uint32_t count;
    bool overflow;
    uint8_t mac[NET_MACS_MAX][6];
};

/* Which frames the driver wants (§5.1.6.5.1, §5.1.6.5.2). */
struct vnet_filter {
    bool promisc, allmulti, alluni, nomulti, nouni, nobcast;
    struct vnet_macs unicast, multicast;
};

struct vnet {
    struct virtio_device dev;
    struct virtio_net_config config;
    struct wire *wire;
    uint8_t mac[6];        /* what the device was born with; config's is the driver's choice */
    struct vnet_filter filter;
    struct bucket sent, received;
    bool starved;          /* a frame waits at the host, and the driver has too little room for one */
    bool throttled;        /* frames wait until the limit lets them through */
    bool blocked;          /* the wire takes no frames now */
    bool closed;           /* the host's device is gone */
    uint16_t held_first, held_count;
    struct virtq_chain held[NET_HELD_MAX]; /* a ring: they are big */
    struct virtq_chain chain;
    struct iovec iov[NET_IOV_MAX];
};

/*
 * A device on net->wire, which has been opened. mem, irq and irq_arg as in struct virtio_device. bps: bytes a second each way, 0: no
 * limit. 0 or -errno. net is big: not for a stack.
 */
int vnet_init(struct vnet *net, const struct guest_mem *mem, virtio_irq_fn irq, void *irq_arg, const uint8_t mac[6], uint16_t mtu,
             uint64_t bps);
void vnet_destroy(struct vnet *net); /* closes the wire too */

/* --- net_ctrl.c --- */

/* One command of the control queue: the value of its ack (§5.1.6.5). */
uint8_t vnet_control(struct vnet *net, const struct virtq_chain *c);
void vnet_filter_reset(struct vnet_filter *filter);
bool vnet_filter_wants(const struct vnet *net, const uint8_t destination[6]);

#endif
