/* The options of SOL_SOCKET (socket(7)) that are the same for all families. */
#include <linux/capability.h>

#include "lib/string.h"
#include "net/socket.h"
#include "proc/pidfd.h"
#include "proc/process.h"

#define SNDBUF_MIN 4608u
#define RCVBUF_MIN 2304u

void socket_options_init(struct socket_options *o)
{
    *o = (struct socket_options){ .sndbuf = BUFFER_DEFAULT, .rcvbuf = BUFFER_DEFAULT, .send_timeout_ns = NEVER,
                                  .recv_timeout_ns = NEVER, .rcvlowat = 1, .peek_offset = -1, .incoming_cpu = -1 };
}

int option_int(const void *value, uint32_t len, int *ret)
{
    if (len < sizeof(*ret))
        return -EINVAL;
    memcpy(ret, value, sizeof(*ret));
    return 0;
}

int option_put(void *buf, uint32_t *len, const void *value, size_t size)
{
    *len = (uint32_t)MIN((size_t)*len, size);
    memcpy(buf, value, *len);
    return 0;
}

int option_put_int(void *buf, uint32_t *len, int value)
{
    return option_put(buf, len, &value, sizeof(value));
}

/* --- those that are a flag --- */

struct flag {
    int name;
    size_t offset;
};

#define FLAG(name_, field) { name_, offsetof(struct socket_options, field) }

static const struct flag flags[] = {
    FLAG(SO_DEBUG, debug), FLAG(SO_REUSEADDR, reuseaddr), FLAG(SO_REUSEPORT, reuseport), FLAG(SO_DONTROUTE, dontroute),
    FLAG(SO_BROADCAST, broadcast), FLAG(SO_KEEPALIVE, keepalive), FLAG(SO_OOBINLINE, oobinline),
    FLAG(SO_RXQ_OVFL, rxq_overflow), FLAG(SO_NOFCS, nofcs), FLAG(SO_SELECT_ERR_QUEUE, select_err_queue),
};

static bool *flag_of(struct socket *s, int name)
{
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        if (flags[i].name == name)
            return (bool *)((char *)&s->opt + flags[i].offset);
    }
    return NULL;
}

/* --- setting --- */

static int set_linger(struct socket *s, const void *value, uint32_t len)
{
    int linger[2];

    if (len < sizeof(linger))
        return -EINVAL;
    memcpy(linger, value, sizeof(linger));
    s->opt.linger = linger[0] != 0;
    if (s->opt.linger)
        s->opt.linger_seconds = linger[1];
    return 0;
}

static int set_timeout(uint64_t *ret_ns, const void *value, uint32_t len)
{
    int64_t tv[2];

    if (len < sizeof(tv))
        return -EINVAL;
    memcpy(tv, value, sizeof(tv));
    if (tv[1] < 0 || tv[1] >= 1000000)
        return -EDOM;
    if (tv[0] < 0)
        *ret_ns = 0;
    else if ((tv[0] == 0 && tv[1] == 0) || tv[0] >= (int64_t)(NEVER / NSEC_PER_SEC) - 1)
        *ret_ns = NEVER;
    else
        *ret_ns = (uint64_t)tv[0] * NSEC_PER_SEC + (uint64_t)tv[1] * 1000;
    return 0;
}

/* Linux doubles what is asked for, to make room for its own overhead (socket(7)). */
static uint32_t buffer_size(int value, bool force, uint32_t min)
{
    uint32_t wish = value < 0 && force ? 0 : (uint32_t)value;

    wish = MIN(wish, force ? (uint32_t)INT32_MAX / 2 : BUFFER_DEFAULT);
    return MAX(wish * 2, min);
}

static int set_buffer(struct socket *s, int name, int value)
{
    bool force = name == SO_SNDBUFFORCE || name == SO_RCVBUFFORCE;

    if (force && !capable(CAP_NET_ADMIN))
        return -EPERM;
    if (name == SO_RCVBUF || name == SO_RCVBUFFORCE) {
        s->opt.rcvbuf = buffer_size(value, force, RCVBUF_MIN);
        return 0;
    }
    s->opt.sndbuf = buffer_size(value, force, SNDBUF_MIN);
    s->opt.sndbuf_set = true;
    if (s->ops->write_space)
        s->ops->write_space(s);
    return 0;
}

static int set_timestamp(struct socket *s, bool ns, bool on)
{
    s->opt.timestamp = on;
    s->opt.timestamp_ns = on && ns;
    return 0;
}

