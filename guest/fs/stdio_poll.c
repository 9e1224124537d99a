/*
 * Readiness of the inherited descriptors. Asking costs a request; waiting leaves one in the gofer (Tpoll), which answers
 * when the descriptor is ready. One is kept for input, one for output and one for all else, so that an output that is always
 * ready doesn't hide that input came.
 */
#include "fs/stdio_impl.h"

#include <linux/eventpoll.h>

#define EVENTS_IN ((uint32_t)(EPOLLIN | EPOLLRDNORM | EPOLLRDHUP))
#define EVENTS_OUT ((uint32_t)(EPOLLOUT | EPOLLWRNORM))
#define EVENTS_ALWAYS ((uint32_t)(EPOLLERR | EPOLLHUP))

static uint32_t poll_now(const struct stdio *s, uint32_t events)
{
    struct ring_request *rq = ring_get(P9_Tpoll);
    uint32_t ready = EPOLLERR;

    p9_put32(&rq->out, s->fid);
    p9_put32(&rq->out, events | P9_POLL_NOW);
    if (ring_call(rq) == 0)
        ready = p9_get32(&rq->in);
    ring_put(rq);
    return ready;
}

/* context is the stdio with the watch's number in its low bits. */
static void watch_done(struct ring_request *rq, long error)
{
    struct stdio *s = (struct stdio *)((uintptr_t)rq->context & ~3ul);
    uint32_t events = error == 0 ? p9_get32(&rq->in) : EPOLLERR;

    s->watched[(uintptr_t)rq->context & 3] = false;
    ring_put(rq);
    wait_wake_all(&s->wait, events);
}

static void watch(struct stdio *s, enum stdio_watch which, uint32_t events)
{
    struct ring_request *rq;

    if (s->watched[which])
        return;
    s->watched[which] = true;
    rq = ring_get(P9_Tpoll);
    p9_put32(&rq->out, s->fid);
    p9_put32(&rq->out, events & 0x7fff);
    rq->context = (void *)((uintptr_t)s | which);
    rq->complete = watch_done;
    ring_submit(rq);
    ring_notify();
}

void stdio_rearm(struct stdio *s)
{
    if (!list_empty(&s->wait.entries))
        watch(s, WATCH_IN, EVENTS_IN);
}

uint32_t stdio_poll_events(struct stdio *s, struct file *f, struct poll_table *table)
{
    uint32_t access = f->flags & O_ACCMODE;
    uint32_t possible = (access != O_WRONLY ? EVENTS_IN | EPOLLPRI : 0) | (access != O_RDONLY ? EVENTS_OUT : 0);
    uint32_t want = (table ? table->events : possible) & (possible | EPOLLPRI);
    uint32_t ready;

    if (S_ISREG(s->mode) || S_ISBLK(s->mode))
        return EPOLLIN | EPOLLRDNORM | EPOLLOUT | EPOLLWRNORM;
    if (table && table->add)
        table->add(table, &s->wait);
    ready = poll_now(s, want);
    if (!table || !table->add || (ready & (want | EVENTS_ALWAYS)))
        return ready;
    if (want & EVENTS_IN)
        watch(s, WATCH_IN, EVENTS_IN);
    if (want & EVENTS_OUT)
        watch(s, WATCH_OUT, EVENTS_OUT);
    if (!(want & (EVENTS_IN | EVENTS_OUT)))
        watch(s, WATCH_OTHER, want);
    return ready;
}
