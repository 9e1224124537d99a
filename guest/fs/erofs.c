/* See erofs.h: superblock, inodes, names, attributes. */
#include "fs/erofs.h"

#include "lib/kmalloc.h"
#include "lib/log.h"
#include "lib/string.h"

#define MAGIC 0xe0f5e1e2u

static const struct inode_ops file_ops, dir_ops, other_ops;

static long read_device(void *ctx, uint64_t offset, void *buf, size_t n)
{
    return blkdev_read(ctx, offset, buf, n);
}

/* --- inodes --- */

static const struct inode_ops *ops_of(uint32_t mode)
{
    if (S_ISDIR(mode))
        return &dir_ops;
    return S_ISREG(mode) ? &file_ops : &other_ops;
}

/* Does what the image says of this file make sense together? */
static long check_node(const struct erofs_node *n)
{
    switch (n->mode & S_IFMT) {
    case S_IFREG:
        return 0;
    case S_IFDIR:
        return erofs_is_compressed(n) || n->nlink == 0 ? -EUCLEAN : 0;
    case S_IFLNK:
        return erofs_is_compressed(n) || n->size == 0 || n->size >= VFS_PATH_MAX ? -EUCLEAN : 0;
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
        return 0;
    default:
        return -EUCLEAN;
    }
}

static long read_link(struct inode *inode, const struct erofs_sb *es, const struct erofs_node *n)
{
    long err;

    inode->link = kmalloc(n->size + 1);
    if (!inode->link)
        return -ENOMEM;
    err = erofs_read_plain(&es->disk, n, 0, inode->link, n->size);
    inode->link[n->size] = 0;
    return err < 0 ? err : strlen(inode->link) == n->size ? 0 : -EUCLEAN;
}

static void copy_fields(struct inode *inode, const struct erofs_node *n)
{
    struct timestamp t = { (int64_t)n->mtime_sec, n->mtime_nsec };

    inode->uid = n->uid;
    inode->gid = n->gid;
    inode->nlink = n->nlink;
    inode->rdev = vfs_makedev((n->rdev & 0xfff00) >> 8, (n->rdev & 0xff) | (n->rdev >> 12 & 0xfff00));
    inode->size = S_ISREG(n->mode) || S_ISDIR(n->mode) || S_ISLNK(n->mode) ? n->size : 0;
    inode->blocks = n->blocks_512;
    inode->atime = inode->mtime = inode->ctime = inode->btime = t;
}

static struct inode *get_inode(struct superblock *sb, uint64_t nid)
{
    const struct erofs_sb *es = sb->data;
    struct inode *inode = inode_find(sb, nid);
    struct erofs_inode *ei;
    struct erofs_node node;
    long err;

    if (inode)
        return inode;
    err = erofs_node_read(&es->disk, nid, &node);
    if (err == 0)
        err = check_node(&node);
    if (err < 0)
        return err_ptr(err);
    inode = inode_find(sb, nid); /* somebody else was faster while we read */
    if (inode)
        return inode;
    ei = kzalloc(sizeof(*ei));
    inode = ei ? inode_alloc(sb, ops_of(node.mode), node.mode, nid) : NULL;
    if (!inode) {
        kfree(ei);
        return err_ptr(-ENOMEM);
    }
    ei->node = node;
    inode->data = ei;
    copy_fields(inode, &node);
    erofs_data_init(inode);
    if (S_ISLNK(node.mode)) {
        err = read_link(inode, es, &node);
        if (err < 0) {
            inode_put(inode);
            return err_ptr(err);
        }
    }
    inode_hash(inode, nid);
    return inode;
}

static void evict(struct inode *inode)
{
    erofs_data_evict(inode);
    kfree(inode->data);
}

/* --- directories --- */

static struct inode *lookup(struct inode *dir, const struct name *name)
{
    uint8_t *block = kmalloc(EROFS_BLOCK);
    struct erofs_dirent e;
    uint64_t nid = 0;
    long err;

    if (!block)
        return err_ptr(-ENOMEM);
    err = erofs_dir_find(&erofs_s(dir)->disk, &erofs_i(dir)->node, name->str, name->len, block, &e);
    if (err == 0)
        nid = e.nid;
    kfree(block);
    return err < 0 ? err_ptr(err) : get_inode(dir->sb, nid);
}

/* Linux's FT_* to DT_*. */
static uint8_t dtype_of(uint8_t type)
{
    static const uint8_t types[] = { 0, 8, 4, 2, 6, 1, 12, 10 };

    return type < sizeof(types) ? types[type] : 0;
}

static bool is_dot(const struct erofs_dirent *e)
{
    return e->name[0] == '.' && (e->name_len == 1 || (e->name_len == 2 && e->name[1] == '.'));
}

/* A position is 2 (after the dots) + block * 2048 + entry: a block has 341 entries at most. */
#define ENTRIES_PER_BLOCK 2048u

