/*
 * 9P operations that find files: walk, and the extension walkx.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "gofer/engine.h"

/* Where a walk has got to. It holds a reference to its place. */
struct walker {
    const struct engine *e;
    const struct export *x;
    struct fdref *place;
    struct fdref *parent;   /* of place, if the walk went down to it; or what the fid had */
    struct statx st;        /* of place; valid after a step */
    mode_t mode;
    bool is_root;
    bool opened;            /* place is open for I/O */
    char name[P9_NAME_MAX + 1];
};

static void walker_start(struct walker *w, const struct engine *e, const struct fid *fid)
{
    w->e = e;
    w->x = fid->x;
    w->place = fdref_get(fid->path ? fid->path : fid->open);
    w->parent = fdref_get(fid->parent);
    w->mode = fid->mode;
    w->is_root = fid->is_root;
    w->opened = false;
    w->name[0] = '\0';
    if (fid->name)
        strcpy(w->name, fid->name); /* was checked by path_check_name() */
}

static void walker_end(struct walker *w)
{
    fdref_put(w->place);
    fdref_put(w->parent);
}

static void walker_enter(struct walker *w, struct fdref *place)
{
    fdref_put(w->parent);
    w->parent = w->place;
    w->place = place;
    w->mode = w->st.stx_mode;
    w->is_root = false;
}

static bool is_dots(const struct p9_str *name)
{
    return name->len && name->len <= 2 && name->data[0] == '.' && name->data[name->len - 1] == '.';
}

/*
 * "." and "..", for clients of the standard dialect. A mount of our own has nothing above its root, and the kernel refuses
 * the parent of a directory that was moved out of it; without one we couldn't tell.
 */
