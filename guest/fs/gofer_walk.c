/*
 * The gofer's file system: finding files and opening them, both by Twalkx. One request walks up to 16 names, tells the
 * attributes of each, and opens the last one if it is going to be opened.
 */
#include "fs/gofer.h"

#include "lib/kmalloc.h"
#include "lib/string.h"

/* How to reach an inode: from a fid, by these names, which are in reverse order. */
struct base {
    uint32_t fid;
    size_t count;
    const char *name[P9_WALK_MAX];
};

/* A Twalkx that was answered. */
struct walk {
    struct ring_request *rq; /* at the first attr behind those of the base */
    uint32_t newfid;
    size_t passed;           /* of the names asked for */
    long error;              /* why it stopped, or wasn't opened; -errno */
};

uint32_t gofer_any_fid(const struct gofer_inode *gi)
{
    if (gi->fid != P9_NOFID)
        return gi->fid;
    for (size_t i = 0; i < ARRAY_SIZE(gi->handle); i++) {
        if (gi->handle[i])
            return gi->handle[i]->fid;
    }
    return P9_NOFID;
}

/* 0; -ENOENT: the file has no name that we know; -E2BIG: *ret_far, max names up, needs a fid first. */
static long find_base(struct inode *inode, size_t max, struct base *ret, struct inode **ret_far)
{
    struct gofer_inode *gi = gofer_i(inode);

    ret->count = 0;
    while ((ret->fid = gofer_any_fid(gi)) == P9_NOFID) {
        if (!gi->parent || gi->inode->nlink == 0)
            return -ENOENT;
        if (ret->count == max) {
            *ret_far = gi->inode;
            return -E2BIG;
        }
        ret->name[ret->count++] = gi->name;
        gi = gofer_i(gi->parent);
    }
    return 0;
}

static void put_walk(struct ring_request *rq, const struct base *base, uint32_t newfid, uint32_t open_flags,
                     const struct name *names, size_t n)
{
    p9_put32(&rq->out, base->fid);
    p9_put32(&rq->out, newfid);
    p9_put32(&rq->out, open_flags);
    p9_put16(&rq->out, (uint16_t)(base->count + n));
    for (size_t i = base->count; i-- > 0;)
        p9_put_str(&rq->out, base->name[i], strlen(base->name[i]));
    for (size_t i = 0; i < n; i++)
        p9_put_str(&rq->out, names[i].str, names[i].len);
}

/* Skip what was told of the way to `from`, and take the news of `from` itself. */
static long skip_base(struct walk *w, struct inode *from, size_t prefix, size_t passed)
{
    struct p9_attr attr;

    if (passed < prefix)
        return w->error < 0 ? w->error : -EIO;
    for (size_t i = 0; i < prefix; i++)
        p9_get_attr(&w->rq->in, &attr);
    if (w->rq->in.bad)
        return -EIO;
    if (prefix == 0)
        return 0;
    if (attr.qid.path != from->ino)
        return -ESTALE; /* another file has its name by now */
    gofer_attr_update(from, &attr);
    return 0;
}

/*
 * Walk n names from `from`; n == 0: to itself. On success the request is the caller's to put; newfid is bound if everything was
 * passed, else forgotten already.
 */
static long walk_once(struct inode *from, const struct name *names, size_t n, uint32_t open_flags, struct walk *w)
{
    struct inode *far = NULL;
    struct base base;
    size_t passed, told;
    bool bound;
    long err;

    for (;;) {
        w->rq = ring_get(P9_Twalkx);
        err = find_base(from, P9_WALK_MAX - n, &base, &far);
        if (err == 0)
            break;
        ring_put(w->rq);
        if (err != -E2BIG)
            return err;
        err = gofer_ensure_fid(far);
        if (err < 0)
            return err;
    }
    w->newfid = gofer_fid_new();
    put_walk(w->rq, &base, w->newfid, open_flags, names, n);
    err = ring_call(w->rq);
    passed = p9_get16(&w->rq->in);
    w->error = -(long)p9_get32(&w->rq->in);
    told = base.count + n > 0 ? base.count + n : 1; /* a clone tells of itself */
    bound = err == 0 && passed == told;
    if (!bound)
        gofer_fid_forget(w->newfid);
    if (err == 0)
        err = skip_base(w, from, told - n, passed);
    if (err < 0) {
        if (bound)
            gofer_clunk(w->newfid);
        ring_put(w->rq);
        return err;
    }
    w->passed = passed - (told - n);
    return 0;
}

/* Where the gofer has no descriptor left, what is only cached is given up, and it is tried once more. */
static long walk_call(struct inode *from, const struct name *names, size_t n, uint32_t open_flags, struct walk *w)
{
    long err = walk_once(from, names, n, open_flags, w);
    long why = err < 0 ? err : w->error;

    if (!gofer_is_full(why))
        return err;
    if (err == 0) {
        if (w->passed == n)
            gofer_clunk(w->newfid);
        ring_put(w->rq);
    }
    gofer_drop_all_cached();
    err = walk_once(from, names, n, open_flags, w);
    if (err == 0 && gofer_is_full(w->error))
        w->error = -ENFILE;
    return gofer_is_full(err) ? -ENFILE : err;
}

