/*
 * Inodes and superblocks: allocation, references, lookup by number, times. Nothing here knows of names or paths.
 */
#include "arch/cpu.h"
#include "fs/vfs.h"
#include "lib/kmalloc.h"
#include "lib/string.h"

#define INODE_HASH_SIZE 4096 /* to begin with: it grows with the inodes in it */

static struct inode *first_table[INODE_HASH_SIZE];
static struct inode **inode_table = first_table;
static size_t inode_table_size = INODE_HASH_SIZE, inode_count;
static uint64_t next_inode_number = 1;
static uint32_t next_device = 0x20; /* minor of the anonymous devices (major 0), as Linux numbers them */

struct superblock *superblock_alloc(const char *type, uint32_t magic)
{
    struct superblock *sb = kzalloc(sizeof(*sb));

    if (!sb)
        return NULL;
    sb->type = type;
    sb->source = type;
    sb->magic = magic;
    sb->dev = vfs_makedev(0, next_device++);
    return sb;
}

int superblock_set_root(struct superblock *sb, struct inode *root)
{
    const struct name name = { "", 0 };

    sb->root = dentry_alloc(sb, NULL, &name, root);
    return sb->root ? 0 : -ENOMEM;
}

struct inode *inode_alloc(struct superblock *sb, const struct inode_ops *ops, uint32_t mode, uint64_t ino)
{
    struct inode *inode = kzalloc(sizeof(*inode));

    if (!inode)
        return NULL;
    inode->refs = 1;
    inode->mode = mode;
    inode->nlink = 1;
    inode->blksize = PAGE_SIZE;
    inode->ino = ino;
    inode->sb = sb;
    inode->ops = ops;
    inode->seals = INODE_NO_SEALS;
    mutex_init(&inode->lock);
    list_init(&inode->locks);
    inode->atime = timestamp_now();
    inode->mtime = inode->atime;
    inode->ctime = inode->atime;
    inode->btime = inode->atime;
    return inode;
}

static struct inode **inode_bucket(const struct superblock *sb, uint64_t key)
{
    uint64_t h = (key ^ sb->dev << 32) * 0x9e3779b97f4a7c15ull;

    return &inode_table[h >> 40 & (inode_table_size - 1)];
}

static void bucket_insert(struct inode *inode)
{
    struct inode **bucket = inode_bucket(inode->sb, inode->hash_key);

    inode->hash_next = *bucket;
    inode->hash_link = bucket;
    if (*bucket)
        (*bucket)->hash_link = &inode->hash_next;
    *bucket = inode;
}

/* Four times as many buckets, if there is memory for them. */
static void grow_table(void)
{
    struct inode **old = inode_table;
    size_t old_size = inode_table_size;
    struct inode **table = kcalloc(old_size * 4, sizeof(*table));

    if (!table)
        return;
    inode_table = table;
    inode_table_size = old_size * 4;
    for (size_t i = 0; i < old_size; i++) {
        for (struct inode *inode = old[i], *next; inode; inode = next) {
            next = inode->hash_next;
            bucket_insert(inode);
        }
    }
    if (old != first_table)
        kfree(old);
}

void inode_hash(struct inode *inode, uint64_t key)
{
    if (++inode_count > inode_table_size * 2)
        grow_table();
    inode->hash_key = key;
    bucket_insert(inode);
}

void inode_unhash(struct inode *inode)
{
    if (!inode->hash_link)
        return;
    inode_count--;
    *inode->hash_link = inode->hash_next;
    if (inode->hash_next)
        inode->hash_next->hash_link = inode->hash_link;
    inode->hash_link = NULL;
}

struct inode *inode_find(struct superblock *sb, uint64_t key)
{
    for (struct inode *i = *inode_bucket(sb, key); i; i = i->hash_next) {
        if (i->hash_key == key && i->sb == sb) {
            inode_get(i);
            return i;
        }
    }
    return NULL;
}

void inode_get(struct inode *inode)
{
    inode->refs++;
}

void inode_put(struct inode *inode)
{
    if (!inode || --inode->refs > 0)
        return;
    inode_unhash(inode);
    if (inode->ops->evict)
        inode->ops->evict(inode);
    kfree(inode->link);
    kfree(inode);
}

uint64_t inode_new_number(void)
{
    return next_inode_number++;
}

struct timestamp timestamp_now(void)
{
    uint64_t ns = clock_real_ns();

    return (struct timestamp){ (int64_t)(ns / NSEC_PER_SEC), (uint32_t)(ns % NSEC_PER_SEC) };
}

void inode_touch(struct inode *inode, uint32_t attr)
{
    struct timestamp now = timestamp_now();

    if (attr & ATTR_ATIME)
        inode->atime = now;
    if (attr & ATTR_MTIME)
        inode->mtime = now;
    if (attr & ATTR_CTIME)
        inode->ctime = now;
}

void inode_setattr_plain(struct inode *inode, const struct attr *attr)
{
    struct timestamp now = timestamp_now();

    if (attr->valid & ATTR_MODE)
        inode->mode = (inode->mode & S_IFMT) | (attr->mode & 07777);
    if (attr->valid & ATTR_UID)
        inode->uid = attr->uid;
    if (attr->valid & ATTR_GID)
        inode->gid = attr->gid;
    if (attr->valid & ATTR_ATIME)
        inode->atime = attr->valid & ATTR_ATIME_NOW ? now : attr->atime;
    if (attr->valid & ATTR_MTIME)
        inode->mtime = attr->valid & ATTR_MTIME_NOW ? now : attr->mtime;
    inode->ctime = now;
}

int vfs_getattr(struct inode *inode, uint32_t mask)
{
    return inode->ops->getattr ? inode->ops->getattr(inode, mask) : 0;
}

ssize_t vfs_readlink(struct inode *inode, char *buf, size_t size)
{
    size_t len;

    if (!S_ISLNK(inode->mode))
        return -EINVAL;
    if (!inode->link)
        return inode->ops->readlink ? inode->ops->readlink(inode, buf, size) : -EINVAL;
    len = MIN(strlen(inode->link), size);
    memcpy(buf, inode->link, len);
    return (ssize_t)len;
}
