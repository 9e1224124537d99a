/*
 * 9P operations on attributes: getattr, setattr, statfs, readlink, xattrwalk, xattrcreate.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/iov.h"
#include "gofer/engine.h"

#define XATTR_VALUE_MAX 65536 /* XATTR_SIZE_MAX and XATTR_LIST_MAX of Linux */

/* No setuid or setgid files: a guest could leave them behind for other users of the host. */
#define FILE_MODE 01777
#define DIRECTORY_MODE 03777

/*
 * size[4] Tgetattr tag[2] fid[4] request_mask[8]
 * size[4] Rgetattr tag[2] valid[8] qid[13] mode[4] uid[4] gid[4] nlink[8] rdev[8] size[8] blksize[8] blocks[8]
 *         atime, mtime, ctime, btime: sec[8] nsec[8] each; gen[8] data_version[8]
 */
int op_getattr(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    uint64_t mask = p9_get64(&rq->in);
    uint64_t valid = P9_GETATTR_BASIC;
    struct p9_attr attr;
    struct statx st;
    struct fid *fid;
    int err = request_end(rq);

    if (!err)
        err = engine_fid(e, number, &fid);
    if (err)
        return err;
    if (!fid->path && !fid->open)
        return -EBADF;
    err = path_stat(fid_fd(fid), "", &st);
    if (err)
        return err;
    path_attr(fid->x, &e->config.view, &st, &attr);
    if (st.stx_mask & STATX_BTIME)
        valid |= P9_GETATTR_BTIME;
    p9_put64(&rq->out, valid & (mask | P9_GETATTR_BASIC));
    p9_put_attr(&rq->out, &attr);
    p9_put64(&rq->out, 0);
    p9_put64(&rq->out, 0);
    return 0;
}

struct setattr {
    uint32_t valid;
    uint32_t mode;
    uint32_t uid;
    uint32_t gid;
    uint64_t size;
    struct timespec time[2];
};

static struct timespec get_time(struct p9_cursor *c)
{
    uint64_t sec = p9_get64(c);
    uint64_t nsec = p9_get64(c);

    return (struct timespec){ (time_t)sec, (long)nsec };
}

static uint32_t host_id(uint32_t id, uint32_t invoker)
{
    return id == 0 && invoker != UINT32_MAX ? invoker : id;
}

static int set_size(const struct fid *fid, const char *name, uint64_t size)
{
    if (size > INT64_MAX)
        return -EINVAL;
    if (fid->open && (fid->open_flags & O_ACCMODE) != O_RDONLY)
        return ftruncate(fid->open->fd, (off_t)size) < 0 ? -errno : 0;
    if (S_ISDIR(fid->mode))
        return -EISDIR;
    if (!S_ISREG(fid->mode))
        return -EINVAL;
    return truncate(name, (off_t)size) < 0 ? -errno : 0;
}

static int set_mode(const struct fid *fid, const char *name, uint32_t mode)
{
    if (S_ISLNK(fid->mode))
        return -EOPNOTSUPP;
    mode &= S_ISDIR(fid->mode) ? DIRECTORY_MODE : FILE_MODE;
    return chmod(name, mode) < 0 ? -errno : 0;
}

