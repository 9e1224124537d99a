/* See virtio.h. */
#include "drivers/virtio.h"

#include "arch/bootinfo.h"
#include "arch/cpu.h"
#include "drivers/ring.h"
#include "drivers/virtio_blk.h"
#include "drivers/virtio_net.h"
#include "hypercalls/devices.h"
#include "lib/kmalloc.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "proc/thread.h"

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>

#define MAGIC 0x74726976u

static struct list queues = LIST_INIT(queues);
static bool listening;

/* --- registers: plain 32-bit moves, which KVM can emulate --- */

static uint32_t reg_read(const struct virtio_dev *dev, uint32_t reg)
{
    uint32_t v;

    __asm__ volatile("movl (%1), %0" : "=r"(v) : "r"((uint8_t *)gpa_to_ptr(dev->regs) + reg) : "memory");
    return v;
}

static void reg_write(const struct virtio_dev *dev, uint32_t reg, uint32_t v)
{
    __asm__ volatile("movl %0, (%1)" ::"r"(v), "r"((uint8_t *)gpa_to_ptr(dev->regs) + reg) : "memory");
}

static void reg_write64(const struct virtio_dev *dev, uint32_t low, uint64_t v)
{
    reg_write(dev, low, (uint32_t)v);
    if (v >> 32) /* they are zero after the reset */
        reg_write(dev, low + 4, (uint32_t)(v >> 32));
}

void virtio_config_read(const struct virtio_dev *dev, uint32_t offset, void *buf, uint32_t len)
{
    const uint8_t *p = (const uint8_t *)gpa_to_ptr(dev->regs) + VIRTIO_MMIO_CONFIG + offset;
    uint64_t v = 0;

    switch (len) {
    case 1:
        __asm__ volatile("movb (%1), %b0" : "+q"(v) : "r"(p) : "memory");
        break;
    case 2:
        __asm__ volatile("movw (%1), %w0" : "+r"(v) : "r"(p) : "memory");
        break;
    case 8: /* §4.2.2.2: in halves. Our fields don't change */
        v = (uint64_t)reg_read(dev, VIRTIO_MMIO_CONFIG + offset + 4) << 32;
        __attribute__((fallthrough));
    default:
        v |= reg_read(dev, VIRTIO_MMIO_CONFIG + offset);
        break;
    }
    memcpy(buf, &v, len);
}

/* --- start-up (§3.1.1) --- */

