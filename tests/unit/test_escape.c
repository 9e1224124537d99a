/*
 * Ways out of an export. Each attack first succeeds on an unprotected variant (plain openat by the same name), so that
 * the test is known to bite, and then fails on the engine.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "gofer/exports.h"

#define ROOT 1
#define WORLD 2

static char base[64];   /* holds secret, and share, which is exported */
static struct client c;
static struct exports exports;
static int share_fd;

static const char *host(const char *name)
{
    static char path[4][256];
    static unsigned n;

    n = (n + 1) % 4;
    snprintf(path[n], sizeof(path[n]), "%s/%s", base, name);
    return path[n];
}

static void put_file(const char *name, const char *text, mode_t mode)
{
    int fd = open(host(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    fchmod(fd, mode);
    close(fd);
}

static void set_up(void)
{
    static char share[80];
    struct gofer_export list[] = { { .host_path = share, .writable = true },
                                   { .host_path = share, .world_only = true } };
    struct gofer_config config = { .exports = list, .export_count = 2 };
    struct engine_config engine = { .by_number = true,
                                    .export_count = 2,
                                    .control_fd = -1,
                                    .fid_max = 1000,
                                    .view = { (uid_t)-1, (uid_t)-1, (gid_t)-1 } };
    const char *what;

    strcpy(base, "/tmp/vmm-escape-XXXXXX");
    cr_assert(mkdtemp(base));
    chmod(base, 0755);
    umask(0);
    put_file("secret", "secret", 0644);
    snprintf(share, sizeof(share), "%s/share", base);
    mkdir(share, 0755);
    mkdir(host("share/sub"), 0755);
    share_fd = open(share, O_PATH);
    cr_assert_eq(exports_open(&exports, &config, &what), 0);
    engine.exports = exports.list;
    engine.proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY);
    cr_assert_eq(fchdir(engine.proc_fd), 0);
    client_engine(&c, &engine);
    cr_assert_eq(client_version(&c, P9_VERSION_VMM), 0);
    cr_assert_eq(client_attach(&c, ROOT, "export/0"), 0);
    cr_assert_eq(client_attach(&c, WORLD, "export/1"), 0);
}

static void tear_down(void)
{
    char command[128];

    client_engine_end(&c);
    snprintf(command, sizeof(command), "rm -rf --one-file-system %s", base);
    cr_assert_eq(system(command), 0);
}

TestSuite(escape, .init = set_up, .fini = tear_down);

/* What an unprotected server would do with a name. */
static int unprotected(const char *name)
{
    int fd = openat(share_fd, name, O_RDONLY | O_NONBLOCK);
    int err = fd < 0 ? -errno : 0;

    if (fd >= 0)
        close(fd);
    return err;
}

/* One name, as it is, to every request that takes one. Expects that all fail. */
static void expect_refused(const char *name, size_t len)
{
    static const struct {
        uint8_t type;
        char before; /* fields between fid and name: 0 none, 4 a fid */
        uint8_t zeros; /* bytes after the name */
    } requests[] = {
        { P9_Tlcreate, 0, 12 }, { P9_Tmkdir, 0, 8 }, { P9_Tmknod, 0, 16 }, { P9_Tunlinkat, 0, 4 }, { P9_Tlink, 4, 0 },
    };

    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct p9_cursor *m = client_begin(&c, 0, requests[i].type);

        p9_put32(m, ROOT);
        if (requests[i].before)
            p9_put32(m, ROOT);
        p9_put_str(m, name, len);
        for (unsigned k = 0; k < requests[i].zeros; k++)
            p9_put8(m, 0);
        cr_assert_neq(client_call(&c), 0, "type %u with %s", requests[i].type, name);
    }
    for (int x = 0; x < 2; x++) {
        struct p9_cursor *m = client_begin(&c, 0, x ? P9_Twalkx : P9_Twalk);
        int err;

        p9_put32(m, ROOT);
        p9_put32(m, 50);
        if (x)
            p9_put32(m, O_RDONLY);
        p9_put16(m, 1);
        p9_put_str(m, name, len);
        err = client_call(&c);
        if (x && !err) {
            cr_assert_eq(p9_get16(&c.in), 0);
            cr_assert_neq(p9_get32(&c.in), 0);
        } else {
            cr_assert_neq(err, 0);
        }
        cr_assert_eq(client_clunk(&c, 50), -EBADF);
    }
}

