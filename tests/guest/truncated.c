/*
 * Files that shrink under a mapping: SIGBUS for the program, EFAULT for its calls, and the machine goes on.
 *
 *   truncated FILE       a file that may be changed; the program itself truncates it
 *   truncated FILE wait  says "mapped" and waits until its first page is gone, truncated by somebody else
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define PAGE 4096L

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

static int touch(volatile char *p, bool write)
{
    int before = bus_errors;
    if (sigsetjmp(escape, 1) == 0) {
        if (write)
            *p = 'w';
        else
            (void)*p;
    }
    return bus_errors - before;
}

int main(int argc, char **argv)
{
    struct sigaction action = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO };
    const char *path = argc > 1 ? argv[1] : "/tmp/truncated";
    bool waits = argc > 2;
    char byte;

    sigaction(SIGBUS, &action, NULL);
    int fd = open(path, waits ? O_RDONLY : O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (!CHECK_OK(fd))
        return check_done();
    if (!waits)
        for (int i = 0; i < 64; i++) {
            char page[PAGE];
            memset(page, 'a' + i % 26, PAGE);
            CHECK_EQUAL(write(fd, page, PAGE), PAGE);
        }
    char *shared = mmap(NULL, 64 * PAGE, waits ? PROT_READ : PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *private = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(shared != MAP_FAILED && private != MAP_FAILED);
    CHECK_EQUAL(shared[3 * PAGE], 'd');
    CHECK_EQUAL(private[5 * PAGE], 'f');
    private[5 * PAGE] = 'P';

    if (waits) {
        puts("mapped");
        fflush(stdout);
        /* touches every page all the time: the fault may come anywhere */
        for (int i = 0; i < 20000 && bus_errors == 0; i++) {
            for (long page = 0; page < 64 && bus_errors == 0; page++)
                touch(shared + page * PAGE, false);
            nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
        }
        CHECK_EQUAL(bus_errors, 1);
        CHECK_EQUAL(last_code, BUS_ADRERR);
        CHECK_EQUAL(read(fd, &byte, 1), 0); /* and the descriptor works on */
        return check_done();
    }

    check_section("truncated to two pages");
    CHECK_OK(ftruncate(fd, 2 * PAGE));
    CHECK_EQUAL(touch(shared + PAGE, false), 0);
    CHECK_EQUAL(touch(shared + 2 * PAGE, false), 1);
    CHECK(last_code == BUS_ADRERR && last_address == shared + 2 * PAGE);
    CHECK_EQUAL(touch(shared + 3 * PAGE, true), 1);
    CHECK_EQUAL(touch(private + 40 * PAGE, false), 1);
    CHECK_EQUAL(touch(shared + 63 * PAGE + 4095, false), 1);
    int other = open("/dev/null", O_WRONLY), pipes[2];
    CHECK_OK(pipe(pipes));
    CHECK_ERRNO(write(pipes[1], shared + 10 * PAGE, 10), EFAULT);
    CHECK_ERRNO(pread(fd, shared + 10 * PAGE, 10, 0), EFAULT);
    CHECK_ERRNO(open(shared + 10 * PAGE, O_RDONLY), EFAULT);
    close(other);

    check_section("grown again");
    CHECK_OK(ftruncate(fd, 64 * PAGE));
    CHECK_EQUAL(touch(shared + 10 * PAGE, false), 0);
    CHECK_EQUAL(shared[10 * PAGE], 0);
    shared[10 * PAGE] = 'n';
    CHECK_EQUAL(pread(fd, &byte, 1, 10 * PAGE), 1);
    CHECK_EQUAL(byte, 'n');

    check_section("to nothing, a hundred times");
    int wrong = 0;
    for (int i = 0; i < 100; i++) {
        wrong += ftruncate(fd, 0) != 0;
        wrong += touch(shared + (i % 64) * PAGE, i & 1) != 1;
        wrong += ftruncate(fd, 64 * PAGE) != 0;
        wrong += touch(shared + (i % 64) * PAGE, i & 1) != 0;
    }
    CHECK_EQUAL(wrong, 0);
    close(fd);
    unlink(path);
    return check_done();
}
