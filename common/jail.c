/*
 * The jail of a host process; see jail.h.
 */
#include "common/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"

#define CAP_BITS 64 /* more than any kernel has */

/* Which layers hold in this process; a clone inherits the value and the layers alike. */
static unsigned layers_in_force;

/* Has our user namespace all the ids that there are? */
static bool ids_complete = true;

static const struct {
    unsigned layer;
    int flag;
} namespaces[] = {
    { JAIL_USER_NS, CLONE_NEWUSER }, { JAIL_MOUNT_NS, CLONE_NEWNS }, { JAIL_PID_NS, CLONE_NEWPID },
    { JAIL_IPC_NS, CLONE_NEWIPC },   { JAIL_UTS_NS, CLONE_NEWUTS },  { JAIL_NET_NS, CLONE_NEWNET },
};

#define NAMESPACE_COUNT (sizeof(namespaces) / sizeof(namespaces[0]))

const char *jail_layer_name(unsigned layer)
{
    switch (layer) {
#define X(bit, name, text)                                                                         \
    case JAIL_##name:                                                                              \
        return text;
        JAIL_LAYER_LIST(X)
#undef X
    default:
        return NULL;
    }
}

unsigned jail_layers(void)
{
    return layers_in_force;
}

bool jail_ids_complete(void)
{
    return ids_complete;
}

static int clone_flags(unsigned layers)
{
    int flags = 0;

    for (size_t i = 0; i < NAMESPACE_COUNT; i++)
        flags |= layers & namespaces[i].layer ? namespaces[i].flag : 0;
    return flags;
}

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int err = 0;

    if (fd < 0)
        return -errno;
    if (write(fd, text, strlen(text)) < 0)
        err = -errno;
    close(fd);
    return err;
}

static int write_proc(pid_t pid, const char *file, const char *text)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    return write_file(path, text);
}

/*
 * Root maps the whole range onto itself, so that owners show as they are. Where it is only root of a namespace that has
 * less (a container), its own map tells what there is.
 */
static int map_all(pid_t pid, const char *map)
{
    char path[64];
    char text[4096];
    char line[4096] = "";
    size_t used = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/self/%s", map);
    f = fopen(path, "re");
    if (!f)
        return -errno;
    while (fgets(text, sizeof(text), f)) {
        unsigned inside, outside, count;

        if (sscanf(text, "%u %u %u", &inside, &outside, &count) == 3 && used + 48 < sizeof(line))
            used += (size_t)snprintf(line + used, sizeof(line) - used, "%u %u %u\n", inside, inside, count);
    }
    fclose(f);
    return write_proc(pid, map, line);
}

static int map_one(pid_t pid, const char *map, unsigned id)
{
    char text[32];

    snprintf(text, sizeof(text), "0 %u 1\n", id);
    return write_proc(pid, map, text);
}

/* Give the new user namespace its ids. Only a process outside can map more than one. */
static int map_ids(pid_t pid)
{
    int err;

    if (geteuid() == 0) {
        err = map_all(pid, "uid_map");
        return err ? err : map_all(pid, "gid_map");
    }
    err = write_proc(pid, "setgroups", "deny");
    if (!err)
        err = map_one(pid, "uid_map", geteuid());
    return err ? err : map_one(pid, "gid_map", getegid());
}

/* What the child needs until it is mapped. */
struct start {
    unsigned layers;
    bool all_ids;
    int go;        /* pipe: a byte once the ids are mapped, end of file if that failed */
    int parent;    /* pidfd of the parent, or -1 */
};

static bool parent_is_gone(int pidfd)
{
    struct pollfd p = { .fd = pidfd, .events = POLLIN };

    return pidfd >= 0 && poll(&p, 1, 0) > 0;
}

static void make_net_ns(unsigned layers)
{
    if (layers & JAIL_NET_NS && unshare(CLONE_NEWNET) == 0)
        layers_in_force |= JAIL_NET_NS;
}

