/*
 * A virtio-blk device whose driver is hostile: registers in any order, queues and requests anywhere in its memory, which changes
 * between the device's steps.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/blk.h"
#include "tests/unit/virtio_driver.h"

#define DISK_SIZE (64u << 10)
#define STEPS_MAX 300
#define FEATURES                                                                                   \
    (1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX | 1ull << VIRTIO_RING_F_INDIRECT_DESC | \
     1ull << VIRTIO_BLK_F_FLUSH | 1ull << VIRTIO_BLK_F_DISCARD | 1ull << VIRTIO_BLK_F_WRITE_ZEROES)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct blk *blk;

static void set_up(void)
{
    char path[32];
    int fd = memfd_create("disk", MFD_CLOEXEC);

    blk = calloc(1, sizeof(*blk));
    if (fd < 0 || ftruncate(fd, DISK_SIZE) < 0)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (disk_open(&blk->disk, path, false, false) < 0 ||
        blk_init(blk, &driver_mem, driver_irq, NULL, "fuzz", &(struct blk_limits){ 0 }) < 0)
        abort();
}

/* Bytes of the input, zeroes when there are no more. */
struct input {
    const uint8_t *data;
    size_t size;
};

static uint32_t take(struct input *in, size_t n)
{
    uint32_t v = 0;

    for (size_t i = 0; i < n && in->size; i++, in->size--)
        v |= (uint32_t)*in->data++ << 8 * i;
    return v;
}

static void change_memory(struct input *in)
{
    size_t at = take(in, 2) % sizeof(driver), len = take(in, 1) % 40;

    for (size_t i = 0; i < len && at + i < sizeof(driver); i++)
        ((uint8_t *)&driver)[at + i] = (uint8_t)take(in, 1);
}

/* A chain that is nearly right, so that requests get further than the first check. */
static void offer_request(struct input *in)
{
    struct virtio_blk_outhdr header = { take(in, 1) & 15, 0, take(in, 1) };
    uint16_t flags = take(in, 1) & 1 ? VIRTQ_DESC_WRITE : 0;

    memcpy(driver.data, &header, sizeof(header));
    driver_desc(0, 0, 0, sizeof(header), VIRTQ_DESC_NEXT, 1);
    driver_desc(0, 1, 4096, take(in, 2), VIRTQ_DESC_NEXT | flags, 2);
    driver_desc(0, 2, 64, take(in, 1) & 3, VIRTQ_DESC_WRITE, 0);
    driver_offer(0, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = { data, size };
    uint8_t bytes[8];

    if (!blk)
        set_up();
    driver_start(&blk->dev, FEATURES);
    for (int step = 0; step < STEPS_MAX && in.size; step++) {
        switch (take(&in, 1) % 6) {
        case 0:
            reg_write(&blk->dev, take(&in, 1) * 4, take(&in, 4));
            break;
        case 1:
            virtio_mmio_read(&blk->dev, take(&in, 2), bytes, take(&in, 1) % 8 + 1);
            break;
        case 2:
            change_memory(&in);
            break;
        case 3:
            offer_request(&in);
            break;
        case 4:
            driver_start(&blk->dev, FEATURES);
            break;
        default:
            pthread_mutex_lock(&blk->dev.lock);
            if (blk->dev.running)
                blk->dev.model->serve(&blk->dev);
            pthread_mutex_unlock(&blk->dev.lock);
            break;
        }
    }
    reg_write(&blk->dev, VIRTIO_MMIO_STATUS, 0);
    return blk->disk.under_way ? abort(), 0 : 0;
}
