/*
 * A virtio device behind the MMIO transport, version 2 (virtio 1.2 §2, §4.2).
 *
 * Three parts: the registers (virtio_mmio.c), which the vCPU's exits read and write; the model (blk.c, net.c), which knows what
 * requests mean; and the device's own thread (virtio_thread.c), which lets the model serve its queues. One lock per device
 * serialises all three. Nothing in here knows KVM: the bus is two functions, the interrupt a callback.
 *
 * The driver is hostile: registers may be written in any order and at any time, and rings lie in memory that it can change.
 */
#ifndef DEVICES_VIRTIO_H
#define DEVICES_VIRTIO_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/virtq.h"

#define VIRTIO_QUEUE_MAX 4
#define VIRTIO_WAIT_NONE UINT64_MAX

struct virtio_device;

/* What came of one look at the queues. */
struct virtio_served {
    bool progress;    /* something was done: look again before sleeping */
    uint64_t wait_ns; /* the model holds back until then (CLOCK_MONOTONIC); VIRTIO_WAIT_NONE: it doesn't */
};

/* A model. All callbacks but pollfd are called with the device's lock held. */
struct virtio_model {
    uint32_t id; /* VIRTIO_ID_* */
    uint16_t queue_count;
    uint16_t queue_size_max;

    /* DRIVER_OK: features and queues are settled. -errno: the device needs a reset at once. NULL: nothing to do. */
    int (*start)(struct virtio_device *dev);

    /*
     * Let nothing of the guest's memory be in use any more: wait for what is under way, complete or forget it. Called on a reset
     * and when a queue is taken out of use; serve may be called afterwards.
     */
    void (*stop)(struct virtio_device *dev);

    /* Take requests and completions, for a bounded time. Sets needs_reset by virtio_broken() on a bad driver. */
    struct virtio_served (*serve)(struct virtio_device *dev);

    /* The driver writes len bytes into the configuration space, within its size. NULL: it is read-only. */
    void (*config_write)(struct virtio_device *dev, uint32_t offset, const void *data, uint32_t len);

    /* The driver reset the device: settings that it made in the configuration space are gone. NULL: there are none. */
    void (*reset)(struct virtio_device *dev);

    /* Descriptor to wait for beside the kick, or -1, and poll(2)'s events. From the thread. */
    int (*pollfd)(struct virtio_device *dev, short *ret_events);

    /*
     * Is a buffer in this queue work for the device now? Those that wait for something to come from outside are not, unless it is there
     * already. NULL: always.
     */
    bool (*waits_for)(struct virtio_device *dev, unsigned queue);
};

struct virtio_queue {
    uint16_t size;
    bool ready;
    bool live;       /* vq is valid: ready, and the device runs */
    uint64_t desc, avail, used;
    struct virtq vq;
};

/* The line is raised or lowered (§4.2.2: InterruptStatus). From any thread, with the device's lock held. */
typedef void (*virtio_irq_fn)(void *arg, bool raised);

struct virtio_device {
    const struct virtio_model *model;
    void *data; /* the model's */
    const struct guest_mem *mem;
    virtio_irq_fn irq;
    void *irq_arg;
    int kick_fd; /* eventfd: a queue was notified */

    pthread_mutex_t lock;
    uint64_t offered;  /* feature bits, VERSION_1 and the ring's included */
    uint64_t accepted; /* valid from FEATURES_OK on */
    uint8_t *config;   /* configuration space */
    uint32_t config_size;
    uint16_t chain_max;

    uint32_t status;
    uint32_t device_features_sel, driver_features_sel;
    uint64_t driver_features;
    uint32_t queue_sel;
    uint32_t interrupt_status;
    uint32_t generation;
    bool running; /* DRIVER_OK, and neither stopped nor broken */
    struct virtio_queue queues[VIRTIO_QUEUE_MAX];

    /* the thread */
    pthread_t thread;
    bool quit;
    uint64_t poll_ns;
    int (*thread_init)(void);
};

/*
 * Set up the parts that the model's owner hasn't filled: he has set model, data, mem, irq, irq_arg, config, config_size,
 * chain_max and his own bits of `offered`. 0 or -errno.
 */
int virtio_init(struct virtio_device *dev);
void virtio_destroy(struct virtio_device *dev);

/* The bus: offset within the device's page, len 1 to 8. Undefined registers read as zero, undefined writes do nothing. */
#define VIRTIO_MMIO_SIZE 0x1000u
void virtio_mmio_read(struct virtio_device *dev, uint64_t offset, void *data, uint32_t len);
void virtio_mmio_write(struct virtio_device *dev, uint64_t offset, const void *data, uint32_t len);

/* A queue was notified by another way than its register (a doorbell). */
void virtio_kick(struct virtio_device *dev);

/* Start the device's thread. init, if any, is called in it first and must return 0 (it narrows the thread). 0 or -errno. */
int virtio_thread_start(struct virtio_device *dev, int (*init)(void));
void virtio_thread_stop(struct virtio_device *dev); /* for tests: the product just exits */

/* --- for models --- */

/* The queue, if it can be used now; else NULL. */
struct virtq *virtio_queue(struct virtio_device *dev, unsigned index);

static inline bool virtio_has_feature(const struct virtio_device *dev, unsigned bit)
{
    return dev->accepted >> bit & 1;
}

/* Chains were given back (virtq_push): tell the driver, if it wants to know. */
void virtio_notify(struct virtio_device *dev, struct virtq *q);

/* The driver broke the rules: DEVICE_NEEDS_RESET and a configuration interrupt (§2.1.2). Nothing is served until the reset. */
void virtio_broken(struct virtio_device *dev);

/* The configuration space has changed: a new generation and an interrupt. */
void virtio_config_changed(struct virtio_device *dev);

#endif
