/* The files of /dev. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

static unsigned char buffer[100000];

static bool all(unsigned char value, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (buffer[i] != value)
            return false;
    return true;
}

int main(void)
{
    check_section("null");
    int fd = open("/dev/null", O_RDWR);
    CHECK_EQUAL(write(fd, buffer, sizeof(buffer)), sizeof(buffer));
    CHECK_EQUAL(read(fd, buffer, 10), 0);
    CHECK_OK(lseek(fd, 100, SEEK_SET));
    CHECK_ERRNO(ftruncate(fd, 0), EINVAL);
    close(fd);
    fd = open("/dev/null", O_WRONLY | O_TRUNC | O_CREAT, 0666);
    CHECK_OK(fd);
    close(fd);

    check_section("zero");
    fd = open("/dev/zero", O_RDWR);
    memset(buffer, 1, sizeof(buffer));
    CHECK_EQUAL(read(fd, buffer, sizeof(buffer)), sizeof(buffer));
    CHECK(all(0, sizeof(buffer)));
    CHECK_EQUAL(write(fd, buffer, 10), 10);
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(p != MAP_FAILED && p[0] == 0 && p[8191] == 0);
    p[0] = 1;
    char *q = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(q != MAP_FAILED && q[0] == 0);
    close(fd);

    check_section("full");
    fd = open("/dev/full", O_RDWR);
    CHECK_ERRNO(write(fd, buffer, 1), ENOSPC);
    memset(buffer, 1, 100);
    CHECK_EQUAL(read(fd, buffer, 100), 100);
    CHECK(all(0, 100));
    close(fd);

    check_section("random");
    static const char *const names[] = { "/dev/random", "/dev/urandom" };
    for (int i = 0; i < 2; i++) {
        fd = open(names[i], O_RDWR);
        CHECK_OK(fd);
        memset(buffer, 0, 256);
        CHECK_EQUAL(read(fd, buffer, 256), 256);
        CHECK(!all(0, 256));
        unsigned char first[256];
        memcpy(first, buffer, 256);
        CHECK_EQUAL(read(fd, buffer, 256), 256);
        CHECK(memcmp(first, buffer, 256) != 0);
        close(fd);
    }
    CHECK_EQUAL(getrandom(buffer, sizeof(buffer), 0), sizeof(buffer));
    unsigned counts[256] = { 0 }, low = 0;
    for (size_t i = 0; i < sizeof(buffer); i++)
        counts[buffer[i]]++;
    for (int i = 0; i < 256; i++)
        low += counts[i] < 200 || counts[i] > 600; /* 390 are expected of each value */
    CHECK_EQUAL(low, 0);
    CHECK_EQUAL(getrandom(buffer, 16, GRND_NONBLOCK | GRND_RANDOM), 16);
    CHECK_ERRNO(getrandom(buffer, 16, 0x100), EINVAL);
    CHECK_EQUAL(getentropy(buffer, 256), 0);

    check_section("standard streams by name");
    struct stat a, b;
    CHECK_OK(stat("/dev/stdin", &a));
    CHECK_OK(fstat(0, &b));
    CHECK(a.st_rdev == b.st_rdev && a.st_mode == b.st_mode);
    fd = open("/dev/stdout", O_WRONLY);
    CHECK_OK(fd);
    fflush(stdout);
    CHECK_EQUAL(write(fd, "written to /dev/stdout\n", 23), 23);
    close(fd);
    fd = open("/dev/fd/2", O_WRONLY);
    CHECK_OK(fd);
    CHECK_EQUAL(write(fd, "written to /dev/fd/2\n", 21), 21);
    close(fd);
    CHECK_OK(access("/dev/stderr", F_OK));
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO); /* no controlling terminal here */
    CHECK_OK(stat("/dev", &a));
    CHECK(S_ISDIR(a.st_mode));
    CHECK_OK(stat("/dev/shm", &a));
    CHECK_EQUAL(a.st_mode & 07777, 01777);
    fd = shm_open("/a-name", O_RDWR | O_CREAT, 0600);
    CHECK_OK(fd);
    CHECK_OK(ftruncate(fd, 4096));
    CHECK_OK(shm_unlink("/a-name"));
    return check_done();
}
