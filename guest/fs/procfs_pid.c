/* /proc/PID and /proc/PID/task/TID: what a process is and does. Fields and their order: proc(5). */
#include "fs/procfs.h"

#include "arch/bootinfo.h"
#include "arch/cpu.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/mm.h"
#include "proc/cputimer.h"
#include "proc/ptrace.h"
#include "proc/sched.h"
#include "proc/seccomp.h"
#include "proc/signal.h"
#include "proc/usage.h"
#include "tty/tty.h"

#include <linux/capability.h>
#include <linux/resource.h>

#define USER_HZ 100
#define NS_PER_TICK (NSEC_PER_SEC / USER_HZ)
#define ARGS_MAX (2ul << 20) /* of cmdline and environ that are shown */

static struct thread *thread_of(const struct proc_node *node)
{
    struct thread *t = proc_thread(node);

    return t ? t : node->proc->leader;
}

static struct mm *mm_of(const struct proc_node *node)
{
    return node->proc->zombie ? NULL : node->proc->mm;
}

static const char *comm_of(const struct proc_node *node)
{
    const struct thread *t = thread_of(node);

    return t ? t->comm : "init";
}

static char state_of(const struct proc_node *node)
{
    const struct thread *t = proc_thread(node);

    if (node->proc->zombie)
        return 'Z';
    if (!t || node->proc == init_process)
        return 'S';
    switch (t->state) {
    case THREAD_RUNNABLE:
        return 'R';
    case THREAD_PARKED:
        return t->park_mode == PARK_INTERRUPTIBLE ? 'S' : 'D';
    case THREAD_STOPPED:
        return ptrace_is_stopped(t) ? 't' : 'T';
    case THREAD_DEAD:
        return 'Z';
    }
    return 'S';
}

static const char *state_name(char state)
{
    switch (state) {
    case 'R':
        return "R (running)";
    case 'D':
        return "D (disk sleep)";
    case 'T':
        return "T (stopped)";
    case 't':
        return "t (tracing stop)";
    case 'Z':
        return "Z (zombie)";
    default:
        return "S (sleeping)";
    }
}

/* --- signals --- */

static void handled_sets(const struct process *p, sigset *ignored, sigset *caught)
{
    *ignored = 0;
    *caught = 0;
    for (int i = 0; p->sighand && i < SIGNAL_COUNT; i++) {
        uint64_t handler = p->sighand->action[i].handler;

        if (handler == HANDLER_IGNORE)
            *ignored |= 1ull << i;
        else if (handler != HANDLER_DEFAULT)
            *caught |= 1ull << i;
    }
}

/* --- stat, statm --- */

static uint64_t start_ticks(const struct process *p)
{
    /* init has no program and no time of its own: it is as old as the app */
    if (p == init_process && !list_empty(&all_processes))
        p = list_first(&all_processes, struct process, all_node);
    return (p->start_ns + (clock_boot_ns() - clock_mono_ns())) / NS_PER_TICK;
}

/* Old-style device numbers: the minor's upper bits are beyond the major's. */
static int tty_number(const struct tty *t)
{
    return t ? PTS_DEVICE_MAJOR << 8 | (t->index & 0xff) | (t->index & ~0xff) << 12 : 0;
}

static void put_stat_ids(struct seq *s, const struct proc_node *node)
{
    const struct process *p = node->proc;

    seq_printf(s, "%d (%s) %c %d %d %d %d %d 4194304 ", node->tid ? node->tid : p->pid, comm_of(node), state_of(node),
               p->parent ? p->parent->pid : 0, p->pgid, p->sid, tty_number(p->tty), p->tty ? p->tty->pgid : -1);
}

static void put_stat_times(struct seq *s, const struct proc_node *node)
{
    struct process *p = node->proc;
    struct thread *t = thread_of(node);
    struct cpu_times own = { 0 }, children = usage_children(p);

    if (p != init_process)
        own = node->tid && t ? usage_thread(t) : usage_process(p);
    seq_printf(s, "%lu %lu %lu %lu %lu %lu %lu %lu %d %d %u 0 %lu ", (unsigned long)p->min_faults,
               (unsigned long)p->child_min_faults, (unsigned long)p->maj_faults, (unsigned long)p->child_maj_faults,
               (unsigned long)(own.user_ns / NS_PER_TICK), (unsigned long)(own.system_ns / NS_PER_TICK),
               (unsigned long)(children.user_ns / NS_PER_TICK), (unsigned long)(children.system_ns / NS_PER_TICK), 20 + (t ? t->nice : 0),
               t ? t->nice : 0, p->thread_count, (unsigned long)start_ticks(p));
}

