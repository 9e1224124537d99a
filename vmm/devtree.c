/* Built with libfdt's sequential-write interface; errors are collected and looked at once. */
#include "vmm/devtree.h"

#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <string.h>
#include <sched.h>
#include <sys/random.h>

#include "common/checked.h"
#include "common/log.h"
#include "hypercalls/devices.h"
#include "vmm/devices.h"
#include "vmm/shim_image.h"

#define PAGE 4096ull
#define STRINGS_MAX (6ull << 20) /* Linux: a quarter of the stack limit, 6 MiB at most */
#define STRING_MAX (128ull << 10)
#define STRINGS_LOW_MAX (256ull << 10) /* those have room behind the shim, with what it takes at its start */

struct strings {
    uint64_t gpa, size, end; /* end: first page behind them */
};

static const char *const mount_compatible[] = {
    [VIEW_GOFER] = "vmm,gofer",
    [VIEW_TMPFS] = "vmm,tmpfs",
    [VIEW_SYMLINK] = "vmm,symlink",
    [VIEW_FILE] = "vmm,file",
    [VIEW_DISK] = "vmm,disk",
};

/* libfdt's macro of this name narrows strlen without a cast. */
static int put_text(void *fdt, const char *name, const char *text)
{
    return fdt_property(fdt, name, text, (int)strlen(text) + 1);
}

static int put_string(struct vm *vm, struct strings *s, const char *text)
{
    uint64_t len = strlen(text) + 1;
    char *p;

    if (len > STRING_MAX || s->size + len > STRINGS_MAX)
        return -E2BIG;
    p = vm_ram_ptr(vm, s->gpa + s->size, len);
    if (!p)
        return -E2BIG;
    memcpy(p, text, len);
    s->size += len;
    return 0;
}

static uint64_t strings_size(const struct options *opt)
{
    uint64_t size = 0;

    for (int i = 0; i < opt->argc; i++)
        size += strlen(opt->argv[i]) + 1;
    for (size_t i = 0; i < opt->env_count; i++)
        size += strlen(opt->env[i]) + 1;
    return size;
}

static int put_strings(struct vm *vm, const struct options *opt, struct strings *s)
{
    int err = 0;

    s->gpa = (SHIM_GPA + shim_header()->memory_size + PAGE - 1) & ~(PAGE - 1);
    if (strings_size(opt) > STRINGS_LOW_MAX)
        s->gpa = GPA_BOOT_PT + SLOT_ALIGN; /* behind the tables */
    s->size = 0;
    for (int i = 0; !err && i < opt->argc; i++)
        err = put_string(vm, s, opt->argv[i]);
    for (size_t i = 0; !err && i < opt->env_count; i++)
        err = put_string(vm, s, opt->env[i]);
    s->end = (s->gpa + s->size + PAGE - 1) & ~(PAGE - 1);
    return err;
}

static int put_reg(void *fdt, uint64_t base, uint64_t size)
{
    fdt64_t reg[2] = { cpu_to_fdt64(base), cpu_to_fdt64(size) };

    return fdt_property(fdt, "reg", reg, sizeof(reg));
}

static int put_range(void *fdt, const char *name, const char *compatible, uint64_t base, uint64_t size)
{
    return fdt_begin_node(fdt, name) | put_text(fdt, "compatible", compatible) | put_reg(fdt, base, size) |
           fdt_end_node(fdt);
}

static int put_net(void *fdt, const struct net_plan *plan)
{
    uint8_t publish[4 * NET_PUBLISH_MAX];
    size_t n = 0;
    int err = 0;

    for (size_t i = 0; i < plan->publish_count; i++) {
        publish[n++] = (uint8_t)(plan->publish[i].port >> 8);
        publish[n++] = (uint8_t)plan->publish[i].port;
        publish[n++] = plan->publish[i].datagram;
        publish[n++] = 0;
    }
    if (n)
        err |= fdt_property(fdt, "publish", publish, (int)n);
    if (plan->has_v6)
        err |= fdt_property(fdt, "net-v6", NULL, 0);
    return err;
}

/* What the device's driver can't ask it: addresses, 17 bytes each with the length of the prefix, and gateways. */
static int put_nic(void *fdt, const struct nic_spec *nic)
{
    uint8_t addrs[NIC_ADDRS_MAX][17], gateways[NIC_GATEWAYS_MAX][16];
    int err = 0;

    for (size_t i = 0; i < nic->addr_count; i++) {
        memcpy(addrs[i], nic->addrs[i].addr, 16);
        addrs[i][16] = nic->addrs[i].prefix;
    }
    for (size_t i = 0; i < nic->gateway_count; i++)
        memcpy(gateways[i], nic->gateways[i].addr, 16);
    if (nic->addr_count)
        err |= fdt_property(fdt, "nic-addrs", addrs, (int)(nic->addr_count * sizeof(addrs[0])));
    if (nic->gateway_count)
        err |= fdt_property(fdt, "nic-gateways", gateways, (int)(nic->gateway_count * sizeof(gateways[0])));
    if (nic_wants_dhcp(nic))
        err |= fdt_property(fdt, "nic-dhcp", NULL, 0);
    return err;
}

