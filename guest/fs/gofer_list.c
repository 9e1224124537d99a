/*
 * The gofer's file system: listings of directories that are kept. On a mount that nobody else changes, a directory is read whole,
 * by one request (Tlist) if it isn't large, and serves all its readers and lookups from then on: a name that isn't in it doesn't
 * exist, and one that is needs no request if its file is known or its attributes came along.
 *
 * Attributes cost the gofer a system call each, so they are only asked for where lookups have followed listings. Where a
 * tree is walked in order, the directories beside one are read ahead with it.
 *
 * A listing lives until its directory gets a new name, or memory for listings runs short; what is removed is marked in it. Open
 * directories hold theirs, which makes their positions stable. What is shown and looked up is what a request would have
 * brought: `changes`, `evictions` and `epoch` of the superblock tell whether something happened while it was under way.
 */
#include "fs/gofer.h"

#include "lib/kmalloc.h"
#include "lib/string.h"
#include "mm/frame.h"

#define TOTAL_MAX (16u << 20)   /* bytes in listings */
#define AHEAD_MAX P9_WALK_MAX   /* directories in one request */
#define MISSES_MIN 8            /* lookups in a directory before it is listed for them: a start makes some in /etc */
#define ATTR_TRIED 64u          /* files whose attributes must have come before they are found to be of no use */
#define FILL_BACK_OFF_MAX 8u    /* doublings of that */
#define FILL_SIZE_MAX (64u << 10) /* directories that are larger (st_size) aren't */

#define ENTRY_ATTR 1u    /* its attributes are behind its name */
#define ENTRY_SPENT 2u   /* but don't count any more */
#define ENTRY_REMOVED 4u

struct gofer_listing {
    uint32_t refs;
    struct list lru;      /* while it is its directory's */
    struct inode *owner;  /* then a reference; else NULL */
    struct gofer_listing *source; /* the parent's, if it was read ahead from there and nobody has looked at it: a reference */
    uint64_t epoch;
    bool searchable;      /* names may be looked up in the directory */
    bool all_attr;
    uint32_t attr_files;  /* files whose attributes came */
    uint32_t misses;      /* lookups of entries without attributes */
    uint32_t count;
    uint32_t size, room;  /* of data: struct gofer_entry, aligned to 8 */
    uint8_t *data;
    uint32_t *index;      /* made by the first lookup: offset + 1, hashed by name */
    uint32_t index_mask;
    uint32_t ahead_pos;   /* behind the last that was */
    uint32_t given, used; /* read ahead, and of those looked at */
};

static struct list listings = LIST_INIT(listings);
static size_t total_size;

static size_t total_max(void)
{
    return MIN((size_t)TOTAL_MAX, frame_total() * (PAGE_SIZE / 32));
}

/* --- entries --- */

static size_t entry_size(size_t name_len, bool with_attr)
{
    return ALIGN_UP(offsetof(struct gofer_entry, name) + name_len + (with_attr ? P9_ATTR_SIZE : 0), 8);
}

static struct gofer_entry *entry_at(const struct gofer_listing *l, uint32_t pos)
{
    return (struct gofer_entry *)(void *)(l->data + pos);
}

static uint32_t entry_end(const struct gofer_entry *e, uint32_t pos)
{
    return pos + (uint32_t)entry_size(e->len, e->flags & ENTRY_ATTR);
}

const struct gofer_entry *gofer_list_next(struct gofer_listing *l, uint32_t *pos)
{
    if (l->source) {
        l->source->used++;
        gofer_list_put(l->source);
        l->source = NULL;
    }
    while (*pos < l->size) {
        const struct gofer_entry *e = entry_at(l, *pos);

        *pos = entry_end(e, *pos);
        if (!(e->flags & ENTRY_REMOVED))
            return e;
    }
    return NULL;
}

bool gofer_list_seek(struct gofer_listing *l, uint64_t offset, uint32_t *pos)
{
    for (uint32_t at = 0; at < l->size;) {
        const struct gofer_entry *e = entry_at(l, at);

        at = entry_end(e, at);
        if (e->next == offset) {
            *pos = at;
            return true;
        }
    }
    return false;
}

static bool is_dots(const struct p9_str *name)
{
    return name->data[0] == '.' && (name->len == 1 || (name->len == 2 && name->data[1] == '.'));
}