static void put_stat_memory(struct seq *s, const struct proc_node *node)
{
    static const struct mm none;
    const struct mm *mm = mm_of(node) ? mm_of(node) : &none;

    seq_printf(s, "%lu %lu %lu %lu %lu %lu 0 0 ", (unsigned long)(mm->total_pages * PAGE_SIZE),
               (unsigned long)mm->rss_pages, (unsigned long)node->proc->rlimits[RLIMIT_RSS].cur,
               (unsigned long)mm->code_start, (unsigned long)mm->code_end, (unsigned long)mm->stack_top);
}

static void put_stat_end(struct seq *s, const struct proc_node *node)
{
    static const struct mm none;
    const struct mm *mm = mm_of(node) ? mm_of(node) : &none;
    const struct thread *t = thread_of(node);
    sigset ignored, caught;

    handled_sets(node->proc, &ignored, &caught);
    seq_printf(s, "%lu %lu %lu %lu 0 0 0 17 0 %d %d 0 0 0 ", (unsigned long)(t ? t->pending.set & 0x7fffffff : 0),
               (unsigned long)(t ? t->blocked & 0x7fffffff : 0), (unsigned long)(ignored & 0x7fffffff),
               (unsigned long)(caught & 0x7fffffff), t ? t->sched_priority : 0, t ? t->sched_policy : 0);
    seq_printf(s, "%lu %lu %lu %lu %lu %lu %lu %d\n", (unsigned long)mm->data_start, (unsigned long)mm->data_end,
               (unsigned long)mm->brk_start, (unsigned long)mm->arg_start, (unsigned long)mm->arg_end,
               (unsigned long)mm->env_start, (unsigned long)mm->env_end, node->proc->zombie ? node->proc->exit_status : 0);
}

static int show_stat(struct seq *s, const struct proc_node *node)
{
    put_stat_ids(s, node);
    put_stat_times(s, node);
    put_stat_memory(s, node);
    put_stat_end(s, node);
    return 0;
}

static int show_statm(struct seq *s, const struct proc_node *node)
{
    static const struct mm none;
    const struct mm *mm = mm_of(node) ? mm_of(node) : &none;

    seq_printf(s, "%lu %lu %lu %lu 0 %lu 0\n", (unsigned long)mm->total_pages, (unsigned long)mm->rss_pages,
               (unsigned long)MIN(mm->shared_pages, mm->rss_pages), (unsigned long)(PAGE_UP(mm->code_end - mm->code_start) / PAGE_SIZE),
               (unsigned long)(mm->data_pages + mm->stack_pages));
    return 0;
}

/* --- status --- */

static void put_status_ids(struct seq *s, const struct proc_node *node)
{
    const struct process *p = node->proc;
    const struct cred *c = &p->cred;
    int tid = node->tid ? node->tid : p->pid;

    seq_printf(s, "Name:\t%s\nUmask:\t%04o\nState:\t%s\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t%d\n",
               comm_of(node), proc_thread(node) ? proc_thread(node)->fs->umask : 022, state_name(state_of(node)), p->pid,
               tid, p->parent ? p->parent->pid : 0, thread_of(node) ? ptrace_tracer_pid(thread_of(node)) : 0);
    seq_printf(s, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\nFDSize:\t256\nGroups:\t", c->uid, c->euid, c->suid,
               c->fsuid, c->gid, c->egid, c->sgid, c->fsgid);
    for (uint32_t i = 0; c->groups && i < c->groups->count; i++)
        seq_printf(s, "%u ", c->groups->gid[i]);
    seq_printf(s, "\nNStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\n", p->pid, tid, p->pgid, p->sid);
}

static void put_kib(struct seq *s, const char *name, uint64_t pages)
{
    seq_printf(s, "%s:\t%8lu kB\n", name, (unsigned long)(pages * 4));
}

