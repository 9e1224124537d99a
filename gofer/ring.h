/*
 * The ring transport: requests by a split virtqueue in the arena, the doorbell an eventfd.
 */
#ifndef GOFER_RING_H
#define GOFER_RING_H

#include "common/guest_mem.h"
#include "common/virtq.h"
#include "gofer/engine.h"
#include "gofer/placement.h"
#include "hypercalls/arena.h"

struct net;

struct ring_config {
    struct net *net; /* host sockets, or NULL; borrowed */
    uint8_t *arena;
    size_t arena_size;
    int doorbell_fd; /* borrowed, as all of them */
    int call_fd;
    int kick_fd;
    int control_fd;
    struct placement placement;
};

struct ring {
    struct ring_config config;
    struct guest_region region;
    struct guest_mem mem;
    struct virtq queue;
    pthread_mutex_t lock; /* of the queue's used part: workers reply too */
    struct arena_header *header;
    struct engine *engine;
    uint64_t poll_ns;     /* how long to look for the next request before sleeping */
    struct placement placement;
    unsigned back_off;    /* requests for which it is left at its least */
    bool grown;           /* it was made longer, and has caught nothing yet */
    bool begun;           /* the first request has come */
    bool ended;           /* the vmm is gone */
};

/* engine is borrowed and must be set up to reply by ring_reply with this ring. 0 or -errno. */
int ring_init(struct ring *ring, const struct ring_config *config, struct engine *engine);

/* struct engine_config.reply, for any thread */
void ring_reply(void *ring, uint32_t cookie, uint32_t len);

/* Serve until the control socket hangs up: 0. -EPROTO if the guest broke the ring. */
int ring_serve(struct ring *ring);

#endif
