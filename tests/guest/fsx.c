/*
 * Random operations on the data of one file, checked against a copy in memory: read, write, append, mappings, truncation,
 * fallocate, copy_file_range, seeking for data.
 *
 *     fsx SEED STEPS FILE         FILE "memfd": a memfd
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_SIZE (192u << 10)

static uint32_t seed;
static int fd;
static uint8_t *model, *buf;
static uint64_t model_size;
static int step_number;
static const char *step_name;

static uint32_t pick(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

static void fail(const char *what, uint64_t where)
{
    printf("not ok step %d, %s: %s at %lu (errno %s)\n", step_number, step_name, what, (unsigned long)where,
           errno ? strerrorname_np(errno) : "0");
    exit(1);
}

static void expect(bool ok, const char *what, uint64_t where)
{
    if (!ok)
        fail(what, where);
}

static void fill(uint8_t *p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        p[i] = (uint8_t)(pick(255) + 1);
}

static void compare(const uint8_t *got, uint64_t offset, uint64_t n, const char *what)
{
    for (uint64_t i = 0; i < n; i++) {
        if (got[i] != model[offset + i])
            fail(what, offset + i);
    }
}

static void model_resize(uint64_t size)
{
    if (size > model_size)
        memset(model + model_size, 0, size - model_size);
    model_size = size;
}

static void do_write(uint32_t offset, uint32_t n)
{
    long ret;

    step_name = "write";
    fill(buf, n);
    if (pick(4) == 0) {
        struct iovec v[2] = { { buf, n / 3 }, { buf + n / 3, n - n / 3 } };

        ret = pwritev(fd, v, 2, offset);
    } else {
        ret = pwrite(fd, buf, n, offset);
    }
    expect(ret == (long)n, "short", (uint64_t)ret);
    if (n > 0 && offset + n > model_size)
        model_resize(offset + n);
    memcpy(model + offset, buf, n);
}

static void do_read(uint32_t offset, uint32_t n)
{
    uint64_t want = offset >= model_size ? 0 : model_size - offset;
    long ret = pread(fd, buf, n, offset);

    step_name = "read";
    expect(ret == (long)(want < n ? want : n), "wrong length", (uint64_t)ret);
    compare(buf, offset, (uint64_t)ret, "wrong byte");
}

static void do_truncate(uint32_t size)
{
    step_name = "truncate";
    expect(ftruncate(fd, size) == 0, "failed", size);
    model_resize(size);
}

/* A shared mapping sees and makes changes of the file; a private one keeps its own. */
static void do_map(uint32_t offset, uint32_t n)
{
    uint64_t start = offset & ~4095u, skip = offset - start;
    bool shared = pick(3) > 0, write = pick(2);
    uint8_t *p;

    step_name = shared ? "shared mapping" : "private mapping";
    if (offset >= model_size)
        return;
    if (n > model_size - offset)
        n = (uint32_t)(model_size - offset);
    p = mmap(NULL, skip + n, PROT_READ | PROT_WRITE, shared ? MAP_SHARED : MAP_PRIVATE, fd, (long)start);
    expect(p != MAP_FAILED, "mmap", offset);
    compare(p + skip, offset, n, "wrong byte");
    if (write) {
        fill(p + skip, n);
        if (shared)
            memcpy(model + offset, p + skip, n);
    }
    if (pick(2))
        do_read(offset, n);
    munmap(p, skip + n);
}

