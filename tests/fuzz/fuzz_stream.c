/* A stream of frames from a process that has gone mad, in pieces of any size; and frames of a hostile driver for the guard. */
#include <linux/virtio_net.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(struct stream *s, int far, const uint8_t *data, size_t size)
{
    static uint8_t frame[70000];
    uint8_t header[sizeof(struct virtio_net_hdr_v1)];
    struct iovec iov[2] = { { header, sizeof(header) }, { frame, sizeof(frame) } };

    while (size > 0) {
        size_t n = 1 + data[0] * 20u;

        n = n < size ? n : size;
        if (write(far, data, n) != (ssize_t)n)
            abort();
        data += n;
        size -= n;
        if (s->wire.ops->collect(&s->wire) < 0)
            return;
        while (s->wire.ops->read(&s->wire, iov, 2) > 0)
            ;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t own[1][16] = { { [10] = 0xff, 0xff, 10, 0, 0, 7 } };
    struct iovec out[2] = { { NULL, sizeof(struct virtio_net_hdr_v1) }, { (void *)(uintptr_t)data, size } };
    struct stream s;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0 || stream_init(&s, pair[0], 1500) < 0)
        abort();
    s.guard.own = own;
    s.guard.own_count = 1;
    feed(&s, pair[1], data, size);
    s.wire.ops->write(&s.wire, out, 2);
    s.wire.ops->ready(&s.wire);
    s.wire.ops->close(&s.wire);
    close(pair[1]);
    return 0;
}
