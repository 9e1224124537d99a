/*
 * 9P operations that list directories: readdir, and the extensions readdirx and list.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/checked.h"
#include "gofer/engine.h"

/* What getdents64(2) gives. */
struct dirent_host {
    uint64_t ino;
    int64_t next;
    uint16_t size;
    uint8_t type;
    char name[];
};

#define DTYPE_UNKNOWN 0

#define DIRENT_NAME offsetof(struct dirent_host, name)

/* qid offset type name, or attr offset name: without the name itself. */
#define ENTRY_SIZE (P9_QID_SIZE + 8 + 1 + 2)
#define ENTRY_SIZE_X (P9_ATTR_SIZE + 8 + 2)

struct listing {
    struct engine *e;
    const struct fid *fid;
    bool with_attr;
    bool exact;            /* number and type are what statx(2) says, if need be by asking it */
    bool ended;            /* nothing is behind what was put */
    size_t left;           /* bytes that the client still takes */
    struct p9_cursor *out;
};

static uint8_t qid_type_of(uint8_t d_type)
{
    return d_type == 4 /* DT_DIR */ ? P9_QTDIR : d_type == 10 /* DT_LNK */ ? P9_QTSYMLINK : P9_QTFILE;
}

/* ".." of an export's root is outside: it is shown as the root itself, as everywhere at the top of a tree. */
static bool leads_out(const struct listing *l, const char *name)
{
    return l->fid->is_root && !strcmp(name, "..");
}

/* A mount of the host that isn't served isn't there. */
static bool is_hidden(const struct listing *l, const struct statx *st)
{
    return !l->fid->x->cross_mounts && st->stx_mnt_id != l->fid->x->mnt_id;
}

static void put_entry(const struct listing *l, const struct dirent_host *d, uint64_t next)
{
    struct p9_qid qid = { .type = qid_type_of(d->type), .path = path_number(l->fid->x, d->ino) };
    uint8_t type = d->type;
    struct statx st;

    if (leads_out(l, d->name) && !path_stat(fid_fd(l->fid), "", &st))
        path_qid(l->fid->x, &st, &qid);
    if (l->exact && (d->type == DTYPE_UNKNOWN || !l->fid->x->plain)) {
        if (path_stat(fid_fd(l->fid), d->name, &st) || is_hidden(l, &st))
            return;
        path_qid(l->fid->x, &st, &qid);
        type = (uint8_t)((st.stx_mode & S_IFMT) >> 12);
    }
    p9_put_qid(l->out, &qid);
    p9_put64(l->out, next);
    p9_put8(l->out, type);
    p9_put_str(l->out, d->name, strlen(d->name));
}

/* An entry that went away meanwhile is left out. */
static void put_entry_x(const struct listing *l, const struct dirent_host *d, uint64_t next)
{
    struct p9_attr attr;
    struct statx st;

    if (path_stat(fid_fd(l->fid), leads_out(l, d->name) ? "" : d->name, &st) || is_hidden(l, &st))
        return;
    path_attr(l->fid->x, &l->e->config.view, &st, &attr);
    p9_put_attr(l->out, &attr);
    p9_put64(l->out, next);
    p9_put_str(l->out, d->name, strlen(d->name));
}

/* Put entries while they fit. Returns false when one did not; *offset is behind the last that was put. */
static bool put_entries(struct listing *l, size_t size, uint64_t *offset)
{
    size_t fixed = l->with_attr ? ENTRY_SIZE_X : ENTRY_SIZE;

    for (size_t pos = 0; pos + DIRENT_NAME < size;) {
        const void *place = l->e->scratch + pos; /* the kernel keeps entries 8-aligned */
        const struct dirent_host *d = place;
        size_t need = fixed + strlen(d->name);

        if (l->fid->is_root && d->name[0] != '.' && path_hidden(l->fid->x, d->name)) {
            *offset = (uint64_t)d->next;
            pos += d->size;
            continue;
        }
        if (need > l->left)
            return false;
        if (l->with_attr)
            put_entry_x(l, d, (uint64_t)d->next);
        else
            put_entry(l, d, (uint64_t)d->next);
        l->left -= need;
        *offset = (uint64_t)d->next;
        pos += d->size;
    }
    return true;
}

/* Entries of the host are smaller than ours: ask for about as many as will fit, so that few are read twice. */
static size_t host_size(const struct listing *l)
{
    size_t want = l->with_attr ? l->left / 4 : l->left;

    return min_size(want < 1024 ? 1024 : want, sizeof(l->e->scratch));
}

