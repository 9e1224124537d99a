/* The 9P engine on a directory of its own, without jail or transport. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "client.h"
#include "common/fdpass.h"
#include "gofer/exports.h"

#define ROOT 1   /* fid of the writable export */
#define RO 2     /* the same directory, read-only */
#define WORLD 3  /* the same, world_only */

static char dir[64];
static struct client c;
static struct exports exports;
static int control[2];
static int stdio_pipe[2];

/* A file of the host below dir. */
static const char *host(const char *name)
{
    static char path[4][256];
    static unsigned n;

    n = (n + 1) % 4;
    snprintf(path[n], sizeof(path[n]), "%s/%s", dir, name);
    return path[n];
}

static void put_file(const char *name, const char *text, mode_t mode)
{
    int fd = open(host(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    fchmod(fd, mode);
    close(fd);
}

static void get_file(const char *name, char *text, size_t size)
{
    int fd = open(host(name), O_RDONLY);
    ssize_t n = read(fd, text, size - 1);

    text[n < 0 ? 0 : n] = '\0';
    close(fd);
}

static void set_up_as(const char *version)
{
    static int stdio_fds[3] = { -1, -1, -1 };
    struct gofer_export list[] = { { .host_path = dir, .writable = true },
                                   { .host_path = dir },
                                   { .host_path = dir, .world_only = true } };
    struct gofer_config config = { .exports = list, .export_count = 3 };
    struct engine_config engine = { .by_number = true,
                                    .export_count = 3,
                                    .stdio_fds = stdio_fds,
                                    .fid_max = 1000,
                                    .view = { (uid_t)-1, (uid_t)-1, (gid_t)-1 } };
    const char *what;

    strcpy(dir, "/tmp/vmm-engine-XXXXXX");
    cr_assert(mkdtemp(dir));
    chmod(dir, 0755);
    umask(0);
    cr_assert_eq(exports_open(&exports, &config, &what), 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, control), 0);
    cr_assert_eq(pipe(stdio_pipe), 0);
    stdio_fds[0] = stdio_pipe[0];
    stdio_fds[1] = stdio_pipe[1];
    engine.exports = exports.list;
    engine.control_fd = control[0];
    engine.proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY);
    cr_assert_eq(fchdir(engine.proc_fd), 0); /* as in the jail */
    client_engine(&c, &engine);
    cr_assert_eq(client_version(&c, version), 0);
    cr_assert_eq(client_attach(&c, ROOT, "export/0"), 0);
    cr_assert_eq(client_attach(&c, RO, "export/1"), 0);
    cr_assert_eq(client_attach(&c, WORLD, "export/2"), 0);
}

static void set_up(void)
{
    set_up_as(P9_VERSION_VMM);
}

static void set_up_standard(void)
{
    set_up_as(P9_VERSION_L);
}

