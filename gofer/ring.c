/*
 * The ring transport; see ring.h.
 *
 * After a request the loop polls for the next one, because sleeping costs the guest a doorbell (3 µs) and us a wake-up
 * (10 µs). How long follows what requests do: the time grows while they come soon after we gave up, and shrinks
 * while they don't come at all (as KVM's halt polling has it). Where cores are short, it is given up for a while.
 */
#include "gofer/ring.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/fd.h"
#include "gofer/net.h"

#define POLL_NS_START 400000u   /* from the first request on: a program's start is requests with a little work in between */
#define POLL_NS_MIN 5000u
#define POLL_NS_MAX 200000u
#define SPINS_PER_CLOCK 32u
#define PREEMPTED_NS 50000u     /* no 32 looks take that long by themselves */
#define BACK_OFF_REQUESTS 32u
#define RUN_MAX 64              /* requests served in a row before jobs get a look */
#define POLL_FDS 64

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int ring_init(struct ring *ring, const struct ring_config *config, struct engine *engine)
{
    const struct virtq_layout layout = {
        .size = ARENA_QUEUE_SIZE,
        .desc = { GPA_ARENA_BASE + ARENA_DESC_OFFSET },
        .avail = { GPA_ARENA_BASE + ARENA_AVAIL_OFFSET },
        .used = { GPA_ARENA_BASE + ARENA_USED_OFFSET },
        .event_idx = true,
        .chain_max = P9_IO_VECTORS,
    };
    void *header = config->arena;

    *ring = (struct ring){ .config = *config, .engine = engine, .poll_ns = POLL_NS_MIN };
    pthread_mutex_init(&ring->lock, NULL);
    ring->placement = config->placement;
    ring->header = header;
    ring->region = (struct guest_region){ { GPA_ARENA_BASE }, config->arena_size, config->arena };
    ring->mem = (struct guest_mem){ &ring->region, 1 };
    return virtq_init(&ring->queue, &ring->mem, &layout);
}

static void notify(struct ring *ring)
{
    switch (guest_fetch32(&ring->header->notify_mode)) {
    case NOTIFY_IDLE:
        fd_signal_event(ring->config.call_fd);
        break;
    case NOTIFY_KICK:
        fd_signal_event(ring->config.kick_fd);
        break;
    default:
        break;
    }
}

void ring_reply(void *arg, uint32_t cookie, uint32_t len)
{
    struct ring *ring = arg;
    bool wanted;

    pthread_mutex_lock(&ring->lock);
    virtq_push(&ring->queue, (uint16_t)cookie, len);
    wanted = virtq_should_notify(&ring->queue); /* has the barrier between used->idx and what notify reads */
    pthread_mutex_unlock(&ring->lock);
    if (wanted)
        notify(ring);
}

static void to_io(const struct virtq_chain *c, struct p9_io *io)
{
    memcpy(io->in, c->in, c->in_count * sizeof(io->in[0]));
    memcpy(io->out, c->out, c->out_count * sizeof(io->out[0]));
    io->in_count = c->in_count;
    io->out_count = c->out_count;
    io->in_size = c->in_size;
    io->out_size = c->out_size;
    io->cookie = c->head;
}

/* Serve what is there, but not for ever. Returns how many requests there were, or -EPROTO. */
static int serve_available(struct ring *ring)
{
    struct virtq_chain chain;
    struct p9_io io;
    int n = 0;

    while (n < RUN_MAX) {
        int got = virtq_pop(&ring->queue, &chain);

        if (got <= 0)
            return got < 0 ? got : n;
        to_io(&chain, &io);
        engine_handle(ring->engine, &io);
        n++;
    }
    return n;
}

/* Polling does harm here: sleep at once for the next requests, then see again. */
static void back_off(struct ring *ring)
{
    ring->poll_ns = POLL_NS_MIN;
    ring->back_off = BACK_OFF_REQUESTS;
    ring->grown = false;
}

/* Requests, or the guest's word about its sockets. */
static bool has_work(const struct ring *ring)
{
    return virtq_has_avail(&ring->queue) || (ring->config.net && net_has_work(ring->config.net));
}

/*
 * How long to look at the ring. While a worker waits for a disk most guests wait for that worker, which needs a core, and so do
 * the threads of the disk.
 */
static uint64_t spin_time(const struct ring *ring)
{
    return ring->engine->jobs.storage ? POLL_NS_MIN : ring->poll_ns;
}

