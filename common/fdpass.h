/*
 * Messages with at most one descriptor over a SOCK_SEQPACKET pair (unix(7), SCM_RIGHTS).
 */
#ifndef COMMON_FDPASS_H
#define COMMON_FDPASS_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Send len bytes, and fd (borrowed) unless it is -1. flags: MSG_DONTWAIT or 0. Returns 0 or -errno; -EAGAIN
 * if the other side does not drain its socket.
 */
int fdpass_send(int sock, const void *data, size_t len, int fd, int flags);

/*
 * Receive one message of at most size bytes. *ret_fd is a new CLOEXEC descriptor, or -1. Descriptors beyond
 * the first are closed. Returns its length, 0 at the end of the stream, -EPROTO if it was longer than size
 * or carried more than one descriptor, or -errno.
 */
ssize_t fdpass_recv(int sock, void *data, size_t size, int flags, int *ret_fd);

#endif