Test(escape, dot_dot_and_slashes)
{
    char long_name[300];

    cr_assert_eq(unprotected("../secret"), 0);
    cr_assert_eq(unprotected("sub/../../secret"), 0);
    cr_assert_eq(unprotected("/etc/passwd"), 0);
    expect_refused("..", 2);
    expect_refused(".", 1);
    expect_refused("", 0);
    expect_refused("../secret", 9);
    expect_refused("sub/..", 6);
    expect_refused("/etc/passwd", 11);
    expect_refused("sub\0x", 5);
    memset(long_name, 'x', sizeof(long_name));
    expect_refused(long_name, sizeof(long_name));
}

/* Try to get at a file's content by its name. 0 if that worked. */
static int try_read(uint32_t root, const char *path, uint32_t flags)
{
    char data[16];
    int err = client_walk(&c, root, 60, path);
    int by_walkx;

    if (!err) {
        err = client_open(&c, 60, flags);
        if (!err)
            err = client_read(&c, 60, 0, data, 16) < 0 ? -EIO : 0;
        client_clunk(&c, 60);
    }
    by_walkx = client_walkx(&c, root, 61, flags, path);
    if (!by_walkx) {
        uint16_t passed = p9_get16(&c.in);

        by_walkx = p9_get32(&c.in) ? -EACCES : 0;
        p9_take(&c.in, (size_t)passed * P9_ATTR_SIZE);
        if (!p9_get8(&c.in))
            by_walkx = -EACCES;
        client_clunk(&c, 61);
    }
    return err && by_walkx ? err : 0;
}

Test(escape, symlinks)
{
    cr_assert_eq(symlink("../secret", host("share/relative")), 0);
    cr_assert_eq(symlink("/etc/passwd", host("share/absolute")), 0);
    cr_assert_eq(symlink("..", host("share/up")), 0);
    cr_assert_eq(symlink("/proc/self/root/etc", host("share/magic")), 0);
    cr_assert_eq(unprotected("relative"), 0);
    cr_assert_eq(unprotected("absolute"), 0);
    cr_assert_eq(unprotected("up/secret"), 0);
    cr_assert_eq(unprotected("magic/passwd"), 0);
    cr_assert_neq(try_read(ROOT, "relative", O_RDONLY), 0);
    cr_assert_neq(try_read(ROOT, "absolute", O_RDONLY), 0);
    cr_assert_neq(try_read(ROOT, "up/secret", O_RDONLY), 0);
    cr_assert_neq(try_read(ROOT, "magic/passwd", O_RDONLY), 0);
    /* Creating through a link that leads out. */
    cr_assert_eq(symlink("../made", host("share/dangling")), 0);
    cr_assert_eq(client_walk(&c, ROOT, 10, ""), 0);
    cr_assert_neq(client_create(&c, 10, "dangling", O_RDWR, 0644), 0);
    cr_assert_neq(access(host("made"), F_OK), 0);
}

/* Somebody swaps a directory and a symlink all the time; no walk ever gets out. */
static atomic_bool stop;

static void *swap(void *arg)
{
    (void)arg;
    while (!stop)
        renameat2(share_fd, "door", share_fd, "link", RENAME_EXCHANGE);
    return NULL;
}

