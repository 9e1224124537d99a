/* The checks on ELF headers and #! lines. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>

#include "hypercalls/layout.h"
#include "mm/elf.h"

#define FILE_SIZE 0x10000

static const Elf64_Ehdr good_header = {
    .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
    .e_type = ET_DYN,
    .e_machine = EM_X86_64,
    .e_entry = 0x1000,
    .e_phoff = sizeof(Elf64_Ehdr),
    .e_phentsize = sizeof(Elf64_Phdr),
    .e_phnum = 2,
};

static const Elf64_Phdr good_phdrs[2] = {
    { .p_type = PT_LOAD,
      .p_flags = PF_R | PF_X,
      .p_offset = 0,
      .p_vaddr = 0,
      .p_filesz = 0x2000,
      .p_memsz = 0x2000,
      .p_align = 0x1000 },
    { .p_type = PT_LOAD,
      .p_flags = PF_R | PF_W,
      .p_offset = 0x2800,
      .p_vaddr = 0x3800,
      .p_filesz = 0x100,
      .p_memsz = 0x5000,
      .p_align = 0x200000 },
};

static long check_header(Elf64_Ehdr h)
{
    Elf64_Ehdr out;

    return elf_check_header(&h, sizeof(h), &out);
}

static long check_phdr(Elf64_Phdr p)
{
    Elf64_Ehdr h = good_header;
    Elf64_Phdr phdrs[2] = { good_phdrs[0], p };
    struct elf_image image;

    return elf_check_phdrs(&h, phdrs, FILE_SIZE, APP_END, &image);
}

Test(elf, takes_a_good_header)
{
    Elf64_Ehdr out;

    cr_assert_eq(elf_check_header(&good_header, sizeof(good_header), &out), 0);
    cr_assert_eq(out.e_entry, 0x1000);
}

Test(elf, refuses_bad_headers)
{
    Elf64_Ehdr h, out;

    cr_assert_eq(elf_check_header(&good_header, sizeof(good_header) - 1, &out), -ENOEXEC);
    h = good_header, h.e_ident[0] = 0;
    cr_assert_eq(check_header(h), -ENOEXEC);
    h = good_header, h.e_ident[EI_CLASS] = ELFCLASS32;
    cr_assert_eq(check_header(h), -ENOEXEC);
    h = good_header, h.e_ident[EI_DATA] = ELFDATA2MSB;
    cr_assert_eq(check_header(h), -ENOEXEC);
    h = good_header, h.e_machine = EM_AARCH64;
    cr_assert_eq(check_header(h), -ENOEXEC);
    h = good_header, h.e_type = ET_REL;
    cr_assert_eq(check_header(h), -ENOEXEC);
    h = good_header, h.e_phnum = 0;
    cr_assert_eq(check_header(h), -ENOEXEC);
    h = good_header, h.e_phnum = ELF_PHDRS_MAX + 1;
    cr_assert_eq(check_header(h), -ENOEXEC);
    h = good_header, h.e_phentsize = 32;
    cr_assert_eq(check_header(h), -ENOEXEC);
}

Test(elf, sums_up_the_segments)
{
    struct elf_image image;

    cr_assert_eq(elf_check_phdrs(&good_header, good_phdrs, FILE_SIZE, APP_END, &image), 0);
    cr_assert_eq(image.min, 0);
    cr_assert_eq(image.max, 0x9000);
    cr_assert_eq(image.align, 0x200000);
    cr_assert_eq(image.phdr_addr, sizeof(Elf64_Ehdr));
    cr_assert(image.is_dynamic);
    cr_assert_not(image.exec_stack);
    cr_assert_eq(image.interp_size, 0);
    cr_assert_eq(elf_prot(&good_phdrs[0]), PROT_READ | PROT_EXEC);
    cr_assert_eq(elf_prot(&good_phdrs[1]), PROT_READ | PROT_WRITE);
}

Test(elf, refuses_bad_segments)
{
    Elf64_Phdr p;

    p = good_phdrs[1], p.p_filesz = p.p_memsz + 1;
    cr_assert_eq(check_phdr(p), -ENOEXEC);
    p = good_phdrs[1], p.p_offset = FILE_SIZE - 0x1000 + 0x800, p.p_filesz = 0x900;
    cr_assert_eq(check_phdr(p), -ENOEXEC);
    p = good_phdrs[1], p.p_offset = ~0ull - 0x7ff;
    cr_assert_eq(check_phdr(p), -ENOEXEC);
    p = good_phdrs[1], p.p_vaddr++;
    cr_assert_eq(check_phdr(p), -ENOEXEC);
    p = good_phdrs[1], p.p_memsz = ~0ull;
    cr_assert_eq(check_phdr(p), -ENOMEM);
    p = good_phdrs[1], p.p_vaddr = ~0ull - 0x7ff;
    cr_assert_eq(check_phdr(p), -ENOMEM);
    p = good_phdrs[1], p.p_memsz = APP_END;
    cr_assert_eq(check_phdr(p), -ENOMEM);
    p = good_phdrs[1], p.p_type = PT_INTERP, p.p_filesz = 1;
    cr_assert_eq(check_phdr(p), -ENOEXEC);
    p = good_phdrs[1], p.p_type = PT_INTERP, p.p_filesz = 4097;
    cr_assert_eq(check_phdr(p), -ENOEXEC);
    p = good_phdrs[1], p.p_type = PT_INTERP, p.p_offset = FILE_SIZE;
    cr_assert_eq(check_phdr(p), -ENOEXEC);
}

Test(elf, refuses_programs_without_memory)
{
    Elf64_Phdr phdrs[2] = { { .p_type = PT_NOTE },
                            { .p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W | PF_X } };
    struct elf_image image;

    cr_assert_eq(elf_check_phdrs(&good_header, phdrs, FILE_SIZE, APP_END, &image), -ENOEXEC);
}

Test(elf, notes_the_interpreter_and_the_stack)
{
    Elf64_Ehdr h = good_header;
    Elf64_Phdr phdrs[3] = {
        good_phdrs[0],
        { .p_type = PT_INTERP, .p_offset = 0x300, .p_filesz = 28 },
        { .p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W | PF_X },
    };
    struct elf_image image;

    h.e_phnum = 3;
    cr_assert_eq(elf_check_phdrs(&h, phdrs, FILE_SIZE, APP_END, &image), 0);
    cr_assert_eq(image.interp_offset, 0x300);
    cr_assert_eq(image.interp_size, 28);
    cr_assert(image.exec_stack);
}

/* --- scripts --- */

