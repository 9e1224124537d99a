/* See fdt.h. Pure logic: also built on the host and tested there against libfdt. */
#include "arch/fdt.h"

#include "lib/string.h"

#define TREE_MAGIC 0xd00dfeed

enum { TOKEN_BEGIN_NODE = 1, TOKEN_END_NODE = 2, TOKEN_PROP = 3, TOKEN_NOP = 4, TOKEN_END = 9 };

struct header {
    uint32_t magic, totalsize, off_struct, off_strings, off_reserved, version, last_compatible, boot_cpu;
    uint32_t size_strings, size_struct;
};

/* A token of the structure block. */
struct token {
    uint32_t kind;
    uint32_t next;     /* offset of the following token */
    const char *name;  /* of a node or property */
    const void *data;  /* of a property */
    uint32_t len;
};

static uint32_t be32(const void *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return __builtin_bswap32(v);
}

static const struct header *header(const void *fdt)
{
    return fdt;
}

static struct token token_at(const void *fdt, uint32_t offset)
{
    uint32_t size = be32(&header(fdt)->size_struct);
    const char *base = (const char *)fdt + be32(&header(fdt)->off_struct);
    struct token t = { .kind = TOKEN_END, .next = size };

    if (offset > size || size - offset < 4)
        return t;
    t.kind = be32(base + offset);
    t.next = offset + 4;
    if (t.kind == TOKEN_BEGIN_NODE) {
        size_t len = strnlen(base + t.next, size - t.next);

        t.name = base + t.next;
        t.next = (uint32_t)ALIGN_UP(t.next + len + 1, 4);
    } else if (t.kind == TOKEN_PROP) {
        if (size - t.next < 8)
            return (struct token){ .kind = TOKEN_END, .next = size };
        t.len = be32(base + t.next);
        t.name = (const char *)fdt + be32(&header(fdt)->off_strings) + be32(base + t.next + 4);
        t.data = base + t.next + 8;
        if (t.len > size - t.next - 8)
            return (struct token){ .kind = TOKEN_END, .next = size };
        t.next = (uint32_t)ALIGN_UP(t.next + 8 + t.len, 4);
    }
    return t;
}

bool fdt_open(const void *fdt, struct fdt_node *ret_root)
{
    struct token t;

    if (be32(&header(fdt)->magic) != TREE_MAGIC)
        return false;
    *ret_root = (struct fdt_node){ fdt, 0 };
    while ((t = token_at(fdt, ret_root->offset)).kind == TOKEN_NOP)
        ret_root->offset = t.next;
    return t.kind == TOKEN_BEGIN_NODE;
}

const char *fdt_name(const struct fdt_node *node)
{
    return token_at(node->fdt, node->offset).name;
}

const void *fdt_prop(const struct fdt_node *node, const char *name, size_t *ret_len)
{
    struct token t = token_at(node->fdt, node->offset);

    for (;;) {
        t = token_at(node->fdt, t.next);
        if (t.kind == TOKEN_NOP)
            continue;
        if (t.kind != TOKEN_PROP)
            return NULL;
        if (!strcmp(t.name, name)) {
            *ret_len = t.len;
            return t.data;
        }
    }
}

/* Skip the node that begins at offset; returns the offset after its end. */
static uint32_t skip_node(const void *fdt, uint32_t offset)
{
    struct token t = token_at(fdt, offset);
    uint32_t depth = 1;

    while (depth && t.kind != TOKEN_END) {
        offset = t.next;
        t = token_at(fdt, offset);
        if (t.kind == TOKEN_BEGIN_NODE)
            depth++;
        else if (t.kind == TOKEN_END_NODE)
            depth--;
    }
    return t.next;
}

/* The node that begins at or after offset on the same level. */
static bool node_from(const void *fdt, uint32_t offset, struct fdt_node *ret)
{
    for (;;) {
        struct token t = token_at(fdt, offset);

        if (t.kind == TOKEN_BEGIN_NODE) {
            *ret = (struct fdt_node){ fdt, offset };
            return true;
        }
        if (t.kind != TOKEN_PROP && t.kind != TOKEN_NOP)
            return false;
        offset = t.next;
    }
}

bool fdt_first_child(const struct fdt_node *parent, struct fdt_node *ret)
{
    return node_from(parent->fdt, token_at(parent->fdt, parent->offset).next, ret);
}

bool fdt_next_sibling(struct fdt_node *node)
{
    return node_from(node->fdt, skip_node(node->fdt, node->offset), node);
}

bool fdt_child(const struct fdt_node *parent, const char *name, struct fdt_node *ret)
{
    struct fdt_node n;

    if (!fdt_first_child(parent, &n))
        return false;
    do {
        if (!strcmp(fdt_name(&n), name)) {
            *ret = n;
            return true;
        }
    } while (fdt_next_sibling(&n));
    return false;
}

uint64_t fdt_prop_u64(const struct fdt_node *node, const char *name, uint64_t otherwise)
{
    size_t len;
    const char *p = fdt_prop(node, name, &len);

    if (p && len == 4)
        return be32(p);
    if (p && len == 8)
        return (uint64_t)be32(p) << 32 | be32(p + 4);
    return otherwise;
}

const char *fdt_prop_str(const struct fdt_node *node, const char *name)
{
    size_t len;
    const char *p = fdt_prop(node, name, &len);

    return p && len && !p[len - 1] ? p : "";
}
