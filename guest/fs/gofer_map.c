/*
 * The gofer's file system: mappings. The gofer gives a descriptor of the file to the vmm (Tdonate), which maps it into the
 * window, a range of guest-physical memory; from there its pages are the host's page cache, mapped into the app or read by
 * the shim without a request. A file is mapped once, from its start to its end.
 *
 * Where that can't be (FUSE, network file systems, too many), pages are frames filled by requests; such files can't be
 * mapped shared and writable.
 */
#include "fs/gofer.h"

#include "arch/bootinfo.h"
#include "arch/cpu.h"
#include "lib/kmalloc.h"
#include "mm/frame.h"
#include "mm/mm.h"

#define OLD_MAPS_MAX 16

#include <linux/mman.h>

#ifndef PROT_WRITE
#define PROT_WRITE 2
#endif

/* --- window addresses: free ranges by address, first fit --- */

struct range {
    struct list node;
    gpa_t begin;
    uint64_t size;
};

static struct {
    struct list free;
    bool ready;
} window[2]; /* [writable] */

static bool window_add_range(struct list *before, gpa_t begin, uint64_t size)
{
    struct range *r = kmalloc(sizeof(*r));

    if (!r)
        return false; /* these addresses are lost: there are many */
    r->begin = begin;
    r->size = size;
    list_push_back(before, &r->node);
    return true;
}

static void window_setup(bool writable)
{
    gpa_t begin = writable ? boot_info.window_rw : boot_info.window_ro;
    uint64_t size = writable ? boot_info.window_rw_size : boot_info.window_ro_size;

    if (window[writable].ready)
        return;
    window[writable].ready = true;
    list_init(&window[writable].free);
    window_add_range(&window[writable].free, begin, size);
}

/* 0: none left. */
static gpa_t window_alloc(bool writable, uint64_t size, uint64_t align)
{
    struct range *r;

    window_setup(writable);
    list_for_each(r, &window[writable].free, node) {
        gpa_t begin = ALIGN_UP(r->begin, align);
        uint64_t skip = begin - r->begin;

        if (skip > r->size || r->size - skip < size)
            continue;
        if (skip > 0 && !window_add_range(&r->node, r->begin, skip))
            continue;
        r->begin = begin + size;
        r->size -= skip + size;
        if (r->size == 0) {
            list_remove(&r->node);
            kfree(r);
        }
        return begin;
    }
    return 0;
}

static void window_free(bool writable, gpa_t begin, uint64_t size)
{
    struct list *head = &window[writable].free;
    struct range *next = NULL, *r, *prev;

    list_for_each(r, head, node) {
        if (r->begin > begin) {
            next = r;
            break;
        }
    }
    prev = next ? list_entry(next->node.prev, struct range, node) : list_entry(head->prev, struct range, node);
    if (&prev->node != head && prev->begin + prev->size == begin) {
        prev->size += size;
        if (next && prev->begin + prev->size == next->begin) {
            prev->size += next->size;
            list_remove(&next->node);
            kfree(next);
        }
    } else if (next && begin + size == next->begin) {
        next->begin = begin;
        next->size += size;
    } else {
        window_add_range(next ? &next->node : head, begin, size);
    }
}

/* --- mapping and unmapping --- */

static struct list all_maps = LIST_INIT(all_maps);

static long donate(struct gofer_handle *h, bool writable)
{
    struct ring_request *rq;
    long err;

    if (h->donated[writable])
        return 0;
    rq = ring_get(P9_Tdonate);
    p9_put32(&rq->out, h->fid);
    p9_put8(&rq->out, writable);
    err = ring_call(rq);
    if (err == 0) {
        h->token[writable] = p9_get32(&rq->in);
        h->donated[writable] = !rq->in.bad;
        if (rq->in.bad)
            err = -EIO;
    }
    ring_put(rq);
    return err;
}

