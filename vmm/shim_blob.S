/* The shim's image and symbol list, page-aligned. */
    .section .rodata
    .balign 4096
    .globl shim_image, shim_image_end, shim_symbols, shim_symbols_end
shim_image:
    .incbin "shim.bin"
shim_image_end:
    .byte 0
    .balign 16
shim_symbols:
    .incbin "shim.sym"
shim_symbols_end:
    .byte 0
    .section .note.GNU-stack, "", @progbits
