/*
 * Open files, as the rest of the shim sees them: reference counts, reading and writing, mapping, polling.
 */
#ifndef FS_FILE_H
#define FS_FILE_H

#include "lib/base.h"
#include "proc/thread.h"

struct inode;
struct file;
struct vma;
struct seq;
struct async;

/*
 * A run of memory that a read fills or a write drains: the app's (iovecs) or the shim's own. Copying may stop
 * short at a bad address.
 */
struct iter_segment {
    uint64_t base; /* uaddr_t, or a pointer if kernel */
    uint64_t len;
};

struct iter {
    struct iter_segment *segments;
    size_t segment_count;
    size_t segment;  /* where it stands */
    uint64_t offset; /* in that segment */
    uint64_t left;   /* bytes left in all */
    bool kernel;
};

void iter_kernel(struct iter *it, struct iter_segment *seg, void *buf, size_t n);
void iter_user(struct iter *it, struct iter_segment *seg, uaddr_t buf, size_t n);
size_t iter_copy_to(struct iter *it, const void *src, size_t n);  /* fill the iter (a read); bytes done, short on EFAULT */
size_t iter_copy_from(struct iter *it, void *dst, size_t n);      /* drain the iter (a write) */
size_t iter_zero(struct iter *it, size_t n);
void iter_advance(struct iter *it, size_t n);

/* Poll events are Linux's EPOLL* bits (= POLL*). */
struct poll_table {
    /* Adds the caller to a queue that is woken when readiness changes. NULL table: only ask. */
    void (*add)(struct poll_table *table, struct wait_queue *q);
    uint32_t events; /* what the caller waits for, for files where watching costs something */
};

/* What makes a file with O_ASYNC send its owner a signal. */
enum async_source {
    ASYNC_NEVER,
    ASYNC_BY_QUEUES,  /* events in the queues that its poll waits in */
    ASYNC_BY_ROOM,    /* the same, but room counts only where a write has found none (async_no_room) */
    ASYNC_BY_ITSELF,  /* it calls async_signal */
};

struct file_ops {
    /* At *pos (streams ignore it); advances it. May sleep. Bytes, 0 at the end, or -errno. */
    ssize_t (*read)(struct file *f, struct iter *to, uint64_t *pos);
    ssize_t (*write)(struct file *f, struct iter *from, uint64_t *pos);
    loff_t (*seek)(struct file *f, loff_t offset, int whence); /* NULL: ESPIPE */
    uint32_t (*poll)(struct file *f, struct poll_table *table); /* NULL: always readable and writable */
    long (*ioctl)(struct file *f, uint32_t cmd, uint64_t arg);  /* NULL: ENOTTY */
    int (*readdir)(struct file *f, bool (*emit)(void *ctx, const char *name, size_t len, uint64_t ino, uint64_t next_pos, uint8_t type), void *ctx);
    int (*fsync)(struct file *f, bool data_only);
    int (*fallocate)(struct file *f, int mode, uint64_t offset, uint64_t len);
    int (*flush)(struct file *f);   /* each close(2) of a descriptor */
    void (*release)(struct file *f); /* last reference gone */
    void (*fdinfo)(const struct file *f, struct seq *s); /* lines of /proc/PID/fdinfo/N beyond what all have */
    /*
     * Check that the file may be mapped with these; NULL: ENODEV. Afterwards faults come through page().
     */
    int (*mmap)(struct file *f, int prot, int flags);
    /*
     * The memory of the page at byte offset (page-aligned) of the file, to be mapped shared, or copied for private
     * mappings. RAM frames come with a reference for the caller; window pages aren't counted (they stay while the file is
     * open). write: it will be written through a shared mapping. May sleep. -errno: EFAULT-like failures give SIGBUS;
     * -ERANGE: beyond the end of the file.
     * *ret_run (bytes, multiple of a page): how far the file goes on contiguously at gpa + i, so that whole VMAs are mapped at once.
     * Frames don't lie in a row: a run of them tells how far pages can be had at once, without sleeping or using memory.
     */
    int (*page)(struct file *f, uint64_t offset, bool write, gpa_t *ret_gpa, uint64_t *ret_run);
    /*
     * Fill count frames (at most LOAD_MAX) with the pages from offset. Must not sleep if page() has given them as window pages.
     * -EOPNOTSUPP: the file might change while it is mapped. NULL: the same.
     */
    long (*load)(struct file *f, uint64_t offset, const gpa_t *frames, size_t count);
    /* A private mapping shows these bytes: have page() give frames for them if that is better. May sleep. NULL: it never is. */
    void (*keep)(struct file *f, uint64_t offset, uint64_t len);
    bool seek_nowhere; /* without seek: lseek says 0 and does nothing, where others fail */
    uint8_t async; /* enum async_source */
    int (*async_owner)(const struct file *f); /* by default, as F_SETOWN takes it. NULL: nobody */
    /* A VMA of the file came (by mmap, fork, a split) or went. Must not sleep. NULL: nothing to do. */
    void (*mapped)(struct file *f);
    void (*unmapped)(struct file *f);
};

