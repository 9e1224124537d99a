/*
 * Overlayfs: changes of names. All of them happen in the upper layer; a name that the lower directory has as well leaves a
 * whiteout when it goes. The overlay directories' locks are held by the caller.
 */
#include <linux/xattr.h>

#include "fs/overlay.h"
#include "lib/string.h"

/* --- whiteouts --- */

/* Does the lower directory have this name? victim: what it stands for now, or NULL. 0, 1 or -errno. */
static int exists_below(struct inode *dir, const struct name *name, const struct inode *victim)
{
    struct inode *lower;

    if (!overlay_i(dir)->lower || (victim && overlay_i(victim)->above_only))
        return 0;
    lower = overlay_layer_lookup(overlay_i(dir)->lower, name);
    if (is_err(lower))
        return (int)ptr_err(lower);
    inode_put(lower);
    return lower != NULL;
}

static int make_whiteout(struct inode *dir, const struct name *name)
{
    struct inode *upper = overlay_i(dir)->upper;
    struct inode *node = upper->ops->mknod(upper, name, S_IFCHR, 0);

    if (is_err(node))
        return (int)ptr_err(node);
    inode_put(node);
    return 0;
}

/* Remove the whiteout of a name that is to be used again. 1 if there was one, 0, or -errno. */
static int clear_whiteout(struct inode *dir, const struct name *name)
{
    struct inode *upper = overlay_i(dir)->upper;
    struct inode *node = overlay_layer_lookup(upper, name);
    int ret = 0;

    if (is_err(node))
        return (int)ptr_err(node);
    if (!node)
        return 0;
    if (overlay_is_whiteout(node)) {
        ret = upper->ops->unlink(upper, name, node);
        ret = ret < 0 ? ret : 1;
    }
    inode_put(node);
    return ret;
}

/* Take the name out of the upper directory, if it is there. */
static int remove_above(struct inode *dir, const struct name *name, bool directory)
{
    struct inode *upper = overlay_i(dir)->upper;
    struct inode *node = overlay_layer_lookup(upper, name);
    int err = 0;

    if (is_err(node))
        return (int)ptr_err(node);
    if (!node)
        return 0;
    err = directory ? upper->ops->rmdir(upper, name, node) : upper->ops->unlink(upper, name, node);
    inode_put(node);
    return err;
}

/* The name is gone: copy-up must not bring the file back under it. */
static void clear_place(struct inode *inode, const struct inode *dir, const struct name *name)
{
    struct overlay_inode *o = overlay_i(inode);

    if (o->parent != dir || !o->name || strlen(o->name) != name->len || memcmp(o->name, name->str, name->len) != 0)
        return;
    inode_put(o->parent);
    o->parent = NULL;
}

/* --- making --- */

/* Before a new name in dir. *ret_covered: the lower directory has (or may have) that name too. */
static int prepare(struct inode *dir, const struct name *name, bool *ret_covered)
{
    int err = overlay_copy_up(dir, UINT64_MAX);

    if (err < 0)
        return err;
    err = clear_whiteout(dir, name);
    if (err < 0)
        return err;
    *ret_covered = err > 0;
    return 0;
}

/* Wrap what was made above, or put the whiteout back if making failed. Takes upper's reference. */
static struct inode *finish(struct inode *dir, const struct name *name, struct inode *upper, bool covered)
{
    struct inode *inode;

    overlay_sync_attr(dir);
    if (is_err(upper)) {
        if (covered)
            make_whiteout(dir, name);
        return upper;
    }
    inode = overlay_inode_get(dir->sb, upper, NULL, dir, name);
    if (is_err(inode)) {
        inode_put(upper);
        return inode;
    }
    overlay_i(inode)->above_only = !covered;
    return inode;
}

struct inode *overlay_create(struct inode *dir, const struct name *name, uint32_t mode, uint32_t open_flags)
{
    struct inode *upper;
    bool covered = false;
    int err = prepare(dir, name, &covered);

    if (err < 0)
        return err_ptr(err);
    upper = overlay_i(dir)->upper;
    return finish(dir, name, upper->ops->create(upper, name, mode, open_flags), covered);
}

struct inode *overlay_mkdir(struct inode *dir, const struct name *name, uint32_t mode)
{
    struct inode *upper, *made;
    bool covered = false;
    int err = prepare(dir, name, &covered);

    if (err < 0)
        return err_ptr(err);
    upper = overlay_i(dir)->upper;
    made = upper->ops->mkdir(upper, name, mode);
    if (!is_err(made) && overlay_i(dir)->lower && (covered || !overlay_sb(dir)->kept)) {
        err = overlay_set_opaque(dir, made);
        if (err < 0) {
            upper->ops->rmdir(upper, name, made);
            inode_put(made);
            made = err_ptr(err);
        }
    }
    return finish(dir, name, made, covered);
}

