/*
 * A virtio-net device whose driver is hostile: registers in any order, queues, frames and commands anywhere in its memory, which changes
 * between the device's steps; and a host that sends frames of all sizes meanwhile.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/net.h"
#include "devices/tap.h"
#include "tests/unit/virtio_driver.h"

#define STEPS_MAX 300
#define FEATURES                                                                                   \
    (1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX | 1ull << VIRTIO_RING_F_INDIRECT_DESC | \
     1ull << VIRTIO_NET_F_CTRL_VQ | 1ull << VIRTIO_NET_F_CTRL_RX | 1ull << VIRTIO_NET_F_CTRL_RX_EXTRA |   \
     1ull << VIRTIO_NET_F_CTRL_MAC_ADDR | 1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_HOST_TSO4)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vnet *net;
static struct tap tap;
static int wire;

static void set_up(void)
{
    static const uint8_t mac[6] = { 2 };
    int pair[2];

    net = calloc(1, sizeof(*net));
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair) < 0)
        abort();
    tap_init(&tap, pair[0], 0);
    net->wire = &tap.wire;
    wire = pair[1];
    if (vnet_init(net, &driver_mem, driver_irq, NULL, mac, 1500, 0) < 0)
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
static void offer_chain(struct input *in)
{
    unsigned queue = take(in, 1) % NET_QUEUES;
    uint16_t flags = queue == NET_RX ? VIRTQ_DESC_WRITE : 0, i = (uint16_t)(take(in, 1) % (DRIVER_QUEUE - 2));

    driver_desc(queue, i, take(in, 2) % 40000, take(in, 2), VIRTQ_DESC_NEXT | flags, (uint16_t)(i + 1));
    driver_desc(queue, i + 1u, take(in, 2) % 40000, take(in, 2), queue == NET_TX ? 0 : VIRTQ_DESC_WRITE, 0);
    driver_offer(queue, i);
}

static void host_sends(struct input *in)
{
    static uint8_t frame[70000];
    uint32_t len = take(in, 2) + take(in, 1);

    for (size_t i = 0; i < 20; i++)
        frame[i] = (uint8_t)take(in, 1);
    (void)!write(wire, frame, len < sizeof(frame) ? len : sizeof(frame));
}

static void serve(void)
{
    uint8_t out[128];

    pthread_mutex_lock(&net->dev.lock);
    if (net->dev.running)
        net->dev.model->serve(&net->dev);
    pthread_mutex_unlock(&net->dev.lock);
    while (read(wire, out, sizeof(out)) > 0)
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = { data, size };
    uint64_t features = FEATURES;
    uint8_t bytes[8];

    if (!net)
        set_up();
    if (take(&in, 1) & 1)
        features |= 1ull << VIRTIO_NET_F_MRG_RXBUF;
    driver_start(&net->dev, features);
    for (int step = 0; step < STEPS_MAX && in.size; step++) {
        switch (take(&in, 1) % 7) {
        case 0:
            reg_write(&net->dev, take(&in, 1) * 4, take(&in, 4));
            break;
        case 1:
            virtio_mmio_read(&net->dev, take(&in, 2), bytes, take(&in, 1) % 8 + 1);
            break;
        case 2:
            change_memory(&in);
            break;
        case 3:
            offer_chain(&in);
            break;
        case 4:
            host_sends(&in);
            break;
        case 5:
            driver_start(&net->dev, features);
            break;
        default:
            serve();
            break;
        }
    }
    reg_write(&net->dev, VIRTIO_MMIO_STATUS, 0);
    return net->held_count ? abort(), 0 : 0;
}
