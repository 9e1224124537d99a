/* Calls about memory that is mapped already: madvise, mincore, msync, and the mlock family. */
#include <linux/capability.h>
#include <linux/falloc.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/resource.h>

#include "fs/file.h"
#include "hypercalls/layout.h"
#include "mm/mm.h"
#include "mm/pagetable.h"
#include "mm/vma.h"
#include "sys/memory_advice.h"
#include "sys/syscall.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* Linux's MAY_ rights: a shared mapping can be punched only through a descriptor that may write. */
static bool may_write_file(const struct vma *vma)
{
    return (vma->file->flags & O_ACCMODE) == O_RDWR;
}

/* [addr, addr + *len) in whole pages; rounds *len up. */
static bool valid_range(uaddr_t addr, uint64_t *len)
{
    if (addr % PAGE_SIZE || *len > APP_END)
        return false;
    *len = PAGE_UP(*len);
    return *len <= APP_END && addr <= APP_END - *len;
}

/* --- attributes of VMAs --- */

struct flag_change {
    uint32_t set, clear;
};

/* Change the flags of the part of vma in [start, end); *vma is the VMA of that part afterwards. */
static long change_flags(struct mm *mm, struct vma **vma, uaddr_t start, uaddr_t end,
                         struct flag_change change)
{
    uint32_t flags = ((*vma)->flags | change.set) & ~change.clear;
    long r;

    if (flags == (*vma)->flags)
        return 0;
    if (mm->vma_count + 2 > VMA_COUNT_MAX)
        return -ENOMEM;
    start = MAX(start, (*vma)->start);
    end = MIN(end, (*vma)->end);
    r = vma_isolate(mm, start, end);
    if (r == 0)
        r = pt_split_edges(mm, start, end);
    if (r < 0)
        return r;
    *vma = mm_find(mm, start);
    vma_set(mm, *vma, (*vma)->prot, flags);
    return 0;
}

/* --- madvise --- */

static bool is_private_anonymous(const struct vma *vma)
{
    return !vma->file && !(vma->flags & VMA_SHARED);
}

/* Which change of flags an advice is; false if it is none. */
static bool flags_of_advice(int advice, struct flag_change *ret)
{
    switch (advice) {
    case MADV_DONTFORK:
        *ret = (struct flag_change){ VMA_DONTFORK, 0 };
        return true;
    case MADV_DOFORK:
        *ret = (struct flag_change){ 0, VMA_DONTFORK };
        return true;
    case MADV_WIPEONFORK:
        *ret = (struct flag_change){ VMA_WIPEONFORK, 0 };
        return true;
    case MADV_KEEPONFORK:
        *ret = (struct flag_change){ 0, VMA_WIPEONFORK };
        return true;
    case MADV_HUGEPAGE:
        *ret = (struct flag_change){ VMA_HUGE, VMA_NOHUGE };
        return true;
    case MADV_NOHUGEPAGE:
        *ret = (struct flag_change){ VMA_NOHUGE, VMA_HUGE };
        return true;
    default:
        return false;
    }
}

static bool is_known_advice(int advice)
{
    return (advice >= MADV_NORMAL && advice <= MADV_DONTNEED) ||
           (advice >= MADV_FREE && advice <= MADV_COLLAPSE);
}

static long drop_pages(struct mm *mm, const struct vma *vma, uaddr_t start, uaddr_t end, int advice)
{
    if ((vma->flags & VMA_SPECIAL) || ((vma->flags & VMA_LOCKED) && advice != MADV_DONTNEED_LOCKED))
        return -EINVAL;
    if (advice == MADV_FREE && !is_private_anonymous(vma))
        return -EINVAL;
    return pt_clear(mm, start, end, 0, 0);
}

/* Free the pages of the file behind a shared mapping. */
static long remove_pages(const struct vma *vma, uaddr_t start, uaddr_t end)
{
    struct file *file = vma->file;
    long r;

    if ((vma->flags & VMA_LOCKED) || !file)
        return -EINVAL;
    if (!(vma->flags & VMA_SHARED) || !may_write_file(vma))
        return -EACCES;
    if (!file->ops->fallocate)
        return -EOPNOTSUPP;
    file_get(file);
    r = file->ops->fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                             vma->file_offset + (start - vma->start), end - start);
    file_put(file);
    return r;
}

/* mseal(2): advice after which other content is read. Who may write the memory could change that anyway. */
static bool discards(int advice)
{
    return advice == MADV_FREE || advice == MADV_DONTNEED || advice == MADV_DONTNEED_LOCKED || advice == MADV_REMOVE ||
           advice == MADV_DONTFORK || advice == MADV_WIPEONFORK;
}

static bool may_discard(const struct vma *vma)
{
    return (vma->flags & VMA_SHARED) || (vma->prot & PROT_WRITE);
}

