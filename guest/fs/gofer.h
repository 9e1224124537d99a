/*
 * The gofer's file system: what its parts share. gofer.c sessions, fids, attributes; gofer_walk.c finding and opening;
 * gofer_names.c changes of names; gofer_attr.c attributes and xattrs; gofer_file.c data; gofer_dir.c directories;
 * gofer_map.c mappings. Nobody else includes this.
 *
 * A fid stands for a file in the gofer. An inode needs none to be known: it is found again from the nearest ancestor
 * that has one, by the names in between. Fids and open handles are kept while there is room (an LRU of inodes), because
 * each saves a request; what is dropped comes back when it is needed.
 */
#ifndef FS_GOFER_H
#define FS_GOFER_H

#include "drivers/ring.h"
#include "fs/tmpfs.h"
#include "fs/vfs.h"
#include "fs/window.h"

#define GOFER_CACHED_MAX 2048 /* inodes with fids or handles of their own */

struct gofer_sb {
    uint32_t root_fid;
    enum boot_cache cache;
    uint64_t changes;     /* of names, done */
    uint64_t evictions;   /* of inodes whose attributes a listing that is on its way may have as they were before */
    uint64_t epoch;       /* attributes in listings of another one don't count */
    bool attr_wanted;     /* stats follow listings: ask for attributes with them */
    uint32_t attr_given, attr_used; /* files whose attributes came so, and of those looked at, lately */
    uint32_t ahead;       /* directories that the last request for a walk in order brought */
    uint64_t statfs_ns;   /* when the gofer told it; 0: it may have changed since */
    struct statfs statfs;
    uint64_t credit; /* write-behind: bytes that certainly fit into the file system */
    uint32_t no_credit; /* writes until that is looked at again */
    bool exclusive; /* nobody else changes these files: attributes, names and data are ours to cache */
};

/* An open fid, shared by all files of an inode that were opened the same way. */
struct gofer_handle {
    uint32_t refs;
    uint32_t fid;
    uint32_t flags;      /* as sent to the gofer */
    bool donated[2];     /* [writable] */
    uint32_t token[2];
};

/* A part of the window in which the file is mapped from its start. */
struct gofer_map {
    struct list all_node;
    struct gofer_inode *owner;
    struct gofer_map *next;      /* those that were replaced, but may still be in page tables */
    struct gofer_handle *handle; /* keeps the donated descriptor alive */
    gpa_t gpa;
    uint64_t reserved;           /* bytes of window */
    uint64_t mapped;             /* bytes of it that have the file behind them */
    bool writable;
    bool doubtful;               /* some page of some file couldn't be had: see about each before it is mapped */
};

struct gofer_inode {
    struct inode *inode;
    struct inode *parent;            /* where it was last seen: a reference; NULL: nowhere, or the root */
    char *name;
    uint32_t fid;                    /* P9_NOFID: none */
    struct gofer_handle *handle[3];  /* by access mode; a reference each */
    uint32_t open_count;
    bool stale;                      /* attributes must be asked for again */
    bool modified;                   /* they aren't those that listings had */
    bool unlistable;                 /* directories: too large to be kept, or refused */
    uint32_t misses;                 /* names in it that were asked for one by one */
    uint32_t outdated;               /* listings of it that a new name made useless */
    struct gofer_listing *listing;   /* directories: all of it, or NULL */
    bool no_acl;                     /* it has no access ACL */
    bool no_map;                     /* can't be donated: read through pages instead */
    bool lost;                       /* the host cut the file under a mapping: ask for its size */
    bool hot;                        /* all of it is in pages: gofer_hot.c */
    uint32_t kept;                   /* pages that gofer_hot.c has put there */
    uint32_t code_uses;              /* mappings of its code */
    bool want_writable;              /* a shared writable mapping exists: map only once */
    uint64_t fresh_ns;               /* when the attributes came from the gofer */
    uint32_t behind;                 /* writes on their way that nobody waits for */
    int behind_error;                /* of one of them, to be told */
    struct wait_queue behind_wait;   /* until there are none */
    struct gofer_ahead *ahead;       /* pieces fetched for a reader */
    uint32_t sequential;             /* reads in order so far */
    uint64_t next_read;              /* where the next one would be in order */
    uint32_t hot_reads;              /* answered by requests so far */
    struct gofer_map *map[2];        /* [writable] */
    struct gofer_map *old_maps;
    struct page_map pages;           /* frames that were read: of a no_map file, or kept */
    struct list lru;
};

extern const struct inode_ops gofer_dir_inode_ops, gofer_file_inode_ops, gofer_symlink_inode_ops, gofer_other_inode_ops;
extern const struct file_ops gofer_dir_ops, gofer_file_ops;

static inline struct gofer_inode *gofer_i(const struct inode *inode)
{
    return inode->data;
}

static inline struct gofer_sb *gofer_sb(const struct superblock *sb)
{
    return sb->data;
}

