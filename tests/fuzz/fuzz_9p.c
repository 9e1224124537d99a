/*
 * Sequences of 9P messages against the engine, on a small directory that may be changed.
 *
 * An input is a list of messages. Most are made along the layouts of the protocol, with fids and names from small sets, so
 * that long sequences mean something; the others are raw bytes.
 */
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gofer/engine.h"
#include "gofer/exports.h"
#include "tests/unit/p9_layouts.h"

#define MESSAGE_MAX 16384
#define MESSAGES_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static char dir[64];
static struct engine engine;
static struct exports exports;
static int pipe_fds[2];
static int stdio_fds[3]; /* copies of them, which the engine lets go of when nobody is attached any more */
static int control[2];
static int home_fd;
static unsigned replies, requests;

static const char *const names[] = { "a",  "f",        "s",        "fifo",       "new",      "..",        ".", "",
                                     "a/", "export/0", "export/1", "stdio/0",    "stdio/1",  "user.x",    "x\0y", "9P2000.L",
                                     "9P2000.L.vmm1" };

static void on_reply(void *arg, uint32_t cookie, uint32_t len)
{
    (void)arg;
    (void)cookie;
    (void)len;
    replies++;
}

static void path_in(char *path, const char *name)
{
    snprintf(path, 128, "%s/%s", dir, name);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    return ftw->level ? remove(path) : 0;
}

static void populate(void)
{
    char path[128];
    int fd;

    nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    path_in(path, "a");
    mkdir(path, 0755);
    path_in(path, "a/f");
    close(open(path, O_CREAT | O_WRONLY, 0644));
    path_in(path, "f");
    fd = open(path, O_CREAT | O_WRONLY, 0644);
    if (write(fd, "content", 7) != 7)
        abort();
    close(fd);
    path_in(path, "s");
    if (symlink("../../etc/passwd", path))
        abort();
    path_in(path, "fifo");
    mkfifo(path, 0666);
}

static void clean_up(void)
{
    nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    rmdir(dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct rlimit limit = { 1 << 20, 1 << 20 };
    struct gofer_export list[] = { { .host_path = dir, .writable = true, .upper = true },
                                   { .host_path = dir, .world_only = true } };
    struct gofer_config config = { .exports = list, .export_count = 2 };
    struct engine_config c = { .by_number = true,
                               .export_count = 2,
                               .stdio_fds = stdio_fds,
                               .fid_max = 64,
                               .view = { (uid_t)-1, 1000, 1000 },
                               .reply = on_reply };
    const char *what;

    (void)argc;
    (void)argv;
    snprintf(dir, sizeof(dir), "%s/vmm-fuzz-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    if (!mkdtemp(dir) || pipe(pipe_fds) || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, control) ||
        exports_open(&exports, &config, &what))
        abort();
    atexit(clean_up);
    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGPIPE, SIG_IGN);
    stdio_fds[0] = dup(pipe_fds[0]);
    stdio_fds[1] = dup(pipe_fds[1]);
    stdio_fds[2] = -1;
    home_fd = open(".", O_PATH | O_DIRECTORY);
    c.exports = exports.list;
    c.control_fd = control[0];
    c.proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY);
    return engine_init(&engine, &c);
}

/* The input as a supply of small numbers. */
struct source {
    const uint8_t *data;
    size_t size;
};

static uint8_t next(struct source *s)
{
    if (!s->size)
        return 0;
    s->size--;
    return *s->data++;
}

static void put_name(struct source *s, struct p9_cursor *m)
{
    uint8_t pick = next(s);
    size_t len = pick;

    if (pick < sizeof(names) / sizeof(names[0])) {
        p9_put_str(m, names[pick], strlen(names[pick]));
        return;
    }
    p9_put16(m, (uint16_t)len);
    for (size_t i = 0; i < len; i++)
        p9_put8(m, next(s));
}

/* Small ones, big ones, and those at the edges. */
static void put_int(struct source *s, struct p9_cursor *m, unsigned size)
{
    static const uint64_t edges[] = { UINT64_MAX, UINT64_MAX - 1, INT64_MAX, 1 << 20, 4096, 65536, 0x80000000, 0x7fffffff };
    uint8_t pick = next(s);

    if (pick < 0xc0)
        p9_put_int(m, pick & 0x0f, size);
    else if (pick < 0xe0)
        p9_put_int(m, edges[pick & 7], size);
    else
        for (unsigned i = 0; i < size; i++)
            p9_put8(m, next(s));
}

