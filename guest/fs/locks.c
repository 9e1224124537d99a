/*
 * Advisory locks. Each inode has a list of all locks on it. A POSIX lock belongs to a descriptor table (as in Linux), OFD and
 * flock locks to an open file. Whoever waits sleeps on one queue for all files: contention is rare, and waking too many
 * costs little.
 */
#include "fs/locks.h"
#include "arch/uaccess.h"
#include "lib/kmalloc.h"
#include "proc/process.h"
#include "sys/file_util.h"

enum lock_kind { LOCK_POSIX, LOCK_OFD, LOCK_FLOCK };

struct file_lock {
    struct list node;
    enum lock_kind kind;
    short type;          /* F_RDLCK, F_WRLCK */
    const void *owner;   /* struct fd_table or struct file */
    int pid;
    uint64_t start, end; /* both inclusive */
};

/* A POSIX owner that sleeps, and the one it waits for: the edges of the deadlock graph. */
struct waiter {
    struct list node;
    const void *owner, *blocker;
};

#define DEADLOCK_DEPTH_MAX 64

static struct wait_queue released;
static struct list waiters = LIST_INIT(waiters);

static struct wait_queue *released_queue(void)
{
    if (!released.entries.next)
        wait_queue_init(&released);
    return &released;
}

static bool conflicts(const struct file_lock *a, const struct file_lock *b)
{
    if ((a->kind == LOCK_FLOCK) != (b->kind == LOCK_FLOCK))
        return false; /* two worlds that don't see each other */
    if (a->owner == b->owner && a->kind == b->kind)
        return false;
    if (a->type == F_RDLCK && b->type == F_RDLCK)
        return false;
    return a->start <= b->end && b->start <= a->end;
}

static struct file_lock *find_conflict(struct inode *inode, const struct file_lock *want)
{
    struct file_lock *l;

    list_for_each(l, &inode->locks, node)
    {
        if (conflicts(l, want))
            return l;
    }
    return NULL;
}

/* Would waiting for blocker close a circle? */
static bool deadlock(const void *owner, const void *blocker)
{
    for (int depth = 0; depth < DEADLOCK_DEPTH_MAX; depth++) {
        const struct waiter *w, *next = NULL;

        if (blocker == owner)
            return true;
        list_for_each(w, &waiters, node)
        {
            if (w->owner == blocker)
                next = w;
        }
        if (!next)
            return false;
        blocker = next->blocker;
    }
    return false;
}

/* Sleep until something is released. */
static long wait_for(const struct file_lock *want, const struct file_lock *conflict)
{
    struct waiter w = { .owner = want->owner, .blocker = conflict->owner };
    struct wait_entry entry = { 0 };
    bool posix = want->kind == LOCK_POSIX && conflict->kind == LOCK_POSIX;
    long err;

    if (posix && deadlock(want->owner, conflict->owner))
        return -EDEADLK;
    list_init(&w.node);
    if (posix)
        list_push_back(&waiters, &w.node);
    wait_add(released_queue(), &entry);
    err = thread_park(NEVER, true);
    wait_remove(&entry);
    list_remove(&w.node);
    return err;
}

static void free_lock(struct file_lock *l)
{
    list_remove(&l->node);
    kfree(l);
}

/* What is left of l when [start, end] is cut out of it. spare is used if it falls in two; true then. */
static bool cut(struct file_lock *l, uint64_t start, uint64_t end, struct file_lock *spare)
{
    if (l->start < start && l->end > end) {
        *spare = *l;
        spare->start = end + 1;
        l->end = start - 1;
        list_push_back(&l->node, &spare->node);
        return true;
    }
    if (l->start < start)
        l->end = start - 1;
    else if (l->end > end)
        l->start = end + 1;
    else
        free_lock(l);
    return false;
}

static bool touches(const struct file_lock *a, const struct file_lock *b)
{
    uint64_t a_after = a->end == UINT64_MAX ? a->end : a->end + 1;
    uint64_t b_after = b->end == UINT64_MAX ? b->end : b->end + 1;

    return a->start <= b_after && b->start <= a_after;
}

/*
 * Replace the owner's locks in want's range by want (F_UNLCK: by nothing), joining equal neighbours. Takes want and
 * spare, both kmalloc'd.
 */
static void apply(struct inode *inode, struct file_lock *want, struct file_lock *spare)
{
    struct file_lock *l, *tmp;

    list_for_each_safe(l, tmp, &inode->locks, node)
    {
        if (l->owner != want->owner || l->kind != want->kind)
            continue;
        if (l->type == want->type && touches(l, want)) {
            want->start = MIN(want->start, l->start);
            want->end = MAX(want->end, l->end);
            free_lock(l);
        } else if (l->start <= want->end && want->start <= l->end && cut(l, want->start, want->end, spare)) {
            spare = NULL;
            break; /* it covered the whole range */
        }
    }
    if (want->type == F_UNLCK)
        kfree(want);
    else
        list_push_back(&inode->locks, &want->node);
    kfree(spare);
    wait_wake_all(released_queue(), 0);
}

