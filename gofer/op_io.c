/*
 * 9P operations on open files: read, write, fsync, lock, getlock, and the extensions seek, fallocate, sync.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/iov.h"
#include "gofer/engine.h"

/* Above this a transfer goes to a worker, so that others needn't wait for it. */
#define INLINE_IO_MAX (256u << 10)

#define LOCK_SUCCESS 0
#define LOCK_BLOCKED 1
#define LOCK_TYPE_READ 0
#define LOCK_TYPE_WRITE 1
#define LOCK_TYPE_UNLOCK 2

static int open_fid(struct engine *e, uint32_t number, struct fid **ret)
{
    int err = engine_fid(e, number, ret);

    if (err)
        return err;
    return (*ret)->kind == FID_FILE || (*ret)->kind == FID_STDIO ? ((*ret)->open ? 0 : -EBADF) : -EBADF;
}

static struct job *new_job(struct engine *e, struct request *rq, struct fid *fid, enum job_op op)
{
    struct job *job = job_new(e, rq->io, rq->type, rq->tag, fid);

    if (!job)
        return NULL;
    job->op = op;
    job->fd = fid_fd(fid);
    return job;
}

static int queue_job(struct engine *e, struct job *job)
{
    int err = job_queue(e, job);

    if (!err)
        return ENGINE_DEFERRED;
    job_free(e, job);
    return err;
}

static int queue_transfer(struct engine *e, struct request *rq, struct fid *fid, enum job_op op,
                          uint64_t offset, uint32_t count)
{
    struct job *job = new_job(e, rq, fid, op);

    if (!job)
        return -ENOBUFS;
    job->offset = offset;
    job->total = count;
    job->vec_count = op == JOB_PREAD ?
                         iov_slice(rq->io->out, rq->io->out_count, ENGINE_READ_HEADER, count, job->vec) :
                         iov_slice(rq->io->in, rq->io->in_count, ENGINE_WRITE_HEADER, count, job->vec);
    return queue_job(e, job);
}

/* Read what is in the page cache; -EAGAIN if the disk is needed. */
static ssize_t read_cached(struct fid *fid, const struct iovec *vec, size_t n, uint64_t offset)
{
    ssize_t got;

    if (!fid->no_nowait) {
        got = preadv2(fid->open->fd, vec, (int)n, (off_t)offset, RWF_NOWAIT);
        if (got >= 0 || errno != EOPNOTSUPP)
            return got < 0 ? -errno : got;
        fid->no_nowait = true;
    }
    got = preadv(fid->open->fd, vec, (int)n, (off_t)offset);
    return got < 0 ? -errno : got;
}

static int read_file(struct engine *e, struct request *rq, struct fid *fid, uint64_t offset, uint32_t count)
{
    struct iovec vec[P9_IO_VECTORS];
    size_t n;
    ssize_t got, more;

    if (count > INLINE_IO_MAX)
        return queue_transfer(e, rq, fid, JOB_PREAD, offset, count);
    n = iov_slice(rq->io->out, rq->io->out_count, ENGINE_READ_HEADER, count, vec);
    got = read_cached(fid, vec, n, offset);
    if (got == -EAGAIN)
        return queue_transfer(e, rq, fid, JOB_PREAD, offset, count);
    if (got < 0)
        return (int)got;
    if (got && (size_t)got < count && !fid->no_nowait) {
        /* The end of the file, or of what is cached. */
        n = iov_slice(rq->io->out, rq->io->out_count, ENGINE_READ_HEADER + (size_t)got, count - (size_t)got, vec);
        more = preadv(fid->open->fd, vec, (int)n, (off_t)(offset + (size_t)got));
        got += more > 0 ? more : 0;
    }
    p9_put32(&rq->out, (uint32_t)got);
    rq->bulk = (size_t)got;
    return 0;
}

/* size[4] Tread tag[2] fid[4] offset[8] count[4] */
int op_read(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    uint64_t offset = p9_get64(&rq->in);
    uint32_t count = p9_get32(&rq->in);
    size_t space = min_size(rq->io->out_size, e->msize);
    bool stream = offset == P9_OFFSET_STREAM || offset == P9_OFFSET_STREAM_NOWAIT;
    struct fid *fid;
    int err = request_end(rq);

    if (!err)
        err = engine_fid(e, number, &fid);
    if (err)
        return err;
    if (space < ENGINE_READ_HEADER)
        return -EMSGSIZE;
    count = (uint32_t)min_size(count, space - ENGINE_READ_HEADER);
    if (fid->kind == FID_XATTR_R)
        return xattr_read(rq, fid, offset, count);
    err = open_fid(e, number, &fid);
    if (err)
        return err;
    if (fid->kind == FID_STDIO && stream)
        return stdio_read(e, rq, fid, count, offset == P9_OFFSET_STREAM_NOWAIT);
    if (offset > INT64_MAX)
        return -EINVAL;
    return read_file(e, rq, fid, offset, count);
}

