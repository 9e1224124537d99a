/*
 * The file system in memory: names, inodes, superblocks. Nothing in here sleeps. Directory entries are in two trees: by
 * name, and by a cookie that only grows, which makes readdir stable however the directory changes meanwhile.
 */
#include <linux/magic.h>

#include "fs/tmpfs.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "mm/frame.h"

#define DIR_SIZE_EMPTY 40 /* st_size of directories, as Linux's tmpfs counts it */
#define DIR_SIZE_ENTRY 20
#define FIRST_COOKIE 3

static const struct inode_ops tmpfs_dir_ops, tmpfs_node_ops;

/* --- inodes --- */

static struct inode *new_inode(struct superblock *sb, uint32_t mode, uint32_t gid)
{
    struct tmpfs_super *super = sb->data;
    bool directory = S_ISDIR(mode);
    struct tmpfs_node *node = kzalloc(sizeof(*node));
    struct inode *inode;

    if (!node)
        return err_ptr(-ENOSPC);
    inode = inode_alloc(sb, directory ? &tmpfs_dir_ops : &tmpfs_node_ops, mode, inode_new_number() | super->ino_bits);
    if (!inode) {
        kfree(node);
        return err_ptr(-ENOSPC);
    }
    inode->uid = vfs_fsuid();
    inode->gid = gid;
    inode->data = node;
    if (directory) {
        inode->nlink = 2;
        inode->size = DIR_SIZE_EMPTY;
        node->dir.next_cookie = FIRST_COOKIE;
    }
    super->inode_count++;
    return inode;
}

static void remove_entry(struct inode *dir, struct tmpfs_entry *e)
{
    struct tmpfs_node *node = tmpfs_node(dir);

    rb_erase(&node->dir.names, &e->by_name);
    rb_erase(&node->dir.cookies, &e->by_cookie);
    node->dir.count--;
    dir->size -= DIR_SIZE_ENTRY;
    inode_put(e->inode);
    kfree(e);
}

static void tmpfs_evict(struct inode *inode)
{
    struct tmpfs_node *node = tmpfs_node(inode);

    if (S_ISDIR(inode->mode)) {
        while (node->dir.names.node)
            remove_entry(inode, rb_entry(node->dir.names.node, struct tmpfs_entry, by_name));
    } else if (S_ISREG(inode->mode)) {
        uint64_t end = UINT64_MAX >> PAGE_SHIFT;

        for (uint64_t i = 0; (i = page_map_next(&node->pages, i, end, false)) < end; i++) {
            frame_put(page_map_take(&node->pages, i));
            tmpfs_super(inode)->used_pages--;
        }
        page_map_destroy(&node->pages);
    }
    memxattr_destroy(&node->xattrs);
    tmpfs_super(inode)->inode_count--;
    kfree(node);
}

/* --- entries --- */

static uint32_t hash_name(const struct name *name)
{
    uint32_t h = 0x811c9dc5;

    for (size_t i = 0; i < name->len; i++)
        h = (h ^ (uint8_t)name->str[i]) * 0x01000193u;
    return h;
}

static int compare(uint32_t hash, const struct name *name, const struct tmpfs_entry *e)
{
    if (hash != e->hash)
        return hash < e->hash ? -1 : 1;
    if (name->len != e->len)
        return name->len < e->len ? -1 : 1;
    return memcmp(name->str, e->name, name->len);
}

static struct tmpfs_entry *find_entry(const struct inode *dir, const struct name *name)
{
    struct rb_node *n = tmpfs_node(dir)->dir.names.node;
    uint32_t hash = hash_name(name);

    while (n) {
        struct tmpfs_entry *e = rb_entry(n, struct tmpfs_entry, by_name);
        int c = compare(hash, name, e);

        if (c == 0)
            return e;
        n = c < 0 ? n->left : n->right;
    }
    return NULL;
}

static void insert_by_name(struct rb_root *root, struct tmpfs_entry *e)
{
    const struct name name = { e->name, e->len };
    struct rb_node **link = &root->node, *parent = NULL;

    while (*link) {
        parent = *link;
        link = compare(e->hash, &name, rb_entry(parent, struct tmpfs_entry, by_name)) < 0 ? &parent->left
                                                                                        : &parent->right;
    }
    rb_link(&e->by_name, parent, link);
    rb_insert_fixup(root, &e->by_name);
}

/* The cookie is larger than all others: always at the right end. */
static void insert_by_cookie(struct rb_root *root, struct tmpfs_entry *e)
{
    struct rb_node **link = &root->node, *parent = NULL;

    while (*link) {
        parent = *link;
        link = &parent->right;
    }
    rb_link(&e->by_cookie, parent, link);
    rb_insert_fixup(root, &e->by_cookie);
}

