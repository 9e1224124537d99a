/*
 * epoll(7): level and edge triggered, one shot, exclusive, nested.
 *
 * Each watched descriptor is an item whose wait entries sit in the file's queues. A wake-up puts the item on the ready list
 * and wakes who waits. Collecting asks the file again, since a wake-up says only that something changed; level triggered items
 * that are ready go back to the list. Asking may sleep, so items have references and a mark for those that were removed.
 */
#include "fs/epoll.h"

#include "arch/uaccess.h"
#include "fs/anon.h"
#include "fs/poll.h"
#include "lib/kmalloc.h"
#include "lib/rbtree.h"

#define NESTING_MAX 5
#define ITEM_QUEUES 3 /* queues that one file's poll may add us to */
#define EVENTS_PRIVATE ((uint32_t)(EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE))
#define EVENTS_EXCLUSIVE_OK \
    ((uint32_t)(EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE))

struct epoll {
    struct rb_root items;        /* by file and descriptor */
    struct list ready;
    struct wait_queue wait;      /* epoll_wait */
    struct wait_queue poll_wait; /* those who watch this epoll itself */
    uint32_t item_count;
};

struct epoll_item {
    struct rb_node node;
    struct list ready_node;      /* empty: not on the list */
    struct epoll *ep;
    struct file *file;           /* not counted: file_put tells us when it goes */
    struct epoll_item *file_next; /* items of the same file */
    int fd;
    uint32_t events;
    uint64_t data;
    uint32_t refs;
    bool removed;
    size_t entry_count;
    struct wait_entry entries[ITEM_QUEUES];
};

/* The table given to a file while an item is added. */
struct item_table {
    struct poll_table table;
    struct epoll_item *item;
};

static const struct file_ops epoll_ops;

bool epoll_is(const struct file *f)
{
    return f->ops == &epoll_ops;
}

/* --- items --- */

static void item_put(struct epoll_item *item)
{
    if (--item->refs == 0)
        kfree(item);
}

static int compare(const struct epoll_item *item, const struct file *file, int fd)
{
    if (item->file != file)
        return item->file < file ? -1 : 1;
    return item->fd < fd ? -1 : item->fd > fd;
}

static struct epoll_item *item_find(const struct epoll *ep, const struct file *file, int fd)
{
    struct rb_node *node = ep->items.node;

    while (node) {
        struct epoll_item *item = rb_entry(node, struct epoll_item, node);
        int order = compare(item, file, fd);

        if (order == 0)
            return item;
        node = order < 0 ? node->right : node->left;
    }
    return NULL;
}

static void item_insert(struct epoll *ep, struct epoll_item *item)
{
    struct rb_node **link = &ep->items.node, *parent = NULL;

    while (*link) {
        parent = *link;
        link = compare(rb_entry(parent, struct epoll_item, node), item->file, item->fd) < 0 ? &parent->right : &parent->left;
    }
    rb_link(&item->node, parent, link);
    rb_insert_fixup(&ep->items, &item->node);
    ep->item_count++;
    item->file_next = item->file->watchers;
    item->file->watchers = item;
}

static void leave_queues(struct epoll_item *item)
{
    for (size_t i = 0; i < item->entry_count; i++)
        wait_remove(&item->entries[i]);
    item->entry_count = 0;
}

static void unlink_from_file(struct epoll_item *item)
{
    struct epoll_item **link = (struct epoll_item **)&item->file->watchers;

    while (*link != item)
        link = &(*link)->file_next;
    *link = item->file_next;
}

static void item_remove(struct epoll_item *item)
{
    leave_queues(item);
    unlink_from_file(item);
    rb_erase(&item->ep->items, &item->node);
    list_remove(&item->ready_node);
    item->ep->item_count--;
    item->removed = true;
    item_put(item);
}

void epoll_file_released(struct file *f)
{
    while (f->watchers)
        item_remove(f->watchers);
}

/* --- readiness --- */

static void announce(struct epoll *ep)
{
    wait_wake_one(&ep->wait, EPOLLIN);
    wait_wake_all(&ep->poll_wait, EPOLLIN | EPOLLRDNORM);
}

static void make_ready(struct epoll_item *item)
{
    if (list_empty(&item->ready_node))
        list_push_back(&item->ep->ready, &item->ready_node);
    announce(item->ep);
}

static void item_wake(struct wait_entry *e, uint32_t events)
{
    struct epoll_item *item = e->data;

    if (!(item->events & ~EVENTS_PRIVATE))
        return; /* one shot, and it was */
    if (events && !(events & (item->events | POLL_ALWAYS)))
        return;
    make_ready(item);
}

