/*
 * The state that a boot loader and a kernel's start-up code would make, laid out directly. Holds for VT-x's checks on guest
 * state (SDM vol. 3C, 27.3.1; tests/unit/test_cpu_state.c), for SVM, and for software KVM, which wants Linux's selectors.
 */
#include "vmm/cpu_state.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "common/log.h"
#include "hypercalls/devices.h"
#include "vmm/shim_image.h"

enum {
    PTE_PRESENT = 1,
    PTE_WRITE = 2,
    PTE_USER = 4,
    PTE_ACCESSED = 0x20,
    PTE_DIRTY = 0x40,
    PTE_HUGE = 0x80,
};
#define PTE_NX (1ull << 63)
#define PTE_TABLE (PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED)

#define CR0_STATE 0x80050033u /* PG AM WP NE ET MP PE */
#define CR4_PAE (1u << 5)
#define CR4_OSFXSR (1u << 9)
#define CR4_OSXMMEXCPT (1u << 10)
#define CR4_FSGSBASE (1u << 16)
#define CR4_OSXSAVE (1u << 18)
#define EFER_STATE 0xd01u /* NXE LMA LME SCE */

#define ARENA_START_SIZE 0x28000  /* rings and the first messages */
#define SHIM_PAGES_SMALL 0x120000 /* of a host without huge pages: the image, and some for a small program */

#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_SFMASK 0xc0000084u

#define HWCAP2_FSGSBASE 2 /* asm/hwcap2.h */

#define XCR0_SUPPORTED 0xe7ull /* x87 SSE AVX, AVX-512's three; not MPX, PKU, AMX */

/* --- memory --- */

static uint64_t *table_at(struct vm *vm, uint64_t gpa)
{
    return (uint64_t *)(void *)(vm->ram + gpa);
}

struct table_pool {
    struct vm *vm;
    uint64_t next;
};

static uint64_t new_table(struct table_pool *pool)
{
    uint64_t gpa = pool->next;

    pool->next += 4096;
    return gpa <= GPA_BOOT_PT_END - 4096 ? gpa : 0;
}

/* The table that entry refers to; made if it isn't there. */
static uint64_t *descend(struct table_pool *pool, uint64_t *entry)
{
    if (!(*entry & PTE_PRESENT)) {
        uint64_t gpa = new_table(pool);

        if (!gpa)
            return NULL;
        *entry = gpa | PTE_TABLE;
    }
    return table_at(pool->vm, *entry & ~0xfffull & ~PTE_NX);
}

/* Map [gpa, gpa + size) in the direct map. pdpt belongs to the shim's PML4 slot. */
static int map_direct(struct table_pool *pool, uint64_t *pdpt, uint64_t gpa, uint64_t size, bool code)
{
    for (uint64_t end = gpa + size; gpa < end; gpa += SLOT_ALIGN) {
        uint64_t *pd = descend(pool, &pdpt[gpa >> 30]);

        if (!pd)
            return -1;
        pd[gpa >> 21 & 511] = gpa | PTE_TABLE | PTE_HUGE | PTE_WRITE | PTE_DIRTY | (code ? 0 : PTE_NX);
    }
    return 0;
}

static int make_page_tables(struct vm *vm)
{
    struct table_pool pool = { vm, GPA_BOOT_PT };
    uint64_t *pml4 = table_at(vm, new_table(&pool)), *pdpt = descend(&pool, &pml4[SHIM_PML4_INDEX]);

    if (map_direct(&pool, pdpt, 0, GPA_BOOT_PT, true) < 0 ||
        map_direct(&pool, pdpt, GPA_BOOT_PT, vm_ram_initial(vm) - GPA_BOOT_PT, false) < 0 ||
        map_direct(&pool, pdpt, GPA_ARENA_BASE, vm->arena_size, false) < 0) {
        log_error("boot page tables", "out of room");
        return -1;
    }
    return 0;
}

static void make_gdt(struct vm *vm)
{
    uint64_t *gdt = table_at(vm, GPA_GDT);

    gdt[KERNEL_CS / 8] = 0x00af9b000000ffff;
    gdt[KERNEL_SS / 8] = 0x00cf93000000ffff;
    gdt[USER_SS / 8] = 0x00cff3000000ffff;
    gdt[USER_CS / 8] = 0x00affb000000ffff;
    /* The base is the direct map's address: the top half of a 16-byte descriptor holds its upper bits. */
    gdt[TSS_SELECTOR / 8] = TSS_LIMIT | ((DIRECT_BASE + GPA_TSS) & 0xffffff) << 16 | 0x8bull << 40 |
                            ((DIRECT_BASE + GPA_TSS) >> 24 & 0xff) << 56;
    gdt[TSS_SELECTOR / 8 + 1] = (DIRECT_BASE + GPA_TSS) >> 32;
}

