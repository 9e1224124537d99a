/*
 * mmap, munmap, mprotect, mremap and brk on any address space; the checks are Linux's (mm/mmap.c,
 * mm/mremap.c there).
 */
#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/personality.h>
#include <linux/resource.h>

#include "arch/bootinfo.h"
#include "fs/file.h"
#include "hypercalls/layout.h"
#include "mm/frame.h"
#include "mm/keep.h"
#include "mm/mm.h"
#include "mm/pagetable.h"
#include "mm/rewrite.h"
#include "mm/vma.h"
#include "proc/process.h"

#define PROT_ALL (PROT_READ | PROT_WRITE | PROT_EXEC)
#define MAP_32BIT_LOW 0x40000000ul
#define MAP_32BIT_HIGH 0x80000000ul

/*
 * Anonymous memory of this size comes with its pages: whoever asks for so little uses it, and is
 * spared the faults.
 */
#define EAGER_MAX 0x8000ul
#define BSS_EAGER_MAX 0x10000ul /* what dynamic loaders put at the end of a library */
#define HEAP_EAGER_MAX 0x40000ul

/* --- limits --- */

static bool counts_as_data(uint32_t prot, uint32_t flags)
{
    return (prot & PROT_WRITE) && !(flags & (VMA_SHARED | VMA_GROWSDOWN));
}

/* May the address space grow by this many pages of this kind? */
static bool may_expand(const struct mm *mm, uint64_t pages, uint32_t prot, uint32_t flags)
{
    if (mm->total_pages + pages > rlimit(RLIMIT_AS) >> PAGE_SHIFT)
        return false;
    return !counts_as_data(prot, flags) ||
           mm->data_pages + pages <= rlimit(RLIMIT_DATA) >> PAGE_SHIFT;
}

/* Linux's heuristic overcommit: only what could never be had is refused. */
static bool obvious_overcommit(uint64_t pages, uint32_t prot, uint32_t flags)
{
    return (prot & PROT_WRITE) && !(flags & (VMA_SHARED | VMA_NORESERVE)) && pages > frame_total();
}

static long check_lock_limit(const struct mm *mm, uint64_t pages)
{
    if (capable(CAP_IPC_LOCK) || mm->locked_pages + pages <= rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT)
        return 0;
    return -EAGAIN;
}

/* --- munmap --- */

bool mm_is_sealed(struct mm *mm, uaddr_t start, uaddr_t end)
{
    if (likely(!mm->sealed))
        return false;
    for (struct vma *vma = mm_find(mm, start); vma && vma->start < end; vma = mm_next(vma))
        if (vma->flags & VMA_SEALED)
            return true;
    return false;
}

/* Split VMAs and huge pages at the edges of [start, end). */
static long isolate(struct mm *mm, uaddr_t start, uaddr_t end)
{
    long r;

    if (mm->vma_count + 2 > VMA_COUNT_MAX)
        return -ENOMEM;
    r = vma_isolate(mm, start, end);
    return r < 0 ? r : pt_split_edges(mm, start, end);
}

/* Take the VMAs of [start, end) out of the tree, as a chain. */
static struct vma *detach(struct mm *mm, uaddr_t start, uaddr_t end)
{
    struct vma *chain = NULL, *vma, *next;

    for (vma = mm_find(mm, start); vma && vma->start < end; vma = next) {
        next = mm_next(vma);
        vma_remove(mm, vma);
        vma->node.parent = chain ? &chain->node : NULL;
        chain = vma;
    }
    return chain;
}

static void free_chain(struct vma *chain)
{
    struct vma *next;

    for (; chain; chain = next) {
        next = chain->node.parent ? rb_entry(chain->node.parent, struct vma, node) : NULL;
        vma_free(chain); /* may sleep in the file's release */
    }
}