static int list(struct listing *l, struct fid *fid, uint64_t offset)
{
    bool any = false;

    if (offset != fid->dir_offset && lseek(fid->open->fd, (off_t)offset, SEEK_SET) < 0)
        return -errno;
    for (;;) {
        uint64_t at = offset;
        long n = syscall(SYS_getdents64, fid->open->fd, l->e->scratch, host_size(l));

        fid->dir_offset = UINT64_MAX; /* not known until all that was read is put */
        if (n < 0)
            return any ? 0 : -errno;
        if (n == 0) {
            fid->dir_offset = offset;
            l->ended = true;
            return 0;
        }
        if (!put_entries(l, (size_t)n, &at))
            return 0;
        any = true;
        offset = at;
        fid->dir_offset = at;
        if (l->left < 1024)
            return 0;
    }
}

static int read_directory(struct engine *e, struct request *rq, bool with_attr)
{
    uint32_t number = p9_get32(&rq->in);
    uint64_t offset = p9_get64(&rq->in);
    uint32_t count = p9_get32(&rq->in);
    struct listing l = { .e = e, .with_attr = with_attr, .out = &rq->out };
    size_t start, end;
    struct fid *fid;
    int err = request_end(rq);

    if (!err)
        err = engine_dir(e, number, &fid);
    if (err)
        return err;
    if (!fid->open)
        return -EBADF;
    start = rq->out.pos;
    p9_put32(&rq->out, 0);
    if (rq->out.bad)
        return -EMSGSIZE;
    l.fid = fid;
    l.left = min_size(count, rq->out.size - rq->out.pos);
    err = list(&l, fid, offset);
    if (err)
        return err;
    end = rq->out.pos;
    if (end == start + 4 && fid->dir_offset == UINT64_MAX)
        return -EINVAL; /* not one entry fits */
    rq->out.pos = start;
    p9_put32(&rq->out, (uint32_t)(end - start - 4));
    rq->out.pos = end;
    return 0;
}

/*
 * size[4] Treaddir tag[2] fid[4] offset[8] count[4]
 * size[4] Rreaddir tag[2] count[4] count bytes of entries: qid[13] offset[8] type[1] name[s]
 */
int op_readdir(struct engine *e, struct request *rq)
{
    return read_directory(e, rq, false);
}

/* Layout: p9.h. */
int op_readdirx(struct engine *e, struct request *rq)
{
    return read_directory(e, rq, true);
}

/* --- several directories at once --- */

/* In front of a directory's entries: error[4] state[1] attr size[4]. */
#define SECTION_SIZE (4 + 1 + P9_ATTR_SIZE + 4)

/* A directory that is listed here, open in a fid or only for now. */
struct listed {
    struct fid fid;       /* kind, x, mode, is_root, open and dir_offset count */
    struct fdref ref;
    struct fid *borrowed; /* whose descriptor it is; NULL: ours to close */
};

static int open_listed(struct listed *d, const struct export *x, int fd)
{
    struct statx st;
    int err;

    if (fd < 0)
        return fd;
    err = path_stat(fd, "", &st);
    if (!err)
        err = path_check_open(x, st.stx_mode, O_RDONLY | O_DIRECTORY);
    if (err) {
        close(fd);
        return err;
    }
    d->ref = (struct fdref){ fd, 1 };
    d->fid = (struct fid){ .kind = FID_FILE, .x = x, .open = &d->ref, .mode = st.stx_mode };
    return 0;
}

/* The directory that a fid stands for. */
static int list_fid(struct engine *e, uint32_t number, struct listed *d)
{
    struct fid *fid;
    struct statx st;
    int err = engine_dir(e, number, &fid);

    if (err)
        return err;
    if (fid->open) {
        d->ref = *fid->open;
        d->fid = (struct fid){ .kind = FID_FILE, .x = fid->x, .open = &d->ref, .mode = fid->mode,
                               .is_root = fid->is_root, .dir_offset = fid->dir_offset };
        d->borrowed = fid;
        return 0;
    }
    err = path_stat(fid->path->fd, "", &st);
    if (!err)
        err = path_check_open(fid->x, st.stx_mode, O_RDONLY | O_DIRECTORY);
    if (!err)
        err = open_listed(d, fid->x,
                          path_reopen(e->config.proc_fd, fid->path->fd, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_NOCTTY));
    d->fid.is_root = fid->is_root;
    return err;
}

/* A directory in one. O_DIRECTORY opens nothing else, not even for a moment. */
static int list_child(struct fid *dir, const struct p9_str *wire_name, struct listed *d)
{
    char name[P9_NAME_MAX + 1];
    int err = path_check_search(dir->x, dir->mode);

    if (!err)
        err = path_check_name(wire_name, name);
    if (err)
        return err;
    if (dir->is_root && path_hidden(dir->x, name))
        return -ENOENT;
    return open_listed(d, dir->x,
                       path_open_at(dir->x, fid_fd(dir), name, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_NOCTTY, 0));
}