struct inode *overlay_symlink(struct inode *dir, const struct name *name, const char *target)
{
    struct inode *upper;
    bool covered = false;
    int err = prepare(dir, name, &covered);

    if (err < 0)
        return err_ptr(err);
    upper = overlay_i(dir)->upper;
    return finish(dir, name, upper->ops->symlink(upper, name, target), covered);
}

struct inode *overlay_mknod(struct inode *dir, const struct name *name, uint32_t mode, uint64_t rdev)
{
    struct inode *upper;
    bool covered = false;
    int err;

    if (S_ISCHR(mode) && rdev == 0)
        return err_ptr(-EPERM); /* it would be a whiteout */
    err = prepare(dir, name, &covered);
    if (err < 0)
        return err_ptr(err);
    upper = overlay_i(dir)->upper;
    return finish(dir, name, upper->ops->mknod(upper, name, mode, rdev), covered);
}

struct inode *overlay_tmpfile(struct inode *dir, uint32_t mode)
{
    struct inode *upper, *made, *inode;
    int err = overlay_copy_up(dir, UINT64_MAX);

    if (err < 0)
        return err_ptr(err);
    upper = overlay_i(dir)->upper;
    made = upper->ops->tmpfile(upper, mode);
    if (is_err(made))
        return made;
    inode = overlay_inode_get(dir->sb, made, NULL, NULL, NULL);
    if (is_err(inode))
        inode_put(made);
    return inode;
}

int overlay_link(struct inode *inode, struct inode *dir, const struct name *name)
{
    struct overlay_inode *o = overlay_i(inode);
    struct inode *upper;
    bool covered = false;
    int err = overlay_copy_up(inode, UINT64_MAX);

    if (err == 0)
        err = prepare(dir, name, &covered);
    if (err < 0)
        return err;
    upper = overlay_i(dir)->upper;
    err = upper->ops->link(o->upper, upper, name);
    if (err < 0) {
        if (covered)
            make_whiteout(dir, name);
        return err;
    }
    o->above_only = false;
    if (o->own_nlink)
        inode->nlink++;
    overlay_sync_attr(inode);
    overlay_sync_attr(dir);
    return 0;
}

/* --- removing --- */

/* victim lost a name. */
static void drop_link(struct inode *victim)
{
    struct overlay_inode *o = overlay_i(victim);

    if (S_ISDIR(victim->mode)) {
        o->removed = true;
    } else if (!o->upper || o->own_nlink) {
        o->own_nlink = true;
        victim->nlink--;
        if (o->lower && o->lower->nlink > 1)
            overlay_pin(victim);
    }
    overlay_sync_attr(victim);
    inode_touch(victim, ATTR_CTIME);
}

static int remove_name(struct inode *dir, const struct name *name, struct inode *victim)
{
    bool directory = S_ISDIR(victim->mode);
    int err = overlay_copy_up(dir, UINT64_MAX);
    int below;

    if (err < 0)
        return err;
    below = exists_below(dir, name, victim);
    if (below < 0)
        return below;
    err = remove_above(dir, name, directory);
    if (err == 0 && below)
        err = make_whiteout(dir, name);
    if (err < 0)
        return err;
    inode_touch(overlay_i(dir)->upper, ATTR_MTIME | ATTR_CTIME);
    clear_place(victim, dir, name);
    drop_link(victim);
    overlay_sync_attr(dir);
    return 0;
}

int overlay_unlink(struct inode *dir, const struct name *name, struct inode *victim)
{
    return remove_name(dir, name, victim);
}

int overlay_rmdir(struct inode *dir, const struct name *name, struct inode *victim)
{
    int err = overlay_check_empty(victim);

    return err < 0 ? err : remove_name(dir, name, victim);
}

/* --- renaming --- */

/* A second name of a lower file has no entry above yet when the file was copied up under the first. */
static int ensure_above(struct inode *dir, const struct name *name, struct inode *inode)
{
    struct inode *upper = overlay_i(dir)->upper;
    struct inode *node = overlay_layer_lookup(upper, name);

    if (is_err(node))
        return (int)ptr_err(node);
    inode_put(node);
    return node ? 0 : upper->ops->link(overlay_i(inode)->upper, upper, name);
}

/* A directory whose other part a kept layer couldn't find again under another name. */
static bool is_merged(const struct inode *inode)
{
    return overlay_sb(inode)->kept && S_ISDIR(inode->mode) && overlay_i(inode)->lower;
}

