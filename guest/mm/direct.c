/*
 * The direct map: guest-physical memory at DIRECT_BASE in every address space. The vmm maps the
 * first RAM, the arena and the boot pages; RAM that comes later and the window are added here. All
 * address spaces share the tables below the shim's one entry of the top level, so an entry made
 * here is seen everywhere, and never-present entries need no flush.
 */
#include "mm/frame.h"
#include "mm/pagetable.h"

#define PDPT_SHIFT 30
#define PD_SHIFT 21

/* The page directory for gpa's gigabyte; NULL if it is missing and there is no memory for it. */
static uint64_t *direct_directory(gpa_t gpa)
{
    uint64_t *pml4 = gpa_to_ptr(BOOT_PML4);
    uint64_t *pdpt = gpa_to_ptr(pml4[SHIM_PML4_INDEX] & PTE_ADDR);
    uint64_t *entry = &pdpt[gpa >> PDPT_SHIFT];

    if (!(*entry & PTE_P)) {
        gpa_t table = frame_alloc_table();

        if (!table)
            return NULL;
        WRITE_ONCE(*entry, table | PTE_TABLE);
    }
    return gpa_to_ptr(*entry & PTE_ADDR);
}

long direct_map(gpa_t gpa, uint64_t len, bool writable)
{
    uint64_t bits = PTE_P | PTE_U | PTE_A | PTE_PS | PTE_NX | (writable ? PTE_W | PTE_D : 0);

    for (gpa_t at = ALIGN_DOWN(gpa, HUGE_SIZE); at < gpa + len; at += HUGE_SIZE) {
        uint64_t *directory = direct_directory(at);
        uint64_t *entry;

        if (!directory)
            return -ENOMEM;
        entry = &directory[at >> PD_SHIFT & 511];
        if (!(*entry & PTE_P))
            WRITE_ONCE(*entry, at | bits);
    }
    return 0;
}

void *window_ptr(gpa_t gpa, uint64_t len)
{
    bool writable = gpa >= GPA_WINDOW_RW_BASE;

    if (direct_map(gpa, len, writable) < 0)
        return NULL;
    return gpa_to_ptr(gpa);
}
