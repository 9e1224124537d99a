/*
 * Registers of the MMIO transport, version 2 (virtio 1.2 §4.2.2), and the status machine (§2.1, §3.1).
 *
 * What a driver must not do has no effect, or breaks the device until it is reset; see docs/virtio.md.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/eventfd.h>

#include "common/checked.h"
#include "common/fd.h"
#include "devices/virtio.h"

#define MAGIC 0x74726976u /* "virt" */
#define VENDOR 0x6d6d7600u
#define NO_SHARED_MEMORY 0xffffffffu /* §4.2.2: a region that isn't there has this length */

#define TRANSPORT_FEATURES                                                                         \
    (1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX | 1ull << VIRTIO_RING_F_INDIRECT_DESC)

int virtio_init(struct virtio_device *dev)
{
    int err;

    dev->offered |= TRANSPORT_FEATURES;
    dev->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (dev->kick_fd < 0)
        return -errno;
    err = pthread_mutex_init(&dev->lock, NULL);
    if (err)
        fd_close(&dev->kick_fd);
    return -err;
}

void virtio_destroy(struct virtio_device *dev)
{
    pthread_mutex_destroy(&dev->lock);
    fd_close(&dev->kick_fd);
}

/* --- interrupts --- */

static void raise_interrupt(struct virtio_device *dev, uint32_t bit)
{
    dev->interrupt_status |= bit;
    dev->irq(dev->irq_arg, true);
}

static void acknowledge(struct virtio_device *dev, uint32_t bits)
{
    dev->interrupt_status &= ~bits;
    if (!dev->interrupt_status)
        dev->irq(dev->irq_arg, false);
}

void virtio_notify(struct virtio_device *dev, struct virtq *q)
{
    if (virtq_should_notify(q))
        raise_interrupt(dev, VIRTIO_MMIO_INT_VRING);
}

void virtio_config_changed(struct virtio_device *dev)
{
    dev->generation++;
    if (dev->status & VIRTIO_CONFIG_S_DRIVER_OK)
        raise_interrupt(dev, VIRTIO_MMIO_INT_CONFIG);
}

/* --- life --- */

struct virtq *virtio_queue(struct virtio_device *dev, unsigned index)
{
    return dev->running && index < dev->model->queue_count && dev->queues[index].live ? &dev->queues[index].vq : NULL;
}

static void stop(struct virtio_device *dev)
{
    if (!dev->running)
        return;
    dev->model->stop(dev);
    dev->running = false;
    for (unsigned i = 0; i < VIRTIO_QUEUE_MAX; i++)
        dev->queues[i].live = false;
}

void virtio_broken(struct virtio_device *dev)
{
    stop(dev);
    dev->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    if (dev->status & VIRTIO_CONFIG_S_DRIVER_OK)
        raise_interrupt(dev, VIRTIO_MMIO_INT_CONFIG);
}

/* §2.4: back to the first state, whatever the state is. Once this returns nothing of the driver's memory is in use. */
static void reset(struct virtio_device *dev)
{
    stop(dev);
    dev->status = 0;
    dev->accepted = 0;
    dev->driver_features = 0;
    dev->device_features_sel = 0;
    dev->driver_features_sel = 0;
    dev->queue_sel = 0;
    memset(dev->queues, 0, sizeof(dev->queues));
    if (dev->model->reset)
        dev->model->reset(dev);
    acknowledge(dev, ~0u);
}

static int open_queue(struct virtio_device *dev, struct virtio_queue *queue)
{
    const struct virtq_layout layout = {
        .size = queue->size,
        .desc = { queue->desc },
        .avail = { queue->avail },
        .used = { queue->used },
        .event_idx = virtio_has_feature(dev, VIRTIO_RING_F_EVENT_IDX),
        .indirect = virtio_has_feature(dev, VIRTIO_RING_F_INDIRECT_DESC),
        .chain_max = dev->chain_max,
    };

    return virtq_init(&queue->vq, dev->mem, &layout);
}

static void start(struct virtio_device *dev)
{
    for (unsigned i = 0; i < dev->model->queue_count; i++) {
        struct virtio_queue *queue = &dev->queues[i];

        if (!queue->ready)
            continue;
        if (open_queue(dev, queue) < 0) {
            virtio_broken(dev);
            return;
        }
        queue->live = true;
    }
    dev->running = true;
    if (dev->model->start && dev->model->start(dev) < 0)
        virtio_broken(dev);
    else
        virtio_kick(dev); /* requests may lie there already (§3.1.1) */
}

