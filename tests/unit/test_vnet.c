/* virtio-net on a pair of sockets that keep frames apart as a tap does; and drivers that no good one is. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/net.h"
#include "devices/tap.h"
#include "tests/unit/virtio_driver.h"

#define BIT(feature) (1ull << (feature))
#define BASE (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_NET_F_MAC))
#define MERGE (BASE | BIT(VIRTIO_NET_F_MRG_RXBUF))
#define CONTROL (MERGE | BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_NET_F_CTRL_MAC_ADDR))
#define OFFLOAD (MERGE | BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4))
#define HEADER ((uint32_t)sizeof(struct virtio_net_hdr_v1))
#define OTHER 32768u /* offset in driver.data of what isn't a buffer for frames */
#define NEEDS_RESET(dev) (reg_read(dev, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET)

static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 7 };
static struct vnet *net;
static struct tap tap;
static struct virtio_device *dev;
static int wire; /* the host's end */

static void set_up(void)
{
    int pair[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    net = calloc(1, sizeof(*net));
    tap_init(&tap, pair[0], 0);
    net->wire = &tap.wire;
    wire = pair[1];
    cr_assert_eq(vnet_init(net, &driver_mem, driver_irq, NULL, mac, 1500, 0), 0);
    dev = &net->dev;
}

static void tear_down(void)
{
    vnet_destroy(net);
    free(net);
    close(wire);
}

TestSuite(vnet, .init = set_up, .fini = tear_down);

static void serve(void)
{
    pthread_mutex_lock(&dev->lock);
    if (dev->running)
        dev->model->serve(dev);
    pthread_mutex_unlock(&dev->lock);
}

static void start(uint64_t features)
{
    driver_start(dev, features);
    cr_assert_eq(reg_read(dev, VIRTIO_MMIO_STATUS), 15);
}

/* Send header and payload (at OTHER) as one chain of two. */
static void send_frame(const struct virtio_net_hdr_v1 *header, uint32_t len)
{
    memcpy(driver.data, header, HEADER);
    driver_desc(NET_TX, 0, 0, HEADER, VIRTQ_DESC_NEXT, 1);
    driver_desc(NET_TX, 1, OTHER, len, 0, 0);
    driver_offer(NET_TX, 0);
    serve();
}

/* What has come to the host; -1: nothing. */
static ssize_t host_read(uint8_t *buf, size_t size)
{
    return read(wire, buf, size);
}

/* Buffers of len bytes each, one after the other in driver.data. */
static void offer_buffers(uint16_t count, uint32_t len)
{
    for (uint16_t i = 0; i < count; i++) {
        driver_desc(NET_RX, i, (size_t)i * len, len, VIRTQ_DESC_WRITE, 0);
        driver_offer(NET_RX, i);
    }
}

/* A frame of len bytes from the host, to `to`, with an empty header in front. */
static void host_send(const uint8_t to[6], uint32_t len)
{
    static uint8_t frame[70000];

    memset(frame, 0, HEADER);
    for (uint32_t i = 0; i < len; i++)
        frame[HEADER + i] = (uint8_t)(i * 13);
    memcpy(frame + HEADER, to, 6);
    cr_assert_eq(write(wire, frame, HEADER + len), (ssize_t)(HEADER + len));
}

/* --- sending --- */

Test(vnet, frame_goes_out)
{
    struct virtio_net_hdr_v1 header = { 0 };
    uint8_t got[256];

    start(BASE);
    memset(driver.data + OTHER, 0x5a, 100);
    send_frame(&header, 100);
    cr_assert_eq(driver_used(NET_TX), 1);
    cr_assert_eq(host_read(got, sizeof(got)), (ssize_t)HEADER + 100);
    cr_assert_eq(got[HEADER], 0x5a);
}

Test(vnet, offloads_pass_if_negotiated)
{
    struct virtio_net_hdr_v1 header = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16,
                                        .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1000, .num_buffers = 99 };
    struct virtio_net_hdr_v1 got;
    uint8_t frame[4096];

    start(OFFLOAD);
    send_frame(&header, 3000);
    cr_assert_eq(host_read(frame, sizeof(frame)), (ssize_t)HEADER + 3000);
    memcpy(&got, frame, sizeof(got));
    cr_assert_eq(got.gso_size, 1000);
    cr_assert_eq(got.num_buffers, 0, "that field isn't the driver's to fill");
}

