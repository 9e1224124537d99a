/*
 * Driver of virtio-net (virtio 1.2 §5.1): frames in memory of its own. The stack behind it is net/stack.h.
 *
 * Frames are copied out of the buffers that the device fills, and are built in buffers that the device reads, so that nobody has to know
 * when a frame has left.
 */
#ifndef DRIVERS_VIRTIO_NET_H
#define DRIVERS_VIRTIO_NET_H

#include <linux/virtio_net.h>

#include "drivers/virtio.h"

#define NET_FRAME_MAX 65549u /* 64 KiB in IP, and Ethernet's header */
#define NET_PIECES_MAX 64u

/* A frame to be sent: the header that precedes it, then data[len]. */
struct net_buffer {
    struct net_buffer *next;
    struct virtio_net_hdr_v1 *header;
    uint8_t *data;
    uint32_t len, capacity;
    bool large;
};

struct net_piece {
    const uint8_t *data;
    uint32_t len;
};

struct virtio_net {
    struct virtio_dev *dev;
    struct virtio_vq rx, tx, ctrl;
    uint8_t mac[6];
    uint16_t mtu;
    bool can_checksum, can_segment4, can_segment6;
    struct net_buffer *free_small, *free_large;
    uint32_t small_count, large_count;
    bool was_full;
    uint32_t piece_count, piece_expected; /* of the frame that is coming in */
    struct net_piece pieces[NET_PIECES_MAX];
    uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes;
};

void virtio_net_probe(struct virtio_dev *dev);

/* A buffer for a frame of up to `size` bytes. NULL: all are on their way; stack_room() is called when some are back. */
struct net_buffer *virtio_net_buffer(struct virtio_net *net, uint32_t size);
/* Send it; virtio_net_flush tells the device. */
void virtio_net_send(struct virtio_net *net, struct net_buffer *b);
void virtio_net_flush(struct virtio_net *net);

/* Have frames for others too. Nothing happens where the device can't. */
void virtio_net_promiscuous(struct virtio_net *net, bool on);

#endif
