/*
 * `vmm gofer --listen unix:PATH|tcp:127.0.0.1:PORT --export DIR[:ro]`: the same file server for other clients.
 *
 * The process that the user starts makes the socket and waits; a jailed child accepts and serves, with a thread for each
 * client. There is no authentication: who may connect is who may open the socket, which is made with mode 0600.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/jail.h"
#include "common/log.h"
#include "common/roles.h"
#include "gofer/exports.h"
#include "gofer/seccomp.h"
#include "gofer/socket.h"

#define SERVER_EXPORTS_MAX 64
#define SERVER_CLIENTS_MAX 64
#define SERVER_STACK_SIZE (256u << 10)
#define DESCRIPTORS_WANTED 65536
#define DESCRIPTORS_KEPT 128
#define EXIT_USAGE 125
#define TCP_LOOPBACK "tcp:127.0.0.1:"

static const char usage[] =
    "usage: vmm gofer --listen unix:PATH|tcp:127.0.0.1:PORT --export DIR[:ro] ...\n"
    "\n"
    "Serve directories by 9P2000.L. A client attaches by the directory's path, or by / if\n"
    "there is only one. There is no authentication: unix:PATH is made with mode 0600, tcp is\n"
    "on the loopback address only, and open to every user of this host.\n"
    "\n"
    "  --listen unix:PATH            a socket in the file system; removed at the end\n"
    "  --listen tcp:127.0.0.1:PORT   a port of the loopback address\n"
    "  --export DIR[:ro]             a directory or file, with :ro for reading only\n"
    "  --help                        this text\n";

struct server {
    struct gofer_export wanted[SERVER_EXPORTS_MAX];
    size_t export_count;
    const char *socket_path; /* to be removed at the end, or NULL */
    int listen_fd;
    struct exports exports;
    struct engine_config engine;
    unsigned clients;        /* atomic */
};

static int fail(const char *what, const char *why)
{
    log_error(what, "%s", why);
    return EXIT_USAGE;
}

/* Is somebody listening there? Then it must stay; else it is what a dead server left. */
static int remove_stale(const struct sockaddr_un *addr)
{
    const struct sockaddr *sa = (const void *)addr;
    struct stat st;
    int fd, err;

    if (lstat(addr->sun_path, &st) < 0)
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    err = connect(fd, sa, sizeof(*addr)) == 0 ? -EADDRINUSE : errno == ECONNREFUSED ? 0 : -errno;
    close(fd);
    return err ? err : unlink(addr->sun_path) < 0 ? -errno : 0;
}

static int listen_unix(struct server *s, const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    const struct sockaddr *sa = (const void *)&addr;
    int err;

    if (!*path || strlen(path) >= sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    strcpy(addr.sun_path, path);
    err = remove_stale(&addr);
    if (err)
        return err;
    s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->listen_fd < 0)
        return -errno;
    umask(0177);
    if (bind(s->listen_fd, sa, sizeof(addr)) < 0)
        return -errno;
    s->socket_path = path;
    return listen(s->listen_fd, SERVER_CLIENTS_MAX) < 0 ? -errno : 0;
}

static int listen_tcp(struct server *s, const char *port)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const struct sockaddr *sa = (const void *)&addr;
    static const int one = 1;
    char *end;
    unsigned long number = strtoul(port, &end, 10);

    if (!*port || *end || number == 0 || number > UINT16_MAX)
        return -EINVAL;
    addr.sin_port = htons((uint16_t)number);
    s->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->listen_fd < 0)
        return -errno;
    setsockopt(s->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(s->listen_fd, sa, sizeof(addr)) < 0)
        return -errno;
    return listen(s->listen_fd, SERVER_CLIENTS_MAX) < 0 ? -errno : 0;
}

static int start_listening(struct server *s, const char *where)
{
    if (!strncmp(where, "unix:", 5))
        return listen_unix(s, where + 5);
    if (!strncmp(where, TCP_LOOPBACK, strlen(TCP_LOOPBACK)))
        return listen_tcp(s, where + strlen(TCP_LOOPBACK));
    if (!strncmp(where, "tcp:", 4))
        return -EADDRNOTAVAIL; /* whoever can connect can use the exports */
    return -EAFNOSUPPORT;
}

/* DIR or DIR:ro. The text is the user's own and stays. */
static int add_export(struct server *s, char *text)
{
    struct gofer_export *x = &s->wanted[s->export_count];
    char *option = strrchr(text, ':');

    if (s->export_count == SERVER_EXPORTS_MAX)
        return -E2BIG;
    x->writable = true;
    if (option && (!strcmp(option, ":ro") || !strcmp(option, ":rw"))) {
        x->writable = !strcmp(option, ":rw");
        *option = '\0';
    }
    if (!*text)
        return -ENOENT;
    x->host_path = text;
    s->export_count++;
    return 0;
}

/* The jailed child. */