static void map_free(struct gofer_map *map)
{
    list_remove(&map->all_node);
    if (map->mapped > 0)
        hypercall(HYPERCALL_UNMAP, map->gpa, map->mapped, 0, 0, 0);
    window_free(map->writable, map->gpa, map->reserved);
    gofer_handle_put(map->handle);
    kfree(map);
}

/* Files that may grow get room to do so. */
static uint64_t window_room(const struct inode *inode, bool writable)
{
    uint64_t size = PAGE_UP(inode->size);

    if (writable || !gofer_sb(inode->sb)->exclusive)
        size = ALIGN_UP(size * 2, HUGE_SIZE);
    return MAX(size, PAGE_SIZE);
}

/*
 * Have the file behind the window up to its end. One that has grown is mapped anew at the same place, so that the vmm
 * knows a single mapping of it; nothing runs in between that could see the gap.
 */
static long map_extend(struct gofer_map *map, const struct inode *inode)
{
    uint64_t end = PAGE_UP(inode->size);
    long err;

    if (end <= map->mapped)
        return 0;
    if (map->mapped > 0)
        hypercall(HYPERCALL_UNMAP, map->gpa, map->mapped, 0, 0, 0);
    map->mapped = 0;
    err = hypercall(HYPERCALL_MAP, map->gpa, map->handle->token[map->writable], 0, end, map->writable);
    if (err < 0)
        return err;
    map->mapped = end;
    return 0;
}

static long map_create(struct inode *inode, struct gofer_handle *h, bool writable, struct gofer_map **ret)
{
    struct gofer_map *map;
    long err = donate(h, writable);

    if (err < 0)
        return err;
    map = kzalloc(sizeof(*map));
    if (!map)
        return -ENOMEM;
    map->writable = writable;
    map->reserved = window_room(inode, writable);
    map->gpa = window_alloc(writable, map->reserved, map->reserved >= HUGE_SIZE ? HUGE_SIZE : PAGE_SIZE);
    if (!map->gpa) {
        kfree(map);
        return -ENOMEM;
    }
    gofer_ahead_drop(inode); /* what the app stores through the mapping isn't in there */
    map->owner = gofer_i(inode);
    list_push_back(&all_maps, &map->all_node);
    map->handle = h;
    h->refs++;
    err = map_extend(map, inode);
    if (err < 0) {
        map_free(map);
        return err;
    }
    *ret = map;
    return 0;
}

/* A file that others cut again and again gets a new mapping each time, and the vmm has room for some thousands. */
static void drop_oldest(struct gofer_inode *gi)
{
    struct gofer_map **last = &gi->old_maps, *map;
    unsigned count = 1;

    for (; (*last)->next; last = &(*last)->next)
        count++;
    if (count <= OLD_MAPS_MAX)
        return;
    map = *last;
    *last = NULL;
    mm_window_clear(map->gpa, map->reserved);
    map_free(map);
}

/* What was mapped may be in page tables still: it stays until no file of the inode is open, or others have come after it. */
static void map_retire(struct gofer_inode *gi, bool writable)
{
    struct gofer_map *map = gi->map[writable];

    if (!map)
        return;
    map->next = gi->old_maps;
    gi->old_maps = map;
    gi->map[writable] = NULL;
    drop_oldest(gi);
}

/* The file's mapping, made or grown if need be. */
static long map_get(struct inode *inode, struct gofer_handle *h, bool writable, struct gofer_map **ret)
{
    struct gofer_inode *gi = gofer_i(inode);
    struct gofer_map *map;
    long err;

    if (gi->no_map)
        return -EOPNOTSUPP;
    gofer_behind_wait(inode); /* those writes go around the window */
    map = gi->map[writable];
    if (map && PAGE_UP(inode->size) > map->reserved) {
        map_retire(gi, writable);
        map = NULL;
    }
    if (map) {
        err = map_extend(map, inode);
    } else {
        err = map_create(inode, h, writable, &map);
        if (err == 0 && gi->map[writable]) { /* someone else was faster */
            map_free(map);
            map = gi->map[writable];
        }
        if (err == 0)
            gi->map[writable] = map;
        if (err == -EOPNOTSUPP)
            gi->no_map = true;
    }
    if (err == 0)
        *ret = map;
    return err;
}

