/* See erofs_parse.h: superblock, inodes, flat and chunked data, directories. */
#include "fs/erofs_parse.h"

#include "fs/erofs_bits.h"
#include "lib/string.h"

#define SUPER_OFFSET 1024u
#define SUPER_SIZE 128u
#define MAGIC 0xe0f5e1e2u
#define BLOCK_BITS 12u
#define NODE_SLOT 32u
#define COMPACT_SIZE 32u
#define EXTENDED_SIZE 64u

#define INCOMPAT_ZERO_PADDING 0x01u
#define INCOMPAT_BIG_CLUSTERS 0x02u /* and compression configurations */
#define INCOMPAT_CHUNKS 0x04u
#define INCOMPAT_KNOWN (INCOMPAT_ZERO_PADDING | INCOMPAT_BIG_CLUSTERS | INCOMPAT_CHUNKS)

#define CHUNK_BITS 0x1fu
#define CHUNK_INDEXES 0x20u
#define NO_BLOCK 0xffffffffu

#define TYPE_MASK 0170000u
#define TYPE_CHAR 0020000u
#define TYPE_BLOCK 0060000u

/* --- superblock --- */

/* With configurations, `algorithms` is a bit set, of which we know LZ4 only; without, LZ4 is all there is. */
static bool algorithms_known(uint32_t incompat, uint16_t algorithms)
{
    return !(incompat & INCOMPAT_BIG_CLUSTERS) || !(algorithms & ~1u);
}

long erofs_open(struct erofs *fs)
{
    uint8_t sb[SUPER_SIZE];
    uint32_t incompat;
    long err;

    if (fs->size < SUPER_OFFSET + SUPER_SIZE)
        return -EUCLEAN;
    err = fs->read(fs->ctx, SUPER_OFFSET, sb, sizeof(sb));
    if (err < 0)
        return err;
    if (le32(sb) != MAGIC)
        return -EUCLEAN;
    incompat = le32(sb + 80);
    if (sb[12] != BLOCK_BITS || (incompat & ~INCOMPAT_KNOWN) || !algorithms_known(incompat, le16(sb + 84)) || le16(sb + 86) ||
        sb[90])
        return -EOPNOTSUPP;
    fs->root_nid = le16(sb + 14);
    fs->inode_count = le64(sb + 16);
    fs->build_sec = le64(sb + 24);
    fs->build_nsec = le32(sb + 32);
    fs->blocks = le32(sb + 36);
    fs->meta = (uint64_t)le32(sb + 40) << BLOCK_BITS;
    fs->xattrs = (uint64_t)le32(sb + 44) << BLOCK_BITS;
    fs->zero_padding = incompat & INCOMPAT_ZERO_PADDING;
    return fs->build_nsec < 1000000000u && fs->meta < fs->size ? 0 : -EUCLEAN;
}

/* --- inodes --- */

static void parse_compact(const struct erofs *fs, const uint8_t *p, struct erofs_node *n)
{
    n->nlink = le16(p + 6);
    n->size = le32(p + 8);
    n->uid = le16(p + 24);
    n->gid = le16(p + 26);
    n->mtime_sec = fs->build_sec;
    n->mtime_nsec = fs->build_nsec;
}

static void parse_extended(const uint8_t *p, struct erofs_node *n)
{
    n->size = le64(p + 8);
    n->uid = le32(p + 24);
    n->gid = le32(p + 28);
    n->mtime_sec = le64(p + 32);
    n->mtime_nsec = le32(p + 40);
    n->nlink = le32(p + 44);
}

/* What the four bytes that all forms share mean depends on the file. */
static long parse_union(const struct erofs *fs, uint32_t v, struct erofs_node *n)
{
    uint32_t type = n->mode & TYPE_MASK;

    n->blocks_512 = ALIGN_UP(n->size, EROFS_BLOCK) / 512;
    if (type == TYPE_CHAR || type == TYPE_BLOCK)
        n->rdev = v;
    else if (n->layout == EROFS_CHUNKS)
        n->chunk_format = (uint16_t)v;
    else if (erofs_is_compressed(n))
        n->blocks_512 = (uint64_t)v * (EROFS_BLOCK / 512);
    else
        n->block = v;
    if (n->layout == EROFS_CHUNKS && ((v & 0xffff) & ~(CHUNK_BITS | CHUNK_INDEXES)))
        return -EOPNOTSUPP;
    return n->tail <= fs->size ? 0 : -EUCLEAN;
}

