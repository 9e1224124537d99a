/*
 * Address spaces as a whole: creation, fork, end, loading, and copying to and from those that
 * aren't loaded.
 */
#include "mm/mm.h"

#include <linux/mman.h>

#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "fs/vfs.h"
#include "fs/window.h"
#include "lib/kmalloc.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/pagetable.h"
#include "mm/rewrite.h"
#include "mm/vma.h"
#include "proc/signal.h"
#include "sys/aio.h"

struct list all_mms = LIST_INIT(all_mms);

static struct mm *active_mm;

bool mm_is_active(const struct mm *mm)
{
    return mm == active_mm;
}

void mm_activate(struct mm *mm)
{
    struct mm *old = active_mm;

    if (mm == old)
        return;
    active_mm = mm;
    mm->flush_count = 0;
    pt_load(mm->pml4);
    if (old)
        pt_release_held(old);
}

/* like: the id of the address space that it is a copy of, or 0. */
static struct mm *create(uint64_t like)
{
    static uint64_t last_id;
    struct mm *mm = kzalloc(sizeof(*mm));

    if (!mm)
        return NULL;
    mm->pml4 = pt_create(like);
    if (!mm->pml4) {
        kfree(mm);
        return NULL;
    }
    mm->like = like;
    mm->refs = 1;
    mm->id = ++last_id;
    vma_tree_init(mm);
    list_push_back(&all_mms, &mm->all_node);
    return mm;
}

struct mm *mm_create(void)
{
    return create(0);
}

void mm_get(struct mm *mm)
{
    mm->refs++;
}

/* Drop every mapping. Files may be released, which may sleep: the tree is empty by then. */
static void unmap_all(struct mm *mm)
{
    struct vma *vma, *next;

    for (vma = mm_first(mm); vma; vma = mm_next(vma)) {
        /* Whole VMAs hold whole huge pages or were split at their edges, so this can't fail. */
        pt_clear(mm, vma->start, vma->end, 0, 0);
    }
    pt_flush(mm);
    while ((vma = mm_first(mm))) {
        next = vma;
        vma_remove(mm, next);
        vma_free(next);
    }
}

void mm_put(struct mm *mm)
{
    BUG_ON(mm->refs == 0);
    if (--mm->refs)
        return;
    if (mm_is_active(mm)) {
        active_mm = NULL; /* its tables stay loaded until others are: nobody uses them any more */
        pt_release_held(mm);
    }
    aio_end(mm);
    list_remove(&mm->all_node);
    rewrite_free(mm);
    unmap_all(mm);
    pt_destroy(mm->pml4, mm->like);
    if (mm->exe)
        file_put(mm->exe);
    kfree(mm);
}

/* --- fork --- */

static void copy_fields(struct mm *child, const struct mm *parent)
{
    child->brk_start = parent->brk_start;
    child->brk = parent->brk;
    child->mmap_top = parent->mmap_top;
    child->stack_top = parent->stack_top;
    child->code_start = parent->code_start;
    child->code_end = parent->code_end;
    child->data_start = parent->data_start;
    child->data_end = parent->data_end;
    child->arg_start = parent->arg_start;
    child->arg_end = parent->arg_end;
    child->env_start = parent->env_start;
    child->env_end = parent->env_end;
    child->vdso = parent->vdso;
    child->sealed = parent->sealed;
    memcpy(child->auxv, parent->auxv, sizeof(child->auxv));
    child->auxv_size = parent->auxv_size;
    child->exe = parent->exe;
    if (child->exe)
        file_get(child->exe);
}

static long fork_vma(struct mm *parent, struct mm *child, struct vma *vma)
{
    struct vma *copy;

    if (vma->flags & VMA_DONTFORK)
        return 0;
    /* Locks aren't inherited (mlock(2)). */
    copy = vma_alloc(vma->start, vma->end, vma->prot, vma->flags & ~(uint32_t)VMA_LOCKED, vma->file,
                     vma->file_offset, vma->name);
    if (!copy)
        return -ENOMEM;
    vma_insert(child, copy);
    if (vma->flags & VMA_WIPEONFORK)
        return 0;
    return pt_copy(parent, child, vma->start, vma->end, vma->flags & VMA_SHARED);
}

