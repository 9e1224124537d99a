/*
 * Between the parts of overlayfs: a writable upper layer over one that is only read. overlay.c has inodes and lookup,
 * overlay_copy.c copy-up, overlay_names.c changes of names, overlay_dir.c listing.
 *
 * The layers are used through their inodes' operations, without names of their own in the dentry cache; all access to them
 * goes through here. The form is Linux's overlayfs: a whiteout is a character device 0/0, an opaque directory has the
 * attribute trusted.overlay.opaque. Where Linux keeps redirects and origins in attributes, memory does here: the
 * upper inode points to its overlay inode, which is pinned where the connection couldn't be found again.
 *
 * An upper layer that is kept (a directory of the host) is Linux's with `userxattr`: user.overlay.opaque, because the gofer has
 * no right to trusted attributes, and no redirects, which that option excludes: a directory of the lower layer is copied up
 * whole before it is renamed.
 */
#ifndef FS_OVERLAY_H
#define FS_OVERLAY_H

#include "fs/vfs.h"

#define OVERLAY_PRIVATE "trusted.overlay."
#define OVERLAY_PRIVATE_KEPT "user.overlay."
#define OVERLAY_UPPER_INO (1ull << 62) /* set in numbers of files that exist above only */

struct overlay_sb {
    struct superblock *upper, *lower;
    struct mutex copy_mutex; /* one copy-up at a time */
    bool kept;               /* upper is a directory of the host */
};

struct overlay_inode {
    struct inode *upper;   /* a reference, or NULL until it is copied up */
    struct inode *lower;   /* a reference; directories: what is merged in. NULL: above only */
    struct inode *parent;  /* overlay inode of the directory, a reference; NULL: the root, or nameless */
    char *name;
    bool pinned;           /* holds a reference on itself */
    bool above_only;       /* the name is known not to exist in the lower directory */
    bool own_nlink;        /* nlink is counted here rather than in a layer */
    bool removed;          /* a directory without a name */
};

static inline struct overlay_inode *overlay_i(const struct inode *inode)
{
    return inode->data;
}

static inline struct overlay_sb *overlay_sb(const struct inode *inode)
{
    return inode->sb->data;
}

static inline struct inode *overlay_real(const struct inode *inode)
{
    return overlay_i(inode)->upper ? overlay_i(inode)->upper : overlay_i(inode)->lower;
}

/* --- overlay.c --- */

/* The overlay inode of these layers (references taken on success), found or made. parent and name: where. err_ptr. */
struct inode *overlay_inode_get(struct superblock *sb, struct inode *upper, struct inode *lower, struct inode *parent,
                                const struct name *name);
void overlay_sync_attr(struct inode *inode); /* copy the real inode's fields */
int overlay_set_place(struct inode *inode, struct inode *parent, const struct name *name);
void overlay_pin(struct inode *inode);

bool overlay_is_whiteout(const struct inode *upper);
/* Let nothing of the lower layer shine through the upper directory, from now on. */
int overlay_set_opaque(const struct inode *overlay, struct inode *upper);
/* Is this attribute one of overlayfs's own? */
bool overlay_is_private(const struct inode *overlay, const char *name);
/* A layer's inode of a name; NULL: there is none (or no directory); or err_ptr. */
struct inode *overlay_layer_lookup(struct inode *dir, const struct name *name);

extern const struct inode_ops overlay_dir_inode_ops, overlay_inode_ops;

/* --- overlay_copy.c --- */

/* Bring the file, and the directories above it, into the upper layer. size_limit: no more data than this is needed. */
int overlay_copy_up(struct inode *inode, uint64_t size_limit);
/* Make a merged directory of a kept layer one of the upper layer only, with everything below it, so that it can be moved. */
int overlay_unmerge(struct inode *inode);

/* --- overlay_names.c --- */

struct inode *overlay_create(struct inode *dir, const struct name *name, uint32_t mode, uint32_t open_flags);
struct inode *overlay_mkdir(struct inode *dir, const struct name *name, uint32_t mode);
struct inode *overlay_symlink(struct inode *dir, const struct name *name, const char *target);
struct inode *overlay_mknod(struct inode *dir, const struct name *name, uint32_t mode, uint64_t rdev);
struct inode *overlay_tmpfile(struct inode *dir, uint32_t mode);
int overlay_link(struct inode *inode, struct inode *dir, const struct name *name);
int overlay_unlink(struct inode *dir, const struct name *name, struct inode *victim);
int overlay_rmdir(struct inode *dir, const struct name *name, struct inode *victim);
int overlay_rename(struct inode *old_dir, const struct name *old_name, struct inode *inode, struct inode *new_dir,
                   const struct name *new_name, struct inode *target, uint32_t flags);

/* --- overlay_dir.c --- */

extern const struct file_ops overlay_dir_file_ops;

/* Call fn for every name that is visible in the directory until it returns an error. */
int overlay_for_each(struct inode *dir, int (*fn)(struct inode *dir, const struct name *name, void *arg), void *arg);

/* 0 if nothing is visible in the directory (whiteouts above are removed then), -ENOTEMPTY, or another error. */
int overlay_check_empty(struct inode *dir);

/* Nothing is to be hidden in this directory any more. */
int overlay_remove_whiteouts(struct inode *dir);

#endif
