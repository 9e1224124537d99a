/* Sending and receiving messages: send(2), recv(2), sendmmsg(2), recvmmsg(2). */
#include "arch/cpu.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "sys/file_util.h"
#include "sys/socket_util.h"
#include "sys/syscall.h"
#include "sys/timespec.h"

#include <linux/uio.h>

#define CONTROL_MAX 20480u /* /proc/sys/net/core/optmem_max */

/* One message header of the app's, taken in: what is to be released by msg_done. */
struct taken {
    struct msghdr_wire hdr;
    struct iter iter;
    struct iter_segment fast[SEGMENTS_ON_STACK];
    void *segments;
    void *control;
    struct net_addr addr;
};

static uint32_t call_flags(const struct file *f, uint32_t flags)
{
    return (flags & ~MSG_CMSG_COMPAT) | (socket_nonblock(f) ? MSG_DONTWAIT : 0);
}

static int take_header(struct taken *t, uaddr_t user_hdr)
{
    int err;

    t->segments = t->control = NULL;
    if (get_user(t->hdr, user_hdr) < 0)
        return -EFAULT;
    if (!t->hdr.name)
        t->hdr.name_len = 0;
    if (t->hdr.name_len < 0)
        return -EINVAL;
    t->hdr.name_len = MIN(t->hdr.name_len, (int)sizeof(t->addr.bytes));
    if (t->hdr.iov_count > UIO_MAXIOV)
        return -EMSGSIZE;
    err = iter_import(&t->iter, t->fast, t->hdr.iov, t->hdr.iov_count, &t->segments);
    return err;
}

static void msg_done(struct taken *t)
{
    kfree(t->segments);
    kfree(t->control);
}

/* --- sending --- */

static int take_control(struct taken *t)
{
    size_t n = t->hdr.control_len;

    if (n == 0 || !t->hdr.control)
        return 0;
    if (n > CONTROL_MAX)
        return -ENOBUFS;
    t->control = kmalloc(n);
    if (!t->control)
        return -ENOBUFS;
    return copy_from_user(t->control, t->hdr.control, n) < 0 ? -EFAULT : 0;
}

static ssize_t send_one(struct file *f, struct socket *s, uaddr_t user_hdr, uint32_t flags)
{
    struct taken t;
    ssize_t ret = take_header(&t, user_hdr);

    if (ret == 0)
        ret = socket_addr_read(&t.addr, t.hdr.name, t.hdr.name_len);
    if (ret == 0)
        ret = take_control(&t);
    if (ret == 0) {
        struct socket_msg msg = { .data = &t.iter, .flags = call_flags(f, flags), .control = t.control,
                                  .control_len = t.control ? t.hdr.control_len : 0,
                                  .addr = t.addr.len ? &t.addr : NULL };

        ret = socket_send(s, &msg);
    }
    msg_done(&t);
    return ret;
}

SYSCALL_DEFINE3(sendmsg, int, fd, uaddr_t, hdr, uint32_t, flags)
{
    struct socket *s;
    struct file *f;
    ssize_t ret = socket_get_fd(fd, &f, &s);

    if (ret < 0)
        return ret;
    ret = send_one(f, s, hdr, flags);
    file_put(f);
    return ret;
}

SYSCALL_DEFINE4(sendmmsg, int, fd, uaddr_t, vec, uint32_t, count, uint32_t, flags)
{
    struct socket *s;
    struct file *f;
    uint32_t done = 0;
    ssize_t ret = socket_get_fd(fd, &f, &s);

    if (ret < 0)
        return ret;
    count = MIN(count, (uint32_t)UIO_MAXIOV);
    while (done < count) {
        uaddr_t at = vec + done * sizeof(struct mmsghdr_wire);
        uint32_t len;

        ret = send_one(f, s, at, flags);
        if (ret < 0)
            break;
        len = (uint32_t)ret;
        ret = put_user(len, at + offsetof(struct mmsghdr_wire, len));
        if (ret < 0)
            break;
        done++;
    }
    file_put(f);
    return done ? (long)done : ret;
}

static int plain_buffer(struct iter *it, struct iter_segment *seg, uaddr_t buf, size_t n)
{
    n = MIN(n, MAX_RW_COUNT);
    if (!user_range(buf, n))
        return -EFAULT;
    iter_user(it, seg, buf, n);
    return 0;
}

SYSCALL_DEFINE6(sendto, int, fd, uaddr_t, buf, size_t, n, uint32_t, flags, uaddr_t, user_addr, int, len)
{
    struct iter_segment seg;
    struct net_addr addr;
    struct iter it;
    struct socket *s;
    struct file *f;
    ssize_t ret = plain_buffer(&it, &seg, buf, n);

    if (ret < 0)
        return ret;
    ret = socket_get_fd(fd, &f, &s);
    if (ret < 0)
        return ret;
    addr.len = 0;
    if (user_addr)
        ret = socket_addr_read(&addr, user_addr, len);
    if (ret == 0) {
        struct socket_msg msg = { .data = &it, .flags = call_flags(f, flags), .addr = addr.len ? &addr : NULL };

        ret = socket_send(s, &msg);
    }
    file_put(f);
    return ret;
}

