/* See virtio_blk.h. */
#include "drivers/virtio_blk.h"

#include "drivers/ring.h"
#include "fs/blkdev.h"
#include "hypercalls/devices.h"
#include "lib/kmalloc.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/frame.h"

#define QUEUE_SIZE 128
#define FEATURES                                                                                   \
    (1ull << VIRTIO_BLK_F_SEG_MAX | 1ull << VIRTIO_BLK_F_RO | 1ull << VIRTIO_BLK_F_BLK_SIZE |       \
     1ull << VIRTIO_BLK_F_TOPOLOGY | 1ull << VIRTIO_BLK_F_FLUSH | 1ull << VIRTIO_BLK_F_DISCARD |    \
     1ull << VIRTIO_BLK_F_WRITE_ZEROES)

/* --- completion --- */

static long error_of(uint8_t status)
{
    switch (status) {
    case VIRTIO_BLK_S_OK:
        return 0;
    case VIRTIO_BLK_S_UNSUPP:
        return -EOPNOTSUPP;
    case BLK_S_NO_SPACE:
        return -ENOSPC;
    default:
        return -EIO;
    }
}

/* Somebody waits for each request that is out, as far as the scheduler is concerned: it polls, and asks to be woken. */
static void finish(struct blk_rq *rq, long error)
{
    rq->error = error;
    rq->done = true;
    if (rq->complete)
        rq->complete(rq);
    else if (rq->waiter)
        thread_wake(rq->waiter);
}

static bool send(struct blk_rq *rq)
{
    bool out_data = rq->type != VIRTIO_BLK_T_IN && rq->type != VIRTIO_BLK_T_GET_ID;
    size_t out = 1 + (out_data ? rq->seg_count : 0), in = 1 + (out_data ? 0 : rq->seg_count);

    rq->seg[0] = (struct virtq_segment){ ptr_to_gpa(&rq->header), sizeof(rq->header) };
    rq->seg[1 + rq->seg_count] = (struct virtq_segment){ ptr_to_gpa(&rq->status), 1 };
    if (virtio_add(&rq->disk->queue, rq->seg, out, in, rq) < 0)
        return false;
    ring_hurry(true);
    return true;
}

static void request_used(struct virtio_vq *q, void *token, uint32_t len UNUSED)
{
    struct virtio_blk *disk = q->owner;
    struct blk_rq *rq = token;
    bool any = false;

    ring_hurry(false);
    finish(rq, error_of(READ_ONCE(rq->status)));
    while (!list_empty(&disk->waiting) && send(list_first(&disk->waiting, struct blk_rq, node))) {
        list_remove(disk->waiting.next);
        any = true;
    }
    if (any)
        virtio_notify(q);
}

/* --- requests --- */

struct blk_rq *blk_rq_new(struct virtio_blk *disk, uint32_t type, uint64_t sector)
{
    struct blk_rq *rq = kmalloc(sizeof(*rq));

    if (!rq)
        return NULL;
    rq->disk = disk;
    rq->type = type;
    rq->sector = sector;
    rq->seg_count = 0;
    rq->len = 0;
    rq->complete = NULL;
    rq->context = NULL;
    rq->done = false;
    rq->waiter = NULL;
    return rq;
}

bool blk_rq_add(struct blk_rq *rq, gpa_t gpa, uint32_t len)
{
    struct virtq_segment *last = &rq->seg[rq->seg_count];

    if (rq->seg_count > 0 && last->gpa + last->len == gpa && last->len + len <= HUGE_SIZE) {
        last->len += len;
    } else {
        if (rq->seg_count == rq->disk->seg_max)
            return false;
        rq->seg[++rq->seg_count] = (struct virtq_segment){ gpa, len };
    }
    rq->len += len;
    return true;
}

void blk_submit(struct blk_rq *rq, bool last)
{
    struct virtio_blk *disk = rq->disk;

    rq->header = (struct virtio_blk_outhdr){ .type = rq->type, .sector = rq->sector };
    rq->status = 0xff; /* none of VIRTIO_BLK_S_*: an error, should the device not write it */
    if (!list_empty(&disk->waiting) || !send(rq))
        list_push_back(&disk->waiting, &rq->node);
    if (last) {
        virtio_notify(&disk->queue);
        if (rq->complete)
            virtio_watch(&disk->queue);
    }
}

long blk_wait(struct blk_rq *rq)
{
    rq->waiter = current;
    while (!rq->done)
        thread_park(NEVER, false);
    return rq->error;
}

long blk_call(struct blk_rq *rq)
{
    blk_submit(rq, true);
    return blk_wait(rq);
}

/* --- start-up --- */

static uint32_t config32(const struct virtio_dev *dev, size_t offset)
{
    uint32_t v;

    virtio_config_read(dev, (uint32_t)offset, &v, sizeof(v));
    return v;
}

#define CONFIG32(dev, field) config32(dev, offsetof(struct virtio_blk_config, field))

static void read_config(struct virtio_blk *disk)
{
    const struct virtio_dev *dev = disk->dev;
    uint8_t exp = 0;

    virtio_config_read(dev, offsetof(struct virtio_blk_config, capacity), &disk->sectors, sizeof(disk->sectors));
    disk->seg_max = virtio_has(dev, VIRTIO_BLK_F_SEG_MAX) ? MIN(CONFIG32(dev, seg_max), BLK_SEG_MAX) : 1;
    disk->block_size = virtio_has(dev, VIRTIO_BLK_F_BLK_SIZE) ? CONFIG32(dev, blk_size) : BLK_SECTOR;
    if (virtio_has(dev, VIRTIO_BLK_F_TOPOLOGY))
        virtio_config_read(dev, offsetof(struct virtio_blk_config, physical_block_exp), &exp, 1);
    disk->physical_size = disk->block_size << MIN(exp, (uint8_t)8);
    disk->readonly = virtio_has(dev, VIRTIO_BLK_F_RO);
    disk->can_flush = virtio_has(dev, VIRTIO_BLK_F_FLUSH);
    if (virtio_has(dev, VIRTIO_BLK_F_DISCARD))
        disk->discard_max = CONFIG32(dev, max_discard_sectors);
    if (virtio_has(dev, VIRTIO_BLK_F_WRITE_ZEROES))
        disk->zero_max = CONFIG32(dev, max_write_zeroes_sectors);
}

void virtio_blk_probe(struct virtio_dev *dev)
{
    struct virtio_blk *disk = kzalloc(sizeof(*disk));
    int err = disk ? virtio_negotiate(dev, FEATURES) : -ENOMEM;

    if (err == 0) {
        disk->dev = dev;
        disk->queue.used = request_used;
        disk->queue.owner = disk;
        list_init(&disk->waiting);
        err = virtio_setup_queue(dev, 0, QUEUE_SIZE, &disk->queue);
    }
    if (err < 0) {
        klog(LOG_ERROR, "disk at 0x%lx: %s", (unsigned long)dev->regs, error_text(err));
        virtio_fail(dev);
        return;
    }
    read_config(disk);
    virtio_start(dev);
    blkdev_add_disk(disk);
}
