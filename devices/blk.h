/*
 * virtio-blk (virtio 1.2 §5.2) on a disk of the host's.
 */
#ifndef DEVICES_BLK_H
#define DEVICES_BLK_H

#include <linux/virtio_blk.h>

#include "devices/bucket.h"
#include "devices/disk.h"
#include "devices/virtio.h"

#define BLK_QUEUE_SIZE 128

struct blk_request {
    struct disk_io io;
    uint16_t head;
    uint32_t written;      /* bytes that the driver is told of if it succeeds */
    uint8_t *status;       /* in the guest's memory */
    struct blk_request *next;
};

struct blk {
    struct virtio_device dev;
    struct virtio_blk_config config;
    struct disk disk;
    char serial[VIRTIO_BLK_ID_BYTES]; /* not terminated if it is that long */
    struct bucket requests, bytes;
    struct blk_request *free;
    struct blk_request pool[BLK_QUEUE_SIZE];
    struct virtq_chain chain;
};

struct blk_limits {
    uint64_t iops; /* 0: none */
    uint64_t bps;
};

/*
 * A device on blk->disk, which has been opened. mem, irq and irq_arg as in struct virtio_device; serial may be NULL. 0 or -errno.
 * blk is big: not for a stack.
 */
int blk_init(struct blk *blk, const struct guest_mem *mem, virtio_irq_fn irq, void *irq_arg, const char *serial,
             const struct blk_limits *limits);
void blk_destroy(struct blk *blk); /* closes the disk too */

#endif
