/*
 * Messages with a descriptor; see fdpass.h.
 */
#include "common/fdpass.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Room for a few more descriptors than are allowed, so that a surplus is seen and closed rather than cut. */
#define RECV_FDS 4

int fdpass_send(int sock, const void *data, size_t len, int fd, int flags)
{
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = { 0 };
    struct iovec iov;
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t n;

    memcpy(&iov.iov_base, &data, sizeof(data)); /* iovec has no const form */
    iov.iov_len = len;
    if (fd >= 0) {
        struct cmsghdr *c = &control.align;

        msg.msg_control = control.space;
        msg.msg_controllen = sizeof(control.space);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    }
    do
        n = sendmsg(sock, &msg, flags | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return (size_t)n == len ? 0 : -EMSGSIZE;
}

/* Collect the descriptors of a message; returns how many there were, keeps the first. */
static size_t take_fds(struct msghdr *msg, int *first)
{
    size_t count = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t off = CMSG_LEN(0); off + sizeof(int) <= c->cmsg_len; off += sizeof(int)) {
            int fd;

            memcpy(&fd, (const char *)c + off, sizeof(fd));
            if (count++ == 0)
                *first = fd;
            else
                close(fd);
        }
    }
    return count;
}

ssize_t fdpass_recv(int sock, void *data, size_t size, int flags, int *ret_fd)
{
    union {
        char space[CMSG_SPACE(RECV_FDS * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = { data, size };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.space,
                          .msg_controllen = sizeof(control.space) };
    int first = -1;
    size_t count;
    ssize_t n;

    do
        n = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    count = take_fds(&msg, &first);
    if (count > 1 || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        if (first >= 0)
            close(first);
        return -EPROTO;
    }
    *ret_fd = first;
    return n;
}
