/*
 * The gofer's file system: making, linking, renaming and removing names. The VFS has checked what can be checked in
 * here and holds the directories' locks.
 *
 * The gofer's answers bring the new file's attributes. Those of other files that change are marked stale: the next stat asks.
 */
#include "fs/gofer.h"

#include "lib/kmalloc.h"
#include "lib/string.h"

#define UNLINK_DIRECTORY 0x200 /* AT_REMOVEDIR on the wire */

static void put_name(struct ring_request *rq, const struct name *name)
{
    p9_put_str(&rq->out, name->str, name->len);
}

/* The directory has changed: nobody has told us its new times and size. */
static void dir_changed(struct inode *dir)
{
    inode_touch(dir, ATTR_MTIME | ATTR_CTIME);
    gofer_set_stale(gofer_i(dir));
}

static long call_and_put(struct ring_request *rq)
{
    long err = ring_call(rq);

    ring_put(rq);
    return err;
}

/*
 * The inode of a file that was made just now; err_ptr. The host may have given it another owner than this sandbox would have: whoever made it
 * shall have it until somebody looks.
 */
static struct inode *new_inode(struct inode *dir, const struct name *name, const struct p9_attr *told, uint32_t mode)
{
    struct timestamp now = timestamp_now();
    struct p9_attr guess = {
        .qid = told->qid,
        .mode = mode,
        .uid = vfs_fsuid(),
        .gid = vfs_new_gid(dir),
        .nlink = S_ISDIR(mode) ? 2 : 1,
        .blksize = PAGE_SIZE,
        .atime_sec = (uint64_t)now.sec,
        .atime_nsec = now.nsec,
        .mtime_sec = (uint64_t)now.sec,
        .mtime_nsec = now.nsec,
        .ctime_sec = (uint64_t)now.sec,
        .ctime_nsec = now.nsec,
    };
    bool known = told->uid == guess.uid && told->gid == guess.gid && ((told->mode ^ mode) & S_IFMT) == 0;
    struct inode *inode = gofer_inode_get(dir->sb, known ? told : &guess, name ? dir : NULL, name);

    if (!inode)
        return err_ptr(-ENOMEM);
    if (!known)
        gofer_set_stale(gofer_i(inode));
    dir_changed(dir);
    if (name)
        gofer_list_drop(dir);
    return inode;
}

/* What the reply says of the file that was made, behind a qid, and an iounit if it was opened too. False: it makes no sense. */
static bool get_made(struct ring_request *rq, bool opened, struct p9_attr *ret)
{
    p9_get_qid(&rq->in);
    if (opened)
        p9_get32(&rq->in);
    p9_get_attr(&rq->in, ret);
    return !rq->in.bad;
}

/* Send a request that makes a file. */
static struct inode *call_for_inode(struct ring_request *rq, bool opened, struct inode *dir, const struct name *name, uint32_t mode)
{
    struct p9_attr attr;
    long err = ring_call(rq);

    if (err == 0 && !get_made(rq, opened, &attr))
        err = -EIO;
    ring_put(rq);
    return err < 0 ? err_ptr(err) : new_inode(dir, name, &attr, mode);
}

/* --- create: the fid of the directory becomes that of the file, so it must be a copy --- */

static void put_clone(struct ring_request *rq, uint32_t fid, uint32_t newfid)
{
    p9_put32(&rq->out, fid);
    p9_put32(&rq->out, newfid);
    p9_put32(&rq->out, P9_WALKX_NO_OPEN);
    p9_put16(&rq->out, 0);
}

static void put_create(struct ring_request *rq, struct inode *dir, uint32_t fid, const struct name *name, uint32_t flags,
                       uint32_t mode)
{
    p9_put32(&rq->out, fid);
    put_name(rq, name);
    p9_put32(&rq->out, flags | O_CREAT);
    p9_put32(&rq->out, mode);
    p9_put32(&rq->out, vfs_new_gid(dir));
}

/* Copy and create in one round trip: the gofer serves both in order. Returns the Tlcreate, answered; NULL if it must be done singly. */
static struct ring_request *create_at_once(struct inode *dir, uint32_t newfid, const struct name *name, uint32_t flags,
                                           uint32_t mode, long *ret_err, long *ret_clone_err)
{
    struct ring_request *clone = ring_get(P9_Twalkx);
    struct ring_request *create = ring_try_get(P9_Tlcreate);
    uint32_t fid = gofer_any_fid(gofer_i(dir));

    if (!create || fid == P9_NOFID) {
        if (create)
            ring_put(create);
        ring_put(clone);
        return NULL;
    }
    put_clone(clone, fid, newfid);
    put_create(create, dir, newfid, name, flags, mode);
    ring_submit(clone);
    ring_submit(create);
    *ret_clone_err = ring_wait(clone);
    *ret_err = ring_wait(create);
    ring_put(clone);
    return create;
}

