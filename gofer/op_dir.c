/*
 * 9P operations on directories: everything that makes, moves or removes names. Listings: op_list.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/checked.h"
#include "gofer/engine.h"

#define RENAME_FLAGS (RENAME_NOREPLACE | RENAME_EXCHANGE) /* whiteouts are devices */
#define DIRECTORY_MODE 01777

static int put_made_at(const struct engine *e, struct request *rq, const struct fid *dir, const char *name)
{
    struct p9_qid qid;
    struct statx st;
    int err = path_stat(fid_fd(dir), name, &st);

    if (err)
        return err;
    path_qid(dir->x, &st, &qid);
    p9_put_qid(&rq->out, &qid);
    engine_put_made(e, rq, dir->x, &st);
    return 0;
}

/* size[4] Tmkdir tag[2] dfid[4] name[s] mode[4] gid[4] */
int op_mkdir(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    struct p9_str wire_name = p9_get_str(&rq->in);
    uint32_t mode = p9_get32(&rq->in);
    char name[P9_NAME_MAX + 1];
    struct fid *dir;
    int err;

    p9_get32(&rq->in);
    err = request_end(rq);
    if (!err)
        err = engine_place(e, number, &wire_name, &dir, name);
    if (err)
        return err;
    if (mkdirat(fid_fd(dir), name, mode & DIRECTORY_MODE) < 0)
        return -errno;
    return put_made_at(e, rq, dir, name);
}

/* size[4] Tsymlink tag[2] fid[4] name[s] symtgt[s] gid[4]: the target is the client's text, we never follow it. */
int op_symlink(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    struct p9_str wire_name = p9_get_str(&rq->in);
    struct p9_str wire_target = p9_get_str(&rq->in);
    char name[P9_NAME_MAX + 1];
    char target[P9_PATH_MAX];
    struct fid *dir;
    int err;

    p9_get32(&rq->in);
    err = request_end(rq);
    if (!err)
        err = engine_place(e, number, &wire_name, &dir, name);
    if (err)
        return err;
    if (!wire_target.len)
        return -ENOENT;
    if (wire_target.len >= sizeof(target))
        return -ENAMETOOLONG;
    if (memchr(wire_target.data, '\0', wire_target.len))
        return -EINVAL;
    memcpy(target, wire_target.data, wire_target.len);
    target[wire_target.len] = '\0';
    if (symlinkat(target, fid_fd(dir), name) < 0)
        return -errno;
    return put_made_at(e, rq, dir, name);
}

/*
 * What may be made: never a device. An overlay's upper layer also takes whiteouts, character devices 0/0, for which the
 * kernel asks no privilege because nobody can open them.
 */
static int check_mknod(const struct export *x, uint32_t mode, uint32_t major_number, uint32_t minor_number)
{
    if (x->upper && S_ISCHR(mode) && !major_number && !minor_number)
        return 0;
    return !(mode & S_IFMT) || S_ISREG(mode) || S_ISFIFO(mode) || S_ISSOCK(mode) ? 0 : -EPERM;
}

/* size[4] Tmknod tag[2] dfid[4] name[s] mode[4] major[4] minor[4] gid[4] */
int op_mknod(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    struct p9_str wire_name = p9_get_str(&rq->in);
    uint32_t mode = p9_get32(&rq->in);
    char name[P9_NAME_MAX + 1];
    struct fid *dir;
    uint32_t major_number, minor_number;
    int err;

    major_number = p9_get32(&rq->in);
    minor_number = p9_get32(&rq->in);
    p9_get32(&rq->in);
    err = request_end(rq);
    if (!err)
        err = engine_place(e, number, &wire_name, &dir, name);
    if (!err)
        err = check_mknod(dir->x, mode, major_number, minor_number);
    if (err)
        return err;
    if (mknodat(fid_fd(dir), name, mode & (S_IFMT | 01777), 0) < 0)
        return -errno;
    return put_made_at(e, rq, dir, name);
}

/* size[4] Tlink tag[2] dfid[4] fid[4] name[s] */
int op_link(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    uint32_t target_number = p9_get32(&rq->in);
    struct p9_str wire_name = p9_get_str(&rq->in);
    char name[P9_NAME_MAX + 1];
    char target[12];
    struct fid *dir, *fid;
    int err = request_end(rq);

    if (!err)
        err = engine_fid(e, target_number, &fid);
    if (!err)
        err = engine_place(e, number, &wire_name, &dir, name);
    if (err)
        return err;
    if (fid->kind != FID_FILE)
        return -EBADF;
    if (fid->x != dir->x)
        return -EXDEV;
    path_fd_name(fid_fd(fid), target);
    if (linkat(e->config.proc_fd, target, fid_fd(dir), name, AT_SYMLINK_FOLLOW) < 0)
        return -errno;
    return 0;
}