static bool reserve(struct gofer_listing *l, size_t n)
{
    size_t room = MAX((size_t)l->room * 2, l->size + n);
    uint8_t *p;

    if (n <= l->room - l->size)
        return true;
    p = krealloc(l->data, room);
    if (!p)
        return false;
    l->data = p;
    l->room = (uint32_t)room;
    return true;
}

/* Take one entry of a reply. 0 or -errno. */
static long add_entry(struct gofer_listing *l, struct p9_cursor *c, bool with_attr, uint64_t *ret_next)
{
    size_t attr_pos = c->pos;
    struct p9_attr attr;
    struct p9_str name;
    struct gofer_entry *e;
    uint64_t ino, next;
    uint8_t type;

    if (with_attr) {
        p9_get_attr(c, &attr);
        ino = attr.qid.path;
        next = p9_get64(c);
        type = mode_to_dtype(attr.mode);
    } else {
        ino = p9_get_qid(c).path;
        next = p9_get64(c);
        type = p9_get8(c);
    }
    name = p9_get_str(c);
    if (c->bad || name.len == 0 || name.len > P9_NAME_MAX)
        return -EIO;
    *ret_next = next;
    if (is_dots(&name))
        return 0;
    if (!reserve(l, entry_size(name.len, with_attr)))
        return -ENOMEM;
    e = entry_at(l, l->size);
    *e = (struct gofer_entry){ .ino = ino, .next = next, .len = name.len, .type = type };
    memcpy(e->name, name.data, name.len);
    if (with_attr) {
        e->flags = ENTRY_ATTR;
        l->attr_files += !S_ISDIR(attr.mode);
        memcpy(e->name + name.len, c->data + attr_pos, P9_ATTR_SIZE);
    }
    l->size += (uint32_t)entry_size(name.len, with_attr);
    l->count++;
    return 0;
}

/* --- names in a listing --- */

static uint32_t name_hash(const char *s, size_t len)
{
    uint32_t h = 0x811c9dc5;

    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)s[i]) * 0x01000193u;
    return h ^ h >> 15;
}

static bool make_index(struct gofer_listing *l)
{
    uint32_t size = 16;

    while (size < l->count * 2)
        size *= 2;
    l->index = kcalloc(size, sizeof(l->index[0]));
    if (!l->index)
        return false;
    l->index_mask = size - 1;
    for (uint32_t pos = 0; pos < l->size;) {
        const struct gofer_entry *e = entry_at(l, pos);
        uint32_t h = name_hash(e->name, e->len);

        while (l->index[h & l->index_mask] != 0)
            h++;
        l->index[h & l->index_mask] = pos + 1;
        pos = entry_end(e, pos);
    }
    return true;
}

/* The entry of a name that isn't removed. False: no memory for the index. */
static bool find_entry(struct gofer_listing *l, const struct name *name, struct gofer_entry **ret)
{
    *ret = NULL;
    if (!l->index && !make_index(l))
        return false;
    for (uint32_t h = name_hash(name->str, name->len); l->index[h & l->index_mask] != 0; h++) {
        struct gofer_entry *e = entry_at(l, l->index[h & l->index_mask] - 1);

        if (e->len == name->len && memcmp(e->name, name->str, name->len) == 0 && !(e->flags & ENTRY_REMOVED)) {
            *ret = e;
            return true;
        }
    }
    return true;
}

/* --- which listings are kept --- */

void gofer_list_put(struct gofer_listing *l)
{
    if (!l || --l->refs > 0)
        return;
    gofer_list_put(l->source);
    kfree(l->index);
    kfree(l->data);
    kfree(l);
}

/* It isn't kept any longer; its readers may go on with it. */
static void detach(struct inode *dir)
{
    struct gofer_inode *gi = gofer_i(dir);
    struct gofer_listing *l = gi->listing;

    if (!l)
        return;
    gi->listing = NULL;
    list_remove(&l->lru);
    total_size -= l->room;
    l->owner = NULL;
    gofer_list_put(l);
    inode_put(dir);
}

void gofer_list_drop(struct inode *dir)
{
    gofer_sb(dir->sb)->changes++;
    gofer_i(dir)->outdated += gofer_i(dir)->listing != NULL;
    detach(dir);
}

static void touch(struct gofer_listing *l)
{
    list_remove(&l->lru);
    list_push_back(&listings, &l->lru);
}