static struct ring_request *create_singly(struct inode *dir, uint32_t *newfid, const struct name *name, uint32_t flags,
                                          uint32_t mode, long *ret_err, long *ret_clone_err)
{
    struct ring_request *create = NULL;

    gofer_fid_forget(*newfid);
    *ret_clone_err = gofer_clone_fid(dir, newfid);
    *ret_err = *ret_clone_err;
    if (*ret_clone_err == 0) {
        create = ring_get(P9_Tlcreate);
        put_create(create, dir, *newfid, name, flags, mode);
        *ret_err = ring_call(create);
    } else {
        *newfid = P9_NOFID;
    }
    return create;
}

/* The Tlcreate that made the file, answered, whose fid is then *ret_fid; or NULL and *ret_err. */
static struct ring_request *create_once(struct inode *dir, const struct name *name, uint32_t flags, uint32_t mode,
                                        uint32_t *ret_fid, long *ret_err)
{
    uint32_t newfid = gofer_fid_new();
    long err = gofer_ensure_fid(dir), clone_err = err;
    struct ring_request *rq = NULL;

    if (err == 0)
        rq = create_at_once(dir, newfid, name, flags, mode, &err, &clone_err);
    if (err == 0 && !rq)
        rq = create_singly(dir, &newfid, name, flags, mode, &err, &clone_err);
    if (clone_err < 0)
        err = clone_err; /* the other request only met a fid that isn't there */
    if (err == 0) {
        *ret_fid = newfid;
        return rq;
    }
    if (rq)
        ring_put(rq);
    if (clone_err == 0)
        gofer_clunk(newfid);
    else if (newfid != P9_NOFID)
        gofer_fid_forget(newfid);
    *ret_err = err;
    return NULL;
}

struct inode *gofer_create(struct inode *dir, const struct name *name, uint32_t mode, uint32_t open_flags)
{
    uint32_t access = open_flags == VFS_NO_OPEN || (open_flags & O_ACCMODE) == O_ACCMODE ? O_RDWR : open_flags & O_ACCMODE;
    uint32_t flags = access | (open_flags == VFS_NO_OPEN ? O_EXCL : open_flags & O_EXCL);
    struct ring_request *rq;
    struct gofer_handle *h;
    struct inode *inode;
    struct p9_attr attr;
    uint32_t newfid;
    long err = 0;
    bool bad;

    rq = create_once(dir, name, flags, mode, &newfid, &err);
    if (!rq && gofer_is_full(err)) {
        gofer_drop_all_cached();
        rq = create_once(dir, name, flags, mode, &newfid, &err);
    }
    if (!rq)
        return err_ptr(gofer_is_full(err) ? -ENFILE : err);
    bad = !get_made(rq, true, &attr);
    ring_put(rq);
    if (bad) {
        gofer_clunk(newfid);
        return err_ptr(-EIO);
    }
    h = gofer_handle_new(newfid, access);
    inode = new_inode(dir, name, &attr, S_IFREG | mode);
    if (h && !is_err(inode))
        gofer_keep_handle(inode, h);
    gofer_handle_put(h);
    return inode;
}

struct inode *gofer_tmpfile(struct inode *dir, uint32_t mode)
{
    uint32_t newfid = gofer_fid_new();
    struct ring_request *rq;
    struct gofer_handle *h;
    struct inode *inode;
    long err = gofer_request(P9_Ttmpfile, dir, &rq);

    if (err < 0) {
        gofer_fid_forget(newfid);
        return err_ptr(err);
    }
    p9_put32(&rq->out, newfid);
    p9_put32(&rq->out, O_RDWR);
    p9_put32(&rq->out, mode);
    p9_put32(&rq->out, vfs_new_gid(dir));
    inode = call_for_inode(rq, true, dir, NULL, S_IFREG | mode);
    if (is_err(inode)) {
        gofer_fid_forget(newfid);
        return inode;
    }
    inode->nlink = 0;
    h = gofer_handle_new(newfid, O_RDWR);
    if (h)
        gofer_keep_handle(inode, h);
    gofer_handle_put(h);
    return inode;
}

struct inode *gofer_mkdir(struct inode *dir, const struct name *name, uint32_t mode)
{
    struct ring_request *rq;
    struct inode *inode;
    long err = gofer_request(P9_Tmkdir, dir, &rq);

    if (err < 0)
        return err_ptr(err);
    put_name(rq, name);
    p9_put32(&rq->out, mode);
    p9_put32(&rq->out, vfs_new_gid(dir));
    inode = call_for_inode(rq, false, dir, name, S_IFDIR | mode);
    if (!is_err(inode))
        dir->nlink++;
    return inode;
}

struct inode *gofer_symlink(struct inode *dir, const struct name *name, const char *target)
{
    struct ring_request *rq;
    struct inode *inode;
    long err = gofer_request(P9_Tsymlink, dir, &rq);

    if (err < 0)
        return err_ptr(err);
    put_name(rq, name);
    p9_put_str(&rq->out, target, strlen(target));
    p9_put32(&rq->out, vfs_new_gid(dir));
    inode = call_for_inode(rq, false, dir, name, S_IFLNK | 0777);
    if (!is_err(inode)) {
        inode->size = strlen(target);
        if (gofer_sb(dir->sb)->exclusive && !inode->link)
            inode->link = kstrdup(target);
    }
    return inode;
}