static void listed_close(struct listed *d)
{
    if (d->borrowed)
        d->borrowed->dir_offset = d->fid.dir_offset;
    else
        close(d->ref.fd);
}

/* May names be looked up in it? If not, that a name isn't in the listing says nothing. */
static bool is_searchable(const struct listed *d)
{
    struct statx st;

    return !path_check_search(d->fid.x, d->fid.mode) && !path_stat(d->ref.fd, ".", &st);
}

static void put_failed(struct p9_cursor *out, int err)
{
    p9_put32(out, (uint32_t)-err);
}

/*
 * Put one directory. False: it was to be whole and didn't fit, or nothing at all did; nothing was put.
 */
static bool put_listed(struct listing *l, struct listed *d, uint64_t offset, bool whole)
{
    size_t start = l->out->pos, end, room = l->left;
    struct p9_attr attr;
    struct statx st;
    uint8_t state;
    int err;

    if (l->left < SECTION_SIZE + 1024)
        return false;
    l->fid = &d->fid;
    l->exact = true;
    l->ended = false;
    l->left -= SECTION_SIZE;
    err = path_stat(d->ref.fd, "", &st);
    if (!err) {
        path_attr(d->fid.x, &l->e->config.view, &st, &attr);
        p9_put32(l->out, 0);
        p9_put8(l->out, 0);
        p9_put_attr(l->out, &attr);
        p9_put32(l->out, 0);
        err = list(l, &d->fid, offset);
    }
    if (whole && !err && !l->ended) {
        l->out->pos = start;
        l->left = room;
        return false;
    }
    if (err) {
        l->out->pos = start;
        l->left = room - 4;
        put_failed(l->out, err);
        return true;
    }
    end = l->out->pos;
    state = l->ended ? P9_LIST_ENDED : 0;
    if (is_searchable(d))
        state |= P9_LIST_SEARCHABLE;
    l->out->pos = start + 4;
    p9_put8(l->out, state);
    l->out->pos = start + SECTION_SIZE - 4;
    p9_put32(l->out, (uint32_t)(end - start - SECTION_SIZE));
    l->out->pos = end;
    return true;
}

/* The arguments of a Tlist. */
struct list_args {
    uint32_t number, flags, count;
    uint64_t offset;
    uint16_t name_count;
    struct p9_str name[P9_WALK_MAX];
};

static int get_list_args(struct request *rq, struct list_args *a)
{
    a->number = p9_get32(&rq->in);
    a->offset = p9_get64(&rq->in);
    a->count = p9_get32(&rq->in);
    a->flags = p9_get32(&rq->in);
    a->name_count = p9_get16(&rq->in);
    if (a->name_count > P9_WALK_MAX || (a->flags & ~(uint32_t)P9_LIST_ATTR))
        return -EINVAL;
    for (size_t i = 0; i < a->name_count; i++)
        a->name[i] = p9_get_str(&rq->in);
    return request_end(rq);
}

static int put_self(struct listing *l, const struct list_args *a)
{
    struct listed d = { 0 };
    int err = list_fid(l->e, a->number, &d);

    if (err)
        return err;
    if (!put_listed(l, &d, a->offset, false))
        err = -EMSGSIZE;
    listed_close(&d);
    return err;
}

static int put_children(struct listing *l, const struct list_args *a)
{
    struct fid *dir;
    int err = engine_dir(l->e, a->number, &dir);

    if (err)
        return err;
    for (size_t i = 0; i < a->name_count; i++) {
        struct listed d = { 0 };
        bool fits;

        if (l->left < SECTION_SIZE)
            return 0;
        err = list_child(dir, &a->name[i], &d);
        if (err) {
            put_failed(l->out, err);
            l->left -= 4;
            continue;
        }
        fits = put_listed(l, &d, 0, true);
        listed_close(&d);
        if (!fits)
            return 0;
    }
    return 0;
}

/* Layout: p9.h. */
int op_list(struct engine *e, struct request *rq)
{
    struct listing l = { .e = e, .out = &rq->out };
    struct list_args a;
    size_t start = rq->out.pos, end;
    int err = get_list_args(rq, &a);

    if (err)
        return err;
    p9_put32(&rq->out, 0);
    l.with_attr = a.flags & P9_LIST_ATTR;
    l.left = min_size(a.count, rq->out.bad ? 0 : rq->out.size - rq->out.pos);
    err = a.name_count ? put_children(&l, &a) : put_self(&l, &a);
    if (err)
        return err;
    end = rq->out.pos;
    rq->out.pos = start;
    p9_put32(&rq->out, (uint32_t)(end - start - 4));
    rq->out.pos = end;
    return 0;
}