static void put_fields(struct source *s, struct p9_cursor *m, const char *fields)
{
    uint8_t n = 0;

    for (const char *f = fields; *f; f++) {
        switch (*f) {
        case 's':
            put_name(s, m);
            break;
        case 'N':
            n = next(s) % (P9_WALK_MAX + 2);
            p9_put16(m, n);
            break;
        case 'n':
            for (unsigned i = 0; i < n; i++)
                put_name(s, m);
            break;
        case 'd':
            n = next(s);
            p9_put32(m, n);
            for (unsigned i = 0; i < n; i++)
                p9_put8(m, (uint8_t)i);
            break;
        default:
            put_int(s, m, (unsigned)(*f - '0'));
        }
    }
}

static size_t make_message(struct source *s, uint8_t *message)
{
    const struct p9_layout *l = &p9_layouts[next(s) % P9_LAYOUT_COUNT];
    struct p9_cursor m;

    p9_cursor_init(&m, message, MESSAGE_MAX);
    if (next(s) < 16 || l->type & 1) { /* R-messages have odd numbers */
        size_t len = next(s);

        for (size_t i = 0; i < len; i++)
            p9_put8(&m, next(s));
        return len;
    }
    p9_begin(&m, l->type, next(s) & 7);
    put_fields(s, &m, l->fields);
    return p9_finish(&m);
}

static void send_message(struct source *s)
{
    static uint8_t in[MESSAGE_MAX], out[MESSAGE_MAX * 8];
    size_t size = make_message(s, in);
    size_t cut = size ? next(s) % size : 0;
    size_t room = next(s) < 200 ? sizeof(out) : next(s);
    struct p9_io io = { .in = { { in, cut }, { in + cut, size - cut } },
                        .out = { { out, room / 2 }, { out + room / 2, room - room / 2 } },
                        .in_count = 2,
                        .out_count = 2,
                        .in_size = size,
                        .out_size = room };

    requests++;
    engine_handle(&engine, &io);
    job_run_ready(&engine);
}

/* A new session, and all jobs at their end, so that inputs don't depend on each other. */
static void settle(void)
{
    static const uint8_t version[] = { 28, 0, 0, 0, P9_Tversion, 0xff, 0xff, 0, 0, 2, 0, 13, 0, '9', 'P', '2', '0', '0', '0',
                                       '.', 'L', '.', 'v', 'm', 'm', '1' };
    static uint8_t in[sizeof(version)], out[64];
    struct p9_io io = { .in = { { in, sizeof(in) } },
                        .out = { { out, sizeof(out) } },
                        .in_count = 1,
                        .out_count = 1,
                        .in_size = sizeof(in),
                        .out_size = sizeof(out) };
    char drain[4096];

    memcpy(in, version, sizeof(in));
    in[0] = sizeof(in);
    requests++;
    engine_handle(&engine, &io);
    while (engine.jobs.count) {
        struct pollfd p = { .fd = engine.jobs.done_fd, .events = POLLIN };

        poll(&p, 1, 100);
        job_run_ready(&engine);
    }
    if (replies != requests || engine.fids.count)
        abort();
    while (recv(control[1], drain, sizeof(drain), MSG_DONTWAIT) > 0)
        engine_flush_drops(&engine);
    for (struct pollfd p = { .fd = pipe_fds[0], .events = POLLIN }; poll(&p, 1, 0) > 0;)
        if (read(pipe_fds[0], drain, sizeof(drain)) <= 0)
            abort();
}

/* Fids 0 to 3 are there from the start: two exports, two streams. */
static void attach_all(void)
{
    for (unsigned i = 0; i < 2; i++) {
        if (dup2(pipe_fds[i], stdio_fds[i]) < 0)
            abort();
        engine.stdio[i].kind = STDIO_PIPE;
    }
    for (uint32_t fid = 0; fid < 4; fid++) {
        static const char *const anames[] = { "export/0", "export/1", "stdio/0", "stdio/1" };
        static uint8_t in[64], out[64];
        struct p9_io io = { .in = { { in, 0 } }, .out = { { out, sizeof(out) } }, .in_count = 1, .out_count = 1 };
        struct p9_cursor m;

        p9_cursor_init(&m, in, sizeof(in));
        p9_begin(&m, P9_Tattach, 0);
        p9_put32(&m, fid);
        p9_put32(&m, P9_NOFID);
        p9_put_str(&m, "", 0);
        p9_put_str(&m, anames[fid], strlen(anames[fid]));
        p9_put32(&m, P9_NONUNAME);
        io.in_size = io.in[0].iov_len = p9_finish(&m);
        io.out_size = sizeof(out);
        requests++;
        engine_handle(&engine, &io);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct source s = { data, size };

    signal(SIGXFSZ, SIG_IGN); /* libFuzzer has set a handler of its own */
    populate();
    if (fchdir(engine.config.proc_fd)) /* where the gofer is */
        abort();
    settle();
    attach_all();
    for (unsigned i = 0; i < MESSAGES_MAX && s.size; i++)
        send_message(&s);
    settle();
    return fchdir(home_fd); /* the fuzzer's own paths */
}
