/*
 * Single operations from inside a program, in nanoseconds each: one line `name value`. Run by bench.py natively
 * and in each sandbox. Every value is the best of several short rounds, so that a busy machine shows less.
 * Arguments are words: only cases with one of them in their names are run.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 5, PAGE = 4096 };

static int null_fd, zero_fd, file_fd, event_fd, epoll_fd, ends[2], there[2], back[2];
static char **words;
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
    int wanted = !words[0];
    for (int i = 0; words[i]; i++)
        wanted = wanted || strstr(name, words[i]);
    if (!wanted)
        return;
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

static void read_zero(int n)
{
    while (n--)
        if (read(zero_fd, buffer, 1) != 1)
            _exit(1);
}

static void event_loop(int n)
{
    uint64_t value = 1;
    while (n--)
        if (write(event_fd, &value, 8) != 8 || read(event_fd, &value, 8) != 8)
            _exit(1);
}

static void epoll_ready(int n)
{
    struct epoll_event event;
    while (n--)
        if (epoll_wait(epoll_fd, &event, 1, -1) != 1)
            _exit(1);
}

static void futex_wake(int n)
{
    static uint32_t word;
    while (n--)
        syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void seek_loop(int n)
{
    while (n--)
        if (lseek(file_fd, 0, SEEK_SET))
            _exit(1);
}

static void fstat_loop(int n)
{
    struct stat st;
    while (n--)
        if (fstat(file_fd, &st))
            _exit(1);
}

static void mask_loop(int n)
{
    sigset_t old;
    while (n--)
        sigprocmask(SIG_BLOCK, NULL, &old);
}

static void yield_loop(int n)
{
    while (n--)
        sched_yield();
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

static void *echo_bytes(void *argument)
{
    char byte;
    (void)argument;
    while (read(there[0], &byte, 1) == 1 && byte)
        if (write(back[1], &byte, 1) != 1)
            _exit(1);
    return NULL;
}

static void send_byte(char byte)
{
    if (write(there[1], &byte, 1) != 1 || (byte && read(back[0], &byte, 1) != 1))
        _exit(1);
}

/* Each operation is there and back: two switches. */
static void pipe_threads(int n)
{
    pthread_t other;
    if (pthread_create(&other, NULL, echo_bytes, NULL))
        _exit(1);
    while (n--)
        send_byte(1);
    send_byte(0);
    pthread_join(other, NULL);
}

static uint32_t turn;

static void take_turns(uint32_t mine, int n)
{
    while (n--) {
        while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != mine)
            syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, !mine, NULL, NULL, 0);
        __atomic_store_n(&turn, !mine, __ATOMIC_RELEASE);
        syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

static void *other_turns(void *count)
{
    take_turns(1, *(int *)count);
    return NULL;
}

static void futex_threads(int n)
{
    pthread_t other;
    turn = 0;
    if (pthread_create(&other, NULL, other_turns, &n))
        _exit(1);
    take_turns(0, n);
    pthread_join(other, NULL);
}

static void touch_pages(int n)
{
    size_t size = (size_t)n * PAGE;
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < size; i += PAGE)
        p[i] = 1;
    munmap(p, size);
}

static void map_touch(int n, size_t size)
{
    while (n--) {
        char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (size_t i = 0; i < size; i += PAGE)
            p[i] = 1;
        munmap(p, size);
    }
}

static void map_page(int n)
{
    map_touch(n, PAGE);
}

static void map_mebibyte(int n)
{
    map_touch(n, 1 << 20);
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

static void exec_loop(int n)
{
    while (n--) {
        pid_t child = fork();
        if (child == 0) {
            execl("/bin/true", "true", NULL);
            _exit(1);
        }
        waitpid(child, NULL, 0);
    }
}

static int open_all(void)
{
    struct epoll_event event = { .events = EPOLLOUT };
    null_fd = open("/dev/null", O_WRONLY);
    zero_fd = open("/dev/zero", O_RDONLY);
    file_fd = open("/usr/bin/env", O_RDONLY);
    event_fd = eventfd(0, 0);
    epoll_fd = epoll_create1(0);
    if (null_fd < 0 || zero_fd < 0 || file_fd < 0 || event_fd < 0 || pipe(ends) || pipe(there) || pipe(back))
        return -1;
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event_fd, &event);
}

/* No system calls: rounds of an integer hash per microsecond. */
static void compute(void)
{
    uint64_t x = 88172645463325252u;
    double begin = now_ns();
    for (int i = 0; i < 300000000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    printf("compute %.2f\n", 300000000 / ((now_ns() - begin) / 1000) + (x == 0));
}

int main(int argc, char **argv)
{
    (void)argc;
    words = argv + 1;
    if (words[0] && !strcmp(words[0], "compute")) {
        compute();
        return 0;
    }
    if (open_all())
        return 1;
    signal(SIGUSR1, on_signal);
    measure("getpid by syscall", getpid_loop, 20000);
    measure("clock_gettime", clock_loop, 100000);
    measure("read of 1 byte from /dev/zero", read_zero, 20000);
    measure("write of 1 byte to /dev/null", write_null, 20000);
    measure("lseek", seek_loop, 20000);
    measure("fstat", fstat_loop, 20000);
    measure("sigprocmask", mask_loop, 20000);
    measure("sched_yield", yield_loop, 20000);
    measure("futex wake, nobody waits", futex_wake, 20000);
    measure("eventfd, written and read", event_loop, 20000);
    measure("epoll_wait, ready", epoll_ready, 20000);
    measure("stat of /usr/bin/env", stat_file, 5000);
    measure("open and close of /usr/bin/env", open_close, 2000);
    measure("pread of 4 KiB of /usr/bin/env", pread_4k, 5000);
    measure("pwrite of 4 KiB in /tmp", tmp_write_4k, 5000);
    measure("pipe, 1 byte there and back", pipe_byte, 5000);
    measure("pipe ping-pong, two threads", pipe_threads, 5000);
    measure("futex ping-pong, two threads", futex_threads, 5000);
    measure("first touch of a page, of 64 MiB", touch_pages, 16384);
    measure("mmap, touch and munmap of a page", map_page, 2000);
    measure("mmap, touch and munmap of 1 MiB", map_mebibyte, 50);
    measure("signal to self", raise_loop, 2000);
    measure("thread, created and joined", thread_loop, 200);
    fflush(stdout);
    measure("fork, exit and wait", fork_loop, 50);
    fflush(stdout);
    measure("fork, exec and wait", exec_loop, 20);
    return 0;
}
