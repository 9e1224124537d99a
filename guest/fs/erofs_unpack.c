/* See erofs_parse.h: the bytes of an extent. Pure: a fuzzer has it unpack broken images on the host. */
#include "fs/erofs_parse.h"

#include <lz4.h>

static long unpack_plain(const struct erofs_extent *e, bool interlaced, const uint8_t *packed, uint64_t packed_size, uint8_t *to,
                         uint64_t size)
{
    uint64_t shift = interlaced ? e->start % EROFS_BLOCK : 0;

    if (size > packed_size)
        return -EUCLEAN;
    for (uint64_t i = 0; i < size; i++)
        to[i] = packed[(i + shift) % packed_size];
    return 0;
}

/* LZ4 data end with their cluster: zeroes before them fill it up. */
static long unpack_lz4(const struct erofs *fs, const uint8_t *packed, uint64_t packed_size, uint8_t *to, uint64_t size)
{
    uint64_t skip = 0;

    while (fs->zero_padding && skip < EROFS_BLOCK && packed[skip] == 0)
        skip++;
    if (skip == EROFS_BLOCK)
        return -EUCLEAN;
    return LZ4_decompress_safe_partial((const char *)packed + skip, (char *)to, (int)(packed_size - skip), (int)size, (int)size) ==
                   (int)size
               ? 0
               : -EUCLEAN;
}

long erofs_unpack(const struct erofs *fs, const struct erofs_extent *e, bool interlaced, const uint8_t *packed, uint8_t *to,
                  uint64_t size)
{
    uint64_t packed_size = (uint64_t)e->count * EROFS_BLOCK;

    if (packed_size == 0 || packed_size > EROFS_PACKED_MAX || size > INT32_MAX)
        return -EUCLEAN;
    return e->plain ? unpack_plain(e, interlaced, packed, packed_size, to, size) : unpack_lz4(fs, packed, packed_size, to, size);
}
