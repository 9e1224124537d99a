/*
 * inotify(7): a file is a queue of events and the watches that fill it. A watch holds its inode, whose list of watches it
 * is in; the inode is the one that stat(2) shows, so an overlay's copy-up doesn't matter.
 *
 * Nothing in here sleeps but reading and letting go of inodes.
 */
#include "fs/notify.h"

#include "arch/uaccess.h"
#include "fs/async.h"
#include "fs/anon.h"
#include "fs/poll.h"
#include "lib/kmalloc.h"
#include "lib/string.h"

#include <asm/ioctls.h>

#define QUEUE_MAX 16384u      /* fs.inotify.max_queued_events */
#define INSTANCES_MAX 128u    /* max_user_instances, of the sandbox as a whole */
#define WATCHES_MAX 65536u    /* max_user_watches, likewise */
#define NAME_ALIGN sizeof(struct inotify_event)
#define DIR_RENAME IN_UNMOUNT  /* in masks and events of F_NOTIFY's watches only: nothing is ever unmounted */

struct inotify {
    struct list watches;      /* struct watch, by own_node */
    struct list events;
    uint32_t event_count;
    uint32_t event_bytes;
    int last_wd;
    bool overflown;           /* the last event says so */
    struct wait_queue wait;
};

struct watch {
    struct list own_node;
    struct watch *next;       /* of the same inode */
    struct inotify *owner;    /* NULL: F_NOTIFY's */
    struct inode *inode;      /* a reference */
    int wd;                   /* F_NOTIFY: the descriptor */
    uint32_t mask;
    struct file *dir;         /* F_NOTIFY's: the open directory, which ends its watches when it is closed */
    const void *table;        /* through which table of descriptors */
};

struct event {
    struct list node;
    size_t name_len;
    struct inotify_event wire; /* followed by the name, padded with NULs */
};

uint32_t notify_watches;
static uint32_t instances;
static uint32_t last_cookie;

/* --- the queue --- */

static const struct name no_name;

static uint32_t padded(size_t name_len)
{
    return name_len ? (uint32_t)ALIGN_UP(name_len + 1, NAME_ALIGN) : 0;
}

static bool same_event(const struct event *e, const struct inotify_event *wire, const struct name *name)
{
    return e->wire.wd == wire->wd && e->wire.mask == wire->mask && e->wire.cookie == wire->cookie &&
           e->name_len == name->len && memcmp(e->wire.name, name->str, name->len) == 0;
}

static void append(struct inotify *n, const struct inotify_event *wire, const struct name *name)
{
    struct event *e = kzalloc(sizeof(*e) + wire->len);

    if (!e)
        return;
    e->wire = *wire;
    e->name_len = name->len;
    memcpy(e->wire.name, name->str, name->len);
    list_push_back(&n->events, &e->node);
    n->event_count++;
    n->event_bytes += (uint32_t)sizeof(*wire) + wire->len;
    wait_wake_all(&n->wait, EPOLLIN | EPOLLRDNORM);
}

/* An event that equals the last one is dropped; so is what doesn't fit, after one that says so. */
static void queue_event(struct inotify *n, int wd, uint32_t mask, uint32_t cookie, const struct name *name)
{
    const struct inotify_event wire = { .wd = wd, .mask = mask, .cookie = cookie, .len = padded(name->len) };
    const struct inotify_event overflow = { .wd = -1, .mask = IN_Q_OVERFLOW };

    if (n->event_count > 0 && !(mask & IN_IGNORED) &&
        same_event(list_entry(n->events.prev, struct event, node), &wire, name))
        return;
    if (n->event_count < QUEUE_MAX) {
        n->overflown = false;
        append(n, &wire, name);
    } else if (!n->overflown) {
        n->overflown = true;
        append(n, &overflow, &no_name);
    }
}

static void take_first(struct inotify *n)
{
    struct event *e = list_first(&n->events, struct event, node);

    list_remove(&e->node);
    n->event_count--;
    n->event_bytes -= (uint32_t)sizeof(e->wire) + e->wire.len;
    kfree(e);
}

/* --- watches --- */

static struct watch *watch_of(const struct inotify *n, const struct inode *inode)
{
    struct watch *w;

    for (w = inode->watches; w && w->owner != n; w = w->next)
        ;
    return w;
}

static void unlink_watch(struct watch *w)
{
    struct watch **link = &w->inode->watches;

    while (*link != w)
        link = &(*link)->next;
    *link = w->next;
    list_remove(&w->own_node);
    notify_watches--;
}

/* May sleep: the inode may go with it. */
static void watch_free(struct watch *w)
{
    struct inode *inode = w->inode;

    unlink_watch(w);
    kfree(w);
    inode_put(inode);
}

static void watch_end(struct watch *w)
{
    if (!w->dir)
        queue_event(w->owner, w->wd, IN_IGNORED, 0, &no_name);
    watch_free(w);
}