static void tear_down(void)
{
    char command[128];

    client_engine_end(&c);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(engine, .init = set_up, .fini = tear_down);
TestSuite(engine_standard, .init = set_up_standard, .fini = tear_down);

static struct p9_cursor *begin(uint8_t type, uint32_t fid)
{
    struct p9_cursor *m = client_begin(&c, 0, type);

    p9_put32(m, fid);
    return m;
}

static void put_text(const char *text)
{
    p9_put_str(&c.out, text, strlen(text));
}

static struct p9_qid walked_qid(uint32_t fid, uint32_t newfid, const char *name)
{
    cr_assert_eq(client_walk(&c, fid, newfid, name), 0);
    cr_assert_eq(p9_get16(&c.in), 1);
    return p9_get_qid(&c.in);
}

Test(engine, version_negotiates)
{
    struct p9_str s;

    cr_assert_eq(client_version(&c, "9P2000"), 0);
    p9_get32(&c.in);
    s = p9_get_str(&c.in);
    cr_assert(s.len == 7 && !memcmp(s.data, "unknown", 7));
    cr_assert_eq(client_attach(&c, 1, "export/0"), -EPROTO, "nothing works before a version that we know");
    cr_assert_eq(client_version(&c, P9_VERSION_L), 0);
    cr_assert_leq(p9_get32(&c.in), CLIENT_MSG_MAX);
    cr_assert_eq(client_attach(&c, 1, "export/0"), 0, "the old session's fids are gone");
    begin(P9_Tsync, 1);
    cr_assert_eq(client_call(&c), -EOPNOTSUPP, "extensions only for those who asked");
}

Test(engine, attach_names)
{
    cr_assert_eq(client_attach(&c, 9, "export/3"), -ENOENT);
    cr_assert_eq(client_attach(&c, 9, "export/00"), -ENOENT);
    cr_assert_eq(client_attach(&c, 9, "export/99999999999"), -ENOENT);
    cr_assert_eq(client_attach(&c, 9, "export/"), -ENOENT);
    cr_assert_eq(client_attach(&c, 9, "/"), -ENOENT);
    cr_assert_eq(client_attach(&c, 9, "stdio/2"), -ENOENT, "closed");
    cr_assert_eq(client_attach(&c, 9, "stdio/3"), -ENOENT);
    cr_assert_eq(client_attach(&c, ROOT, "export/0"), -EBADF, "in use");
    cr_assert_eq(client_attach(&c, P9_NOFID, "export/0"), -EBADF);
    client_begin(&c, 0, P9_Tauth);
    cr_assert_eq(client_call(&c), -ENOENT);
}

Test(engine, walk_and_read)
{
    char data[16];

    mkdir(host("a"), 0755);
    put_file("a/f", "content", 0644);
    cr_assert_eq(client_walk(&c, ROOT, 10, "a/f"), 0);
    cr_assert_eq(p9_get16(&c.in), 2);
    cr_assert_eq(p9_get_qid(&c.in).type, P9_QTDIR);
    cr_assert_eq(p9_get_qid(&c.in).type, P9_QTFILE);
    cr_assert_eq(client_read(&c, 10, 0, data, 16), -EBADF, "not open");
    cr_assert_eq(client_open(&c, 10, O_RDONLY), 0);
    cr_assert_eq(client_read(&c, 10, 2, data, 16), 5);
    cr_assert(!memcmp(data, "ntent", 5));
    cr_assert_eq(client_read(&c, 10, 100, data, 16), 0);
    cr_assert_eq(client_read(&c, 10, UINT64_MAX / 2 + 1, data, 16), -EINVAL);
    cr_assert_eq(client_open(&c, 10, O_RDONLY), -EBADF, "open already");
    cr_assert_eq(client_write(&c, 10, 0, "x", 1), -EBADF);
    cr_assert_eq(client_clunk(&c, 10), 0);
    cr_assert_eq(client_clunk(&c, 10), -EBADF);
}

Test(engine, walk_tells_where_it_stopped)
{
    mkdir(host("a"), 0755);
    cr_assert_eq(client_walk(&c, ROOT, 10, "a/b/c"), 0);
    cr_assert_eq(p9_get16(&c.in), 1);
    cr_assert_eq(client_clunk(&c, 10), -EBADF, "newfid isn't bound");
    cr_assert_eq(client_walk(&c, ROOT, 10, "x"), -ENOENT);
    cr_assert_eq(client_walk(&c, ROOT, RO, ""), -EBADF, "newfid in use");
    cr_assert_eq(client_walk(&c, 77, 10, ""), -EBADF);
    cr_assert_eq(client_walk(&c, ROOT, ROOT, "a"), 0, "a fid may become its own child");
    cr_assert_eq(client_walk(&c, ROOT, 10, "a"), -ENOENT);
}

struct walkx_result {
    uint16_t passed;
    uint32_t error;
    struct p9_attr attr[P9_WALK_MAX];
    bool opened;
    uint32_t iounit;
    char target[256];
};

static int walkx(uint32_t fid, uint32_t newfid, uint32_t flags, const char *path, struct walkx_result *r)
{
    int err = client_walkx(&c, fid, newfid, flags, path);
    struct p9_str s;

    if (err)
        return err;
    r->passed = p9_get16(&c.in);
    r->error = p9_get32(&c.in);
    for (size_t i = 0; i < r->passed && i < P9_WALK_MAX; i++)
        p9_get_attr(&c.in, &r->attr[i]);
    r->opened = p9_get8(&c.in);
    r->iounit = p9_get32(&c.in);
    s = p9_get_str(&c.in);
    snprintf(r->target, sizeof(r->target), "%.*s", (int)s.len, s.data ? s.data : "");
    cr_assert(!c.in.bad && c.in.pos == c.in.size);
    return 0;
}

Test(engine, walkx_opens_and_describes)
{
    struct walkx_result r;
    struct stat st;
    char data[8];

    mkdir(host("a"), 0711);
    put_file("a/f", "content", 0640);
    cr_assert_eq(walkx(ROOT, 10, O_RDWR, "a/f", &r), 0);
    cr_assert_eq(r.passed, 2);
    cr_assert_eq(r.error, 0);
    cr_assert(r.opened);
    cr_assert_gt(r.iounit, 0);
    stat(host("a/f"), &st);
    cr_assert_eq(r.attr[0].mode, S_IFDIR | 0711);
    cr_assert_eq(r.attr[1].mode, S_IFREG | 0640);
    cr_assert_eq(r.attr[1].size, 7);
    cr_assert_eq(r.attr[1].qid.path, st.st_ino);
    cr_assert_eq(r.attr[1].mtime_nsec, (uint64_t)st.st_mtim.tv_nsec);
    cr_assert_eq(client_read(&c, 10, 0, data, 7), 7);
    cr_assert_eq(client_write(&c, 10, 7, "!", 1), 1);
    cr_assert_eq(walkx(10, 11, O_RDONLY, "", &r), 0, "an open fid can be cloned and opened anew");
    cr_assert(r.passed == 1 && r.opened && r.attr[0].size == 8);
    cr_assert_eq(client_write(&c, 11, 0, "x", 1), -EBADF);
    cr_assert_eq(walkx(ROOT, 12, O_RDWR | O_TRUNC, "a/f", &r), 0);
    cr_assert_eq(r.attr[1].size, 0, "attributes are those after the truncation");
    cr_assert_eq(walkx(ROOT, 13, P9_WALKX_NO_OPEN, "a", &r), 0);
    cr_assert_not(r.opened);
    cr_assert_eq(walkx(13, 13, O_RDONLY, "f", &r), 0, "onto itself");
    cr_assert(r.opened);
}

Test(engine, walkx_tells_why)
{
    struct walkx_result r;

    mkdir(host("a"), 0755);
    put_file("a/f", "", 0644);
    cr_assert_eq(symlink("../some/where", host("a/link")), 0);
    cr_assert_eq(walkx(ROOT, 10, O_RDONLY, "a/x/y", &r), 0);
    cr_assert(r.passed == 1 && r.error == ENOENT && !r.opened);
    cr_assert_eq(client_clunk(&c, 10), -EBADF);
    cr_assert_eq(walkx(ROOT, 10, O_RDONLY, "a/link/y", &r), 0);
    cr_assert(r.passed == 2 && r.error == ENOTDIR);
    cr_assert_str_eq(r.target, "../some/where");
    cr_assert_eq(walkx(ROOT, 10, O_RDONLY, "a/f/y", &r), 0);
    cr_assert(r.passed == 2 && r.error == ENOTDIR);
    cr_assert_str_eq(r.target, "");
    cr_assert_eq(walkx(ROOT, 10, O_RDONLY, "a/link", &r), 0);
    cr_assert(r.passed == 2 && r.error == 0 && !r.opened, "a symlink is found, not opened");
    cr_assert_str_eq(r.target, "../some/where");
    cr_assert_eq(client_clunk(&c, 10), 0);
    cr_assert_eq(walkx(ROOT, 10, O_RDWR, "a", &r), 0);
    cr_assert(r.passed == 1 && r.error == EISDIR && !r.opened, "bound, but not open");
    cr_assert_eq(client_clunk(&c, 10), 0);
    cr_assert_eq(walkx(RO, 10, O_RDWR, "a/f", &r), 0);
    cr_assert(r.passed == 2 && r.error == EROFS && !r.opened);
}

Test(engine, create_write_and_stat)
{
    char text[32];

    cr_assert_eq(client_walk(&c, ROOT, 10, ""), 0);
    cr_assert_eq(client_create(&c, 10, "new", O_RDWR, 04755), 0);
    cr_assert_eq(p9_get_qid(&c.in).type, P9_QTFILE);
    cr_assert_eq(client_write(&c, 10, 0, "hello", 5), 5);
    cr_assert_eq(client_write(&c, 10, 3, "p!", 2), 2);
    get_file("new", text, sizeof(text));
    cr_assert_str_eq(text, "help!");
    begin(P9_Tgetattr, 10);
    p9_put64(&c.out, P9_GETATTR_ALL);
    cr_assert_eq(client_call(&c), 0);
    cr_assert_eq(p9_get64(&c.in) & P9_GETATTR_BASIC, P9_GETATTR_BASIC);
    p9_get_qid(&c.in);
    cr_assert_eq(p9_get32(&c.in), S_IFREG | 0755, "never setuid");
    cr_assert_eq(client_walk(&c, ROOT, 11, ""), 0);
    cr_assert_eq(client_create(&c, 11, "new", O_RDWR | O_EXCL, 0644), -EEXIST);
    cr_assert_eq(client_create(&c, 11, "new", O_RDWR | O_TRUNC, 0644), 0, "an existing one is opened");
    cr_assert_eq(client_walk(&c, RO, 12, ""), 0);
    cr_assert_eq(client_create(&c, 12, "other", O_RDWR, 0644), -EROFS);
}

/* Files that are made come with their attributes, for those who know of it. */
static void make_three(bool attributes)
{
    static const uint32_t modes[] = { S_IFREG | 0640, S_IFDIR | 0750, S_IFLNK | 0777 };

    for (int i = 0; i < 3; i++) {
        struct p9_attr attr;

        cr_assert_eq(client_walk(&c, ROOT, 10, ""), 0);
        begin((uint8_t[]){ P9_Tlcreate, P9_Tmkdir, P9_Tsymlink }[i], 10);
        put_text((const char *[]){ "made-f", "made-d", "made-s" }[i]);
        if (i == 2)
            put_text("target");
        if (i == 0)
            p9_put32(&c.out, O_RDWR);
        if (i < 2)
            p9_put32(&c.out, modes[i] & 0777);
        p9_put32(&c.out, 0);
        cr_assert_eq(client_call(&c), 0);
        p9_get_qid(&c.in);
        if (i == 0)
            p9_get32(&c.in);
        if (attributes) {
            p9_get_attr(&c.in, &attr);
            cr_assert_eq(attr.mode, modes[i]);
            cr_assert_geq(attr.nlink, 1u);
        }
        cr_assert(!c.in.bad);
        cr_assert_eq(c.in.pos, c.in.size, "nothing else");
        cr_assert_eq(client_clunk(&c, 10), 0);
    }
}

Test(engine, made_files_come_with_attributes)
{
    make_three(true);
}

Test(engine_standard, made_files_come_without_attributes)
{
    make_three(false);
}

Test(engine, append_and_large_io)
{
    static char data[200000], back[200000];

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)(i * 7 + i / 251);
    cr_assert_eq(client_walk(&c, ROOT, 10, ""), 0);
    cr_assert_eq(client_create(&c, 10, "big", O_RDWR | O_APPEND, 0644), 0);
    cr_assert_eq(client_write(&c, 10, 0, data, 100000), 100000);
    cr_assert_eq(client_write(&c, 10, 0, data + 100000, 100000), 100000, "appended wherever the offset is");
    cr_assert_eq(client_read(&c, 10, 0, back, sizeof(back)), sizeof(back));
    cr_assert(!memcmp(data, back, sizeof(data)));
}

