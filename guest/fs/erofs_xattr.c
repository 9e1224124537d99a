/* Extended attributes of EROFS: a header, numbers of shared entries, then entries of the inode's own. */
#include "fs/erofs_bits.h"
#include "fs/erofs_parse.h"
#include "lib/string.h"

#define HEADER 12u
#define ENTRY 4u

static const char *const prefixes[] = { NULL, "user.", "system.posix_acl_access", "system.posix_acl_default", "trusted.", NULL,
                                        "security." };

struct walk {
    const struct erofs *fs;
    long (*emit)(void *ctx, const char *name, size_t name_len, uint64_t value_at, uint32_t value_size);
    void *ctx;
};

/* The entry at `at`, which must end before `end`. *ret_size: its bytes. */
static long one(const struct walk *w, uint64_t at, uint64_t end, uint64_t *ret_size)
{
    char name[32 + 256];
    uint8_t e[ENTRY];
    size_t len;
    long err;

    if (end < ENTRY || at > end - ENTRY)
        return -EUCLEAN;
    err = w->fs->read(w->fs->ctx, at, e, sizeof(e));
    if (err < 0)
        return err;
    *ret_size = ALIGN_UP(ENTRY + e[0] + (uint64_t)le16(e + 2), 4);
    if (ENTRY + e[0] + (uint64_t)le16(e + 2) > end - at)
        return -EUCLEAN;
    if (e[1] >= ARRAY_SIZE(prefixes) || !prefixes[e[1]])
        return 0; /* a kind that we don't know isn't shown */
    len = strlen(prefixes[e[1]]);
    memcpy(name, prefixes[e[1]], len);
    err = w->fs->read(w->fs->ctx, at + ENTRY, name + len, e[0]);
    if (err < 0)
        return err;
    if (len + e[0] > EROFS_NAME_MAX)
        return -EUCLEAN;
    for (size_t i = len; i < len + e[0]; i++)
        if (!name[i])
            return -EUCLEAN;
    return w->emit(w->ctx, name, len + e[0], at + ENTRY + e[0], le16(e + 2));
}

long erofs_xattrs(const struct erofs *fs, const struct erofs_node *n,
                  long (*emit)(void *ctx, const char *name, size_t name_len, uint64_t value_at, uint32_t value_size), void *ctx)
{
    struct walk w = { fs, emit, ctx };
    uint64_t at = n->attrs, end = n->attrs + n->attrs_size, size;
    uint8_t header[HEADER], number[4];
    uint32_t shared;
    long err = 0;

    if (n->attrs_size == 0)
        return 0;
    err = fs->read(fs->ctx, at, header, sizeof(header));
    if (err < 0)
        return err;
    shared = header[4];
    at += HEADER;
    if (shared * 4 > end - at)
        return -EUCLEAN;
    for (uint32_t i = 0; i < shared; i++, at += 4) {
        err = fs->read(fs->ctx, at, number, sizeof(number));
        if (err == 0)
            err = one(&w, fs->xattrs + 4 * (uint64_t)le32(number), fs->size, &size);
        if (err)
            return err;
    }
    for (; err == 0 && at < end; at += size)
        err = one(&w, at, end, &size);
    return err;
}