Test(escape, rename_race)
{
    unsigned outside = 0, inside = 0;
    pthread_t thread;
    time_t end;

    mkdir(host("share/door"), 0755);
    put_file("share/door/secret", "inside", 0644);
    cr_assert_eq(symlink("..", host("share/link")), 0);
    pthread_create(&thread, NULL, swap, NULL);
    end = time(NULL) + 2;
    while (time(NULL) < end || ((!outside || !inside) && time(NULL) < end + 20)) {
        int fd = openat(share_fd, "door/secret", O_RDONLY);
        char data[8] = "";

        if (fd >= 0 && read(fd, data, 6) == 6)
            outside += !strcmp(data, "secret");
        close(fd);
        if (!client_walkx(&c, ROOT, 10, O_RDONLY, "door/secret")) {
            if (client_read(&c, 10, 0, data, 6) == 6) {
                cr_assert(!memcmp(data, "inside", 6));
                inside++;
            }
            client_clunk(&c, 10);
        }
    }
    stop = true;
    pthread_join(thread, NULL);
    cr_assert_gt(outside, 0, "the race must bite without protection");
    cr_assert_gt(inside, 0);
}

Test(escape, fifo_neither_blocks_nor_opens, .timeout = 10)
{
    int reader;

    mkfifo(host("share/fifo"), 0666);
    cr_assert_eq(unprotected("fifo"), 0);
    cr_assert_neq(try_read(ROOT, "fifo", O_RDONLY), 0);
    cr_assert_neq(try_read(ROOT, "fifo", O_RDWR), 0);
    reader = open(host("share/fifo"), O_RDONLY | O_NONBLOCK);
    cr_assert_neq(try_read(ROOT, "fifo", O_WRONLY), 0, "a host service that listens isn't reached");
    cr_assert_eq(client_walk(&c, ROOT, 10, ""), 0);
    cr_assert_neq(client_create(&c, 10, "fifo", O_WRONLY, 0644), 0);
    close(reader);
}

Test(escape, sockets)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", host("share/socket"));
    cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    cr_assert_neq(try_read(ROOT, "socket", O_RDWR), 0);
    close(fd);
}

Test(escape, devices)
{
    struct p9_cursor *m;

    if (mknod(host("share/zero"), S_IFCHR | 0666, makedev(1, 5)))
        cr_skip_test("needs CAP_MKNOD");
    cr_assert_eq(unprotected("zero"), 0);
    cr_assert_neq(try_read(ROOT, "zero", O_RDONLY), 0);
    for (unsigned type = S_IFCHR; type; type = type == S_IFCHR ? S_IFBLK : 0) {
        m = client_begin(&c, 0, P9_Tmknod);
        p9_put32(m, ROOT);
        p9_put_str(m, "dev", 3);
        p9_put32(m, type | 0666);
        p9_put32(m, 1);
        p9_put32(m, 5);
        p9_put32(m, 0);
        cr_assert_eq(client_call(&c), -EPERM);
    }
}

Test(escape, hard_links_across_exports)
{
    struct p9_cursor *m;

    put_file("share/f", "x", 0644);
    cr_assert_eq(client_walk(&c, WORLD, 10, "f"), 0);
    m = client_begin(&c, 0, P9_Tlink);
    p9_put32(m, ROOT);
    p9_put32(m, 10);
    p9_put_str(m, "l", 1);
    cr_assert_eq(client_call(&c), -EXDEV);
    m = client_begin(&c, 0, P9_Trenameat);
    p9_put32(m, ROOT);
    p9_put_str(m, "f", 1);
    p9_put32(m, WORLD);
    p9_put_str(m, "g", 1);
    cr_assert_neq(client_call(&c), 0);
}

