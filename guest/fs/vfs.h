/*
 * The virtual file system: what every file system implements, and what the path walk and the calls use.
 *
 * An inode is a file; a dentry is a name in a directory (negative if there is no such file), cached; a superblock is a
 * file system; a mount is a place where one appears; a path is a dentry seen through a mount.
 *
 * All callbacks may sleep (a request to the gofer), so whoever calls one holds references. The shim isn't
 * preempted: plain data needs no lock between two points that may sleep. Names in a directory change only with the
 * directory inode's `lock` held, and lookup of an uncached name is made with it held too.
 */
#ifndef FS_VFS_H
#define FS_VFS_H

#include <asm/statfs.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>

#include "arch/bootinfo.h"
#include "fs/file.h"
#include "fs/path.h"
#include "lib/base.h"
#include "lib/list.h"
#include "proc/thread.h"

struct inode;
struct dentry;
struct superblock;
struct mount;
struct path;
struct file_lock;

#define VFS_NAME_MAX 255
#define VFS_PATH_MAX 4096     /* with the NUL */
#define VFS_SYMLINK_MAX 40    /* followed in one walk */
#define VFS_LOOKUP_BATCH 16   /* names in one lookup_path */
#define VFS_NO_OPEN (~0u)     /* open_flags of a lookup that isn't for open */

struct timestamp {
    int64_t sec;
    uint32_t nsec;
};

/* What setattr changes; `valid` says which fields count. */
enum attr_valid {
    ATTR_MODE = 1 << 0,
    ATTR_UID = 1 << 1,
    ATTR_GID = 1 << 2,
    ATTR_SIZE = 1 << 3,
    ATTR_ATIME = 1 << 4,     /* to atime, or to now if ATTR_ATIME_NOW */
    ATTR_MTIME = 1 << 5,
    ATTR_CTIME = 1 << 6,     /* to now */
    ATTR_ATIME_NOW = 1 << 7,
    ATTR_MTIME_NOW = 1 << 8,
};

struct attr {
    uint32_t valid;
    uint32_t mode; /* permission bits; the type stays */
    uint32_t uid, gid;
    uint64_t size;
    struct timestamp atime, mtime;
};

/*
 * What a directory or file can do. A NULL callback means what its line says, or EPERM. The VFS has checked
 * permissions, name lengths, read-only mounts, existence (create…: the name is negative; unlink…: `victim` is what the name
 * stands for) and holds the lock of every directory given. New inodes come back with a reference for the caller. A callback
 * that changes names or attributes leaves the fields of all inodes concerned (nlink, times, size) up to date.
 */
struct inode_ops {
    /* The inode of a name; err_ptr(-ENOENT): there is none, which is cached. NULL callback: ENOTDIR. */
    struct inode *(*lookup)(struct inode *dir, const struct name *name);

    /*
     * Optional, for file systems where a lookup is a request: walk up to VFS_LOOKUP_BATCH names at once, none of them "." or "..".
     * Fills ret[i] for each component that exists, in order, stops at the first that isn't a directory, and returns how many it
     * passed (> 0 even if a later one failed), or the error of the first. If it stopped because the next name doesn't exist
     * *ret_negative is set (count < n then). open_flags (O_*, or VFS_NO_OPEN): if all names are passed, the caller will probably open
     * the last one with these, so the request may open it as well; the inode's next open() takes that or drops it.
     * Mounts with SB_REVALIDATE: this is called on each walk and must bring attributes up to date; a file that is still
     * the same must come back as the same struct inode (inode_find).
     */
    int (*lookup_path)(struct inode *dir, const struct name *names, size_t n, uint32_t open_flags,
                       struct inode **ret, bool *ret_negative);

    /* open_flags: as for lookup_path. mode: permission bits after umask, without the type. Owner: vfs_fsuid, vfs_new_gid(dir). */
    struct inode *(*create)(struct inode *dir, const struct name *name, uint32_t mode, uint32_t open_flags);
    struct inode *(*mkdir)(struct inode *dir, const struct name *name, uint32_t mode);
    struct inode *(*symlink)(struct inode *dir, const struct name *name, const char *target);
    struct inode *(*mknod)(struct inode *dir, const struct name *name, uint32_t mode, uint64_t rdev);
    struct inode *(*tmpfile)(struct inode *dir, uint32_t mode); /* NULL: EOPNOTSUPP */
    int (*link)(struct inode *inode, struct inode *dir, const struct name *name);
    int (*unlink)(struct inode *dir, const struct name *name, struct inode *victim);
    int (*rmdir)(struct inode *dir, const struct name *name, struct inode *victim); /* says ENOTEMPTY */
    /*
     * flags: RENAME_NOREPLACE (target is NULL then) or RENAME_EXCHANGE; EINVAL for what it can't. target: what new_name stands for
     * or NULL. Replaces it, ENOTEMPTY for a directory with entries. Type conflicts have been checked.
     */
    int (*rename)(struct inode *old_dir, const struct name *old_name, struct inode *inode,
                  struct inode *new_dir, const struct name *new_name, struct inode *target, uint32_t flags);