/* What we know of the attributes isn't what the gofer would tell. */
static inline void gofer_set_stale(struct gofer_inode *gi)
{
    gi->stale = true;
    gi->modified = true;
    gofer_sb(gi->inode->sb)->statfs_ns = 0;
}

/* The gofer has no descriptor left. It isn't the app's own limit that was reached, so the app is told ENFILE. */
static inline bool gofer_is_full(long err)
{
    return err == -EMFILE || err == -ENFILE;
}

/* --- gofer.c --- */

uint32_t gofer_fid_new(void);
void gofer_fid_forget(uint32_t fid); /* it never was bound: the number may be used again */
void gofer_clunk(uint32_t fid);      /* asynchronously; doesn't sleep */

/* Attach prefix + number (P9_ATTACH_EXPORT, P9_ATTACH_STDIO) and ask for its attributes, several of them at once. */
struct gofer_attach {
    uint32_t fid;
    struct ring_request *attach, *stat;
};
void gofer_attach_begin(struct gofer_attach *a, const char *prefix, uint32_t number);
long gofer_attach_end(struct gofer_attach *a, struct p9_attr *ret); /* on failure the fid is gone */

long gofer_stat_fid(uint32_t fid, struct p9_attr *ret);

struct gofer_handle *gofer_handle_new(uint32_t fid, uint32_t flags); /* takes the fid. NULL: no memory, clunked */
void gofer_handle_put(struct gofer_handle *h);

/*
 * The inode of these attributes, known before or new, with a reference; NULL: no memory. Remembers where it was seen
 * unless parent is NULL.
 */
struct inode *gofer_inode_get(struct superblock *sb, const struct p9_attr *attr, struct inode *parent,
                              const struct name *name);
void gofer_attr_update(struct inode *inode, const struct p9_attr *attr);
void gofer_set_place(struct inode *inode, struct inode *parent, const struct name *name);
void gofer_forget_place(struct inode *inode, const struct inode *parent, const struct name *name);
void gofer_evict(struct inode *inode);
void gofer_touch(struct inode *inode); /* it has something cached: most recently used now; may drop others' */
void gofer_drop_all_cached(void);
void gofer_drop_cached(struct inode *inode); /* give up fid, idle handles and maps as far as they can be had again */

/* --- gofer_walk.c --- */

/*
 * A request whose first field is a fid of the inode, which is made if there is none. Error: no request. As the fid may be
 * dropped for room whenever the caller sleeps, the request is to be sent before it does.
 */
long gofer_request(uint8_t type, struct inode *inode, struct ring_request **ret_rq);
/* The same, with a fid of another inode for a later field. */
long gofer_request2(uint8_t type, struct inode *inode, struct inode *other, struct ring_request **ret_rq,
                    uint32_t *ret_other);
/* A fid of the file that exists already, or P9_NOFID. */
uint32_t gofer_any_fid(const struct gofer_inode *gi);
/* A fid that is kept with the inode. */
long gofer_ensure_fid(struct inode *inode);
/* An own copy of the inode's fid, not opened; to be clunked. */
long gofer_clone_fid(struct inode *inode, uint32_t *ret);
int gofer_open(struct inode *inode, struct file *f);
/* Open it in the gofer, with flags as the host takes them. */
long gofer_open_handle(struct inode *inode, uint32_t flags, struct gofer_handle **ret);
void gofer_keep_handle(struct inode *inode, struct gofer_handle *h);
int gofer_lookup_path(struct inode *dir, const struct name *names, size_t n, uint32_t open_flags, struct inode **ret,
                      bool *ret_negative);
struct inode *gofer_lookup(struct inode *dir, const struct name *name);

/* --- gofer_names.c --- */

struct inode *gofer_create(struct inode *dir, const struct name *name, uint32_t mode, uint32_t open_flags);
struct inode *gofer_mkdir(struct inode *dir, const struct name *name, uint32_t mode);
struct inode *gofer_symlink(struct inode *dir, const struct name *name, const char *target);
struct inode *gofer_mknod(struct inode *dir, const struct name *name, uint32_t mode, uint64_t rdev);
struct inode *gofer_tmpfile(struct inode *dir, uint32_t mode);
int gofer_link(struct inode *inode, struct inode *dir, const struct name *name);
int gofer_unlink(struct inode *dir, const struct name *name, struct inode *victim);
int gofer_rmdir(struct inode *dir, const struct name *name, struct inode *victim);
int gofer_rename(struct inode *old_dir, const struct name *old_name, struct inode *inode, struct inode *new_dir,
                 const struct name *new_name, struct inode *target, uint32_t flags);

/* --- gofer_attr.c --- */

int gofer_getattr(struct inode *inode, uint32_t mask);
int gofer_setattr(struct inode *inode, const struct attr *attr);
ssize_t gofer_readlink(struct inode *inode, char *buf, size_t size);
ssize_t gofer_getxattr(struct inode *inode, const char *name, void *buf, size_t size);
int gofer_setxattr(struct inode *inode, const char *name, const void *value, size_t size, int flags);
ssize_t gofer_listxattr(struct inode *inode, char *buf, size_t size);
int gofer_removexattr(struct inode *inode, const char *name);
extern const struct super_ops gofer_super_ops;

