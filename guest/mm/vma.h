/*
 * The list of VMAs of an address space, as a tree: finding, splitting, merging, gaps. Pure logic:
 * no page tables, no sleeping, and built on the host too. Callers keep page tables in step; the
 * accounts in struct mm are kept here.
 */
#ifndef MM_VMA_H
#define MM_VMA_H

#include "mm/mm.h"

/* Pages that stay free below a stack that grows. */
#define STACK_GUARD_GAP (256 * PAGE_SIZE)

/* As Linux's default vm.max_map_count. */
#define VMA_COUNT_MAX 65530

void vma_tree_init(struct mm *mm);

/* A detached VMA, file with a reference of its own; NULL: no memory. */
struct vma *vma_alloc(uaddr_t start, uaddr_t end, uint32_t prot, uint32_t flags, struct file *file,
                      uint64_t file_offset, const char *name);
void vma_free(struct vma *vma); /* puts the file */

void vma_insert(struct mm *mm, struct vma *vma); /* the range must be free */
void vma_remove(struct mm *mm, struct vma *vma); /* detaches */

/*
 * Change the bounds of a VMA in the tree; the new range must be free. Moving start moves
 * file_offset.
 */
void vma_resize(struct mm *mm, struct vma *vma, uaddr_t start, uaddr_t end);

/* Change what may be done with the memory, and the accounts. */
void vma_set(struct mm *mm, struct vma *vma, uint32_t prot, uint32_t flags);

/* vma keeps [start, addr), a new one gets the rest. -ENOMEM. */
long vma_split(struct mm *mm, struct vma *vma, uaddr_t addr);

/* Split so that no VMA crosses start or end. -ENOMEM; a split that has been made is harmless. */
long vma_isolate(struct mm *mm, uaddr_t start, uaddr_t end);

/*
 * Merge vma with its neighbours where they say the same. Returns the VMA that covers vma's range
 * now.
 */
struct vma *vma_merge(struct mm *mm, struct vma *vma);

/* Merge wherever possible in [start, end] (after the attributes of that range changed). */
void vma_merge_range(struct mm *mm, uaddr_t start, uaddr_t end);

struct vma *vma_prev(struct vma *vma);
struct vma *vma_last(struct mm *mm);

bool vma_range_is_free(struct mm *mm, uaddr_t start, uaddr_t end);

/*
 * The highest free range of len bytes in [low, high), aligned; 0 if there is none. Keeps the gap
 * below stacks.
 */
uaddr_t vma_find_gap(struct mm *mm, uaddr_t low, uaddr_t high, uint64_t len, uint64_t align);

/* The free space between two neighbours (either may be NULL): page tables for it alone can go. */
uaddr_t vma_floor(struct vma *prev);
uaddr_t vma_ceiling(struct vma *next);

/* Is the whole of [start, end) covered by VMAs? */
bool vma_covers(struct mm *mm, uaddr_t start, uaddr_t end);

#endif
