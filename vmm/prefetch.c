/*
 * Read-ahead of the program while the VM is made. The shim reads program and interpreter through the gofer once it runs; when they aren't in the
 * page cache that is time spent waiting for a disk, which the milliseconds of VM creation can hide. Only hints come of this:
 * what is found here decides nothing.
 */
#include "vmm/prefetch.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define READ_AHEAD_MAX (16 << 20)
#define HEADER_SIZE 4096

/* A regular file below root, or -1. A root may hold anything, so what isn't a regular file is not opened but looked at. */
static int open_regular(int root, const char *path)
{
    const struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
    int look = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
    char self[40];
    struct stat st;
    int fd = -1;

    if (look < 0)
        return -1;
    snprintf(self, sizeof(self), "/proc/self/fd/%d", look);
    if (fstat(look, &st) == 0 && S_ISREG(st.st_mode))
        fd = open(self, O_RDONLY | O_CLOEXEC);
    close(look);
    return fd;
}

/* The path in PT_INTERP, if it lies in the first page, as linkers have it. */
static const char *interpreter(char *page, size_t size)
{
    Elf64_Ehdr eh;

    if (size < sizeof(eh))
        return NULL;
    memcpy(&eh, page, sizeof(eh));
    if (memcmp(eh.e_ident, ELFMAG, SELFMAG) || eh.e_phentsize != sizeof(Elf64_Phdr))
        return NULL;
    for (size_t i = 0; i < eh.e_phnum; i++) {
        Elf64_Phdr ph;

        if (eh.e_phoff > size || (i + 1) * sizeof(ph) > size - eh.e_phoff)
            return NULL;
        memcpy(&ph, page + eh.e_phoff + i * sizeof(ph), sizeof(ph));
        if (ph.p_type != PT_INTERP)
            continue;
        if (ph.p_filesz == 0 || ph.p_offset > size || ph.p_filesz > size - ph.p_offset)
            return NULL;
        page[ph.p_offset + ph.p_filesz - 1] = '\0';
        return page + ph.p_offset;
    }
    return NULL;
}

/* True if there was such a file. */
static bool prefetch_program(int root, const char *path)
{
    char page[HEADER_SIZE];
    int fd = open_regular(root, path), interp_fd = -1;
    const char *interp;
    ssize_t n;

    if (fd < 0)
        return false;
    posix_fadvise(fd, 0, READ_AHEAD_MAX, POSIX_FADV_WILLNEED);
    n = pread(fd, page, sizeof(page), 0);
    interp = n > 0 ? interpreter(page, (size_t)n) : NULL;
    if (interp)
        interp_fd = open_regular(root, interp);
    if (interp_fd >= 0) {
        posix_fadvise(interp_fd, 0, READ_AHEAD_MAX, POSIX_FADV_WILLNEED);
        close(interp_fd);
    }
    close(fd);
    return true;
}

void prefetch(const char *root_path, const char *program)
{
    static const char *const directories[] = { "/usr/local/bin", "/usr/bin", "/bin" };
    int root = open(root_path ? root_path : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    char path[PATH_MAX];

    if (root < 0)
        return;
    if (strchr(program, '/')) {
        prefetch_program(root, program);
    } else {
        for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
            snprintf(path, sizeof(path), "%s/%s", directories[i], program);
            if (prefetch_program(root, path))
                break;
        }
    }
    close(root);
}
