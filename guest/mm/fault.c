/*
 * Page faults: which page belongs there, and how many of its neighbours come along. A fault costs 7
 * us on software KVM and a page-table entry nothing, so neighbours are generous where they are free
 * (file pages in the window, fresh frames) and grow with use where they cost memory.
 */
#include <linux/mman.h>
#include <linux/resource.h>

#include "fs/file.h"
#include "lib/log.h"
#include "lib/string.h"

#include "mm/frame.h"
#include "mm/mm.h"
#include "mm/pagetable.h"
#include "mm/vma.h"
#include "proc/process.h"
#include "proc/signal.h"

#define ANON_WINDOW_MIN 0x10000u
#define ANON_WINDOW_MAX HUGE_SIZE
#define ANON_RSS_SHIFT 4        /* the smallest window is this fraction of what is in use */
#define FILE_WINDOW (2ul << 20) /* file pages mapped on each side of a fault */
#define FILE_COPY_MAX 0x20000u  /* small writable private mappings are copied as a whole */
#define FILE_KEEP_MAX 0x40000u  /* smaller private mappings as a whole are worth frames, where the window is dear */
#define FILE_LOAD_MAX (4u << 20) /* and pieces of FILE_COPY_MAX of greater ones, if that takes one hypercall */

/* Pages of files in RAM may be holes, which cost memory: only for sequential use. */
#define RAM_FILE_WINDOW_MAX 0x40000u
#define RAM_FILE_READY_WINDOW 0x20000u /* pages that are there already, where they are copied; else FILE_WINDOW */

#define COW_WINDOW_MIN 0x1000u
#define COW_WINDOW_MAX 0x10000u
#define STACK_STEP 0x10000u

struct range {
    uaddr_t lo, hi;
};

/* The aligned range of size bytes around addr, as far as vma goes. */
static struct range around(const struct vma *vma, uaddr_t addr, uint64_t size)
{
    uaddr_t lo = ALIGN_DOWN(addr, size);

    return (struct range){ MAX(lo, vma->start), MIN(lo + size, vma->end) };
}

/*
 * How much this fault gets: min, or twice the last time's if the app goes on where that ended, up
 * to max.
 */
static uint64_t sequential_window(struct vma *vma, uaddr_t addr, uint64_t min, uint64_t max)
{
    uint64_t window = addr == vma->next_fault ? (uint64_t)vma->fault_window * 2 : min;

    window = MIN(MAX(window, min), max);
    vma->fault_window = (uint32_t)window;
    return window;
}

/* --- anonymous memory --- */

static uint64_t round_down_pow2(uint64_t x)
{
    return x ? 1ull << (63 - __builtin_clzll(x)) : 0;
}

static uint64_t anon_window(const struct mm *mm, struct vma *vma, uaddr_t addr)
{
    uint64_t free = frame_free_count(), total = frame_total(), min, max = ANON_WINDOW_MAX;

    if (free < total / 32)
        return PAGE_SIZE;
    if ((vma->flags & VMA_NOHUGE) || free < total / 8)
        max = ANON_WINDOW_MIN;
    if (vma->flags & VMA_HUGE)
        return max;
    min = round_down_pow2(mm->rss_pages * PAGE_SIZE >> ANON_RSS_SHIFT);
    return sequential_window(vma, addr, MIN(MAX(min, ANON_WINDOW_MIN), max), max);
}

static bool map_huge(struct mm *mm, struct vma *vma, uaddr_t addr)
{
    gpa_t gpa;

    if (!pt_huge_is_free(mm, addr))
        return false;
    gpa = frame_zalloc_huge();
    if (!gpa)
        return false;
    if (pt_set_huge(mm, addr, gpa, pte_bits(vma->prot, true)))
        return true;
    frame_put_huge(gpa);
    return false;
}

/*
 * Zeroed frames for the empty entries of r, which lies in one page table. -ENOMEM if addr itself
 * gets none.
 */
