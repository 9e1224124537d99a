/*
 * Four levels of page tables (SDM vol. 3A, 4.5). Only mm/ uses this.
 *
 * An entry that isn't zero owns a frame (or points to a window page), also when it isn't present
 * (PROT_NONE). Accessed and dirty bits are set from the start, since the CPU's own setting of them
 * costs faults on software KVM.
 *
 * There is one vCPU and the shim isn't preempted, so frames may be freed before the flush as long
 * as it comes before anything of the app's (or uaccess) runs again: each operation of mm/ that
 * calls pt_clear or pt_protect ends with pt_flush.
 */
#ifndef MM_PAGETABLE_H
#define MM_PAGETABLE_H

#include "hypercalls/layout.h"
#include "lib/base.h"

struct mm;

#define PTE_P 1ull
#define PTE_W 2ull
#define PTE_U 4ull
#define PTE_A 0x20ull
#define PTE_D 0x40ull
#define PTE_PS 0x80ull
#define PTE_OWNED 0x200ull    /* ours to say: this entry holds a page, present or not */
#define PTE_WRITE_OK 0x400ull /* shared mappings: the file gave this page for writing */
#define PTE_NX (1ull << 63)
#define PTE_ADDR 0x000ffffffffff000ull
#define PTE_TABLE (PTE_P | PTE_W | PTE_U | PTE_A)

/* The vmm's first top-level table: its entry SHIM_PML4_INDEX is in every address space. */
#define BOOT_PML4 GPA_BOOT_PT

/* The frame at addr, from its entry, which may be a huge page's. */
static inline gpa_t pte_gpa(uint64_t entry, uaddr_t addr)
{
    gpa_t gpa = entry & PTE_ADDR;

    return entry & PTE_PS ? (gpa & ~(HUGE_SIZE - 1)) + (PAGE_DOWN(addr) & (HUGE_SIZE - 1)) : gpa;
}

/*
 * The entry bits for a page with this protection; write says whether PROT_WRITE may already take
 * effect.
 */
uint64_t pte_bits(uint32_t prot, bool write);

void pt_load(gpa_t pml4); /* into CR3; flushes the TLB */

/*
 * A top-level table with the shim's entry; 0: no memory. There may be empty tables below it already, those of an address space that
 * was destroyed with the same like (the id of the one it was forked from; 0: nothing is kept).
 */
gpa_t pt_create(uint64_t like);
void pt_destroy(gpa_t pml4, uint64_t like); /* the tables only; the pages must be gone. CR3 may still hold pml4 */

/*
 * The entry for addr: of 4 KiB, or (*ret_huge) of the 2 MiB page that covers it. NULL: no table
 * there.
 */
uint64_t *pt_find(const struct mm *mm, uaddr_t addr, bool *ret_huge);

/* The 4 KiB entry for addr; makes tables. NULL: no memory. A huge page there is split. */
uint64_t *pt_make(struct mm *mm, uaddr_t addr);

/* Put a page at an empty entry; takes over the frame's reference. */
void pt_set(struct mm *mm, uint64_t *entry, gpa_t gpa, uint64_t bits);

/* A 2 MiB page at addr (aligned), if nothing is mapped there. False: it can't be. */
bool pt_set_huge(struct mm *mm, uaddr_t addr, gpa_t gpa, uint64_t bits);

/* Can addr's 2 MiB hold a huge page: no tables below it yet? */
bool pt_huge_is_free(const struct mm *mm, uaddr_t addr);

/*
 * Zeroed pages with these bits for all of [start, end), which lies in 2 MiB where nothing else is mapped, from a table that was kept
 * when a mapping like this one went (mm/keep.h). -ENOENT: there is none.
 */
long pt_hook_kept(struct mm *mm, uaddr_t start, uaddr_t end, uint64_t bits);

/* Make the huge page that covers addr 512 small ones. -ENOMEM. */
long pt_split(struct mm *mm, uaddr_t addr);

/*
 * Drop all pages in [start, end) and the references they hold; free the tables whose whole range
 * lies in [floor, ceiling). -ENOMEM if a huge page had to be split and could not be; nothing has
 * been changed then.
 */
long pt_clear(struct mm *mm, uaddr_t start, uaddr_t end, uaddr_t floor, uaddr_t ceiling);

/*
 * Give the pages of [start, end) this protection. shared: writable ones stay so, others become
 * writable on a fault; private ones become writable at once if nobody else has their frame. Huge
 * pages at the edges must have been split.
 */
void pt_protect(struct mm *mm, uaddr_t start, uaddr_t end, uint32_t prot, bool shared);

/* May a private page be written in place: nobody else has its frame? */
bool pt_is_exclusive(uint64_t entry, bool huge);

/* Split the huge pages that start or end lies inside of. -ENOMEM. */
long pt_split_edges(struct mm *mm, uaddr_t start, uaddr_t end);

/* Copy the entries of [start, end) to child; private pages become read-only in both. -ENOMEM. */
long pt_copy(struct mm *parent, struct mm *child, uaddr_t start, uaddr_t end, bool shared);

/* Move the entries of [from, from + len) to to, which is empty. -ENOMEM: part has been moved. */
long pt_move(struct mm *mm, uaddr_t from, uaddr_t to, uint64_t len);

/* Drop the pages in [start, end) whose memory lies in [gpa, gpa + len). */
void pt_clear_gpa(struct mm *mm, uaddr_t start, uaddr_t end, gpa_t gpa, uint64_t len);

/* Remember to flush addr, or do it: needed when a present page went away or lost a right. */
void pt_flush_later(struct mm *mm, uaddr_t addr);
void pt_flush(struct mm *mm);

/*
 * A page that is being copied on write needs no flush: a stale entry only lets the old frame be
 * read, which has the same content until the app writes, and a write through a stale read-only
 * entry faults and finds the new frame. So the old frame's reference is kept until the TLB is
 * flushed for another reason. Software KVM saves half of each such fault by this. Whoever changes
 * the new frame by another way than the app's address calls pt_flush_held first.
 */
void pt_hold(struct mm *mm, gpa_t gpa);
void pt_flush_held(struct mm *mm);

/* The page tables were loaded, or another's were: no TLB entry is stale. */
void pt_release_held(struct mm *mm);

#endif
