/* A bad user pointer is EFAULT, whichever call gets it and wherever in its data it lies. */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define PAGE 4096UL

static char *page_end;  /* the first byte of an unmapped page; the page before is writable */
static char *read_only; /* a page that can't be written */
static int file, zero, null, dir, pipe_read, pipe_write;

#define FAULTS(...) CHECK_ERRNO(syscall(__VA_ARGS__), EFAULT)

/* Calls that only ever read the memory at p. */
static void readers(const void *p)
{
    FAULTS(SYS_write, file, p, 10);
    FAULTS(SYS_pwrite64, file, p, 10, 0);
    FAULTS(SYS_write, pipe_write, p, 10);
    FAULTS(SYS_writev, file, p, 1);
    FAULTS(SYS_open, p, O_RDONLY);
    FAULTS(SYS_openat, AT_FDCWD, p, O_RDONLY);
    FAULTS(SYS_stat, p, &(struct stat){ 0 });
    FAULTS(SYS_access, p, 0);
    FAULTS(SYS_chdir, p);
    FAULTS(SYS_mkdir, p, 0777);
    FAULTS(SYS_rmdir, p);
    FAULTS(SYS_unlink, p);
    FAULTS(SYS_rename, p, "/tmp/x");
    FAULTS(SYS_rename, "/tmp", p);
    FAULTS(SYS_link, p, "/tmp/x");
    FAULTS(SYS_symlink, p, "/tmp/x");
    FAULTS(SYS_chmod, p, 0600);
    FAULTS(SYS_truncate, p, 0);
    FAULTS(SYS_execve, p, NULL, NULL);
    FAULTS(SYS_nanosleep, p, NULL);
    FAULTS(SYS_rt_sigaction, SIGUSR1, p, NULL, 8);
    FAULTS(SYS_rt_sigprocmask, SIG_BLOCK, p, NULL, 8);
    FAULTS(SYS_sigaltstack, p, NULL);
    FAULTS(SYS_setrlimit, RLIMIT_CORE, p);
    FAULTS(SYS_statfs, p, NULL);
    FAULTS(SYS_setxattr, p, "user.a", "v", 1, 0);
    FAULTS(SYS_utimensat, AT_FDCWD, "/tmp", p, 0);
    FAULTS(SYS_poll, p, 1, 0);
    FAULTS(SYS_sched_setaffinity, 0, 8, p);
    FAULTS(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, p, NULL);
    FAULTS(SYS_memfd_create, p, 0);
    FAULTS(SYS_openat2, AT_FDCWD, "/tmp", p, 24);
    FAULTS(SYS_clone3, p, 88);
    FAULTS(SYS_rt_sigsuspend, p, 8);
    FAULTS(SYS_rt_sigtimedwait, p, NULL, NULL, 8);
}

/* Calls that write as many bytes as fit: all or nothing only if the first byte is bad. */
static void streams(void *p)
{
    CHECK_EQUAL(lseek(file, 0, SEEK_SET), 0);
    FAULTS(SYS_read, file, p, 10);
    FAULTS(SYS_pread64, file, p, 10, 0);
    FAULTS(SYS_read, zero, p, 10);
    FAULTS(SYS_getrandom, p, 10, 0);
    FAULTS(SYS_mincore, page_end - PAGE, PAGE, p);
}

/* Calls that write a structure to p. */
static void writers(void *p)
{
    FAULTS(SYS_stat, "/", p);
    FAULTS(SYS_lstat, "/", p);
    FAULTS(SYS_fstat, 0, p);
    FAULTS(SYS_newfstatat, AT_FDCWD, "/", p, 0);
    FAULTS(SYS_statx, AT_FDCWD, "/", 0, 0xfff, p);
    FAULTS(SYS_statfs, "/", p);
    FAULTS(SYS_fstatfs, file, p);
    FAULTS(SYS_getcwd, p, 100);
    FAULTS(SYS_uname, p);
    FAULTS(SYS_sysinfo, p);
    FAULTS(SYS_getrlimit, RLIMIT_STACK, p);
    FAULTS(SYS_prlimit64, 0, RLIMIT_STACK, NULL, p);
    FAULTS(SYS_getrusage, RUSAGE_SELF, p);
    FAULTS(SYS_times, p);
    FAULTS(SYS_clock_gettime, CLOCK_BOOTTIME, p);
    FAULTS(SYS_gettimeofday, p, NULL);
    FAULTS(SYS_pipe2, p, 0);
    FAULTS(SYS_getdents64, dir, p, 4096);
    FAULTS(SYS_readlink, "/proc/self/exe", p, 100);
    FAULTS(SYS_rt_sigaction, SIGUSR1, NULL, p, 8);
    FAULTS(SYS_rt_sigprocmask, SIG_BLOCK, NULL, p, 8);
    FAULTS(SYS_rt_sigpending, p, 8);
    FAULTS(SYS_sigaltstack, NULL, p);
    FAULTS(SYS_sched_getaffinity, 0, 128, p);
    FAULTS(SYS_sched_getparam, 0, p);
    FAULTS(SYS_getresuid, p, p, p);
    FAULTS(SYS_getresgid, p, p, p);
    FAULTS(SYS_prctl, PR_GET_NAME, p);
    FAULTS(SYS_get_robust_list, 0, p, p);
    FAULTS(SYS_clock_getres, CLOCK_BOOTTIME, p);
}

