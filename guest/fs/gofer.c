/*
 * The gofer's file system: session and mounts, fid numbers, handles, inodes and their attributes.
 */
#include "fs/gofer.h"

#include "arch/bootinfo.h"
#include "arch/cpu.h"
#include "lib/kmalloc.h"
#include "lib/log.h"
#include "lib/string.h"

#include <linux/magic.h>

#ifndef V9FS_MAGIC
#define V9FS_MAGIC 0x01021997
#endif

/* Clunks that nobody waits for go without a doorbell; the next request takes them along. This many at most. */
#define CLUNKS_UNTOLD_MAX 16

static struct {
    bool versioned;
    uint32_t next_fid;
    uint32_t *free_fids;  /* a stack */
    size_t free_count, free_size;
    uint32_t *late_clunks; /* no request was free for them */
    size_t late_count, late_size;
    uint32_t untold;
    struct list lru;       /* inodes that hold fids or handles, least recently used first */
    size_t lru_count;
} gofer = { .lru = LIST_INIT(gofer.lru) };

/* --- fid numbers --- */

/* False: no memory. The number is lost then, which costs the gofer nothing. */
static bool push(uint32_t **stack, size_t *count, size_t *size, uint32_t fid)
{
    if (*count == *size) {
        size_t bigger = *size ? *size * 2 : 256;
        uint32_t *p = krealloc(*stack, bigger * sizeof(*p));

        if (!p)
            return false;
        *stack = p;
        *size = bigger;
    }
    (*stack)[(*count)++] = fid;
    return true;
}

uint32_t gofer_fid_new(void)
{
    return gofer.free_count > 0 ? gofer.free_fids[--gofer.free_count] : gofer.next_fid++;
}

void gofer_fid_forget(uint32_t fid)
{
    push(&gofer.free_fids, &gofer.free_count, &gofer.free_size, fid);
}

static void clunk_done(struct ring_request *rq, long error UNUSED)
{
    gofer_fid_forget((uint32_t)(uintptr_t)rq->context);
    ring_put(rq);
}

static bool clunk_submit(uint32_t fid)
{
    struct ring_request *rq = ring_try_get(P9_Tclunk);

    if (!rq)
        return false;
    p9_put32(&rq->out, fid);
    rq->context = (void *)(uintptr_t)fid;
    rq->complete = clunk_done;
    rq->lazy = true;
    ring_submit(rq);
    if (++gofer.untold >= CLUNKS_UNTOLD_MAX) {
        gofer.untold = 0;
        ring_notify();
    }
    return true;
}

void gofer_clunk(uint32_t fid)
{
    if (fid == P9_NOFID)
        return;
    while (gofer.late_count > 0 && clunk_submit(gofer.late_clunks[gofer.late_count - 1]))
        gofer.late_count--;
    if (gofer.late_count > 0 || !clunk_submit(fid))
        push(&gofer.late_clunks, &gofer.late_count, &gofer.late_size, fid);
}

/* --- handles --- */

struct gofer_handle *gofer_handle_new(uint32_t fid, uint32_t flags)
{
    struct gofer_handle *h = kzalloc(sizeof(*h));

    if (!h) {
        gofer_clunk(fid);
        return NULL;
    }
    h->refs = 1;
    h->fid = fid;
    h->flags = flags;
    return h;
}

void gofer_handle_put(struct gofer_handle *h)
{
    if (!h || --h->refs > 0)
        return;
    gofer_clunk(h->fid);
    kfree(h);
}

/* --- what is cached, and when it goes --- */

static bool caches_something(const struct gofer_inode *gi)
{
    return gi->fid != P9_NOFID || gi->handle[0] || gi->handle[1] || gi->handle[2];
}

/* Can the file be found again by its names? The root keeps its fid, deleted files have nothing else. */
static bool has_place(const struct gofer_inode *gi)
{
    return gi->parent && gi->inode->nlink > 0;
}

static void lru_remove(struct gofer_inode *gi)
{
    if (list_empty(&gi->lru))
        return;
    list_remove(&gi->lru);
    gofer.lru_count--;
}