struct mm *mm_fork(struct mm *parent)
{
    struct mm *child = create(parent->id);
    struct vma *vma;
    long r = 0;

    if (!child)
        return NULL;
    copy_fields(child, parent);
    for (vma = mm_first(parent); vma && r == 0; vma = mm_next(vma))
        r = fork_vma(parent, child, vma);
    if (r == 0)
        r = rewrite_fork(parent, child);
    pt_flush(parent);
    if (r < 0) {
        mm_put(child);
        return NULL;
    }
    return child;
}

/* --- memory of any address space --- */

/* Does the entry allow the access, in the app's eyes or (FAULT_FORCE) in ours? */
static bool grants(uint64_t entry, uint32_t access)
{
    if (access & FAULT_WRITE)
        return (entry & PTE_P) && (entry & PTE_W);
    return entry & (access & FAULT_FORCE ? PTE_OWNED : PTE_P);
}

long mm_pin_page(struct mm *mm, uaddr_t addr, uint32_t access, gpa_t *ret_gpa)
{
    struct fault f;

    if (addr >= APP_END)
        return -EFAULT;
    /*
     * A fault may be resolved by others while it sleeps, or undone at once: try again, within
     * reason.
     */
    for (int tries = 0; tries < 8; tries++) {
        bool huge = false;
        const uint64_t *entry = pt_find(mm, addr, &huge);

        if (entry && grants(*entry, access)) {
            if (access & FAULT_WRITE)
                pt_flush_held(mm);
            *ret_gpa = pte_gpa(*entry, addr);
            frame_get(*ret_gpa);
            return 0;
        }
        if (!mm_fault(mm, addr, access, &f))
            return f.signo == SIGKILL ? -ENOMEM : -EFAULT;
    }
    return -EFAULT;
}

long mm_read(struct mm *mm, void *dst, uaddr_t src, size_t n)
{
    uint32_t faults = mm_window_faults;
    char *to = dst;

    if (!access_ok(src, n))
        return -EFAULT;
    while (n) {
        size_t offset = src & (PAGE_SIZE - 1), part = MIN(n, PAGE_SIZE - offset);
        const char *page;
        gpa_t gpa;
        long r;

        r = mm_pin_page(mm, src, FAULT_FORCE, &gpa);
        if (r < 0)
            return r;
        page = page_ptr(gpa, PAGE_SIZE);
        if (page) {
            memcpy(to, page + offset, part);
            rewrite_hide(mm, src, to, part);
        }
        frame_put(gpa);
        if (!page || mm_window_faults != faults)
            return -EFAULT;
        to += part;
        src += part;
        n -= part;
    }
    return 0;
}

/*
 * One page's part of mm_write. A page that the app may not write gets its own copy first, as
 * ptrace(2) does it.
 */
static long write_part(struct mm *mm, uaddr_t dst, const void *src, size_t n, bool force)
{
    uint32_t faults = mm_window_faults;
    char *page;
    gpa_t gpa;
    long r;

    r = mm_pin_page(mm, dst, FAULT_WRITE, &gpa);
    if (r < 0 && force) {
        r = rewrite_undo(mm, dst, dst + 1);
        if (r == 0)
            r = mm_pin_copy(mm, dst, &gpa);
    }
    if (r < 0)
        return r;
    page = page_ptr(gpa, PAGE_SIZE);
    if (page)
        memcpy(page + (dst & (PAGE_SIZE - 1)), src, n);
    frame_put(gpa);
    return page && mm_window_faults == faults ? 0 : -EFAULT;
}

