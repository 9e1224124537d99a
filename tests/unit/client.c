/*
 * A small 9P client for tests; see client.h.
 */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/fdpass.h"
#include "common/virtq.h"

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int child_main(void *arg)
{
    return gofer_main(arg);
}

int client_spawn(struct client *c, struct gofer_config *config, char text[240])
{
    struct gofer_note note;
    int pair[2], fd;

    memset(c, 0, sizeof(*c));
    c->arena_fd = memfd_create("arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (ftruncate(c->arena_fd, ARENA_SIZE))
        return -1;
    c->arena = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, c->arena_fd, 0);
    c->doorbell_fd = eventfd(0, EFD_CLOEXEC);
    c->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    c->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
    c->control_fd = pair[0];
    config->control_fd = pair[1];
    config->arena_fd = c->arena_fd;
    config->arena_size = ARENA_SIZE;
    config->doorbell_fd = c->doorbell_fd;
    config->call_fd = c->call_fd;
    config->kick_fd = c->kick_fd;
    for (unsigned i = 0; i < CLIENT_SLOTS; i++) {
        c->tx[i] = c->arena + ARENA_BUFFERS_OFFSET + (size_t)i * 2 * CLIENT_MSG_MAX;
        c->rx[i] = c->tx[i] + CLIENT_MSG_MAX;
    }
    ((struct arena_header *)(void *)c->arena)->magic = ARENA_MAGIC;
    ((struct arena_header *)(void *)c->arena)->notify_mode = NOTIFY_IDLE;
    if (jail_spawn(JAIL_NAMESPACES, child_main, config, &c->child)) {
        snprintf(text, 240, "jail_spawn");
        return -1;
    }
    close(pair[1]);
    if (fdpass_recv(c->control_fd, &note, sizeof(note), 0, &fd) != sizeof(note)) {
        snprintf(text, 240, "the gofer ended");
        return -1;
    }
    if (note.type != GOFER_NOTE_READY) {
        memcpy(text, note.text, 240);
        return -1;
    }
    c->layers = note.value;
    return 0;
}

void client_end(struct client *c)
{
    int fds[] = { c->arena_fd, c->doorbell_fd, c->call_fd, c->kick_fd, c->control_fd };

    fd_close(&c->control_fd); /* this ends the gofer */
    waitpid(c->child.pid, NULL, 0);
    close(c->child.pidfd);
    for (unsigned i = 0; i < 4; i++)
        close(fds[i]);
    munmap(c->arena, ARENA_SIZE);
}

static void engine_reply(void *arg, uint32_t cookie, uint32_t len)
{
    struct client *c = arg;

    c->len[cookie] = len;
    c->answered |= 1u << cookie;
}

void client_engine(struct client *c, struct engine_config *config)
{
    memset(c, 0, sizeof(*c));
    config->reply = engine_reply;
    config->reply_arg = c;
    for (unsigned i = 0; i < CLIENT_SLOTS; i++) {
        c->tx[i] = malloc(CLIENT_MSG_MAX);
        c->rx[i] = malloc(CLIENT_MSG_MAX);
    }
    c->engine = malloc(sizeof(*c->engine));
    engine_init(c->engine, config);
}

void client_engine_end(struct client *c)
{
    engine_destroy(c->engine);
    free(c->engine);
    for (unsigned i = 0; i < CLIENT_SLOTS; i++) {
        free(c->tx[i]);
        free(c->rx[i]);
    }
}

struct p9_cursor *client_begin(struct client *c, unsigned slot, uint8_t type)
{
    c->slot = slot;
    c->answered &= ~(1u << slot);
    p9_cursor_init(&c->out, c->tx[slot], CLIENT_MSG_MAX);
    p9_begin(&c->out, type, (uint16_t)(slot + 1));
    return &c->out;
}