static int emit_block(struct file *f, uint64_t block, uint8_t *buf, long count, uint32_t len, emit_fn emit, void *ctx)
{
    for (long i = (long)((f->pos - 2) % ENTRIES_PER_BLOCK); i < count; i++) {
        uint64_t next = 2 + block * ENTRIES_PER_BLOCK + (uint64_t)i + 1;
        struct erofs_dirent e;
        long err = erofs_dir_entry(buf, len, (uint32_t)i, &e);

        if (err < 0)
            return (int)err;
        if (!is_dot(&e) && !emit(ctx, e.name, e.name_len, e.nid, next, dtype_of(e.type)))
            return 1;
        f->pos = next;
    }
    f->pos = 2 + (block + 1) * ENTRIES_PER_BLOCK;
    return 0;
}

static int readdir(struct file *f, emit_fn emit, void *ctx)
{
    struct inode *dir = f->inode;
    uint8_t *buf;
    int err = 0;

    if (!dir_emit_dots(f, emit, ctx))
        return 0;
    buf = kmalloc(EROFS_BLOCK);
    if (!buf)
        return -ENOMEM;
    while (err == 0) {
        uint64_t block = (f->pos - 2) / ENTRIES_PER_BLOCK;
        uint32_t len;
        long count = erofs_dir_block(&erofs_s(dir)->disk, &erofs_i(dir)->node, block, buf, &len);

        if (count <= 0) {
            err = (int)count;
            break;
        }
        err = emit_block(f, block, buf, count, len, emit, ctx);
    }
    kfree(buf);
    return err < 0 ? err : 0;
}

static const struct file_ops dir_file_ops = { .seek = seek_dir, .readdir = readdir, .fsync = fsync_nothing };

static int dir_open(struct inode *inode UNUSED, struct file *f)
{
    f->ops = &dir_file_ops;
    return 0;
}

/* --- extended attributes --- */

struct attr_search {
    const char *name; /* NULL: list */
    char *buf;
    size_t size, used;
    uint64_t value_at;
    uint32_t value_size;
};

static long look(void *ctx, const char *name, size_t name_len, uint64_t value_at, uint32_t value_size)
{
    struct attr_search *s = ctx;

    if (!s->name) {
        if (s->size > 0) {
            if (s->used + name_len + 1 > s->size)
                return -ERANGE;
            memcpy(s->buf + s->used, name, name_len);
            s->buf[s->used + name_len] = 0;
        }
        s->used += name_len + 1;
        return 0;
    }
    if (strlen(s->name) != name_len || memcmp(s->name, name, name_len) != 0)
        return 0;
    s->value_at = value_at;
    s->value_size = value_size;
    return 1;
}

static ssize_t getxattr(struct inode *inode, const char *name, void *buf, size_t size)
{
    const struct erofs *disk = &erofs_s(inode)->disk;
    struct attr_search s = { .name = name };
    long ret = erofs_xattrs(disk, &erofs_i(inode)->node, look, &s);

    if (ret <= 0)
        return ret < 0 ? ret : -ENODATA;
    if (size == 0)
        return s.value_size;
    if (s.value_size > size)
        return -ERANGE;
    ret = disk->read(disk->ctx, s.value_at, buf, s.value_size);
    return ret < 0 ? ret : (ssize_t)s.value_size;
}

static ssize_t listxattr(struct inode *inode, char *buf, size_t size)
{
    struct attr_search s = { .buf = buf, .size = size };
    long ret = erofs_xattrs(&erofs_s(inode)->disk, &erofs_i(inode)->node, look, &s);

    return ret < 0 ? ret : (ssize_t)s.used;
}

static const struct inode_ops file_ops = {
    .open = erofs_file_open, .getxattr = getxattr, .listxattr = listxattr, .evict = evict
};
static const struct inode_ops dir_ops = {
    .lookup = lookup, .open = dir_open, .getxattr = getxattr, .listxattr = listxattr, .evict = evict
};
static const struct inode_ops other_ops = { .getxattr = getxattr, .listxattr = listxattr, .evict = evict };

/* --- the file system --- */

static int statfs_of(struct superblock *sb, struct statfs *ret)
{
    const struct erofs_sb *es = sb->data;

    ret->f_bsize = EROFS_BLOCK;
    ret->f_frsize = EROFS_BLOCK;
    ret->f_blocks = (long)es->disk.blocks;
    ret->f_namelen = EROFS_NAME_MAX;
    return 0;
}

static const struct super_ops super_ops = { .statfs = statfs_of };

struct superblock *erofs_mount(struct blkdev *dev)
{
    struct superblock *sb = superblock_alloc("erofs", MAGIC);
    struct erofs_sb *es = kzalloc(sizeof(*es));
    struct inode *root;
    long err;

    if (!sb || !es)
        return err_ptr(-ENOMEM);
    es->dev = dev;
    es->disk = (struct erofs){ .read = read_device, .ctx = dev, .size = dev->size };
    err = erofs_open(&es->disk);
    if (err < 0)
        return err_ptr(err);
    sb->data = es;
    sb->ops = &super_ops;
    sb->flags = SB_READONLY;
    sb->dev = dev->rdev;
    sb->source = kstrdup(dev->name);
    root = get_inode(sb, es->disk.root_nid);
    if (is_err(root))
        return (struct superblock *)root;
    if (!S_ISDIR(root->mode)) {
        inode_put(root);
        return err_ptr(-EUCLEAN);
    }
    err = superblock_set_root(sb, root);
    return err < 0 ? err_ptr(err) : sb;
}
