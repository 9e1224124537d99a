/* Overlayfs: inodes that stand for a file in the upper layer, the lower one, or both; lookup; attributes; opening. */
#include <linux/magic.h>

#include "fs/overlay.h"
#include "fs/tmpfs.h"
#include "lib/kmalloc.h"
#include "lib/string.h"

/* --- inodes --- */

/* A directory in both layers has an unknown number of subdirectories: 1 says so to find(1). */
static uint32_t count_links(const struct inode *inode)
{
    const struct overlay_inode *o = overlay_i(inode);

    if (o->removed)
        return 0;
    if (S_ISDIR(inode->mode))
        return o->upper && o->lower ? 1 : overlay_real(inode)->nlink;
    return o->own_nlink ? inode->nlink : overlay_real(inode)->nlink;
}

void overlay_sync_attr(struct inode *inode)
{
    const struct inode *real = overlay_real(inode);

    inode->mode = real->mode;
    inode->uid = real->uid;
    inode->gid = real->gid;
    inode->rdev = real->rdev;
    inode->size = real->size;
    inode->blocks = real->blocks;
    inode->blksize = real->blksize;
    inode->atime = real->atime;
    inode->mtime = real->mtime;
    inode->ctime = real->ctime;
    inode->btime = real->btime;
    inode->nlink = count_links(inode);
}

int overlay_set_place(struct inode *inode, struct inode *parent, const struct name *name)
{
    struct overlay_inode *o = overlay_i(inode);
    char *copy = kstrndup(name->str, name->len);

    if (!copy)
        return -ENOMEM;
    inode_get(parent);
    inode_put(o->parent);
    kfree(o->name);
    o->parent = parent;
    o->name = copy;
    return 0;
}

void overlay_pin(struct inode *inode)
{
    if (overlay_i(inode)->pinned)
        return;
    overlay_i(inode)->pinned = true;
    inode_get(inode);
}

static struct inode *new_inode(struct superblock *sb, struct inode *upper, struct inode *lower)
{
    const struct inode *real = upper ? upper : lower;
    bool directory = S_ISDIR(real->mode);
    struct overlay_inode *o = kzalloc(sizeof(*o));
    struct inode *inode = inode_alloc(sb, directory ? &overlay_dir_inode_ops : &overlay_inode_ops, real->mode, real->ino);

    if (!o || !inode) {
        kfree(o);
        kfree(inode);
        return NULL;
    }
    o->upper = upper;
    o->lower = lower;
    inode->data = o;
    if (real->link)
        inode->link = kstrdup(real->link);
    overlay_sync_attr(inode);
    if (upper)
        upper->overlay = inode;
    if (lower)
        lower->overlay = inode;
    return inode;
}

struct inode *overlay_inode_get(struct superblock *sb, struct inode *upper, struct inode *lower, struct inode *parent,
                                const struct name *name)
{
    struct inode *inode = upper ? upper->overlay : lower->overlay;

    if (inode) {
        if (parent && !overlay_i(inode)->parent)
            overlay_set_place(inode, parent, name); /* a second name, whose first is gone */
        inode_get(inode);
        inode_put(upper);
        inode_put(lower);
        return inode;
    }
    inode = new_inode(sb, upper, lower);
    if (!inode)
        return err_ptr(-ENOMEM);
    if (parent && overlay_set_place(inode, parent, name) < 0) {
        overlay_i(inode)->upper = NULL; /* these references stay the caller's */
        overlay_i(inode)->lower = NULL;
        if (upper)
            upper->overlay = NULL;
        if (lower)
            lower->overlay = NULL;
        inode_put(inode);
        return err_ptr(-ENOMEM);
    }
    return inode;
}

static void overlay_evict(struct inode *inode)
{
    struct overlay_inode *o = overlay_i(inode);

    if (o->upper && o->upper->overlay == inode)
        o->upper->overlay = NULL;
    if (o->lower && o->lower->overlay == inode)
        o->lower->overlay = NULL;
    inode_put(o->upper);
    inode_put(o->lower);
    inode_put(o->parent);
    kfree(o->name);
    kfree(o);
}

/* --- lookup --- */

bool overlay_is_whiteout(const struct inode *upper)
{
    return S_ISCHR(upper->mode) && upper->rdev == 0;
}

