/*
 * The device side of a split virtqueue (virtio 1.2 §2.7), with VIRTIO_F_EVENT_IDX and indirect descriptors where the
 * owner has negotiated them. No KVM in here: the gofer's ring and the virtio devices use it alike.
 *
 * The driver's memory is hostile: each index and descriptor is fetched once, chains are capped, and a bad one
 * is -EPROTO, on which the owner gives the queue up (a virtio device sets DEVICE_NEEDS_RESET, §2.1). A queue is
 * used by one thread; or by one that pops and others that push and notify, under a lock of theirs.
 */
#ifndef COMMON_VIRTQ_H
#define COMMON_VIRTQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "common/guest_mem.h"

#define VIRTQ_SIZE_MAX 1024
#define VIRTQ_CHAIN_MAX 130 /* descriptors in one chain: 512 KiB in pages, a header and a status byte */

struct virtq_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
};

#define VIRTQ_DESC_NEXT 1u
#define VIRTQ_DESC_WRITE 2u
#define VIRTQ_DESC_INDIRECT 4u

struct virtq_used_elem {
    uint32_t id;
    uint32_t len;
};

struct virtq_layout {
    uint16_t size; /* descriptors: a power of two, at most VIRTQ_SIZE_MAX */
    gpa_t desc;
    gpa_t avail;
    gpa_t used;
    bool event_idx;
    bool indirect;
    uint16_t chain_max; /* descriptors that a chain may have, at most VIRTQ_CHAIN_MAX */
};

struct virtq {
    const struct guest_mem *mem;
    const struct virtq_desc *desc;
    const uint16_t *avail; /* flags, idx, ring[size], used_event */
    uint16_t *used;        /* flags, idx, ring of virtq_used_elem[size], avail_event */
    uint16_t size;
    uint16_t next_avail;
    uint16_t next_used;
    uint16_t notified_used; /* next_used when a notification was last decided */
    uint16_t chain_max;
    bool event_idx;
    bool indirect;
    bool broken;
};

/* One request: first what the device reads, then what it writes. Pointers into guest memory. */
struct virtq_chain {
    uint16_t head;
    uint16_t in_count;
    uint16_t out_count;
    struct iovec in[VIRTQ_CHAIN_MAX];  /* device-readable */
    struct iovec out[VIRTQ_CHAIN_MAX]; /* device-writable */
    uint64_t in_size;
    uint64_t out_size;
};

/* mem is borrowed for the queue's life. 0; -EINVAL on a bad size, alignment or cap; -EFAULT if a part is outside mem. */
int virtq_init(struct virtq *q, const struct guest_mem *mem, const struct virtq_layout *layout);

/* Is there a request? True on a broken index too, so that virtq_pop() can tell. */
bool virtq_has_avail(const struct virtq *q);

/* Take the next chain: 1 and *ret_chain; 0 if there is none; -EPROTO if the driver broke the rules (it stays so). */
int virtq_pop(struct virtq *q, struct virtq_chain *ret_chain);

/* Give a chain back with the number of bytes written into it. */
void virtq_push(struct virtq *q, uint16_t head, uint32_t written);

/* After pushes: does the driver want a notification (§2.7.7.2)? Has a full barrier before it looks. */
bool virtq_should_notify(struct virtq *q);

/*
 * Ask for a notification of the next request (§2.7.10). Returns true if one is there already, so that the
 * caller must not sleep.
 */
bool virtq_enable_notify(struct virtq *q);

#endif
