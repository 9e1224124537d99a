/* ELF headers and #! lines from hostile files: the checks must hold what elf_load.c relies on. */
#include <stdlib.h>
#include <string.h>

#include "hypercalls/layout.h"
#include "mm/elf.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void try_segments(const struct elf_image *image, uint64_t file_size)
{
    check(image->min < image->max && image->max <= APP_END);
    check((image->min | image->max) % PAGE_SIZE == 0);
    check(image->align >= PAGE_SIZE && (image->align & (image->align - 1)) == 0);
    check(image->interp_size <= PATH_MAX);
    for (uint16_t i = 0; i < image->phdr_count; i++) {
        const Elf64_Phdr *p = &image->phdrs[i];

        if (p->p_type != PT_LOAD || p->p_memsz == 0)
            continue;
        check(p->p_filesz <= p->p_memsz && p->p_offset <= file_size &&
              p->p_filesz <= file_size - p->p_offset);
        check(PAGE_DOWN(p->p_vaddr) >= image->min &&
              PAGE_UP(p->p_vaddr + p->p_memsz) <= image->max);
        check(PAGE_DOWN(p->p_offset) % PAGE_SIZE == 0 &&
              (p->p_offset - p->p_vaddr) % PAGE_SIZE == 0);
        check((elf_prot(p) & ~7u) == 0);
    }
}

static void try_elf(const uint8_t *data, size_t size)
{
    struct elf_image image;
    Elf64_Ehdr header;
    Elf64_Phdr *phdrs;
    size_t phdrs_size;

    if (elf_check_header(data, size, &header) < 0)
        return;
    phdrs_size = header.e_phnum * sizeof(Elf64_Phdr);
    if (header.e_phoff > size || phdrs_size > size - header.e_phoff)
        return;
    phdrs = malloc(phdrs_size);
    memcpy(phdrs, data + header.e_phoff, phdrs_size);
    if (elf_check_phdrs(&header, phdrs, size, APP_END, &image) == 0)
        try_segments(&image, size);
    free(phdrs);
}

static void try_script(const uint8_t *data, size_t size)
{
    char *line = calloc(1, SCRIPT_LINE_MAX);
    const char *interp, *arg;

    memcpy(line, data, MIN(size, (size_t)SCRIPT_LINE_MAX));
    if (script_parse(line, &interp, &arg) == 0) {
        check(*interp && strlen(interp) < SCRIPT_LINE_MAX - 2);
        check(!strchr(interp, ' ') && !strchr(interp, '\t') && !strchr(interp, '\n'));
        check(!arg || (*arg && arg + strlen(arg) < line + SCRIPT_LINE_MAX));
    }
    free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_elf(data, size);
    try_script(data, size);
    return 0;
}
