/*
 * Many rounds of what goes wrong seldom: lost wake-ups, a thousand waiters, ten thousand threads, priority inheritance,
 * restartable sequences, signals in the middle of everything. Small rounds by default; `races N` multiplies them.
 */
#include <linux/futex.h>
#include <linux/rseq.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static int rounds = 1;

static long futex(void *addr, int op, uint32_t value, void *timeout, void *addr2, uint32_t value3)
{
    return syscall(SYS_futex, addr, op, value, timeout, addr2, value3);
}

/* --- a thousand threads on one word --- */

static uint32_t word;
static int passed;

static void *wait_on_word(void *arg)
{
    while (__atomic_load_n(&word, __ATOMIC_ACQUIRE) == 0)
        futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    __atomic_add_fetch(&passed, 1, __ATOMIC_RELAXED);
    return arg;
}

static void test_many_waiters(int count, size_t stack)
{
    pthread_t *t = calloc((size_t)count, sizeof(*t));
    pthread_attr_t attr;
    int made = 0;

    word = 0;
    passed = 0;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, stack);
    while (made < count && pthread_create(&t[made], &attr, wait_on_word, NULL) == 0)
        made++;
    CHECK_EQUAL(made, count);
    usleep(20000);
    word = 1;
    futex(&word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
    for (int i = 0; i < made; i++)
        pthread_join(t[i], NULL);
    CHECK_EQUAL(passed, made);
    free(t);
}

/* --- ping-pong: each wake-up must arrive --- */

static sem_t ping, pong;

static void *answer(void *arg)
{
    for (int i = 0; i < 10000 * rounds; i++) {
        sem_wait(&ping);
        sem_post(&pong);
    }
    return arg;
}

static void test_ping_pong(void)
{
    pthread_t t;

    sem_init(&ping, 0, 0);
    sem_init(&pong, 0, 0);
    pthread_create(&t, NULL, answer, NULL);
    for (int i = 0; i < 10000 * rounds; i++) {
        sem_post(&ping);
        while (sem_wait(&pong) < 0)
            ;
    }
    pthread_join(t, NULL);
    CHECK(true);
}

/* --- contention, with time-outs and condition variables --- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static long shared, turns;

static void *contend(void *arg)
{
    pthread_mutex_t *m = arg;

    for (int i = 0; i < 20000 * rounds; i++) {
        pthread_mutex_lock(m);
        shared++;
        pthread_mutex_unlock(m);
    }
    return NULL;
}

static void contention(pthread_mutex_t *m)
{
    pthread_t t[4];

    shared = 0;
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, contend, m);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    CHECK_EQUAL(shared, 80000 * rounds);
}

static void *take_turns(void *arg)
{
    long me = (long)arg;

    pthread_mutex_lock(&mutex);
    for (int i = 0; i < 2000 * rounds; i++) {
        while (turns % 3 != me) {
            struct timespec ts;
            clock_gettime(CLOCK_REALTIME, &ts);
            ts.tv_sec += 5;
            if (pthread_cond_timedwait(&cond, &mutex, &ts) == ETIMEDOUT) {
                pthread_mutex_unlock(&mutex);
                return (void *)1;
            }
        }
        turns++;
        pthread_cond_broadcast(&cond);
    }
    pthread_mutex_unlock(&mutex);
    return NULL;
}

static void test_turns(void)
{
    pthread_t t[3];
    void *late;
    int lates = 0;

    for (long i = 0; i < 3; i++)
        pthread_create(&t[i], NULL, take_turns, (void *)i);
    for (int i = 0; i < 3; i++) {
        pthread_join(t[i], &late);
        lates += late != NULL;
    }
    CHECK_EQUAL(lates, 0);
}

/* --- priority inheritance --- */

static void *lock_and_die(void *m)
{
    pthread_mutex_lock(m);
    return NULL;
}

