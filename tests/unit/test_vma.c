/*
 * The VMA tree against a plain map of pages: random operations, and the questions that mm/ asks of
 * it.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fs/file.h"
#include "hypercalls/layout.h"
#include "lib/kmalloc.h"
#include "mm/vma.h"

#define BASE 0x100000ul
#define PAGES 256

/* What vma.c asks of the rest of the shim; weak, since other tests bring their own. */
#define WEAK __attribute__((weak))

WEAK void *kzalloc(size_t size)
{
    return calloc(1, size);
}

WEAK void kfree(void *ptr)
{
    free(ptr);
}

WEAK void file_get(struct file *f)
{
    f->refs++;
}

WEAK void file_put(struct file *f)
{
    f->refs--;
}

static uaddr_t page(unsigned int i)
{
    return BASE + i * PAGE_SIZE;
}

static void setup_mm(struct mm *mm)
{
    memset(mm, 0, sizeof(*mm));
    vma_tree_init(mm);
}

static struct vma *add(struct mm *mm, unsigned int first, unsigned int end, uint32_t prot)
{
    struct vma *vma = vma_alloc(page(first), page(end), prot, 0, NULL, 0, NULL);

    vma_insert(mm, vma);
    return vma;
}

static void remove_range(struct mm *mm, uaddr_t start, uaddr_t end)
{
    struct vma *vma, *next;

    cr_assert_eq(vma_isolate(mm, start, end), 0);
    for (vma = mm_find(mm, start); vma && vma->start < end; vma = next) {
        next = mm_next(vma);
        vma_remove(mm, vma);
        vma_free(vma);
    }
}

static void teardown_mm(struct mm *mm)
{
    remove_range(mm, 0, APP_END);
    cr_assert_null(mm_first(mm));
    cr_assert_eq(mm->total_pages, 0);
    cr_assert_eq(mm->data_pages, 0);
}

Test(vma, finds_the_one_that_ends_above)
{
    struct mm mm;
    struct vma *a, *b;

    setup_mm(&mm);
    a = add(&mm, 2, 4, PROT_READ);
    b = add(&mm, 8, 9, PROT_READ);
    cr_assert_eq(mm_find(&mm, 0), a);
    cr_assert_eq(mm_find(&mm, page(4) - 1), a);
    cr_assert_eq(mm_find(&mm, page(4)), b);
    cr_assert_null(mm_find(&mm, page(9)));
    cr_assert_eq(mm_next(a), b);
    cr_assert_eq(vma_prev(b), a);
    cr_assert_null(vma_prev(a));
    teardown_mm(&mm);
}

Test(vma, splits_keep_file_offsets)
{
    struct file f = { .refs = 1 };
    struct mm mm;
    struct vma *vma;

    setup_mm(&mm);
    vma = vma_alloc(page(0), page(8), PROT_READ, 0, &f, 0x5000, NULL);
    vma_insert(&mm, vma);
    cr_assert_eq(vma_isolate(&mm, page(2), page(5)), 0);
    cr_assert_eq(mm.vma_count, 3);
    vma = mm_find(&mm, page(2));
    cr_assert_eq(vma->start, page(2));
    cr_assert_eq(vma->end, page(5));
    cr_assert_eq(vma->file_offset, 0x7000);
    cr_assert_eq(mm_next(vma)->file_offset, 0xa000);
    cr_assert_eq(f.refs, 4);
    vma_merge_range(&mm, page(0), page(8));
    cr_assert_eq(mm.vma_count, 1);
    cr_assert_eq(mm_first(&mm)->file_offset, 0x5000);
    teardown_mm(&mm);
    cr_assert_eq(f.refs, 1);
}

