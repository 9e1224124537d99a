/* The file system of files without names. Nothing can be looked up in it. */
#include "fs/anon.h"

#include "lib/string.h"

#define ANON_INODE_MAGIC 0x09041934

static struct mount anon_mount;
static struct inode *shared_inode;
static const struct inode_ops shared_inode_ops;

struct superblock *anon_superblock(void)
{
    struct superblock *sb;
    struct inode *root;

    if (anon_mount.sb)
        return anon_mount.sb;
    sb = superblock_alloc("anon_inodefs", ANON_INODE_MAGIC);
    if (!sb)
        return NULL;
    root = inode_alloc(sb, &shared_inode_ops, S_IFDIR | 0500, inode_new_number());
    shared_inode = inode_alloc(sb, &shared_inode_ops, 0600, inode_new_number());
    if (!root || !shared_inode || superblock_set_root(sb, root) < 0)
        return NULL;
    list_init(&anon_mount.node);
    anon_mount.refs = 1;
    anon_mount.root = sb->root;
    anon_mount.sb = sb;
    return sb;
}

int anon_attach(struct file *f, struct inode *inode, const char *text)
{
    const struct name name = { text, strlen(text) };
    struct dentry *d = anon_superblock() ? dentry_alloc(inode->sb, NULL, &name, inode) : NULL;

    if (!d) {
        inode_put(inode);
        return -ENOMEM;
    }
    inode_get(inode);
    f->inode = inode;
    f->dentry = d;
    f->mount = &anon_mount;
    anon_mount.refs++;
    return 0;
}

struct file *anon_file(const struct file_ops *ops, uint32_t flags, void *data, const char *name)
{
    struct file *f = anon_superblock() ? file_alloc(ops, flags) : NULL;

    if (!f)
        return err_ptr(-ENOMEM);
    inode_get(shared_inode);
    if (anon_attach(f, shared_inode, name) < 0) {
        static const struct file_ops no_ops;

        f->ops = &no_ops; /* data stays the caller's */
        file_put(f);
        return err_ptr(-ENOMEM);
    }
    f->data = data;
    return f;
}

long anon_install(struct file *f, bool cloexec)
{
    long fd;

    if (is_err(f))
        return ptr_err(f);
    fd = fd_install(f, 0, cloexec);
    if (fd < 0)
        file_put(f);
    return fd;
}

bool anon_path(const struct path *p)
{
    return p->mount == &anon_mount;
}