/* The advice for [start, end), which lies in *vma; may exchange *vma for the VMA of that part. */
static long advise(struct mm *mm, struct vma **vma, uaddr_t start, uaddr_t end, int advice)
{
    struct flag_change change;

    if (advice == MADV_WIPEONFORK && !is_private_anonymous(*vma))
        return -EINVAL;
    if (advice == MADV_DOFORK && ((*vma)->flags & VMA_SPECIAL))
        return -EINVAL;
    if (unlikely((*vma)->flags & VMA_SEALED) && discards(advice) && !may_discard(*vma))
        return -EPERM;
    if (flags_of_advice(advice, &change))
        return change_flags(mm, vma, start, end, change);
    switch (advice) {
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
    case MADV_FREE:
        return drop_pages(mm, *vma, start, end, advice);
    case MADV_REMOVE:
        return remove_pages(*vma, start, end);
    default:
        return 0; /* hints that change nothing that can be seen */
    }
}

/* As far as there is memory mapped; holes are an error in the end. */
static long advise_range(struct mm *mm, uaddr_t start, uaddr_t end, int advice)
{
    long r = 0, hole = 0;
    uaddr_t at = start;

    while (at < end && r == 0) {
        struct vma *vma = mm_find(mm, at);
        uaddr_t stop;

        if (!vma || vma->start >= end) {
            hole = -ENOMEM;
            break;
        }
        if (vma->start > at)
            hole = -ENOMEM;
        at = MAX(at, vma->start);
        stop = MIN(end, vma->end);
        r = advise(mm, &vma, at, stop, advice);
        at = stop;
    }
    pt_flush(mm);
    vma_merge_range(mm, start, end);
    return r ? r : hole;
}

long madvise_memory(struct mm *mm, uaddr_t addr, uint64_t len, int advice)
{
    if (!is_known_advice(advice) || !valid_range(addr, &len))
        return -EINVAL;
    if (len == 0)
        return 0;
    if (advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE)
        return mm_populate(mm, addr, len, advice == MADV_POPULATE_WRITE);
    return advise_range(mm, addr, addr + len, advice);
}

SYSCALL_DEFINE3(madvise, uaddr_t, addr, uint64_t, len, int, advice)
{
    return madvise_memory(current->mm, addr, len, advice);
}

/* --- flags of a range --- */

long change_range_flags(struct mm *mm, uaddr_t start, uaddr_t end, uint32_t set, uint32_t clear)
{
    const struct flag_change change = { set, clear };
    struct vma *vma;
    long r = 0;

    for (vma = mm_find(mm, start); vma && vma->start < end && r == 0; vma = mm_next(vma))
        r = change_flags(mm, &vma, start, end, change);
    pt_flush(mm);
    vma_merge_range(mm, start, end);
    return r;
}

SYSCALL_DEFINE3(mseal, uaddr_t, addr, uint64_t, len, uint64_t, flags)
{
    struct mm *mm = current->mm;

    if (flags || !valid_range(addr, &len))
        return -EINVAL;
    if (len == 0)
        return 0;
    if (!vma_covers(mm, addr, addr + len))
        return -ENOMEM;
    mm->sealed = true;
    return change_range_flags(mm, addr, addr + len, VMA_SEALED, 0);
}

/* --- mincore --- */

/* Pages that need no fault now count as in core. */
SYSCALL_DEFINE3(mincore, uaddr_t, addr, uint64_t, len, uaddr_t, vec)
{
    struct mm *mm = current->mm;
    uint8_t chunk[256];
    uaddr_t end;

    if (addr % PAGE_SIZE)
        return -EINVAL;
    if (!valid_range(addr, &len))
        return -ENOMEM;
    end = addr + len;
    if (!access_ok(vec, len >> PAGE_SHIFT))
        return -EFAULT;
    while (addr < end) {
        size_t n = 0;

        for (; n < sizeof(chunk) && addr < end; addr += PAGE_SIZE) {
            const struct vma *vma = mm_find(mm, addr);
            bool huge;
            const uint64_t *entry = pt_find(mm, addr, &huge);

            if (!vma || vma->start > addr)
                return -ENOMEM;
            chunk[n++] = entry && *entry;
        }
        if (copy_to_user(vec, chunk, n) < 0)
            return -EFAULT;
        vec += n;
    }
    return 0;
}

/* --- msync --- */

static long sync_vma(struct vma *vma)
{
    struct file *file = vma->file;
    long r = 0;

    if (!file || !(vma->flags & VMA_SHARED) || !file->ops->fsync)
        return 0;
    file_get(file);
    r = file->ops->fsync(file, true);
    file_put(file);
    return r;
}