static int set_of_unix(struct socket *s, int name, int value)
{
    if (s->family != AF_UNIX && s->family != AF_NETLINK)
        return -EOPNOTSUPP;
    if (name == SO_PASSCRED)
        s->opt.passcred = value != 0;
    else
        s->opt.passpidfd = value != 0;
    return 0;
}

static int set_int(struct socket *s, int name, int value)
{
    switch (name) {
    case SO_SNDBUF:
    case SO_RCVBUF:
    case SO_SNDBUFFORCE:
    case SO_RCVBUFFORCE:
        return set_buffer(s, name, value);
    case SO_PRIORITY:
        if ((value < 0 || value > 6) && !capable(CAP_NET_RAW) && !capable(CAP_NET_ADMIN))
            return -EPERM;
        s->opt.priority = value;
        return 0;
    case SO_PASSCRED:
    case SO_PASSPIDFD:
        return set_of_unix(s, name, value);
    case SO_TIMESTAMP_OLD:
    case SO_TIMESTAMPNS_OLD:
        return set_timestamp(s, name == SO_TIMESTAMPNS_OLD, value != 0);
    case SO_RCVLOWAT:
        s->opt.rcvlowat = value < 0 ? INT32_MAX : value ? value : 1;
        return 0;
    case SO_MARK:
        if (!capable(CAP_NET_ADMIN) && !capable(CAP_NET_RAW))
            return -EPERM;
        s->opt.mark = value;
        return 0;
    case SO_PEEK_OFF:
        if (s->family != AF_UNIX && s->type != SOCK_DGRAM)
            return -EOPNOTSUPP;
        s->opt.peek_offset = value;
        return 0;
    case SO_INCOMING_CPU:
        s->opt.incoming_cpu = value;
        return 0;
    case SO_BUSY_POLL: /* there is no device to poll */
        return value < 0 ? -EINVAL : 0;
    case SO_TYPE:
    case SO_PROTOCOL:
    case SO_DOMAIN:
    case SO_ERROR:
    case SO_ACCEPTCONN:
    case SO_PEERCRED:
    case SO_SNDLOWAT:
    default:
        return -ENOPROTOOPT;
    }
}

/* Only the loopback device is there. */
static int bind_to_device(const void *value, uint32_t len)
{
    char name[16] = { 0 };

    memcpy(name, value, MIN(len, sizeof(name) - 1));
    return name[0] == '\0' || strcmp(name, "lo") == 0 ? 0 : -ENODEV;
}

static int set_of_socket(struct socket *s, int name, const void *value, uint32_t len)
{
    bool *flag;
    int v, err;

    if (name == SO_BINDTODEVICE)
        return bind_to_device(value, len);
    err = option_int(value, len, &v);
    if (err < 0)
        return err;
    flag = flag_of(s, name);
    if (flag) {
        *flag = v != 0;
        return 0;
    }
    switch (name) {
    case SO_LINGER:
        return set_linger(s, value, len);
    case SO_RCVTIMEO_OLD:
    case SO_RCVTIMEO_NEW:
        return set_timeout(&s->opt.recv_timeout_ns, value, len);
    case SO_SNDTIMEO_OLD:
    case SO_SNDTIMEO_NEW:
        return set_timeout(&s->opt.send_timeout_ns, value, len);
    default:
        return set_int(s, name, v);
    }
}

int socket_set_option(struct socket *s, int level, int name, const void *value, uint32_t len)
{
    int err;

    if (level == SOL_SOCKET) {
        err = set_of_socket(s, name, value, len);
        if (err == 0 && s->ops->option_set)
            s->ops->option_set(s, name);
        if (err != -ENOPROTOOPT)
            return err;
    }
    return s->ops->setsockopt ? s->ops->setsockopt(s, level, name, value, len) : level == SOL_SOCKET ? -ENOPROTOOPT : -EOPNOTSUPP;
}

/* --- asking --- */

static int get_timeout(uint64_t ns, void *buf, uint32_t *len)
{
    int64_t tv[2] = { 0, 0 };

    if (ns != NEVER) {
        tv[0] = (int64_t)(ns / NSEC_PER_SEC);
        tv[1] = (int64_t)(ns % NSEC_PER_SEC / 1000);
    }
    return option_put(buf, len, tv, sizeof(tv));
}

static int get_linger(const struct socket *s, void *buf, uint32_t *len)
{
    int linger[2] = { s->opt.linger, s->opt.linger_seconds };

    return option_put(buf, len, linger, sizeof(linger));
}

