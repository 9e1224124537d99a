/*
 * Overlayfs: listing. A directory that is in one layer only passes its layer's entries through. A merged one is read whole when
 * it is read from the start: the upper entries, then those of the lower layer that aren't hidden by one of them; the list
 * stays with the open file, which makes positions stable.
 */
#include "fs/overlay.h"
#include "lib/kmalloc.h"
#include "lib/string.h"

#define FIRST_POS 2 /* after "." and ".." */
#define HASH_SIZE 256
#define BLOCK_ENTRIES 512

struct list_entry {
    struct list_entry *next; /* upper entries of the same hash */
    uint64_t ino;
    uint32_t len;
    uint8_t type;
    bool whiteout;
    char name[];
};

/* What a merged directory shows, whiteouts included; entry i is blocks[i / 512][i % 512]. */
struct merged {
    struct list_entry ***blocks;
    size_t block_count;
    size_t count;
    struct list_entry *upper_names[HASH_SIZE];
};

struct overlay_dir {
    struct file *inner;        /* on the only layer, if there is only one */
    const struct inode *layer; /* which that is */
    struct merged *merged;
};

/* --- the merged list --- */

static struct list_entry *entry_at(const struct merged *m, size_t i)
{
    return m->blocks[i / BLOCK_ENTRIES][i % BLOCK_ENTRIES];
}

static void merged_free(struct merged *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->count; i++)
        kfree(entry_at(m, i));
    for (size_t i = 0; i < m->block_count; i++)
        kfree(m->blocks[i]);
    kfree(m->blocks);
    kfree(m);
}

static bool make_room(struct merged *m)
{
    struct list_entry ***blocks;

    if (m->count < m->block_count * BLOCK_ENTRIES)
        return true;
    blocks = krealloc(m->blocks, (m->block_count + 1) * sizeof(*blocks));
    if (!blocks)
        return false;
    m->blocks = blocks;
    blocks[m->block_count] = kmalloc(BLOCK_ENTRIES * sizeof(**blocks));
    if (!blocks[m->block_count])
        return false;
    m->block_count++;
    return true;
}

static struct list_entry *add_entry(struct merged *m, const char *name, size_t len, uint64_t ino, uint8_t type)
{
    struct list_entry *e = kzalloc(sizeof(*e) + len + 1);

    if (!e || !make_room(m)) {
        kfree(e);
        return NULL;
    }
    e->ino = ino;
    e->len = (uint32_t)len;
    e->type = type;
    memcpy(e->name, name, len);
    m->blocks[m->count / BLOCK_ENTRIES][m->count % BLOCK_ENTRIES] = e;
    m->count++;
    return e;
}

static struct list_entry **bucket(struct merged *m, const char *name, size_t len)
{
    uint32_t h = 0x811c9dc5;

    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)name[i]) * 0x01000193u;
    return &m->upper_names[h % HASH_SIZE];
}

struct collect {
    struct merged *merged;
    struct inode *upper;
    bool full; /* no memory */
};

static bool is_dots(const char *name, size_t len)
{
    return name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'));
}

/* A file that was copied up keeps its number while it is known; in memory the copy has taken it over. */
static uint64_t shown_ino(const struct inode *upper_dir, uint64_t ino)
{
    struct inode *inode = inode_find(upper_dir->sb, ino);

    if (inode && inode->overlay)
        ino = inode->overlay->ino;
    inode_put(inode);
    return ino;
}

static bool collect_upper(void *ctx, const char *name, size_t len, uint64_t ino, uint64_t next_pos UNUSED, uint8_t type)
{
    struct collect *c = ctx;
    const struct name n = { name, len };
    struct list_entry *e, **chain;

    if (is_dots(name, len))
        return true;
    e = add_entry(c->merged, name, len, shown_ino(c->upper, ino), type);
    if (!e) {
        c->full = true;
        return false;
    }
    if (type == S_IFCHR >> 12) {
        struct inode *inode = overlay_layer_lookup(c->upper, &n);

        e->whiteout = inode && !is_err(inode) && overlay_is_whiteout(inode);
        if (inode && !is_err(inode))
            inode_put(inode);
    }
    chain = bucket(c->merged, name, len);
    e->next = *chain;
    *chain = e;
    return true;
}

static bool collect_lower(void *ctx, const char *name, size_t len, uint64_t ino, uint64_t next_pos UNUSED, uint8_t type)
{
    struct collect *c = ctx;

    if (is_dots(name, len))
        return true;
    for (const struct list_entry *e = *bucket(c->merged, name, len); e; e = e->next) {
        if (e->len == len && memcmp(e->name, name, len) == 0)
            return true;
    }
    c->full = !add_entry(c->merged, name, len, ino, type);
    return !c->full;
}

/* Pass all entries of a layer's directory to emit. */
static int list_layer(struct inode *layer, emit_fn emit, struct collect *c)
{
    struct file *f = vfs_open_inode(layer, NULL, NULL, O_RDONLY | O_DIRECTORY | O_LARGEFILE);
    uint64_t before;
    int err = 0;

    if (is_err(f))
        return (int)ptr_err(f);
    f->pos = FIRST_POS;
    do {
        before = f->pos;
        err = f->ops->readdir(f, emit, c);
    } while (err >= 0 && !c->full && f->pos != before);
    file_put(f);
    return c->full ? -ENOMEM : MIN(err, 0);
}

