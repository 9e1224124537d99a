/*
 * Block devices: names, partitions, and how cached pages go from and to the disk. What their files do is in blkdev_file.c.
 */
#include "fs/blkdev.h"

#include "arch/cpu.h"
#include "lib/kmalloc.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/frame.h"

#define DISK_GID 6 /* Debian's group "disk" */

static struct blkdev *devices[BLKDEV_MAX];
static size_t device_count;
static unsigned int disk_count;

struct blkdev *blkdev_at(size_t i)
{
    return i < device_count ? devices[i] : NULL;
}

struct blkdev *blkdev_by_name(const char *name)
{
    if (strncmp(name, "/dev/", 5) == 0)
        name += 5;
    for (size_t i = 0; i < device_count; i++)
        if (strcmp(devices[i]->name, name) == 0)
            return devices[i];
    return NULL;
}

bool blkdev_readonly(const struct blkdev *b)
{
    return b->disk->readonly;
}

/* --- pages --- */

/* The bytes of the device that the page at index holds. */
static uint32_t page_bytes(const struct blkdev *b, uint64_t index)
{
    return (uint32_t)MIN(PAGE_SIZE, b->size - (index << PAGE_SHIFT));
}

static void rq_pages(const struct blk_rq *rq, uint64_t *ret_first, uint64_t *ret_end)
{
    const struct blkdev *b = rq->context;
    uint64_t offset = rq->sector * BLK_SECTOR - b->start;

    *ret_first = offset >> PAGE_SHIFT;
    *ret_end = PAGE_UP(offset + rq->len) >> PAGE_SHIFT;
}

static void pages_filled(struct blk_rq *rq)
{
    struct blkdev *b = rq->context;
    uint64_t i, end;

    for (rq_pages(rq, &i, &end); i < end; i++)
        cache_filled(&b->cache, i, rq->error);
    kfree(rq);
    cache_wake();
}

static void pages_written(struct blk_rq *rq)
{
    struct blkdev *b = rq->context;
    uint64_t i, end;

    for (rq_pages(rq, &i, &end); i < end; i++)
        cache_written(&b->cache, i, rq->error);
    kfree(rq);
    cache_wake();
}

/* Requests for the pages [first, first + n), as many as it takes. */
static void transfer(struct blkdev *b, uint64_t first, size_t n, bool write)
{
    uint64_t end = first + n, i = first;

    while (i < end) {
        struct blk_rq *rq = blk_rq_new(b->disk, write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN,
                                       (b->start + (i << PAGE_SHIFT)) / BLK_SECTOR);

        if (!rq) {
            for (; i < end; i++)
                write ? cache_written(&b->cache, i, -ENOMEM) : cache_filled(&b->cache, i, -ENOMEM);
            cache_wake();
            return;
        }
        rq->context = b;
        rq->complete = write ? pages_written : pages_filled;
        for (; i < end; i++) {
            gpa_t gpa = cache_find(&b->cache, i)->gpa;
            uint32_t bytes = page_bytes(b, i);

            if (bytes < PAGE_SIZE && !write)
                memset((uint8_t *)gpa_to_ptr(gpa) + bytes, 0, PAGE_SIZE - bytes);
            if (!blk_rq_add(rq, gpa, bytes))
                break;
        }
        blk_submit(rq, i == end);
    }
}

static void fill(struct page_cache *c, uint64_t first, size_t n)
{
    transfer(c->owner, first, n, false);
}

static void write(struct page_cache *c, uint64_t first, size_t n)
{
    transfer(c->owner, first, n, true);
}

long blkdev_read(struct blkdev *b, uint64_t offset, void *buf, size_t n)
{
    uint8_t *to = buf;

    if (offset > b->size || n > b->size - offset)
        return -EIO;
    while (n > 0) {
        struct cached_page *p;
        size_t part = MIN(PAGE_SIZE - offset % PAGE_SIZE, n);
        long err = cache_get(&b->cache, offset >> PAGE_SHIFT, &p);

        if (err < 0)
            return err;
        memcpy(to, (const uint8_t *)gpa_to_ptr(p->gpa) + offset % PAGE_SIZE, part);
        frame_put(p->gpa);
        to += part;
        offset += part;
        n -= part;
    }
    return 0;
}

/* --- durability --- */

long blkdev_flush(struct blkdev *b)
{
    struct blk_rq *rq;
    long err;

    if (!b->disk->can_flush)
        return 0;
    rq = blk_rq_new(b->disk, VIRTIO_BLK_T_FLUSH, 0);
    if (!rq)
        return -ENOMEM;
    err = blk_call(rq);
    kfree(rq);
    return err;
}

long blkdev_sync(struct blkdev *b)
{
    long err;

    cache_write_back(&b->cache, 0, UINT64_MAX - 1, true);
    err = b->cache.write_error;
    b->cache.write_error = 0;
    return err < 0 ? err : blkdev_flush(b);
}

