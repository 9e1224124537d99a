/*
 * timerfd_create(2): timers that are read. A periodic one is armed again only when it is read, as in Linux: what ran out
 * meanwhile is counted then, so that a fast timer that nobody reads costs nothing.
 */
#include "fs/eventfd.h"

#include "arch/cpu.h"
#include "fs/anon.h"
#include "fs/poll.h"
#include "lib/kmalloc.h"
#include "proc/timer.h"

#include <linux/time.h>

struct timerfd {
    struct timer timer;
    int clock;
    uint64_t expires;   /* CLOCK_MONOTONIC; 0: off */
    uint64_t interval;
    uint64_t ticks;     /* not read yet */
    bool expired;       /* fired since it was read */
    struct wait_queue wait;
};

static const struct file_ops timerfd_ops;

/* What the timer's clock is ahead of CLOCK_MONOTONIC. */
static uint64_t clock_ahead(const struct timerfd *t)
{
    if (t->clock == CLOCK_REALTIME || t->clock == CLOCK_REALTIME_ALARM)
        return clock_real_ns() - clock_mono_ns();
    if (t->clock == CLOCK_BOOTTIME || t->clock == CLOCK_BOOTTIME_ALARM)
        return clock_boot_ns() - clock_mono_ns();
    return 0;
}

static void fire(struct timer *timer)
{
    struct timerfd *t = container_of(timer, struct timerfd, timer);

    t->ticks++;
    t->expired = true;
    wait_wake_all(&t->wait, EPOLLIN | EPOLLRDNORM);
}

/* Count the periods that have passed since it fired, and arm it for the next. */
static void catch_up(struct timerfd *t)
{
    uint64_t now = clock_mono_ns(), missed;

    if (!t->expired || t->interval == 0)
        return;
    missed = now > t->expires ? (now - t->expires) / t->interval : 0;
    t->ticks += missed;
    t->expires += (missed + 1) * t->interval;
    t->expired = false;
    timer_set(&t->timer, t->expires);
}

static ssize_t timerfd_read(struct file *f, struct iter *to, uint64_t *pos UNUSED)
{
    struct timerfd *t = f->data;
    uint64_t ticks;
    int err;

    if (to->left < sizeof(ticks))
        return -EINVAL;
    if (t->ticks == 0 && (f->flags & O_NONBLOCK))
        return -EAGAIN;
    err = wait_until(&t->wait, t->ticks > 0, NEVER, true);
    if (err < 0)
        return err;
    catch_up(t);
    ticks = t->ticks;
    t->ticks = 0;
    t->expired = false;
    return iter_copy_to(to, &ticks, sizeof(ticks)) == sizeof(ticks) ? (ssize_t)sizeof(ticks) : -EFAULT;
}

static uint32_t timerfd_poll(struct file *f, struct poll_table *table)
{
    struct timerfd *t = f->data;

    if (table)
        table->add(table, &t->wait);
    return t->ticks > 0 ? EPOLLIN | EPOLLRDNORM : 0;
}

static void timerfd_release(struct file *f)
{
    struct timerfd *t = f->data;

    timer_cancel(&t->timer);
    kfree(t);
}

static const struct file_ops timerfd_ops = {
    .read = timerfd_read,
    .poll = timerfd_poll,
    .release = timerfd_release,
    .seek_nowhere = true,
};

bool timerfd_is(const struct file *f)
{
    return f->ops == &timerfd_ops;
}

struct file *timerfd_create(int clock, uint32_t flags)
{
    struct timerfd *t = kzalloc(sizeof(*t));
    struct file *f;

    if (!t)
        return err_ptr(-ENOMEM);
    t->clock = clock;
    t->timer.fire = fire;
    wait_queue_init(&t->wait);
    f = anon_file(&timerfd_ops, O_RDWR | flags, t, "anon_inode:[timerfd]");
    if (is_err(f))
        kfree(t);
    return f;
}

void timerfd_set(struct file *f, uint64_t value, uint64_t interval, bool absolute)
{
    struct timerfd *t = f->data;
    uint64_t base = absolute ? clock_ahead(t) : 0;

    timer_cancel(&t->timer);
    t->ticks = 0;
    t->expired = false;
    t->interval = interval;
    t->expires = 0;
    if (value == 0)
        return;
    if (absolute)
        t->expires = value > base ? value - base : 1;
    else if (__builtin_add_overflow(clock_mono_ns(), value, &t->expires))
        t->expires = NEVER - 1;
    timer_set(&t->timer, t->expires);
}

void timerfd_get(struct file *f, uint64_t *ret_left, uint64_t *ret_interval)
{
    struct timerfd *t = f->data;
    uint64_t now;

    catch_up(t);
    now = clock_mono_ns();
    *ret_interval = t->interval;
    *ret_left = t->timer.armed ? (t->expires > now ? t->expires - now : 1) : 0;
}