static int rename_at(struct fid *olddir, const char *oldname, struct fid *newdir, const char *newname, uint32_t flags)
{
    if (olddir->x != newdir->x)
        return -EXDEV;
    if (flags & ~(uint32_t)RENAME_FLAGS)
        return -EINVAL;
    return renameat2(fid_fd(olddir), oldname, fid_fd(newdir), newname, flags) < 0 ? -errno : 0;
}

static int rename_request(struct engine *e, struct request *rq, bool with_flags)
{
    uint32_t oldnumber = p9_get32(&rq->in);
    struct p9_str wire_old = p9_get_str(&rq->in);
    uint32_t newnumber = p9_get32(&rq->in);
    struct p9_str wire_new = p9_get_str(&rq->in);
    uint32_t flags = with_flags ? p9_get32(&rq->in) : 0;
    char oldname[P9_NAME_MAX + 1], newname[P9_NAME_MAX + 1];
    struct fid *olddir = NULL, *newdir = NULL;
    int err = request_end(rq);

    if (!err)
        err = engine_place(e, oldnumber, &wire_old, &olddir, oldname);
    if (!err)
        err = engine_place(e, newnumber, &wire_new, &newdir, newname);
    return err ? err : rename_at(olddir, oldname, newdir, newname, flags);
}

/* size[4] Trenameat tag[2] olddirfid[4] oldname[s] newdirfid[4] newname[s] */
int op_renameat(struct engine *e, struct request *rq)
{
    return rename_request(e, rq, false);
}

/* Layout: p9.h. */
int op_rename2(struct engine *e, struct request *rq)
{
    return rename_request(e, rq, true);
}

/*
 * Does the name that the fid was walked by still lead to its file? Others may have moved it; between this look and the
 * use of the name they may do so still, which can hurt no one but the export's own files.
 */
static int check_own_name(const struct fid *fid)
{
    struct statx mine, there;
    int err;

    if (fid->kind != FID_FILE || !fid->parent)
        return -EBUSY; /* the root of an export */
    if (!fid->x->writable)
        return -EROFS;
    err = path_stat(fid_fd(fid), "", &mine);
    if (!err)
        err = path_stat(fid->parent->fd, fid->name, &there);
    if (err)
        return err;
    return mine.stx_ino == there.stx_ino && path_dev(&mine) == path_dev(&there) ? 0 : -ESTALE;
}

/* size[4] Trename tag[2] fid[4] dfid[4] name[s] */
int op_rename(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    uint32_t dirnumber = p9_get32(&rq->in);
    struct p9_str wire_name = p9_get_str(&rq->in);
    char name[P9_NAME_MAX + 1];
    struct fid *fid = NULL, *dir = NULL;
    char *kept;
    int err = request_end(rq);

    if (!err)
        err = engine_fid(e, number, &fid);
    if (!err)
        err = engine_place(e, dirnumber, &wire_name, &dir, name);
    if (!err)
        err = check_own_name(fid);
    if (!err && fid->x != dir->x)
        err = -EXDEV;
    if (err)
        return err;
    kept = strdup(name);
    if (!kept)
        return -ENOMEM;
    if (renameat(fid->parent->fd, fid->name, fid_fd(dir), name) < 0) {
        err = -errno;
        free(kept);
        return err;
    }
    free(fid->name);
    fid->name = kept;
    fdref_put(fid->parent);
    fid->parent = fdref_get(dir->path);
    return 0;
}

/* size[4] Tunlinkat tag[2] dirfd[4] name[s] flags[4] */
int op_unlinkat(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    struct p9_str wire_name = p9_get_str(&rq->in);
    uint32_t flags = p9_get32(&rq->in);
    char name[P9_NAME_MAX + 1];
    struct fid *dir;
    int err = request_end(rq);

    if (!err)
        err = engine_place(e, number, &wire_name, &dir, name);
    if (err)
        return err;
    if (flags & ~(uint32_t)AT_REMOVEDIR)
        return -EINVAL;
    return unlinkat(fid_fd(dir), name, (int)flags) < 0 ? -errno : 0;
}

/* size[4] Tremove tag[2] fid[4]: the fid is clunked even if that fails. */
int op_remove(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    struct fid *fid;
    int err = request_end(rq);

    if (!err)
        err = engine_fid(e, number, &fid);
    if (err)
        return err;
    err = check_own_name(fid);
    if (!err && unlinkat(fid->parent->fd, fid->name, S_ISDIR(fid->mode) ? AT_REMOVEDIR : 0) < 0)
        err = -errno;
    engine_drop_fid(e, fid);
    return err;
}
