/* virtio-blk requests against a file, by io_uring and without; and requests that no good driver makes. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "devices/blk.h"
#include "hypercalls/devices.h"
#include "tests/unit/virtio_driver.h"

#define SECTORS 256u
#define DATA 4096u   /* offsets in driver.data */
#define STATUS 64u
#define FEATURES                                                                                   \
    (1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX | 1ull << VIRTIO_BLK_F_FLUSH |    \
     1ull << VIRTIO_BLK_F_DISCARD | 1ull << VIRTIO_BLK_F_WRITE_ZEROES | 1ull << VIRTIO_BLK_F_CONFIG_WCE)
#define FEATURES_RO (1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_BLK_F_RO)

static struct blk *blk;
static struct virtio_device *dev;
static char path[] = "/tmp/vmm-test-disk-XXXXXX";
static uint8_t image[SECTORS * 512];

static void make_image(void)
{
    int fd = mkstemp(path);

    for (size_t i = 0; i < sizeof(image); i++)
        image[i] = (uint8_t)(i / 512 * 7 + i);
    cr_assert_eq(write(fd, image, sizeof(image)), (ssize_t)sizeof(image));
    close(fd);
}

static void open_disk(bool readonly, bool ring, struct blk_limits limits)
{
    blk = calloc(1, sizeof(*blk));
    cr_assert_eq(disk_open(&blk->disk, path, readonly, ring), 0);
    cr_assert_eq(blk_init(blk, &driver_mem, driver_irq, NULL, "serial-number-of-this", &limits), 0);
    dev = &blk->dev;
    driver_start(dev, readonly ? FEATURES_RO : FEATURES);
    cr_assert_eq(reg_read(dev, VIRTIO_MMIO_STATUS), 15);
}

static void set_up(void)
{
    make_image();
    open_disk(false, true, (struct blk_limits){ 0 });
}

static void set_up_plain(void)
{
    make_image();
    open_disk(false, false, (struct blk_limits){ 0 });
}

static void set_up_readonly(void)
{
    make_image();
    open_disk(true, true, (struct blk_limits){ 0 });
}

static void tear_down(void)
{
    blk_destroy(blk);
    free(blk);
    unlink(path);
}

static void serve(uint16_t used)
{
    for (int i = 0; i < 5000 && driver_used(0) != used; i++) {
        blk->dev.model->serve(dev);
        if (driver_used(0) != used)
            usleep(100);
    }
    cr_assert_eq(driver_used(0), used);
}

/* One request with len bytes of data at DATA. Returns its status. */
static uint8_t request(uint32_t type, uint64_t sector, uint32_t len, bool device_writes)
{
    struct virtio_blk_outhdr header = { type, 0, sector };
    uint16_t used = (uint16_t)(driver_used(0) + 1);

    memcpy(driver.data, &header, sizeof(header));
    driver.data[STATUS] = 0xee;
    driver_desc(0, 0, 0, sizeof(header), VIRTQ_DESC_NEXT, len ? 1 : 2);
    driver_desc(0, 1, DATA, len, (uint16_t)(VIRTQ_DESC_NEXT | (device_writes ? VIRTQ_DESC_WRITE : 0)), 2);
    driver_desc(0, 2, STATUS, 1, VIRTQ_DESC_WRITE, 0);
    driver_offer(0, 0);
    serve(used);
    return driver.data[STATUS];
}

static uint8_t range_request(uint32_t type, uint64_t sector, uint32_t count, uint32_t flags)
{
    struct virtio_blk_discard_write_zeroes range = { sector, count, flags };

    memcpy(driver.data + DATA, &range, sizeof(range));
    return request(type, 0, sizeof(range), false);
}

static void file_bytes(uint64_t offset, void *buf, size_t n)
{
    int fd = open(path, O_RDONLY);

    cr_assert_eq(pread(fd, buf, n, (off_t)offset), (ssize_t)n);
    close(fd);
}

static void reads_and_writes(void)
{
    uint8_t back[1024];

    cr_assert_eq(request(VIRTIO_BLK_T_IN, 3, 4096, true), VIRTIO_BLK_S_OK);
    cr_assert_eq(memcmp(driver.data + DATA, image + 3 * 512, 4096), 0);
    cr_assert_eq(driver.queue[0].used[4], 4097, "data and status");
    memset(driver.data + DATA, 0x5a, 1024);
    cr_assert_eq(request(VIRTIO_BLK_T_OUT, SECTORS - 2, 1024, false), VIRTIO_BLK_S_OK);
    file_bytes((SECTORS - 2) * 512, back, 1024);
    cr_assert_eq(memcmp(back, driver.data + DATA, 1024), 0);
    cr_assert_eq(request(VIRTIO_BLK_T_FLUSH, 0, 0, false), VIRTIO_BLK_S_OK);
    cr_assert_eq(request(VIRTIO_BLK_T_IN, 0, 0, false), VIRTIO_BLK_S_OK);
}

