/*
 * The vCPU's first state: in ring 3, in 64-bit mode, at the shim's entry; tables in guest memory.
 */
#ifndef VMM_CPU_STATE_H
#define VMM_CPU_STATE_H

#include <linux/kvm.h>

#include "vmm/vm.h"

/* GDT, IDT, TSS, page tables and the shim's image into RAM. Needs vm_open() only. 0, or -1 after one line. */
int cpu_state_load_image(struct vm *vm);

/* What CPUID may be: that takes KVM 0.4 ms. Needs vm_open() only, and cpu_state_init_vcpu() needs it. 0, or -1 after one line. */
int cpu_state_ask_cpuid(struct vm *vm);

/* Special registers for ring 3 on these tables. tss_type: 11 (busy, what VT-x demands) or 9. */
void cpu_state_sregs(struct kvm_sregs *sregs, unsigned tss_type);

/* Registers, CPUID, MSRs, XCR0, TSC offset. 0, or -1 after one line. */
int cpu_state_init_vcpu(struct vm *vm);

#endif
