/* Vector state by xsave; the shim itself never uses vector registers. */
#include "arch/cpu.h"
#include "lib/kmalloc.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/frame.h"

#define XSAVE_LEGACY_SIZE 512u
#define XSAVE_HEADER_SIZE 64u
#define XSAVE_SIZE_MAX (3 * PAGE_SIZE)

uint32_t fpu_size;
uint64_t fpu_mask;
const void *fpu_initial;

int xrstor_checked(const void *area, uint64_t mask);

/*
 * The standard-format size of the components in mask (SDM vol. 1, 13.4.3). Not leaf 0xd's ebx: software KVM computes that from an
 * XCR0 of its own, while xsave obeys the host's.
 */
static uint32_t xsave_size(uint64_t mask)
{
    uint32_t size = XSAVE_LEGACY_SIZE + XSAVE_HEADER_SIZE, leaf[4];

    for (uint32_t i = 2; i < 63; i++) {
        if (!(mask >> i & 1))
            continue;
        cpuid(0xd, i, leaf);
        if (leaf[1] <= XSAVE_SIZE_MAX && leaf[0] <= XSAVE_SIZE_MAX && leaf[1] + leaf[0] > size)
            size = leaf[1] + leaf[0];
    }
    return size;
}

void fpu_init(void)
{
    uint32_t lo, hi, leaf[4];
    uint8_t *area;

    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    cpuid(0xd, 0, leaf);
    /* What CPUID doesn't name is nobody's state, even where the host has it enabled (AMX on software KVM). */
    fpu_mask = ((uint64_t)hi << 32 | lo) & ((uint64_t)leaf[3] << 32 | leaf[0]);
    fpu_size = xsave_size(fpu_mask);
    if (fpu_size > XSAVE_SIZE_MAX)
        panic("xsave area of %u bytes", fpu_size);
    area = pages_alloc((fpu_size + PAGE_SIZE - 1) / PAGE_SIZE);
    if (!area)
        panic("no memory for the vector state");
    memset(area, 0, fpu_size);
    /* XSTATE_BV 0: xrstor sets every component to its initial state; FCW and MXCSR as after a reset. */
    area[0] = 0x7f;
    area[1] = 0x03;
    area[24] = 0x80;
    area[25] = 0x1f;
    fpu_initial = area;
}

void fpu_save(void *area)
{
    __asm__ volatile("xsave64 (%0)" ::"r"(area), "a"((uint32_t)fpu_mask), "d"((uint32_t)(fpu_mask >> 32)) : "memory");
}

void fpu_save_legacy(void *area)
{
    __asm__ volatile("fxsave64 (%0)" ::"r"(area) : "memory");
}

void fpu_restore(const void *area)
{
    __asm__ volatile("xrstor64 (%0)" ::"r"(area), "a"((uint32_t)fpu_mask), "d"((uint32_t)(fpu_mask >> 32)) : "memory");
}

long fpu_restore_checked(const void *area)
{
    return xrstor_checked(area, fpu_mask) ? -EINVAL : 0;
}
