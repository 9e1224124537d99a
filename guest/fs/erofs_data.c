/*
 * Data of EROFS files. Plain pages are the device's own cached pages, read and mapped as they are; what isn't a whole page of the device
 * (inline tails, holes, unpacked extents) is made once into pages of the inode.
 */
#include "fs/erofs.h"

#include "lib/kmalloc.h"
#include "lib/string.h"
#include "mm/frame.h"

#define UNPACKED_MAX (16u << 20) /* of one extent: mkfs.erofs makes them 6 MiB long at most */
#define SCRATCH_KEEP 256u /* pages */

struct erofs_file {
    struct readahead ra;
};

/* --- extents of compressed files --- */

static long keep_extent(void *ctx, const struct erofs_extent *e)
{
    struct erofs_inode *ei = ctx;

    if (ei->extent_count == ei->extent_room) {
        size_t room = MAX(ei->extent_room * 2, 8u);
        struct erofs_extent *p = krealloc(ei->extents, room * sizeof(*p));

        if (!p)
            return -ENOMEM;
        ei->extents = p;
        ei->extent_room = room;
    }
    ei->extents[ei->extent_count++] = *e;
    return 0;
}

static long load_extents(struct inode *inode)
{
    struct erofs_inode *ei = erofs_i(inode);
    long err = 0;

    mutex_lock(&ei->extents_lock);
    if (!ei->has_extents) {
        ei->extent_count = 0;
        err = erofs_extents(&erofs_s(inode)->disk, &ei->node, &ei->interlaced, keep_extent, ei);
        ei->has_extents = err == 0;
    }
    mutex_unlock(&ei->extents_lock);
    return err;
}

/* The extent that holds offset; there is one, since the first begins at 0. */
static size_t find_extent(const struct erofs_inode *ei, uint64_t offset)
{
    size_t low = 0, high = ei->extent_count;

    while (high - low > 1) {
        size_t mid = low + (high - low) / 2;

        if (ei->extents[mid].start <= offset)
            low = mid;
        else
            high = mid;
    }
    return low;
}

static uint64_t extent_end(const struct erofs_inode *ei, size_t i)
{
    return i + 1 < ei->extent_count ? ei->extents[i + 1].start : ei->node.size;
}

/* --- unpacking --- */

/*
 * Memory for a whole extent. There is one for all, kept from one use to the next unless it has become big: freed frames go back to the
 * host, and touching new ones costs more than unpacking into them. It remembers what it holds, because LZ4 can't begin in the midst of an
 * extent: a reader that takes a long one in many steps would have it unpacked from its beginning for each of them.
 */
static struct scratch {
    struct mutex lock;
    uint8_t *packed, *unpacked;
    size_t packed_pages, unpacked_pages;
    const struct superblock *sb; /* whose extent it holds, or held last; NULL: none */
    uint64_t nid, start;
    uint64_t size;               /* of the extent's bytes that are there */
} scratch = { .lock = { NULL, { LIST_INIT(scratch.lock.queue.entries) } } };

static bool scratch_is_of(const struct scratch *s, const struct inode *inode, uint64_t start)
{
    return s->sb == inode->sb && s->nid == erofs_i(inode)->node.nid && s->start == start;
}

/* Whoever has read a big extent to its end doesn't need it any more. */
static void scratch_trim(struct scratch *s, bool at_end)
{
    if (s->unpacked_pages <= SCRATCH_KEEP || !at_end)
        return;
    pages_free(s->unpacked, s->unpacked_pages);
    s->unpacked = NULL;
    s->unpacked_pages = 0;
    s->size = 0;
}

static bool scratch_reserve(uint8_t **p, size_t *pages, uint64_t bytes)
{
    size_t n = PAGE_UP(bytes) >> PAGE_SHIFT;

    if (n <= *pages)
        return true;
    if (*p)
        pages_free(*p, *pages);
    *p = pages_alloc(n);
    *pages = *p ? n : 0;
    return *p != NULL;
}

