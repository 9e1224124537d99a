/* The shim's device tree reader against trees that libfdt wrote. */
#include <criterion/criterion.h>
#include <libfdt.h>
#include <string.h>

#include "guest/arch/fdt.h"

static char tree[4096];

static void make(void)
{
    cr_assert_eq(fdt_create(tree, sizeof(tree)), 0);
    fdt_finish_reservemap(tree);
    fdt_begin_node(tree, "");
    fdt_property_u32(tree, "#address-cells", 2);
    fdt_begin_node(tree, "memory@0");
    fdt_property_u64(tree, "size", 0x123456789aull);
    fdt_begin_node(tree, "inner");
    fdt_property_string(tree, "name", "deep");
    fdt_end_node(tree);
    fdt_end_node(tree);
    fdt_begin_node(tree, "chosen");
    fdt_property_u32(tree, "uid", 7);
    fdt_property(tree, "flag", NULL, 0);
    fdt_property_string(tree, "program", "/bin/true");
    fdt_end_node(tree);
    fdt_end_node(tree);
    cr_assert_eq(fdt_finish(tree), 0);
}

Test(fdt, finds_nodes_and_properties)
{
    struct fdt_node root, n, inner;
    size_t len;

    make();
    cr_assert(fdt_open(tree, &root));
    cr_assert_eq(fdt_prop_u64(&root, "#address-cells", 0), 2);
    cr_assert(fdt_child(&root, "memory@0", &n));
    cr_assert_eq(fdt_prop_u64(&n, "size", 0), 0x123456789aull);
    cr_assert(fdt_first_child(&n, &inner));
    cr_assert_str_eq(fdt_prop_str(&inner, "name"), "deep");
    cr_assert(!fdt_next_sibling(&inner));
    cr_assert(fdt_child(&root, "chosen", &n));
    cr_assert_eq(fdt_prop_u64(&n, "uid", 0), 7);
    cr_assert_eq(fdt_prop_u64(&n, "gid", 42), 42);
    cr_assert_str_eq(fdt_prop_str(&n, "program"), "/bin/true");
    cr_assert_str_eq(fdt_prop_str(&n, "absent"), "");
    cr_assert(fdt_prop(&n, "flag", &len));
    cr_assert_eq(len, 0);
    cr_assert(!fdt_child(&root, "nothing", &n));
}

Test(fdt, a_cut_tree_ends_quietly)
{
    struct fdt_node root, n;

    make();
    for (uint32_t size = 0; size < fdt_size_dt_struct(tree); size += 4) {
        char copy[sizeof(tree)];

        memcpy(copy, tree, sizeof(copy));
        fdt_set_size_dt_struct(copy, size);
        if (fdt_open(copy, &root))
            fdt_child(&root, "nothing", &n);
    }
}

Test(fdt, refuses_other_files)
{
    struct fdt_node root;
    char junk[64] = "not a device tree";

    cr_assert(!fdt_open(junk, &root));
}