static void attach(struct inode *dir, struct gofer_listing *l)
{
    inode_get(dir);
    detach(dir);
    gofer_sb(dir->sb)->attr_given += l->attr_files;
    l->owner = dir;
    l->refs++;
    gofer_i(dir)->listing = l;
    list_push_back(&listings, &l->lru);
    total_size += l->room;
    while (total_size > total_max() && list_first(&listings, struct gofer_listing, lru) != l)
        detach(list_first(&listings, struct gofer_listing, lru)->owner);
}

void gofer_list_removed(struct inode *dir, const struct name *name)
{
    struct gofer_listing *l = gofer_i(dir)->listing;
    struct gofer_entry *e;

    gofer_sb(dir->sb)->changes++;
    if (!l)
        return;
    if (!find_entry(l, name, &e))
        gofer_list_drop(dir);
    else if (e)
        e->flags |= ENTRY_REMOVED;
}

void gofer_list_evicted(struct gofer_inode *gi)
{
    struct gofer_sb *gs = gofer_sb(gi->inode->sb);
    struct gofer_entry *e = NULL;
    struct gofer_listing *l;

    if (!gi->modified || gi->inode->nlink == 0)
        return;
    gs->evictions++;
    if (!gi->parent || (gi->inode->nlink > 1 && !S_ISDIR(gi->inode->mode))) {
        gs->epoch++; /* it may be anywhere */
        return;
    }
    l = gofer_i(gi->parent)->listing;
    if (l && !find_entry(l, &(struct name){ gi->name, strlen(gi->name) }, &e))
        gs->epoch++;
    if (e)
        e->flags |= ENTRY_SPENT;
}

/* --- requests --- */

/* A Tlist under way, and what it has brought so far. */
struct fetch {
    struct superblock *sb;
    uint64_t changes, evictions, epoch;
    bool with_attr;
    void *bulk;
    struct ring_request *rq;
    struct p9_cursor in;     /* the directories in the reply */
};

static void fetch_begin(struct fetch *f, struct superblock *sb, bool with_attr)
{
    const struct gofer_sb *gs = gofer_sb(sb);

    *f = (struct fetch){ .sb = sb, .changes = gs->changes, .evictions = gs->evictions, .epoch = gs->epoch, .with_attr = with_attr };
    f->bulk = ring_bulk_get();
}

static void fetch_end(struct fetch *f)
{
    ring_bulk_put(f->bulk);
}

/* The rest of a request whose fid is there already, up to the names. */
static void put_args(struct fetch *f, uint64_t offset)
{
    p9_put64(&f->rq->out, offset);
    p9_put32(&f->rq->out, RING_BULK_SIZE);
    p9_put32(&f->rq->out, f->with_attr ? P9_LIST_ATTR : 0);
}

static long fetch_call(struct fetch *f)
{
    uint32_t size;
    long err;

    f->rq->data_in = f->bulk;
    f->rq->data_in_size = RING_BULK_SIZE;
    err = ring_call(f->rq);
    if (err == 0) {
        size = p9_get32(&f->rq->in);
        if (f->rq->in.bad || size > RING_BULK_SIZE)
            err = -EIO;
        else
            p9_cursor_init(&f->in, f->bulk, size);
    }
    ring_put(f->rq);
    return err;
}

/* The next directory of the reply: its attributes and state. 0, -errno of it, or -EIO. */
static long section(struct fetch *f, struct p9_attr *attr, uint8_t *ret_state, struct p9_cursor *ret)
{
    uint32_t error = p9_get32(&f->in), size;
    const uint8_t *data;

    if (f->in.bad)
        return -EIO;
    if (error != 0)
        return error > 4095 ? -EIO : -(long)error;
    *ret_state = p9_get8(&f->in);
    p9_get_attr(&f->in, attr);
    size = p9_get32(&f->in);
    data = p9_take(&f->in, size);
    if (!data)
        return -EIO;
    p9_cursor_init(ret, (void *)(uintptr_t)data, size);
    return 0;
}

static long add_entries(struct gofer_listing *l, struct p9_cursor *c, bool with_attr, uint64_t *ret_next)
{
    long err = 0;

    if (!l->data && !reserve(l, c->size + c->size / 8 + 64))
        return -ENOMEM;
    while (err == 0 && c->pos < c->size)
        err = add_entry(l, c, with_attr, ret_next);
    return err;
}

