/*
 * The driver's side of a split virtqueue with VIRTIO_F_EVENT_IDX (virtio 1.2 §2.7), in memory that the device sees.
 *
 * The caller says where the three areas lie and what a guest pointer is to the device. No locking: the shim isn't
 * preempted. Used by the gofer's ring and by virtio devices.
 */
#ifndef DRIVERS_VIRTQ_H
#define DRIVERS_VIRTQ_H

#include "lib/base.h"

#define VIRTQ_SIZE_MAX 256

struct virtq_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
};

#define VIRTQ_DESC_NEXT 1u
#define VIRTQ_DESC_WRITE 2u

struct virtq_avail {
    uint16_t flags;
    uint16_t idx;
    uint16_t ring[]; /* then used_event */
};

struct virtq_used_elem {
    uint32_t id;
    uint32_t len;
};

struct virtq_used {
    uint16_t flags;
    uint16_t idx;
    struct virtq_used_elem ring[]; /* then avail_event */
};

_Static_assert(sizeof(struct virtq_desc) == 16, "virtio 1.2 §2.7.5");
_Static_assert(sizeof(struct virtq_used_elem) == 8, "virtio 1.2 §2.7.8");

/* A piece of a request: device-readable pieces come first in a chain. */
struct virtq_segment {
    gpa_t gpa;
    uint32_t len;
};

struct virtq {
    uint16_t size;      /* a power of two, at most VIRTQ_SIZE_MAX */
    uint16_t free_head; /* free descriptors are linked by `next` */
    uint16_t free_count;
    uint16_t avail_idx; /* published up to here */
    uint16_t notify_idx; /* the device has been told (or needn't be) up to here */
    uint16_t last_used; /* taken up to here */
    struct virtq_desc *desc;
    struct virtq_avail *avail;
    struct virtq_used *used;
    void *token[VIRTQ_SIZE_MAX]; /* of the chain that starts here; NULL: none does */
};

/* Set up an empty queue in zeroed memory. */
void virtq_init(struct virtq *vq, uint16_t size, void *desc, void *avail, void *used);

/*
 * Make a chain of out_count device-readable segments and in_count device-writable ones available to the device.
 * token (not NULL) is what virtq_take returns for it. Returns 0, or -ENOSPC.
 */
int virtq_add(struct virtq *vq, const struct virtq_segment *seg, size_t out_count, size_t in_count, void *token);

/* Has the device asked to be told of what was added since the last call that returned? Full barrier inside. */
bool virtq_needs_notify(struct virtq *vq);

/* The next chain that the device has finished, with the bytes that it wrote; NULL if there is none. */
void *virtq_take(struct virtq *vq, uint32_t *ret_len);

/* Is there a finished chain to take? Cheap: one load. */
static inline bool virtq_has_used(const struct virtq *vq)
{
    return __atomic_load_n(&vq->used->idx, __ATOMIC_ACQUIRE) != vq->last_used;
}

/* Ask the device to signal the next completion but `skip`. The caller looks with virtq_has_used once more before it sleeps. */
void virtq_arm_after(struct virtq *vq, uint16_t skip);

static inline void virtq_arm(struct virtq *vq)
{
    virtq_arm_after(vq, 0);
}

/* We look by ourselves from now on: no signal, please. */
void virtq_disarm(struct virtq *vq);

#endif
