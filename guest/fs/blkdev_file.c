/* Block devices as open files: reading, writing, mapping, ioctl (Linux's block/ioctl.c and man 4 sd say what). */
#include "arch/uaccess.h"
#include "fs/blkdev_direct.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "mm/frame.h"

#include <linux/falloc.h>
#include <linux/hdreg.h>

static struct blkdev *dev_of(const struct file *f)
{
    return ((struct blkdev_file *)f->data)->dev;
}

/* The iter cut to what [pos, size) has room for; what was cut off is put back by the caller. */
static uint64_t cut(struct iter *it, uint64_t pos, uint64_t size)
{
    uint64_t room = pos < size ? size - pos : 0, over = it->left > room ? it->left - room : 0;

    it->left -= over;
    return over;
}

/* --- reading --- */

/* What the cache has of one run of pages. Bytes, or -errno if none. */
static ssize_t read_pages(struct blkdev *b, struct iter *to, uint64_t *pos, uint64_t end)
{
    ssize_t done = 0;

    while (*pos < end) {
        uint64_t offset = *pos % PAGE_SIZE;
        size_t n = MIN(PAGE_SIZE - offset, end - *pos), moved;
        struct cached_page *p;
        gpa_t gpa;
        long err = cache_get(&b->cache, *pos >> PAGE_SHIFT, &p);

        if (err < 0)
            return done ? done : err;
        gpa = p->gpa; /* copying may sleep, and the page be forgotten: the frame stays */
        moved = iter_copy_to(to, (const uint8_t *)gpa_to_ptr(gpa) + offset, n);
        frame_put(gpa);
        *pos += moved;
        done += (ssize_t)moved;
        if (moved < n)
            return done ? done : -EFAULT;
    }
    return done;
}

static ssize_t read_cached(struct file *f, struct iter *to, uint64_t *pos)
{
    struct blkdev_file *bf = f->data;
    ssize_t done = 0;

    while (to->left > 0) {
        uint64_t end = MIN(*pos + to->left, PAGE_DOWN(*pos) + CACHE_RUN_MAX * PAGE_SIZE), asked = end - *pos;
        ssize_t n;

        cache_read_ahead(&bf->dev->cache, &bf->ra, *pos >> PAGE_SHIFT, (end - 1) >> PAGE_SHIFT);
        n = read_pages(bf->dev, to, pos, end);
        if (n < 0)
            return done ? done : n;
        done += n;
        if ((uint64_t)n < asked)
            break;
    }
    return done;
}

static ssize_t blkdev_file_read(struct file *f, struct iter *to, uint64_t *pos)
{
    struct blkdev *b = dev_of(f);
    uint64_t over = cut(to, *pos, b->size);
    ssize_t n = 0;

    if (to->left > 0)
        n = (f->flags & O_DIRECT) && !to->kernel ? blkdev_direct(b, to, pos, false) : read_cached(f, to, pos);
    to->left += over;
    return n;
}

/* --- writing --- */

/* All of a page: into a frame of its own first, so that a bad address in the middle leaves the old content. */
static ssize_t write_whole(struct blkdev *b, struct iter *from, uint64_t index, size_t n)
{
    gpa_t gpa = frame_alloc();
    struct cached_page *p;
    size_t moved;
    long err;

    if (!gpa)
        return -ENOMEM;
    moved = iter_copy_from(from, gpa_to_ptr(gpa), n);
    if (moved == n) {
        err = cache_put(&b->cache, index, gpa, &p);
    } else {
        err = cache_get(&b->cache, index, &p);
        if (err == 0)
            memcpy(gpa_to_ptr(p->gpa), gpa_to_ptr(gpa), moved);
        frame_put(gpa);
    }
    if (err < 0)
        return err;
    cache_mark_dirty(&b->cache, p);
    frame_put(p->gpa);
    return (ssize_t)moved;
}

static ssize_t write_part(struct blkdev *b, struct iter *from, uint64_t pos, size_t n)
{
    struct cached_page *p;
    gpa_t gpa;
    size_t moved;
    long err = cache_get(&b->cache, pos >> PAGE_SHIFT, &p);

    if (err < 0)
        return err;
    cache_mark_dirty(&b->cache, p); /* so that it stays while copying sleeps; and again: it may be written meanwhile */
    gpa = p->gpa;
    moved = iter_copy_from(from, (uint8_t *)gpa_to_ptr(gpa) + pos % PAGE_SIZE, n);
    p = cache_find(&b->cache, pos >> PAGE_SHIFT);
    if (p && p->gpa == gpa)
        cache_mark_dirty(&b->cache, p);
    frame_put(gpa);
    return (ssize_t)moved;
}

