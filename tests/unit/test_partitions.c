/* Partition tables: what sfdisk makes is in the end-to-end tests; here are tables that nobody makes. */
#include <criterion/criterion.h>
#include <string.h>

#include "guest/fs/blkdev_parts.h"

#define SIZE (64u << 10)

static uint8_t disk[SIZE];
static struct partition parts[15];
static unsigned reads;

static int read_disk(void *ctx, uint64_t offset, void *buf, size_t n)
{
    (void)ctx;
    reads++;
    if (offset > SIZE || n > SIZE - offset)
        return -5;
    memcpy(buf, disk + offset, n);
    return 0;
}

static size_t find(void)
{
    return partitions_find(SIZE, 512, read_disk, NULL, parts, 15);
}

static void set_up(void)
{
    memset(disk, 0, sizeof(disk));
    reads = 0;
}

static void entry(unsigned sector, unsigned i, uint8_t type, uint32_t start, uint32_t count)
{
    uint8_t *e = disk + sector * 512 + 446 + 16 * i;

    e[4] = type;
    memcpy(e + 8, &start, 4);
    memcpy(e + 12, &count, 4);
    disk[sector * 512 + 510] = 0x55;
    disk[sector * 512 + 511] = 0xaa;
}

Test(partitions, none, .init = set_up)
{
    cr_assert_eq(find(), 0);
    disk[510] = 0x55;
    disk[511] = 0xaa;
    cr_assert_eq(find(), 0);
    memset(disk + 446, 0x41, 64); /* a boot sector with text in it */
    cr_assert_eq(find(), 0);
}

Test(partitions, outside_the_disk, .init = set_up)
{
    entry(0, 0, 0x83, 8, 8);
    entry(0, 1, 0x83, 120, 9);
    entry(0, 2, 0x83, 0xffffffff, 0xffffffff);
    entry(0, 3, 0x83, 8, 0);
    cr_assert_eq(find(), 1);
    cr_assert_eq(parts[0].start, 8 * 512);
    cr_assert_eq(parts[0].size, 8 * 512);
}

Test(partitions, chain_that_loops, .init = set_up)
{
    entry(0, 0, 5, 8, 100);
    entry(8, 0, 0x83, 1, 1);
    entry(8, 1, 5, 2, 1);  /* relative to the extended partition: sector 10 */
    entry(10, 0, 0x83, 1, 1);
    entry(10, 1, 5, 0, 1); /* back to sector 8 */
    cr_assert_leq(find(), 15);
    cr_assert_leq(reads, 100);
}

Test(partitions, chain_that_leaves, .init = set_up)
{
    entry(0, 0, 5, 8, 100);
    entry(8, 0, 0x83, 1, 1);
    entry(8, 1, 5, 0xfffffff0, 1);
    cr_assert_eq(find(), 2);
    cr_assert_eq(parts[1].number, 5);
}

/* --- GPT --- */

static uint32_t crc(const uint8_t *p, size_t n)
{
    uint32_t c = ~0u;

    while (n--) {
        c ^= *p++;
        for (int k = 0; k < 8; k++)
            c = c >> 1 ^ (c & 1 ? 0xedb88320u : 0);
    }
    return ~c;
}

static void put64(uint8_t *p, uint64_t v)
{
    memcpy(p, &v, 8);
}

static void put32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, 4);
}

static void seal(unsigned lba, unsigned entries_lba)
{
    uint8_t *h = disk + lba * 512;

    memcpy(h, "EFI PART", 8);
    put32(h + 12, 92);
    put64(h + 24, lba);
    put64(h + 72, entries_lba);
    put32(h + 80, 4);
    put32(h + 84, 128);
    put32(h + 88, crc(disk + entries_lba * 512, 512));
    put32(h + 16, 0);
    put32(h + 16, crc(h, 92));
}

static void make_gpt(void)
{
    entry(0, 0, 0xee, 1, 0xffffffff);
    disk[2 * 512] = 1;
    put64(disk + 2 * 512 + 32, 40);
    put64(disk + 2 * 512 + 40, 49);
    disk[2 * 512 + 256] = 1; /* the third ends outside */
    put64(disk + 2 * 512 + 256 + 32, 40);
    put64(disk + 2 * 512 + 256 + 40, 128);
    memcpy(disk + 126 * 512, disk + 2 * 512, 512);
    seal(1, 2);
    seal(127, 126);
}

static void expect_one(void)
{
    cr_assert_eq(find(), 1);
    cr_assert_eq(parts[0].number, 1);
    cr_assert_eq(parts[0].start, 40 * 512);
    cr_assert_eq(parts[0].size, 10 * 512);
}

Test(partitions, gpt, .init = set_up)
{
    make_gpt();
    expect_one();
}

Test(partitions, gpt_second_copy, .init = set_up)
{
    make_gpt();
    disk[512 + 20] ^= 1;
    expect_one();
    make_gpt();
    disk[2 * 512 + 60] ^= 1; /* its entries */
    expect_one();
}

Test(partitions, gpt_nonsense, .init = set_up)
{
    static const struct {
        unsigned at;
        uint32_t value;
    } bad[] = { { 12, 1 }, { 12, 10000 }, { 72, 0x7fffffff }, { 80, 100000 }, { 84, 1 }, { 84, 100000 } };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        set_up();
        make_gpt();
        memset(disk + 127 * 512, 0, 512);
        put32(disk + 512 + bad[i].at, bad[i].value);
        put32(disk + 512 + 16, 0);
        put32(disk + 512 + 16, crc(disk + 512, 92));
        cr_assert_eq(find(), 0);
    }
}
