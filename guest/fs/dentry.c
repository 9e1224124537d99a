/*
 * The name cache: dentries by (parent, name), negative ones too. Unused ones stay on a list until there are too many,
 * oldest out first. A dentry holds its parent and its inode. Letting go of one may sleep (the inode's evict).
 */
#include "fs/notify.h"
#include "fs/vfs.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "mm/frame.h"

#define DENTRY_HASH_SIZE 8192 /* to begin with: it grows with the names in it */
#define DENTRY_UNUSED_MIN 4096ul
#define DENTRY_UNUSED_MAX 65536ul

static struct dentry *first_table[DENTRY_HASH_SIZE];
static struct dentry **dentry_table = first_table;
static size_t dentry_table_size = DENTRY_HASH_SIZE, dentry_count;
static struct list lru = LIST_INIT(lru);
static size_t lru_count;

static uint32_t dentry_hash(const struct dentry *parent, const struct name *name)
{
    uint32_t h = (uint32_t)((uintptr_t)parent >> 5) * 0x9e3779b1u;

    for (size_t i = 0; i < name->len; i++)
        h = (h ^ (uint8_t)name->str[i]) * 0x01000193u;
    return h ^ h >> 15;
}

/* Unused names cost some 700 bytes each: at most about 5 % of memory. */
static size_t lru_limit(void)
{
    return MAX(DENTRY_UNUSED_MIN, MIN(DENTRY_UNUSED_MAX, frame_total() / 4));
}

static void bucket_insert(struct dentry *d)
{
    struct dentry **bucket = &dentry_table[d->hash & (dentry_table_size - 1)];

    d->hash_next = *bucket;
    d->hash_link = bucket;
    if (*bucket)
        (*bucket)->hash_link = &d->hash_next;
    *bucket = d;
}

/* Four times as many buckets, if there is memory for them. */
static void grow_table(void)
{
    struct dentry **old = dentry_table;
    size_t old_size = dentry_table_size;
    struct dentry **table = kcalloc(old_size * 4, sizeof(*table));

    if (!table)
        return;
    dentry_table = table;
    dentry_table_size = old_size * 4;
    for (size_t i = 0; i < old_size; i++) {
        for (struct dentry *d = old[i], *next; d; d = next) {
            next = d->hash_next;
            bucket_insert(d);
        }
    }
    if (old != first_table)
        kfree(old);
}

static void hash_insert(struct dentry *d)
{
    if (++dentry_count > dentry_table_size * 2)
        grow_table();
    bucket_insert(d);
}

static void hash_remove(struct dentry *d)
{
    if (!d->hash_link)
        return;
    dentry_count--;
    *d->hash_link = d->hash_next;
    if (d->hash_next)
        d->hash_next->hash_link = d->hash_link;
    d->hash_link = NULL;
}

static int set_name(struct dentry *d, const struct name *name)
{
    char *text = d->inline_name;

    if (name->len >= sizeof(d->inline_name)) {
        text = kmalloc(name->len + 1);
        if (!text)
            return -ENOMEM;
    }
    memcpy(text, name->str, name->len);
    text[name->len] = 0;
    d->name = text;
    d->name_len = (uint32_t)name->len;
    return 0;
}

static void free_name(const struct dentry *d)
{
    if (d->name != d->inline_name)
        kfree(d->name);
}

struct dentry *dentry_alloc(struct superblock *sb, struct dentry *parent, const struct name *name, struct inode *inode)
{
    struct dentry *d = kzalloc(sizeof(*d));

    if (!d)
        return NULL;
    if (set_name(d, name) < 0) {
        kfree(d);
        return NULL;
    }
    d->refs = 1;
    d->sb = sb;
    d->inode = inode;
    list_init(&d->lru_node);
    list_init(&d->children);
    list_init(&d->sibling);
    d->parent = parent ? parent : d;
    if (parent) {
        dentry_get(parent);
        list_push_back(&parent->children, &d->sibling);
    }
    return d;
}

void dentry_get(struct dentry *d)
{
    if (d->refs++ == 0 && !list_empty(&d->lru_node)) {
        list_remove(&d->lru_node);
        lru_count--;
    }
}

/* Free one that nothing refers to; returns its parent, whose reference is the caller's then. */
static struct dentry *dentry_free(struct dentry *d)
{
    struct dentry *parent = d->parent == d ? NULL : d->parent;

