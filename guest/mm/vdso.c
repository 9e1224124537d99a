/*
 * The vDSO in each address space: the same frames everywhere, copied from the shim's image at the
 * first program's start.
 */
#include <linux/mman.h>

#include "lib/string.h"
#include "mm/exec.h"
#include "mm/frame.h"
#include "mm/pagetable.h"
#include "mm/vma.h"

#define VDSO_PAGES_MAX 4

extern const char vdso_blob[], vdso_blob_end[];

static const char vdso_name[] = "[vdso]";
static gpa_t vdso_frames[VDSO_PAGES_MAX];

static size_t vdso_size(void)
{
    return (size_t)((uintptr_t)vdso_blob_end - (uintptr_t)vdso_blob);
}

static long make_frames(size_t pages)
{
    for (size_t i = 0; i < pages && !vdso_frames[i]; i++) {
        gpa_t gpa = frame_zalloc();

        if (!gpa)
            return -ENOMEM;
        memcpy(gpa_to_ptr(gpa), vdso_blob + i * PAGE_SIZE,
               MIN(PAGE_SIZE, vdso_size() - i * PAGE_SIZE));
        vdso_frames[i] = gpa;
    }
    return 0;
}

/* Programs may change, protect or drop it like memory of their own; they then write to copies. */
long vdso_map(struct mm *mm)
{
    size_t pages = PAGE_UP(vdso_size()) >> PAGE_SHIFT;
    uint32_t prot = PROT_READ | PROT_EXEC;
    uaddr_t addr = vma_find_gap(mm, APP_BASE, mm->mmap_top, pages * PAGE_SIZE, PAGE_SIZE);
    struct vma *vma;

    if (pages > VDSO_PAGES_MAX || !addr || make_frames(pages) < 0)
        return -ENOMEM;
    vma = vma_alloc(addr, addr + pages * PAGE_SIZE, prot, VMA_SPECIAL, NULL, 0, vdso_name);
    if (!vma)
        return -ENOMEM;
    vma_insert(mm, vma);
    for (size_t i = 0; i < pages; i++) {
        uint64_t *entry = pt_make(mm, addr + i * PAGE_SIZE);

        if (!entry)
            return -ENOMEM;
        frame_get(vdso_frames[i]);
        pt_set(mm, entry, vdso_frames[i], pte_bits(prot, false));
    }
    mm->vdso = addr;
    return 0;
}
