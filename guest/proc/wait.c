/* Wait queues and the mutex made of one. */
#include "proc/thread.h"

#include "lib/log.h"

void wait_add(struct wait_queue *q, struct wait_entry *e)
{
    if (!e->thread)
        e->thread = current;
    list_push_back(&q->entries, &e->node);
}

void wait_remove(struct wait_entry *e)
{
    if (e->node.next)
        list_remove(&e->node);
}

static void entry_wake(struct wait_entry *e, uint32_t events)
{
    if (e->wake)
        e->wake(e, events);
    else
        thread_wake(e->thread);
}

/* A callback may take its own entry out of the queue, no other. */
void wait_wake_all(struct wait_queue *q, uint32_t events)
{
    struct wait_entry *e, *tmp;

    if (!q->entries.next) /* never initialised: nobody has waited yet */
        return;
    list_for_each_safe(e, tmp, &q->entries, node)
        entry_wake(e, events);
}

/* As Linux: everybody who didn't ask for exclusive wake-ups, and one of those who did. */
void wait_wake_one(struct wait_queue *q, uint32_t events)
{
    struct wait_entry *e, *tmp;
    bool exclusive_done = false;

    if (!q->entries.next)
        return;
    list_for_each_safe(e, tmp, &q->entries, node) {
        bool exclusive = e->exclusive;

        if (exclusive && exclusive_done)
            continue;
        entry_wake(e, events);
        exclusive_done |= exclusive;
    }
}

void mutex_init(struct mutex *m)
{
    m->owner = NULL;
    wait_queue_init(&m->queue);
}

void mutex_lock(struct mutex *m)
{
    struct wait_entry e = { .exclusive = true };

    if (likely(!m->owner)) {
        m->owner = current;
        return;
    }
    BUG_ON(m->owner == current);
    wait_add(&m->queue, &e);
    while (m->owner)
        thread_park(NEVER, false);
    wait_remove(&e);
    m->owner = current;
}

void mutex_unlock(struct mutex *m)
{
    m->owner = NULL;
    if (!list_empty(&m->queue.entries))
        wait_wake_one(&m->queue, 0);
}