void gofer_drop_cached(struct inode *inode)
{
    struct gofer_inode *gi = gofer_i(inode);

    lru_remove(gi);
    if (gi->open_count == 0)
        gofer_maps_drop(inode);
    for (size_t i = 0; i < ARRAY_SIZE(gi->handle); i++) {
        gofer_handle_put(gi->handle[i]);
        gi->handle[i] = NULL;
    }
    if (has_place(gi)) {
        gofer_clunk(gi->fid);
        gi->fid = P9_NOFID;
    }
}

void gofer_drop_all_cached(void)
{
    while (!list_empty(&gofer.lru))
        gofer_drop_cached(list_first(&gofer.lru, struct gofer_inode, lru)->inode);
}

void gofer_touch(struct inode *inode)
{
    struct gofer_inode *gi = gofer_i(inode);

    lru_remove(gi);
    if (!caches_something(gi) || !has_place(gi))
        return;
    list_push_back(&gofer.lru, &gi->lru);
    gofer.lru_count++;
    /* The one touched just now is the last to go. */
    while (gofer.lru_count > GOFER_CACHED_MAX)
        gofer_drop_cached(list_first(&gofer.lru, struct gofer_inode, lru)->inode);
}

/* --- where a file was seen --- */

void gofer_forget_place(struct inode *inode, const struct inode *parent, const struct name *name)
{
    struct gofer_inode *gi = gofer_i(inode);

    if (gi->parent != parent || strlen(gi->name) != name->len || memcmp(gi->name, name->str, name->len) != 0)
        return;
    lru_remove(gi);
    inode_put(gi->parent);
    kfree(gi->name);
    gi->parent = NULL;
    gi->name = NULL;
}

void gofer_set_place(struct inode *inode, struct inode *parent, const struct name *name)
{
    struct gofer_inode *gi = gofer_i(inode);
    char *copy;

    if (gi->parent == parent && strlen(gi->name) == name->len && memcmp(gi->name, name->str, name->len) == 0)
        return;
    copy = kstrndup(name->str, name->len);
    if (!copy)
        return;
    inode_get(parent);
    inode_put(gi->parent);
    kfree(gi->name);
    gi->parent = parent;
    gi->name = copy;
}

/* --- inodes --- */

void gofer_evict(struct inode *inode)
{
    struct gofer_inode *gi = gofer_i(inode);

    if (!gi)
        return;
    lru_remove(gi);
    gofer_list_evicted(gi);
    gofer_ahead_drop(inode);
    gofer_maps_drop(inode);
    gofer_pages_drop(inode);
    for (size_t i = 0; i < ARRAY_SIZE(gi->handle); i++)
        gofer_handle_put(gi->handle[i]);
    gofer_clunk(gi->fid);
    inode_put(gi->parent);
    kfree(gi->name);
    kfree(gi);
    inode->data = NULL;
}

static struct timestamp timestamp_of(uint64_t sec, uint64_t nsec)
{
    return (struct timestamp){ (int64_t)sec, (uint32_t)nsec };
}

/* Someone outside wrote to the file, or we look at it for the first time since we did. */
static void data_changed(struct inode *inode, uint64_t old_size)
{
    gofer_ahead_drop(inode);
    gofer_pages_drop(inode);
    if (inode->size != old_size)
        gofer_maps_resized(inode, old_size);
}

void gofer_attr_update(struct inode *inode, const struct p9_attr *attr)
{
    struct gofer_inode *gi = gofer_i(inode);
    uint64_t old_size = inode->size;
    struct timestamp mtime = timestamp_of(attr->mtime_sec, attr->mtime_nsec);
    bool changed = old_size != attr->size || inode->mtime.sec != mtime.sec || inode->mtime.nsec != mtime.nsec;

    inode->mode = attr->mode;
    inode->uid = attr->uid;
    inode->gid = attr->gid;
    inode->nlink = (uint32_t)attr->nlink;
    inode->rdev = attr->rdev;
    inode->size = attr->size;
    inode->blksize = (uint32_t)attr->blksize;
    inode->blocks = attr->blocks;
    inode->atime = timestamp_of(attr->atime_sec, attr->atime_nsec);
    inode->mtime = mtime;
    inode->ctime = timestamp_of(attr->ctime_sec, attr->ctime_nsec);
    inode->btime = timestamp_of(attr->btime_sec, attr->btime_nsec);
    gi->stale = false;
    gi->fresh_ns = clock_mono_ns();
    if (changed && S_ISREG(inode->mode))
        data_changed(inode, old_size);
}

