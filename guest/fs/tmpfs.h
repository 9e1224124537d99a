/*
 * Between the parts of tmpfs: the file system in memory. Directories are in tmpfs.c, file data in tmpfs_data.c,
 * extended attributes in memxattr.c.
 */
#ifndef FS_TMPFS_H
#define FS_TMPFS_H

#include "fs/memxattr.h"
#include "fs/vfs.h"
#include "lib/rbtree.h"

#define TMPFS_DIRECT_PAGES 4

/* The pages of a file: a few at once, the others in a radix tree of 512-entry nodes that grows upwards. 0: a hole. */
struct page_map {
    gpa_t direct[TMPFS_DIRECT_PAGES];
    gpa_t *tree;
    uint32_t height;   /* levels of nodes below tree; 0: no tree */
    uint64_t count;    /* pages that are there */
};

struct tmpfs_entry {
    struct rb_node by_name;   /* hash, then name */
    struct rb_node by_cookie; /* creation order: what readdir goes by */
    uint64_t cookie;
    struct inode *inode;      /* a reference */
    uint32_t hash;
    uint32_t len;
    char name[];
};

struct tmpfs_node {
    struct memxattr xattrs;
    union {
        struct page_map pages;
        struct {
            struct rb_root names;
            struct rb_root cookies;
            uint64_t next_cookie;
            uint64_t count;
        } dir;
    };
};

struct tmpfs_super {
    uint64_t limit_pages;
    uint64_t used_pages;
    uint64_t inode_count;
    uint64_t ino_bits;   /* or'ed to inode numbers: an overlay's upper layer must not collide with the lower one */
};

static inline struct tmpfs_node *tmpfs_node(const struct inode *inode)
{
    return inode->data;
}

static inline struct tmpfs_super *tmpfs_super(const struct inode *inode)
{
    return inode->sb->data;
}

extern const struct file_ops tmpfs_file_ops;

/* Set in all inode numbers to come, and in the root's. */
void tmpfs_set_ino_bits(struct superblock *sb, uint64_t bits);

int tmpfs_truncate(struct inode *inode, uint64_t size);
uint64_t tmpfs_page_count(const struct inode *inode, uint64_t first, uint64_t end); /* pages with memory in [first, end) */

/* page_map (page_map.c): pure but for its node allocation. */
gpa_t page_map_get(const struct page_map *map, uint64_t index);
int page_map_set(struct page_map *map, uint64_t index, gpa_t gpa); /* the slot was empty; -ENOMEM */
/* Empty the slot and return what was in it. */
gpa_t page_map_take(struct page_map *map, uint64_t index);
/* The first index >= from with a page (hole false) or without (hole true), below end; end if there is none. */
uint64_t page_map_next(const struct page_map *map, uint64_t from, uint64_t end, bool hole);
/* Free the nodes; all slots have been emptied. */
void page_map_destroy(struct page_map *map);

#endif
