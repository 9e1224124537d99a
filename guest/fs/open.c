/* Opening files: open(2)'s flags, creation, permission, and the struct file that comes out of it. */
#include "fs/blkdev.h"
#include "fs/locks.h"
#include "fs/namei.h"
#include "fs/notify.h"
#include "fs/vfs.h"
#include "lib/kmalloc.h"
#include "lib/string.h"

/* What may stand in for a regular file's creation is checked in Linux's order: open(2), fs/namei.c of Linux. */

static const struct file_ops opath_ops;

static uint32_t access_mask(uint32_t flags)
{
    static const uint32_t masks[4] = { MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE, MAY_READ | MAY_WRITE };
    uint32_t mask = masks[flags & O_ACCMODE];

    return flags & O_TRUNC ? mask | MAY_WRITE : mask;
}

static int check_flags(uint32_t *flags)
{
    if (*flags & O_PATH) {
        *flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
        return 0;
    }
    if ((*flags & __O_TMPFILE) == 0)
        return (*flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY) ? -EINVAL : 0;
    if (!(*flags & O_DIRECTORY) || (*flags & O_CREAT) || !(access_mask(*flags) & MAY_WRITE))
        return -EINVAL;
    return 0;
}

/* Is the inode of a type that can be opened so, and by this user? */
static int may_open(const struct path *p, uint32_t *flags)
{
    struct inode *inode = p->dentry->inode;
    uint32_t mask = access_mask(*flags);
    int err;

    if (S_ISLNK(inode->mode))
        return -ELOOP;
    if (S_ISDIR(inode->mode) && (mask & MAY_WRITE))
        return -EISDIR;
    if (!S_ISREG(inode->mode) && !S_ISDIR(inode->mode)) {
        if ((inode->sb->flags & SB_NODEV) && (S_ISCHR(inode->mode) || S_ISBLK(inode->mode)))
            return -EACCES;
        *flags &= ~(uint32_t)O_TRUNC;
        mask = access_mask(*flags);
    }
    err = vfs_permission(inode, mask);
    if (err < 0)
        return err;
    if ((*flags & O_NOATIME) && !vfs_owner(inode))
        return -EPERM;
    if ((mask & MAY_WRITE) && S_ISREG(inode->mode))
        return vfs_want_write(p);
    return 0;
}

/* Give f its operations, by type. */
static int attach(struct inode *inode, struct file *f)
{
    bool special = !S_ISREG(inode->mode) && !S_ISDIR(inode->mode) && !S_ISLNK(inode->mode);

    if (special && !(inode->sb->flags & SB_OWN_DEVICES)) {
        if (S_ISFIFO(inode->mode))
            return (int)fifo_open(inode, f);
        if (S_ISBLK(inode->mode))
            return (int)blkdev_open(inode, f);
        return S_ISCHR(inode->mode) ? (int)chrdev_open(inode, f) : -ENXIO;
    }
    return inode->ops->open ? inode->ops->open(inode, f) : -ENXIO;
}

static int deny_or_count_writers(struct inode *inode, uint32_t flags)
{
    if (!S_ISREG(inode->mode))
        return 0;
    if (flags & FILE_EXEC) {
        if (inode->writers > 0)
            return -ETXTBSY;
        inode->write_denied++;
    } else if (access_mask(flags & ~(uint32_t)O_TRUNC) & MAY_WRITE) {
        if (inode->write_denied > 0)
            return -ETXTBSY;
        inode->writers++;
    }
    return 0;
}

void file_uncount_writer(const struct file *f)
{
    struct inode *inode = file_vfs_inode(f);

    if (!inode || !S_ISREG(inode->mode) || (f->flags & (O_PATH | FILE_UNCOUNTED)))
        return;
    if (f->flags & FILE_EXEC)
        inode->write_denied--;
    else if (access_mask(f->flags & O_ACCMODE) & MAY_WRITE)
        inode->writers--;
}

struct file *vfs_open_inode(struct inode *inode, struct dentry *dentry, struct mount *mount, uint32_t flags)
{
    uint32_t kept = flags & ~(uint32_t)(O_CREAT | O_EXCL | O_CLOEXEC);
    struct file *f = file_alloc(&opath_ops, kept | FILE_UNCOUNTED);
    int err;