Test(escape, world_only_hides_what_others_may_not_read)
{
    put_file("share/private", "x", 0640);
    put_file("share/public", "x", 0644);
    mkdir(host("share/closed"), 0750);
    put_file("share/closed/f", "x", 0644);
    mkdir(host("share/passage"), 0711);
    put_file("share/passage/f", "x", 0644);
    cr_assert_eq(unprotected("private"), 0);
    cr_assert_eq(try_read(WORLD, "public", O_RDONLY), 0);
    cr_assert_eq(try_read(WORLD, "private", O_RDONLY), -EACCES);
    cr_assert_neq(try_read(WORLD, "closed/f", O_RDONLY), 0);
    cr_assert_eq(try_read(WORLD, "passage/f", O_RDONLY), 0);
    cr_assert_eq(client_walk(&c, WORLD, 10, "passage"), 0);
    cr_assert_eq(client_open(&c, 10, O_RDONLY), -EACCES, "it may be passed but not listed");
    cr_assert_eq(try_read(ROOT, "private", O_RDONLY), 0, "what was given away is given");
}

/* chmod by the host after the walk: the open looks again. */
Test(escape, world_only_looks_again_at_the_open)
{
    put_file("share/f", "x", 0644);
    cr_assert_eq(client_walk(&c, WORLD, 10, "f"), 0);
    chmod(host("share/f"), 0600);
    cr_assert_eq(client_open(&c, 10, O_RDONLY), -EACCES);
}

Test(escape, procfs_can_not_be_exported)
{
    struct gofer_export list[] = { { .host_path = "/proc/self" } };
    struct gofer_config config = { .exports = list, .export_count = 1 };
    struct exports ret;
    const char *what = NULL;

    cr_assert_eq(exports_open(&ret, &config, &what), -EOPNOTSUPP);
    list[0].host_path = "/proc/self/root/etc";
    cr_assert_eq(exports_open(&ret, &config, &what), -ELOOP, "no magic links in paths of exports either");
    cr_assert_str_eq(what, "/proc/self/root/etc");
}

/* --- setuid, capabilities, hard links, moved directories, mounts --- */

static int setattr_mode(uint32_t fid, uint32_t mode)
{
    struct p9_cursor *m = client_begin(&c, 0, P9_Tsetattr);

    p9_put32(m, fid);
    p9_put32(m, P9_SETATTR_MODE);
    p9_put32(m, mode);
    for (unsigned i = 0; i < 2 * 4 + 5 * 8; i++)
        p9_put8(m, 0);
    return client_call(&c);
}

static mode_t mode_of(const char *name)
{
    struct stat st;

    cr_assert_eq(lstat(host(name), &st), 0);
    return st.st_mode & 07777;
}

/* A program that a guest leaves behind must not run with its owner's rights. */
Test(escape, setuid_files)
{
    struct p9_cursor *m;

    put_file("share/plain", "#!", 0755);
    cr_assert_eq(fchmodat(share_fd, "plain", 06755, 0), 0);
    cr_assert_eq(mode_of("share/plain"), 06755, "an unprotected server leaves setuid files");
    chmod(host("share/plain"), 0755);

    cr_assert_eq(client_walk(&c, ROOT, 10, "plain"), 0);
    cr_assert_eq(setattr_mode(10, 06755), 0);
    cr_assert_eq(mode_of("share/plain"), 0755);
    cr_assert_eq(client_walk(&c, ROOT, 11, ""), 0);
    cr_assert_eq(client_create(&c, 11, "made", O_RDWR, 06755), 0);
    cr_assert_eq(mode_of("share/made"), 0755);
    m = client_begin(&c, 0, P9_Tmknod);
    p9_put32(m, ROOT);
    p9_put_str(m, "node", 4);
    p9_put32(m, S_IFREG | 06755);
    p9_put32(m, 0);
    p9_put32(m, 0);
    p9_put32(m, 0);
    cr_assert_eq(client_call(&c), 0);
    cr_assert_eq(mode_of("share/node"), 0755);
    m = client_begin(&c, 0, P9_Ttmpfile);
    p9_put32(m, ROOT);
    p9_put32(m, 12);
    p9_put32(m, O_RDWR);
    p9_put32(m, 06755);
    p9_put32(m, 0);
    cr_assert_eq(client_call(&c), 0);
    m = client_begin(&c, 0, P9_Tlink);
    p9_put32(m, ROOT);
    p9_put32(m, 12);
    p9_put_str(m, "tmp", 3);
    cr_assert_eq(client_call(&c), 0);
    cr_assert_eq(mode_of("share/tmp"), 0755);
}

