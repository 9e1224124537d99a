/* /dev/pts: a node for each terminal, there as long as the terminal is; and ptmx, which makes a new one (pts(4)). */
#include "tty/tty.h"

#include "fs/stdio.h"
#include "lib/string.h"
#include "proc/process.h"

#include <linux/magic.h>

#define PTS_MAX 4096 /* as many as Linux's kernel.pty.max */
#define PTS_GID 5    /* Debian's group tty */
#define PTMX_INO 2u
#define INO_BASE 3u  /* as in Linux: pts/N has inode N + 3 */

static struct superblock *devpts;
static struct inode *ptmx_node;

/* --- the nodes --- */

static int node_setattr(struct inode *inode, const struct attr *attr)
{
    inode_setattr_plain(inode, attr);
    return 0;
}

static int pts_open(struct inode *inode, struct file *f)
{
    struct tty *t = inode->data;
    long err = t ? t->open(t, f) : -EIO;

    if (err == 0)
        tty_opened(t, f);
    return (int)err;
}

static int ptmx_node_open(struct inode *inode UNUSED, struct file *f)
{
    return (int)ptmx_open(f);
}

static const struct inode_ops pts_ops = { .setattr = node_setattr, .open = pts_open };
static const struct inode_ops ptmx_ops = { .setattr = node_setattr, .open = ptmx_node_open };

int tty_free_index(void)
{
    struct tty *t;
    int index = 0;

    list_for_each(t, &all_ttys, node) {
        if (t->index != index)
            break;
        index++;
    }
    return index < PTS_MAX ? index : -ENOSPC;
}

static void insert_by_index(struct tty *t)
{
    struct tty *after;

    list_for_each(after, &all_ttys, node)
        if (after->index > t->index)
            break;
    list_push_back(&after->node, &t->node);
}

int tty_add_node(struct tty *t)
{
    struct inode *inode;

    if (!devpts)
        return -ENODEV;
    inode = inode_alloc(devpts, &pts_ops, S_IFCHR | 0620, (uint64_t)t->index + INO_BASE);
    if (!inode)
        return -ENOMEM;
    inode->rdev = vfs_makedev(PTS_DEVICE_MAJOR, (uint32_t)t->index);
    inode->blksize = 1024;
    inode->uid = vfs_fsuid();
    inode->gid = PTS_GID;
    inode->data = t;
    t->inode = inode;
    insert_by_index(t);
    return 0;
}

void tty_remove_node(struct tty *t)
{
    t->inode->data = NULL;
    inode_put(t->inode);
    t->inode = NULL;
    list_remove(&t->node);
}

long tty_attach_node(struct tty *t, struct file *f)
{
    char text[16];
    struct name name = { text, (size_t)ksnprintf(text, sizeof(text), "%d", t->index) };
    struct mount *m = mount_first();
    struct dentry *d;

    while (m && m->sb != devpts)
        m = mount_next(m);
    if (!m)
        return -ENODEV;
    inode_get(t->inode);
    d = dentry_alloc(devpts, devpts->root, &name, t->inode);
    if (!d) {
        inode_put(t->inode);
        return -ENOMEM;
    }
    if (f->inode)
        inode_put(f->inode);
    if (f->dentry)
        path_put(&(struct path){ f->mount, f->dentry });
    f->inode = t->inode;
    inode_get(f->inode);
    f->dentry = d;
    f->mount = m;
    m->refs++;
    return 0;
}

/* --- the directory --- */

static struct inode *devpts_lookup(struct inode *dir UNUSED, const struct name *name)
{
    char text[16];
    struct tty *t;

    if (name->len == 4 && memcmp(name->str, "ptmx", 4) == 0) {
        inode_get(ptmx_node);
        return ptmx_node;
    }
    list_for_each(t, &all_ttys, node) {
        size_t len = (size_t)ksnprintf(text, sizeof(text), "%d", t->index);

        if (name->len == len && memcmp(name->str, text, len) == 0) {
            inode_get(t->inode);
            return t->inode;
        }
    }
    return err_ptr(-ENOENT);
}

/* Positions: 0 and 1 the dots, 2 ptmx, then 3 + index. */
static int devpts_readdir(struct file *f, emit_fn emit, void *ctx)
{
    char text[16];
    struct tty *t;

    if (!dir_emit_dots(f, emit, ctx))
        return 0;
    if (f->pos == 2) {
        if (!emit(ctx, "ptmx", 4, PTMX_INO, 3, mode_to_dtype(S_IFCHR)))
            return 0;
        f->pos = 3;
    }
    list_for_each(t, &all_ttys, node) {
        uint64_t next = (uint64_t)t->index + 4;
        size_t len = (size_t)ksnprintf(text, sizeof(text), "%d", t->index);

        if (next <= f->pos)
            continue;
        if (!emit(ctx, text, len, t->inode->ino, next, mode_to_dtype(S_IFCHR)))
            return 0;
        f->pos = next;
    }
    return 0;
}

static const struct file_ops dir_file_ops = {
    .seek = seek_dir,
    .readdir = devpts_readdir,
    .fsync = fsync_nothing,
};

static int dir_open(struct inode *inode UNUSED, struct file *f)
{
    f->ops = &dir_file_ops;
    return 0;
}

static const struct inode_ops dir_ops = { .lookup = devpts_lookup, .open = dir_open };

struct superblock *devpts_mount(void)
{
    struct superblock *sb = superblock_alloc("devpts", DEVPTS_SUPER_MAGIC);
    struct inode *root;
    int err;

    if (!sb)
        return err_ptr(-ENOMEM);
    sb->source = "devpts";
    sb->flags |= SB_NO_DCACHE | SB_NO_NEGATIVE | SB_OWN_DEVICES | SB_NOEXEC;
    root = inode_alloc(sb, &dir_ops, S_IFDIR | 0755, 1);
    ptmx_node = inode_alloc(sb, &ptmx_ops, S_IFCHR | 0666, PTMX_INO);
    if (!root || !ptmx_node)
        return err_ptr(-ENOMEM);
    root->nlink = 2;
    ptmx_node->rdev = vfs_makedev(TTY_DEVICE_MAJOR, 2);
    err = superblock_set_root(sb, root);
    if (err < 0)
        return err_ptr(err);
    devpts = sb;
    return sb;
}

/* --- /dev/tty --- */

long tty_open_controlling(struct file *f)
{
    struct tty *t = current->proc->tty;

    return t ? t->open(t, f) : -ENXIO;
}
