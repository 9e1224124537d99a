/* What the calls on descriptors share. */
#ifndef SYS_FILE_UTIL_H
#define SYS_FILE_UTIL_H

#include "fs/vfs.h"

#define MAX_RW_COUNT 0x7ffff000ul /* bytes in one call, as in Linux */

static inline bool file_readable(const struct file *f)
{
    return ((f->flags + 1) & 1) != 0;
}

static inline bool file_writable(const struct file *f)
{
    return ((f->flags + 1) & 2) != 0;
}

/* Positions of these are kept across one call. */
static inline bool file_has_pos(const struct file *f)
{
    return f->inode && (S_ISREG(f->inode->mode) || S_ISDIR(f->inode->mode));
}

/* Read or write at *pos with everything that goes with it: access mode, limits, set-id bits, O_SYNC. */
ssize_t file_read_iter(struct file *f, struct iter *to, uint64_t *pos);
ssize_t file_write_iter(struct file *f, struct iter *from, uint64_t *pos);

/* What preadv2(2) and its like do with RWF_* flags. 0 or -EOPNOTSUPP. */
typedef ssize_t (*transfer_fn)(struct file *f, struct iter *it, uint64_t *pos);
long file_transfer(int flags, bool write, transfer_fn *ret);

/* Take an iovec array of the app's: 0 and an iter, whose *ret_free is to be kfree'd afterwards; EINVAL, EFAULT, ENOMEM. */
#define SEGMENTS_ON_STACK 8
int iter_import(struct iter *it, struct iter_segment *fast, uaddr_t vec, uint64_t count, void **ret_free);

/* At most how many bytes may be written at pos (RLIMIT_FSIZE)? SIGXFSZ and -EFBIG if none. */
ssize_t file_size_limit(const struct file *f, uint64_t pos, size_t n);

#endif
