/* Whoever is runnable runs, whatever the nice values are and whoever sleeps, yields or computes beside it. */
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { YIELDER, SLEEPER, SPINNER, ALARMED, KINDS };

static volatile uint64_t *counts; /* of each, shared */

static void on_alarm(int signo)
{
    counts[ALARMED]++;
}

static void work(int kind)
{
    struct itimerval often = { { 0, 1000 }, { 0, 1000 } };

    switch (kind) {
    case YIELDER: /* each of its calls may wake the sleeper */
        for (;; counts[kind]++)
            sched_yield();
    case SLEEPER:
        for (;; counts[kind]++)
            usleep(100);
    case SPINNER:
        for (;;)
            counts[kind]++;
    case ALARMED:
        signal(SIGALRM, on_alarm);
        setitimer(ITIMER_REAL, &often, NULL);
        for (;;)
            sched_yield();
    }
}

static bool all_went_on(const uint64_t *before)
{
    for (int i = 0; i < KINDS; i++)
        if (counts[i] == before[i])
            return false;
    return true;
}

static void check_together(int nice_value)
{
    pid_t children[KINDS];
    char title[64];

    snprintf(title, sizeof(title), "beside a nice value of %d", nice_value);
    check_section(title);
    for (int i = 0; i < KINDS; i++) {
        counts[i] = 0;
        children[i] = fork();
        if (children[i] == 0) {
            if (i != SPINNER)
                setpriority(PRIO_PROCESS, 0, nice_value);
            work(i);
        }
    }
    for (int round = 0; round < 4; round++) {
        uint64_t before[KINDS];
        int waited = 0;

        for (int i = 0; i < KINDS; i++)
            before[i] = counts[i];
        /* A busy machine may take its time, but none of them is left out for good. */
        for (usleep(100000); !all_went_on(before) && waited < 100; waited++)
            usleep(100000);
        for (int i = 0; i < KINDS; i++)
            CHECK(counts[i] > before[i]);
    }
    for (int i = 0; i < KINDS; i++) {
        kill(children[i], SIGKILL);
        CHECK_EQUAL(waitpid(children[i], NULL, 0), children[i]);
    }
}

int main(void)
{
    counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check_together(0);
    check_together(3);
    return check_done();
}
