/* driver_client, the shim's side: what virtio_blk.c needs beside client_shim.c, and the requests. Built with the shim's flags. */
#include "tests/conformance/client.h"

#include "drivers/ring.h"
#include "drivers/virtio_blk.h"
#include "fs/blkdev.h"
#include "lib/kmalloc.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/frame.h"

#define REQUESTS_MAX 400u /* more than the queue holds */
#define ROUNDS 3000u
#define WAIT_MS 20000

struct thread *current;
static struct virtio_blk *disk;
static uint8_t *model;
static uint64_t model_size;
static uint64_t seed = 1;

/* --- threads --- */

void ring_hurry(bool more UNUSED)
{
}

void thread_wake(struct thread *thread UNUSED)
{
}

/* Completions first by looking, then by a notification that we ask for, so that both are tried. */
int thread_park(uint64_t deadline UNUSED, bool interruptible UNUSED)
{
    struct virtio_vq *queue = &disk->queue;
    uint32_t len;
    void *token;

    for (int i = 0; i < 100 && !virtq_has_used(&queue->vq); i++)
        __builtin_ia32_pause();
    while (!virtq_has_used(&queue->vq)) {
        virtq_arm(&queue->vq);
        if (!virtq_has_used(&queue->vq) && !host_wait_call(0, WAIT_MS))
            host_fail("no completion");
    }
    virtq_disarm(&queue->vq);
    while ((token = virtq_take(&queue->vq, &len)) != NULL) {
        queue->out--;
        queue->used(queue, token, len);
    }
    return 0;
}

void blkdev_add_disk(struct virtio_blk *found)
{
    disk = found;
}

/* --- requests --- */

static uint32_t random_below(uint32_t n)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)((seed >> 33) % n);
}

static void expect(const char *what, long got, long wanted)
{
    if (got != wanted)
        host_fail("%s: %ld, not %ld", what, got, wanted);
}

static struct blk_rq *request(uint32_t type, uint64_t sector, uint8_t *buf, uint32_t len, uint32_t pieces)
{
    struct blk_rq *rq = blk_rq_new(disk, type, sector);
    uint32_t part = len / pieces / 512 * 512;

    for (uint32_t i = 0, at = 0; i < pieces; i++) {
        uint32_t n = i + 1 < pieces ? part : len - at;

        if (n > 0 && !blk_rq_add(rq, ptr_to_gpa(buf + at), n))
            host_fail("no room for a piece");
        at += n;
    }
    return rq;
}

static long call(struct blk_rq *rq)
{
    long err = blk_call(rq);

    kfree(rq);
    return err;
}

static long range(uint32_t type, uint64_t sector, uint32_t sectors)
{
    struct blk_rq *rq = blk_rq_new(disk, type, 0);

    rq->range = (struct virtio_blk_discard_write_zeroes){ .sector = sector, .num_sectors = sectors };
    blk_rq_add(rq, ptr_to_gpa(&rq->range), sizeof(rq->range));
    return call(rq);
}

static void fill(uint8_t *p, uint32_t len)
{
    for (uint32_t i = 0; i < len; i += 8)
        *(uint64_t *)(p + i) = (uint64_t)random_below(1u << 31) << 32 | random_below(1u << 31);
}

/* Reads, writes and zeroes at random places, each compared with the model. */
static void random_requests(uint8_t *buf)
{
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t sectors = 1 + random_below(random_below(4) ? 8 : 512), len = sectors * 512;
        uint64_t sector = random_below((uint32_t)(model_size / 512) - sectors);
        uint32_t pieces = 1 + random_below(MIN(sectors, disk->seg_max));

        switch (random_below(8)) {
        case 0:
            expect("write zeroes", range(VIRTIO_BLK_T_WRITE_ZEROES, sector, sectors), 0);
            memset(model + sector * 512, 0, len);
            break;
        case 1:
            expect("flush", call(blk_rq_new(disk, VIRTIO_BLK_T_FLUSH, 0)), 0);
            break;
        case 2:
        case 3:
        case 4:
            fill(buf, len);
            expect("write", call(request(VIRTIO_BLK_T_OUT, sector, buf, len, pieces)), 0);
            memcpy(model + sector * 512, buf, len);
            break;
        default:
            memset(buf, 0xa5, len);
            expect("read", call(request(VIRTIO_BLK_T_IN, sector, buf, len, pieces)), 0);
            expect("what was read", memcmp(buf, model + sector * 512, len), 0);
            break;
        }
    }
}

/* More at once than the queue has room for, in one announcement. */
static void many_at_once(uint8_t *buf)
{
    static struct blk_rq *out[REQUESTS_MAX];

    memset(buf, 0, REQUESTS_MAX * 512);
    for (uint32_t i = 0; i < REQUESTS_MAX; i++) {
        out[i] = request(VIRTIO_BLK_T_IN, i * 3, buf + i * 512, 512, 1);
        blk_submit(out[i], i + 1 == REQUESTS_MAX);
    }
    for (uint32_t i = 0; i < REQUESTS_MAX; i++) {
        expect("one of many", blk_wait(out[i]), 0);
        expect("its data", memcmp(buf + i * 512, model + i * 3 * 512, 512), 0);
        kfree(out[i]);
    }
}

/* What must fail, and lets the device go on. */
static void failures(uint8_t *buf)
{
    expect("read beyond the end", call(request(VIRTIO_BLK_T_IN, disk->sectors, buf, 512, 1)), -EIO);
    expect("write across the end", call(request(VIRTIO_BLK_T_OUT, disk->sectors - 1, buf, 1024, 1)), -EIO);
    expect("unknown request", call(request(77, 0, buf, 512, 1)), -EOPNOTSUPP);
    expect("discard beyond the end", range(VIRTIO_BLK_T_DISCARD, disk->sectors, 8) < 0, 1);
    expect("read", call(request(VIRTIO_BLK_T_IN, 0, buf, 512, 1)), 0);
}

void client_run(uint8_t *shared, uint8_t *disk_model, uint64_t size)
{
    static struct virtio_dev dev;
    uint8_t *buf, id[VIRTIO_BLK_ID_BYTES + 1] = { 0 };

    client_memory(shared);
    model = disk_model;
    model_size = size;
    buf = pages_alloc(256);
    virtio_blk_probe(&dev);
    expect("sectors", (long)disk->sectors, (long)(size / 512));
    expect("block size", disk->block_size, 512);
    expect("read-only", disk->readonly, 0);
    expect("flush", disk->can_flush, 1);
    expect("discard and zeroes", disk->discard_max > 0 && disk->zero_max > 0, 1);
    expect("id", call(request(VIRTIO_BLK_T_GET_ID, 0, buf, VIRTIO_BLK_ID_BYTES, 1)), 0);
    memcpy(id, buf, VIRTIO_BLK_ID_BYTES);
    random_requests(buf);
    expect("discard", range(VIRTIO_BLK_T_DISCARD, 2048, 1024), 0);
    expect("read what was discarded", call(request(VIRTIO_BLK_T_IN, 2048, buf, 1024 * 512, 8)), 0);
    memcpy(model + 2048 * 512, buf, 1024 * 512);
    many_at_once(buf);
    failures(buf);
    random_requests(buf);
    expect("flush", call(blk_rq_new(disk, VIRTIO_BLK_T_FLUSH, 0)), 0);
    host_print("%u requests, id '%.20s', %u pieces, features %lx\n", 2 * ROUNDS + REQUESTS_MAX, (char *)id, disk->seg_max,
               (unsigned long)dev.features);
}