void gofer_maps_retire(struct inode *inode)
{
    map_retire(gofer_i(inode), false);
    map_retire(gofer_i(inode), true);
}

void gofer_maps_drop(struct inode *inode)
{
    struct gofer_inode *gi = gofer_i(inode);
    struct gofer_map *map;

    gofer_maps_retire(inode);
    while ((map = gi->old_maps)) {
        gi->old_maps = map->next;
        map_free(map);
    }
}

void gofer_maps_resized(struct inode *inode, uint64_t old_size)
{
    if (inode->size >= old_size)
        return;
    mapping_truncated(inode, inode->size);
    /* Cut by the host under our feet: the vmm may have put empty memory there, which must not come back as file. */
    if (!gofer_sb(inode->sb)->exclusive)
        gofer_maps_retire(inode);
}

/* --- reading through it --- */

const void *gofer_mapped(struct inode *inode, uint64_t offset, uint64_t *ret_len)
{
    const struct gofer_inode *gi = gofer_i(inode);
    const struct gofer_map *map = gi->map[0] ? gi->map[0] : gi->map[1];
    uint64_t end;

    if (!map || !gofer_sb(inode->sb)->exclusive)
        return NULL;
    end = MIN(map->mapped, inode->size);
    if (offset >= end)
        return NULL;
    *ret_len = end - offset;
    return window_ptr(map->gpa + offset, end - offset);
}

bool gofer_map_for_read(struct file *f)
{
    struct gofer_handle *h = f->data;
    struct gofer_map *map;

    if ((h->flags & O_ACCMODE) == O_WRONLY)
        return false;
    return map_get(f->inode, h, false, &map) == 0;
}

/* --- frames instead of the window --- */

void gofer_pages_drop(struct inode *inode)
{
    struct page_map *pages = &gofer_i(inode)->pages;
    uint64_t i = 0;

    gofer_hot_forget(inode);
    if (pages->count == 0)
        return;
    while ((i = page_map_next(pages, i, UINT64_MAX >> PAGE_SHIFT, false)) < UINT64_MAX >> PAGE_SHIFT)
        frame_put(page_map_take(pages, i));
    page_map_destroy(pages);
}

static long page_read(struct file *f, uint64_t offset, gpa_t *ret)
{
    struct page_map *pages = &gofer_i(f->inode)->pages;
    const struct gofer_handle *h = f->data;
    gpa_t gpa = page_map_get(pages, offset >> PAGE_SHIFT);
    struct iter_segment seg;
    struct iter to;
    ssize_t n;

    if (!gpa) {
        gpa = frame_zalloc();
        if (!gpa)
            return -ENOMEM;
        iter_kernel(&to, &seg, gpa_to_ptr(gpa), PAGE_SIZE);
        n = gofer_read_fid(h->fid, &to, offset);
        if (n < 0 || page_map_get(pages, offset >> PAGE_SHIFT)) {
            frame_put(gpa); /* failed, or someone else was faster */
            return n < 0 ? n : page_read(f, offset, ret);
        }
        if (page_map_set(pages, offset >> PAGE_SHIFT, gpa) < 0) {
            *ret = gpa;
            return 0;
        }
    }
    frame_get(gpa);
    *ret = gpa;
    return 0;
}

/* --- file operations --- */

static bool writes_allowed(const struct gofer_handle *h)
{
    return (h->flags & O_ACCMODE) == O_RDWR;
}

int gofer_mmap(struct file *f, int prot, int flags)
{
    struct gofer_inode *gi = gofer_i(f->inode);
    struct gofer_handle *h = f->data;
    struct gofer_map *map;
    long err;

    if ((flags & MAP_TYPE) == MAP_PRIVATE && (prot & PROT_EXEC))
        gofer_hot_used(f);
    if ((flags & MAP_TYPE) == MAP_PRIVATE || !(prot & PROT_WRITE))
        return 0;
    if (!writes_allowed(h))
        return -EACCES;
    gi->want_writable = true;
    if (f->inode->size == 0)
        return gi->no_map ? -ENODEV : 0;
    err = map_get(f->inode, h, true, &map);
    return err == -EOPNOTSUPP ? -ENODEV : (int)err;
}