long erofs_node_read(const struct erofs *fs, uint64_t nid, struct erofs_node *n)
{
    uint8_t p[EXTENDED_SIZE];
    uint64_t at = fs->meta + nid * NODE_SLOT;
    uint16_t format, attr_count;
    uint32_t size;
    long err;

    if (nid > fs->size / NODE_SLOT || at > fs->size - COMPACT_SIZE)
        return -EUCLEAN;
    err = fs->read(fs->ctx, at, p, COMPACT_SIZE);
    if (err < 0)
        return err;
    format = le16(p);
    size = format & 1 ? EXTENDED_SIZE : COMPACT_SIZE;
    if ((format >> 1 & 7) > EROFS_CHUNKS || format >> 4)
        return -EOPNOTSUPP;
    if (format & 1) {
        if (at > fs->size - EXTENDED_SIZE)
            return -EUCLEAN;
        err = fs->read(fs->ctx, at + COMPACT_SIZE, p + COMPACT_SIZE, EXTENDED_SIZE - COMPACT_SIZE);
        if (err < 0)
            return err;
    }
    memset(n, 0, sizeof(*n));
    n->nid = nid;
    n->layout = (enum erofs_layout)(format >> 1 & 7);
    n->mode = le16(p + 4);
    if (format & 1)
        parse_extended(p, n);
    else
        parse_compact(fs, p, n);
    attr_count = le16(p + 2);
    n->attrs = at + size;
    n->attrs_size = attr_count ? 12u + (attr_count - 1u) * 4u : 0;
    n->tail = n->attrs + n->attrs_size;
    if (n->size > INT64_MAX || n->mtime_nsec >= 1000000000u)
        return -EUCLEAN;
    return parse_union(fs, le32(p + 16), n);
}

/* --- data that aren't compressed --- */

static long on_device(const struct erofs *fs, uint64_t at, uint64_t len)
{
    return at <= fs->size && len <= fs->size - at ? 0 : -EUCLEAN;
}

static long map_chunk(const struct erofs *fs, const struct erofs_node *n, uint64_t offset, uint64_t *ret_at, uint64_t *ret_len)
{
    uint32_t bits = BLOCK_BITS + (n->chunk_format & CHUNK_BITS), unit = n->chunk_format & CHUNK_INDEXES ? 8 : 4, block;
    uint64_t entry = ALIGN_UP(n->tail, unit) + (offset >> bits) * unit, within = offset & ((1ull << bits) - 1);
    uint8_t p[8];
    long err;

    if (on_device(fs, entry, unit) < 0)
        return -EUCLEAN;
    err = fs->read(fs->ctx, entry, p, unit);
    if (err < 0)
        return err;
    if (unit == 8 && le16(p + 2))
        return -EOPNOTSUPP; /* another device */
    block = le32(p + unit - 4);
    *ret_at = block == NO_BLOCK ? EROFS_HOLE : ((uint64_t)block << BLOCK_BITS) + within;
    *ret_len = MIN((1ull << bits) - within, n->size - offset);
    return 0;
}

static long map_flat(const struct erofs *fs, const struct erofs_node *n, uint64_t offset, uint64_t *ret_at, uint64_t *ret_len)
{
    uint64_t blocks = ALIGN_UP(n->size, EROFS_BLOCK) >> BLOCK_BITS, tail = n->size;

    if (n->layout == EROFS_INLINE)
        tail = (blocks - 1) << BLOCK_BITS;
    if (offset < tail) {
        *ret_at = ((uint64_t)n->block << BLOCK_BITS) + offset;
        *ret_len = tail - offset;
        return 0;
    }
    *ret_at = n->tail + (offset - tail);
    *ret_len = n->size - offset;
    /* An inline tail ends in the block of its inode. */
    if (n->size - tail > EROFS_BLOCK - n->tail % EROFS_BLOCK)
        return -EUCLEAN;
    (void)fs;
    return 0;
}

long erofs_map(const struct erofs *fs, const struct erofs_node *n, uint64_t offset, uint64_t *ret_at, uint64_t *ret_len)
{
    long err;

    if (offset >= n->size || erofs_is_compressed(n))
        return -EUCLEAN;
    err = n->layout == EROFS_CHUNKS ? map_chunk(fs, n, offset, ret_at, ret_len) : map_flat(fs, n, offset, ret_at, ret_len);
    if (err < 0)
        return err;
    return *ret_at == EROFS_HOLE ? 0 : on_device(fs, *ret_at, *ret_len);
}

