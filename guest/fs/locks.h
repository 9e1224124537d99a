/*
 * Advisory locks of the sandbox's processes on files: POSIX (fcntl), OFD, and flock. Kept in inode->locks; the host's
 * own locks are not involved.
 */
#ifndef FS_LOCKS_H
#define FS_LOCKS_H

#include "fs/vfs.h"

struct fd_table;

/* fcntl's F_GETLK, F_SETLK, F_SETLKW and their OFD forms on a struct flock in the app's memory. */
long locks_fcntl(struct file *f, uint32_t cmd, uaddr_t arg);

/* flock(2) with LOCK_*. */
long locks_flock(struct file *f, int operation);

/* A process closes a descriptor of the file: all its POSIX locks on it go. */
void locks_close_posix(const struct file *f, const struct fd_table *owner);

/* The last reference to the open file goes. */
void locks_release_file(const struct file *f);

#endif
