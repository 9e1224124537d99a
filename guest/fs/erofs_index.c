/*
 * The index of a compressed EROFS file: for each 4 KiB of it ("logical cluster") an entry that says whether an extent begins in it,
 * and where the extent's bytes lie.
 *
 * An entry is 8 bytes, or, compacted, 2 or 4 bytes in packs of 16 or 2 that share one block number. We read the entries in order and
 * keep the extents, which makes random access simple: a file of 100 MiB has 25,000 entries at most.
 */
#include "fs/erofs_bits.h"
#include "fs/erofs_parse.h"
#include "lib/string.h"

#define CLUSTER_BITS 12u
#define CLUSTER_SIZE (1u << CLUSTER_BITS)
#define HEADER_SIZE 8u
#define COUNT_FLAG 0x800u /* in a first distance: it is the number of blocks of the extent */

#define ADVISE_2B 0x01u
#define ADVISE_BIG1 0x02u
#define ADVISE_BIG2 0x04u
#define ADVISE_INTERLACED 0x10u
#define ADVISE_KNOWN (ADVISE_2B | ADVISE_BIG1 | ADVISE_BIG2 | ADVISE_INTERLACED)

enum entry_type { ENTRY_PLAIN, ENTRY_HEAD, ENTRY_INNER, ENTRY_HEAD2 };

struct reader {
    const struct erofs *fs;
    const struct erofs_node *node;
    uint32_t advise;
    uint64_t base;           /* of the entries */
    uint64_t clusters;       /* entries */
    long (*emit)(void *ctx, const struct erofs_extent *e);
    void *ctx;
    struct erofs_extent open; /* the extent that began last */
    uint64_t open_cluster;
    bool has_open;
};

static long flush(struct reader *r)
{
    const struct erofs_extent *e = &r->open;

    if (!r->has_open)
        return 0;
    r->has_open = false;
    if (((uint64_t)e->block + e->count) * EROFS_BLOCK > r->fs->size)
        return -EUCLEAN;
    return r->emit(r->ctx, e);
}

/* Entry number `cluster` begins an extent at `offset` in it. */
static long head(struct reader *r, uint64_t cluster, enum entry_type type, uint32_t offset, uint32_t block)
{
    uint64_t start = (cluster << CLUSTER_BITS) + offset;
    long err;

    if (type == ENTRY_HEAD2)
        return -EOPNOTSUPP;
    if (r->has_open && start == r->node->size)
        return 0; /* the file ends within its last cluster */
    if (offset >= CLUSTER_SIZE || start >= r->node->size)
        return -EUCLEAN;
    if (r->has_open ? start <= r->open.start : start != 0)
        return -EUCLEAN;
    err = flush(r);
    if (err < 0)
        return err;
    r->open = (struct erofs_extent){ start, block, 1, type == ENTRY_PLAIN };
    r->open_cluster = cluster;
    r->has_open = true;
    return 0;
}

/* An entry within an extent; the first behind its head may say how many blocks it has. */
static long inner(struct reader *r, uint64_t cluster, uint32_t distance)
{
    if (!r->has_open)
        return -EUCLEAN;
    if (!(distance & COUNT_FLAG))
        return 0;
    if (!(r->advise & ADVISE_BIG1) || cluster != r->open_cluster + 1 || distance == COUNT_FLAG)
        return -EUCLEAN;
    r->open.count = distance & ~COUNT_FLAG;
    return 0;
}

/* --- 8 bytes: type, offset, then block or distances --- */

static long read_full(struct reader *r)
{
    uint8_t e[8];

    for (uint64_t i = 0; i < r->clusters; i++) {
        enum entry_type type;
        long err = r->fs->read(r->fs->ctx, r->base + i * sizeof(e), e, sizeof(e));

        if (err < 0)
            return err;
        type = (enum entry_type)(e[0] & 3);
        if (type == ENTRY_INNER)
            err = inner(r, i, le16(e + 4));
        else
            err = head(r, i, type, le16(e + 2), le32(e + 4));
        if (err < 0)
            return err;
    }
    return 0;
}

/* --- packs --- */

struct pack {
    uint32_t bytes;   /* with the block number at its end */
    uint32_t entries;
    uint32_t bits;    /* of an entry */
};

