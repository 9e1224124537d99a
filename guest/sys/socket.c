/* Making, naming and connecting sockets, and their options. Messages are in socket_msg.c. */
#include "fs/fdtable.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "sys/socket_util.h"
#include "sys/syscall.h"

#define TYPE_FLAGS (SOCK_NONBLOCK | SOCK_CLOEXEC)

int socket_get_fd(int fd, struct file **ret_file, struct socket **ret)
{
    struct file *f = fd_get_io(fd);
    struct socket *s;

    if (!f)
        return -EBADF;
    s = socket_of(f);
    if (!s) {
        file_put(f);
        return -ENOTSOCK;
    }
    *ret_file = f;
    *ret = s;
    return 0;
}

int socket_addr_read(struct net_addr *ret, uaddr_t addr, int len)
{
    if (len < 0 || (size_t)len > sizeof(ret->bytes))
        return -EINVAL;
    ret->len = (uint32_t)len;
    memset(ret->bytes + len, 0, sizeof(ret->bytes) - (size_t)len);
    return len && copy_from_user(ret->bytes, addr, (size_t)len) < 0 ? -EFAULT : 0;
}

int socket_addr_write(const struct net_addr *a, uaddr_t addr, int max, uaddr_t len_addr)
{
    int len = (int)a->len;

    if (max < 0)
        return -EINVAL;
    if (copy_to_user(addr, a->bytes, (size_t)MIN(len, max)) < 0)
        return -EFAULT;
    return put_user(len, len_addr) < 0 ? -EFAULT : 0;
}

static int addr_out(const struct net_addr *a, uaddr_t addr, uaddr_t len_addr)
{
    int max;

    if (get_user(max, len_addr) < 0)
        return -EFAULT;
    return socket_addr_write(a, addr, max, len_addr);
}

/* --- making --- */

static struct file *make_socket(int family, int type, int protocol)
{
    struct socket *s = socket_create(family, type & ~TYPE_FLAGS, protocol);

    return is_err(s) ? (struct file *)s : socket_file(s, (uint32_t)type & O_NONBLOCK);
}

SYSCALL_DEFINE3(socket, int, family, int, type, int, protocol)
{
    if (type & ~(SOCK_TYPE_MASK | TYPE_FLAGS))
        return -EINVAL;
    return fd_install_or_put(make_socket(family, type, protocol), type & SOCK_CLOEXEC);
}

static long install_pair(struct file *a, struct file *b, uaddr_t fds, bool cloexec)
{
    int fd[2];

    fd[0] = fd_install(a, 0, cloexec);
    if (fd[0] < 0) {
        file_put(a);
        file_put(b);
        return fd[0];
    }
    fd[1] = fd_install(b, 0, cloexec);
    if (fd[1] < 0) {
        fd_close(fd[0]);
        file_put(b);
        return fd[1];
    }
    if (copy_to_user(fds, fd, sizeof(fd)) == 0)
        return 0;
    fd_close(fd[1]);
    fd_close(fd[0]);
    return -EFAULT;
}

SYSCALL_DEFINE4(socketpair, int, family, int, type, int, protocol, uaddr_t, fds)
{
    struct file *a, *b;

    if (type & ~(SOCK_TYPE_MASK | TYPE_FLAGS))
        return -EINVAL;
    a = make_socket(family, type, protocol);
    if (is_err(a))
        return ptr_err(a);
    b = make_socket(family, type, protocol);
    if (is_err(b) || family != AF_UNIX) {
        file_put(a);
        if (is_err(b))
            return ptr_err(b);
        file_put(b);
        return -EOPNOTSUPP;
    }
    unix_pair(socket_of(a), socket_of(b));
    return install_pair(a, b, fds, type & SOCK_CLOEXEC);
}

/* --- names and connections --- */

SYSCALL_DEFINE3(bind, int, fd, uaddr_t, user_addr, int, len)
{
    struct net_addr addr;
    struct socket *s;
    struct file *f;
    int err = socket_get_fd(fd, &f, &s);

    if (err < 0)
        return err;
    err = socket_addr_read(&addr, user_addr, len);
    if (err == 0)
        err = s->ops->bind ? s->ops->bind(s, &addr) : -EOPNOTSUPP;
    file_put(f);
    return err;
}

SYSCALL_DEFINE3(connect, int, fd, uaddr_t, user_addr, int, len)
{
    struct net_addr addr;
    struct socket *s;
    struct file *f;
    int err = socket_get_fd(fd, &f, &s);

    if (err < 0)
        return err;
    err = socket_addr_read(&addr, user_addr, len);
    if (err == 0)
        err = s->ops->connect ? s->ops->connect(s, &addr, socket_nonblock(f)) : -EOPNOTSUPP;
    file_put(f);
    return err;
}

SYSCALL_DEFINE2(listen, int, fd, uint32_t, backlog)
{
    struct socket *s;
    struct file *f;
    int err = socket_get_fd(fd, &f, &s);

    if (err < 0)
        return err;
    err = s->ops->listen ? s->ops->listen(s, (int)MIN(backlog, (uint32_t)SOMAXCONN)) : -EOPNOTSUPP;
    file_put(f);
    return err;
}

