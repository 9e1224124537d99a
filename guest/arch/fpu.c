/* Vector state by xsave; the shim itself never uses vector registers. */
#include "arch/cpu.h"
#include "lib/kmalloc.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/frame.h"

uint32_t fpu_size;
uint64_t fpu_mask;
const void *fpu_initial;

int xrstor_checked(const void *area, uint64_t mask);

void fpu_init(void)
{
    uint32_t lo, hi, leaf[4];
    uint8_t *area;

    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    fpu_mask = (uint64_t)hi << 32 | lo;
    cpuid(0xd, 0, leaf);
    fpu_size = leaf[1]; /* for the features that XCR0 enables (SDM vol. 1, 13.2) */
    if (fpu_size < 576 || fpu_size > 3 * PAGE_SIZE)
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

void fpu_restore(const void *area)
{
    __asm__ volatile("xrstor64 (%0)" ::"r"(area), "a"((uint32_t)fpu_mask), "d"((uint32_t)(fpu_mask >> 32)) : "memory");
}

long fpu_restore_checked(const void *area)
{
    return xrstor_checked(area, fpu_mask) ? -EINVAL : 0;
}
