/* The first program: pid 2 with its descriptors, credentials and limits, found as execvp(3) would. */
#include "proc/process.h"

#include "arch/bootinfo.h"
#include "arch/cpu.h"
#include "arch/entry.h"
#include "fs/file.h"
#include "lib/kmalloc.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/mm.h"
#include "proc/clone.h"
#include "proc/sched.h"
#include "proc/signal.h"
#include "sys/strace.h"

#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/limits.h>
#include <linux/resource.h>

long stdio_open_all(void);

#define CAP(n) (1ull << CAP_##n)

/* What root in a container has, and what only concerns the sandbox itself. Nothing that the shim then refuses anyway. */
#define ROOT_CAPABILITIES                                                                          \
    (CAP(CHOWN) | CAP(DAC_OVERRIDE) | CAP(DAC_READ_SEARCH) | CAP(FOWNER) | CAP(FSETID) |           \
     CAP(KILL) | CAP(SETGID) | CAP(SETUID) | CAP(SETPCAP) | CAP(NET_BIND_SERVICE) |                \
     CAP(NET_RAW) | CAP(IPC_LOCK) | CAP(IPC_OWNER) | CAP(SYS_CHROOT) | CAP(SYS_PTRACE) |           \
     CAP(SYS_NICE) | CAP(SYS_RESOURCE) | CAP(MKNOD) | CAP(LEASE) | CAP(AUDIT_WRITE) | CAP(SETFCAP))

static void set_credentials(struct cred *c, uint32_t uid, uint32_t gid)
{
    c->uid = c->euid = c->suid = c->fsuid = uid;
    c->gid = c->egid = c->sgid = c->fsgid = gid;
    c->cap_bounding = ROOT_CAPABILITIES;
    c->cap_permitted = uid == 0 ? ROOT_CAPABILITIES : 0;
    c->cap_effective = c->cap_permitted;
}

static void set_limits(struct limit *limits)
{
    static const struct limit defaults[RLIMIT_COUNT] = {
        [RLIMIT_STACK] = { 8ul << 20, RLIM64_INFINITY },
        [RLIMIT_CORE] = { 0, RLIM64_INFINITY },
        [RLIMIT_NOFILE] = { 1024, 1048576 },
        [RLIMIT_MEMLOCK] = { 8ul << 20, 8ul << 20 },
        [RLIMIT_SIGPENDING] = { 65536, 65536 },
        [RLIMIT_MSGQUEUE] = { 819200, 819200 },
        [RLIMIT_NICE] = { 0, 0 },
        [RLIMIT_RTPRIO] = { 0, 0 },
    };
    static const uint32_t limited = 1u << RLIMIT_STACK | 1u << RLIMIT_CORE | 1u << RLIMIT_NOFILE |
                                    1u << RLIMIT_MEMLOCK | 1u << RLIMIT_SIGPENDING |
                                    1u << RLIMIT_MSGQUEUE | 1u << RLIMIT_NICE | 1u << RLIMIT_RTPRIO;

    for (int i = 0; i < RLIMIT_COUNT; i++) {
        limits[i] = (struct limit){ RLIM64_INFINITY, RLIM64_INFINITY };
        if (limited >> i & 1)
            limits[i] = defaults[i];
    }
    if (boot_info.pids_max > 0)
        limits[RLIMIT_NPROC] = (struct limit){ boot_info.pids_max, boot_info.pids_max };
    if (boot_info.file_size_max > 0)
        limits[RLIMIT_FSIZE] = (struct limit){ boot_info.file_size_max, boot_info.file_size_max };
}

/* --- what goes wrong --- */

static _Noreturn void start_failed(enum exit_kind kind, const char *what, const char *detail, long error)
{
    klog(LOG_ERROR, "%s: %s%s", what, detail, error_text(error));
    hypercall(HYPERCALL_EXIT, kind, (uint64_t)-error, 0, 0, 0);
    panic("EXIT returned");
}

/* --- finding the program --- */

static const char *boot_string(uint32_t index)
{
    const char *s = boot_info.strings;

    while (index-- > 0)
        s += strlen(s) + 1;
    return s;
}

static const char *environment(const char *name)
{
    size_t len = strlen(name);

    for (uint32_t i = 0; i < boot_info.envc; i++) {
        const char *s = boot_string(boot_info.argc + i);

        if (!strncmp(s, name, len) && s[len] == '=')
            return s + len + 1;
    }
    return NULL;
}

