/*
 * Frames over a stream socket, each after its length in four bytes, big-endian: what QEMU's `-netdev stream` and passt(1) speak.
 *
 * The other end (passt) loses its place in the stream if what it writes fits only in part, so frames are collected here as they come,
 * and lost here when there are more than the sandbox takes. Of a frame that goes out the head is copied first, and the copy is both
 * looked at (guard.h) and sent.
 */
#ifndef DEVICES_STREAM_H
#define DEVICES_STREAM_H

#include "devices/guard.h"
#include "devices/wire.h"

struct stream {
    struct wire wire;
    struct guard guard;
    uint8_t *in;              /* what has come: [in_first, in_end) */
    size_t in_first, in_end;
    uint8_t *out;             /* what is left of a frame that was sent in part: [out_first, out_end) */
    size_t out_first, out_end;
};

/*
 * Over fd, a non-blocking socket, which is taken. SIGPIPE must be ignored. The guard is empty and the caller's to fill. 0 or -ENOMEM (fd
 * is closed).
 */
int stream_init(struct stream *s, int fd, uint32_t mtu);

#endif