Test(engine, names)
{
    struct stat st;
    char target[64] = "";

    begin(P9_Tmkdir, ROOT);
    put_text("d");
    p9_put32(&c.out, 01755);
    p9_put32(&c.out, 0);
    cr_assert_eq(client_call(&c), 0);
    cr_assert_eq(p9_get_qid(&c.in).type, P9_QTDIR);
    begin(P9_Tsymlink, ROOT);
    put_text("s");
    put_text("../../etc/passwd");
    p9_put32(&c.out, 0);
    cr_assert_eq(client_call(&c), 0);
    cr_assert_eq(p9_get_qid(&c.in).type, P9_QTSYMLINK);
    cr_assert_gt(readlink(host("s"), target, sizeof(target)), 0);
    cr_assert_str_eq(target, "../../etc/passwd");
    walked_qid(ROOT, 20, "s");
    begin(P9_Treadlink, 20);
    cr_assert_eq(client_call(&c), 0);
    cr_assert_eq(p9_get_str(&c.in).len, 16);
    cr_assert_eq(client_open(&c, 20, O_RDONLY), -ELOOP);

    begin(P9_Tmknod, ROOT);
    put_text("fifo");
    p9_put32(&c.out, S_IFIFO | 0644);
    p9_put64(&c.out, 0);
    p9_put32(&c.out, 0);
    cr_assert_eq(client_call(&c), 0);
    cr_assert(!lstat(host("fifo"), &st) && S_ISFIFO(st.st_mode));

    put_file("f", "x", 0644);
    walked_qid(ROOT, 21, "f");
    walked_qid(ROOT, 22, "d");
    begin(P9_Tlink, 22);
    p9_put32(&c.out, 21);
    put_text("hard");
    cr_assert_eq(client_call(&c), 0);
    cr_assert(!stat(host("d/hard"), &st) && st.st_nlink == 2);

    begin(P9_Trenameat, ROOT);
    put_text("f");
    p9_put32(&c.out, 22);
    put_text("moved");
    cr_assert_eq(client_call(&c), 0);
    cr_assert_eq(access(host("d/moved"), F_OK), 0);
    begin(P9_Trename2, 22);
    put_text("moved");
    p9_put32(&c.out, 22);
    put_text("hard");
    p9_put32(&c.out, RENAME_NOREPLACE);
    cr_assert_eq(client_call(&c), -EEXIST);
    begin(P9_Trename2, 22);
    put_text("moved");
    p9_put32(&c.out, 22);
    put_text("hard");
    p9_put32(&c.out, RENAME_WHITEOUT);
    cr_assert_eq(client_call(&c), -EINVAL);

    begin(P9_Tunlinkat, ROOT);
    put_text("d");
    p9_put32(&c.out, 0);
    cr_assert_eq(client_call(&c), -EISDIR);
    begin(P9_Tunlinkat, ROOT);
    put_text("d");
    p9_put32(&c.out, AT_REMOVEDIR);
    cr_assert_eq(client_call(&c), -ENOTEMPTY);
    begin(P9_Tunlinkat, 22);
    put_text("hard");
    p9_put32(&c.out, 0);
    cr_assert_eq(client_call(&c), 0);
    cr_assert_neq(access(host("d/hard"), F_OK), 0);
}

