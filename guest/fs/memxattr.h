/* Extended attributes kept in memory, for file systems that have no other place for them. */
#ifndef FS_MEMXATTR_H
#define FS_MEMXATTR_H

#include "lib/base.h"

struct memxattr_entry {
    struct memxattr_entry *next;
    void *value;
    size_t size;
    char name[];
};

struct memxattr {
    struct memxattr_entry *first;
    size_t total;
};

/* As the inode operations of the same names (fs/vfs.h). */
ssize_t memxattr_get(const struct memxattr *x, const char *name, void *buf, size_t size);
int memxattr_set(struct memxattr *x, const char *name, const void *value, size_t size, int flags);
ssize_t memxattr_list(const struct memxattr *x, char *buf, size_t size);
int memxattr_remove(struct memxattr *x, const char *name);
void memxattr_destroy(struct memxattr *x);

#endif
