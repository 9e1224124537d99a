/* A tap device of the host's. Reads and writes are whole frames after a struct virtio_net_hdr_v1, as the kernel has them. */
#ifndef DEVICES_TAP_H
#define DEVICES_TAP_H

#include "devices/wire.h"

#define TAP_NAME_SIZE 16

struct tap {
    struct wire wire;
    char name[TAP_NAME_SIZE];
};

/*
 * Attach to the tap called name, or make one if name is NULL (which needs CAP_NET_ADMIN) and bring it up. 0; -ENODEV: there is none of
 * that name; -ENOTSUP: the host has no taps with a virtio header; -errno.
 */
int tap_open(struct tap *tap, const char *name);

/* A descriptor (taken) that keeps frames apart as a tap does, without offloads. */
void tap_init(struct tap *tap, int fd, uint32_t mtu);

#endif
