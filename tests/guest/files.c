/* Calls on files and paths, below /tmp: what they do, and the errno of what they refuse. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "check.h"

#ifndef RENAME_EXCHANGE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
#endif

static char buffer[1 << 20];

static int create(const char *path, const char *text)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    CHECK_OK(fd);
    CHECK_EQUAL(write(fd, text, strlen(text)), strlen(text));
    return fd;
}

static const char *content(const char *path)
{
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, buffer, sizeof(buffer) - 1);
    buffer[n < 0 ? 0 : n] = 0;
    close(fd);
    return buffer;
}

static off_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) ? -1 : st.st_size;
}

static void opening(void)
{
    check_section("open");
    CHECK_ERRNO(open("none", O_RDONLY), ENOENT);
    CHECK_ERRNO(open("", O_RDONLY), ENOENT);
    CHECK_ERRNO(open("none/x", O_RDONLY | O_CREAT, 0600), ENOENT);
    close(create("f", "hello"));
    CHECK_ERRNO(open("f", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
    CHECK_ERRNO(open("f/x", O_RDONLY), ENOTDIR);
    CHECK_ERRNO(open("f/", O_RDONLY), ENOTDIR);
    CHECK_ERRNO(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
    CHECK_ERRNO(open(".", O_WRONLY), EISDIR);
    CHECK_ERRNO(open(".", O_RDWR), EISDIR);
    CHECK_ERRNO(open("new/", O_RDWR | O_CREAT, 0600), EISDIR);
    memset(buffer, 'x', 300);
    buffer[300] = 0;
    CHECK_ERRNO(open(buffer, O_RDONLY | O_CREAT, 0600), ENAMETOOLONG);
    memset(buffer, '/', 5000);
    buffer[5000] = 0;
    CHECK_ERRNO(open(buffer, O_RDONLY), ENAMETOOLONG);
    memset(buffer, '/', 4000);
    strcpy(buffer + 4000, "tmp");
    int fd = open(buffer, O_RDONLY);
    CHECK_OK(fd);
    close(fd);
    fd = open("f", O_WRONLY);
    CHECK_ERRNO(read(fd, buffer, 1), EBADF);
    close(fd);
    fd = open("f", O_RDONLY);
    CHECK_ERRNO(write(fd, buffer, 1), EBADF);
    CHECK_ERRNO(ftruncate(fd, 0), EINVAL);
    close(fd);
    CHECK_ERRNO(close(fd), EBADF);
    CHECK_ERRNO(read(fd, buffer, 1), EBADF);
    CHECK_ERRNO(read(-1, buffer, 1), EBADF);
    fd = open(".", O_RDONLY);
    CHECK_ERRNO(read(fd, buffer, 1), EISDIR);
    close(fd);
    fd = open("f", O_RDWR | O_TRUNC);
    CHECK_EQUAL(lseek(fd, 0, SEEK_END), 0);
    CHECK_EQUAL(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
    close(fd);
    fd = open("f", O_PATH);
    CHECK_OK(fd);
    CHECK_ERRNO(read(fd, buffer, 1), EBADF);
    struct stat st;
    CHECK_OK(fstat(fd, &st));
    close(fd);
    CHECK_OK(symlink("f", "l"));
    CHECK_ERRNO(open("l", O_RDONLY | O_NOFOLLOW), ELOOP);
    fd = open("l", O_PATH | O_NOFOLLOW);
    CHECK_OK(fstat(fd, &st));
    CHECK(S_ISLNK(st.st_mode));
    CHECK_EQUAL(readlinkat(fd, "", buffer, 10), 1);
    close(fd);
    CHECK_OK(symlink("loop", "loop"));
    CHECK_ERRNO(open("loop", O_RDONLY), ELOOP);
    CHECK_OK(symlink("dangling-target", "dangling"));
    CHECK_ERRNO(open("dangling", O_RDONLY), ENOENT);
    CHECK_ERRNO(open("dangling", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
    fd = open("dangling", O_RDWR | O_CREAT, 0600);
    CHECK_OK(fd);
    close(fd);
    CHECK_OK(access("dangling-target", F_OK));

    umask(027);
    fd = open("masked", O_RDWR | O_CREAT, 0777);
    CHECK_OK(fstat(fd, &st));
    CHECK_EQUAL(st.st_mode & 07777, 0750);
    close(fd);
    umask(022);

    fd = open(".", O_TMPFILE | O_RDWR, 0600);
    CHECK_OK(fd);
    CHECK_EQUAL(fcntl(fd, F_GETFL) & (O_TMPFILE | O_ACCMODE), O_TMPFILE | O_RDWR);
    CHECK_EQUAL(write(fd, "tmp", 3), 3);
    CHECK_OK(fstat(fd, &st));
    CHECK_EQUAL(st.st_nlink, 0);
    snprintf(buffer, 100, "/proc/self/fd/%d", fd);
    CHECK_OK(linkat(AT_FDCWD, buffer, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
    close(fd);
    CHECK(!strcmp(content("named"), "tmp"));

    int dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fd = openat(dir, "f", O_RDONLY);
    CHECK_OK(fd);
    CHECK_EQUAL(fcntl(dir, F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(openat(fd, "x", O_RDONLY), ENOTDIR);
    CHECK_ERRNO(openat(999, "x", O_RDONLY), EBADF);
    close(fd);

    check_section("openat2");
    struct open_how how = { .flags = O_RDONLY, .resolve = RESOLVE_NO_SYMLINKS };
    CHECK_ERRNO(syscall(SYS_openat2, dir, "l", &how, sizeof(how)), ELOOP);
    how.resolve = RESOLVE_BENEATH;
    fd = (int)syscall(SYS_openat2, dir, "l", &how, sizeof(how));
    CHECK_OK(fd);
    close(fd);
    CHECK_ERRNO(syscall(SYS_openat2, dir, "../files-test/f", &how, sizeof(how)), EXDEV);
    CHECK_ERRNO(syscall(SYS_openat2, dir, "/tmp", &how, sizeof(how)), EXDEV);
    how.resolve = RESOLVE_IN_ROOT;
    fd = (int)syscall(SYS_openat2, dir, "/../../f", &how, sizeof(how));
    CHECK_OK(fd);
    close(fd);
    how.resolve = RESOLVE_NO_MAGICLINKS;
    CHECK_ERRNO(syscall(SYS_openat2, dir, "/proc/self/exe", &how, sizeof(how)), ELOOP);
    how.resolve = RESOLVE_NO_XDEV;
    CHECK_ERRNO(syscall(SYS_openat2, dir, "/proc/self", &how, sizeof(how)), EXDEV);
    how = (struct open_how){ .flags = O_RDONLY, .mode = 0600 };
    CHECK_ERRNO(syscall(SYS_openat2, dir, "f", &how, sizeof(how)), EINVAL);
    how = (struct open_how){ .flags = O_RDONLY, .resolve = 1 << 20 };
    CHECK_ERRNO(syscall(SYS_openat2, dir, "f", &how, sizeof(how)), EINVAL);
    CHECK_ERRNO(syscall(SYS_openat2, dir, "f", &how, 8), EINVAL);
    how = (struct open_how){ .flags = O_PATH | O_CREAT, .mode = 0600 };
    CHECK_ERRNO(syscall(SYS_openat2, dir, "f", &how, sizeof(how)), EINVAL);
    how = (struct open_how){ .flags = O_PATH | O_TMPFILE, .mode = 0600 };
    CHECK_ERRNO(syscall(SYS_openat2, dir, ".", &how, sizeof(how)), EINVAL);
    how = (struct open_how){ .flags = O_RDONLY | O_CREAT, .mode = 010600 };
    CHECK_ERRNO(syscall(SYS_openat2, dir, "f", &how, sizeof(how)), EINVAL);
    close(dir);
}

static void data(void)
{
    check_section("read and write");
    int fd = create("data", "0123456789");
    CHECK_EQUAL(lseek(fd, 2, SEEK_SET), 2);
    CHECK_EQUAL(read(fd, buffer, 3), 3);
    CHECK(!memcmp(buffer, "234", 3));
    CHECK_EQUAL(lseek(fd, 0, SEEK_CUR), 5);
    CHECK_EQUAL(pread(fd, buffer, 100, 8), 2);
    CHECK_EQUAL(pread(fd, buffer, 100, 100), 0);
    CHECK_EQUAL(lseek(fd, 0, SEEK_CUR), 5);
    CHECK_EQUAL(pwrite(fd, "AB", 2, 20), 2);
    CHECK_EQUAL(lseek(fd, 0, SEEK_END), 22);
    CHECK_EQUAL(pread(fd, buffer, 100, 8), 14);
    CHECK(!memcmp(buffer, "89\0\0\0\0\0\0\0\0\0\0AB", 14));
    CHECK_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
    CHECK_ERRNO(lseek(fd, -100, SEEK_CUR), EINVAL);
    CHECK_ERRNO(lseek(fd, 0, 99), EINVAL);
    CHECK_ERRNO(pread(fd, buffer, 1, -1), EINVAL);
    CHECK_EQUAL(lseek(fd, 1L << 40, SEEK_SET), 1L << 40);
    CHECK_EQUAL(read(fd, buffer, 1), 0);
    struct iovec iov[3] = { { buffer, 3 }, { buffer + 100, 0 }, { buffer + 200, 4 } };
    CHECK_EQUAL(preadv(fd, iov, 3, 0), 7);
    CHECK(!memcmp(buffer, "012", 3) && !memcmp(buffer + 200, "3456", 4));
    CHECK_EQUAL(lseek(fd, 0, SEEK_SET), 0);
    iov[0].iov_base = "xyz";
    iov[2].iov_base = "UVWX";
    CHECK_EQUAL(writev(fd, iov, 3), 7);
    CHECK_ERRNO(writev(fd, iov, -1), EINVAL);
    CHECK_ERRNO(writev(fd, iov, 2000), EINVAL);
    CHECK_EQUAL(preadv2(fd, iov + 1, 0, 0, 0), 0);
    close(fd);
    CHECK(!memcmp(content("data"), "xyzUVWX789", 10));
    fd = open("data", O_WRONLY | O_APPEND);
    CHECK_EQUAL(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQUAL(write(fd, "end", 3), 3);
    CHECK_EQUAL(lseek(fd, 0, SEEK_CUR), 25);
    CHECK_EQUAL(pwrite(fd, "!", 1, 0), 1); /* Linux appends here too */
    close(fd);
    CHECK_EQUAL(size_of("data"), 26);

    check_section("large transfers");
    fd = open("large", O_RDWR | O_CREAT, 0600);
    for (unsigned i = 0; i < sizeof(buffer); i++)
        buffer[i] = (char)(i * 7 >> 3);
    for (int i = 0; i < 24; i++)
        CHECK_EQUAL(write(fd, buffer, sizeof(buffer)), sizeof(buffer));
    int wrong = 0;
    for (int i = 0; i < 24; i++) {
        static char back[sizeof(buffer)];
        CHECK_EQUAL(pread(fd, back, sizeof(back), (off_t)i * (off_t)sizeof(back)), sizeof(back));
        wrong += memcmp(back, buffer, sizeof(back)) != 0;
    }
    CHECK_EQUAL(wrong, 0);
    CHECK_OK(fsync(fd));
    CHECK_OK(fdatasync(fd));
    CHECK_OK(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
    CHECK_OK(readahead(fd, 0, 1 << 16));
    close(fd);
    CHECK_EQUAL(size_of("large"), 24 << 20);
    CHECK_OK(unlink("large"));
}