static void put_status_memory(struct seq *s, const struct mm *mm)
{
    put_kib(s, "VmPeak", mm->total_pages);
    put_kib(s, "VmSize", mm->total_pages);
    put_kib(s, "VmLck", mm->locked_pages);
    put_kib(s, "VmPin", 0);
    put_kib(s, "VmHWM", MAX(mm->rss_peak, mm->rss_pages));
    put_kib(s, "VmRSS", mm->rss_pages);
    put_kib(s, "RssAnon", mm->rss_pages);
    put_kib(s, "RssFile", 0);
    put_kib(s, "RssShmem", 0);
    put_kib(s, "VmData", mm->data_pages);
    put_kib(s, "VmStk", mm->stack_pages);
    put_kib(s, "VmExe", PAGE_UP(mm->code_end - mm->code_start) / PAGE_SIZE);
    put_kib(s, "VmLib", 0);
    put_kib(s, "VmPTE", 0);
    put_kib(s, "VmSwap", 0);
    seq_puts(s, "HugetlbPages:\t       0 kB\nCoreDumping:\t0\nTHP_enabled:\t1\n");
}

static void put_status_signals(struct seq *s, const struct proc_node *node)
{
    const struct process *p = node->proc;
    const struct thread *t = thread_of(node);
    const struct cred *c = &p->cred;
    sigset ignored, caught;

    handled_sets(p, &ignored, &caught);
    seq_printf(s, "Threads:\t%u\nSigQ:\t%u/%lu\nSigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\nSigIgn:\t%016lx\nSigCgt:\t%016lx\n",
               p->thread_count, p->queued_signals, (unsigned long)p->rlimits[RLIMIT_SIGPENDING].cur,
               (unsigned long)(t ? t->pending.set : 0), (unsigned long)p->pending.set, (unsigned long)(t ? t->blocked : 0),
               (unsigned long)ignored, (unsigned long)caught);
    seq_printf(s, "CapInh:\t%016lx\nCapPrm:\t%016lx\nCapEff:\t%016lx\nCapBnd:\t%016lx\nCapAmb:\t%016lx\nNoNewPrivs:\t%d\n",
               (unsigned long)c->cap_inheritable, (unsigned long)c->cap_permitted, (unsigned long)c->cap_effective,
               (unsigned long)c->cap_bounding, (unsigned long)c->cap_ambient, c->no_new_privs);
}

static int show_status(struct seq *s, const struct proc_node *node)
{
    const struct thread *t = thread_of(node);

    put_status_ids(s, node);
    if (mm_of(node))
        put_status_memory(s, mm_of(node));
    put_status_signals(s, node);
    seq_printf(s, "Seccomp:\t%u\nSeccomp_filters:\t%u\n", t ? t->seccomp_mode : 0u, t ? seccomp_filter_count(t) : 0u);
    seq_puts(s, "Speculation_Store_Bypass:\tvulnerable\n"
                "SpeculationIndirectBranch:\tconditional enabled\nCpus_allowed:\t1\nCpus_allowed_list:\t0\n"
                "Mems_allowed:\t1\nMems_allowed_list:\t0\n");
    seq_printf(s, "voluntary_ctxt_switches:\t%lu\nnonvoluntary_ctxt_switches:\t%lu\n",
               (unsigned long)(t ? t->voluntary_switches : 0), (unsigned long)(t ? t->involuntary_switches : 0));
    return 0;
}

/* --- memory of the program's own --- */

static int put_range(struct seq *s, const struct proc_node *node, bool environment)
{
    struct mm *mm = mm_of(node);
    uaddr_t at, end;
    uint8_t *page;

    if (!mm)
        return 0;
    at = environment ? mm->env_start : mm->arg_start;
    end = MIN(environment ? mm->env_end : mm->arg_end, at + ARGS_MAX);
    page = kmalloc(PAGE_SIZE);
    if (!page)
        return -ENOMEM;
    mm_get(mm);
    while (at < end) {
        size_t n = (size_t)MIN(end - at, PAGE_SIZE - (at & (PAGE_SIZE - 1)));

        if (mm_read(mm, page, at, n) < 0)
            break;
        seq_write(s, page, n);
        at += n;
    }
    mm_put(mm);
    kfree(page);
    return 0;
}

static int show_cmdline(struct seq *s, const struct proc_node *node)
{
    return put_range(s, node, false);
}

static int show_environ(struct seq *s, const struct proc_node *node)
{
    return put_range(s, node, true);
}

