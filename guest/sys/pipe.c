/* pipe(2), pipe2(2). */
#include "fs/pipe.h"
#include "sys/syscall.h"

static long make_pipe(uaddr_t fds, uint32_t flags)
{
    struct file *ends[2];
    int fd[2];
    long err;

    if (flags & ~(uint32_t)(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
        return -EINVAL;
    err = pipe_create(flags, ends);
    if (err < 0)
        return err;
    fd[0] = fd_install(ends[0], 0, flags & O_CLOEXEC);
    if (fd[0] < 0) {
        err = fd[0];
        goto put_both;
    }
    fd[1] = fd_install(ends[1], 0, flags & O_CLOEXEC);
    if (fd[1] < 0) {
        err = fd[1];
        goto close_first;
    }
    if (copy_to_user(fds, fd, sizeof(fd)) == 0)
        return 0;
    fd_close(fd[1]);
    fd_close(fd[0]);
    return -EFAULT;

close_first:
    fd_close(fd[0]);
    file_put(ends[1]);
    return err;
put_both:
    file_put(ends[0]);
    file_put(ends[1]);
    return err;
}

SYSCALL_DEFINE1(pipe, uaddr_t, fds)
{
    return make_pipe(fds, 0);
}

SYSCALL_DEFINE2(pipe2, uaddr_t, fds, uint32_t, flags)
{
    return make_pipe(fds, flags);
}