static const struct inode_ops *ops_of(uint32_t mode)
{
    if (S_ISDIR(mode))
        return &gofer_dir_inode_ops;
    if (S_ISREG(mode))
        return &gofer_file_inode_ops;
    return S_ISLNK(mode) ? &gofer_symlink_inode_ops : &gofer_other_inode_ops;
}

static struct inode *inode_new(struct superblock *sb, const struct p9_attr *attr)
{
    struct inode *inode = inode_alloc(sb, ops_of(attr->mode), attr->mode, attr->qid.path);
    struct gofer_inode *gi;

    if (!inode)
        return NULL;
    gi = kzalloc(sizeof(*gi));
    if (!gi) {
        inode_put(inode);
        return NULL;
    }
    gi->inode = inode;
    gi->fid = P9_NOFID;
    list_init(&gi->lru);
    wait_queue_init(&gi->behind_wait);
    inode->data = gi;
    inode_hash(inode, attr->qid.path);
    return inode;
}

struct inode *gofer_inode_get(struct superblock *sb, const struct p9_attr *attr, struct inode *parent,
                              const struct name *name)
{
    struct inode *inode = inode_find(sb, attr->qid.path);

    if (inode && (inode->mode & S_IFMT) != (attr->mode & S_IFMT)) {
        /* The host used the number of a deleted file again. */
        inode_unhash(inode);
        inode_put(inode);
        inode = NULL;
    }
    if (!inode)
        inode = inode_new(sb, attr);
    if (!inode)
        return NULL;
    gofer_attr_update(inode, attr);
    if (parent)
        gofer_set_place(inode, parent, name);
    return inode;
}

/* --- mounting --- */

static long session_begin(void)
{
    struct ring_request *rq = ring_get(P9_Tversion);
    struct p9_str version;
    long err;

    p9_put32(&rq->out, RING_BULK_SIZE + P9_MSIZE_MIN);
    p9_put_str(&rq->out, P9_VERSION_VMM, strlen(P9_VERSION_VMM));
    err = ring_call(rq);
    if (err == 0) {
        uint32_t msize = p9_get32(&rq->in);

        version = p9_get_str(&rq->in);
        if (rq->in.bad || msize < RING_BULK_SIZE + P9_IO_HEADER_SIZE || version.len != strlen(P9_VERSION_VMM) ||
            memcmp(version.data, P9_VERSION_VMM, version.len) != 0)
            err = -EPROTO;
    }
    ring_put(rq);
    gofer.versioned = err == 0;
    return err;
}

static struct ring_request *attach_submit(const char *prefix, uint32_t number, uint32_t fid)
{
    struct ring_request *rq = ring_get(P9_Tattach);
    char name[32];

    ksnprintf(name, sizeof(name), "%s%u", prefix, number);
    p9_put32(&rq->out, fid);
    p9_put32(&rq->out, P9_NOFID);
    p9_put_str(&rq->out, "", 0);
    p9_put_str(&rq->out, name, strlen(name));
    p9_put32(&rq->out, P9_NONUNAME);
    ring_submit(rq);
    return rq;
}

static struct ring_request *stat_submit(uint32_t fid)
{
    struct ring_request *rq = ring_get(P9_Tgetattr);

    p9_put32(&rq->out, fid);
    p9_put64(&rq->out, P9_GETATTR_BASIC | P9_GETATTR_BTIME);
    ring_submit(rq);
    return rq;
}

static long stat_wait(struct ring_request *rq, struct p9_attr *ret)
{
    long err = ring_wait(rq);

    if (err == 0) {
        p9_get64(&rq->in); /* valid */
        p9_get_attr(&rq->in, ret);
        if (rq->in.bad)
            err = -EIO;
    }
    ring_put(rq);
    return err;
}