    /* Symbolic links: fill buf (not terminated), return the length. Not called if inode->link is set. */
    ssize_t (*readlink)(struct inode *inode, char *buf, size_t size);
    /* Magic links (/proc/self/fd/N): the place to go on from, with references. Makes following ignore readlink's text. */
    int (*jump)(struct inode *inode, struct path *ret);

    /* Bring the inode's fields up to date. NULL: they always are. mask: STATX_*. */
    int (*getattr)(struct inode *inode, uint32_t mask);
    /* NULL: EPERM. ATTR_SIZE comes for regular files only, alone or with times; new_size is checked against RLIMIT_FSIZE. */
    int (*setattr)(struct inode *inode, const struct attr *attr);

    /*
     * Fill f->ops and f->data; f->inode and f->flags are set, f->dentry and f->mount may be NULL. O_TRUNC is done by the VFS through
     * setattr afterwards, unless SB_OPEN_TRUNCATES. Not called for FIFOs, devices and sockets (fifo_open, chrdev_open,
     * ENXIO) unless SB_OWN_DEVICES. -errno makes the open fail; release isn't called then.
     */
    int (*open)(struct inode *inode, struct file *f);

    /* Extended attributes, whole names ("user.x"). NULL: EOPNOTSUPP. size 0 asks for the length. ERANGE, ENODATA, ENOSPC. */
    ssize_t (*getxattr)(struct inode *inode, const char *name, void *buf, size_t size);
    int (*setxattr)(struct inode *inode, const char *name, const void *value, size_t size, int flags);
    ssize_t (*listxattr)(struct inode *inode, char *buf, size_t size); /* names with their NULs */
    int (*removexattr)(struct inode *inode, const char *name);

    /* The last reference is gone: free data. The inode is unhashed already; the VFS frees the struct. */
    void (*evict)(struct inode *inode);
};

#define INODE_NO_SEALS 0xffffffffu /* not a memfd */

struct inode {
    uint32_t refs;
    uint32_t mode;      /* type and permissions */
    uint32_t uid, gid;
    uint32_t nlink;
    uint32_t blksize;   /* st_blksize */
    uint64_t ino;
    uint64_t rdev;      /* makedev of new-style: vfs_makedev */
    uint64_t size;
    uint64_t blocks;    /* of 512 bytes */
    struct timestamp atime, mtime, ctime, btime;
    struct superblock *sb;
    const struct inode_ops *ops;
    char *link;         /* target of a symbolic link if known, kfree'd with the inode */
    void *data;         /* the file system's */
    void *pipe;         /* FIFOs: pipe.c's; sockets: the listener's; message queues: the queue */
    struct mutex lock;  /* directories: names. Files: size against writes, as the file system likes */
    struct inode *hash_next, **hash_link; /* inode_find; hash_link is NULL while unhashed */
    uint64_t hash_key;
    struct list locks;  /* struct file_lock: POSIX, OFD, flock */
    struct watch *watches; /* inotify (notify.c) */
    uint32_t write_denied; /* running programs: open for writing is ETXTBSY */
    uint32_t writers;   /* files open for writing */
    bool linkable;      /* O_TMPFILE without O_EXCL: may get a name though nlink is 0 */
    uint32_t seals;     /* F_SEAL_*, or INODE_NO_SEALS */
    struct inode *overlay; /* an overlay inode that this one is the lower of; not counted */
};

enum superblock_flags {
    SB_READONLY = 1 << 0,   /* the whole file system, whoever mounts it: EROFS */
    SB_REVALIDATE = 1 << 1, /* names may change behind our back: see lookup_path */
    SB_NO_NEGATIVE = 1 << 2, /* don't cache what isn't there */
    SB_NO_DCACHE = 1 << 3,  /* names and inodes are made on each lookup (procfs) */
    SB_NOEXEC = 1 << 4,
    SB_NODEV = 1 << 5,
    SB_OPEN_TRUNCATES = 1 << 6, /* open() honours O_TRUNC itself */
    SB_OWN_DEVICES = 1 << 7,    /* open() is called for special files too (procfs, devfs) */
};