/* Takes the inode's reference on success. */
static int add_entry(struct inode *dir, const struct name *name, struct inode *inode)
{
    struct tmpfs_node *node = tmpfs_node(dir);
    struct tmpfs_entry *e = kzalloc(sizeof(*e) + name->len + 1);

    if (!e)
        return -ENOSPC;
    e->inode = inode;
    e->hash = hash_name(name);
    e->len = (uint32_t)name->len;
    e->cookie = node->dir.next_cookie++;
    memcpy(e->name, name->str, name->len);
    insert_by_name(&node->dir.names, e);
    insert_by_cookie(&node->dir.cookies, e);
    node->dir.count++;
    dir->size += DIR_SIZE_ENTRY;
    return 0;
}

/* --- directory operations --- */

static struct inode *tmpfs_lookup(struct inode *dir, const struct name *name)
{
    struct tmpfs_entry *e = find_entry(dir, name);

    if (!e)
        return err_ptr(-ENOENT);
    inode_get(e->inode);
    return e->inode;
}

/* Enter a new inode (which may be an error) under a name; returns it with a reference for the caller. */
static struct inode *enter(struct inode *dir, const struct name *name, struct inode *inode)
{
    if (is_err(inode))
        return inode;
    if (add_entry(dir, name, inode) < 0) {
        inode_put(inode);
        return err_ptr(-ENOSPC);
    }
    if (S_ISDIR(inode->mode))
        dir->nlink++;
    inode_touch(dir, ATTR_MTIME | ATTR_CTIME);
    inode_get(inode);
    return inode;
}

static struct inode *tmpfs_create(struct inode *dir, const struct name *name, uint32_t mode, uint32_t open_flags UNUSED)
{
    return enter(dir, name, new_inode(dir->sb, S_IFREG | mode, vfs_new_gid(dir)));
}

static struct inode *tmpfs_mkdir(struct inode *dir, const struct name *name, uint32_t mode)
{
    uint32_t inherited = dir->mode & S_ISGID;

    return enter(dir, name, new_inode(dir->sb, S_IFDIR | mode | inherited, vfs_new_gid(dir)));
}

static struct inode *tmpfs_mknod(struct inode *dir, const struct name *name, uint32_t mode, uint64_t rdev)
{
    struct inode *inode = new_inode(dir->sb, mode, vfs_new_gid(dir));

    if (!is_err(inode))
        inode->rdev = rdev;
    return enter(dir, name, inode);
}

static struct inode *tmpfs_symlink(struct inode *dir, const struct name *name, const char *target)
{
    struct inode *inode = new_inode(dir->sb, S_IFLNK | 0777, vfs_new_gid(dir));

    if (is_err(inode))
        return inode;
    inode->link = kstrdup(target);
    inode->size = strlen(target);
    if (!inode->link) {
        inode_put(inode);
        return err_ptr(-ENOSPC);
    }
    return enter(dir, name, inode);
}

static struct inode *tmpfs_tmpfile(struct inode *dir, uint32_t mode)
{
    struct inode *inode = new_inode(dir->sb, S_IFREG | mode, vfs_new_gid(dir));

    if (!is_err(inode))
        inode->nlink = 0;
    return inode;
}

static int tmpfs_link(struct inode *inode, struct inode *dir, const struct name *name)
{
    int err = add_entry(dir, name, inode);

    if (err < 0)
        return err;
    inode_get(inode);
    inode->nlink++;
    inode_touch(inode, ATTR_CTIME);
    inode_touch(dir, ATTR_MTIME | ATTR_CTIME);
    return 0;
}

/* The name of victim is gone from dir. */
static void drop_link(struct inode *dir, struct inode *victim)
{
    if (S_ISDIR(victim->mode)) {
        victim->nlink = 0;
        dir->nlink--;
    } else {
        victim->nlink--;
    }
    inode_touch(victim, ATTR_CTIME);
}

static int tmpfs_unlink(struct inode *dir, const struct name *name, struct inode *victim)
{
    struct tmpfs_entry *e = find_entry(dir, name);

    if (!e)
        return -ENOENT;
    drop_link(dir, victim);
    remove_entry(dir, e);
    inode_touch(dir, ATTR_MTIME | ATTR_CTIME);
    return 0;
}

static int tmpfs_rmdir(struct inode *dir, const struct name *name, struct inode *victim)
{
    if (tmpfs_node(victim)->dir.count > 0)
        return -ENOTEMPTY;
    return tmpfs_unlink(dir, name, victim);
}

static void move_dotdot(const struct inode *inode, struct inode *from, struct inode *to)
{
    if (!S_ISDIR(inode->mode) || from == to)
        return;
    from->nlink--;
    to->nlink++;
}

