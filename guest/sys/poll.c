/* poll(2), ppoll(2), select(2), pselect6(2). */
#include "fs/fdtable.h"
#include "fs/poll.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "proc/signal.h"
#include "sys/syscall.h"
#include "sys/timespec.h"

#include <asm/poll.h>
#include <linux/resource.h>

/* One file that is asked; fd < 0: ignored. */
struct slot {
    int fd;
    uint32_t events;  /* nothing else ends the wait: for poll(2) POLLERR and POLLHUP are among them */
    uint32_t revents;
    struct file *file;
};

#define SLOTS_ON_STACK 16

/* Ask all of them once. Returns how many have something to say. */
static long ask_all(struct slot *slots, size_t n, struct poll_table *table)
{
    long count = 0;

    for (size_t i = 0; i < n; i++) {
        struct slot *s = &slots[i];

        if (s->file) {
            if (table)
                table->events = s->events;
            s->revents = poll_file(s->file, table) & s->events;
        }
        count += s->revents != 0;
    }
    return count;
}

static void open_slots(struct slot *slots, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        slots[i].revents = 0;
        slots[i].file = slots[i].fd >= 0 ? fd_get_io(slots[i].fd) : NULL;
        if (slots[i].fd >= 0 && !slots[i].file)
            slots[i].revents = POLLNVAL;
    }
}

static void close_slots(struct slot *slots, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (slots[i].file)
            file_put(slots[i].file);
    }
}

/* deadline 0: don't wait. Count (0: timed out), -ERESTARTSYS, -ENOMEM. */
static long wait_slots(struct slot *slots, size_t n, uint64_t deadline_ns)
{
    struct poll_waiter w;
    long count;
    int err = 0;

    if (deadline_ns == 0)
        return ask_all(slots, n, NULL);
    poll_waiter_init(&w);
    count = ask_all(slots, n, &w.table);
    poll_waiter_registered(&w);
    if (w.failed && count == 0)
        count = -ENOMEM;
    while (count == 0 && err == 0) {
        err = poll_waiter_sleep(&w, deadline_ns);
        count = ask_all(slots, n, &w.table);
    }
    poll_waiter_done(&w);
    if (count != 0)
        return count;
    return err == -ETIMEDOUT ? 0 : err;
}

/* --- poll --- */

struct pollfd_wire {
    int fd;
    int16_t events, revents;
};

static long read_pollfds(uaddr_t fds, struct slot *slots, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct pollfd_wire p;

        if (copy_from_user(&p, fds + i * sizeof(p), sizeof(p)) < 0)
            return -EFAULT;
        slots[i] = (struct slot){ .fd = p.fd, .events = (uint16_t)p.events | POLL_ALWAYS };
    }
    return 0;
}

static long write_revents(uaddr_t fds, const struct slot *slots, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int16_t revents = (int16_t)slots[i].revents;

        if (put_user(revents, fds + i * sizeof(struct pollfd_wire) + offsetof(struct pollfd_wire, revents)) < 0)
            return -EFAULT;
    }
    return 0;
}

static long poll_slots(uaddr_t fds, struct slot *slots, size_t n, uint64_t deadline_ns)
{
    long ret = read_pollfds(fds, slots, n);

    if (ret < 0)
        return ret;
    open_slots(slots, n);
    ret = wait_slots(slots, n, deadline_ns);
    close_slots(slots, n);
    if (ret >= 0 && write_revents(fds, slots, n) < 0)
        return -EFAULT;
    return ret;
}

