/*
 * The trampoline: everything that runs in ring 0. Software KVM interprets it at about 1 us an instruction, and its
 * interpreter knows neither SSE nor cmpxchg16b nor swapgs, so it is as short as can be.
 *
 * An exception's frame stays on the IST stack, where the ring-3 entry (entry.S) picks it up; the stub only leaves ring 0
 * by an iretq whose frame was made at link time. IST stacks: 1 #PF, 2 #GP, 3 #BP, 4 #DB, 5 #DF, 7 NMI and #MC, 6 all
 * others, which can't nest: ring 0 and the entry code up to the copy of the frame raise none of them.
 */
#include "hypercalls/hypercall.h"

/* Does the CPU push an error code? (SDM vol. 3A, table 6-1) */
#define ERROR_VECTORS 8,10,11,12,13,14,17,21,29,30
#define PLAIN_VECTORS 0,1,2,3,4,5,6,7,9,15,16,18,19,20,22,23,24,25,26,27,28,31

    .text

    .macro iret_frame vector, ist, size
    .pushsection .data
    .balign 16
iret_frame_\vector:
    .quad exception_\vector, USER_CS, RING3_RFLAGS, ist_stacks + \ist * 1024 - \size, USER_SS
    .popsection
    .endm

    .macro stub vector, ist, size
    iret_frame \vector, \ist, \size
    .balign 8
    .globl stub_\vector
stub_\vector:
    lea iret_frame_\vector(%rip), %rsp
    iretq
    .endm

    /* vector, IST, bytes that the CPU pushed */
    stub 0, 6, 40
    stub 1, 4, 40
    stub 2, 7, 40
    stub 4, 6, 40
    stub 5, 6, 40
    stub 6, 6, 40
    stub 7, 6, 40
    stub 8, 5, 48
    stub 9, 6, 40
    stub 10, 6, 48
    stub 11, 6, 48
    stub 12, 6, 48
    stub 13, 2, 48
    stub 15, 6, 40
    stub 16, 6, 40
    stub 17, 6, 48
    stub 18, 7, 40
    stub 19, 6, 40
    stub 20, 6, 40
    stub 21, 6, 48
    stub 22, 6, 40
    stub 23, 6, 40
    stub 24, 6, 40
    stub 25, 6, 40
    stub 26, 6, 40
    stub 27, 6, 40
    stub 28, 6, 40
    stub 29, 6, 48
    stub 30, 6, 48
    stub 31, 6, 40

    /* Page fault: the address is only to be had in ring 0. */
    iret_frame 14, 1, 48
    .balign 8
    .globl stub_14
stub_14:
    mov %rax, exception_rax(%rip)
    mov %cr2, %rax
    mov %rax, exception_cr2(%rip)
    lea iret_frame_14(%rip), %rsp
    iretq

    /*
     * int3: from the shim it is the gate, from the app a breakpoint. The upper half of the saved rip tells them
     * apart: the shim's text lies within 4 GiB of DIRECT_BASE. The most frequent operation is tested first.
     *
     * A breakpoint that the app met just before a kick diverted it comes at upcall: KVM doesn't tell the vmm that it is queued.
     */
    iret_frame 3, 3, 40
    .balign 8
    .globl stub_3
stub_3:
    cmpl $(DIRECT_BASE >> 32), 4(%rsp)
    jne 1f
    cmpl $(upcall - DIRECT_BASE), (%rsp)
    je 1f
    test %eax, %eax
    jnz 2f
    mov %rdi, %cr3
    iretq
1:
    lea iret_frame_3(%rip), %rsp
    iretq
2:
    cmp $GATE_HYPERCALL, %al           /* the number is above it */
    jne 3f
    out %eax, $PORT_HYPERCALL
    iretq
3:
    cmp $GATE_INVLPG, %eax
    jne 4f
    invlpg (%rdi)
    iretq
4:
    /* GATE_DOORBELL */
    push %rdx
    mov %edi, %edx
    out %eax, %dx
    pop %rdx
    iretq

    /*
     * LSTAR. Hardware KVM lands here in ring 0, software KVM in ring 3; either way it goes on in ring 3
     * at syscall_ring3, with the app's rsp, rip and rflags noted.
     */
    .balign 64
    .globl syscall_stub
syscall_stub:
    mov %rsp, cpu_user_rsp(%rip)
    mov %rcx, cpu_user_rip(%rip)
    mov %r11, cpu_user_rflags(%rip)
    mov %cs, %ecx
    test $3, %cl
    jnz syscall_ring3
    lea syscall_ring3(%rip), %rcx
    mov $RING3_RFLAGS, %r11d
    sysretq

    .bss
    .balign 64
    .globl ist_stacks, exception_rax, exception_cr2
ist_stacks:
    .skip 8 * 1024
exception_rax:
    .skip 8
exception_cr2:
    .skip 8