static const char *opaque_name(const struct inode *overlay)
{
    return overlay_sb(overlay)->kept ? OVERLAY_PRIVATE_KEPT "opaque" : OVERLAY_PRIVATE "opaque";
}

static bool is_opaque(const struct inode *overlay, struct inode *upper)
{
    char value;

    return upper->ops->getxattr && upper->ops->getxattr(upper, opaque_name(overlay), &value, 1) == 1 && value == 'y';
}

int overlay_set_opaque(const struct inode *overlay, struct inode *upper)
{
    int err = upper->ops->setxattr ? upper->ops->setxattr(upper, opaque_name(overlay), "y", 1, 0) : -EOPNOTSUPP;

    return overlay_sb(overlay)->kept ? err : 0; /* in memory the inode itself knows */
}

bool overlay_is_private(const struct inode *overlay, const char *name)
{
    const char *prefix = overlay_sb(overlay)->kept ? OVERLAY_PRIVATE_KEPT : OVERLAY_PRIVATE;

    return strncmp(name, prefix, strlen(prefix)) == 0;
}

struct inode *overlay_layer_lookup(struct inode *dir, const struct name *name)
{
    struct inode *found = NULL;
    bool negative = false;
    int n;

    if (!S_ISDIR(dir->mode))
        return NULL;
    if (dir->ops->lookup_path) {
        n = dir->ops->lookup_path(dir, name, 1, VFS_NO_OPEN, &found, &negative);
        if (n < 0 && n != -ENOENT)
            return err_ptr(n);
        return n > 0 ? found : NULL;
    }
    found = dir->ops->lookup(dir, name);
    return is_err(found) && ptr_err(found) == -ENOENT ? NULL : found;
}

/* The name is in the upper directory; `upper` is what it stands for, whose reference this takes. */
static struct inode *found_above(struct inode *dir, struct inode *upper, const struct name *name)
{
    struct inode *below = overlay_i(dir)->lower;
    struct inode *lower = NULL, *inode;

    if (overlay_is_whiteout(upper)) {
        inode_put(upper);
        return err_ptr(-ENOENT);
    }
    if (!upper->overlay && below && S_ISDIR(upper->mode) && !is_opaque(dir, upper)) {
        lower = overlay_layer_lookup(below, name);
        if (is_err(lower)) {
            inode_put(upper);
            return lower;
        }
        if (lower && !S_ISDIR(lower->mode)) {
            inode_put(lower);
            lower = NULL;
        }
    }
    inode = overlay_inode_get(dir->sb, upper, lower, dir, name);
    if (is_err(inode)) {
        inode_put(upper);
        inode_put(lower);
    }
    return inode;
}

/* Turn lower inodes of a walk into overlay inodes, in place. Returns how many; 0: no memory for the first. */
static int wrap_lower(struct inode *dir, const struct name *names, struct inode **inodes, int count)
{
    struct inode *parent = dir;
    int done = 0;

    for (; done < count; done++) {
        struct inode *inode = overlay_inode_get(dir->sb, NULL, inodes[done], parent, &names[done]);

        if (is_err(inode))
            break;
        inodes[done] = inode;
        parent = inode;
    }
    for (int i = done; i < count; i++)
        inode_put(inodes[i]);
    return done;
}

/* What isn't in the upper directory: nothing beneath it is above either, so the rest of the path is the lower layer's. */
static int lookup_below(struct inode *dir, const struct name *names, size_t n, uint32_t open_flags, struct inode **ret,
                        bool *ret_negative)
{
    struct inode *below = overlay_i(dir)->lower;
    int count;

    if (!below)
        return -ENOENT;
    if (below->ops->lookup_path) {
        if ((open_flags & O_ACCMODE) != O_RDONLY)
            open_flags = VFS_NO_OPEN; /* it will be copied up first */
        count = below->ops->lookup_path(below, names, n, open_flags, ret, ret_negative);
    } else {
        ret[0] = below->ops->lookup(below, names);
        count = is_err(ret[0]) ? (int)ptr_err(ret[0]) : 1;
    }
    if (count <= 0)
        return count;
    n = (size_t)wrap_lower(dir, names, ret, count);
    if ((int)n < count)
        *ret_negative = false;
    return n > 0 ? (int)n : -ENOMEM;
}

