/*
 * Virtio devices on the MMIO transport, version 2 (virtio 1.2 §4.2): registers, start-up, notifications both ways.
 *
 * A register costs an exit (40 µs on software KVM), so they are used at start-up only. Requests are announced by an `out` to
 * PORT_DEVICE, completions by PENDING_DEVICE; neither is needed while the other side looks at the ring by itself.
 */
#ifndef DRIVERS_VIRTIO_H
#define DRIVERS_VIRTIO_H

#include "drivers/virtq.h"
#include "lib/base.h"
#include "lib/list.h"

struct virtio_dev {
    gpa_t regs;
    uint32_t doorbell;
    uint32_t id;          /* VIRTIO_ID_* */
    uint64_t features;    /* negotiated */
};

struct virtio_vq {
    struct virtq vq;
    struct virtio_dev *dev;
    struct list node;                       /* all queues */
    void (*used)(struct virtio_vq *q, void *token, uint32_t len); /* a chain came back; from the poller, mustn't sleep */
    void *owner;
    uint32_t out;         /* chains out */
    bool quiet;           /* nobody waits for what comes back: it is taken when somebody looks */
};

/* Find the devices of boot_info and bring up those that have drivers. */
void virtio_init(void);

/* --- for drivers --- */

/*
 * Reset, and negotiate what of `wanted` the device offers besides VERSION_1 and EVENT_IDX. 0, or -ENODEV if it refuses.
 * Then queues are set up, then virtio_start.
 */
int virtio_negotiate(struct virtio_dev *dev, uint64_t wanted);
/* Queue `index` with at most max entries. 0, -ENODEV, -ENOMEM. */
int virtio_setup_queue(struct virtio_dev *dev, uint32_t index, uint16_t max, struct virtio_vq *q);
void virtio_start(struct virtio_dev *dev);
void virtio_fail(struct virtio_dev *dev); /* we give up on it */

void virtio_config_read(const struct virtio_dev *dev, uint32_t offset, void *buf, uint32_t len); /* a field of 1, 2, 4 or 8 bytes */

static inline bool virtio_has(const struct virtio_dev *dev, uint32_t bit)
{
    return dev->features >> bit & 1;
}

/* Put a chain into the queue; -ENOSPC. virtio_notify announces what was added. */
int virtio_add(struct virtio_vq *q, const struct virtq_segment *seg, size_t out_count, size_t in_count, void *token);
void virtio_notify(struct virtio_vq *q);
/* The caller won't park for what it has added: see to it that the completion comes through to us while the app computes. */
void virtio_watch(struct virtio_vq *q);

/* Take what has come back in this queue only. */
void virtio_reap(struct virtio_vq *q);

/* --- for the scheduler --- */

/* Take completions. True if there were any. */
bool virtio_poll(void);

/*
 * From now on completions come with PENDING_DEVICE (on), or are looked for by somebody who polls (off). Completions that came before
 * are taken.
 */
void virtio_listen(bool on);

#endif
