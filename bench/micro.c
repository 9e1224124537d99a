/*
 * Single operations from inside a program, in nanoseconds each: one line `name value`. Run by bench.py natively
 * and in each sandbox. Every value is the best of several short rounds, so that a busy machine shows less.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 5, PAGE = 4096 };

static int null_fd, file_fd, ends[2];
static char buffer[1 << 20];

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Run body(count) several times and print the best time per operation. */
static void measure(const char *name, void (*body)(int), int count)
{
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double begin = now_ns();
        body(count);
        double each = (now_ns() - begin) / count;
        if (round == 0 || each < best)
            best = each;
    }
    printf("%s %.1f\n", name, best);
}

static void getpid_loop(int n)
{
    while (n--)
        syscall(SYS_getpid);
}

static void clock_loop(int n)
{
    struct timespec t;
    while (n--)
        clock_gettime(CLOCK_MONOTONIC, &t);
}

static void write_null(int n)
{
    while (n--)
        if (write(null_fd, buffer, 1) != 1)
            _exit(1);
}

static void stat_file(int n)
{
    struct stat st;
    while (n--)
        if (stat("/usr/bin/env", &st))
            _exit(1);
}

static void open_close(int n)
{
    while (n--)
        close(open("/usr/bin/env", O_RDONLY));
}

static void pread_4k(int n)
{
    while (n--)
        if (pread(file_fd, buffer, PAGE, 0) != PAGE)
            _exit(1);
}

static void tmp_write_4k(int n)
{
    int fd = open("/tmp/bench", O_RDWR | O_CREAT | O_TRUNC, 0600);
    while (n--)
        if (pwrite(fd, buffer, PAGE, (n % 64) * PAGE) != PAGE)
            _exit(1);
    close(fd);
    unlink("/tmp/bench");
}

static void pipe_byte(int n)
{
    char byte = 0;
    while (n--)
        if (write(ends[1], &byte, 1) != 1 || read(ends[0], &byte, 1) != 1)
            _exit(1);
}

static void touch_pages(int n)
{
    size_t size = (size_t)n * PAGE;
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < size; i += PAGE)
        p[i] = 1;
    munmap(p, size);
}

static void map_unmap(int n)
{
    while (n--)
        munmap(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), PAGE);
}

static void on_signal(int signal)
{
    (void)signal;
}

static void raise_loop(int n)
{
    while (n--)
        raise(SIGUSR1);
}

static void *empty(void *argument)
{
    return argument;
}

static void thread_loop(int n)
{
    pthread_t id;
    while (n--) {
        if (pthread_create(&id, NULL, empty, NULL))
            _exit(1);
        pthread_join(id, NULL);
    }
}

static void fork_loop(int n)
{
    while (n--) {
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        waitpid(child, NULL, 0);
    }
}

int main(void)
{
    null_fd = open("/dev/null", O_WRONLY);
    file_fd = open("/usr/bin/env", O_RDONLY);
    if (null_fd < 0 || file_fd < 0 || pipe(ends))
        return 1;
    signal(SIGUSR1, on_signal);
    measure("getpid by syscall", getpid_loop, 20000);
    measure("clock_gettime", clock_loop, 100000);
    measure("write of 1 byte to /dev/null", write_null, 20000);
    measure("stat of /usr/bin/env", stat_file, 5000);
    measure("open and close of /usr/bin/env", open_close, 2000);
    measure("pread of 4 KiB of /usr/bin/env", pread_4k, 5000);
    measure("pwrite of 4 KiB in /tmp", tmp_write_4k, 5000);
    measure("pipe, 1 byte there and back", pipe_byte, 5000);
    measure("first touch of a page, of 8 MiB", touch_pages, 2048);
    measure("mmap and munmap of a page", map_unmap, 2000);
    measure("signal to self", raise_loop, 2000);
    measure("thread, created and joined", thread_loop, 200);
    fflush(stdout);
    measure("fork, exit and wait", fork_loop, 50);
    return 0;
}
