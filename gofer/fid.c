/*
 * Fids; see fid.h.
 */
#include "gofer/fid.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct fdref *fdref_new(int fd)
{
    struct fdref *ref = malloc(sizeof(*ref));

    if (!ref) {
        close(fd);
        return NULL;
    }
    ref->fd = fd;
    ref->refs = 1;
    return ref;
}

struct fdref *fdref_get(struct fdref *ref)
{
    if (ref)
        ref->refs++;
    return ref;
}

void fdref_put(struct fdref *ref)
{
    if (!ref || --ref->refs)
        return;
    close(ref->fd);
    free(ref);
}

/* The client chooses the numbers, so a bucket may hold all of them: the table's cap bounds that. */
static size_t bucket_of(uint32_t number)
{
    return (number * 2654435761u) >> 20;
}

_Static_assert(FID_BUCKETS == 1u << 12, "bucket_of() yields 12 bits");

struct fid *fid_find(const struct fid_table *table, uint32_t number)
{
    struct fid *f = table->bucket[bucket_of(number)];

    while (f && f->number != number)
        f = f->next;
    return f;
}

struct fid *fid_new(struct fid_table *table, uint32_t number, int *ret_err)
{
    struct fid **bucket = &table->bucket[bucket_of(number)];
    struct fid *f;

    *ret_err = -EBADF;
    if (number == UINT32_MAX || fid_find(table, number))
        return NULL;
    *ret_err = -EMFILE;
    if (table->count >= table->max)
        return NULL;
    *ret_err = -ENOMEM;
    f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->number = number;
    f->refs = 1;
    f->stdio = -1;
    f->next = *bucket;
    *bucket = f;
    table->count++;
    return f;
}

void fid_remove(struct fid_table *table, struct fid *fid)
{
    struct fid **p = &table->bucket[bucket_of(fid->number)];

    while (*p && *p != fid)
        p = &(*p)->next;
    if (!*p)
        return;
    *p = fid->next;
    table->count--;
    if (fid->xattr)
        table->xattrs--;
    fid_put(fid);
}

int fid_new_xattr(struct fid_table *table, struct fid *fid, size_t size)
{
    struct xattr_buf *x;

    if (table->xattrs >= FID_XATTRS_MAX)
        return -EMFILE;
    x = calloc(1, sizeof(*x));
    if (!x)
        return -ENOMEM;
    x->data = malloc(size + 1);
    if (!x->data) {
        free(x);
        return -ENOMEM;
    }
    x->size = size;
    fid->xattr = x;
    table->xattrs++;
    return 0;
}

struct fid *fid_get(struct fid *fid)
{
    fid->refs++;
    return fid;
}

void fid_forget_file(struct fid *fid)
{
    fdref_put(fid->path);
    fdref_put(fid->open);
    fdref_put(fid->async);
    fdref_put(fid->parent);
    free(fid->name);
    fid->path = NULL;
    fid->open = NULL;
    fid->async = NULL;
    fid->parent = NULL;
    fid->name = NULL;
}

void fid_put(struct fid *fid)
{
    if (--fid->refs)
        return;
    fid_forget_file(fid);
    if (fid->xattr) {
        free(fid->xattr->data);
        free(fid->xattr);
    }
    free(fid);
}