/* File capabilities do the same as setuid, and labels fool the host's access control. */
Test(escape, attributes_of_the_host)
{
    static const char *const attributes[] = { "security.capability", "security.selinux", "trusted.overlay.opaque",
                                              "trusted.x", "system.nfs4_acl" };

    put_file("share/f", "x", 0755);
    for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++) {
        struct p9_cursor *m;

        cr_assert_eq(client_walk(&c, ROOT, 10, "f"), 0);
        m = client_begin(&c, 0, P9_Txattrcreate);
        p9_put32(m, 10);
        p9_put_str(m, attributes[i], strlen(attributes[i]));
        p9_put64(m, 20);
        p9_put32(m, 0);
        cr_assert_eq(client_call(&c), -EPERM, "%s", attributes[i]);
        client_clunk(&c, 10);
    }
}

/* A hard link to what a symlink points at would bring an outside file in. */
Test(escape, hard_link_through_a_symlink)
{
    struct p9_cursor *m;
    struct stat st;

    cr_assert_eq(symlink("../secret", host("share/s")), 0);
    cr_assert_eq(linkat(share_fd, "s", share_fd, "unprotected", AT_SYMLINK_FOLLOW), 0);
    cr_assert_eq(try_read(ROOT, "unprotected", O_RDONLY), 0, "the attack works if somebody follows the link");
    cr_assert_eq(client_walk(&c, ROOT, 10, "s"), 0);
    m = client_begin(&c, 0, P9_Tlink);
    p9_put32(m, ROOT);
    p9_put32(m, 10);
    p9_put_str(m, "l", 1);
    if (client_call(&c) == 0) {
        cr_assert_eq(lstat(host("share/l"), &st), 0);
        cr_assert(S_ISLNK(st.st_mode), "the symlink itself was linked");
    }
    cr_assert_neq(try_read(ROOT, "l", O_RDONLY), 0);
}

/* The host moves a directory out of the export under a client that stands in it. */
Test(escape, directory_moved_out)
{
    int sub = openat(share_fd, "sub", O_PATH);
    int fd;

    mkdir(host("outside"), 0755);
    mkdir(host("share/sub/below"), 0755);
    cr_assert_eq(client_version(&c, P9_VERSION_L), 0);
    cr_assert_eq(client_attach(&c, ROOT, "export/0"), 0);
    cr_assert_eq(client_walk(&c, ROOT, 10, "sub/below"), 0);
    cr_assert_eq(rename(host("share/sub"), host("outside/sub")), 0);
    fd = openat(sub, "../../secret", O_RDONLY);
    cr_assert_geq(fd, 0, "an unprotected server walks out");
    close(fd);
    close(sub);
    cr_assert_neq(client_walk(&c, 10, 11, "../../../secret"), 0);
    client_clunk(&c, 11);
    for (unsigned up = 0; up < 4; up++) { /* as far up as it goes: never where secret is */
        static const char *const path[] = { "..", "../..", "../../..", "../../../.." };
        int err = client_walk(&c, 10, 12, path[up]);

        if (err)
            continue;
        cr_assert_neq(client_walk(&c, 12, 13, "secret"), 0, "%s", path[up]);
        client_clunk(&c, 12);
        client_clunk(&c, 13);
    }
}

