/* Linux aio by its system calls: reading, writing, syncing, polling, eventfds, cancelling, waiting. */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static aio_context_t ctx;
static struct io_event events[64];

static long setup(unsigned n, aio_context_t *c)
{
    return syscall(SYS_io_setup, n, c);
}

static long submit(long n, struct iocb **list)
{
    return syscall(SYS_io_submit, ctx, n, list);
}

static long submit_one(struct iocb *cb)
{
    return submit(1, &cb);
}

static long get(long min, long n, const struct timespec *timeout)
{
    return syscall(SYS_io_getevents, ctx, min, n, events, timeout);
}

static struct iocb make(int op, int fd, const void *buf, size_t n, long offset)
{
    return (struct iocb){ .aio_lio_opcode = (uint16_t)op,
                          .aio_fildes = (uint32_t)fd,
                          .aio_buf = (uintptr_t)buf,
                          .aio_nbytes = n,
                          .aio_offset = offset,
                          .aio_data = 0x1234 };
}

/* Submit it and give its result. */
static long run(struct iocb cb)
{
    if (submit_one(&cb) != 1 || get(1, 1, NULL) != 1)
        return -1000000;
    CHECK_EQUAL(events[0].data, 0x1234);
    CHECK_EQUAL(events[0].obj, (uintptr_t)&cb);
    return (long)events[0].res;
}

static void check_contexts(void)
{
    aio_context_t other = 1;

    check_section("contexts");
    CHECK_ERRNO(setup(1, &other), EINVAL);
    other = 0;
    CHECK_ERRNO(setup(0, &other), EINVAL);
    CHECK_ERRNO(setup(1, NULL), EFAULT);
    CHECK_ERRNO(setup(0x7fffffff, &other), EINVAL);
    CHECK_ERRNO(setup(1000000, &other), EAGAIN);
    CHECK_OK(setup(16, &ctx));
    CHECK(ctx != 0);
    CHECK_OK(setup(16, &other));
    CHECK(ctx != other);
    CHECK_OK(syscall(SYS_io_destroy, other));
    CHECK_ERRNO(syscall(SYS_io_destroy, other), EINVAL);
    CHECK_ERRNO(syscall(SYS_io_submit, other, 0, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_io_getevents, other, 0, 1, events, NULL), EINVAL);
    fflush(stdout);
    if (fork() == 0) /* not inherited */
        _exit(syscall(SYS_io_destroy, ctx) == -1 && errno == EINVAL ? 3 : 4);
    int status;
    CHECK_OK(wait(&status));
    CHECK_EQUAL(status, 3 << 8);
}

