/* Our virtio-net device on a tap, over vhost-user: net_server SOCKET TAP MAC. QEMU has the control queue. */
#include <errno.h>
#include <stdio.h>

#include "devices/net.h"
#include "devices/tap.h"
#include "tests/conformance/vu_server.h"

static struct vnet net;
static struct tap tap;

int main(int argc, char **argv)
{
    unsigned b[6];
    uint8_t mac[6];
    int err;

    if (argc != 4 || sscanf(argv[3], "%x:%x:%x:%x:%x:%x", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]) != 6) {
        fprintf(stderr, "usage: net_server SOCKET TAP MAC\n");
        return 2;
    }
    for (int i = 0; i < 6; i++)
        mac[i] = (uint8_t)b[i];
    err = tap_open(&tap, argv[2]);
    net.wire = &tap.wire;
    if (err == 0)
        err = vnet_init(&net, &vu_memory, vu_irq, NULL, mac, (uint16_t)tap.wire.mtu, 0);
    errno = -err;
    if (err < 0)
        vu_die(argv[2]);
    vu_serve(&net.dev, 2, argv[1]);
    return 0;
}