/* An engine of its own for a share that has been mounted on. */
static int serve_again(bool cross_mounts)
{
    static struct exports again;
    static char share[80];
    struct gofer_export list[] = { { .host_path = share, .writable = true, .cross_mounts = cross_mounts } };
    struct gofer_config config = { .exports = list, .export_count = 1 };
    struct engine_config engine = { .by_number = true, .export_count = 1, .control_fd = -1, .fid_max = 1000,
                                    .view = { (uid_t)-1, (uid_t)-1, (gid_t)-1 } };
    const char *what;

    snprintf(share, sizeof(share), "%s/share", base);
    if (exports_open(&again, &config, &what))
        return -1;
    engine.exports = again.list;
    engine.proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY);
    client_engine(&c, &engine);
    return client_version(&c, P9_VERSION_VMM) || client_attach(&c, ROOT, "export/0") ? -1 : 0;
}

/* In a child with mounts of its own. 0, 77 if they can't be made, or the number of the step that went wrong. */
static int with_mounts(void)
{
    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount(host("other"), host("share/mounted"), NULL, MS_BIND, NULL) ||
        mount("proc", host("share/proc"), "proc", 0, NULL))
        return 77;
    share_fd = open(host("share"), O_PATH); /* as it is in this namespace */
    if (unprotected("mounted/secret") || unprotected("proc/self/root/etc/passwd"))
        return 1; /* the attacks must work without protection: a magic link leads to the host's root */
    if (serve_again(false))
        return 2;
    if (!try_read(ROOT, "mounted/secret", O_RDONLY) || !try_read(ROOT, "proc/version", O_RDONLY) ||
        !try_read(ROOT, "proc/self/root/etc/passwd", O_RDONLY))
        return 3;
    if (serve_again(true))
        return 4;
    if (try_read(ROOT, "mounted/secret", O_RDONLY))
        return 5; /* mounts are part of it, as was asked for */
    if (!try_read(ROOT, "proc/version", O_RDONLY) || !try_read(ROOT, "proc/self/root/etc/passwd", O_RDONLY))
        return 6; /* but nothing of procfs */
    return 0;
}

/* Other file systems below the export, one of them procfs with its magic links. */
Test(escape, mounts_below)
{
    int status;
    pid_t pid;

    mkdir(host("share/mounted"), 0755);
    mkdir(host("share/proc"), 0755);
    mkdir(host("other"), 0755);
    put_file("other/secret", "secret", 0644);
    pid = fork();
    if (!pid)
        _exit(with_mounts());
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        cr_skip_test("no mounts can be made");
    cr_assert_eq(status, 0, "step %d", WEXITSTATUS(status));
}

/* A file and a FIFO take turns at one name: an open never waits for the FIFO's other end, and never gets it. */
static void *swap_fifo(void *arg)
{
    (void)arg;
    while (!stop)
        renameat2(share_fd, "turn", share_fd, "fifo", RENAME_EXCHANGE);
    return NULL;
}

Test(escape, fifo_race, .timeout = 55)
{
    unsigned blocked = 0, got = 0;
    pthread_t thread;
    time_t end;

    put_file("share/turn", "inside", 0644);
    cr_assert_eq(mkfifo(host("share/fifo"), 0666), 0);
    pthread_create(&thread, NULL, swap_fifo, NULL);
    end = time(NULL) + 2;
    while (time(NULL) < end || ((!blocked || !got) && time(NULL) < end + 20)) { /* the other thread may get little time */
        struct stat st;
        char data[8];
        int fd;

        /* look, then open: what an unprotected server would do; O_NONBLOCK only lets the test go on */
        if (fstatat(share_fd, "turn", &st, 0) == 0 && S_ISREG(st.st_mode)) {
            fd = openat(share_fd, "turn", O_RDONLY | O_NONBLOCK);
            blocked += fd >= 0 && fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
            close(fd);
        }
        if (client_walkx(&c, ROOT, 10, O_RDONLY, "turn"))
            continue;
        if (client_read(&c, 10, 0, data, 6) == 6) {
            cr_assert(!memcmp(data, "inside", 6));
            got++;
        }
        client_clunk(&c, 10);
    }
    stop = true;
    pthread_join(thread, NULL);
    cr_assert_gt(blocked, 0, "the race must bite without protection");
    cr_assert_gt(got, 0);
}
