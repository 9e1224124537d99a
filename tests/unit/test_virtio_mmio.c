/* Registers and the status machine, with a model that does nothing but count. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/unit/virtio_driver.h"

static uint8_t config[8];
static unsigned starts, stops, served;
static bool refuse_start;

static int model_start(struct virtio_device *dev)
{
    (void)dev;
    starts++;
    return refuse_start ? -EIO : 0;
}

static void model_stop(struct virtio_device *dev)
{
    (void)dev;
    stops++;
}

static struct virtio_served model_serve(struct virtio_device *dev)
{
    static struct virtq_chain chain;
    struct virtio_served result = { false, VIRTIO_WAIT_NONE };
    struct virtq *q = virtio_queue(dev, 0);
    int got;

    while (q && (got = virtq_pop(q, &chain)) != 0) {
        if (got < 0) {
            virtio_broken(dev);
            return result;
        }
        virtq_push(q, chain.head, 0);
        served++;
        result.progress = true;
    }
    if (q)
        virtio_notify(dev, q);
    return result;
}

static const struct virtio_model model = {
    .id = VIRTIO_ID_RNG,
    .queue_count = 2,
    .queue_size_max = 64,
    .start = model_start,
    .stop = model_stop,
    .serve = model_serve,
};

static struct virtio_device dev;

#define MODEL_FEATURE (1ull << 3)
#define FEATURES (1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX)

static void set_up(void)
{
    dev = (struct virtio_device){ .model = &model, .mem = &driver_mem, .irq = driver_irq, .config = config,
                                  .config_size = sizeof(config), .offered = MODEL_FEATURE, .chain_max = 8 };
    cr_assert_eq(virtio_init(&dev), 0);
    starts = stops = served = driver_irqs = 0;
    refuse_start = false;
}

static uint32_t status(void)
{
    return reg_read(&dev, VIRTIO_MMIO_STATUS);
}

Test(virtio_mmio, identifies_itself, .init = set_up)
{
    cr_assert_eq(reg_read(&dev, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
    cr_assert_eq(reg_read(&dev, VIRTIO_MMIO_VERSION), 2);
    cr_assert_eq(reg_read(&dev, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_RNG);
    cr_assert_eq(reg_read(&dev, 0xb0), 0xffffffffu);
    cr_assert_eq(status(), 0);
    reg_write(&dev, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    cr_assert(reg_read(&dev, VIRTIO_MMIO_DEVICE_FEATURES) & 1, "VERSION_1");
    reg_write(&dev, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
    cr_assert_eq(reg_read(&dev, VIRTIO_MMIO_DEVICE_FEATURES), MODEL_FEATURE | 3u << 28);
    reg_write(&dev, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
    cr_assert_eq(reg_read(&dev, VIRTIO_MMIO_DEVICE_FEATURES), 0);
}

Test(virtio_mmio, negotiates, .init = set_up)
{
    driver_start(&dev, FEATURES | MODEL_FEATURE);
    cr_assert_eq(status(), 15);
    cr_assert_eq(starts, 1);
    cr_assert(virtio_has_feature(&dev, 3));
    cr_assert_not_null(virtio_queue(&dev, 0));
    cr_assert_not_null(virtio_queue(&dev, 1));
    cr_assert_eq(fd_take_event(dev.kick_fd), 1, "what was offered before DRIVER_OK is looked at");
}

Test(virtio_mmio, refuses_features_that_nobody_offered, .init = set_up)
{
    driver_negotiate(&dev, FEATURES | 1ull << 7);
    cr_assert_eq(status(), 3);
}

Test(virtio_mmio, refuses_a_legacy_driver, .init = set_up)
{
    driver_negotiate(&dev, MODEL_FEATURE);
    cr_assert_eq(status(), 3);
}

Test(virtio_mmio, steps_cannot_be_skipped, .init = set_up)
{
    reg_write(&dev, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_DRIVER_OK);
    cr_assert_eq(status(), 0);
    reg_write(&dev, VIRTIO_MMIO_STATUS, 1 | 4 | 8);
    cr_assert_eq(status(), 1);
    reg_write(&dev, VIRTIO_MMIO_STATUS, 0x40);
    cr_assert_eq(status(), 1, "NEEDS_RESET is the device's");
    cr_assert_eq(starts, 0);
    cr_assert_null(virtio_queue(&dev, 0));
}

Test(virtio_mmio, bits_of_the_status_stay_until_reset, .init = set_up)
{
    driver_start(&dev, FEATURES);
    reg_write(&dev, VIRTIO_MMIO_STATUS, 1);
    cr_assert_eq(status(), 15);
    reg_write(&dev, VIRTIO_MMIO_STATUS, 15);
    cr_assert_eq(starts, 1);
}

Test(virtio_mmio, features_are_frozen_by_features_ok, .init = set_up)
{
    driver_negotiate(&dev, FEATURES);
    reg_write(&dev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    reg_write(&dev, VIRTIO_MMIO_DRIVER_FEATURES, MODEL_FEATURE);
    driver_ok(&dev);
    cr_assert_not(virtio_has_feature(&dev, 3));
}

Test(virtio_mmio, reset_in_any_state, .init = set_up)
{
    for (unsigned state = 0; state < 5; state++) {
        reg_write(&dev, VIRTIO_MMIO_STATUS, 0);
        if (state == 1)
            reg_write(&dev, VIRTIO_MMIO_STATUS, 1);
        if (state == 2)
            driver_negotiate(&dev, FEATURES);
        if (state >= 3)
            driver_start(&dev, FEATURES);
        if (state == 4)
            virtio_broken(&dev);
        reg_write(&dev, VIRTIO_MMIO_STATUS, 0);
        cr_assert_eq(status(), 0);
        cr_assert_null(virtio_queue(&dev, 0));
        reg_write(&dev, VIRTIO_MMIO_QUEUE_SEL, 0);
        cr_assert_eq(reg_read(&dev, VIRTIO_MMIO_QUEUE_READY), 0);
        cr_assert_eq(reg_read(&dev, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
        driver_start(&dev, FEATURES);
        cr_assert_eq(status(), 15, "it starts again");
    }
}

Test(virtio_mmio, reset_storm, .init = set_up)
{
    for (int i = 0; i < 10000; i++) {
        driver_start(&dev, FEATURES);
        reg_write(&dev, VIRTIO_MMIO_STATUS, 0);
    }
    cr_assert_eq(starts, 10000);
    cr_assert_eq(stops, 10000);
}

/* A start-up whose queue 0 is wrong in one way: the device asks for a reset and serves nothing. */
static void start_with(uint32_t reg, uint32_t value)
{
    driver_negotiate(&dev, FEATURES);
    reg_write(&dev, VIRTIO_MMIO_QUEUE_SEL, 0);
    reg_write(&dev, VIRTIO_MMIO_QUEUE_NUM, DRIVER_QUEUE);
    driver_address(&dev, VIRTIO_MMIO_QUEUE_DESC_LOW, DRIVER_AT(queue[0].desc));
    driver_address(&dev, VIRTIO_MMIO_QUEUE_AVAIL_LOW, DRIVER_AT(queue[0].avail));
    driver_address(&dev, VIRTIO_MMIO_QUEUE_USED_LOW, DRIVER_AT(queue[0].used));
    reg_write(&dev, reg, value);
    reg_write(&dev, VIRTIO_MMIO_QUEUE_READY, 1);
    driver_ok(&dev);
}