static long fill_zero(struct mm *mm, struct vma *vma, struct range r, uaddr_t addr)
{
    uint64_t bits = pte_bits(vma->prot, true);
    uint64_t *entry = pt_make(mm, addr);
    gpa_t gpa;

    if (!entry)
        return -ENOMEM;
    if (!*entry) {
        gpa = frame_zalloc();
        if (!gpa)
            return -ENOMEM;
        pt_set(mm, entry, gpa, bits);
    }
    entry -= (addr - r.lo) / PAGE_SIZE;
    for (uaddr_t at = r.lo; at < r.hi; at += PAGE_SIZE, entry++) {
        if (*entry)
            continue;
        gpa = frame_zalloc();
        if (!gpa)
            break;
        pt_set(mm, entry, gpa, bits);
    }
    return 0;
}

static long anon_fault(struct mm *mm, struct vma *vma, uaddr_t addr, uint64_t window)
{
    struct range r = around(vma, addr, window), slot = around(vma, addr, HUGE_SIZE);

    if (pt_hook_kept(mm, slot.lo, slot.hi, pte_bits(vma->prot, true)) == 0)
        return 0;
    vma->next_fault = r.hi;
    if (r.hi - r.lo == HUGE_SIZE && !(vma->flags & VMA_NOHUGE) && map_huge(mm, vma, r.lo))
        return 0;
    return fill_zero(mm, vma, r, addr);
}

/* --- copy on write --- */

/* A frame of our own with the content of the page at gpa. -ENOMEM; -EIO: the window can't give that page. */
static long copy_frame(gpa_t gpa, gpa_t *ret)
{
    const void *from = page_ptr(gpa, PAGE_SIZE);
    gpa_t copy = from ? frame_alloc() : 0;
    uint32_t faults = mm_window_faults;

    if (!copy)
        return -ENOMEM;
    memcpy(gpa_to_ptr(copy), from, PAGE_SIZE);
    if (mm_window_faults != faults) {
        frame_put(copy);
        return -EIO;
    }
    *ret = copy;
    return 0;
}

/* Give the entry a copy of its page. */
static long copy_entry(struct mm *mm, uint64_t *entry, uint64_t bits)
{
    uint64_t old = *entry;
    gpa_t copy;
    long r = copy_frame(old & PTE_ADDR, &copy);

    if (r < 0)
        return r;
    pt_set(mm, entry, copy, bits);
    if (old & PTE_P)
        pt_hold(mm, old & PTE_ADDR);
    else
        frame_put(old & PTE_ADDR);
    return 0;
}

static long cow_copy(struct mm *mm, struct vma *vma, uaddr_t addr)
{
    uint64_t window = sequential_window(vma, addr, COW_WINDOW_MIN, COW_WINDOW_MAX);
    struct range r = around(vma, addr, window);
    uint64_t bits = pte_bits(vma->prot, true), *entry = pt_make(mm, addr);
    long result;

    if (!entry)
        return -ENOMEM;
    vma->next_fault = r.hi;
    result = copy_entry(mm, entry, bits);
    entry -= (addr - r.lo) / PAGE_SIZE;
    for (uaddr_t at = r.lo; at < r.hi && result == 0; at += PAGE_SIZE, entry++) {
        /* Pages of files may never be written: those wait for a fault of their own. */
        if (*entry && !(*entry & PTE_W) && !vma->file && copy_entry(mm, entry, bits) < 0)
            break;
    }
    return result;
}

static long write_private(struct mm *mm, struct vma *vma, uaddr_t addr, const uint64_t *entry,
                          bool huge)
{
    struct range r;

    if (pt_is_exclusive(*entry, huge)) {
        /* The other side of a fork has gone, probably from the neighbours too. */
        r = around(vma, addr, HUGE_SIZE);
        pt_protect(mm, r.lo, r.hi, vma->prot, false);
        return 0;
    }
    return cow_copy(mm, vma, addr);
}

/* --- files --- */