Test(vnet, offloads_are_refused_otherwise)
{
    const struct virtio_net_hdr_v1 bad[] = {
        { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM },
        { .flags = 0x80 },
        { .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1000 },
        { .gso_type = VIRTIO_NET_HDR_GSO_UDP, .gso_size = 1000 },
        { .gso_type = VIRTIO_NET_HDR_GSO_ECN },
        { .gso_type = 0x7f },
    };
    const struct virtio_net_hdr_v1 half[] = {
        { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 },  /* segments of no size */
        { .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1000 },                      /* without a checksum */
        { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV6, .gso_size = 1000 },
        { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN, .gso_size = 1 },
    };
    uint8_t frame[4096];

    start(BASE);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        send_frame(&bad[i], 2000);
    cr_assert_eq(driver_used(NET_TX), sizeof(bad) / sizeof(bad[0]), "lost frames come back like others");
    start(OFFLOAD);
    for (size_t i = 0; i < sizeof(half) / sizeof(half[0]); i++)
        send_frame(&half[i], 2000);
    cr_assert_eq(driver_used(NET_TX), sizeof(half) / sizeof(half[0]));
    cr_assert_eq(host_read(frame, sizeof(frame)), -1);
    cr_assert(!NEEDS_RESET(dev));
}

Test(vnet, frames_of_bad_size_are_lost)
{
    struct virtio_net_hdr_v1 header = { 0 };
    uint8_t frame[64];

    start(BASE);
    send_frame(&header, 13);
    driver_desc(NET_TX, 0, 0, HEADER, 0, 0); /* a header and nothing else */
    driver_offer(NET_TX, 0);
    for (unsigned i = 0; i < 4; i++) /* 80000 bytes */
        driver_desc(NET_TX, i, 0, 20000, i < 3 ? VIRTQ_DESC_NEXT : 0, (uint16_t)(i + 1));
    serve();
    driver_offer(NET_TX, 0);
    serve();
    cr_assert_eq(driver_used(NET_TX), 3);
    cr_assert_eq(host_read(frame, sizeof(frame)), -1);
    cr_assert(!NEEDS_RESET(dev));
}

/* --- receiving --- */

Test(vnet, frame_comes_in)
{
    const struct virtio_net_hdr_v1 *header = (void *)driver.data;

    start(MERGE);
    offer_buffers(4, 2048);
    host_send(mac, 100);
    serve();
    cr_assert_eq(driver_used(NET_RX), 1);
    cr_assert_eq(header->num_buffers, 1);
    cr_assert_eq(memcmp(driver.data + HEADER, mac, 6), 0);
    cr_assert_eq(driver.data[HEADER + 99], (uint8_t)(99 * 13));
    cr_assert_eq(driver.queue[NET_RX].used[4], HEADER + 100);
}

Test(vnet, frame_is_spread_over_buffers)
{
    const struct virtio_net_hdr_v1 *header = (void *)driver.data;

    net->wire->mtu = 3000;
    start(MERGE);
    offer_buffers(2, 1024);
    host_send(mac, 3000);
    serve();
    cr_assert_eq(driver_used(NET_RX), 0, "it waits for the rest");
    for (uint16_t i = 2; i < 8; i++) {
        driver_desc(NET_RX, i, i * 1024u, 1024, VIRTQ_DESC_WRITE, 0);
        driver_offer(NET_RX, i);
    }
    serve();
    cr_assert_eq(driver_used(NET_RX), 3);
    cr_assert_eq(header->num_buffers, 3);
    for (uint32_t i = 6; i < 3000; i++)
        cr_assert_eq(driver.data[HEADER + i], (uint8_t)(i * 13), "byte %u", i);
}

Test(vnet, what_finds_no_room_is_lost)
{
    start(MERGE);
    offer_buffers(2, 1024);
    host_send(mac, 3000);
    serve();
    cr_assert_eq(driver_used(NET_RX), 0);
    host_send(mac, 500);
    serve();
    cr_assert_eq(driver_used(NET_RX), 1, "its buffers are still there for the next");
}