/* One watch is told. The caller holds the inode. */
static void tell(struct watch *w, uint32_t event, uint32_t flags, uint32_t cookie, const struct name *name)
{
    if (!(w->mask & event))
        return;
    if (w->dir)
        async_directory(w->dir, w->wd);
    else
        queue_event(w->owner, w->wd, event | flags, cookie, name);
    if (w->mask & IN_ONESHOT)
        watch_end(w);
}

static void tell_all(struct inode *inode, uint32_t event, uint32_t flags, uint32_t cookie, const struct name *name)
{
    struct watch *w, *next;

    for (w = inode->watches; w; w = next) {
        next = w->next;
        tell(w, event, flags, cookie, name);
    }
}

static uint32_t dir_flag(const struct inode *inode)
{
    return S_ISDIR(inode->mode) ? IN_ISDIR : 0;
}

/* --- what happens --- */

void notify_send_inode(struct inode *inode, uint32_t event)
{
    /* inotify(7) shows IN_ISDIR for these two on names only */
    tell_all(inode, event, event & (IN_DELETE_SELF | IN_MOVE_SELF) ? 0 : dir_flag(inode), 0, &no_name);
}

void notify_send_dentry(struct dentry *d, uint32_t event)
{
    struct inode *inode = d->inode, *dir = d->parent->inode;
    const struct name name = { d->name, d->name_len };
    struct watch *w, *next;

    if (!inode)
        return;
    for (w = d->parent != d ? dir->watches : NULL; w; w = next) {
        next = w->next;
        if (!d->deleted || !(w->mask & IN_EXCL_UNLINK))
            tell(w, event, dir_flag(inode), 0, &name);
    }
    tell_all(inode, event, dir_flag(inode), 0, &no_name);
}

void notify_send_name(struct inode *dir, const struct name *name, uint32_t event, bool is_dir, uint32_t cookie)
{
    tell_all(dir, event, is_dir ? IN_ISDIR : 0, cookie, name);
}

void notify_send_renamed(struct dentry *from, const struct name *old_name, struct dentry *to, const struct name *new_name,
                         struct inode *moved, struct inode *replaced)
{
    bool is_dir = S_ISDIR(moved->mode);
    uint32_t cookie = ++last_cookie;

    if (from->inode == to->inode)
        tell_all(from->inode, DIR_RENAME, 0, 0, old_name);
    notify_send_name(from->inode, old_name, IN_MOVED_FROM, is_dir, cookie);
    notify_send_name(to->inode, new_name, IN_MOVED_TO, is_dir, cookie);
    if (replaced)
        notify_send_inode(replaced, IN_ATTRIB);
    notify_send_inode(moved, IN_MOVE_SELF);
}

void notify_send_gone(struct inode *inode)
{
    struct watch *w, *next;

    notify_send_inode(inode, IN_DELETE_SELF);
    for (w = inode->watches; w; w = next) {
        next = w->next;
        watch_end(w);
    }
}

/* --- the file --- */

/* Whole events, as many as fit. */
static ssize_t read_events(struct inotify *n, struct iter *to)
{
    ssize_t done = 0;

    while (n->event_count > 0) {
        const struct event *e = list_first(&n->events, struct event, node);
        size_t size = sizeof(e->wire) + e->wire.len;

        if (size > to->left)
            return done > 0 ? done : -EINVAL;
        if (iter_copy_to(to, &e->wire, size) < size)
            return done > 0 ? done : -EFAULT;
        take_first(n);
        done += (ssize_t)size;
    }
    return done;
}

static ssize_t inotify_read(struct file *f, struct iter *to, uint64_t *pos UNUSED)
{
    struct inotify *n = f->data;
    struct mutex *lock = &f->pos_lock; /* copying may sleep: one reader at a time */
    ssize_t ret;
    int err;

    do {
        if (n->event_count == 0 && (f->flags & O_NONBLOCK))
            return -EAGAIN;
        err = wait_until(&n->wait, n->event_count > 0, NEVER, true);
        if (err < 0)
            return err;
        mutex_lock(lock);
        ret = read_events(n, to);
        mutex_unlock(lock);
    } while (ret == 0 && to->left > 0);
    return ret;
}

static uint32_t inotify_poll(struct file *f, struct poll_table *table)
{
    struct inotify *n = f->data;

    if (table)
        table->add(table, &n->wait);
    return n->event_count > 0 ? EPOLLIN | EPOLLRDNORM : 0;
}

static long inotify_ioctl(struct file *f, uint32_t cmd, uint64_t arg)
{
    const struct inotify *n = f->data;

    return cmd == FIONREAD ? put_user(n->event_bytes, arg) : -ENOTTY;
}

static void inotify_release(struct file *f)
{
    struct inotify *n = f->data;

    while (!list_empty(&n->watches))
        watch_free(list_first(&n->watches, struct watch, own_node));
    while (n->event_count > 0)
        take_first(n);
    instances--;
    kfree(n);
}

