/*
 * 9P operations that open files: lopen, lcreate, and the extension tmpfile; donation of what is open.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/fdpass.h"
#include "common/roles.h"
#include "gofer/engine.h"

/* Flags that reach the host's open(2). O_DIRECT and O_NOATIME only hint, and have rules that clients can't keep. */
#define OPEN_FLAGS (O_ACCMODE | O_TRUNC | O_APPEND | O_DSYNC | O_SYNC | O_DIRECTORY)

/* For all that the gofer opens: never wait for anything, never take a terminal. */
#define OPEN_ALWAYS (O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

/* A guest must not leave programs behind that run with somebody else's rights. */
#define CREATE_MODE 01777

#define CREATE_RETRIES 4

/* File systems whose pages may take for ever to come: mappings of them are never donated. */
#define SMB_MAGIC 0xfe534d42
#define CIFS_MAGIC 0xff534d42
#define CEPH_MAGIC 0x00c36400
#define LUSTRE_MAGIC 0x0bd00bd0
#define V9FS_MAGIC_NR 0x01021997

int open_flags_of(uint32_t wire_flags)
{
    return (int)(wire_flags & OPEN_FLAGS);
}

static void put_open(const struct engine *e, struct request *rq, const struct fid *fid, const struct statx *st)
{
    struct p9_qid qid;

    path_qid(fid->x, st, &qid);
    p9_put_qid(&rq->out, &qid);
    p9_put32(&rq->out, engine_iounit(e));
}

/* Open a file that was walked to. 0 or -errno. */
int fid_open(struct engine *e, struct fid *fid, uint32_t flags)
{
    int host_flags = open_flags_of(flags);
    struct statx st;
    int fd, err;

    if (fid->kind != FID_FILE || fid->open)
        return -EBADF;
    err = path_stat(fid->path->fd, "", &st);
    if (!err)
        err = path_check_open(fid->x, st.stx_mode, host_flags);
    if (err)
        return err;
    fd = path_reopen(e->config.proc_fd, fid->path->fd, host_flags | OPEN_ALWAYS);
    if (fd < 0)
        return fd;
    fid->open = fdref_new(fd);
    if (!fid->open)
        return -ENOMEM;
    fid->open_flags = flags;
    fid->dir_offset = 0;
    return 0;
}

/* size[4] Tlopen tag[2] fid[4] flags[4] */
int op_lopen(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    uint32_t flags = p9_get32(&rq->in);
    struct fid *fid = NULL;
    struct statx st;
    int err = request_end(rq);

    if (!err)
        err = engine_fid(e, number, &fid);
    if (!err)
        err = fid_open(e, fid, flags);
    if (!err)
        err = path_stat(fid_fd(fid), "", &st);
    if (!err)
        put_open(e, rq, fid, &st);
    return err;
}

/*
 * Open name, and make it if it isn't there. An existing FIFO or device isn't touched; openat2's own O_CREAT
 * would open it.
 */
static int create_at(const struct export *x, int dir_fd, const char *name, uint32_t flags, mode_t mode)
{
    int host_flags = open_flags_of(flags) & ~O_DIRECTORY;

    for (int i = 0; i < CREATE_RETRIES; i++) {
        struct statx st;
        int fd, err;

        fd = path_open_at(x, dir_fd, name, host_flags | O_CREAT | O_EXCL | OPEN_ALWAYS, mode & CREATE_MODE);
        if (fd != -EEXIST || (flags & O_EXCL))
            return fd;
        err = path_stat(dir_fd, name, &st);
        if (!err)
            err = path_check_open(x, st.stx_mode, host_flags);
        if (err && err != -ENOENT)
            return err;
        fd = path_open_at(x, dir_fd, name, host_flags | OPEN_ALWAYS, 0);
        if (fd != -ENOENT)
            return fd;
    }
    return -EAGAIN;
}

/* Let a fid be the file that was just opened in its directory. Takes fd. */
static int become_file(struct fid *fid, int fd, uint32_t flags, struct statx *ret_st)
{
    struct fdref *file;
    int err = path_stat(fd, "", ret_st);

    if (!err)
        err = path_check_open(fid->x, ret_st->stx_mode, open_flags_of(flags) & ~O_DIRECTORY);
    if (err) {
        close(fd);
        return err;
    }
    file = fdref_new(fd);
    if (!file)
        return -ENOMEM;
    fid_forget_file(fid);
    fid->open = file;
    fid->path = fdref_get(file);
    fid->open_flags = flags;
    fid->mode = ret_st->stx_mode;
    fid->is_root = false;
    return 0;
}

static void put_created(const struct engine *e, struct request *rq, const struct fid *fid, const struct statx *st)
{
    put_open(e, rq, fid, st);
    engine_put_made(e, rq, fid->x, st);
}