static int put_chosen(void *fdt, const struct options *opt, const struct view *view, const struct strings *s,
                      unsigned stdio_open)
{
    uint8_t seed[32];
    int err = fdt_begin_node(fdt, "chosen");

    if (getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        return -FDT_ERR_INTERNAL;
    err |= fdt_property(fdt, "rng-seed", seed, sizeof(seed));
    err |= fdt_property_u32(fdt, "log-level", opt->quiet ? LOG_ERROR : LOG_WARN + (uint32_t)opt->verbose);
    if (opt->strace)
        err |= fdt_property(fdt, "strace", NULL, 0);
    if (opt->tty)
        err |= fdt_property(fdt, "tty", NULL, 0);
    if (opt->no_rewrite)
        err |= fdt_property(fdt, "no-rewrite", NULL, 0);
    if (opt->prefault)
        err |= fdt_property(fdt, "prefault", NULL, 0);
    err |= fdt_property_u32(fdt, "uid", opt->uid);
    err |= fdt_property_u32(fdt, "gid", opt->gid);
    err |= fdt_property_u64(fdt, "mem-limit", opt->mem_size);
    err |= fdt_property_u64(fdt, "pids-max", opt->pids_max);
    err |= fdt_property_u64(fdt, "file-size-max", opt->file_size_max);
    err |= fdt_property_u32(fdt, "stdio-open", stdio_open);
    if (opt->net_plan)
        err |= put_net(fdt, opt->net_plan);
    if (opt->nic.wanted)
        err |= put_nic(fdt, &opt->nic);
    err |= put_text(fdt, "hostname", opt->hostname);
    err |= put_text(fdt, "cwd", opt->cwd);
    err |= put_text(fdt, "program", view->program);
    err |= fdt_property_u32(fdt, "argc", (uint32_t)opt->argc);
    err |= fdt_property_u32(fdt, "envc", (uint32_t)opt->env_count);
    err |= fdt_property_u64(fdt, "strings", s->gpa);
    err |= fdt_property_u64(fdt, "strings-size", s->size);
    err |= fdt_property_u64(fdt, "first-free", s->end);
    return err | fdt_end_node(fdt);
}

static int put_mount(void *fdt, const struct view_mount *m, size_t number)
{
    char name[32];
    int err;

    snprintf(name, sizeof(name), "mount@%zu", number);
    err = fdt_begin_node(fdt, name);
    err |= put_text(fdt, "compatible", mount_compatible[m->kind]);
    err |= put_text(fdt, "dst", m->dst);
    if (m->kind == VIEW_GOFER) {
        err |= fdt_property_u32(fdt, "export", m->export);
        err |= fdt_property_u32(fdt, "cache", (uint32_t)m->cache);
        if (m->readonly)
            err |= fdt_property(fdt, "read-only", NULL, 0);
        if (m->overlay)
            err |= fdt_property(fdt, "overlay", NULL, 0);
        if (m->has_upper)
            err |= fdt_property_u32(fdt, "upper", m->upper);
    }
    if (m->kind == VIEW_SYMLINK || m->kind == VIEW_DISK)
        err |= put_text(fdt, "text", m->text);
    if (m->kind == VIEW_FILE)
        err |= fdt_property(fdt, "text", m->text, (int)strlen(m->text));
    return err | fdt_end_node(fdt);
}

static int put_device(void *fdt, unsigned number)
{
    uint64_t base = GPA_DEVICES_BASE + (uint64_t)number * DEVICE_PAGE_SIZE;
    char name[32];

    snprintf(name, sizeof(name), "virtio@%llx", (unsigned long long)base);
    return fdt_begin_node(fdt, name) | put_text(fdt, "compatible", "virtio,mmio") | put_reg(fdt, base, DEVICE_PAGE_SIZE) |
           fdt_property_u32(fdt, "doorbell", number) | fdt_end_node(fdt);
}

static int put_tree(void *fdt, const struct vm *vm, const struct options *opt, const struct view *view,
                    const struct strings *s, uint64_t tsc_khz, unsigned stdio_open)
{
    int err = fdt_create(fdt, GPA_FDT_SIZE) | fdt_finish_reservemap(fdt);

    err |= fdt_begin_node(fdt, "");
    err |= fdt_property_u32(fdt, "#address-cells", 2);
    err |= fdt_property_u32(fdt, "#size-cells", 2);
    err |= put_text(fdt, "compatible", "vmm,sandbox");
    err |= fdt_begin_node(fdt, "memory@0") | put_text(fdt, "device_type", "memory") |
           put_reg(fdt, 0, vm->ram_end) | fdt_end_node(fdt);
    err |= put_range(fdt, "arena", "vmm,arena", GPA_ARENA_BASE, vm->arena_size);
    err |= put_range(fdt, "window-ro", "vmm,window", vm->window_ro.gpa, vm->window_ro.end - vm->window_ro.gpa);
    err |= put_range(fdt, "window-rw", "vmm,window", vm->window_rw.gpa, vm->window_rw.end - vm->window_rw.gpa);
    err |= fdt_begin_node(fdt, "cpus") | fdt_property_u64(fdt, "tsc-khz", tsc_khz) | fdt_end_node(fdt);
    err |= put_chosen(fdt, opt, view, s, stdio_open);
    err |= fdt_begin_node(fdt, "devices");
    for (unsigned i = 0; i < devices_count(opt); i++)
        err |= put_device(fdt, i);
    err |= fdt_end_node(fdt);
    err |= fdt_begin_node(fdt, "mounts");
    for (size_t i = 0; i < view->mount_count; i++)
        err |= put_mount(fdt, &view->mounts[i], i);
    err |= fdt_end_node(fdt) | fdt_end_node(fdt);
    return err | fdt_finish(fdt);
}

int devtree_write(struct vm *vm, const struct options *opt, const struct view *view, uint64_t tsc_khz,
                  unsigned stdio_open)
{
    struct strings s;

    if (put_strings(vm, opt, &s) < 0) {
        log_errno(opt->program, E2BIG);
        return STATUS_NOT_EXECUTABLE;
    }
    if (put_tree(vm->ram + GPA_FDT, vm, opt, view, &s, tsc_khz, stdio_open)) {
        log_error("device tree", "too many mounts");
        return STATUS_VMM_ERROR;
    }
    return 0;
}
