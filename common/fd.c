/*
 * Ownership of file descriptors; see fd.h.
 */
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

void fd_close(int *fd)
{
    int saved = errno;

    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    errno = saved;
}

int fd_take(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}

int fd_dup(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    return copy < 0 ? -errno : copy;
}

/* The smallest descriptor >= from in keep[], or -1. */
static int next_kept(const int *keep, size_t keep_count, unsigned from)
{
    int next = -1;

    for (size_t i = 0; i < keep_count; i++) {
        if (keep[i] >= 0 && (unsigned)keep[i] >= from && (next < 0 || keep[i] < next))
            next = keep[i];
    }
    return next;
}

int fd_close_others(const int *keep, size_t keep_count)
{
    unsigned from = STDERR_FILENO + 1;

    for (;;) {
        int kept = next_kept(keep, keep_count, from);
        unsigned last = kept < 0 ? UINT_MAX : (unsigned)kept - 1;

        if (from <= last && syscall(SYS_close_range, from, last, 0) < 0)
            return -errno;
        if (kept < 0)
            return 0;
        from = (unsigned)kept + 1;
    }
}

void fd_signal_event(int fd)
{
    static const uint64_t one = 1;
    ssize_t n;

    do
        n = write(fd, &one, sizeof(one));
    while (n < 0 && errno == EINTR);
}

uint64_t fd_take_event(int fd)
{
    uint64_t count = 0;
    ssize_t n;

    do
        n = read(fd, &count, sizeof(count));
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof(count) ? count : 0;
}
