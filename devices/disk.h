/*
 * Where a virtual disk's bytes are: a raw file or a block device of the host.
 *
 * Requests are asynchronous where the host has io_uring, and done on submission by preadv and pwritev where it doesn't. The ring
 * is restricted to what a disk needs (reads, writes, fsync, fallocate on this one descriptor) before the jail closes, so that
 * io_uring_enter can't be used to get around the system call filter.
 */
#ifndef DEVICES_DISK_H
#define DEVICES_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define DISK_IOV_MAX 130 /* a descriptor chain's */
#define DISK_DEPTH 128 /* requests under way at most */

enum disk_op { DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_DISCARD, DISK_ZERO };

struct disk_io {
    enum disk_op op;
    bool durable;   /* DISK_WRITE: on the medium before it is done. DISK_ZERO: the range may be deallocated */
    uint16_t iov_count;
    struct iovec iov[DISK_IOV_MAX]; /* changed on the way if the host does a part only */
    uint64_t offset;
    uint64_t len;
    int result;     /* 0 or -errno */
    struct disk_io *next;
};

struct disk {
    int fd;
    int lock_fd;          /* another description of the same file, which holds the lock */
    uint64_t size;        /* bytes */
    bool readonly;
    uint32_t logical_block, physical_block;
    struct disk_ring *ring; /* NULL: synchronous */
    struct disk_io *done, **done_tail;
    unsigned under_way;
};

/*
 * Open path; a writable disk is locked against other users of the same file. may_ring: use io_uring if the host has it. 0; -errno
 * (EWOULDBLOCK: somebody has it; EINVAL: neither file nor block device, or empty).
 */
int disk_open(struct disk *disk, const char *path, bool readonly, bool may_ring);
void disk_close(struct disk *disk);

/* Start a request; at most DISK_DEPTH are under way. The memory of io and behind its vector stays until it comes back. */
void disk_submit(struct disk *disk, struct disk_io *io);
/* Tell the host of what was submitted. */
void disk_commit(struct disk *disk);
/* The next request that is done, or NULL. wait: until one is, if any is under way. */
struct disk_io *disk_reap(struct disk *disk, bool wait);
/* Readable when there is something to reap; -1: never. */
int disk_pollfd(const struct disk *disk);

/* --- between disk.c and disk_ring.c --- */

struct disk_ring *disk_ring_create(int fd); /* NULL: the host has none, or not what we need */
void disk_ring_destroy(struct disk_ring *ring);
void disk_ring_submit(struct disk_ring *ring, struct disk_io *io);
void disk_ring_commit(struct disk_ring *ring);
struct disk_io *disk_ring_reap(struct disk_ring *ring, bool wait, int *ret_result); /* result: bytes or -errno */
int disk_ring_fd(const struct disk_ring *ring);
int disk_fallocate_mode(const struct disk_io *io);

#endif