static int overlay_lookup_path(struct inode *dir, const struct name *names, size_t n, uint32_t open_flags,
                               struct inode **ret, bool *ret_negative)
{
    struct overlay_inode *o = overlay_i(dir);
    struct inode *upper = o->upper ? overlay_layer_lookup(o->upper, names) : NULL;

    if (is_err(upper))
        return (int)ptr_err(upper);
    if (!upper)
        return lookup_below(dir, names, n, open_flags, ret, ret_negative);
    ret[0] = found_above(dir, upper, names);
    return is_err(ret[0]) ? (int)ptr_err(ret[0]) : 1;
}

/* --- attributes --- */

static int overlay_getattr(struct inode *inode, uint32_t mask)
{
    int err = vfs_getattr(overlay_real(inode), mask);

    if (err == 0)
        overlay_sync_attr(inode);
    return err;
}

static int overlay_setattr(struct inode *inode, const struct attr *attr)
{
    struct inode *upper;
    int err = overlay_copy_up(inode, attr->valid & ATTR_SIZE ? attr->size : UINT64_MAX);

    if (err < 0)
        return err;
    upper = overlay_i(inode)->upper;
    err = upper->ops->setattr ? upper->ops->setattr(upper, attr) : -EPERM;
    overlay_sync_attr(inode);
    return err;
}

static ssize_t overlay_readlink(struct inode *inode, char *buf, size_t size)
{
    return vfs_readlink(overlay_real(inode), buf, size);
}

static ssize_t overlay_getxattr(struct inode *inode, const char *name, void *buf, size_t size)
{
    struct inode *real = overlay_real(inode);

    if (overlay_is_private(inode, name))
        return -EOPNOTSUPP;
    return real->ops->getxattr ? real->ops->getxattr(real, name, buf, size) : -EOPNOTSUPP;
}

static int overlay_setxattr(struct inode *inode, const char *name, const void *value, size_t size, int flags)
{
    struct inode *upper;
    int err;

    if (overlay_is_private(inode, name))
        return -EOPNOTSUPP;
    err = overlay_copy_up(inode, UINT64_MAX);
    if (err < 0)
        return err;
    upper = overlay_i(inode)->upper;
    err = upper->ops->setxattr ? upper->ops->setxattr(upper, name, value, size, flags) : -EOPNOTSUPP;
    overlay_sync_attr(inode);
    return err;
}

/* Our own attributes are left out; asked for the length only, the sum may be a little too large. */
static ssize_t overlay_listxattr(struct inode *inode, char *buf, size_t size)
{
    struct inode *real = overlay_real(inode);
    ssize_t len = real->ops->listxattr ? real->ops->listxattr(real, buf, size) : -EOPNOTSUPP;
    size_t kept = 0;

    if (len <= 0 || size == 0)
        return len;
    for (size_t pos = 0; pos < (size_t)len;) {
        size_t n = strlen(buf + pos) + 1;

        if (!overlay_is_private(inode, buf + pos)) {
            memmove(buf + kept, buf + pos, n);
            kept += n;
        }
        pos += n;
    }
    return (ssize_t)kept;
}

static int overlay_removexattr(struct inode *inode, const char *name)
{
    struct inode *upper;
    int err;

    if (overlay_is_private(inode, name))
        return -EOPNOTSUPP;
    err = overlay_copy_up(inode, UINT64_MAX);
    if (err < 0)
        return err;
    upper = overlay_i(inode)->upper;
    return upper->ops->removexattr ? upper->ops->removexattr(upper, name) : -EOPNOTSUPP;
}

/* --- opening --- */

/*
 * Files are served by the layer's own operations; f->dentry still tells of the overlay. One opened for reading before a
 * copy-up goes on reading the lower file, as with Linux's overlayfs.
 */
