/*
 * Files without a name in any directory: pipes, inherited descriptors, eventfds and their kin. They get an inode and a
 * path of a file system that is mounted nowhere, so that fstat and /proc/PID/fd work as with all others.
 */
#ifndef FS_ANON_H
#define FS_ANON_H

#include "fs/vfs.h"

/* The file system of all nameless files; NULL: no memory. */
struct superblock *anon_superblock(void);

/* Give f this inode (taking the reference) and a path whose text is name ("pipe:[7]"). 0 or -ENOMEM, then inode is put. */
int anon_attach(struct file *f, struct inode *inode, const char *name);

/* A file on the inode that all such share, as Linux's anon_inode_getfile; name "anon_inode:[eventfd]". File or err_ptr. */
struct file *anon_file(const struct file_ops *ops, uint32_t flags, void *data, const char *name);

/* Install a file from anon_file (or its error) at the lowest free descriptor. On failure it is put. */
long anon_install(struct file *f, bool cloexec);

/* Is this path such a file's? Its text is the dentry's name then, without a slash. */
bool anon_path(const struct path *p);

#endif
