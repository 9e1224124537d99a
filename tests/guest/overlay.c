/*
 * The writable layer over the read-only system: for the VM only, as natively it would change the host.
 * Takes place under /usr/share, /etc and /; nothing may show up on the host.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

#define LICENSES "/usr/share/common-licenses"

static char buffer[1 << 17], original[1 << 17];

static int entries(const char *path)
{
    DIR *dir = opendir(path);
    int count = 0;
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count;
}

int main(void)
{
    struct stat before, after;
    check_section("copy-up on write");
    int reader = open(LICENSES "/BSD", O_RDONLY);
    ssize_t size = read(reader, original, sizeof(original));
    CHECK(size > 500);
    CHECK_OK(stat(LICENSES "/BSD", &before));
    char *mapped = mmap(NULL, 4096, PROT_READ, MAP_SHARED, reader, 0);
    int fd = open(LICENSES "/BSD", O_RDWR);
    CHECK_OK(fd);
    CHECK_EQUAL(pwrite(fd, "CHANGED", 7, 3), 7);
    memcpy(original + 3, "CHANGED", 7);
    CHECK_EQUAL(pread(fd, buffer, sizeof(buffer), 0), size);
    CHECK(!memcmp(buffer, original, (size_t)size));
    CHECK_OK(stat(LICENSES "/BSD", &after));
    CHECK(after.st_size == before.st_size && after.st_mode == before.st_mode);
    CHECK_EQUAL(write(open(LICENSES "/BSD", O_WRONLY | O_APPEND), "more", 4), 4);
    CHECK_OK(stat(LICENSES "/BSD", &after));
    CHECK_EQUAL(after.st_size, before.st_size + 4);
    (void)*(volatile char *)mapped;
    close(fd);

    check_section("truncation and attributes");
    fd = open(LICENSES "/GPL-2", O_WRONLY | O_TRUNC);
    CHECK_OK(fd);
    CHECK_EQUAL(write(fd, "short", 5), 5);
    close(fd);
    CHECK_OK(stat(LICENSES "/GPL-2", &after));
    CHECK_EQUAL(after.st_size, 5);
    CHECK_OK(chmod(LICENSES "/GPL-1", 0600));
    CHECK_OK(stat(LICENSES "/GPL-1", &after));
    CHECK_EQUAL(after.st_mode & 07777, 0600);
    CHECK(after.st_size > 1000);

    check_section("new, removed and renamed entries");
    int count = entries(LICENSES);
    CHECK_OK(mkdir(LICENSES "/new", 0755));
    fd = open(LICENSES "/new/file", O_RDWR | O_CREAT | O_EXCL, 0644);
    CHECK_OK(fd);
    close(fd);
    CHECK_EQUAL(entries(LICENSES), count + 1);
    CHECK_OK(unlink(LICENSES "/Artistic"));
    CHECK_ERRNO(access(LICENSES "/Artistic", F_OK), ENOENT);
    CHECK_EQUAL(entries(LICENSES), count);
    CHECK_OK(rename(LICENSES "/MPL-1.1", LICENSES "/renamed"));
    CHECK_ERRNO(access(LICENSES "/MPL-1.1", F_OK), ENOENT);
    CHECK_OK(access(LICENSES "/renamed", R_OK));
    CHECK_EQUAL(entries(LICENSES), count);
    fd = open(LICENSES "/Artistic", O_RDWR | O_CREAT | O_EXCL, 0644);
    CHECK_OK(fd);
    CHECK_EQUAL(read(fd, buffer, 100), 0); /* not the old contents */
    close(fd);
    CHECK_ERRNO(rmdir("/usr/share/common-licenses"), ENOTEMPTY);
    CHECK_OK(symlink("/nowhere", "/usr/bin/dangling"));
    CHECK_OK(link(LICENSES "/GPL-3", LICENSES "/linked"));
    CHECK_OK(unlink(LICENSES "/GPL-3"));
    CHECK_OK(stat(LICENSES "/linked", &after));
    CHECK(after.st_size > 1000);

    check_section("a directory removed with its lower entries");
    DIR *dir = opendir(LICENSES);
    struct dirent *entry;
    char path[512];
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.') {
            snprintf(path, sizeof(path), LICENSES "/%s", entry->d_name);
            if (entry->d_type == DT_DIR) {
                CHECK_OK(unlink(LICENSES "/new/file"));
                CHECK_OK(rmdir(path));
            } else {
                CHECK_OK(unlink(path));
            }
        }
    closedir(dir);
    CHECK_EQUAL(entries(LICENSES), 2);
    CHECK_OK(rmdir(LICENSES));
    CHECK_ERRNO(access(LICENSES, F_OK), ENOENT);
    CHECK_OK(mkdir(LICENSES, 0755));
    CHECK_EQUAL(entries(LICENSES), 2); /* empty: the lower one does not shine through */

    check_section("top of the tree");
    fd = open("/etc/new-file", O_RDWR | O_CREAT, 0644);
    CHECK_OK(fd);
    close(fd);
    CHECK_OK(mkdir("/new-directory", 0755));
    CHECK_OK(rename("/etc/new-file", "/etc/renamed-file")); /* /etc may be a mount of its own */
    CHECK_OK(access("/etc/renamed-file", F_OK));
    fd = open("/etc/passwd", O_WRONLY | O_APPEND);
    CHECK_OK(fd);
    CHECK_EQUAL(write(fd, "x:x:5:5::/:/bin/sh\n", 19), 19);
    close(fd);

    /* running the changed copy of a program's file is another test; here its first bytes */
    fd = open("/usr/bin/env", O_RDWR);
    CHECK_OK(fd);
    mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(mapped != MAP_FAILED);
    if (mapped != MAP_FAILED) {
        mapped[1] = 'X';
        CHECK_EQUAL(pread(fd, buffer, 4, 0), 4);
        CHECK(buffer[0] == 0x7f && buffer[1] == 'X' && buffer[2] == 'L');
    }
    printf("%d failed\n", check_failures); /* how many were made depends on the host's files */
    return check_failures ? 1 : 0;
}