static void sizes(void)
{
    check_section("truncate, fallocate, holes");
    int fd = create("t", "0123456789");
    CHECK_OK(ftruncate(fd, 4));
    CHECK_OK(ftruncate(fd, 8));
    CHECK_EQUAL(pread(fd, buffer, 100, 0), 8);
    CHECK(!memcmp(buffer, "0123\0\0\0\0", 8));
    CHECK_ERRNO(ftruncate(fd, -1), EINVAL);
    CHECK_OK(truncate("t", 100000));
    CHECK_EQUAL(size_of("t"), 100000);
    CHECK_ERRNO(truncate("none", 1), ENOENT);
    CHECK_ERRNO(truncate(".", 1), EISDIR);
    CHECK_OK(ftruncate(fd, 0));
    CHECK_OK(fallocate(fd, 0, 0, 1 << 16));
    CHECK_EQUAL(size_of("t"), 1 << 16);
    CHECK_OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1 << 18));
    CHECK_EQUAL(size_of("t"), 1 << 16);
    memset(buffer, 'x', 1 << 16);
    CHECK_EQUAL(pwrite(fd, buffer, 1 << 16, 0), 1 << 16);
    CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 8192));
    CHECK_EQUAL(pread(fd, buffer, 1 << 16, 0), 1 << 16);
    CHECK(buffer[4095] == 'x' && buffer[4096] == 0 && buffer[12287] == 0 && buffer[12288] == 'x');
    CHECK_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
    CHECK_ERRNO(fallocate(fd, 0, -1, 10), EINVAL);
    close(fd);

    fd = open("sparse", O_RDWR | O_CREAT, 0600);
    CHECK_EQUAL(pwrite(fd, "x", 1, 8 << 20), 1);
    CHECK_EQUAL(lseek(fd, 0, SEEK_DATA), 8 << 20);
    CHECK_EQUAL(lseek(fd, 0, SEEK_HOLE), 0);
    CHECK_EQUAL(lseek(fd, 8 << 20, SEEK_HOLE), (8 << 20) + 1);
    CHECK_ERRNO(lseek(fd, 9 << 20, SEEK_DATA), ENXIO);
    CHECK_ERRNO(lseek(fd, 9 << 20, SEEK_HOLE), ENXIO);
    struct stat st;
    CHECK_OK(fstat(fd, &st));
    CHECK(st.st_blocks * 512 < 1 << 20);
    CHECK_OK(ftruncate(fd, 1L << 40)); /* sizes are not memory */
    CHECK_EQUAL(lseek(fd, 0, SEEK_END), 1L << 40);
    close(fd);
}

