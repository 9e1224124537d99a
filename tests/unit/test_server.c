/* `vmm gofer`: the server for other clients, over a Unix socket. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/roles.h"
#include "hypercalls/p9.h"

static char base[64];
static char path[96], listen_arg[128], export_arg[128];
static pid_t server;
static uint8_t out[65536], in[65536];
static struct p9_cursor m, r;

static void put_file(const char *name, const char *text)
{
    char file[128];
    int fd;

    snprintf(file, sizeof(file), "%s/%s", base, name);
    fd = open(file, O_CREAT | O_WRONLY, 0644);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static int connect_server(void)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strcpy(addr.sun_path, path);
    for (int i = 0; i < 3000; i++) { /* half a minute: the machine may be busy */
        if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
            return fd;
        usleep(10000);
    }
    close(fd);
    return -1;
}

static void start(const char *option)
{
    pid_t test = getpid();
    char dir[96];

    strcpy(base, "/tmp/vmm-server-XXXXXX");
    cr_assert(mkdtemp(base));
    snprintf(dir, sizeof(dir), "%s/share", base);
    mkdir(dir, 0755);
    snprintf(dir, sizeof(dir), "%s/share/sub", base);
    mkdir(dir, 0755);
    put_file("share/f", "content");
    snprintf(path, sizeof(path), "%s/socket", base);
    snprintf(listen_arg, sizeof(listen_arg), "unix:%s", path);
    snprintf(export_arg, sizeof(export_arg), "%s/share%s", base, option);
    server = fork();
    if (!server) {
        static char name[] = "gofer", l[] = "--listen", e[] = "--export";
        char *argv[] = { name, l, listen_arg, e, export_arg, NULL };

        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nothing behind */
        if (getppid() != test)
            _exit(1);
        _exit(gofer_server_main(5, argv));
    }
}

static void stop(void)
{
    char command[128];
    int status;

    kill(server, SIGTERM);
    waitpid(server, &status, 0);
    cr_assert_eq(status, 0);
    cr_assert_neq(access(path, F_OK), 0, "the socket is removed");
    snprintf(command, sizeof(command), "rm -rf %s", base);
    cr_assert_eq(system(command), 0);
}

static void begin(uint8_t type)
{
    p9_cursor_init(&m, out, sizeof(out));
    p9_begin(&m, type, 5);
}