struct file_fault {
    struct mm *mm;
    struct vma *vma;
    struct file *file;
    uint64_t vma_seq;
    bool map_write; /* shared and writable: ask for pages to write to */
    bool write;     /* this access writes */
};

static uint64_t offset_of(const struct vma *vma, uaddr_t addr)
{
    return vma->file_offset + (addr - vma->start);
}

/* The page for addr from its file. -EAGAIN: the VMAs changed while that slept. */
static long get_page(const struct file_fault *ff, uaddr_t addr, gpa_t *ret_gpa, uint64_t *ret_run)
{
    gpa_t gpa = 0;
    uint64_t run = PAGE_SIZE;
    long r;

    r = ff->file->ops->page(ff->file, offset_of(ff->vma, addr), ff->map_write, &gpa, &run);
    if (r < 0)
        return r;
    if (ff->mm->vma_seq != ff->vma_seq) {
        frame_put(gpa);
        return -EAGAIN;
    }
    *ret_gpa = gpa;
    *ret_run = run;
    return 0;
}

/* Map the file's page at addr, or its copy; takes over the frame's reference. */
static long set_file_page(const struct file_fault *ff, uaddr_t addr, gpa_t gpa, bool copy)
{
    uint64_t bits =
        pte_bits(ff->vma->prot, ff->map_write || copy) | (ff->map_write ? PTE_WRITE_OK : 0);
    uint64_t *entry = pt_make(ff->mm, addr);
    gpa_t own;
    long r;

    if (!entry || *entry) { /* somebody else was faster */
        frame_put(gpa);
        return entry ? 0 : -ENOMEM;
    }
    if (copy && !pt_is_exclusive(gpa, false)) {
        r = copy_frame(gpa, &own);
        frame_put(gpa);
        if (r < 0)
            return r;
        gpa = own;
    }
    pt_set(ff->mm, entry, gpa, bits);
    return 0;
}

/* Data segments of programs are small and will be written: spare them the faults. */
static bool copies_eagerly(const struct vma *vma)
{
    return !(vma->flags & VMA_SHARED) && (vma->prot & PROT_WRITE) &&
           vma->end - vma->start <= FILE_COPY_MAX;
}

/*
 * A file whose pages are frames: those around addr if they are there already, or else one at a time, more if the app goes through
 * them in order.
 */
static long map_ram_pages(struct file_fault *ff, uaddr_t addr, gpa_t gpa, uint64_t run)
{
    struct vma *vma = ff->vma;
    bool copy = !(vma->flags & VMA_SHARED) && ff->write;
    struct range range;
    long r;

    if (run > PAGE_SIZE) {
        copy = copy || copies_eagerly(vma);
        range = around(vma, addr, copy ? RAM_FILE_READY_WINDOW : FILE_WINDOW);
    } else {
        range.lo = addr;
        range.hi = MIN(addr + sequential_window(vma, addr, PAGE_SIZE, RAM_FILE_WINDOW_MAX), vma->end);
        vma->next_fault = range.hi;
    }
    r = set_file_page(ff, addr, gpa, copy);
    for (uaddr_t at = range.lo; r == 0 && at < range.hi; at += PAGE_SIZE) {
        /* Errors in the neighbourhood (the end of the file) are for whoever touches it. */
        if (at != addr && (get_page(ff, at, &gpa, &run) < 0 || set_file_page(ff, at, gpa, copy) < 0 || !frame_is_ram(gpa)))
            break;
    }
    return r;
}

/* How far back from addr the mapping's pages lie in a row before gpa. */
static uaddr_t window_start(const struct file_fault *ff, uaddr_t addr, gpa_t gpa)
{
    uaddr_t lo = addr - ff->vma->start > FILE_WINDOW ? addr - FILE_WINDOW : ff->vma->start;
    gpa_t first;
    uint64_t run;

    if (lo == addr || get_page(ff, lo, &first, &run) < 0)
        return addr;
    if (frame_is_ram(first)) {
        frame_put(first);
        return addr;
    }
    return first + (addr - lo) == gpa && run >= addr - lo ? lo : addr;
}