static ssize_t write_cached(struct blkdev *b, struct iter *from, uint64_t *pos)
{
    ssize_t done = 0, moved;

    while (from->left > 0) {
        size_t n = MIN(PAGE_SIZE - *pos % PAGE_SIZE, from->left);

        moved = n == PAGE_SIZE ? write_whole(b, from, *pos >> PAGE_SHIFT, n) : write_part(b, from, *pos, n);
        if (moved < 0)
            return done ? done : moved;
        *pos += (uint64_t)moved;
        done += moved;
        cache_throttle(&b->cache);
        if ((size_t)moved < n)
            return done ? done : -EFAULT;
    }
    return done;
}

static ssize_t blkdev_file_write(struct file *f, struct iter *from, uint64_t *pos)
{
    struct blkdev *b = dev_of(f);
    uint64_t over;
    ssize_t n;

    if (blkdev_readonly(b))
        return -EPERM;
    if (from->left == 0)
        return 0;
    if (*pos >= b->size)
        return -ENOSPC;
    over = cut(from, *pos, b->size);
    n = -EAGAIN;
    if ((f->flags & O_DIRECT) && !from->kernel)
        n = blkdev_direct(b, from, pos, true);
    if (n == -EAGAIN) {
        n = write_cached(b, from, pos);
        if (n > 0 && (f->flags & O_DIRECT))
            cache_write_back(&b->cache, (*pos - (uint64_t)n) >> PAGE_SHIFT, (*pos - 1) >> PAGE_SHIFT, true);
    }
    from->left += over;
    if (n > 0 && (f->flags & (O_DSYNC | __O_SYNC))) {
        long err = blkdev_sync(b);

        return err < 0 ? err : n;
    }
    return n;
}

/* --- the rest --- */

static loff_t blkdev_seek(struct file *f, loff_t offset, int whence)
{
    loff_t size = (loff_t)dev_of(f)->size, pos = offset;

    if (whence == SEEK_CUR)
        pos += (loff_t)f->pos;
    else if (whence == SEEK_END)
        pos += size;
    else if (whence == SEEK_DATA || whence == SEEK_HOLE) {
        if (offset < 0 || offset >= size)
            return -ENXIO;
        pos = whence == SEEK_DATA ? offset : size;
    } else if (whence != SEEK_SET) {
        return -EINVAL;
    }
    pos = seek_check(pos, size);
    if (pos >= 0)
        f->pos = (uint64_t)pos;
    return pos;
}

static int blkdev_fsync(struct file *f, bool data_only UNUSED)
{
    return blkdev_readonly(dev_of(f)) ? 0 : (int)blkdev_sync(dev_of(f));
}

static int blkdev_mmap(struct file *f UNUSED, int prot UNUSED, int flags UNUSED)
{
    return 0;
}

static int blkdev_page(struct file *f, uint64_t offset, bool write, gpa_t *ret_gpa, uint64_t *ret_run)
{
    struct blkdev *b = dev_of(f);
    struct blkdev_file *bf = f->data;
    struct cached_page *p;
    long err;

    if (offset >= b->size)
        return -ERANGE;
    if (write && blkdev_readonly(b))
        return -EACCES;
    cache_read_ahead(&b->cache, &bf->ra, offset >> PAGE_SHIFT, offset >> PAGE_SHIFT);
    err = cache_get(&b->cache, offset >> PAGE_SHIFT, &p);
    if (err < 0)
        return (int)err;
    if (write) {
        p->state |= CACHED_SHARED;
        cache_mark_dirty(&b->cache, p);
    }
    *ret_gpa = p->gpa; /* with the reference of cache_get */
    *ret_run = PAGE_SIZE;
    return 0;
}

/* Mapped pages stayed in the cache: let them show the zeroes that the disk has now. */
static void zero_cached(struct page_cache *c, uint64_t offset, uint64_t len)
{
    for (uint64_t end = offset + len; offset < end;) {
        uint64_t n = MIN(PAGE_SIZE - offset % PAGE_SIZE, end - offset);
        struct cached_page *p = cache_find(c, offset >> PAGE_SHIFT);

        if (p)
            memset((uint8_t *)gpa_to_ptr(p->gpa) + offset % PAGE_SIZE, 0, n);
        offset += n;
    }
}

/* Bytes [offset, offset + len) are to read as zero, or needn't be kept. */
static long give_up_range(struct file *f, uint32_t type, uint64_t offset, uint64_t len)
{
    struct blkdev *b = dev_of(f);
    long err;

    if ((f->flags & O_ACCMODE) == O_RDONLY)
        return -EBADF;
    if (blkdev_readonly(b))
        return -EPERM;
    if ((offset | len) % b->disk->block_size || len == 0)
        return -EINVAL;
    if (offset > b->size || len > b->size - offset)
        return -EINVAL;
    cache_write_back(&b->cache, offset >> PAGE_SHIFT, (offset + len - 1) >> PAGE_SHIFT, true);
    cache_drop(&b->cache, offset >> PAGE_SHIFT, (offset + len - 1) >> PAGE_SHIFT);
    err = blkdev_range(b, type, offset, len);
    if (err == 0 && type == VIRTIO_BLK_T_WRITE_ZEROES && cache_has(&b->cache, offset >> PAGE_SHIFT, (offset + len - 1) >> PAGE_SHIFT))
        zero_cached(&b->cache, offset, len);
    return err;
}

