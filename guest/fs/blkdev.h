/*
 * Block devices: disks and their partitions as files (/dev/vda, /dev/vda1), with a page cache.
 */
#ifndef FS_BLKDEV_H
#define FS_BLKDEV_H

#include "drivers/virtio_blk.h"
#include "fs/blkdev_cache.h"
#include "fs/blkdev_parts.h"
#include "fs/vfs.h"

#define BLKDEV_MAJOR 254   /* where Linux's virtblk usually ends up */
#define BLKDEV_MINORS 16   /* of a disk: itself and its partitions */
#define BLKDEV_MAX 128

struct blkdev {
    char name[12];
    uint64_t rdev;
    uint64_t start, size;  /* bytes on the disk */
    struct virtio_blk *disk;
    struct page_cache cache;
    uint32_t opens;
    uint32_t read_ahead;   /* BLKRASET: remembered */
};

/* The driver has found a disk: name it, and look for partitions. Called at boot. */
void blkdev_add_disk(struct virtio_blk *disk);

struct blkdev *blkdev_at(size_t i);                /* NULL: there are no more */
struct blkdev *blkdev_by_name(const char *name);   /* "vda1", with or without "/dev/" */
bool blkdev_readonly(const struct blkdev *b);

long blkdev_open(struct inode *inode, struct file *f); /* by inode->rdev; ENXIO */

/* Make the nodes in /dev. */
long blkdev_make_nodes(struct inode *dev);

/* Read into the shim's memory. 0; -EIO, also beyond the end; -ENOMEM. */
long blkdev_read(struct blkdev *b, uint64_t offset, void *buf, size_t n);

/* The end of the sandbox: write what is dirty, and have it on the medium. Runs no other thread. */
void blkdev_drain(void);
long blkdev_sync(struct blkdev *b); /* fsync */
void blkdev_sync_all(void);

/* --- between blkdev.c and blkdev_file.c --- */
long blkdev_flush(struct blkdev *b);
long blkdev_range(struct blkdev *b, uint32_t type, uint64_t offset, uint64_t len); /* VIRTIO_BLK_T_DISCARD, _WRITE_ZEROES */
extern const struct file_ops blkdev_file_ops;

struct blkdev_file {
    struct blkdev *dev;
    struct readahead ra;
};

#endif
