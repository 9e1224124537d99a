/*
 * The gofer's file system: pages of programs and libraries that are kept in RAM.
 *
 * On software KVM each page of the window costs a fault of KVM's own (5 to 20 us) in each address space anew; of RAM it maps
 * eight pages at a time. So what a program will touch most of, small files and small mappings (symbol tables, relocations) and the
 * text of the program itself, is read into frames when it is first mapped, by few hypercalls; and a larger file whose code is mapped
 * again and again as a whole. What maps those pages from then on gets the frames. Only files that nobody can change, and not too
 * much of them.
 */
#include "fs/gofer.h"

#include "arch/cpu.h"
#include "lib/string.h"
#include "mm/frame.h"

#define SMALL_PAGES 64u
#define HOT_USES 3u /* programs that mapped its code */
#define HOT_FILE_MAX (4u << 20)
#define HOT_TOTAL_MAX (16u << 20)
#define HOT_MEMORY_SHARE 16u /* and at most this part of memory */

static uint64_t kept_total; /* pages of all files */

static uint64_t page_count(const struct inode *inode)
{
    return PAGE_UP(inode->size) >> PAGE_SHIFT;
}

bool gofer_is_small(const struct inode *inode)
{
    return page_count(inode) <= SMALL_PAGES;
}

static bool may_keep(const struct inode *inode, uint64_t pages)
{
    uint64_t max = MIN(HOT_TOTAL_MAX >> PAGE_SHIFT, frame_total() / HOT_MEMORY_SHARE);

    return (inode->sb->flags & SB_READONLY) && gofer_sb(inode->sb)->exclusive && kept_total + pages <= max &&
           !gofer_i(inode)->no_map;
}

/* Frames for the pages [first, first + count), filled from the file. */
static long fill(struct file *f, uint64_t first, size_t count)
{
    struct gofer_inode *gi = gofer_i(f->inode);
    gpa_t frames[LOAD_MAX];
    size_t n = 0;
    long r = -ENOMEM;

    while (n < count && (frames[n] = frame_alloc_to_load()) != 0)
        n++;
    if (n == count)
        r = gofer_load(f, first << PAGE_SHIFT, frames, count);
    for (size_t i = 0; i < n; i++) {
        if (r < 0 || page_map_get(&gi->pages, first + i) || page_map_set(&gi->pages, first + i, frames[i]) < 0) {
            frame_put(frames[i]);
            continue;
        }
        gi->kept++;
        kept_total++;
    }
    return r;
}

static void fill_range(struct file *f, uint64_t first, uint64_t end)
{
    for (; first < end; first += LOAD_MAX)
        if (fill(f, first, MIN(end - first, (uint64_t)LOAD_MAX)) < 0)
            return;
}

void gofer_keep(struct file *f, uint64_t offset, uint64_t len)
{
    struct gofer_inode *gi = gofer_i(f->inode);
    uint64_t all = page_count(f->inode), first = offset >> PAGE_SHIFT;
    uint64_t end = MIN(first + (PAGE_UP(len) >> PAGE_SHIFT), all);

    if (!cpu_faults_twice)
        return;
    if (gofer_is_small(f->inode)) {
        first = 0;
        end = all;
    }
    while (first < end && page_map_get(&gi->pages, first))
        first++;
    if (first < end && may_keep(f->inode, end - first))
        fill_range(f, first, end);
}

void gofer_hot_used(struct file *f)
{
    struct gofer_inode *gi = gofer_i(f->inode);
    uint64_t count = page_count(f->inode);

    if (gi->hot || ++gi->code_uses < HOT_USES || f->inode->size > HOT_FILE_MAX || !may_keep(f->inode, count - MIN(count, gi->kept)))
        return;
    gi->hot = true; /* pages that are missing are read one by one */
    fill_range(f, 0, count);
}

void gofer_hot_forget(struct inode *inode)
{
    struct gofer_inode *gi = gofer_i(inode);

    kept_total -= gi->kept;
    gi->kept = 0;
    gi->hot = false;
    gi->code_uses = 0;
}

ssize_t gofer_kept_read(struct inode *inode, struct iter *to, uint64_t offset)
{
    size_t done = 0, n;
    gpa_t gpa;

    while (to->left > 0 && (gpa = page_map_get(&gofer_i(inode)->pages, (offset + done) >> PAGE_SHIFT)) != 0) {
        size_t skip = (offset + done) % PAGE_SIZE;

        n = iter_copy_to(to, (const char *)gpa_to_ptr(gpa) + skip, MIN(PAGE_SIZE - skip, to->left));
        if (n == 0)
            return done > 0 ? (ssize_t)done : -EFAULT;
        done += n;
    }
    return (ssize_t)done;
}
