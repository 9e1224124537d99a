/*
 * The inherited descriptors: stdin, stdout, stderr of whoever started the sandbox.
 *
 * Their open file descriptions are shared with the user's shell, so their flags are never changed. Where
 * it is allowed, a second description of the same pipe or terminal is opened that doesn't block; what can't be had
 * that way blocks in a worker.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/iov.h"
#include "gofer/engine.h"

#define IOCTL_DATA_MAX 256

int stdio_attach(struct engine *e, struct fid *fid, unsigned index)
{
    struct stdio *s = &e->stdio[index];
    struct statx st;
    int flags, fd, err;

    if (s->kind == STDIO_CLOSED)
        return -ENOENT;
    err = path_stat(s->fd, "", &st);
    if (err)
        return err;
    flags = fcntl(s->fd, F_GETFL);
    fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
    if (flags < 0 || fd < 0)
        return -errno;
    fid->open = fdref_new(fd);
    if (!fid->open)
        return -ENOMEM;
    s->fid_count++;
    fid->kind = FID_STDIO;
    fid->stdio = (int)index;
    fid->mode = st.stx_mode;
    fid->open_flags = (uint32_t)flags;
    return 0;
}

/*
 * The guest has closed the descriptor, so whoever reads or feeds the other end is to see that now. The number stays taken:
 * a file that got number 2 would receive log lines.
 */
void stdio_detach(struct engine *e, unsigned index)
{
    struct stdio *s = &e->stdio[index];

    s->fid_count--;
    if (s->fid_count > 0 || s->kind == STDIO_TTY || s->kind == STDIO_OTHER)
        return;
    if (dup3(e->config.proc_fd, s->fd, O_CLOEXEC) >= 0)
        s->kind = STDIO_CLOSED;
}

/* Our own, non-blocking description of a pipe or terminal; -1 if there can't be one. */
static int async_fd(struct engine *e, struct fid *fid)
{
    const struct stdio *s = &e->stdio[fid->stdio];
    int flags, fd;

    if (fid->async_tried)
        return fid->async ? fid->async->fd : -1;
    fid->async_tried = true;
    flags = fcntl(s->fd, F_GETFL);
    if (flags < 0)
        return -1;
    fd = path_reopen(e->config.proc_fd, s->fd, (flags & (O_ACCMODE | O_APPEND)) | O_NONBLOCK | O_NOCTTY);
    fid->async = fd < 0 ? NULL : fdref_new(fd);
    return fid->async ? fid->async->fd : -1;
}

static struct job *stream_job(struct engine *e, struct request *rq, struct fid *fid, enum job_op op, uint32_t count)
{
    struct job *job = job_new(e, rq->io, rq->type, rq->tag, fid);

    if (!job)
        return NULL;
    job->op = op;
    job->fd = fid->open->fd;
    job->socket = e->stdio[fid->stdio].kind == STDIO_SOCKET;
    job->events = op == JOB_READ ? POLLIN : POLLOUT;
    job->total = count;
    job->vec_count = op == JOB_READ ?
                         iov_slice(rq->io->out, rq->io->out_count, ENGINE_READ_HEADER, count, job->vec) :
                         iov_slice(rq->io->in, rq->io->in_count, ENGINE_WRITE_HEADER, count, job->vec);
    return job;
}

/* Can this be done by the engine's thread without blocking? Sets the descriptor to use. */
static bool is_async(struct engine *e, struct job *job, bool nowait)
{
    int fd;

    switch (e->stdio[job->fid->stdio].kind) {
    case STDIO_SOCKET: /* MSG_DONTWAIT */
    case STDIO_PLAIN:
        return true;
    case STDIO_TTY:
        /* A blocking read keeps VTIME's meaning, which a non-blocking one hasn't. */
        if (job->op == JOB_READ && !nowait)
            return false;
        break;
    case STDIO_PIPE:
        break;
    case STDIO_CLOSED:
    case STDIO_OTHER:
        return false;
    }
    fd = async_fd(e, job->fid);
    if (fd < 0)
        return false;
    job->fd = fd;
    return true;
}

/* Where EAGAIN is wanted but only a blocking descriptor is there, poll decides. */
static bool is_ready(const struct job *job)
{
    struct pollfd p = { .fd = job->fd, .events = job->events };

    return poll(&p, 1, 0) != 0;
}

static int start_stream(struct engine *e, struct job *job, bool nowait)
{
    int err;

    if (nowait && !is_ready(job)) {
        job_free(e, job);
        return -EAGAIN;
    }
    if (is_async(e, job, nowait)) {
        job_start(e, job, nowait);
        return ENGINE_DEFERRED;
    }
    err = job_queue(e, job);
    if (!err)
        return ENGINE_DEFERRED;
    job_free(e, job);
    return err;
}

int stdio_read(struct engine *e, struct request *rq, struct fid *fid, uint32_t count, bool nowait)
{
    struct job *job = stream_job(e, rq, fid, JOB_READ, count);

    return job ? start_stream(e, job, nowait) : -ENOBUFS;
}

