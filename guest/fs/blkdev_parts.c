/* See blkdev_parts.h. What a disk says is anybody's: sizes are checked, loops are bounded. */
#include "fs/blkdev_parts.h"

#include "lib/string.h"

#define MBR_TABLE 446u
#define MBR_ENTRIES 4u
#define MBR_UNIT 512u
#define LOGICAL_FIRST 5u
#define LOGICAL_MAX 64u      /* links of the chain that are followed */

#define GPT_HEADER_SIZE_MIN 92u
#define GPT_ENTRY_SIZE_MIN 128u
#define GPT_ENTRY_SIZE_MAX 4096u
#define GPT_ENTRIES_MAX 1024u

struct disk_reader {
    uint64_t size;
    uint32_t block;
    partitions_read_fn read;
    void *ctx;
    struct partition *ret;
    size_t count, max;
};

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t le64(const uint8_t *p)
{
    return le32(p) | (uint64_t)le32(p + 4) << 32;
}

static void found(struct disk_reader *d, unsigned int number, uint64_t start, uint64_t size)
{
    if (number > d->max || d->count == d->max || size == 0 || start >= d->size || size > d->size - start)
        return;
    d->ret[d->count++] = (struct partition){ number, start, size };
}

/* --- MBR --- */

static bool is_extended(uint8_t type)
{
    return type == 0x05 || type == 0x0f || type == 0x85;
}

/* A boot sector of a file system looks much the same; a table's status bytes say 0 or 0x80. */
static bool is_mbr(const uint8_t *sector)
{
    if (sector[510] != 0x55 || sector[511] != 0xaa)
        return false;
    for (unsigned int i = 0; i < MBR_ENTRIES; i++)
        if (sector[MBR_TABLE + 16 * i] & 0x7f)
            return false;
    return true;
}

/* Each link has a logical partition, relative to itself, and the next link, relative to the extended partition. */
static void find_logical(struct disk_reader *d, uint64_t extended)
{
    uint64_t link = extended;
    unsigned int number = LOGICAL_FIRST;
    uint8_t sector[512];

    for (unsigned int n = 0; n < LOGICAL_MAX; n++) {
        const uint8_t *a = sector + MBR_TABLE, *b = a + 16;
        uint64_t next;

        if (d->read(d->ctx, link, sector, sizeof(sector)) < 0 || !is_mbr(sector))
            return;
        if (a[4] && !is_extended(a[4]))
            found(d, number++, link + (uint64_t)le32(a + 8) * MBR_UNIT, (uint64_t)le32(a + 12) * MBR_UNIT);
        next = extended + (uint64_t)le32(b + 8) * MBR_UNIT;
        if (!is_extended(b[4]) || next == link || next > d->size - sizeof(sector))
            return;
        link = next;
    }
}

static void find_mbr(struct disk_reader *d, const uint8_t *sector)
{
    for (unsigned int i = 0; i < MBR_ENTRIES; i++) {
        const uint8_t *e = sector + MBR_TABLE + 16 * i;
        uint64_t start = (uint64_t)le32(e + 8) * MBR_UNIT, size = (uint64_t)le32(e + 12) * MBR_UNIT;

        /* An extended one is shown with two sectors, so that nobody overwrites what is in it (as on Linux). */
        if (e[4])
            found(d, i + 1, start, is_extended(e[4]) ? MIN(size, 2 * MBR_UNIT) : size);
        if (is_extended(e[4]) && start > 0 && start < d->size - MBR_UNIT)
            find_logical(d, start);
    }
}

/* --- GPT --- */

static uint32_t crc32(uint32_t crc, const uint8_t *p, size_t n)
{
    crc = ~crc;
    while (n-- > 0) {
        crc ^= *p++;
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

struct gpt {
    uint64_t entries; /* byte offset */
    uint32_t count, entry_size, entries_crc;
};

static bool read_header(const struct disk_reader *d, uint64_t lba, struct gpt *ret)
{
    uint8_t h[512];
    uint32_t size, crc;
    uint64_t at;

    if (d->read(d->ctx, lba * d->block, h, sizeof(h)) < 0 || memcmp(h, "EFI PART", 8) != 0)
        return false;
    size = le32(h + 12);
    crc = le32(h + 16);
    if (size < GPT_HEADER_SIZE_MIN || size > sizeof(h) || le64(h + 24) != lba)
        return false;
    memset(h + 16, 0, 4);
    if (crc32(0, h, size) != crc)
        return false;
    at = le64(h + 72);
    ret->count = le32(h + 80);
    ret->entry_size = le32(h + 84);
    ret->entries_crc = le32(h + 88);
    if (at >= d->size / d->block || ret->entry_size < GPT_ENTRY_SIZE_MIN || ret->entry_size > GPT_ENTRY_SIZE_MAX ||
        ret->count > GPT_ENTRIES_MAX)
        return false;
    ret->entries = at * d->block;
    return true;
}

/* The first 128 bytes of an entry say everything. */
static bool read_entry(const struct disk_reader *d, const struct gpt *g, uint32_t i, uint8_t *ret)
{
    return d->read(d->ctx, g->entries + (uint64_t)i * g->entry_size, ret, GPT_ENTRY_SIZE_MIN) == 0;
}

static bool entries_are_whole(const struct disk_reader *d, const struct gpt *g)
{
    uint64_t left = (uint64_t)g->count * g->entry_size, at = g->entries;
    uint8_t chunk[512];
    uint32_t crc = 0;

    while (left > 0) {
        size_t n = MIN(left, sizeof(chunk));

        if (d->read(d->ctx, at, chunk, n) < 0)
            return false;
        crc = crc32(crc, chunk, n);
        at += n;
        left -= n;
    }
    return crc == g->entries_crc;
}

static void find_gpt(struct disk_reader *d)
{
    static const uint8_t unused[16];
    uint8_t e[GPT_ENTRY_SIZE_MIN];
    struct gpt g;

    if ((!read_header(d, 1, &g) || !entries_are_whole(d, &g)) &&
        (!read_header(d, d->size / d->block - 1, &g) || !entries_are_whole(d, &g)))
        return;
    for (uint32_t i = 0; i < g.count && read_entry(d, &g, i, e); i++) {
        uint64_t first = le64(e + 32), last = le64(e + 40), blocks = d->size / d->block;

        if (memcmp(e, unused, sizeof(unused)) != 0 && first <= last && last < blocks)
            found(d, i + 1, first * d->block, (last + 1 - first) * d->block);
    }
}

size_t partitions_find(uint64_t size, uint32_t block_size, partitions_read_fn read, void *ctx, struct partition *ret,
                       size_t max)
{
    struct disk_reader d = { size, block_size, read, ctx, ret, 0, max };
    uint8_t sector[512];
    bool protective = false;

    if (block_size < sizeof(sector) || size < 2ull * block_size || read(ctx, 0, sector, sizeof(sector)) < 0 || !is_mbr(sector))
        return 0;
    for (unsigned int i = 0; i < MBR_ENTRIES; i++)
        protective = protective || sector[MBR_TABLE + 16 * i + 4] == 0xee;
    if (protective)
        find_gpt(&d);
    else
        find_mbr(&d, sector);
    return d.count;
}
