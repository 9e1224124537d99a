/* The gofer's process in its jail, over the ring, as the vmm starts it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "common/fd.h"
#include "common/fdpass.h"
#include "common/virtq.h"

#define ROOT 1

static char dir[64];
static struct client c;
static struct gofer_export list[2];
static struct gofer_config config;
static char text[240];

static void configure(void)
{
    strcpy(dir, "/tmp/vmm-gofer-XXXXXX");
    cr_assert(mkdtemp(dir));
    chmod(dir, 0777);
    list[0] = (struct gofer_export){ .host_path = dir, .writable = true };
    list[1] = (struct gofer_export){ .host_path = "/usr", .world_only = true };
    config = (struct gofer_config){
        .exports = list, .export_count = 2, .stdio_fds = { -1, -1, -1 }, .file_size_max = UINT64_MAX
    };
}

static void start(void)
{
    cr_assert_eq(client_spawn(&c, &config, text), 0, "%s", text);
    cr_assert_eq(client_version(&c, P9_VERSION_VMM), 0);
    cr_assert_eq(client_attach(&c, ROOT, "export/0"), 0);
}

static void remove_dir(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

static void set_up(void)
{
    configure();
    start();
}

static void tear_down(void)
{
    client_end(&c);
    remove_dir();
}

TestSuite(gofer, .init = set_up, .fini = tear_down);
TestSuite(gofer_start, .init = configure, .fini = remove_dir);

static bool ends_within(int pidfd, int ms)
{
    struct pollfd p = { .fd = pidfd, .events = POLLIN };

    return poll(&p, 1, ms) == 1;
}

Test(gofer, serves_files_from_the_jail)
{
    char data[80];
    struct stat st;

    cr_assert(c.layers & JAIL_SECCOMP);
    cr_assert(c.layers & JAIL_NO_CAPS);
    cr_assert_eq(client_walk(&c, ROOT, 10, ""), 0);
    cr_assert_eq(client_create(&c, 10, "f", O_RDWR, 0640), 0);
    cr_assert_eq(client_write(&c, 10, 0, "hello", 5), 5);
    cr_assert_eq(client_read(&c, 10, 0, data, 64), 5);
    p9_put32(client_begin(&c, 0, P9_Tfsync), 10);
    cr_assert_eq(client_call(&c), 0, "workers can start under the filter");
    snprintf(data, sizeof(data), "%s/f", dir);
    cr_assert_eq(stat(data, &st), 0);
    cr_assert_eq(st.st_mode, S_IFREG | 0640);
    cr_assert_eq(st.st_uid, geteuid());
    cr_assert_eq(client_attach(&c, 2, "export/1"), 0);
    cr_assert_eq(client_walkx(&c, 2, 11, O_RDONLY, "bin/env"), 0);
    cr_assert_eq(client_read(&c, 11, 0, data, 4), 4);
    cr_assert(!memcmp(data, "\177ELF", 4));
}

/* Workers answer by themselves, many at a time, while tags come again and some are flushed: each request gets its own answer, once. */
Test(gofer, workers_answer, .timeout = 60)
{
    cr_assert_eq(client_walk(&c, ROOT, 10, ""), 0);
    cr_assert_eq(client_create(&c, 10, "f", O_RDWR, 0640), 0);
    for (unsigned round = 0; round < 300; round++) {
        cr_assert_eq(client_write(&c, 10, round, "x", 1), 1);
        for (unsigned slot = 1; slot < 6; slot++) {
            p9_put32(client_begin(&c, slot, P9_Tfsync), slot == 3 ? 99 : 10);
            client_send(&c);
        }
        p9_put16(client_begin(&c, 6, P9_Tflush), (uint16_t)(2 + round % 5));
        client_send(&c);
        cr_assert_eq(client_wait(&c, 6), 0);
        for (unsigned slot = 5; slot > 0; slot--) {
            int err = client_wait(&c, slot);

            cr_assert(err == (slot == 3 ? -EBADF : 0) || (err == -EINTR && slot == 1 + round % 5), "%d", err);
        }
    }
    cr_assert_eq(client_clunk(&c, 10), 0);
    cr_assert_eq(c.used_idx, c.avail_idx, "as many answers as requests");
}