/* --- receiving --- */

/* What the call tells beside the bytes. */
static int put_header(const struct taken *t, const struct socket_msg *msg, uaddr_t user_hdr, uint32_t flags)
{
    uint32_t out = msg->out_flags | (flags & MSG_CMSG_CLOEXEC);
    uint64_t used = t->hdr.control_len - msg->control_room;
    int err = 0;

    if (t->hdr.name)
        err = socket_addr_write(&t->addr, t->hdr.name, t->hdr.name_len, user_hdr + offsetof(struct msghdr_wire, name_len));
    if (err == 0 && put_user(out, user_hdr + offsetof(struct msghdr_wire, flags)) < 0)
        err = -EFAULT;
    if (err == 0 && put_user(used, user_hdr + offsetof(struct msghdr_wire, control_len)) < 0)
        err = -EFAULT;
    return err;
}

static ssize_t recv_one(struct file *f, struct socket *s, uaddr_t user_hdr, uint32_t flags)
{
    struct taken t;
    ssize_t ret = take_header(&t, user_hdr);

    if (ret == 0) {
        struct socket_msg msg = { .data = &t.iter, .flags = call_flags(f, flags), .addr = t.hdr.name ? &t.addr : NULL,
                                  .control_to = t.hdr.control, .control_room = t.hdr.control_len };
        int err;

        t.addr.len = 0;
        ret = s->ops->recv(s, &msg);
        err = ret >= 0 ? put_header(&t, &msg, user_hdr, flags) : 0;
        if (err < 0)
            ret = err;
    }
    msg_done(&t);
    return ret;
}

SYSCALL_DEFINE3(recvmsg, int, fd, uaddr_t, hdr, uint32_t, flags)
{
    struct socket *s;
    struct file *f;
    ssize_t ret = socket_get_fd(fd, &f, &s);

    if (ret < 0)
        return ret;
    ret = recv_one(f, s, hdr, flags);
    file_put(f);
    return ret;
}

/* The deadline is looked at between messages only (recvmmsg(2), BUGS). */
static ssize_t recv_many(struct file *f, struct socket *s, uaddr_t vec, uint32_t count, uint32_t flags, uint64_t deadline_ns)
{
    uint32_t done = 0;
    ssize_t ret = socket_take_error(s);

    while (ret >= 0 && done < count) {
        uaddr_t at = vec + done * sizeof(struct mmsghdr_wire);
        uint32_t len;

        ret = recv_one(f, s, at, flags & ~MSG_WAITFORONE);
        if (ret < 0)
            break;
        len = (uint32_t)ret;
        ret = put_user(len, at + offsetof(struct mmsghdr_wire, len));
        if (ret < 0)
            break;
        done++;
        if (flags & MSG_WAITFORONE)
            flags |= MSG_DONTWAIT;
        if (deadline_ns != NEVER && clock_mono_ns() >= deadline_ns)
            break;
    }
    if (done == 0)
        return ret;
    if (ret < 0 && ret != -EAGAIN && ret != -ERESTARTSYS && ret != -EINTR)
        s->error = (int)-ret; /* for the next call */
    return (ssize_t)done;
}

SYSCALL_DEFINE5(recvmmsg, int, fd, uaddr_t, vec, uint32_t, count, uint32_t, flags, uaddr_t, timeout)
{
    uint64_t ns, deadline_ns = NEVER;
    struct socket *s;
    struct file *f;
    ssize_t ret = timeout ? timespec_read(timeout, &ns) : 0;

    if (ret < 0)
        return ret;
    if (timeout)
        deadline_ns = deadline_after(ns);
    ret = socket_get_fd(fd, &f, &s);
    if (ret < 0)
        return ret;
    ret = recv_many(f, s, vec, count, flags, deadline_ns);
    file_put(f);
    if (ret > 0 && timeout && timespec_write(timeout, time_left(deadline_ns)) < 0)
        return -EFAULT;
    return ret;
}

SYSCALL_DEFINE6(recvfrom, int, fd, uaddr_t, buf, size_t, n, uint32_t, flags, uaddr_t, user_addr, uaddr_t, len_addr)
{
    struct iter_segment seg;
    struct net_addr addr;
    struct iter it;
    struct socket *s;
    struct file *f;
    int max;
    ssize_t ret = plain_buffer(&it, &seg, buf, n);

    if (ret < 0)
        return ret;
    ret = socket_get_fd(fd, &f, &s);
    if (ret < 0)
        return ret;
    struct socket_msg msg = { .data = &it, .flags = call_flags(f, flags), .addr = user_addr ? &addr : NULL };
    addr.len = 0;
    ret = s->ops->recv(s, &msg);
    file_put(f);
    if (ret < 0 || !user_addr)
        return ret;
    if (get_user(max, len_addr) < 0)
        return -EFAULT;
    max = socket_addr_write(&addr, user_addr, max, len_addr);
    return max < 0 ? max : ret;
}
