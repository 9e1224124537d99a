/*
 * virtio-blk requests. A chain is a header, data and a status byte (§5.2.6), in whatever descriptors the driver likes; the header
 * is copied once and only the copy is looked at, the data go between the driver's memory and the disk without a look.
 */
#include "devices/blk.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "common/checked.h"
#include "common/iov.h"
#include "hypercalls/devices.h"

#define SECTOR 512u
#define RUN_MAX 256u               /* requests taken in one go */
#define RANGE_SECTORS_MAX (1u << 21) /* of one discard or write-zeroes: 1 GiB */
#define OUT_OF_REQUESTS_NS 1000000u
/* A chain, header and status with it, must not be longer than the queue (§2.7.5.3.1); Linux's driver takes us at our word. */
#define SEG_MAX (BLK_QUEUE_SIZE - 2)

_Static_assert(DISK_IOV_MAX >= VIRTQ_CHAIN_MAX, "a chain fits");
_Static_assert(SEG_MAX + 2 <= VIRTQ_CHAIN_MAX, "the queue takes the longest chain that is announced");
_Static_assert(BLK_QUEUE_SIZE <= DISK_DEPTH, "the disk takes all requests");

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct blk *blk_of(struct virtio_device *dev)
{
    return dev->data;
}

/* Without a cache that the driver knows of, a write that is done must be on the medium (§5.2.6.2). */
static bool write_through(const struct blk *blk)
{
    if (!virtio_has_feature(&blk->dev, VIRTIO_BLK_F_FLUSH))
        return true;
    return virtio_has_feature(&blk->dev, VIRTIO_BLK_F_CONFIG_WCE) && !blk->config.wce;
}

/* --- completion --- */

static uint8_t status_of(int result)
{
    switch (result) {
    case 0:
        return VIRTIO_BLK_S_OK;
    case -ENOSPC:
    case -EDQUOT:
    case -EFBIG:
        return BLK_S_NO_SPACE;
    case -EOPNOTSUPP:
        return VIRTIO_BLK_S_UNSUPP;
    default:
        return VIRTIO_BLK_S_IOERR;
    }
}

/* The queue may have been taken out of use meanwhile: then nobody waits for the answer. */
static void complete(struct blk *blk, struct blk_request *rq)
{
    struct virtio_queue *queue = &blk->dev.queues[0];

    if (queue->live) {
        __atomic_store_n(rq->status, status_of(rq->io.result), __ATOMIC_RELAXED);
        virtq_push(&queue->vq, rq->head, rq->io.result ? 1 : rq->written);
    }
    rq->next = blk->free;
    blk->free = rq;
}

static bool reap(struct blk *blk, bool wait)
{
    struct disk_io *io;
    bool any = false;

    while ((io = disk_reap(&blk->disk, wait)) != NULL) {
        complete(blk, (struct blk_request *)io); /* its first member */
        any = true;
    }
    return any;
}

/* --- requests --- */

static int in_capacity(const struct blk *blk, uint64_t sector, uint64_t len)
{
    uint64_t offset;

    if (len % SECTOR || !checked_mul(sector, SECTOR, &offset) || !checked_range(offset, len, blk->disk.size))
        return -EIO;
    return 0;
}

static int prepare_data(struct blk *blk, const struct virtq_chain *c, struct blk_request *rq, uint64_t sector, bool write)
{
    struct disk_io *io = &rq->io;
    int err;

    io->op = write ? DISK_WRITE : DISK_READ;
    io->len = write ? c->in_size - sizeof(struct virtio_blk_outhdr) : c->out_size - 1;
    io->offset = sector * SECTOR;
    io->durable = write && write_through(blk);
    err = in_capacity(blk, sector, io->len);
    if (err < 0 || (write && blk->disk.readonly))
        return -EIO;
    if (write)
        io->iov_count = (uint16_t)iov_slice(c->in, c->in_count, sizeof(struct virtio_blk_outhdr), io->len, io->iov);
    else
        io->iov_count = (uint16_t)iov_slice(c->out, c->out_count, 0, io->len, io->iov);
    rq->written = write ? 1 : (uint32_t)(io->len + 1 <= UINT32_MAX ? io->len + 1 : UINT32_MAX);
    return 0;
}

