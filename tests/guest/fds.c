/* Descriptors: dup, fcntl, close_range, limits, pipes, locks. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"

static char buffer[1 << 20];

static volatile int pipe_signals;

static void on_pipe(int signal)
{
    pipe_signals++;
}

static void duplicates(void)
{
    check_section("dup and fcntl");
    int fd = open("/tmp/fds", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK_EQUAL(fd, 3);
    CHECK_EQUAL(dup(fd), 4);
    CHECK_EQUAL(dup2(fd, 10), 10);
    CHECK_EQUAL(dup2(fd, fd), fd);
    CHECK_EQUAL(dup3(fd, 11, O_CLOEXEC), 11);
    CHECK_EQUAL(fcntl(11, F_GETFD), FD_CLOEXEC);
    CHECK_EQUAL(fcntl(10, F_GETFD), 0);
    CHECK_ERRNO(dup3(fd, fd, 0), EINVAL);
    CHECK_ERRNO(dup2(fd, -1), EBADF);
    CHECK_ERRNO(dup2(99, 12), EBADF);
    CHECK_ERRNO(dup(99), EBADF);
    CHECK_EQUAL(fcntl(fd, F_DUPFD, 20), 20);
    CHECK_EQUAL(fcntl(fd, F_DUPFD_CLOEXEC, 20), 21);
    CHECK_EQUAL(fcntl(21, F_GETFD), FD_CLOEXEC);
    CHECK_EQUAL(write(fd, "abc", 3), 3);
    CHECK_EQUAL(lseek(10, 0, SEEK_CUR), 3); /* one offset for all duplicates */
    CHECK_OK(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK));
    CHECK_EQUAL(fcntl(10, F_GETFL) & (O_APPEND | O_NONBLOCK | O_ACCMODE), O_APPEND | O_NONBLOCK | O_RDWR);
    CHECK_OK(fcntl(fd, F_SETFD, FD_CLOEXEC));
    CHECK_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(fcntl(fd, 9999), EINVAL);
    CHECK_ERRNO(fcntl(99, F_GETFD), EBADF);
    int other = open("/tmp/fds", O_RDONLY);
    CHECK_EQUAL(other, 5); /* the lowest free one */
    CHECK_EQUAL(lseek(other, 0, SEEK_CUR), 0);
    int count = 0;
    CHECK_OK(ioctl(other, FIONREAD, &count));
    CHECK_EQUAL(count, 3);

    check_section("close_range");
    CHECK_OK(syscall(SYS_close_range, 10, 15, 0));
    CHECK_ERRNO(fcntl(10, F_GETFD), EBADF);
    CHECK_EQUAL(fcntl(20, F_GETFD), 0);
    CHECK_OK(syscall(SYS_close_range, 20, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */));
    CHECK_EQUAL(fcntl(20, F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(syscall(SYS_close_range, 20, 10, 0), EINVAL);
    CHECK_OK(syscall(SYS_close_range, 3, ~0U, 0));
    CHECK_ERRNO(fcntl(fd, F_GETFD), EBADF);

    check_section("limits");
    struct rlimit old, limit;
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &old));
    limit = (struct rlimit){ 40, old.rlim_max };
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
    int last = -1, next;
    while ((next = open("/dev/null", O_RDONLY)) >= 0)
        last = next;
    CHECK_EQUAL(errno, EMFILE);
    CHECK_EQUAL(last, 39);
    CHECK_ERRNO(dup2(0, 40), EBADF);
    CHECK_ERRNO(fcntl(0, F_DUPFD, 40), EINVAL);
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &old));
    CHECK_OK(syscall(SYS_close_range, 3, ~0U, 0));
    limit = (struct rlimit){ 100, 50 };
    CHECK_ERRNO(setrlimit(RLIMIT_NOFILE, &limit), EINVAL);
    CHECK_EQUAL(dup2(0, 1000), 1000);
    close(1000);
}

