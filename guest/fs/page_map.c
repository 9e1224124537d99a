/*
 * The pages of a tmpfs file by index: the first ones in the inode, so that small files need no node, the others in a radix
 * tree. A node is a 4 KiB array; nodes at the lowest level hold frames, higher ones pointers to nodes.
 */
#include "fs/tmpfs.h"
#include "lib/kmalloc.h"

#define NODE_BITS 9
#define NODE_SLOTS (1u << NODE_BITS)

static uint64_t tree_span(const struct page_map *map)
{
    return map->height * NODE_BITS >= 64 ? UINT64_MAX : 1ull << (map->height * NODE_BITS);
}

static gpa_t *new_node(void)
{
    return kcalloc(NODE_SLOTS, sizeof(gpa_t));
}

/* The slot of index in a tree that covers it, or NULL where a node is missing (made if create). */
static gpa_t *find_slot(const struct page_map *map, uint64_t index, bool create)
{
    gpa_t *node = map->tree;

    for (uint32_t level = map->height - 1; level > 0; level--) {
        gpa_t *entry = &node[index >> (level * NODE_BITS) & (NODE_SLOTS - 1)];

        if (!*entry && create)
            *entry = (uintptr_t)new_node();
        if (!*entry)
            return NULL;
        node = (gpa_t *)(uintptr_t)*entry;
    }
    return &node[index & (NODE_SLOTS - 1)];
}

gpa_t page_map_get(const struct page_map *map, uint64_t index)
{
    const gpa_t *slot;

    if (index < TMPFS_DIRECT_PAGES)
        return map->direct[index];
    if (!map->tree || index >= tree_span(map))
        return 0;
    slot = find_slot(map, index, false);
    return slot ? *slot : 0;
}

static int raise_tree(struct page_map *map, uint64_t index)
{
    while (!map->tree || index >= tree_span(map)) {
        gpa_t *node = new_node();

        if (!node)
            return -ENOMEM;
        node[0] = (uintptr_t)map->tree;
        map->tree = node;
        map->height++;
    }
    return 0;
}

int page_map_set(struct page_map *map, uint64_t index, gpa_t gpa)
{
    gpa_t *slot;

    if (index < TMPFS_DIRECT_PAGES) {
        slot = &map->direct[index];
    } else {
        if (raise_tree(map, index) < 0)
            return -ENOMEM;
        slot = find_slot(map, index, true);
        if (!slot)
            return -ENOMEM;
    }
    *slot = gpa;
    map->count++;
    return 0;
}

gpa_t page_map_take(struct page_map *map, uint64_t index)
{
    gpa_t *slot, gpa;

    if (index < TMPFS_DIRECT_PAGES)
        slot = &map->direct[index];
    else
        slot = map->tree && index < tree_span(map) ? find_slot(map, index, false) : NULL;
    if (!slot || !*slot)
        return 0;
    gpa = *slot;
    *slot = 0;
    map->count--;
    return gpa;
}

/* How many indexes from this one on lie in a subtree that doesn't exist; 0 if its lowest node exists. */
static uint64_t missing_span(const struct page_map *map, uint64_t index)
{
    const gpa_t *node = map->tree;

    if (!node || index >= tree_span(map))
        return UINT64_MAX - index;
    for (uint32_t level = map->height - 1; level > 0; level--) {
        uint64_t span = 1ull << (level * NODE_BITS);
        gpa_t entry = node[index >> (level * NODE_BITS) & (NODE_SLOTS - 1)];

        if (!entry)
            return span - (index & (span - 1));
        node = (const gpa_t *)(uintptr_t)entry;
    }
    return 0;
}

uint64_t page_map_next(const struct page_map *map, uint64_t from, uint64_t end, bool hole)
{
    uint64_t i = from;

    while (i < end) {
        uint64_t skip = i < TMPFS_DIRECT_PAGES ? 0 : missing_span(map, i);

        if (skip > 0 && hole)
            return i;
        if (skip == 0 && (page_map_get(map, i) == 0) == hole)
            return i;
        i += MAX(skip, 1ul);
    }
    return end;
}

static void free_nodes(gpa_t *node, uint32_t level)
{
    if (level > 0) {
        for (size_t i = 0; i < NODE_SLOTS; i++) {
            if (node[i])
                free_nodes((gpa_t *)(uintptr_t)node[i], level - 1);
        }
    }
    kfree(node);
}

void page_map_destroy(struct page_map *map)
{
    if (map->tree)
        free_nodes(map->tree, map->height - 1);
    map->tree = NULL;
    map->height = 0;
}
