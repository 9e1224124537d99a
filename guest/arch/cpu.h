/* Instructions that C can't say, the gate into ring 0, hypercalls and time. */
#ifndef ARCH_CPU_H
#define ARCH_CPU_H

#include "hypercalls/hypercall.h"
#include "lib/base.h"

extern struct guest_report report; /* counts; read by the vmm at the end */

static inline struct shared_page *shared_page(void)
{
    return (struct shared_page *)(DIRECT_BASE + GPA_SHARED);
}

static inline uint64_t gate(uint64_t op, uint64_t arg)
{
    report.gates++;
    report.gate_count[op & 3]++;
    __asm__ volatile("int3" : "+a"(op) : "D"(arg) : "memory", "cc");
    return op;
}

/* Load page tables; flushes the TLB. Costs 10 us on software KVM. */
static inline void cpu_load_cr3(gpa_t pml4)
{
    gate(GATE_LOAD_CR3, pml4);
}

static inline void cpu_invlpg(uaddr_t va)
{
    gate(GATE_INVLPG, va);
}

static inline uint64_t rdtsc(void)
{
    uint32_t lo, hi;

    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (uint64_t)hi << 32 | lo;
}

/* Before text that was written through the direct map runs (SDM vol. 3A, 8.1.3): an iretq to here. */
static inline void cpu_serialize(void)
{
    uint64_t t;

    __asm__ volatile("mov %%ss, %0\n\tpush %0\n\tpush %%rsp\n\taddq $8, (%%rsp)\n\tpushfq\n\t"
                     "mov %%cs, %0\n\tpush %0\n\tlea 1f(%%rip), %0\n\tpush %0\n\tiretq\n1:"
                     : "=&r"(t)::"memory", "cc");
}

/* Where it is known that ring 3 may. */
static inline void port_out(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port) : "memory");
}

static inline void cpu_relax(void)
{
    __asm__ volatile("pause");
}

static inline uint64_t rdfsbase(void)
{
    uint64_t v;

    __asm__ volatile("rdfsbase %0" : "=r"(v));
    return v;
}

static inline void wrfsbase(uint64_t v)
{
    __asm__ volatile("wrfsbase %0" ::"r"(v));
}

static inline uint64_t rdgsbase(void)
{
    uint64_t v;

    __asm__ volatile("rdgsbase %0" : "=r"(v));
    return v;
}

static inline void wrgsbase(uint64_t v)
{
    __asm__ volatile("wrgsbase %0" ::"r"(v));
}

static inline void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    __asm__ volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3]) : "a"(leaf), "c"(subleaf));
}

/*
 * Does a page fault cost twice, because KVM shadows the page tables? Then it interprets ring 0 as well, and the gate takes tens of
 * microseconds instead of less than one.
 */
extern bool cpu_faults_twice;

/* Make a hypercall; unused arguments are 0. Returns its result: >= 0 or -errno. */
int64_t hypercall(enum hypercall number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4);

/* Tell the other side of a port, with value, that there is work. False: ring 3 can't here (the TSS's I/O bitmap isn't honoured). */
bool doorbell(uint16_t port, uint32_t value);

/* Vector state (x87 to AVX-512, AMX): size of an area for fpu_save, from XCR0 at run time; 64-byte aligned. */
extern uint32_t fpu_size;
extern uint64_t fpu_mask; /* its components: XCR0's, as far as CPUID names them */
void fpu_init(void);
void fpu_save(void *area);          /* xsave of everything enabled */
void fpu_save_legacy(void *area);   /* fxsave: x87, MXCSR and XMM, 512 bytes, 16-byte aligned */
void fpu_restore(const void *area); /* the area must be valid: see fpu_restore_user for hostile ones */
long fpu_restore_checked(const void *area); /* -EINVAL if the CPU refuses the image (a signal frame changed by the app) */
extern const void *fpu_initial;     /* the state of a new program */

/* Nanoseconds since boot of the host (CLOCK_MONOTONIC), and since the epoch; from the TSC, no exit. */
uint64_t clock_mono_ns(void);
uint64_t clock_real_ns(void);
uint64_t clock_boot_ns(void);

/* 64 random bits from the shim's generator, seeded by the host (arch/random.c). */
void random_bytes(void *buf, size_t n);

#endif
