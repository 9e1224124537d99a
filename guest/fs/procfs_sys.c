/*
 * /proc/sys: what programs ask the kernel's settings for. Most are constants; those that may be written take the value
 * and do nothing with it, because nothing in the shim depends on them.
 */
#include "arch/bootinfo.h"
#include "arch/cpu.h"
#include "fs/procfs.h"
#include "ipc/ipc.h"
#include "lib/string.h"
#include "linux_abi/release.h"
#include "mm/frame.h"

#include <linux/capability.h>

/* --- names --- */

static int show_hostname(struct seq *s, const struct proc_node *node UNUSED)
{
    seq_printf(s, "%s\n", system_hostname);
    return 0;
}

static int show_domainname(struct seq *s, const struct proc_node *node UNUSED)
{
    seq_printf(s, "%s\n", system_domainname[0] ? system_domainname : "(none)");
    return 0;
}

static int store_name(char *dst, char *text, size_t n)
{
    char *newline = memchr(text, '\n', n);

    if (!capable(CAP_SYS_ADMIN))
        return -EPERM;
    if (newline)
        *newline = '\0';
    strlcpy(dst, text, sizeof(system_hostname));
    return 0;
}

static int store_hostname(const struct proc_node *node UNUSED, char *text, size_t n)
{
    return store_name(system_hostname, text, n);
}

static int store_domainname(const struct proc_node *node UNUSED, char *text, size_t n)
{
    return store_name(system_domainname, text, n);
}

/* --- numbers that depend on the sandbox --- */

static int show_pid_max(struct seq *s, const struct proc_node *node UNUSED)
{
    seq_puts(s, "32768\n");
    return 0;
}

static int show_threads_max(struct seq *s, const struct proc_node *node UNUSED)
{
    uint64_t by_memory = frame_total() / 32;

    seq_printf(s, "%lu\n", (unsigned long)(boot_info.pids_max > 0 ? MIN(boot_info.pids_max, by_memory) : by_memory));
    return 0;
}

static int show_last_cap(struct seq *s, const struct proc_node *node UNUSED)
{
    seq_printf(s, "%d\n", CAP_LAST_CAP);
    return 0;
}

/* --- random --- */