/* Every request that changes something, on an export that isn't writable. */
Test(engine, read_only_exports_stay_as_they_are)
{
    put_file("f", "x", 0644);
    walked_qid(RO, 10, "f");
    begin(P9_Tmkdir, RO);
    put_text("d");
    p9_put64(&c.out, 0755);
    cr_assert_eq(client_call(&c), -EROFS);
    begin(P9_Tsymlink, RO);
    put_text("s");
    put_text("t");
    p9_put32(&c.out, 0);
    cr_assert_eq(client_call(&c), -EROFS);
    begin(P9_Tmknod, RO);
    put_text("n");
    p9_put32(&c.out, S_IFREG | 0644);
    p9_put64(&c.out, 0);
    p9_put32(&c.out, 0);
    cr_assert_eq(client_call(&c), -EROFS);
    begin(P9_Tlink, RO);
    p9_put32(&c.out, 10);
    put_text("l");
    cr_assert_eq(client_call(&c), -EROFS);
    begin(P9_Trenameat, RO);
    put_text("f");
    p9_put32(&c.out, RO);
    put_text("g");
    cr_assert_eq(client_call(&c), -EROFS);
    begin(P9_Tunlinkat, RO);
    put_text("f");
    p9_put32(&c.out, 0);
    cr_assert_eq(client_call(&c), -EROFS);
    begin(P9_Tsetattr, 10);
    p9_put32(&c.out, P9_SETATTR_SIZE);
    for (int i = 0; i < 13; i++)
        p9_put32(&c.out, 0);
    cr_assert_eq(client_call(&c), -EROFS);
    begin(P9_Txattrcreate, 10);
    put_text("user.x");
    p9_put64(&c.out, 1);
    p9_put32(&c.out, 0);
    cr_assert_eq(client_call(&c), -EROFS);
    begin(P9_Ttmpfile, RO);
    p9_put32(&c.out, 11);
    p9_put32(&c.out, O_RDWR);
    p9_put64(&c.out, 0644);
    cr_assert_eq(client_call(&c), -EROFS);
    cr_assert_eq(client_open(&c, 10, O_WRONLY), -EROFS);
    cr_assert_eq(client_open(&c, 10, O_RDONLY | O_TRUNC), -EROFS);
    cr_assert_eq(client_open(&c, 10, O_RDONLY), 0);
    begin(P9_Tfallocate, 10);
    p9_put32(&c.out, 0);
    p9_put64(&c.out, 0);
    p9_put64(&c.out, 10);
    cr_assert_eq(client_call(&c), -EBADF);
}

static int setattr(uint32_t fid, uint32_t valid, uint32_t mode, uint64_t size, uint64_t sec)
{
    begin(P9_Tsetattr, fid);
    p9_put32(&c.out, valid);
    p9_put32(&c.out, mode);
    p9_put32(&c.out, 0);
    p9_put32(&c.out, 0);
    p9_put64(&c.out, size);
    p9_put64(&c.out, sec);
    p9_put64(&c.out, 5);
    p9_put64(&c.out, sec);
    p9_put64(&c.out, 6);
    return client_call(&c);
}

Test(engine, setattr_of_files_that_are_not_open)
{
    struct stat st;

    put_file("f", "hello", 0644);
    cr_assert_eq(symlink("f", host("s")), 0);
    walked_qid(ROOT, 10, "f");
    cr_assert_eq(setattr(10, P9_SETATTR_MODE, 06711, 0, 0), 0);
    stat(host("f"), &st);
    cr_assert_eq(st.st_mode & 07777, 0711, "setuid and setgid are left out");
    cr_assert_eq(setattr(10, P9_SETATTR_SIZE, 0, 2, 0), 0);
    cr_assert_eq(setattr(10, P9_SETATTR_ATIME | P9_SETATTR_ATIME_SET | P9_SETATTR_MTIME | P9_SETATTR_MTIME_SET, 0, 0, 1000),
                 0);
    stat(host("f"), &st);
    cr_assert_eq(st.st_size, 2);
    cr_assert(st.st_atim.tv_sec == 1000 && st.st_atim.tv_nsec == 5);
    cr_assert(st.st_mtim.tv_sec == 1000 && st.st_mtim.tv_nsec == 6);
    cr_assert_eq(setattr(10, P9_SETATTR_MTIME, 0, 0, 0), 0);
    stat(host("f"), &st);
    cr_assert(st.st_atim.tv_sec == 1000 && st.st_mtim.tv_sec > 1000000);
    cr_assert_eq(setattr(10, P9_SETATTR_UID | P9_SETATTR_GID, 0, 0, 0), 0);
    cr_assert_eq(setattr(10, P9_SETATTR_SIZE, 0, UINT64_MAX, 0), -EINVAL);
    walked_qid(ROOT, 11, "s");
    cr_assert_eq(setattr(11, P9_SETATTR_MTIME | P9_SETATTR_MTIME_SET, 0, 0, 77), 0);
    lstat(host("s"), &st);
    cr_assert_eq(st.st_mtim.tv_sec, 77, "the link itself");
    cr_assert_eq(setattr(11, P9_SETATTR_MODE, 0777, 0, 0), -EOPNOTSUPP);
    cr_assert_eq(setattr(11, P9_SETATTR_SIZE, 0, 0, 0), -EINVAL);
    cr_assert_eq(setattr(ROOT, P9_SETATTR_SIZE, 0, 0, 0), -EISDIR);
}

Test(engine, xattrs)
{
    char value[64];

    put_file("f", "", 0644);
    if (setxattr(host("f"), "user.probe", "x", 1, 0))
        cr_skip_test("no extended attributes in /tmp");
    walked_qid(ROOT, 10, "f");
    begin(P9_Txattrcreate, 10);
    put_text("user.color");
    p9_put64(&c.out, 4);
    p9_put32(&c.out, 0);
    cr_assert_eq(client_call(&c), 0);
    cr_assert_eq(client_write(&c, 10, 0, "bl", 2), 2);
    cr_assert_eq(client_write(&c, 10, 2, "ue!", 3), -EINVAL, "more than announced");
    cr_assert_eq(client_write(&c, 10, 2, "ue", 2), 2);
    cr_assert_eq(client_clunk(&c, 10), 0);
    cr_assert_eq(getxattr(host("f"), "user.color", value, sizeof(value)), 4);
    walked_qid(ROOT, 10, "f");
    begin(P9_Txattrwalk, 10);
    p9_put32(&c.out, 11);
    put_text("user.color");
    cr_assert_eq(client_call(&c), 0);
    cr_assert_eq(p9_get64(&c.in), 4);
    cr_assert_eq(client_read(&c, 11, 1, value, 64), 3);
    cr_assert(!memcmp(value, "lue", 3));
    begin(P9_Txattrwalk, 10);
    p9_put32(&c.out, 12);
    put_text("");
    cr_assert_eq(client_call(&c), 0);
    cr_assert_geq(client_read(&c, 12, 0, value, 64), 22, "both names");
    begin(P9_Txattrwalk, 10);
    p9_put32(&c.out, 13);
    put_text("user.none");
    cr_assert_eq(client_call(&c), -ENODATA);
    begin(P9_Txattrcreate, 10);
    put_text("security.capability");
    p9_put64(&c.out, 4);
    p9_put32(&c.out, 0);
    cr_assert_eq(client_call(&c), -EPERM);
    begin(P9_Txattrcreate, 10);
    put_text("user.big");
    p9_put64(&c.out, 1 << 30);
    p9_put32(&c.out, 0);
    cr_assert_eq(client_call(&c), -E2BIG);
    begin(P9_Txattrcreate, 10);
    put_text("user.color");
    p9_put64(&c.out, 0);
    p9_put32(&c.out, XATTR_REPLACE);
    cr_assert_eq(client_call(&c), 0);
    cr_assert_eq(client_clunk(&c, 10), 0);
    cr_assert_lt(getxattr(host("f"), "user.color", value, sizeof(value)), 0, "an empty replacement removes");
}

