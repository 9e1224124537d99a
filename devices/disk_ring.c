/* Disk requests through io_uring; see disk.h. */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

#include "devices/disk.h"

struct disk_ring {
    struct io_uring uring;
};

/* Bytes that one fallocate may cover are a signed 64-bit number, as everywhere; the ring takes them in `addr`. */
static const uint8_t allowed_ops[] = { IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_FALLOCATE };

/* Only these operations, only on the registered file, no further registrations. */
static int restrict_ring(struct io_uring *uring, int fd)
{
    struct io_uring_restriction rules[sizeof(allowed_ops) + 2] = { 0 };
    unsigned n = 0;
    int err = io_uring_register_files(uring, &fd, 1);

    if (err < 0)
        return err;
    for (size_t i = 0; i < sizeof(allowed_ops); i++) {
        rules[n].opcode = IORING_RESTRICTION_SQE_OP;
        rules[n++].sqe_op = allowed_ops[i];
    }
    rules[n].opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED;
    rules[n++].sqe_flags = IOSQE_FIXED_FILE;
    err = io_uring_register_restrictions(uring, rules, n);
    return err < 0 ? err : io_uring_enable_rings(uring);
}

struct disk_ring *disk_ring_create(int fd)
{
    struct disk_ring *ring = calloc(1, sizeof(*ring));

    if (!ring)
        return NULL;
    if (io_uring_queue_init(DISK_DEPTH, &ring->uring, IORING_SETUP_R_DISABLED) < 0) {
        free(ring);
        return NULL;
    }
    if (restrict_ring(&ring->uring, fd) < 0) {
        disk_ring_destroy(ring);
        return NULL;
    }
    return ring;
}

void disk_ring_destroy(struct disk_ring *ring)
{
    io_uring_queue_exit(&ring->uring);
    free(ring);
}

void disk_ring_submit(struct disk_ring *ring, struct disk_io *io)
{
    /* There is one: no more than DISK_DEPTH requests are under way. */
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

    switch (io->op) {
    case DISK_READ:
        io_uring_prep_readv(sqe, 0, io->iov, io->iov_count, io->offset);
        break;
    case DISK_WRITE:
        io_uring_prep_writev2(sqe, 0, io->iov, io->iov_count, io->offset, io->durable ? RWF_DSYNC : 0);
        break;
    case DISK_FLUSH:
        io_uring_prep_fsync(sqe, 0, IORING_FSYNC_DATASYNC);
        break;
    default:
        io_uring_prep_fallocate(sqe, 0, disk_fallocate_mode(io), (off_t)io->offset, (off_t)io->len);
        break;
    }
    io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
    io_uring_sqe_set_data(sqe, io);
}

void disk_ring_commit(struct disk_ring *ring)
{
    while (io_uring_sq_ready(&ring->uring) && io_uring_submit(&ring->uring) < 0)
        continue; /* EINTR, EAGAIN */
}

struct disk_io *disk_ring_reap(struct disk_ring *ring, bool wait, int *ret_result)
{
    struct io_uring_cqe *cqe = NULL;
    struct disk_io *io;
    int err;

    do
        err = wait ? io_uring_wait_cqe(&ring->uring, &cqe) : io_uring_peek_cqe(&ring->uring, &cqe);
    while (err == -EINTR);
    if (err < 0 || !cqe)
        return NULL;
    io = io_uring_cqe_get_data(cqe);
    *ret_result = cqe->res;
    io_uring_cqe_seen(&ring->uring, cqe);
    return io;
}

int disk_ring_fd(const struct disk_ring *ring)
{
    return ring->uring.ring_fd;
}
