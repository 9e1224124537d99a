/*
 * The path walk (path_resolution(7), openat2(2)): from a path's text to a dentry in a mount.
 *
 * Where a name isn't cached, the rest of the path goes to the file system's lookup_path in one request, and what comes
 * back is put into the name cache for the walk to find. Names further down were looked up without their directories'
 * locks: they are believed only if nothing changed in that file system meanwhile (superblock.changes).
 */
#include "fs/namei.h"
#include "arch/uaccess.h"
#include "lib/kmalloc.h"
#include "lib/string.h"

#define LOOKUP_SCOPED (LOOKUP_BENEATH | LOOKUP_IN_ROOT)

static const struct path *context_root(void)
{
    return current && current->fs ? &current->fs->root : &vfs_root;
}

static const struct path *context_cwd(void)
{
    return current && current->fs ? &current->fs->cwd : &vfs_root;
}

uint32_t vfs_umask(void)
{
    return current && current->fs ? current->fs->umask : 0;
}

/* --- start and end --- */

static int start_at(struct walk *w, int dirfd, const char *path)
{
    struct file *f;

    if (path[0] == '/' && !(w->flags & LOOKUP_SCOPED)) {
        w->path = w->root;
    } else if (path[0] == '/' && (w->flags & LOOKUP_BENEATH)) {
        return -EXDEV;
    } else if (dirfd == AT_FDCWD) {
        w->path = *context_cwd();
    } else {
        f = fd_get(dirfd);
        if (!f)
            return -EBADF;
        if (!f->dentry || (path[0] && !S_ISDIR(f->dentry->inode->mode))) {
            file_put(f);
            return -ENOTDIR;
        }
        w->path = (struct path){ f->mount, f->dentry };
        path_get(&w->path);
        file_put(f);
        return 0;
    }
    path_get(&w->path);
    return 0;
}

int walk_begin(struct walk *w, int dirfd, const char *path, uint32_t flags)
{
    int err;

    *w = (struct walk){ .flags = flags, .open_flags = VFS_NO_OPEN, .root = *context_root() };
    if (!path[0] && !(flags & LOOKUP_EMPTY))
        return -ENOENT;
    w->text = path;
    err = start_at(w, dirfd, path);
    if (err < 0)
        return err;
    if (flags & LOOKUP_SCOPED)
        w->root = w->path;
    path_get(&w->root);
    return 0;
}

void walk_end(struct walk *w)
{
    path_put(&w->path);
    path_put(&w->root);
    kfree(w->own_text);
    w->own_text = NULL;
}

/* --- looking a name up --- */

/*
 * Put the result of a lookup into the cache, replacing what was there if it is another file. Takes the inode's reference;
 * returns the dentry with one, or err_ptr.
 */
static struct dentry *cache_result(struct dentry *dir, const struct name *name, struct inode *inode)
{
    struct dentry *d = dcache_find(dir, name);

    if (d && (d->inode == inode || d->mounts)) {
        inode_put(inode);
        return d;
    }
    if (d && !d->inode) {
        dentry_instantiate(d, inode);
        return d;
    }
    if (d) {
        dentry_unhash(d);
        dentry_put(d);
    }
    d = dcache_add(dir, name, inode);
    return d ? d : err_ptr(-ENOMEM);
}

/* Names below the first one of a batch; takes the references of inodes[]. */
static void cache_deeper(struct walk *w, struct dentry *d, const struct name *names, struct inode **inodes,
                         size_t count, bool negative)
{
    struct dentry *child;

    dentry_get(d);
    for (size_t i = 1; i < count + negative; i++) {
        child = cache_result(d, &names[i], i < count ? inodes[i] : NULL);
        dentry_put(d);
        d = child;
        if (is_err(d)) {
            while (++i < count)
                inode_put(inodes[i]);
            return;
        }
        w->fresh++;
    }
    dentry_put(d);
}

static struct dentry *lookup_batch(struct walk *w, struct dentry *dir, const struct name *name)
{
    struct name names[VFS_LOOKUP_BATCH];
    struct inode *inodes[VFS_LOOKUP_BATCH];
    size_t n = path_gather(w->text, w->pos, name, VFS_NAME_MAX, names, VFS_LOOKUP_BATCH);
    const struct name *last = &names[n - 1];
    size_t end = (size_t)(last->str + last->len - w->text);
    uint64_t changes = dir->sb->changes;
    bool negative = false;
    uint32_t open_flags = VFS_NO_OPEN;
    struct dentry *d;
    int count;

    if (path_at_end(w->text, end))
        open_flags = w->open_flags;
    w->fresh = 0;
    count = dir->inode->ops->lookup_path(dir->inode, names, n, open_flags, inodes, &negative);
    if (count == -ENOENT)
        return cache_result(dir, name, NULL);
    if (count < 0)
        return err_ptr(count);
    d = cache_result(dir, name, inodes[0]);
    if (is_err(d) || dir->sb->changes != changes) {
        for (int i = 1; i < count; i++)
            inode_put(inodes[i]);
        return d;
    }
    cache_deeper(w, d, names, inodes, (size_t)count, negative);
    return d;
}

