/*
 * Telling who watches files what happens to them (inotify(7)). The calls that do it say so through these; where nothing is
 * watched, that is one look at a counter. Only what happens inside the sandbox is told.
 */
#ifndef FS_NOTIFY_H
#define FS_NOTIFY_H

#include <linux/inotify.h>

#include "fs/vfs.h"

extern uint32_t notify_watches; /* how many there are */

void notify_send_dentry(struct dentry *d, uint32_t event);
void notify_send_inode(struct inode *inode, uint32_t event);
void notify_send_name(struct inode *dir, const struct name *name, uint32_t event, bool is_dir, uint32_t cookie);
void notify_send_gone(struct inode *inode);
void notify_send_renamed(struct dentry *from, const struct name *old_name, struct dentry *to, const struct name *new_name,
                         struct inode *moved, struct inode *replaced);

/* Something happened to what d names: its directory's watches get the name, its own ones none. */
static inline void notify_dentry(struct dentry *d, uint32_t event)
{
    if (unlikely(notify_watches))
        notify_send_dentry(d, event);
}

/* The same for an open file. */
static inline void notify_file(const struct file *f, uint32_t event)
{
    if (unlikely(notify_watches) && f->dentry)
        notify_send_dentry(f->dentry, event);
}

/* To the inode's own watches only. */
static inline void notify_inode(struct inode *inode, uint32_t event)
{
    if (unlikely(notify_watches))
        notify_send_inode(inode, event);
}

/* IN_CREATE, IN_DELETE: to the directory's. */
static inline void notify_name(struct inode *dir, const struct name *name, uint32_t event, bool is_dir)
{
    if (unlikely(notify_watches))
        notify_send_name(dir, name, event, is_dir, 0);
}

/* The last name of the inode, and the last use of that, are gone: IN_DELETE_SELF. */
static inline void notify_gone(struct inode *inode)
{
    if (unlikely(inode->watches))
        notify_send_gone(inode);
}

/*
 * F_NOTIFY: f's owner gets a signal when something happens in the directory, by default SIGIO. A watch belongs to the table of
 * descriptors that it was made through, and ends when that closes f. 0, -ENOTDIR, -ENOMEM, -ENOSPC.
 */
long notify_directory(struct file *f, int fd, uint64_t arg, const void *table);
void notify_directory_closed(struct file *f, const void *table);

/* A file for inotify_init(2); flags: O_NONBLOCK. err_ptr. */
struct file *inotify_create(uint32_t flags);
bool inotify_is(const struct file *f);
long inotify_add(struct file *f, struct inode *inode, uint32_t mask); /* the watch's number */
long inotify_remove(struct file *f, int wd);

#endif