/* The end of Rwalkx. */
static bool walk_opened(struct walk *w, struct p9_str *ret_target)
{
    bool opened = p9_get8(&w->rq->in) != 0;

    p9_get32(&w->rq->in); /* iounit */
    *ret_target = p9_get_str(&w->rq->in);
    return opened && !w->rq->in.bad;
}

/* --- fids for requests --- */

static void keep_fid(struct inode *inode, uint32_t fid)
{
    struct gofer_inode *gi = gofer_i(inode);

    if (gi->fid != P9_NOFID) {
        gofer_clunk(fid);
        return;
    }
    gi->fid = fid;
    gofer_touch(inode);
}

long gofer_ensure_fid(struct inode *inode)
{
    struct walk w;
    long err;

    if (gofer_i(inode)->fid != P9_NOFID)
        return 0;
    err = walk_call(inode, NULL, 0, P9_WALKX_NO_OPEN, &w);
    if (err < 0)
        return err;
    ring_put(w.rq);
    keep_fid(inode, w.newfid);
    return 0;
}

long gofer_clone_fid(struct inode *inode, uint32_t *ret)
{
    struct walk w;
    long err = walk_call(inode, NULL, 0, P9_WALKX_NO_OPEN, &w);

    if (err < 0)
        return err;
    ring_put(w.rq);
    *ret = w.newfid;
    return 0;
}

/* The cookie of a walk ahead: the fid, and of how many components it tells if it gets through. */
static uint64_t walk_cookie(uint32_t newfid, size_t told)
{
    return (uint64_t)told << 32 | newfid;
}

static void walk_ahead_done(struct ring_request *rq, long error)
{
    struct inode *inode = rq->context;
    uint32_t newfid = (uint32_t)rq->cookie;

    if (error == 0 && p9_get16(&rq->in) == rq->cookie >> 32)
        keep_fid(inode, newfid);
    else
        gofer_fid_forget(newfid);
    ring_put(rq);
    inode_put(inode);
}

/*
 * Send a walk to inode and don't wait: the gofer serves in order, so the next request may use the fid. Where names don't
 * change behind our back the walk gets through. Returns the fid; P9_NOFID if it can't be done this way.
 */
static uint32_t walk_ahead(struct inode *inode)
{
    struct ring_request *rq;
    struct inode *far;
    struct base base;
    uint32_t newfid;

    if (!gofer_sb(inode->sb)->exclusive || find_base(inode, P9_WALK_MAX, &base, &far) < 0 || base.count == 0)
        return P9_NOFID;
    rq = ring_try_get(P9_Twalkx);
    if (!rq)
        return P9_NOFID;
    newfid = gofer_fid_new();
    put_walk(rq, &base, newfid, P9_WALKX_NO_OPEN, NULL, 0);
    rq->context = inode;
    rq->cookie = walk_cookie(newfid, base.count);
    rq->complete = walk_ahead_done;
    rq->lazy = true;
    inode_get(inode);
    ring_submit(rq);
    return newfid;
}

long gofer_request2(uint8_t type, struct inode *inode, struct inode *other, struct ring_request **ret_rq,
                    uint32_t *ret_other)
{
    for (;;) {
        struct ring_request *rq = ring_get(type);
        uint32_t fid = gofer_any_fid(gofer_i(inode));
        uint32_t other_fid = other ? gofer_any_fid(gofer_i(other)) : 0;
        long err;

        if (fid == P9_NOFID && !other)
            fid = walk_ahead(inode);

        if (fid != P9_NOFID && other_fid != P9_NOFID) {
            p9_put32(&rq->out, fid);
            *ret_rq = rq;
            if (other)
                *ret_other = other_fid;
            return 0;
        }
        ring_put(rq);
        err = gofer_ensure_fid(fid == P9_NOFID ? inode : other);
        if (err < 0)
            return err;
    }
}

long gofer_request(uint8_t type, struct inode *inode, struct ring_request **ret_rq)
{
    return gofer_request2(type, inode, NULL, ret_rq, NULL);
}

/* --- lookup --- */