static size_t list(uint32_t fid, bool with_attr, uint32_t count, char seen[1000])
{
    uint64_t offset = 0;
    size_t n = 0;

    for (;;) {
        uint32_t size;

        begin(with_attr ? P9_Treaddirx : P9_Treaddir, fid);
        p9_put64(&c.out, offset);
        p9_put32(&c.out, count);
        cr_assert_eq(client_call(&c), 0);
        size = p9_get32(&c.in);
        cr_assert_leq(size, count);
        cr_assert_eq(c.in.pos + size, c.in.size);
        if (!size)
            return n;
        while (c.in.pos < c.in.size) {
            struct p9_attr attr;
            struct p9_str name;

            if (with_attr)
                p9_get_attr(&c.in, &attr);
            else
                p9_get_qid(&c.in);
            offset = p9_get64(&c.in);
            if (!with_attr)
                p9_get8(&c.in);
            name = p9_get_str(&c.in);
            cr_assert_not(c.in.bad);
            if (name.len == 5 && name.data[0] == 'n')
                seen[(name.data[2] - '0') * 100 + (name.data[3] - '0') * 10 + name.data[4] - '0']++;
            n++;
        }
    }
}

Test(engine, readdir_lists_everything_once)
{
    static const uint32_t counts[] = { 4096, 200, 65536, 1000 };
    char name[8];

    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "n%04d", i);
        put_file(name, "", 0644);
    }
    for (unsigned i = 0; i < 8; i++) {
        char seen[1000] = { 0 };

        cr_assert_eq(client_walk(&c, ROOT, 10, ""), 0);
        cr_assert_eq(client_open(&c, 10, O_RDONLY | O_DIRECTORY), 0);
        cr_assert_eq(list(10, i & 1, counts[i / 2], seen), 1002);
        for (int k = 0; k < 1000; k++)
            cr_assert_eq(seen[k], 1);
        client_clunk(&c, 10);
    }
    cr_assert_eq(client_walk(&c, ROOT, 10, ""), 0);
    cr_assert_eq(client_open(&c, 10, O_RDONLY), 0);
    begin(P9_Treaddir, 10);
    p9_put64(&c.out, 0);
    p9_put32(&c.out, 10);
    cr_assert_eq(client_call(&c), -EINVAL, "not one fits");
}

/* The directories of a Tlist's reply, and the entries in each. */
struct section {
    uint32_t error;
    uint8_t state;
    uint64_t ino;
    size_t count;
    uint64_t last; /* offset */
};

static size_t list_call(uint32_t fid, uint64_t offset, uint32_t count, uint32_t flags, size_t n, const char *const *names,
                        struct section *ret)
{
    size_t end, sections = 0;

    begin(P9_Tlist, fid);
    p9_put64(&c.out, offset);
    p9_put32(&c.out, count);
    p9_put32(&c.out, flags);
    p9_put16(&c.out, (uint16_t)n);
    for (size_t i = 0; i < n; i++)
        put_text(names[i]);
    cr_assert_eq(client_call(&c), 0);
    cr_assert_leq(p9_get32(&c.in), count);
    while (c.in.pos < c.in.size) {
        struct section *s = &ret[sections++];
        struct p9_attr attr;

        *s = (struct section){ .error = p9_get32(&c.in) };
        if (s->error)
            continue;
        s->state = p9_get8(&c.in);
        p9_get_attr(&c.in, &attr);
        s->ino = attr.qid.path;
        end = p9_get32(&c.in);
        end += c.in.pos;
        while (c.in.pos < end) {
            if (flags & P9_LIST_ATTR)
                p9_get_attr(&c.in, &attr);
            else
                p9_get_qid(&c.in);
            s->last = p9_get64(&c.in);
            if (!(flags & P9_LIST_ATTR))
                p9_get8(&c.in);
            p9_get_str(&c.in);
            s->count++;
        }
        cr_assert_not(c.in.bad);
        cr_assert_eq(c.in.pos, end);
    }
    return sections;
}

Test(engine, list_reads_directories_that_are_not_open)
{
    static const char *const names[] = { "d1", "missing", "file", "link", "d2" };
    static const char *const outside[] = { ".." };
    struct section s[8];
    size_t seen = 0;
    char name[24];
    struct stat st;

    put_file("file", "", 0644);
    cr_assert_eq(symlink("d1", host("link")), 0);
    cr_assert_eq(mkdir(host("d1"), 0755), 0);
    cr_assert_eq(mkdir(host("d2"), 0755), 0);
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof(name), "d1/n%04d", i);
        put_file(name, "", 0644);
    }
    for (uint32_t flags = 0; flags <= P9_LIST_ATTR; flags++) {
        cr_assert_eq(list_call(ROOT, 0, 65536, flags, 0, NULL, s), 1);
        cr_assert_eq(s[0].count, 6, "with . and ..");
        cr_assert_eq(s[0].state, P9_LIST_ENDED | P9_LIST_SEARCHABLE);
        cr_assert_eq(list_call(ROOT, 0, 65536, flags, 5, names, s), 5);
        stat(host("d1"), &st);
        cr_assert_eq(s[0].ino, st.st_ino);
        cr_assert_eq(s[0].count, 202);
        cr_assert_eq(s[1].error, ENOENT);
        cr_assert_eq(s[2].error, ENOTDIR);
        cr_assert(s[3].error == ELOOP || s[3].error == ENOTDIR, "links aren't followed: %u", s[3].error);
        cr_assert_eq(s[4].count, 2);
        /* what doesn't fit whole is left out, as is what follows */
        cr_assert_eq(list_call(ROOT, 0, 4096, flags, 5, names, s), 0);
    }
    cr_assert_eq(list_call(ROOT, 0, 4096, 0, 1, outside, s), 1);
    cr_assert_eq(s[0].error, EINVAL);
    /* piece by piece */
    cr_assert_eq(client_walk(&c, ROOT, 10, "d1"), 0);
    s[0].last = 0;
    do {
        cr_assert_eq(list_call(10, s[0].last, 3000, 0, 0, NULL, s), 1);
        seen += s[0].count;
    } while (!(s[0].state & P9_LIST_ENDED));
    cr_assert_eq(seen, 202);
    begin(P9_Tlist, 10);
    p9_put64(&c.out, 0);
    p9_put32(&c.out, 100);
    p9_put32(&c.out, 0);
    p9_put16(&c.out, 0);
    cr_assert_eq(client_call(&c), -EMSGSIZE);
}

