/*
 * Ring-3 entry and exit of the shim: system calls, exceptions, kicks, lost window pages, and the way back.
 *
 * There is one vCPU and the shim isn't interrupted, so the words between entry and stack switch are plain globals.
 * From return_restart_begin to return_restart_end everything is loaded from *cpu_frame, so that the vmm can move rip back
 * to the beginning whenever a kick falls in there: no pending flag is missed.
 */
#include "arch/regs.h"
#include "hypercalls/layout.h"

    .macro push_gprs_from_rdi          /* rdi … r15, in the order of struct regs; rax and rcx as they are */
    push %rdi
    push %rsi
    push %rdx
    push %rcx
    push %rax
    push %r8
    push %r9
    push %r10
    push %r11
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    .endm

    .macro load_gprs_but_rcx_r11       /* from the struct regs at rsp */
    mov REGS_R15(%rsp), %r15
    mov REGS_R14(%rsp), %r14
    mov REGS_R13(%rsp), %r13
    mov REGS_R12(%rsp), %r12
    mov REGS_RBP(%rsp), %rbp
    mov REGS_RBX(%rsp), %rbx
    mov REGS_R10(%rsp), %r10
    mov REGS_R9(%rsp), %r9
    mov REGS_R8(%rsp), %r8
    mov REGS_RAX(%rsp), %rax
    mov REGS_RDX(%rsp), %rdx
    mov REGS_RSI(%rsp), %rsi
    mov REGS_RDI(%rsp), %rdi
    .endm

    /*
     * Is this rip outside the direct map? (An app may have jumped to a non-canonical one, which is above it.) The direct
     * map has 2^38 bytes. Changes rax and rcx.
     */
    .macro jump_if_app rip, target
    mov \rip, %rax
    movabs $DIRECT_BASE, %rcx
    sub %rcx, %rax
    shr $38, %rax
    jnz \target
    .endm

    .section .text.hot, "ax"
    .balign 64
    .globl syscall_ring3
syscall_ring3:
    mov cpu_kstack_top(%rip), %rsp
    pushq $USER_SS
    pushq cpu_user_rsp(%rip)
    mov cpu_user_rflags(%rip), %r11    /* sysretq has changed it, and rcx */
    push %r11
    pushq $USER_CS
    mov cpu_user_rip(%rip), %rcx
    push %rcx
    pushq $0
    push %rax                          /* orig_rax */
    push_gprs_from_rdi
    mov %rsp, %rdi
    xor %ebp, %ebp                     /* backtraces end here */
    call syscall_trap
    jmp return_common

    /*
     * The same from the stub of a rewritten call site (mm/rewrite.c): rcx is the next rip, r11 is free, flags are the app's, as they
     * are, and nothing may be pushed on its stack.
     */
    .balign 64
    .globl rewritten_ring3
rewritten_ring3:
    mov %rsp, %r11
    mov cpu_kstack_top(%rip), %rsp
    pushq $USER_SS
    push %r11
    pushfq
    pushq $USER_CS
    push %rcx
    pushq $0
    push %rax                          /* orig_rax */
    mov REGS_RFLAGS - REGS_ORIG_RAX(%rsp), %r11
    push_gprs_from_rdi
    test $SYSCALL_FLAG_MASK, %r11d
    jnz rewritten_flags
rewritten_call:
    mov %rsp, %rdi
    xor %ebp, %ebp
    call syscall_entry

return_common:
    mov %rsp, cpu_frame(%rip)
    .globl return_restart_begin
return_restart_begin:
    mov cpu_frame(%rip), %rsp
    mov cpu_work(%rip), %eax
    or shared_page_abs(%rip), %eax     /* shared_page.pending */
    jnz return_slow
    mov REGS_RCX(%rsp), %rcx
    mov REGS_R11(%rsp), %r11
    cmp REGS_RIP(%rsp), %rcx
    jne 1f
    cmp REGS_RFLAGS(%rsp), %r11
    jne 1f
    test $(RFLAGS_TF | RFLAGS_RF), %r11d
    jnz 1f
    /* As after sysret: rcx is rip and r11 rflags, so they are free to be used. */
    load_gprs_but_rcx_r11
    push %r11
    popfq
    mov REGS_RSP(%rsp), %rsp
    jmp *%rcx
1:
    load_gprs_but_rcx_r11
    lea REGS_RIP(%rsp), %rsp
    iretq
    .globl return_restart_end
return_restart_end:

rewritten_flags:                       /* as `syscall` masks them */
    pushq $RING3_RFLAGS
    popfq
    jmp rewritten_call

return_slow:
    mov %rsp, %rdi
    xor %ebp, %ebp
    call return_work
    jmp return_common                  /* other threads may have run: cpu_frame is theirs */

    .globl return_to_user
return_to_user:
    mov %rdi, %rsp
    jmp return_common

    /* A kick came while the app ran: the vmm noted rip and rflags in the shared page. */
    .globl upcall
upcall:
    mov %rsp, cpu_user_rsp(%rip)
    mov cpu_kstack_top(%rip), %rsp
    pushq $USER_SS
    pushq cpu_user_rsp(%rip)
    pushq shared_page_abs + 24(%rip)   /* upcall_rflags */
    pushq $USER_CS
    pushq shared_page_abs + 16(%rip)   /* upcall_rip */
    pushq $0
    pushq $-1
    push_gprs_from_rdi
    jmp return_common

    /*
     * A window page lost its file under an access of the app or of the shim's memcpy; the vmm has put zeroes there.
     * Made to look like an exception with vector 32.
     */
    .globl window_fault
