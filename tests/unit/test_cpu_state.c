/*
 * The vCPU's first state against VT-x's checks on guest state at VM entry (Intel SDM vol. 3C, 27.3.1), which can't be tried
 * where only SVM or software KVM is at hand: an entry with these registers must not fail.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "vmm/cpu_state.h"
#include "vmm/shim_image.h"

static bool canonical(uint64_t a)
{
    return a < 1ull << 47 || a >= ~0ull << 47;
}

static struct kvm_sregs state(void)
{
    struct kvm_sregs s;

    memset(&s, 0, sizeof(s));
    cpu_state_sregs(&s, 11);
    return s;
}

Test(cpu_state, control_registers_are_consistent)
{
    struct kvm_sregs s = state();

    cr_assert(s.cr0 & 1, "PE");
    cr_assert(s.cr0 >> 31 & 1, "PG");
    cr_assert(s.cr0 >> 5 & 1, "NE is fixed to 1 in VMX operation");
    cr_assert(s.cr4 >> 5 & 1, "PAE: IA-32e mode guest");
    cr_assert_eq(s.cr4 >> 17 & 1, 0, "PCIDE only with a matching CR3");
    cr_assert_eq(s.cr4 >> 23 & 1, 0, "CET needs CR0.WP and state of its own");
    cr_assert_eq(s.cr3 >> 36, 0, "CR3 within every physical address width");
    cr_assert_eq(s.cr3 & 0xfff, 0);
}

Test(cpu_state, efer_says_long_mode)
{
    struct kvm_sregs s = state();

    cr_assert(s.efer >> 8 & 1, "LME");
    cr_assert(s.efer >> 10 & 1, "LMA equals the IA-32e mode guest control");
    cr_assert(s.efer & 1, "SCE");
    cr_assert_eq(s.efer & ~0xd01ull, 0, "reserved bits");
}

/* 27.3.1.2: CS is accessed code of the right DPL; L and D/B exclude each other. */
Test(cpu_state, code_segment)
{
    struct kvm_sregs s = state();

    cr_assert(s.cs.type == 9 || s.cs.type == 11 || s.cs.type == 13 || s.cs.type == 15);
    cr_assert(s.cs.s && s.cs.present && s.cs.l && !s.cs.db && s.cs.g);
    cr_assert_eq(s.cs.dpl, s.ss.dpl, "nonconforming: CS.DPL equals SS.DPL");
    cr_assert_eq(s.cs.limit >> 20 ? s.cs.g : 1, 1);
}

Test(cpu_state, stack_and_data_segments)
{
    struct kvm_sregs s = state();
    const struct kvm_segment *data[] = { &s.ss, &s.ds, &s.es, &s.fs, &s.gs };

    cr_assert_eq(s.ss.selector & 3, s.cs.selector & 3, "SS.RPL equals CS.RPL (not unrestricted guest)");
    cr_assert_eq(s.ss.dpl, s.ss.selector & 3, "SS.DPL equals SS.RPL");
    for (size_t i = 0; i < 5; i++) {
        cr_assert(data[i]->type == 3 || data[i]->type == 7, "accessed, writable");
        cr_assert(data[i]->s && data[i]->present && !data[i]->unusable);
        cr_assert((data[i]->limit & 0xfff) == 0xfff && data[i]->g, "limit and granularity agree");
        cr_assert_eq(data[i]->dpl, 3);
    }
}

Test(cpu_state, task_register_and_ldtr)
{
    struct kvm_sregs s = state();

    cr_assert_eq(s.tr.type, 11, "busy 64-bit TSS in IA-32e mode");
    cr_assert(!s.tr.s && s.tr.present && !s.tr.unusable);
    cr_assert_eq(s.tr.selector >> 2 & 1, 0, "TI");
    cr_assert(canonical(s.tr.base));
    cr_assert(s.tr.limit >> 20 == 0 && !s.tr.g, "limit and granularity agree");
    cr_assert(s.ldt.unusable || s.ldt.type == 2);
}

Test(cpu_state, descriptor_tables)
{
    struct kvm_sregs s = state();

    cr_assert(canonical(s.gdt.base) && canonical(s.idt.base));
    cr_assert_eq(s.gdt.limit >> 16, 0);
    cr_assert_eq(s.idt.limit >> 16, 0);
    cr_assert(s.gdt.limit >= TSS_SELECTOR + 15, "the TSS descriptor has 16 bytes");
}

Test(cpu_state, first_registers)
{
    const struct shim_header *h = shim_header();

    cr_assert(canonical(h->entry) && canonical(h->boot_stack) && canonical(h->syscall_stub) && canonical(h->upcall));
    cr_assert_eq(RING3_RFLAGS & 2, 2, "bit 1 is always 1");
    cr_assert_eq(RING3_RFLAGS & ~0x3f7fd7ull, 0, "reserved bits");
    cr_assert_eq(RING3_RFLAGS >> 17 & 1, 0, "VM");
    cr_assert_eq(RING3_RFLAGS >> 12 & 3, 0, "IOPL 0: ports only by the bitmap");
}

/* Design: every vector has an IST stack, and the ones that can nest in each other don't share one. */
Test(cpu_state, interrupt_stacks)
{
    const struct shim_header *h = shim_header();
    static const uint8_t alone[] = { 1, 3, 8, 13, 14 };

    for (unsigned v = 0; v < h->vector_count; v++) {
        cr_assert(h->ist[v] >= 1 && h->ist[v] <= 7, "vector %u has no IST", v);
        for (size_t i = 0; i < sizeof(alone); i++)
            cr_assert(v == alone[i] || h->ist[v] != h->ist[alone[i]], "vectors %u and %u share a stack", v, alone[i]);
    }
    for (unsigned i = 0; i < 7; i++)
        cr_assert_eq(h->ist_top[i] & 15, 0);
}

Test(cpu_state, restart_ranges_are_sane)
{
    const struct shim_header *h = shim_header();

    cr_assert(h->restart[0].begin >= SHIM_BASE && h->restart[0].end > h->restart[0].begin);
    cr_assert(h->restart[0].end - h->restart[0].begin < 512);
}

Test(cpu_state, backtraces_find_names)
{
    char text[128];

    shim_symbolise(shim_header()->entry + 2, text, sizeof(text));
    cr_assert_str_eq(text, "shim_start+0x2");
    shim_symbolise(0x1234, text, sizeof(text));
    cr_assert_str_eq(text, "0x1234");
}