struct super_ops {
    int (*statfs)(struct superblock *sb, struct statfs *ret); /* NULL: zeroes but for f_type */
    int (*sync)(struct superblock *sb);                       /* NULL: nothing to write */
};

struct superblock {
    const char *type;       /* "tmpfs", "9p", "overlay", "proc": static */
    const char *source;     /* first field of /proc/mounts: static or kstrdup'd, never freed */
    uint64_t dev;           /* st_dev */
    uint32_t magic;         /* f_type */
    uint32_t flags;         /* enum superblock_flags */
    const struct super_ops *ops;
    struct dentry *root;    /* a reference; its inode may be a single file */
    uint64_t changes;       /* of names: see namei.c */
    void *data;
};

struct dentry {
    uint32_t refs;
    uint32_t hash;
    struct dentry *parent;  /* a reference; itself for a root */
    struct inode *inode;    /* a reference; NULL: negative. Never changes while positive */
    struct superblock *sb;
    struct dentry *hash_next, **hash_link; /* hash_link NULL: unhashed, i.e. removed or never found by name */
    struct list lru_node;   /* in the list while refs == 0 */
    struct list children, sibling;
    uint32_t mounts;        /* mounted on: can't be removed */
    bool deleted;           /* unlinked while open: "(deleted)" */
    uint32_t name_len;
    char *name;             /* terminated; short ones lie in inline_name */
    char inline_name[40];
};

enum mount_flags {
    MNT_READONLY = 1 << 0,
    MNT_READONLY_LATE = 1 << 1, /* becomes MNT_READONLY at the end of boot */
};

struct mount {
    uint32_t refs;
    int id;                  /* mountinfo */
    struct superblock *sb;
    struct dentry *root;
    struct mount *parent;    /* NULL: the root */
    struct dentry *mountpoint;
    uint32_t flags;          /* enum mount_flags */
    struct list node;        /* all mounts, in order */
};

/* As statx(2) shows it with STATX_MNT_ID_UNIQUE, and statmount(2) takes it: never used again. */
static inline uint64_t mount_unique_id(const struct mount *m)
{
    return (1ull << 31) + (uint32_t)m->id;
}

struct path {
    struct mount *mount;
    struct dentry *dentry;
};

/* --- inodes (inode.c) --- */

struct superblock *superblock_alloc(const char *type, uint32_t magic); /* with a fresh st_dev; never freed. NULL: no memory */
int superblock_set_root(struct superblock *sb, struct inode *root);    /* takes the reference */

/* A zeroed inode with one reference, times now, nlink 1, blksize 4096. NULL: no memory. */
struct inode *inode_alloc(struct superblock *sb, const struct inode_ops *ops, uint32_t mode, uint64_t ino);
void inode_get(struct inode *inode);
void inode_put(struct inode *inode); /* NULL is fine */
uint64_t inode_new_number(void);     /* for file systems without numbers of their own */

/* Inodes by (superblock, key). inode_find gives a reference or NULL. */
void inode_hash(struct inode *inode, uint64_t key);
struct inode *inode_find(struct superblock *sb, uint64_t key);
void inode_unhash(struct inode *inode);

struct timestamp timestamp_now(void);
void inode_touch(struct inode *inode, uint32_t attr); /* set times of ATTR_ATIME | MTIME | CTIME to now */
void inode_setattr_plain(struct inode *inode, const struct attr *attr); /* copy attr to the fields, but not the size */

static inline uint64_t vfs_makedev(uint32_t major, uint32_t minor)
{
    return ((uint64_t)(major & 0xfffff000u) << 32) | ((uint64_t)(major & 0xfffu) << 8) |
           ((uint64_t)(minor & 0xffffff00u) << 12) | (minor & 0xffu);
}

static inline uint32_t vfs_major(uint64_t dev)
{
    return (uint32_t)((dev >> 32) & 0xfffff000u) | (uint32_t)((dev >> 8) & 0xfffu);
}

static inline uint32_t vfs_minor(uint64_t dev)
{
    return (uint32_t)((dev >> 12) & 0xffffff00u) | (uint32_t)(dev & 0xffu);
}

