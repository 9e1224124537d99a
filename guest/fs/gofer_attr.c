/*
 * The gofer's file system: attributes, extended attributes, symbolic links' text, statfs.
 */
#include "fs/gofer.h"

#include "arch/cpu.h"
#include "lib/kmalloc.h"
#include "lib/string.h"

#include <linux/xattr.h>

/*
 * On mounts that others change too, attributes this young count as fresh: a walk has just brought them, and the
 * stat(2) that it was made for need not ask again.
 */
#define FRESH_NS 1000000ull

static bool attributes_known(const struct inode *inode)
{
    const struct gofer_inode *gi = gofer_i(inode);

    if (gi->stale)
        return false;
    return gofer_sb(inode->sb)->exclusive || clock_mono_ns() - gi->fresh_ns < FRESH_NS;
}

int gofer_getattr(struct inode *inode, uint32_t mask UNUSED)
{
    struct ring_request *rq;
    struct p9_attr attr;
    long err;

    if (attributes_known(inode))
        return 0;
    err = gofer_request(P9_Tgetattr, inode, &rq);
    if (err == -ENOENT)
        return 0; /* deleted, and nothing of it is open: what we know is all there is */
    if (err < 0)
        return (int)err;
    p9_put64(&rq->out, P9_GETATTR_BASIC | P9_GETATTR_BTIME);
    err = ring_call(rq);
    if (err == 0) {
        p9_get64(&rq->in); /* valid */
        p9_get_attr(&rq->in, &attr);
        if (rq->in.bad)
            err = -EIO;
        else
            gofer_attr_update(inode, &attr);
    }
    ring_put(rq);
    return (int)err;
}

/* --- setattr --- */

static uint32_t wire_valid(const struct attr *attr)
{
    static const struct {
        uint32_t attr, wire;
    } map[] = {
        { ATTR_MODE, P9_SETATTR_MODE },   { ATTR_UID, P9_SETATTR_UID },     { ATTR_GID, P9_SETATTR_GID },
        { ATTR_SIZE, P9_SETATTR_SIZE },   { ATTR_ATIME, P9_SETATTR_ATIME }, { ATTR_MTIME, P9_SETATTR_MTIME },
        { ATTR_CTIME, P9_SETATTR_CTIME },
    };
    uint32_t valid = 0;

    for (size_t i = 0; i < ARRAY_SIZE(map); i++)
        valid |= attr->valid & map[i].attr ? map[i].wire : 0;
    if ((attr->valid & ATTR_ATIME) && !(attr->valid & ATTR_ATIME_NOW))
        valid |= P9_SETATTR_ATIME_SET;
    if ((attr->valid & ATTR_MTIME) && !(attr->valid & ATTR_MTIME_NOW))
        valid |= P9_SETATTR_MTIME_SET;
    return valid;
}

/* A truncation goes through a handle that is open for writing if there is one: then permissions don't matter any more. */
static long setattr_request(struct inode *inode, const struct attr *attr, struct ring_request **ret)
{
    const struct gofer_inode *gi = gofer_i(inode);
    const struct gofer_handle *h;

    if (attr->valid & ATTR_SIZE) {
        *ret = ring_get(P9_Tsetattr);
        h = gi->handle[O_RDWR] ? gi->handle[O_RDWR] : gi->handle[O_WRONLY];
        if (h) {
            p9_put32(&(*ret)->out, h->fid);
            return 0;
        }
        ring_put(*ret);
    }
    return gofer_request(P9_Tsetattr, inode, ret);
}

/*
 * Is it chown(2) to those whose the file is, as tar and sqlite do it for root? Then only its time changes, and since the gofer owns it
 * and it is open for writing, nothing can be in the way.
 */
static bool changes_no_owner(const struct inode *inode, const struct attr *attr)
{
    const uint32_t owner = ATTR_UID | ATTR_GID;

    return gofer_sb(inode->sb)->exclusive && (attr->valid & owner) && !(attr->valid & ~(owner | ATTR_CTIME)) && inode->uid == 0 &&
           (!(attr->valid & ATTR_UID) || attr->uid == inode->uid) && (!(attr->valid & ATTR_GID) || attr->gid == inode->gid) &&
           S_ISREG(inode->mode) && inode->writers > 0;
}

static void setattr_lazy_done(struct ring_request *rq, long error UNUSED)
{
    ring_put(rq);
}

/* 0 or -errno. The request is gone. */
static long setattr_send(struct ring_request *rq, bool lazy)
{
    long err;

    if (lazy) {
        rq->lazy = true;
        rq->complete = setattr_lazy_done;
        ring_submit(rq);
        ring_notify();
        return 0;
    }
    err = ring_call(rq);
    ring_put(rq);
    return err;
}

