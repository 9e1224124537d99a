/*
 * Red-black trees: rebalancing and walking. Pure logic, also built on the host for its unit tests.
 */
#include "lib/rbtree.h"

static bool is_red(const struct rb_node *node)
{
    return node && node->red;
}

static void update(struct rb_root *root, struct rb_node *node)
{
    if (root->update && node)
        root->update(node);
}

void rb_propagate(struct rb_root *root, struct rb_node *node)
{
    if (!root->update)
        return;
    for (; node; node = node->parent)
        root->update(node);
}

/* Put new where old hangs below its parent. */
static void replace_child(struct rb_root *root, struct rb_node *old, struct rb_node *new)
{
    struct rb_node *parent = old->parent;

    if (!parent)
        root->node = new;
    else if (parent->left == old)
        parent->left = new;
    else
        parent->right = new;
    if (new)
        new->parent = parent;
}

static void rotate_left(struct rb_root *root, struct rb_node *x)
{
    struct rb_node *y = x->right;

    x->right = y->left;
    if (y->left)
        y->left->parent = x;
    replace_child(root, x, y);
    y->left = x;
    x->parent = y;
    update(root, x);
    update(root, y);
}

static void rotate_right(struct rb_root *root, struct rb_node *x)
{
    struct rb_node *y = x->left;

    x->left = y->right;
    if (y->right)
        y->right->parent = x;
    replace_child(root, x, y);
    y->right = x;
    x->parent = y;
    update(root, x);
    update(root, y);
}

/* Two reds in a row below a red left child of grand; returns where to go on. */
static struct rb_node *insert_fix_left(struct rb_root *root, struct rb_node *node,
                                       struct rb_node *grand)
{
    struct rb_node *parent = node->parent;

    if (node == parent->right) {
        rotate_left(root, parent);
        node = parent;
        parent = node->parent;
    }
    parent->red = false;
    grand->red = true;
    rotate_right(root, grand);
    return node;
}

static struct rb_node *insert_fix_right(struct rb_root *root, struct rb_node *node,
                                        struct rb_node *grand)
{
    struct rb_node *parent = node->parent;

    if (node == parent->left) {
        rotate_right(root, parent);
        node = parent;
        parent = node->parent;
    }
    parent->red = false;
    grand->red = true;
    rotate_left(root, grand);
    return node;
}

void rb_insert_fixup(struct rb_root *root, struct rb_node *node)
{
    rb_propagate(root, node);
    while (is_red(node->parent)) {
        struct rb_node *grand = node->parent->parent; /* a red node isn't the root */
        bool left = node->parent == grand->left;
        struct rb_node *uncle = left ? grand->right : grand->left;

        if (is_red(uncle)) {
            node->parent->red = false;
            uncle->red = false;
            grand->red = true;
            node = grand;
        } else {
            node = left ? insert_fix_left(root, node, grand) : insert_fix_right(root, node, grand);
        }
    }
    root->node->red = false;
}

/*
 * The subtree at parent's left child lacks a black node. Returns true when nothing is left to do.
 */
static bool erase_fix_left(struct rb_root *root, struct rb_node *parent)
{
    struct rb_node *sibling = parent->right;

    if (is_red(sibling)) {
        sibling->red = false;
        parent->red = true;
        rotate_left(root, parent);
        sibling = parent->right;
    }
    if (!is_red(sibling->left) && !is_red(sibling->right)) {
        sibling->red = true;
        return false;
    }
    if (!is_red(sibling->right)) {
        sibling->left->red = false;
        sibling->red = true;
        rotate_right(root, sibling);
        sibling = parent->right;
    }
    sibling->red = parent->red;
    parent->red = false;
    sibling->right->red = false;
    rotate_left(root, parent);
    return true;
}

static bool erase_fix_right(struct rb_root *root, struct rb_node *parent)
{
    struct rb_node *sibling = parent->left;

    if (is_red(sibling)) {
        sibling->red = false;
        parent->red = true;
        rotate_right(root, parent);
        sibling = parent->left;
    }
    if (!is_red(sibling->left) && !is_red(sibling->right)) {
        sibling->red = true;
        return false;
    }
    if (!is_red(sibling->left)) {
        sibling->right->red = false;
        sibling->red = true;
        rotate_left(root, sibling);
        sibling = parent->left;
    }
    sibling->red = parent->red;
    parent->red = false;
    sibling->left->red = false;
    rotate_right(root, parent);
    return true;
}

static void erase_fixup(struct rb_root *root, struct rb_node *node, struct rb_node *parent)
{
    while (parent && !is_red(node)) {
        if (node == parent->left ? erase_fix_left(root, parent) : erase_fix_right(root, parent))
            return;
        node = parent;
        parent = node->parent;
    }
    if (node)
        node->red = false;
}

/* A node with two children gives its place to its successor, which has no left child. */
static void erase_inner(struct rb_root *root, struct rb_node *node, struct rb_node **child,
                        struct rb_node **parent, bool *black)
{
    struct rb_node *next = node->right;

    while (next->left)
        next = next->left;
    *child = next->right;
    *black = !next->red;
    if (next->parent == node) {
        *parent = next;
    } else {
        *parent = next->parent;
        replace_child(root, next, next->right);
        next->right = node->right;
        next->right->parent = next;
    }
    replace_child(root, node, next);
    next->left = node->left;
    next->left->parent = next;
    next->red = node->red;
}

void rb_erase(struct rb_root *root, struct rb_node *node)
{
    struct rb_node *child, *parent;
    bool black;

    if (node->left && node->right) {
        erase_inner(root, node, &child, &parent, &black);
    } else {
        child = node->left ? node->left : node->right;
        parent = node->parent;
        black = !node->red;
        replace_child(root, node, child);
    }
    rb_propagate(root, parent);
    if (black)
        erase_fixup(root, child, parent);
}

struct rb_node *rb_first(const struct rb_root *root)
{
    struct rb_node *node = root->node;

    while (node && node->left)
        node = node->left;
    return node;
}

struct rb_node *rb_last(const struct rb_root *root)
{
    struct rb_node *node = root->node;

    while (node && node->right)
        node = node->right;
    return node;
}

struct rb_node *rb_next(const struct rb_node *node)
{
    const struct rb_node *parent;

    if (node->right) {
        struct rb_node *next = node->right;

        while (next->left)
            next = next->left;
        return next;
    }
    for (parent = node->parent; parent && node == parent->right; parent = node->parent)
        node = parent;
    return node->parent;
}

struct rb_node *rb_prev(const struct rb_node *node)
{
    const struct rb_node *parent;

    if (node->left) {
        struct rb_node *prev = node->left;

        while (prev->right)
            prev = prev->right;
        return prev;
    }
    for (parent = node->parent; parent && node == parent->left; parent = node->parent)
        node = parent;
    return node->parent;
}
