/*
 * Decoding, dispatch and replies of the 9P server; see engine.h. The operations are in op_*.c.
 */
#include "gofer/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/fd.h"
#include "common/fdpass.h"
#include "common/iov.h"
#include "common/roles.h"

#define FIRST_EXTENSION 200
#define ERROR_SIZE (P9_HEADER_SIZE + 4)
#define MEMORY_MAJOR 1 /* /dev/null, zero, full, random, urandom */

typedef int op_fn(struct engine *e, struct request *rq);

static op_fn *const operations[256] = {
#define X(number, name) [P9_T##name] = op_##name,
    P9_LIST(X)
#undef X
};

static enum stdio_kind stdio_kind_of(int fd)
{
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return STDIO_CLOSED;
    if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) || S_ISDIR(st.st_mode))
        return STDIO_PLAIN;
    if (S_ISFIFO(st.st_mode))
        return STDIO_PIPE;
    if (S_ISSOCK(st.st_mode))
        return STDIO_SOCKET;
    if (S_ISCHR(st.st_mode) && major(st.st_rdev) == MEMORY_MAJOR)
        return STDIO_PLAIN;
    return S_ISCHR(st.st_mode) && isatty(fd) ? STDIO_TTY : STDIO_OTHER;
}

int engine_init(struct engine *e, const struct engine_config *config)
{
    int err = job_table_init(&e->jobs, config->reply_by_workers ? e : NULL);

    if (err)
        return err;
    e->config = *config;
    if (!e->config.msize_max)
        e->config.msize_max = P9_MSIZE_MAX;
    e->fids = (struct fid_table){ .max = config->fid_max };
    e->msize = e->config.msize_max;
    e->versioned = false;
    e->extended = false;
    e->next_token = 1;
    e->donated_count = 0;
    e->drop_count = 0;
    for (size_t i = 0; i < 3; i++) {
        int fd = config->stdio_fds ? config->stdio_fds[i] : -1;

        e->stdio[i] = (struct stdio){ stdio_kind_of(fd), fd, 0 };
    }
    return 0;
}

static void drop_all_fids(struct engine *e)
{
    for (size_t i = 0; i < FID_BUCKETS; i++) {
        while (e->fids.bucket[i])
            engine_drop_fid(e, e->fids.bucket[i]);
    }
}

void engine_destroy(struct engine *e)
{
    job_table_destroy(e);
    drop_all_fids(e);
}

int request_end(const struct request *rq)
{
    return rq->in.bad || rq->in.pos != rq->in.size ? -EBADMSG : 0;
}

int engine_fid(const struct engine *e, uint32_t number, struct fid **ret)
{
    struct fid *fid = fid_find(&e->fids, number);

    if (!fid)
        return -EBADF;
    *ret = fid;
    return 0;
}

int engine_dir(const struct engine *e, uint32_t number, struct fid **ret)
{
    struct fid *fid = fid_find(&e->fids, number);

    if (!fid || fid->kind != FID_FILE)
        return -EBADF;
    if (!S_ISDIR(fid->mode))
        return -ENOTDIR;
    *ret = fid;
    return 0;
}

int engine_writable_dir(const struct engine *e, uint32_t number, struct fid **ret)
{
    struct fid *dir;
    int err = engine_dir(e, number, &dir);

    if (err)
        return err;
    if (!dir->x->writable)
        return -EROFS;
    *ret = dir;
    return 0;
}

int engine_place(const struct engine *e, uint32_t number, const struct p9_str *wire_name, struct fid **ret_dir,
                 char ret_name[P9_NAME_MAX + 1])
{
    struct fid *dir;
    int err = engine_dir(e, number, &dir);

    if (!err)
        err = path_check_name(wire_name, ret_name);
    return err ? err : engine_writable_dir(e, number, ret_dir);
}

void engine_put_made(const struct engine *e, struct request *rq, const struct export *x, const struct statx *st)
{
    struct p9_attr attr;

    if (!e->extended)
        return;
    path_attr(x, &e->config.view, st, &attr);
    p9_put_attr(&rq->out, &attr);
}

uint32_t engine_iounit(const struct engine *e)
{
    return e->msize - P9_IO_HEADER_SIZE;
}

/* Donations and their ends. A DROP is never lost: one slot is kept for each donated token. */

void engine_flush_drops(struct engine *e)
{
    while (e->drop_count) {
        struct gofer_note note = { .type = GOFER_NOTE_DROP, .token = e->drop[e->drop_count - 1] };

        if (fdpass_send(e->config.control_fd, &note, sizeof(note), -1, MSG_DONTWAIT) == -EAGAIN)
            return;
        e->drop_count--;
        e->donated_count--;
    }
}

void engine_drop_tokens(struct engine *e, struct fid *fid)
{
    for (size_t i = 0; i < 2; i++) {
        if (fid->token[i])
            e->drop[e->drop_count++] = fid->token[i];
        fid->token[i] = 0;
    }
    if (e->drop_count)
        engine_flush_drops(e);
}

void engine_drop_fid(struct engine *e, struct fid *fid)
{
    int stdio = fid->kind == FID_STDIO ? fid->stdio : -1;

    engine_drop_tokens(e, fid);
    fid_remove(&e->fids, fid);
    if (stdio >= 0)
        stdio_detach(e, (unsigned)stdio);
}

/* Replies. */

static void send_reply(struct engine *e, const struct p9_io *io, const void *head, size_t size, size_t bulk)
{
    iov_write(io->out, io->out_count, 0, head, size);
    e->config.reply(e->config.reply_arg, io->cookie, (uint32_t)(size + bulk));
}