static const struct pack pack_of_2 = { 8, 2, 16 };
static const struct pack pack_of_16 = { 32, 16, 14 };

static uint32_t packed_entry(const struct pack *p, const uint8_t *bytes, uint32_t i)
{
    uint32_t at = i * p->bits;

    /* The last bits of the last entry end before the block number, so these four bytes are in the pack. */
    return le32(bytes + at / 8) >> (at & 7) & ((1u << p->bits) - 1);
}

/*
 * The block number at the end is that of the first extent that begins in the pack, less what the others take: without big clusters it counts
 * from one before.
 */
static long read_pack(struct reader *r, const struct pack *p, uint64_t at, uint64_t first)
{
    bool big = r->advise & ADVISE_BIG1;
    uint32_t used = 0, base;
    uint8_t bytes[32 + 4] = { 0 };
    long err = r->fs->read(r->fs->ctx, at, bytes, p->bytes);

    if (err < 0)
        return err;
    base = le32(bytes + p->bytes - 4);
    for (uint32_t i = 0; i < p->entries && first + i < r->clusters; i++) {
        uint32_t e = packed_entry(p, bytes, i), low = e & 0xfff, next;
        enum entry_type type = (enum entry_type)(e >> 12 & 3);

        if (type == ENTRY_INNER) {
            err = inner(r, first + i, low);
            if (big && (low & COUNT_FLAG))
                used += low & ~COUNT_FLAG;
        } else {
            used += !big;
            err = head(r, first + i, type, low, base + used);
            next = i + 1 < p->entries ? packed_entry(p, bytes, i + 1) : 0;
            if (big && !((next >> 12 & 3) == ENTRY_INNER && (next & COUNT_FLAG)))
                used++;
        }
        if (err < 0)
            return err;
    }
    return 0;
}

/* Packs of 2 up to an address that is a multiple of 32, then packs of 16 as long as they are full, then packs of 2 again. */
static long read_compact(struct reader *r)
{
    uint64_t initial = (32 - r->base % 32) / 4 % 8, wide = 0, at = r->base, i = 0;
    long err = 0;

    if ((r->advise & ADVISE_2B) && initial < r->clusters)
        wide = (r->clusters - initial) / 16 * 16;
    while (i < r->clusters && err == 0) {
        const struct pack *p = i >= initial && i < initial + wide ? &pack_of_16 : &pack_of_2;

        err = read_pack(r, p, at, i);
        at += p->bytes;
        i += p->entries;
    }
    return err;
}

long erofs_extents(const struct erofs *fs, const struct erofs_node *n, bool *ret_interlaced,
                   long (*emit)(void *ctx, const struct erofs_extent *e), void *ctx)
{
    struct reader r = { .fs = fs, .node = n, .emit = emit, .ctx = ctx };
    uint64_t header_at = ALIGN_UP(n->tail, 8);
    uint8_t header[HEADER_SIZE];
    long err;

    if (header_at > fs->size - HEADER_SIZE)
        return -EUCLEAN;
    err = fs->read(fs->ctx, header_at, header, sizeof(header));
    if (err < 0)
        return err;
    r.advise = le16(header + 4);
    if ((r.advise & ~ADVISE_KNOWN) || (header[6] & 0xf) || header[7])
        return -EOPNOTSUPP; /* packed tails, other compressors, other cluster sizes */
    if (n->layout == EROFS_COMPACT_INDEX && !(r.advise & ADVISE_BIG1) != !(r.advise & ADVISE_BIG2))
        return -EUCLEAN;
    r.base = header_at + HEADER_SIZE + (n->layout == EROFS_FULL_INDEX ? 8 : 0);
    r.clusters = ALIGN_UP(n->size, CLUSTER_SIZE) >> CLUSTER_BITS;
    /* The entries must be there; two bytes each is the least. */
    if (r.base > fs->size || r.clusters > (fs->size - r.base) / 2 + 32)
        return -EUCLEAN;
    *ret_interlaced = r.advise & ADVISE_INTERLACED;
    err = n->layout == EROFS_FULL_INDEX ? read_full(&r) : read_compact(&r);
    return err < 0 ? err : flush(&r);
}
