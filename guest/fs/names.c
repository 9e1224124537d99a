/*
 * Changing names: mkdir, mknod, symlink, link, unlink, rmdir, rename. Errors come in Linux's order (its fs/namei.c),
 * since programs look at them: what exists before what is forbidden, a read-only file system in between.
 */
#include "fs/namei.h"
#include "fs/notify.h"
#include "lib/kmalloc.h"
#include "lib/string.h"

/* --- making --- */

enum new_kind { NEW_DIR, NEW_NODE, NEW_SYMLINK, NEW_LINK };

struct new_name {
    enum new_kind kind;
    uint32_t mode;
    uint64_t rdev;
    const char *target;    /* NEW_SYMLINK */
    const struct path *of; /* NEW_LINK */
};

/* The negative dentry of the last component; the directory's lock is held. */
static struct dentry *find_free_name(struct walk *w, bool directory)
{
    int read_only = vfs_want_write(&w->path);
    struct dentry *d = walk_last(w, true);
    int err = read_only;

    if (is_err(d))
        return d;
    if (d->inode)
        err = -EEXIST;
    else if (w->trailing_slash && !directory)
        err = -ENOENT;
    if (err < 0) {
        dentry_put(d);
        return err_ptr(err);
    }
    return d;
}

/* fs.protected_hardlinks, which distributions turn on: no names for files that one could neither own nor write. */
static int may_link(struct inode *inode)
{
    if (vfs_owner(inode))
        return 0;
    if (!S_ISREG(inode->mode) || (inode->mode & S_ISUID) || (inode->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
        return -EPERM;
    return vfs_permission(inode, MAY_READ | MAY_WRITE) < 0 ? -EPERM : 0;
}

static int link_to(const struct path *of, struct inode *dir, const struct name *name, struct inode **ret)
{
    struct inode *inode = of->dentry->inode;
    int err;

    if (inode->sb != dir->sb)
        return -EXDEV;
    if (S_ISDIR(inode->mode) || !dir->ops->link)
        return -EPERM;
    if (inode->nlink == 0 && !inode->linkable)
        return -ENOENT;
    err = dir->ops->link(inode, dir, name);
    if (err < 0)
        return err;
    inode_get(inode);
    *ret = inode;
    return 0;
}

static int make_inode(struct inode *dir, const struct name *name, const struct new_name *what, struct inode **ret)
{
    const struct inode_ops *ops = dir->ops;
    uint32_t mode = what->mode & (S_IFMT | 07777) & ~vfs_umask();
    struct inode *inode = err_ptr(-EPERM);

    switch (what->kind) {
    case NEW_DIR:
        if (ops->mkdir)
            inode = ops->mkdir(dir, name, mode & 01777);
        break;
    case NEW_SYMLINK:
        if (ops->symlink)
            inode = ops->symlink(dir, name, what->target);
        break;
    case NEW_NODE:
        if (S_ISREG(mode) && ops->create)
            inode = ops->create(dir, name, mode & 07777, VFS_NO_OPEN);
        else if (!S_ISREG(mode) && ops->mknod)
            inode = ops->mknod(dir, name, mode, what->rdev);
        break;
    case NEW_LINK:
        return link_to(what->of, dir, name, ret);
    }
    if (is_err(inode))
        return (int)ptr_err(inode);
    *ret = inode;
    return 0;
}

/* With the directory's lock held. */
static int make_locked(struct walk *w, const struct new_name *what, struct path *ret)
{
    struct dentry *dir = w->path.dentry;
    struct dentry *d = find_free_name(w, what->kind == NEW_DIR);
    struct inode *inode = NULL;
    int err;

    if (is_err(d))
        return (int)ptr_err(d);
    err = what->kind == NEW_LINK ? may_link(what->of->dentry->inode) : 0;
    if (err == 0)
        err = may_create(dir);
    if (err == 0) {
        dir->sb->changes++;
        err = make_inode(dir->inode, &w->last, what, &inode);
        dir->sb->changes++;
    }
    if (err == -EEXIST)
        dentry_unhash(d); /* made by someone outside */
    if (err == 0) {
        dentry_instantiate(d, inode);
        if (what->kind == NEW_LINK)
            notify_inode(inode, IN_ATTRIB);
        notify_name(dir->inode, &w->last, IN_CREATE, what->kind == NEW_DIR);
        if (ret) {
            *ret = (struct path){ w->path.mount, d };
            path_get(ret);
        }
    }
    dentry_put(d);
    return err;
}

static int make_name(int dirfd, const char *path, const struct new_name *what, struct path *ret)
{
    struct walk w;
    int err = walk_begin(&w, dirfd, path, LOOKUP_PARENT);

    if (err < 0)
        return err;
    err = walk_run(&w);
    if (err == 0 && w.last_type != LAST_NORMAL)
        err = -EEXIST;
    if (err == 0 && what->kind == NEW_LINK && what->of->mount != w.path.mount)
        err = -EXDEV;
    if (err == 0) {
        struct inode *dir = w.path.dentry->inode;

        mutex_lock(&dir->lock);
        err = make_locked(&w, what, ret);
        mutex_unlock(&dir->lock);
    }
    walk_end(&w);
    return err;
}

int vfs_mkdir(int dirfd, const char *path, uint32_t mode)
{
    const struct new_name what = { .kind = NEW_DIR, .mode = mode & 01777 };

    return make_name(dirfd, path, &what, NULL);
}

int vfs_symlink(const char *target, int dirfd, const char *path)
{
    const struct new_name what = { .kind = NEW_SYMLINK, .target = target };

    return make_name(dirfd, path, &what, NULL);
}

int vfs_mknod(int dirfd, const char *path, uint32_t mode, uint64_t rdev, struct path *ret)
{
    const struct new_name what = { .kind = NEW_NODE, .mode = mode, .rdev = rdev };

    return make_name(dirfd, path, &what, ret);
}

int vfs_link(int old_dirfd, const char *old_path, int new_dirfd, const char *new_path, int at_flags)
{
    struct path old;
    struct new_name what = { .kind = NEW_LINK, .of = &old };
    uint32_t lookup = at_flags & AT_SYMLINK_FOLLOW ? LOOKUP_FOLLOW : 0;
    int err;

    if (at_flags & AT_EMPTY_PATH)
        lookup |= LOOKUP_EMPTY;
    err = path_lookup(old_dirfd, old_path, lookup, &old);
    if (err < 0)
        return err;
    err = make_name(new_dirfd, new_path, &what, NULL);
    path_put(&old);
    return err;
}

/* --- removing --- */

/* The name is gone: d may live on as an open file. */
static void forget(struct dentry *d)
{
    d->deleted = true;
    if (S_ISDIR(d->inode->mode))
        dentry_prune_children(d);
    dentry_unhash(d);
}

/*
 * Where a lookup is a request, that the name isn't there any more is worth remembering: files with a short life come back under
 * the same name. (A dentry for it that can't be had isn't missed.)
 */
static void remember_absence(struct dentry *dir, const struct name *name)
{
    if (dir->inode->ops->lookup_path && !(dir->sb->flags & (SB_REVALIDATE | SB_NO_NEGATIVE | SB_NO_DCACHE)))
        dentry_put(dcache_add(dir, name, NULL));
}

/* inotify sees the file's own end before that of its name, unless somebody still uses it. */
static void notify_removed(struct dentry *dir, struct dentry *d, const struct name *name, bool directory)
{
    if (!directory)
        notify_inode(d->inode, IN_ATTRIB);
    if (d->refs == 1 && (directory || d->inode->nlink == 0))
        notify_gone(d->inode);
    notify_name(dir->inode, name, IN_DELETE, directory);
}

static int remove_entry(struct dentry *dir, struct dentry *d, const struct name *name, bool directory)
{
    int (*remove)(struct inode *, const struct name *, struct inode *);
    int err = may_delete(dir, d, directory);

    if (err < 0)
        return err;
    remove = directory ? dir->inode->ops->rmdir : dir->inode->ops->unlink;
    if (!remove)
        return -EPERM;
    if (d->mounts)
        return -EBUSY;
    if (directory)
        mutex_lock(&d->inode->lock);
    dir->sb->changes++;
    err = remove(dir->inode, name, d->inode);
    dir->sb->changes++;
    if (directory)
        mutex_unlock(&d->inode->lock);
    if (err == 0) {
        forget(d);
        remember_absence(dir, name);
        notify_removed(dir, d, name, directory);
    }
    return err;
}

static int remove_locked(struct walk *w, bool directory)
{
    struct dentry *d = walk_last(w, true);
    int err;

    if (is_err(d))
        return (int)ptr_err(d);
    if (!d->inode)
        err = -ENOENT;
    else if (!directory && w->trailing_slash)
        err = S_ISDIR(d->inode->mode) ? -EISDIR : -ENOTDIR;
    else
        err = remove_entry(w->path.dentry, d, &w->last, directory);
    dentry_put(d);
    return err;
}

static int remove_name(int dirfd, const char *path, bool directory)
{
    static const int rmdir_errors[] = { [LAST_DOT] = -EINVAL, [LAST_DOTDOT] = -ENOTEMPTY, [LAST_ROOT] = -EBUSY };
    struct walk w;
    int err = walk_begin(&w, dirfd, path, LOOKUP_PARENT);

    if (err < 0)
        return err;
    err = walk_run(&w);
    if (err == 0 && w.last_type != LAST_NORMAL)
        err = directory ? rmdir_errors[w.last_type] : -EISDIR;
    if (err == 0)
        err = vfs_want_write(&w.path);
    if (err == 0) {
        struct inode *dir = w.path.dentry->inode;

        mutex_lock(&dir->lock);
        err = remove_locked(&w, directory);
        mutex_unlock(&dir->lock);
    }
    walk_end(&w);
    return err;
}

int vfs_unlink_child(const struct path *dir, const struct name *name)
{
    struct walk w = { .path = *dir, .last = *name };
    struct inode *inode = dir->dentry->inode;
    int err = vfs_want_write(dir);

    if (err < 0)
        return err;
    mutex_lock(&inode->lock);
    err = remove_locked(&w, false);
    mutex_unlock(&inode->lock);
    return err;
}

int vfs_rmdir(int dirfd, const char *path)
{
    return remove_name(dirfd, path, true);
}

int vfs_unlink(int dirfd, const char *path)
{
    return remove_name(dirfd, path, false);
}

/* --- renaming --- */

/* Across directories one rename at a time, so that a tree can't be moved into itself behind our back. */
static struct mutex rename_mutex;
static bool rename_mutex_ready;

/* The child of `above` through which `d` lies beneath it; NULL if it doesn't. */
static struct dentry *child_above(struct dentry *above, struct dentry *d)
{
    for (; d->parent != d; d = d->parent) {
        if (d->parent == above)
            return d;
    }
    return NULL;
}

/* Lock both directories, upper one first. Returns the dentry beneath one of them that leads to the other, or NULL. */
static struct dentry *lock_directories(struct dentry *a, struct dentry *b)
{
    struct dentry *trap;

    if (a == b) {
        mutex_lock(&a->inode->lock);
        return NULL;
    }
    if (!rename_mutex_ready) {
        mutex_init(&rename_mutex);
        rename_mutex_ready = true;
    }
    mutex_lock(&rename_mutex);
    trap = child_above(b, a);
    if (trap) {
        mutex_lock(&b->inode->lock);
        mutex_lock(&a->inode->lock);
        return trap;
    }
    mutex_lock(&a->inode->lock);
    mutex_lock(&b->inode->lock);
    return child_above(a, b);
}

static void unlock_directories(struct dentry *a, struct dentry *b)
{
    mutex_unlock(&a->inode->lock);
    if (a == b)
        return;
    mutex_unlock(&b->inode->lock);
    mutex_unlock(&rename_mutex);
}

struct renaming {
    struct walk from, to;
    struct dentry *old, *new;
    struct dentry *trap;
    uint32_t flags;
};

static int check_names(const struct renaming *r)
{
    bool exchange = r->flags & RENAME_EXCHANGE;

    if (!r->old->inode)
        return -ENOENT;
    if ((r->flags & RENAME_NOREPLACE) && r->new->inode)
        return -EEXIST;
    if (exchange) {
        if (!r->new->inode)
            return -ENOENT;
        if (!S_ISDIR(r->new->inode->mode) && r->to.trailing_slash)
            return -ENOTDIR;
    }
    if (!S_ISDIR(r->old->inode->mode)) {
        if (r->from.trailing_slash || (!exchange && r->to.trailing_slash))
            return -ENOTDIR;
    }
    if (r->old == r->trap)
        return -EINVAL;
    if (r->new == r->trap)
        return exchange ? -EINVAL : -ENOTEMPTY;
    return 0;
}

static int check_rename(const struct renaming *r)
{
    struct dentry *from = r->from.path.dentry, *to = r->to.path.dentry;
    bool old_dir = S_ISDIR(r->old->inode->mode);
    bool new_dir = r->new->inode && S_ISDIR(r->new->inode->mode);
    bool exchange = r->flags & RENAME_EXCHANGE;
    int err = may_delete(from, r->old, old_dir);

    if (err < 0)
        return err;
    if (!r->new->inode)
        err = may_create(to);
    else
        err = may_delete(to, r->new, exchange ? new_dir : old_dir);
    if (err < 0)
        return err;
    if (!from->inode->ops->rename)
        return -EPERM;
    /* A directory's ".." changes when it moves */
    if (from != to && old_dir)
        err = vfs_permission(r->old->inode, MAY_WRITE);
    if (err == 0 && from != to && exchange && new_dir)
        err = vfs_permission(r->new->inode, MAY_WRITE);
    if (err == 0 && (r->old->mounts || r->new->mounts))
        err = -EBUSY;
    return err;
}

/* inotify: an exchange is two renames. */
static void notify_renamed(struct renaming *r, struct inode *target)
{
    struct dentry *from = r->from.path.dentry, *to = r->to.path.dentry;
    bool exchange = r->flags & RENAME_EXCHANGE;

    notify_send_renamed(from, &r->from.last, to, &r->to.last, r->old->inode, exchange ? NULL : target);
    if (exchange)
        notify_send_renamed(to, &r->to.last, from, &r->from.last, target, NULL);
}

static int rename_entries(struct renaming *r)
{
    struct dentry *from = r->from.path.dentry, *to = r->to.path.dentry;
    struct inode *target = r->new->inode;
    bool lock_target = target && S_ISDIR(target->mode) && !(r->flags & RENAME_EXCHANGE);
    int err;

    if (r->old->inode == target)
        return 0; /* two names of one file: nothing to do, says rename(2) */
    err = check_rename(r);
    if (err < 0)
        return err;
    if (lock_target)
        mutex_lock(&target->lock);
    from->sb->changes++;
    err = from->inode->ops->rename(from->inode, &r->from.last, r->old->inode, to->inode, &r->to.last, target, r->flags);
    from->sb->changes++;
    if (lock_target)
        mutex_unlock(&target->lock);
    if (err < 0)
        return err;
    if (r->flags & RENAME_EXCHANGE) {
        dentry_exchange(r->old, r->new);
    } else {
        if (target)
            forget(r->new);
        else
            dentry_unhash(r->new);
        dentry_rename(r->old, to, &r->to.last);
    }
    if (unlikely(notify_watches))
        notify_renamed(r, target);
    return 0;
}

static int rename_locked(struct renaming *r)
{
    int err;

    r->old = walk_last(&r->from, true);
    if (is_err(r->old))
        return (int)ptr_err(r->old);
    r->new = walk_last(&r->to, true);
    if (is_err(r->new)) {
        dentry_put(r->old);
        return (int)ptr_err(r->new);
    }
    err = check_names(r);
    if (err == 0)
        err = rename_entries(r);
    dentry_put(r->old);
    dentry_put(r->new);
    return err;
}

static int rename_walked(struct renaming *r)
{
    int err;

    if (r->from.path.mount != r->to.path.mount)
        return -EXDEV;
    if (r->from.last_type != LAST_NORMAL)
        return -EBUSY;
    if (r->to.last_type != LAST_NORMAL)
        return r->flags & RENAME_NOREPLACE ? -EEXIST : -EBUSY;
    err = vfs_want_write(&r->from.path);
    if (err < 0)
        return err;
    r->trap = lock_directories(r->from.path.dentry, r->to.path.dentry);
    err = rename_locked(r);
    unlock_directories(r->from.path.dentry, r->to.path.dentry);
    return err;
}

int vfs_rename(int old_dirfd, const char *old_path, int new_dirfd, const char *new_path, uint32_t flags)
{
    struct renaming *r;
    int err;

    if (flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
        return -EINVAL;
    if ((flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)) && (flags & RENAME_EXCHANGE))
        return -EINVAL;
    if (flags & RENAME_WHITEOUT)
        return -EINVAL;
    r = kzalloc(sizeof(*r));
    if (!r)
        return -ENOMEM;
    r->flags = flags;
    err = walk_begin(&r->from, old_dirfd, old_path, LOOKUP_PARENT);
    if (err < 0)
        goto free;
    err = walk_run(&r->from);
    if (err < 0)
        goto end_from;
    err = walk_begin(&r->to, new_dirfd, new_path, LOOKUP_PARENT);
    if (err < 0)
        goto end_from;
    err = walk_run(&r->to);
    if (err == 0)
        err = rename_walked(r);
    walk_end(&r->to);
end_from:
    walk_end(&r->from);
free:
    kfree(r);
    return err;
}