/* Bytes [0, size) of extent i into s->unpacked. */
static long unpack_to(const struct inode *inode, size_t i, uint64_t size, struct scratch *s)
{
    const struct erofs_inode *ei = erofs_i(inode);
    const struct erofs_sb *es = erofs_s(inode);
    const struct erofs_extent *e = &ei->extents[i];
    uint64_t packed = (uint64_t)e->count * EROFS_BLOCK;
    long err;

    s->size = 0;
    if (!scratch_reserve(&s->packed, &s->packed_pages, packed) || !scratch_reserve(&s->unpacked, &s->unpacked_pages, size))
        return -ENOMEM;
    err = blkdev_read(es->dev, (uint64_t)e->block * EROFS_BLOCK, s->packed, packed);
    if (err == 0)
        err = erofs_unpack(&es->disk, e, ei->interlaced, s->packed, s->unpacked, size);
    if (err == 0)
        s->size = size;
    return err;
}

/* Extent i into s->unpacked, at least as far as byte `end` of the file; all of it if somebody comes for more of what was asked for last. */
static long unpack(const struct inode *inode, size_t i, uint64_t end, struct scratch *s)
{
    const struct erofs_extent *e = &erofs_i(inode)->extents[i];
    uint64_t all = extent_end(erofs_i(inode), i) - e->start, size = MIN(all, end - e->start);
    bool again = scratch_is_of(s, inode, e->start);

    if (size > UNPACKED_MAX || e->count == 0 || e->count > EROFS_PACKED_MAX / EROFS_BLOCK)
        return -EUCLEAN;
    if (again && s->size >= size)
        return 0;
    s->sb = inode->sb;
    s->nid = erofs_i(inode)->node.nid;
    s->start = e->start;
    if (again && all <= UNPACKED_MAX) {
        long err = unpack_to(inode, i, all, s);

        if (err != -ENOMEM)
            return err;
    }
    return unpack_to(inode, i, size, s);
}

/* The part of [at, at + n), which lies in buf, that belongs to the pages [first, end). */
static void spread(struct page_cache *c, uint64_t first, uint64_t end, uint64_t at, const uint8_t *buf, uint64_t n)
{
    uint64_t from = MAX(at, first << PAGE_SHIFT), to = MIN(at + n, end << PAGE_SHIFT);

    while (from < to) {
        uint64_t part = MIN(PAGE_SIZE - from % PAGE_SIZE, to - from);
        uint8_t *page = gpa_to_ptr(cache_find(c, from >> PAGE_SHIFT)->gpa);

        memcpy(page + from % PAGE_SIZE, buf + (from - at), part);
        from += part;
    }
}

/* Mark the pages of [first, end) that end at or before `limit` as filled. Returns the first that isn't. */
static uint64_t filled_up_to(struct page_cache *c, uint64_t first, uint64_t end, uint64_t limit)
{
    while (first < end && (first + 1) << PAGE_SHIFT <= limit)
        cache_filled(c, first++, 0);
    return first;
}

/* Have the device read all extents [i, j], and what comes next, at once. They follow each other in all but odd images. */
static void read_ahead_packed(struct inode *inode, size_t i, size_t j)
{
    struct erofs_inode *ei = erofs_i(inode);
    uint64_t first = ei->extents[i].block, last = (uint64_t)ei->extents[j].block + ei->extents[j].count - 1;

    if (first <= last && last - first < 2 * CACHE_RUN_MAX)
        cache_read_ahead(&erofs_s(inode)->dev->cache, &ei->packed, first, last);
}