static int get_peer_pidfd(const struct socket *s, void *buf, uint32_t *len)
{
    struct process *p;
    int fd;

    if (s->peer_cred.pid == 0)
        return -ENODATA;
    p = process_find((int)s->peer_cred.pid);
    fd = p ? pidfd_install(p, 0) : -ESRCH;
    return fd < 0 ? fd : option_put_int(buf, len, fd);
}

static int get_peer_name(struct socket *s, void *buf, uint32_t *len)
{
    struct net_addr addr = { 0 };
    int err = s->ops->getname ? s->ops->getname(s, &addr, true) : -ENOTCONN;

    if (err < 0)
        return -ENOTCONN;
    if (addr.len < *len)
        return -EINVAL;
    return option_put(buf, len, addr.bytes, addr.len);
}

static int get_number(struct socket *s, int name, int *ret)
{
    const struct socket_options *o = &s->opt;
    const bool *flag = flag_of(s, name);

    *ret = 0;
    if (flag) {
        *ret = *flag;
        return 0;
    }
    switch (name) {
    case SO_TYPE:
        *ret = s->type;
        break;
    case SO_PROTOCOL:
        *ret = s->protocol;
        break;
    case SO_DOMAIN:
        *ret = s->family;
        break;
    case SO_ERROR:
        *ret = -socket_take_error(s);
        break;
    case SO_ACCEPTCONN:
        *ret = s->listening;
        break;
    case SO_SNDBUF:
        *ret = (int)o->sndbuf;
        break;
    case SO_RCVBUF:
        *ret = (int)o->rcvbuf;
        break;
    case SO_PRIORITY:
        *ret = o->priority;
        break;
    case SO_PASSCRED:
    case SO_PASSPIDFD:
        if (s->family != AF_UNIX && s->family != AF_NETLINK)
            return -EOPNOTSUPP;
        *ret = name == SO_PASSCRED ? o->passcred : o->passpidfd;
        break;
    case SO_TIMESTAMP_OLD:
        *ret = o->timestamp && !o->timestamp_ns;
        break;
    case SO_TIMESTAMPNS_OLD:
        *ret = o->timestamp_ns;
        break;
    case SO_RCVLOWAT:
        *ret = o->rcvlowat;
        break;
    case SO_SNDLOWAT:
        *ret = 1;
        break;
    case SO_MARK:
        *ret = o->mark;
        break;
    case SO_PEEK_OFF:
        if (s->family != AF_UNIX && s->type != SOCK_DGRAM)
            return -EOPNOTSUPP;
        *ret = o->peek_offset;
        break;
    case SO_INCOMING_CPU:
        *ret = o->incoming_cpu;
        break;
    case SO_BUSY_POLL:
    case SO_ZEROCOPY:
        break;
    default:
        return -ENOPROTOOPT;
    }
    return 0;
}

static int get_of_socket(struct socket *s, int name, void *buf, uint32_t *len)
{
    int value, err;

    switch (name) {
    case SO_LINGER:
        return get_linger(s, buf, len);
    case SO_RCVTIMEO_OLD:
    case SO_RCVTIMEO_NEW:
        return get_timeout(s->opt.recv_timeout_ns, buf, len);
    case SO_SNDTIMEO_OLD:
    case SO_SNDTIMEO_NEW:
        return get_timeout(s->opt.send_timeout_ns, buf, len);
    case SO_PEERCRED:
        return option_put(buf, len, &s->peer_cred, sizeof(s->peer_cred));
    case SO_PEERPIDFD:
        return get_peer_pidfd(s, buf, len);
    case SO_PEERNAME:
        return get_peer_name(s, buf, len);
    case SO_BINDTODEVICE:
        return option_put(buf, len, "", 0);
    case SO_COOKIE: {
        uint64_t cookie = socket_inode_number(s);

        if (*len < sizeof(cookie))
            return -EINVAL;
        return option_put(buf, len, &cookie, sizeof(cookie));
    }
    default:
        err = get_number(s, name, &value);
        return err < 0 ? err : option_put_int(buf, len, value);
    }
}

int socket_get_option(struct socket *s, int level, int name, void *buf, uint32_t *len)
{
    int err;

    if (level == SOL_SOCKET) {
        err = get_of_socket(s, name, buf, len);
        if (err != -ENOPROTOOPT)
            return err;
    }
    return s->ops->getsockopt ? s->ops->getsockopt(s, level, name, buf, len) : level == SOL_SOCKET ? -ENOPROTOOPT : -EOPNOTSUPP;
}