static int enter(struct server *s, const char **ret_what)
{
    const struct gofer_config wanted = { .exports = s->wanted, .export_count = s->export_count };
    const struct jail_limits limits = { UINT64_MAX, DESCRIPTORS_WANTED };
    const int keep[] = { s->listen_fd };
    uint64_t descriptors;
    int err;

    *ret_what = "gofer";
    mallopt(M_ARENA_MAX, 1); /* more of them, one a thread, would need system calls that the filter doesn't have */
    jail_ignore_signals();
    umask(0);
    err = fd_close_others(keep, 1);
    if (err)
        return err;
    s->engine = (struct engine_config){ .control_fd = -1, .view = exports_view() };
    s->engine.proc_fd = jail_open_proc_fd();
    if (s->engine.proc_fd < 0)
        return s->engine.proc_fd;
    err = exports_open(&s->exports, &wanted, ret_what);
    if (err)
        return err;
    *ret_what = "jail";
    err = jail_change_root(s->engine.proc_fd);
    if (err)
        return err;
    descriptors = jail_limit(&limits);
    if (descriptors < 2 * DESCRIPTORS_KEPT)
        return -EMFILE;
    s->engine.exports = s->exports.list;
    s->engine.export_count = s->exports.count;
    s->engine.fid_max = (size_t)descriptors - DESCRIPTORS_KEPT;
    err = jail_drop_privileges();
    return err ? err : jail_filter(&seccomp_gofer);
}

struct client {
    struct server *server;
    int fd;
};

static void *client_main(void *arg)
{
    struct client *client = arg;
    struct server *s = client->server;

    socket_serve(client->fd, &s->engine);
    free(client);
    __atomic_fetch_sub(&s->clients, 1, __ATOMIC_RELAXED);
    return NULL;
}

/* Takes fd. */
static void start_client(struct server *s, int fd)
{
    struct client *client = malloc(sizeof(*client));
    pthread_attr_t attr;
    pthread_t thread;

    if (!client || __atomic_load_n(&s->clients, __ATOMIC_RELAXED) >= SERVER_CLIENTS_MAX)
        goto refuse;
    *client = (struct client){ s, fd };
    __atomic_fetch_add(&s->clients, 1, __ATOMIC_RELAXED);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, SERVER_STACK_SIZE);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attr, client_main, client) == 0)
        return;
    __atomic_fetch_sub(&s->clients, 1, __ATOMIC_RELAXED);
refuse:
    free(client);
    close(fd);
}

static int child_main(void *arg)
{
    struct server *s = arg;
    const char *what;
    int err = enter(s, &what);

    if (err) {
        log_errno(what, err);
        return EXIT_USAGE;
    }
    for (;;) {
        int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);

        if (fd >= 0)
            start_client(s, fd);
        else if (errno == EMFILE || errno == ENFILE)
            poll(NULL, 0, 100); /* until some client goes */
        else if (errno != EINTR && errno != ECONNABORTED)
            return EXIT_USAGE;
    }
}

/* The parent. */

static int parse(struct server *s, int argc, char **argv, const char **ret_where)
{
    static const struct option options[] = { { "listen", required_argument, NULL, 'l' },
                                             { "export", required_argument, NULL, 'e' },
                                             { "help", no_argument, NULL, 'h' },
                                             { 0 } };
    int c;

    *ret_where = NULL;
    optind = 0; /* the caller may have used getopt */
    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (c) {
        case 'l':
            *ret_where = optarg;
            break;
        case 'e':
            if (add_export(s, optarg))
                return fail(optarg, "can't be exported");
            break;
        case 'h':
            *ret_where = NULL;
            fputs(usage, stdout);
            return 0;
        default:
            return EXIT_USAGE; /* getopt has said why */
        }
    }
    if (optind < argc)
        return fail(argv[optind], "not expected here");
    if (!*ret_where || !s->export_count)
        return fail("gofer", "--listen and --export are needed");
    return 0;
}

static int wait_end(struct server *s, const struct jail_child *child)
{
    sigset_t ends;
    int signal_number, status = 0;

    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGHUP);
    sigaddset(&ends, SIGCHLD);
    do
        sigwait(&ends, &signal_number);
    while (signal_number == SIGCHLD && waitpid(child->pid, &status, WNOHANG) == 0);
    if (signal_number != SIGCHLD) {
        kill(child->pid, SIGKILL);
        waitpid(child->pid, NULL, 0);
    }
    if (s->socket_path)
        unlink(s->socket_path);
    if (signal_number != SIGCHLD)
        return 0;
    if (WIFEXITED(status))
        return WEXITSTATUS(status); /* it has said why */
    log_error("gofer", "ended by signal %d", WTERMSIG(status));
    return EXIT_USAGE;
}

static void block_ends(void)
{
    sigset_t ends;

    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGHUP);
    sigaddset(&ends, SIGCHLD);
    sigprocmask(SIG_BLOCK, &ends, NULL);
}

int gofer_server_main(int argc, char **argv)
{
    static struct server server = { .listen_fd = -1 };
    struct jail_child child;
    const char *where;
    int err = parse(&server, argc, argv, &where);

    if (err || !where)
        return err;
    err = start_listening(&server, where);
    if (err) {
        log_errno(where, err);
        return EXIT_USAGE;
    }
    block_ends();
    /* The listening socket was made before, so a network namespace takes nothing away from it. */
    err = jail_spawn(JAIL_NAMESPACES, child_main, &server, &child);
    if (err) {
        log_errno("gofer", err);
        return EXIT_USAGE;
    }
    fd_close(&server.listen_fd);
    return wait_end(&server, &child);
}