/* As map_window_range, for what of [lo, hi) lies in one page table. */
static long map_window_table(const struct file_fault *ff, struct range r, gpa_t gpa, uint64_t bits)
{
    uint64_t *entry;

    if (r.hi - r.lo == HUGE_SIZE && gpa % HUGE_SIZE == 0 && pt_huge_is_free(ff->mm, r.lo))
        return pt_set_huge(ff->mm, r.lo, gpa, bits) ? 0 : -ENOMEM;
    entry = pt_make(ff->mm, r.lo);
    if (!entry)
        return -ENOMEM;
    for (uaddr_t at = r.lo; at < r.hi; at += PAGE_SIZE, entry++) {
        if (!*entry)
            pt_set(ff->mm, entry, gpa + (at - r.lo), bits);
    }
    return 0;
}

/*
 * Map window pages read-only or shared in bulk: r[lo] is at gpa. Where 2 MiB of the file lie right for it they are one entry: no
 * table to fill, and software KVM keeps what it knows of such a piece from one program to the next.
 */
static long map_window_range(const struct file_fault *ff, struct range r, gpa_t gpa)
{
    uint64_t bits = pte_bits(ff->vma->prot, ff->map_write) | (ff->map_write ? PTE_WRITE_OK : 0);
    long result = 0;

    for (uaddr_t at = r.lo, next; at < r.hi && result == 0; at = next) {
        next = MIN(ALIGN_DOWN(at, HUGE_SIZE) + HUGE_SIZE, r.hi);
        result = map_window_table(ff, (struct range){ at, next }, gpa + (at - r.lo), bits);
    }
    return result;
}

/*
 * Copies of all that lies around addr by one hypercall: where the app writes, each page would take a fault for reading, one for
 * writing, and of software KVM one more for the shim that copies. False: nothing was done.
 */
static bool load_copies(const struct file_fault *ff, uaddr_t addr, uint64_t run)
{
    struct range r = around(ff->vma, addr, FILE_COPY_MAX);
    uint64_t *entry, bits = pte_bits(ff->vma->prot, true);
    gpa_t frames[FILE_COPY_MAX / PAGE_SIZE];
    size_t count, n = 0;

    if (!ff->file->ops->load || (ff->vma->flags & VMA_SHARED) || !(ff->vma->prot & PROT_WRITE) ||
        ff->vma->end - ff->vma->start > FILE_LOAD_MAX)
        return false;
    r.hi = MIN(r.hi, addr + run);
    count = (r.hi - r.lo) >> PAGE_SHIFT;
    entry = pt_make(ff->mm, r.lo);
    for (size_t i = 0; entry && i < count; i++)
        if (entry[i])
            return false;
    while (entry && n < count && (frames[n] = frame_alloc_to_load()) != 0)
        n++;
    if (n < count || ff->file->ops->load(ff->file, offset_of(ff->vma, r.lo), frames, count) < 0) {
        while (n > 0)
            frame_put(frames[--n]);
        return false;
    }
    for (size_t i = 0; i < count; i++)
        pt_set(ff->mm, entry + i, frames[i], bits);
    return true;
}

static long map_window_pages(struct file_fault *ff, uaddr_t addr, gpa_t gpa, uint64_t run)
{
    struct range r;
    long result = 0;

    if (load_copies(ff, addr, run))
        return 0;
    r.lo = window_start(ff, addr, gpa);
    if (ff->mm->vma_seq != ff->vma_seq) /* that may have slept */
        return -EAGAIN;
    r.hi = MIN(addr + MIN(run, FILE_WINDOW), ff->vma->end);
    if (ff->write && !(ff->vma->flags & VMA_SHARED))
        result = set_file_page(ff, addr, gpa, true);
    if (result < 0)
        return result;
    gpa -= addr - r.lo;
    if (!copies_eagerly(ff->vma))
        return map_window_range(ff, r, gpa);
    for (uaddr_t at = r.lo; at < r.hi && result == 0; at += PAGE_SIZE)
        result = set_file_page(ff, at, gpa + (at - r.lo), true);
    return result;
}