window_fault:
    mov %rsp, cpu_user_rsp(%rip)
    mov %rax, exception_rax(%rip)
    movabs $DIRECT_BASE, %rax
    cmp %rax, shared_page_abs + 32(%rip)   /* fault_rip */
    jae 1f
    mov cpu_kstack_top(%rip), %rsp
1:
    and $-16, %rsp
    mov exception_rax(%rip), %rax
    pushq $USER_SS
    pushq cpu_user_rsp(%rip)
    pushq shared_page_abs + 40(%rip)   /* fault_rflags */
    pushq $USER_CS
    pushq shared_page_abs + 32(%rip)
    pushq $0
    pushq $32
    push_gprs_from_rdi
    jmp exception_call

    /* Exceptions: rsp is on the vector's IST stack, at what the CPU pushed. */
    .irp n, 0,1,2,3,4,5,6,7,9,15,16,18,19,20,22,23,24,25,26,27,28,31
    .globl exception_\n
exception_\n:
    pushq $0
    pushq $\n
    jmp exception_common
    .endr
    .irp n, 8,10,11,12,13,17,21,29,30
    .globl exception_\n
exception_\n:
    pushq $\n
    jmp exception_common
    .endr
    .balign 16
    .globl exception_14
exception_14:
    mov exception_rax(%rip), %rax
    pushq $14

exception_common:
    push_gprs_from_rdi
    lea upcall(%rip), %rax
    cmp %rax, REGS_RIP(%rsp)
    je diverted
undiverted:
    mov cpu_kstack_top(%rip), %rdi
    jump_if_app REGS_RIP(%rsp), 2f
    mov REGS_RIP(%rsp), %rax
    /* In the shim: below its stack pointer; in the return path, whose rsp is anywhere, below the app's frame. */
    mov REGS_RSP(%rsp), %rdi
    lea return_restart_begin(%rip), %rcx
    cmp %rcx, %rax
    jb 1f
    lea return_restart_end(%rip), %rcx
    cmp %rcx, %rax
    jae 1f
    mov cpu_frame(%rip), %rdi
1:
    and $-16, %rdi
    lea -1024(%rdi), %rcx              /* room for this frame and a panic */
    cmp cpu_kstack_base(%rip), %rcx
    jb stack_overflow
    cmp cpu_kstack_top(%rip), %rdi
    ja stack_overflow
2:
    sub $REGS_SIZE, %rdi
    mov %rdi, %rdx
    mov %rsp, %rsi
    mov $(REGS_SIZE / 8), %ecx
    rep movsq
    mov %rdx, %rsp
exception_call:
    mov %rsp, %rdi
    mov exception_cr2(%rip), %rsi
    call exception_entry
    jump_if_app REGS_RIP(%rsp), return_common
    /* Back into the shim, with nothing to check. */
    load_gprs_but_rcx_r11
    mov REGS_RCX(%rsp), %rcx
    mov REGS_R11(%rsp), %r11
    lea REGS_RIP(%rsp), %rsp
    iretq

    /* It is the app's, which a kick was about to divert (stub_3): as if it hadn't. */
diverted:
    mov shared_page_abs + 16(%rip), %rax
    mov %rax, REGS_RIP(%rsp)
    mov shared_page_abs + 24(%rip), %rax
    mov %rax, REGS_RFLAGS(%rsp)
    jmp undiverted

stack_overflow:
    mov %rsp, %rdi
    lea panic_stack_top(%rip), %rsp
    xor %ebp, %ebp
    call panic_stack_overflow
    ud2

    /* void kstack_switch(uint64_t *save_rsp, uint64_t load_rsp) */
    .globl kstack_switch
kstack_switch:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

    /* uint64_t kstack_prepare(uint64_t top, void (*fn)(void *), void *arg) */
    .globl kstack_prepare
kstack_prepare:
    and $-16, %rdi
    lea kstack_first(%rip), %rax
    mov %rax, -16(%rdi)
    movq $0, -24(%rdi)                 /* rbx */
    movq $0, -32(%rdi)                 /* rbp */
    mov %rsi, -40(%rdi)                /* r12 */
    mov %rdx, -48(%rdi)                /* r13 */
    movq $0, -56(%rdi)
    movq $0, -64(%rdi)
    lea -64(%rdi), %rax
    ret
kstack_first:
    sub $8, %rsp                       /* as the ABI wants it at a call */
    mov %r13, %rdi
    call *%r12
    ud2

    /* The first instruction: on the boot stack, in ring 3. */
    .globl shim_start
shim_start:
    xor %ebp, %ebp
    call shim_main
    ud2

    .bss
    .balign 64
    .globl cpu_user_rsp, cpu_user_rip, cpu_user_rflags, cpu_kstack_top, cpu_kstack_base, cpu_work, cpu_frame
cpu_user_rsp:
    .skip 8
cpu_user_rip:
    .skip 8
cpu_user_rflags:
    .skip 8
cpu_kstack_top:
    .skip 8
cpu_kstack_base:
    .skip 8
cpu_frame:
    .skip 8
cpu_work:
    .skip 8
    .balign 16
    .globl boot_stack, boot_stack_top, panic_stack_top
boot_stack:
    .skip 16384
boot_stack_top:
    .skip 8192
panic_stack_top:
