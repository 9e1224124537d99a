/* A tap device of the host's, opened before the jail. Reads and writes are whole frames after a struct virtio_net_hdr_v1. */
#ifndef DEVICES_TAP_H
#define DEVICES_TAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define TAP_NAME_SIZE 16

struct tap {
    int fd;
    char name[TAP_NAME_SIZE];
    uint32_t mtu;
    uint32_t offloads; /* TUN_F_* that the host can give */
};

/*
 * Attach to the tap called name, or make one if name is NULL (which needs CAP_NET_ADMIN) and bring it up. 0; -ENODEV: there is none of
 * that name; -ENOTSUP: the host has no taps with a virtio header; -errno.
 */
int tap_open(struct tap *tap, const char *name);
void tap_close(struct tap *tap);

/* Which offloads (TUN_F_*) frames that come may use from now on. 0 or -errno. */
int tap_set_offloads(struct tap *tap, uint32_t offloads);

/* One frame, of which the part that doesn't fit is lost. Bytes; -EAGAIN: there is none now; -errno. */
ssize_t tap_read(struct tap *tap, const struct iovec *iov, int count);
ssize_t tap_write(struct tap *tap, const struct iovec *iov, int count);

#endif