static long file_fault(struct mm *mm, struct vma *vma, uaddr_t addr, uint32_t error)
{
    struct file_fault ff = { .mm = mm, .vma = vma, .file = vma->file, .vma_seq = mm->vma_seq };
    uint64_t run;
    gpa_t gpa;
    long r;

    if (!vma->file->ops->page)
        return -EFAULT;
    ff.map_write = (vma->flags & VMA_SHARED) && (vma->prot & PROT_WRITE);
    ff.write = error & FAULT_WRITE;
    file_get(ff.file);
    if (!(vma->flags & VMA_SHARED) && ff.file->ops->keep && vma->end - vma->start <= FILE_KEEP_MAX)
        ff.file->ops->keep(ff.file, vma->file_offset, vma->end - vma->start);
    r = mm->vma_seq == ff.vma_seq ? get_page(&ff, addr, &gpa, &run) : -EAGAIN;
    if (r == 0)
        r = frame_is_ram(gpa) ? map_ram_pages(&ff, addr, gpa, run)
                              : map_window_pages(&ff, addr, gpa, run);
    file_put(ff.file);
    return r == -EAGAIN ? 0 : r; /* changed meanwhile: the access faults again */
}

/* --- what a fault means --- */

/*
 * There is a page: the access lacks a right that the VMA grants, or somebody else has resolved it.
 */
static long present_fault(struct mm *mm, struct vma *vma, uaddr_t addr, uint32_t error,
                          uint64_t *entry, bool huge)
{
    if (!(error & FAULT_WRITE) || (*entry & PTE_W)) {
        pt_flush_later(mm, addr);
        return 0;
    }
    if (!(vma->flags & VMA_SHARED))
        return write_private(mm, vma, addr, entry, huge);
    /* The file gave it for reading only: ask again, for writing. */
    pt_clear(mm, addr, addr + PAGE_SIZE, 0, 0);
    return file_fault(mm, vma, addr, error);
}

static long resolve(struct mm *mm, struct vma *vma, uaddr_t addr, uint32_t error, uint64_t window)
{
    bool huge = false;
    uint64_t *entry = pt_find(mm, addr, &huge);
    long r;

    if (entry && *entry)
        r = present_fault(mm, vma, addr, error, entry, huge);
    else if (vma->file)
        r = file_fault(mm, vma, addr, error);
    else
        r = anon_fault(mm, vma, addr, window ? window : anon_window(mm, vma, addr));
    pt_flush(mm);
    return r;
}

/* May the stack begin at start, given what lies below it? */
static bool stack_fits(struct mm *mm, struct vma *vma, uaddr_t start)
{
    const struct vma *prev = vma_prev(vma);

    if (start < APP_BASE || vma->end - start > rlimit(RLIMIT_STACK))
        return false;
    if (mm->total_pages + ((vma->start - start) >> PAGE_SHIFT) > rlimit(RLIMIT_AS) >> PAGE_SHIFT)
        return false;
    if (!prev || prev->end + STACK_GUARD_GAP <= start)
        return true;
    return prev->end <= start && (!prev->prot || (prev->flags & VMA_GROWSDOWN));
}

static bool grow_stack(struct mm *mm, struct vma *vma, uaddr_t addr)
{
    uaddr_t start = PAGE_DOWN(addr), generous = vma->start - MIN(vma->start, STACK_STEP);

    if (generous < start && stack_fits(mm, vma, generous))
        start = generous;
    if (!stack_fits(mm, vma, start))
        return false;
    vma_resize(mm, vma, start, vma->end);
    return true;
}

static bool is_allowed(const struct vma *vma, uint32_t error)
{
    if (error & FAULT_WRITE)
        return vma->prot & PROT_WRITE;
    if (error & FAULT_FORCE)
        return true;
    return vma->prot & (error & FAULT_EXEC ? PROT_EXEC : PROT_READ | PROT_WRITE | PROT_EXEC);
}