static int walker_dots(struct walker *w, const struct p9_str *name)
{
    const char *step = name->len == 1 || w->is_root ? "." : "..";
    struct fdref *place;
    int fd;
    int err = path_check_search(w->x, w->mode);

    if (w->e->extended || (!w->x->own_mount && step[1]))
        return -EINVAL;
    if (err)
        return err;
    if (!step[1]) /* stays where it is */
        return path_stat(w->place->fd, "", &w->st);
    fd = openat(w->place->fd, step, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    place = fdref_new(fd);
    if (!place)
        return -ENOMEM;
    err = path_stat(fd, "", &w->st);
    if (err) {
        fdref_put(place);
        return err;
    }
    fdref_put(w->place);
    fdref_put(w->parent);
    w->place = place;
    w->parent = NULL;
    w->name[0] = '\0';
    w->mode = w->st.stx_mode;
    w->is_root = w->st.stx_ino == w->x->ino && path_dev(&w->st) == w->x->dev;
    return 0;
}

/* Take the name of the next component, if it may be one here. */
static int walker_name(struct walker *w, const struct p9_str *name)
{
    int err = path_check_name(name, w->name);

    return err ? err : w->is_root && path_hidden(w->x, w->name) ? -ENOENT : 0;
}

/* Go to one component without opening it. */
static int walker_step(struct walker *w, const struct p9_str *name)
{
    struct fdref *place;
    int fd, err;

    if (is_dots(name))
        return walker_dots(w, name);
    err = path_check_search(w->x, w->mode);
    if (!err)
        err = walker_name(w, name);
    if (err)
        return err;
    fd = path_open_at(w->x, w->place->fd, w->name, O_PATH, 0);
    if (fd < 0)
        return fd;
    err = path_stat(fd, "", &w->st);
    if (err) {
        close(fd);
        return err;
    }
    place = fdref_new(fd);
    if (!place)
        return -ENOMEM;
    walker_enter(w, place);
    return 0;
}

/*
 * Go to the last component and open it, in fewer system calls than walk and open need apart. What it is gets looked
 * at before the open, because opening a FIFO or a device has effects, and after it, because it may have been replaced.
 */
static int walker_step_open(struct walker *w, const struct p9_str *name, int flags)
{
    struct fdref *place;
    int fd;
    int err = path_check_search(w->x, w->mode);

    if (!err)
        err = walker_name(w, name);
    if (!err)
        err = path_stat(w->place->fd, w->name, &w->st);
    if (!err)
        err = path_check_open(w->x, w->st.stx_mode, flags);
    if (err)
        return err;
    fd = path_open_at(w->x, w->place->fd, w->name, flags | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0)
        return fd;
    err = path_stat(fd, "", &w->st);
    if (!err)
        err = path_check_open(w->x, w->st.stx_mode, flags);
    if (err) {
        close(fd);
        return err;
    }
    place = fdref_new(fd);
    if (!place)
        return -ENOMEM;
    walker_enter(w, place);
    w->opened = true;
    return 0;
}

/* Names of a walk, decoded before anything is done. */
struct names {
    uint16_t count;
    struct p9_str name[P9_WALK_MAX];
};

static int get_names(struct request *rq, struct names *ret)
{
    int err;

    ret->count = p9_get16(&rq->in);
    if (ret->count > P9_WALK_MAX)
        return -EINVAL;
    for (size_t i = 0; i < ret->count; i++)
        ret->name[i] = p9_get_str(&rq->in);
    err = request_end(rq);
    return err;
}

/* May a walk begin here and end on that number? */
static int check_walk(struct engine *e, uint32_t number, uint32_t newnumber, struct fid **ret)
{
    struct fid *fid;
    int err = engine_fid(e, number, &fid);

    if (err)
        return err;
    if (fid->kind != FID_FILE)
        return -EINVAL;
    if (newnumber != number && fid_find(&e->fids, newnumber))
        return -EBADF;
    if (newnumber == number && fid->refs > 1)
        return -EBUSY; /* a job works on it */
    *ret = fid;
    return 0;
}

/* Remember what Tremove and Trename of the standard dialect need. */
static int keep_name(const struct engine *e, struct fid *fid, struct walker *w)
{
    if (e->extended || !w->parent)
        return 0;
    fid->name = strdup(w->name);
    if (!fid->name)
        return -ENOMEM;
    fid->parent = w->parent;
    w->parent = NULL;
    return 0;
}

/* Let newnumber stand for the walker's place. Takes what the walker holds. */
static int bind(struct engine *e, struct walker *w, struct fid *fid, uint32_t newnumber, uint32_t flags)
{
    struct fid *newfid = fid;
    int err = 0;

    if (newnumber != fid->number) {
        newfid = fid_new(&e->fids, newnumber, &err);
        if (!newfid)
            return err;
    } else {
        engine_drop_tokens(e, fid);
        fid_forget_file(fid);
    }
    newfid->kind = FID_FILE;
    newfid->x = w->x;
    newfid->mode = w->mode;
    newfid->is_root = w->is_root;
    newfid->dir_offset = 0;
    newfid->open_flags = flags;
    newfid->open = w->opened ? fdref_get(w->place) : NULL;
    newfid->path = w->place;
    w->place = NULL;
    err = keep_name(e, newfid, w);
    if (err)
        engine_drop_fid(e, newfid);
    return err;
}

/* size[4] Twalk tag[2] fid[4] newfid[4] nwname[2] nwname*(wname[s]) */
int op_walk(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    uint32_t newnumber = p9_get32(&rq->in);
    struct p9_qid qid[P9_WALK_MAX];
    struct names names;
    struct walker w;
    struct fid *fid;
    size_t n = 0;
    int err = get_names(rq, &names);

    if (!err)
        err = check_walk(e, number, newnumber, &fid);
    if (err)
        return err;
    walker_start(&w, e, fid);
    for (; n < names.count; n++) {
        err = walker_step(&w, &names.name[n]);
        if (err)
            break;
        path_qid(w.x, &w.st, &qid[n]);
    }
    if (!err)
        err = bind(e, &w, fid, newnumber, 0);
    else if (n)
        err = 0; /* the client sees by the count that it stopped early */
    walker_end(&w);
    p9_put16(&rq->out, (uint16_t)n);
    for (size_t i = 0; i < n; i++)
        p9_put_qid(&rq->out, &qid[i]);
    return err;
}

/* The state of a Twalkx. */
struct walkx {
    struct walker w;
    struct names names;
    uint32_t flags;         /* P9_WALKX_NO_OPEN, or for open(2) */
    uint16_t passed;
    int err;
    struct p9_attr attr[P9_WALK_MAX];
};

static void walkx_passed(const struct engine *e, struct walkx *x)
{
    path_attr(x->w.x, &e->config.view, &x->w.st, &x->attr[x->passed++]);
}

/* A clone: nothing to walk, the place itself is described. */
static void walkx_here(const struct engine *e, struct walkx *x)
{
    x->err = path_stat(x->w.place->fd, "", &x->w.st);
    if (!x->err)
        walkx_passed(e, x);
}

static void walkx_steps(const struct engine *e, struct walkx *x)
{
    for (size_t i = 0; i < x->names.count; i++) {
        bool last = i + 1u == x->names.count;

        x->err = -EAGAIN;
        if (last && x->flags != P9_WALKX_NO_OPEN)
            x->err = walker_step_open(&x->w, &x->names.name[i], open_flags_of(x->flags));
        if (x->err && x->err != -ENOENT) /* not opened, but perhaps it can be passed */
            x->err = walker_step(&x->w, &x->names.name[i]);
        if (x->err)
            return;
        walkx_passed(e, x);
    }
}

/* The walk got through but opened nothing on its way: the long way, which also finds out why not. */
static void walkx_open(struct engine *e, struct walkx *x, uint32_t newnumber)
{
    struct fid *fid = fid_find(&e->fids, newnumber);

    if (!fid || fid->open || x->flags == P9_WALKX_NO_OPEN || S_ISLNK(fid->mode))
        return;
    x->err = fid_open(e, fid, x->flags);
    x->w.opened = !x->err;
    if (!x->err && (x->flags & O_TRUNC) && !path_stat(fid_fd(fid), "", &x->w.st))
        path_attr(fid->x, &e->config.view, &x->w.st, &x->attr[x->passed - 1]);
}

static size_t walkx_target(const struct walkx *x, char *target, size_t size)
{
    ssize_t n;

    if (!x->w.place || !S_ISLNK(x->w.mode))
        return 0;
    n = readlinkat(x->w.place->fd, "", target, size);
    return n < 0 ? 0 : (size_t)n;
}

/* Layout: p9.h. */
int op_walkx(struct engine *e, struct request *rq)
{
    uint32_t number = p9_get32(&rq->in);
    uint32_t newnumber = p9_get32(&rq->in);
    char target[P9_PATH_MAX];
    size_t target_len;
    struct walkx x = { 0 };
    struct fid *fid;
    int err;

    x.flags = p9_get32(&rq->in);
    err = get_names(rq, &x.names);
    if (!err)
        err = check_walk(e, number, newnumber, &fid);
    if (err)
        return err;
    walker_start(&x.w, e, fid);
    if (x.names.count)
        walkx_steps(e, &x);
    else
        walkx_here(e, &x);
    target_len = walkx_target(&x, target, sizeof(target));
    if (!x.err) {
        err = bind(e, &x.w, fid, newnumber, x.flags);
        if (!err)
            walkx_open(e, &x, newnumber);
    }
    walker_end(&x.w);
    if (err)
        return err;
    p9_put16(&rq->out, x.passed);
    p9_put32(&rq->out, (uint32_t)-x.err);
    for (size_t i = 0; i < x.passed; i++)
        p9_put_attr(&rq->out, &x.attr[i]);
    p9_put8(&rq->out, x.w.opened);
    p9_put32(&rq->out, x.w.opened ? engine_iounit(e) : 0);
    p9_put_str(&rq->out, target, target_len);
    return 0;
}
