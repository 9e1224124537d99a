/*
 * A shared mapping of a file whose file system has no room: SIGBUS for what can't be had, and only for that; the machine goes on.
 *
 *     diskfull FILE      on a file system of about 1 MiB, which it fills
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

#define PAGE 4096L
#define PAGES 1024L /* 4 MiB */

static sigjmp_buf escape;
static volatile int bus_errors, last_code;
static void *volatile last_address;

static void on_bus(int signal, siginfo_t *info, void *context)
{
    bus_errors++;
    last_code = info->si_code;
    last_address = info->si_addr;
    siglongjmp(escape, 1);
}

static bool store(volatile char *p, char c)
{
    if (sigsetjmp(escape, 1))
        return false;
    *p = c;
    return true;
}

int main(int argc, char **argv)
{
    struct sigaction action = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO };
    long stored = 0, refused = -1;
    char page[PAGE], filler[128];

    sigaction(SIGBUS, &action, NULL);
    int fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (!CHECK_OK(fd) || !CHECK_OK(ftruncate(fd, PAGES * PAGE)))
        return check_done();
    char *map = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED);
    memset(page, 'p', PAGE);
    CHECK_EQUAL(pwrite(fd, page, PAGE, 0), PAGE);

    for (long i = 0; i < PAGES; i++) {
        if (!store(map + i * PAGE + 7, (char)('a' + i % 26))) {
            refused = i;
            break;
        }
        stored++;
    }
    CHECK(stored > 16 && stored < PAGES);
    CHECK_EQUAL(bus_errors, 1);
    CHECK_EQUAL(last_code, BUS_ADRERR);
    CHECK(last_address == map + refused * PAGE + 7);

    /* What was stored is there, by the mapping and by read. */
    for (long i = 0; i < stored; i++) {
        CHECK_EQUAL(map[i * PAGE + 7], 'a' + i % 26);
        CHECK_EQUAL(pread(fd, page, PAGE, i * PAGE), PAGE);
        CHECK_EQUAL(page[7], 'a' + i % 26);
        CHECK_EQUAL(page[100], i == 0 ? 'p' : 0);
    }
    /* Holes read as zeroes by read(2), which needs no room. */
    memset(page, 'x', PAGE);
    CHECK_EQUAL(pread(fd, page, PAGE, (PAGES - 1) * PAGE), PAGE);
    CHECK_EQUAL(page[0] | page[PAGE - 1], 0);
    /* A call that writes into such a page is refused. */
    CHECK_ERRNO(pread(fd, map + (PAGES - 2) * PAGE, 100, 0), EFAULT);
    CHECK(!store(map + (PAGES - 3) * PAGE, 'x'));
    CHECK_EQUAL(bus_errors, 2);
    CHECK_ERRNO(pwrite(fd, page, PAGE, (PAGES - 1) * PAGE), ENOSPC);

    /* With room again the same mapping works again. */
    CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 64 * PAGE));
    CHECK(store(map + (PAGES - 3) * PAGE, 'y'));
    CHECK_EQUAL(pread(fd, page, 1, (PAGES - 3) * PAGE), 1);
    CHECK_EQUAL(page[0], 'y');
    CHECK_EQUAL(map[7], 0);
    CHECK_EQUAL(map[100 * PAGE + 7], 'a' + 100 % 26);

    /* Another file: appended until it's full, with what was acknowledged still there. */
    snprintf(filler, sizeof(filler), "%s.more", argv[1]);
    int more = open(filler, O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600);
    off_t written = 0;
    ssize_t n;
    memset(page, 'm', PAGE);
    while ((n = write(more, page, 1000)) > 0)
        written += n;
    CHECK_ERRNO(write(more, page, 1000), ENOSPC);
    CHECK_OK(fsync(more));
    struct stat st;
    CHECK_OK(fstat(more, &st));
    CHECK_EQUAL(st.st_size, written);
    CHECK_OK(close(more));
    CHECK_OK(unlink(filler));
    return check_done();
}
