/*
 * EROFS, mounted: a read-only file system on a block device. erofs_parse.h knows the format, erofs.c has inodes and names, erofs_data.c
 * file data.
 */
#ifndef FS_EROFS_H
#define FS_EROFS_H

#include "fs/blkdev.h"
#include "fs/erofs_parse.h"
#include "fs/vfs.h"

struct erofs_sb {
    struct erofs disk;
    struct blkdev *dev;
};

struct erofs_inode {
    struct erofs_node node;
    struct page_cache pages;       /* those that aren't a page of the device as they are */
    struct erofs_extent *extents;  /* of compressed files, read when first needed */
    size_t extent_count, extent_room;
    struct readahead packed;       /* on the device */
    bool interlaced;
    bool has_extents;
    struct mutex extents_lock;
};

static inline struct erofs_inode *erofs_i(const struct inode *inode)
{
    return inode->data;
}

static inline struct erofs_sb *erofs_s(const struct inode *inode)
{
    return inode->sb->data;
}

/* err_ptr: -EUCLEAN if it isn't EROFS or is broken, -EOPNOTSUPP for features that we don't know, -EIO. */
struct superblock *erofs_mount(struct blkdev *dev);

/* --- between erofs.c and erofs_data.c --- */
extern const struct file_ops erofs_file_ops;
int erofs_file_open(struct inode *inode, struct file *f);
void erofs_data_init(struct inode *inode);
void erofs_data_evict(struct inode *inode);

#endif