Test(vnet, frames_wait_for_buffers)
{
    start(MERGE);
    host_send(mac, 100);
    serve();
    cr_assert(dev->model->waits_for(dev, NET_RX), "now buffers are work");
    offer_buffers(1, 2048);
    serve();
    cr_assert_eq(driver_used(NET_RX), 1);
}

Test(vnet, one_buffer_each_without_merging)
{
    start(BASE);
    offer_buffers(2, 1024);
    host_send(mac, 1100);
    serve();
    cr_assert_eq(driver_used(NET_RX), 0);
    host_send(mac, 900);
    serve();
    cr_assert_eq(driver_used(NET_RX), 1);
}

Test(vnet, host_device_that_is_gone)
{
    start(MERGE);
    offer_buffers(1, 2048);
    cr_assert_eq(dup2(open("/dev/null", O_RDONLY), net->wire->fd), net->wire->fd);
    serve(); /* reads of no bytes: too short for a frame, and no end of the world */
    close(net->wire->fd);
    serve();
    cr_assert_eq(net->config.status & VIRTIO_NET_S_LINK_UP, 0);
    cr_assert(!NEEDS_RESET(dev));
    net->wire->fd = -1;
}

/* --- the filter and the control queue --- */

static uint8_t control(uint8_t class, uint8_t command, const void *data, uint32_t len)
{
    uint16_t used = (uint16_t)(driver_used(NET_CTRL) + 1);

    driver.data[OTHER] = class;
    driver.data[OTHER + 1] = command;
    memcpy(driver.data + OTHER + 2, data, len);
    driver.data[OTHER + 4096] = 0xee;
    driver_desc(NET_CTRL, 0, OTHER, 2 + len, VIRTQ_DESC_NEXT, 1);
    driver_desc(NET_CTRL, 1, OTHER + 4096, 1, VIRTQ_DESC_WRITE, 0);
    driver_offer(NET_CTRL, 0);
    serve();
    cr_assert_eq(driver_used(NET_CTRL), used);
    return driver.data[OTHER + 4096];
}

static bool arrives(const uint8_t to[6])
{
    uint16_t used = driver_used(NET_RX);

    offer_buffers(1, 2048);
    host_send(to, 60);
    serve();
    return driver_used(NET_RX) != used;
}

Test(vnet, filter)
{
    static const uint8_t other[6] = { 2, 0, 0, 0, 0, 8 }, group[6] = { 0x33, 0x33, 0, 0, 0, 1 };
    static const uint8_t broadcast[6] = { 255, 255, 255, 255, 255, 255 };
    uint8_t on = 1, table[4 + 6 + 4 + 6] = { 0 };

    start(CONTROL);
    cr_assert(arrives(mac) && arrives(broadcast));
    cr_assert(!arrives(other) && !arrives(group));
    cr_assert_eq(control(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, &on, 1), VIRTIO_NET_OK);
    cr_assert(arrives(group) && !arrives(other));
    on = 0;
    control(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, &on, 1);
    table[0] = table[10] = 1;
    memcpy(table + 4, other, 6);
    memcpy(table + 14, group, 6);
    cr_assert_eq(control(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table, sizeof(table)), VIRTIO_NET_OK);
    cr_assert(arrives(group) && arrives(other));
    cr_assert_eq(control(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, other, 6), VIRTIO_NET_OK);
    cr_assert_eq(net->config.mac[5], 8);
    start(CONTROL);
    cr_assert_eq(net->config.mac[5], 7, "a reset gives it its own again");
    cr_assert(!arrives(other));
}

Test(vnet, bad_commands)
{
    uint8_t table[8] = { 255, 255, 255, 255 }, two = 2;

    start(CONTROL);
    cr_assert_eq(control(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table, 8), VIRTIO_NET_ERR);
    cr_assert_eq(control(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table, 2), VIRTIO_NET_ERR);
    cr_assert_eq(control(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, table, 5), VIRTIO_NET_ERR);
    cr_assert_eq(control(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &two, 1), VIRTIO_NET_ERR);
    cr_assert_eq(control(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOBCAST, &two, 1), VIRTIO_NET_ERR);
    cr_assert_eq(control(VIRTIO_NET_CTRL_RX, 200, &two, 1), VIRTIO_NET_ERR);
    cr_assert_eq(control(77, 0, &two, 1), VIRTIO_NET_ERR);
    cr_assert_eq(control(VIRTIO_NET_CTRL_RX, 0, &two, 0), VIRTIO_NET_ERR);
}