static void names(void)
{
    check_section("link, symlink, readlink");
    close(create("one", "1"));
    CHECK_OK(link("one", "two"));
    struct stat a, b;
    CHECK_OK(stat("one", &a));
    CHECK_OK(stat("two", &b));
    CHECK(a.st_ino == b.st_ino && a.st_dev == b.st_dev && a.st_nlink == 2);
    CHECK_ERRNO(link("one", "two"), EEXIST);
    CHECK_ERRNO(link("none", "three"), ENOENT);
    CHECK_ERRNO(link(".", "three"), EPERM);
    CHECK_OK(symlink("one", "sym"));
    CHECK_ERRNO(symlink("x", "sym"), EEXIST);
    CHECK_ERRNO(symlink("", "empty"), ENOENT);
    CHECK_EQUAL(readlink("sym", buffer, 100), 3);
    CHECK_EQUAL(readlink("sym", buffer, 2), 2);
    CHECK_ERRNO(readlink("one", buffer, 100), EINVAL);
    CHECK_ERRNO(readlink("none", buffer, 100), ENOENT);
    CHECK_ERRNO(readlink("sym", buffer, 0), EINVAL);
    CHECK_OK(lstat("sym", &a));
    CHECK(S_ISLNK(a.st_mode) && a.st_size == 3);
    CHECK_OK(linkat(AT_FDCWD, "sym", AT_FDCWD, "symlink-link", 0));
    CHECK_OK(lstat("symlink-link", &a));
    CHECK(S_ISLNK(a.st_mode));

    check_section("unlink, and files that are open");
    int fd = create("gone", "still here");
    CHECK_OK(unlink("gone"));
    CHECK_ERRNO(open("gone", O_RDONLY), ENOENT);
    CHECK_EQUAL(pread(fd, buffer, 100, 0), 10);
    CHECK_OK(fstat(fd, &a));
    CHECK_EQUAL(a.st_nlink, 0);
    CHECK_EQUAL(pwrite(fd, "more", 4, 10), 4);
    close(create("gone", "another"));
    CHECK_EQUAL(pread(fd, buffer, 5, 0), 5);
    CHECK(!memcmp(buffer, "still", 5));
    close(fd);
    CHECK_ERRNO(unlink("none"), ENOENT);
    CHECK_ERRNO(unlink("/tmp"), EISDIR);
    CHECK_ERRNO(unlink("one/x"), ENOTDIR);

    check_section("directories");
    CHECK_OK(mkdir("d", 0755));
    CHECK_ERRNO(mkdir("d", 0755), EEXIST);
    CHECK_ERRNO(mkdir("one", 0755), EEXIST);
    CHECK_ERRNO(mkdir("none/d", 0755), ENOENT);
    CHECK_OK(mkdir("d/e/", 0700));
    CHECK_OK(stat("d", &a));
    CHECK_EQUAL(a.st_nlink, 3);
    CHECK_ERRNO(rmdir("d"), ENOTEMPTY);
    CHECK_ERRNO(rmdir("one"), ENOTDIR);
    CHECK_ERRNO(rmdir("none"), ENOENT);
    CHECK_ERRNO(rmdir("d/e/."), EINVAL);
    CHECK_ERRNO(rmdir("/"), EBUSY);
    CHECK_ERRNO(unlinkat(AT_FDCWD, "d", 0), EISDIR);
    CHECK_OK(unlinkat(AT_FDCWD, "d/e", AT_REMOVEDIR));
    int dir = open("d", O_RDONLY | O_DIRECTORY);
    CHECK_OK(rmdir("d"));
    CHECK_ERRNO(openat(dir, "x", O_RDWR | O_CREAT, 0600), ENOENT);
    CHECK_ERRNO(syscall(SYS_getdents64, dir, buffer, 1000), ENOENT);
    close(dir);

    check_section("rename");
    close(create("from", "from"));
    close(create("to", "to"));
    CHECK_OK(rename("from", "to"));
    CHECK(!strcmp(content("to"), "from"));
    CHECK_ERRNO(rename("from", "x"), ENOENT);
    CHECK_OK(mkdir("dir", 0755));
    CHECK_ERRNO(rename("to", "dir"), EISDIR);
    CHECK_ERRNO(rename("dir", "to"), ENOTDIR);
    CHECK_ERRNO(rename("dir", "dir/inside"), EINVAL);
    CHECK_OK(mkdir("full", 0755));
    close(create("full/x", ""));
    CHECK_ERRNO(rename("dir", "full"), ENOTEMPTY);
    CHECK_OK(rename("full", "dir"));
    CHECK_OK(access("dir/x", F_OK));
    CHECK_OK(rename("one", "two")); /* links of one file: nothing happens */
    CHECK_OK(access("one", F_OK));
    close(create("left", "left"));
    CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "left", AT_FDCWD, "to", RENAME_NOREPLACE), EEXIST);
    CHECK_OK(syscall(SYS_renameat2, AT_FDCWD, "left", AT_FDCWD, "to", RENAME_EXCHANGE));
    CHECK(!strcmp(content("to"), "left"));
    CHECK(!strcmp(content("left"), "from"));
    CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "left", AT_FDCWD, "none", RENAME_EXCHANGE), ENOENT);
    CHECK_OK(syscall(SYS_renameat2, AT_FDCWD, "left", AT_FDCWD, "none", RENAME_NOREPLACE));
    CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "b", 99), EINVAL);
    CHECK_ERRNO(rename("to", "/dev/shm/x"), EXDEV);

    check_section("working directory");
    CHECK_OK(mkdir("w", 0755));
    CHECK_OK(chdir("w"));
    CHECK(getcwd(buffer, 100) && !strcmp(buffer, "/tmp/files-test/w"));
    CHECK_ERRNO(getcwd(buffer, 3) ? 0 : -1, ERANGE);
    dir = open("..", O_RDONLY | O_DIRECTORY);
    CHECK_OK(rmdir("../w"));
    CHECK_ERRNO(getcwd(buffer, 100) ? 0 : -1, ENOENT);
    CHECK_ERRNO(open("x", O_RDWR | O_CREAT, 0600), ENOENT);
    CHECK_OK(fchdir(dir));
    close(dir);
    CHECK(getcwd(buffer, 100) && !strcmp(buffer, "/tmp/files-test"));
    CHECK_ERRNO(chdir("one"), ENOTDIR);
    CHECK_ERRNO(chdir("no"), ENOENT);
    CHECK_ERRNO(fchdir(0), ENOTDIR);
    CHECK_OK(chdir("/"));
    CHECK_OK(chdir("tmp/../tmp/./files-test"));
    mknod("fifo", S_IFIFO | 0600, 0);
    CHECK_OK(lstat("fifo", &a));
    CHECK(S_ISFIFO(a.st_mode));
    CHECK_ERRNO(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
}

