/*
 * What the vmm says of this sandbox: the device tree and the argument block, parsed once at boot into plain structs.
 * Strings point into boot memory, which stays.
 */
#ifndef ARCH_BOOTINFO_H
#define ARCH_BOOTINFO_H

#include "lib/base.h"

/* How the root is put together, in order; later entries over earlier ones. Missing mount points are created. */
enum boot_mount_kind {
    BOOT_MOUNT_GOFER,   /* export number `export` at dst (a directory, or a single file) */
    BOOT_MOUNT_TMPFS,
    BOOT_MOUNT_SYMLINK, /* dst -> text */
    BOOT_MOUNT_FILE,    /* a regular file with the content text */
    BOOT_MOUNT_DISK,    /* the EROFS on block device `text`, a tmpfs layer on top */
};

enum boot_cache { BOOT_CACHE_EXCLUSIVE, BOOT_CACHE_SHARED, BOOT_CACHE_NONE };

struct boot_mount {
    enum boot_mount_kind kind;
    const char *dst;
    uint32_t export;
    bool readonly;       /* writes give EROFS */
    bool overlay;        /* writes go to a layer on top: a tmpfs, */
    bool has_upper;      /* or export number `upper` */
    uint32_t upper;
    enum boot_cache cache;
    const char *text;
    size_t text_len;
};

#define BOOT_MOUNT_MAX 128

struct boot_device {
    gpa_t regs;          /* a page of virtio-mmio registers */
    uint32_t doorbell;   /* what an `out` to PORT_DEVICE says */
};

#define BOOT_DEVICE_MAX 16

struct boot_info {
    gpa_t first_free;    /* RAM from here on is unused */
    gpa_t ram_end;
    uint64_t mem_limit;
    gpa_t arena;
    uint64_t arena_size;
    gpa_t window_ro, window_rw;
    uint64_t window_ro_size, window_rw_size; /* what MAP accepts */
    uint64_t tsc_khz;
    uint64_t seed[4];    /* from the host's getrandom */
    uint32_t uid, gid;
    uint64_t pids_max, file_size_max;
    uint32_t log_level;
    bool strace;
    bool tty;            /* the program gets a terminal of its own */
    bool no_rewrite;
    bool prefault;       /* mappings come with their pages */
    uint32_t stdio_open; /* bit n: descriptor n is open */
    bool poll_needs_exit; /* nothing to gain from spinning on the ring (single host CPU) */
    const char *hostname;
    const char *cwd;
    const char *program;
    uint32_t argc, envc;
    const char *strings; /* argc + envc strings, packed */
    size_t strings_size;
    struct boot_mount mounts[BOOT_MOUNT_MAX];
    size_t mount_count;
    const uint8_t *publish; /* 4 bytes each: port (big-endian), 1 for datagrams, 0 */
    size_t publish_count;
    bool net_v6;            /* the host has IPv6 */
    const uint8_t *nic_addrs;    /* 17 bytes each: an address (IPv4 mapped) and the length of its prefix */
    size_t nic_addr_count;
    const uint8_t *nic_gateways; /* 16 bytes each */
    size_t nic_gateway_count;
    bool nic_dhcp;
    struct boot_device devices[BOOT_DEVICE_MAX];
    size_t device_count;
};

extern struct boot_info boot_info;

void bootinfo_parse(const void *fdt);

#endif