/* Write until all is written or an error comes: that then, or 0. */
static int write_all(const struct request *rq, int fd, uint64_t offset, uint32_t count, uint32_t *ret_put)
{
    struct iovec vec[P9_IO_VECTORS];
    uint32_t put = 0;

    do {
        size_t n = iov_slice(rq->io->in, rq->io->in_count, ENGINE_WRITE_HEADER + put, count - put, vec);
        ssize_t more = pwritev(fd, vec, (int)n, (off_t)(offset + put));

        if (more < 0) {
            *ret_put = put;
            return -errno;
        }
        if (!more)
            break;
        put += (uint32_t)more;
    } while (put < count);
    *ret_put = put;
    return 0;
}

static int write_file(struct engine *e, struct request *rq, struct fid *fid, uint64_t offset, uint32_t count)
{
    uint32_t put;
    int err;

    if (fid->x && !fid->x->writable)
        return -EBADF;
    if (count > INLINE_IO_MAX || (fid->open_flags & (O_SYNC | O_DSYNC)))
        return queue_transfer(e, rq, fid, JOB_PWRITE, offset, count);
    err = write_all(rq, fid->open->fd, offset, count, &put);
    if (err && !put)
        return err;
    p9_put32(&rq->out, put);
    if (err && e->extended)
        p9_put32(&rq->out, (uint32_t)-err);
    return 0;
}

/* size[4] Twrite tag[2] fid[4] offset[8] count[4] data[count] */
int op_write(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    uint64_t offset = p9_get64(&rq->in);
    uint32_t count = p9_get32(&rq->in);
    bool stream = offset == P9_OFFSET_STREAM || offset == P9_OFFSET_STREAM_NOWAIT;
    struct fid *fid;
    int err = request_end(rq);

    if (!err && rq->size - ENGINE_WRITE_HEADER != count)
        err = -EBADMSG;
    if (!err)
        err = engine_fid(e, number, &fid);
    if (err)
        return err;
    if (fid->kind == FID_XATTR_W)
        return xattr_write(rq, fid, offset, count);
    err = open_fid(e, number, &fid);
    if (err)
        return err;
    if (fid->kind == FID_STDIO && stream)
        return stdio_write(e, rq, fid, count, offset == P9_OFFSET_STREAM_NOWAIT);
    if (offset > INT64_MAX)
        return -EINVAL;
    return write_file(e, rq, fid, offset, count);
}

/* size[4] Tfsync tag[2] fid[4] datasync[4] */
int op_fsync(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    uint32_t datasync = rq->in.size - rq->in.pos >= 4 ? p9_get32(&rq->in) : 0; /* older clients leave it out */
    struct job *job;
    struct fid *fid;
    int err = request_end(rq);

    if (!err)
        err = open_fid(e, number, &fid);
    if (err)
        return err;
    job = new_job(e, rq, fid, datasync ? JOB_FDATASYNC : JOB_FSYNC);
    return job ? queue_job(e, job) : -ENOBUFS;
}

