/* O_DIRECT reads and writes of block devices. */
#ifndef FS_BLKDEV_DIRECT_H
#define FS_BLKDEV_DIRECT_H

#include "fs/blkdev.h"

/* it: the app's memory, cut to what the device has. Bytes, or -errno; -EAGAIN: the cache can't be gone around. */
ssize_t blkdev_direct(struct blkdev *b, struct iter *it, uint64_t *pos, bool write);

#endif
