/* The device tree's bindings (docs/architecture.md) as a struct. */
#include "arch/bootinfo.h"

#include "arch/fdt.h"
#include "lib/log.h"
#include "lib/string.h"
#include "hypercalls/layout.h"

struct boot_info boot_info;

static const struct {
    const char *compatible;
    enum boot_mount_kind kind;
} mount_kinds[] = {
    { "vmm,gofer", BOOT_MOUNT_GOFER },
    { "vmm,tmpfs", BOOT_MOUNT_TMPFS },
    { "vmm,symlink", BOOT_MOUNT_SYMLINK },
    { "vmm,file", BOOT_MOUNT_FILE },
    { "vmm,disk", BOOT_MOUNT_DISK },
};

static struct fdt_node must_child(const struct fdt_node *parent, const char *name)
{
    struct fdt_node n;

    if (!fdt_child(parent, name, &n))
        panic("device tree: no node %s", name);
    return n;
}

/* reg = <address size>, two cells each. */
static void parse_reg(const struct fdt_node *node, uint64_t *ret_base, uint64_t *ret_size)
{
    size_t len;
    const uint64_t *reg = fdt_prop(node, "reg", &len);
    uint64_t v[2];

    if (!reg || len != 16)
        panic("device tree: %s has no reg", fdt_name(node));
    memcpy(v, reg, sizeof(v));
    *ret_base = __builtin_bswap64(v[0]);
    *ret_size = __builtin_bswap64(v[1]);
}

static void parse_mount(const struct fdt_node *node)
{
    const char *compatible = fdt_prop_str(node, "compatible");
    struct boot_mount *m = &boot_info.mounts[boot_info.mount_count];
    size_t len;

    if (boot_info.mount_count == BOOT_MOUNT_MAX)
        panic("device tree: more than %d mounts", BOOT_MOUNT_MAX);
    for (size_t i = 0; i < ARRAY_SIZE(mount_kinds); i++) {
        if (strcmp(compatible, mount_kinds[i].compatible))
            continue;
        m->kind = mount_kinds[i].kind;
        m->dst = fdt_prop_str(node, "dst");
        m->export = (uint32_t)fdt_prop_u64(node, "export", 0);
        m->readonly = fdt_prop(node, "read-only", &len);
        m->overlay = fdt_prop(node, "overlay", &len);
        m->has_upper = fdt_prop(node, "upper", &len);
        m->upper = (uint32_t)fdt_prop_u64(node, "upper", 0);
        m->cache = (enum boot_cache)fdt_prop_u64(node, "cache", BOOT_CACHE_EXCLUSIVE);
        m->text = fdt_prop(node, "text", &len);
        m->text_len = m->text ? len : 0;
        if (m->text && len && m->kind == BOOT_MOUNT_SYMLINK)
            m->text_len = len - 1; /* a string, with its NUL */
        boot_info.mount_count++;
        return;
    }
    panic("device tree: mount of unknown kind %s", compatible);
}

static void parse_device(const struct fdt_node *node)
{
    struct boot_device *d = &boot_info.devices[boot_info.device_count];
    uint64_t size;

    if (boot_info.device_count == BOOT_DEVICE_MAX)
        panic("device tree: more than %d devices", BOOT_DEVICE_MAX);
    parse_reg(node, &d->regs, &size);
    d->doorbell = (uint32_t)fdt_prop_u64(node, "doorbell", 0);
    boot_info.device_count++;
}

static void parse_chosen(const struct fdt_node *chosen)
{
    struct boot_info *b = &boot_info;
    uint64_t base;
    size_t len;
    const uint64_t *seed;

    b->log_level = (uint32_t)fdt_prop_u64(chosen, "log-level", LOG_WARN);
    b->strace = fdt_prop(chosen, "strace", &len);
    b->tty = fdt_prop(chosen, "tty", &len);
    b->no_rewrite = fdt_prop(chosen, "no-rewrite", &len);
    b->prefault = fdt_prop(chosen, "prefault", &len);
    b->uid = (uint32_t)fdt_prop_u64(chosen, "uid", 0);
    b->gid = (uint32_t)fdt_prop_u64(chosen, "gid", 0);
    b->pids_max = fdt_prop_u64(chosen, "pids-max", UINT64_MAX);
    b->file_size_max = fdt_prop_u64(chosen, "file-size-max", UINT64_MAX);
    b->mem_limit = fdt_prop_u64(chosen, "mem-limit", 0);
    b->stdio_open = (uint32_t)fdt_prop_u64(chosen, "stdio-open", 0);
    b->poll_needs_exit = fdt_prop(chosen, "single-host-cpu", &len);
    b->publish = fdt_prop(chosen, "publish", &len);
    b->publish_count = b->publish ? len / 4 : 0;
    b->nic_addrs = fdt_prop(chosen, "nic-addrs", &len);
    b->nic_addr_count = b->nic_addrs ? len / 17 : 0;
    b->nic_gateways = fdt_prop(chosen, "nic-gateways", &len);
    b->nic_gateway_count = b->nic_gateways ? len / 16 : 0;
    b->nic_dhcp = fdt_prop(chosen, "nic-dhcp", &len);
    b->net_v6 = fdt_prop(chosen, "net-v6", &len);
    b->hostname = fdt_prop_str(chosen, "hostname");
    b->cwd = fdt_prop_str(chosen, "cwd");
    b->program = fdt_prop_str(chosen, "program");
    b->argc = (uint32_t)fdt_prop_u64(chosen, "argc", 0);
    b->envc = (uint32_t)fdt_prop_u64(chosen, "envc", 0);
    base = fdt_prop_u64(chosen, "strings", 0);
    b->strings = (const char *)(DIRECT_BASE + base);
    b->strings_size = fdt_prop_u64(chosen, "strings-size", 0);
    b->first_free = fdt_prop_u64(chosen, "first-free", 0);
    seed = fdt_prop(chosen, "rng-seed", &len);
    if (!seed || len < sizeof(b->seed))
        panic("device tree: no rng-seed");
    memcpy(b->seed, seed, sizeof(b->seed));
}

void bootinfo_parse(const void *fdt)
{
    struct fdt_node root, node, devices, mounts;
    uint64_t base, size;

    if (!fdt_open(fdt, &root))
        panic("no device tree");
    node = must_child(&root, "memory@0");
    parse_reg(&node, &base, &size);
    boot_info.ram_end = base + size;
    node = must_child(&root, "arena");
    parse_reg(&node, &boot_info.arena, &boot_info.arena_size);
    node = must_child(&root, "window-ro");
    parse_reg(&node, &boot_info.window_ro, &boot_info.window_ro_size);
    node = must_child(&root, "window-rw");
    parse_reg(&node, &boot_info.window_rw, &boot_info.window_rw_size);
    node = must_child(&root, "cpus");
    boot_info.tsc_khz = fdt_prop_u64(&node, "tsc-khz", 0);
    node = must_child(&root, "chosen");
    parse_chosen(&node);
    devices = must_child(&root, "devices");
    if (fdt_first_child(&devices, &node))
        do
            parse_device(&node);
        while (fdt_next_sibling(&node));
    mounts = must_child(&root, "mounts");
    if (fdt_first_child(&mounts, &node))
        do
            parse_mount(&node);
        while (fdt_next_sibling(&node));
}