/* Discard and write zeroes (§5.2.6.2): one segment, as the configuration says. */
static int prepare_range(struct blk *blk, const struct virtq_chain *c, struct blk_request *rq, bool zero)
{
    struct virtio_blk_discard_write_zeroes range;
    struct disk_io *io = &rq->io;

    if (!virtio_has_feature(&blk->dev, zero ? VIRTIO_BLK_F_WRITE_ZEROES : VIRTIO_BLK_F_DISCARD))
        return -EOPNOTSUPP;
    if (c->in_size != sizeof(struct virtio_blk_outhdr) + sizeof(range) ||
        iov_read(&range, c->in, c->in_count, sizeof(struct virtio_blk_outhdr), sizeof(range)) != sizeof(range))
        return -EOPNOTSUPP;
    if (range.flags & ~(zero ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0u))
        return -EOPNOTSUPP;
    if (blk->disk.readonly || !range.num_sectors || range.num_sectors > RANGE_SECTORS_MAX ||
        in_capacity(blk, range.sector, (uint64_t)range.num_sectors * SECTOR) < 0)
        return -EIO;
    io->op = zero ? DISK_ZERO : DISK_DISCARD;
    io->offset = range.sector * SECTOR;
    io->len = (uint64_t)range.num_sectors * SECTOR;
    io->durable = range.flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
    rq->written = 1;
    return 0;
}

static int answer_id(struct blk *blk, const struct virtq_chain *c, struct blk_request *rq)
{
    size_t n = min_size(sizeof(blk->serial), c->out_size - 1);

    iov_write(c->out, c->out_count, 0, blk->serial, n);
    rq->written = (uint32_t)n + 1;
    return 0;
}

/* 1: rq->io is ready for the disk; 0: the request is done; -errno: it fails. */
static int prepare(struct blk *blk, const struct virtq_chain *c, struct blk_request *rq)
{
    struct virtio_blk_outhdr header;
    int err;

    iov_read(&header, c->in, c->in_count, 0, sizeof(header));
    switch (header.type) {
    case VIRTIO_BLK_T_IN:
    case VIRTIO_BLK_T_OUT:
        err = prepare_data(blk, c, rq, header.sector, header.type == VIRTIO_BLK_T_OUT);
        return err < 0 ? err : rq->io.len > 0;
    case VIRTIO_BLK_T_FLUSH:
        rq->io.op = DISK_FLUSH;
        rq->io.len = 0;
        rq->written = 1;
        return !blk->disk.readonly;
    case VIRTIO_BLK_T_GET_ID:
        return answer_id(blk, c, rq);
    case VIRTIO_BLK_T_DISCARD:
    case VIRTIO_BLK_T_WRITE_ZEROES:
        err = prepare_range(blk, c, rq, header.type == VIRTIO_BLK_T_WRITE_ZEROES);
        return err < 0 ? err : 1;
    default:
        return -EOPNOTSUPP;
    }
}

static int begin(struct blk *blk, const struct virtq_chain *c)
{
    struct blk_request *rq = blk->free;
    struct iovec status[1];
    int ready;

    /* Without room for header and status there is no way to answer. */
    if (c->in_size < sizeof(struct virtio_blk_outhdr) || !c->out_size)
        return -EPROTO;
    iov_slice(c->out, c->out_count, c->out_size - 1, 1, status);
    blk->free = rq->next;
    rq->head = c->head;
    rq->status = status[0].iov_base;
    rq->written = 1;
    ready = prepare(blk, c, rq);
    bucket_take(&blk->requests, 1);
    if (ready > 0) {
        if (rq->io.op == DISK_READ || rq->io.op == DISK_WRITE)
            bucket_take(&blk->bytes, rq->io.len);
        disk_submit(&blk->disk, &rq->io);
    } else {
        rq->io.result = ready;
        complete(blk, rq);
    }
    return 0;
}

/* --- the model --- */

static bool may_go(struct blk *blk, uint64_t *ret_when)
{
    uint64_t now;

    if (!blk->free) {
        *ret_when = now_ns() + OUT_OF_REQUESTS_NS;
        return false;
    }
    if (!blk->requests.rate && !blk->bytes.rate)
        return true;
    now = now_ns();
    return bucket_ready(&blk->requests, now, ret_when) && bucket_ready(&blk->bytes, now, ret_when);
}

static struct virtio_served blk_serve(struct virtio_device *dev)
{
    struct blk *blk = blk_of(dev);
    struct virtio_served served = { reap(blk, false), VIRTIO_WAIT_NONE };
    struct virtq *q = virtio_queue(dev, 0);

