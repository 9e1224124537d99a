/*
 * The gofer's process: set-up in the jail, then the ring. It is the only one that opens files of the host.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/fdpass.h"
#include "common/jail.h"
#include "common/log.h"
#include "common/roles.h"
#include "gofer/engine.h"
#include "gofer/exports.h"
#include "gofer/net.h"
#include "gofer/ring.h"
#include "gofer/seccomp.h"

#define DESCRIPTORS_WANTED 65536
/* Descriptors that are not fids: stdio, eventfds, arena, one of each export. */
#define DESCRIPTORS_KEPT 64

struct gofer {
    const struct gofer_config *config;
    struct exports exports;
    struct engine engine;
    struct ring ring;
    struct net net;
    uint8_t *arena;
    int proc_fd;
};

static void fail(const struct gofer *g, const char *what, int err)
{
    struct gofer_note note = { .type = GOFER_NOTE_FAILED };
    char text[sizeof(note.text)];

    snprintf(text, sizeof(text), "%s: %s", what, strerror(-err));
    log_escape(note.text, sizeof(note.text), text, strlen(text));
    fdpass_send(g->config->control_fd, &note, sizeof(note), -1, MSG_DONTWAIT);
}

static int close_others(const struct gofer_config *c)
{
    int keep[8 + NET_PUBLISH_MAX] = { c->stdio_fds[0], c->stdio_fds[1], c->stdio_fds[2], c->control_fd, c->arena_fd,
                                      c->doorbell_fd,  c->call_fd,      c->kick_fd };
    size_t n = 8;

    for (size_t i = 0; c->net && i < c->net->publish_count; i++)
        keep[n++] = c->net->publish[i].fd;
    return fd_close_others(keep, n);
}

static int map_arena(struct gofer *g)
{
    void *p = mmap(NULL, g->config->arena_size, PROT_READ | PROT_WRITE, MAP_SHARED, g->config->arena_fd, 0);

    if (p == MAP_FAILED)
        return -errno;
    g->arena = p;
    return 0;
}

/* Each socket is a descriptor, and a listening one holds another; the rest is for files. */
static size_t socket_max(uint64_t descriptors)
{
    uint64_t share = descriptors / 8 * 5;

    return share < NET_SOCKET_MAX ? (size_t)share : NET_SOCKET_MAX;
}

static int enter_jail(struct gofer *g, size_t *ret_fid_max, size_t *ret_socket_max)
{
    struct jail_limits limits = { g->config->file_size_max, DESCRIPTORS_WANTED };
    uint64_t descriptors;
    int err;

    err = jail_change_root(g->proc_fd);
    if (err)
        return err;
    descriptors = jail_limit(&limits);
    *ret_socket_max = socket_max(descriptors);
    if (g->config->net)
        descriptors -= *ret_socket_max + NET_PUBLISH_MAX;
    if (descriptors < DESCRIPTORS_KEPT + g->config->export_count + 32)
        return -EMFILE;
    *ret_fid_max = (size_t)(descriptors - DESCRIPTORS_KEPT - g->config->export_count);
    return jail_drop_privileges();
}

static int start_net(struct gofer *g, size_t limit)
{
    const struct gofer_config *c = g->config;
    struct net_config net = {
        .plan = c->net,
        .arena = g->arena,
        .arena_size = c->arena_size,
        .call_fd = c->call_fd,
        .kick_fd = c->kick_fd,
        .socket_max = limit,
    };

    return net_init(&g->net, &net);
}

static int set_up(struct gofer *g)
{
    const struct gofer_config *c = g->config;
    struct engine_config engine = {
        .by_number = true,
        .stdio_fds = c->stdio_fds,
        .control_fd = c->control_fd,
        .reply = ring_reply,
        .reply_arg = &g->ring,
        .reply_by_workers = true,
    };
    struct ring_config ring = {
        .arena_size = c->arena_size,
        .doorbell_fd = c->doorbell_fd,
        .call_fd = c->call_fd,
        .kick_fd = c->kick_fd,
        .control_fd = c->control_fd,
    };
    const char *what = "gofer";
    size_t sockets;
    int err;

    jail_ignore_signals();
    umask(0); /* the guest's own umask was applied to the modes that it sends */
    err = close_others(c);
    if (!err)
        err = map_arena(g);
    if (err)
        goto failed;
    engine.view = exports_view();
    placement_init(&ring.placement, &c->cores);
    what = "/proc/self/fd";
    g->proc_fd = jail_open_proc_fd();
    err = g->proc_fd < 0 ? g->proc_fd : 0;
    if (err)
        goto failed;
    err = exports_open(&g->exports, c, &what);
    if (err)
        goto failed;
    what = "jail";
    err = enter_jail(g, &engine.fid_max, &sockets);
    if (err)
        goto failed;
    engine.proc_fd = g->proc_fd;
    engine.exports = g->exports.list;
    engine.export_count = g->exports.count;
    ring.arena = g->arena;
    if (c->net) {
        what = "net";
        err = start_net(g, sockets);
        if (err)
            goto failed;
        engine.net = ring.net = &g->net;
    }
    what = "gofer";
    err = engine_init(&g->engine, &engine);
    if (!err)
        err = ring_init(&g->ring, &ring, &g->engine);
    if (!err)
        err = jail_filter(c->net ? &seccomp_gofer_net : &seccomp_gofer);
    if (!err)
        return 0;
failed:
    fail(g, what, err);
    return err;
}

int gofer_main(const struct gofer_config *config)
{
    struct gofer_note ready = { .type = GOFER_NOTE_READY };
    static struct gofer gofer; /* too large for a stack; one per process */

    gofer.config = config;
    gofer.proc_fd = -1;
    if (set_up(&gofer))
        return 1;
    ready.value = jail_layers();
    if (fdpass_send(config->control_fd, &ready, sizeof(ready), -1, 0))
        return 1;
    if (ring_serve(&gofer.ring) < 0)
        return 1; /* a guest that breaks its ring has no gofer any more; the vmm sees us end */
    return 0;
}