/* One directory of PATH, which begins at dir. */
static struct file *try_directory(const char *dir, size_t len, const char *program, char *path)
{
    if (len == 0) {
        dir = ".";
        len = 1;
    }
    if (len + 1 + strlen(program) + 1 > PATH_MAX)
        return err_ptr(-ENAMETOOLONG);
    memcpy(path, dir, len);
    path[len] = '/';
    strlcpy(path + len + 1, program, PATH_MAX - len - 1);
    return file_open_exec(AT_FDCWD, path, 0);
}

/* As execvp(3): the first that can be executed; EACCES on the way is remembered. */
static struct file *search_path(const char *program, char *path)
{
    const char *dir = environment("PATH");
    long error = -ENOENT;

    if (!dir)
        dir = "/usr/local/bin:/usr/bin:/bin";
    for (;;) {
        const char *end = strchr(dir, ':');
        size_t len = end ? (size_t)(end - dir) : strlen(dir);
        struct file *f = try_directory(dir, len, program, path);

        if (!is_err(f))
            return f;
        if (ptr_err(f) == -EACCES)
            error = -EACCES;
        else if (ptr_err(f) != -ENOENT && ptr_err(f) != -ENOTDIR)
            return f;
        if (!end)
            return err_ptr(error);
        dir = end + 1;
    }
}

static struct file *find_program(const char *program, char *path)
{
    if (!*program)
        return err_ptr(-ENOENT);
    if (!strchr(program, '/'))
        return search_path(program, path);
    if (strlcpy(path, program, PATH_MAX) >= PATH_MAX)
        return err_ptr(-ENAMETOOLONG);
    return file_open_exec(AT_FDCWD, path, 0);
}

static long copy_arguments(struct exec_args *args)
{
    *args = (struct exec_args){ .argc = boot_info.argc, .envc = boot_info.envc };
    args->data = kmalloc(boot_info.strings_size + 1);
    if (!args->data)
        return -ENOMEM;
    memcpy(args->data, boot_info.strings, boot_info.strings_size);
    args->size = boot_info.strings_size;
    args->capacity = boot_info.strings_size + 1;
    return 0;
}

/* --- the first thread --- */

static struct {
    const char *program, *cwd;
} start;

static void first_thread(void *arg UNUSED)
{
    char *path = kmalloc(PATH_MAX);
    struct exec_args args;
    struct file *f;
    long error;

    sched_started();
    error = stdio_open_all();
    if (error < 0)
        start_failed(EXIT_SETUP, "standard descriptors", "", error);
    if (start.cwd && *start.cwd && (error = fs_chdir(start.cwd)) < 0)
        start_failed(EXIT_SETUP, start.cwd, "working directory: ", error);
    f = path ? find_program(start.program, path) : err_ptr(-ENOMEM);
    if (is_err(f))
        start_failed(EXIT_NOEXEC, start.program, "", ptr_err(f));
    report.boot_tsc[PHASE_EXEC] = rdtsc();
    if (strace_enabled)
        strace_first_exec(path, boot_info.argc, boot_info.envc);
    error = copy_arguments(&args);
    if (error == 0)
        error = exec_program(f, path, &args, current->regs);
    if (error < 0)
        /* The program was found: what is missing is what its first line or its PT_INTERP names. */
        start_failed(EXIT_NOEXEC, start.program, error == -ENOENT ? "interpreter: " : "", error);
    kfree(path);
    report.boot_tsc[PHASE_APP] = rdtsc();
    return_to_user(current->regs);
}

static void become_child_of_init(struct process *p)
{
    p->parent = init_process;
    p->exit_signal = SIGCHLD;
    list_push_back(&init_process->children, &p->sibling_node);
    list_push_back(&all_processes, &p->all_node);
}

void process_start(const char *program, const char *cwd, uint32_t uid, uint32_t gid)
{
    struct process *p = process_create();
    struct thread *t = p ? thread_create(p, tid_alloc()) : NULL;

    if (!t)
        panic("no memory for the first process");
    p->pid = p->pgid = p->sid = t->tid;
    p->leader = t;
    p->dumpable = true;
    p->sighand = sighand_create();
    t->files = fd_table_create();
    t->fs = fs_context_create();
    if (!p->sighand || !t->files || !t->fs)
        panic("no memory for the first process");
    set_credentials(&p->cred, uid, gid);
    set_limits(p->rlimits);
    memcpy(t->fpu, fpu_initial, fpu_size);
    memset(t->regs, 0, sizeof(*t->regs));
    t->regs->orig_rax = NO_SYSCALL;
    become_child_of_init(p);
    thread_enter(t);
    start.program = program;
    start.cwd = cwd;
    sched_start(t, first_thread);
    sched_run_first(t);
}