int stdio_write(struct engine *e, struct request *rq, struct fid *fid, uint32_t count, bool nowait)
{
    struct job *job = stream_job(e, rq, fid, JOB_WRITE, count);

    return job ? start_stream(e, job, nowait) : -ENOBUFS;
}

/* size[4] Tpoll tag[2] fid[4] events[4] */
int op_poll(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    uint32_t events = p9_get32(&rq->in);
    struct job *job;
    struct fid *fid;
    int err = request_end(rq);

    if (!err)
        err = engine_fid(e, number, &fid);
    if (err)
        return err;
    if (fid->kind != FID_STDIO)
        return -EINVAL;
    if (events & P9_POLL_NOW) {
        struct pollfd p = { .fd = fid->open->fd, .events = (short)(events & 0x7fff) };

        if (poll(&p, 1, 0) < 0)
            return -errno;
        p9_put32(&rq->out, (uint32_t)(unsigned short)p.revents);
        return 0;
    }
    job = job_new(e, rq->io, rq->type, rq->tag, fid);
    if (!job)
        return -ENOBUFS;
    job->op = JOB_POLL;
    job->fd = fid->open->fd;
    job->events = (short)(events & 0x7fff);
    job_start(e, job, false);
    return ENGINE_DEFERRED;
}

/*
 * What a program may do with the user's terminal: look, set modes, and nothing that puts input into it
 * (TIOCSTI, TIOCLINUX), takes it away (TIOCSCTTY, TIOCNOTTY, TIOCSETD, TIOCCONS) or signals others. Setting the
 * foreground process group is left to the shim, whose processes the host doesn't know.
 */
static const struct {
    unsigned long cmd;
    uint16_t in;
    uint16_t out;
    bool by_value; /* the argument is an int, not a pointer */
} ioctls[] = {
    { TCGETS, 0, 36, false },          /* the kernel's struct termios */
    { TCSETS, 36, 0, false },
    { TCSETSW, 36, 0, false },
    { TCSETSF, 36, 0, false },
    { TCGETA, 0, 18, false },          /* struct termio */
    { TCSETA, 18, 0, false },
    { TCSETAW, 18, 0, false },
    { TCSETAF, 18, 0, false },
    { 0x802c542a /* TCGETS2 */, 0, 44, false },
    { 0x402c542b /* TCSETS2 */, 44, 0, false },
    { 0x402c542c /* TCSETSW2 */, 44, 0, false },
    { 0x402c542d /* TCSETSF2 */, 44, 0, false },
    { TIOCGWINSZ, 0, 8, false },
    { TIOCSWINSZ, 8, 0, false },
    { TIOCGPGRP, 0, 4, false },
    { TIOCGSID, 0, 4, false },
    { TIOCOUTQ, 0, 4, false },
    { FIONREAD, 0, 4, false },
    { TCSBRK, 4, 0, true },
    { TCSBRKP, 4, 0, true },
    { TCXONC, 4, 0, true },
    { TCFLSH, 4, 0, true },
};

static int ioctl_index(uint32_t cmd)
{
    for (size_t i = 0; i < sizeof(ioctls) / sizeof(ioctls[0]); i++) {
        if (ioctls[i].cmd == cmd)
            return (int)i;
    }
    return -ENOTTY;
}

/* TCSBRK drains the output, which may take as long as the terminal is stopped: only what returns at once is done here. */
static int check_drain(uint32_t cmd, int fd)
{
    int queued;

    if (cmd != TCSBRK && cmd != TCSETSW && cmd != TCSETSF)
        return 0;
    return ioctl(fd, TIOCOUTQ, &queued) == 0 && queued ? -EAGAIN : 0;
}

/* size[4] Tioctl tag[2] fid[4] cmd[4] in[s] */
int op_ioctl(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    uint32_t cmd = p9_get32(&rq->in);
    struct p9_str in = p9_get_str(&rq->in);
    _Alignas(8) uint8_t data[IOCTL_DATA_MAX] = { 0 };
    struct fid *fid;
    int ret, i, value;
    int err = request_end(rq);

    if (!err)
        err = engine_fid(e, number, &fid);
    if (err)
        return err;
    if (fid->kind != FID_STDIO)
        return -ENOTTY;
    i = ioctl_index(cmd);
    if (i < 0)
        return i;
    if (in.len != ioctls[i].in)
        return -EINVAL;
    err = check_drain(cmd, fid->open->fd);
    if (err)
        return err;
    if (in.len)
        memcpy(data, in.data, in.len);
    memcpy(&value, data, sizeof(value));
    ret = ioctls[i].by_value ? ioctl(fid->open->fd, ioctls[i].cmd, value) : ioctl(fid->open->fd, ioctls[i].cmd, data);
    if (ret < 0)
        return -errno;
    p9_put32(&rq->out, (uint32_t)ret);
    p9_put_str(&rq->out, (const char *)data, ioctls[i].out);
    return 0;
}