static int overlay_open(struct inode *inode, struct file *f)
{
    struct inode *real;
    int err;

    if (S_ISDIR(inode->mode)) {
        f->ops = &overlay_dir_file_ops;
        return 0;
    }
    if ((f->flags & O_ACCMODE) != O_RDONLY || (f->flags & O_TRUNC)) {
        err = overlay_copy_up(inode, f->flags & O_TRUNC ? 0 : UINT64_MAX);
        if (err < 0)
            return err;
    }
    real = overlay_real(inode);
    inode_get(real);
    f->inode = real;
    err = real->ops->open ? real->ops->open(real, f) : -ENXIO;
    if (err < 0) {
        f->inode = inode;
        inode_put(real);
        return err;
    }
    inode_put(inode);
    return 0;
}

#define OVERLAY_COMMON_OPS                                                                         \
    .getattr = overlay_getattr, .setattr = overlay_setattr, .open = overlay_open,                  \
    .getxattr = overlay_getxattr, .setxattr = overlay_setxattr, .listxattr = overlay_listxattr,    \
    .removexattr = overlay_removexattr, .evict = overlay_evict

const struct inode_ops overlay_dir_inode_ops = {
    .lookup_path = overlay_lookup_path,
    .create = overlay_create,
    .mkdir = overlay_mkdir,
    .symlink = overlay_symlink,
    .mknod = overlay_mknod,
    .tmpfile = overlay_tmpfile,
    .link = overlay_link,
    .unlink = overlay_unlink,
    .rmdir = overlay_rmdir,
    .rename = overlay_rename,
    OVERLAY_COMMON_OPS,
};

const struct inode_ops overlay_inode_ops = {
    .readlink = overlay_readlink,
    OVERLAY_COMMON_OPS,
};

/* --- superblock --- */

static int overlay_statfs(struct superblock *sb, struct statfs *ret)
{
    struct superblock *upper = ((struct overlay_sb *)sb->data)->upper;

    return upper->ops->statfs ? upper->ops->statfs(upper, ret) : 0;
}

static int overlay_sync(struct superblock *sb)
{
    struct superblock *upper = ((struct overlay_sb *)sb->data)->upper;

    return upper->ops->sync ? upper->ops->sync(upper) : 0;
}

static const struct super_ops overlay_super_ops = { .statfs = overlay_statfs, .sync = overlay_sync };

/* The upper root looks like the lower one. */
static void adopt_root(struct inode *upper, const struct inode *lower)
{
    upper->mode = lower->mode;
    upper->uid = lower->uid;
    upper->gid = lower->gid;
    upper->atime = lower->atime;
    upper->mtime = lower->mtime;
    upper->ctime = lower->ctime;
    upper->ino = lower->ino;
}

/* A kept layer must be able to hold opaque directories. */
static int check_upper(struct inode *root)
{
    char value;
    ssize_t n = root->ops->getxattr ? root->ops->getxattr(root, OVERLAY_PRIVATE_KEPT "opaque", &value, 1) : -EOPNOTSUPP;

    return n == -EOPNOTSUPP || !S_ISDIR(root->mode) ? -EOPNOTSUPP : 0;
}

struct superblock *overlay_mount(struct superblock *lower, struct superblock *upper, bool kept)
{
    struct superblock *sb = superblock_alloc("overlay", OVERLAYFS_SUPER_MAGIC);
    struct overlay_sb *o = kzalloc(sizeof(*o));
    struct inode *lower_root = lower->root->inode, *upper_root = NULL, *root;

    if (is_err(upper))
        return upper;
    if (!sb || !o)
        return err_ptr(-ENOMEM);
    if (kept && check_upper(upper->root->inode) < 0)
        return err_ptr(-EOPNOTSUPP);
    o->upper = upper;
    o->lower = lower;
    o->kept = kept;
    mutex_init(&o->copy_mutex);
    sb->ops = &overlay_super_ops;
    sb->data = o;
    sb->flags = lower->flags & (SB_REVALIDATE | SB_NOEXEC | SB_NODEV);
    if (!kept)
        tmpfs_set_ino_bits(upper, OVERLAY_UPPER_INO);
    if (S_ISDIR(lower_root->mode)) {
        upper_root = upper->root->inode;
        if (!kept)
            adopt_root(upper_root, lower_root);
        inode_get(upper_root);
    }
    inode_get(lower_root);
    root = overlay_inode_get(sb, upper_root, lower_root, NULL, NULL);
    if (is_err(root))
        return (struct superblock *)root;
    return superblock_set_root(sb, root) < 0 ? err_ptr(-ENOMEM) : sb;
}