    if (!f)
        return err_ptr(-ENOMEM);
    f->inode = inode;
    inode_get(inode);
    if (dentry) {
        f->dentry = dentry;
        f->mount = mount;
        dentry_get(dentry);
        if (mount)
            mount->refs++;
    }
    if (flags & O_PATH)
        return f;
    err = deny_or_count_writers(inode, flags);
    if (err == 0) {
        f->flags &= ~FILE_UNCOUNTED;
        err = attach(inode, f);
        if (err == 0) {
            f->flags &= ~(uint32_t)(O_TRUNC | O_NOCTTY);
            return f;
        }
    }
    f->ops = &opath_ops; /* a failed open isn't released by the file system */
    file_put(f);
    return err_ptr(err);
}

/* A file on a path whose permissions have been checked. */
static struct file *open_path(const struct path *p, uint32_t flags)
{
    struct file *f = vfs_open_inode(p->dentry->inode, p->dentry, p->mount, flags);
    int err;

    if (is_err(f) || (flags & O_PATH))
        return f;
    f->flags |= FILE_WATCHED;
    notify_dentry(p->dentry, IN_OPEN);
    if (!(flags & O_TRUNC))
        return f;
    if (!S_ISREG(p->dentry->inode->mode) || (p->dentry->sb->flags & SB_OPEN_TRUNCATES))
        return f;
    err = vfs_truncate(f, 0);
    if (err < 0) {
        file_put(f);
        return err_ptr(err);
    }
    return f;
}

static struct file *open_found(const struct path *p, uint32_t flags)
{
    int err;

    if ((flags & O_CREAT) && S_ISDIR(p->dentry->inode->mode))
        return err_ptr(-EISDIR);
    if ((flags & O_DIRECTORY) && !S_ISDIR(p->dentry->inode->mode))
        return err_ptr(-ENOTDIR);
    if (flags & O_PATH)
        return open_path(p, flags);
    err = may_open(p, &flags);
    if (err == 0 && (flags & FILE_EXEC) && !S_ISREG(p->dentry->inode->mode))
        err = -EACCES;
    return err < 0 ? err_ptr(err) : open_path(p, flags);
}

/* Make the file of the negative dentry d in w->path, whose lock is held. 0: d is positive now. */
static int create_last(struct walk *w, struct dentry *d, uint32_t flags, uint32_t mode)
{
    struct dentry *dir = w->path.dentry;
    struct inode *inode;
    int err = vfs_want_write(&w->path);

    if (err == 0)
        err = may_create(dir);
    if (err < 0)
        return err;
    if (!dir->inode->ops->create)
        return -EACCES;
    dir->sb->changes++;
    inode = dir->inode->ops->create(dir->inode, &w->last, mode & 07777 & ~vfs_umask(), flags);
    dir->sb->changes++;
    if (is_err(inode)) {
        dentry_unhash(d); /* someone outside may have made it */
        return (int)ptr_err(inode);
    }
    dentry_instantiate(d, inode);
    notify_name(dir->inode, &w->last, IN_CREATE, false);
    return 0;
}

/*
 * Look at the last component of an O_CREAT open. *ret_created: it was made. Returns the dentry, or err_ptr.
 */
static struct dentry *find_or_create(struct walk *w, uint32_t flags, uint32_t mode, bool *ret_created)
{
    struct inode *dir = w->path.dentry->inode;
    struct dentry *d;
    int err = 0;

    mutex_lock(&dir->lock);
    d = walk_last(w, true);
    if (!is_err(d) && !d->inode) {
        err = create_last(w, d, flags, mode);
        *ret_created = err == 0;
    } else if (!is_err(d) && (flags & O_EXCL)) {
        err = -EEXIST;
    }
    mutex_unlock(&dir->lock);
    if (err < 0) {
        dentry_put(d);
        return err_ptr(err);
    }
    return d;
}