Test(vma, merges_only_what_is_alike)
{
    struct file f = { .refs = 1 };
    struct mm mm;
    struct vma *vma;

    setup_mm(&mm);
    add(&mm, 0, 2, PROT_READ);
    vma_merge(&mm, add(&mm, 2, 4, PROT_READ | PROT_WRITE));
    cr_assert_eq(mm.vma_count, 2);
    vma_merge(&mm, add(&mm, 4, 5, PROT_READ | PROT_WRITE));
    cr_assert_eq(mm.vma_count, 2);
    vma = vma_alloc(page(5), page(6), PROT_READ | PROT_WRITE, 0, &f, 0, NULL);
    vma_insert(&mm, vma);
    vma_merge(&mm, vma);
    cr_assert_eq(mm.vma_count, 3);
    /* The same file, but not where the first one ends. */
    vma = vma_alloc(page(6), page(7), PROT_READ | PROT_WRITE, 0, &f, 0x3000, NULL);
    vma_insert(&mm, vma);
    vma_merge(&mm, vma);
    cr_assert_eq(mm.vma_count, 4);
    vma_set(&mm, mm_find(&mm, page(0)), PROT_READ | PROT_WRITE, 0);
    vma_merge_range(&mm, page(0), page(2));
    cr_assert_eq(mm.vma_count, 3);
    teardown_mm(&mm);
}

Test(vma, a_vma_between_two_joins_both)
{
    struct mm mm;

    setup_mm(&mm);
    add(&mm, 0, 2, PROT_READ);
    add(&mm, 3, 5, PROT_READ);
    vma_merge(&mm, add(&mm, 2, 3, PROT_READ));
    cr_assert_eq(mm.vma_count, 1);
    cr_assert_eq(mm_first(&mm)->end, page(5));
    teardown_mm(&mm);
}

Test(vma, gaps_are_found_from_the_top)
{
    struct mm mm;

    setup_mm(&mm);
    cr_assert_eq(vma_find_gap(&mm, page(0), page(100), PAGE_SIZE, PAGE_SIZE), page(99));
    add(&mm, 90, 100, PROT_READ);
    cr_assert_eq(vma_find_gap(&mm, page(0), page(100), PAGE_SIZE, PAGE_SIZE), page(89));
    add(&mm, 10, 80, PROT_READ);
    cr_assert_eq(vma_find_gap(&mm, page(0), page(100), 10 * PAGE_SIZE, PAGE_SIZE), page(80));
    cr_assert_eq(vma_find_gap(&mm, page(1), page(100), 9 * PAGE_SIZE, PAGE_SIZE), page(81));
    cr_assert_eq(vma_find_gap(&mm, page(0), page(90), 10 * PAGE_SIZE, PAGE_SIZE), page(80));
    cr_assert_eq(vma_find_gap(&mm, page(0), page(89), 10 * PAGE_SIZE, PAGE_SIZE), page(0));
    cr_assert_eq(vma_find_gap(&mm, page(1), page(89), 10 * PAGE_SIZE, PAGE_SIZE), 0);
    cr_assert_eq(vma_find_gap(&mm, page(0), page(90), 3 * PAGE_SIZE, 16 * PAGE_SIZE), page(80));
    teardown_mm(&mm);
}

Test(vma, gaps_leave_room_below_stacks)
{
    struct mm mm;
    uaddr_t stack = BASE + 64 * STACK_GUARD_GAP;
    struct vma *vma;

    setup_mm(&mm);
    vma = vma_alloc(stack, stack + PAGE_SIZE, PROT_READ | PROT_WRITE, VMA_GROWSDOWN, NULL, 0, NULL);
    vma_insert(&mm, vma);
    cr_assert_eq(vma_find_gap(&mm, BASE, stack + PAGE_SIZE, PAGE_SIZE, PAGE_SIZE),
                 stack - STACK_GUARD_GAP - PAGE_SIZE);
    vma_resize(&mm, vma, stack - PAGE_SIZE, stack + PAGE_SIZE);
    cr_assert_eq(vma_find_gap(&mm, BASE, stack + PAGE_SIZE, PAGE_SIZE, PAGE_SIZE),
                 stack - STACK_GUARD_GAP - 2 * PAGE_SIZE);
    teardown_mm(&mm);
}

