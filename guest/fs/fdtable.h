/* Descriptor tables, as the calls that change them see them. fs/file.h has what everyone needs. */
#ifndef FS_FDTABLE_H
#define FS_FDTABLE_H

#include "fs/fdset.h"
#include "fs/file.h"

struct fd_table {
    uint32_t refs;
    struct fdset numbers;
    struct file **files;  /* NULL for a free number, and for a reserved one */
    uint64_t *cloexec;
};

#define FD_TABLE_MAX (1u << 20)

/*
 * Take a number before the file exists, so that a full table is found out first; then fill it or give it back.
 * -EMFILE, -ENOMEM.
 */
int fd_reserve(int lowest, bool cloexec);
void fd_fill(int fd, struct file *f); /* takes the reference */
void fd_unreserve(int fd);

/* Reserve, and fill with f (which may be an error, passed on). Takes the reference. */
int fd_install_or_put(struct file *f, bool cloexec);

bool fd_cloexec(int fd);
bool fd_table_cloexec(const struct fd_table *t, int fd);
void fd_set_cloexec(int fd, bool on);

/* The file of a descriptor of any table, with a reference; for /proc/PID/fd. */
struct file *fd_table_file(struct fd_table *t, int fd);
/* The lowest descriptor >= from that is open; -1: none. */
int fd_table_next(const struct fd_table *t, int from);

/* dup2, dup3: EBADF, EBUSY. */
int fd_dup_to(struct file *f, int fd, bool cloexec);

/* close_range(2) in current's table. */
void fd_close_range(uint32_t first, uint32_t last, bool only_mark);

#endif
