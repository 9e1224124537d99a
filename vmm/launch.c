/* See launch.h. */
#include "vmm/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/jail.h"
#include "common/log.h"
#include "vmm/seccomp.h"
#include "hypercalls/net.h"
#include "vmm/window.h"

#define READY_TIMEOUT_MS 10000
#define DESCRIPTORS 16384

static int fail(const char *what, int err)
{
    log_errno(what, err);
    return -1;
}

static int make_arena(struct launch *l)
{
    l->arena_fd = memfd_create("vmm-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (l->arena_fd < 0 || ftruncate(l->arena_fd, (off_t)l->arena_size) < 0 ||
        fcntl(l->arena_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return fail("arena", errno);
    return 0;
}

static int make_eventfd(int *ret)
{
    *ret = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return *ret < 0 ? fail("eventfd", errno) : 0;
}

/* The published sockets are the gofer's from now on. */
static void close_published(const struct net_plan *plan)
{
    for (size_t i = 0; plan && i < plan->publish_count; i++)
        close(plan->publish[i].fd);
}

static int gofer_child(void *arg)
{
    return gofer_main(arg);
}

int launch_gofer(struct sandbox *sb, struct launch *l, const struct view *view, unsigned stdio_open)
{
    struct gofer_config config;
    struct jail_child child;
    unsigned layers = JAIL_NAMESPACES;
    int pair[2], err;

    l->arena_size = ARENA_SIZE + (sb->opt->net_plan ? NET_REGION_SIZE : 0);
    if (make_arena(l) < 0 || make_eventfd(&l->doorbell_fd) < 0 || make_eventfd(&sb->call_fd) < 0 ||
        make_eventfd(&sb->kick_fd) < 0 || make_eventfd(&sb->wake_fd) < 0)
        return -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return fail("socketpair", errno);
    if (sched_getaffinity(0, sizeof(l->cores), &l->cores) < 0)
        CPU_ZERO(&l->cores); /* more of them than the set has room for */
    config = (struct gofer_config){
        .exports = view->exports,
        .export_count = view->export_count,
        .control_fd = pair[1],
        .arena_fd = l->arena_fd,
        .arena_size = l->arena_size,
        .net = sb->opt->net_plan,
        .doorbell_fd = l->doorbell_fd,
        .call_fd = sb->call_fd,
        .kick_fd = sb->kick_fd,
        .file_size_max = sb->opt->file_size_max,
        .quiet = sb->opt->quiet,
        .cores = l->cores,
    };
    for (int i = 0; i < 3; i++)
        config.stdio_fds[i] = stdio_open >> i & 1 ? i : -1;
    if (sb->opt->net_plan)
        layers &= ~(unsigned)JAIL_NET_NS; /* its sockets are the host's */
    err = jail_spawn(layers, gofer_child, &config, &child);
    if (err < 0)
        return fail("gofer", err);
    close(pair[1]);
    close_published(sb->opt->net_plan);
    l->control_fd = pair[0];
    sb->control_fd = pair[0];
    sb->gofer_pidfd = child.pidfd;
    l->gofer_pid = child.pid;
    window_init(pair[0]);
    return 0;
}

/* Those that we may run on, but for the one that we are on. False: none. */
static bool other_cores(const struct launch *l, cpu_set_t *ret)
{
    int core = sched_getcpu();

    *ret = l->cores;
    if (core >= 0 && core < CPU_SETSIZE)
        CPU_CLR((size_t)core, ret);
    return CPU_COUNT(ret) > 0;
}

void launch_spread_gofer(const struct launch *l)
{
    cpu_set_t others;

    if (other_cores(l, &others))
        sched_setaffinity(l->gofer_pid, sizeof(others), &others);
}

void launch_spread_thread(const struct launch *l, pthread_t thread)
{
    cpu_set_t others;

    if (other_cores(l, &others))
        pthread_setaffinity_np(thread, sizeof(others), &others);
}

void launch_join_thread(const struct launch *l, pthread_t thread, void **ret)
{
    if (CPU_COUNT(&l->cores) > 0)
        pthread_setaffinity_np(thread, sizeof(l->cores), &l->cores);
    pthread_join(thread, ret);
}

int launch_wait_ready(struct launch *l)
{
    struct pollfd fd = { .fd = l->control_fd, .events = POLLIN };
    struct gofer_note note = { 0 };

    while (!note.type) {
        if (poll(&fd, 1, READY_TIMEOUT_MS) == 0)
            return fail("gofer", ETIMEDOUT);
        if (window_drain(&note) < 0 && !note.type) {
            log_error("gofer", "ended before it was ready");
            return -1;
        }
    }
    if (note.type == GOFER_NOTE_FAILED) {
        note.text[sizeof(note.text) - 1] = '\0';
        log_error(NULL, "%s", note.text);
        return -1;
    }
    l->gofer_layers = (unsigned)note.value;
    return 0;
}

void launch_jail_user(void)
{
    jail_unshare(JAIL_USER_NS);
}

int launch_jail_self(struct launch *l)
{
    int err;

    jail_limit(&(struct jail_limits){ .file_size = UINT64_MAX, .descriptors = DESCRIPTORS });
    jail_unshare(JAIL_NAMESPACES & ~(unsigned)(JAIL_PID_NS | JAIL_USER_NS));
    l->proc_fd = jail_open_proc_fd();
    if (l->proc_fd < 0)
        return fail("jail", l->proc_fd);
    err = jail_change_root(l->proc_fd);
    if (err < 0)
        return fail("jail", err);
    fd_close(&l->proc_fd);
    err = jail_drop_privileges();
    return err < 0 ? fail("jail", err) : 0;
}

int launch_filter_thread(void)
{
    int err = jail_filter(&seccomp_vmm);

    return err < 0 ? fail("seccomp", err) : 0;
}
