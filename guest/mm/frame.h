/*
 * Guest-physical memory in 4 KiB frames and 2 MiB runs, with a reference count for each frame.
 *
 * Frames that were never used read as zero and cost the host nothing until they are touched; freed
 * ones are given back in batches (HYPERCALL_DISCARD). RAM grows by HYPERCALL_RAM_GROW up to --mem.
 * Page-table pages come from 2 MiB chunks of their own (software KVM can't map a chunk large that
 * holds one).
 */
#ifndef MM_FRAME_H
#define MM_FRAME_H

#include "hypercalls/layout.h"
#include "lib/base.h"

static inline void *gpa_to_ptr(gpa_t gpa)
{
    return (void *)(DIRECT_BASE + gpa);
}

static inline gpa_t ptr_to_gpa(const void *ptr)
{
    return (uint64_t)ptr - DIRECT_BASE;
}

/* RAM from first_free on (both from the device tree); limit is --mem in bytes. */
void frame_init(gpa_t first_free, gpa_t ram_end, uint64_t limit);

/*
 * One frame with one reference; 0 if memory is used up. frame_alloc's content is unknown,
 * frame_zalloc's is zero. Into those of frame_alloc_to_load the host reads a file before anything else touches them.
 */
gpa_t frame_alloc(void);
gpa_t frame_zalloc(void);
gpa_t frame_alloc_to_load(void);

/*
 * A 2 MiB aligned run of 512 zeroed frames, one reference each; 0 if there is none. Freed frame by
 * frame or as a whole.
 */
gpa_t frame_zalloc_huge(void);

/*
 * Contiguous frames for the shim itself (kernel stacks, big tables), content unknown. Above 512
 * they are hard to find.
 */
void *pages_alloc(size_t count);
void pages_free(void *ptr, size_t count);

/* A zeroed page for page tables. */
gpa_t frame_alloc_table(void);
void frame_free_table(gpa_t gpa);

/*
 * References. frame_is_ram is false for window and arena pages, which aren't counted: get and put
 * ignore them.
 */
bool frame_is_ram(gpa_t gpa);
void frame_get(gpa_t gpa);
void frame_put(gpa_t gpa);
uint32_t frame_refs(gpa_t gpa);

/*
 * The same for the 512 frames of a huge page; exclusive: nobody else has a reference to any of
 * them.
 */
void frame_get_huge(gpa_t gpa);
void frame_put_huge(gpa_t gpa);
bool frame_huge_is_exclusive(gpa_t gpa);

/*
 * For memory from pages_alloc: how many pages the run at ptr has.
 */
size_t pages_count(const void *ptr);

/* Give free frames back to the host now, down to none if all. */
void frame_trim(bool all);

/*
 * Where window memory [gpa, gpa + len) can be read by the shim (and written, in the writable
 * window). Puts it into the direct map on its first use; NULL if there is no memory for the tables.
 */
void *window_ptr(gpa_t gpa, uint64_t len);

/* The same for any page: of RAM or of the window. */
static inline void *page_ptr(gpa_t gpa, uint64_t len)
{
    return gpa < GPA_RAM_END ? gpa_to_ptr(gpa) : window_ptr(gpa, len);
}

/*
 * Put [gpa, gpa + len) (2 MiB aligned) into the direct map with 2 MiB pages. -ENOMEM (mm/direct.c).
 */
long direct_map(gpa_t gpa, uint64_t len, bool writable);

uint64_t frame_total(void);      /* limit, in frames */
uint64_t frame_free_count(void); /* what can still be had, in frames */

#endif
