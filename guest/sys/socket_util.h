/* What the calls on sockets share. */
#ifndef SYS_SOCKET_UTIL_H
#define SYS_SOCKET_UTIL_H

#include "net/socket.h"

/* The socket of a descriptor; *ret_file is a reference to be put. -EBADF, -ENOTSOCK. */
int socket_get_fd(int fd, struct file **ret_file, struct socket **ret);

/* An address from the app (addr 0 or len 0: none): 0, -EINVAL, -EFAULT. */
int socket_addr_read(struct net_addr *ret, uaddr_t addr, int len);
/* An address to the app, cut to max bytes; its whole length to len_addr. */
int socket_addr_write(const struct net_addr *a, uaddr_t addr, int max, uaddr_t len_addr);

static inline bool socket_nonblock(const struct file *f)
{
    return f->flags & O_NONBLOCK;
}

#endif
