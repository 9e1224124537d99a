/*
 * The shim's EROFS reader against broken images: everything that the file system asks of it, for all files that it can find.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guest/fs/erofs_index.c"
#include "guest/fs/erofs_parse.c"
#undef HEADER_SIZE
#include "guest/fs/erofs_unpack.c"
#include "guest/fs/erofs_xattr.c"

#include <lz4.c>

#define NODES_MAX 256
#define WORK_MAX 20000u
#define UNPACK_MAX (4u << 20) /* of all files of an image together */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *image;
static size_t image_size;
static unsigned work;
static uint64_t unpacked;

static long read_image(void *ctx, uint64_t offset, void *buf, size_t n)
{
    (void)ctx;
    if (++work > WORK_MAX || offset > image_size || n > image_size - offset)
        return -5;
    memcpy(buf, image + offset, n);
    return 0;
}

struct extents {
    const struct erofs *fs;
    uint64_t file_size, unpacked;
    struct erofs_extent last;
    bool any, interlaced;
};

/* In memory of just that size, so that a sanitizer sees each byte too many. */
static void unpack_last(struct extents *x, uint64_t end)
{
    uint64_t size = end - x->last.start, packed_size = (uint64_t)x->last.count * EROFS_BLOCK;
    uint8_t *packed, *unpacked;

    if (size > UNPACK_MAX - x->unpacked || packed_size > EROFS_PACKED_MAX)
        return;
    x->unpacked += size;
    packed = malloc(packed_size);
    unpacked = malloc(size);
    if (!packed || !unpacked)
        abort();
    if (x->fs->read(x->fs->ctx, (uint64_t)x->last.block * EROFS_BLOCK, packed, packed_size) == 0)
        erofs_unpack(x->fs, &x->last, x->interlaced, packed, unpacked, size);
    free(packed);
    free(unpacked);
}

static long check_extent(void *ctx, const struct erofs_extent *e)
{
    struct extents *x = ctx;

    if (x->any ? e->start <= x->last.start : e->start != 0)
        abort();
    if (e->start >= x->file_size || ((uint64_t)e->block + e->count) * EROFS_BLOCK > image_size)
        abort();
    if (x->any)
        unpack_last(x, e->start);
    x->last = *e;
    x->any = true;
    return ++work > WORK_MAX ? -12 : 0;
}

static long check_attr(void *ctx, const char *name, size_t name_len, uint64_t at, uint32_t n)
{
    (void)ctx;
    if (at > image_size || n > image_size - at || name_len > EROFS_NAME_MAX || memchr(name, 0, name_len))
        abort();
    return ++work > WORK_MAX;
}

static void use_directory(const struct erofs *fs, const struct erofs_node *n, uint64_t *nids, size_t *count)
{
    static uint8_t buf[EROFS_BLOCK], other[EROFS_BLOCK];
    uint32_t len;
    long entries;

    for (uint64_t b = 0; b < 4 && (entries = erofs_dir_block(fs, n, b, buf, &len)) > 0; b++) {
        for (long i = 0; i < entries; i++) {
            struct erofs_dirent e, found;

            if (erofs_dir_entry(buf, len, (uint32_t)i, &e) < 0)
                continue;
            if (e.name < (char *)buf || e.name + e.name_len > (char *)buf + len || !e.name_len)
                abort();
            erofs_dir_find(fs, n, e.name, e.name_len, other, &found);
            if (*count < NODES_MAX)
                nids[(*count)++] = e.nid;
        }
    }
}

static void use_data(const struct erofs *fs, const struct erofs_node *n)
{
    static uint8_t buf[EROFS_BLOCK];
    struct extents x = { .fs = fs, .file_size = n->size, .unpacked = unpacked };
    uint64_t at, run;

    if (erofs_is_compressed(n)) {
        if (erofs_extents(fs, n, &x.interlaced, check_extent, &x) == 0 && x.any)
            unpack_last(&x, n->size);
        unpacked = x.unpacked;
        return;
    }
    for (uint64_t offset = 0; offset < n->size && work < WORK_MAX; offset += run) {
        if (erofs_map(fs, n, offset, &at, &run) < 0)
            return;
        if (run == 0 || run > n->size - offset || (at != EROFS_HOLE && (at > image_size || run > image_size - at)))
            abort();
        for (uint64_t i = 0; i < run && at != EROFS_HOLE; i += sizeof(buf))
            if (erofs_read_plain(fs, n, offset + i, buf, MIN(run - i, sizeof(buf))) < 0)
                break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t nids[NODES_MAX];
    size_t count = 1;
    struct erofs fs = { .read = read_image, .size = size };

    image = data;
    image_size = size;
    work = 0;
    unpacked = 0;
    if (erofs_open(&fs) < 0)
        return 0;
    nids[0] = fs.root_nid;
    for (size_t i = 0; i < count && work < WORK_MAX; i++) {
        struct erofs_node n;

        if (erofs_node_read(&fs, nids[i], &n) < 0)
            continue;
        erofs_xattrs(&fs, &n, check_attr, NULL);
        if ((n.mode & 0170000) == 0040000)
            use_directory(&fs, &n, nids, &count);
        else
            use_data(&fs, &n);
    }
    return 0;
}
