/* What a program finds when it starts: arguments, environment, auxiliary vector, stack, descriptors. */
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

extern char **environ;

static bool have_type(const Elf64_auxv_t *aux, unsigned long type)
{
    for (; aux->a_type != AT_NULL; aux++)
        if (aux->a_type == type)
            return true;
    return false;
}

static void check_auxv(int argc, char **argv)
{
    char **end = environ;
    while (*end)
        end++;
    const Elf64_auxv_t *aux = (const Elf64_auxv_t *)(end + 1);
    static const unsigned long wanted[] = {
        AT_PHDR,   AT_PHENT, AT_PHNUM,  AT_PAGESZ, AT_BASE,   AT_FLAGS,        AT_ENTRY,       AT_UID,
        AT_EUID,   AT_GID,   AT_EGID,   AT_HWCAP,  AT_HWCAP2, AT_CLKTCK,       AT_SECURE,      AT_RANDOM,
        AT_EXECFN, 51 /* AT_MINSIGSTKSZ */,        AT_PLATFORM, AT_SYSINFO_EHDR,
    };

    check_section("auxv");
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        if (!CHECK(have_type(aux, wanted[i])))
            printf("    type %lu\n", wanted[i]);
    CHECK_EQUAL(getauxval(AT_PAGESZ), 4096);
    CHECK_EQUAL(getauxval(AT_CLKTCK), 100);
    CHECK_EQUAL(getauxval(AT_SECURE), 0);
    CHECK_EQUAL(getauxval(AT_FLAGS), 0);
    CHECK_EQUAL(getauxval(AT_UID), getuid());
    CHECK_EQUAL(getauxval(AT_EUID), geteuid());
    CHECK_EQUAL(getauxval(AT_GID), getgid());
    CHECK_EQUAL(getauxval(AT_EGID), getegid());
    CHECK_EQUAL(getauxval(AT_PHENT), sizeof(Elf64_Phdr));
    CHECK(getauxval(51) >= 1024 && getauxval(51) < 65536);

    const unsigned char *random = (const unsigned char *)getauxval(AT_RANDOM);
    unsigned sum = 0;
    for (int i = 0; random && i < 16; i++)
        sum += random[i];
    CHECK(sum != 0);
    const char *platform = (const char *)getauxval(AT_PLATFORM);
    CHECK(platform && !strcmp(platform, "x86_64"));
    const char *execfn = (const char *)getauxval(AT_EXECFN);
    CHECK(execfn && argc > 0 && !strcmp(execfn, argv[0]));

    const Elf64_Phdr *phdr = (const Elf64_Phdr *)getauxval(AT_PHDR);
    bool has_load = false, has_interp = false;
    for (unsigned long i = 0; i < getauxval(AT_PHNUM); i++) {
        has_load |= phdr[i].p_type == PT_LOAD;
        has_interp |= phdr[i].p_type == PT_INTERP;
    }
    CHECK(has_load);
    CHECK((getauxval(AT_BASE) != 0) == has_interp);
    const Elf64_Ehdr *vdso = (const Elf64_Ehdr *)getauxval(AT_SYSINFO_EHDR);
    CHECK(vdso && !memcmp(vdso->e_ident, ELFMAG, SELFMAG) && vdso->e_type == ET_DYN &&
          vdso->e_machine == EM_X86_64);
}

static int open_fds(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        if (fcntl(fd, F_GETFD) != -1)
            count++;
    return count;
}

/* The loader maps the program as its headers say, with zeroed bss and a stack that grows. */
static char bss[3 << 20];
static char data[] = "data";

static int deep(int n)
{
    volatile char frame[4096];
    frame[0] = (char)n;
    frame[4095] = (char)n;
    return n ? deep(n - 1) + frame[0] - frame[4095] : 0;
}

int main(int argc, char **argv)
{
    check_section("arguments");
    printf("argc %d\n", argc);
    for (int i = 1; i < argc; i++)
        printf("%s\n", argv[i]);
    CHECK(argv[argc] == NULL);
    CHECK(environ == argv + argc + 1);

    check_section("environment");
    for (char **e = environ; *e; e++)
        if (!strncmp(*e, "PATH=", 5) || !strncmp(*e, "HOME=", 5) || !strncmp(*e, "TERM=", 5) ||
            !strncmp(*e, "LANG=", 5))
            puts(*e);
    check_auxv(argc, argv);

    check_section("image");
    CHECK_EQUAL(open_fds(), 3);
    size_t nonzero = 0;
    for (size_t i = 0; i < sizeof(bss); i++)
        nonzero += bss[i] != 0;
    CHECK_EQUAL(nonzero, 0);
    bss[sizeof(bss) - 1] = 1;
    data[0] = 'D';
    CHECK(!strcmp(data, "Data"));

    check_section("stack");
    uintptr_t sp;
    __asm__ volatile("mov %%rsp, %0" : "=r"(sp));
    CHECK_EQUAL((uintptr_t)&argv[0] & 7, 0);
    CHECK(sp < (uintptr_t)argv && (uintptr_t)argv - sp < 1 << 20);
    struct rlimit limit;
    CHECK_OK(getrlimit(RLIMIT_STACK, &limit));
    CHECK_EQUAL(limit.rlim_cur, 8 << 20);
    CHECK_EQUAL(deep(1700), 0); /* some 7 MiB of the 8 */

    char cwd[64];
    CHECK(getcwd(cwd, sizeof(cwd)));
    puts(cwd);
    mode_t mask = umask(0);
    printf("umask %03o\n", mask);
    return check_done();
}
