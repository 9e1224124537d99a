/*
 * Which core the gofer's thread runs on; see placement.h.
 */
#include "gofer/placement.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#define LOOK_NS 100000u         /* at most so often, a look costs 2 µs */
#define MOVE_NS 2000000u        /* at most so often, a move costs 20 µs */
#define DELAY_MIN_NS 40000u     /* waits that make a move worth while: so long, */
#define DELAY_MIN_SHARE 8u      /* and this part of the time */

void placement_init(struct placement *p, const cpu_set_t *cores)
{
    *p = (struct placement){ .schedstat_fd = open("/proc/self/schedstat", O_RDONLY | O_CLOEXEC), .cores = *cores };
}

void placement_begin(const struct placement *p)
{
    if (CPU_COUNT(&p->cores) > 0)
        sched_setaffinity(0, sizeof(p->cores), &p->cores);
}

/* "run wait slices": nanoseconds on a core, nanoseconds waiting for one. */
static uint64_t read_delay(const struct placement *p)
{
    char text[64];
    struct iovec iov = { text, sizeof(text) - 1 };
    ssize_t n = preadv(p->schedstat_fd, &iov, 1, 0);
    char *end;

    if (n <= 0)
        return 0;
    text[n] = '\0';
    strtoull(text, &end, 10);
    return strtoull(end, NULL, 10);
}

/* Leave this core, and then let the scheduler do as it likes again: it has no reason to bring us back. */
static void move(struct placement *p)
{
    cpu_set_t others = p->cores;
    int core = sched_getcpu();

    if (core < 0 || core >= CPU_SETSIZE)
        return;
    CPU_CLR((size_t)core, &others);
    if (CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof(others), &others) == 0)
        sched_setaffinity(0, sizeof(p->cores), &p->cores);
}

void placement_check(struct placement *p, uint64_t now_ns)
{
    uint64_t delay, waited, passed = now_ns - p->looked_ns;

    if (p->schedstat_fd < 0 || passed < LOOK_NS)
        return;
    delay = read_delay(p);
    waited = delay - p->delay_ns;
    p->delay_ns = delay;
    p->looked_ns = now_ns;
    if (waited < DELAY_MIN_NS || waited < passed / DELAY_MIN_SHARE || now_ns - p->moved_ns < MOVE_NS)
        return;
    p->moved_ns = now_ns;
    move(p);
}