static int set_owner(const struct path_view *view, const struct fid *fid, const struct setattr *a)
{
    uid_t uid = a->valid & P9_SETATTR_UID ? host_id(a->uid, view->invoker_uid) : (uid_t)-1;
    gid_t gid = a->valid & P9_SETATTR_GID ? host_id(a->gid, view->invoker_gid) : (gid_t)-1;

    if (fchownat(fid_fd(fid), "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
        return errno == EINVAL ? -EPERM : -errno; /* an id that our user namespace doesn't have */
    return 0;
}

static int set_times(const char *name, const struct setattr *a)
{
    struct timespec time[2] = { { 0, UTIME_OMIT }, { 0, UTIME_OMIT } };

    if (a->valid & P9_SETATTR_ATIME)
        time[0].tv_nsec = UTIME_NOW;
    if (a->valid & P9_SETATTR_ATIME_SET)
        time[0] = a->time[0];
    if (a->valid & P9_SETATTR_MTIME)
        time[1].tv_nsec = UTIME_NOW;
    if (a->valid & P9_SETATTR_MTIME_SET)
        time[1] = a->time[1];
    return utimensat(AT_FDCWD, name, time, 0) < 0 ? -errno : 0;
}

/* In the order that leaves the most meaning if a later one fails: chown clears mode bits, truncation sets mtime. */
static int apply(const struct engine *e, const struct fid *fid, const struct setattr *a)
{
    const uint32_t times = P9_SETATTR_ATIME | P9_SETATTR_MTIME;
    char name[12];
    int err = 0;

    path_fd_name(fid_fd(fid), name); /* in /proc/self/fd, the gofer's working directory */
    if (a->valid & P9_SETATTR_SIZE)
        err = set_size(fid, name, a->size);
    if (!err && (a->valid & (P9_SETATTR_UID | P9_SETATTR_GID)))
        err = set_owner(&e->config.view, fid, a);
    if (!err && (a->valid & P9_SETATTR_MODE))
        err = set_mode(fid, name, a->mode);
    if (!err && (a->valid & times))
        err = set_times(name, a);
    return err;
}

/*
 * size[4] Tsetattr tag[2] fid[4] valid[4] mode[4] uid[4] gid[4] size[8] atime_sec[8] atime_nsec[8] mtime_sec[8]
 *         mtime_nsec[8]
 */
int op_setattr(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    struct setattr a;
    struct fid *fid;
    int err;

    a.valid = p9_get32(&rq->in);
    a.mode = p9_get32(&rq->in);
    a.uid = p9_get32(&rq->in);
    a.gid = p9_get32(&rq->in);
    a.size = p9_get64(&rq->in);
    a.time[0] = get_time(&rq->in);
    a.time[1] = get_time(&rq->in);
    err = request_end(rq);
    if (!err)
        err = engine_fid(e, number, &fid);
    if (err)
        return err;
    if (fid->kind == FID_STDIO && fid->open) /* the user's own file or terminal: its length, no more */
        return a.valid == P9_SETATTR_SIZE ? set_size(fid, "", a.size) : -EPERM;
    if (fid->kind != FID_FILE)
        return -EBADF;
    return fid->x->writable ? apply(e, fid, &a) : -EROFS;
}

/*
 * size[4] Tstatfs tag[2] fid[4]
 * size[4] Rstatfs tag[2] type[4] bsize[4] blocks[8] bfree[8] bavail[8] files[8] ffree[8] fsid[8] namelen[4]
 */
int op_statfs(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    struct statfs fs;
    uint64_t fsid;
    struct fid *fid;
    int err = request_end(rq);

    if (!err)
        err = engine_fid(e, number, &fid);
    if (err)
        return err;
    if (!fid->path && !fid->open)
        return -EBADF;
    if (fstatfs(fid_fd(fid), &fs) < 0)
        return -errno;
    memcpy(&fsid, &fs.f_fsid, sizeof(fsid));
    p9_put32(&rq->out, (uint32_t)fs.f_type);
    p9_put32(&rq->out, (uint32_t)fs.f_bsize);
    p9_put64(&rq->out, fs.f_blocks);
    p9_put64(&rq->out, fs.f_bfree);
    p9_put64(&rq->out, fs.f_bavail);
    p9_put64(&rq->out, fs.f_files);
    p9_put64(&rq->out, fs.f_ffree);
    p9_put64(&rq->out, fsid);
    p9_put32(&rq->out, (uint32_t)fs.f_namelen);
    return 0;
}

/* size[4] Treadlink tag[2] fid[4] */
int op_readlink(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    char target[P9_PATH_MAX];
    struct fid *fid;
    ssize_t n;
    int err = request_end(rq);

    if (!err)
        err = engine_fid(e, number, &fid);
    if (err)
        return err;
    if (fid->kind != FID_FILE || !S_ISLNK(fid->mode))
        return -EINVAL;
    n = readlinkat(fid->path->fd, "", target, sizeof(target));
    if (n < 0)
        return -errno;
    p9_put_str(&rq->out, target, (size_t)n);
    return 0;
}

/* Extended attributes. */

static bool has_prefix(const char *name, const char *prefix)
{
    return !strncmp(name, prefix, strlen(prefix));
}

static int xattr_name(const struct p9_str *s, char ret_name[P9_NAME_MAX + 1])
{
    if (s->len > P9_NAME_MAX)
        return -ERANGE;
    if (s->len && memchr(s->data, '\0', s->len))
        return -EINVAL;
    if (s->len)
        memcpy(ret_name, s->data, s->len);
    ret_name[s->len] = '\0';
    return 0;
}

/* Programs' own attributes and ACLs may be set; the host's security labels and capabilities may not. */
static bool may_set_xattr(const char *name)
{
    return has_prefix(name, "user.") || has_prefix(name, "system.posix_acl_");
}

static ssize_t xattr_get(const char *path, const char *name, void *value, size_t size)
{
    ssize_t n = *name ? getxattr(path, name, value, size) : listxattr(path, value, size);

    return n < 0 ? -errno : n;
}

static int load_xattr(struct engine *e, const struct fid *file, const char *name, struct fid *value)
{
    char path[12];
    ssize_t n;
    int err;

    path_fd_name(fid_fd(file), path);
    n = xattr_get(path, name, NULL, 0);
    if (n < 0)
        return (int)n;
    err = fid_new_xattr(&e->fids, value, min_size((size_t)n, XATTR_VALUE_MAX));
    if (err)
        return err;
    n = n ? xattr_get(path, name, value->xattr->data, value->xattr->size) : 0;
    if (n < 0)
        return (int)n; /* it grew meanwhile: ERANGE */
    value->xattr->size = (size_t)n;
    return 0;
}

/* size[4] Txattrwalk tag[2] fid[4] newfid[4] name[s]: newfid reads the value; an empty name, the list of names. */
int op_xattrwalk(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    uint32_t newnumber = p9_get32(&rq->in);
    struct p9_str wire_name = p9_get_str(&rq->in);
    char name[P9_NAME_MAX + 1];
    struct fid *fid, *value;
    int err = request_end(rq);

    if (!err)
        err = engine_fid(e, number, &fid);
    if (!err)
        err = xattr_name(&wire_name, name);
    if (err)
        return err;
    if (fid->kind != FID_FILE)
        return -EBADF;
    value = fid_new(&e->fids, newnumber, &err);
    if (!value)
        return err;
    value->kind = FID_XATTR_R;
    err = load_xattr(e, fid, name, value);
    if (err) {
        engine_drop_fid(e, value);
        return err;
    }
    p9_put64(&rq->out, value->xattr->size);
    return 0;
}

/* size[4] Txattrcreate tag[2] fid[4] name[s] attr_size[8] flags[4]: the fid takes the value, and sets it when clunked. */
int op_xattrcreate(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    struct p9_str wire_name = p9_get_str(&rq->in);
    uint64_t size = p9_get64(&rq->in);
    uint32_t flags = p9_get32(&rq->in);
    char name[P9_NAME_MAX + 1];
    struct fid *fid;
    int err = request_end(rq);

    if (!err)
        err = engine_fid(e, number, &fid);
    if (!err)
        err = xattr_name(&wire_name, name);
    if (err)
        return err;
    if (fid->kind != FID_FILE || fid->open || fid->refs > 1)
        return -EBADF;
    if (!fid->x->writable)
        return -EROFS;
    if (!may_set_xattr(name))
        return -EPERM;
    if (size > XATTR_VALUE_MAX)
        return -E2BIG;
    if (flags & ~(uint32_t)(XATTR_CREATE | XATTR_REPLACE))
        return -EINVAL;
    err = fid_new_xattr(&e->fids, fid, size);
    if (err)
        return err;
    fid->xattr->flags = flags;
    strcpy(fid->xattr->name, name);
    fid->kind = FID_XATTR_W;
    return 0;
}

int xattr_read(struct request *rq, const struct fid *fid, uint64_t offset, uint32_t count)
{
    const struct xattr_buf *x = fid->xattr;
    size_t n;

    if (offset > x->size)
        return -EINVAL;
    n = min_size(count, x->size - offset);
    rq->bulk = iov_write(rq->io->out, rq->io->out_count, ENGINE_READ_HEADER, x->data + offset, n);
    p9_put32(&rq->out, (uint32_t)rq->bulk);
    return 0;
}

int xattr_write(struct request *rq, struct fid *fid, uint64_t offset, uint32_t count)
{
    struct xattr_buf *x = fid->xattr;

    if (offset != x->used || count > x->size - x->used)
        return -EINVAL;
    if (iov_read(x->data + offset, rq->io->in, rq->io->in_count, ENGINE_WRITE_HEADER, count) != count)
        return -EBADMSG;
    x->used += count;
    p9_put32(&rq->out, count);
    return 0;
}

/* The value is complete: set it, or remove the attribute if its size is 0 and it is to be replaced (as v9fs does). */
int xattr_clunk(struct engine *e, struct fid *fid)
{
    const struct xattr_buf *x = fid->xattr;
    char path[12];
    int n;

    (void)e;
    if (fid->kind != FID_XATTR_W)
        return 0;
    if (x->used != x->size)
        return -EINVAL;
    path_fd_name(fid_fd(fid), path);
    if (!x->size && x->flags == XATTR_REPLACE)
        n = removexattr(path, x->name);
    else
        n = setxattr(path, x->name, x->data, x->size, (int)x->flags);
    return n < 0 ? -errno : 0;
}
