/* See disk.h. */
#include "devices/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/fd.h"
#include "common/iov.h"

#define SECTOR 512u
#define ZERO_CHUNK (64u << 10)

static const uint8_t zeroes[ZERO_CHUNK];

static int measure_device(struct disk *disk)
{
    unsigned logical = SECTOR, physical = SECTOR;
    uint64_t size = 0;

    if (ioctl(disk->fd, BLKGETSIZE64, &size) < 0 || ioctl(disk->fd, BLKSSZGET, &logical) < 0 ||
        ioctl(disk->fd, BLKPBSZGET, &physical) < 0)
        return -errno;
    disk->size = size;
    disk->logical_block = logical;
    disk->physical_block = physical > logical ? physical : logical;
    return 0;
}

static int measure(struct disk *disk)
{
    struct stat st;

    if (fstat(disk->fd, &st) < 0)
        return -errno;
    if (S_ISBLK(st.st_mode)) {
        int err = measure_device(disk);

        if (err < 0)
            return err;
    } else if (S_ISREG(st.st_mode)) {
        disk->size = (uint64_t)st.st_size;
        disk->logical_block = SECTOR;
        disk->physical_block = st.st_blksize >= 4096 ? 4096 : SECTOR;
    } else {
        return -EINVAL;
    }
    disk->size &= ~(uint64_t)(disk->logical_block - 1);
    return disk->size ? 0 : -EINVAL;
}

/*
 * Readers together, or one writer: two sandboxes that write one image would destroy it. The lock hangs on a description of its
 * own, because a ring that knows a file keeps it open for some milliseconds after our end.
 */
