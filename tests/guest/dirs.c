/* Directory listings: 100,000 entries come out once each; removal and additions while reading; d_type. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"

enum { COUNT = 100000 };

static unsigned char seen[COUNT];

static int list(DIR *dir, int *ret_others)
{
    int count = 0;
    struct dirent *entry;
    *ret_others = 0;
    memset(seen, 0, sizeof(seen));
    while ((entry = readdir(dir))) {
        int n;
        if (sscanf(entry->d_name, "entry-with-a-name-%d", &n) == 1 && n >= 0 && n < COUNT) {
            count += !seen[n];
            seen[n]++;
            if (entry->d_type != DT_REG && entry->d_type != DT_UNKNOWN)
                *ret_others += 1000000;
        } else {
            *ret_others += 1;
        }
    }
    for (int i = 0; i < COUNT; i++)
        if (seen[i] > 1)
            *ret_others += 1000;
    return count;
}

int main(void)
{
    check_section("creation");
    CHECK_OK(mkdir("/tmp/many", 0755));
    CHECK_OK(chdir("/tmp/many"));
    int failed = 0;
    for (int i = 0; i < COUNT; i++) {
        char name[40];
        snprintf(name, sizeof(name), "entry-with-a-name-%d", i);
        int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);
        failed += fd < 0;
        close(fd);
    }
    CHECK_EQUAL(failed, 0);

    check_section("listing");
    DIR *dir = opendir(".");
    int others;
    CHECK_EQUAL(list(dir, &others), COUNT);
    CHECK_EQUAL(others, 2); /* . and .. */
    rewinddir(dir);
    CHECK_EQUAL(list(dir, &others), COUNT);
    CHECK_EQUAL(others, 2);

    check_section("positions");
    rewinddir(dir);
    for (int i = 0; i < 5000; i++)
        readdir(dir);
    long position = telldir(dir);
    struct dirent *entry = readdir(dir);
    char name[256];
    strcpy(name, entry->d_name);
    for (int i = 0; i < 5000; i++)
        readdir(dir);
    seekdir(dir, position);
    entry = readdir(dir);
    CHECK(entry && !strcmp(entry->d_name, name));
    closedir(dir);

    check_section("small buffers");
    int fd = open(".", O_RDONLY | O_DIRECTORY);
    char buffer[64];
    CHECK_ERRNO(syscall(SYS_getdents64, fd, buffer, 10), EINVAL);
    int calls = 0;
    while (calls < 100 && syscall(SYS_getdents64, fd, buffer, sizeof(buffer)) > 0)
        calls++;
    CHECK_EQUAL(calls, 100);
    close(fd);

    check_section("removal while reading");
    dir = opendir(".");
    int removed = 0;
    while ((entry = readdir(dir)))
        if (entry->d_name[0] == 'e') {
            failed += unlink(entry->d_name) != 0;
            removed++;
        }
    CHECK_EQUAL(removed, COUNT);
    CHECK_EQUAL(failed, 0);
    rewinddir(dir);
    CHECK_EQUAL(list(dir, &others), 0);
    CHECK_EQUAL(others, 2);
    closedir(dir);
    CHECK_OK(rmdir("/tmp/many"));

    check_section("types");
    CHECK_OK(mkdir("/tmp/types", 0755));
    CHECK_OK(chdir("/tmp/types"));
    CHECK_OK(mkdir("directory", 0755));
    CHECK_OK(symlink("x", "link"));
    close(open("regular", O_WRONLY | O_CREAT, 0600));
    CHECK_OK(mknod("fifo", S_IFIFO | 0600, 0));
    dir = opendir(".");
    while ((entry = readdir(dir))) {
        struct stat st;
        CHECK_OK(lstat(entry->d_name, &st));
        CHECK(entry->d_type == IFTODT(st.st_mode));
        if (strcmp(entry->d_name, ".."))
            CHECK_EQUAL(entry->d_ino, st.st_ino);
    }
    closedir(dir);
    /* a directory of the read-only system */
    dir = opendir("/usr/bin");
    int env = 0, count = 0;
    while ((entry = readdir(dir))) {
        env += !strcmp(entry->d_name, "env");
        count++;
    }
    CHECK_EQUAL(env, 1);
    CHECK(count > 20);
    closedir(dir);
    return check_done();
}
