/*
 * Red-black trees threaded through their elements (Cormen et al., chapter 13). The user walks down
 * and compares himself, then calls rb_link and rb_insert_fixup; see vma.c. If update is set, the
 * tree is augmented: update recomputes what a node keeps about its subtree from its own data and
 * its children.
 */
#ifndef LIB_RBTREE_H
#define LIB_RBTREE_H

#include "lib/base.h"

struct rb_node {
    struct rb_node *parent, *left, *right;
    bool red;
};

struct rb_root {
    struct rb_node *node;
    void (*update)(struct rb_node *node);
};

#define rb_entry(ptr, type, member) container_of(ptr, type, member)

/* Put node at *link, which is parent's empty left or right (or root->node, with parent NULL). */
static inline void rb_link(struct rb_node *node, struct rb_node *parent, struct rb_node **link)
{
    node->parent = parent;
    node->left = NULL;
    node->right = NULL;
    node->red = true;
    *link = node;
}

void rb_insert_fixup(struct rb_root *root, struct rb_node *node);
void rb_erase(struct rb_root *root, struct rb_node *node);

/* The data of node that update looks at has changed: carry it up to the root. */
void rb_propagate(struct rb_root *root, struct rb_node *node);

struct rb_node *rb_first(const struct rb_root *root);
struct rb_node *rb_last(const struct rb_root *root);
struct rb_node *rb_next(const struct rb_node *node);
struct rb_node *rb_prev(const struct rb_node *node);

#endif
