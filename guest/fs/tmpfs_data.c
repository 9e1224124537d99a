/*
 * Data of tmpfs files: frames by index, holes where there are none. Mapped pages are these frames themselves.
 *
 * Writers hold the inode's lock, since copying from the app may sleep; page() doesn't take it, because a write's own
 * source may be a mapping of the same file.
 */
#include <linux/falloc.h>

#include "fs/tmpfs.h"
#include "lib/string.h"
#include "mm/frame.h"

#define BLOCKS_PER_PAGE (PAGE_SIZE / 512)
#define TMPFS_SIZE_MAX ((uint64_t)INT64_MAX)

static struct page_map *pages_of(const struct inode *inode)
{
    return &tmpfs_node(inode)->pages;
}

/* The frame at index, made if it is a hole. 0 and *ret, without a reference; -ENOSPC, -ENOMEM. */
static int get_page(struct inode *inode, uint64_t index, gpa_t *ret)
{
    struct tmpfs_super *super = tmpfs_super(inode);
    gpa_t gpa = page_map_get(pages_of(inode), index);

    if (gpa) {
        *ret = gpa;
        return 0;
    }
    if (super->used_pages >= super->limit_pages)
        return -ENOSPC;
    gpa = frame_zalloc();
    if (!gpa)
        return -ENOMEM;
    if (page_map_set(pages_of(inode), index, gpa) < 0) {
        frame_put(gpa);
        return -ENOMEM;
    }
    super->used_pages++;
    inode->blocks += BLOCKS_PER_PAGE;
    *ret = gpa;
    return 0;
}

/* Let go of all pages with first <= index < end. */
static void drop_pages(struct inode *inode, uint64_t first, uint64_t end)
{
    struct page_map *map = pages_of(inode);

    for (uint64_t i = page_map_next(map, first, end, false); i < end; i = page_map_next(map, i + 1, end, false)) {
        frame_put(page_map_take(map, i));
        tmpfs_super(inode)->used_pages--;
        inode->blocks -= BLOCKS_PER_PAGE;
    }
}

static void zero_part(struct inode *inode, uint64_t start, uint64_t end)
{
    gpa_t gpa = page_map_get(pages_of(inode), start >> PAGE_SHIFT);

    if (gpa && end > start)
        memset((char *)gpa_to_ptr(gpa) + start % PAGE_SIZE, 0, end - start);
}

static ssize_t tmpfs_read(struct file *f, struct iter *to, uint64_t *pos)
{
    struct inode *inode = f->inode;
    ssize_t done = 0;

    while (to->left > 0 && *pos < inode->size) {
        uint64_t offset = *pos % PAGE_SIZE;
        size_t n = MIN(MIN(PAGE_SIZE - offset, to->left), inode->size - *pos);
        gpa_t gpa = page_map_get(pages_of(inode), *pos >> PAGE_SHIFT);
        size_t moved;

        if (gpa) {
            frame_get(gpa);
            moved = iter_copy_to(to, (char *)gpa_to_ptr(gpa) + offset, n);
            frame_put(gpa);
        } else {
            moved = iter_zero(to, n);
        }
        *pos += moved;
        done += (ssize_t)moved;
        if (moved < n)
            return done ? done : -EFAULT;
    }
    if (!(f->flags & O_NOATIME))
        inode_touch(inode, ATTR_ATIME);
    return done;
}

/* One page's worth. Bytes, 0 if nothing could be copied, or -errno. */
static ssize_t write_part(struct inode *inode, struct iter *from, uint64_t pos, size_t n)
{
    gpa_t gpa;
    size_t moved;
    int err = get_page(inode, pos >> PAGE_SHIFT, &gpa);

    if (err < 0)
        return err;
    frame_get(gpa);
    moved = iter_copy_from(from, (char *)gpa_to_ptr(gpa) + pos % PAGE_SIZE, n);
    frame_put(gpa);
    if (pos + moved > inode->size)
        inode->size = pos + moved;
    return (ssize_t)moved;
}

static ssize_t write_locked(struct inode *inode, struct iter *from, uint64_t *pos)
{
    ssize_t done = 0;

    while (from->left > 0) {
        size_t n = MIN(PAGE_SIZE - *pos % PAGE_SIZE, from->left);
        ssize_t moved = write_part(inode, from, *pos, n);

        if (moved < 0)
            return done ? done : moved;
        *pos += (uint64_t)moved;
        done += moved;
        if ((size_t)moved < n)
            return done ? done : -EFAULT;
    }
    return done;
}