/* A shared mapping that stays over all the other steps: what lies within the file is the file. */
static void do_held(uint32_t offset, uint32_t n)
{
    static uint8_t *held;
    bool write = pick(3) == 0;

    step_name = "held mapping";
    if (held && pick(40) == 0) {
        munmap(held, MAX_SIZE);
        held = NULL;
    }
    if (!held) {
        held = mmap(NULL, MAX_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        expect(held != MAP_FAILED, "mmap", 0);
    }
    if (offset >= model_size)
        return;
    if (n > model_size - offset)
        n = (uint32_t)(model_size - offset);
    compare(held + offset, offset, n, "wrong byte");
    if (write) {
        fill(held + offset, n);
        memcpy(model + offset, held + offset, n);
    }
    if (pick(8) == 0)
        expect(msync(held, MAX_SIZE, MS_SYNC) == 0, "msync", 0);
}

static void do_fallocate(uint32_t offset, uint32_t n)
{
    static const int modes[] = { 0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE };
    int mode = modes[pick(3)];

    step_name = "fallocate";
    if (n == 0 || fallocate(fd, mode, offset, n) < 0) {
        expect(n == 0 || errno == EOPNOTSUPP, "failed", offset);
        return;
    }
    if (mode == 0 && offset + n > model_size)
        model_resize(offset + n);
    if ((mode & FALLOC_FL_PUNCH_HOLE) && offset < model_size)
        memset(model + offset, 0, (size_t)(offset + n < model_size ? n : model_size - offset));
}

static void do_copy(uint32_t from, uint32_t n)
{
    loff_t in = from, out = pick(MAX_SIZE / 2);
    long ret;

    step_name = "copy_file_range";
    if (from >= model_size)
        return;
    if (n > model_size - from)
        n = (uint32_t)(model_size - from);
    if (n == 0 || (in < out + n && out < in + n) || out + n > MAX_SIZE)
        return;
    ret = copy_file_range(fd, &in, fd, &out, n, 0);
    expect(ret == (long)n, "short", (uint64_t)ret);
    if ((uint64_t)out > model_size)
        model_resize((uint64_t)out);
    memcpy(model + out - n, model + from, n);
}

/* What lies between data are zeroes. */
static void do_seek(uint32_t offset)
{
    off_t at = lseek(fd, offset, SEEK_DATA);

    step_name = "seek";
    if (at < 0) {
        expect(errno == ENXIO, "failed", offset);
        at = (off_t)model_size;
    }
    expect(at >= (off_t)offset || (uint64_t)offset > model_size, "went back", (uint64_t)at);
    for (uint64_t i = offset; i < (uint64_t)at && i < model_size; i++)
        expect(model[i] == 0, "data in a hole", i);
}

static void check_size(void)
{
    struct stat st = { 0 };

    expect(fstat(fd, &st) == 0, "fstat", 0);
    expect((uint64_t)st.st_size == model_size, "wrong size", (uint64_t)st.st_size);
}

static void step(void)
{
    uint32_t offset = pick(MAX_SIZE / 2), n = pick(pick(3) ? 9000 : MAX_SIZE / 2);

    errno = 0;
    switch (pick(9)) {
    case 0:
    case 1:
        do_write(offset, n);
        break;
    case 2:
        do_read(offset, n);
        break;
    case 3:
        do_truncate(offset);
        break;
    case 4:
        do_map(offset, n);
        break;
    case 5:
        do_fallocate(offset, n);
        break;
    case 6:
        do_copy(offset, n);
        break;
    case 7:
        do_held(offset, n);
        break;
    default:
        do_seek(offset);
    }
    check_size();
}

int main(int argc, char **argv)
{
    int steps = argc > 2 ? atoi(argv[2]) : 1000;
    const char *file = argc > 3 ? argv[3] : "/tmp/fsx";
    struct stat st;

    seed = argc > 1 ? (uint32_t)atoi(argv[1]) : 1;
    model = calloc(1, MAX_SIZE * 2);
    buf = calloc(1, MAX_SIZE * 2);
    fd = strcmp(file, "memfd") == 0 ? memfd_create("fsx", 0) : open(file, O_RDWR | O_CREAT, 0644);
    if (!model || !buf || fd < 0 || fstat(fd, &st) < 0 || st.st_size > MAX_SIZE) {
        perror(file);
        return 1;
    }
    model_size = (uint64_t)st.st_size;
    if (pread(fd, model, model_size, 0) != (long)model_size) {
        perror(file);
        return 1;
    }
    for (step_number = 0; step_number < steps; step_number++)
        step();
    printf("%d operations, no difference\n", steps);
    return 0;
}