static struct file *open_create(struct walk *w, uint32_t flags, uint32_t mode)
{
    for (;;) {
        bool created = false;
        struct dentry *d;
        int err = walk_run(w);

        if (err < 0)
            return err_ptr(err);
        if (w->last_type != LAST_NORMAL)
            return err_ptr(flags & O_EXCL ? -EEXIST : -EISDIR);
        if (w->trailing_slash)
            return err_ptr(-EISDIR);
        d = find_or_create(w, flags, mode, &created);
        if (is_err(d))
            return (struct file *)d;
        if (!created && S_ISLNK(d->inode->mode) && !(flags & O_NOFOLLOW)) {
            bool magic = d->inode->ops->jump != NULL;

            err = walk_follow(w, d);
            if (err < 0)
                return err_ptr(err);
            if (magic) /* it led to a file, not to a name that might have to be made */
                return open_found(&w->path, flags);
            continue;
        }
        err = walk_step(w, d);
        if (err < 0)
            return err_ptr(err);
        return created ? open_path(&w->path, flags & ~(uint32_t)O_TRUNC) : open_found(&w->path, flags);
    }
}

static struct file *open_tmpfile(const struct path *dir, uint32_t flags, uint32_t mode)
{
    struct inode *inode;
    struct dentry *d;
    struct file *f;
    char text[24];
    struct name name = { text, 0 };
    int err = vfs_want_write(dir);

    if (err == 0)
        err = may_create(dir->dentry);
    if (err < 0)
        return err_ptr(err);
    if (!dir->dentry->inode->ops->tmpfile)
        return err_ptr(-EOPNOTSUPP);
    inode = dir->dentry->inode->ops->tmpfile(dir->dentry->inode, mode & 07777 & ~vfs_umask());
    if (is_err(inode))
        return (struct file *)inode;
    inode->linkable = !(flags & O_EXCL);
    name.len = (size_t)ksnprintf(text, sizeof(text), "#%lu", (unsigned long)inode->ino);
    d = dentry_alloc(dir->dentry->sb, dir->dentry, &name, inode);
    if (!d) {
        inode_put(inode);
        return err_ptr(-ENOMEM);
    }
    d->deleted = true;
    f = vfs_open_inode(inode, d, dir->mount, flags & ~(uint32_t)__O_TMPFILE);
    dentry_put(d);
    if (!is_err(f))
        f->flags |= __O_TMPFILE; /* for F_GETFL */
    return f;
}

static struct file *open_existing(struct walk *w, uint32_t flags, uint32_t mode)
{
    int err;

    /* Truncation waits for the permission check; everything else may be done with the lookup's request. */
    w->open_flags = flags & O_PATH ? VFS_NO_OPEN : flags & ~(uint32_t)(O_TRUNC | FILE_EXEC);
    err = walk_run(w);
    if (err < 0)
        return err_ptr(err);
    if (flags & __O_TMPFILE)
        return open_tmpfile(&w->path, flags, mode);
    return open_found(&w->path, flags);
}

struct file *vfs_open(int dirfd, const char *path, uint32_t flags, uint32_t mode, uint32_t lookup_flags)
{
    struct walk w;
    struct file *f;
    int err = check_flags(&flags);

    if (err < 0)
        return err_ptr(err);
    if (!(flags & O_NOFOLLOW))
        lookup_flags |= LOOKUP_FOLLOW;
    if (flags & O_CREAT)
        lookup_flags |= LOOKUP_PARENT;
    else if (flags & O_DIRECTORY)
        lookup_flags |= LOOKUP_DIRECTORY;
    err = walk_begin(&w, dirfd, path, lookup_flags);
    if (err < 0)
        return err_ptr(err);
    f = flags & O_CREAT ? open_create(&w, flags, mode) : open_existing(&w, flags, mode);
    walk_end(&w);
    return f;
}

struct file *file_open_exec(int dirfd, const char *path, int at_flags)
{
    uint32_t lookup = at_flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW;
    struct path p;
    struct inode *inode;
    struct file *f;
    int err;

    if (at_flags & AT_EMPTY_PATH)
        lookup |= LOOKUP_EMPTY;
    err = path_lookup(dirfd, path, lookup, &p);
    if (err < 0)
        return err_ptr(err);
    inode = p.dentry->inode;
    if (S_ISLNK(inode->mode))
        err = -ELOOP;
    else if (!S_ISREG(inode->mode) || (inode->sb->flags & SB_NOEXEC))
        err = -EACCES;
    else
        err = vfs_permission(inode, MAY_EXEC);
    f = err < 0 ? err_ptr(err) : open_path(&p, O_RDONLY | FILE_EXEC);
    path_put(&p);
    return f;
}