static inline uint8_t mode_to_dtype(uint32_t mode)
{
    return (uint8_t)((mode & S_IFMT) >> 12);
}

/* --- dentries (dentry.c) --- */

void dentry_get(struct dentry *d);
void dentry_put(struct dentry *d); /* NULL is fine */
struct dentry *dentry_alloc(struct superblock *sb, struct dentry *parent, const struct name *name, struct inode *inode);
struct dentry *dcache_find(struct dentry *parent, const struct name *name); /* with a reference, or NULL */
/* A name and what it stands for; takes the inode's reference (NULL: negative). With a reference, or NULL (no memory). */
struct dentry *dcache_add(struct dentry *parent, const struct name *name, struct inode *inode);
void dentry_unhash(struct dentry *d);
void dentry_instantiate(struct dentry *d, struct inode *inode); /* negative becomes positive; takes the reference */
int dentry_rename(struct dentry *d, struct dentry *new_parent, const struct name *name);
void dentry_exchange(struct dentry *a, struct dentry *b);
void dentry_prune_children(struct dentry *d);                   /* forget unused names in d */
size_t dcache_shrink(struct superblock *sb, size_t count);      /* forget up to count unused names (sb NULL: of all); how many */

/* --- paths --- */

void path_get(const struct path *p);
void path_put(struct path *p); /* clears it */

static inline bool path_equal(const struct path *a, const struct path *b)
{
    return a->mount == b->mount && a->dentry == b->dentry;
}

/*
 * The text of a path as seen from root (NULL: current's), at the end of buf; *ret points into buf. unreachable paths start with
 * "(unreachable)", deleted ones end with " (deleted)". Length, or -ENAMETOOLONG.
 */
ssize_t path_text(const struct path *p, const struct path *root, char *buf, size_t size, char **ret);

/* --- walking (namei.c) --- */

enum lookup_flags {
    LOOKUP_FOLLOW = 1 << 0,      /* follow a symbolic link at the end */
    LOOKUP_DIRECTORY = 1 << 1,   /* ENOTDIR if it is none */
    LOOKUP_EMPTY = 1 << 2,       /* "" is dirfd itself */
    LOOKUP_PARENT = 1 << 3,      /* stop before the last component */
    LOOKUP_NO_SYMLINKS = 1 << 4, /* openat2's RESOLVE_* */
    LOOKUP_NO_MAGICLINKS = 1 << 5,
    LOOKUP_NO_XDEV = 1 << 6,
    LOOKUP_BENEATH = 1 << 7,
    LOOKUP_IN_ROOT = 1 << 8,
};

/* The inode at path, relative to dirfd (AT_FDCWD or a descriptor). 0 and *ret with references, or -errno. */
int path_lookup(int dirfd, const char *path, uint32_t flags, struct path *ret);
/* Same from the app's memory. */
int user_path_lookup(int dirfd, uaddr_t path, uint32_t flags, struct path *ret);
/* A copy of a path string of the app's, to be kfree'd; or err_ptr. allow_empty: "" isn't ENOENT. */
char *user_path_copy(uaddr_t path, bool allow_empty);

/* Open as openat(2) with O_* flags, for the shim itself and for the call. File or err_ptr. */
struct file *vfs_open(int dirfd, const char *path, uint32_t flags, uint32_t mode, uint32_t lookup_flags);
/* A file on an inode (dentry and mount may be NULL), without permission checks. */
struct file *vfs_open_inode(struct inode *inode, struct dentry *dentry, struct mount *mount, uint32_t flags);

/* In struct file's flags, beside O_*: opened by exec (nobody may write meanwhile); not counted among the writers. */
#define FILE_EXEC 0x20u
#define FILE_UNCOUNTED 0x10u
#define FILE_WATCHED 0x8u /* opened by its name: its end is an event for inotify */
#define FILE_FLAGS_INTERNAL (FILE_EXEC | FILE_UNCOUNTED | FILE_WATCHED)
void file_uncount_writer(const struct file *f); /* for file_put only */
void vfs_written(struct file *f);               /* after a successful write: drops set-id bits */

/* The inode as fstat sees it: for overlay files f->inode is what serves the data (upper or lower), this one the overlay's. */
struct inode *file_vfs_inode(const struct file *f);