static void zeroes_and_discards(void)
{
    static const uint8_t nothing[2048];
    uint8_t back[2048];

    for (uint32_t flags = 0; flags < 2; flags++) {
        cr_assert_eq(range_request(VIRTIO_BLK_T_WRITE_ZEROES, 8 + 8 * flags, 4, flags), VIRTIO_BLK_S_OK);
        file_bytes((8 + 8 * flags) * 512, back, sizeof(back));
        cr_assert_eq(memcmp(back, nothing, sizeof(back)), 0);
    }
    cr_assert_eq(range_request(VIRTIO_BLK_T_DISCARD, 64, 64, 0), VIRTIO_BLK_S_OK);
    file_bytes(0, back, sizeof(back));
    cr_assert_eq(memcmp(back, image, sizeof(back)), 0);
    cr_assert_eq(range_request(VIRTIO_BLK_T_DISCARD, 64, 64, 1), VIRTIO_BLK_S_UNSUPP, "flags of another request");
    cr_assert_eq(range_request(VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 2), VIRTIO_BLK_S_UNSUPP);
    cr_assert_eq(range_request(VIRTIO_BLK_T_DISCARD, SECTORS - 1, 2, 0), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(range_request(VIRTIO_BLK_T_WRITE_ZEROES, UINT64_MAX, 2, 0), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(range_request(VIRTIO_BLK_T_WRITE_ZEROES, 0, 0, 0), VIRTIO_BLK_S_IOERR);
}

Test(blk, reads_and_writes, .init = set_up, .fini = tear_down)
{
    reads_and_writes();
}

Test(blk, reads_and_writes_without_a_ring, .init = set_up_plain, .fini = tear_down)
{
    cr_assert_null(blk->disk.ring);
    reads_and_writes();
}

Test(blk, zeroes_and_discards, .init = set_up, .fini = tear_down)
{
    zeroes_and_discards();
}

Test(blk, zeroes_and_discards_without_a_ring, .init = set_up_plain, .fini = tear_down)
{
    zeroes_and_discards();
}

Test(blk, identifies_itself, .init = set_up, .fini = tear_down)
{
    struct virtio_blk_config c;

    virtio_mmio_read(dev, VIRTIO_MMIO_CONFIG, &c.capacity, 8);
    virtio_mmio_read(dev, VIRTIO_MMIO_CONFIG + offsetof(struct virtio_blk_config, blk_size), &c.blk_size, 4);
    cr_assert_eq(c.capacity, SECTORS);
    cr_assert_eq(c.blk_size, 512);
    cr_assert_eq(request(VIRTIO_BLK_T_GET_ID, 0, 20, true), VIRTIO_BLK_S_OK);
    cr_assert_eq(memcmp(driver.data + DATA, "serial-number-of-this", 20), 0);
    cr_assert_eq(request(VIRTIO_BLK_T_GET_ID, 0, 6, true), VIRTIO_BLK_S_OK, "a short buffer gets a part");
}

Test(blk, beyond_the_end, .init = set_up, .fini = tear_down)
{
    cr_assert_eq(request(VIRTIO_BLK_T_IN, SECTORS, 512, true), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(request(VIRTIO_BLK_T_IN, SECTORS - 1, 1024, true), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(request(VIRTIO_BLK_T_OUT, UINT64_MAX / 512, 1024, false), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(request(VIRTIO_BLK_T_OUT, UINT64_MAX - 1, 1024, false), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(request(VIRTIO_BLK_T_IN, 0, 100, true), VIRTIO_BLK_S_IOERR, "not whole sectors");
    cr_assert_eq(request(12345, 0, 512, true), VIRTIO_BLK_S_UNSUPP);
    cr_assert_eq(request(VIRTIO_BLK_T_IN, 0, 512, true), VIRTIO_BLK_S_OK, "it goes on");
}

Test(blk, readonly, .init = set_up_readonly, .fini = tear_down)
{
    cr_assert_eq(request(VIRTIO_BLK_T_IN, 0, 512, true), VIRTIO_BLK_S_OK);
    cr_assert_eq(request(VIRTIO_BLK_T_OUT, 0, 512, false), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(range_request(VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 0), VIRTIO_BLK_S_UNSUPP);
}

/* The header in three pieces, the status byte at the end of the data. */
Test(blk, any_layout, .init = set_up, .fini = tear_down)
{
    struct virtio_blk_outhdr header = { VIRTIO_BLK_T_IN, 0, 5 };

    memcpy(driver.data, &header, sizeof(header));
    driver_desc(0, 0, 0, 3, VIRTQ_DESC_NEXT, 1);
    driver_desc(0, 1, 3, 9, VIRTQ_DESC_NEXT, 2);
    driver_desc(0, 2, 12, 4, VIRTQ_DESC_NEXT, 3);
    driver_desc(0, 3, DATA, 700, VIRTQ_DESC_WRITE | VIRTQ_DESC_NEXT, 4);
    driver_desc(0, 4, DATA + 700, 1024 - 700 + 1, VIRTQ_DESC_WRITE, 0);
    driver.data[DATA + 1024] = 0xee;
    driver_offer(0, 0);
    serve(1);
    cr_assert_eq(driver.data[DATA + 1024], VIRTIO_BLK_S_OK);
    cr_assert_eq(memcmp(driver.data + DATA, image + 5 * 512, 1024), 0);
}

Test(blk, several_at_once, .init = set_up, .fini = tear_down)
{
    struct virtio_blk_outhdr header = { VIRTIO_BLK_T_IN, 0, 0 };

    memcpy(driver.data, &header, sizeof(header));
    for (uint16_t i = 0; i < 4; i++) {
        driver_desc(0, 2u * i, 0, sizeof(header), VIRTQ_DESC_NEXT, (uint16_t)(2 * i + 1));
        driver_desc(0, 2u * i + 1, DATA + 1024 * i, 513, VIRTQ_DESC_WRITE, 0);
        driver_offer(0, (uint16_t)(2 * i));
    }
    serve(4);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(memcmp(driver.data + DATA + 1024 * i, image, 512), 0);
    cr_assert_geq(driver_irqs, 1);
}

static void expect_needs_reset(void)
{
    for (int i = 0; i < 10; i++)
        blk->dev.model->serve(dev);
    cr_assert(reg_read(dev, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET);
    driver_start(dev, FEATURES);
    cr_assert_eq(request(VIRTIO_BLK_T_IN, 0, 512, true), VIRTIO_BLK_S_OK);
}

Test(blk, no_room_for_the_status, .init = set_up, .fini = tear_down)
{
    driver_desc(0, 0, 0, 16, 0, 0);
    driver_offer(0, 0);
    expect_needs_reset();
}

Test(blk, short_header, .init = set_up, .fini = tear_down)
{
    driver_desc(0, 0, 0, 15, VIRTQ_DESC_NEXT, 1);
    driver_desc(0, 1, 64, 1, VIRTQ_DESC_WRITE, 0);
    driver_offer(0, 0);
    expect_needs_reset();
}

/* Data into the header, and everything into the same bytes: nonsense, but only the driver's own. */
Test(blk, overlapping_chain, .init = set_up, .fini = tear_down)
{
    struct virtio_blk_outhdr header = { VIRTIO_BLK_T_IN, 0, 0 };

    memcpy(driver.data, &header, sizeof(header));
    driver_desc(0, 0, 0, 16, VIRTQ_DESC_NEXT, 1);
    driver_desc(0, 1, 0, 512, VIRTQ_DESC_WRITE | VIRTQ_DESC_NEXT, 2);
    driver_desc(0, 2, 0, 512, VIRTQ_DESC_WRITE | VIRTQ_DESC_NEXT, 3);
    driver_desc(0, 3, 8, 1, VIRTQ_DESC_WRITE, 0);
    driver_offer(0, 0);
    serve(1);
    cr_assert_eq(driver.data[8], VIRTIO_BLK_S_OK);
}

/* Without VIRTIO_BLK_F_FLUSH, or with the cache switched off, a write is on the medium when it is done. */
Test(blk, write_through, .init = set_up, .fini = tear_down)
{
    size_t wce = VIRTIO_MMIO_CONFIG + offsetof(struct virtio_blk_config, wce);

    virtio_mmio_write(dev, wce, "\0", 1);
    cr_assert_eq(blk->config.wce, 0);
    cr_assert_eq(request(VIRTIO_BLK_T_OUT, 0, 512, false), VIRTIO_BLK_S_OK);
    cr_assert(blk->pool[0].io.durable);
    virtio_mmio_write(dev, VIRTIO_MMIO_CONFIG, "\1", 1);
    cr_assert_eq(blk->config.capacity, SECTORS, "nothing else can be written");
    driver_start(dev, FEATURES);
    cr_assert_eq(blk->config.wce, 1);
    cr_assert_eq(request(VIRTIO_BLK_T_OUT, 0, 512, false), VIRTIO_BLK_S_OK);
    cr_assert_not(blk->pool[0].io.durable);
}

/* The file is cut under the device: an I/O error, and the device goes on. */
Test(blk, truncated_file, .init = set_up, .fini = tear_down)
{
    cr_assert_eq(truncate(path, 512), 0);
    cr_assert_eq(request(VIRTIO_BLK_T_IN, 0, 1024, true), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(request(VIRTIO_BLK_T_IN, 0, 512, true), VIRTIO_BLK_S_OK);
}

Test(blk, full_host_disk)
{
    struct virtio_device *d;

    /* /dev/full is no disk; its error is what a full one gives. */
    make_image();
    open_disk(false, false, (struct blk_limits){ 0 });
    d = dev;
    cr_assert_eq(dup2(open("/dev/full", O_RDWR), blk->disk.fd), blk->disk.fd);
    cr_assert_eq(request(VIRTIO_BLK_T_OUT, 0, 512, false), BLK_S_NO_SPACE);
    cr_assert_eq(reg_read(d, VIRTIO_MMIO_STATUS), 15);
    tear_down();
}

Test(blk, a_disk_has_one_writer, .init = set_up, .fini = tear_down)
{
    struct disk other;

    cr_assert_eq(disk_open(&other, path, false, false), -EWOULDBLOCK);
    cr_assert_eq(disk_open(&other, path, true, false), -EWOULDBLOCK);
    cr_assert_eq(disk_open(&other, "/dev/null", true, false), -EINVAL);
    cr_assert_eq(disk_open(&other, "/tmp", true, false), -EINVAL);
    cr_assert_eq(disk_open(&other, "/nonexistent", true, false), -ENOENT);
}

Test(blk, rate_limit)
{
    struct timespec a, b;
    double seconds;

    make_image();
    open_disk(false, true, (struct blk_limits){ .iops = 1000 });
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < 300; i++) /* a tenth of a second's worth at once, the rest at its rate */
        cr_assert_eq(request(VIRTIO_BLK_T_IN, 0, 512, true), VIRTIO_BLK_S_OK);
    clock_gettime(CLOCK_MONOTONIC, &b);
    seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) * 1e-9;
    cr_assert_gt(seconds, 0.18);
    tear_down();
}

Test(blk, resets_with_requests_under_way, .init = set_up, .fini = tear_down)
{
    struct virtio_blk_outhdr header = { VIRTIO_BLK_T_IN, 0, 0 };

    cr_assert_eq(virtio_thread_start(dev, NULL), 0);
    for (int i = 0; i < 300; i++) {
        driver_start(dev, FEATURES);
        memcpy(driver.data, &header, sizeof(header));
        for (uint16_t k = 0; k < 4; k++) {
            driver_desc(0, 2u * k, 0, sizeof(header), VIRTQ_DESC_NEXT, (uint16_t)(2 * k + 1));
            driver_desc(0, 2u * k + 1, DATA, 32769, VIRTQ_DESC_WRITE, 0);
            driver_offer(0, (uint16_t)(2 * k));
        }
        reg_write(dev, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    }
    reg_write(dev, VIRTIO_MMIO_STATUS, 0);
    cr_assert_eq(blk->disk.under_way, 0);
    virtio_thread_stop(dev);
}

static void *change_everything(void *arg)
{
    const bool *end = arg;
    uint64_t x = 88172645463325252ull;

    /* Descriptors, rings and headers; the next avail index stays near the last, or the device is broken at once. */
    while (!__atomic_load_n(end, __ATOMIC_RELAXED)) {
        size_t at;

        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        at = x % (sizeof(driver.queue[0]) + 64);
        if (at >= sizeof(driver.queue[0]))
            driver.data[at - sizeof(driver.queue[0])] = (uint8_t)(x >> 40);
        else if (at < sizeof(driver.queue[0].desc))
            ((uint8_t *)driver.queue[0].desc)[at] = (uint8_t)(x >> 32) & (x & 1 ? 0xff : 7);
        if (x % 64 == 0)
            driver_offer(0, (uint16_t)(x >> 50 & 7));
        if (x % 16 == 0)
            reg_write(dev, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    }
    return NULL;
}

/* Chains that overlap and change while the device looks at them, at full speed; each time that it asks for a reset it gets one. */
Test(blk, everything_changes_underneath, .init = set_up, .fini = tear_down)
{
    unsigned resets = 0;
    bool end = false;
    pthread_t thread;

    cr_assert_eq(virtio_thread_start(dev, NULL), 0);
    driver_start(dev, FEATURES);
    cr_assert_eq(pthread_create(&thread, NULL, change_everything, &end), 0);
    for (int i = 0; i < 500; i++) {
        usleep(1000);
        if (reg_read(dev, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET) {
            driver_start(dev, FEATURES);
            resets++;
        }
    }
    __atomic_store_n(&end, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    reg_write(dev, VIRTIO_MMIO_STATUS, 0);
    cr_assert_eq(blk->disk.under_way, 0);
    cr_assert_gt(resets, 0, "nothing was wrong with it");
    driver_start(dev, FEATURES);
    cr_assert_eq(reg_read(dev, VIRTIO_MMIO_STATUS), 15, "it starts again");
    virtio_thread_stop(dev);
}