static int run_child(struct start *s, int (*child_main)(void *arg), void *arg)
{
    char go;

    if (s->layers & JAIL_USER_NS)
        ids_complete = s->all_ids;
    layers_in_force = s->layers & JAIL_NAMESPACES & ~(unsigned)JAIL_NET_NS;
    /* If the parent died before this line no signal comes, so it is looked for after it. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0)
        layers_in_force |= JAIL_PDEATHSIG;
    if (parent_is_gone(s->parent) || read(s->go, &go, 1) != 1)
        return 1;
    fd_close(&s->go);
    fd_close(&s->parent);
    make_net_ns(s->layers);
    return child_main(arg);
}

static pid_t clone_into(int flags, int *ret_pidfd)
{
    struct clone_args args = {
        .flags = (uint64_t)(unsigned)(flags | CLONE_PIDFD),
        .pidfd = (uint64_t)(uintptr_t)ret_pidfd,
        .exit_signal = SIGCHLD,
    };

    return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

/* One attempt with exactly these layers. */
static int try_spawn(unsigned layers, int (*child_main)(void *arg), void *arg, struct jail_child *ret)
{
    struct start start = { .layers = layers,
                           .all_ids = geteuid() == 0,
                           .parent = (int)syscall(SYS_pidfd_open, getpid(), 0) };
    int flags = clone_flags(layers & ~(unsigned)JAIL_NET_NS);
    int pidfd = -1;
    int err = 0;
    int go[2];
    pid_t pid;

    if (pipe2(go, O_CLOEXEC) < 0) {
        err = -errno;
        goto close_parent;
    }
    start.go = go[0];
    pid = clone_into(flags, &pidfd);
    if (pid == 0) {
        close(go[1]);
        _exit(run_child(&start, child_main, arg));
    }
    if (pid < 0) {
        err = -errno;
        goto close_pipe;
    }
    if (layers & JAIL_USER_NS)
        err = map_ids(pid);
    if (!err && write(go[1], "g", 1) != 1)
        err = -errno;
    if (err) {
        fd_close(&go[1]); /* the child ends */
        waitpid(pid, NULL, 0);
        fd_close(&pidfd);
    } else {
        *ret = (struct jail_child){ pid, pidfd };
    }
close_pipe:
    fd_close(&go[0]);
    fd_close(&go[1]);
close_parent:
    fd_close(&start.parent);
    return err;
}

int jail_spawn(unsigned layers, int (*child_main)(void *arg), void *arg, struct jail_child *ret)
{
    /* From the most to the least; a container's root may have namespaces but no user namespace, or none at all. */
    const unsigned tries[] = { layers, layers & ~(unsigned)JAIL_USER_NS,
                               layers & (JAIL_USER_NS | JAIL_MOUNT_NS), 0 };
    int err = -EINVAL;

    for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
        err = try_spawn(tries[i] & JAIL_NAMESPACES, child_main, arg, ret);
        if (!err)
            return 0;
    }
    return err;
}

/* A process may map its own id into a namespace that it has just made. */
static void map_self(uid_t uid, gid_t gid)
{
    char text[48];

    write_file("/proc/self/setgroups", "deny");
    snprintf(text, sizeof(text), "%u %u 1\n", uid, uid);
    write_file("/proc/self/uid_map", text);
    snprintf(text, sizeof(text), "%u %u 1\n", gid, gid);
    write_file("/proc/self/gid_map", text);
}

void jail_unshare(unsigned layers)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();

    for (size_t i = 0; i < NAMESPACE_COUNT; i++) {
        if (!(layers & namespaces[i].layer) || namespaces[i].layer == JAIL_PID_NS)
            continue;
        if (unshare(namespaces[i].flag) < 0)
            continue;
        layers_in_force |= namespaces[i].layer;
        if (namespaces[i].layer == JAIL_USER_NS)
            map_self(uid, gid);
    }
}

/* The user chose the path; it may have symlinks, but none that lead into another process. */
static int open_path(const char *path)
{
    struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS };
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

    return fd < 0 ? -errno : fd;
}

static int clone_tree(int fd, unsigned flags)
{
    return (int)syscall(SYS_open_tree, fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | flags);
}