/* The calls that change names; paths are the shim's. names.c */
int vfs_mkdir(int dirfd, const char *path, uint32_t mode); /* umask applies */
int vfs_rmdir(int dirfd, const char *path);
int vfs_unlink(int dirfd, const char *path);
int vfs_unlink_child(const struct path *dir, const struct name *name);
int vfs_symlink(const char *target, int dirfd, const char *path);
int vfs_link(int old_dirfd, const char *old_path, int new_dirfd, const char *new_path, int at_flags);
int vfs_rename(int old_dirfd, const char *old_path, int new_dirfd, const char *new_path, uint32_t flags);

/* Make a file for the name at path (mode with its type, e.g. S_IFSOCK for bind(2)). *ret: its path; may be NULL. */
int vfs_mknod(int dirfd, const char *path, uint32_t mode, uint64_t rdev, struct path *ret);

/* --- permissions (perm.c) --- */

#define MAY_EXEC 1u
#define MAY_WRITE 2u
#define MAY_READ 4u

int vfs_permission(struct inode *inode, uint32_t mask);  /* by fsuid, fsgid and capabilities; EACCES */
uint32_t vfs_fsuid(void); /* current's; 0 at boot */
uint32_t vfs_fsgid(void);
uint32_t vfs_new_gid(const struct inode *dir); /* owner group of a new file in dir (setgid directories) */
bool vfs_owner(const struct inode *inode);     /* may change attributes */
int vfs_want_write(const struct path *p);      /* 0 or EROFS */

/* --- mounts (mount.c) --- */

extern struct path vfs_root; /* of the sandbox */

void vfs_init(void); /* builds the root from boot_info; ends the sandbox on failure */
int vfs_mount(struct superblock *sb, const struct path *at, uint32_t flags); /* over whatever is there */
struct mount *mount_first(void);                       /* in the order of /proc/mounts */
struct mount *mount_next(struct mount *m);             /* NULL: that was the last */

/* Attach all exports of boot_info at once, ahead of gofer_mount. Called once. */
void gofer_prepare(void);

/* The superblocks that others make; err_ptr on failure. Called by vfs_init. */
struct superblock *gofer_mount(uint32_t export, bool readonly, enum boot_cache cache);
struct superblock *procfs_mount(void);
struct superblock *devfs_mount(void);
struct superblock *tmpfs_mount(uint32_t root_mode, uint64_t size_limit); /* bytes; 0: half of memory */
/* kept: upper is a directory of the host, and what it says must be all that there is to know. */
struct superblock *overlay_mount(struct superblock *lower, struct superblock *upper, bool kept);

/* Special files, by the pipe and device code; fill f->ops and f->data. 0 or -errno. */
long fifo_open(struct inode *inode, struct file *f);
long chrdev_open(struct inode *inode, struct file *f); /* by inode->rdev; ENXIO */

/* --- working directory, root, umask (fs_context.c) --- */

struct fs_context {
    uint32_t refs;
    uint32_t umask;
    struct path root, cwd;
};

/* --- directories and helpers for file systems (libfs.c) --- */

typedef bool (*emit_fn)(void *ctx, const char *name, size_t len, uint64_t ino, uint64_t next_pos, uint8_t type);

/* Emit "." (next_pos 1) and ".." (next_pos 2) while f->pos < 2. False: the buffer is full. Entries then start at 2. */
bool dir_emit_dots(struct file *f, emit_fn emit, void *ctx);

loff_t seek_generic(struct file *f, loff_t offset, int whence);  /* regular files by inode->size; HOLE and DATA: no holes */
loff_t seek_dir(struct file *f, loff_t offset, int whence);      /* SET and CUR, any cookie */
loff_t seek_check(loff_t pos, loff_t max);
int fsync_nothing(struct file *f, bool data_only);

/*
 * Mappings of the inode beyond new_size, or in [start, end), must lose their pages: mm implements these, weak ones
 * do nothing. Called after the file system has let go of the frames' content but before their last reference.
 */
void mapping_truncated(struct inode *inode, uint64_t new_size);
void mapping_punched(struct inode *inode, uint64_t start, uint64_t end);

/* A symbol link's text in a buffer of size; length, not terminated. */
ssize_t vfs_readlink(struct inode *inode, char *buf, size_t size);
int vfs_getattr(struct inode *inode, uint32_t mask);
int vfs_setattr(const struct path *p, struct attr *attr);  /* checks permission; clears set-id bits as Linux does */
int vfs_truncate(struct file *f, uint64_t size);           /* O_TRUNC, ftruncate: no permission checks */
int vfs_truncate_inode(struct inode *inode, uint64_t size);
void vfs_drop_setid(struct inode *inode);                  /* its content has been changed */

#endif