    for (unsigned n = 0; q && n < RUN_MAX && virtq_has_avail(q) && may_go(blk, &served.wait_ns); n++) {
        int got = virtq_pop(q, &blk->chain);

        if (got > 0)
            got = begin(blk, &blk->chain) < 0 ? -EPROTO : 1;
        if (got < 0) {
            disk_commit(&blk->disk);
            virtio_broken(dev);
            return served;
        }
        served.progress = true;
    }
    disk_commit(&blk->disk);
    served.progress = reap(blk, false) || served.progress; /* what the page cache has is done already */
    if (q && served.progress)
        virtio_notify(dev, q);
    return served;
}

static void blk_stop(struct virtio_device *dev)
{
    disk_commit(&blk_of(dev)->disk);
    reap(blk_of(dev), true);
}

static void blk_config_write(struct virtio_device *dev, uint32_t offset, const void *data, uint32_t len)
{
    struct blk *blk = blk_of(dev);
    uint8_t value;

    if (offset != offsetof(struct virtio_blk_config, wce) || len != 1 || !virtio_has_feature(dev, VIRTIO_BLK_F_CONFIG_WCE))
        return;
    memcpy(&value, data, 1);
    blk->config.wce = value & 1;
}

static void blk_reset(struct virtio_device *dev)
{
    blk_of(dev)->config.wce = 1;
}

static int blk_pollfd(struct virtio_device *dev, short *ret_events)
{
    *ret_events = 1; /* POLLIN */
    return disk_pollfd(&blk_of(dev)->disk);
}

static const struct virtio_model model = {
    .id = VIRTIO_ID_BLOCK,
    .queue_count = 1,
    .queue_size_max = BLK_QUEUE_SIZE,
    .stop = blk_stop,
    .serve = blk_serve,
    .config_write = blk_config_write,
    .reset = blk_reset,
    .pollfd = blk_pollfd,
};

static void fill_config(struct blk *blk)
{
    const struct disk *disk = &blk->disk;
    struct virtio_blk_config *c = &blk->config;

    c->capacity = disk->size / SECTOR;
    c->seg_max = SEG_MAX;
    c->blk_size = disk->logical_block;
    c->physical_block_exp = (uint8_t)__builtin_ctz(disk->physical_block / disk->logical_block);
    c->min_io_size = (uint16_t)(disk->physical_block / disk->logical_block);
    c->wce = 1;
    c->num_queues = 1;
    c->max_discard_sectors = RANGE_SECTORS_MAX;
    c->max_discard_seg = 1;
    c->discard_sector_alignment = disk->physical_block / SECTOR;
    c->max_write_zeroes_sectors = RANGE_SECTORS_MAX;
    c->max_write_zeroes_seg = 1;
    c->write_zeroes_may_unmap = 1;
}

int blk_init(struct blk *blk, const struct guest_mem *mem, virtio_irq_fn irq, void *irq_arg, const char *serial,
             const struct blk_limits *limits)
{
    uint64_t features = 1ull << VIRTIO_BLK_F_SEG_MAX | 1ull << VIRTIO_BLK_F_BLK_SIZE | 1ull << VIRTIO_BLK_F_TOPOLOGY |
                        1ull << VIRTIO_BLK_F_FLUSH | 1ull << VIRTIO_BLK_F_CONFIG_WCE;

    if (blk->disk.readonly)
        features |= 1ull << VIRTIO_BLK_F_RO;
    else
        features |= 1ull << VIRTIO_BLK_F_DISCARD | 1ull << VIRTIO_BLK_F_WRITE_ZEROES;
    fill_config(blk);
    if (serial)
        memcpy(blk->serial, serial, min_size(strlen(serial), sizeof(blk->serial)));
    bucket_init(&blk->requests, limits->iops, now_ns());
    bucket_init(&blk->bytes, limits->bps, now_ns());
    blk->free = NULL;
    for (size_t i = BLK_QUEUE_SIZE; i-- > 0;) {
        blk->pool[i].next = blk->free;
        blk->free = &blk->pool[i];
    }
    blk->dev = (struct virtio_device){
        .model = &model,
        .data = blk,
        .mem = mem,
        .irq = irq,
        .irq_arg = irq_arg,
        .config = (uint8_t *)&blk->config,
        .config_size = sizeof(blk->config),
        .offered = features,
        .chain_max = VIRTQ_CHAIN_MAX,
    };
    return virtio_init(&blk->dev);
}

void blk_destroy(struct blk *blk)
{
    virtio_destroy(&blk->dev);
    disk_close(&blk->disk);
}
