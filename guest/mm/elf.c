/* ELF headers and #! lines: checks and nothing else. See elf.h. */
#include "mm/elf.h"

#include <linux/limits.h>
#include <linux/mman.h>

#include "lib/string.h"

long elf_check_header(const void *data, size_t size, Elf64_Ehdr *ret)
{
    Elf64_Ehdr h;

    if (size < sizeof(h))
        return -ENOEXEC;
    memcpy(&h, data, sizeof(h));
    if (memcmp(h.e_ident, ELFMAG, SELFMAG) || h.e_ident[EI_CLASS] != ELFCLASS64 ||
        h.e_ident[EI_DATA] != ELFDATA2LSB)
        return -ENOEXEC;
    if ((h.e_type != ET_EXEC && h.e_type != ET_DYN) || h.e_machine != EM_X86_64)
        return -ENOEXEC;
    if (h.e_phentsize != sizeof(Elf64_Phdr) || h.e_phnum == 0 || h.e_phnum > ELF_PHDRS_MAX)
        return -ENOEXEC;
    *ret = h;
    return 0;
}

static bool in_file(uint64_t offset, uint64_t size, uint64_t file_size)
{
    return offset <= file_size && size <= file_size - offset;
}

static long check_load(const Elf64_Phdr *p, uint64_t file_size, uint64_t limit,
                       struct elf_image *image)
{
    if (p->p_filesz > p->p_memsz || !in_file(p->p_offset, p->p_filesz, file_size))
        return -ENOEXEC;
    if ((p->p_offset ^ p->p_vaddr) & (PAGE_SIZE - 1))
        return -ENOEXEC;
    if (p->p_vaddr > limit || p->p_memsz > limit - p->p_vaddr)
        return -ENOMEM;
    if (p->p_memsz == 0)
        return 0;
    image->min = MIN(image->min, PAGE_DOWN(p->p_vaddr));
    image->max = MAX(image->max, PAGE_UP(p->p_vaddr + p->p_memsz));
    if (p->p_align > image->align && (p->p_align & (p->p_align - 1)) == 0)
        image->align = MIN(p->p_align, 1ul << 30);
    return 0;
}

static long check_interp(const Elf64_Phdr *p, uint64_t file_size, struct elf_image *image)
{
    if (image->interp_size) /* the first one counts */
        return 0;
    if (p->p_filesz < 2 || p->p_filesz > PATH_MAX || !in_file(p->p_offset, p->p_filesz, file_size))
        return -ENOEXEC;
    image->interp_offset = p->p_offset;
    image->interp_size = p->p_filesz;
    return 0;
}

/* Where the program headers themselves are mapped. */
static uint64_t find_phdrs(const Elf64_Ehdr *h, const Elf64_Phdr *phdrs)
{
    for (uint16_t i = 0; i < h->e_phnum; i++) {
        const Elf64_Phdr *p = &phdrs[i];

        if (p->p_type == PT_LOAD && h->e_phoff >= p->p_offset &&
            h->e_phoff - p->p_offset < p->p_filesz)
            return h->e_phoff - p->p_offset + p->p_vaddr;
    }
    return 0;
}

long elf_check_phdrs(const Elf64_Ehdr *header, const Elf64_Phdr *phdrs, uint64_t file_size,
                     uint64_t limit, struct elf_image *ret)
{
    struct elf_image image = {
        .min = UINT64_MAX, .align = PAGE_SIZE, .phdrs = phdrs, .phdr_count = header->e_phnum
    };
    long r = 0;

    for (uint16_t i = 0; i < header->e_phnum && r == 0; i++) {
        const Elf64_Phdr *p = &phdrs[i];

        if (p->p_type == PT_LOAD)
            r = check_load(p, file_size, limit, &image);
        else if (p->p_type == PT_INTERP)
            r = check_interp(p, file_size, &image);
        else if (p->p_type == PT_GNU_STACK)
            image.exec_stack = p->p_flags & PF_X;
    }
    if (r < 0)
        return r;
    if (image.max == 0 || header->e_entry >= limit)
        return -ENOEXEC;
    image.entry = header->e_entry;
    image.phdr_addr = find_phdrs(header, phdrs);
    image.is_dynamic = header->e_type == ET_DYN;
    *ret = image;
    return 0;
}

uint32_t elf_prot(const Elf64_Phdr *phdr)
{
    uint32_t prot = 0;

    if (phdr->p_flags & PF_R)
        prot |= PROT_READ;
    if (phdr->p_flags & PF_W)
        prot |= PROT_WRITE;
    if (phdr->p_flags & PF_X)
        prot |= PROT_EXEC;
    return prot;
}

/* --- scripts --- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The first character in [from, end) that isn't blank; end if there is none. */
static char *skip_blanks(char *from, char *end)
{
    while (from < end && is_blank(*from))
        from++;
    return from;
}

/* The first blank or NUL in [from, end); end if there is none. */
static char *skip_word(char *from, char *end)
{
    while (from < end && !is_blank(*from) && *from)
        from++;
    return from;
}

long script_parse(char *line, const char **ret_interp, const char **ret_arg)
{
    char *last = line + SCRIPT_LINE_MAX - 1, *end, *name, *word_end, *arg;

    if (line[0] != '#' || line[1] != '!')
        return -ENOEXEC;
    end = memchr(line, '\n', SCRIPT_LINE_MAX);
    if (!end) {
        /* The line may be cut off, but not in the interpreter's name. */
        name = skip_blanks(line + 2, last);
        if (name == last || (skip_word(name, last) == last && *last && !is_blank(*last)))
            return -ENOEXEC;
        end = last;
    }
    while (end > line + 2 && is_blank(end[-1]))
        end--;
    name = skip_blanks(line + 2, end);
    if (name == end || *name == '\0')
        return -ENOEXEC;
    *end = '\0';
    word_end = skip_word(name, end);
    arg = *word_end ? skip_blanks(word_end, end) : end;
    *word_end = '\0';
    *ret_interp = name;
    *ret_arg = arg < end && *arg ? arg : NULL;
    return 0;
}