/* Nobody to tell: current is killed. When it works for another address space, its call fails. */
static void out_of_memory(const struct mm *mm)
{
    if (mm != current->mm)
        return;
    klog(LOG_ERROR, "out of memory: all %lu MiB of --mem are in use, %s (pid %d) is killed",
         frame_total() >> 8, current->comm, current->proc->pid);
    signal_send_process(current->proc, SIGKILL, SI_KERNEL, 0, 0);
}

bool mm_fault(struct mm *mm, uaddr_t addr, uint32_t error, struct fault *ret)
{
    struct vma *vma = mm_find(mm, addr);
    long r;

    mm->fault_count++;
    *ret = (struct fault){ SIGSEGV, SEGV_MAPERR, addr };
    if (!vma)
        return false;
    if (vma->start > addr && (!(vma->flags & VMA_GROWSDOWN) || !grow_stack(mm, vma, addr)))
        return false;
    if (!is_allowed(vma, error)) {
        ret->si_code = SEGV_ACCERR;
        return false;
    }
    r = resolve(mm, vma, PAGE_DOWN(addr), error, 0);
    if (r == 0)
        return true;
    if (r == -ENOMEM) {
        out_of_memory(mm);
        *ret = (struct fault){ SIGKILL, SI_KERNEL, addr };
    } else {
        *ret = (struct fault){ SIGBUS, BUS_ADRERR, addr };
    }
    return false;
}

/* --- on request --- */

/* Bring in what vma has at addr. *ret_next: where to go on. */
static long populate_one(struct mm *mm, struct vma *vma, uaddr_t addr, bool write,
                         uaddr_t *ret_next)
{
    uint32_t error = write && (vma->prot & PROT_WRITE) ? FAULT_WRITE : 0;
    bool huge = false;
    const uint64_t *entry = pt_find(mm, addr, &huge);

    *ret_next = addr + PAGE_SIZE;
    if (entry && *entry && (!error || (*entry & PTE_W))) {
        if (huge)
            *ret_next = ALIGN_DOWN(addr, HUGE_SIZE) + HUGE_SIZE;
        return 0;
    }
    return is_allowed(vma, error) ? resolve(mm, vma, addr, error, HUGE_SIZE) : -EFAULT;
}

long mm_populate(struct mm *mm, uaddr_t addr, uint64_t len, bool write)
{
    uaddr_t end = addr + len;
    long r;

    for (addr = PAGE_DOWN(addr); addr < end;) {
        struct vma *vma = mm_find(mm, addr); /* each time anew: it may have slept */

        if (!vma || vma->start > addr)
            return -ENOMEM;
        r = populate_one(mm, vma, addr, write, &addr);
        if (r < 0)
            return r == -ENOMEM ? r : -EFAULT;
    }
    return 0;
}

long mm_pin_copy(struct mm *mm, uaddr_t addr, gpa_t *ret_gpa)
{
    struct vma *vma;
    uint64_t *entry;
    gpa_t gpa, copy;
    long r;

    r = mm_pin_page(mm, addr, FAULT_FORCE, &gpa);
    if (r < 0)
        return r;
    frame_put(gpa);
    vma = mm_find(mm, addr);
    entry = pt_make(mm, addr); /* splits a huge page */
    if (!vma || vma->start > addr || (vma->flags & VMA_SHARED) || !entry || !*entry)
        return -EFAULT;
    gpa = *entry & PTE_ADDR;
    if (!pt_is_exclusive(*entry, false)) {
        if (copy_frame(gpa, &copy) < 0)
            return -EFAULT;
        pt_set(mm, entry, copy, pte_bits(vma->prot, true));
        pt_flush_later(mm, addr);
        pt_flush(mm);
        frame_put(gpa);
    } else {
        copy = gpa;
        if (mm->held_count) /* perhaps for this page */
            pt_flush_later(mm, addr);
        pt_flush(mm);
    }
    frame_get(copy);
    *ret_gpa = copy;
    return 0;
}
