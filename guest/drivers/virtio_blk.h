/*
 * Driver of virtio-blk (virtio 1.2 §5.2): requests on sectors of a whole disk. Who wants files, pages and partitions uses
 * fs/blkdev.h.
 */
#ifndef DRIVERS_VIRTIO_BLK_H
#define DRIVERS_VIRTIO_BLK_H

#include "drivers/virtio.h"
#include "proc/thread.h"

#include <linux/virtio_blk.h>

#define BLK_SECTOR 512u
#define BLK_SEG_MAX 64u /* pieces of a request */

struct virtio_blk {
    struct virtio_dev *dev;
    struct virtio_vq queue;
    uint64_t sectors;
    uint32_t block_size, physical_size;
    uint32_t seg_max;             /* BLK_SEG_MAX at most */
    uint32_t discard_max, zero_max; /* sectors in one request; 0: it can't */
    bool readonly, can_flush;
    struct list waiting;          /* requests that found the queue full */
};

/* One request. The memory must be the shim's own (not a window page) and stay until it is done. */
struct blk_rq {
    struct list node;
    struct virtio_blk *disk;
    uint32_t type;                /* VIRTIO_BLK_T_* */
    uint64_t sector;
    struct virtq_segment seg[BLK_SEG_MAX + 2]; /* [1] on: the data */
    uint32_t seg_count;
    uint64_t len;                 /* of the data, in bytes */
    void (*complete)(struct blk_rq *rq); /* NULL: somebody waits. From the poller, mustn't sleep */
    void *context;
    long error;
    bool done;
    struct thread *waiter;
    struct virtio_blk_outhdr header;
    struct virtio_blk_discard_write_zeroes range;
    uint8_t status;
};

void virtio_blk_probe(struct virtio_dev *dev);

/* An empty request (kmalloc'd: kfree it when it is done); NULL: no memory. */
struct blk_rq *blk_rq_new(struct virtio_blk *disk, uint32_t type, uint64_t sector);
/* Add memory to its data. False: there is no room for another piece. */
bool blk_rq_add(struct blk_rq *rq, gpa_t gpa, uint32_t len);

/* Send it. A failed device gives -EIO at once. last: no more follow, so announce them. */
void blk_submit(struct blk_rq *rq, bool last);
/* Wait for it: 0; -EIO; -ENOSPC; -EOPNOTSUPP. */
long blk_wait(struct blk_rq *rq);
/* Submit and wait. */
long blk_call(struct blk_rq *rq);

#endif