/* What a lookup for open(2) may open ahead: nothing that has an effect or may be refused later. */
static uint32_t intent_flags(const struct superblock *sb, uint32_t open_flags)
{
    uint32_t access = open_flags & O_ACCMODE;

    if (open_flags == VFS_NO_OPEN || (open_flags & O_PATH) || (open_flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
        return P9_WALKX_NO_OPEN;
    if (access == O_ACCMODE || (access != O_RDONLY && (sb->flags & SB_READONLY)))
        return P9_WALKX_NO_OPEN;
    return access;
}

void gofer_keep_handle(struct inode *inode, struct gofer_handle *h)
{
    struct gofer_inode *gi = gofer_i(inode);

    if (h->flags > O_RDWR || gi->handle[h->flags])
        return;
    h->refs++;
    gi->handle[h->flags] = h;
    gofer_touch(inode);
}

/* All names were passed: keep what newfid stands for with the last inode. */
static void keep_walked(struct inode *inode, uint32_t newfid, bool opened, uint32_t flags)
{
    struct gofer_handle *h;

    if (!opened) {
        keep_fid(inode, newfid);
        return;
    }
    h = gofer_handle_new(newfid, flags);
    if (!h)
        return;
    gofer_keep_handle(inode, h);
    gofer_handle_put(h);
}

/* The inodes that were passed. Returns how many; fewer if memory is short. */
static size_t decode_inodes(struct walk *w, struct inode *dir, const struct name *names, struct inode **ret)
{
    struct inode *parent = dir;
    struct p9_attr attr;

    for (size_t i = 0; i < w->passed; i++) {
        p9_get_attr(&w->rq->in, &attr);
        ret[i] = w->rq->in.bad ? NULL : gofer_inode_get(dir->sb, &attr, parent, &names[i]);
        if (!ret[i])
            return i;
        parent = ret[i];
    }
    return w->passed;
}

int gofer_lookup_path(struct inode *dir, const struct name *names, size_t n, uint32_t open_flags, struct inode **ret,
                      bool *ret_negative)
{
    uint32_t flags = intent_flags(dir->sb, open_flags);
    struct p9_str target;
    struct inode *last;
    struct walk w;
    bool opened;
    size_t count;
    long err;

    if (gofer_sb(dir->sb)->exclusive && n > 0) {
        int found = gofer_list_lookup(dir, names, n > 1 || flags != P9_WALKX_NO_OPEN, ret);

        if (found != 0)
            return found;
    }
    err = walk_call(dir, names, n, flags, &w);
    if (err < 0)
        return (int)err;
    count = decode_inodes(&w, dir, names, ret);
    if (count < w.passed) {
        if (w.passed == n)
            gofer_clunk(w.newfid);
        ring_put(w.rq);
        return count > 0 ? (int)count : -ENOMEM;
    }
    last = count > 0 ? ret[count - 1] : NULL;
    opened = walk_opened(&w, &target);
    if (last && S_ISLNK(last->mode) && !last->link && target.len > 0 && gofer_sb(dir->sb)->exclusive)
        last->link = kstrndup(target.data, target.len);
    ring_put(w.rq);
    if (count == n) {
        keep_walked(last, w.newfid, opened, flags);
        return (int)count;
    }
    *ret_negative = w.error == -ENOENT && (!last || S_ISDIR(last->mode));
    if (*ret_negative && !last && flags != P9_WALKX_NO_OPEN)
        gofer_list_missed(dir);
    if (count > 0)
        return (int)count;
    return w.error < 0 ? (int)w.error : -EIO;
}

struct inode *gofer_lookup(struct inode *dir, const struct name *name)
{
    struct inode *inode = NULL;
    bool negative = false;
    int n = gofer_lookup_path(dir, name, 1, VFS_NO_OPEN, &inode, &negative);

    return n < 0 ? err_ptr(n) : inode;
}

/* --- open --- */

/* What matters to the host. The VFS does the rest, O_SYNC by fsync after each write. */
static uint32_t host_flags(const struct inode *inode, uint32_t flags)
{
    uint32_t ret = flags & O_ACCMODE;

    if (ret == O_ACCMODE)
        ret = O_RDWR;
    /* Others append too: only the host can do that right. */
    if ((flags & O_APPEND) && !gofer_sb(inode->sb)->exclusive)
        ret |= O_APPEND;
    return ret;
}

long gofer_open_handle(struct inode *inode, uint32_t flags, struct gofer_handle **ret)
{
    struct p9_str target;
    struct walk w;
    bool opened;
    long err = walk_call(inode, NULL, 0, flags, &w);

    if (err < 0)
        return err;
    opened = walk_opened(&w, &target);
    ring_put(w.rq);
    if (!opened) {
        keep_fid(inode, w.newfid);
        return w.error < 0 ? w.error : -EIO;
    }
    *ret = gofer_handle_new(w.newfid, flags);
    return *ret ? 0 : -ENOMEM;
}

int gofer_open(struct inode *inode, struct file *f)
{
    struct gofer_inode *gi = gofer_i(inode);
    uint32_t flags = host_flags(inode, f->flags);
    struct gofer_handle *h = flags <= O_RDWR ? gi->handle[flags] : NULL;
    long err;

    if (h) {
        h->refs++;
        gofer_touch(inode);
    } else if (S_ISDIR(inode->mode) && flags == O_RDONLY && gofer_list_open(inode)) {
        /* Whoever could list it can open it: when that is needed. */
    } else {
        err = gofer_open_handle(inode, flags, &h);
        if (err < 0)
            return (int)err;
        gofer_keep_handle(inode, h);
    }
    if (S_ISDIR(inode->mode)) {
        err = gofer_open_dir(f, h);
        if (err < 0) {
            gofer_handle_put(h);
            return (int)err;
        }
    } else {
        f->data = h;
        f->ops = &gofer_file_ops;
    }
    gi->open_count++;
    return 0;
}
