/* What the shim's virtio drivers need of the rest of the shim: memory, log, and virtio.c with calls of the host's for registers. */
#include "tests/conformance/client.h"

#include "drivers/virtio.h"
#include "lib/kmalloc.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/frame.h"

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#define SLOT 4096u
#define QUEUES_MAX 2u

static uint8_t *memory, *memory_end;
static void *free_slots;
static struct virtio_vq *queues[QUEUES_MAX];

void client_memory(uint8_t *start)
{
    memory = start;
    memory_end = start + CLIENT_MEMORY;
}

/* --- memory and log --- */

void *kmalloc(size_t size)
{
    void *p = free_slots;

    if (size > SLOT) /* the driver itself, which is never freed */
        return pages_alloc((size + PAGE_SIZE - 1) / PAGE_SIZE);
    if (p)
        free_slots = *(void **)p;
    else
        p = pages_alloc(1);
    return p;
}

void *kzalloc(size_t size)
{
    void *p = kmalloc(size);

    memset(p, 0, size);
    return p;
}

void kfree(void *p)
{
    *(void **)p = free_slots;
    free_slots = p;
}

void *pages_alloc(size_t count)
{
    void *p = memory;

    BUG_ON((size_t)(memory_end - memory) < count * PAGE_SIZE);
    memory += count * PAGE_SIZE;
    return p;
}

gpa_t frame_alloc(void)
{
    return ptr_to_gpa(kmalloc(PAGE_SIZE));
}

void frame_put(gpa_t frame)
{
    kfree(gpa_to_ptr(frame));
}

void panic(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    host_vfail(format, args);
}

void klog(enum log_level level UNUSED, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    host_vfail(format, args);
}

const char *error_text(long error UNUSED)
{
    return "";
}

/* --- virtio.c, with messages for registers --- */

int virtio_negotiate(struct virtio_dev *dev, uint64_t wanted)
{
    wanted |= 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX;
    dev->features = host_get_features() & wanted;
    if (!virtio_has(dev, VIRTIO_F_VERSION_1) || !virtio_has(dev, VIRTIO_RING_F_EVENT_IDX))
        return -ENODEV;
    host_set_features(dev->features);
    return 0;
}

int virtio_setup_queue(struct virtio_dev *dev, uint32_t index, uint16_t max, struct virtio_vq *q)
{
    uint8_t *ring = pages_alloc(3);

    virtq_init(&q->vq, max, ring, ring + PAGE_SIZE, ring + 2 * PAGE_SIZE);
    q->dev = dev;
    BUG_ON(index >= QUEUES_MAX);
    queues[index] = q;
    host_set_queue(index, max, ptr_to_gpa(ring), ptr_to_gpa(ring + PAGE_SIZE), ptr_to_gpa(ring + 2 * PAGE_SIZE));
    return 0;
}

void virtio_start(struct virtio_dev *dev UNUSED)
{
    host_start();
}

void virtio_fail(struct virtio_dev *dev UNUSED)
{
    host_fail("the driver gives up");
}

void virtio_config_read(const struct virtio_dev *dev UNUSED, uint32_t offset, void *buf, uint32_t len)
{
    host_get_config(offset, buf, len);
}

static uint32_t queue_index(const struct virtio_vq *q)
{
    return q == queues[0] ? 0 : 1;
}

int virtio_add(struct virtio_vq *q, const struct virtq_segment *seg, size_t out_count, size_t in_count, void *token)
{
    int err = virtq_add(&q->vq, seg, out_count, in_count, token);

    q->out += err == 0;
    return err;
}

void virtio_notify(struct virtio_vq *q)
{
    if (q->vq.avail_idx != q->vq.notify_idx && virtq_needs_notify(&q->vq))
        host_kick(queue_index(q));
}

void virtio_watch(struct virtio_vq *q UNUSED)
{
}

