/* The read-ahead of the program gives hints only: whatever it meets, it returns, and leaves no descriptor open. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/prefetch.h"

static char root[] = "/tmp/prefetch-XXXXXX";

static void make_root(void)
{
    cr_assert_not_null(mkdtemp(root));
}

static void remove_root(void)
{
    static const char *const names[] = { "fifo", "elf", "interp", "link" };
    char path[64];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", root, names[i]);
        unlink(path);
    }
    rmdir(root);
}

TestSuite(prefetch, .init = make_root, .fini = remove_root);

static int open_count(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void make(const char *name, const void *data, size_t size)
{
    char path[64];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", root, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, data, size), (ssize_t)size);
    close(fd);
}

/* Is the beginning of the file in the page cache? It may be dropped from there first. */
static bool cached(const char *name, bool drop)
{
    char path[64];
    unsigned char in_core;
    void *p;
    int fd;

    snprintf(path, sizeof(path), "%s/%s", root, name);
    fd = open(path, O_RDONLY);
    fsync(fd);
    if (drop)
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    cr_assert_eq(mincore(p, 4096, &in_core), 0);
    munmap(p, 4096);
    close(fd);
    return in_core & 1;
}

static void make_elf(uint64_t phoff, uint64_t interp_offset, uint64_t interp_size)
{
    struct {
        Elf64_Ehdr eh;
        Elf64_Phdr ph;
        char interp[16];
    } image = { .interp = "/interp" };

    memcpy(image.eh.e_ident, ELFMAG, SELFMAG);
    image.eh.e_phentsize = sizeof(Elf64_Phdr);
    image.eh.e_phnum = 1;
    image.eh.e_phoff = phoff;
    image.ph = (Elf64_Phdr){ .p_type = PT_INTERP, .p_offset = interp_offset, .p_filesz = interp_size };
    make("elf", &image, sizeof(image));
}

Test(prefetch, program_and_interpreter)
{
    make_elf(sizeof(Elf64_Ehdr), sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr), 8);
    make("interp", "x", 1);
    if (cached("interp", true))
        cr_skip_test("this file system drops nothing");
    prefetch(root, "/elf");
    for (int i = 0; i < 1000 && !cached("interp", false); i++)
        usleep(1000);
    cr_assert(cached("interp", false));
}

Test(prefetch, nothing_that_breaks_it)
{
    const uint64_t bad[][3] = {
        { UINT64_MAX, 0, 8 }, { 64, UINT64_MAX, 8 }, { 64, 100, UINT64_MAX }, { 64, 0, 0 }, { 1 << 20, 0, 8 }, { 64, 136, 0 },
    };
    char path[64];
    int before = open_count();

    prefetch(root, "/nothing");
    prefetch(root, "");
    prefetch("/nonexistent", "/elf");
    prefetch(NULL, "surely-no-such-program");
    prefetch(NULL, "/");
    make("elf", "\177ELF", 4);
    prefetch(root, "/elf");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        make_elf(bad[i][0], bad[i][1], bad[i][2]);
        prefetch(root, "/elf");
    }
    snprintf(path, sizeof(path), "%s/fifo", root);
    cr_assert_eq(mkfifo(path, 0600), 0);
    prefetch(root, "/fifo");
    snprintf(path, sizeof(path), "%s/link", root);
    cr_assert_eq(symlink("link", path), 0);
    prefetch(root, "/link");
    cr_assert_eq(open_count(), before);
}
