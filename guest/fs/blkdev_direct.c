/*
 * O_DIRECT on block devices: between the disk and the app's own frames, without a copy. Position, length and memory are whole
 * blocks (open(2)).
 */
#include "fs/blkdev_direct.h"

#include "lib/kmalloc.h"
#include "mm/frame.h"
#include "mm/mm.h"

#define REQUESTS_MAX 8 /* under way at once: 2 MiB in scattered pages */

struct direct_rq {
    struct blk_rq *rq;
    gpa_t pinned[BLK_SEG_MAX];
    size_t pin_count;
};

struct direct {
    struct blkdev *dev;
    bool write;
    uint64_t offset;     /* of what comes next */
    struct iter *it;
    struct direct_rq out[REQUESTS_MAX];
};

/* The address the iter stands at, and how far its segment goes on. */
static uint64_t run_of(struct iter *it, uint64_t *ret_len)
{
    const struct iter_segment *seg;

    while (it->segment < it->segment_count && it->offset == it->segments[it->segment].len) {
        it->segment++;
        it->offset = 0;
    }
    seg = &it->segments[it->segment];
    *ret_len = MIN(seg->len - it->offset, it->left);
    return seg->base + it->offset;
}

static long pin(struct direct *d, struct direct_rq *r, uaddr_t addr, gpa_t *ret)
{
    long err = mm_pin_page(current->mm, addr, d->write ? 0 : FAULT_WRITE, ret);

    if (err < 0)
        return err;
    if (!frame_is_ram(*ret)) /* a file of the host's: the device doesn't see the window */
        return -EFAULT;
    r->pinned[r->pin_count++] = *ret;
    return 0;
}

/* Collect the app's next pages in r. 0, or -errno with nothing but what fitted before the bad page. */
static long collect(struct direct *d, struct direct_rq *r)
{
    while (d->it->left > 0 && r->pin_count < BLK_SEG_MAX) {
        uint64_t run, addr = run_of(d->it, &run);
        uint32_t part = (uint32_t)MIN(PAGE_SIZE - addr % PAGE_SIZE, run);
        gpa_t gpa;
        long err = pin(d, r, PAGE_DOWN(addr), &gpa);

        if (err < 0)
            return err;
        if (!blk_rq_add(r->rq, gpa + addr % PAGE_SIZE, part)) {
            frame_put(r->pinned[--r->pin_count]);
            return 0;
        }
        iter_advance(d->it, part);
    }
    return 0;
}

/* Wait for r; the bytes that it moved, or -errno. */
static long settle(struct direct_rq *r)
{
    long ret = r->rq->len > 0 ? blk_wait(r->rq) : 0;

    if (ret == 0)
        ret = (long)r->rq->len;
    while (r->pin_count > 0)
        frame_put(r->pinned[--r->pin_count]);
    kfree(r->rq);
    return ret;
}

static long start(struct direct *d, struct direct_rq *r)
{
    long err;

    r->pin_count = 0;
    r->rq = blk_rq_new(d->dev->disk, d->write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN,
                       (d->dev->start + d->offset) / BLK_SECTOR);
    if (!r->rq)
        return -ENOMEM;
    err = collect(d, r);
    d->offset += r->rq->len;
    if (r->rq->len > 0)
        blk_submit(r->rq, true);
    return err;
}

/* One round: up to REQUESTS_MAX requests, then wait for all. Bytes up to the first that failed. */
static ssize_t round_trip(struct direct *d, long *ret_error)
{
    size_t n = 0;
    ssize_t done = 0;
    long error = 0;

    while (n < REQUESTS_MAX && d->it->left > 0 && error == 0) {
        error = start(d, &d->out[n]);
        n += d->out[n].rq != NULL;
    }
    *ret_error = 0;
    for (size_t i = 0; i < n; i++) {
        long moved = settle(&d->out[i]);

        if (moved < 0 && *ret_error == 0)
            *ret_error = moved;
        else if (*ret_error == 0)
            done += moved;
    }
    if (*ret_error == 0)
        *ret_error = error;
    return done;
}

static bool aligned(const struct iter *it, uint64_t pos, uint32_t block)
{
    uint64_t all = pos | it->left;

    for (size_t i = it->segment; i < it->segment_count; i++)
        all |= it->segments[i].base | it->segments[i].len;
    return all % block == 0;
}

ssize_t blkdev_direct(struct blkdev *b, struct iter *it, uint64_t *pos, bool write)
{
    struct direct *d;
    uint64_t first = *pos >> PAGE_SHIFT, last = (*pos + it->left - 1) >> PAGE_SHIFT;
    ssize_t done = 0, moved;
    long error = 0;

    if (!aligned(it, *pos, b->disk->block_size))
        return -EINVAL;
    cache_write_back(&b->cache, first, last, true);
    if (write) {
        cache_drop(&b->cache, first, last);
        if (cache_has(&b->cache, first, last)) /* mapped: whoever sees the pages must see the change */
            return -EAGAIN;
    }
    d = kmalloc(sizeof(*d));
    if (!d)
        return -ENOMEM;
    d->dev = b;
    d->write = write;
    d->offset = *pos;
    d->it = it;
    while (it->left > 0 && error == 0) {
        moved = round_trip(d, &error);
        done += moved;
        if (moved == 0)
            break;
    }
    if (write)
        cache_drop(&b->cache, first, last); /* what was read meanwhile */
    kfree(d);
    *pos += (uint64_t)done;
    return done > 0 ? done : error;
}