/* syncfs(2) wants an open descriptor, but any of the file system will do. */
static int sync_fd(const struct engine *e, const struct fid *fid, struct job *job)
{
    int fd;

    if (fid->open)
        return 0;
    if (!S_ISREG(fid->mode) && !S_ISDIR(fid->mode))
        return -EBADF;
    fd = path_reopen(e->config.proc_fd, fid->path->fd, O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        return fd;
    job->fd = fd;
    job->own_fd = true;
    return 0;
}

/* size[4] Tsync tag[2] fid[4] */
int op_sync(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    struct job *job;
    struct fid *fid;
    int err = request_end(rq);

    if (!err)
        err = engine_fid(e, number, &fid);
    if (!err && fid->kind != FID_FILE)
        err = -EBADF;
    if (err)
        return err;
    job = new_job(e, rq, fid, JOB_SYNCFS);
    if (!job)
        return -ENOBUFS;
    err = sync_fd(e, fid, job);
    if (!err)
        return queue_job(e, job);
    job_free(e, job);
    return err;
}

/* size[4] Tseek tag[2] fid[4] offset[8] whence[4] */
int op_seek(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    uint64_t offset = p9_get64(&rq->in);
    uint32_t whence = p9_get32(&rq->in);
    struct fid *fid;
    off_t at;
    int err = request_end(rq);

    if (!err)
        err = open_fid(e, number, &fid);
    if (err)
        return err;
    if (whence > SEEK_HOLE || S_ISDIR(fid->mode))
        return -EINVAL;
    if (fid->kind != FID_STDIO && whence != SEEK_DATA && whence != SEEK_HOLE)
        return -EINVAL;
    at = lseek(fid->open->fd, (off_t)offset, (int)whence);
    if (at < 0)
        return -errno;
    p9_put64(&rq->out, (uint64_t)at);
    return 0;
}

/* size[4] Tfallocate tag[2] fid[4] mode[4] offset[8] length[8] */
int op_fallocate(struct engine *e, struct request *rq)
{
    const uint32_t known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE |
                           FALLOC_FL_ZERO_RANGE | FALLOC_FL_INSERT_RANGE | FALLOC_FL_UNSHARE_RANGE;
    uint32_t number = p9_get32(&rq->in);
    uint32_t mode = p9_get32(&rq->in);
    uint64_t offset = p9_get64(&rq->in);
    uint64_t length = p9_get64(&rq->in);
    struct job *job;
    struct fid *fid;
    int err = request_end(rq);

    if (!err)
        err = open_fid(e, number, &fid);
    if (err)
        return err;
    if (mode & ~known)
        return -EOPNOTSUPP;
    if (offset > INT64_MAX || length > INT64_MAX)
        return -EINVAL;
    job = new_job(e, rq, fid, JOB_FALLOCATE);
    if (!job)
        return -ENOBUFS;
    job->mode = mode;
    job->offset = offset;
    job->length = length;
    return queue_job(e, job);
}

struct wire_lock {
    uint8_t type;
    uint64_t start;
    uint64_t length;
    uint32_t proc_id;
    struct p9_str client_id;
};

static int to_flock(const struct wire_lock *l, struct flock *ret)
{
    static const short types[] = { F_RDLCK, F_WRLCK, F_UNLCK };

    if (l->type > LOCK_TYPE_UNLOCK || l->start > INT64_MAX || l->length > INT64_MAX)
        return -EINVAL;
    *ret = (struct flock){ .l_type = types[l->type],
                           .l_whence = SEEK_SET,
                           .l_start = (off_t)l->start,
                           .l_len = (off_t)l->length };
    return 0;
}

/*
 * size[4] Tlock tag[2] fid[4] type[1] flags[4] start[8] length[8] proc_id[4] client_id[s]
 *
 * Locks belong to the fid's open file (F_OFD_SETLK). A conflict is BLOCKED; the client asks again.
 */
int op_lock(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    struct wire_lock l = { .type = p9_get8(&rq->in) };
    struct flock host;
    struct fid *fid;
    int err;

    p9_get32(&rq->in); /* flags: BLOCK only tells the client's wish, RECLAIM has no meaning here */
    l.start = p9_get64(&rq->in);
    l.length = p9_get64(&rq->in);
    l.proc_id = p9_get32(&rq->in);
    l.client_id = p9_get_str(&rq->in);
    err = request_end(rq);
    if (!err)
        err = open_fid(e, number, &fid);
    if (!err)
        err = to_flock(&l, &host);
    if (err)
        return err;
    if (fcntl(fid->open->fd, F_OFD_SETLK, &host) == 0) {
        p9_put8(&rq->out, LOCK_SUCCESS);
        return 0;
    }
    if (errno != EAGAIN && errno != EACCES)
        return -errno;
    p9_put8(&rq->out, LOCK_BLOCKED);
    return 0;
}

/*
 * size[4] Tgetlock tag[2] fid[4] type[1] start[8] length[8] proc_id[4] client_id[s]
 * size[4] Rgetlock tag[2] type[1] start[8] length[8] proc_id[4] client_id[s]
 */
int op_getlock(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    struct wire_lock l = { .type = p9_get8(&rq->in) };
    struct flock host;
    struct fid *fid;
    int err;

    l.start = p9_get64(&rq->in);
    l.length = p9_get64(&rq->in);
    l.proc_id = p9_get32(&rq->in);
    l.client_id = p9_get_str(&rq->in);
    err = request_end(rq);
    if (!err)
        err = open_fid(e, number, &fid);
    if (!err)
        err = to_flock(&l, &host);
    if (!err && l.type == LOCK_TYPE_UNLOCK)
        err = -EINVAL;
    if (err)
        return err;
    if (fcntl(fid->open->fd, F_OFD_GETLK, &host) < 0)
        return -errno;
    p9_put8(&rq->out, host.l_type == F_UNLCK ? LOCK_TYPE_UNLOCK :
                      host.l_type == F_RDLCK ? LOCK_TYPE_READ : LOCK_TYPE_WRITE);
    p9_put64(&rq->out, host.l_type == F_UNLCK ? l.start : (uint64_t)host.l_start);
    p9_put64(&rq->out, host.l_type == F_UNLCK ? l.length : (uint64_t)host.l_len);
    p9_put32(&rq->out, host.l_pid > 0 ? (uint32_t)host.l_pid : l.proc_id);
    p9_put_str(&rq->out, l.client_id.data, l.client_id.len);
    return 0;
}
