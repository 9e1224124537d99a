/*
 * Reading a flattened device tree (Devicetree Specification v0.4, chapter 5). The vmm makes it and is trusted, but a
 * broken tree ends in a panic line rather than in a wild read.
 */
#ifndef ARCH_FDT_H
#define ARCH_FDT_H

#include "lib/base.h"

struct fdt_node {
    const void *fdt;
    uint32_t offset; /* of FDT_BEGIN_NODE in the structure block */
};

bool fdt_open(const void *fdt, struct fdt_node *ret_root);
bool fdt_child(const struct fdt_node *parent, const char *name, struct fdt_node *ret); /* by full name */
bool fdt_first_child(const struct fdt_node *parent, struct fdt_node *ret);
bool fdt_next_sibling(struct fdt_node *node);
const char *fdt_name(const struct fdt_node *node);
const void *fdt_prop(const struct fdt_node *node, const char *name, size_t *ret_len); /* NULL: none */
uint64_t fdt_prop_u64(const struct fdt_node *node, const char *name, uint64_t otherwise); /* 4 or 8 bytes */
const char *fdt_prop_str(const struct fdt_node *node, const char *name);                  /* "" if there is none */

#endif
