/*
 * EROFS on disk (https://erofs.docs.kernel.org, "Core on-disk format"): what an image says, checked. Pure: reads through a callback,
 * allocates nothing but extents through another, and is built on the host too, where a fuzzer feeds it broken images.
 *
 * Understood: blocks of 4 KiB, compact and extended inodes, data that are plain, with an inline tail, in chunks, or compressed by LZ4 with
 * either form of index and big clusters. Not: other compressors, packed tails and fragments, several devices.
 *
 * Errors: -EUCLEAN for what can't be, -EOPNOTSUPP for what we don't know, what the callback gives otherwise.
 */
#ifndef FS_EROFS_PARSE_H
#define FS_EROFS_PARSE_H

#include "lib/base.h"

#define EROFS_BLOCK 4096u
#define EROFS_NAME_MAX 255u
#define EROFS_HOLE UINT64_MAX
#define EROFS_PACKED_MAX (1024u * 1024) /* of an extent */

#ifndef EUCLEAN
#define EUCLEAN 117
#endif

struct erofs {
    long (*read)(void *ctx, uint64_t offset, void *buf, size_t n); /* 0 or -errno */
    void *ctx;
    uint64_t size;         /* of the device, in bytes */
    uint64_t meta;         /* byte offset of inode 0 */
    uint64_t xattrs;       /* of the shared attributes */
    uint64_t root_nid;
    uint64_t build_sec;
    uint32_t build_nsec;
    uint64_t blocks, inode_count;
    bool zero_padding;     /* LZ4 data end at the end of their cluster */
};

enum erofs_layout { EROFS_PLAIN, EROFS_FULL_INDEX, EROFS_INLINE, EROFS_COMPACT_INDEX, EROFS_CHUNKS };

struct erofs_node {
    uint64_t nid;
    uint32_t mode, uid, gid, nlink;
    uint64_t size;
    uint64_t mtime_sec;
    uint32_t mtime_nsec;
    uint32_t rdev;         /* as Linux's new_encode_dev */
    uint64_t blocks_512;   /* st_blocks */
    enum erofs_layout layout;
    uint32_t block;        /* first data block, of plain and inline files */
    uint16_t chunk_format;
    uint64_t attrs;        /* byte offset of its attributes */
    uint32_t attrs_size;
    uint64_t tail;         /* of what comes behind them: inline data, chunk table, compression header */
};

/* A piece of a compressed file. It ends where the next one begins, or at the end of the file. */
struct erofs_extent {
    uint64_t start;        /* in the file */
    uint32_t block, count; /* where its bytes lie */
    bool plain;            /* not compressed after all */
};

struct erofs_dirent {
    uint64_t nid;
    uint8_t type;          /* FT_*: as DT_* in the order of Linux's fs_types */
    uint16_t name_len;
    const char *name;      /* in the block */
};

/* fs->read, ctx and size are set. Reads the superblock. */
long erofs_open(struct erofs *fs);
long erofs_node_read(const struct erofs *fs, uint64_t nid, struct erofs_node *ret);

static inline bool erofs_is_compressed(const struct erofs_node *n)
{
    return n->layout == EROFS_FULL_INDEX || n->layout == EROFS_COMPACT_INDEX;
}

/*
 * Files that aren't compressed: where byte `offset` (below the size) lies on the device, or EROFS_HOLE, and how many bytes follow it
 * there. All of them lie on the device.
 */
long erofs_map(const struct erofs *fs, const struct erofs_node *n, uint64_t offset, uint64_t *ret_at, uint64_t *ret_len);

/* Read [offset, offset + len) of such a file, which lies below its size. */
long erofs_read_plain(const struct erofs *fs, const struct erofs_node *n, uint64_t offset, void *buf, size_t len);

/*
 * Directories: a block of it into buf (EROFS_BLOCK bytes), checked. Returns the number of entries, 0 beyond the end. erofs_dir_entry
 * then gives entry i.
 */
long erofs_dir_block(const struct erofs *fs, const struct erofs_node *dir, uint64_t block, uint8_t *buf, uint32_t *ret_len);
long erofs_dir_entry(const uint8_t *buf, uint32_t len, uint32_t i, struct erofs_dirent *ret);
/* The entry of a name; -ENOENT. buf: room for a block. */
long erofs_dir_find(const struct erofs *fs, const struct erofs_node *dir, const char *name, size_t name_len, uint8_t *buf,
                    struct erofs_dirent *ret);

/* All extents of a compressed file, in order, through emit (a failure of which ends it). The first begins at 0. */
long erofs_extents(const struct erofs *fs, const struct erofs_node *n, bool *ret_interlaced,
                   long (*emit)(void *ctx, const struct erofs_extent *e), void *ctx);

/* The first `size` bytes of an extent, from its e->count blocks. */
long erofs_unpack(const struct erofs *fs, const struct erofs_extent *e, bool interlaced, const uint8_t *packed, uint8_t *to,
                  uint64_t size);

/*
 * Attributes, one after the other: calls emit with the whole name and where the value lies, until it returns something other than
 * 0, which is then the result.
 */
long erofs_xattrs(const struct erofs *fs, const struct erofs_node *n,
                  long (*emit)(void *ctx, const char *name, size_t name_len, uint64_t value_at, uint32_t value_size), void *ctx);

#endif
