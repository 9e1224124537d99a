/*
 * The shim's virtio-net driver against a device that no one here wrote: the Linux kernel's vhost-net, on a tap.
 *
 *   net_client TAP
 *
 * The driver's objects are the product's own (guest/drivers/virtio_net.c, virtq.c). The tap's other side is a packet socket here.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hypercalls/layout.h"
#include "tests/conformance/client.h"

#define QUEUES 2u
#define TYPE 0x88b5

static int vhost, tap, packets, kicks[QUEUES], calls[QUEUES];
static uint64_t features;
static const struct virtio_net_config config = { .mac = { 2, 0, 0, 0, 0, 9 }, .status = VIRTIO_NET_S_LINK_UP };

static void control(unsigned long request, void *argument, const char *what)
{
    if (ioctl(vhost, request, argument) < 0)
        host_fail("%s: %s", what, strerror(errno));
}

/* --- the device --- */

/* The configuration space isn't vhost's: what it can't do is not for it to offer. */
uint64_t host_get_features(void)
{
    control(VHOST_GET_FEATURES, &features, "features");
    return features | 1ull << VIRTIO_NET_F_MAC;
}

void host_set_features(uint64_t taken)
{
    taken &= features;
    control(VHOST_SET_FEATURES, &taken, "features");
}

void host_get_config(uint32_t offset, void *buf, uint32_t len)
{
    if (offset + len > sizeof(config))
        host_fail("configuration: no byte %u", offset);
    memcpy(buf, (const uint8_t *)&config + offset, len);
}

void host_set_queue(uint32_t index, uint32_t size, uint64_t desc, uint64_t avail, uint64_t used)
{
    struct vhost_vring_state num = { index, size }, base = { index, 0 };
    struct vhost_vring_addr addr = { .index = index, .desc_user_addr = DIRECT_BASE + desc, .avail_user_addr = DIRECT_BASE + avail,
                                     .used_user_addr = DIRECT_BASE + used };
    struct vhost_vring_file kick = { index, kicks[index] }, call = { index, calls[index] };

    control(VHOST_SET_VRING_NUM, &num, "size");
    control(VHOST_SET_VRING_BASE, &base, "base");
    control(VHOST_SET_VRING_ADDR, &addr, "ring");
    control(VHOST_SET_VRING_KICK, &kick, "kick");
    control(VHOST_SET_VRING_CALL, &call, "call");
}

void host_start(void)
{
    for (uint32_t i = 0; i < QUEUES; i++)
        control(VHOST_NET_SET_BACKEND, &(struct vhost_vring_file){ i, tap }, "tap");
}

void host_kick(uint32_t index)
{
    eventfd_write(kicks[index], 1);
}

bool host_wait_call(uint32_t index, int timeout_ms)
{
    struct pollfd p = { calls[index], POLLIN, 0 };
    eventfd_t n;

    return poll(&p, 1, timeout_ms) > 0 && eventfd_read(calls[index], &n) == 0;
}

/* --- the other side --- */

void host_send_frame(const uint8_t *frame, uint32_t len)
{
    if (send(packets, frame, len, 0) != (ssize_t)len)
        host_fail("a frame of %u bytes: %s", len, strerror(errno));
}

uint32_t host_receive_frame(uint8_t *frame, uint32_t size, int timeout_ms)
{
    struct pollfd p = { packets, POLLIN, 0 };
    ssize_t n;

    if (poll(&p, 1, timeout_ms) <= 0)
        return 0;
    n = recv(packets, frame, size, 0);
    return n > 0 ? (uint32_t)n : 0;
}

static void open_tap(const char *name)
{
    struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    int header = sizeof(struct virtio_net_hdr_v1), off = 0;

    strncpy(r.ifr_name, name, IFNAMSIZ - 1);
    tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (tap < 0 || ioctl(tap, TUNSETIFF, &r) < 0 || ioctl(tap, TUNSETVNETHDRSZ, &header) < 0 || ioctl(tap, TUNSETOFFLOAD, off) < 0)
        host_fail("%s: %s", name, strerror(errno));
}

static void open_packets(const char *name)
{
    struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(TYPE), .sll_ifindex = (int)if_nametoindex(name) };
    int size = 8 << 20, on = 1;

    packets = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(TYPE));
    if (packets < 0 || bind(packets, (struct sockaddr *)&at, sizeof(at)) < 0 ||
        setsockopt(packets, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0 ||
        setsockopt(packets, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0)
        host_fail("packets of %s: %s", name, strerror(errno));
}

/* Where the shim's pointers are; vhost uses this process's addresses. */
static uint8_t *share_memory(void)
{
    struct {
        struct vhost_memory head;
        struct vhost_memory_region region;
    } table = { { .nregions = 1 }, { 0, CLIENT_MEMORY, DIRECT_BASE, 0 } };
    uint8_t *p = mmap((void *)DIRECT_BASE, CLIENT_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    if (p != (void *)DIRECT_BASE)
        host_fail("memory at %p: %s", (void *)DIRECT_BASE, strerror(errno));
    control(VHOST_SET_MEM_TABLE, &table, "memory");
    return p;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    vhost = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);
    if (vhost < 0)
        host_fail("/dev/vhost-net: %s", strerror(errno));
    control(VHOST_SET_OWNER, NULL, "owner");
    for (uint32_t i = 0; i < QUEUES; i++) {
        kicks[i] = eventfd(0, EFD_CLOEXEC);
        calls[i] = eventfd(0, EFD_CLOEXEC);
    }
    open_tap(argv[1]);
    open_packets(argv[1]);
    net_client_run(share_memory());
    return 0;
}