/* Every request once, under the real filter: none may end the process. */
Test(gofer, no_request_is_killed_by_the_filter)
{
#define X(number, name)                                                                            \
    for (unsigned bytes = 0; bytes < 80; bytes += 4) {                                             \
        client_begin(&c, 0, number);                                                               \
        for (unsigned i = 0; i < bytes; i++)                                                       \
            p9_put8(&c.out, i % 4 == 0 && i < 8 ? ROOT : 0);                                       \
        if (number != P9_Tclunk && number != P9_Tremove && number != P9_Tversion)                  \
            cr_assert_neq(client_call(&c), -ETIME, #name);                                         \
    }
    P9_LIST(X)
#undef X
    cr_assert_eq(client_clunk(&c, ROOT), 0);
}

Test(gofer, sleeping_and_waking)
{
    for (int i = 0; i < 20; i++) {
        usleep(2000); /* longer than it polls */
        cr_assert_eq(client_walk(&c, ROOT, 10, ""), 0);
        cr_assert_eq(client_clunk(&c, 10), 0);
    }
}

Test(gofer, kicks_when_asked_to)
{
    struct arena_header *header = (void *)c.arena;
    struct pollfd p = { .fd = c.kick_fd, .events = POLLIN };

    cr_assert_eq(header->gofer_polling & ~1u, 0);
    header->notify_mode = NOTIFY_KICK;
    cr_assert_eq(client_walk(&c, ROOT, 10, ""), 0);
    cr_assert_eq(poll(&p, 1, 1000), 1);
    fd_take_event(c.kick_fd);
    header->notify_mode = NOTIFY_NONE;
    cr_assert_eq(client_clunk(&c, 10), 0);
    cr_assert_eq(poll(&p, 1, 50), 0);
}

Test(gofer, donates)
{
    struct gofer_note note;
    char path[64];
    int fd;

    cr_assert_eq(client_walk(&c, ROOT, 10, ""), 0);
    cr_assert_eq(client_create(&c, 10, "f", O_RDWR, 0644), 0);
    p9_put32(client_begin(&c, 0, P9_Tdonate), 10);
    p9_put8(&c.out, 0);
    cr_assert_eq(client_call(&c), 0);
    cr_assert_eq(fdpass_recv(c.control_fd, &note, sizeof(note), MSG_DONTWAIT, &fd), sizeof(note),
                 "the descriptor is there before the answer");
    cr_assert_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    cr_assert_eq(client_clunk(&c, 10), 0);
    cr_assert_eq(fdpass_recv(c.control_fd, &note, sizeof(note), 0, &fd), sizeof(note));
    cr_assert_eq(note.type, GOFER_NOTE_DROP);
}

Test(gofer, ends_with_the_control_socket)
{
    int pidfd = fd_dup(c.child.pidfd);

    cr_assert_not(ends_within(pidfd, 20));
    fd_close(&c.control_fd);
    cr_assert(ends_within(pidfd, 20000));
    close(pidfd);
}

/* A guest that breaks the ring has no gofer any more, in an orderly way. */
Test(gofer, broken_ring)
{
    uint16_t *avail = (void *)(c.arena + ARENA_AVAIL_OFFSET);
    int status;

    avail[2 + c.avail_idx % ARENA_QUEUE_SIZE] = 0xffff;
    __atomic_store_n(&avail[1], (uint16_t)(c.avail_idx + 1), __ATOMIC_SEQ_CST);
    fd_signal_event(c.doorbell_fd);
    cr_assert(ends_within(c.child.pidfd, 20000));
    waitpid(c.child.pid, &status, 0);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

/* Any bytes at all in the ring and the messages: it serves or ends, but is never killed. */
Test(gofer, random_ring, .timeout = 60)
{
    uint16_t *avail = (void *)(c.arena + ARENA_AVAIL_OFFSET);
    struct virtq_desc *desc = (void *)(c.arena + ARENA_DESC_OFFSET);
    int status;

    srandom(1);
    for (int round = 0; round < 3000; round++) {
        for (int i = 0; i < 256; i++)
            c.arena[ARENA_BUFFERS_OFFSET + random() % 4096] = (uint8_t)random();
        for (int i = 0; i < 8; i++) {
            unsigned d = (unsigned)random() % 8;

            desc[d].addr = GPA_ARENA_BASE + ARENA_BUFFERS_OFFSET + (uint64_t)random() % 4096;
            desc[d].len = (uint32_t)random() % 4096;
            desc[d].flags = (uint16_t)((d < 7 ? random() & VIRTQ_DESC_NEXT : 0) | (d > 3 ? VIRTQ_DESC_WRITE : 0));
            desc[d].next = (uint16_t)(d + 1);
        }
        avail[2 + c.avail_idx % ARENA_QUEUE_SIZE] = (uint16_t)(random() % 8);
        c.avail_idx++;
        __atomic_store_n(&avail[1], c.avail_idx, __ATOMIC_SEQ_CST);
        fd_signal_event(c.doorbell_fd);
        if (round % 50 == 0)
            usleep(500);
    }
    fd_close(&c.control_fd);
    cr_assert(ends_within(c.child.pidfd, 20000));
    waitpid(c.child.pid, &status, 0);
    cr_assert(WIFEXITED(status), "killed by signal %d", WTERMSIG(status));
}

Test(gofer_start, a_missing_export_is_told)
{
    list[1].host_path = "/none/such\x1b[31m";
    cr_assert_eq(client_spawn(&c, &config, text), -1);
    cr_assert_str_eq(text, "/none/such\\x1b[31m: No such file or directory");
    client_end(&c);
}

Test(gofer_start, an_export_may_be_a_file)
{
    char data[4];

    list[1] = (struct gofer_export){ .host_path = "/usr/bin/env" };
    start();
    cr_assert_eq(client_attach(&c, 2, "export/1"), 0);
    cr_assert_eq(client_walkx(&c, 2, 3, O_RDONLY, ""), 0);
    cr_assert_eq(client_read(&c, 3, 0, data, 4), 4);
    cr_assert_eq(client_walk(&c, 2, 4, "x"), -ENOTDIR);
    client_end(&c);
}

Test(gofer_start, file_size_limit)
{
    config.file_size_max = 1000;
    start();
    cr_assert_eq(client_walk(&c, ROOT, 10, ""), 0);
    cr_assert_eq(client_create(&c, 10, "f", O_RDWR, 0644), 0);
    cr_assert_eq(client_write(&c, 10, 990, "0123456789abcdef", 16), 10);
    cr_assert_eq(p9_get32(&c.in), EFBIG, "why it is no more");
    cr_assert_eq(client_write(&c, 10, 1000, "x", 1), -EFBIG);
    cr_assert_eq(client_read(&c, 10, 0, text, 1), 1, "and it lives on");
    client_end(&c);
}

Test(gofer_start, read_only_by_the_mount_too)
{
    list[0].writable = false;
    start();
    cr_assert_eq(client_walk(&c, ROOT, 10, ""), 0);
    cr_assert_eq(client_create(&c, 10, "f", O_RDWR, 0644), -EROFS);
    client_end(&c);
}

/* Blocked reads of a terminal hold nothing up, and can be flushed. */
Test(gofer_start, terminal)
{
    struct winsize size = { 24, 80, 0, 0 };
    int master, slave, status;
    char data[64];

    cr_assert_eq(openpty(&master, &slave, NULL, NULL, &size), 0);
    config.stdio_fds[0] = slave;
    start();
    cr_assert_eq(client_attach(&c, 2, "stdio/0"), 0);
    for (unsigned slot = 1; slot < CLIENT_SLOTS; slot++) {
        client_begin(&c, slot, P9_Tread);
        p9_put32(&c.out, 2);
        p9_put64(&c.out, P9_OFFSET_STREAM);
        p9_put32(&c.out, 64);
        client_send(&c);
    }
    cr_assert_eq(client_read(&c, 2, P9_OFFSET_STREAM_NOWAIT, data, 64), -EAGAIN);
    cr_assert_eq(client_walk(&c, ROOT, 10, ""), 0);
    cr_assert_eq(client_create(&c, 10, "f", O_RDWR, 0644), 0);
    p9_put32(client_begin(&c, 0, P9_Tfsync), 10);
    cr_assert_eq(client_call(&c), 0, "seven readers leave workers for others");
    cr_assert_not(client_answered(&c, 1));
    cr_assert_eq(write(master, "line\n", 5), 5);
    cr_assert_eq(client_wait(&c, 1), 0);
    cr_assert_eq(p9_get32(&c.in), 5);
    for (unsigned slot = 2; slot < CLIENT_SLOTS; slot++) {
        p9_put16(client_begin(&c, 0, P9_Tflush), (uint16_t)(slot + 1));
        cr_assert_eq(client_call(&c), 0);
        cr_assert_eq(client_wait(&c, slot), -EINTR);
    }
    p9_put32(client_begin(&c, 0, P9_Tioctl), 2);
    p9_put32(&c.out, TIOCGWINSZ);
    p9_put_str(&c.out, "", 0);
    cr_assert_eq(client_call(&c), 0);
    cr_assert_eq(p9_get32(&c.in), 0);
    cr_assert_eq(p9_get16(&c.in), 8);
    cr_assert_eq(p9_get16(&c.in), 24);
    cr_assert_eq(p9_get16(&c.in), 80);
    cr_assert_eq(client_write(&c, 2, P9_OFFSET_STREAM, "out", 3), 3);
    cr_assert_geq(read(master, data, sizeof(data)), 3);
    fd_close(&c.control_fd);
    cr_assert(ends_within(c.child.pidfd, 20000));
    waitpid(c.child.pid, &status, 0);
    client_end(&c);
}

Test(gofer_start, ends_while_a_worker_is_blocked)
{
    int master, slave;

    cr_assert_eq(openpty(&master, &slave, NULL, NULL, NULL), 0);
    config.stdio_fds[0] = slave;
    start();
    cr_assert_eq(client_attach(&c, 2, "stdio/0"), 0);
    client_begin(&c, 1, P9_Tread);
    p9_put32(&c.out, 2);
    p9_put64(&c.out, P9_OFFSET_STREAM);
    p9_put32(&c.out, 64);
    client_send(&c);
    usleep(20000);
    fd_close(&c.control_fd);
    cr_assert(ends_within(c.child.pidfd, 20000));
    client_end(&c);
}

/* kill -9 of the vmm: the gofer goes too, although nobody closes anything for it. */
Test(gofer_start, dies_with_its_parent)
{
    int out[2], status;
    int child;
    struct pollfd p = { .events = POLLIN };
    pid_t vmm;

    cr_assert_eq(pipe(out), 0);
    vmm = fork();
    if (!vmm) {
        if (client_spawn(&c, &config, text) == 0)
            child = c.child.pid;
        else
            child = -1;
        if (write(out[1], &child, sizeof(child)) != sizeof(child))
            _exit(1);
        pause();
    }
    cr_assert_eq(read(out[0], &child, sizeof(child)), sizeof(child));
    cr_assert_gt(child, 0);
    p.fd = (int)syscall(434 /* pidfd_open */, child, 0);
    cr_assert_geq(p.fd, 0);
    cr_assert_eq(poll(&p, 1, 20), 0);
    kill(vmm, SIGKILL);
    waitpid(vmm, &status, 0);
    cr_assert_eq(poll(&p, 1, 20000), 1);
}

/* The terminal's signals are for the app. */
Test(gofer, ignores_signals_of_the_terminal)
{
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGTSTP, SIGCONT, SIGWINCH };

    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        kill(c.child.pid, signals[i]);
    cr_assert_eq(client_walk(&c, ROOT, 10, ""), 0);
}

static int as_nobody(void)
{
    char data[4];

    if (setgid(65534) || setuid(65534))
        return 77;
    if (client_spawn(&c, &config, text))
        return 1;
    if (client_version(&c, P9_VERSION_VMM) || client_attach(&c, ROOT, "export/0"))
        return 2;
    if (client_walk(&c, ROOT, 10, "") || client_create(&c, 10, "f", O_RDWR, 0644))
        return 3;
    p9_put32(client_begin(&c, 0, P9_Tgetattr), 10);
    p9_put64(&c.out, P9_GETATTR_ALL);
    if (client_call(&c))
        return 4;
    p9_take(&c.in, 8 + P9_QID_SIZE + 4);
    if (p9_get32(&c.in) != 0 || p9_get32(&c.in) != 0)
        return 5; /* the invoking user shows as root */
    if (client_attach(&c, 2, "export/1") || client_walkx(&c, 2, 11, O_RDONLY, "bin/env"))
        return 6;
    p9_take(&c.in, 2 + 4 + P9_ATTR_SIZE + P9_QID_SIZE + 4);
    if (p9_get32(&c.in) != 0)
        return 7; /* root's files in the system's directories do too */
    if (client_read(&c, 11, 0, data, 4) != 4)
        return 8;
    client_end(&c);
    return 0;
}

Test(gofer_start, ordinary_user)
{
    int status;
    pid_t pid = fork();

    if (!pid)
        _exit(as_nobody());
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        cr_skip_test("not root");
    cr_assert_eq(status, 0, "step %d", WEXITSTATUS(status));
}

/* The host's mounts below an export: there only where that was asked for, and procfs never. */
static int below_mounts(void)
{
    char path[96];
    int fd;

    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
        return 77;
    snprintf(path, sizeof(path), "%s/over", dir);
    mkdir(path, 0755);
    snprintf(path, sizeof(path), "%s/over/hidden", dir);
    close(open(path, O_CREAT | O_WRONLY, 0644));
    snprintf(path, sizeof(path), "%s/over", dir);
    if (mount("tmpfs", path, "tmpfs", 0, NULL))
        return 77;
    snprintf(path, sizeof(path), "%s/over/shown", dir);
    fd = open(path, O_CREAT | O_WRONLY, 0644);
    if (fd < 0)
        return 1;
    close(fd);
    snprintf(path, sizeof(path), "%s/proc", dir);
    mkdir(path, 0755);
    if (mount("/proc", path, NULL, MS_BIND, NULL))
        return 77;
    list[1] = (struct gofer_export){ .host_path = dir, .writable = true, .cross_mounts = true };
    if (client_spawn(&c, &config, text))
        return 2;
    if (client_version(&c, P9_VERSION_L) || client_attach(&c, ROOT, "export/0") || client_attach(&c, 2, "export/1"))
        return 3;
    if (client_walk(&c, ROOT, 10, "over") != -ENOENT || client_walk(&c, ROOT, 10, "proc") != -ENOENT)
        return 4;
    if (client_walk(&c, 2, 11, "over/shown") || client_open(&c, 11, O_RDWR))
        return 5;
    if (client_walk(&c, 2, 12, "over/hidden") || p9_get16(&c.in) != 1)
        return 6; /* one component was passed, the other isn't there */
    if (client_walk(&c, 2, 13, "proc") != -ENOENT)
        return 7;
    client_end(&c);
    if (client_spawn(&c, &config, text) || client_version(&c, P9_VERSION_VMM) || client_attach(&c, ROOT, "export/0"))
        return 8;
    if (client_open(&c, ROOT, O_RDONLY))
        return 9;
    p9_put32(client_begin(&c, 0, P9_Treaddirx), ROOT);
    p9_put64(&c.out, 0);
    p9_put32(&c.out, 4096);
    if (client_call(&c))
        return 10;
    if (p9_get32(&c.in) != 2 * (P9_ATTR_SIZE + 8 + 2) + 3)
        return 11; /* only . and .. are listed */
    client_end(&c);
    return 0;
}

Test(gofer_start, mounts_below_an_export)
{
    int status;
    pid_t pid = fork();

    if (!pid)
        _exit(below_mounts());
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        cr_skip_test("no mounts can be made");
    cr_assert_eq(status, 0, "step %d", WEXITSTATUS(status));
}

/* A host that grants no namespaces at all, made by a namespace whose limit for more of them is 0. */
static int without_namespaces(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[2] = { 0 };
    char path[96];
    int fd;

    if (unshare(CLONE_NEWUSER))
        return 77;
    fd = open("/proc/sys/user/max_user_namespaces", O_WRONLY);
    if (fd < 0 || write(fd, "0", 1) != 1)
        return 77;
    close(fd);
    if (syscall(126 /* capset */, &header, none))
        return 1;
    if (client_spawn(&c, &config, text))
        return 2;
    if (c.layers & (JAIL_NAMESPACES | JAIL_ROOT))
        return 3;
    if ((c.layers & (JAIL_SECCOMP | JAIL_NO_CAPS | JAIL_NO_NEW_PRIVS | JAIL_PDEATHSIG)) !=
        (JAIL_SECCOMP | JAIL_NO_CAPS | JAIL_NO_NEW_PRIVS | JAIL_PDEATHSIG))
        return 4;
    if (client_version(&c, P9_VERSION_L) || client_attach(&c, ROOT, "export/0"))
        return 5;
    if (client_walk(&c, ROOT, 10, "") || client_create(&c, 10, "f", O_RDWR, 0644) || client_write(&c, 10, 0, "x", 1) != 1)
        return 6;
    if (client_walk(&c, ROOT, 11, "f") || client_open(&c, 11, O_RDONLY))
        return 7;
    snprintf(path, sizeof(path), "%s/d", dir);
    if (mkdir(path, 0755) || client_walk(&c, ROOT, 12, "d") || client_walk(&c, 12, 13, "..") != -EINVAL)
        return 8; /* without a mount of our own it could lead out */
    client_end(&c);
    return 0;
}

Test(gofer_start, a_host_without_namespaces)
{
    int status;
    pid_t pid = fork();

    if (!pid)
        _exit(without_namespaces());
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        cr_skip_test("no user namespaces");
    cr_assert_eq(status, 0, "step %d", WEXITSTATUS(status));
}
