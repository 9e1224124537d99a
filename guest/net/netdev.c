/* The list of network devices, and the ioctls of netdevice(7) that ask for them. Nothing can be changed from inside. */
#include "net/netdev.h"

#include <linux/rtnetlink.h>
#include <linux/sockios.h>

#include "arch/uaccess.h"
#include "lib/string.h"
#include "net/socket.h"

#define ARPHRD_LOOPBACK 772 /* <linux/if_arp.h> wants the C library */

static struct netdev loopback = {
    .index = 1,
    .name = "lo",
    .flags = NETDEV_UP | NETDEV_LOOPBACK | NETDEV_RUNNING | NETDEV_LOWER_UP,
    .mtu = 65536,
    .tx_queue_len = 1000,
    .type = ARPHRD_LOOPBACK,
    .addrs = { { AF_INET, { 127, 0, 0, 1 }, 8, RT_SCOPE_HOST }, { AF_INET6, { [15] = 1 }, 128, RT_SCOPE_HOST } },
    .addr_count = 2,
};

static struct list devices;

struct list *netdev_all(void)
{
    if (!devices.next) {
        list_init(&devices);
        list_push_back(&devices, &loopback.node);
    }
    return &devices;
}

struct netdev *netdev_by_index(int index)
{
    struct netdev *d;

    list_for_each(d, netdev_all(), node) {
        if (d->index == index)
            return d;
    }
    return NULL;
}

struct netdev *netdev_by_name(const char *name)
{
    struct netdev *d;

    list_for_each(d, netdev_all(), node) {
        if (strcmp(d->name, name) == 0)
            return d;
    }
    return NULL;
}

/* --- ioctls --- */

struct ifreq_wire {
    char name[16];
    union {
        struct sockaddr_in addr;
        struct {
            uint16_t family;
            uint8_t bytes[6];
        } hw;
        int16_t flags;
        int32_t value;
        uint8_t room[24];
    };
};
_Static_assert(sizeof(struct ifreq_wire) == 40, "as struct ifreq");

struct ifconf_wire {
    int len;
    int pad;
    uaddr_t buf;
};

static const struct netdev_addr *first_v4(const struct netdev *d)
{
    for (size_t i = 0; i < d->addr_count; i++) {
        if (d->addrs[i].family == AF_INET)
            return &d->addrs[i];
    }
    return NULL;
}

static int put_addr(const struct netdev *d, struct ifreq_wire *r, uint32_t cmd)
{
    const struct netdev_addr *a = first_v4(d);
    uint32_t mask = 0;

    if (!a)
        return -EADDRNOTAVAIL;
    memset(r->room, 0, sizeof(r->room));
    r->addr.sin_family = AF_INET;
    if (cmd == SIOCGIFADDR || cmd == SIOCGIFDSTADDR) {
        memcpy(&r->addr.sin_addr, a->addr, 4);
    } else if (cmd == SIOCGIFNETMASK) {
        for (int i = 0; i < 4; i++) {
            int bits = MIN(MAX(a->prefix_len - 8 * i, 0), 8);

            mask |= (uint32_t)(0xff00 >> bits & 0xff) << 8 * i;
        }
        memcpy(&r->addr.sin_addr, &mask, 4);
    }
    return 0;
}

static int ask(const struct netdev *d, struct ifreq_wire *r, uint32_t cmd)
{
    switch (cmd) {
    case SIOCGIFFLAGS:
        r->flags = (int16_t)d->flags;
        return 0;
    case SIOCGIFADDR:
    case SIOCGIFDSTADDR:
    case SIOCGIFBRDADDR:
    case SIOCGIFNETMASK:
        return put_addr(d, r, cmd);
    case SIOCGIFMETRIC:
        r->value = 0;
        return 0;
    case SIOCGIFMTU:
        r->value = (int32_t)d->mtu;
        return 0;
    case SIOCGIFTXQLEN:
        r->value = (int32_t)d->tx_queue_len;
        return 0;
    case SIOCGIFINDEX:
        r->value = d->index;
        return 0;
    case SIOCGIFHWADDR:
        memset(r->room, 0, sizeof(r->room));
        r->hw.family = d->type;
        memcpy(r->hw.bytes, d->hwaddr, 6);
        return 0;
    case SIOCGIFMAP:
        memset(r->room, 0, sizeof(r->room));
        return 0;
    case SIOCETHTOOL: /* no device knows any of its commands */
        return -EOPNOTSUPP;
    default:
        return -EINVAL;
    }
}

static long list_devices(uaddr_t arg)
{
    struct ifconf_wire c;
    struct netdev *d;
    int used = 0;

    if (get_user(c, arg) < 0)
        return -EFAULT;
    list_for_each(d, netdev_all(), node) {
        struct ifreq_wire r = { 0 };

        if (!first_v4(d))
            continue;
        if (c.buf && c.len - used < (int)sizeof(r))
            break;
        memcpy(r.name, d->name, sizeof(r.name));
        put_addr(d, &r, SIOCGIFADDR);
        if (c.buf && put_user(r, c.buf + (uint64_t)used) < 0)
            return -EFAULT;
        used += (int)sizeof(r);
    }
    c.len = used;
    return put_user(c, arg);
}

static long get_name(uaddr_t arg)
{
    struct ifreq_wire r;
    struct netdev *d;

    if (get_user(r, arg) < 0)
        return -EFAULT;
    d = netdev_by_index(r.value);
    if (!d)
        return -ENODEV;
    memcpy(r.name, d->name, sizeof(r.name));
    return put_user(r, arg);
}

long netdev_ioctl(uint32_t cmd, uaddr_t arg)
{
    struct ifreq_wire r;
    struct netdev *d;
    int err;

    switch (cmd) {
    case SIOCGIFCONF:
        return list_devices(arg);
    case SIOCGIFNAME:
        return get_name(arg);
    case SIOCSIFFLAGS:
    case SIOCSIFADDR:
    case SIOCSIFNETMASK:
    case SIOCSIFMTU:
    case SIOCADDRT:
    case SIOCDELRT:
        return -EPERM;
    case SIOCGIFFLAGS:
    case SIOCGIFADDR:
    case SIOCGIFDSTADDR:
    case SIOCGIFBRDADDR:
    case SIOCGIFNETMASK:
    case SIOCGIFMETRIC:
    case SIOCGIFMTU:
    case SIOCGIFTXQLEN:
    case SIOCGIFINDEX:
    case SIOCGIFHWADDR:
    case SIOCGIFMAP:
    case SIOCETHTOOL:
        break;
    default:
        return -ENOIOCTLCMD;
    }
    if (get_user(r, arg) < 0)
        return -EFAULT;
    r.name[sizeof(r.name) - 1] = '\0';
    d = netdev_by_name(r.name);
    if (!d)
        return -ENODEV;
    err = ask(d, &r, cmd);
    return err < 0 ? err : put_user(r, arg);
}
