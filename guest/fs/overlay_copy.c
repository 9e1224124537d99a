/*
 * Copy-up: a file of the lower layer is recreated in the upper one before it changes, with its data, attributes and extended
 * attributes, under its name in a directory that has been copied up before it. The directory's times stay.
 */
#include "fs/overlay.h"
#include "lib/kmalloc.h"
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
    char *buf = kmalloc(MIN(COPY_CHUNK, MAX(end, 1)));
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
    return err == -EOPNOTSUPP ? 0 : err; /* ACLs and the like have no place above */
}

static int copy_xattrs(struct inode *lower, struct inode *upper)
{
    char *list;
    ssize_t len;
    int err = 0;

    if (!lower->ops->listxattr || !lower->ops->getxattr || !upper->ops->setxattr)
        return 0;
    list = kmalloc(XATTR_LIST_SIZE + XATTR_VALUE_SIZE);
    if (!list)
        return -ENOMEM;
    len = lower->ops->listxattr(lower, list, XATTR_LIST_SIZE);
    for (ssize_t pos = 0; err == 0 && pos < len; pos += (ssize_t)strlen(list + pos) + 1)
        err = copy_xattr(lower, upper, list + pos, list + XATTR_LIST_SIZE);
    kfree(list);
    return err;
}

static int copy_attributes(const struct inode *from, struct inode *to)
{
    struct attr attr = {
        .valid = ATTR_MODE | ATTR_UID | ATTR_GID | ATTR_ATIME | ATTR_MTIME,
        .mode = from->mode & 07777,
        .uid = from->uid,
        .gid = from->gid,
        .atime = from->atime,
        .mtime = from->mtime,
    };

    return to->ops->setattr(to, &attr);
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
        err = copy_xattrs(lower, upper);
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

/* The directory above has an upper inode (`dir`) already; for nameless files it is the upper root. */
static int copy_one(struct inode *inode, struct inode *dir, uint64_t size_limit)
{
    struct overlay_inode *o = overlay_i(inode);
    const struct name name = { o->name, o->name ? strlen(o->name) : 0 };
    struct timestamp mtime = dir->mtime, ctime = dir->ctime;
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
    dir->mtime = mtime;
    dir->ctime = ctime;
    if (err < 0) {
        undo(inode, upper, dir, &name);
        return err;
    }
    upper->ino = inode->ino;
    upper->overlay = inode;
    upper->uid = inode->uid;
    upper->gid = inode->gid;
    upper->atime = inode->atime;
    upper->mtime = inode->mtime;
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