static void make_idt(struct vm *vm)
{
    const struct shim_header *h = shim_header();
    uint64_t *idt = table_at(vm, GPA_IDT);

    for (unsigned v = 0; v < h->vector_count; v++) {
        uint64_t a = h->stub[v], type = v == 3 ? 0xee : 0x8e; /* int3 is open to ring 3 */

        idt[v * 2] = (a & 0xffff) | (uint64_t)KERNEL_CS << 16 | (uint64_t)h->ist[v] << 32 | type << 40 |
                     (a >> 16 & 0xffff) << 48;
        idt[v * 2 + 1] = a >> 32;
    }
}

/* An `out` of 4 bytes tests 4 bits of the bitmap. */
static void open_port(uint8_t *tss, unsigned port)
{
    tss[TSS_SIZE + port / 8] &= (uint8_t)~(0xfu << port % 8);
}

static void make_tss(struct vm *vm)
{
    const struct shim_header *h = shim_header();
    uint8_t *tss = vm->ram + GPA_TSS;

    memcpy(tss + 4, &h->ist_top[6], 8); /* RSP0: unused, every gate has an IST */
    for (unsigned i = 0; i < 7; i++)
        memcpy(tss + 36 + 8 * i, &h->ist_top[i], 8);
    memcpy(tss + 102, &(uint16_t){ TSS_SIZE }, 2);
    memset(tss + TSS_SIZE, 0xff, TSS_LIMIT - TSS_SIZE + 1);
    open_port(tss, PORT_HYPERCALL);
    open_port(tss, PORT_DOORBELL);
    open_port(tss, PORT_DEVICE);
}

/*
 * Have what the shim takes at its start from the host: one huge page if there is one. Small ones come all at once: a page fault for
 * each would take longer than the copy, and software KVM maps pages along with others only if they are there. (An old kernel, without
 * MADV_POPULATE_WRITE, just faults.)
 */
static void have_start(struct vm *vm)
{
    unsigned char last = 0;

    *(volatile uint8_t *)vm->ram = 0;
    if (mincore(vm->ram + SLOT_ALIGN - 4096, 4096, &last) < 0 || !(last & 1))
        (void)madvise(vm->ram + SHIM_GPA, SHIM_PAGES_SMALL, MADV_POPULATE_WRITE);
    (void)madvise(vm->ram + GPA_BOOT_PT, GPA_TABLES_READY - GPA_BOOT_PT, MADV_POPULATE_WRITE);
    (void)madvise(vm->arena, ARENA_START_SIZE, MADV_POPULATE_WRITE);
}

int cpu_state_load_image(struct vm *vm)
{
    const struct shim_header *h = shim_header();

    if (h->magic != SHIM_MAGIC || h->abi_version != HYPERCALL_ABI_VERSION ||
        SHIM_GPA + h->memory_size > GPA_BOOT_PT) {
        log_error("shim", "the linked image is broken");
        return -1;
    }
    have_start(vm);
    memcpy(vm->ram + SHIM_GPA, shim_image, (size_t)(shim_image_end - shim_image));
    make_gdt(vm);
    make_idt(vm);
    make_tss(vm);
    return make_page_tables(vm);
}

/* --- registers --- */

void cpu_state_sregs(struct kvm_sregs *s, unsigned tss_type)
{
    s->cr0 = CR0_STATE;
    s->cr2 = 0;
    s->cr3 = GPA_BOOT_PT;
    s->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_FSGSBASE | CR4_OSXSAVE;
    s->efer = EFER_STATE;
    s->cs = (struct kvm_segment){ .limit = ~0u, .selector = USER_CS, .type = 11, .present = 1, .dpl = 3, .s = 1, .l = 1, .g = 1 };
    s->ss = (struct kvm_segment){ .limit = ~0u, .selector = USER_SS, .type = 3, .present = 1, .dpl = 3, .s = 1, .db = 1, .g = 1 };
    s->ds = s->es = s->fs = s->gs = s->ss;
    s->tr = (struct kvm_segment){
        .base = DIRECT_BASE + GPA_TSS, .limit = TSS_LIMIT, .selector = TSS_SELECTOR, .type = (uint8_t)tss_type, .present = 1
    };
    s->ldt = (struct kvm_segment){ .unusable = 1 };
    s->gdt.base = DIRECT_BASE + GPA_GDT;
    s->gdt.limit = GDT_ENTRIES * 8 - 1;
    s->idt.base = DIRECT_BASE + GPA_IDT;
    s->idt.limit = 32 * 16 - 1;
}

