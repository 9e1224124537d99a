/*
 * The gofer's file system: reading directories. Entries come with their attributes (Treaddirx), so that the stat of each that
 * usually follows needs no request. A part of the listing is kept with the open file, as the app takes less at a time.
 */
#include "fs/gofer.h"

#include "lib/kmalloc.h"
#include "lib/string.h"

#define LISTING_SIZE (64u << 10)
#define LISTING_COUNT (LISTING_SIZE - 64u)

/* The gofer fills a reply as far as entries fit: with this much room left, there are no more. */
#define LISTING_ROOM 1024u

/* Entries of one directory whose attributes go to the name cache: the rest of a huge one would only push others out. */
#define OFFER_MAX 8192

struct gofer_dir {
    struct gofer_handle *handle;
    uint64_t next;     /* the gofer's offset behind what was read */
    bool valid;        /* data[pos..size) is what comes at file position file_pos */
    bool end;          /* and nothing behind it */
    uint64_t file_pos;
    uint32_t offered;
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

/* Keep a reply: small listings, which most are, shouldn't hold 64 KiB. */
static bool keep_listing(struct gofer_dir *d, const void *data, uint32_t size)
{
    if (d->room < size) {
        uint8_t *p = krealloc(d->data, size);

        if (!p)
            return false;
        d->data = p;
        d->room = size;
    }
    memcpy(d->data, data, size);
    d->size = size;
    d->pos = 0;
    d->valid = true;
    d->end = size + LISTING_ROOM <= LISTING_COUNT;
    return true;
}

static long fetch(struct gofer_dir *d, uint64_t offset)
{
    void *bulk = ring_bulk_get();
    struct ring_request *rq = ring_get(P9_Treaddirx);
    uint32_t size;
    long err;

    p9_put32(&rq->out, d->handle->fid);
    p9_put64(&rq->out, offset);
    p9_put32(&rq->out, LISTING_COUNT);
    rq->data_in = bulk;
    rq->data_in_size = LISTING_SIZE;
    err = ring_call(rq);
    if (err == 0) {
        size = p9_get32(&rq->in);
        if (rq->in.bad || size > LISTING_SIZE)
            err = -EIO;
        else if (!keep_listing(d, bulk, size))
            err = -ENOMEM;
    }
    ring_put(rq);
    ring_bulk_put(bulk);
    return err;
}

static bool is_dots(const struct p9_str *name)
{
    return (name->len == 1 && name->data[0] == '.') ||
           (name->len == 2 && name->data[0] == '.' && name->data[1] == '.');
}

static void offer(struct file *f, struct gofer_dir *d, const struct p9_str *str, const struct p9_attr *attr)
{
    struct name name = { str->data, str->len };
    struct inode *inode;

    if (d->offered >= OFFER_MAX || !gofer_sb(f->inode->sb)->exclusive)
        return;
    inode = gofer_inode_get(f->inode->sb, attr, f->inode, &name);
    if (!inode)
        return;
    d->offered++;
    dir_emit_inode(f, &name, inode);
}

/* Emit what is in the listing. 0: all of it; 1: the app's buffer is full. */
static int emit_listing(struct file *f, struct gofer_dir *d, emit_fn emit, void *ctx)
{
    struct p9_cursor c;
    struct p9_attr attr;
    struct p9_str name;
    uint64_t next;

    p9_cursor_init(&c, d->data, d->size);
    c.pos = d->pos;
    while (c.pos < c.size) {
        p9_get_attr(&c, &attr);
        next = p9_get64(&c);
        name = p9_get_str(&c);
        if (c.bad || name.len == 0 || name.len > P9_NAME_MAX)
            return -EIO;
        if (!is_dots(&name)) {
            if (!emit(ctx, name.data, name.len, attr.qid.path, pos_of(next), mode_to_dtype(attr.mode)))
                return 1;
            offer(f, d, &name, &attr);
        }
        d->next = next;
        d->pos = (uint32_t)c.pos;
        f->pos = pos_of(next);
        d->file_pos = f->pos;
    }
    return 0;
}

static int gofer_readdir(struct file *f, emit_fn emit, void *ctx)
{
    struct gofer_dir *d = f->data;
    long err;

    if (!dir_emit_dots(f, emit, ctx))
        return 0;
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
        err = emit_listing(f, d, emit, ctx);
        if (err != 0)
            return err < 0 ? (int)err : 0;
    }
}

/* Rewinding shows what has changed since. */
static loff_t gofer_seek_dir(struct file *f, loff_t offset, int whence)
{
    struct gofer_dir *d = f->data;

    d->valid = false;
    return seek_dir(f, offset, whence);
}

static int gofer_fsync_dir(struct file *f, bool data_only)
{
    struct gofer_dir *d = f->data;
    struct ring_request *rq = ring_get(P9_Tfsync);
    long err;

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
