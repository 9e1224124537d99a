/*
 * Reading ELF64 headers: strict checks on hostile bytes, nothing else. Pure, built on the host too,
 * fuzzed. Sources: System V gABI chapters 4 and 5, the x86-64 psABI, Linux's fs/binfmt_elf.c for
 * what is accepted.
 */
#ifndef MM_ELF_H
#define MM_ELF_H

#include <linux/elf.h>

#include "lib/base.h"

#define ELF_PHDRS_MAX (65536 / sizeof(Elf64_Phdr))

struct elf_image {
    uint64_t entry;
    uint64_t min, max;                   /* page-aligned span of the segments' addresses */
    uint64_t align;                      /* what the load address must be a multiple of */
    uint64_t phdr_addr;                  /* address of the program headers; 0: not mapped */
    uint64_t interp_offset, interp_size; /* path in the file, with its NUL; size 0: none */
    const Elf64_Phdr *phdrs;             /* the caller's */
    uint16_t phdr_count;
    bool is_dynamic; /* ET_DYN: may be loaded anywhere */
    bool exec_stack;
};

/*
 * Is this the start of an x86-64 program? Returns 0 and where its program headers are, or -ENOEXEC.
 * size: bytes of data that are there.
 */
long elf_check_header(const void *data, size_t size, Elf64_Ehdr *ret);

/*
 * Check the program headers and sum them up. limit: end of the address space. 0, -ENOEXEC, or
 * -ENOMEM (too large).
 */
long elf_check_phdrs(const Elf64_Ehdr *header, const Elf64_Phdr *phdrs, uint64_t file_size,
                     uint64_t limit, struct elf_image *ret);

/* PF_* to PROT_*. */
uint32_t elf_prot(const Elf64_Phdr *phdr);

/*
 * The #! line at the start of a script (Linux: fs/binfmt_script.c). line holds SCRIPT_LINE_MAX
 * bytes, zero-padded; it is cut into strings. *ret_arg is NULL if there is no argument. 0, or
 * -ENOEXEC.
 */
#define SCRIPT_LINE_MAX 256
long script_parse(char *line, const char **ret_interp, const char **ret_arg);

#endif
