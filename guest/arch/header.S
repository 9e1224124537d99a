/* The header at the start of the image (struct shim_header): all that the vmm needs to know of the shim. */
#include "hypercalls/hypercall.h"

    .section .header, "a"
    .balign 16
    .quad 0x6d696873766d6d31          /* SHIM_MAGIC */
    .long HYPERCALL_ABI_VERSION
    .long 32
    .quad shim_image_end - SHIM_BASE
    .quad shim_memory_end - SHIM_BASE
    .quad shim_start
    .quad boot_stack_top
    .quad syscall_stub
    .quad upcall
    .quad window_fault
    .irp n, 1,2,3,4,5,6,7
    .quad ist_stacks + \n * 1024
    .endr
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    .quad stub_\n
    .endr
    /* IST of each vector; see stubs.S */
    .byte 6,4,7,3,6,6,6,6, 5,6,6,6,6,2,1,6, 6,6,7,6,6,6,6,6, 6,6,6,6,6,6,6,6
    .quad return_restart_begin, return_restart_end
    .quad 0, 0
    .quad 0, 0
    .quad 0, 0