/* With the directory's lock held. */
static struct dentry *lookup_uncached(struct walk *w, struct dentry *dir, const struct name *name)
{
    struct inode *inode;

    if (dir->deleted)
        return err_ptr(-ENOENT);
    if (dir->inode->ops->lookup_path)
        return lookup_batch(w, dir, name);
    if (!dir->inode->ops->lookup)
        return err_ptr(-ENOTDIR);
    inode = dir->inode->ops->lookup(dir->inode, name);
    if (is_err(inode)) {
        if (ptr_err(inode) != -ENOENT)
            return (struct dentry *)inode;
        inode = NULL;
    }
    return cache_result(dir, name, inode);
}

static struct dentry *lookup_cached(struct walk *w, struct dentry *dir, const struct name *name)
{
    struct dentry *d;

    if (dir->sb->flags & SB_NO_DCACHE)
        return NULL;
    if ((dir->sb->flags & SB_REVALIDATE) && w->fresh == 0)
        return NULL;
    d = dcache_find(dir, name);
    if (d && w->fresh > 0)
        w->fresh--;
    return d;
}

static struct dentry *lookup_name(struct walk *w, const struct name *name, bool locked)
{
    struct dentry *dir = w->path.dentry;
    struct dentry *d;

    if (name->len > VFS_NAME_MAX)
        return err_ptr(-ENAMETOOLONG);
    d = lookup_cached(w, dir, name);
    if (d)
        return d;
    if (!locked)
        mutex_lock(&dir->inode->lock);
    d = lookup_cached(w, dir, name); /* someone else may have looked it up meanwhile */
    if (!d)
        d = lookup_uncached(w, dir, name);
    if (!locked)
        mutex_unlock(&dir->inode->lock);
    return d;
}

struct dentry *walk_last(struct walk *w, bool locked)
{
    return lookup_name(w, &w->last, locked);
}

/* --- moving --- */

/* The mount on top of p, if there is one. */
static struct mount *mount_at(const struct path *p)
{
    if (p->dentry->mounts == 0)
        return NULL;
    for (struct mount *m = mount_first(); m; m = mount_next(m)) {
        if (m->parent == p->mount && m->mountpoint == p->dentry)
            return m;
    }
    return NULL;
}

static int enter_mounts(struct walk *w)
{
    struct mount *m;

    while ((m = mount_at(&w->path))) {
        struct path below = w->path;

        if (w->flags & LOOKUP_NO_XDEV)
            return -EXDEV;
        w->path = (struct path){ m, m->root };
        path_get(&w->path);
        path_put(&below);
    }
    return 0;
}

int walk_step(struct walk *w, struct dentry *d)
{
    struct dentry *old = w->path.dentry;

    w->path.dentry = d;
    dentry_put(old);
    return enter_mounts(w);
}

static int step_up(struct walk *w)
{
    struct path up = w->path;

    if (path_equal(&up, &w->root))
        return w->flags & LOOKUP_BENEATH ? -EXDEV : 0;
    while (up.dentry == up.mount->root && up.mount->parent) {
        if (w->flags & LOOKUP_NO_XDEV)
            return -EXDEV;
        up.dentry = up.mount->mountpoint;
        up.mount = up.mount->parent;
        if (path_equal(&up, &w->root))
            break;
    }
    if (!path_equal(&up, &w->root))
        up.dentry = up.dentry->parent;
    path_get(&up);
    path_put(&w->path);
    w->path = up;
    w->fresh = 0;
    return enter_mounts(w);
}

static void go_to_root(struct walk *w)
{
    path_get(&w->root);
    path_put(&w->path);
    w->path = w->root;
}

/* What is left of the text becomes target + rest. */
static int splice_link(struct walk *w, const char *target, size_t len)
{
    size_t rest = strlen(w->text + w->pos);
    char *text = kmalloc(len + rest + 1);

    if (!text)
        return -ENOMEM;
    memcpy(text, target, len);
    memcpy(text + len, w->text + w->pos, rest + 1);
    kfree(w->own_text);
    w->own_text = text;
    w->text = text;
    w->pos = 0;
    w->fresh = 0;
    if (text[0] != '/')
        return 0;
    if (w->flags & LOOKUP_BENEATH)
        return -EXDEV;
    go_to_root(w);
    return w->flags & LOOKUP_NO_XDEV && w->path.mount != w->root.mount ? -EXDEV : 0;
}