struct file {
    uint32_t refs;
    uint32_t flags;         /* O_*: access mode and status flags */
    uint64_t pos;
    const struct file_ops *ops;
    struct inode *inode;    /* NULL: anonymous (eventfd …) */
    struct dentry *dentry;  /* with mount: the path it was opened by; references */
    struct mount *mount;
    void *data;             /* the implementation's */
    struct mutex pos_lock;  /* of regular files and directories: pos, across one call */
    uint32_t poll_state;
    void *watchers;         /* epoll.c's items for it */
    struct async *async;    /* O_ASYNC's, F_SETOWN's and F_SETSIG's (async.c); NULL: none was used */
};

struct file *file_alloc(const struct file_ops *ops, uint32_t flags); /* NULL: no memory; one reference */
void file_get(struct file *f);
void file_put(struct file *f);

/* For exec and mm: read into the shim's memory at an offset; short only at the end of the file. */
ssize_t file_pread(struct file *f, void *buf, size_t n, uint64_t offset);

uint64_t file_size(const struct file *f);
uint32_t file_mode(const struct file *f); /* st_mode; 0 for anonymous */
uint64_t file_dev(const struct file *f);
uint64_t file_ino(const struct file *f);

/* The path as seen from the root ("… (deleted)" if unlinked), for /proc. Returns its length, or -errno. */
ssize_t file_path(const struct file *f, char *buf, size_t size);

/* Open a path for exec (follows symlinks, checks that it is a regular executable file) relative to dirfd. File or err_ptr. */
struct file *file_open_exec(int dirfd, const char *path, int at_flags);

/* A nameless tmpfs file: shared anonymous memory, memfd. Size may be grown by writes up to max. File or err_ptr. */
struct file *tmpfs_file_create(const char *name, uint64_t size);

/* Descriptor tables. fd_get gives a reference: release it by file_put. */
struct fd_table *fd_table_create(void);
struct fd_table *fd_table_copy(struct fd_table *t); /* fork */
void fd_table_get(struct fd_table *t);
void fd_table_put(struct fd_table *t);
void fd_table_close_on_exec(struct fd_table *t);
struct file *fd_get(int fd);                                 /* of current; NULL: EBADF. O_PATH files too: see fd_get_io */
struct file *fd_get_io(int fd);                              /* not O_PATH files */
int fd_install(struct file *f, int lowest, bool cloexec);    /* takes the reference on success; -EMFILE */
int fd_install_at(struct fd_table *t, int fd, struct file *f, bool cloexec);
int fd_close(int fd);

/* Working directory, root, umask. */
struct fs_context *fs_context_create(void); /* at the root */
struct fs_context *fs_context_copy(struct fs_context *c);
void fs_context_get(struct fs_context *c);
void fs_context_put(struct fs_context *c);
long fs_chdir(const char *path);            /* of current */

#endif