static int lock(struct disk *disk)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", disk->fd);
    disk->lock_fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (disk->lock_fd < 0)
        return -errno;
    return flock(disk->lock_fd, (disk->readonly ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0 ? -errno : 0;
}

int disk_open(struct disk *disk, const char *path, bool readonly, bool may_ring)
{
    int err;

    *disk = (struct disk){ .readonly = readonly, .lock_fd = -1 };
    disk->done_tail = &disk->done;
    /* A FIFO must not block us here; measure() refuses it. */
    disk->fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (disk->fd < 0)
        return -errno;
    err = measure(disk);
    if (!err)
        err = lock(disk);
    if (err < 0) {
        fd_close(&disk->fd);
        fd_close(&disk->lock_fd);
        return err;
    }
    disk->ring = may_ring ? disk_ring_create(disk->fd) : NULL;
    return 0;
}

void disk_close(struct disk *disk)
{
    if (disk->ring)
        disk_ring_destroy(disk->ring);
    disk->ring = NULL;
    fd_close(&disk->fd);
    fd_close(&disk->lock_fd);
}

/* --- what a request is to the host --- */

int disk_fallocate_mode(const struct disk_io *io)
{
    bool punch = io->op == DISK_DISCARD || io->durable;

    return FALLOC_FL_KEEP_SIZE | (punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
}

static int write_zeroes(const struct disk *disk, uint64_t offset, uint64_t len)
{
    while (len) {
        size_t part = len < ZERO_CHUNK ? len : ZERO_CHUNK;
        ssize_t n = pwrite(disk->fd, zeroes, part, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        offset += (uint64_t)n;
        len -= (uint64_t)n;
    }
    return 0;
}

/* Bytes done, or -errno. */
static int64_t do_now(const struct disk *disk, const struct disk_io *io)
{
    int64_t n;

    switch (io->op) {
    case DISK_READ:
        n = preadv(disk->fd, io->iov, io->iov_count, (off_t)io->offset);
        break;
    case DISK_WRITE:
        n = pwritev2(disk->fd, io->iov, io->iov_count, (off_t)io->offset, io->durable ? RWF_DSYNC : 0);
        break;
    case DISK_FLUSH:
        n = fdatasync(disk->fd);
        break;
    default:
        n = fallocate(disk->fd, disk_fallocate_mode(io), (off_t)io->offset, (off_t)io->len);
        break;
    }
    return n < 0 ? -errno : n;
}

static void finish(struct disk *disk, struct disk_io *io, int result)
{
    io->result = result;
    io->next = NULL;
    *disk->done_tail = io;
    disk->done_tail = &io->next;
}

/* Cut off what is done. False: nothing is left. */
static bool advance(struct disk_io *io, uint64_t n)
{
    struct iovec rest[DISK_IOV_MAX];

    io->offset += n;
    io->len -= n;
    io->iov_count = (uint16_t)iov_slice(io->iov, io->iov_count, n, io->len, rest);
    memcpy(io->iov, rest, io->iov_count * sizeof(rest[0]));
    return io->len > 0;
}

/* A file system without holes or zeroing: discarding is a hint, but zeroes are a promise. */
static int without_fallocate(const struct disk *disk, const struct disk_io *io)
{
    if (io->op == DISK_ZERO)
        return write_zeroes(disk, io->offset, io->len);
    return 0;
}

/* The host has done n bytes or failed with -errno. True: the request is done; false: go on with the rest of it. */
static bool settle(struct disk *disk, struct disk_io *io, int64_t n)
{
    if (n == -EINTR || n == -EAGAIN)
        return false;
    if (n == -EOPNOTSUPP && (io->op == DISK_DISCARD || io->op == DISK_ZERO))
        n = without_fallocate(disk, io);
    if (n >= 0 && (io->op == DISK_READ || io->op == DISK_WRITE)) {
        if (n > 0 && (uint64_t)n <= io->len && advance(io, (uint64_t)n))
            return false;
        n = io->len ? -EIO : 0; /* the file has been cut behind our back */
    }
    finish(disk, io, n < 0 ? (int)n : 0);
    return true;
}

/*
 * What the page cache answers is faster by one plain call than through the ring, which hands a buffered write to a worker thread (60 us
 * where the write takes two). A read that would wait for the medium says so and goes to the ring; a write may wait, when the host has too
 * many dirty pages, and then holds up this disk only. True: io is done.
 */
static bool did_at_once(struct disk *disk, struct disk_io *io)
{
    int64_t n;

    if (io->op == DISK_READ)
        n = preadv2(disk->fd, io->iov, io->iov_count, (off_t)io->offset, RWF_NOWAIT);
    else if (io->op == DISK_WRITE && !io->durable)
        n = pwritev2(disk->fd, io->iov, io->iov_count, (off_t)io->offset, 0);
    else
        return false;
    if (n < 0 && io->op == DISK_READ)
        return false; /* would wait, or the file system doesn't know the flag, or an error, which the ring will meet too */
    return settle(disk, io, n < 0 ? -errno : n);
}

void disk_submit(struct disk *disk, struct disk_io *io)
{
    disk->under_way++;
    if (disk->ring) {
        if (did_at_once(disk, io))
            return;
        disk_ring_submit(disk->ring, io);
        return;
    }
    while (!settle(disk, io, do_now(disk, io)))
        continue;
}

void disk_commit(struct disk *disk)
{
    if (disk->ring)
        disk_ring_commit(disk->ring);
}

struct disk_io *disk_reap(struct disk *disk, bool wait)
{
    struct disk_io *io;
    int n;

    while (disk->ring && !disk->done && (io = disk_ring_reap(disk->ring, wait && disk->under_way, &n)) != NULL) {
        if (!settle(disk, io, n)) {
            disk_ring_submit(disk->ring, io);
            disk_ring_commit(disk->ring);
        }
    }
    io = disk->done;
    if (!io)
        return NULL;
    disk->done = io->next;
    if (!disk->done)
        disk->done_tail = &disk->done;
    disk->under_way--;
    return io;
}

int disk_pollfd(const struct disk *disk)
{
    return disk->ring ? disk_ring_fd(disk->ring) : -1;
}
