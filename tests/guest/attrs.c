/* Attributes: stat and statx, modes, owners, times, access, extended attributes. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

int main(void)
{
    struct stat st;
    struct statx sx;
    umask(022);
    CHECK_OK(mkdir("/tmp/attrs", 0755));
    CHECK_OK(chdir("/tmp/attrs"));
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    CHECK_EQUAL(write(fd, "0123456789", 10), 10);

    check_section("stat");
    CHECK_OK(stat("f", &st));
    CHECK(S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0644 && st.st_size == 10 && st.st_nlink == 1);
    CHECK_EQUAL(st.st_uid, geteuid());
    CHECK_EQUAL(st.st_gid, getegid());
    CHECK(st.st_ino != 0 && st.st_blksize >= 512);
    CHECK(st.st_mtime > time(NULL) - 100 && st.st_mtime <= time(NULL) + 1);
    CHECK_OK(fstatat(fd, "", &st, AT_EMPTY_PATH));
    CHECK_EQUAL(st.st_size, 10);
    CHECK_OK(syscall(SYS_statx, AT_FDCWD, "f", 0, STATX_BASIC_STATS | STATX_BTIME, &sx));
    CHECK((sx.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
    CHECK(sx.stx_size == 10 && sx.stx_ino == st.st_ino && sx.stx_mode == st.st_mode);
    CHECK_EQUAL(makedev(sx.stx_dev_major, sx.stx_dev_minor), st.st_dev);
    CHECK_EQUAL(sx.stx_mtime.tv_nsec, st.st_mtim.tv_nsec);
    CHECK_OK(syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_SIZE, &sx));
    CHECK_ERRNO(syscall(SYS_statx, AT_FDCWD, "none", 0, STATX_SIZE, &sx), ENOENT);
    CHECK_ERRNO(syscall(SYS_statx, AT_FDCWD, "f", 0x80000, STATX_SIZE, &sx), EINVAL);
    CHECK_ERRNO(fstatat(AT_FDCWD, "", &st, 0), ENOENT);
    CHECK_OK(stat("/dev/null", &st));
    CHECK(S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3) && (st.st_mode & 0777) == 0666);
    CHECK_OK(stat("/usr/bin/env", &st));
    CHECK((st.st_mode & 07777) == 0755 && st.st_size > 10000);
    CHECK_OK(lstat("/proc/self/exe", &st));
    CHECK(S_ISLNK(st.st_mode));
    CHECK_OK(fstat(0, &st));

    check_section("modes");
    CHECK_OK(chmod("f", 04711));
    CHECK_OK(stat("f", &st));
    CHECK_EQUAL(st.st_mode & 07777, 04711);
    CHECK_OK(fchmod(fd, 0600));
    CHECK_OK(fchmodat(AT_FDCWD, "f", 0640, 0));
    CHECK_OK(fstat(fd, &st));
    CHECK_EQUAL(st.st_mode & 07777, 0640);
    CHECK_ERRNO(chmod("none", 0), ENOENT);
    CHECK_OK(symlink("f", "l"));
    CHECK_OK(chmod("l", 0644));
    CHECK_OK(lstat("l", &st));
    CHECK_EQUAL(st.st_mode & 07777, 0777);
    CHECK_OK(mkdir("sticky", 01777));
    CHECK_OK(stat("sticky", &st));
    CHECK_EQUAL(st.st_mode & 07777, 01755);

    check_section("owners");
    CHECK_OK(chown("f", -1, -1));
    CHECK_OK(fchown(fd, getuid(), getgid()));
    CHECK_OK(lchown("l", getuid(), getgid()));
    CHECK_OK(fchownat(AT_FDCWD, "f", getuid(), getgid(), AT_SYMLINK_NOFOLLOW));
    CHECK_ERRNO(chown("none", 0, 0), ENOENT);
    if (getuid() == 0) {
        CHECK_OK(chmod("f", 06777));
        CHECK_OK(chown("f", 12, 34));
        CHECK_OK(stat("f", &st));
        CHECK(st.st_uid == 12 && st.st_gid == 34);
        CHECK_EQUAL(st.st_mode & 07777, 0777); /* set-id bits are cleared */
        CHECK_OK(chown("f", 0, 0));
        CHECK_OK(chmod("f", 0644));
    }

    check_section("times");
    struct timespec times[2] = { { 1000, 123456789 }, { 2000, 987654321 } };
    CHECK_OK(utimensat(AT_FDCWD, "f", times, 0));
    CHECK_OK(stat("f", &st));
    CHECK(st.st_atim.tv_sec == 1000 && st.st_atim.tv_nsec == 123456789);
    CHECK(st.st_mtim.tv_sec == 2000 && st.st_mtim.tv_nsec == 987654321);
    times[0].tv_nsec = UTIME_OMIT;
    times[1].tv_nsec = UTIME_NOW;
    CHECK_OK(futimens(fd, times));
    CHECK_OK(stat("f", &st));
    CHECK(st.st_atime == 1000 && st.st_mtime > 1700000000);
    CHECK_OK(utimensat(AT_FDCWD, "f", NULL, 0));
    CHECK_OK(stat("f", &st));
    CHECK(st.st_atime > 1700000000);
    times[0] = (struct timespec){ 5, 2000000000 };
    CHECK_ERRNO(utimensat(AT_FDCWD, "f", times, 0), EINVAL);
    CHECK_OK(utimensat(AT_FDCWD, "l", (struct timespec[]){ { 7, 0 }, { 8, 0 } }, AT_SYMLINK_NOFOLLOW));
    CHECK_OK(lstat("l", &st));
    CHECK_EQUAL(st.st_mtime, 8);
    CHECK_OK(stat("f", &st));
    CHECK(st.st_mtime != 8);
    CHECK_OK(utimes("f", (struct timeval[]){ { 9, 5 }, { 10, 6 } }));
    CHECK_OK(stat("f", &st));
    CHECK(st.st_mtim.tv_sec == 10 && st.st_mtim.tv_nsec == 6000);
    time_t before = time(NULL);
    CHECK_EQUAL(pwrite(fd, "x", 1, 0), 1);
    CHECK_OK(stat("f", &st));
    CHECK(st.st_mtime >= before - 1 && st.st_ctime >= before - 1);
    CHECK_OK(utimensat(AT_FDCWD, ".", (struct timespec[]){ { 7, 0 }, { 8, 0 } }, 0));
    close(open("new", O_CREAT | O_WRONLY, 0600));
    CHECK_OK(stat(".", &st));
    CHECK(st.st_mtime > 1700000000); /* a directory's time follows its entries */

    check_section("access");
    CHECK_OK(access("f", R_OK | W_OK));
    CHECK_OK(access("f", F_OK));
    CHECK_ERRNO(access("none", F_OK), ENOENT);
    CHECK_ERRNO(access("f", 99), EINVAL);
    CHECK_OK(chmod("f", 0644));
    CHECK_ERRNO(access("f", X_OK), EACCES); /* even for root: nobody may execute it */
    CHECK_OK(syscall(SYS_faccessat2, AT_FDCWD, "f", R_OK, AT_EACCESS));
    CHECK_ERRNO(syscall(SYS_faccessat2, AT_FDCWD, "f", R_OK, 0x8000), EINVAL);
    CHECK_OK(faccessat(AT_FDCWD, "/usr/bin/env", X_OK, 0));
    close(fd);
    return check_done();
}
