/* The host's end of a network device: where frames come from and go to. Opened before the jail. */
#ifndef DEVICES_WIRE_H
#define DEVICES_WIRE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct wire;

struct wire_ops {
    /*
     * One frame after a struct virtio_net_hdr_v1; the part that doesn't fit is lost. Bytes with the header; -EAGAIN: there is none now;
     * another -errno: there never will be one again.
     */
    ssize_t (*read)(struct wire *w, const struct iovec *iov, int count);

    /* One frame; the first element is the header alone. Bytes or -errno, with which the frame is lost. */
    ssize_t (*write)(struct wire *w, const struct iovec *iov, int count);

    /* Can a frame be written now? If not, POLLOUT tells when. NULL: always. */
    bool (*ready)(struct wire *w);

    /* Which offloads (TUN_F_*) frames that come may use from now on. 0 or -errno. NULL: none is offered. */
    int (*set_offloads)(struct wire *w, uint32_t offloads);

    /*
     * Take frames that came, whether the driver has room for them or not, for read to give. 0, or -errno: there will be no more. NULL: they
     * can wait at the host.
     */
    int (*collect)(struct wire *w);

    void (*close)(struct wire *w);
};

struct wire {
    const struct wire_ops *ops;
    int fd;              /* readable when there is something to read or collect */
    uint32_t mtu;
    uint32_t offloads;   /* TUN_F_* that frames which come may use */
    bool host_offloads;  /* frames that are written may leave checksums and segmentation to the host */
};

#endif