static void item_add_queue(struct poll_table *table, struct wait_queue *q)
{
    struct epoll_item *item = container_of(table, struct item_table, table)->item;
    struct wait_entry *e;

    if (item->entry_count == ITEM_QUEUES)
        return;
    e = &item->entries[item->entry_count++];
    *e = (struct wait_entry){ .wake = item_wake, .data = item, .exclusive = (item->events & EPOLLEXCLUSIVE) != 0 };
    wait_add(q, e);
}

/* Ask the file; it goes on watching. May sleep: the caller holds a reference to the item. */
static uint32_t item_ask(struct epoll_item *item)
{
    struct poll_table table = { .add = poll_add_nothing, .events = item->events & ~EVENTS_PRIVATE };
    struct file *f = item->file;
    uint32_t events;

    if (!(item->events & ~EVENTS_PRIVATE))
        return 0;
    file_get(f);
    events = poll_file(f, &table) & (item->events | POLL_ALWAYS);
    file_put(f);
    return events;
}

/* --- control --- */

/* Does watching target from ep make a loop, or nest too deeply? depth of what is below target is counted. */
static bool leads_back(const struct file *target, const struct epoll *ep, int depth)
{
    const struct epoll *inner = target->data;

    if (inner == ep || depth > NESTING_MAX)
        return true;
    for (struct rb_node *n = rb_first(&inner->items); n; n = rb_next(n)) {
        const struct file *f = rb_entry(n, struct epoll_item, node)->file;

        if (epoll_is(f) && leads_back(f, ep, depth + 1))
            return true;
    }
    return false;
}

static long item_add(struct epoll *ep, struct file *target, int fd, const struct epoll_event *event)
{
    struct epoll_item *item = kzalloc(sizeof(*item));
    struct item_table table;
    uint32_t events;

    if (!item)
        return -ENOMEM;
    item->refs = 2; /* the tree's and ours */
    item->ep = ep;
    item->file = target;
    item->fd = fd;
    item->events = event->events | POLL_ALWAYS;
    item->data = event->data;
    list_init(&item->ready_node);
    item_insert(ep, item);
    table = (struct item_table){ .table = { .add = item_add_queue, .events = item->events & ~EVENTS_PRIVATE }, .item = item };
    events = poll_file(target, &table.table);
    if (!item->removed && (events & item->events))
        make_ready(item);
    item_put(item);
    return 0;
}

static long item_modify(struct epoll_item *item, const struct epoll_event *event)
{
    if (item->events & EPOLLEXCLUSIVE)
        return -EINVAL;
    item->events = event->events | POLL_ALWAYS;
    item->data = event->data;
    item->refs++;
    if (item_ask(item) && !item->removed)
        make_ready(item);
    item_put(item);
    return 0;
}

static bool can_be_watched(const struct file *f)
{
    uint32_t mode = file_mode(f);

    return f->ops->poll && !S_ISREG(mode) && !S_ISDIR(mode);
}

static long check_exclusive(int op, const struct file *target, uint32_t events)
{
    if (!(events & EPOLLEXCLUSIVE))
        return 0;
    if (op == EPOLL_CTL_MOD || epoll_is(target) || (events & ~EVENTS_EXCLUSIVE_OK))
        return -EINVAL;
    return 0;
}

long epoll_control(struct file *epf, int op, struct file *target, int fd, const struct epoll_event *event)
{
    struct epoll *ep = epf->data;
    struct epoll_item *item;
    long err;

    if (!can_be_watched(target))
        return -EPERM;
    if (target == epf)
        return -EINVAL;
    err = op == EPOLL_CTL_DEL ? 0 : check_exclusive(op, target, event->events);
    if (err < 0)
        return err;
    item = item_find(ep, target, fd);
    switch (op) {
    case EPOLL_CTL_ADD:
        if (item)
            return -EEXIST;
        if (epoll_is(target) && leads_back(target, ep, 1))
            return -ELOOP;
        return item_add(ep, target, fd, event);
    case EPOLL_CTL_MOD:
        return item ? item_modify(item, event) : -ENOENT;
    case EPOLL_CTL_DEL:
        if (!item)
            return -ENOENT;
        item_remove(item);
        return 0;
    default:
        return -EINVAL;
    }
}

/* --- collecting --- */