struct inode *gofer_mknod(struct inode *dir, const struct name *name, uint32_t mode, uint64_t rdev)
{
    struct ring_request *rq;
    struct inode *inode;
    long err = gofer_request(P9_Tmknod, dir, &rq);

    if (err < 0)
        return err_ptr(err);
    put_name(rq, name);
    p9_put32(&rq->out, mode);
    p9_put32(&rq->out, vfs_major(rdev));
    p9_put32(&rq->out, vfs_minor(rdev));
    p9_put32(&rq->out, vfs_new_gid(dir));
    inode = call_for_inode(rq, false, dir, name, mode);
    if (!is_err(inode))
        inode->rdev = rdev;
    return inode;
}

/* --- existing files --- */

int gofer_link(struct inode *inode, struct inode *dir, const struct name *name)
{
    struct ring_request *rq;
    uint32_t file_fid;
    long err = gofer_request2(P9_Tlink, dir, inode, &rq, &file_fid);

    if (err < 0)
        return (int)err;
    p9_put32(&rq->out, file_fid);
    put_name(rq, name);
    err = call_and_put(rq);
    if (err < 0)
        return (int)err;
    inode->nlink++;
    inode_touch(inode, ATTR_CTIME);
    gofer_set_stale(gofer_i(inode));
    if (!gofer_i(inode)->parent)
        gofer_set_place(inode, dir, name);
    dir_changed(dir);
    gofer_list_drop(dir);
    return 0;
}

/* The name of victim goes away. If the file lives on it must be reachable by a fid, as its other names aren't known. */
static long before_unlink(struct inode *dir, struct inode *victim)
{
    if (victim->nlink < 2 || S_ISDIR(victim->mode) || gofer_i(victim)->parent != dir)
        return 0;
    return gofer_ensure_fid(victim);
}

static void after_unlink(struct inode *dir, const struct name *name, struct inode *victim)
{
    if (S_ISDIR(victim->mode)) {
        gofer_list_drop(victim);
        victim->nlink = 0;
        dir->nlink--;
    } else if (victim->nlink > 0) {
        victim->nlink--;
    }
    inode_touch(victim, ATTR_CTIME);
    gofer_forget_place(victim, dir, name);
    if (victim->nlink == 0)
        inode_unhash(victim); /* the host may use its number again */
    else
        gofer_set_stale(gofer_i(victim));
}

static int unlink_at(struct inode *dir, const struct name *name, struct inode *victim, uint32_t flags)
{
    struct ring_request *rq;
    long err = before_unlink(dir, victim);

    if (err == 0)
        err = gofer_request(P9_Tunlinkat, dir, &rq);
    if (err < 0)
        return (int)err;
    put_name(rq, name);
    p9_put32(&rq->out, flags);
    err = call_and_put(rq);
    if (err < 0)
        return (int)err;
    after_unlink(dir, name, victim);
    dir_changed(dir);
    gofer_list_removed(dir, name);
    return 0;
}

int gofer_unlink(struct inode *dir, const struct name *name, struct inode *victim)
{
    return unlink_at(dir, name, victim, 0);
}

int gofer_rmdir(struct inode *dir, const struct name *name, struct inode *victim)
{
    return unlink_at(dir, name, victim, UNLINK_DIRECTORY);
}

static long rename_call(struct inode *old_dir, const struct name *old_name, struct inode *new_dir,
                        const struct name *new_name, uint32_t flags)
{
    struct ring_request *rq;
    uint32_t new_fid;
    long err = gofer_request2(P9_Trename2, old_dir, new_dir, &rq, &new_fid);

    if (err < 0)
        return err;
    put_name(rq, old_name);
    p9_put32(&rq->out, new_fid);
    put_name(rq, new_name);
    p9_put32(&rq->out, flags);
    return call_and_put(rq);
}

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2u
#endif

int gofer_rename(struct inode *old_dir, const struct name *old_name, struct inode *inode, struct inode *new_dir,
                 const struct name *new_name, struct inode *target, uint32_t flags)
{
    bool exchange = flags & RENAME_EXCHANGE;
    long err = target && !exchange ? before_unlink(new_dir, target) : 0;

    if (err == 0)
        err = rename_call(old_dir, old_name, new_dir, new_name, flags);
    if (err < 0)
        return (int)err;
    if (target && exchange)
        gofer_set_place(target, old_dir, old_name);
    else if (target)
        after_unlink(new_dir, new_name, target);
    gofer_set_place(inode, new_dir, new_name);
    if (S_ISDIR(inode->mode) && !(target && exchange && S_ISDIR(target->mode))) {
        old_dir->nlink--;
        new_dir->nlink++;
    }
    inode_touch(inode, ATTR_CTIME);
    gofer_set_stale(gofer_i(inode));
    dir_changed(old_dir);
    dir_changed(new_dir);
    gofer_list_drop(new_dir);
    if (exchange)
        gofer_list_drop(old_dir);
    else
        gofer_list_removed(old_dir, old_name);
    return 0;
}