SYSCALL_DEFINE3(msync, uaddr_t, addr, uint64_t, len, int, flags)
{
    struct mm *mm = current->mm;
    long r = 0, hole = 0;
    uaddr_t end;

    if ((flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) || addr % PAGE_SIZE ||
        ((flags & MS_ASYNC) && (flags & MS_SYNC)))
        return -EINVAL;
    if (!valid_range(addr, &len))
        return -ENOMEM;
    for (end = addr + len; addr < end && r == 0;) {
        struct vma *vma = mm_find(mm, addr); /* anew each time: syncing sleeps */

        if (!vma || vma->start >= end)
            return -ENOMEM;
        if (vma->start > addr)
            hole = -ENOMEM;
        if ((flags & MS_INVALIDATE) && (vma->flags & VMA_LOCKED))
            return -EBUSY;
        addr = vma->end;
        if (flags & MS_SYNC)
            r = sync_vma(vma);
    }
    return r < 0 ? r : hole;
}

/* --- mlock --- */

/* Nothing is ever swapped: a lock brings pages in and is remembered. */
static long lock_range(struct mm *mm, uaddr_t start, uaddr_t end, struct flag_change change)
{
    uaddr_t at = start;
    long r = 0;

    while (at < end && r == 0) {
        struct vma *vma = mm_find(mm, at);

        if (!vma || vma->start > at) {
            r = -ENOMEM;
            break;
        }
        r = vma->flags & VMA_SPECIAL ? 0 : change_flags(mm, &vma, at, end, change);
        at = vma->end;
    }
    vma_merge_range(mm, start, end);
    return r;
}

static long may_lock(const struct mm *mm, uint64_t len)
{
    uint64_t limit = rlimit(RLIMIT_MEMLOCK);

    if (capable(CAP_IPC_LOCK))
        return 0;
    if (limit == 0)
        return -EPERM;
    return mm->locked_pages + (len >> PAGE_SHIFT) > limit >> PAGE_SHIFT ? -ENOMEM : 0;
}

static long lock_memory(uaddr_t addr, uint64_t len, bool populate)
{
    struct mm *mm = current->mm;
    long r;

    len += addr & (PAGE_SIZE - 1);
    addr = PAGE_DOWN(addr);
    if (!valid_range(addr, &len))
        return -ENOMEM;
    r = may_lock(mm, len);
    if (r == 0)
        r = lock_range(mm, addr, addr + len, (struct flag_change){ VMA_LOCKED, 0 });
    if (r == 0 && populate)
        r = mm_populate(mm, addr, len, true);
    return r == -EFAULT ? -ENOMEM : r;
}

SYSCALL_DEFINE2(mlock, uaddr_t, addr, uint64_t, len)
{
    return lock_memory(addr, len, true);
}

SYSCALL_DEFINE3(mlock2, uaddr_t, addr, uint64_t, len, int, flags)
{
    if (flags & ~MLOCK_ONFAULT)
        return -EINVAL;
    return lock_memory(addr, len, !(flags & MLOCK_ONFAULT));
}

SYSCALL_DEFINE2(munlock, uaddr_t, addr, uint64_t, len)
{
    len += addr & (PAGE_SIZE - 1);
    addr = PAGE_DOWN(addr);
    if (!valid_range(addr, &len))
        return -ENOMEM;
    return lock_range(current->mm, addr, addr + len, (struct flag_change){ 0, VMA_LOCKED });
}

/* Every VMA, and what is mapped later if future. */
static void lock_all(struct mm *mm, struct flag_change change)
{
    struct vma *vma;

    for (vma = mm_first(mm); vma; vma = mm_next(vma)) {
        if (!(vma->flags & VMA_SPECIAL))
            vma_set(mm, vma, vma->prot, (vma->flags | change.set) & ~change.clear);
    }
    vma_merge_range(mm, 0, APP_END);
}

static void populate_all(struct mm *mm)
{
    uaddr_t at = 0;
    struct vma *vma;

    while ((vma = mm_find(mm, at))) {
        at = vma->end;
        mm_populate(mm, vma->start, vma->end - vma->start,
                    true); /* what can't be had stays out (mlockall(2)) */
    }
}

SYSCALL_DEFINE1(mlockall, int, flags)
{
    struct mm *mm = current->mm;
    long r;

    if (!flags || (flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) || flags == MCL_ONFAULT)
        return -EINVAL;
    r = may_lock(mm, flags & MCL_CURRENT ? (mm->total_pages - mm->locked_pages) << PAGE_SHIFT : 0);
    if (r < 0)
        return r;
    mm->default_flags = flags & MCL_FUTURE ? VMA_LOCKED : 0;
    if (flags & MCL_CURRENT) {
        lock_all(mm, (struct flag_change){ VMA_LOCKED, 0 });
        if (!(flags & MCL_ONFAULT))
            populate_all(mm);
    }
    return 0;
}

SYSCALL_DEFINE0(munlockall)
{
    current->mm->default_flags = 0;
    lock_all(current->mm, (struct flag_change){ 0, VMA_LOCKED });
    return 0;
}
