/*
 * The gofer's file system: files that program after program maps, such as the C library, are kept in RAM.
 *
 * On software KVM each page of the window costs a fault of KVM's own (5 to 20 us) in each address space anew; of RAM it maps
 * eight pages at a time. So a file whose code is mapped again and again is read into frames once, and what maps it from then on gets
 * those. Only small files that nobody can change, and not many of them; a sandbox with a single program keeps none.
 */
#include "fs/gofer.h"

#include "mm/frame.h"

#define HOT_USES 3u /* programs that mapped its code */
#define HOT_FILE_MAX (4u << 20)
#define HOT_TOTAL_MAX (16u << 20)
#define HOT_MEMORY_SHARE 16u /* and at most this part of memory */
#define FILL_PAGES 16u

static uint64_t hot_pages; /* of all hot files */

static uint64_t page_count(const struct inode *inode)
{
    return PAGE_UP(inode->size) >> PAGE_SHIFT;
}

static bool may_be_hot(const struct inode *inode)
{
    uint64_t max = MIN(HOT_TOTAL_MAX >> PAGE_SHIFT, frame_total() / HOT_MEMORY_SHARE);

    return (inode->sb->flags & SB_READONLY) && gofer_sb(inode->sb)->exclusive && inode->size > 0 &&
           inode->size <= HOT_FILE_MAX && hot_pages + page_count(inode) <= max && !gofer_i(inode)->no_map;
}

/* Frames for the pages [first, first + count), filled from the file. -ENOMEM, or what reading gave. */
static long fill(struct inode *inode, uint32_t fid, uint64_t first, uint64_t count)
{
    struct page_map *pages = &gofer_i(inode)->pages;
    struct iter_segment seg[FILL_PAGES];
    struct iter to = { .segments = seg, .segment_count = count, .left = count << PAGE_SHIFT, .kernel = true };
    gpa_t gpa[FILL_PAGES];
    uint64_t n = 0;
    ssize_t got = -ENOMEM;

    while (n < count && (gpa[n] = frame_zalloc()) != 0) {
        seg[n] = (struct iter_segment){ (uint64_t)gpa_to_ptr(gpa[n]), PAGE_SIZE };
        n++;
    }
    if (n == count)
        got = gofer_read_fid(fid, &to, first << PAGE_SHIFT);
    for (uint64_t i = 0; i < n; i++) {
        if (got <= 0 || page_map_get(pages, first + i) || page_map_set(pages, first + i, gpa[i]) < 0)
            frame_put(gpa[i]);
    }
    return got > 0 ? 0 : -EIO;
}

void gofer_hot_used(struct file *f)
{
    struct gofer_inode *gi = gofer_i(f->inode);
    const struct gofer_handle *h = f->data;
    uint64_t count = page_count(f->inode);

    if (gi->hot || ++gi->code_uses < HOT_USES || !may_be_hot(f->inode))
        return;
    gi->hot = true; /* pages that are missing are read one by one */
    hot_pages += count;
    for (uint64_t i = 0; i < count; i += FILL_PAGES) {
        if (fill(f->inode, h->fid, i, MIN(count - i, (uint64_t)FILL_PAGES)) < 0)
            return;
    }
}

void gofer_hot_forget(struct inode *inode)
{
    struct gofer_inode *gi = gofer_i(inode);

    if (gi->hot)
        hot_pages -= page_count(inode);
    gi->hot = false;
    gi->code_uses = 0;
}