/* Before a directory gets a name that the lower layer has as well. */
static int hide_below(struct inode *inode)
{
    if (!S_ISDIR(inode->mode) || !overlay_sb(inode)->kept)
        return 0;
    return overlay_set_opaque(inode, overlay_i(inode)->upper);
}

static int copy_up_all(struct inode *old_dir, struct inode *inode, struct inode *new_dir, const struct name *old_name)
{
    int err = overlay_copy_up(old_dir, UINT64_MAX);

    if (err == 0)
        err = overlay_copy_up(new_dir, UINT64_MAX);
    if (err == 0)
        err = is_merged(inode) ? overlay_unmerge(inode) : overlay_copy_up(inode, UINT64_MAX);
    return err < 0 ? err : ensure_above(old_dir, old_name, inode);
}

/* It has a new name: directories keep what is merged into them by being pinned, whatever lies below the new name. */
static void moved(struct inode *inode, struct inode *dir, const struct name *name, bool above_only)
{
    struct overlay_inode *o = overlay_i(inode);

    overlay_set_place(inode, dir, name);
    o->above_only = above_only;
    if (!S_ISDIR(inode->mode))
        return;
    if (o->lower)
        overlay_pin(inode);
    else if (!above_only && !overlay_sb(inode)->kept)
        overlay_set_opaque(inode, o->upper);
}

static int exchange(struct inode *old_dir, const struct name *old_name, struct inode *inode, struct inode *new_dir,
                    const struct name *new_name, struct inode *target)
{
    struct inode *from = overlay_i(old_dir)->upper;
    int err = is_merged(target) ? overlay_unmerge(target) : overlay_copy_up(target, UINT64_MAX);

    if (err == 0)
        err = hide_below(target);
    if (err == 0)
        err = hide_below(inode);
    if (err == 0)
        err = ensure_above(new_dir, new_name, target);
    if (err == 0)
        err = from->ops->rename(from, old_name, overlay_i(inode)->upper, overlay_i(new_dir)->upper, new_name,
                                overlay_i(target)->upper, RENAME_EXCHANGE);
    if (err < 0)
        return err;
    moved(inode, new_dir, new_name, false);
    moved(target, old_dir, old_name, false);
    return 0;
}

/* The target's entry above, replaced by the rename itself; NULL: there is none, or it was a whiteout and is gone now. */
static struct inode *target_above(struct inode *dir, const struct name *name, bool *ret_whiteout)
{
    int cleared = clear_whiteout(dir, name);

    if (cleared < 0)
        return err_ptr(cleared);
    *ret_whiteout = cleared > 0;
    return cleared > 0 ? NULL : overlay_layer_lookup(overlay_i(dir)->upper, name);
}

static int replace(struct inode *old_dir, const struct name *old_name, struct inode *inode, struct inode *new_dir,
                   const struct name *new_name, struct inode *target)
{
    struct inode *from = overlay_i(old_dir)->upper, *to = overlay_i(new_dir)->upper;
    bool whiteout = false;
    int below = exists_below(old_dir, old_name, inode);
    struct inode *above;
    int err = below < 0 ? below : 0;

    if (err == 0 && target && S_ISDIR(target->mode))
        err = overlay_check_empty(target);
    if (err < 0)
        return err;
    above = target_above(new_dir, new_name, &whiteout);
    if (is_err(above))
        return (int)ptr_err(above);
    if (whiteout || target) {
        err = hide_below(inode);
        if (err < 0)
            goto put;
    }
    err = from->ops->rename(from, old_name, overlay_i(inode)->upper, to, new_name, above, 0);
put:
    if (err < 0 && whiteout)
        make_whiteout(new_dir, new_name);
    inode_put(above);
    if (err < 0)
        return err;
    if (target) {
        clear_place(target, new_dir, new_name);
        drop_link(target);
    }
    moved(inode, new_dir, new_name, !overlay_i(new_dir)->lower || (!whiteout && !target));
    return below ? make_whiteout(old_dir, old_name) : 0;
}

int overlay_rename(struct inode *old_dir, const struct name *old_name, struct inode *inode, struct inode *new_dir,
                   const struct name *new_name, struct inode *target, uint32_t flags)
{
    int err = copy_up_all(old_dir, inode, new_dir, old_name);

    if (err < 0)
        return err;
    if (flags & RENAME_EXCHANGE)
        err = exchange(old_dir, old_name, inode, new_dir, new_name, target);
    else
        err = replace(old_dir, old_name, inode, new_dir, new_name, target);
    overlay_sync_attr(inode);
    overlay_sync_attr(old_dir);
    overlay_sync_attr(new_dir);
    return err;
}
