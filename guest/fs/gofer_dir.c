/*
 * The gofer's file system: reading directories. On exclusive mounts from the listing that is kept (gofer_list.c); others, and
 * directories too large for that, piece by piece, each kept with the open file, as the app takes less at a time.
 */
#include "fs/gofer.h"

#include "lib/kmalloc.h"
#include "lib/string.h"

struct gofer_dir {
    struct gofer_handle *handle; /* NULL: not opened yet */
    struct gofer_listing *listing;
    uint32_t listing_pos; /* of what comes at file position file_pos */
    uint64_t file_pos;
    bool piecewise;       /* until it is read from the start again */
    bool valid;           /* data[pos..size) is what comes at file_pos */
    bool end;             /* and nothing behind it */
    uint32_t size, pos;
    uint32_t room;
    uint8_t *data;
};

/*
 * Positions 0 to 2 are for "." and "..", so offsets of the host move up by two. Hashed ones (ext4's) reach up to INT64_MAX,
 * which means the end and stays.
 */
static uint64_t pos_of(uint64_t offset)
{
    return offset < INT64_MAX - 2 ? offset + 2 : offset;
}

static uint64_t offset_of(uint64_t pos)
{
    return pos >= INT64_MAX - 2 ? pos : pos - 2;
}

static long need_handle(struct file *f, struct gofer_dir *d)
{
    return d->handle ? 0 : gofer_open_handle(f->inode, O_RDONLY, &d->handle);
}

/* --- piece by piece --- */

static long fetch(struct gofer_dir *d, uint64_t offset)
{
    uint8_t *data;
    long err;

    if (d->room < RING_BULK_SIZE) {
        data = kmalloc(RING_BULK_SIZE);
        if (!data)
            return -ENOMEM;
        kfree(d->data);
        d->data = data;
        d->room = RING_BULK_SIZE;
    }
    err = gofer_list_piece(d->handle->fid, offset, d->data, &d->size, &d->end);
    d->valid = err == 0;
    d->pos = 0;
    if (err == 0 && d->size < d->room / 2) { /* small listings, which most are, shouldn't hold so much */
        data = krealloc(d->data, MAX(d->size, 1u));
        if (data)
            d->room = d->size;
        d->data = data ? data : d->data;
    }
    return err;
}

static bool is_dots(const struct p9_str *name)
{
    return (name->len == 1 && name->data[0] == '.') ||
           (name->len == 2 && name->data[0] == '.' && name->data[1] == '.');
}

/* Emit what is in the piece. 0: all of it; 1: the app's buffer is full. */
static int emit_piece(struct file *f, struct gofer_dir *d, emit_fn emit, void *ctx)
{
    struct p9_cursor c;
    struct p9_qid qid;
    struct p9_str name;
    uint64_t next;
    uint8_t type;

    p9_cursor_init(&c, d->data, d->size);
    c.pos = d->pos;
    while (c.pos < c.size) {
        qid = p9_get_qid(&c);
        next = p9_get64(&c);
        type = p9_get8(&c);
        name = p9_get_str(&c);
        if (c.bad || name.len == 0 || name.len > P9_NAME_MAX)
            return -EIO;
        if (!is_dots(&name) && !emit(ctx, name.data, name.len, qid.path, pos_of(next), type))
            return 1;
        d->pos = (uint32_t)c.pos;
        f->pos = pos_of(next);
        d->file_pos = f->pos;
    }
    return 0;
}

static int read_pieces(struct file *f, struct gofer_dir *d, emit_fn emit, void *ctx)
{
    long err = need_handle(f, d);

    if (err < 0)
        return (int)err;
    for (;;) {
        if (d->valid && d->file_pos == f->pos && d->pos == d->size && d->end)
            return 0;
        if (!d->valid || d->file_pos != f->pos || d->pos == d->size) {
            err = fetch(d, offset_of(f->pos));
            if (err < 0)
                return (int)err;
            d->file_pos = f->pos;
            if (d->size == 0)
                return 0;
        }
        err = emit_piece(f, d, emit, ctx);
        if (err != 0)
            return err < 0 ? (int)err : 0;
    }
}

