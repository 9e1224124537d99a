/*
 * A device's own thread: lets the model serve its queues, looks at them for a while after a request, then asks to be notified
 * and sleeps.
 *
 * Looking pays because a sleep costs the driver a notification and us a wake-up, together 15 µs, where a read that the page cache
 * answers takes two. How long follows whether it paid, as the gofer's ring has it.
 */
#include <errno.h>
#include <poll.h>
#include <time.h>

#include "common/fd.h"
#include "common/thread.h"
#include "devices/virtio.h"

#define NSEC 1000000000ull
#define POLL_NS_MIN 4000u
#define POLL_NS_MAX 100000u
#define SPINS_PER_LOOK 16u
#define STACK_SIZE (128u << 10)

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NSEC + (uint64_t)t.tv_nsec;
}

/* The queue, if what is put into it is work; else NULL. */
static struct virtq *awaited(struct virtio_device *dev, unsigned index)
{
    return !dev->model->waits_for || dev->model->waits_for(dev, index) ? virtio_queue(dev, index) : NULL;
}

static bool has_avail(struct virtio_device *dev)
{
    for (unsigned i = 0; i < dev->model->queue_count; i++) {
        struct virtq *q = awaited(dev, i);

        if (q && virtq_has_avail(q))
            return true;
    }
    return false;
}

/* Ask for notifications; true if a request came before we did. */
static bool enable_notify(struct virtio_device *dev)
{
    bool any = false;

    for (unsigned i = 0; i < dev->model->queue_count; i++) {
        struct virtq *q = awaited(dev, i);

        any = (q && virtq_enable_notify(q)) || any;
    }
    return any;
}

/* Look for requests for poll_ns. The lock is given up in between: the registers must not have to wait. */
static bool spin(struct virtio_device *dev)
{
    uint64_t end = now_ns() + dev->poll_ns;
    bool found = false;

    do {
        pthread_mutex_lock(&dev->lock);
        for (unsigned i = 0; i < SPINS_PER_LOOK && !found; i++) {
            found = has_avail(dev);
            __builtin_ia32_pause();
        }
        pthread_mutex_unlock(&dev->lock);
    } while (!found && now_ns() < end);
    return found;
}

/* We looked in vain and slept, and something came after `waited`: would a longer look have caught it? */
static void adapt(struct virtio_device *dev, uint64_t waited)
{
    if (waited <= POLL_NS_MAX)
        dev->poll_ns = waited * 2 < POLL_NS_MAX ? waited * 2 : POLL_NS_MAX;
    else
        dev->poll_ns = dev->poll_ns / 2 > POLL_NS_MIN ? dev->poll_ns / 2 : POLL_NS_MIN;
}

static void sleep_until(struct virtio_device *dev, uint64_t until_ns)
{
    struct pollfd fds[2] = { { .fd = dev->kick_fd, .events = POLLIN }, { .fd = -1 } };
    struct timespec ts, *timeout = NULL;

    if (until_ns != VIRTIO_WAIT_NONE) {
        uint64_t now = now_ns(), left = until_ns > now ? until_ns - now : 0;

        ts = (struct timespec){ (time_t)(left / NSEC), (long)(left % NSEC) };
        timeout = &ts;
    }
    if (dev->model->pollfd)
        fds[1].fd = dev->model->pollfd(dev, &fds[1].events);
    if (ppoll(fds, 2, timeout, NULL) > 0 && fds[0].revents)
        fd_take_event(dev->kick_fd);
}

static void wait_for_work(struct virtio_device *dev, uint64_t until_ns)
{
    uint64_t start = now_ns();
    bool more;

    if (until_ns != VIRTIO_WAIT_NONE) {
        sleep_until(dev, until_ns);
        return;
    }
    if (spin(dev))
        return;
    pthread_mutex_lock(&dev->lock);
    more = enable_notify(dev);
    pthread_mutex_unlock(&dev->lock);
    if (more)
        return;
    sleep_until(dev, VIRTIO_WAIT_NONE);
    adapt(dev, now_ns() - start);
}

static void *device_loop(void *arg)
{
    struct virtio_device *dev = arg;

    if (dev->thread_init && dev->thread_init() < 0)
        return NULL;
    while (!__atomic_load_n(&dev->quit, __ATOMIC_ACQUIRE)) {
        struct virtio_served served = { false, VIRTIO_WAIT_NONE };

        pthread_mutex_lock(&dev->lock);
        if (dev->running)
            served = dev->model->serve(dev);
        pthread_mutex_unlock(&dev->lock);
        if (!served.progress)
            wait_for_work(dev, served.wait_ns);
    }
    return NULL;
}

int virtio_thread_start(struct virtio_device *dev, int (*init)(void))
{
    dev->thread_init = init;
    dev->poll_ns = POLL_NS_MIN;
    return thread_start(&dev->thread, STACK_SIZE, device_loop, dev);
}

void virtio_thread_stop(struct virtio_device *dev)
{
    __atomic_store_n(&dev->quit, true, __ATOMIC_RELEASE);
    virtio_kick(dev);
    pthread_join(dev->thread, NULL);
}