static void exchange(struct inode *old_dir, struct tmpfs_entry *a, struct inode *new_dir, struct tmpfs_entry *b)
{
    struct inode *tmp = a->inode;

    move_dotdot(a->inode, old_dir, new_dir);
    move_dotdot(b->inode, new_dir, old_dir);
    a->inode = b->inode;
    b->inode = tmp;
    inode_touch(a->inode, ATTR_CTIME);
}

static int replace(struct inode *old_dir, struct tmpfs_entry *from, struct inode *new_dir, struct tmpfs_entry *to)
{
    struct inode *inode = from->inode, *target = to->inode;

    if (S_ISDIR(target->mode) && tmpfs_node(target)->dir.count > 0)
        return -ENOTEMPTY;
    drop_link(new_dir, target);
    inode_get(inode);
    to->inode = inode;
    inode_put(target);
    move_dotdot(inode, old_dir, new_dir);
    remove_entry(old_dir, from);
    return 0;
}

static int move(struct inode *old_dir, struct tmpfs_entry *from, struct inode *new_dir, const struct name *name)
{
    int err = add_entry(new_dir, name, from->inode);

    if (err < 0)
        return err;
    inode_get(from->inode);
    move_dotdot(from->inode, old_dir, new_dir);
    remove_entry(old_dir, from);
    return 0;
}

static int tmpfs_rename(struct inode *old_dir, const struct name *old_name, struct inode *inode,
                        struct inode *new_dir, const struct name *new_name, struct inode *target UNUSED, uint32_t flags)
{
    struct tmpfs_entry *from = find_entry(old_dir, old_name);
    struct tmpfs_entry *to = find_entry(new_dir, new_name);
    int err = 0;

    if (!from)
        return -ENOENT;
    if (flags & RENAME_EXCHANGE) {
        if (!to)
            return -ENOENT;
        exchange(old_dir, from, new_dir, to);
    } else if (to) {
        err = replace(old_dir, from, new_dir, to);
    } else {
        err = move(old_dir, from, new_dir, new_name);
    }
    if (err < 0)
        return err;
    inode_touch(inode, ATTR_CTIME);
    inode_touch(old_dir, ATTR_MTIME | ATTR_CTIME);
    inode_touch(new_dir, ATTR_MTIME | ATTR_CTIME);
    return 0;
}

/* The entry with the lowest cookie >= from. */
static struct tmpfs_entry *entry_from(const struct inode *dir, uint64_t from)
{
    struct rb_node *n = tmpfs_node(dir)->dir.cookies.node;
    struct tmpfs_entry *best = NULL;