static int show_auxv(struct seq *s, const struct proc_node *node)
{
    const struct mm *mm = mm_of(node);

    if (mm)
        seq_write(s, mm->auxv, mm->auxv_size);
    return 0;
}

/* --- small ones --- */

static int show_comm(struct seq *s, const struct proc_node *node)
{
    seq_printf(s, "%s\n", comm_of(node));
    return 0;
}

/* A newline becomes part of the name, as in Linux. */
static int store_comm(const struct proc_node *node, char *text, size_t n UNUSED)
{
    struct thread *t = thread_of(node);

    if (!t || node->proc != current->proc)
        return -EINVAL;
    strlcpy(t->comm, text, sizeof(t->comm));
    return 0;
}

static void put_limit(struct seq *s, uint64_t value)
{
    if (value == RLIM64_INFINITY)
        seq_printf(s, "%-20s ", "unlimited");
    else
        seq_printf(s, "%-20lu ", (unsigned long)value);
}

static int show_limits(struct seq *s, const struct proc_node *node)
{
    static const struct {
        const char *name, *unit;
    } row[RLIMIT_COUNT] = {
        [RLIMIT_CPU] = { "Max cpu time", "seconds" },
        [RLIMIT_FSIZE] = { "Max file size", "bytes" },
        [RLIMIT_DATA] = { "Max data size", "bytes" },
        [RLIMIT_STACK] = { "Max stack size", "bytes" },
        [RLIMIT_CORE] = { "Max core file size", "bytes" },
        [RLIMIT_RSS] = { "Max resident set", "bytes" },
        [RLIMIT_NPROC] = { "Max processes", "processes" },
        [RLIMIT_NOFILE] = { "Max open files", "files" },
        [RLIMIT_MEMLOCK] = { "Max locked memory", "bytes" },
        [RLIMIT_AS] = { "Max address space", "bytes" },
        [RLIMIT_LOCKS] = { "Max file locks", "locks" },
        [RLIMIT_SIGPENDING] = { "Max pending signals", "signals" },
        [RLIMIT_MSGQUEUE] = { "Max msgqueue size", "bytes" },
        [RLIMIT_NICE] = { "Max nice priority", "" },
        [RLIMIT_RTPRIO] = { "Max realtime priority", "" },
        [RLIMIT_RTTIME] = { "Max realtime timeout", "us" },
    };

    seq_printf(s, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (size_t i = 0; i < RLIMIT_COUNT; i++) {
        seq_printf(s, "%-25s ", row[i].name);
        put_limit(s, node->proc->rlimits[i].cur);
        put_limit(s, node->proc->rlimits[i].max);
        seq_printf(s, "%-10s\n", row[i].unit);
    }
    return 0;
}

static int show_io(struct seq *s, const struct proc_node *node)
{
    const struct process *p = node->proc;

    seq_printf(s, "rchar: %lu\nwchar: %lu\nsyscr: 0\nsyscw: 0\nread_bytes: %lu\nwrite_bytes: %lu\ncancelled_write_bytes: 0\n",
               (unsigned long)p->read_bytes, (unsigned long)p->write_bytes, (unsigned long)p->read_bytes,
               (unsigned long)p->write_bytes);
    return 0;
}

/* Of a thread that waits in a call: number, arguments, stack and instruction pointers. */
static int show_syscall(struct seq *s, const struct proc_node *node)
{
    const struct thread *t = thread_of(node);
    const struct regs *r = t ? t->regs : NULL;

    if (!ptrace_may_access(node->proc))
        return -EPERM;
    if (!r || (t != current && t->state == THREAD_RUNNABLE)) {
        seq_puts(s, "running\n");
        return 0;
    }
    if (r->orig_rax == NO_SYSCALL)
        seq_puts(s, "-1");
    else
        seq_printf(s, "%ld 0x%lx 0x%lx 0x%lx 0x%lx 0x%lx 0x%lx", (long)r->orig_rax, (unsigned long)r->rdi, (unsigned long)r->rsi,
                   (unsigned long)r->rdx, (unsigned long)r->r10, (unsigned long)r->r8, (unsigned long)r->r9);
    seq_printf(s, " 0x%lx 0x%lx\n", (unsigned long)r->rsp, (unsigned long)r->rip);
    return 0;
}

static int show_personality(struct seq *s, const struct proc_node *node)
{
    seq_printf(s, "%08x\n", node->proc->personality);
    return 0;
}

/* --- out of memory: here --mem's limit fails calls, so these are kept for whoever asks (proc(5)) --- */

#define OOM_MAX 1000
#define OOM_OLD_MAX 15

static int show_oom_score(struct seq *s, const struct proc_node *node)
{
    const struct mm *mm = mm_of(node);
    int share = mm ? (int)(mm->rss_pages * OOM_MAX / MAX(frame_total(), 1ul)) : 0, points = node->proc->oom_score_adj + share;

    seq_printf(s, "%d\n", mm ? MAX((OOM_MAX + points) * 2 / 3, 0) : 0);
    return 0;
}

static int show_oom_score_adj(struct seq *s, const struct proc_node *node)
{
    seq_printf(s, "%d\n", node->proc->oom_score_adj);
    return 0;
}

static int show_oom_adj(struct seq *s, const struct proc_node *node)
{
    int adj = node->proc->oom_score_adj;

    seq_printf(s, "%d\n", adj == OOM_MAX ? OOM_OLD_MAX : adj * 17 / OOM_MAX);
    return 0;
}

/* A number with white space around it; INT32_MIN: it is none. */
static int parse_adjustment(const char *text)
{
    bool negative = *text == '-';
    int value = 0;

    text += negative;
    if (*text < '0' || *text > '9')
        return INT32_MIN;
    while (*text >= '0' && *text <= '9' && value <= OOM_MAX)
        value = value * 10 + (*text++ - '0');
    while (*text == '\n' || *text == ' ')
        text++;
    return *text ? INT32_MIN : negative ? -value : value;
}

static int set_adjustment(struct process *p, int value)
{
    if (value < p->oom_score_adj && !capable(CAP_SYS_RESOURCE))
        return -EACCES;
    p->oom_score_adj = value;
    return 0;
}

static int store_oom_score_adj(const struct proc_node *node, char *text, size_t n UNUSED)
{
    int value = parse_adjustment(text);

    return value < -OOM_MAX || value > OOM_MAX ? -EINVAL : set_adjustment(node->proc, value);
}

static int store_oom_adj(const struct proc_node *node, char *text, size_t n UNUSED)
{
    int value = parse_adjustment(text);

    if (value < -17 || value > OOM_OLD_MAX)
        return -EINVAL;
    return set_adjustment(node->proc, value == OOM_OLD_MAX ? OOM_MAX : value * OOM_MAX / 17);
}

static int show_children(struct seq *s, const struct proc_node *node)
{
    struct process *p;

    list_for_each(p, &node->proc->children, sibling_node)
        if (p->creator == node->tid || (node->tid == node->proc->pid && !thread_find(p->creator)))
            seq_printf(s, "%d ", p->pid);
    return 0;
}

static int show_schedstat(struct seq *s, const struct proc_node *node)
{
    const struct thread *t = thread_of(node);

    seq_printf(s, "%lu 0 %lu\n", (unsigned long)(t ? t->cpu_ns : 0), (unsigned long)(t ? t->voluntary_switches : 0));
    return 0;
}

/* --- links --- */

static int jump_exe(const struct proc_node *node, struct path *ret)
{
    const struct mm *mm = mm_of(node);

    if (!mm || !mm->exe || !mm->exe->dentry)
        return -ENOENT;
    *ret = (struct path){ mm->exe->mount, mm->exe->dentry };
    path_get(ret);
    return 0;
}

static int jump_cwd(const struct proc_node *node, struct path *ret)
{
    const struct thread *t = proc_thread(node);

    if (!t || !t->fs)
        return -ENOENT;
    *ret = t->fs->cwd;
    path_get(ret);
    return 0;
}

static int jump_root(const struct proc_node *node, struct path *ret)
{
    const struct thread *t = proc_thread(node);

    if (!t || !t->fs)
        return -ENOENT;
    *ret = t->fs->root;
    path_get(ret);
    return 0;
}

/* Namespaces: there is one of each kind. */
static ssize_t readlink_ns(const struct proc_node *node, char *buf, size_t size)
{
    char text[48];
    int len = ksnprintf(text, sizeof(text), "%s:[4026531%03u]", node->entry->name,
                        835 + (uint32_t)(uint8_t)node->entry->name[0] % 8);

    len = (int)MIN((size_t)len, size);
    memcpy(buf, text, (size_t)len);
    return len;
}

#define NAMESPACE(name_) { .name = name_, .mode = S_IFLNK | 0777, .readlink = readlink_ns }
static const struct proc_entry ns_entries[] = {
    NAMESPACE("cgroup"), NAMESPACE("ipc"),  NAMESPACE("mnt"),  NAMESPACE("net"), NAMESPACE("pid"),
    NAMESPACE("time"),   NAMESPACE("user"), NAMESPACE("uts"), { 0 },
};

/* --- the tables --- */

#define LINK(name_, jump_) { .name = name_, .mode = S_IFLNK | 0777, .jump = jump_ }
#define COMMON_ENTRIES                                                                             \
    { .name = "fd", .mode = S_IFDIR | 0500, .dynamic = &proc_fds },                                \
    { .name = "fdinfo", .mode = S_IFDIR | 0555, .dynamic = &proc_fdinfos },                        \
    PROC_DIR("ns", ns_entries),                                                                    \
    PROC_DIR("net", proc_net),                                                                     \
    PROC_FILE("environ", 0400, show_environ),                                                      \
    PROC_FILE("auxv", 0400, show_auxv),                                                            \
    PROC_FILE("status", 0444, show_status),                                                        \
    PROC_FILE("personality", 0400, show_personality),                                                       \
    PROC_FILE("limits", 0444, show_limits),                                                        \
    { .name = "comm", .mode = S_IFREG | 0644, .show = show_comm, .store = store_comm },            \
    PROC_FILE("syscall", 0400, show_syscall),                                                           \
    PROC_FILE("cmdline", 0444, show_cmdline),                                                      \
    PROC_FILE("stat", 0444, show_stat),                                                            \
    PROC_FILE("statm", 0444, show_statm),                                                          \
    PROC_FILE("maps", 0444, proc_show_maps),                                                       \
    PROC_FILE("smaps", 0444, proc_show_smaps),                                                     \
    PROC_FILE("smaps_rollup", 0444, proc_show_smaps_rollup),                                       \
    { .name = "mem", .mode = S_IFREG | 0600, .ops = &proc_mem_ops },                               \
    LINK("cwd", jump_cwd),                                                                         \
    LINK("root", jump_root),                                                                       \
    LINK("exe", jump_exe),                                                                         \
    PROC_FILE("mounts", 0444, proc_show_mounts),                                                   \
    PROC_FILE("mountinfo", 0444, proc_show_mounts),                                                \
    PROC_TEXT("wchan", "0"),                                                                       \
    PROC_FILE("schedstat", 0444, show_schedstat),                                                  \
    PROC_TEXT("cpuset", "/\n"),                                                                    \
    PROC_TEXT("cgroup", "0::/\n"),                                                                 \
    PROC_FILE("oom_score", 0444, show_oom_score),                                                                 \
    { .name = "oom_adj", .mode = S_IFREG | 0644, .show = show_oom_adj, .store = store_oom_adj },                                                                \
    { .name = "oom_score_adj", .mode = S_IFREG | 0644, .show = show_oom_score_adj, .store = store_oom_score_adj },                                                          \
    PROC_SETTING("loginuid", "4294967295"),                                                        \
    PROC_TEXT("sessionid", "4294967295"),                                                          \
    PROC_FILE("io", 0400, show_io),                                                                \
    PROC_SETTING("uid_map", "         0          0 4294967295\n"),                                 \
    PROC_SETTING("gid_map", "         0          0 4294967295\n"),                                 \
    PROC_SETTING("setgroups", "allow\n")

const struct proc_entry proc_tid_entries[] = { COMMON_ENTRIES, PROC_FILE("children", 0444, show_children), { 0 } };

const struct proc_entry proc_pid_entries[] = {
    { .name = "task", .mode = S_IFDIR | 0555, .dynamic = &proc_tasks },
    COMMON_ENTRIES,
    PROC_SETTING("coredump_filter", "00000033\n"),
    { .name = "clear_refs", .mode = S_IFREG | 0200, .text = "", .store = proc_store_ignore },
    { .name = "timerslack_ns", .mode = S_IFREG | 0666, .text = "50000\n", .store = proc_store_ignore },
    PROC_SETTING("timens_offsets", "monotonic           0         0\nboottime            0         0\n"),
    { 0 },
};