static char line[SCRIPT_LINE_MAX];
static const char *interp, *arg;

static long parse(const char *text)
{
    memset(line, 0, sizeof(line));
    memcpy(line, text, MIN(strlen(text), sizeof(line)));
    interp = arg = NULL;
    return script_parse(line, &interp, &arg);
}

Test(script, splits_name_and_argument)
{
    cr_assert_eq(parse("#!/bin/sh\nrest"), 0);
    cr_assert_str_eq(interp, "/bin/sh");
    cr_assert_null(arg);
    cr_assert_eq(parse("#! \t/usr/bin/env  python3 -u \t\nrest"), 0);
    cr_assert_str_eq(interp, "/usr/bin/env");
    cr_assert_str_eq(arg, "python3 -u");
    cr_assert_eq(parse("#!/bin/sh"), 0);
    cr_assert_str_eq(interp, "/bin/sh");
    cr_assert_null(arg);
    cr_assert_eq(parse("#!/bin/sh -e"), 0);
    cr_assert_str_eq(arg, "-e");
}

Test(script, refuses_lines_without_a_name)
{
    cr_assert_eq(parse("#!\n"), -ENOEXEC);
    cr_assert_eq(parse("#!   \t \nls"), -ENOEXEC);
    cr_assert_eq(parse("#!"), -ENOEXEC);
    cr_assert_eq(parse("echo"), -ENOEXEC);
}

Test(script, a_long_line_may_lose_its_argument_but_not_its_name)
{
    char text[400];

    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    memcpy(text, "#!/", 3);
    cr_assert_eq(parse(text), -ENOEXEC);
    text[100] = ' ';
    cr_assert_eq(parse(text), 0);
    cr_assert_eq(strlen(interp), 98);
    cr_assert_eq(strlen(arg), SCRIPT_LINE_MAX - 1 - 101);
}