static int blkdev_fallocate(struct file *f, int mode, uint64_t offset, uint64_t len)
{
    if (mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) && mode != FALLOC_FL_ZERO_RANGE &&
        mode != (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE))
        return -EOPNOTSUPP;
    return (int)give_up_range(f, VIRTIO_BLK_T_WRITE_ZEROES, offset, len);
}

static long range_ioctl(struct file *f, uint32_t type, uaddr_t arg)
{
    uint64_t range[2];

    if (copy_from_user(range, arg, sizeof(range)) < 0)
        return -EFAULT;
    return give_up_range(f, type, range[0], range[1]);
}

static long put_int(uaddr_t arg, int v)
{
    return put_user(v, arg);
}

static long put_short(uaddr_t arg, uint16_t v)
{
    return put_user(v, arg);
}

static long put_long(uaddr_t arg, uint64_t v)
{
    return put_user(v, arg);
}

static long put_geometry(const struct blkdev *b, uaddr_t arg)
{
    struct hd_geometry g = { .heads = 16, .sectors = 63 };

    g.cylinders = (unsigned short)MIN(b->size / BLK_SECTOR / (16 * 63), 65535ul);
    g.start = b->start / BLK_SECTOR;
    return put_user(g, arg);
}

static long flush_buffers(struct blkdev *b)
{
    long err = blkdev_readonly(b) ? 0 : blkdev_sync(b);

    cache_drop(&b->cache, 0, UINT64_MAX - 1);
    return err;
}

static long blkdev_ioctl(struct file *f, uint32_t cmd, uint64_t arg)
{
    struct blkdev *b = dev_of(f);
    const struct virtio_blk *disk = b->disk;

    switch (cmd) {
    case BLKGETSIZE64:
        return put_long(arg, b->size);
    case BLKGETSIZE:
        return put_long(arg, b->size / BLK_SECTOR);
    case BLKSSZGET:
        return put_int(arg, (int)disk->block_size);
    case BLKPBSZGET:
    case BLKIOMIN:
        return put_int(arg, (int)disk->physical_size);
    case BLKIOOPT:
    case BLKALIGNOFF:
    case BLKDISCARDZEROES:
        return put_int(arg, 0);
    case BLKBSZGET:
        return put_int(arg, (int)PAGE_SIZE);
    case BLKROGET:
        return put_int(arg, blkdev_readonly(b));
    case BLKROTATIONAL:
        return put_short(arg, 0);
    case BLKSECTGET:
        return put_short(arg, (uint16_t)(disk->seg_max * PAGE_SIZE / BLK_SECTOR));
    case BLKRAGET:
        return put_long(arg, b->read_ahead);
    case BLKRASET:
        b->read_ahead = (uint32_t)arg;
        return 0;
    case BLKFLSBUF:
        return flush_buffers(b);
    case BLKDISCARD:
        return range_ioctl(f, VIRTIO_BLK_T_DISCARD, arg);
    case BLKZEROOUT:
        return range_ioctl(f, VIRTIO_BLK_T_WRITE_ZEROES, arg);
    case HDIO_GETGEO:
        return put_geometry(b, arg);
    default:
        return -ENOTTY;
    }
}

/* The last to close a device writes what is dirty; errors then have nobody to be told to (as on Linux). */
static void blkdev_release(struct file *f)
{
    struct blkdev *b = dev_of(f);

    if (--b->opens == 0 && !blkdev_readonly(b) && b->cache.dirty_count > 0)
        cache_write_back(&b->cache, 0, UINT64_MAX - 1, false);
    kfree(f->data);
}

const struct file_ops blkdev_file_ops = {
    .read = blkdev_file_read,
    .write = blkdev_file_write,
    .seek = blkdev_seek,
    .ioctl = blkdev_ioctl,
    .fsync = blkdev_fsync,
    .fallocate = blkdev_fallocate,
    .release = blkdev_release,
    .mmap = blkdev_mmap,
    .page = blkdev_page,
};

static struct blkdev *by_rdev(uint64_t rdev)
{
    struct blkdev *b;

    for (size_t i = 0; (b = blkdev_at(i)) != NULL; i++)
        if (b->rdev == rdev)
            return b;
    return NULL;
}

long blkdev_open(struct inode *inode, struct file *f)
{
    struct blkdev *b = by_rdev(inode->rdev);
    struct blkdev_file *bf;

    if (!b)
        return -ENXIO;
    if (blkdev_readonly(b) && (f->flags & O_ACCMODE) != O_RDONLY)
        return -EACCES;
    bf = kzalloc(sizeof(*bf));
    if (!bf)
        return -ENOMEM;
    bf->dev = b;
    b->opens++;
    f->data = bf;
    f->ops = &blkdev_file_ops;
    return 0;
}