    if (!list_empty(&d->lru_node)) {
        list_remove(&d->lru_node);
        lru_count--;
    }
    hash_remove(d);
    list_remove(&d->sibling);
    if (d->deleted && d->inode && (S_ISDIR(d->inode->mode) || d->inode->nlink == 0))
        notify_gone(d->inode);
    inode_put(d->inode);
    free_name(d);
    kfree(d);
    return parent;
}

/* Drop a reference without looking at the limit. Parents of freed ones follow. */
static void drop(struct dentry *d)
{
    while (d && --d->refs == 0) {
        if (d->hash_link && !(d->sb->flags & SB_NO_DCACHE)) {
            list_push_front(&lru, &d->lru_node);
            lru_count++;
            return;
        }
        d = dentry_free(d);
    }
}

static size_t shrink(struct superblock *sb, size_t count)
{
    size_t done = 0;
    struct list *pos = lru.prev;

    while (done < count && pos != &lru) {
        struct dentry *d = list_entry(pos, struct dentry, lru_node);

        if (sb && d->sb != sb) {
            pos = pos->prev;
            continue;
        }
        drop(dentry_free(d));
        done++;
        pos = lru.prev; /* freeing may have slept: begin again */
    }
    return done;
}

size_t dcache_shrink(struct superblock *sb, size_t count)
{
    return shrink(sb, count);
}

void dentry_put(struct dentry *d)
{
    drop(d);
    if (unlikely(lru_count > lru_limit()))
        shrink(NULL, 64);
}

struct dentry *dcache_find(struct dentry *parent, const struct name *name)
{
    uint32_t hash = dentry_hash(parent, name);

    for (struct dentry *d = dentry_table[hash & (dentry_table_size - 1)]; d; d = d->hash_next) {
        if (d->hash == hash && d->parent == parent && d->name_len == name->len &&
            memcmp(d->name, name->str, name->len) == 0) {
            dentry_get(d);
            return d;
        }
    }
    return NULL;
}

struct dentry *dcache_add(struct dentry *parent, const struct name *name, struct inode *inode)
{
    struct dentry *d = dentry_alloc(parent->sb, parent, name, inode);

    if (!d) {
        inode_put(inode);
        return NULL;
    }
    d->hash = dentry_hash(parent, name);
    /* Where names are looked up again on each walk, one that isn't there may be kept for the rest of this walk */
    if (inode || (parent->sb->flags & SB_REVALIDATE) || !(parent->sb->flags & SB_NO_NEGATIVE))
        hash_insert(d);
    return d;
}

void dentry_unhash(struct dentry *d)
{
    hash_remove(d);
    if (d->refs == 0)
        drop(dentry_free(d));
}

void dentry_instantiate(struct dentry *d, struct inode *inode)
{
    d->inode = inode;
    if (!d->hash_link)
        hash_insert(d);
}

static void set_parent(struct dentry *d, struct dentry *parent)
{
    struct dentry *old = d->parent;

    dentry_get(parent);
    list_remove(&d->sibling);
    list_push_back(&parent->children, &d->sibling);
    d->parent = parent;
    dentry_put(old);
}

int dentry_rename(struct dentry *d, struct dentry *new_parent, const struct name *name)
{
    char *old_name = d->name == d->inline_name ? NULL : d->name;

    /* Without memory the name is only forgotten here: the file system has renamed it already. */
    if (set_name(d, name) < 0) {
        hash_remove(d);
        return -ENOMEM;
    }
    kfree(old_name);
    hash_remove(d);
    if (d->parent != new_parent)
        set_parent(d, new_parent);
    d->hash = dentry_hash(new_parent, name);
    hash_insert(d);
    return 0;
}

void dentry_exchange(struct dentry *a, struct dentry *b)
{
    struct dentry *parent = a->parent;
    char *copy = kstrndup(a->name, a->name_len);
    struct name a_name = { copy, a->name_len };
    struct name b_name = { b->name, b->name_len };

    if (!copy) {
        hash_remove(a);
        hash_remove(b);
        return;
    }
    dentry_get(parent);
    dentry_rename(a, b->parent, &b_name);
    dentry_rename(b, parent, &a_name);
    dentry_put(parent);
    kfree(copy);
}

void dentry_prune_children(struct dentry *d)
{
    struct dentry *child, *tmp;
    bool again = true;

    while (again) {
        again = false;
        list_for_each_safe(child, tmp, &d->children, sibling)
        {
            if (child->refs > 0 || !child->hash_link)
                continue;
            drop(dentry_free(child));
            again = true; /* may have slept */
            break;
        }
    }
}
