/* See tap.h. */
#include "devices/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"

#define OFFLOADS (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)

static void name_request(struct ifreq *r, const char *name)
{
    memset(r, 0, sizeof(*r));
    memcpy(r->ifr_name, name, strnlen(name, IFNAMSIZ - 1));
}

/* What only a socket can ask about a device. */
static int ask(const char *name, unsigned long request, struct ifreq *r)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

    if (fd < 0)
        return -errno;
    memcpy(r->ifr_name, name, TAP_NAME_SIZE);
    if (ioctl(fd, request, r) < 0)
        err = -errno;
    close(fd);
    return err;
}

static int bring_up(const char *name)
{
    struct ifreq r = { 0 };
    int err = ask(name, SIOCGIFFLAGS, &r);

    if (err < 0)
        return err;
    r.ifr_flags |= IFF_UP;
    return ask(name, SIOCSIFFLAGS, &r);
}

/* --- frames --- */

static int set_offloads(struct wire *w, uint32_t offloads)
{
    offloads &= w->offloads;
    return ioctl(w->fd, TUNSETOFFLOAD, (unsigned long)offloads) < 0 && offloads ? -errno : 0;
}

static ssize_t tap_read(struct wire *w, const struct iovec *iov, int count)
{
    ssize_t n = readv(w->fd, iov, count);

    return n < 0 ? -errno : n;
}

static ssize_t tap_write(struct wire *w, const struct iovec *iov, int count)
{
    ssize_t n = writev(w->fd, iov, count);

    return n < 0 ? -errno : n;
}

static void tap_close(struct wire *w)
{
    fd_close(&w->fd);
}

static const struct wire_ops tap_ops = {
    .read = tap_read,
    .write = tap_write,
    .set_offloads = set_offloads,
    .close = tap_close,
};

void tap_init(struct tap *tap, int fd, uint32_t mtu)
{
    *tap = (struct tap){ .wire = { .ops = &tap_ops, .fd = fd, .mtu = mtu, .host_offloads = true } };
}

/* --- opening --- */

static int attach(struct tap *tap, const char *name)
{
    int header = sizeof(struct virtio_net_hdr_v1);
    struct ifreq r;

    name_request(&r, name ? name : "vmm%d");
    r.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    if (ioctl(tap->wire.fd, TUNSETIFF, &r) < 0)
        return -errno;
    memcpy(tap->name, r.ifr_name, sizeof(tap->name));
    tap->name[sizeof(tap->name) - 1] = '\0';
    if (ioctl(tap->wire.fd, TUNSETVNETHDRSZ, &header) < 0)
        return -ENOTSUP;
    tap->wire.offloads = ioctl(tap->wire.fd, TUNSETOFFLOAD, (unsigned long)OFFLOADS) < 0 ? 0 : OFFLOADS;
    return set_offloads(&tap->wire, 0);
}

int tap_open(struct tap *tap, const char *name)
{
    struct ifreq r;
    int err = 0, fd;

    name_request(&r, name ? name : "");
    if (name && ask(r.ifr_name, SIOCGIFINDEX, &r) < 0) /* else it would be made */
        return -ENODEV;
    fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    tap_init(tap, fd, 0);
    err = attach(tap, name);
    if (!err && !name)
        err = bring_up(tap->name);
    if (!err) {
        memset(&r, 0, sizeof(r));
        err = ask(tap->name, SIOCGIFMTU, &r);
        tap->wire.mtu = (uint32_t)r.ifr_mtu;
    }
    if (err < 0)
        tap_close(&tap->wire);
    return err;
}