static void pipes(void)
{
    check_section("pipes");
    int p[2];
    CHECK_OK(pipe2(p, O_NONBLOCK));
    CHECK_ERRNO(read(p[0], buffer, 1), EAGAIN);
    CHECK_EQUAL(write(p[1], "hello", 5), 5);
    int count = 0;
    CHECK_OK(ioctl(p[0], FIONREAD, &count));
    CHECK_EQUAL(count, 5);
    struct pollfd polled[2] = { { p[0], POLLIN, 0 }, { p[1], POLLOUT, 0 } };
    CHECK_EQUAL(poll(polled, 2, 0), 2);
    CHECK(polled[0].revents == POLLIN && polled[1].revents == POLLOUT);
    CHECK_EQUAL(read(p[0], buffer, 3), 3);
    CHECK_EQUAL(read(p[0], buffer, 10), 2);
    CHECK_EQUAL(fcntl(p[0], F_GETPIPE_SZ), 65536);
    size_t total = 0;
    ssize_t n;
    while ((n = write(p[1], buffer, 5000)) > 0)
        total += (size_t)n;
    CHECK_EQUAL(errno, EAGAIN);
    CHECK(total > 40000 && total <= 65536);
    CHECK_EQUAL(poll(polled, 2, 0), 1);
    while ((n = read(p[0], buffer, sizeof(buffer))) > 0)
        total -= (size_t)n;
    CHECK_EQUAL(total, 0);
    CHECK_ERRNO(lseek(p[0], 0, SEEK_SET), ESPIPE);
    CHECK_ERRNO(pread(p[0], buffer, 1, 0), ESPIPE);
    CHECK_ERRNO(read(p[1], buffer, 1), EBADF);
    CHECK_ERRNO(write(p[0], buffer, 1), EBADF);
    CHECK_ERRNO(ftruncate(p[1], 0), EINVAL);
    CHECK_ERRNO(pipe2(p, 0x12345), EINVAL);
    struct stat st;
    CHECK_OK(fstat(p[0], &st));
    CHECK(S_ISFIFO(st.st_mode));
    CHECK_OK(close(p[1]));
    CHECK_EQUAL(read(p[0], buffer, 1), 0);
    polled[0].revents = 0;
    CHECK_EQUAL(poll(polled, 1, 0), 1);
    CHECK(polled[0].revents & POLLHUP);
    CHECK_OK(close(p[0]));

    CHECK_OK(pipe(p));
    CHECK_OK(close(p[0]));
    signal(SIGPIPE, on_pipe);
    CHECK_ERRNO(write(p[1], "x", 1), EPIPE);
    CHECK_EQUAL(pipe_signals, 1);
    signal(SIGPIPE, SIG_IGN);
    CHECK_ERRNO(write(p[1], "x", 1), EPIPE);
    CHECK_EQUAL(pipe_signals, 1);
    CHECK_OK(close(p[1]));
}

static void locks(void)
{
    check_section("locks");
    int a = open("/tmp/locks", O_RDWR | O_CREAT, 0600), b = open("/tmp/locks", O_RDWR);
    CHECK_OK(flock(a, LOCK_SH));
    CHECK_OK(flock(b, LOCK_SH | LOCK_NB));
    CHECK_ERRNO(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    CHECK_OK(flock(a, LOCK_UN));
    CHECK_OK(flock(b, LOCK_EX | LOCK_NB));
    CHECK_ERRNO(flock(a, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    CHECK_ERRNO(flock(a, 16), EINVAL);
    CHECK_OK(flock(b, LOCK_UN));

    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 10 };
    CHECK_OK(fcntl(a, F_OFD_SETLK, &lock));
    CHECK_ERRNO(fcntl(b, F_OFD_SETLK, &lock), EAGAIN);
    lock.l_start = 20;
    CHECK_OK(fcntl(b, F_OFD_SETLK, &lock));
    lock = (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0 };
    CHECK_OK(fcntl(b, F_OFD_GETLK, &lock));
    CHECK(lock.l_type == F_WRLCK && lock.l_start == 10 && lock.l_len == 10 && lock.l_pid == -1);
    lock = (struct flock){ .l_type = F_UNLCK, .l_whence = SEEK_SET };
    CHECK_OK(fcntl(a, F_OFD_SETLK, &lock));
    lock = (struct flock){ .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 5 };
    CHECK_OK(fcntl(a, F_SETLK, &lock));
    lock.l_type = F_WRLCK;
    CHECK_OK(fcntl(b, F_SETLK, &lock)); /* locks of one process do not conflict */
    CHECK_OK(fcntl(a, F_GETLK, &lock));
    CHECK_EQUAL(lock.l_type, F_UNLCK);
    lock = (struct flock){ .l_type = 77, .l_whence = SEEK_SET };
    CHECK_ERRNO(fcntl(a, F_SETLK, &lock), EINVAL);
    CHECK_OK(lockf(a, F_LOCK, 3));
    CHECK_OK(lockf(a, F_ULOCK, 3));
    close(a);
    close(b);
    unlink("/tmp/locks");
}

int main(void)
{
    duplicates();
    pipes();
    locks();
    return check_done();
}