Test(vma, coverage_and_free_ranges)
{
    struct mm mm;

    setup_mm(&mm);
    add(&mm, 2, 4, PROT_READ);
    add(&mm, 4, 6, PROT_WRITE);
    add(&mm, 7, 8, PROT_READ);
    cr_assert(vma_covers(&mm, page(2), page(6)));
    cr_assert(vma_covers(&mm, page(3), page(5)));
    cr_assert_not(vma_covers(&mm, page(3), page(8)));
    cr_assert_not(vma_covers(&mm, page(1), page(3)));
    cr_assert(vma_range_is_free(&mm, page(6), page(7)));
    cr_assert(vma_range_is_free(&mm, page(0), page(2)));
    cr_assert_not(vma_range_is_free(&mm, page(0), page(3)));
    cr_assert_not(vma_range_is_free(&mm, page(6), page(8)));
    teardown_mm(&mm);
}

/* --- random operations --- */

/* Each page's protection, or FREE. */
#define FREE 0xff
static uint8_t model[PAGES];

static unsigned int random_below(unsigned int n)
{
    return (unsigned int)rand() % n;
}

static uaddr_t model_gap(unsigned int len)
{
    for (int at = PAGES - (int)len; at >= 0; at--) {
        unsigned int i = 0;

        while (i < len && model[at + (int)i] == FREE)
            i++;
        if (i == len)
            return page((unsigned int)at);
    }
    return 0;
}

static void compare(struct mm *mm)
{
    uint64_t total = 0, data = 0, count = 0;
    struct vma *vma, *prev = NULL;

    for (unsigned int i = 0; i < PAGES; i++) {
        vma = mm_find(mm, page(i));
        if (model[i] == FREE) {
            cr_assert(!vma || vma->start > page(i), "page %u should be free", i);
            continue;
        }
        cr_assert(vma && vma->start <= page(i) && vma->prot == model[i], "page %u", i);
        total++;
        data += (model[i] & PROT_WRITE) != 0;
    }
    for (vma = mm_first(mm); vma; prev = vma, vma = mm_next(vma)) {
        count++;
        cr_assert(!prev || prev->end <= vma->start);
        cr_assert(!prev || prev->end < vma->start || prev->prot != vma->prot, "not merged at %lx",
                  vma->start);
    }
    cr_assert_eq(mm->vma_count, count);
    cr_assert_eq(mm->total_pages, total);
    cr_assert_eq(mm->data_pages, data);
    for (unsigned int len = 1; len < 24; len += 3)
        cr_assert_eq(vma_find_gap(mm, BASE, page(PAGES), len * PAGE_SIZE, PAGE_SIZE),
                     model_gap(len), "gap of %u", len);
}

static void random_step(struct mm *mm)
{
    unsigned int first = random_below(PAGES),
                 end = first + 1 + random_below(MIN(PAGES - first, 40u));
    uint8_t prot = (uint8_t)random_below(4);

    switch (random_below(3)) {
    case 0: /* map fixed */
        remove_range(mm, page(first), page(end));
        vma_merge(mm, add(mm, first, end, prot));
        memset(model + first, prot, end - first);
        break;
    case 1: /* unmap */
        remove_range(mm, page(first), page(end));
        memset(model + first, FREE, end - first);
        break;
    default: /* protect what is there */
        vma_isolate(mm, page(first), page(end));
        for (struct vma *vma = mm_find(mm, page(first)); vma && vma->start < page(end);
             vma = mm_next(vma))
            vma_set(mm, vma, prot, vma->flags);
        vma_merge_range(mm, page(first), page(end));
        for (unsigned int i = first; i < end; i++)
            model[i] = model[i] == FREE ? FREE : prot;
    }
}

Test(vma, random_operations_match_a_page_map)
{
    struct mm mm;

    srand(1);
    setup_mm(&mm);
    memset(model, FREE, sizeof(model));
    for (int i = 0; i < 20000; i++) {
        random_step(&mm);
        compare(&mm);
    }
    teardown_mm(&mm);
}