static void expect_needs_reset(void)
{
    cr_assert_eq(status() & 0x40, 0x40);
    cr_assert_null(virtio_queue(&dev, 0));
    cr_assert_eq(reg_read(&dev, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
    cr_assert(driver_line);
    driver_start(&dev, FEATURES);
    cr_assert_eq(status(), 15);
    cr_assert_not(driver_line);
}

Test(virtio_mmio, queue_size_is_no_power_of_two, .init = set_up)
{
    start_with(VIRTIO_MMIO_QUEUE_NUM, 6);
    expect_needs_reset();
}

Test(virtio_mmio, queue_size_too_large, .init = set_up)
{
    start_with(VIRTIO_MMIO_QUEUE_NUM, 128);
    expect_needs_reset();
}

Test(virtio_mmio, queue_size_wraps, .init = set_up)
{
    start_with(VIRTIO_MMIO_QUEUE_NUM, 0x10000 + DRIVER_QUEUE);
    expect_needs_reset();
}

Test(virtio_mmio, queue_outside_memory, .init = set_up)
{
    start_with(VIRTIO_MMIO_QUEUE_USED_HIGH, 0xffffffff);
    expect_needs_reset();
}

Test(virtio_mmio, queue_misaligned, .init = set_up)
{
    start_with(VIRTIO_MMIO_QUEUE_DESC_LOW, DRIVER_AT(queue[0].desc) + 8);
    expect_needs_reset();
}

Test(virtio_mmio, a_model_may_refuse_to_start, .init = set_up)
{
    refuse_start = true;
    driver_start(&dev, FEATURES);
    refuse_start = false;
    expect_needs_reset();
}

Test(virtio_mmio, a_ready_queue_cannot_be_moved, .init = set_up)
{
    driver_negotiate(&dev, FEATURES);
    driver_setup_queue(&dev, 0);
    reg_write(&dev, VIRTIO_MMIO_QUEUE_DESC_LOW, 0);
    reg_write(&dev, VIRTIO_MMIO_QUEUE_NUM, 2);
    driver_ok(&dev);
    cr_assert_eq(virtio_queue(&dev, 0)->size, DRIVER_QUEUE);
    cr_assert_null(virtio_queue(&dev, 1));
}

Test(virtio_mmio, a_queue_that_runs_can_be_taken_away, .init = set_up)
{
    driver_start(&dev, FEATURES);
    reg_write(&dev, VIRTIO_MMIO_QUEUE_SEL, 0);
    reg_write(&dev, VIRTIO_MMIO_QUEUE_READY, 0);
    cr_assert_eq(reg_read(&dev, VIRTIO_MMIO_QUEUE_READY), 0);
    cr_assert_null(virtio_queue(&dev, 0));
    cr_assert_not_null(virtio_queue(&dev, 1));
    reg_write(&dev, VIRTIO_MMIO_QUEUE_READY, 1);
    cr_assert_null(virtio_queue(&dev, 0), "queues come up before DRIVER_OK only");
}

Test(virtio_mmio, queues_that_are_not_there, .init = set_up)
{
    driver_negotiate(&dev, FEATURES);
    reg_write(&dev, VIRTIO_MMIO_QUEUE_SEL, 2);
    cr_assert_eq(reg_read(&dev, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
    reg_write(&dev, VIRTIO_MMIO_QUEUE_NUM, 8);
    reg_write(&dev, VIRTIO_MMIO_QUEUE_READY, 1);
    cr_assert_eq(reg_read(&dev, VIRTIO_MMIO_QUEUE_READY), 0);
    fd_take_event(dev.kick_fd);
    reg_write(&dev, VIRTIO_MMIO_QUEUE_NOTIFY, 2);
    cr_assert_eq(fd_take_event(dev.kick_fd), 0);
    reg_write(&dev, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
    cr_assert_eq(fd_take_event(dev.kick_fd), 1);
}

Test(virtio_mmio, configuration_space, .init = set_up)
{
    uint64_t all = 0;
    uint16_t half = 0;
    uint32_t generation = reg_read(&dev, VIRTIO_MMIO_CONFIG_GENERATION);

    memcpy(config, "abcdefgh", 8);
    virtio_mmio_read(&dev, VIRTIO_MMIO_CONFIG, &all, 8);
    cr_assert_eq(memcmp(&all, "abcdefgh", 8), 0);
    virtio_mmio_read(&dev, VIRTIO_MMIO_CONFIG + 6, &half, 2);
    cr_assert_eq(memcmp(&half, "gh", 2), 0);
    virtio_mmio_read(&dev, VIRTIO_MMIO_CONFIG + 7, &half, 2);
    cr_assert_eq(half, 0, "beyond its end");
    virtio_mmio_write(&dev, VIRTIO_MMIO_CONFIG, "x", 1);
    cr_assert_eq(config[0], 'a', "read-only");
    driver_start(&dev, FEATURES);
    virtio_config_changed(&dev);
    cr_assert_neq(reg_read(&dev, VIRTIO_MMIO_CONFIG_GENERATION), generation);
    cr_assert_eq(reg_read(&dev, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
    reg_write(&dev, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_CONFIG);
    cr_assert_not(driver_line);
}

Test(virtio_mmio, odd_accesses, .init = set_up)
{
    uint8_t bytes[8];

    memset(bytes, 0xff, sizeof(bytes));
    virtio_mmio_read(&dev, 1, bytes, 4);
    virtio_mmio_read(&dev, 0, bytes + 4, 1);
    cr_assert_eq(bytes[0] | bytes[4], 0);
    for (uint32_t len = 1; len <= 8; len *= 2) {
        for (uint32_t at = 0; at < VIRTIO_MMIO_SIZE; at++) {
            virtio_mmio_read(&dev, at, bytes, len);
            virtio_mmio_write(&dev, at, "\xff\xff\xff\xff\xff\xff\xff\xff", len);
        }
    }
    driver_start(&dev, FEATURES);
    cr_assert_eq(status(), 15);
}

Test(virtio_mmio, a_bad_chain_needs_a_reset, .init = set_up)
{
    driver_start(&dev, FEATURES);
    driver_offer(0, 0xffff);
    model_serve(&dev);
    cr_assert_eq(stops, 1);
    expect_needs_reset();
}

static bool wait_used(uint16_t count)
{
    for (int i = 0; i < 5000 && driver_used(0) != count; i++)
        usleep(1000);
    return driver_used(0) == count;
}

Test(virtio_mmio, the_thread_serves, .init = set_up)
{
    cr_assert_eq(virtio_thread_start(&dev, NULL), 0);
    driver_start(&dev, FEATURES);
    for (unsigned i = 1; i <= 2000; i++) {
        driver_desc(0, 0, 0, 4, 0, 0);
        driver_offer(0, 0);
        reg_write(&dev, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
        cr_assert(wait_used((uint16_t)i));
        if (i % 500 == 0)
            usleep(2000); /* it sleeps by now */
    }
    cr_assert_eq(served, 2000);
    for (int i = 0; i < 20000; i++) /* kicks for nothing */
        reg_write(&dev, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    for (int i = 0; i < 1000; i++) { /* resets while it serves */
        driver_desc(0, 0, 0, 4, 0, 0);
        driver_offer(0, 0);
        driver_start(&dev, FEATURES);
    }
    driver_desc(0, 0, 0, 4, 0, 0);
    driver_offer(0, 0);
    reg_write(&dev, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    cr_assert(wait_used(1));
    virtio_thread_stop(&dev);
}