int gofer_setattr(struct inode *inode, const struct attr *attr)
{
    uint64_t old_size = inode->size;
    uint32_t valid = wire_valid(attr);
    struct ring_request *rq;
    long err = setattr_request(inode, attr, &rq);

    if (err < 0)
        return (int)err;
    p9_put32(&rq->out, valid);
    p9_put32(&rq->out, attr->mode & 07777);
    p9_put32(&rq->out, attr->uid);
    p9_put32(&rq->out, attr->gid);
    p9_put64(&rq->out, attr->size);
    p9_put64(&rq->out, (uint64_t)attr->atime.sec);
    p9_put64(&rq->out, attr->atime.nsec);
    p9_put64(&rq->out, (uint64_t)attr->mtime.sec);
    p9_put64(&rq->out, attr->mtime.nsec);
    err = setattr_send(rq, changes_no_owner(inode, attr));
    if (err < 0)
        return (int)err;
    inode_setattr_plain(inode, attr);
    gofer_set_stale(gofer_i(inode));
    if (attr->valid & ATTR_SIZE) {
        inode->size = attr->size;
        inode_touch(inode, ATTR_MTIME);
        gofer_ahead_drop(inode);
        gofer_pages_drop(inode);
        gofer_maps_resized(inode, old_size);
    }
    return 0;
}

/* --- symbolic links --- */

ssize_t gofer_readlink(struct inode *inode, char *buf, size_t size)
{
    struct ring_request *rq;
    struct p9_str target;
    long err = gofer_request(P9_Treadlink, inode, &rq);
    ssize_t ret;

    if (err < 0)
        return err;
    err = ring_call(rq);
    target = p9_get_str(&rq->in);
    if (err == 0 && rq->in.bad)
        err = -EIO;
    ret = err;
    if (err == 0) {
        ret = (ssize_t)MIN((size_t)target.len, size);
        memcpy(buf, target.data, (size_t)ret);
        if (gofer_sb(inode->sb)->exclusive && !inode->link)
            inode->link = kstrndup(target.data, target.len);
    }
    ring_put(rq);
    return ret;
}

/* --- extended attributes --- */

/* An empty name: the list of names. */
static ssize_t xattr_load(struct inode *inode, const char *name, void *buf, size_t size)
{
    uint32_t fid = gofer_fid_new();
    struct iter_segment seg;
    struct ring_request *rq;
    struct iter to;
    uint64_t length;
    long err = gofer_request(P9_Txattrwalk, inode, &rq);
    ssize_t ret;

    if (err < 0) {
        gofer_fid_forget(fid);
        return err;
    }
    p9_put32(&rq->out, fid);
    p9_put_str(&rq->out, name, strlen(name));
    err = ring_call(rq);
    length = p9_get64(&rq->in);
    ring_put(rq);
    if (err < 0) {
        gofer_fid_forget(fid);
        return err;
    }
    ret = (ssize_t)length;
    if (size > 0 && length > size) {
        ret = -ERANGE;
    } else if (size > 0 && length > 0) {
        iter_kernel(&to, &seg, buf, length);
        ret = gofer_read_fid(fid, &to, 0);
    }
    gofer_clunk(fid);
    return ret;
}

/* ls -l asks two of each file: labels that don't exist in here, and ACLs, which few files have. */
ssize_t gofer_getxattr(struct inode *inode, const char *name, void *buf, size_t size)
{
    struct gofer_inode *gi = gofer_i(inode);
    bool acl = strcmp(name, "system.posix_acl_access") == 0;
    ssize_t ret;

    if (strcmp(name, "security.selinux") == 0 || (acl && gi->no_acl))
        return -ENODATA;
    ret = xattr_load(inode, name, buf, size);
    if (acl && ret == -ENODATA && gofer_sb(inode->sb)->exclusive)
        gi->no_acl = true;
    return ret;
}

ssize_t gofer_listxattr(struct inode *inode, char *buf, size_t size)
{
    return xattr_load(inode, "", buf, size);
}

/* The clunk sets the attribute, so it is waited for. */
static long xattr_finish(uint32_t fid)
{
    struct ring_request *rq = ring_get(P9_Tclunk);
    long err;

    p9_put32(&rq->out, fid);
    err = ring_call(rq);
    ring_put(rq);
    gofer_fid_forget(fid);
    return err;
}

static long xattr_create(uint32_t fid, const char *name, size_t size, int flags)
{
    struct ring_request *rq = ring_get(P9_Txattrcreate);
    long err;

    p9_put32(&rq->out, fid);
    p9_put_str(&rq->out, name, strlen(name));
    p9_put64(&rq->out, size);
    p9_put32(&rq->out, (uint32_t)flags);
    err = ring_call(rq);
    ring_put(rq);
    return err;
}

