/*
 * Copy-up: a file of the lower layer is recreated in the upper one before it changes, with its data, attributes and extended
 * attributes, under its name in a directory that has been copied up before it. The directory's times stay.
 */
#include "fs/overlay.h"
#include "lib/kmalloc.h"
#include "lib/list.h"
#include "lib/string.h"

#define COPY_CHUNK (256u << 10)
#define XATTR_LIST_SIZE 4096
#define XATTR_VALUE_SIZE 65536

/* --- data --- */

static int write_all(struct file *to, char *buf, size_t n, uint64_t offset)
{
    struct iter it;
    struct iter_segment seg;

    iter_kernel(&it, &seg, buf, n);
    while (it.left > 0) {
        ssize_t done = to->ops->write(to, &it, &offset);

        if (done <= 0)
            return done < 0 ? (int)done : -EIO;
    }
    return 0;
}

/* Where data starts at or after pos; end if there is only a hole. Without such a seek everything is data. */
static uint64_t next_data(struct file *from, uint64_t pos, uint64_t end)
{
    loff_t at = from->ops->seek ? from->ops->seek(from, (loff_t)pos, SEEK_DATA) : (loff_t)pos;

    if (at == -ENXIO)
        return end;
    return at < 0 ? pos : MIN((uint64_t)at, end);
}

static int copy_range(struct file *from, struct file *to, uint64_t end)
{
    char *buf = kmalloc(MIN(COPY_CHUNK, MAX(end, 1ul)));
    uint64_t pos = 0;
    int err = 0;

    if (!buf)
        return -ENOMEM;
    while (err == 0 && (pos = next_data(from, pos, end)) < end) {
        ssize_t n = file_pread(from, buf, MIN(COPY_CHUNK, end - pos), pos);

        if (n <= 0) {
            err = (int)n;
            break;
        }
        err = write_all(to, buf, (size_t)n, pos);
        pos += (uint64_t)n;
    }
    kfree(buf);
    return err;
}

static int copy_data(struct inode *lower, struct inode *upper, uint64_t size_limit)
{
    uint64_t end = MIN(lower->size, size_limit);
    struct attr attr = { .valid = ATTR_SIZE, .size = end };
    struct file *from, *to;
    int err;

    if (end == 0)
        return 0;
    from = vfs_open_inode(lower, NULL, NULL, O_RDONLY | O_LARGEFILE);
    if (is_err(from))
        return (int)ptr_err(from);
    to = vfs_open_inode(upper, NULL, NULL, O_WRONLY | O_LARGEFILE);
    if (is_err(to)) {
        file_put(from);
        return (int)ptr_err(to);
    }
    err = copy_range(from, to, end);
    if (err == 0 && upper->size < end) /* it ends in a hole */
        err = upper->ops->setattr(upper, &attr);
    file_put(from);
    file_put(to);
    return err;
}

/* --- attributes --- */

static int copy_xattr(struct inode *lower, struct inode *upper, const char *name, void *value)
{
    ssize_t n = lower->ops->getxattr(lower, name, value, XATTR_VALUE_SIZE);
    int err;

    if (n < 0)
        return n == -ENODATA || n == -EOPNOTSUPP ? 0 : (int)n;
    err = upper->ops->setxattr(upper, name, value, (size_t)n, 0);
    return err == -EOPNOTSUPP || err == -EPERM ? 0 : err; /* ACLs, labels and the like have no place above */
}

static int copy_xattrs(const struct inode *inode, struct inode *upper)
{
    struct inode *lower = overlay_i(inode)->lower;
    char *list;
    ssize_t len;
    int err = 0;

    if (!lower->ops->listxattr || !lower->ops->getxattr || !upper->ops->setxattr)
        return 0;
    list = kmalloc(XATTR_LIST_SIZE + XATTR_VALUE_SIZE);
    if (!list)
        return -ENOMEM;
    len = lower->ops->listxattr(lower, list, XATTR_LIST_SIZE);
    for (ssize_t pos = 0; err == 0 && pos < len; pos += (ssize_t)strlen(list + pos) + 1) {
        if (!overlay_is_private(inode, list + pos))
            err = copy_xattr(lower, upper, list + pos, list + XATTR_LIST_SIZE);
    }
    kfree(list);
    return err;
}