static struct gofer_listing *listing_new(const struct fetch *f)
{
    struct gofer_listing *l = kzalloc(sizeof(*l));

    if (!l)
        return NULL;
    l->refs = 1;
    list_init(&l->lru);
    l->all_attr = f->with_attr;
    l->epoch = f->epoch;
    return l;
}

/* May what has come be kept, and its attributes be used? */
static bool may_keep(const struct fetch *f, struct gofer_listing *l)
{
    const struct gofer_sb *gs = gofer_sb(f->sb);

    if (gs->evictions != f->evictions)
        l->epoch = gs->epoch - 1;
    return gs->changes == f->changes;
}

static bool attr_counts(const struct gofer_listing *l, const struct gofer_entry *e, const struct superblock *sb)
{
    return (e->flags & (ENTRY_ATTR | ENTRY_SPENT)) == ENTRY_ATTR && l->epoch == gofer_sb(sb)->epoch;
}

/* Read a directory through a fid of its own, in as many requests as it takes. */
static long fetch_whole(struct inode *dir, struct fetch *f, struct gofer_listing *l)
{
    uint64_t offset = 0;
    struct p9_cursor c;
    struct p9_attr attr;
    uint8_t state = 0;
    long err;

    do {
        err = gofer_request(P9_Tlist, dir, &f->rq);
        if (err < 0)
            return err;
        put_args(f, offset);
        p9_put16(&f->rq->out, 0);
        err = fetch_call(f);
        if (err == 0)
            err = section(f, &attr, &state, &c);
        if (err == 0)
            err = c.size == 0 && !(state & P9_LIST_ENDED) ? -EIO : add_entries(l, &c, f->with_attr, &offset);
        if (err < 0)
            return err;
        if (l->size > total_max() / 2)
            return -E2BIG;
    } while (!(state & P9_LIST_ENDED));
    l->searchable = state & P9_LIST_SEARCHABLE;
    return 0;
}

/* Are attributes worth their price here? Those that came before tell. */
static bool want_attr(struct gofer_sb *gs)
{
    if (gs->attr_given > ATTR_TRIED && gs->attr_used < gs->attr_given / 8)
        gs->attr_wanted = false;
    if (gs->attr_given > 64 * ATTR_TRIED) { /* what was long ago counts less */
        gs->attr_given /= 2;
        gs->attr_used /= 2;
    }
    return gs->attr_wanted;
}

static long fetch_dir(struct inode *dir, bool with_attr, struct gofer_listing **ret)
{
    struct gofer_listing *l;
    struct fetch f;
    long err = -ENOMEM;

    fetch_begin(&f, dir->sb, with_attr);
    l = listing_new(&f);
    if (l)
        err = fetch_whole(dir, &f, l);
    fetch_end(&f);
    if (err < 0) {
        gofer_list_put(l);
        return err;
    }
    if (may_keep(&f, l))
        attach(dir, l);
    *ret = l;
    return 0;
}

long gofer_list_get(struct inode *dir, struct gofer_listing **ret)
{
    struct gofer_inode *gi = gofer_i(dir);
    long err;

    if (gi->listing) {
        *ret = gi->listing;
        (*ret)->refs++;
        touch(*ret);
        return 0;
    }
    if (gi->unlistable)
        return -E2BIG;
    err = fetch_dir(dir, want_attr(gofer_sb(dir->sb)), ret);
    if (err == -E2BIG || err == -ENOMEM) {
        gi->unlistable = err == -E2BIG;
        return -E2BIG;
    }
    return err;
}

long gofer_list_piece(uint32_t fid, uint64_t offset, void *buf, uint32_t *ret_size, bool *ret_end)
{
    struct fetch f = { .bulk = ring_bulk_get(), .rq = ring_get(P9_Tlist) };
    struct p9_cursor c;
    struct p9_attr attr;
    uint8_t state;
    long err;

    p9_put32(&f.rq->out, fid);
    put_args(&f, offset);
    p9_put16(&f.rq->out, 0);
    err = fetch_call(&f);
    if (err == 0)
        err = section(&f, &attr, &state, &c);
    if (err == 0) {
        memcpy(buf, c.data, c.size);
        *ret_size = (uint32_t)c.size;
        *ret_end = state & P9_LIST_ENDED;
    }
    fetch_end(&f);
    return err;
}

