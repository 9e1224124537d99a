/* Partition tables: GPT (UEFI 2.10 §5.3) and MBR with logical partitions. Pure: reads through a callback. */
#ifndef FS_BLKDEV_PARTS_H
#define FS_BLKDEV_PARTS_H

#include "lib/base.h"

struct partition {
    unsigned int number; /* as in its name */
    uint64_t start, size; /* bytes */
};

typedef int (*partitions_read_fn)(void *ctx, uint64_t offset, void *buf, size_t n);

/*
 * The partitions of a disk of `size` bytes with blocks of block_size, at most max of them and none with a number above max. What lies
 * outside the disk is left out. 0 if there is no table.
 */
size_t partitions_find(uint64_t size, uint32_t block_size, partitions_read_fn read, void *ctx, struct partition *ret,
                       size_t max);

#endif