/*
 * The owner first, for chown(2) takes away mode bits. Where the host doesn't let us give files away, what is copied up belongs to
 * who started the sandbox.
 */
static int copy_attributes(const struct inode *from, struct inode *to)
{
    struct attr owner = { .valid = ATTR_UID | ATTR_GID, .uid = from->uid, .gid = from->gid };
    struct attr attr = {
        .valid = ATTR_MODE | ATTR_ATIME | ATTR_MTIME,
        .mode = from->mode & 07777,
        .atime = from->atime,
        .mtime = from->mtime,
    };
    int err = to->uid == from->uid && to->gid == from->gid ? 0 : to->ops->setattr(to, &owner);

    return err < 0 && err != -EPERM ? err : to->ops->setattr(to, &attr);
}

/* --- inodes --- */

static struct inode *make_upper(struct inode *dir, const struct inode *inode, const struct name *name)
{
    const struct inode_ops *ops = dir->ops;
    struct inode *lower = overlay_i(inode)->lower;
    struct inode *upper;
    char *target;
    ssize_t len;

    if (S_ISREG(inode->mode))
        return ops->tmpfile(dir, inode->mode & 07777);
    if (S_ISDIR(inode->mode))
        return ops->mkdir(dir, name, inode->mode & 07777);
    if (!S_ISLNK(inode->mode))
        return ops->mknod(dir, name, inode->mode, inode->rdev);
    target = kzalloc(VFS_PATH_MAX);
    if (!target)
        return err_ptr(-ENOMEM);
    len = vfs_readlink(lower, target, VFS_PATH_MAX - 1);
    upper = len < 0 ? err_ptr(len) : ops->symlink(dir, name, target);
    kfree(target);
    return upper;
}

static int fill_upper(const struct inode *inode, struct inode *upper, struct inode *dir, const struct name *name,
                      uint64_t size_limit)
{
    struct inode *lower = overlay_i(inode)->lower;
    int err = 0;

    if (S_ISREG(inode->mode))
        err = copy_data(lower, upper, size_limit);
    if (err == 0)
        err = copy_xattrs(inode, upper);
    if (err == 0 && !S_ISLNK(inode->mode))
        err = copy_attributes(inode, upper);
    if (err == 0 && S_ISREG(inode->mode) && overlay_i(inode)->parent && inode->nlink > 0) {
        upper->linkable = true;
        err = dir->ops->link(upper, dir, name);
        upper->linkable = false;
    }
    return err;
}

/* Not for regular files: they have a name only when they are complete. */
static void undo(const struct inode *inode, struct inode *upper, struct inode *dir, const struct name *name)
{
    if (S_ISDIR(inode->mode))
        dir->ops->rmdir(dir, name, upper);
    else if (!S_ISREG(inode->mode))
        dir->ops->unlink(dir, name, upper);
    inode_put(upper);
}

/* A directory isn't changed by what is copied up into it. */
static void restore_times(const struct inode *overlay, struct inode *dir, const struct inode *before)
{
    struct attr attr = { .valid = ATTR_ATIME | ATTR_MTIME, .atime = before->atime, .mtime = before->mtime };

    if (overlay_sb(overlay)->kept) {
        dir->ops->setattr(dir, &attr);
        return;
    }
    dir->mtime = before->mtime;
    dir->ctime = before->ctime;
}

/* In memory the copy can be made to look like the original in everything. */
static void adopt(const struct inode *inode, struct inode *upper)
{
    upper->ino = inode->ino;
    upper->uid = inode->uid;
    upper->gid = inode->gid;
    upper->atime = inode->atime;
    upper->mtime = inode->mtime;
}