static long unmap_range(struct mm *mm, uaddr_t start, uaddr_t end)
{
    struct vma *first, *next, *chain;
    long r;

    if (vma_range_is_free(mm, start, end))
        return 0;
    if (mm_is_sealed(mm, start, end))
        return -EPERM;
    r = isolate(mm, start, end);
    if (r < 0)
        return r;
    chain = detach(mm, start, end);
    next = mm_find(mm, end);
    first = next ? vma_prev(next) : vma_last(mm);
    pt_clear(mm, start, end, vma_floor(first), vma_ceiling(next)); /* edges are split: can't fail */
    pt_flush(mm);
    free_chain(chain);
    return 0;
}

/* [addr, addr + len) in whole pages of the app's part; false if it isn't. */
static bool app_range(uaddr_t addr, uint64_t len)
{
    return addr % PAGE_SIZE == 0 && len <= APP_END && addr <= APP_END - len;
}

long mm_munmap(struct mm *mm, uaddr_t addr, uint64_t len)
{
    if (!app_range(addr, len) || len == 0)
        return -EINVAL;
    return unmap_range(mm, addr, addr + PAGE_UP(len));
}

/* --- mmap --- */

struct map_request {
    uaddr_t addr;
    uint64_t len;
    uint32_t prot;
    int flags; /* MAP_* */
    uint32_t vma_flags;
    struct file *file;
    uint64_t offset;
};

/* MAP_ flags that MAP_SHARED_VALIDATE knows (Linux: LEGACY_MAP_MASK). */
#define MAP_KNOWN                                                                                  \
    (MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_DENYWRITE | MAP_EXECUTABLE |       \
     MAP_UNINITIALIZED | MAP_GROWSDOWN | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE |               \
     MAP_NONBLOCK | MAP_STACK | MAP_HUGETLB | MAP_32BIT | MAP_FIXED_NOREPLACE |                    \
     MAP_HUGE_MASK << MAP_HUGE_SHIFT)

static long check_file(struct map_request *q)
{
    uint32_t access = q->file->flags & O_ACCMODE;
    bool shared = (q->flags & MAP_TYPE) != MAP_PRIVATE;

    if (q->file->flags & O_PATH)
        return -EBADF;
    if ((q->flags & MAP_TYPE) == MAP_SHARED_VALIDATE && (q->flags & ~MAP_KNOWN))
        return -EOPNOTSUPP;
    if (access == O_WRONLY || (shared && (q->prot & PROT_WRITE) && access != O_RDWR))
        return -EACCES;
    if (!q->file->ops->mmap)
        return -ENODEV;
    if (q->flags & MAP_GROWSDOWN)
        return -EINVAL;
    return q->file->ops->mmap(q->file, (int)q->prot, q->flags);
}

static long check_type(struct map_request *q)
{
    switch (q->flags & MAP_TYPE) {
    case MAP_PRIVATE:
        break;
    case MAP_SHARED_VALIDATE:
        if (!q->file)
            return -EINVAL;
        q->vma_flags |= VMA_SHARED;
        break;
    case MAP_SHARED:
        if (q->flags & MAP_GROWSDOWN)
            return -EINVAL;
        q->vma_flags |= VMA_SHARED;
        break;
    default:
        return -EINVAL;
    }
    return q->file ? check_file(q) : 0;
}

static uint32_t vma_flags_of(const struct mm *mm, int flags)
{
    uint32_t r = mm->default_flags;

    if (flags & MAP_GROWSDOWN)
        r |= VMA_GROWSDOWN;
    if (flags & MAP_LOCKED)
        r |= VMA_LOCKED;
    if (flags & MAP_NORESERVE)
        r |= VMA_NORESERVE;
    if (flags & MAP_STACK)
        r |= VMA_NOHUGE; /* threads use little of their stacks */
    return r;
}

static bool is_fixed(const struct map_request *q)
{
    return q->flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
}

static long fixed_address(struct mm *mm, struct map_request *q)
{
    if (q->addr % PAGE_SIZE)
        return -EINVAL;
    if (!app_range(q->addr, q->len))
        return -ENOMEM;
    if (q->addr < APP_BASE)
        return -EPERM;
    if ((q->flags & MAP_FIXED_NOREPLACE) && !vma_range_is_free(mm, q->addr, q->addr + q->len))
        return -EEXIST;
    return 0;
}