static int merge(struct inode *dir, struct merged **ret)
{
    const struct overlay_inode *o = overlay_i(dir);
    struct collect c = { .merged = kzalloc(sizeof(struct merged)), .upper = o->upper };
    int err = 0;

    if (!c.merged)
        return -ENOMEM;
    if (o->upper)
        err = list_layer(o->upper, collect_upper, &c);
    if (err == 0 && o->lower)
        err = list_layer(o->lower, collect_lower, &c);
    if (err < 0) {
        merged_free(c.merged);
        return err;
    }
    *ret = c.merged;
    return 0;
}

int overlay_for_each(struct inode *dir, int (*fn)(struct inode *dir, const struct name *name, void *arg), void *arg)
{
    struct merged *m;
    int err = merge(dir, &m);

    if (err < 0)
        return err;
    for (size_t i = 0; i < m->count && err == 0; i++) {
        const struct name name = { entry_at(m, i)->name, entry_at(m, i)->len };

        if (!entry_at(m, i)->whiteout)
            err = fn(dir, &name, arg);
    }
    merged_free(m);
    return err;
}

static int remove_whiteouts(struct inode *upper, const struct merged *m)
{
    int err = 0;

    for (size_t i = 0; i < m->count && err == 0; i++) {
        const struct name name = { entry_at(m, i)->name, entry_at(m, i)->len };
        struct inode *node = entry_at(m, i)->whiteout ? overlay_layer_lookup(upper, &name) : NULL;

        if (is_err(node)) {
            err = (int)ptr_err(node);
        } else if (node) {
            err = upper->ops->unlink(upper, &name, node);
            inode_put(node);
        }
    }
    return err;
}

int overlay_check_empty(struct inode *dir)
{
    struct merged *m;
    int err = merge(dir, &m);

    if (err < 0)
        return err;
    for (size_t i = 0; i < m->count && err == 0; i++) {
        if (!entry_at(m, i)->whiteout)
            err = -ENOTEMPTY;
    }
    if (err == 0)
        err = remove_whiteouts(overlay_i(dir)->upper, m);
    merged_free(m);
    return err;
}

int overlay_remove_whiteouts(struct inode *dir)
{
    struct merged *m;
    int err = merge(dir, &m);

    if (err < 0)
        return err;
    err = remove_whiteouts(overlay_i(dir)->upper, m);
    merged_free(m);
    return err;
}

/* --- the open directory --- */

static struct overlay_dir *dir_state(struct file *f)
{
    if (!f->data)
        f->data = kzalloc(sizeof(struct overlay_dir));
    return f->data;
}

static void drop_state(struct overlay_dir *d)
{
    file_put(d->inner);
    merged_free(d->merged);
    *d = (struct overlay_dir){ 0 };
}

/* Read from the start: look again at what the directory is made of. */
static int restart(struct file *f, struct overlay_dir *d)
{
    const struct overlay_inode *o = overlay_i(f->inode);
    struct inode *only = overlay_real(f->inode);

    drop_state(d);
    if (o->upper && (o->lower || overlay_sb(f->inode)->kept)) /* a kept layer may have whiteouts anywhere */
        return merge(f->inode, &d->merged);
    d->inner = vfs_open_inode(only, NULL, NULL, O_RDONLY | O_DIRECTORY | O_LARGEFILE);
    if (is_err(d->inner)) {
        int err = (int)ptr_err(d->inner);

        d->inner = NULL;
        return err;
    }
    d->layer = only;
    return 0;
}

static void emit_merged(struct file *f, const struct merged *m, emit_fn emit, void *ctx)
{
    while (f->pos - FIRST_POS < m->count) {
        const struct list_entry *e = entry_at(m, f->pos - FIRST_POS);

        if (!e->whiteout && !emit(ctx, e->name, e->len, e->ino, f->pos + 1, e->type))
            return;
        f->pos++;
    }
}

static int overlay_readdir(struct file *f, emit_fn emit, void *ctx)
{
    struct overlay_dir *d = dir_state(f);
    bool fresh = f->pos == 0;
    int err = 0;

    if (!d)
        return -ENOMEM;
    if (fresh || (!d->inner && !d->merged)) {
        err = restart(f, d);
        if (err < 0)
            return err;
    }
    if (!dir_emit_dots(f, emit, ctx))
        return 0;
    if (d->merged) {
        emit_merged(f, d->merged, emit, ctx);
        return 0;
    }
    d->inner->pos = f->pos;
    err = d->inner->ops->readdir(d->inner, emit, ctx);
    f->pos = d->inner->pos;
    return err;
}

static int overlay_dir_fsync(struct file *f, bool data_only)
{
    struct inode *upper = overlay_i(f->inode)->upper;
    struct file *dir;
    int err;

    if (!upper || !overlay_sb(f->inode)->kept)
        return 0;
    dir = vfs_open_inode(upper, NULL, NULL, O_RDONLY | O_DIRECTORY | O_LARGEFILE);
    if (is_err(dir))
        return (int)ptr_err(dir);
    err = dir->ops->fsync ? dir->ops->fsync(dir, data_only) : 0;
    file_put(dir);
    return err;
}

static void overlay_dir_release(struct file *f)
{
    if (!f->data)
        return;
    drop_state(f->data);
    kfree(f->data);
}

const struct file_ops overlay_dir_file_ops = {
    .seek = seek_dir,
    .readdir = overlay_readdir,
    .fsync = overlay_dir_fsync,
    .release = overlay_dir_release,
};