int gofer_setxattr(struct inode *inode, const char *name, const void *value, size_t size, int flags)
{
    struct iter_segment seg;
    struct iter from;
    uint32_t fid;
    ssize_t written = 0;
    long err = gofer_clone_fid(inode, &fid);

    if (err < 0)
        return (int)err;
    err = xattr_create(fid, name, size, flags);
    if (err == 0 && size > 0) {
        iter_kernel(&from, &seg, (void *)(uintptr_t)value, size);
        written = gofer_write_fid(fid, &from, 0);
        if (written != (ssize_t)size)
            err = written < 0 ? written : -EIO;
    }
    if (err < 0)
        gofer_clunk(fid);
    else
        err = xattr_finish(fid);
    if (err == 0) {
        gofer_set_stale(gofer_i(inode));
        gofer_i(inode)->no_acl = false;
    }
    return (int)err;
}

/* On the wire: replaced by nothing. */
int gofer_removexattr(struct inode *inode, const char *name)
{
    return gofer_setxattr(inode, name, NULL, 0, XATTR_REPLACE);
}

/* --- the file system --- */

/* On exclusive mounts an answer holds until the sandbox changes something, or so long: programs ask it of each directory. */
#define STATFS_FRESH_NS 100000000ull

static int statfs_request(struct superblock *sb, struct statfs *ret)
{
    struct ring_request *rq = ring_get(P9_Tstatfs);
    uint64_t fsid;
    long err;

    p9_put32(&rq->out, gofer_sb(sb)->root_fid);
    err = ring_call(rq);
    if (err == 0) {
        *ret = (struct statfs){ 0 };
        ret->f_type = (long)p9_get32(&rq->in);
        ret->f_bsize = (long)p9_get32(&rq->in);
        ret->f_blocks = (long)p9_get64(&rq->in);
        ret->f_bfree = (long)p9_get64(&rq->in);
        ret->f_bavail = (long)p9_get64(&rq->in);
        ret->f_files = (long)p9_get64(&rq->in);
        ret->f_ffree = (long)p9_get64(&rq->in);
        fsid = p9_get64(&rq->in);
        ret->f_fsid.val[0] = (int)(uint32_t)fsid;
        ret->f_fsid.val[1] = (int)(uint32_t)(fsid >> 32);
        ret->f_namelen = (long)p9_get32(&rq->in);
        ret->f_frsize = ret->f_bsize;
        if (rq->in.bad)
            err = -EIO;
    }
    ring_put(rq);
    return (int)err;
}

static int gofer_statfs(struct superblock *sb, struct statfs *ret)
{
    struct gofer_sb *gs = gofer_sb(sb);
    uint64_t now = clock_mono_ns();
    int err = 0;

    if (!gs->exclusive || gs->statfs_ns == 0 || now - gs->statfs_ns > STATFS_FRESH_NS) {
        gs->statfs_ns = now;
        err = statfs_request(sb, &gs->statfs);
        if (err < 0)
            gs->statfs_ns = 0;
    }
    *ret = gs->statfs;
    return err;
}

static int gofer_sync(struct superblock *sb)
{
    struct ring_request *rq = ring_get(P9_Tsync);
    long err;

    p9_put32(&rq->out, gofer_sb(sb)->root_fid);
    err = ring_call(rq);
    ring_put(rq);
    return (int)err;
}

const struct super_ops gofer_super_ops = {
    .statfs = gofer_statfs,
    .sync = gofer_sync,
};

/* --- the tables --- */

#define COMMON_OPS                                                                                                     \
    .getattr = gofer_getattr, .setattr = gofer_setattr, .getxattr = gofer_getxattr, .setxattr = gofer_setxattr,        \
    .listxattr = gofer_listxattr, .removexattr = gofer_removexattr, .link = gofer_link, .evict = gofer_evict

const struct inode_ops gofer_dir_inode_ops = {
    COMMON_OPS,
    .lookup = gofer_lookup,
    .lookup_path = gofer_lookup_path,
    .create = gofer_create,
    .mkdir = gofer_mkdir,
    .symlink = gofer_symlink,
    .mknod = gofer_mknod,
    .tmpfile = gofer_tmpfile,
    .unlink = gofer_unlink,
    .rmdir = gofer_rmdir,
    .rename = gofer_rename,
    .open = gofer_open,
};

const struct inode_ops gofer_file_inode_ops = {
    COMMON_OPS,
    .open = gofer_open,
};

const struct inode_ops gofer_symlink_inode_ops = {
    COMMON_OPS,
    .readlink = gofer_readlink,
};

const struct inode_ops gofer_other_inode_ops = {
    COMMON_OPS,
};
