/* What strace and gdb are shown on: checks_debug.py. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int global;

static int inner(int n)
{
    global += n;
    return n * 2;
}

static int outer(int n)
{
    int a = inner(n + 1);

    return a + 1;
}

static void *thread_body(void *arg)
{
    return (void *)(long)inner((int)(long)arg);
}

int main(int argc, char **argv)
{
    pthread_t thread;
    int x = outer(argc);

    printf("x %d\n", x);
    fflush(stdout);
    while (argc > 1) {
        x = outer(x % 7);
        usleep(1000);
    }
    pthread_create(&thread, NULL, thread_body, argv);
    pthread_join(thread, NULL);
    raise(SIGUSR1);
    return x;
}