long gofer_stat_fid(uint32_t fid, struct p9_attr *ret)
{
    return stat_wait(stat_submit(fid), ret);
}

/* The gofer serves both in this order. */
void gofer_attach_begin(struct gofer_attach *a, const char *prefix, uint32_t number)
{
    a->fid = gofer_fid_new();
    a->attach = attach_submit(prefix, number, a->fid);
    a->stat = stat_submit(a->fid);
}

long gofer_attach_end(struct gofer_attach *a, struct p9_attr *ret)
{
    long err = ring_wait(a->attach), stat_err;

    ring_put(a->attach);
    stat_err = stat_wait(a->stat, ret);
    if (err < 0)
        gofer_fid_forget(a->fid);
    else if (stat_err < 0)
        gofer_clunk(a->fid);
    return err < 0 ? err : stat_err;
}

/*
 * The roots of all exports, attached ahead of gofer_mount in a few bundles: the start of a program would otherwise wait for the
 * gofer twice for each of some forty exports.
 */
static struct prepared {
    bool ready;
    long error;
    uint32_t fid;
    struct p9_attr attr;
} prepared[BOOT_MOUNT_MAX];

#define PREPARE_BUNDLE 16

static void prepare_bundle(const uint32_t *exports, size_t count)
{
    struct gofer_attach attach[PREPARE_BUNDLE];

    for (size_t i = 0; i < count; i++)
        gofer_attach_begin(&attach[i], P9_ATTACH_EXPORT, exports[i]);
    for (size_t i = 0; i < count; i++) {
        struct prepared *p = &prepared[exports[i]];

        p->error = gofer_attach_end(&attach[i], &p->attr);
        p->fid = attach[i].fid;
        p->ready = true;
    }
}

struct bundle {
    uint32_t exports[PREPARE_BUNDLE];
    size_t count;
};

static void bundle_add(struct bundle *b, uint32_t export)
{
    if (export >= BOOT_MOUNT_MAX)
        return;
    b->exports[b->count++] = export;
    if (b->count == PREPARE_BUNDLE) {
        prepare_bundle(b->exports, b->count);
        b->count = 0;
    }
}

void gofer_prepare(void)
{
    struct bundle b = { .count = 0 };

    if (!gofer.versioned && session_begin() < 0)
        return; /* gofer_mount says why */
    for (size_t i = 0; i < boot_info.mount_count; i++) {
        const struct boot_mount *m = &boot_info.mounts[i];

        if (m->kind != BOOT_MOUNT_GOFER)
            continue;
        bundle_add(&b, m->export);
        if (m->has_upper)
            bundle_add(&b, m->upper);
    }
    prepare_bundle(b.exports, b.count);
}

static long mount_root(struct superblock *sb, uint32_t export)
{
    struct prepared *p = export < BOOT_MOUNT_MAX ? &prepared[export] : NULL;
    struct inode *root;

    if (!p || !p->ready)
        return -EIO;
    if (p->error < 0)
        return p->error;
    p->ready = false; /* the fid is this mount's now */
    gofer_sb(sb)->root_fid = p->fid;
    root = gofer_inode_get(sb, &p->attr, NULL, NULL);
    if (!root)
        return -ENOMEM;
    gofer_i(root)->fid = gofer_sb(sb)->root_fid;
    return superblock_set_root(sb, root);
}

struct superblock *gofer_mount(uint32_t export, bool readonly, enum boot_cache cache)
{
    struct superblock *sb = superblock_alloc("9p", V9FS_MAGIC);
    struct gofer_sb *gs = kzalloc(sizeof(*gs));
    long err;

    if (!sb || !gs)
        return err_ptr(-ENOMEM);
    gs->cache = cache;
    gs->exclusive = cache == BOOT_CACHE_EXCLUSIVE;
    sb->data = gs;
    sb->source = "gofer";
    sb->ops = &gofer_super_ops;
    if (readonly)
        sb->flags |= SB_READONLY;
    if (!gs->exclusive)
        sb->flags |= SB_REVALIDATE | SB_NO_NEGATIVE;
    err = mount_root(sb, export);
    if (err < 0) {
        kfree(gs);
        return err_ptr(err);
    }
    return sb;
}