/* Takes `model` as it is described; waits if asked to. */
static long set_lock(struct inode *inode, const struct file_lock *model, bool wait)
{
    struct file_lock *want, *spare;
    const struct file_lock *conflict;
    long err;

    while (model->type != F_UNLCK && (conflict = find_conflict(inode, model))) {
        err = wait ? wait_for(model, conflict) : -EAGAIN;
        if (err < 0)
            return err;
    }
    want = kmalloc(sizeof(*want));
    spare = kmalloc(sizeof(*spare));
    if (!want || !spare) {
        kfree(want);
        kfree(spare);
        return -ENOLCK;
    }
    *want = *model;
    list_init(&want->node);
    apply(inode, want, spare);
    return 0;
}

/* --- fcntl --- */

static long resolve_range(struct file *f, const struct flock *fl, struct file_lock *ret)
{
    int64_t start = fl->l_start, base = 0, end = INT64_MAX;

    if (fl->l_whence == SEEK_CUR)
        base = (int64_t)f->pos;
    else if (fl->l_whence == SEEK_END)
        base = (int64_t)file_size(f);
    else if (fl->l_whence != SEEK_SET)
        return -EINVAL;
    if (__builtin_add_overflow(start, base, &start))
        return -EOVERFLOW;
    if (start < 0)
        return -EINVAL;
    if (fl->l_len > 0) {
        if (__builtin_add_overflow(start, fl->l_len - 1, &end))
            return -EOVERFLOW;
    } else if (fl->l_len < 0) {
        if (start + fl->l_len < 0)
            return -EINVAL;
        end = start - 1;
        start += fl->l_len;
    }
    ret->start = (uint64_t)start;
    ret->end = (uint64_t)end;
    return 0;
}

static long check_type(const struct file *f, const struct flock *fl, bool query)
{
    switch (fl->l_type) {
    case F_RDLCK:
        return query || file_readable(f) ? 0 : -EBADF;
    case F_WRLCK:
        return query || file_writable(f) ? 0 : -EBADF;
    case F_UNLCK:
        return query ? -EINVAL : 0;
    default:
        return -EINVAL;
    }
}

static long get_lock(struct inode *inode, const struct file_lock *want, struct flock *fl, uaddr_t arg)
{
    const struct file_lock *l = find_conflict(inode, want);

    if (!l) {
        fl->l_type = F_UNLCK;
        return put_user(*fl, arg);
    }
    fl->l_type = l->type;
    fl->l_whence = SEEK_SET;
    fl->l_start = (long)l->start;
    fl->l_len = l->end == INT64_MAX ? 0 : (long)(l->end - l->start + 1);
    fl->l_pid = l->kind == LOCK_OFD ? -1 : l->pid;
    return put_user(*fl, arg);
}

long locks_fcntl(struct file *f, uint32_t cmd, uaddr_t arg)
{
    bool ofd = cmd == F_OFD_GETLK || cmd == F_OFD_SETLK || cmd == F_OFD_SETLKW;
    bool query = cmd == F_GETLK || cmd == F_OFD_GETLK;
    struct inode *inode = file_vfs_inode(f);
    struct file_lock want = { .kind = ofd ? LOCK_OFD : LOCK_POSIX, .pid = current->proc->pid };
    struct flock fl;
    long err;

    if (get_user(fl, arg) < 0)
        return -EFAULT;
    err = check_type(f, &fl, query);
    if (err == 0 && (!inode || (ofd && fl.l_pid != 0)))
        err = -EINVAL;
    if (err == 0)
        err = resolve_range(f, &fl, &want);
    if (err < 0)
        return err;
    want.type = fl.l_type;
    want.owner = ofd ? (const void *)f : (const void *)current->files;
    if (query)
        return get_lock(inode, &want, &fl, arg);
    return set_lock(inode, &want, cmd == F_SETLKW || cmd == F_OFD_SETLKW);
}

/* --- flock --- */

long locks_flock(struct file *f, int operation)
{
    struct inode *inode = file_vfs_inode(f);
    struct file_lock want = { .kind = LOCK_FLOCK, .owner = f, .pid = current->proc->pid, .end = INT64_MAX };
    struct file_lock *own;

    switch (operation & ~LOCK_NB) {
    case LOCK_SH:
        want.type = F_RDLCK;
        break;
    case LOCK_EX:
        want.type = F_WRLCK;
        break;
    case LOCK_UN:
        want.type = F_UNLCK;
        break;
    default:
        return -EINVAL;
    }
    if (!inode)
        return -EBADF;
    /* Converting isn't atomic: the old lock is lost first (flock(2)) */
    list_for_each(own, &inode->locks, node)
    {
        if (own->kind == LOCK_FLOCK && own->owner == f) {
            if (own->type == want.type)
                return 0;
            free_lock(own);
            wait_wake_all(released_queue(), 0);
            break;
        }
    }
    return want.type == F_UNLCK ? 0 : set_lock(inode, &want, !(operation & LOCK_NB));
}

/* --- the end --- */

static void drop_owner(struct inode *inode, const void *owner)
{
    struct file_lock *l, *tmp;
    bool any = false;

    list_for_each_safe(l, tmp, &inode->locks, node)
    {
        if (l->owner == owner) {
            free_lock(l);
            any = true;
        }
    }
    if (any)
        wait_wake_all(released_queue(), 0);
}

void locks_close_posix(const struct file *f, const struct fd_table *owner)
{
    struct inode *inode = file_vfs_inode(f);

    if (inode && !list_empty(&inode->locks))
        drop_owner(inode, owner);
}

void locks_release_file(const struct file *f)
{
    struct inode *inode = file_vfs_inode(f);

    if (inode && !list_empty(&inode->locks))
        drop_owner(inode, f);
}
