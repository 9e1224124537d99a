/*
 * The socket transport; see socket.h.
 *
 * Messages are read one at a time into a slot of their own, which stays theirs until they are answered: those that became
 * jobs keep it, and while all slots are taken nothing more is read.
 */
#include "gofer/socket.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/fd.h"

#define POLL_FDS 64

struct slot {
    uint8_t *in;
    uint8_t *out;
    bool busy;
};

struct connection {
    struct engine engine;
    struct slot slot[SOCKET_SLOTS];
    struct slot *reading; /* the message that is coming in; NULL between messages */
    size_t got;
    int fd;
    bool ended;
};

/* Send it all. A client that doesn't read holds up its own thread only. */
static bool send_all(int fd, const uint8_t *data, size_t len)
{
    while (len) {
        struct iovec iov;
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
        ssize_t n;

        iov.iov_base = (void *)(uintptr_t)data; /* iovec has no const form */
        iov.iov_len = len;
        n = sendmsg(fd, &msg, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static void on_reply(void *arg, uint32_t cookie, uint32_t len)
{
    struct connection *c = arg;
    struct slot *s = &c->slot[cookie];

    if (!c->ended && !send_all(c->fd, s->out, len))
        c->ended = true;
    s->busy = false;
}

/* A free slot with its buffers, or NULL. */
static struct slot *take_slot(struct connection *c)
{
    for (size_t i = 0; i < SOCKET_SLOTS; i++) {
        struct slot *s = &c->slot[i];

        if (s->busy)
            continue;
        if (!s->in)
            s->in = malloc(SOCKET_MSIZE_MAX);
        if (!s->out)
            s->out = malloc(SOCKET_MSIZE_MAX);
        return s->in && s->out ? s : NULL;
    }
    return NULL;
}

static size_t message_size(const struct slot *s)
{
    struct p9_cursor c;

    p9_cursor_init(&c, s->in, 4);
    return p9_get32(&c);
}

static void handle(struct connection *c, struct slot *s, size_t size)
{
    struct p9_io io = { .in = { { s->in, size } },
                        .out = { { s->out, SOCKET_MSIZE_MAX } },
                        .in_count = 1,
                        .out_count = 1,
                        .in_size = size,
                        .out_size = SOCKET_MSIZE_MAX,
                        .cookie = (uint32_t)(s - c->slot) };

    s->busy = true;
    engine_handle(&c->engine, &io);
}

/* Read what there is of the message that is coming in. */
static void receive(struct connection *c)
{
    struct slot *s = c->reading;
    size_t want = c->got < P9_HEADER_SIZE ? P9_HEADER_SIZE : message_size(s);
    struct iovec iov = { s->in + c->got, want - c->got };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t n = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        c->ended = true;
        return;
    }
    c->got += (size_t)n;
    if (c->got < P9_HEADER_SIZE)
        return;
    want = message_size(s);
    if (want < P9_HEADER_SIZE || want > SOCKET_MSIZE_MAX) {
        c->ended = true; /* where the next message would begin can't be known any more */
        return;
    }
    if (c->got < want)
        return;
    c->reading = NULL;
    c->got = 0;
    handle(c, s, want);
}

static void serve(struct connection *c)
{
    while (!c->ended) {
        struct pollfd fds[POLL_FDS];
        int timeout_ms = -1;
        size_t n;

        if (!c->reading)
            c->reading = take_slot(c);
        fds[0] = (struct pollfd){ .fd = c->fd, .events = c->reading ? POLLIN : 0 };
        n = 1 + job_pollfds(&c->engine, fds + 1, POLL_FDS - 1, &timeout_ms);
        if (poll(fds, n, timeout_ms) < 0 && errno != EINTR)
            return;
        if (fds[0].revents && c->reading)
            receive(c);
        else if (fds[0].revents & (POLLHUP | POLLERR))
            c->ended = true;
        job_run_ready(&c->engine);
    }
}

void socket_serve(int fd, const struct engine_config *config)
{
    struct connection *c = calloc(1, sizeof(*c));
    struct engine_config own = *config;

    if (!c)
        goto close_fd;
    c->fd = fd;
    own.reply = on_reply;
    own.reply_arg = c;
    own.msize_max = SOCKET_MSIZE_MAX;
    if (engine_init(&c->engine, &own) == 0) {
        serve(c);
        c->ended = true;
        engine_destroy(&c->engine);
    }
    for (size_t i = 0; i < SOCKET_SLOTS; i++) {
        free(c->slot[i].in);
        free(c->slot[i].out);
    }
    free(c);
close_fd:
    fd_close(&fd);
}