/* --- directories read ahead --- */

/* The next directory in a listing that isn't listed itself. */
static struct gofer_entry *next_directory(const struct gofer_listing *l, const struct superblock *sb, uint32_t *pos)
{
    while (*pos < l->size) {
        struct gofer_entry *e = entry_at(l, *pos);
        struct inode *inode;
        bool known;

        *pos = entry_end(e, *pos);
        if (e->type != S_IFDIR >> 12 || (e->flags & ENTRY_REMOVED))
            continue;
        inode = inode_find((struct superblock *)(uintptr_t)sb, e->ino);
        known = inode && (!S_ISDIR(inode->mode) || gofer_i(inode)->listing);
        inode_put(inode);
        if (!known)
            return e;
    }
    return NULL;
}

/* Is e the directory that a walk in order would come to, and were those that were read for such a walk needed? */
static bool is_walk(struct gofer_listing *l, const struct superblock *sb, const struct gofer_entry *e)
{
    uint32_t pos = l->ahead_pos;

    struct gofer_sb *gs = gofer_sb(sb);

    if (next_directory(l, sb, &pos) == e && l->used * 2 >= l->given) {
        gs->ahead = l->given > 0 ? MIN(gs->ahead * 2, (uint32_t)AHEAD_MAX) : MAX(gs->ahead, 1u);
        return true;
    }
    gs->ahead = 1;
    l->ahead_pos = entry_end(e, (uint32_t)((const uint8_t *)e - l->data));
    l->given = 0;
    l->used = 0;
    return false;
}

/* What came for one directory beside the others. */
static long take_ahead(struct fetch *f, struct inode *parent, struct gofer_listing *source, const struct gofer_entry *e)
{
    const struct name name = { e->name, e->len };
    struct gofer_listing *l;
    struct inode *inode;
    struct p9_cursor c;
    struct p9_attr attr;
    uint64_t next;
    uint8_t state;
    long err = section(f, &attr, &state, &c);

    if (err < 0)
        return err;
    l = listing_new(f);
    if (!l)
        return -ENOMEM;
    err = add_entries(l, &c, f->with_attr, &next);
    l->searchable = state & P9_LIST_SEARCHABLE;
    if (err == 0 && may_keep(f, l) && attr.qid.path == e->ino && !(e->flags & ENTRY_REMOVED)) {
        inode = inode_find(f->sb, attr.qid.path);
        if (!inode)
            inode = gofer_inode_get(f->sb, &attr, parent, &name);
        if (inode && S_ISDIR(inode->mode) && !gofer_i(inode)->listing) {
            l->source = source;
            source->refs++;
            source->given++;
            attach(inode, l);
        }
        inode_put(inode);
    }
    gofer_list_put(l);
    return err;
}

/* List the directories from e on, in its parent, by one request. */
static void read_ahead(struct inode *parent, struct gofer_listing *l)
{
    struct gofer_entry *entries[AHEAD_MAX];
    uint32_t pos = l->ahead_pos, n = 0;
    size_t count_pos, end;
    struct fetch f;
    long err;

    fetch_begin(&f, parent->sb, want_attr(gofer_sb(parent->sb)));
    l->refs++;
    err = gofer_request(P9_Tlist, parent, &f.rq);
    if (err < 0)
        goto out;
    put_args(&f, 0);
    count_pos = f.rq->out.pos;
    p9_put16(&f.rq->out, 0);
    while (n < gofer_sb(parent->sb)->ahead && (entries[n] = next_directory(l, parent->sb, &pos)) != NULL) {
        p9_put_str(&f.rq->out, entries[n]->name, entries[n]->len);
        n++;
    }
    end = f.rq->out.pos;
    f.rq->out.pos = count_pos;
    p9_put16(&f.rq->out, (uint16_t)n);
    f.rq->out.pos = end;
    l->given = 0;
    l->used = 0;
    err = fetch_call(&f);
    for (uint32_t i = 0; err == 0 && i < n && f.in.pos < f.in.size; i++) {
        err = take_ahead(&f, parent, l, entries[i]);
        l->ahead_pos = entry_end(entries[i], (uint32_t)((uint8_t *)entries[i] - l->data));
        if (!f.in.bad && err > -4096)
            err = 0; /* that one can't be listed: its own request tells why */
    }
out:
    fetch_end(&f);
    gofer_list_put(l);
}