/* Take a connection and tell its peer's name. File or error. */
static struct file *accept_file(struct socket *s, bool nonblock, uaddr_t addr, uaddr_t len_addr, uint32_t flags)
{
    struct net_addr name = { 0 };
    struct socket *accepted;
    struct file *f;
    int err = 0;

    if (!s->ops->accept)
        return err_ptr(-EOPNOTSUPP);
    accepted = s->ops->accept(s, nonblock);
    if (is_err(accepted))
        return (struct file *)accepted;
    f = socket_file(accepted, flags & O_NONBLOCK);
    if (is_err(f) || !addr)
        return f;
    if (accepted->ops->getname(accepted, &name, true) < 0)
        err = -ECONNABORTED;
    else
        err = addr_out(&name, addr, len_addr);
    if (err == 0)
        return f;
    file_put(f);
    return err_ptr(err);
}

static long accept_fd(int fd, uaddr_t addr, uaddr_t len_addr, int flags)
{
    struct file *f, *accepted;
    struct socket *s;
    int err, new_fd;

    if (flags & ~TYPE_FLAGS)
        return -EINVAL;
    err = socket_get_fd(fd, &f, &s);
    if (err < 0)
        return err;
    new_fd = fd_reserve(0, flags & SOCK_CLOEXEC);
    if (new_fd >= 0) {
        accepted = accept_file(s, socket_nonblock(f), addr, len_addr, (uint32_t)flags);
        if (is_err(accepted)) {
            fd_unreserve(new_fd);
            new_fd = (int)ptr_err(accepted);
        } else {
            fd_fill(new_fd, accepted);
        }
    }
    file_put(f);
    return new_fd;
}

SYSCALL_DEFINE3(accept, int, fd, uaddr_t, addr, uaddr_t, len_addr)
{
    return accept_fd(fd, addr, len_addr, 0);
}

SYSCALL_DEFINE4(accept4, int, fd, uaddr_t, addr, uaddr_t, len_addr, int, flags)
{
    return accept_fd(fd, addr, len_addr, flags);
}

static long get_name(int fd, uaddr_t user_addr, uaddr_t len_addr, bool peer)
{
    struct net_addr addr = { 0 };
    struct socket *s;
    struct file *f;
    int err = socket_get_fd(fd, &f, &s);

    if (err < 0)
        return err;
    err = s->ops->getname ? s->ops->getname(s, &addr, peer) : -EOPNOTSUPP;
    if (err >= 0)
        err = addr_out(&addr, user_addr, len_addr);
    file_put(f);
    return err;
}

SYSCALL_DEFINE3(getsockname, int, fd, uaddr_t, addr, uaddr_t, len_addr)
{
    return get_name(fd, addr, len_addr, false);
}

SYSCALL_DEFINE3(getpeername, int, fd, uaddr_t, addr, uaddr_t, len_addr)
{
    return get_name(fd, addr, len_addr, true);
}

SYSCALL_DEFINE2(shutdown, int, fd, int, how)
{
    struct socket *s;
    struct file *f;
    int err = socket_get_fd(fd, &f, &s);

    if (err < 0)
        return err;
    if (how < SHUT_RD || how > SHUT_RDWR)
        err = -EINVAL;
    else
        err = s->ops->shutdown ? s->ops->shutdown(s, how) : -EOPNOTSUPP;
    file_put(f);
    return err;
}

/* --- options --- */

SYSCALL_DEFINE5(setsockopt, int, fd, int, level, int, name, uaddr_t, user_value, int, len)
{
    struct socket *s;
    struct file *f;
    uint32_t n;
    void *value;
    int err;

    if (len < 0)
        return -EINVAL;
    err = socket_get_fd(fd, &f, &s);
    if (err < 0)
        return err;
    n = MIN((uint32_t)len, OPTION_MAX);
    value = kzalloc(n + sizeof(uint64_t));
    if (!value)
        err = -ENOMEM;
    else if (copy_from_user(value, user_value, n) < 0)
        err = -EFAULT;
    else
        err = socket_set_option(s, level, name, value, n);
    kfree(value);
    file_put(f);
    return err;
}

SYSCALL_DEFINE5(getsockopt, int, fd, int, level, int, name, uaddr_t, user_value, uaddr_t, len_addr)
{
    uint8_t value[OPTION_MAX];
    struct socket *s;
    struct file *f;
    uint32_t n;
    int len, err = socket_get_fd(fd, &f, &s);

    if (err < 0)
        return err;
    if (get_user(len, len_addr) < 0) {
        err = -EFAULT;
    } else if (len < 0) {
        err = -EINVAL;
    } else {
        memset(value, 0, sizeof(value));
        n = MIN((uint32_t)len, OPTION_MAX);
        err = socket_get_option(s, level, name, value, &n);
        len = (int)n;
    }
    if (err == 0 && (copy_to_user(user_value, value, n) < 0 || put_user(len, len_addr) < 0))
        err = -EFAULT;
    file_put(f);
    return err;
}