static void check_files(const char *path)
{
    int fd = open(path, O_CREAT | O_RDWR | O_TRUNC, 0600), ro = open(path, O_RDONLY);
    struct iovec v[2];
    char a[10] = "", b[10] = "";
    struct iocb cb[3], *list[3] = { &cb[0], &cb[1], &cb[2] }, bad;
    struct timespec zero = { 0, 0 };

    check_section("files");
    CHECK_EQUAL(run(make(IOCB_CMD_PWRITE, fd, "hello world", 11, 0)), 11);
    CHECK_EQUAL(run(make(IOCB_CMD_PREAD, fd, a, 5, 6)), 5);
    CHECK(memcmp(a, "world", 5) == 0);
    CHECK_EQUAL(run(make(IOCB_CMD_PREAD, fd, a, 5, 100)), 0);
    v[0] = (struct iovec){ a, 3 };
    v[1] = (struct iovec){ b, 4 };
    CHECK_EQUAL(run(make(IOCB_CMD_PREADV, fd, v, 2, 0)), 7);
    CHECK(memcmp(a, "hel", 3) == 0 && memcmp(b, "lo w", 4) == 0);
    CHECK_EQUAL(run(make(IOCB_CMD_PWRITEV, fd, v, 2, 20)), 7);
    CHECK_EQUAL(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_EQUAL(lseek(fd, 0, SEEK_END), 27);
    CHECK_EQUAL(run(make(IOCB_CMD_FSYNC, fd, NULL, 0, 0)), 0);
    CHECK_EQUAL(run(make(IOCB_CMD_FDSYNC, fd, NULL, 0, 0)), 0);

    check_section("errors");
    bad = make(IOCB_CMD_PREAD, -1, a, 1, 0);
    CHECK_ERRNO(submit_one(&bad), EBADF);
    bad = make(IOCB_CMD_PWRITE, ro, a, 1, 0);
    CHECK_ERRNO(submit_one(&bad), EBADF);
    bad = make(99, fd, a, 1, 0);
    CHECK_ERRNO(submit_one(&bad), EINVAL);
    bad = make(IOCB_CMD_FSYNC, fd, NULL, 1, 0);
    CHECK_ERRNO(submit_one(&bad), EINVAL);
    bad = make(IOCB_CMD_PREAD, fd, a, 1, 0);
    bad.aio_reserved2 = 1;
    CHECK_ERRNO(submit_one(&bad), EINVAL);
    bad = make(IOCB_CMD_PREAD, fd, a, 1, 0);
    bad.aio_flags = IOCB_FLAG_RESFD;
    bad.aio_resfd = (uint32_t)fd;
    CHECK_ERRNO(submit_one(&bad), EINVAL);
    CHECK_ERRNO(submit(1, NULL), EFAULT);
    CHECK_ERRNO(submit(-1, list), EINVAL);
    CHECK_EQUAL(submit(0, NULL), 0);
    CHECK_ERRNO(get(2, 1, NULL), EINVAL);
    CHECK_ERRNO(get(-1, 1, NULL), EINVAL);
    CHECK_EQUAL(get(0, 1, NULL), 0);
    CHECK_EQUAL(get(1, 1, &zero), 0);

    check_section("several");
    for (int i = 0; i < 3; i++) {
        cb[i] = make(IOCB_CMD_PREAD, fd, a, (size_t)i + 1, 0);
        cb[i].aio_data = (uint64_t)i;
    }
    CHECK_EQUAL(submit(3, list), 3);
    CHECK_EQUAL(get(2, 2, NULL), 2);
    CHECK_EQUAL(events[0].data * 100 + (uint64_t)events[0].res * 10 + events[1].data, 11);
    CHECK_EQUAL(get(1, 5, NULL), 1);
    CHECK_EQUAL(events[0].data, 2);
    cb[1].aio_fildes = (uint32_t)-1; /* those before the bad one count */
    CHECK_EQUAL(submit(3, list), 1);
    CHECK_EQUAL(get(1, 5, NULL), 1);
    close(fd);
    close(ro);
    unlink(path);
}

static void nothing(int signo)
{
}

static void *write_later(void *fd)
{
    usleep(20000);
    CHECK_EQUAL(write(*(int *)fd, "x", 1), 1);
    return NULL;
}

static void *destroy_later(void *arg)
{
    usleep(20000);
    syscall(SYS_io_destroy, ctx);
    return NULL;
}

static void check_polling(void)
{
    int p[2], e = eventfd(0, EFD_NONBLOCK);
    struct timespec soon = { 0, 20000000 };
    struct sigaction sa = { .sa_handler = nothing };
    struct iocb cb;
    uint64_t count;
    pthread_t t;

    check_section("poll");
    CHECK_OK(pipe(p));
    CHECK_EQUAL(run(make(IOCB_CMD_POLL, p[1], (void *)POLLOUT, 0, 0)), POLLOUT);
    cb = make(IOCB_CMD_POLL, p[0], (void *)POLLIN, 1, 0);
    CHECK_ERRNO(submit_one(&cb), EINVAL);
    cb = make(IOCB_CMD_POLL, p[0], (void *)POLLIN, 0, 0);
    cb.aio_flags = IOCB_FLAG_RESFD;
    cb.aio_resfd = (uint32_t)e;
    CHECK_EQUAL(submit_one(&cb), 1);
    CHECK_EQUAL(get(1, 1, &soon), 0);
    CHECK_ERRNO(read(e, &count, 8), EAGAIN);
    pthread_create(&t, NULL, write_later, &p[1]);
    CHECK_EQUAL(get(1, 1, NULL), 1);
    CHECK(events[0].res & POLLIN);
    pthread_join(t, NULL);
    CHECK_EQUAL(read(e, &count, 8), 8);
    CHECK_EQUAL(count, 1);
    CHECK_EQUAL(read(p[0], &count, 1), 1);

    check_section("cancel");
    CHECK_EQUAL(submit_one(&cb), 1);
    CHECK_ERRNO(syscall(SYS_io_cancel, ctx, &cb, events), EINPROGRESS);
    CHECK_EQUAL(get(1, 1, NULL), 1);
    CHECK_EQUAL(events[0].obj, (uintptr_t)&cb);
    CHECK_ERRNO(syscall(SYS_io_cancel, ctx, &cb, events), EINVAL);

    check_section("interrupted");
    sigaction(SIGALRM, &sa, NULL);
    CHECK_EQUAL(submit_one(&cb), 1);
    ualarm(20000, 0);
    CHECK_ERRNO(get(1, 1, NULL), EINTR);
    sigset_t blocked, none;
    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGALRM);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    raise(SIGALRM);
    struct {
        const sigset_t *set;
        size_t size;
    } mask = { &none, 8 }, bad = { &none, 4 };
    CHECK_ERRNO(syscall(SYS_io_pgetevents, ctx, 1, 1, events, NULL, &mask), EINTR);
    CHECK_ERRNO(syscall(SYS_io_pgetevents, ctx, 1, 1, events, NULL, &bad), EINVAL);
    CHECK_EQUAL(syscall(SYS_io_pgetevents, ctx, 0, 1, events, NULL, NULL), 0);

    check_section("destroyed while waiting");
    pthread_create(&t, NULL, destroy_later, NULL);
    CHECK_ERRNO(get(1, 1, NULL), EINVAL);
    pthread_join(t, NULL);
    CHECK_EQUAL(write(p[1], "x", 1), 1);
    ctx = 0;
    CHECK_OK(setup(4, &ctx)); /* ended by exit, with a poll under way */
    cb = make(IOCB_CMD_POLL, e, (void *)POLLIN, 0, 0);
    CHECK_EQUAL(submit_one(&cb), 1);
}

int main(void)
{
    check_contexts();
    check_files("/tmp/aio-test");
    check_polling();
    return check_done();
}
