/* /proc: what concerns the whole sandbox. Formats: proc(5). */
#include "fs/procfs.h"

#include "arch/bootinfo.h"
#include "arch/cpu.h"
#include "fs/blkdev.h"
#include "fs/procfs_cpu.h"
#include "ipc/ipc.h"
#include "lib/string.h"
#include "linux_abi/release.h"
#include "mm/frame.h"

#define USER_HZ 100
#define NS_PER_TICK (NSEC_PER_SEC / USER_HZ)

/* --- disks --- */

static int show_partitions(struct seq *s, const struct proc_node *node UNUSED)
{
    const struct blkdev *b;

    seq_puts(s, "major minor  #blocks  name\n\n");
    for (size_t i = 0; (b = blkdev_at(i)) != NULL; i++)
        seq_printf(s, "%4u  %7u %10lu %s\n", vfs_major(b->rdev), vfs_minor(b->rdev), (unsigned long)(b->size / 1024), b->name);
    return 0;
}

/* --- memory --- */

static void put_kib(struct seq *s, const char *name, uint64_t kib)
{
    size_t start = s->len;

    seq_printf(s, "%s:", name);
    seq_pad(s, start, 15);
    seq_printf(s, " %8lu kB\n", (unsigned long)kib);
}

static int show_meminfo(struct seq *s, const struct proc_node *node UNUSED)
{
    static const char *const zero[] = {
        "SwapCached", "Active(anon)", "Inactive(anon)", "Active(file)", "Inactive(file)", "Unevictable", "Mlocked",
        "SwapTotal",  "SwapFree",     "Dirty",          "Writeback",
    };
    static const char *const zero_end[] = {
        "KernelStack",    "PageTables",     "NFS_Unstable", "Bounce",        "WritebackTmp",
    };
    uint64_t total = frame_total() * 4, left = frame_free_count() * 4, used = total - left;

    put_kib(s, "MemTotal", total);
    put_kib(s, "MemFree", left);
    put_kib(s, "MemAvailable", left);
    put_kib(s, "Buffers", 0);
    put_kib(s, "Cached", 0);
    put_kib(s, "Active", used);
    put_kib(s, "Inactive", 0);
    for (size_t i = 0; i < ARRAY_SIZE(zero); i++)
        put_kib(s, zero[i], 0);
    put_kib(s, "AnonPages", used);
    put_kib(s, "Mapped", 0);
    put_kib(s, "Shmem", 0);
    put_kib(s, "KReclaimable", 0);
    put_kib(s, "Slab", 0);
    put_kib(s, "SReclaimable", 0);
    put_kib(s, "SUnreclaim", 0);
    for (size_t i = 0; i < ARRAY_SIZE(zero_end); i++)
        put_kib(s, zero_end[i], 0);
    put_kib(s, "CommitLimit", total);
    put_kib(s, "Committed_AS", used);
    put_kib(s, "VmallocTotal", 34359738367ul);
    put_kib(s, "VmallocUsed", 0);
    put_kib(s, "VmallocChunk", 0);
    put_kib(s, "AnonHugePages", 0);
    seq_puts(s, "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\nHugePages_Surp:        0\n");
    put_kib(s, "Hugepagesize", 2048);
    put_kib(s, "Hugetlb", 0);
    return 0;
}

static int show_vmstat(struct seq *s, const struct proc_node *node UNUSED)
{
    seq_printf(s, "nr_free_pages %lu\nnr_mapped 0\nnr_file_pages 0\nnr_dirty 0\nnr_writeback 0\npgpgin 0\npgpgout 0\n"
                  "pswpin 0\npswpout 0\npgfault %lu\npgmajfault 0\n",
               (unsigned long)frame_free_count(), (unsigned long)report.faults);
    return 0;
}

/* --- time and load --- */

static uint64_t busy_ns(void)
{
    struct process *p;
    uint64_t sum = 0;

    list_for_each(p, &all_processes, all_node)
        sum += p->cpu_ns;
    return sum;
}

static int show_uptime(struct seq *s, const struct proc_node *node UNUSED)
{
    uint64_t up = clock_boot_ns() / 10000000ull, busy = busy_ns() / 10000000ull;
    uint64_t idle = up > busy ? up - busy : 0;

    seq_printf(s, "%lu.%02lu %lu.%02lu\n", (unsigned long)(up / 100), (unsigned long)(up % 100),
               (unsigned long)(idle / 100), (unsigned long)(idle % 100));
    return 0;
}

static int last_pid(void)
{
    struct process *p;
    int last = 1;

    list_for_each(p, &all_processes, all_node)
        last = MAX(last, p->pid);
    return last;
}

static uint32_t runnable_threads(void)
{
    struct process *p;
    struct thread *t;
    uint32_t count = 0;

    list_for_each(p, &all_processes, all_node) {
        list_for_each(t, &p->threads, proc_node)
            count += t->state == THREAD_RUNNABLE;
    }
    return count;
}

static int show_loadavg(struct seq *s, const struct proc_node *node UNUSED)
{
    seq_printf(s, "0.00 0.00 0.00 %u/%u %d\n", runnable_threads(), thread_total, last_pid());
    return 0;
}