static void reply_error(struct engine *e, const struct p9_io *io, uint16_t tag, int err)
{
    uint8_t space[ERROR_SIZE];
    struct p9_cursor c;

    if (io->out_size < ERROR_SIZE) {
        e->config.reply(e->config.reply_arg, io->cookie, 0);
        return;
    }
    p9_cursor_init(&c, space, sizeof(space));
    p9_begin(&c, P9_Rlerror, tag);
    p9_put32(&c, (uint32_t)-err);
    send_reply(e, io, space, p9_finish(&c), 0);
}

static void reply_request(struct engine *e, struct request *rq)
{
    size_t size = rq->out.pos;

    rq->out.pos = 0;
    p9_put32(&rq->out, (uint32_t)(size + rq->bulk));
    rq->out.pos = size;
    if (rq->out.bad)
        reply_error(e, rq->io, rq->tag, -EMSGSIZE);
    else
        send_reply(e, rq->io, rq->out.data, size, rq->bulk);
}

static void answer_flushes(struct engine *e, const struct job *finished)
{
    for (size_t i = 0; i < JOB_MAX && e->jobs.count; i++) {
        struct job *job = e->jobs.slot[i];
        uint8_t space[P9_HEADER_SIZE];
        struct p9_cursor c;

        if (!job || !job->is_flush || job->flush_of != finished)
            continue;
        p9_cursor_init(&c, space, sizeof(space));
        p9_begin(&c, P9_Rflush, job->tag);
        p9_finish(&c);
        if (job->io.out_size >= sizeof(space))
            send_reply(e, &job->io, space, sizeof(space), 0);
        else
            e->config.reply(e->config.reply_arg, job->io.cookie, 0);
        job_free(e, job);
    }
}

static void reply_result(struct engine *e, const struct job *job)
{
    uint8_t space[ERROR_SIZE];
    struct p9_cursor c;
    size_t bulk = 0;

    p9_cursor_init(&c, space, sizeof(space));
    p9_begin(&c, (uint8_t)(job->type + 1), job->tag);
    if (job->type == P9_Tread)
        bulk = (size_t)job->ret;
    if (job->type == P9_Tread || job->type == P9_Twrite || job->type == P9_Tpoll)
        p9_put32(&c, (uint32_t)job->ret);
    p9_finish(&c);
    if (bulk) {
        size_t head = c.pos;

        c.pos = 0;
        p9_put32(&c, (uint32_t)(head + bulk));
        c.pos = head;
    }
    if (job->io.out_size < c.pos + bulk)
        reply_error(e, &job->io, job->tag, -EMSGSIZE);
    else
        send_reply(e, &job->io, space, c.pos, bulk);
}

void engine_reply_job(struct engine *e, const struct job *job)
{
    if (job->ret < 0)
        reply_error(e, &job->io, job->tag, (int)job->ret);
    else
        reply_result(e, job);
}

void engine_end_job(struct engine *e, struct job *job)
{
    answer_flushes(e, job);
    job_free(e, job);
}

void engine_finish_job(struct engine *e, struct job *job)
{
    engine_reply_job(e, job);
    engine_end_job(e, job);
}

/* Requests. */

/* Only Twrite's data may go beyond the private buffer; it stays where it is. */
static size_t private_size(const struct request *rq)
{
    if (rq->type == P9_Twrite)
        return min_size(rq->size, ENGINE_WRITE_HEADER);
    return rq->size;
}

/* Copy header and fields. Returns 0, or an error that can be told to the client; *ret_tag is set once known. */
static int decode(struct engine *e, const struct p9_io *io, struct request *rq)
{
    struct p9_cursor c;
    size_t fields;

    rq->io = io;
    rq->bulk = 0;
    rq->tag = P9_NOTAG;
    if (iov_read(e->in, io->in, io->in_count, 0, P9_HEADER_SIZE) < P9_HEADER_SIZE)
        return -EBADMSG;
    p9_cursor_init(&c, e->in, P9_HEADER_SIZE);
    rq->size = p9_get32(&c);
    rq->type = p9_get8(&c);
    rq->tag = p9_get16(&c);
    if (rq->size < P9_HEADER_SIZE || rq->size > io->in_size || rq->size > e->msize)
        return -EBADMSG;
    fields = private_size(rq) - P9_HEADER_SIZE;
    if (fields > sizeof(e->in) - P9_HEADER_SIZE)
        return -ENAMETOOLONG; /* nothing but names can be that long */
    iov_read(e->in + P9_HEADER_SIZE, io->in, io->in_count, P9_HEADER_SIZE, fields);
    p9_cursor_init(&rq->in, e->in + P9_HEADER_SIZE, fields);
    return 0;
}

static int dispatch(struct engine *e, struct request *rq)
{
    if (!operations[rq->type])
        return -EOPNOTSUPP;
    if (rq->type >= FIRST_EXTENSION && !e->extended)
        return -EOPNOTSUPP;
    if (rq->type != P9_Tversion && !e->versioned)
        return -EPROTO;
    return operations[rq->type](e, rq);
}

void engine_handle(struct engine *e, const struct p9_io *io)
{
    struct request rq;
    int err = decode(e, io, &rq);

    if (!err) {
        p9_cursor_init(&rq.out, e->out, min_size(min_size(sizeof(e->out), io->out_size), e->msize));
        p9_begin(&rq.out, (uint8_t)(rq.type + 1), rq.tag);
        err = dispatch(e, &rq);
    }
    if (err < 0)
        reply_error(e, io, rq.tag, err);
    else if (err != ENGINE_DEFERRED)
        reply_request(e, &rq);
}
