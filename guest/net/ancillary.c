/* Ancillary data (cmsg(3)): taking a sender's apart, and building the receiver's. */
#include "arch/uaccess.h"
#include "lib/string.h"
#include "net/socket.h"

#define HEADER sizeof(struct cmsghdr_wire)

void ancillary_put(struct socket_msg *msg, int level, int type, const void *data, size_t len)
{
    struct cmsghdr_wire h = { .len = HEADER + len, .level = level, .type = type };
    size_t space;

    if (!msg->control_to || msg->control_room < HEADER) {
        msg->out_flags |= MSG_CTRUNC;
        return;
    }
    if (msg->control_room < h.len) {
        msg->out_flags |= MSG_CTRUNC;
        h.len = msg->control_room;
    }
    if (put_user(h, msg->control_to) < 0 || copy_to_user(msg->control_to + HEADER, data, h.len - HEADER) < 0)
        return;
    space = MIN(CMSG_ALIGN_UP(HEADER + len), msg->control_room);
    msg->control_to += space;
    msg->control_room -= space;
}

void ancillary_put_time(struct socket *s, struct socket_msg *msg, const struct packet *p)
{
    uint64_t sec = p->time_ns / NSEC_PER_SEC, nsec = p->time_ns % NSEC_PER_SEC;

    if (s->opt.timestamp_ns) {
        uint64_t ts[2] = { sec, nsec };

        ancillary_put(msg, SOL_SOCKET, SO_TIMESTAMPNS_OLD, ts, sizeof(ts));
    } else if (s->opt.timestamp) {
        uint64_t tv[2] = { sec, nsec / 1000 };

        ancillary_put(msg, SOL_SOCKET, SO_TIMESTAMP_OLD, tv, sizeof(tv));
    }
}

int ancillary_next(const struct socket_msg *msg, size_t *pos, struct cmsghdr_wire *ret, const uint8_t **data)
{
    size_t left = *pos < msg->control_len ? msg->control_len - *pos : 0;

    if (left < HEADER)
        return 0;
    memcpy(ret, msg->control + *pos, HEADER);
    if (ret->len < HEADER || ret->len > left)
        return -EINVAL;
    *data = msg->control + *pos + HEADER;
    *pos += CMSG_ALIGN_UP(ret->len);
    return 1;
}
