/*
 * vhost-user messages, as far as these tests need them (QEMU's documentation, "Vhost-user Protocol").
 */
#ifndef TESTS_VHOST_USER_H
#define TESTS_VHOST_USER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define VU_F_PROTOCOL_FEATURES 30
#define VU_PROTOCOL_REPLY_ACK 3
#define VU_PROTOCOL_CONFIG 9

enum vu_request {
    VU_GET_FEATURES = 1,
    VU_SET_FEATURES = 2,
    VU_SET_OWNER = 3,
    VU_RESET_OWNER = 4,
    VU_SET_MEM_TABLE = 5,
    VU_SET_VRING_NUM = 8,
    VU_SET_VRING_ADDR = 9,
    VU_SET_VRING_BASE = 10,
    VU_GET_VRING_BASE = 11,
    VU_SET_VRING_KICK = 12,
    VU_SET_VRING_CALL = 13,
    VU_SET_VRING_ERR = 14,
    VU_GET_PROTOCOL_FEATURES = 15,
    VU_SET_PROTOCOL_FEATURES = 16,
    VU_GET_QUEUE_NUM = 17,
    VU_SET_VRING_ENABLE = 18,
    VU_GET_CONFIG = 24,
    VU_SET_CONFIG = 25,
};

#define VU_VERSION 1u
#define VU_REPLY 4u
#define VU_NEED_REPLY 8u
#define VU_NO_FD 0x100u /* in the value of KICK, CALL and ERR */
#define VU_REGIONS_MAX 8
#define VU_CONFIG_MAX 256
#define VU_CONFIG_USED 60 /* of struct virtio_blk_config in virtio 1.2 */

struct vu_region {
    uint64_t gpa, size, address, mmap_offset;
};

struct vu_message {
    uint32_t request, flags, size;
    union {
        uint64_t value;
        struct {
            uint32_t index, num;
        } state;
        struct {
            uint32_t index, flags;
            uint64_t desc, used, avail, log;
        } ring;
        struct {
            uint32_t count, padding;
            struct vu_region regions[VU_REGIONS_MAX];
        } memory;
        struct {
            uint32_t offset, size, flags;
            uint8_t bytes[VU_CONFIG_MAX];
        } config;
    } __attribute__((packed)) u;
} __attribute__((packed));

#define VU_HEADER offsetof(struct vu_message, u)

static inline int vu_send(int sock, const struct vu_message *m, const int *fds, size_t fd_count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(VU_REGIONS_MAX * sizeof(int))];
    } control = { 0 };
    struct iovec iov = { (void *)(uintptr_t)m, VU_HEADER + m->size };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (fd_count > 0) {
        struct cmsghdr *c = &control.align;

        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
    }
    return sendmsg(sock, &msg, MSG_NOSIGNAL) == (ssize_t)iov.iov_len ? 0 : -1;
}

/* 1; 0 at the end; -1. fds: room for VU_REGIONS_MAX. */
static inline int vu_receive(int sock, struct vu_message *m, int *fds, size_t *ret_fd_count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(VU_REGIONS_MAX * sizeof(int))];
    } control = { 0 };
    struct iovec iov = { m, VU_HEADER };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
    ssize_t n = recvmsg(sock, &msg, MSG_WAITALL | MSG_CMSG_CLOEXEC);
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

    *ret_fd_count = 0;
    if (n <= 0)
        return (int)n;
    if (n != VU_HEADER || m->size > sizeof(m->u))
        return -1;
    if (c && c->cmsg_type == SCM_RIGHTS) {
        *ret_fd_count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(c), *ret_fd_count * sizeof(int));
    }
    return m->size == 0 || recv(sock, &m->u, m->size, MSG_WAITALL) == (ssize_t)m->size ? 1 : -1;
}

#endif