int virtio_negotiate(struct virtio_dev *dev, uint64_t wanted)
{
    uint64_t offered;

    wanted |= 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX;
    reg_write(dev, VIRTIO_MMIO_STATUS, 0);
    reg_write(dev, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    reg_write(dev, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    offered = (uint64_t)reg_read(dev, VIRTIO_MMIO_DEVICE_FEATURES) << 32;
    reg_write(dev, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
    offered |= reg_read(dev, VIRTIO_MMIO_DEVICE_FEATURES);
    dev->features = offered & wanted;
    if (!virtio_has(dev, VIRTIO_F_VERSION_1) || !virtio_has(dev, VIRTIO_RING_F_EVENT_IDX))
        return -ENODEV;
    reg_write(dev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    reg_write(dev, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(dev->features >> 32));
    reg_write(dev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    reg_write(dev, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)dev->features);
    reg_write(dev, VIRTIO_MMIO_STATUS,
              VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK);
    return reg_read(dev, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_FEATURES_OK ? 0 : -ENODEV;
}

int virtio_setup_queue(struct virtio_dev *dev, uint32_t index, uint16_t max, struct virtio_vq *q)
{
    uint32_t size;
    uint8_t *ring;

    reg_write(dev, VIRTIO_MMIO_QUEUE_SEL, index);
    size = MIN(MIN(reg_read(dev, VIRTIO_MMIO_QUEUE_NUM_MAX), (uint32_t)max), (uint32_t)VIRTQ_SIZE_MAX);
    if (size == 0 || (size & (size - 1)) != 0)
        return -ENODEV;
    ring = pages_alloc(3); /* descriptors 4 KiB at most; avail; used */
    if (!ring)
        return -ENOMEM;
    memset(ring, 0, 3 * PAGE_SIZE);
    virtq_init(&q->vq, (uint16_t)size, ring, ring + PAGE_SIZE, ring + 2 * PAGE_SIZE);
    q->dev = dev;
    q->out = 0;
    reg_write(dev, VIRTIO_MMIO_QUEUE_NUM, size);
    reg_write64(dev, VIRTIO_MMIO_QUEUE_DESC_LOW, ptr_to_gpa(ring));
    reg_write64(dev, VIRTIO_MMIO_QUEUE_AVAIL_LOW, ptr_to_gpa(ring + PAGE_SIZE));
    reg_write64(dev, VIRTIO_MMIO_QUEUE_USED_LOW, ptr_to_gpa(ring + 2 * PAGE_SIZE));
    reg_write(dev, VIRTIO_MMIO_QUEUE_READY, 1);
    list_push_back(&queues, &q->node);
    return 0;
}

void virtio_start(struct virtio_dev *dev)
{
    reg_write(dev, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
                                           VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
}

void virtio_fail(struct virtio_dev *dev)
{
    reg_write(dev, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_FAILED);
}

static void probe(const struct boot_device *boot)
{
    struct virtio_dev *dev = kzalloc(sizeof(*dev));

    if (!dev)
        panic("no memory for the devices");
    dev->regs = boot->regs;
    dev->doorbell = boot->doorbell;
    if (reg_read(dev, VIRTIO_MMIO_MAGIC_VALUE) != MAGIC || reg_read(dev, VIRTIO_MMIO_VERSION) != 2)
        panic("no virtio device at 0x%lx", (unsigned long)boot->regs);
    dev->id = reg_read(dev, VIRTIO_MMIO_DEVICE_ID);
    if (dev->id == VIRTIO_ID_BLOCK)
        virtio_blk_probe(dev);
    else if (dev->id == VIRTIO_ID_NET)
        virtio_net_probe(dev);
}

void virtio_init(void)
{
    if (boot_info.device_count == 0)
        return;
    if (direct_map(GPA_DEVICES_BASE, HUGE_SIZE, true) < 0)
        panic("no memory for the devices");
    sched_add_poller(virtio_poll);
    for (size_t i = 0; i < boot_info.device_count; i++)
        probe(&boot_info.devices[i]);
}

/* --- running --- */

int virtio_add(struct virtio_vq *q, const struct virtq_segment *seg, size_t out_count, size_t in_count, void *token)
{
    int err = virtq_add(&q->vq, seg, out_count, in_count, token);

    if (err < 0)
        return err;
    q->out++;
    return 0;
}

void virtio_notify(struct virtio_vq *q)
{
    if (q->vq.avail_idx == q->vq.notify_idx || !virtq_needs_notify(&q->vq))
        return;
    if (!doorbell(PORT_DEVICE, q->dev->doorbell))
        reg_write(q->dev, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
}

void virtio_watch(struct virtio_vq *q)
{
    if (listening && q->out > 0 && !q->quiet)
        virtq_arm(&q->vq);
}

static bool poll_queue(struct virtio_vq *q)
{
    bool any = false;
    uint32_t len;
    void *token;

    do {
        while ((token = virtq_take(&q->vq, &len)) != NULL) {
            q->out--;
            q->used(q, token, len);
            any = true;
        }
        /* used_event must follow, or the next completion would come unannounced; then look again. */
        if (q->quiet)
            virtq_disarm(&q->vq);
        else
            virtio_watch(q);
    } while (virtq_has_used(&q->vq));
    return any;
}

void virtio_reap(struct virtio_vq *q)
{
    if (q->out > 0)
        poll_queue(q);
}

bool virtio_poll(void)
{
    struct virtio_vq *q;
    bool any = false;

    list_for_each(q, &queues, node) {
        if (q->out > 0)
            any = poll_queue(q) || any;
    }
    return any;
}

void virtio_listen(bool on)
{
    struct virtio_vq *q;

    if (list_empty(&queues))
        return;
    if (!on && listening) {
        list_for_each(q, &queues, node)
            virtq_disarm(&q->vq);
    }
    listening = on;
    if (on) {
        list_for_each(q, &queues, node)
            virtio_watch(q);
        virtio_poll();
    }
}