static void send_ring(struct client *c, size_t size)
{
    struct virtq_desc *desc = (void *)(c->arena + ARENA_DESC_OFFSET);
    uint16_t *avail = (void *)(c->arena + ARENA_AVAIL_OFFSET);
    uint16_t *used = (void *)(c->arena + ARENA_USED_OFFSET);
    const struct arena_header *header = (void *)c->arena;
    uint16_t d = (uint16_t)(c->slot * 2);
    uint16_t event;

    desc[d] = (struct virtq_desc){ GPA_ARENA_BASE + (uint64_t)(c->tx[c->slot] - c->arena), (uint32_t)size,
                                   VIRTQ_DESC_NEXT, (uint16_t)(d + 1) };
    desc[d + 1] = (struct virtq_desc){ GPA_ARENA_BASE + (uint64_t)(c->rx[c->slot] - c->arena), CLIENT_MSG_MAX,
                                       VIRTQ_DESC_WRITE, 0 };
    avail[2 + c->avail_idx % ARENA_QUEUE_SIZE] = d;
    c->avail_idx++;
    __atomic_store_n(&avail[1], c->avail_idx, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    event = __atomic_load_n(&used[2 + 4 * ARENA_QUEUE_SIZE], __ATOMIC_RELAXED);
    if (!__atomic_load_n(&header->gofer_polling, __ATOMIC_RELAXED) && event == (uint16_t)(c->avail_idx - 1))
        fd_signal_event(c->doorbell_fd);
}

void client_send(struct client *c)
{
    size_t size = p9_finish(&c->out);

    if (c->engine) {
        struct p9_io io = { .in = { { c->tx[c->slot], size } },
                            .out = { { c->rx[c->slot], CLIENT_MSG_MAX } },
                            .in_count = 1,
                            .out_count = 1,
                            .in_size = size,
                            .out_size = CLIENT_MSG_MAX,
                            .cookie = c->slot };

        engine_handle(c->engine, &io);
    } else {
        send_ring(c, size);
    }
}

static void poll_once(struct client *c)
{
    uint16_t *used = (void *)(c->arena + ARENA_USED_OFFSET);
    uint16_t *avail = (void *)(c->arena + ARENA_AVAIL_OFFSET);

    if (c->engine) {
        struct pollfd fds[JOB_MAX];
        int timeout = 10;
        size_t n = job_pollfds(c->engine, fds, JOB_MAX, &timeout);

        poll(fds, n, 10);
        job_run_ready(c->engine);
        return;
    }
    while (c->used_idx != __atomic_load_n(&used[1], __ATOMIC_ACQUIRE)) {
        struct virtq_used_elem *e = (void *)(used + 2 + 4 * (c->used_idx % ARENA_QUEUE_SIZE));

        c->len[e->id / 2] = e->len;
        c->answered |= 1u << (e->id / 2);
        c->used_idx++;
        avail[2 + ARENA_QUEUE_SIZE] = c->used_idx;
    }
}

bool client_answered(struct client *c, unsigned slot)
{
    poll_once(c);
    return c->answered & (1u << slot);
}

int client_wait(struct client *c, unsigned slot)
{
    double end = now() + 30;
    unsigned spins = 0;
    uint8_t type;

    while (!client_answered(c, slot)) {
        if (now() > end)
            return -ETIME;
        if (!c->engine && ++spins > 2000) {
            struct pollfd p = { .fd = c->call_fd, .events = POLLIN };

            poll(&p, 1, 1);
            fd_take_event(c->call_fd);
        }
    }
    p9_cursor_init(&c->in, c->rx[slot], c->len[slot]);
    if (p9_get32(&c->in) != c->len[slot])
        return -EBADMSG;
    type = p9_get8(&c->in);
    if (p9_get16(&c->in) != slot + 1)
        return -EBADMSG;
    return type == P9_Rlerror ? -(int)p9_get32(&c->in) : 0;
}

int client_call(struct client *c)
{
    client_send(c);
    return client_wait(c, c->slot);
}

static void put_text(struct p9_cursor *m, const char *text)
{
    p9_put_str(m, text, strlen(text));
}

int client_version(struct client *c, const char *version)
{
    struct p9_cursor *m = client_begin(c, 0, P9_Tversion);

    p9_put32(m, CLIENT_MSG_MAX);
    put_text(m, version);
    return client_call(c);
}

int client_attach(struct client *c, uint32_t fid, const char *aname)
{
    struct p9_cursor *m = client_begin(c, 0, P9_Tattach);

    p9_put32(m, fid);
    p9_put32(m, P9_NOFID);
    put_text(m, "root");
    put_text(m, aname);
    p9_put32(m, P9_NONUNAME);
    return client_call(c);
}

static void put_names(struct p9_cursor *m, const char *path)
{
    uint16_t n = 0;

    for (const char *p = path; *p; p += strcspn(p, "/"), p += *p == '/')
        n++;
    p9_put16(m, n);
    for (const char *p = path; *p; p += strcspn(p, "/"), p += *p == '/')
        p9_put_str(m, p, strcspn(p, "/"));
}

int client_walk(struct client *c, uint32_t fid, uint32_t newfid, const char *path)
{
    struct p9_cursor *m = client_begin(c, 0, P9_Twalk);

    p9_put32(m, fid);
    p9_put32(m, newfid);
    put_names(m, path);
    return client_call(c);
}

int client_walkx(struct client *c, uint32_t fid, uint32_t newfid, uint32_t flags, const char *path)
{
    struct p9_cursor *m = client_begin(c, 0, P9_Twalkx);

    p9_put32(m, fid);
    p9_put32(m, newfid);
    p9_put32(m, flags);
    put_names(m, path);
    return client_call(c);
}

int client_open(struct client *c, uint32_t fid, uint32_t flags)
{
    struct p9_cursor *m = client_begin(c, 0, P9_Tlopen);

    p9_put32(m, fid);
    p9_put32(m, flags);
    return client_call(c);
}

int client_create(struct client *c, uint32_t fid, const char *name, uint32_t flags, uint32_t mode)
{
    struct p9_cursor *m = client_begin(c, 0, P9_Tlcreate);

    p9_put32(m, fid);
    put_text(m, name);
    p9_put32(m, flags);
    p9_put32(m, mode);
    p9_put32(m, 0);
    return client_call(c);
}

int client_clunk(struct client *c, uint32_t fid)
{
    p9_put32(client_begin(c, 0, P9_Tclunk), fid);
    return client_call(c);
}

int client_read(struct client *c, uint32_t fid, uint64_t offset, void *data, uint32_t count)
{
    struct p9_cursor *m = client_begin(c, 0, P9_Tread);
    uint32_t n;
    int err;

    p9_put32(m, fid);
    p9_put64(m, offset);
    p9_put32(m, count);
    err = client_call(c);
    if (err)
        return err;
    n = p9_get32(&c->in);
    memcpy(data, p9_take(&c->in, n), n);
    return (int)n;
}

int client_write(struct client *c, uint32_t fid, uint64_t offset, const void *data, uint32_t count)
{
    struct p9_cursor *m = client_begin(c, 0, P9_Twrite);
    int err;

    p9_put32(m, fid);
    p9_put64(m, offset);
    p9_put32(m, count);
    p9_put_bytes(m, data, count);
    err = client_call(c);
    return err ? err : (int)p9_get32(&c->in);
}
