/*
 * See passt.h. passt jails itself: an empty root, namespaces, no capabilities, seccomp. It doesn't look where packets go; devices/guard.c
 * does, with what is filled in here.
 */
#include "vmm/passt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/log.h"
#include "common/net_policy.h"
#include "hypercalls/net.h"
#include "vmm/net.h"

#define READY_TIMEOUT_MS 10000
#define WORDS_SIZE 4096u /* of what passt says before it is ready */
#define ARGUMENTS_MAX (16u + 4u * NIC_ADDRS_MAX + 2u * NIC_GATEWAYS_MAX + 2u * PUBLISH_SPEC_MAX)
#define TEXT_MAX 160u
#define BUFFER_SIZE (4 << 20)

extern char **environ;

void passt_plan(struct nic_spec *nic)
{
    if (nic->dns_count || !net_host_dns_is_local())
        return;
    net_map_v4(nic->dns[0].addr, NET_DNS_ADDR(0));
    nic->dns_count = 1;
    nic->passt_dns = true;
}

/* --- the command line --- */

struct arguments {
    char *argv[ARGUMENTS_MAX + 1];
    char text[ARGUMENTS_MAX][TEXT_MAX];
    size_t count;
};

__attribute__((format(printf, 2, 3))) static void add(struct arguments *a, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(a->text[a->count], TEXT_MAX, format, ap);
    va_end(ap);
    a->argv[a->count] = a->text[a->count];
    a->count++;
}

static void add_addr(struct arguments *a, const char *option, const uint8_t addr[16])
{
    char text[INET6_ADDRSTRLEN];

    if (nic_is_v4(addr))
        inet_ntop(AF_INET, addr + 12, text, sizeof(text));
    else
        inet_ntop(AF_INET6, addr, text, sizeof(text));
    add(a, "%s", option);
    add(a, "%s", text);
}

/* It knows one address of each family. */
static void add_addrs(struct arguments *a, const struct nic_spec *nic)
{
    bool seen[2] = { false, false };

    for (size_t i = 0; i < nic->addr_count; i++) {
        bool v4 = nic_is_v4(nic->addrs[i].addr);

        if (seen[v4])
            continue;
        seen[v4] = true;
        add_addr(a, "-a", nic->addrs[i].addr);
        if (v4) {
            add(a, "-n");
            add(a, "%u", nic->addrs[i].prefix);
        }
    }
    for (size_t i = 0; i < nic->gateway_count; i++)
        add_addr(a, "-g", nic->gateways[i].addr);
}

static int add_published(struct arguments *a, const char *text)
{
    struct publish_spec spec;

    if (!net_parse_publish(text, &spec)) {
        log_error("--publish", "'%s' is not [ADDR:]HOSTPORT:PORT[/udp]", text);
        return -1;
    }
    add(a, spec.datagram ? "-u" : "-t");
    add(a, "%s/%u:%u", spec.addr, spec.host_port, spec.port);
    return 0;
}

static int make_arguments(struct arguments *a, const struct options *opt, int socket_fd, int ready_fd)
{
    const struct nic_spec *nic = &opt->nic;

    a->count = 0;
    add(a, "passt");
    add(a, "-f");
    add(a, "-q");
    add(a, "-F");
    add(a, "%d", socket_fd);
    add(a, "-P"); /* where it says that it is ready */
    add(a, "/proc/self/fd/%d", ready_fd);
    add(a, "-m");
    add(a, "%u", nic->mtu ? nic->mtu : NIC_PASST_MTU);
    if (!nic->passt_host)
        add(a, "--no-map-gw");
    if (nic->passt_dns)
        add_addr(a, "--dns-forward", nic->dns[0].addr);
    add_addrs(a, nic);
    for (size_t i = 0; i < opt->net.publish_count; i++)
        if (add_published(a, opt->net.publish[i]) < 0)
            return -1;
    a->argv[a->count] = NULL;
    return 0;
}

/* --- the process --- */

/* Its own session, so that signals from the terminal are the app's; no descriptors but these. 0 or -errno. */
static int spawn(char **argv, int socket_fd, int ready_fd, int words_fd, pid_t *ret)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    int err;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawn_file_actions_init(&files);
    err = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDWR, 0);
    err = err ? err : posix_spawn_file_actions_adddup2(&files, words_fd, STDOUT_FILENO);
    err = err ? err : posix_spawn_file_actions_adddup2(&files, words_fd, STDERR_FILENO);
    err = err ? err : posix_spawn_file_actions_adddup2(&files, socket_fd, socket_fd); /* no longer CLOEXEC, as all others are */
    err = err ? err : posix_spawn_file_actions_adddup2(&files, ready_fd, ready_fd);
    err = err ? err : posix_spawnp(ret, argv[0], &files, &attr, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    return -err;
}

