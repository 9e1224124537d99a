/*
 * Fids: the client's numbers for files, and the descriptors behind them.
 *
 * A fid number is whatever the client chose. The table bounds how many there are; each holds at most three
 * descriptors, shared where fids were cloned. Used by the engine's thread only; a worker borrows the descriptor
 * of a fid whose reference its job holds.
 */
#ifndef GOFER_FID_H
#define GOFER_FID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct export;

/* A descriptor that several fids may hold. */
struct fdref {
    int fd;
    unsigned refs;
};

/* Takes fd, closes it on failure. NULL: out of memory. */
struct fdref *fdref_new(int fd);
struct fdref *fdref_get(struct fdref *ref);
void fdref_put(struct fdref *ref); /* NULL is fine */

enum fid_kind {
    FID_FILE,    /* a file of an export */
    FID_STDIO,   /* an inherited descriptor */
    FID_XATTR_R, /* an attribute's value, read by Txattrwalk */
    FID_XATTR_W, /* one being written: set when the fid is clunked (Txattrcreate) */
};

struct xattr_buf {
    uint8_t *data;
    size_t size; /* as announced, or as read */
    size_t used; /* filled so far, FID_XATTR_W */
    uint32_t flags;
    char name[256];
};

struct fid {
    uint32_t number;
    unsigned refs;            /* the table's one, and one for each job */
    enum fid_kind kind;
    const struct export *x;   /* NULL for stdio */
    struct fdref *path;       /* O_PATH, or the same as open */
    struct fdref *open;       /* NULL until opened */
    struct fdref *async;      /* FID_STDIO: see op_stdio.c */
    bool async_tried;
    struct fdref *parent;     /* standard dialect only: where name is, for Tremove and Trename */
    char *name;
    uint32_t open_flags;
    mode_t mode;              /* file type and permissions when walked */
    bool is_root;             /* the root of its export */
    bool no_nowait;           /* the file system doesn't know RWF_NOWAIT */
    uint64_t dir_offset;      /* where the open directory's descriptor stands */
    uint32_t token[2];        /* donated: [0] read-only, [1] writable; 0: not */
    int stdio;                /* FID_STDIO: which */
    struct xattr_buf *xattr;
    struct fid *next;         /* in the bucket */
};

#define FID_BUCKETS 4096
#define FID_XATTRS_MAX 128 /* values held at once, 64 KiB each at most */

struct fid_table {
    struct fid *bucket[FID_BUCKETS];
    size_t count;
    size_t max;
    size_t xattrs;
};

/* A new fid with this number and one reference, in the table. NULL with *ret_err -EBADF (in use) or -EMFILE, -ENOMEM. */
struct fid *fid_new(struct fid_table *table, uint32_t number, int *ret_err);

/* Borrowed; NULL if there is none. */
struct fid *fid_find(const struct fid_table *table, uint32_t number);

/* Take it out of the table and drop the table's reference. */
void fid_remove(struct fid_table *table, struct fid *fid);

struct fid *fid_get(struct fid *fid);
void fid_put(struct fid *fid);

/* Room for a value of `size` bytes. 0 or -errno; the fid had none. */
int fid_new_xattr(struct fid_table *table, struct fid *fid, size_t size);

/* Give a fid another file's path, for a walk that ends on the number it began with. */
void fid_forget_file(struct fid *fid);

/* The descriptor that stands for the file: the open one, or else O_PATH. */
static inline int fid_fd(const struct fid *fid)
{
    return fid->open ? fid->open->fd : fid->path->fd;
}

#endif