static int show_stat(struct seq *s, const struct proc_node *node UNUSED)
{
    uint64_t up = clock_boot_ns() / NS_PER_TICK, busy = busy_ns() / NS_PER_TICK;
    uint64_t idle = up > busy ? up - busy : 0;

    seq_printf(s, "cpu  %lu 0 0 %lu 0 0 0 0 0 0\ncpu0 %lu 0 0 %lu 0 0 0 0 0 0\nintr 0\nctxt %lu\nbtime %lu\n"
                  "processes %d\nprocs_running %u\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n",
               (unsigned long)busy, (unsigned long)idle, (unsigned long)busy, (unsigned long)idle,
               (unsigned long)report.switches, (unsigned long)((clock_real_ns() - clock_boot_ns()) / NSEC_PER_SEC),
               last_pid(), MAX(runnable_threads(), 1u));
    return 0;
}

/* --- mounts --- */

static bool is_readonly(const struct mount *m)
{
    return (m->flags & MNT_READONLY) || (m->sb->flags & SB_READONLY);
}

static void put_mount_path(struct seq *s, struct mount *m)
{
    struct path at = { m, m->root };

    seq_path(s, &at, " \t\n\\");
}

static void put_mount(struct seq *s, struct mount *m)
{
    seq_printf(s, "%s ", m->sb->source);
    put_mount_path(s, m);
    seq_printf(s, " %s %s,relatime 0 0\n", m->sb->type, is_readonly(m) ? "ro" : "rw");
}

static void put_mountinfo(struct seq *s, struct mount *m)
{
    const char *access = is_readonly(m) ? "ro" : "rw";

    seq_printf(s, "%d %d %u:%u / ", m->id, m->parent ? m->parent->id : 1, vfs_major(m->sb->dev), vfs_minor(m->sb->dev));
    put_mount_path(s, m);
    seq_printf(s, " %s,relatime - %s %s %s\n", access, m->sb->type, m->sb->source, access);
}

int proc_show_mounts(struct seq *s, const struct proc_node *node)
{
    bool info = strcmp(node->entry->name, "mountinfo") == 0;
    bool seen_root = false;

    for (struct mount *m = mount_first(); m; m = mount_next(m)) {
        /* What lies beneath the root that the sandbox sees isn't reachable. */
        seen_root |= m == vfs_root.mount;
        if (!seen_root)
            continue;
        if (info)
            put_mountinfo(s, m);
        else
            put_mount(s, m);
    }
    return 0;
}

/* --- links --- */

static ssize_t put_link(char *buf, size_t size, const char *text, int len)
{
    size_t n = MIN((size_t)len, size);

    memcpy(buf, text, n);
    return (ssize_t)n;
}

static ssize_t readlink_self(const struct proc_node *node UNUSED, char *buf, size_t size)
{
    char text[16];

    return put_link(buf, size, text, ksnprintf(text, sizeof(text), "%d", current->proc->pid));
}

static ssize_t readlink_thread_self(const struct proc_node *node UNUSED, char *buf, size_t size)
{
    char text[40];

    return put_link(buf, size, text, ksnprintf(text, sizeof(text), "%d/task/%d", current->proc->pid, current->tid));
}

static ssize_t readlink_mounts(const struct proc_node *node UNUSED, char *buf, size_t size)
{
    return put_link(buf, size, "self/mounts", 11);
}

static ssize_t readlink_net(const struct proc_node *node UNUSED, char *buf, size_t size)
{
    return put_link(buf, size, "self/net", 8);
}

/* --- the rest --- */

static int show_version(struct seq *s, const struct proc_node *node UNUSED)
{
    seq_printf(s, "Linux version %s (vmm@localhost) (gcc) %s\n", KERNEL_RELEASE, KERNEL_VERSION);
    return 0;
}

static int show_cpuinfo(struct seq *s, const struct proc_node *node UNUSED)
{
    return cpuinfo_show(s);
}

const struct proc_entry proc_root[] = {
    { .name = "self", .mode = S_IFLNK | 0777, .readlink = readlink_self },
    { .name = "thread-self", .mode = S_IFLNK | 0777, .readlink = readlink_thread_self },
    { .name = "mounts", .mode = S_IFLNK | 0777, .readlink = readlink_mounts },
    { .name = "net", .mode = S_IFLNK | 0777, .readlink = readlink_net },
    PROC_DIR("sys", proc_sys),
    PROC_DIR("sysvipc", ipc_sysvipc),
    PROC_FILE("cpuinfo", 0444, show_cpuinfo),
    PROC_FILE("loadavg", 0444, show_loadavg),
    PROC_FILE("meminfo", 0444, show_meminfo),
    PROC_FILE("stat", 0444, show_stat),
    PROC_FILE("uptime", 0444, show_uptime),
    PROC_FILE("version", 0444, show_version),
    PROC_FILE("vmstat", 0444, show_vmstat),
    PROC_TEXT("cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"),
    PROC_TEXT("cmdline", "vmm\n"),
    PROC_TEXT("devices", "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n136 pts\n\nBlock devices:\n254 virtblk\n"),
    PROC_TEXT("diskstats", ""),
    PROC_TEXT("filesystems", "nodev\ttmpfs\nnodev\tproc\nnodev\tsysfs\nnodev\tdevtmpfs\nnodev\tpipefs\nnodev\tsockfs\nnodev\toverlay\nnodev\t9p\n"),
    PROC_TEXT("interrupts", "           CPU0       \n"),
    PROC_TEXT("modules", ""),
    PROC_FILE("partitions", 0444, show_partitions),
    PROC_TEXT("swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
    { 0 },
};