/* Features are settled when the driver says so, and only if we can live with them (§3.1.1 steps 5 and 6). */
static bool accept_features(struct virtio_device *dev)
{
    if ((dev->driver_features & ~dev->offered) || !(dev->driver_features >> VIRTIO_F_VERSION_1 & 1))
        return false;
    dev->accepted = dev->driver_features;
    return true;
}

#define ORDERED_STATUS                                                                             \
    (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK)

/* A bit counts only when those before it are there, so that no driver skips the negotiation. */
static uint32_t reachable(uint32_t status)
{
    static const uint32_t order[] = { VIRTIO_CONFIG_S_ACKNOWLEDGE, VIRTIO_CONFIG_S_DRIVER, VIRTIO_CONFIG_S_FEATURES_OK,
                                      VIRTIO_CONFIG_S_DRIVER_OK };
    uint32_t reached = status & ~(uint32_t)ORDERED_STATUS;

    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]) && (status & order[i]); i++)
        reached |= order[i];
    return reached;
}

static void write_status(struct virtio_device *dev, uint32_t value)
{
    uint32_t old = dev->status, wanted;

    if (!value) {
        reset(dev);
        return;
    }
    /* The driver adds bits and never takes one away (§2.1.1); NEEDS_RESET isn't its to set. */
    value &= ORDERED_STATUS | VIRTIO_CONFIG_S_FAILED;
    wanted = reachable(old | value);
    if ((wanted & ~old & VIRTIO_CONFIG_S_FEATURES_OK) && !accept_features(dev))
        wanted &= ~(uint32_t)(VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
    dev->status = wanted;
    if ((wanted & ~old & VIRTIO_CONFIG_S_DRIVER_OK) && !(wanted & VIRTIO_CONFIG_S_NEEDS_RESET))
        start(dev);
    if (wanted & ~old & VIRTIO_CONFIG_S_FAILED)
        stop(dev);
}

/* --- queues --- */

static struct virtio_queue *selected(struct virtio_device *dev)
{
    return dev->queue_sel < dev->model->queue_count ? &dev->queues[dev->queue_sel] : NULL;
}

/* A queue can be laid out between FEATURES_OK and its being ready (§4.2.2.2). */
static struct virtio_queue *writable(struct virtio_device *dev)
{
    struct virtio_queue *queue = selected(dev);

    if (!queue || queue->ready || !(dev->status & VIRTIO_CONFIG_S_FEATURES_OK) || dev->running)
        return NULL;
    return queue;
}

static void write_ready(struct virtio_device *dev, uint32_t value)
{
    struct virtio_queue *queue = selected(dev);

    if (!queue)
        return;
    if (value & 1) {
        if (writable(dev))
            queue->ready = true;
        return;
    }
    if (!queue->ready)
        return;
    if (queue->live) {
        dev->model->stop(dev); /* what is under way in other queues ends too: the model goes on serving those */
        queue->live = false;
    }
    queue->ready = false;
}

static void set_half(uint64_t *field, bool high, uint32_t value)
{
    *field = high ? (*field & 0xffffffffull) | (uint64_t)value << 32 : (*field & ~0xffffffffull) | value;
}

static void write_queue(struct virtio_device *dev, uint32_t reg, uint32_t value)
{
    struct virtio_queue *queue = writable(dev);

    if (!queue)
        return;
    switch (reg) {
    case VIRTIO_MMIO_QUEUE_NUM:
        queue->size = value <= dev->model->queue_size_max ? (uint16_t)value : 0;
        break;
    case VIRTIO_MMIO_QUEUE_DESC_LOW:
    case VIRTIO_MMIO_QUEUE_DESC_HIGH:
        set_half(&queue->desc, reg == VIRTIO_MMIO_QUEUE_DESC_HIGH, value);
        break;
    case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
    case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
        set_half(&queue->avail, reg == VIRTIO_MMIO_QUEUE_AVAIL_HIGH, value);
        break;
    case VIRTIO_MMIO_QUEUE_USED_LOW:
    case VIRTIO_MMIO_QUEUE_USED_HIGH:
        set_half(&queue->used, reg == VIRTIO_MMIO_QUEUE_USED_HIGH, value);
        break;
    default:
        break;
    }
}

/* --- the bus --- */

static uint32_t read_register(struct virtio_device *dev, uint32_t reg)
{
    struct virtio_queue *queue = selected(dev);

    switch (reg) {
    case VIRTIO_MMIO_MAGIC_VALUE:
        return MAGIC;
    case VIRTIO_MMIO_VERSION:
        return 2;
    case VIRTIO_MMIO_DEVICE_ID:
        return dev->model->id;
    case VIRTIO_MMIO_VENDOR_ID:
        return VENDOR;
    case VIRTIO_MMIO_DEVICE_FEATURES:
        return dev->device_features_sel > 1 ? 0 : (uint32_t)(dev->offered >> 32 * dev->device_features_sel);
    case VIRTIO_MMIO_QUEUE_NUM_MAX:
        return queue ? dev->model->queue_size_max : 0;
    case VIRTIO_MMIO_QUEUE_READY:
        return queue && queue->ready;
    case VIRTIO_MMIO_INTERRUPT_STATUS:
        return dev->interrupt_status;
    case VIRTIO_MMIO_STATUS:
        return dev->status;
    case VIRTIO_MMIO_SHM_LEN_LOW:
    case VIRTIO_MMIO_SHM_LEN_HIGH:
    case VIRTIO_MMIO_SHM_BASE_LOW:
    case VIRTIO_MMIO_SHM_BASE_HIGH:
        return NO_SHARED_MEMORY;
    case VIRTIO_MMIO_CONFIG_GENERATION:
        return dev->generation;
    default:
        return 0;
    }
}

static void write_register(struct virtio_device *dev, uint32_t reg, uint32_t value)
{
    switch (reg) {
    case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
        dev->device_features_sel = value;
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
        dev->driver_features_sel = value;
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES:
        if (!(dev->status & VIRTIO_CONFIG_S_FEATURES_OK) && dev->driver_features_sel <= 1)
            set_half(&dev->driver_features, dev->driver_features_sel, value);
        break;
    case VIRTIO_MMIO_QUEUE_SEL:
        dev->queue_sel = value;
        break;
    case VIRTIO_MMIO_QUEUE_READY:
        write_ready(dev, value);
        break;
    case VIRTIO_MMIO_QUEUE_NOTIFY:
        if (value < dev->model->queue_count)
            virtio_kick(dev);
        break;
    case VIRTIO_MMIO_INTERRUPT_ACK:
        acknowledge(dev, value);
        break;
    case VIRTIO_MMIO_STATUS:
        write_status(dev, value);
        break;
    default:
        write_queue(dev, reg, value);
        break;
    }
}

static void write_config(struct virtio_device *dev, uint32_t offset, const void *data, uint32_t len)
{
    if (dev->model->config_write && checked_range(offset, len, dev->config_size))
        dev->model->config_write(dev, offset, data, len);
}

void virtio_mmio_read(struct virtio_device *dev, uint64_t offset, void *data, uint32_t len)
{
    memset(data, 0, len);
    pthread_mutex_lock(&dev->lock);
    if (offset >= VIRTIO_MMIO_CONFIG) {
        if (checked_range(offset - VIRTIO_MMIO_CONFIG, len, dev->config_size))
            memcpy(data, dev->config + (offset - VIRTIO_MMIO_CONFIG), len);
    } else if (len == 4 && offset % 4 == 0) {
        uint32_t value = read_register(dev, (uint32_t)offset);

        memcpy(data, &value, sizeof(value));
    }
    pthread_mutex_unlock(&dev->lock);
}

void virtio_mmio_write(struct virtio_device *dev, uint64_t offset, const void *data, uint32_t len)
{
    uint32_t value;

    pthread_mutex_lock(&dev->lock);
    if (offset >= VIRTIO_MMIO_CONFIG && offset < VIRTIO_MMIO_SIZE) {
        write_config(dev, (uint32_t)offset - VIRTIO_MMIO_CONFIG, data, len);
    } else if (len == 4 && offset % 4 == 0) {
        memcpy(&value, data, sizeof(value));
        write_register(dev, (uint32_t)offset, value);
    }
    pthread_mutex_unlock(&dev->lock);
}

void virtio_kick(struct virtio_device *dev)
{
    fd_signal_event(dev->kick_fd);
}