/* Is the page behind the end of the file, which may have changed outside since we looked? */
static bool beyond_end(struct inode *inode, uint64_t offset)
{
    struct gofer_inode *gi = gofer_i(inode);

    if (gi->lost) {
        gi->lost = false;
        gofer_set_stale(gi);
        gofer_maps_retire(inode);
        gofer_getattr(inode, STATX_SIZE);
    } else if (!gofer_sb(inode->sb)->exclusive) {
        gi->stale |= offset >= inode->size;
        gofer_getattr(inode, STATX_SIZE);
    }
    return offset >= inode->size;
}

void gofer_window_lost(gpa_t gpa, uint64_t len)
{
    struct gofer_map *map;

    list_for_each(map, &all_maps, all_node) {
        if (map->gpa < gpa + len && gpa < map->gpa + map->reserved)
            map->owner->lost = true;
    }
}

void gofer_window_doubt(void)
{
    struct gofer_map *map;

    list_for_each(map, &all_maps, all_node)
        map->doubtful = true;
}

/* A kernel that can't tell leaves only the page that was touched first to blame. */
static int see_about_page(struct gofer_map *map, gpa_t gpa, bool write)
{
    long err = hypercall(HYPERCALL_PROBE, gpa, write, false, 0, 0);

    gofer_window_resolved();
    if (err == -EINVAL)
        map->doubtful = false;
    return err < 0 ? -EIO : 0;
}

long gofer_load(struct file *f, uint64_t offset, const gpa_t *frames, size_t count)
{
    const struct gofer_map *map = gofer_i(f->inode)->map[0];
    struct gofer_handle *h = map ? map->handle : f->data; /* that one is donated: nothing sleeps */
    long err;

    if (!(f->inode->sb->flags & SB_READONLY) || !gofer_sb(f->inode->sb)->exclusive || (map && map->doubtful) ||
        offset + count * PAGE_SIZE > PAGE_UP(f->inode->size) || (h->flags & O_ACCMODE) == O_WRONLY)
        return -EOPNOTSUPP;
    err = donate(h, false);
    if (err < 0)
        return err;
    return hypercall(HYPERCALL_LOAD, ptr_to_gpa(frames), count, h->token[false], offset, 0);
}

int gofer_page(struct file *f, uint64_t offset, bool write, gpa_t *ret_gpa, uint64_t *ret_run)
{
    struct gofer_inode *gi = gofer_i(f->inode);
    struct gofer_handle *h = f->data;
    bool writable = write || (gi->want_writable && writes_allowed(h));
    struct gofer_map *map;
    long err;

    if (beyond_end(f->inode, offset))
        return -ERANGE;
    if (write && !writes_allowed(h))
        return -EACCES;
    if (!writable && (gi->hot || page_map_get(&gi->pages, offset >> PAGE_SHIFT))) {
        /* Are there more? */
        *ret_run = gi->hot || page_map_get(&gi->pages, (offset >> PAGE_SHIFT) + 1) ? 2 * PAGE_SIZE : PAGE_SIZE;
        return (int)page_read(f, offset, ret_gpa);
    }
    if (write)
        gofer_set_stale(gi); /* its mtime moves, we don't see when */
    err = map_get(f->inode, h, writable, &map);
    if (err == 0) {
        *ret_gpa = map->gpa + offset;
        *ret_run = MIN(map->mapped, PAGE_UP(f->inode->size)) - offset;
        if (!map->doubtful)
            return 0;
        *ret_run = PAGE_SIZE;
        return see_about_page(map, *ret_gpa, map->writable);
    }
    if (write)
        return (int)err;
    *ret_run = PAGE_SIZE;
    return (int)page_read(f, offset, ret_gpa);
}
