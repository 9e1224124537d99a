/* Extended attributes in memory: a list, since files have few. */
#include <linux/xattr.h>

#include "fs/memxattr.h"
#include "lib/kmalloc.h"
#include "lib/string.h"

#define MEMXATTR_TOTAL_MAX 0x20000 /* bytes of names and values for a file */

static struct memxattr_entry **find(struct memxattr *x, const char *name)
{
    struct memxattr_entry **e = &x->first;

    while (*e && strcmp((*e)->name, name) != 0)
        e = &(*e)->next;
    return e;
}

ssize_t memxattr_get(const struct memxattr *x, const char *name, void *buf, size_t size)
{
    for (const struct memxattr_entry *e = x->first; e; e = e->next) {
        if (strcmp(e->name, name) != 0)
            continue;
        if (size == 0)
            return (ssize_t)e->size;
        if (size < e->size)
            return -ERANGE;
        memcpy(buf, e->value, e->size);
        return (ssize_t)e->size;
    }
    return -ENODATA;
}

static void unlink_entry(struct memxattr *x, struct memxattr_entry **e)
{
    struct memxattr_entry *gone = *e;

    *e = gone->next;
    x->total -= gone->size + strlen(gone->name);
    kfree(gone->value);
    kfree(gone);
}

int memxattr_set(struct memxattr *x, const char *name, const void *value, size_t size, int flags)
{
    struct memxattr_entry **old = find(x, name);
    size_t len = strlen(name);
    struct memxattr_entry *e;

    if (*old && (flags & XATTR_CREATE))
        return -EEXIST;
    if (!*old && (flags & XATTR_REPLACE))
        return -ENODATA;
    if (x->total + size + len > MEMXATTR_TOTAL_MAX)
        return -ENOSPC;
    e = kmalloc(sizeof(*e) + len + 1);
    if (!e)
        return -ENOMEM;
    e->value = kmalloc(MAX(size, (size_t)1));
    if (!e->value) {
        kfree(e);
        return -ENOMEM;
    }
    memcpy(e->name, name, len + 1);
    memcpy(e->value, value, size);
    e->size = size;
    if (*old)
        unlink_entry(x, old);
    e->next = x->first;
    x->first = e;
    x->total += size + len;
    return 0;
}

ssize_t memxattr_list(const struct memxattr *x, char *buf, size_t size)
{
    size_t total = 0;

    for (const struct memxattr_entry *e = x->first; e; e = e->next) {
        size_t len = strlen(e->name) + 1;

        if (size > 0) {
            if (total + len > size)
                return -ERANGE;
            memcpy(buf + total, e->name, len);
        }
        total += len;
    }
    return (ssize_t)total;
}

int memxattr_remove(struct memxattr *x, const char *name)
{
    struct memxattr_entry **e = find(x, name);

    if (!*e)
        return -ENODATA;
    unlink_entry(x, e);
    return 0;
}

void memxattr_destroy(struct memxattr *x)
{
    while (x->first)
        unlink_entry(x, &x->first);
}