/* The directory above has an upper inode (`dir`) already; for nameless files it is the upper root. */
static int copy_one(struct inode *inode, struct inode *dir, uint64_t size_limit)
{
    struct overlay_inode *o = overlay_i(inode);
    const struct name name = { o->name, o->name ? strlen(o->name) : 0 };
    const struct inode before = *dir;
    struct inode *upper;
    int err = vfs_getattr(o->lower, STATX_BASIC_STATS);

    if (err < 0)
        return err;
    overlay_sync_attr(inode);
    if (!S_ISREG(inode->mode) && (inode->nlink == 0 || !o->parent))
        return -ENOENT;
    upper = make_upper(dir, inode, &name);
    if (is_err(upper))
        return (int)ptr_err(upper);
    err = fill_upper(inode, upper, dir, &name, size_limit);
    restore_times(inode, dir, &before);
    if (err < 0) {
        undo(inode, upper, dir, &name);
        return err;
    }
    upper->overlay = inode;
    if (!overlay_sb(inode)->kept)
        adopt(inode, upper);
    o->own_nlink = !S_ISDIR(inode->mode);
    if (o->own_nlink && o->lower->nlink > 1)
        overlay_pin(inode); /* other names of the lower file must lead here as well */
    o->upper = upper;
    inode->sb->changes++;
    overlay_sync_attr(inode);
    return 0;
}

/* The topmost ancestor-or-self of inode that isn't above yet. */
static struct inode *topmost_missing(struct inode *inode)
{
    while (overlay_i(inode)->parent && !overlay_i(overlay_i(inode)->parent)->upper)
        inode = overlay_i(inode)->parent;
    return inode;
}

int overlay_copy_up(struct inode *inode, uint64_t size_limit)
{
    struct overlay_sb *o = overlay_sb(inode);
    int err = 0;

    if (overlay_i(inode)->upper)
        return 0;
    mutex_lock(&o->copy_mutex);
    while (err == 0 && !overlay_i(inode)->upper) {
        struct inode *next = topmost_missing(inode);
        struct inode *parent = overlay_i(next)->parent;

        inode_get(next);
        err = copy_one(next, parent ? overlay_i(parent)->upper : o->upper->root->inode,
                       next == inode ? size_limit : UINT64_MAX);
        inode_put(next);
    }
    mutex_unlock(&o->copy_mutex);
    return err;
}

/* --- whole trees --- */

/* A directory of the tree; a list of them, parents first. */
struct tree_node {
    struct list node;
    struct inode *dir;
};

static int tree_add(struct list *todo, struct inode *dir)
{
    struct tree_node *t = kmalloc(sizeof(*t));

    if (!t)
        return -ENOMEM;
    inode_get(dir);
    t->dir = dir;
    list_push_back(todo, &t->node);
    return 0;
}

static int tree_entry(struct inode *dir, const struct name *name, void *todo)
{
    struct inode *inode = NULL;
    bool negative = false;
    int n = dir->ops->lookup_path(dir, name, 1, VFS_NO_OPEN, &inode, &negative), err;

    if (n <= 0)
        return n == -ENOENT ? 0 : n;
    err = overlay_copy_up(inode, UINT64_MAX);
    if (err == 0 && S_ISDIR(inode->mode))
        err = tree_add(todo, inode);
    inode_put(inode);
    return err;
}

/* Everything of the directory is above, and it or one above it is opaque. */
static int detach(struct inode *dir)
{
    struct overlay_inode *o = overlay_i(dir);
    struct inode *lower = o->lower;
    int err;

    if (!lower)
        return 0;
    err = overlay_remove_whiteouts(dir);
    if (err < 0)
        return err;
    o->lower = NULL;
    if (lower->overlay == dir)
        lower->overlay = NULL;
    inode_put(lower);
    overlay_sync_attr(dir);
    return 0;
}

/*
 * First all copies, then the mark that hides what is below, then the whiteouts that nobody needs any more: whoever looks at the
 * layers at any time sees the same tree.
 */
int overlay_unmerge(struct inode *inode)
{
    struct list dirs = LIST_INIT(dirs);
    struct tree_node *t;
    int err = overlay_copy_up(inode, UINT64_MAX);

    if (err == 0)
        err = tree_add(&dirs, inode);
    list_for_each(t, &dirs, node) { /* grows while it is gone through */
        if (err == 0 && overlay_i(t->dir)->lower)
            err = overlay_for_each(t->dir, tree_entry, &dirs);
    }
    if (err == 0)
        err = overlay_set_opaque(inode, overlay_i(inode)->upper);
    while (!list_empty(&dirs)) {
        t = list_first(&dirs, struct tree_node, node);
        list_remove(&t->node);
        if (err == 0)
            err = detach(t->dir);
        inode_put(t->dir);
        kfree(t);
    }
    return err;
}
