/*
 * File operations from inside a program: one line `name value unit` each. Run by bench.py in a directory of every kind of file system.
 *
 *     files DIRECTORY [MiB of the large file]
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 5
#define ENTRIES 10000
#define CHUNK (1u << 20)

static char *chunk;
static uint64_t large_size;
static int fd;

static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* The best of several rounds, in nanoseconds for each operation. */
static void measure(const char *name, void (*body)(int), int count)
{
    double best = 0;

    for (int round = 0; round < ROUNDS; round++) {
        double begin = now_ns(), each;

        body(count);
        each = (now_ns() - begin) / count;
        best = !round || each < best ? each : best;
    }
    printf("%s %.1f ns\n", name, best);
    fflush(stdout);
}

static void stat_file(int n)
{
    struct stat st;

    while (n--)
        if (stat("small", &st))
            die("small");
}

static void stat_missing(int n)
{
    struct stat st;

    while (n--)
        if (!stat("missing", &st))
            die("missing");
}

static void open_close(int n)
{
    while (n--)
        close(open("small", O_RDONLY));
}

static void small_read(int n)
{
    while (n--) {
        int f = open("small", O_RDONLY);

        if (read(f, chunk, 4096) != 1000)
            die("small");
        close(f);
    }
}

static void pread_4k(int n)
{
    while (n--)
        if (pread(fd, chunk, 4096, 0) != 4096)
            die("pread");
}

static void create_unlink(int n)
{
    while (n--) {
        close(open("new", O_CREAT | O_WRONLY | O_EXCL, 0644));
        if (unlink("new"))
            die("new");
    }
}

static void read_directory(int n)
{
    while (n--) {
        DIR *d = opendir("many");
        int found = 0;

        while (d && readdir(d))
            found++;
        if (found != ENTRIES + 2)
            die("many");
        closedir(d);
    }
}

static uint64_t pick(void)
{
    static uint64_t seed = 1;

    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (seed >> 20) % (large_size / 4096) * 4096;
}

static void random_read(int n)
{
    while (n--)
        if (pread(fd, chunk, 4096, (off_t)pick()) != 4096)
            die("random read");
}

static void random_write(int n)
{
    while (n--)
        if (pwrite(fd, chunk, 4096, (off_t)pick()) != 4096)
            die("random write");
}

static void rate(const char *name, double begin, uint64_t size)
{
    printf("%s %.1f MiB/s\n", name, (double)size / (1 << 20) / ((now_ns() - begin) / 1e9));
    fflush(stdout);
}

static void large_file(void)
{
    double begin = now_ns();
    volatile uint64_t sum = 0;
    uint64_t map_size = large_size < (256u << 20) ? large_size : 256u << 20;
    uint64_t *map;

    fd = open("large", O_RDWR | O_CREAT | O_TRUNC, 0644);
    for (uint64_t at = 0; at < large_size; at += CHUNK)
        if (write(fd, chunk, CHUNK) != CHUNK)
            die("large");
    rate("sequential write", begin, large_size);
    lseek(fd, 0, SEEK_SET);
    begin = now_ns();
    while (read(fd, chunk, CHUNK) == CHUNK)
        ;
    rate("sequential read", begin, large_size);
    measure("random 4 KiB read", random_read, 2000);
    measure("random 4 KiB write", random_write, 2000);
    begin = now_ns();
    map = mmap(NULL, map_size, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        die("mmap");
    for (uint64_t i = 0; i < map_size / 8; i += 8)
        sum += map[i];
    rate("mmap read of 256 MiB", begin, map_size);
    munmap(map, map_size);
    close(fd);
    unlink("large");
}

int main(int argc, char **argv)
{
    char name[32];

    large_size = (argc > 2 ? strtoull(argv[2], NULL, 10) : 1024) << 20;
    chunk = malloc(CHUNK);
    if (argc < 2 || chdir(argv[1]) || !chunk)
        die("files");
    memset(chunk, 'c', CHUNK);
    mkdir("many", 0755);
    for (int i = 0; i < ENTRIES; i++) {
        snprintf(name, sizeof(name), "many/entry-%d", i);
        close(open(name, O_CREAT | O_WRONLY, 0644));
    }
    fd = open("small", O_CREAT | O_RDWR, 0644);
    if (write(fd, chunk, 1000) != 1000)
        die("small");
    close(fd);
    fd = open("page", O_CREAT | O_RDWR, 0644);
    if (write(fd, chunk, 8192) != 8192)
        die("page");
    measure("stat", stat_file, 20000);
    measure("stat of a missing name", stat_missing, 20000);
    measure("open and close", open_close, 10000);
    measure("open, read 1000 bytes, close", small_read, 10000);
    measure("pread of 4 KiB", pread_4k, 20000);
    measure("create and unlink", create_unlink, 500);
    measure("readdir of 10,000 entries", read_directory, 3);
    close(fd);
    large_file();
    return 0;
}