static void fill_unpacked(struct inode *inode, uint64_t first, uint64_t end)
{
    struct erofs_inode *ei = erofs_i(inode);
    struct page_cache *c = &ei->pages;
    uint64_t done = first;
    bool at_end = false;
    long err = 0;

    read_ahead_packed(inode, find_extent(ei, first << PAGE_SHIFT), find_extent(ei, (end << PAGE_SHIFT) - 1));
    mutex_lock(&scratch.lock);
    for (size_t i = find_extent(ei, first << PAGE_SHIFT); done < end && i < ei->extent_count; i++) {
        uint64_t start = ei->extents[i].start, stop = extent_end(ei, i);

        if (start >= end << PAGE_SHIFT)
            break;
        err = unpack(inode, i, end << PAGE_SHIFT, &scratch);
        at_end = err < 0 || stop <= end << PAGE_SHIFT;
        if (err < 0)
            break;
        spread(c, first, end, start, scratch.unpacked, MIN(stop, end << PAGE_SHIFT) - start);
        done = filled_up_to(c, done, end, stop == ei->node.size ? UINT64_MAX : stop);
    }
    scratch_trim(&scratch, at_end);
    mutex_unlock(&scratch.lock);
    while (done < end)
        cache_filled(c, done++, err < 0 ? err : -EUCLEAN);
    cache_wake();
}

static void fill_copied(struct inode *inode, uint64_t first, uint64_t end)
{
    struct erofs_inode *ei = erofs_i(inode);

    for (uint64_t i = first; i < end; i++) {
        size_t n = MIN(PAGE_SIZE, ei->node.size - (i << PAGE_SHIFT));
        long err = erofs_read_plain(&erofs_s(inode)->disk, &ei->node, i << PAGE_SHIFT, gpa_to_ptr(cache_find(&ei->pages, i)->gpa), n);

        cache_filled(&ei->pages, i, err);
    }
    cache_wake();
}

/* Pages of the inode's own cache. What lies behind the end of the file is zero. */
static void fill(struct page_cache *c, uint64_t first, size_t n)
{
    struct inode *inode = c->owner;
    uint64_t end = first + n;

    if (end << PAGE_SHIFT > inode->size)
        memset((uint8_t *)gpa_to_ptr(cache_find(c, end - 1)->gpa) + inode->size % PAGE_SIZE, 0,
               PAGE_SIZE - inode->size % PAGE_SIZE);
    if (erofs_is_compressed(&erofs_i(inode)->node))
        fill_unpacked(inode, first, end);
    else
        fill_copied(inode, first, end);
}

void erofs_data_init(struct inode *inode)
{
    struct erofs_inode *ei = erofs_i(inode);

    cache_init(&ei->pages, inode->size);
    ei->pages.fill = fill;
    ei->pages.owner = inode;
    mutex_init(&ei->extents_lock);
}

void erofs_data_evict(struct inode *inode)
{
    struct erofs_inode *ei = erofs_i(inode);

    cache_destroy(&ei->pages);
    kfree(ei->extents);
}

/* --- one page of a file, whichever cache it is in --- */

/*
 * Is the page at offset, as far as the file goes, one page of the device? *ret_index: which, and *ret_run, how many follow it there.
 */
static long device_page(const struct inode *inode, uint64_t offset, bool *ret_is, uint64_t *ret_index, uint64_t *ret_run)
{
    const struct erofs_inode *ei = erofs_i(inode);
    uint64_t at, len;
    long err;

    *ret_is = false;
    if (erofs_is_compressed(&ei->node))
        return 0;
    err = erofs_map(&erofs_s(inode)->disk, &ei->node, offset, &at, &len);
    if (err < 0)
        return err;
    *ret_is = at != EROFS_HOLE && at % PAGE_SIZE == 0 && len >= MIN(PAGE_SIZE, ei->node.size - offset);
    *ret_index = at >> PAGE_SHIFT;
    *ret_run = PAGE_UP(len) >> PAGE_SHIFT;
    return 0;
}