/* The hint, if that is free, with room for a stack above it. */
static bool hint_is_good(struct mm *mm, uaddr_t addr, uint64_t len)
{
    struct vma *next;

    if (!app_range(addr, len) || !vma_range_is_free(mm, addr, addr + len))
        return false;
    next = mm_find(mm, addr + len);
    return !next || !(next->flags & VMA_GROWSDOWN) || next->start - (addr + len) >= STACK_GUARD_GAP;
}

/* Is it worth 2 MiB of addresses to be able to keep the page table (mm/keep.h)? */
static bool has_own_table(const struct map_request *q)
{
    return !q->file && q->len >= KEEP_MIN_SIZE && q->len < HUGE_SIZE && (q->prot & PROT_WRITE);
}

static uaddr_t search_gap(struct mm *mm, const struct map_request *q)
{
    uaddr_t addr = 0;

    if (q->flags & MAP_32BIT)
        return vma_find_gap(mm, MAP_32BIT_LOW, MAP_32BIT_HIGH, q->len, PAGE_SIZE);
    /* Such that huge pages fit: of anonymous memory, and of files, whose window begins at a multiple as well. */
    if (q->len >= HUGE_SIZE && (q->file ? q->offset : q->len) % HUGE_SIZE == 0)
        addr = vma_find_gap(mm, APP_BASE, mm->mmap_top, q->len, HUGE_SIZE);
    if (has_own_table(q))
        addr = vma_find_gap(mm, APP_BASE, mm->mmap_top, HUGE_SIZE, HUGE_SIZE);
    if (!addr)
        addr = vma_find_gap(mm, APP_BASE, mm->mmap_top, q->len, PAGE_SIZE);
    if (!addr)
        addr = vma_find_gap(mm, APP_BASE, APP_END, q->len, PAGE_SIZE);
    return addr;
}

static long choose_address(struct mm *mm, struct map_request *q)
{
    if (is_fixed(q))
        return fixed_address(mm, q);
    q->addr = PAGE_DOWN(q->addr);
    if (q->addr && q->addr < APP_BASE)
        q->addr = APP_BASE;
    if (q->addr && hint_is_good(mm, q->addr, q->len) &&
        (!(q->flags & MAP_32BIT) || q->addr + q->len <= MAP_32BIT_HIGH))
        return 0;
    q->addr = search_gap(mm, q);
    return q->addr ? 0 : -ENOMEM;
}

/* Pages of VMAs that a fixed mapping will replace. */
static uint64_t overlapping_pages(struct mm *mm, uaddr_t start, uaddr_t end)
{
    uint64_t pages = 0;

    for (struct vma *vma = mm_find(mm, start); vma && vma->start < end; vma = mm_next(vma))
        pages += (MIN(vma->end, end) - MAX(vma->start, start)) >> PAGE_SHIFT;
    return pages;
}

static long check_limits(struct mm *mm, const struct map_request *q)
{
    uint64_t pages = q->len >> PAGE_SHIFT;
    uint64_t replaced = q->flags & MAP_FIXED ? overlapping_pages(mm, q->addr, q->addr + q->len) : 0;

    if (mm->vma_count >= VMA_COUNT_MAX)
        return -ENOMEM;
    if (!may_expand(mm, pages - MIN(pages, replaced), q->prot, q->vma_flags))
        return -ENOMEM;
    if (obvious_overcommit(pages, q->prot, q->vma_flags))
        return -ENOMEM;
    return q->vma_flags & VMA_LOCKED ? check_lock_limit(mm, pages) : 0;
}