/* --- drivers that break the rules --- */

Test(vnet, writable_buffer_to_send)
{
    start(BASE);
    driver_desc(NET_TX, 0, 0, HEADER + 60, VIRTQ_DESC_NEXT, 1);
    driver_desc(NET_TX, 1, OTHER, 100, VIRTQ_DESC_WRITE, 0);
    driver_offer(NET_TX, 0);
    serve();
    cr_assert(NEEDS_RESET(dev));
}

Test(vnet, no_room_for_a_header)
{
    start(BASE);
    driver_desc(NET_TX, 0, 0, HEADER - 1, 0, 0);
    driver_offer(NET_TX, 0);
    serve();
    cr_assert(NEEDS_RESET(dev));
    start(MERGE);
    driver_desc(NET_RX, 0, 0, HEADER, VIRTQ_DESC_WRITE, 0);
    driver_offer(NET_RX, 0);
    serve();
    cr_assert(NEEDS_RESET(dev));
}

Test(vnet, readable_buffer_to_receive)
{
    start(MERGE);
    driver_desc(NET_RX, 0, 0, 2048, 0, 0);
    driver_offer(NET_RX, 0);
    serve();
    cr_assert(NEEDS_RESET(dev));
}

Test(vnet, command_without_room_for_an_answer)
{
    start(CONTROL);
    driver_desc(NET_CTRL, 0, 0, 3, 0, 0);
    driver_offer(NET_CTRL, 0);
    serve();
    cr_assert(NEEDS_RESET(dev));
}

Test(vnet, loops_and_wild_indexes)
{
    for (unsigned queue = 0; queue < NET_QUEUES; queue++) {
        start(CONTROL);
        driver_desc(queue, 0, 0, 64, VIRTQ_DESC_NEXT | (queue == NET_RX ? VIRTQ_DESC_WRITE : 0), 0);
        driver_offer(queue, 0);
        serve();
        cr_assert(NEEDS_RESET(dev), "queue %u: a loop", queue);
        start(CONTROL);
        driver_offer(queue, 1000);
        serve();
        cr_assert(NEEDS_RESET(dev), "queue %u: a head that isn't there", queue);
        start(CONTROL);
        driver.queue[queue].avail[1] = 0x8000;
        serve();
        cr_assert(NEEDS_RESET(dev), "queue %u: more requests than entries", queue);
        start(CONTROL);
        driver.queue[queue].desc[0] = (struct virtq_desc){ DRIVER_BASE - 64, 128, queue == NET_RX ? VIRTQ_DESC_WRITE : 0, 0 };
        driver_offer(queue, 0);
        serve();
        cr_assert(NEEDS_RESET(dev), "queue %u: memory that isn't there", queue);
    }
}

/* Buffers that the device holds for a frame to come are the driver's again after a reset. */
Test(vnet, reset_storm)
{
    for (int i = 0; i < 1000; i++) {
        start(i & 1 ? MERGE : BASE);
        offer_buffers(8, 1024);
        serve();
        reg_write(dev, VIRTIO_MMIO_STATUS, 0);
        cr_assert_eq(net->held_count, 0);
        memset(&driver, 0xa5, sizeof(driver));
        host_send(mac, 60);
        serve();
        start(MERGE);
        offer_buffers(1, 2048);
        serve();
        cr_assert_eq(driver_used(NET_RX), 1);
        cr_assert_eq(memcmp(driver.data + HEADER, mac, 6), 0);
    }
}

Test(vnet, limit)
{
    struct virtio_net_hdr_v1 header = { 0 };
    struct virtio_served served;

    vnet_destroy(net);
    close(wire);
    set_up();
    bucket_init(&net->sent, 1000, 0);
    start(BASE);
    send_frame(&header, 1500);
    cr_assert_eq(driver_used(NET_TX), 1);
    driver_offer(NET_TX, 0);
    served = dev->model->serve(dev);
    cr_assert_eq(driver_used(NET_TX), 1, "the bucket is overdrawn");
    cr_assert_neq(served.wait_ns, VIRTIO_WAIT_NONE);
}
