/* A virtio driver for tests: memory of its own, registers by name, and rings filled by hand. */
#ifndef TESTS_VIRTIO_DRIVER_H
#define TESTS_VIRTIO_DRIVER_H

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "devices/virtio.h"

#define DRIVER_BASE 0x100000u
#define DRIVER_QUEUE 8u
#define DRIVER_QUEUES 3u

struct driver_queue {
    _Alignas(16) struct virtq_desc desc[DRIVER_QUEUE];
    uint16_t avail[2 + DRIVER_QUEUE + 1];
    _Alignas(4) uint16_t used[2 + 4 * DRIVER_QUEUE + 1];
};

struct driver {
    struct driver_queue queue[DRIVER_QUEUES];
    uint8_t data[1 << 16];
};

static struct driver driver;
static struct guest_region driver_region = { { DRIVER_BASE }, sizeof(driver), (uint8_t *)&driver };
static struct guest_mem driver_mem = { &driver_region, 1 };
static unsigned driver_irqs;
static bool driver_line;

#define DRIVER_AT(field) (DRIVER_BASE + offsetof(struct driver, field))

static inline void driver_irq(void *arg, bool raised)
{
    (void)arg;
    driver_line = raised;
    driver_irqs += raised;
}

static inline uint32_t reg_read(struct virtio_device *dev, uint32_t reg)
{
    uint32_t v;

    virtio_mmio_read(dev, reg, &v, sizeof(v));
    return v;
}

static inline void reg_write(struct virtio_device *dev, uint32_t reg, uint32_t v)
{
    virtio_mmio_write(dev, reg, &v, sizeof(v));
}

static inline void driver_address(struct virtio_device *dev, uint32_t low, uint64_t address)
{
    reg_write(dev, low, (uint32_t)address);
    reg_write(dev, low + 4, (uint32_t)(address >> 32));
}

/* Up to FEATURES_OK with these features. */
static inline void driver_negotiate(struct virtio_device *dev, uint64_t features)
{
    reg_write(dev, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    reg_write(dev, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    for (uint32_t i = 0; i < 2; i++) {
        reg_write(dev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, i);
        reg_write(dev, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32 * i));
    }
    reg_write(dev, VIRTIO_MMIO_STATUS,
              VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK);
}

static inline void driver_setup_queue(struct virtio_device *dev, uint32_t index)
{
    size_t at = DRIVER_BASE + index * sizeof(struct driver_queue);

    reg_write(dev, VIRTIO_MMIO_QUEUE_SEL, index);
    reg_write(dev, VIRTIO_MMIO_QUEUE_NUM, DRIVER_QUEUE);
    driver_address(dev, VIRTIO_MMIO_QUEUE_DESC_LOW, at + offsetof(struct driver_queue, desc));
    driver_address(dev, VIRTIO_MMIO_QUEUE_AVAIL_LOW, at + offsetof(struct driver_queue, avail));
    driver_address(dev, VIRTIO_MMIO_QUEUE_USED_LOW, at + offsetof(struct driver_queue, used));
    reg_write(dev, VIRTIO_MMIO_QUEUE_READY, 1);
}

static inline void driver_ok(struct virtio_device *dev)
{
    reg_write(dev, VIRTIO_MMIO_STATUS, reg_read(dev, VIRTIO_MMIO_STATUS) | VIRTIO_CONFIG_S_DRIVER_OK);
}

/* A whole start-up. */
static inline void driver_start(struct virtio_device *dev, uint64_t features)
{
    reg_write(dev, VIRTIO_MMIO_STATUS, 0);
    memset(&driver, 0, sizeof(driver));
    driver_irqs = 0;
    driver_negotiate(dev, features);
    for (uint32_t i = 0; i < dev->model->queue_count && i < DRIVER_QUEUES; i++)
        driver_setup_queue(dev, i);
    driver_ok(dev);
}

static inline void driver_desc(unsigned queue, unsigned i, size_t offset, uint32_t len, uint16_t flags, uint16_t next)
{
    driver.queue[queue].desc[i] = (struct virtq_desc){ DRIVER_AT(data) + offset, len, flags, next };
}

static inline void driver_offer(unsigned queue, uint16_t head)
{
    uint16_t *avail = driver.queue[queue].avail;

    avail[2 + avail[1] % DRIVER_QUEUE] = head;
    __atomic_store_n(&avail[1], (uint16_t)(avail[1] + 1), __ATOMIC_RELEASE);
}

static inline uint16_t driver_used(unsigned queue)
{
    return __atomic_load_n(&driver.queue[queue].used[1], __ATOMIC_ACQUIRE);
}

#endif