long mm_write(struct mm *mm, uaddr_t dst, const void *src, size_t n, bool force)
{
    const char *from = src;

    if (!access_ok(dst, n))
        return -EFAULT;
    while (n) {
        size_t part = MIN(n, PAGE_SIZE - (dst & (PAGE_SIZE - 1)));
        long r = write_part(mm, dst, from, part, force);

        if (r < 0)
            return r;
        from += part;
        dst += part;
        n -= part;
    }
    return 0;
}

/* --- files that change under their mappings --- */

void mm_window_clear(gpa_t gpa, uint64_t len)
{
    struct mm *mm;
    struct vma *vma;

    list_for_each (mm, &all_mms, all_node) {
        for (vma = mm_first(mm); vma; vma = mm_next(vma)) {
            if (vma->file)
                pt_clear_gpa(mm, vma->start, vma->end, gpa, len);
        }
        pt_flush(mm);
    }
}

void mm_window_lost(gpa_t gpa, uint64_t len)
{
    gofer_window_lost(gpa, len);
    mm_window_clear(gpa, len);
}

uint32_t mm_window_faults;

/* Doubts since the last one that could be resolved: each must lead to a fault at an address of the app's, or to a page of zeroes. */
#define DOUBTS_MAX 16
static uint32_t doubts;

void gofer_window_resolved(void)
{
    doubts = 0;
}

/* An address of the shim's: put zeroes there if it is in the window and the page can't be had. */
static bool replace_page(uint64_t addr, bool write)
{
    gpa_t gpa = PAGE_DOWN(addr - DIRECT_BASE);

    if (addr < DIRECT_BASE || gpa < GPA_WINDOW_RO_BASE || gpa >= GPA_WINDOW_RW_END)
        return false;
    if (hypercall(HYPERCALL_PROBE, gpa, write, true, 0, 0) != -EFAULT)
        return false;
    mm_window_faults++;
    return true;
}

bool mm_window_doubt(uint64_t read, uint64_t write)
{
    bool read_replaced = replace_page(read, false), write_replaced = replace_page(write, true);

    if (read_replaced || write_replaced)
        doubts = 0;
    if (++doubts > DOUBTS_MAX)
        return false;
    gofer_window_doubt();
    mm_window_clear(GPA_WINDOW_RO_BASE, GPA_WINDOW_RW_END - GPA_WINDOW_RO_BASE);
    return true;
}

static void clear_file_range(struct mm *mm, struct vma *vma, uint64_t from, uint64_t to)
{
    uint64_t first = MAX(PAGE_UP(from), vma->file_offset);
    uint64_t last = MIN(PAGE_DOWN(to), vma->file_offset + (vma->end - vma->start));

    if (first < last)
        pt_clear(mm, vma->start + (first - vma->file_offset),
                 vma->start + (last - vma->file_offset), 0, 0);
}

bool mm_file_is_writable(const struct inode *inode)
{
    struct mm *mm;
    struct vma *vma;

    list_for_each (mm, &all_mms, all_node) {
        for (vma = mm_first(mm); vma; vma = mm_next(vma)) {
            if (vma->file && vma->file->inode == inode && (vma->flags & VMA_SHARED) &&
                (vma->file->flags & O_ACCMODE) == O_RDWR)
                return true;
        }
    }
    return false;
}

void mm_file_unmap(const struct inode *inode, uint64_t from, uint64_t to, bool private)
{
    struct mm *mm;
    struct vma *vma;

    list_for_each (mm, &all_mms, all_node) {
        for (vma = mm_first(mm); vma; vma = mm_next(vma)) {
            if (vma->file && vma->file->inode == inode && (private || (vma->flags & VMA_SHARED)))
                clear_file_range(mm, vma, from, to);
        }
        pt_flush(mm);
    }
}

/*
 * What lies beyond the end is gone for everybody; a hole leaves private mappings what they have
 * read.
 */
void mapping_truncated(struct inode *inode, uint64_t new_size)
{
    mm_file_unmap(inode, new_size, UINT64_MAX, true);
}

void mapping_punched(struct inode *inode, uint64_t start, uint64_t end)
{
    mm_file_unmap(inode, start, end, false);
}
