/*
 * Between the parts of the path code: the walk itself (namei.c), opening (open.c), and changing names (names.c).
 */
#ifndef FS_NAMEI_H
#define FS_NAMEI_H

#include "fs/vfs.h"

enum last_type {
    LAST_NORMAL,
    LAST_DOT,
    LAST_DOTDOT,
    LAST_ROOT, /* nothing but slashes */
};

struct walk {
    struct path path;      /* where it stands; references */
    struct path root;
    struct path start;     /* RESOLVE_BENEATH: not above it; references if set */
    uint32_t flags;        /* enum lookup_flags */
    uint32_t open_flags;   /* what the caller will do with the last component: see lookup_path */
    const char *text;      /* what is left of the path is text + pos */
    char *own_text;        /* text, once a symbolic link has been put into it; kmalloc'd */
    size_t pos;
    int links;             /* followed so far */
    size_t fresh;          /* SB_REVALIDATE: names ahead that the last batch brought up to date */
    struct name last;      /* LOOKUP_PARENT: the last component, in text */
    enum last_type last_type;
    bool trailing_slash;
};

/* Start at dirfd. path must stay until walk_end, which releases what a walk holds. On failure nothing is held. */
int walk_begin(struct walk *w, int dirfd, const char *path, uint32_t flags);
void walk_end(struct walk *w);

/* Go on to the end, or with LOOKUP_PARENT up to the directory of the last component. */
int walk_run(struct walk *w);

/*
 * The dentry of w->last in w->path, with a reference, possibly negative; or err_ptr. locked: the directory's lock is
 * held already.
 */
struct dentry *walk_last(struct walk *w, bool locked);

/* Step from w->path onto d, through mounts; takes the reference. */
int walk_step(struct walk *w, struct dentry *d);

/* d is a symbolic link at the end of a LOOKUP_PARENT walk: go on with its text; takes the reference. Run again afterwards. */
int walk_follow(struct walk *w, struct dentry *d);

int may_create(const struct dentry *dir);
int may_delete(const struct dentry *dir, const struct dentry *victim, bool want_dir);
bool vfs_capable(int capability);
bool vfs_group_allowed(uint32_t gid);

/* Finish a file of an inode that was just found or made (open.c). */
uint32_t vfs_umask(void);

#endif
