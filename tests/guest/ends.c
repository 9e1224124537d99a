/*
 * The ways a program can end, for the exit status of vmm:
 *   ends exit N | signal N | segv | fpe | ill | bus | trap | rip | abort | thread-exit N | group-exit N | stack
 */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"

static void *exit_all(void *argument)
{
    exit((int)(long)argument);
}

static void *exit_later(void *argument)
{
    usleep(20000);
    return NULL;
}

static int recurse(volatile int *n)
{
    volatile int frame[1000];
    frame[0] = *n + 1;
    return *n < 0 ? 0 : recurse(frame) + frame[0];
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "exit";
    int n = argc > 2 ? atoi(argv[2]) : 0;
    volatile int one = 1, zero = 0;
    pthread_t id;

    setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
    printf("ending by %s %d\n", how, n);
    fflush(stdout);
    if (!strcmp(how, "exit"))
        return n;
    if (!strcmp(how, "_exit"))
        _exit(n);
    if (!strcmp(how, "signal"))
        kill(getpid(), n);
    if (!strcmp(how, "segv"))
        *(volatile char *)8 = 1;
    if (!strcmp(how, "fpe"))
        return one / zero;
    if (!strcmp(how, "ill"))
        __asm__ volatile("ud2");
    if (!strcmp(how, "trap"))
        __asm__ volatile("int3");
    if (!strcmp(how, "rip"))
        ((void (*)(void))0x1234567812345678)();
    if (!strcmp(how, "bus")) {
        int fd = (int)syscall(SYS_memfd_create, "x", 0);
        char *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
        return *(volatile char *)p;
    }
    if (!strcmp(how, "abort"))
        abort();
    if (!strcmp(how, "stack"))
        return recurse(&(volatile int){ 1 });
    if (!strcmp(how, "blocked")) { /* a fault ends the program even if its signal is blocked or ignored */
        sigset_t set;
        sigfillset(&set);
        sigprocmask(SIG_BLOCK, &set, NULL);
        signal(SIGSEGV, SIG_IGN);
        *(volatile char *)8 = 1;
    }
    if (!strcmp(how, "thread-exit")) {
        pthread_create(&id, NULL, exit_all, (void *)(long)n);
        pause();
    }
    if (!strcmp(how, "main-first")) { /* the process lives until its last thread ends; status of the first */
        pthread_create(&id, NULL, exit_later, NULL);
        syscall(SYS_exit, n);
    }
    return 99;
}
