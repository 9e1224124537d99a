/* See stream.h. */
#include "devices/stream.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/iov.h"

#define LENGTH 4u
#define FRAME_MIN 14u
#define FRAME_MAX (65535u + 14u)
#define IN_SIZE (2u << 20)     /* two of lwIP's windows: a frame that is lost here is sent again only after a while */
#define READS_MAX 16u          /* in one go */
#define PIECES_MAX 520u
#define HEADER ((size_t)sizeof(struct virtio_net_hdr_v1))

static struct stream *stream_of(struct wire *w)
{
    return (struct stream *)(void *)w; /* its first member */
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* --- what comes --- */

/* The length of the first frame, if it is whole; 0: it isn't. -EPROTO: the stream makes no sense any more. */
static int64_t first_frame(const struct stream *s)
{
    size_t held = s->in_end - s->in_first;
    uint32_t len;

    if (held < LENGTH)
        return 0;
    len = get32(s->in + s->in_first);
    if (len < FRAME_MIN || len > FRAME_MAX)
        return -EPROTO;
    return held - LENGTH >= len ? (int64_t)len : 0;
}

static void skip_frame(struct stream *s, size_t len)
{
    s->in_first += LENGTH + len;
    if (s->in_first == s->in_end)
        s->in_first = s->in_end = 0;
}

/* Room for one frame more at least: the oldest go if need be. */
static int make_room(struct stream *s)
{
    if (IN_SIZE - s->in_end >= LENGTH + FRAME_MAX)
        return 0;
    while (s->in_end - s->in_first > IN_SIZE / 2) {
        int64_t len = first_frame(s);

        if (len <= 0) /* so much of it, and no frame? */
            return -EPROTO;
        skip_frame(s, (size_t)len);
    }
    memmove(s->in, s->in + s->in_first, s->in_end - s->in_first);
    s->in_end -= s->in_first;
    s->in_first = 0;
    return 0;
}

static int stream_collect(struct wire *w)
{
    struct stream *s = stream_of(w);

    for (unsigned i = 0; i < READS_MAX; i++) {
        ssize_t n;
        int err = make_room(s);

        if (err < 0)
            return err;
        n = read(w->fd, s->in + s->in_end, IN_SIZE - s->in_end);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (n == 0)
            return -ECONNRESET;
        s->in_end += (size_t)n;
    }
    return 0;
}

static ssize_t stream_read(struct wire *w, const struct iovec *iov, int count)
{
    static const struct virtio_net_hdr_v1 header;
    struct stream *s = stream_of(w);
    int64_t len = first_frame(s);
    size_t done;

    if (len <= 0)
        return len ? (ssize_t)len : -EAGAIN;
    done = iov_write(iov, (size_t)count, 0, &header, HEADER);
    done += iov_write(iov, (size_t)count, HEADER, s->in + s->in_first + LENGTH, (size_t)len);
    skip_frame(s, (size_t)len);
    return (ssize_t)done;
}

/* --- what goes --- */

static bool stream_ready(struct wire *w)
{
    struct stream *s = stream_of(w);

    while (s->out_first < s->out_end) {
        ssize_t n = write(w->fd, s->out + s->out_first, s->out_end - s->out_first);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return false;
        if (n < 0) /* collect will see the end too */
            break;
        s->out_first += (size_t)n;
    }
    s->out_first = s->out_end = 0;
    return true;
}

/* iov[0] is the header, which has no place here: what it may ask for was never offered. */
static ssize_t stream_write(struct wire *w, const struct iovec *iov, int count)
{
    struct stream *s = stream_of(w);
    struct iovec all[PIECES_MAX];
    uint8_t prefix[LENGTH], head[GUARD_HEAD];
    size_t len = 0, head_len, pieces;
    ssize_t n;

    for (int i = 1; i < count; i++)
        len += iov[i].iov_len;
    if (len < FRAME_MIN || len > FRAME_MAX || (size_t)count + 2 > PIECES_MAX)
        return -EINVAL;
    head_len = iov_read(head, iov + 1, (size_t)count - 1, 0, GUARD_HEAD);
    if (!guard_lets(&s->guard, head, head_len))
        return -EACCES;
    put32(prefix, (uint32_t)len);
    all[0] = (struct iovec){ prefix, LENGTH };
    all[1] = (struct iovec){ head, head_len };
    pieces = 2 + iov_slice(iov + 1, (size_t)count - 1, head_len, len - head_len, all + 2);
    n = writev(w->fd, all, (int)pieces);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return -errno;
    s->out_first = 0;
    s->out_end = iov_read(s->out, all, pieces, n < 0 ? 0 : (size_t)n, LENGTH + FRAME_MAX);
    return (ssize_t)len;
}

/* --- the wire --- */

static void stream_close(struct wire *w)
{
    struct stream *s = stream_of(w);

    fd_close(&w->fd);
    free(s->in);
    free(s->out);
    s->in = s->out = NULL;
}

static const struct wire_ops stream_ops = {
    .read = stream_read,
    .write = stream_write,
    .ready = stream_ready,
    .collect = stream_collect,
    .close = stream_close,
};

int stream_init(struct stream *s, int fd, uint32_t mtu)
{
    *s = (struct stream){ .wire = { .ops = &stream_ops, .fd = fd, .mtu = mtu } };
    s->in = malloc(IN_SIZE);
    s->out = malloc(LENGTH + FRAME_MAX);
    if (s->in && s->out)
        return 0;
    stream_close(&s->wire);
    return -ENOMEM;
}