static long check_arguments(struct mm *mm, struct map_request *q)
{
    if (q->len == 0)
        return -EINVAL;
    q->len = PAGE_UP(q->len);
    if (q->len == 0 || q->len > APP_END)
        return -ENOMEM;
    if (q->offset + q->len < q->offset)
        return -EOVERFLOW;
    if (q->flags & MAP_HUGETLB)
        return -ENOMEM; /* as with an empty pool */
    if (q->flags & MAP_FIXED_NOREPLACE)
        q->flags &= ~MAP_FIXED;
    q->prot &= PROT_ALL;
    if ((q->prot & PROT_READ) && (current->proc->personality & READ_IMPLIES_EXEC))
        q->prot |= PROT_EXEC;
    q->vma_flags = vma_flags_of(mm, q->flags);
    return check_type(q);
}

/* --prefault: as far as memory goes, and nothing that is only reserved. */
static bool is_prefaulted(uint64_t len, uint32_t prot, int flags)
{
    return boot_info.prefault && prot && !(flags & (MAP_NORESERVE | MAP_GROWSDOWN)) &&
           len >> PAGE_SHIFT <= frame_free_count() / 2;
}

/* Are the pages to be brought in at once? */
static bool wants_pages(const struct map_request *q)
{
    if (q->vma_flags & VMA_LOCKED || (q->flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE)
        return true;
    if (is_prefaulted(q->len, q->prot, q->flags))
        return true;
    return !q->file && (q->prot & PROT_WRITE) &&
           q->len <= (q->flags & MAP_FIXED ? BSS_EAGER_MAX : EAGER_MAX) &&
           !(q->flags & (MAP_GROWSDOWN | MAP_NORESERVE));
}

/* Dynamic loaders map a library's segments so, and use them at once. */
static bool is_segment(const struct map_request *q)
{
    return q->file && (q->flags & MAP_FIXED) && (q->flags & MAP_TYPE) == MAP_PRIVATE && q->prot;
}

/* Put the VMA in place; q->file is borrowed. */
static long install(struct mm *mm, const struct map_request *q)
{
    struct vma *vma =
        vma_alloc(q->addr, q->addr + q->len, q->prot, q->vma_flags, q->file, q->offset, NULL);
    long r;

    if (!vma)
        return -ENOMEM;
    if (q->flags & MAP_FIXED) {
        r = unmap_range(mm, q->addr, q->addr + q->len);
        if (r < 0) {
            vma_free(vma);
            return r;
        }
    }
    /* Unmapping may have slept in a file's release. */
    if (!vma_range_is_free(mm, vma->start, vma->end)) {
        vma_free(vma);
        return -ENOMEM;
    }
    vma_insert(mm, vma);
    vma_merge(mm, vma);
    if (wants_pages(q))
        mm_populate(mm, q->addr, q->len, !(q->vma_flags & VMA_SHARED));
    else if (is_segment(q)) /* one page brings its neighbours along */
        mm_populate(mm, q->addr, PAGE_SIZE, false);
    return 0;
}

long mm_mmap(struct mm *mm, uaddr_t addr, uint64_t len, int prot, int flags, struct file *file,
             uint64_t offset)
{
    struct map_request q = { .addr = addr,
                             .len = len,
                             .prot = (uint32_t)prot,
                             .flags = flags,
                             .file = file,
                             .offset = offset };
    struct file *own = NULL;
    long r;

    r = check_arguments(mm, &q);
    if (r == 0)
        r = choose_address(mm, &q);
    if (r == 0)
        r = check_limits(mm, &q);
    if (r < 0)
        return r;
    if (!file && (q.vma_flags & VMA_SHARED)) {
        own = tmpfs_file_create("dev/zero", q.len);
        if (is_err(own))
            return ptr_err(own);
        q.file = own;
        q.offset = 0;
    }
    r = install(mm, &q);
    if (own)
        file_put(own);
    return r < 0 ? r : (long)q.addr;
}

/* --- mprotect --- */

/* May the mapping have these rights at all? */
static long check_protection(struct mm *mm, const struct vma *vma, uint32_t prot)
{
    uint64_t pages = (vma->end - vma->start) >> PAGE_SHIFT;

    if (vma->file && (vma->flags & VMA_SHARED) && (prot & PROT_WRITE)) {
        if ((vma->file->flags & O_ACCMODE) != O_RDWR)
            return -EACCES;
        if (vma->file->ops->mmap(vma->file, (int)prot, MAP_SHARED) < 0)
            return -EACCES;
    }
    if (counts_as_data(prot, vma->flags) && !counts_as_data(vma->prot, vma->flags) &&
        !may_expand(mm, 0, prot, vma->flags))
        return -ENOMEM;
    return counts_as_data(prot, vma->flags) && !(vma->prot & PROT_WRITE) &&
                   obvious_overcommit(pages, prot, vma->flags)
               ? -ENOMEM
               : 0;
}

static long protect_range(struct mm *mm, uaddr_t start, uaddr_t end, uint32_t prot)
{
    uaddr_t at = start;
    long r = 0;

    while (at < end) {
        struct vma *vma = mm_find(mm, at);

        if (!vma || vma->start > at) {
            r = -ENOMEM;
            break;
        }
        if (vma->flags & VMA_SEALED) {
            r = -EPERM;
            break;
        }
        if (vma->prot != prot) {
            r = check_protection(mm, vma, prot);
            if (r == 0)
                r = rewrite_undo(mm, at, prot & PROT_WRITE ? MIN(end, vma->end) : at);
            if (r == 0)
                r = isolate(mm, at, MIN(end, vma->end));
            if (r < 0)
                break;
            vma = mm_find(mm, at);
            vma_set(mm, vma, prot, vma->flags);
            pt_protect(mm, vma->start, vma->end, prot, vma->flags & VMA_SHARED);
        }
        at = vma->end;
    }
    pt_flush(mm);
    vma_merge_range(mm, start, end);
    return r;
}

/* PROT_GROWSDOWN: from the start of the stack that addr lies in. */
static long extend_down(struct mm *mm, uaddr_t *addr, uint64_t *len)
{
    const struct vma *vma = mm_find(mm, *addr);

    if (!vma || vma->start >= *addr + *len)
        return -ENOMEM;
    if (!(vma->flags & VMA_GROWSDOWN))
        return -EINVAL;
    *len += *addr - vma->start;
    *addr = vma->start;
    return 0;
}

long mm_mprotect(struct mm *mm, uaddr_t addr, uint64_t len, int prot)
{
    uint32_t rights = (uint32_t)prot & PROT_ALL;
    long r;

    if (addr % PAGE_SIZE ||
        (prot & (PROT_GROWSDOWN | PROT_GROWSUP)) == (PROT_GROWSDOWN | PROT_GROWSUP))
        return -EINVAL;
    if (prot & ~(PROT_ALL | PROT_SEM | PROT_GROWSDOWN | PROT_GROWSUP))
        return -EINVAL;
    if (len == 0)
        return 0;
    len = PAGE_UP(len);
    if (!app_range(addr, len) || len == 0)
        return -ENOMEM;
    if (prot & PROT_GROWSUP)
        return -EINVAL;
    if (prot & PROT_GROWSDOWN) {
        r = extend_down(mm, &addr, &len);
        if (r < 0)
            return r;
    }
    if ((rights & PROT_READ) && (current->proc->personality & READ_IMPLIES_EXEC))
        rights |= PROT_EXEC;
    return protect_range(mm, addr, addr + len, rights);
}

/* --- brk --- */

static const char heap_name[] = "[heap]";

static bool brk_may_grow(struct mm *mm, uaddr_t brk, uaddr_t from, uaddr_t to)
{
    uint64_t data = rlimit(RLIMIT_DATA),
             used = brk - mm->brk_start + (mm->data_end - mm->data_start);
    struct vma *next = mm_find(mm, from);

    if (to > APP_END || used > data ||
        !may_expand(mm, (to - from) >> PAGE_SHIFT, PROT_READ | PROT_WRITE, 0))
        return false;
    if (obvious_overcommit((to - from) >> PAGE_SHIFT, PROT_WRITE, 0))
        return false;
    if (mm->vma_count >= VMA_COUNT_MAX)
        return false;
    return !next || next->start >= to + (next->flags & VMA_GROWSDOWN ? STACK_GUARD_GAP : 0);
}

uaddr_t mm_brk(struct mm *mm, uaddr_t brk)
{
    uaddr_t from = PAGE_UP(mm->brk), to = PAGE_UP(brk);
    struct vma *vma;

    if (brk < mm->brk_start || brk > APP_END)
        return mm->brk;
    if (to < from && unmap_range(mm, to, from) < 0)
        return mm->brk;
    if (to > from) {
        if (!brk_may_grow(mm, brk, from, to))
            return mm->brk;
        vma = vma_alloc(from, to, PROT_READ | PROT_WRITE, mm->default_flags, NULL, 0, heap_name);
        if (!vma)
            return mm->brk;
        vma_insert(mm, vma);
        vma_merge(mm, vma);
        if (to - from <= HEAP_EAGER_MAX || (mm->default_flags & VMA_LOCKED) ||
            is_prefaulted(to - from, PROT_READ | PROT_WRITE, 0))
            mm_populate(mm, from, to - from, true);
    }
    mm->brk = brk;
    return brk;
}

/* --- mremap --- */

struct remap {
    struct mm *mm;
    struct vma *vma; /* covers [old_addr, old_addr + old_len) */
    uaddr_t old_addr, new_addr;
    uint64_t old_len, new_len;
    int flags;
};

static long remap_limits(const struct remap *m)
{
    uint64_t added = (m->new_len - MIN(m->new_len, m->old_len)) >> PAGE_SHIFT;

    if (m->flags & MREMAP_DONTUNMAP)
        added = m->new_len >> PAGE_SHIFT;
    if (!may_expand(m->mm, added, m->vma->prot, m->vma->flags) ||
        obvious_overcommit(added, m->vma->prot, m->vma->flags))
        return -ENOMEM;
    return m->vma->flags & VMA_LOCKED ? check_lock_limit(m->mm, added) : 0;
}

/* A VMA like the old one at the new place, with the old one's pages. */
static long move_mapping(struct remap *m)
{
    struct vma *old = m->vma, *new;
    uint64_t offset = old->file ? old->file_offset + (m->old_addr - old->start) : 0;
    uint64_t moved = MIN(m->old_len, m->new_len);
    uaddr_t new_end = m->new_addr + m->new_len;
    bool locked = old->flags & VMA_LOCKED;
    long r = rewrite_undo(m->mm, m->old_addr, m->old_addr + moved);

    if (r < 0)
        return -ENOMEM;
    new = vma_alloc(m->new_addr, new_end, old->prot, old->flags, old->file, offset, old->name);
    if (!new)
        return -ENOMEM;
    /*
     * The pages go over one by one; if memory for tables runs out, those that went come back: their
     * tables are there.
     */
    if (pt_move(m->mm, m->old_addr, m->new_addr, moved) < 0) {
        pt_move(m->mm, m->new_addr, m->old_addr, moved);
        pt_flush(m->mm);
        vma_free(new);
        return -ENOMEM;
    }
    pt_flush(m->mm);
    vma_insert(m->mm, new);
    vma_merge(m->mm, new);
    if (!(m->flags & MREMAP_DONTUNMAP) && m->old_len)
        unmap_range(m->mm, m->old_addr, m->old_addr + m->old_len);
    if (locked)
        mm_populate(m->mm, m->new_addr, m->new_len, true);
    return (long)m->new_addr;
}

static long find_new_place(struct remap *m)
{
    struct map_request q = { .len = m->new_len, .file = m->vma->file, .flags = 0 };

    m->new_addr = search_gap(m->mm, &q);
    return m->new_addr ? 0 : -ENOMEM;
}

static long remap_fixed(struct remap *m)
{
    uaddr_t old_end = m->old_addr + m->old_len, new_end = m->new_addr + m->new_len;
    long r;

    if (m->new_addr < APP_BASE || !app_range(m->new_addr, m->new_len))
        return -EINVAL;
    if (m->new_addr < old_end && m->old_addr < new_end)
        return -EINVAL;
    r = unmap_range(m->mm, m->new_addr, new_end);
    if (r == 0 && m->new_len < m->old_len) {
        r = unmap_range(m->mm, m->old_addr + m->new_len, old_end);
        m->old_len = m->new_len;
    }
    if (r < 0)
        return r;
    m->vma = mm_find(m->mm, m->old_addr);
    r = remap_limits(m);
    return r < 0 ? r : move_mapping(m);
}

/* Grow where it is, if the space behind is free. */
static bool grow_in_place(struct remap *m)
{
    uaddr_t old_end = m->old_addr + m->old_len, new_end = m->old_addr + m->new_len;
    struct vma *next = mm_next(m->vma);

    if (m->vma->end != old_end || m->old_len == 0 || new_end > APP_END)
        return false;
    if (next && next->start < new_end + (next->flags & VMA_GROWSDOWN ? STACK_GUARD_GAP : 0))
        return false;
    vma_resize(m->mm, m->vma, m->vma->start, new_end);
    if (m->vma->flags & VMA_LOCKED)
        mm_populate(m->mm, old_end, m->new_len - m->old_len, true);
    return true;
}

static long remap_checked(struct remap *m)
{
    long r;

    if (m->flags & MREMAP_FIXED)
        return remap_fixed(m);
    if (m->flags & MREMAP_DONTUNMAP) {
        r = remap_limits(m);
        if (r == 0)
            r = find_new_place(m);
        return r < 0 ? r : move_mapping(m);
    }
    if (m->old_len >= m->new_len) {
        if (m->old_len > m->new_len)
            r = unmap_range(m->mm, m->old_addr + m->new_len, m->old_addr + m->old_len);
        else
            r = 0;
        return r < 0 ? r : (long)m->old_addr;
    }
    r = remap_limits(m);
    if (r < 0)
        return r;
    if (grow_in_place(m))
        return (long)m->old_addr;
    if (!(m->flags & MREMAP_MAYMOVE))
        return -ENOMEM;
    r = find_new_place(m);
    return r < 0 ? r : move_mapping(m);
}

long mm_mremap(struct mm *mm, uaddr_t old_addr, uint64_t old_len, uint64_t new_len, int flags,
               uaddr_t new_addr)
{
    struct remap m = { .mm = mm, .old_addr = old_addr, .new_addr = new_addr, .flags = flags };

    if (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP))
        return -EINVAL;
    if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) && !(flags & MREMAP_MAYMOVE))
        return -EINVAL;
    m.old_len = PAGE_UP(old_len);
    m.new_len = PAGE_UP(new_len);
    if (((flags & MREMAP_DONTUNMAP) && m.old_len != m.new_len) || m.new_len == 0 ||
        m.new_len > APP_END)
        return -EINVAL;
    if (!app_range(old_addr, m.old_len) || ((flags & MREMAP_FIXED) && new_addr % PAGE_SIZE))
        return -EINVAL;
    if (mm->vma_count + 4 > VMA_COUNT_MAX)
        return -ENOMEM;
    m.vma = mm_find(mm, old_addr);
    if (!m.vma || m.vma->start > old_addr)
        return -EFAULT;
    /* A length of 0 asks for a second view of a shared mapping. */
    if (m.old_len == 0 && !(m.vma->flags & VMA_SHARED))
        return -EINVAL;
    if ((flags & MREMAP_DONTUNMAP) && (m.vma->flags & VMA_SPECIAL))
        return -EINVAL;
    if (m.old_len > m.vma->end - old_addr)
        return -EFAULT;
    if (mm_is_sealed(mm, old_addr, old_addr + MAX(m.old_len, PAGE_SIZE)))
        return -EPERM;
    return remap_checked(&m);
}