int main(void)
{
    char *area = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(area + PAGE, PAGE);
    page_end = area + PAGE;
    read_only = area + 2 * PAGE;
    mprotect(read_only, 2 * PAGE, PROT_READ);
    file = open("/tmp/badptr", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK_EQUAL(write(file, "0123456789abcdef", 16), 16);
    zero = open("/dev/zero", O_RDWR);
    null = open("/dev/null", O_RDWR);
    dir = open("/usr", O_RDONLY | O_DIRECTORY);
    int ends[2];
    CHECK_OK(pipe(ends));
    pipe_read = ends[0], pipe_write = ends[1];

    static const struct {
        const char *name;
        uintptr_t address;
    } bad[] = {
        { "page zero", 8 },
        { "kernel half", 0xffff800000001000 },
        { "non-canonical", 0x1234567812345678 },
        { "top of the lower half", 0x7ffffffff000 },
        { "last byte", UINTPTR_MAX },
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        check_section(bad[i].name);
        readers((const void *)bad[i].address);
        writers((void *)bad[i].address);
        streams((void *)bad[i].address);
    }
    check_section("unmapped");
    readers(page_end);
    writers(page_end);
    streams(page_end);
    check_section("read-only");
    writers(read_only);
    streams(read_only);

    check_section("data that straddles the end of a page");
    memset(page_end - 16, 'x', 16);
    writers(page_end - 1);
    memcpy(page_end - 4, "/tmp", 4); /* a path with no end before the page's */
    FAULTS(SYS_open, page_end - 4, O_RDONLY);
    FAULTS(SYS_stat, page_end - 4, &(struct stat){ 0 });
    FAULTS(SYS_nanosleep, page_end - 8, NULL);
    memcpy(page_end - 5, "/tmp", 5); /* one that just fits */
    CHECK_OK(access(page_end - 5, F_OK));
    int fd = open(page_end - 5, O_RDONLY | O_DIRECTORY);
    CHECK_OK(fd);
    close(fd);

    check_section("partial transfers");
    CHECK_EQUAL(pread(file, page_end - 4, 16, 0), 4); /* what fits is transferred */
    CHECK(!memcmp(page_end - 4, "0123", 4));
    CHECK_EQUAL(pwrite(file, page_end - 4, 16, 0), 4);
    struct iovec iov[2] = { { page_end - 8, 8 }, { page_end, 8 } };
    CHECK_EQUAL(preadv(file, iov, 2, 0), 8);
    CHECK_EQUAL(pwritev(file, iov, 2, 0), 8);
    iov[0].iov_base = page_end;
    FAULTS(SYS_preadv, file, iov, 2, 0, 0);
    CHECK_EQUAL(write(pipe_write, "abcdef", 6), 6);
    FAULTS(SYS_read, pipe_read, page_end, 6);
    char text[8];
    CHECK_EQUAL(read(pipe_read, text, 8), 6); /* a failed read took nothing away */
    CHECK_EQUAL(read(zero, page_end - 7, 100), 7);
    CHECK_EQUAL(write(null, page_end, 100), 100); /* /dev/null does not look */
    CHECK_EQUAL(syscall(SYS_write, file, NULL, 0), 0);
    CHECK_EQUAL(syscall(SYS_read, file, NULL, 0), 0);

    check_section("argument vectors");
    char *strings[2] = { page_end, NULL };
    FAULTS(SYS_execve, "/bin/true", strings, NULL);
    FAULTS(SYS_execve, "/bin/true", page_end, NULL);
    FAULTS(SYS_execve, "/bin/true", NULL, page_end);
    return check_done();
}
