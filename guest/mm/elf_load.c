/* Mapping the segments of a checked ELF file into an address space that isn't loaded yet. */
#include <linux/mman.h>

#include "fs/file.h"
#include "hypercalls/layout.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "mm/exec.h"

/* Uninitialised data up to this size is brought in at once: it saves small programs a fault. */
#define BSS_POPULATE_MAX 0x10000ul

#define TEXT_KEEP_MAX 0x400000ul

#define DYN_BASE (APP_END / 3 * 2)
#define DYN_RANDOM_BITS 28

long exec_read_head(struct file *file, struct exec_image *image)
{
    ssize_t r;

    if (!image->head)
        image->head = kmalloc(EXEC_HEAD_SIZE);
    if (!image->head)
        return -ENOMEM;
    memset(image->head, 0, SCRIPT_LINE_MAX);
    r = file_pread(file, image->head, EXEC_HEAD_SIZE, 0);
    if (r < 0)
        return r;
    image->head_size = (size_t)r;
    return 0;
}

long exec_read(struct file *file, const struct exec_image *image, void *buf, size_t n,
               uint64_t offset)
{
    ssize_t r;

    if (offset <= image->head_size && n <= image->head_size - offset) {
        memcpy(buf, image->head + offset, n);
        return 0;
    }
    r = file_pread(file, buf, n, offset);
    if (r < 0)
        return r;
    return (size_t)r == n ? 0 : -ENOEXEC;
}

long elf_read(struct file *file, struct exec_image *image)
{
    Elf64_Ehdr header;
    size_t size;
    long r;

    r = elf_check_header(image->head, image->head_size, &header);
    if (r < 0)
        return r;
    size = header.e_phnum * sizeof(Elf64_Phdr);
    image->phdrs = kmalloc(size);
    if (!image->phdrs)
        return -ENOMEM;
    r = exec_read(file, image, image->phdrs, size, header.e_phoff);
    return r < 0 ? r
                 : elf_check_phdrs(&header, image->phdrs, file_size(file), APP_END, &image->elf);
}

void exec_image_free(struct exec_image *image)
{
    kfree(image->head);
    kfree(image->phdrs);
}

uaddr_t elf_choose_base(const struct elf_image *elf, bool randomize)
{
    /* Large ones such that 2 MiB of the file can be one page-table entry. */
    uint64_t align = elf->max - elf->min >= 2 * HUGE_SIZE ? MAX(elf->align, HUGE_SIZE) : elf->align;

    return ALIGN_DOWN(DYN_BASE + exec_random_offset(DYN_RANDOM_BITS, randomize), align);
}

/* The rest of the last file page, which belongs to the uninitialised data. */
static long zero_tail(struct mm *mm, uaddr_t from)
{
    static const char zeroes[512];

    while (from & (PAGE_SIZE - 1)) {
        size_t part = MIN(PAGE_SIZE - (from & (PAGE_SIZE - 1)), sizeof(zeroes));
        long r = mm_write(mm, from, zeroes, part, false);

        if (r < 0)
            return r;
        from += part;
    }
    return 0;
}

static long map_bss(struct mm *mm, uaddr_t start, uaddr_t end, uint32_t prot)
{
    long r = mm_mmap(mm, start, end - start, (int)prot, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS,
                     NULL, 0);

    if (r < 0)
        return r;
    if (end - start <= BSS_POPULATE_MAX)
        mm_populate(mm, start, end - start, true);
    return 0;
}

static long map_segment(struct mm *mm, struct file *file, const Elf64_Phdr *p, uint64_t bias)
{
    uaddr_t start = PAGE_DOWN(p->p_vaddr) + bias, file_end = p->p_vaddr + p->p_filesz + bias;
    uaddr_t end = PAGE_UP(p->p_vaddr + p->p_memsz + bias), mapped = PAGE_UP(file_end);
    uint32_t prot = elf_prot(p);
    long r;

    if (p->p_filesz == 0)
        mapped = start;
    if (mapped > start) {
        r = mm_mmap(mm, start, mapped - start, (int)prot, MAP_PRIVATE | MAP_FIXED, file,
                    PAGE_DOWN(p->p_offset));
        if (r < 0)
            return r;
        /*
         * One page brings its neighbours along. A page that can't be had is the program's to meet.
         */
        mm_populate(mm, start, PAGE_SIZE, false);
        if (p->p_memsz > p->p_filesz && (prot & PROT_WRITE) && zero_tail(mm, file_end) < 0)
            return -ENOEXEC;
    }
    return end > mapped ? map_bss(mm, mapped, end, prot) : 0;
}

/* Much of the text of a program is run, much less of a library's. */
static void keep_text(struct file *file, const Elf64_Phdr *p)
{
    uint64_t start = PAGE_DOWN(p->p_offset);

    if ((p->p_flags & PF_X) && file->ops->keep && p->p_filesz <= TEXT_KEEP_MAX)
        file->ops->keep(file, start, p->p_offset + p->p_filesz - start);
}

/* What /proc tells of code and data (Linux: load_elf_binary). */
static void note_bounds(struct mm *mm, const Elf64_Phdr *p, uint64_t bias)
{
    uaddr_t start = p->p_vaddr + bias, end = start + p->p_filesz;

    if ((p->p_flags & PF_X) && (!mm->code_start || start < mm->code_start))
        mm->code_start = start;
    if ((p->p_flags & PF_X) && end > mm->code_end)
        mm->code_end = end;
    if (start > mm->data_start)
        mm->data_start = start;
    if (end > mm->data_end)
        mm->data_end = end;
}

long elf_map(struct mm *mm, struct file *file, struct exec_image *image)
{
    const struct elf_image *elf = &image->elf;
    bool is_program = !mm->exe;

    if (elf->min + image->bias < APP_BASE || elf->max + image->bias > APP_END)
        return -ENOMEM;
    for (uint16_t i = 0; i < elf->phdr_count; i++) {
        const Elf64_Phdr *p = &image->phdrs[i];
        long r;

        if (p->p_type != PT_LOAD || p->p_memsz == 0)
            continue;
        if (is_program)
            keep_text(file, p);
        r = map_segment(mm, file, p, image->bias);
        if (r < 0)
            return r;
        if (is_program)
            note_bounds(mm, p, image->bias);
    }
    return 0;
}