/* Look at the ring until something is there, or for that time: false then, and if polling does harm. */
static bool spin(struct ring *ring)
{
    uint64_t start = now_ns();
    uint64_t last = start;
    uint64_t limit = spin_time(ring);

    while (last - start < limit) {
        uint64_t now;

        for (unsigned i = 0; i < SPINS_PER_CLOCK; i++) {
            if (has_work(ring) || job_done_pending(&ring->engine->jobs))
                return true;
            __builtin_ia32_pause();
        }
        if (ring->config.net && net_look(ring->config.net))
            return true;
        now = now_ns();
        if (now - last > PREEMPTED_NS) {
            back_off(ring); /* somebody else wants this core, perhaps the guest */
            return false;
        }
        last = now;
    }
    return false;
}

/* Wait for what comes from outside the ring; -1 waits for ever. */
static void wait_events(struct ring *ring, int timeout_ms)
{
    struct pollfd fds[POLL_FDS] = {
        { .fd = ring->config.control_fd, .events = 0 }, /* only POLLHUP */
        { .fd = ring->config.doorbell_fd, .events = POLLIN },
    };
    size_t n = 2;

    if (ring->engine->drop_count)
        fds[0].events = POLLOUT;
    if (ring->config.net) {
        fds[n++] = (struct pollfd){ .fd = net_poll_fd(ring->config.net), .events = POLLIN };
        if (timeout_ms)
            net_before_sleep(ring->config.net, &timeout_ms);
    }
    n += job_pollfds(ring->engine, fds + n, POLL_FDS - n, &timeout_ms);
    if (poll(fds, n, timeout_ms) < 0)
        return;
    if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
        ring->ended = true;
    if (fds[0].revents & POLLOUT)
        engine_flush_drops(ring->engine);
    if (fds[1].revents & POLLIN)
        fd_take_event(ring->config.doorbell_fd);
    job_run_ready(ring->engine);
    if (ring->config.net && fds[2].revents)
        net_look(ring->config.net);
}

/* Nothing came while polling: ask for the doorbell and sleep, unless a request slipped in. */
static void sleep_until_event(struct ring *ring)
{
    int timeout_ms = ring->config.net ? net_begin_sleep(ring->config.net) : -1;

    guest_store32(&ring->header->gofer_polling, 0);
    /* Has the barrier between the stores and the looks at avail->idx and the submit queue. */
    if (!virtq_enable_notify(&ring->queue) && !has_work(ring))
        wait_events(ring, timeout_ms);
    guest_store32(&ring->header->gofer_polling, 1);
}

/*
 * We polled in vain and slept; a request came after `waited`. A longer look would have caught it, unless it was our polling
 * that kept the guest from running: then the longer look fails too.
 */
static void adapt(struct ring *ring, uint64_t waited)
{
    if (ring->back_off) {
        ring->back_off--;
        return;
    }
    if (waited > POLL_NS_MAX) {
        ring->poll_ns = ring->poll_ns / 2 < POLL_NS_MIN ? POLL_NS_MIN : ring->poll_ns / 2;
        ring->grown = false;
    } else if (ring->grown) {
        back_off(ring);
    } else {
        ring->poll_ns = waited * 2 > POLL_NS_MAX ? POLL_NS_MAX : waited * 2;
        ring->grown = true;
    }
}

/* One wait for requests: first polling, then sleeping. */
static void wait_requests(struct ring *ring)
{
    uint64_t start, now;

    if (ring->engine->jobs.waiting)
        wait_events(ring, 0); /* so that a guest that polls all the time doesn't starve its own streams */
    if (ring->config.net && net_is_napping(ring->config.net)) {
        sleep_until_event(ring); /* it was polled before the first nap */
        return;
    }
    if (spin(ring)) {
        if (job_done_pending(&ring->engine->jobs))
            job_run_ready(ring->engine);
        else
            ring->grown = false;
        return;
    }
    start = now_ns() - ring->poll_ns;
    sleep_until_event(ring);
    if (!ring->begun) {
        ring->begun = true;
        ring->poll_ns = POLL_NS_START;
        ring->back_off = 0;
        placement_begin(&ring->placement);
        return;
    }
    now = now_ns();
    adapt(ring, now - start);
    placement_check(&ring->placement, now);
}

int ring_serve(struct ring *ring)
{
    guest_store32(&ring->header->gofer_polling, 1);
    while (!ring->ended) {
        int n = serve_available(ring);

        if (n < 0)
            return n;
        if (ring->config.net) {
            int err = net_run(ring->config.net);

            if (err)
                return err;
            if (n > 0)
                net_end_naps(ring->config.net);
        }
        if (n == RUN_MAX)
            wait_events(ring, 0);
        else
            wait_requests(ring);
    }
    return 0;
}
