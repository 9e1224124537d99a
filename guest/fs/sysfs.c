/* /sys: the few files that run-times read to learn of processors, pages and control groups. */
#include "fs/sysfs.h"

#include "fs/procfs.h"

#include <linux/magic.h>

static const struct proc_entry topology_entries[] = {
    PROC_TEXT("physical_package_id", "0\n"),
    PROC_TEXT("core_id", "0\n"),
    PROC_TEXT("core_cpus", "1\n"),
    PROC_TEXT("core_cpus_list", "0\n"),
    PROC_TEXT("package_cpus", "1\n"),
    PROC_TEXT("package_cpus_list", "0\n"),
    PROC_TEXT("core_siblings", "1\n"),
    PROC_TEXT("core_siblings_list", "0\n"),
    PROC_TEXT("thread_siblings", "1\n"),
    PROC_TEXT("thread_siblings_list", "0\n"),
    { 0 },
};

static const struct proc_entry cpu0_entries[] = {
    PROC_DIR("topology", topology_entries), PROC_TEXT("online", "1\n"), { 0 },
};

static const struct proc_entry cpu_entries[] = {
    PROC_DIR("cpu0", cpu0_entries),    PROC_TEXT("online", "0\n"),  PROC_TEXT("offline", "\n"),
    PROC_TEXT("possible", "0\n"),      PROC_TEXT("present", "0\n"), PROC_TEXT("isolated", "\n"),
    PROC_TEXT("kernel_max", "8191\n"), { 0 },
};

static const struct proc_entry node0_entries[] = {
    PROC_TEXT("cpulist", "0\n"), PROC_TEXT("cpumap", "1\n"), PROC_TEXT("distance", "10\n"), { 0 },
};
static const struct proc_entry node_entries[] = {
    PROC_DIR("node0", node0_entries), PROC_TEXT("online", "0\n"),  PROC_TEXT("possible", "0\n"),
    PROC_TEXT("has_cpu", "0\n"),      PROC_TEXT("has_memory", "0\n"), { 0 },
};

static const struct proc_entry system_entries[] = { PROC_DIR("cpu", cpu_entries), PROC_DIR("node", node_entries), { 0 } };
static const struct proc_entry devices_entries[] = { PROC_DIR("system", system_entries), { 0 } };

static const struct proc_entry thp_entries[] = {
    PROC_SETTING("enabled", "always [madvise] never\n"),
    PROC_SETTING("defrag", "always defer defer+madvise [madvise] never\n"),
    PROC_SETTING("shmem_enabled", "always within_size advise [never] deny force\n"),
    PROC_TEXT("hpage_pmd_size", "2097152\n"),
    PROC_SETTING("use_zero_page", "1\n"),
    { 0 },
};
static const struct proc_entry kernel_mm_entries[] = { PROC_DIR("transparent_hugepage", thp_entries), { 0 } };

static const struct proc_entry empty[] = { { 0 } };

static const struct proc_entry kernel_entries[] = { PROC_DIR("mm", kernel_mm_entries), { 0 } };
static const struct proc_entry fs_entries[] = { PROC_DIR("cgroup", empty), { 0 } };
static const struct proc_entry class_entries[] = { PROC_DIR("net", empty), { 0 } };

static const struct proc_entry root_entries[] = {
    PROC_DIR("block", empty),             PROC_DIR("bus", empty),     PROC_DIR("class", class_entries),
    PROC_DIR("devices", devices_entries), PROC_DIR("fs", fs_entries), PROC_DIR("kernel", kernel_entries),
    PROC_DIR("module", empty),            { 0 },
};

struct superblock *sysfs_mount(void)
{
    static const struct proc_entry root = PROC_DIR("/", root_entries);

    return proc_tree_mount("sysfs", SYSFS_MAGIC, &root);
}