static int follow_text(struct walk *w, struct inode *inode)
{
    char *buf;
    ssize_t len;
    int err;

    if (inode->link)
        return inode->link[0] ? splice_link(w, inode->link, strlen(inode->link)) : -ENOENT;
    buf = kmalloc(VFS_PATH_MAX);
    if (!buf)
        return -ENOMEM;
    len = vfs_readlink(inode, buf, VFS_PATH_MAX);
    if (len > 0)
        err = splice_link(w, buf, (size_t)len);
    else
        err = len == 0 ? -ENOENT : (int)len;
    kfree(buf);
    return err;
}

/* Magic links jump to a place that need not have a name. */
static int follow_jump(struct walk *w, struct inode *inode)
{
    struct path to;
    int err;

    if (w->flags & LOOKUP_NO_MAGICLINKS)
        return -ELOOP;
    err = inode->ops->jump(inode, &to);
    if (err < 0)
        return err;
    if ((w->flags & LOOKUP_SCOPED) || ((w->flags & LOOKUP_NO_XDEV) && to.mount != w->path.mount)) {
        path_put(&to);
        return -EXDEV;
    }
    path_put(&w->path);
    w->path = to;
    w->fresh = 0;
    return 0;
}

int walk_follow(struct walk *w, struct dentry *d)
{
    int err;

    if (w->links++ >= VFS_SYMLINK_MAX || (w->flags & LOOKUP_NO_SYMLINKS))
        err = -ELOOP;
    else if (d->inode->ops->jump)
        err = follow_jump(w, d->inode);
    else
        err = follow_text(w, d->inode);
    dentry_put(d);
    return err;
}

static int check_search(const struct path *p)
{
    if (!S_ISDIR(p->dentry->inode->mode))
        return -ENOTDIR;
    return vfs_permission(p->dentry->inode, MAY_EXEC);
}

static void set_last(struct walk *w, const struct name *name, bool trailing)
{
    w->last = *name;
    w->trailing_slash = trailing;
    if (name->len == 0)
        w->last_type = LAST_ROOT;
    else if (name_is_dot(name))
        w->last_type = LAST_DOT;
    else if (name_is_dotdot(name))
        w->last_type = LAST_DOTDOT;
    else
        w->last_type = LAST_NORMAL;
}

/* One ordinary name: look it up, then step onto it or go on with its link's text. */
static int walk_name(struct walk *w, const struct name *name, bool last, bool trailing)
{
    struct dentry *d = lookup_name(w, name, false);

    if (is_err(d))
        return (int)ptr_err(d);
    if (!d->inode) {
        dentry_put(d);
        return -ENOENT;
    }
    if (S_ISLNK(d->inode->mode) && (!last || trailing || (w->flags & LOOKUP_FOLLOW)))
        return walk_follow(w, d);
    return walk_step(w, d);
}

int walk_run(struct walk *w)
{
    bool trailing = false;

    for (;;) {
        struct name name = path_next(w->text, &w->pos);
        bool last = path_at_end(w->text, w->pos);
        int err = 0;

        if (name.len == 0 && (w->flags & LOOKUP_PARENT))
            set_last(w, &name, trailing);
        if (name.len == 0)
            break;
        trailing = w->text[w->pos] == '/';
        err = check_search(&w->path);
        if (err < 0)
            return err;
        if (last && (w->flags & LOOKUP_PARENT)) {
            set_last(w, &name, trailing);
            return 0;
        }
        if (name_is_dotdot(&name))
            err = step_up(w);
        else if (!name_is_dot(&name))
            err = walk_name(w, &name, last, trailing);
        if (err < 0)
            return err;
    }
    if (((w->flags & LOOKUP_DIRECTORY) || trailing) && !S_ISDIR(w->path.dentry->inode->mode))
        return -ENOTDIR;
    return 0;
}

/* --- for everyone --- */

int path_lookup(int dirfd, const char *path, uint32_t flags, struct path *ret)
{
    struct walk w;
    int err = walk_begin(&w, dirfd, path, flags);

    if (err < 0)
        return err;
    err = walk_run(&w);
    if (err == 0) {
        *ret = w.path;
        path_get(ret);
    }
    walk_end(&w);
    return err;
}

char *user_path_copy(uaddr_t path, bool allow_empty)
{
    char *buf = kmalloc(VFS_PATH_MAX);
    ssize_t len;

    if (!buf)
        return err_ptr(-ENOMEM);
    len = strncpy_from_user(buf, path, VFS_PATH_MAX);
    if (len == 0 && !allow_empty)
        len = -ENOENT;
    if (len < 0) {
        kfree(buf);
        return err_ptr(len);
    }
    return buf;
}

int user_path_lookup(int dirfd, uaddr_t path, uint32_t flags, struct path *ret)
{
    char *text = user_path_copy(path, flags & LOOKUP_EMPTY);
    int err;

    if (is_err(text))
        return (int)ptr_err(text);
    err = path_lookup(dirfd, text, flags, ret);
    kfree(text);
    return err;
}