/* --- from a listing --- */

static void forget_listing(struct gofer_dir *d)
{
    gofer_list_put(d->listing);
    d->listing = NULL;
}

/* Be where the file is. 0; -E2BIG: it must be read piece by piece; -errno. */
static long find_place(struct file *f, struct gofer_dir *d)
{
    long err;

    if (d->listing && d->file_pos == f->pos)
        return 0;
    if (f->pos == 2)
        forget_listing(d); /* from the start: what is there now */
    if (!d->listing) {
        err = gofer_list_get(f->inode, &d->listing);
        if (err < 0)
            return err;
    }
    d->listing_pos = 0;
    if (f->pos != 2 && !gofer_list_seek(d->listing, offset_of(f->pos), &d->listing_pos)) {
        forget_listing(d);
        return -E2BIG; /* the host knows what that place is */
    }
    d->file_pos = f->pos;
    return 0;
}

static long read_listing(struct file *f, struct gofer_dir *d, emit_fn emit, void *ctx)
{
    const struct gofer_entry *e;
    long err = find_place(f, d);
    uint32_t pos;

    if (err < 0)
        return err;
    pos = d->listing_pos;
    while ((e = gofer_list_next(d->listing, &pos)) != NULL) {
        if (!emit(ctx, e->name, e->len, e->ino, pos_of(e->next), e->type))
            return 0;
        d->listing_pos = pos;
        f->pos = pos_of(e->next);
        d->file_pos = f->pos;
    }
    return 0;
}

/* --- the open directory --- */

static int gofer_readdir(struct file *f, emit_fn emit, void *ctx)
{
    struct gofer_dir *d = f->data;
    long err = -E2BIG;

    if (!dir_emit_dots(f, emit, ctx))
        return 0;
    if (f->pos == 2)
        d->piecewise = !gofer_sb(f->inode->sb)->exclusive;
    if (!d->piecewise)
        err = read_listing(f, d, emit, ctx);
    if (err != -E2BIG)
        return (int)err;
    d->piecewise = true;
    return read_pieces(f, d, emit, ctx);
}

/* Rewinding shows what has changed since. */
static loff_t gofer_seek_dir(struct file *f, loff_t offset, int whence)
{
    struct gofer_dir *d = f->data;
    loff_t pos = seek_dir(f, offset, whence);

    d->valid = false;
    if (pos >= 0 && pos <= 2)
        forget_listing(d);
    return pos;
}

static int gofer_fsync_dir(struct file *f, bool data_only)
{
    struct gofer_dir *d = f->data;
    long err = need_handle(f, d);
    struct ring_request *rq;

    if (err < 0)
        return (int)err;
    rq = ring_get(P9_Tfsync);
    p9_put32(&rq->out, d->handle->fid);
    p9_put32(&rq->out, data_only);
    err = ring_call(rq);
    ring_put(rq);
    return (int)err;
}

static void gofer_release_dir(struct file *f)
{
    struct gofer_dir *d = f->data;

    f->data = d->handle;
    gofer_list_put(d->listing);
    kfree(d->data);
    kfree(d);
    gofer_release(f);
}

int gofer_open_dir(struct file *f, struct gofer_handle *h)
{
    struct gofer_dir *d = kzalloc(sizeof(*d));

    if (!d)
        return -ENOMEM;
    d->handle = h;
    f->data = d;
    f->ops = &gofer_dir_ops;
    return 0;
}

const struct file_ops gofer_dir_ops = {
    .seek = gofer_seek_dir,
    .readdir = gofer_readdir,
    .fsync = gofer_fsync_dir,
    .release = gofer_release_dir,
};