bool gofer_list_open(struct inode *dir)
{
    struct gofer_inode *gi = gofer_i(dir);
    struct gofer_entry *e;
    struct gofer_listing *l = gi->parent ? gofer_i(gi->parent)->listing : NULL;

    if (!gi->listing && l && l->searchable && find_entry(l, &(struct name){ gi->name, strlen(gi->name) }, &e) && e &&
        e->ino == dir->ino && is_walk(l, dir->sb, e))
        read_ahead(gi->parent, l);
    return gi->listing != NULL;
}

/* --- lookups --- */

/* Take what the listing says of an entry. 1: *ret; 0: it says too little. */
static int take_entry(struct inode *dir, struct gofer_listing *l, const struct gofer_entry *e, struct inode **ret)
{
    const struct name name = { e->name, e->len };
    struct inode *inode = inode_find(dir->sb, e->ino);
    struct p9_cursor c;
    struct p9_attr attr;

    if (inode && mode_to_dtype(inode->mode) == e->type) {
        gofer_set_place(inode, dir, &name);
        *ret = inode;
        return 1;
    }
    inode_put(inode);
    if (inode || !attr_counts(l, e, dir->sb))
        return 0;
    p9_cursor_init(&c, (void *)(uintptr_t)(e->name + e->len), P9_ATTR_SIZE);
    p9_get_attr(&c, &attr);
    if (attr.nlink != 1 && !S_ISDIR(attr.mode))
        return 0; /* it may have changed by another name */
    *ret = gofer_inode_get(dir->sb, &attr, dir, &name);
    gofer_sb(dir->sb)->attr_used += !S_ISDIR(attr.mode); /* those are needed for a walk, too */
    return *ret ? 1 : 0;
}

/*
 * Has it been missed so often that attributes for all of it are cheaper? They would come with this one. Where names come and go
 * a listing doesn't last.
 */
static bool fill_is_due(struct inode *dir, struct gofer_listing *l)
{
    struct gofer_inode *gi = gofer_i(dir);
    uint32_t least = gofer_sb(dir->sb)->attr_wanted ? 0 : MISSES_MIN;

    if (l)
        return !l->all_attr && l->misses++ >= least + l->count / 64;
    return !gi->unlistable && dir->size <= FILL_SIZE_MAX &&
           gi->misses++ >= (least + (uint32_t)(dir->size / 16384)) << MIN(gi->outdated, FILL_BACK_OFF_MAX);
}

static void fill(struct inode *dir, bool for_directory)
{
    struct gofer_sb *gs = gofer_sb(dir->sb);
    struct gofer_listing *l;
    long err = fetch_dir(dir, true, &l);

    gofer_i(dir)->misses = 0;
    if (!for_directory && !gs->attr_wanted) {
        gs->attr_given = 0;
        gs->attr_used = 0;
        gs->attr_wanted = true;
    }
    if (err < 0)
        gofer_i(dir)->unlistable = true;
    else
        gofer_list_put(l);
}

void gofer_list_missed(struct inode *dir)
{
    gofer_i(dir)->misses++;
}

static int look(struct inode *dir, const struct name *name, struct inode **ret, struct gofer_entry **ret_entry)
{
    struct gofer_listing *l = gofer_i(dir)->listing;

    *ret_entry = NULL;
    if (!l || !l->searchable || !find_entry(l, name, ret_entry))
        return 0;
    touch(l);
    return *ret_entry ? take_entry(dir, l, *ret_entry, ret) : -ENOENT;
}

int gofer_list_lookup(struct inode *dir, const struct name *name, bool open, struct inode **ret)
{
    struct gofer_entry *e;
    struct gofer_listing *l;
    int found = look(dir, name, ret, &e);

    if (found != 0)
        return found;
    l = gofer_i(dir)->listing;
    if (l && !l->searchable)
        return 0;
    if (e && e->type == S_IFDIR >> 12 && is_walk(l, dir->sb, e)) {
        read_ahead(dir, l);
        return look(dir, name, ret, &e);
    }
    if (open || !fill_is_due(dir, l))
        return 0;
    fill(dir, e && e->type == S_IFDIR >> 12);
    return look(dir, name, ret, &e);
}