/* size[4] Tlcreate tag[2] fid[4] name[s] flags[4] mode[4] gid[4]: fid is the directory, and then the file. */
int op_lcreate(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    struct p9_str wire_name = p9_get_str(&rq->in);
    uint32_t flags = p9_get32(&rq->in);
    uint32_t mode = p9_get32(&rq->in);
    char name[P9_NAME_MAX + 1];
    struct fid *fid;
    struct statx st;
    int fd, err;

    p9_get32(&rq->in); /* gid: without capabilities new files get the group that the host decides on */
    err = request_end(rq);
    if (!err)
        err = engine_place(e, number, &wire_name, &fid, name);
    if (err)
        return err;
    if (fid->open || fid->refs > 1)
        return -EBADF;
    fd = create_at(fid->x, fid->path->fd, name, flags, mode);
    if (fd < 0)
        return fd;
    err = become_file(fid, fd, flags, &st);
    if (!err)
        put_created(e, rq, fid, &st);
    return err;
}

/* size[4] Ttmpfile tag[2] dirfid[4] newfid[4] flags[4] mode[4] gid[4] */
int op_tmpfile(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    uint32_t newnumber = p9_get32(&rq->in);
    uint32_t flags = p9_get32(&rq->in);
    uint32_t mode = p9_get32(&rq->in);
    struct fid *dir, *fid;
    struct statx st;
    int fd, err;

    p9_get32(&rq->in);
    err = request_end(rq);
    if (!err)
        err = engine_writable_dir(e, number, &dir);
    if (err)
        return err;
    fid = fid_new(&e->fids, newnumber, &err);
    if (!fid)
        return err;
    fid->x = dir->x;
    fd = path_open_at(dir->x, fid_fd(dir), ".",
                      (open_flags_of(flags) & ~O_TRUNC) | O_TMPFILE | OPEN_ALWAYS | (int)(flags & O_EXCL),
                      mode & CREATE_MODE);
    err = fd < 0 ? fd : become_file(fid, fd, flags & ~(uint32_t)O_TRUNC, &st);
    if (err)
        engine_drop_fid(e, fid);
    else
        put_created(e, rq, fid, &st);
    return err;
}

/* Donation. */

static int check_file_system(int fd)
{
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0)
        return -errno;
    switch ((uint32_t)fs.f_type) {
    case FUSE_SUPER_MAGIC:
    case NFS_SUPER_MAGIC:
    case SMB_SUPER_MAGIC:
    case CODA_SUPER_MAGIC:
    case AFS_SUPER_MAGIC:
    case AFS_FS_MAGIC:
    case SMB_MAGIC:
    case CIFS_MAGIC:
    case CEPH_MAGIC:
    case LUSTRE_MAGIC:
    case V9FS_MAGIC_NR:
        return -EOPNOTSUPP;
    default:
        return 0;
    }
}

/*
 * A descriptor whose access mode is exactly what was asked for. A fid that may write donates a reopened
 * read-only descriptor when the client only wants to read. *ret_own: it is to be closed after use.
 */
static int donated_fd(const struct engine *e, const struct fid *fid, bool writable, bool *ret_own)
{
    uint32_t mode = fid->open_flags & O_ACCMODE;

    *ret_own = false;
    if (writable)
        return mode == O_RDWR ? fid->open->fd : -EACCES;
    if (mode == O_RDONLY)
        return fid->open->fd;
    *ret_own = true;
    return path_reopen(e->config.proc_fd, fid->open->fd, O_RDONLY | OPEN_ALWAYS);
}

static int donate(struct engine *e, struct fid *fid, bool writable, uint32_t *ret_token)
{
    struct gofer_note note = { .type = GOFER_NOTE_DONATE, .value = writable };
    bool own;
    int fd, err;

    if (fid->token[writable]) {
        *ret_token = fid->token[writable];
        return 0;
    }
    if (e->donated_count >= ENGINE_DONATED_MAX)
        return -EMFILE;
    fd = donated_fd(e, fid, writable, &own);
    if (fd < 0)
        return fd;
    note.token = e->next_token;
    err = fdpass_send(e->config.control_fd, &note, sizeof(note), fd, MSG_DONTWAIT);
    if (own)
        close(fd);
    if (err)
        return err;
    e->donated_count++;
    e->next_token = e->next_token == UINT32_MAX ? 1 : e->next_token + 1;
    fid->token[writable] = note.token;
    *ret_token = note.token;
    return 0;
}

/* size[4] Tdonate tag[2] fid[4] writable[1] */
int op_donate(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    bool writable = p9_get8(&rq->in) != 0;
    uint32_t token;
    struct fid *fid;
    struct statx st;
    int err = request_end(rq);

    if (!err)
        err = engine_fid(e, number, &fid);
    if (err)
        return err;
    if (e->config.control_fd < 0)
        return -EOPNOTSUPP;
    if (fid->kind != FID_FILE || !fid->open)
        return -EBADF;
    err = path_stat(fid->open->fd, "", &st);
    if (!err && !S_ISREG(st.stx_mode))
        err = -EINVAL;
    if (!err)
        err = check_file_system(fid->open->fd);
    if (!err)
        err = donate(e, fid, writable, &token);
    if (err)
        return err;
    p9_put32(&rq->out, token);
    p9_put64(&rq->out, st.stx_size);
    return 0;
}
