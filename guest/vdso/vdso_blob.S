/* vdso.so inside the shim, page-aligned; vdso_map copies it into frames once. */
    .section .vdso, "a", @progbits
    .balign 4096
    .globl vdso_blob
    .globl vdso_blob_end
    .hidden vdso_blob
    .hidden vdso_blob_end
vdso_blob:
    .incbin "vdso.so"
vdso_blob_end:
    .section .note.GNU-stack, "", @progbits
