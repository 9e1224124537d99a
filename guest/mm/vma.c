/*
 * VMAs in a red-black tree by address; each node knows the widest gap in front of a VMA in its
 * subtree. See vma.h.
 */
#include "mm/vma.h"

#include <linux/mman.h>

#include "fs/file.h"
#include "hypercalls/layout.h"
#include "lib/kmalloc.h"

static struct vma *vma_of(struct rb_node *node)
{
    return node ? rb_entry(node, struct vma, node) : NULL;
}

/* --- gaps --- */

static uint64_t subtree_gap(struct rb_node *node)
{
    return node ? vma_of(node)->subtree_gap : 0;
}

static void update_subtree(struct rb_node *node)
{
    struct vma *vma = vma_of(node);

    vma->subtree_gap = MAX(vma->gap, MAX(subtree_gap(node->left), subtree_gap(node->right)));
}

/* Where the gap in front of vma ends: stacks want room. */
static uaddr_t gap_end(const struct vma *vma)
{
    if (!(vma->flags & VMA_GROWSDOWN))
        return vma->start;
    return vma->start > STACK_GUARD_GAP ? vma->start - STACK_GUARD_GAP : 0;
}

static uaddr_t gap_begin(struct vma *vma)
{
    struct vma *prev = vma_prev(vma);

    return prev ? prev->end : 0;
}

static void compute_gap(struct vma *vma)
{
    uaddr_t begin = gap_begin(vma), end = gap_end(vma);

    vma->gap = end > begin ? end - begin : 0;
}

static void refresh_gap(struct mm *mm, struct vma *vma)
{
    if (!vma)
        return;
    compute_gap(vma);
    rb_propagate(&mm->vmas, &vma->node);
}

/* --- accounts --- */

static void account(struct mm *mm, const struct vma *vma, int sign)
{
    uint64_t pages = (vma->end - vma->start) >> PAGE_SHIFT;

    if (sign < 0)
        pages = 0 - pages;
    mm->total_pages += pages;
    if (vma->flags & VMA_LOCKED)
        mm->locked_pages += pages;
    if (vma->flags & VMA_SHARED)
        mm->shared_pages += pages;
    else if (vma->flags & VMA_GROWSDOWN)
        mm->stack_pages += pages;
    else if (vma->prot & PROT_WRITE)
        mm->data_pages += pages;
    if ((vma->prot & PROT_EXEC) && !(vma->prot & PROT_WRITE))
        mm->exec_pages += pages;
}

void vma_set(struct mm *mm, struct vma *vma, uint32_t prot, uint32_t flags)
{
    account(mm, vma, -1);
    vma->prot = prot;
    vma->flags = flags;
    account(mm, vma, 1);
    refresh_gap(mm, vma);
    mm->vma_seq++;
}

/* --- the tree --- */

void vma_tree_init(struct mm *mm)
{
    mm->vmas.node = NULL;
    mm->vmas.update = update_subtree;
    mm->vma_count = 0;
}

struct vma *mm_find(struct mm *mm, uaddr_t addr)
{
    struct rb_node *node = mm->vmas.node;
    struct vma *found = NULL;

    while (node) {
        struct vma *vma = vma_of(node);

        if (addr < vma->end) {
            found = vma;
            node = node->left;
        } else {
            node = node->right;
        }
    }
    return found;
}

struct vma *mm_next(struct vma *vma)
{
    return vma_of(rb_next(&vma->node));
}

struct vma *mm_first(struct mm *mm)
{
    return vma_of(rb_first(&mm->vmas));
}

struct vma *vma_last(struct mm *mm)
{
    return vma_of(rb_last(&mm->vmas));
}

struct vma *vma_prev(struct vma *vma)
{
    return vma_of(rb_prev(&vma->node));
}

struct vma *vma_alloc(uaddr_t start, uaddr_t end, uint32_t prot, uint32_t flags, struct file *file,
                      uint64_t file_offset, const char *name)
{
    struct vma *vma = kzalloc(sizeof(*vma));

    if (!vma)
        return NULL;
    vma->start = start;
    vma->end = end;
    vma->prot = prot;
    vma->flags = flags;
    vma->file = file;
    vma->file_offset = file_offset;
    vma->name = name;
    if (file) {
        file_get(file);
        if (file->ops && file->ops->mapped)
            file->ops->mapped(file);
    }
    return vma;
}

void vma_free(struct vma *vma)
{
    struct file *file = vma->file;

    if (file) {
        if (file->ops && file->ops->unmapped)
            file->ops->unmapped(file);
        file_put(file);
    }
    kfree(vma);
}

void vma_insert(struct mm *mm, struct vma *vma)
{
    struct rb_node **link = &mm->vmas.node, *parent = NULL;

    while (*link) {
        parent = *link;
        link = vma->start < vma_of(parent)->start ? &parent->left : &parent->right;
    }
    rb_link(&vma->node, parent, link);
    compute_gap(vma);
    rb_insert_fixup(&mm->vmas, &vma->node);
    refresh_gap(mm, mm_next(vma));
    account(mm, vma, 1);
    mm->vma_count++;
    mm->vma_seq++;
}