static void copies(void)
{
    check_section("sendfile, copy_file_range, splice, tee");
    int in = create("in", "");
    for (int i = 0; i < 100000; i++)
        buffer[i] = (char)(i >> 4);
    CHECK_EQUAL(write(in, buffer, 100000), 100000);
    int out = open("out", O_RDWR | O_CREAT | O_TRUNC, 0600);
    off_t offset = 10;
    CHECK_EQUAL(sendfile(out, in, &offset, 50000), 50000);
    CHECK_EQUAL(offset, 50010);
    CHECK_EQUAL(lseek(in, 0, SEEK_SET), 0);
    CHECK_EQUAL(sendfile(out, in, NULL, 1 << 20), 100000);
    CHECK_EQUAL(sendfile(out, in, NULL, 1 << 20), 0);
    static char back[200000];
    CHECK_EQUAL(pread(out, back, sizeof(back), 0), 150000);
    CHECK(!memcmp(back, buffer + 10, 50000) && !memcmp(back + 50000, buffer, 100000));
    CHECK_ERRNO(sendfile(in, 999, NULL, 1), EBADF);

    off_t from = 100, to = 0;
    int copy = open("copy", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK_EQUAL(copy_file_range(in, &from, copy, &to, 1000, 0), 1000);
    CHECK_EQUAL(from, 1100);
    CHECK_EQUAL(to, 1000);
    CHECK_EQUAL(pread(copy, back, 2000, 0), 1000);
    CHECK(!memcmp(back, buffer + 100, 1000));
    from = 1 << 20;
    CHECK_EQUAL(copy_file_range(in, &from, copy, NULL, 1000, 0), 0);
    CHECK_ERRNO(copy_file_range(in, NULL, copy, NULL, 10, 1), EINVAL);
    from = 0, to = 10;
    CHECK_ERRNO(copy_file_range(in, &from, in, &to, 100, 0), EINVAL);

    int a[2], b[2];
    CHECK_OK(pipe(a));
    CHECK_OK(pipe(b));
    from = 0;
    CHECK_EQUAL(splice(in, &from, a[1], NULL, 5000, 0), 5000);
    CHECK_EQUAL(tee(a[0], b[1], 3000, 0), 3000);
    CHECK_EQUAL(read(b[0], back, 10000), 3000);
    CHECK(!memcmp(back, buffer, 3000));
    to = 0;
    CHECK_EQUAL(ftruncate(copy, 0), 0);
    ssize_t moved = 0, n;
    while (moved < 5000 && (n = splice(a[0], NULL, copy, &to, (size_t)(5000 - moved), 0)) > 0)
        moved += n;
    CHECK_EQUAL(moved, 5000);
    CHECK_EQUAL(pread(copy, back, 10000, 0), 5000);
    CHECK(!memcmp(back, buffer, 5000));
    CHECK_ERRNO(splice(in, NULL, copy, NULL, 10, 0), EINVAL);
    struct iovec iov = { buffer, 1000 };
    CHECK_EQUAL(vmsplice(a[1], &iov, 1, 0), 1000);
    CHECK_EQUAL(read(a[0], back, 2000), 1000);
    for (int i = 0; i < 2; i++)
        close(a[i]), close(b[i]);
    close(in), close(out), close(copy);
}

int main(void)
{
    umask(022);
    CHECK_OK(mkdir("/tmp/files-test", 0755));
    CHECK_OK(chdir("/tmp/files-test"));
    opening();
    data();
    sizes();
    names();
    copies();
    struct statfs fs;
    check_section("statfs");
    CHECK_OK(statfs("/tmp", &fs));
    CHECK(fs.f_bsize > 0 && fs.f_namelen == 255 && fs.f_blocks > 0 && fs.f_bfree <= fs.f_blocks);
    CHECK_EQUAL(fs.f_type, 0x01021994); /* tmpfs */
    CHECK_OK(statfs("/proc", &fs));
    CHECK_EQUAL(fs.f_type, 0x9fa0);
    CHECK_ERRNO(statfs("nowhere", &fs), ENOENT);
    sync();
    return check_done();
}