static void put_uuid(struct seq *s, const uint8_t u[16])
{
    for (size_t i = 0; i < 16; i++)
        seq_printf(s, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", u[i]);
    seq_puts(s, "\n");
}

static void make_uuid(uint8_t u[16])
{
    random_bytes(u, 16);
    u[6] = (uint8_t)((u[6] & 0x0f) | 0x40); /* version 4, RFC 4122 */
    u[8] = (uint8_t)((u[8] & 0x3f) | 0x80);
}

static int show_uuid(struct seq *s, const struct proc_node *node UNUSED)
{
    uint8_t u[16];

    make_uuid(u);
    put_uuid(s, u);
    return 0;
}

static int show_boot_id(struct seq *s, const struct proc_node *node UNUSED)
{
    static uint8_t id[16];
    static bool made;

    if (!made)
        make_uuid(id);
    made = true;
    put_uuid(s, id);
    return 0;
}

/* --- the trees --- */

static const struct proc_entry random_entries[] = {
    PROC_FILE("boot_id", 0444, show_boot_id), PROC_TEXT("entropy_avail", "256\n"), PROC_TEXT("poolsize", "256\n"),
    PROC_FILE("uuid", 0444, show_uuid),       { 0 },
};

static const struct proc_entry yama_entries[] = { PROC_SETTING("ptrace_scope", "0\n"), { 0 } };
static const struct proc_entry seccomp_entries[] = {
    PROC_TEXT("actions_avail", "kill_process kill_thread trap errno trace log allow\n"), { 0 }
};
static const struct proc_entry pty_entries[] = { PROC_SETTING("max", "4096\n"), PROC_TEXT("nr", "0\n"), { 0 } };

#define IPC_LIMIT(name_) \
    { .name = name_, .mode = S_IFREG | 0644, .show = ipc_show_limit, .store = ipc_store_limit }

static const struct proc_entry kernel_entries[] = {
    PROC_DIR("random", random_entries),
    PROC_DIR("yama", yama_entries),
    PROC_DIR("seccomp", seccomp_entries),
    PROC_DIR("pty", pty_entries),
    { .name = "hostname", .mode = S_IFREG | 0644, .show = show_hostname, .store = store_hostname },
    { .name = "domainname", .mode = S_IFREG | 0644, .show = show_domainname, .store = store_domainname },
    PROC_TEXT("ostype", "Linux\n"),
    PROC_TEXT("osrelease", KERNEL_RELEASE "\n"),
    PROC_TEXT("version", KERNEL_VERSION "\n"),
    PROC_FILE("pid_max", 0644, show_pid_max),
    PROC_FILE("threads-max", 0644, show_threads_max),
    PROC_FILE("cap_last_cap", 0444, show_last_cap),
    PROC_TEXT("ngroups_max", "65536\n"),
    PROC_SETTING("overflowuid", "65534\n"),
    PROC_SETTING("overflowgid", "65534\n"),
    IPC_LIMIT("shmmax"),
    IPC_LIMIT("shmall"),
    IPC_LIMIT("shmmni"),
    IPC_LIMIT("sem"),
    IPC_LIMIT("msgmax"),
    IPC_LIMIT("msgmnb"),
    IPC_LIMIT("msgmni"),
    PROC_SETTING("core_pattern", "core\n"),
    PROC_SETTING("core_uses_pid", "0\n"),
    PROC_SETTING("randomize_va_space", "2\n"),
    PROC_SETTING("dmesg_restrict", "1\n"),
    PROC_SETTING("kptr_restrict", "0\n"),
    PROC_SETTING("perf_event_paranoid", "4\n"),
    PROC_SETTING("perf_event_max_sample_rate", "100000\n"),
    PROC_SETTING("unprivileged_bpf_disabled", "2\n"),
    PROC_SETTING("unprivileged_userns_clone", "0\n"),
    PROC_SETTING("panic", "0\n"),
    PROC_SETTING("printk", "4\t4\t1\t7\n"),
    PROC_SETTING("sched_child_runs_first", "0\n"),
    PROC_SETTING("sched_rt_runtime_us", "950000\n"),
    PROC_SETTING("sched_rt_period_us", "1000000\n"),
    PROC_SETTING("tainted", "0\n"),
    PROC_SETTING("numa_balancing", "0\n"),
    PROC_SETTING("io_uring_disabled", "2\n"),
    { 0 },
};

static const struct proc_entry vm_entries[] = {
    PROC_SETTING("overcommit_memory", "1\n"),
    PROC_SETTING("overcommit_ratio", "50\n"),
    PROC_SETTING("overcommit_kbytes", "0\n"),
    PROC_SETTING("max_map_count", "1048576\n"),
    PROC_SETTING("mmap_min_addr", "65536\n"),
    PROC_SETTING("swappiness", "60\n"),
    PROC_SETTING("nr_hugepages", "0\n"),
    PROC_SETTING("nr_overcommit_hugepages", "0\n"),
    PROC_SETTING("hugetlb_shm_group", "0\n"),
    PROC_SETTING("dirty_ratio", "20\n"),
    PROC_SETTING("dirty_background_ratio", "10\n"),
    PROC_SETTING("min_free_kbytes", "16384\n"),
    PROC_SETTING("vfs_cache_pressure", "100\n"),
    PROC_SETTING("zone_reclaim_mode", "0\n"),
    PROC_SETTING("panic_on_oom", "0\n"),
    PROC_SETTING("drop_caches", "0\n"),
    PROC_SETTING("compact_memory", ""),
    PROC_SETTING("unprivileged_userfaultfd", "0\n"),
    { 0 },
};

static const struct proc_entry inotify_entries[] = {
    PROC_SETTING("max_queued_events", "16384\n"),
    PROC_SETTING("max_user_instances", "128\n"),
    PROC_SETTING("max_user_watches", "65536\n"),
    { 0 },
};
static const struct proc_entry epoll_entries[] = { PROC_SETTING("max_user_watches", "1000000\n"), { 0 } };
static const struct proc_entry mqueue_entries[] = {
    IPC_LIMIT("msg_default"), IPC_LIMIT("msg_max"), IPC_LIMIT("msgsize_default"), IPC_LIMIT("msgsize_max"),
    IPC_LIMIT("queues_max"),  { 0 },
};

static const struct proc_entry fs_entries[] = {
    PROC_DIR("inotify", inotify_entries),
    PROC_DIR("epoll", epoll_entries),
    PROC_DIR("mqueue", mqueue_entries),
    PROC_SETTING("file-max", "9223372036854775807\n"),
    PROC_TEXT("file-nr", "64\t0\t9223372036854775807\n"),
    PROC_SETTING("nr_open", "1048576\n"),
    PROC_SETTING("pipe-max-size", "1048576\n"),
    PROC_SETTING("pipe-user-pages-hard", "0\n"),
    PROC_SETTING("pipe-user-pages-soft", "16384\n"),
    PROC_SETTING("aio-max-nr", "65536\n"),
    PROC_TEXT("aio-nr", "0\n"),
    PROC_TEXT("inode-nr", "1024\t0\n"),
    PROC_TEXT("inode-state", "1024\t0\t0\t0\t0\t0\t0\n"),
    PROC_TEXT("dentry-state", "1024\t0\t45\t0\t0\t0\n"),
    PROC_SETTING("lease-break-time", "45\n"),
    PROC_SETTING("leases-enable", "1\n"),
    PROC_SETTING("mount-max", "100000\n"),
    PROC_SETTING("protected_fifos", "0\n"),
    PROC_SETTING("protected_hardlinks", "0\n"),
    PROC_SETTING("protected_regular", "0\n"),
    PROC_SETTING("protected_symlinks", "0\n"),
    PROC_SETTING("suid_dumpable", "0\n"),
    { 0 },
};

static const struct proc_entry net_core_entries[] = {
    PROC_SETTING("somaxconn", "4096\n"),     PROC_SETTING("rmem_default", "212992\n"), PROC_SETTING("rmem_max", "212992\n"),
    PROC_SETTING("wmem_default", "212992\n"), PROC_SETTING("wmem_max", "212992\n"),     PROC_SETTING("optmem_max", "131072\n"),
    { 0 },
};
static const struct proc_entry net_ipv4_entries[] = {
    PROC_SETTING("ip_local_port_range", "32768\t60999\n"),
    PROC_SETTING("ip_forward", "0\n"),
    PROC_SETTING("ip_unprivileged_port_start", "1024\n"),
    PROC_SETTING("tcp_rmem", "4096\t131072\t6291456\n"),
    PROC_SETTING("tcp_wmem", "4096\t16384\t4194304\n"),
    PROC_SETTING("tcp_fin_timeout", "60\n"),
    PROC_SETTING("tcp_keepalive_time", "7200\n"),
    PROC_SETTING("tcp_keepalive_intvl", "75\n"),
    PROC_SETTING("tcp_keepalive_probes", "9\n"),
    PROC_SETTING("tcp_max_syn_backlog", "1024\n"),
    PROC_SETTING("tcp_fastopen", "1\n"),
    { 0 },
};
static const struct proc_entry net_unix_entries[] = { PROC_SETTING("max_dgram_qlen", "512\n"), { 0 } };
static const struct proc_entry net_entries[] = {
    PROC_DIR("core", net_core_entries), PROC_DIR("ipv4", net_ipv4_entries), PROC_DIR("unix", net_unix_entries), { 0 },
};

static const struct proc_entry empty[] = { { 0 } };

const struct proc_entry proc_sys[] = {
    PROC_DIR("kernel", kernel_entries), PROC_DIR("vm", vm_entries), PROC_DIR("fs", fs_entries),
    PROC_DIR("net", net_entries),       PROC_DIR("dev", empty),     PROC_DIR("user", empty),
    { 0 },
};