    while (n) {
        struct tmpfs_entry *e = rb_entry(n, struct tmpfs_entry, by_cookie);

        if (e->cookie >= from) {
            best = e;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    return best;
}

static int tmpfs_readdir(struct file *f, emit_fn emit, void *ctx)
{
    if (!dir_emit_dots(f, emit, ctx))
        return 0;
    for (;;) {
        struct tmpfs_entry *e = entry_from(f->inode, f->pos);
        uint64_t next;

        if (!e)
            break;
        next = e->cookie + 1; /* emit may sleep, and the entry be gone then */
        if (!emit(ctx, e->name, e->len, e->inode->ino, next, mode_to_dtype(e->inode->mode)))
            break;
        f->pos = next;
    }
    inode_touch(f->inode, ATTR_ATIME);
    return 0;
}

static const struct file_ops tmpfs_dir_file_ops = {
    .seek = seek_dir,
    .readdir = tmpfs_readdir,
    .fsync = fsync_nothing,
};

/* --- all inodes --- */

static int tmpfs_open(struct inode *inode, struct file *f)
{
    f->ops = S_ISDIR(inode->mode) ? &tmpfs_dir_file_ops : &tmpfs_file_ops;
    return 0;
}

static int tmpfs_setattr(struct inode *inode, const struct attr *attr)
{
    if (attr->valid & ATTR_SIZE) {
        int err = tmpfs_truncate(inode, attr->size);

        if (err < 0)
            return err;
    }
    inode_setattr_plain(inode, attr);
    return 0;
}

static bool xattr_supported(const char *name)
{
    return strncmp(name, "user.", 5) == 0 || strncmp(name, "trusted.", 8) == 0 || strncmp(name, "security.", 9) == 0;
}

static ssize_t tmpfs_getxattr(struct inode *inode, const char *name, void *buf, size_t size)
{
    return xattr_supported(name) ? memxattr_get(&tmpfs_node(inode)->xattrs, name, buf, size) : -EOPNOTSUPP;
}

static int tmpfs_setxattr(struct inode *inode, const char *name, const void *value, size_t size, int flags)
{
    int err;

    if (!xattr_supported(name))
        return -EOPNOTSUPP;
    err = memxattr_set(&tmpfs_node(inode)->xattrs, name, value, size, flags);
    if (err == 0)
        inode_touch(inode, ATTR_CTIME);
    return err;
}

static ssize_t tmpfs_listxattr(struct inode *inode, char *buf, size_t size)
{
    return memxattr_list(&tmpfs_node(inode)->xattrs, buf, size);
}

static int tmpfs_removexattr(struct inode *inode, const char *name)
{
    int err = memxattr_remove(&tmpfs_node(inode)->xattrs, name);

    if (err == 0)
        inode_touch(inode, ATTR_CTIME);
    return err;
}

#define TMPFS_COMMON_OPS                                                                           \
    .setattr = tmpfs_setattr, .open = tmpfs_open, .getxattr = tmpfs_getxattr,                      \
    .setxattr = tmpfs_setxattr, .listxattr = tmpfs_listxattr, .removexattr = tmpfs_removexattr,    \
    .evict = tmpfs_evict

static const struct inode_ops tmpfs_dir_ops = {
    .lookup = tmpfs_lookup,
    .create = tmpfs_create,
    .mkdir = tmpfs_mkdir,
    .symlink = tmpfs_symlink,
    .mknod = tmpfs_mknod,
    .tmpfile = tmpfs_tmpfile,
    .link = tmpfs_link,
    .unlink = tmpfs_unlink,
    .rmdir = tmpfs_rmdir,
    .rename = tmpfs_rename,
    TMPFS_COMMON_OPS,
};

static const struct inode_ops tmpfs_node_ops = { TMPFS_COMMON_OPS };

/* --- superblocks --- */

static int tmpfs_statfs(struct superblock *sb, struct statfs *ret)
{
    const struct tmpfs_super *super = sb->data;
    uint64_t left = super->limit_pages - MIN(super->limit_pages, super->used_pages);

    ret->f_bsize = PAGE_SIZE;
    ret->f_frsize = PAGE_SIZE;
    ret->f_blocks = (long)super->limit_pages;
    ret->f_bfree = (long)MIN(left, frame_free_count());
    ret->f_bavail = ret->f_bfree;
    ret->f_files = (long)(super->inode_count + super->limit_pages);
    ret->f_ffree = (long)super->limit_pages;
    return 0;
}

static const struct super_ops tmpfs_super_ops = { .statfs = tmpfs_statfs };

struct superblock *tmpfs_mount(uint32_t root_mode, uint64_t size_limit)
{
    struct superblock *sb = superblock_alloc("tmpfs", TMPFS_MAGIC);
    struct tmpfs_super *super = kzalloc(sizeof(*super));
    struct inode *root;

    if (!sb || !super)
        return err_ptr(-ENOMEM);
    super->limit_pages = size_limit ? PAGE_UP(size_limit) >> PAGE_SHIFT : frame_total() / 2;
    sb->ops = &tmpfs_super_ops;
    sb->data = super;
    root = new_inode(sb, S_IFDIR | root_mode, 0);
    if (is_err(root))
        return (struct superblock *)root;
    if (superblock_set_root(sb, root) < 0)
        return err_ptr(-ENOMEM);
    return sb;
}

void tmpfs_set_ino_bits(struct superblock *sb, uint64_t bits)
{
    struct tmpfs_super *super = sb->data;

    super->ino_bits = bits;
    sb->root->inode->ino |= bits;
}

/* Nameless files live in a file system that isn't mounted anywhere: its mount only gives them a path to be held by. */
static struct mount nameless_mount;

struct file *tmpfs_file_create(const char *name, uint64_t size)
{
    const struct name text = { name, strlen(name) };
    struct superblock *sb = nameless_mount.sb;
    struct inode *inode;
    struct dentry *d;
    struct file *f;

    if (!sb) {
        sb = tmpfs_mount(0777, UINT64_MAX >> 1);
        if (is_err(sb))
            return (struct file *)sb;
        nameless_mount = (struct mount){ .refs = 1, .sb = sb, .root = sb->root };
    }
    inode = new_inode(sb, S_IFREG | 0777, vfs_fsgid());
    if (is_err(inode))
        return err_ptr(-ENOMEM);
    inode->nlink = 0;
    inode->size = size;
    d = dentry_alloc(sb, NULL, &text, inode);
    if (!d) {
        inode_put(inode);
        return err_ptr(-ENOMEM);
    }
    d->deleted = true;
    f = vfs_open_inode(inode, d, &nameless_mount, O_RDWR | O_LARGEFILE);
    dentry_put(d);
    return f;
}