static long poll_user(uaddr_t fds, uint32_t n, uint64_t deadline_ns)
{
    struct slot small[SLOTS_ON_STACK], *slots = small;
    long ret;

    if (n > rlimit(RLIMIT_NOFILE))
        return -EINVAL;
    if (n > SLOTS_ON_STACK)
        slots = kcalloc(n, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    ret = poll_slots(fds, slots, n, deadline_ns);
    if (slots != small)
        kfree(slots);
    return ret;
}

static uint64_t deadline_of(uint64_t ns)
{
    return ns == 0 ? 0 : deadline_after(ns);
}

/* Stopped and continued: the rest of the time, not all of it again. */
static long restart_poll(struct thread *self)
{
    long ret = poll_user(self->restart_arg[0], (uint32_t)self->restart_arg[1], self->restart_arg[2]);

    if (ret != -ERESTARTSYS)
        return ret;
    self->restart = restart_poll;
    return -ERESTART_RESTARTBLOCK;
}

SYSCALL_DEFINE3(poll, uaddr_t, fds, uint32_t, n, int, timeout_ms)
{
    uint64_t deadline_ns = timeout_ms < 0 ? NEVER : deadline_of((uint64_t)timeout_ms * 1000000ul);
    long ret = poll_user(fds, n, deadline_ns);

    if (ret != -ERESTARTSYS)
        return ret;
    current->restart = restart_poll;
    current->restart_arg[0] = fds;
    current->restart_arg[1] = n;
    current->restart_arg[2] = deadline_ns;
    return -ERESTART_RESTARTBLOCK;
}

SYSCALL_DEFINE5(ppoll, uaddr_t, fds, uint32_t, n, uaddr_t, timeout, uaddr_t, mask, size_t, size)
{
    uint64_t ns, deadline_ns = NEVER;
    long ret = 0;

    if (timeout) {
        ret = timespec_read(timeout, &ns);
        deadline_ns = ret == 0 ? deadline_of(ns) : 0;
    }
    if (ret == 0)
        ret = signal_set_temporary_mask(mask, size);
    if (ret < 0)
        return ret;
    ret = poll_user(fds, n, deadline_ns);
    signal_restore_mask(ret == -ERESTARTSYS);
    if (timeout && deadline_ns != 0)
        timespec_write(timeout, time_left(deadline_ns));
    return ret == -ERESTARTSYS ? -ERESTARTNOHAND : ret;
}

/* --- select --- */

enum { SET_IN, SET_OUT, SET_EXCEPT, SET_COUNT };

static const uint32_t set_events[SET_COUNT] = {
    POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR,
    POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR,
    POLLPRI,
};

/* The three sets in one block: in, out, except. */
struct select {
    uint32_t n;
    size_t words;       /* of each set */
    uaddr_t addr[SET_COUNT];
    uint64_t *bits;
    struct slot *slots;
    size_t slot_count;
};

static bool has_bit(const struct select *s, int set, size_t fd)
{
    return s->bits[(size_t)set * s->words + fd / 64] >> (fd % 64) & 1;
}

static long read_sets(struct select *s)
{
    size_t bytes = ALIGN_UP(s->n, 64) / 8;

    s->words = bytes / 8;
    s->bits = kcalloc(SET_COUNT * s->words + 1, sizeof(uint64_t));
    s->slots = kcalloc(s->n + 1ul, sizeof(struct slot));
    if (!s->bits || !s->slots)
        return -ENOMEM;
    for (int i = 0; i < SET_COUNT; i++) {
        if (s->addr[i] && copy_from_user(s->bits + (size_t)i * s->words, s->addr[i], bytes) < 0)
            return -EFAULT;
    }
    return 0;
}

static long make_slots(struct select *s)
{
    for (size_t fd = 0; fd < s->n; fd++) {
        uint32_t events = 0;

        for (int i = 0; i < SET_COUNT; i++)
            events |= has_bit(s, i, fd) ? set_events[i] : 0;
        if (events)
            s->slots[s->slot_count++] = (struct slot){ .fd = (int)fd, .events = events };
    }
    open_slots(s->slots, s->slot_count);
    for (size_t i = 0; i < s->slot_count; i++) {
        if (!s->slots[i].file)
            return -EBADF;
    }
    return 0;
}

/* Keep the bits that came true. Returns their number. */
static long keep_ready(struct select *s)
{
    long count = 0;

    for (size_t i = 0; i < s->slot_count; i++) {
        const struct slot *slot = &s->slots[i];
        size_t fd = (size_t)slot->fd;

        for (int set = 0; set < SET_COUNT; set++) {
            uint64_t *word = &s->bits[(size_t)set * s->words + fd / 64];
            uint64_t bit = 1ull << (fd % 64);

            if (!(*word & bit))
                continue;
            if (slot->revents & set_events[set])
                count++;
            else
                *word &= ~bit;
        }
    }
    return count;
}

static long write_sets(const struct select *s)
{
    for (int i = 0; i < SET_COUNT; i++) {
        if (s->addr[i] && copy_to_user(s->addr[i], s->bits + (size_t)i * s->words, s->words * 8) < 0)
            return -EFAULT;
    }
    return 0;
}

static long select_slots(struct select *s, uint64_t deadline_ns)
{
    long ret = wait_slots(s->slots, s->slot_count, deadline_ns);

    if (ret < 0)
        return ret;
    ret = keep_ready(s);
    return write_sets(s) < 0 ? -EFAULT : ret;
}

static long select_user(int n, const uaddr_t addr[SET_COUNT], uint64_t deadline_ns)
{
    struct select s = { 0 };
    long ret;

    if (n < 0)
        return -EINVAL;
    /* As in Linux: bits beyond the descriptor table are ignored, not EBADF. */
    s.n = (uint32_t)MIN((size_t)n, current->files->numbers.capacity);
    memcpy(s.addr, addr, sizeof(s.addr));
    ret = read_sets(&s);
    if (ret == 0)
        ret = make_slots(&s);
    if (ret == 0)
        ret = select_slots(&s, deadline_ns);
    close_slots(s.slots, s.slot_count);
    kfree(s.slots);
    kfree(s.bits);
    return ret;
}

SYSCALL_DEFINE5(select, int, n, uaddr_t, in, uaddr_t, out, uaddr_t, except, uaddr_t, timeout)
{
    const uaddr_t addr[SET_COUNT] = { in, out, except };
    uint64_t ns, deadline_ns = NEVER;
    long ret = 0;

    if (timeout) {
        ret = timeval_read_long(timeout, &ns);
        deadline_ns = ret == 0 ? deadline_of(ns) : 0;
    }
    if (ret < 0)
        return ret;
    ret = select_user(n, addr, deadline_ns);
    if (timeout && deadline_ns != 0)
        timeval_write(timeout, time_left(deadline_ns));
    return ret == -ERESTARTSYS ? -ERESTARTNOHAND : ret;
}

SYSCALL_DEFINE6(pselect6, int, n, uaddr_t, in, uaddr_t, out, uaddr_t, except, uaddr_t, timeout, uaddr_t, sig)
{
    const uaddr_t addr[SET_COUNT] = { in, out, except };
    uint64_t ns, deadline_ns = NEVER, mask[2] = { 0, 0 };
    long ret = 0;

    if (timeout) {
        ret = timespec_read(timeout, &ns);
        deadline_ns = ret == 0 ? deadline_of(ns) : 0;
    }
    if (ret == 0 && sig && copy_from_user(mask, sig, sizeof(mask)) < 0)
        ret = -EFAULT;
    if (ret == 0)
        ret = signal_set_temporary_mask(mask[0], mask[1]);
    if (ret < 0)
        return ret;
    ret = select_user(n, addr, deadline_ns);
    signal_restore_mask(ret == -ERESTARTSYS);
    if (timeout && deadline_ns != 0)
        timespec_write(timeout, time_left(deadline_ns));
    return ret == -ERESTARTSYS ? -ERESTARTNOHAND : ret;
}