Test(engine, the_root_has_no_parent)
{
    struct p9_qid here, up = { 0 };
    struct stat st;

    stat(dir, &st);
    cr_assert_eq(client_walk(&c, ROOT, 10, ""), 0);
    cr_assert_eq(client_open(&c, 10, O_RDONLY), 0);
    begin(P9_Treaddir, 10);
    p9_put64(&c.out, 0);
    p9_put32(&c.out, 4096);
    cr_assert_eq(client_call(&c), 0);
    p9_get32(&c.in);
    while (c.in.pos < c.in.size) {
        struct p9_str name;

        here = p9_get_qid(&c.in);
        p9_get64(&c.in);
        p9_get8(&c.in);
        name = p9_get_str(&c.in);
        if (name.len == 2 && !memcmp(name.data, "..", 2))
            up = here;
    }
    cr_assert_eq(up.path, st.st_ino);
}

Test(engine, statfs_fsync_seek_fallocate)
{
    struct statfs fs;
    struct stat st;

    statfs(dir, &fs);
    begin(P9_Tstatfs, ROOT);
    cr_assert_eq(client_call(&c), 0);
    cr_assert_eq(p9_get32(&c.in), (uint32_t)fs.f_type);
    cr_assert_eq(client_walk(&c, ROOT, 10, ""), 0);
    cr_assert_eq(client_create(&c, 10, "f", O_RDWR, 0644), 0);
    begin(P9_Tfallocate, 10);
    p9_put32(&c.out, 0);
    p9_put64(&c.out, 4096);
    p9_put64(&c.out, 4096);
    cr_assert_eq(client_call(&c), 0);
    stat(host("f"), &st);
    cr_assert_eq(st.st_size, 8192);
    begin(P9_Tfsync, 10);
    p9_put32(&c.out, 1);
    cr_assert_eq(client_call(&c), 0);
    begin(P9_Tfsync, 10);
    cr_assert_eq(client_call(&c), 0, "without datasync, as older clients send it");
    begin(P9_Tsync, ROOT);
    cr_assert_eq(client_call(&c), 0);
    begin(P9_Tseek, 10);
    p9_put64(&c.out, 100);
    p9_put32(&c.out, SEEK_HOLE);
    cr_assert_eq(client_call(&c), 0);
    begin(P9_Tseek, 10);
    p9_put64(&c.out, 9000);
    p9_put32(&c.out, SEEK_DATA);
    cr_assert_eq(client_call(&c), -ENXIO);
    begin(P9_Tseek, 10);
    p9_put64(&c.out, 0);
    p9_put32(&c.out, SEEK_SET);
    cr_assert_eq(client_call(&c), -EINVAL, "files have no position here");
}

Test(engine, tmpfile_can_be_linked)
{
    begin(P9_Ttmpfile, ROOT);
    p9_put32(&c.out, 10);
    p9_put32(&c.out, O_RDWR);
    p9_put32(&c.out, 0600);
    p9_put32(&c.out, 0);
    if (client_call(&c) == -EOPNOTSUPP)
        cr_skip_test("no O_TMPFILE in /tmp");
    cr_assert_eq(client_write(&c, 10, 0, "x", 1), 1);
    begin(P9_Tlink, ROOT);
    p9_put32(&c.out, 10);
    put_text("kept");
    cr_assert_eq(client_call(&c), 0);
    cr_assert_eq(access(host("kept"), F_OK), 0);
}

static int lock(uint32_t fid, uint8_t type, uint64_t start, uint64_t length)
{
    begin(P9_Tlock, fid);
    p9_put8(&c.out, type);
    p9_put32(&c.out, 0);
    p9_put64(&c.out, start);
    p9_put64(&c.out, length);
    p9_put32(&c.out, 5);
    put_text("client");
    return client_call(&c) ? -1 : p9_get8(&c.in);
}

Test(engine, locks_conflict_between_fids)
{
    put_file("f", "0123456789", 0644);
    walked_qid(ROOT, 10, "f");
    walked_qid(ROOT, 11, "f");
    cr_assert_eq(client_open(&c, 10, O_RDWR), 0);
    cr_assert_eq(client_open(&c, 11, O_RDWR), 0);
    cr_assert_eq(lock(10, 1, 0, 4), 0);
    cr_assert_eq(lock(11, 1, 2, 4), 1, "blocked");
    cr_assert_eq(lock(11, 1, 4, 4), 0);
    begin(P9_Tgetlock, 11);
    p9_put8(&c.out, 1);
    p9_put64(&c.out, 0);
    p9_put64(&c.out, 1);
    p9_put32(&c.out, 9);
    put_text("me");
    cr_assert_eq(client_call(&c), 0);
    cr_assert_eq(p9_get8(&c.in), 1, "a write lock");
    cr_assert_eq(p9_get64(&c.in), 0);
    cr_assert_eq(p9_get64(&c.in), 4);
    cr_assert_eq(lock(10, 2, 0, 0), 0);
    cr_assert_eq(lock(11, 1, 0, 4), 0);
    cr_assert_eq(lock(11, 3, 0, 4), -1);
}

Test(engine, fids_are_capped)
{
    uint32_t fid = 100;
    int err;

    while (!(err = client_walk(&c, ROOT, fid, "")))
        fid++;
    cr_assert_eq(err, -EMFILE);
    cr_assert_eq(fid, 100 + 1000 - 3);
    cr_assert_eq(client_clunk(&c, 100), 0);
    cr_assert_eq(client_walk(&c, ROOT, 5000, ""), 0);
}