static bool put_event(uaddr_t events, long index, uint32_t what, uint64_t data)
{
    struct epoll_event e = { .events = what, .data = data };

    return copy_to_user(events + (uint64_t)index * sizeof(e), &e, sizeof(e)) == 0;
}

/* Deal with one item taken off the ready list. 1: an event was stored; 0: not ready; -EFAULT. */
static long collect_one(struct epoll *ep, struct epoll_item *item, uaddr_t events, long index)
{
    uint32_t what = item_ask(item);

    if (item->removed || !what)
        return 0;
    if (!put_event(events, index, what, item->data)) {
        if (!item->removed && list_empty(&item->ready_node))
            list_push_back(&ep->ready, &item->ready_node);
        return -EFAULT;
    }
    if (item->removed)
        return 1;
    if (item->events & EPOLLONESHOT)
        item->events &= EVENTS_PRIVATE;
    else if (!(item->events & EPOLLET) && list_empty(&item->ready_node))
        list_push_back(&ep->ready, &item->ready_node);
    return 1;
}

/* Move all of from to the front of to. */
static void splice_front(struct list *to, struct list *from)
{
    while (!list_empty(from)) {
        struct list *last = from->prev;

        list_remove(last);
        list_push_front(to, last);
    }
}

/*
 * Look at what is on the list now, each item once: those that go back to it wait for the next call. The list is taken
 * away meanwhile, since asking may sleep and others may collect too.
 */
static long collect(struct epoll *ep, uaddr_t events, int max)
{
    struct list now;
    long count = 0, got = 0;

    list_init(&now);
    splice_front(&now, &ep->ready);
    while (count < max && !list_empty(&now)) {
        struct epoll_item *item = list_first(&now, struct epoll_item, ready_node);

        list_remove(&item->ready_node);
        item->refs++;
        got = collect_one(ep, item, events, count);
        item_put(item);
        if (got < 0)
            break;
        count += got;
    }
    splice_front(&ep->ready, &now);
    if (!list_empty(&ep->ready))
        wait_wake_one(&ep->wait, EPOLLIN); /* there is something for the next one too */
    return count > 0 ? count : got;
}

long epoll_wait_events(struct file *epf, uaddr_t events, int max, uint64_t deadline_ns)
{
    struct epoll *ep = epf->data;
    struct wait_entry entry = { .exclusive = true };
    long count;
    int err = 0;

    count = collect(ep, events, max);
    if (count != 0 || deadline_ns == 0)
        return count;
    wait_add(&ep->wait, &entry);
    while (count == 0 && err == 0) {
        if (list_empty(&ep->ready)) {
            poll_sleep_begin();
            err = thread_park(deadline_ns, true);
            poll_sleep_end();
        }
        count = list_empty(&ep->ready) ? 0 : collect(ep, events, max);
    }
    wait_remove(&entry);
    if (count != 0)
        return count;
    return err == -ETIMEDOUT ? 0 : err;
}

/* --- an epoll as a file --- */

/* Ready if an item is: those that turn out not to be leave the list. */
static uint32_t epoll_poll(struct file *f, struct poll_table *table)
{
    struct epoll *ep = f->data;
    uint32_t events = 0;

    if (table)
        table->add(table, &ep->poll_wait);
    while (!events && !list_empty(&ep->ready)) {
        struct epoll_item *item = list_first(&ep->ready, struct epoll_item, ready_node);
        bool ready;

        item->refs++;
        list_remove(&item->ready_node);
        ready = item_ask(item) != 0;
        if (ready && !item->removed && list_empty(&item->ready_node))
            list_push_front(&ep->ready, &item->ready_node);
        item_put(item);
        if (ready)
            events = EPOLLIN | EPOLLRDNORM;
    }
    return events;
}

static void epoll_release(struct file *f)
{
    struct epoll *ep = f->data;
    struct rb_node *node;

    while ((node = rb_first(&ep->items)))
        item_remove(rb_entry(node, struct epoll_item, node));
    kfree(ep);
}

static const struct file_ops epoll_ops = { .poll = epoll_poll, .release = epoll_release, .seek_nowhere = true };

struct file *epoll_create(void)
{
    struct epoll *ep = kzalloc(sizeof(*ep));
    struct file *f;

    if (!ep)
        return err_ptr(-ENOMEM);
    list_init(&ep->ready);
    wait_queue_init(&ep->wait);
    wait_queue_init(&ep->poll_wait);
    f = anon_file(&epoll_ops, O_RDWR, ep, "anon_inode:[eventpoll]");
    if (is_err(f))
        kfree(ep);
    return f;
}