static bool read_all(int fd, uint8_t *data, size_t len)
{
    while (len) {
        ssize_t n = read(fd, data, len);

        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* 0 and r behind the header, or -errno; -EPIPE if the server hung up. */
static int call(int fd)
{
    size_t size = p9_finish(&m);
    uint8_t type;

    if (write(fd, out, size) != (ssize_t)size || !read_all(fd, in, 4))
        return -EPIPE;
    p9_cursor_init(&r, in, sizeof(in));
    r.size = p9_get32(&r);
    cr_assert_leq(r.size, sizeof(in));
    if (!read_all(fd, in + 4, r.size - 4))
        return -EPIPE;
    type = p9_get8(&r);
    cr_assert_eq(p9_get16(&r), 5);
    return type == P9_Rlerror ? -(int)p9_get32(&r) : 0;
}

static int version(int fd)
{
    begin(P9_Tversion);
    p9_put32(&m, 32768);
    p9_put_str(&m, P9_VERSION_L, strlen(P9_VERSION_L));
    return call(fd);
}

static int attach(int fd, uint32_t fid, const char *aname)
{
    begin(P9_Tattach);
    p9_put32(&m, fid);
    p9_put32(&m, P9_NOFID);
    p9_put_str(&m, "", 0);
    p9_put_str(&m, aname, strlen(aname));
    p9_put32(&m, 0);
    return call(fd);
}

static int walk(int fd, uint32_t fid, uint32_t newfid, const char *name, uint64_t *ret_ino)
{
    int err;

    begin(P9_Twalk);
    p9_put32(&m, fid);
    p9_put32(&m, newfid);
    p9_put16(&m, 1);
    p9_put_str(&m, name, strlen(name));
    err = call(fd);
    if (!err) {
        p9_get16(&r);
        *ret_ino = p9_get_qid(&r).path;
    }
    return err;
}

Test(server, serves_clients_apart)
{
    int a, b;
    char name[128];

    start(":ro");
    a = connect_server();
    b = connect_server();
    cr_assert(a >= 0 && b >= 0);
    cr_assert_eq(version(a), 0);
    cr_assert_eq(version(b), 0);
    snprintf(name, sizeof(name), "%s/share", base);
    cr_assert_eq(attach(a, 1, name), 0);
    cr_assert_eq(attach(b, 1, "/"), 0, "the same number, another session");
    cr_assert_eq(attach(a, 2, "/none"), -ENOENT);
    cr_assert_eq(attach(a, 2, "stdio/0"), -ENOENT);
    begin(P9_Tmkdir);
    p9_put32(&m, 1);
    p9_put_str(&m, "d", 1);
    p9_put64(&m, 0755);
    cr_assert_eq(call(a), -EROFS);
    begin(P9_Tsync);
    p9_put32(&m, 1);
    cr_assert_eq(call(a), -EOPNOTSUPP);
    close(a);
    begin(P9_Tclunk);
    p9_put32(&m, 1);
    cr_assert_eq(call(b), 0);
    close(b);
    stop();
}

Test(server, dot_dot_stays_inside)
{
    uint64_t root = 0, sub = 0, ino = 0;
    int fd;

    start("");
    fd = connect_server();
    cr_assert_eq(version(fd), 0);
    cr_assert_eq(attach(fd, 1, ""), 0);
    root = p9_get_qid(&r).path;
    cr_assert_eq(walk(fd, 1, 2, "..", &ino), 0);
    cr_assert_eq(ino, root, "the root is its own parent");
    cr_assert_eq(walk(fd, 1, 3, "sub", &sub), 0);
    cr_assert_eq(walk(fd, 3, 4, "..", &ino), 0);
    cr_assert_eq(ino, root);
    cr_assert_eq(walk(fd, 4, 5, "..", &ino), 0);
    cr_assert_eq(ino, root);
    cr_assert_eq(walk(fd, 3, 6, ".", &ino), 0);
    cr_assert_eq(ino, sub);
    cr_assert_neq(walk(fd, 3, 7, "../..", &ino), 0);
    close(fd);
    stop();
}

Test(server, a_message_in_pieces)
{
    size_t size;
    int fd;

    start("");
    fd = connect_server();
    begin(P9_Tversion);
    p9_put32(&m, 8192);
    p9_put_str(&m, P9_VERSION_L, strlen(P9_VERSION_L));
    size = p9_finish(&m);
    for (size_t i = 0; i < size; i++) {
        cr_assert_eq(write(fd, out + i, 1), 1);
        usleep(200);
    }
    cr_assert(read_all(fd, in, 21));
    cr_assert_eq(in[4], P9_Rversion);
    close(fd);
    stop();
}

Test(server, hangs_up_on_nonsense)
{
    static const uint8_t bad[] = { 0xff, 0xff, 0xff, 0xff, 100, 0, 0, 1, 2, 3 };
    int fd;

    start("");
    fd = connect_server();
    cr_assert_eq(write(fd, bad, sizeof(bad)), (ssize_t)sizeof(bad));
    cr_assert_leq(read(fd, in, 1), 0);
    close(fd);
    fd = connect_server();
    cr_assert_eq(version(fd), 0, "others are still served");
    close(fd);
    stop();
}

static int run(char **argv)
{
    int status, argc = 0;
    pid_t pid = fork();

    while (argv[argc])
        argc++;
    if (!pid) {
        close(2);
        _exit(gofer_server_main(argc, argv));
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(server, bad_arguments)
{
    static char name[] = "gofer", l[] = "--listen", e[] = "--export", tmp[] = "/tmp", none[] = "/none/such",
                unix_none[] = "unix:/none/such/socket", unix_file[] = "unix:/etc/passwd", udp[] = "udp:1",
                port[] = "tcp:127.0.0.1:99999", unix_ok[] = "unix:/tmp/vmm-server-test-socket", extra[] = "extra";

    cr_assert_eq(run((char *[]){ name, NULL }), 125);
    cr_assert_eq(run((char *[]){ name, l, unix_ok, NULL }), 125);
    cr_assert_eq(run((char *[]){ name, l, unix_none, e, tmp, NULL }), 125);
    cr_assert_eq(run((char *[]){ name, l, unix_file, e, tmp, NULL }), 125);
    cr_assert_eq(access("/etc/passwd", F_OK), 0);
    cr_assert_eq(run((char *[]){ name, l, udp, e, tmp, NULL }), 125);
    cr_assert_eq(run((char *[]){ name, l, port, e, tmp, NULL }), 125);
    cr_assert_eq(run((char *[]){ name, l, unix_ok, e, none, NULL }), 125);
    cr_assert_neq(access("/tmp/vmm-server-test-socket", F_OK), 0);
    cr_assert_eq(run((char *[]){ name, l, unix_ok, e, tmp, extra, NULL }), 125);
}