Test(engine, donations)
{
    struct gofer_note note;
    uint32_t token;
    int fd;

    put_file("f", "content", 0644);
    walked_qid(ROOT, 10, "f");
    begin(P9_Tdonate, 10);
    p9_put8(&c.out, 0);
    cr_assert_eq(client_call(&c), -EBADF, "not open");
    cr_assert_eq(client_open(&c, 10, O_RDWR), 0);
    begin(P9_Tdonate, 10);
    p9_put8(&c.out, 0);
    cr_assert_eq(client_call(&c), 0);
    token = p9_get32(&c.in);
    cr_assert_eq(p9_get64(&c.in), 7);
    cr_assert_eq(fdpass_recv(control[1], &note, sizeof(note), 0, &fd), sizeof(note));
    cr_assert(note.type == GOFER_NOTE_DONATE && note.token == token && note.value == 0);
    cr_assert_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY, "no more than was asked for");
    begin(P9_Tdonate, 10);
    p9_put8(&c.out, 1);
    cr_assert_eq(client_call(&c), 0);
    cr_assert_neq(p9_get32(&c.in), token);
    cr_assert_eq(fdpass_recv(control[1], &note, sizeof(note), 0, &fd), sizeof(note));
    cr_assert_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
    begin(P9_Tdonate, 10);
    p9_put8(&c.out, 0);
    cr_assert_eq(client_call(&c), 0);
    cr_assert_eq(p9_get32(&c.in), token, "once is enough");
    cr_assert_eq(client_clunk(&c, 10), 0);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(fdpass_recv(control[1], &note, sizeof(note), MSG_DONTWAIT, &fd), sizeof(note));
        cr_assert_eq(note.type, GOFER_NOTE_DROP);
    }
    cr_assert_eq(client_open(&c, RO, O_RDONLY), 0);
    begin(P9_Tdonate, RO);
    p9_put8(&c.out, 0);
    cr_assert_eq(client_call(&c), -EINVAL, "a directory");
}

Test(engine, donations_wait_for_nobody)
{
    struct gofer_note note;
    unsigned sent = 0, drops = 0, donated = 0;
    int err = 0, fd;

    put_file("f", "content", 0644);
    while (sent < 900) {
        struct walkx_result r;

        cr_assert_eq(walkx(ROOT, 100 + sent, O_RDONLY, "f", &r), 0);
        begin(P9_Tdonate, 100 + sent);
        p9_put8(&c.out, 0);
        err = client_call(&c);
        if (err)
            break;
        sent++;
    }
    cr_assert_eq(err, -EAGAIN, "the vmm doesn't read");
    for (unsigned i = 0; i <= sent; i++)
        cr_assert_eq(client_clunk(&c, 100 + i), 0);
    while (drops < sent) {
        engine_flush_drops(c.engine);
        cr_assert_eq(fdpass_recv(control[1], &note, sizeof(note), MSG_DONTWAIT, &fd), sizeof(note));
        if (note.type == GOFER_NOTE_DROP) {
            drops++;
        } else {
            donated++;
            close(fd);
        }
    }
    cr_assert_eq(donated, sent);
    cr_assert_eq(c.engine->donated_count, 0);
}

Test(engine, stdio_pipe)
{
    char data[16];

    cr_assert_eq(client_attach(&c, 10, "stdio/0"), 0);
    cr_assert_eq(client_attach(&c, 11, "stdio/1"), 0);
    cr_assert_eq(client_read(&c, 10, P9_OFFSET_STREAM_NOWAIT, data, 16), -EAGAIN);
    begin(P9_Tpoll, 10);
    p9_put32(&c.out, POLLIN | P9_POLL_NOW);
    cr_assert_eq(client_call(&c), 0);
    cr_assert_eq(p9_get32(&c.in), 0);
    /* A read and a poll that wait, while other requests are served. */
    client_begin(&c, 1, P9_Tread);
    p9_put32(&c.out, 10);
    p9_put64(&c.out, P9_OFFSET_STREAM);
    p9_put32(&c.out, 16);
    client_send(&c);
    client_begin(&c, 2, P9_Tpoll);
    p9_put32(&c.out, 10);
    p9_put32(&c.out, POLLIN);
    client_send(&c);
    cr_assert_not(client_answered(&c, 1));
    cr_assert_eq(client_write(&c, 11, P9_OFFSET_STREAM, "hello", 5), 5);
    cr_assert_eq(client_wait(&c, 1), 0);
    cr_assert_eq(p9_get32(&c.in), 5);
    cr_assert_eq(client_write(&c, 11, P9_OFFSET_STREAM, "!", 1), 1);
    cr_assert_eq(client_wait(&c, 2), 0);
    cr_assert_eq(p9_get32(&c.in), POLLIN);
    cr_assert_eq(fcntl(stdio_pipe[0], F_GETFL) & O_NONBLOCK, 0, "the shared description is as it was");
    begin(P9_Tioctl, 10);
    p9_put32(&c.out, 0x5401);
    put_text("");
    cr_assert_eq(client_call(&c), -ENOTTY);
    begin(P9_Tioctl, 10);
    p9_put32(&c.out, 0x5412 /* TIOCSTI */);
    put_text("x");
    cr_assert_eq(client_call(&c), -ENOTTY);
}

Test(engine, a_large_write_to_a_pipe_goes_on_until_done)
{
    static char data[200000];
    char buf[65536];
    size_t got = 0;

    cr_assert_eq(client_attach(&c, 11, "stdio/1"), 0);
    memset(data, 'x', sizeof(data));
    client_begin(&c, 1, P9_Twrite);
    p9_put32(&c.out, 11);
    p9_put64(&c.out, P9_OFFSET_STREAM);
    p9_put32(&c.out, sizeof(data));
    p9_put_bytes(&c.out, data, sizeof(data));
    client_send(&c);
    while (got < sizeof(data)) {
        ssize_t n;

        client_answered(&c, 1);
        n = read(stdio_pipe[0], buf, sizeof(buf));
        cr_assert_gt(n, 0);
        got += (size_t)n;
    }
    cr_assert_eq(client_wait(&c, 1), 0);
    cr_assert_eq(p9_get32(&c.in), sizeof(data));
}

Test(engine, a_reader_that_went_away_is_epipe)
{
    signal(SIGPIPE, SIG_IGN);
    cr_assert_eq(client_attach(&c, 11, "stdio/1"), 0);
    cr_assert_eq(client_write(&c, 11, P9_OFFSET_STREAM, "x", 1), 1);
    close(stdio_pipe[0]);
    c.engine->stdio[0].fd = -1;
    cr_assert_eq(client_write(&c, 11, P9_OFFSET_STREAM, "x", 1), -EPIPE);
}

Test(engine, flush_ends_what_waits)
{
    cr_assert_eq(client_attach(&c, 10, "stdio/0"), 0);
    client_begin(&c, 1, P9_Tread);
    p9_put32(&c.out, 10);
    p9_put64(&c.out, P9_OFFSET_STREAM);
    p9_put32(&c.out, 16);
    client_send(&c);
    client_begin(&c, 2, P9_Tflush);
    p9_put16(&c.out, 2); /* the tag of slot 1 */
    client_send(&c);
    cr_assert_eq(client_wait(&c, 1), -EINTR);
    cr_assert_eq(client_wait(&c, 2), 0);
    client_begin(&c, 2, P9_Tflush);
    p9_put16(&c.out, 999);
    cr_assert_eq(client_call(&c), 0, "nothing to flush");
    cr_assert_eq(client_clunk(&c, 10), 0);
}