/* --- gofer_file.c --- */

/* Data of fid at offset, through the arena. Bytes (short at the end of the file) or -errno. */
ssize_t gofer_read_fid(uint32_t fid, struct iter *to, uint64_t offset);
ssize_t gofer_write_fid(uint32_t fid, struct iter *from, uint64_t offset);

void gofer_release(struct file *f);

/* --- gofer_behind.c, gofer_ahead.c --- */

/* Send without waiting. Bytes; 0: it must be waited for, the rest as well; -errno: also an error of an earlier write. */
ssize_t gofer_behind_write(struct file *f, struct iter *from, uint64_t offset);
void gofer_behind_wait(struct inode *inode); /* until all writes are done */
long gofer_behind_error(struct inode *inode); /* that hasn't been told; it has been then */

/* Serve a read from what was fetched ahead. Bytes; 0: not this way; -EFAULT. */
ssize_t gofer_ahead_read(struct file *f, struct iter *to, uint64_t offset);
void gofer_ahead_drop(struct inode *inode);

/* --- gofer_list.c --- */

struct gofer_entry {
    uint64_t ino;
    uint64_t next;  /* the gofer's offset behind it */
    uint16_t len;
    uint8_t type;   /* DT_* */
    uint8_t flags;
    char name[];    /* then a p9_attr as it came, if flags say so */
};

struct gofer_listing;

/* All of a directory of an exclusive mount, with a reference. 0, -errno, or -E2BIG: it is too large, read it piece by piece. */
long gofer_list_get(struct inode *dir, struct gofer_listing **ret);
void gofer_list_put(struct gofer_listing *l); /* NULL is fine */
/* The entry at *pos, which moves behind it; NULL: that was the last. Removed ones are passed over. */
const struct gofer_entry *gofer_list_next(struct gofer_listing *l, uint32_t *pos);
/* Move *pos behind the entry that ends at the gofer's offset. False: there is none. */
bool gofer_list_seek(struct gofer_listing *l, uint64_t offset, uint32_t *pos);
/*
 * Look a name up without asking for it, or by asking for its directory's listing. 1: *ret, with a reference; -ENOENT: it isn't there;
 * 0: not known. open: it is going to be opened, so it will have to be asked for anyway.
 */
int gofer_list_lookup(struct inode *dir, const struct name *name, bool open, struct inode **ret);
bool gofer_list_open(struct inode *dir); /* it is going to be opened: is it listed, or has it been with others beside it? */
void gofer_list_missed(struct inode *dir);                            /* it was asked for, and isn't there */
void gofer_list_removed(struct inode *dir, const struct name *name);  /* a name is gone */
void gofer_list_drop(struct inode *dir);                              /* it has changed in another way */
void gofer_list_evicted(struct gofer_inode *gi);                      /* before it forgets its place */
/* Tlist for a directory read piece by piece: entries as Rreaddir's are in buf, of RING_BULK_SIZE. */
long gofer_list_piece(uint32_t fid, uint64_t offset, void *buf, uint32_t *ret_size, bool *ret_end);

/* --- gofer_dir.c --- */

int gofer_open_dir(struct file *f, struct gofer_handle *h); /* takes the handle on success; NULL: opened when it is needed */

/* --- gofer_map.c --- */

int gofer_mmap(struct file *f, int prot, int flags);
int gofer_page(struct file *f, uint64_t offset, bool write, gpa_t *ret_gpa, uint64_t *ret_run);
long gofer_load(struct file *f, uint64_t offset, const gpa_t *frames, size_t count);
/* Where bytes [offset, offset + *ret_len) of the file can be read in the window, if they are mapped already; or NULL. */
const void *gofer_mapped(struct inode *inode, uint64_t offset, uint64_t *ret_len);
/* Map the whole file for reading through f's handle if that works. */
bool gofer_map_for_read(struct file *f);
void gofer_maps_retire(struct inode *inode); /* they stay where they are in page tables; the next use makes new ones */
void gofer_maps_drop(struct inode *inode);   /* all of them: no file of the inode is open */
void gofer_maps_resized(struct inode *inode, uint64_t old_size); /* inode->size has changed */
void gofer_pages_drop(struct inode *inode);  /* frames instead of the window: the data has changed */

/* --- gofer_hot.c --- */

/*
 * These pages, or all of a small file, are going to be touched through private mappings: have them in RAM if that is worth it. May sleep.
 */
void gofer_keep(struct file *f, uint64_t offset, uint64_t len);
bool gofer_is_small(const struct inode *inode);
void gofer_hot_used(struct file *f);         /* a program maps its code; may sleep */
void gofer_hot_forget(struct inode *inode);  /* its pages go */
ssize_t gofer_kept_read(struct inode *inode, struct iter *to, uint64_t offset); /* from kept pages, as far as they go */

#endif
