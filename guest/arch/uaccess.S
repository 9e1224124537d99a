/*
 * Instructions of the shim that may fault, each with a place to go on at when the fault can't be resolved. The table at the
 * end is searched by exception_entry.
 */
    .text

    .macro fixup begin, end, landing
    .pushsection .rodata.fixup, "a"
    .quad \begin, \end, \landing
    .popsection
    .endm

    /* size_t user_copy(void *dst, const void *src, size_t n): returns the number of bytes not copied */
    .globl user_copy
    .balign 32
user_copy:
    mov %rdx, %rcx
1:
    rep movsb
2:
    mov %rcx, %rax
    ret
    fixup 1b, 2b, 2b

    /* size_t user_clear(void *dst, size_t n): returns the number of bytes not cleared */
    .globl user_clear
user_clear:
    mov %rsi, %rcx
    xor %eax, %eax
1:
    rep stosb
2:
    mov %rcx, %rax
    ret
    fixup 1b, 2b, 2b

    /* int user_word_load(const uint32_t *addr, uint32_t *ret); the int is 0 or -EFAULT, in all that follow */
    .globl user_word_load
user_word_load:
1:
    mov (%rdi), %eax
2:
    mov %eax, (%rsi)
    xor %eax, %eax
    ret
    fixup 1b, 2b, user_fault

    /* int user_word_cmpxchg(uint32_t *addr, uint32_t expected, uint32_t desired, uint32_t *ret_old) */
    .globl user_word_cmpxchg
user_word_cmpxchg:
    mov %esi, %eax
1:
    lock cmpxchg %edx, (%rdi)
2:
    mov %eax, (%rcx)
    xor %eax, %eax
    ret
    fixup 1b, 2b, user_fault

    /* int user_word_xchg(uint32_t *addr, uint32_t value, uint32_t *ret_old) */
    .globl user_word_xchg
user_word_xchg:
1:
    xchg %esi, (%rdi)
2:
    mov %esi, (%rdx)
    xor %eax, %eax
    ret
    fixup 1b, 2b, user_fault

    /* int user_word_xadd(uint32_t *addr, uint32_t value, uint32_t *ret_old) */
    .globl user_word_xadd
user_word_xadd:
1:
    lock xadd %esi, (%rdi)
2:
    mov %esi, (%rdx)
    xor %eax, %eax
    ret
    fixup 1b, 2b, user_fault

user_fault:
    mov $-14, %eax                     /* -EFAULT */
    ret

    /* int xrstor_checked(const void *area, uint64_t mask): 0 or -EFAULT, if the CPU refuses the image */
    .globl xrstor_checked
xrstor_checked:
    mov %rsi, %rdx
    shr $32, %rdx
    mov %esi, %eax
1:
    xrstor64 (%rdi)
2:
    xor %eax, %eax
    ret
    fixup 1b, 2b, user_fault

    /* int port_out_checked(uint16_t port, uint32_t value): `out` from ring 3; -EFAULT if the I/O bitmap isn't honoured */
    .globl port_out_checked
port_out_checked:
    mov %edi, %edx
    mov %esi, %eax
1:
    out %eax, %dx
2:
    xor %eax, %eax
    ret
    fixup 1b, 2b, user_fault
