/*
 * Between the parts of exec: elf_load.c maps images, exec_stack.c makes the first stack, exec.c is
 * the order of things.
 */
#ifndef MM_EXEC_H
#define MM_EXEC_H

#include "mm/elf.h"
#include "mm/mm.h"

/* The start of a file, read at once: each read may be a request to the gofer. */
#define EXEC_HEAD_SIZE PAGE_SIZE

/* A program or its interpreter, and where it has been mapped. */
struct exec_image {
    struct elf_image elf;
    char *head;        /* kmalloc; NULL: not read yet */
    size_t head_size;  /* bytes in it; the file may be shorter than EXEC_HEAD_SIZE */
    Elf64_Phdr *phdrs; /* kmalloc */
    uint64_t bias;     /* added to its addresses */
};

/* The program being put together. */
struct exec {
    struct file *file;        /* the ELF file */
    struct file *interp_file; /* NULL: none */
    const char *filename;     /* as given: AT_EXECFN */
    struct exec_args *args;
    struct exec_image program, interp;
    struct mm *mm;
    uaddr_t sp;
};

/* Read the file's first bytes. */
long exec_read_head(struct file *file, struct exec_image *image);

/* Exactly n bytes of the file, from its head if they are there; -ENOEXEC if it ends before. */
long exec_read(struct file *file, const struct exec_image *image, void *buf, size_t n,
               uint64_t offset);

/* Check the headers of file, whose head has been read. 0, -ENOEXEC, -ENOMEM, -EIO … */
long elf_read(struct file *file, struct exec_image *image);

void exec_image_free(struct exec_image *image);

/* Map it at its bias. */
long elf_map(struct mm *mm, struct file *file, struct exec_image *image);

/* Where a program that may lie anywhere goes. */
uaddr_t elf_choose_base(const struct elf_image *elf, bool randomize);

/* Make the stack VMA and what is on it: strings, auxv, pointers; sets x->sp. -E2BIG, -ENOMEM. */
long exec_make_stack(struct exec *x, bool randomize);

/* How many bytes of strings and pointers a new program may get. */
uint64_t exec_args_limit(void);

/* A page-aligned random number of bytes below 2^bits pages; 0 if !randomize. */
uint64_t exec_random_offset(unsigned int bits, bool randomize);

/* Map the vDSO into a new address space (mm/vdso.c). */
long vdso_map(struct mm *mm);

#endif