static int check_seals(const struct inode *inode, uint64_t end)
{
    if (inode->seals == INODE_NO_SEALS)
        return 0;
    if (inode->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
        return -EPERM;
    return (inode->seals & F_SEAL_GROW) && end > inode->size ? -EPERM : 0;
}

static ssize_t tmpfs_write(struct file *f, struct iter *from, uint64_t *pos)
{
    struct inode *inode = f->inode;
    ssize_t done;

    mutex_lock(&inode->lock);
    if (f->flags & O_APPEND)
        *pos = inode->size;
    if (*pos > TMPFS_SIZE_MAX - from->left)
        done = -EFBIG;
    else
        done = check_seals(inode, *pos + from->left);
    if (done == 0)
        done = write_locked(inode, from, pos);
    if (done > 0)
        inode_touch(inode, ATTR_MTIME | ATTR_CTIME);
    mutex_unlock(&inode->lock);
    return done;
}

int tmpfs_truncate(struct inode *inode, uint64_t size)
{
    uint64_t old = inode->size;

    if (inode->seals != INODE_NO_SEALS) {
        if (size < old && (inode->seals & F_SEAL_SHRINK))
            return -EPERM;
        if (size > old && (inode->seals & F_SEAL_GROW))
            return -EPERM;
    }
    if (size > TMPFS_SIZE_MAX)
        return -EFBIG;
    inode->size = size;
    if (size < old) {
        mapping_truncated(inode, size);
        zero_part(inode, size, MIN(PAGE_UP(size), old));
        drop_pages(inode, PAGE_UP(size) >> PAGE_SHIFT, PAGE_UP(old) >> PAGE_SHIFT);
    }
    inode_touch(inode, ATTR_MTIME | ATTR_CTIME);
    return 0;
}

static void punch(struct inode *inode, uint64_t start, uint64_t end)
{
    uint64_t first = PAGE_UP(start), last = PAGE_DOWN(end);

    if (first > last) {
        zero_part(inode, start, end);
        return;
    }
    zero_part(inode, start, first);
    zero_part(inode, last, end);
    if (first < last) {
        mapping_punched(inode, first, last);
        drop_pages(inode, first >> PAGE_SHIFT, last >> PAGE_SHIFT);
    }
}

static int allocate(struct inode *inode, uint64_t start, uint64_t end)
{
    gpa_t gpa;

    for (uint64_t i = start >> PAGE_SHIFT; i < PAGE_UP(end) >> PAGE_SHIFT; i++) {
        int err = get_page(inode, i, &gpa);

        if (err < 0)
            return err == -ENOMEM ? -ENOSPC : err;
    }
    return 0;
}

static int fallocate_locked(struct inode *inode, int mode, uint64_t start, uint64_t end)
{
    bool keep = mode & FALLOC_FL_KEEP_SIZE;
    int err = 0;

    if (mode & FALLOC_FL_PUNCH_HOLE) {
        if (inode->seals != INODE_NO_SEALS && (inode->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)))
            return -EPERM;
        punch(inode, start, MIN(end, PAGE_UP(inode->size)));
        inode_touch(inode, ATTR_MTIME | ATTR_CTIME);
        return 0;
    }
    if (!keep && end > inode->size && inode->seals != INODE_NO_SEALS && (inode->seals & F_SEAL_GROW))
        return -EPERM;
    if (mode & FALLOC_FL_ZERO_RANGE)
        punch(inode, start, end);
    err = allocate(inode, start, end);
    if (err < 0)
        return err;
    if (!keep && end > inode->size)
        inode->size = end;
    inode_touch(inode, ATTR_MTIME | ATTR_CTIME);
    return 0;
}

static int tmpfs_fallocate(struct file *f, int mode, uint64_t offset, uint64_t len)
{
    int known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
    int err;

    if (mode & ~known)
        return -EOPNOTSUPP;
    mutex_lock(&f->inode->lock);
    err = fallocate_locked(f->inode, mode, offset, offset + len);
    mutex_unlock(&f->inode->lock);
    return err;
}

uint64_t tmpfs_page_count(const struct inode *inode, uint64_t first, uint64_t end)
{
    uint64_t count = 0;

    end = MIN(end, PAGE_UP(inode->size) >> PAGE_SHIFT);
    for (uint64_t i = first; (i = page_map_next(pages_of(inode), i, end, false)) < end; i++)
        count++;
    return count;
}

static loff_t tmpfs_seek(struct file *f, loff_t offset, int whence)
{
    uint64_t size = f->inode->size;
    uint64_t end = PAGE_UP(size) >> PAGE_SHIFT;
    uint64_t index, found;

    if (whence != SEEK_DATA && whence != SEEK_HOLE)
        return seek_generic(f, offset, whence);
    if (offset < 0 || (uint64_t)offset >= size)
        return -ENXIO;
    index = (uint64_t)offset >> PAGE_SHIFT;
    found = page_map_next(pages_of(f->inode), index, end, whence == SEEK_HOLE);
    if (found == end && whence == SEEK_DATA)
        return -ENXIO;
    f->pos = found == index ? (uint64_t)offset : MIN(found << PAGE_SHIFT, size);
    return (loff_t)f->pos;
}

static int tmpfs_mmap(struct file *f, int prot, int flags)
{
    uint32_t seals = f->inode->seals;
    bool shared = (flags & 0xf) != 2; /* MAP_PRIVATE */

    if (seals != INODE_NO_SEALS && shared && (prot & 2) && (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)))
        return -EPERM;
    return 0;
}

static int tmpfs_page(struct file *f, uint64_t offset, bool write UNUSED, gpa_t *ret_gpa, uint64_t *ret_run)
{
    int err;

    if (offset >= PAGE_UP(f->inode->size))
        return -ERANGE;
    err = get_page(f->inode, offset >> PAGE_SHIFT, ret_gpa);
    if (err < 0)
        return err;
    frame_get(*ret_gpa);
    *ret_run = PAGE_SIZE;
    return 0;
}

const struct file_ops tmpfs_file_ops = {
    .read = tmpfs_read,
    .write = tmpfs_write,
    .seek = tmpfs_seek,
    .fsync = fsync_nothing,
    .fallocate = tmpfs_fallocate,
    .mmap = tmpfs_mmap,
    .page = tmpfs_page,
};