long erofs_read_plain(const struct erofs *fs, const struct erofs_node *n, uint64_t offset, void *buf, size_t len)
{
    uint8_t *to = buf;

    while (len > 0) {
        uint64_t at, run;
        size_t part;
        long err = erofs_map(fs, n, offset, &at, &run);

        if (err < 0)
            return err;
        part = MIN(len, run);
        if (at == EROFS_HOLE)
            memset(to, 0, part);
        else
            err = fs->read(fs->ctx, at, to, part);
        if (err < 0)
            return err;
        to += part;
        offset += part;
        len -= part;
    }
    return 0;
}

/* --- directories: blocks of entries, their names behind them --- */

long erofs_dir_block(const struct erofs *fs, const struct erofs_node *dir, uint64_t block, uint8_t *buf, uint32_t *ret_len)
{
    uint64_t offset = block << BLOCK_BITS;
    uint32_t len, names;
    long err;

    if (block > dir->size >> BLOCK_BITS || offset >= dir->size)
        return 0;
    len = (uint32_t)MIN(EROFS_BLOCK, dir->size - offset);
    err = erofs_read_plain(fs, dir, offset, buf, len);
    if (err < 0)
        return err;
    if (len < EROFS_DIRENT)
        return -EUCLEAN;
    names = le16(buf + 8);
    if (names < EROFS_DIRENT || names % EROFS_DIRENT || names >= len)
        return -EUCLEAN;
    *ret_len = len;
    return (long)(names / EROFS_DIRENT);
}

long erofs_dir_entry(const uint8_t *buf, uint32_t len, uint32_t i, struct erofs_dirent *ret)
{
    const uint8_t *e = buf + i * EROFS_DIRENT;
    uint32_t names = le16(buf + 8), start = le16(e + 8), end = len;

    if ((i + 1) * EROFS_DIRENT < names)
        end = le16(e + EROFS_DIRENT + 8);
    if (start < names || start >= end || end > len)
        return -EUCLEAN;
    ret->nid = le64(e);
    ret->type = e[10];
    ret->name = (const char *)buf + start;
    ret->name_len = 0;
    /* The last name of a block may be padded with zeroes. */
    while (start + ret->name_len < end && ret->name[ret->name_len]) {
        if (ret->name[ret->name_len] == '/' || ret->name_len == EROFS_NAME_MAX)
            return -EUCLEAN;
        ret->name_len++;
    }
    return ret->name_len ? 0 : -EUCLEAN;
}

static int compare(const char *name, size_t len, const struct erofs_dirent *e)
{
    int c = memcmp(name, e->name, MIN(len, (size_t)e->name_len));

    return c ? c : (len > e->name_len) - (len < e->name_len);
}

/* In a block of count entries. *ret_order: where the name belongs, if it isn't there: before the block (-1), in or behind it (1). */
static long find_in_block(const uint8_t *buf, uint32_t len, long count, const char *name, size_t name_len, int *ret_order,
                          struct erofs_dirent *ret)
{
    long low = 0, high = count - 1;

    while (low <= high) {
        long mid = low + (high - low) / 2, err = erofs_dir_entry(buf, len, (uint32_t)mid, ret);
        int c;

        if (err < 0)
            return err;
        c = compare(name, name_len, ret);
        if (c == 0)
            return 0;
        if (c < 0)
            high = mid - 1;
        else
            low = mid + 1;
    }
    *ret_order = low == 0 ? -1 : low == count ? 1 : 0;
    return -ENOENT;
}

/* Names are sorted over all blocks. */
long erofs_dir_find(const struct erofs *fs, const struct erofs_node *dir, const char *name, size_t name_len, uint8_t *buf,
                    struct erofs_dirent *ret)
{
    uint64_t low = 0, high = ALIGN_UP(dir->size, EROFS_BLOCK) >> BLOCK_BITS;

    while (low < high) {
        uint64_t mid = low + (high - low) / 2;
        int order = 0;
        uint32_t len;
        long count = erofs_dir_block(fs, dir, mid, buf, &len), err;

        if (count <= 0)
            return count < 0 ? count : -EUCLEAN;
        err = find_in_block(buf, len, count, name, name_len, &order, ret);
        if (err != -ENOENT || order == 0)
            return err;
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return -ENOENT;
}