/* Features that the shim doesn't carry, or that belong to devices which aren't there. */
static void filter_cpuid(struct kvm_cpuid_entry2 *e)
{
    switch (e->function) {
    case 1:
        e->ecx &= ~(1u << 3 | 1u << 5 | 1u << 21 | 1u << 24 | 1u << 17); /* MONITOR VMX x2APIC TSC-deadline PCID */
        e->ebx &= 0x00ffffff;                                           /* APIC id 0 */
        break;
    case 7:
        if (e->index == 0) {
            e->ebx &= ~(1u << 14 | 1u << 2 | 1u << 7 | 1u << 20);        /* MPX SGX SMEP SMAP */
            e->ecx &= ~(1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 7 | 1u << 16 | 1u << 30); /* UMIP PKU OSPKE WAITPKG SHSTK LA57 SGX-LC */
            e->edx &= ~(1u << 5 | 1u << 20 | 1u << 22 | 1u << 24 | 1u << 25);  /* UINTR IBT AMX */
        }
        break;
    case 0xd:
        if (e->index == 0) {
            e->eax &= (uint32_t)XCR0_SUPPORTED;
            e->edx = 0;
        } else if (e->index >= 2 && (e->index > 63 || !(XCR0_SUPPORTED >> e->index & 1))) {
            e->eax = e->ebx = e->ecx = e->edx = 0;
        }
        break;
    case 0x80000001:
        e->ecx &= ~(1u << 2); /* SVM */
        break;
    default:
        break;
    }
}

#define CPUID_MAX 256
static struct {
    struct kvm_cpuid2 head;
    struct kvm_cpuid_entry2 entries[CPUID_MAX];
} cpuid_table;

int cpu_state_ask_cpuid(struct vm *vm)
{
    cpuid_table.head.nent = CPUID_MAX;
    if (ioctl(vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, &cpuid_table) < 0) {
        log_errno("KVM_GET_SUPPORTED_CPUID", errno);
        return -1;
    }
    return 0;
}

/*
 * Sets CPUID; tells what XCR0 may hold, 0 if KVM offers no XSAVE. (Software KVM tells of fewer features here than its
 * guest's ring 3 sees and has: there CPUID and XCR0 are the host's whatever is set.)
 */
static int init_cpuid(struct vm *vm, uint64_t *ret_xcr0)
{
    bool xsave = false;

    *ret_xcr0 = 0;
    for (uint32_t i = 0; i < cpuid_table.head.nent; i++) {
        struct kvm_cpuid_entry2 *e = &cpuid_table.entries[i];

        filter_cpuid(e);
        if (e->function == 1)
            xsave = e->ecx >> 26 & 1;
        if (e->function == 0xd && e->index == 0 && xsave)
            *ret_xcr0 = e->eax | 3;
    }
    if (ioctl(vm->vcpu_fd, KVM_SET_CPUID2, &cpuid_table) < 0) {
        log_errno("KVM_SET_CPUID2", errno);
        return -1;
    }
    return 0;
}

static int init_msrs(struct vm *vm)
{
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entries[3];
    } msrs = { { 3, 0 },
               { { MSR_STAR, 0, 0x23ull << 48 | (uint64_t)KERNEL_CS << 32 },
                 { MSR_LSTAR, 0, shim_header()->syscall_stub },
                 { MSR_SFMASK, 0, SYSCALL_FLAG_MASK } } };

    if (ioctl(vm->vcpu_fd, KVM_SET_MSRS, &msrs) != 3) {
        log_error("KVM_SET_MSRS", "refused");
        return -1;
    }
    return 0;
}

/* Guest TSC = host TSC, so that the clock page holds for both. Where KVM can't, vmm/clock.c finds the difference. */
static void init_tsc(struct vm *vm)
{
    uint64_t offset = 0;
    struct kvm_device_attr attr = { .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uint64_t)&offset };

    (void)ioctl(vm->vcpu_fd, KVM_SET_DEVICE_ATTR, &attr);
}

int cpu_state_init_vcpu(struct vm *vm)
{
    const struct shim_header *h = shim_header();
    struct kvm_regs regs = { .rip = h->entry, .rsp = h->boot_stack, .rflags = RING3_RFLAGS };
    struct kvm_xcrs xcrs = { .nr_xcrs = 1 };
    struct kvm_sregs sregs;
    uint64_t xcr0;

    if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE)) {
        log_error("this host", "has no FSGSBASE (processor or kernel), which vmm needs");
        return -1;
    }
    if (init_cpuid(vm, &xcr0) < 0)
        return -1;
    xcrs.xcrs[0].value = xcr0;
    if (ioctl(vm->vcpu_fd, KVM_GET_SREGS, &sregs) < 0) {
        log_errno("KVM_GET_SREGS", errno);
        return -1;
    }
    cpu_state_sregs(&sregs, 11);
    if (!xcr0)
        sregs.cr4 &= ~(uint64_t)CR4_OSXSAVE;
    if (ioctl(vm->vcpu_fd, KVM_SET_SREGS, &sregs) < 0) {
        log_errno("KVM_SET_SREGS", errno);
        return -1;
    }
    if (xcr0 && ioctl(vm->vcpu_fd, KVM_SET_XCRS, &xcrs) < 0) {
        log_errno("KVM_SET_XCRS", errno);
        return -1;
    }
    if (init_msrs(vm) < 0)
        return -1;
    init_tsc(vm);
    if (ioctl(vm->vcpu_fd, KVM_SET_REGS, &regs) < 0) {
        log_errno("KVM_SET_REGS", errno);
        return -1;
    }
    return 0;
}