/* Whole extents, so that none is unpacked twice for one read. */
static void widen(const struct erofs_inode *ei, uint64_t *first, uint64_t *last)
{
    uint64_t begin = PAGE_UP(ei->extents[find_extent(ei, *first << PAGE_SHIFT)].start) >> PAGE_SHIFT;
    uint64_t end = extent_end(ei, find_extent(ei, MIN(*last << PAGE_SHIFT, ei->node.size - 1))) >> PAGE_SHIFT;

    if (begin < *first && *last - begin < CACHE_RUN_MAX)
        *first = begin;
    if (end > *last + 1 && end - *first <= CACHE_RUN_MAX)
        *last = end - 1;
}

/*
 * The page at `offset` (page-aligned, in the file), with a reference on its frame; last: the page up to which the caller will go on.
 */
static long get_page(struct file *f, uint64_t offset, uint64_t last, gpa_t *ret)
{
    struct inode *inode = f->inode;
    struct erofs_inode *ei = erofs_i(inode);
    struct erofs_file *ef = f->data;
    struct page_cache *c = &ei->pages;
    uint64_t index = offset >> PAGE_SHIFT, from, run = 0;
    struct cached_page *p;
    bool device = false;
    long err = erofs_is_compressed(&ei->node) ? load_extents(inode) : device_page(inode, offset, &device, &index, &run);

    if (err < 0)
        return err;
    last = last - (offset >> PAGE_SHIFT) + index;
    from = index;
    if (device) {
        c = &erofs_s(inode)->dev->cache;
        last = MIN(last, index + run - 1);
    } else {
        index = offset >> PAGE_SHIFT;
        if (ei->has_extents)
            widen(ei, &from, &last);
        else
            last = index;
    }
    if (!cache_find(c, index) || index + 1 >= ef->ra.end)
        cache_read_ahead(c, &ef->ra, from, last);
    err = cache_get(c, index, &p);
    if (err < 0)
        return err;
    *ret = p->gpa;
    return 0;
}

/* --- files --- */

static ssize_t erofs_read(struct file *f, struct iter *to, uint64_t *pos)
{
    struct inode *inode = f->inode;
    ssize_t done = 0;

    while (to->left > 0 && *pos < inode->size) {
        uint64_t offset = *pos % PAGE_SIZE, end = MIN(*pos + to->left, inode->size);
        uint64_t last = MIN((end - 1) >> PAGE_SHIFT, (*pos >> PAGE_SHIFT) + CACHE_RUN_MAX - 1);
        size_t n = MIN(PAGE_SIZE - offset, end - *pos), moved;
        gpa_t gpa;
        long err = get_page(f, *pos - offset, last, &gpa);

        if (err < 0)
            return done ? done : err;
        moved = iter_copy_to(to, (const uint8_t *)gpa_to_ptr(gpa) + offset, n);
        frame_put(gpa);
        *pos += moved;
        done += (ssize_t)moved;
        if (moved < n)
            return done ? done : -EFAULT;
    }
    return done;
}

static int erofs_page(struct file *f, uint64_t offset, bool write, gpa_t *ret_gpa, uint64_t *ret_run)
{
    uint64_t end = PAGE_UP(f->inode->size) >> PAGE_SHIFT;

    if (offset >= PAGE_UP(f->inode->size))
        return -ERANGE;
    if (write)
        return -EACCES;
    *ret_run = PAGE_SIZE;
    return (int)get_page(f, offset, MIN((offset >> PAGE_SHIFT) + 15, end - 1), ret_gpa);
}

static int erofs_mmap(struct file *f UNUSED, int prot UNUSED, int flags UNUSED)
{
    return 0;
}

static void erofs_release(struct file *f)
{
    kfree(f->data);
}

const struct file_ops erofs_file_ops = {
    .read = erofs_read,
    .seek = seek_generic,
    .fsync = fsync_nothing,
    .mmap = erofs_mmap,
    .page = erofs_page,
    .release = erofs_release,
};

int erofs_file_open(struct inode *inode UNUSED, struct file *f)
{
    f->data = kzalloc(sizeof(struct erofs_file));
    if (!f->data)
        return -ENOMEM;
    f->ops = &erofs_file_ops;
    return 0;
}