static void test_pi(void)
{
    pthread_mutexattr_t attr;
    pthread_mutex_t m;
    pthread_t t;
    struct timespec ts = { 0, 0 };

    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&m, &attr);
    contention(&m);
    pthread_mutex_lock(&m);
    CHECK_EQUAL(pthread_mutex_trylock(&m), EBUSY);
    pthread_mutex_unlock(&m);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&m, &attr);
    pthread_create(&t, NULL, lock_and_die, &m);
    pthread_join(t, NULL);
    CHECK_EQUAL(pthread_mutex_lock(&m), EOWNERDEAD);
    CHECK_EQUAL(pthread_mutex_consistent(&m), 0);
    CHECK_EQUAL(pthread_mutex_unlock(&m), 0);
    uint32_t raw = 0;
    CHECK_ERRNO(futex(&raw, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), EPERM);
    CHECK_OK(futex(&raw, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
    CHECK_EQUAL(raw, syscall(SYS_gettid));
    CHECK_ERRNO(futex(&raw, FUTEX_LOCK_PI, 0, &ts, NULL, 0), EDEADLK);
    CHECK_OK(futex(&raw, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
    CHECK_EQUAL(raw, 0);
}

/* --- several words at once --- */

static uint32_t words[4];

static void *wake_third(void *arg)
{
    usleep(20000);
    __atomic_store_n(&words[2], 1, __ATOMIC_RELEASE);
    futex(&words[2], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    return arg;
}

static void test_waitv(void)
{
    struct futex_waitv w[4];
    struct timespec until;
    pthread_t t;

    for (int i = 0; i < 4; i++)
        w[i] = (struct futex_waitv){ .uaddr = (uintptr_t)&words[i], .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG };
    pthread_create(&t, NULL, wake_third, NULL);
    CHECK_EQUAL(syscall(SYS_futex_waitv, w, 4, 0, NULL, 0), 2);
    pthread_join(t, NULL);
    CHECK_ERRNO(syscall(SYS_futex_waitv, w, 4, 0, NULL, 0), EAGAIN);
    w[2].val = 1;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 20000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    CHECK_ERRNO(syscall(SYS_futex_waitv, w, 4, 0, &until, CLOCK_MONOTONIC), ETIMEDOUT);
    CHECK_ERRNO(syscall(SYS_futex_waitv, w, 0, 0, NULL, 0), EINVAL);
}

/* --- a counter of the CPU, incremented in a restartable sequence without atomics --- */

static long rseq_counter, rseq_aborts;

/* The comparison, the addition and the store are one step, or the abort handler runs. */
static bool rseq_increment(volatile struct rseq *rs, long *counter)
{
    __asm__ goto("leaq 3f(%%rip), %%rax\n\t"
                 "movq %%rax, %c[cs](%[rs])\n\t"
                 "1:\n\t"
                 "movq (%[counter]), %%rcx\n\t"
                 "movl $200, %%eax\n\t"
                 "7: decl %%eax\n\t" /* long enough to be interrupted in */
                 "jnz 7b\n\t"
                 "addq $1, %%rcx\n\t"
                 "movq %%rcx, (%[counter])\n\t"
                 "2:\n\t"
                 ".pushsection .data.rel.ro, \"aw\"\n\t"
                 ".balign 32\n\t"
                 "3: .long 0, 0\n\t"
                 ".quad 1b, 2b - 1b, 4f\n\t"
                 ".popsection\n\t"
                 ".pushsection .text.unlikely, \"ax\"\n\t"
                 ".byte 0x0f, 0xb9, 0x3d\n\t"
                 ".long 0x53053053\n\t"
                 "4: jmp %l[aborted]\n\t"
                 ".popsection\n\t"
                 :
                 : [rs] "r"(rs), [counter] "r"(counter), [cs] "i"(offsetof(struct rseq, rseq_cs))
                 : "memory", "rax", "rcx", "cc"
                 : aborted);
    return true;
aborted:
    return false;
}

static void *count_in_sequences(void *arg)
{
    struct rseq *rs = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);

    for (int i = 0; i < 200000 * rounds; i++)
        while (!rseq_increment(rs, &rseq_counter))
            __atomic_add_fetch(&rseq_aborts, 1, __ATOMIC_RELAXED);
    return arg;
}

static void test_rseq(void)
{
    pthread_t t[3];
    cpu_set_t one;

    if (__rseq_size == 0) {
        CHECK(true);
        return;
    }
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    sched_setaffinity(0, sizeof(one), &one);
    for (int i = 0; i < 3; i++)
        pthread_create(&t[i], NULL, count_in_sequences, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    CHECK_EQUAL(rseq_counter, 600000 * rounds);
    CHECK(rseq_aborts > 0);
}

/* --- signals in the middle of everything --- */

static volatile sig_atomic_t signals;

static void on_signal(int signo)
{
    (void)signo;
    signals++;
}

static void *blocking_calls(void *arg)
{
    int *pipes = arg;
    char c;

    for (int i = 0; i < 300 * rounds; i++) {
        struct timespec ts = { 0, 300000 };
        uint32_t zero = 0;
        nanosleep(&ts, NULL);
        futex(&zero, FUTEX_WAIT_PRIVATE, 0, &ts, NULL, 0);
        CHECK(write(pipes[1], "x", 1) == 1);
        CHECK(read(pipes[0], &c, 1) == 1);
        if (i % 50 == 0 && fork() == 0)
            _exit(3);
    }
    return arg;
}

static void test_signal_storm(void)
{
    struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    struct itimerval it = { { 0, 500 }, { 0, 500 } };
    pthread_t t[3];
    int pipes[3][2], status;

    sigaction(SIGALRM, &sa, NULL);
    sigaction(SIGUSR1, &sa, NULL);
    setitimer(ITIMER_REAL, &it, NULL);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(pipe(pipes[i]));
        pthread_create(&t[i], NULL, blocking_calls, pipes[i]);
    }
    for (int i = 0; i < 2000 * rounds; i++)
        pthread_kill(t[i % 3], SIGUSR1);
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    it = (struct itimerval){ 0 };
    setitimer(ITIMER_REAL, &it, NULL);
    int children = 0;
    while (wait(&status) > 0)
        children += WEXITSTATUS(status) == 3;
    CHECK_EQUAL(children, 18 * rounds);
    CHECK(signals > 0);
}

/* --- forks --- */

static void test_forks(void)
{
    int status, good = 0;

    for (int i = 0; i < 500 * rounds; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(i & 0x7f);
        good += waitpid(child, &status, 0) == child && WEXITSTATUS(status) == (i & 0x7f);
    }
    CHECK_EQUAL(good, 500 * rounds);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        rounds = atoi(argv[1]);
    check_section("a thousand waiters");
    test_many_waiters(1000, 16384 * 4);
    check_section("ping-pong");
    test_ping_pong();
    check_section("contention");
    contention(&mutex);
    check_section("turns");
    test_turns();
    check_section("priority inheritance");
    test_pi();
    check_section("several words");
    test_waitv();
    check_section("restartable sequences");
    test_rseq();
    check_section("signal storm");
    test_signal_storm();
    check_section("forks");
    test_forks();
    if (rounds > 1) {
        check_section("ten thousand threads");
        test_many_waiters(10000, 16384 * 2);
    }
    check_count = 0; /* how many depends on the rounds */
    return check_done();
}