void blkdev_sync_all(void)
{
    for (size_t i = 0; i < device_count; i++)
        if (!blkdev_readonly(devices[i]))
            blkdev_sync(devices[i]);
}

/* Without threads to park: look, and let the host run in between. */
static void poll_until(bool (*done)(void *arg), void *arg)
{
    while (!done(arg)) {
        virtio_listen(true);
        if (!done(arg) && !READ_ONCE(shared_page()->pending))
            hypercall(HYPERCALL_WAIT, NEVER, 0, 0, 0, 0);
        __atomic_fetch_and(&shared_page()->pending, ~PENDING_DEVICE, __ATOMIC_ACQ_REL);
        virtio_poll();
    }
}

static bool nothing_is_written(void *arg)
{
    return !cache_is_writing(arg);
}

static bool request_is_done(void *arg)
{
    return ((struct blk_rq *)arg)->done;
}

static void note_done(struct blk_rq *rq UNUSED)
{
}

static void drain(struct blkdev *b)
{
    struct blk_rq *rq;

    poll_until(nothing_is_written, &b->cache);
    cache_write_back(&b->cache, 0, UINT64_MAX - 1, false);
    poll_until(nothing_is_written, &b->cache);
    rq = b->disk->can_flush ? blk_rq_new(b->disk, VIRTIO_BLK_T_FLUSH, 0) : NULL;
    if (!rq)
        return;
    rq->complete = note_done;
    blk_submit(rq, true);
    poll_until(request_is_done, rq);
}

void blkdev_drain(void)
{
    for (size_t i = 0; i < device_count; i++)
        if (!blkdev_readonly(devices[i]) && devices[i]->cache.pages.count > 0)
            drain(devices[i]);
}

/* One command for a range of sectors, in pieces that the device takes. */
long blkdev_range(struct blkdev *b, uint32_t type, uint64_t offset, uint64_t len)
{
    uint64_t max = type == VIRTIO_BLK_T_DISCARD ? b->disk->discard_max : b->disk->zero_max;
    uint64_t sector = (b->start + offset) / BLK_SECTOR, left = len / BLK_SECTOR;
    long err = 0;

    if (max == 0)
        return -EOPNOTSUPP;
    while (err == 0 && left > 0) {
        struct blk_rq *rq = blk_rq_new(b->disk, type, 0);
        uint64_t part = MIN(left, max);

        if (!rq)
            return -ENOMEM;
        rq->range = (struct virtio_blk_discard_write_zeroes){ .sector = sector, .num_sectors = (uint32_t)part };
        blk_rq_add(rq, ptr_to_gpa(&rq->range), sizeof(rq->range));
        err = blk_call(rq);
        kfree(rq);
        sector += part;
        left -= part;
    }
    return err;
}

/* --- names --- */

static struct blkdev *add(struct virtio_blk *disk, unsigned int number, unsigned int part, uint64_t start, uint64_t size)
{
    struct blkdev *b = device_count < BLKDEV_MAX ? kzalloc(sizeof(*b)) : NULL;

    if (!b)
        return NULL;
    if (part > 0)
        ksnprintf(b->name, sizeof(b->name), "vd%c%u", 'a' + number, part);
    else
        ksnprintf(b->name, sizeof(b->name), "vd%c", 'a' + number);
    b->rdev = vfs_makedev(BLKDEV_MAJOR, number * BLKDEV_MINORS + part);
    b->disk = disk;
    b->start = start;
    b->size = size;
    b->read_ahead = 256;
    cache_init(&b->cache, size);
    b->cache.fill = fill;
    b->cache.write = disk->readonly ? NULL : write;
    b->cache.owner = b;
    devices[device_count++] = b;
    return b;
}

static int read_for_parts(void *ctx, uint64_t offset, void *buf, size_t n)
{
    return (int)blkdev_read(ctx, offset, buf, n);
}

void blkdev_add_disk(struct virtio_blk *disk)
{
    static struct partition parts[BLKDEV_MINORS - 1];
    unsigned int number = disk_count++;
    struct blkdev *whole = add(disk, number, 0, 0, disk->sectors * BLK_SECTOR);
    size_t n;

    if (!whole)
        panic("no memory for the disks");
    n = partitions_find(whole->size, disk->block_size, read_for_parts, whole, parts, ARRAY_SIZE(parts));
    for (size_t i = 0; i < n; i++)
        add(disk, number, parts[i].number, parts[i].start, parts[i].size);
}

long blkdev_make_nodes(struct inode *dev)
{
    for (size_t i = 0; i < device_count; i++) {
        struct name name = { devices[i]->name, strlen(devices[i]->name) };
        struct inode *node = dev->ops->mknod(dev, &name, S_IFBLK | 0660, devices[i]->rdev);

        if (is_err(node))
            return ptr_err(node);
        node->gid = DISK_GID;
        inode_put(node);
    }
    return 0;
}