/* The last line of what it said. */
static void say_why(int words_fd)
{
    char text[WORDS_SIZE + 1], *line = text;
    ssize_t n = pread(words_fd, text, WORDS_SIZE, 0);

    text[n > 0 ? n : 0] = '\0';
    for (size_t end = strlen(text); end && (text[end - 1] == '\n' || text[end - 1] == ' '); end--)
        text[end - 1] = '\0';
    for (char *p = text; *p; p++)
        if (*p == '\n')
            line = p + 1;
    log_error("passt", "%s", *line ? line : "ended before it was ready");
}

static int wait_ready(int ready_fd, int words_fd)
{
    struct pollfd fd = { .fd = ready_fd, .events = POLLIN };
    char byte;
    int got = poll(&fd, 1, READY_TIMEOUT_MS);

    if (got == 0)
        log_errno("passt", ETIMEDOUT);
    else if (read(ready_fd, &byte, 1) == 1)
        return 0;
    else
        say_why(words_fd);
    return -1;
}

/*
 * What it says later goes to the same memory, which can't grow: nobody reads it. Others than we may have to open the pipe by name (passt
 * gives up root first), so its mode is for all; only its holders' /proc leads there.
 */
static int launch(const struct options *opt, int socket_fd)
{
    static struct arguments arguments; /* once in a process */
    int ready[2] = { -1, -1 }, words = memfd_create("passt", MFD_CLOEXEC | MFD_ALLOW_SEALING), result = -1;
    pid_t pid;

    if (words < 0 || ftruncate(words, WORDS_SIZE) < 0 || fcntl(words, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) < 0 ||
        pipe2(ready, O_CLOEXEC) < 0 || fchmod(ready[1], 0666) < 0) {
        log_errno("passt", errno);
    } else if (make_arguments(&arguments, opt, socket_fd, ready[1]) == 0) {
        int err = spawn(arguments.argv, socket_fd, ready[1], words, &pid);

        fd_close(&ready[1]);
        if (err == -ENOENT)
            log_error("passt", "is not installed (Debian's package passt)");
        else if (err < 0)
            log_errno("passt", err);
        else
            result = wait_ready(ready[0], words);
    }
    fd_close(&ready[0]);
    fd_close(&ready[1]);
    fd_close(&words);
    return result;
}

/* --- whom it may talk to --- */

static int fill_guard(struct guard *g, const struct nic_spec *nic)
{
    struct ifaddrs *all, *a;
    size_t count = 0;

    g->has_dns = nic->passt_dns;
    memcpy(g->dns, nic->dns[0].addr, sizeof(g->dns));
    if (nic->passt_host)
        return 0;
    if (getifaddrs(&all) < 0)
        return -errno;
    for (a = all; a; a = a->ifa_next)
        count++;
    g->own = calloc(count + 1, sizeof(*g->own));
    for (a = all; a && g->own; a = a->ifa_next) {
        const struct sockaddr *sa = a->ifa_addr;

        if (sa && sa->sa_family == AF_INET)
            net_map_v4(g->own[g->own_count++], ntohl(((const struct sockaddr_in *)(const void *)sa)->sin_addr.s_addr));
        else if (sa && sa->sa_family == AF_INET6)
            memcpy(g->own[g->own_count++], &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
    }
    freeifaddrs(all);
    return g->own ? 0 : -ENOMEM;
}

/* passt forgets frames that don't fit, and finds out by a timer: a whole TCP window should, if the host's limit lets it. */
static void widen(int fd)
{
    int size = BUFFER_SIZE;

    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

int passt_start(struct stream *ret, const struct options *opt)
{
    int pair[2], err;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        log_errno("passt", errno);
        return -1;
    }
    widen(pair[0]);
    widen(pair[1]);
    if (launch(opt, pair[1]) < 0) {
        close(pair[0]);
        close(pair[1]);
        return -1;
    }
    close(pair[1]);
    err = fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0; /* ours only: passt relies on waiting */
    err = err ? err : stream_init(ret, pair[0], opt->nic.mtu ? opt->nic.mtu : NIC_PASST_MTU);
    err = err ? err : fill_guard(&ret->guard, &opt->nic);
    if (err < 0)
        log_errno("passt", err);
    return err < 0 ? -1 : 0;
}