Test(engine, jobs_are_capped)
{
    cr_assert_eq(client_attach(&c, 10, "stdio/0"), 0);
    for (int i = 0; i < JOB_MAX; i++) {
        client_begin(&c, 1, P9_Tpoll);
        p9_put32(&c.out, 10);
        p9_put32(&c.out, POLLIN);
        client_send(&c);
        cr_assert_not(c.answered & 2);
    }
    cr_assert_eq(client_call(begin(P9_Tpoll, 10) ? &c : &c), -EBADMSG);
    begin(P9_Tpoll, 10);
    p9_put32(&c.out, POLLIN);
    cr_assert_eq(client_call(&c), -ENOBUFS);
    cr_assert_eq(client_version(&c, P9_VERSION_VMM), 0, "a new session ends them all");
    cr_assert_eq(c.engine->jobs.count, 0);
}

Test(engine, malformed_messages)
{
    static const uint32_t sizes[] = { 0, 1, 6, 8, 1 << 20, UINT32_MAX };

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        begin(P9_Tclunk, 99);
        client_send(&c);
        memcpy(c.tx[0], &sizes[i], 4);
        {
            struct p9_io io = { .in = { { c.tx[0], 11 } },
                                .out = { { c.rx[0], 64 } },
                                .in_count = 1,
                                .out_count = 1,
                                .in_size = 11,
                                .out_size = 64 };

            c.answered = 0;
            engine_handle(c.engine, &io);
            cr_assert_eq(c.answered, 1);
            cr_assert_eq(c.len[0], 11);
            cr_assert_eq(c.rx[0][4], P9_Rlerror);
        }
    }
    begin(P9_Tclunk, 99);
    p9_put8(&c.out, 0);
    cr_assert_eq(client_call(&c), -EBADMSG, "trailing bytes");
    begin(P9_Rclunk, 99);
    cr_assert_eq(client_call(&c), -EOPNOTSUPP, "an R-message");
    begin(255, 99);
    cr_assert_eq(client_call(&c), -EOPNOTSUPP);
    begin(P9_Twrite, ROOT);
    p9_put64(&c.out, 0);
    p9_put32(&c.out, 1000);
    cr_assert_eq(client_call(&c), -EBADMSG, "data that isn't there");
    begin(P9_Twalk, ROOT);
    p9_put32(&c.out, 10);
    p9_put16(&c.out, P9_WALK_MAX + 1);
    cr_assert_eq(client_call(&c), -EINVAL);
}

/* The answer's space is the client's choice; nothing is written outside it, and bulk is cut to it. */
Test(engine, small_answer_buffers)
{
    struct p9_io io = { .in_count = 1, .out_count = 1 };
    char out[64];

    put_file("f", "content that is longer than that", 0644);
    walked_qid(ROOT, 10, "f");
    cr_assert_eq(client_open(&c, 10, O_RDONLY), 0);
    for (size_t room = 0; room < 24; room++) {
        begin(P9_Tread, 10);
        p9_put64(&c.out, 0);
        p9_put32(&c.out, 4096);
        io.in[0] = (struct iovec){ c.tx[0], p9_finish(&c.out) };
        io.in_size = io.in[0].iov_len;
        memset(out, 0x55, sizeof(out));
        io.out[0] = (struct iovec){ out, room };
        io.out_size = room;
        c.answered = 0;
        engine_handle(c.engine, &io);
        cr_assert_eq(c.answered, 1);
        cr_assert_leq(c.len[0], room);
        for (size_t i = room; i < sizeof(out); i++)
            cr_assert_eq(out[i], 0x55);
        if (room > 11)
            cr_assert_eq(c.len[0], room);
    }
}

/* A message in many small pieces is the same message. */
Test(engine, scattered_messages)
{
    struct p9_io io = { .cookie = 0 };
    size_t size;

    cr_assert_eq(client_walk(&c, ROOT, 10, ""), 0);
    cr_assert_eq(client_create(&c, 10, "f", O_RDWR, 0644), 0);
    begin(P9_Twrite, 10);
    p9_put64(&c.out, 0);
    p9_put32(&c.out, 9);
    p9_put_bytes(&c.out, "scattered", 9);
    size = p9_finish(&c.out);
    for (size_t i = 0; i < size; i += 2) {
        io.in[io.in_count++] = (struct iovec){ c.tx[0] + i, i + 2 > size ? 1 : 2 };
        io.in_size += i + 2 > size ? 1 : 2;
    }
    io.out[0] = (struct iovec){ c.rx[0], 3 };
    io.out[1] = (struct iovec){ c.rx[0] + 3, 100 };
    io.out_count = 2;
    io.out_size = 103;
    engine_handle(c.engine, &io);
    cr_assert_eq(c.rx[0][4], P9_Rwrite);
    {
        char text[16];

        get_file("f", text, sizeof(text));
        cr_assert_str_eq(text, "scattered");
    }
}

Test(engine_standard, remove_and_rename_by_fid)
{
    put_file("f", "", 0644);
    mkdir(host("d"), 0755);
    walked_qid(ROOT, 10, "f");
    walked_qid(ROOT, 11, "d");
    begin(P9_Trename, 10);
    p9_put32(&c.out, 11);
    put_text("g");
    cr_assert_eq(client_call(&c), 0);
    cr_assert_eq(access(host("d/g"), F_OK), 0);
    begin(P9_Tremove, 11);
    cr_assert_eq(client_call(&c), -ENOTEMPTY);
    cr_assert_eq(client_clunk(&c, 11), -EBADF, "Tremove clunks even if it fails");
    begin(P9_Tremove, 10);
    cr_assert_eq(client_call(&c), 0);
    cr_assert_neq(access(host("d/g"), F_OK), 0);
    walked_qid(ROOT, 11, "d");
    begin(P9_Tremove, 11);
    cr_assert_eq(client_call(&c), 0);
    cr_assert_neq(access(host("d"), F_OK), 0);
    cr_assert_eq(client_walk(&c, ROOT, 12, ""), 0);
    begin(P9_Tremove, 12);
    cr_assert_eq(client_call(&c), -EBUSY, "the root");
}

Test(engine_standard, remove_takes_only_what_was_walked_to)
{
    put_file("f", "mine", 0644);
    put_file("g", "other", 0644);
    walked_qid(ROOT, 10, "f");
    cr_assert_eq(rename(host("g"), host("f")), 0); /* by the host */
    begin(P9_Tremove, 10);
    cr_assert_eq(client_call(&c), -ESTALE);
    cr_assert_eq(access(host("f"), F_OK), 0);
}
