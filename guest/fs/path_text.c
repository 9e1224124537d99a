/*
 * Paths as pairs of mount and dentry, and their text. Nothing here sleeps, but for the last reference to a name.
 */
#include "fs/vfs.h"
#include "lib/string.h"

void path_get(const struct path *p)
{
    p->mount->refs++;
    dentry_get(p->dentry);
}

void path_put(struct path *p)
{
    if (!p->dentry)
        return;
    p->mount->refs--; /* mounts are never taken away, so the last reference is the tree's */
    dentry_put(p->dentry);
    p->mount = NULL;
    p->dentry = NULL;
}

/* Text that grows from the end of a buffer to its front. */
struct back_text {
    char *start;
    char *pos;
};

static bool prepend(struct back_text *t, const char *s, size_t len)
{
    if ((size_t)(t->pos - t->start) < len)
        return false;
    t->pos -= len;
    memcpy(t->pos, s, len);
    return true;
}

/* Prepend the names from p up to root; *ret_reached: it was met. */
static bool prepend_names(struct back_text *t, struct path p, const struct path *root, bool *ret_reached)
{
    while (!path_equal(&p, root)) {
        if (p.dentry == p.mount->root || p.dentry->parent == p.dentry) {
            if (!p.mount->parent || p.dentry != p.mount->root) {
                *ret_reached = false;
                return true;
            }
            p.dentry = p.mount->mountpoint;
            p.mount = p.mount->parent;
            continue;
        }
        if (!prepend(t, p.dentry->name, p.dentry->name_len) || !prepend(t, "/", 1))
            return false;
        p.dentry = p.dentry->parent;
    }
    *ret_reached = true;
    return true;
}

ssize_t path_text(const struct path *p, const struct path *root, char *buf, size_t size, char **ret)
{
    static const char deleted[] = " (deleted)", unreachable[] = "(unreachable)";
    struct back_text t = { buf, buf + size };
    bool reached = false;
    const char *end;

    if (!root)
        root = current && current->fs ? &current->fs->root : &vfs_root;
    if (!prepend(&t, "", 1))
        return -ENAMETOOLONG;
    if (p->dentry->deleted && !prepend(&t, deleted, sizeof(deleted) - 1))
        return -ENAMETOOLONG;
    end = t.pos;
    if (p->mount->id == 0) {
        /* a nameless file (memfd): its name is in no directory */
        if (!prepend(&t, p->dentry->name, p->dentry->name_len) || !prepend(&t, "/", 1))
            return -ENAMETOOLONG;
        reached = true;
    } else if (!prepend_names(&t, *p, root, &reached)) {
        return -ENAMETOOLONG;
    }
    if (t.pos == end && !prepend(&t, "/", 1))
        return -ENAMETOOLONG;
    if (!reached && !path_equal(root, &vfs_root) && !prepend(&t, unreachable, sizeof(unreachable) - 1))
        return -ENAMETOOLONG;
    *ret = t.pos;
    return buf + size - t.pos - 1;
}
