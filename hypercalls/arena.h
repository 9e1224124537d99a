/*
 * The I/O arena: the only memory that guest, vmm and gofer share.
 *
 * It starts with this header; then one split virtqueue (virtio 1.2 §2.7, with VIRTIO_F_EVENT_IDX) whose driver is
 * the shim and whose device is the gofer; then message memory that the shim hands out as it likes. Descriptor addresses are
 * guest-physical and must lie in the arena. Indirect descriptors aren't used. A request is one chain:
 * device-readable descriptors with the 9P T-message, then device-writable ones for the R-message.
 */
#ifndef HYPERCALLS_ARENA_H
#define HYPERCALLS_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "layout.h"

#define ARENA_MAGIC 0x616e6572 /* "rena" */
#define ARENA_SIZE (16u << 20)

#define ARENA_QUEUE_SIZE 256   /* descriptors */
#define ARENA_DESC_OFFSET 0x1000
#define ARENA_AVAIL_OFFSET 0x2000
#define ARENA_USED_OFFSET 0x3000
#define ARENA_BUFFERS_OFFSET 0x10000

/* A chain has at most this many descriptors. */
#define ARENA_CHAIN_MAX 20

/*
 * How the shim wants to learn of completions; read by the gofer after it has published a used element
 * (full barrier between the two). EVENT_IDX's used_event still decides whether to notify at all.
 */
enum notify_mode {
    NOTIFY_NONE = 0, /* the shim polls */
    NOTIFY_IDLE = 1, /* it idles in WAIT: signal the call eventfd */
    NOTIFY_KICK = 2, /* it runs the app while requests are out: signal the kick eventfd */
};

struct arena_header {
    uint32_t magic;         /* set by the vmm */
    uint32_t version;
    uint32_t notify_mode;   /* written by the shim */
    uint32_t gofer_polling; /* written by the gofer: 1 while it polls the ring and needs no doorbell */
};

#endif