int jail_open_mount(const char *path, bool read_only, bool recursive, bool *ret_own_mount, bool *ret_alone)
{
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC };
    unsigned at = recursive ? AT_RECURSIVE : 0;
    int fd = open_path(path);
    int tree = -1;

    attr.attr_set |= read_only ? MOUNT_ATTR_RDONLY : 0;
    *ret_own_mount = false;
    *ret_alone = false;
    if (fd < 0 || !(layers_in_force & JAIL_MOUNT_NS))
        return fd;
    tree = clone_tree(fd, at);
    /*
     * In a user namespace the mounts that came with it can't be left out of a copy. They are in it then,
     * and path_open_at() doesn't cross into them.
     */
    if (tree < 0 && errno == EINVAL && !recursive) {
        at = AT_RECURSIVE;
        tree = clone_tree(fd, at);
    }
    if (tree < 0)
        return fd;
    close(fd);
    *ret_own_mount = true;
    *ret_alone = at == 0;
    if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | at, &attr, sizeof(attr)) < 0)
        *ret_own_mount = !read_only; /* flags that it came with may be locked; what counts is that it isn't written */
    return tree;
}

int jail_open_proc_fd(void)
{
    bool own_mount, alone;
    int fd = jail_open_mount("/proc/self/fd", true, false, &own_mount, &alone);
    struct stat st;

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode)) {
        close(fd);
        return -ENOTDIR;
    }
    return fd;
}

/* Stack the new root on the old one, change, and take the old one off (pivot_root(2), "pivot_root(".", ".")"). */
static int pivot(int proc_fd)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -errno;
    if (syscall(SYS_move_mount, proc_fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return -errno;
    if (fchdir(proc_fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
        return -errno;
    if (umount2(".", MNT_DETACH) < 0)
        return -errno;
    return 0;
}

int jail_change_root(int proc_fd)
{
    if ((layers_in_force & JAIL_MOUNT_NS) && pivot(proc_fd) == 0)
        layers_in_force |= JAIL_ROOT;
    return fchdir(proc_fd) < 0 ? -errno : 0;
}

static void set_limit(__rlimit_resource_t resource, uint64_t value)
{
    struct rlimit limit = { value, value };
    struct rlimit old;

    if (getrlimit(resource, &old) < 0)
        return;
    if (old.rlim_max < value)
        limit.rlim_cur = limit.rlim_max = old.rlim_max;
    setrlimit(resource, &limit);
}

uint64_t jail_limit(const struct jail_limits *limits)
{
    struct rlimit got = { 0 };

    signal(SIGXFSZ, SIG_IGN); /* writes beyond the limit give EFBIG */
    set_limit(RLIMIT_CORE, 0);
    set_limit(RLIMIT_FSIZE, limits->file_size);
    set_limit(RLIMIT_NOFILE, limits->descriptors);
    layers_in_force |= JAIL_RLIMITS;
    getrlimit(RLIMIT_NOFILE, &got);
    return got.rlim_cur;
}

static int drop_capabilities(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

    /* The bounding set needs CAP_SETPCAP; who hasn't got it has none to lose by execve under no_new_privs. */
    for (unsigned long cap = 0; cap < CAP_BITS; cap++) {
        if (prctl(PR_CAPBSET_DROP, cap) < 0)
            break;
    }
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

int jail_drop_privileges(void)
{
    int err = drop_capabilities();

    if (err)
        return err;
    layers_in_force |= JAIL_NO_CAPS;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    layers_in_force |= JAIL_NO_NEW_PRIVS;
    if (prctl(PR_SET_DUMPABLE, 0) < 0)
        return -errno;
    layers_in_force |= JAIL_NOT_DUMPABLE;
    return 0;
}

int jail_filter(const struct sock_fprog *filter)
{
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter) < 0)
        return -errno;
    layers_in_force |= JAIL_SECCOMP;
    return 0;
}

void jail_ignore_signals(void)
{
    static const int ignored[] = { SIGINT,  SIGTERM, SIGHUP,  SIGQUIT, SIGUSR1, SIGTSTP,
                                   SIGTTIN, SIGTTOU, SIGPIPE, SIGALRM, SIGXFSZ };

    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
}