void vma_remove(struct mm *mm, struct vma *vma)
{
    struct vma *next = mm_next(vma);

    rb_erase(&mm->vmas, &vma->node);
    refresh_gap(mm, next);
    account(mm, vma, -1);
    mm->vma_count--;
    mm->vma_seq++;
}

void vma_resize(struct mm *mm, struct vma *vma, uaddr_t start, uaddr_t end)
{
    account(mm, vma, -1);
    if (vma->file)
        vma->file_offset += start - vma->start;
    vma->start = start;
    vma->end = end;
    account(mm, vma, 1);
    refresh_gap(mm, vma);
    refresh_gap(mm, mm_next(vma));
    mm->vma_seq++;
}

/* --- splitting and merging --- */

long vma_split(struct mm *mm, struct vma *vma, uaddr_t addr)
{
    uint64_t offset = vma->file ? vma->file_offset + (addr - vma->start) : 0;
    struct vma *upper =
        vma_alloc(addr, vma->end, vma->prot, vma->flags, vma->file, offset, vma->name);

    if (!upper)
        return -ENOMEM;
    vma_resize(mm, vma, vma->start, addr);
    vma_insert(mm, upper);
    return 0;
}

static long split_at(struct mm *mm, uaddr_t addr)
{
    struct vma *vma = mm_find(mm, addr);

    return vma && vma->start < addr ? vma_split(mm, vma, addr) : 0;
}

long vma_isolate(struct mm *mm, uaddr_t start, uaddr_t end)
{
    long r = split_at(mm, start);

    return r < 0 ? r : split_at(mm, end);
}

static bool can_merge(const struct vma *low, const struct vma *high)
{
    if (low->end != high->start || low->prot != high->prot || low->flags != high->flags)
        return false;
    if (low->file != high->file || low->name != high->name || (low->flags & VMA_SPECIAL))
        return false;
    return !low->file || low->file_offset + (low->end - low->start) == high->file_offset;
}

/* high's range goes to low. */
static struct vma *absorb(struct mm *mm, struct vma *low, struct vma *high)
{
    uaddr_t end = high->end;

    vma_remove(mm, high);
    vma_free(high);
    vma_resize(mm, low, low->start, end);
    return low;
}

struct vma *vma_merge(struct mm *mm, struct vma *vma)
{
    struct vma *prev = vma_prev(vma), *next = mm_next(vma);

    if (next && can_merge(vma, next))
        vma = absorb(mm, vma, next);
    if (prev && can_merge(prev, vma))
        vma = absorb(mm, prev, vma);
    return vma;
}

void vma_merge_range(struct mm *mm, uaddr_t start, uaddr_t end)
{
    struct vma *vma = mm_find(mm, start), *next;

    if (vma)
        vma = vma_merge(mm, vma);
    while (vma && vma->end <= end) {
        next = mm_next(vma);
        vma = next && can_merge(vma, next) ? absorb(mm, vma, next) : next;
    }
}

/* --- questions --- */

bool vma_range_is_free(struct mm *mm, uaddr_t start, uaddr_t end)
{
    struct vma *vma = mm_find(mm, start);

    return !vma || vma->start >= end;
}

bool vma_covers(struct mm *mm, uaddr_t start, uaddr_t end)
{
    struct vma *vma = mm_find(mm, start);

    while (vma && vma->start <= start) {
        if (vma->end >= end)
            return true;
        start = vma->end;
        vma = mm_next(vma);
    }
    return false;
}

uaddr_t vma_floor(struct vma *prev)
{
    return prev ? prev->end : APP_BASE; /* below are stubs of mm/rewrite.c */
}

uaddr_t vma_ceiling(struct vma *next)
{
    return next ? next->start : APP_END;
}

struct gap_query {
    uaddr_t low, high;
    uint64_t len, align;
};

static uaddr_t fit(const struct gap_query *q, uaddr_t begin, uaddr_t end)
{
    uaddr_t addr;

    begin = MAX(begin, q->low);
    end = MIN(end, q->high);
    if (end <= begin || end - begin < q->len)
        return 0;
    addr = ALIGN_DOWN(end - q->len, q->align);
    return addr >= begin ? addr : 0;
}

/* Right to left; as deep as the tree. */
static uaddr_t search(struct rb_node *node, const struct gap_query *q)
{
    struct vma *vma = vma_of(node);
    uaddr_t addr;

    if (!node || vma->subtree_gap < q->len)
        return 0;
    if (vma->end < q->high) {
        addr = search(node->right, q);
        if (addr)
            return addr;
    }
    if (vma->gap >= q->len) {
        addr = fit(q, gap_begin(vma), gap_end(vma));
        if (addr)
            return addr;
    }
    return vma->start > q->low ? search(node->left, q) : 0;
}

uaddr_t vma_find_gap(struct mm *mm, uaddr_t low, uaddr_t high, uint64_t len, uint64_t align)
{
    struct gap_query q = { low, high, len, align };
    struct vma *last = vma_last(mm);
    uaddr_t addr = fit(&q, last ? last->end : 0, high);

    return addr ? addr : search(mm->vmas.node, &q);
}