static const struct file_ops inotify_ops = {
    .read = inotify_read,
    .poll = inotify_poll,
    .ioctl = inotify_ioctl,
    .release = inotify_release,
    .async = ASYNC_BY_QUEUES,
    .seek_nowhere = true,
};

bool inotify_is(const struct file *f)
{
    return f->ops == &inotify_ops;
}

struct file *inotify_create(uint32_t flags)
{
    struct inotify *n;
    struct file *f;

    if (instances >= INSTANCES_MAX)
        return err_ptr(-EMFILE);
    n = kzalloc(sizeof(*n));
    if (!n)
        return err_ptr(-ENOMEM);
    list_init(&n->watches);
    list_init(&n->events);
    wait_queue_init(&n->wait);
    f = anon_file(&inotify_ops, O_RDONLY | flags, n, "anon_inode:inotify");
    if (is_err(f))
        kfree(n);
    else
        instances++;
    return f;
}

static uint32_t kept_mask(uint32_t mask)
{
    return mask & (IN_ALL_EVENTS | IN_ONESHOT | IN_EXCL_UNLINK);
}

long inotify_add(struct file *f, struct inode *inode, uint32_t mask)
{
    struct inotify *n = f->data;
    struct watch *w = watch_of(n, inode);

    if (w && (mask & IN_MASK_CREATE))
        return -EEXIST;
    if (w) {
        w->mask = kept_mask(mask) | (mask & IN_MASK_ADD ? w->mask : 0);
        return w->wd;
    }
    if (notify_watches >= WATCHES_MAX || n->last_wd == INT32_MAX)
        return -ENOSPC;
    w = kzalloc(sizeof(*w));
    if (!w)
        return -ENOMEM;
    inode_get(inode);
    *w = (struct watch){ .owner = n, .inode = inode, .wd = ++n->last_wd, .mask = kept_mask(mask), .next = inode->watches };
    inode->watches = w;
    list_push_back(&n->watches, &w->own_node);
    notify_watches++;
    return w->wd;
}

long inotify_remove(struct file *f, int wd)
{
    struct inotify *n = f->data;
    struct watch *w;

    list_for_each(w, &n->watches, own_node) {
        if (w->wd == wd) {
            watch_end(w);
            return 0;
        }
    }
    return -EINVAL;
}

/* --- F_NOTIFY (fcntl(2), "File and directory change notification"): inotify's ancestor, which sends signals --- */

static uint32_t mask_of(uint64_t arg)
{
    static const struct {
        uint32_t dn, in;
    } bits[] = {
        { DN_ACCESS, IN_ACCESS }, { DN_MODIFY, IN_MODIFY }, { DN_CREATE, IN_CREATE | IN_MOVED_TO },
        { DN_DELETE, IN_DELETE | IN_MOVED_FROM }, { DN_RENAME, DIR_RENAME }, { DN_ATTRIB, IN_ATTRIB },
    };
    uint32_t mask = arg & DN_MULTISHOT ? 0 : IN_ONESHOT;

    for (size_t i = 0; i < ARRAY_SIZE(bits); i++)
        mask |= arg & bits[i].dn ? bits[i].in : 0;
    return mask;
}

static struct watch *dir_watch_of(const struct file *f, const void *table)
{
    struct watch *w = file_vfs_inode(f)->watches;

    while (w && (w->dir != f || w->table != table))
        w = w->next;
    return w;
}

void notify_directory_closed(struct file *f, const void *table)
{
    struct watch *w = dir_watch_of(f, table);

    if (w)
        watch_free(w);
}

long notify_directory(struct file *f, int fd, uint64_t arg, const void *table)
{
    struct inode *inode = file_vfs_inode(f);
    struct watch *w;

    if (!(arg & ~(uint64_t)DN_MULTISHOT)) {
        if (inode)
            notify_directory_closed(f, table);
        return 0;
    }
    if (!inode || !S_ISDIR(inode->mode))
        return -ENOTDIR;
    w = dir_watch_of(f, table);
    if (w) {
        w->wd = fd;
        w->mask = (w->mask | mask_of(arg)) & ~(uint32_t)(arg & DN_MULTISHOT ? IN_ONESHOT : 0);
        return 0;
    }
    if (notify_watches >= WATCHES_MAX)
        return -ENOSPC;
    w = kzalloc(sizeof(*w));
    if (!w || async_own(f) < 0) {
        kfree(w);
        return -ENOMEM;
    }
    w->dir = f;
    w->table = table;
    w->wd = fd;
    w->mask = mask_of(arg);
    inode_get(inode);
    w->inode = inode;
    list_init(&w->own_node);
    w->next = inode->watches;
    inode->watches = w;
    notify_watches++;
    return 0;
}
