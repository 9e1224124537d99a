/* The waiter behind poll(2) and select(2), and asking a file. */
#include "fs/poll.h"

#include "lib/kmalloc.h"

#define CHUNK_ENTRIES 64

struct poll_chunk {
    struct poll_chunk *next;
    size_t count;
    struct wait_entry entries[CHUNK_ENTRIES];
};

uint32_t poll_sleepers;

static void waiter_wake(struct wait_entry *e, uint32_t events UNUSED)
{
    struct poll_waiter *w = e->data;

    w->woken = true;
    thread_wake(w->thread);
}

static struct wait_entry *new_entry(struct poll_waiter *w)
{
    struct poll_chunk *c = w->more;

    if (w->count < POLL_ENTRIES_INLINE)
        return &w->entries[w->count++];
    if (!c || c->count == CHUNK_ENTRIES) {
        c = kzalloc(sizeof(*c));
        if (!c)
            return NULL;
        c->next = w->more;
        w->more = c;
    }
    return &c->entries[c->count++];
}

static void waiter_add(struct poll_table *table, struct wait_queue *q)
{
    struct poll_waiter *w = container_of(table, struct poll_waiter, table);
    struct wait_entry *e = new_entry(w);

    if (!e) {
        w->failed = true;
        return;
    }
    e->wake = waiter_wake;
    e->data = w;
    wait_add(q, e);
}

void poll_add_nothing(struct poll_table *table UNUSED, struct wait_queue *q UNUSED)
{
}

void poll_waiter_init(struct poll_waiter *w)
{
    *w = (struct poll_waiter){ .table.add = waiter_add, .thread = current };
}

void poll_waiter_registered(struct poll_waiter *w)
{
    w->table.add = poll_add_nothing;
}

void poll_waiter_done(struct poll_waiter *w)
{
    struct poll_chunk *c, *next;

    for (size_t i = 0; i < w->count; i++)
        wait_remove(&w->entries[i]);
    for (c = w->more; c; c = next) {
        next = c->next;
        for (size_t i = 0; i < c->count; i++)
            wait_remove(&c->entries[i]);
        kfree(c);
    }
}

int poll_waiter_sleep(struct poll_waiter *w, uint64_t deadline_ns)
{
    int err = 0;

    poll_sleep_begin();
    while (!w->woken && err == 0)
        err = thread_park(deadline_ns, true);
    poll_sleep_end();
    if (w->woken)
        err = 0;
    w->woken = false;
    return err;
}

uint32_t poll_file(struct file *f, struct poll_table *table)
{
    return f->ops->poll ? f->ops->poll(f, table) : POLL_DEFAULT;
}
