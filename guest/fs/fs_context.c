/* Working directory, root and umask of a process, shared by threads. */
#include "fs/vfs.h"
#include "lib/kmalloc.h"

#define DEFAULT_UMASK 022

struct fs_context *fs_context_create(void)
{
    struct fs_context *c = kzalloc(sizeof(*c));

    if (!c)
        return NULL;
    c->refs = 1;
    c->umask = DEFAULT_UMASK;
    c->root = vfs_root;
    c->cwd = vfs_root;
    path_get(&c->root);
    path_get(&c->cwd);
    return c;
}

struct fs_context *fs_context_copy(struct fs_context *from)
{
    struct fs_context *c = kzalloc(sizeof(*c));

    if (!c)
        return NULL;
    *c = *from;
    c->refs = 1;
    path_get(&c->root);
    path_get(&c->cwd);
    return c;
}

void fs_context_get(struct fs_context *c)
{
    c->refs++;
}

void fs_context_put(struct fs_context *c)
{
    if (!c || --c->refs > 0)
        return;
    path_put(&c->root);
    path_put(&c->cwd);
    kfree(c);
}

long fs_chdir(const char *path)
{
    struct path p, old;
    int err = path_lookup(AT_FDCWD, path, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &p);

    if (err < 0)
        return err;
    err = vfs_permission(p.dentry->inode, MAY_EXEC);
    if (err < 0) {
        path_put(&p);
        return err;
    }
    old = current->fs->cwd;
    current->fs->cwd = p;
    path_put(&old);
    return 0;
}
