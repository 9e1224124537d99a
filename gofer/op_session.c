/*
 * 9P operations on the session: version, auth, attach, flush, clunk.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/checked.h"
#include "gofer/engine.h"

static bool str_is(const struct p9_str *s, const char *text)
{
    return s->len == strlen(text) && !memcmp(s->data, text, s->len);
}

/* Is s the prefix and a decimal number without leading zeros, below 10^5? */
static bool str_number(const struct p9_str *s, const char *prefix, size_t *ret)
{
    size_t n = strlen(prefix);
    size_t value = 0;

    if (s->len <= n || s->len > n + 5 || memcmp(s->data, prefix, n))
        return false;
    if (s->data[n] == '0' && s->len > n + 1)
        return false;
    for (size_t i = n; i < s->len; i++) {
        if (s->data[i] < '0' || s->data[i] > '9')
            return false;
        value = value * 10 + (size_t)(s->data[i] - '0');
    }
    *ret = value;
    return true;
}

/* A new session: what the old one left is dropped (intro(5) of Plan 9: "clunks all fids"). */
static void reset_session(struct engine *e)
{
    for (size_t i = 0; i < JOB_MAX; i++) {
        if (e->jobs.slot[i])
            job_cancel(e, e->jobs.slot[i]);
    }
    for (size_t i = 0; i < FID_BUCKETS; i++) {
        while (e->fids.bucket[i])
            engine_drop_fid(e, e->fids.bucket[i]);
    }
}

/* size[4] Tversion tag[2] msize[4] version[s] */
int op_version(struct engine *e, struct request *rq)
{
    uint32_t msize = p9_get32(&rq->in);
    struct p9_str version = p9_get_str(&rq->in);
    const char *answer = "unknown";
    int err = request_end(rq);

    if (err)
        return err;
    if (msize < P9_MSIZE_MIN)
        return -EINVAL;
    reset_session(e);
    e->versioned = true;
    e->extended = str_is(&version, P9_VERSION_VMM);
    if (e->extended)
        answer = P9_VERSION_VMM;
    else if (str_is(&version, P9_VERSION_L))
        answer = P9_VERSION_L;
    else
        e->versioned = false;
    e->msize = (uint32_t)min_size(msize, e->config.msize_max);
    p9_put32(&rq->out, e->msize);
    p9_put_str(&rq->out, answer, strlen(answer));
    return 0;
}

/* size[4] Tauth tag[2] afid[4] uname[s] aname[s] n_uname[4]: nobody has to. */
int op_auth(struct engine *e, struct request *rq)
{
    (void)e;
    (void)rq;
    return -ENOENT;
}

/* Rlerror has no T-message. */
int op_lerror(struct engine *e, struct request *rq)
{
    (void)e;
    (void)rq;
    return -EOPNOTSUPP;
}

static const struct export *find_export(const struct engine *e, const struct p9_str *aname)
{
    const struct engine_config *c = &e->config;
    size_t n;

    if (c->by_number)
        return str_number(aname, P9_ATTACH_EXPORT, &n) && n < c->export_count ? &c->exports[n] : NULL;
    for (size_t i = 0; i < c->export_count; i++) {
        if (str_is(aname, c->exports[i].name))
            return &c->exports[i];
    }
    if (c->export_count == 1 && (!aname->len || str_is(aname, "/")))
        return &c->exports[0];
    return NULL;
}

static int attach_export(struct engine *e, struct fid *fid, const struct export *x)
{
    (void)e;
    int fd = fcntl(x->fd, F_DUPFD_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    fid->path = fdref_new(fd);
    if (!fid->path)
        return -ENOMEM;
    fid->kind = FID_FILE;
    fid->x = x;
    fid->mode = x->mode;
    fid->is_root = true;
    return 0;
}

static int attach(struct engine *e, struct fid *fid, const struct p9_str *aname)
{
    const struct export *x = find_export(e, aname);
    size_t n;

    if (x)
        return attach_export(e, fid, x);
    if (e->config.by_number && str_number(aname, P9_ATTACH_STDIO, &n) && n < 3)
        return stdio_attach(e, fid, (unsigned)n);
    return -ENOENT;
}

/* size[4] Tattach tag[2] fid[4] afid[4] uname[s] aname[s] n_uname[4] */
int op_attach(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    uint32_t afid = p9_get32(&rq->in);
    struct p9_str aname;
    struct p9_qid qid;
    struct statx st;
    struct fid *fid;
    int err;

    p9_get_str(&rq->in);
    aname = p9_get_str(&rq->in);
    p9_get32(&rq->in);
    err = request_end(rq);
    if (err)
        return err;
    if (afid != P9_NOFID)
        return -EBADF;
    fid = fid_new(&e->fids, number, &err);
    if (!fid)
        return err;
    err = attach(e, fid, &aname);
    if (!err)
        err = path_stat(fid_fd(fid), "", &st);
    if (err) {
        engine_drop_fid(e, fid);
        return err;
    }
    path_qid(fid->x, &st, &qid);
    p9_put_qid(&rq->out, &qid);
    return 0;
}

/*
 * size[4] Tflush tag[2] oldtag[2]
 *
 * The old request is answered first, with EINTR if it could be stopped, and Rflush after it (flush(5)).
 */
int op_flush(struct engine *e, struct request *rq)
{
    uint16_t oldtag = p9_get16(&rq->in);
    int err = request_end(rq);
    struct job *flush;
    struct job *old;

    if (err)
        return err;
    old = job_find(e, oldtag);
    if (!old)
        return 0;
    flush = job_new(e, rq->io, P9_Tflush, rq->tag, NULL);
    if (!flush)
        return -ENOBUFS;
    flush->is_flush = true;
    flush->flush_of = old;
    flush->state = JOB_WAITING;
    job_cancel(e, old);
    return ENGINE_DEFERRED;
}

/* size[4] Tclunk tag[2] fid[4]: the fid is gone even if that fails. */
int op_clunk(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    struct fid *fid;
    int err = request_end(rq);

    if (!err)
        err = engine_fid(e, number, &fid);
    if (err)
        return err;
    err = xattr_clunk(e, fid);
    engine_drop_fid(e, fid);
    return err;
}
