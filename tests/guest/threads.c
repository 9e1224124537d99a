/* Threads by glibc: creation, joining, locks, conditions, barriers, thread-local data, cancellation. */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

enum { THREADS = 64 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static long counter;
static atomic_long atomic_counter;
static __thread long local = 7;
static __thread char local_zero[300];

static void *count(void *argument)
{
    for (int i = 0; i < 2000; i++) {
        pthread_mutex_lock(&mutex);
        counter++;
        pthread_mutex_unlock(&mutex);
        atomic_fetch_add(&atomic_counter, 1);
    }
    return argument;
}

static void *use_local(void *argument)
{
    long id = (long)argument, bad = local != 7;
    for (size_t i = 0; i < sizeof(local_zero); i++)
        bad += local_zero[i] != 0;
    local = id;
    memset(local_zero, (int)id, sizeof(local_zero));
    pthread_barrier_wait(&barrier);
    sched_yield();
    bad += local != id || local_zero[299] != (char)id;
    pthread_barrier_wait(&barrier);
    return (void *)bad;
}

/* A ring of threads passes a token: each wakes the next. */
static int token;

static void *pass(void *argument)
{
    int id = (int)(long)argument;
    for (int round = 0; round < 20; round++) {
        pthread_mutex_lock(&mutex);
        while (token % 8 != id)
            pthread_cond_wait(&cond, &mutex);
        token++;
        pthread_cond_broadcast(&cond);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

/* Floating point and vector registers belong to the thread. */
static void *compute(void *argument)
{
    long seed = (long)argument;
    double sum = 0, expected = 0;
    long mismatches = 0;
    for (int i = 0; i < 300; i++) {
        double a = (double)(seed * i) * 0.5;
        double kept = a;
        __asm__ volatile("movq %0, %%xmm15" ::"x"(a) : "xmm15");
        if (i % 10 == 0)
            sched_yield();
        for (volatile int spin = 0; spin < 500; spin++)
            ;
        __asm__ volatile("" : "+x"(kept));
        sum += kept;
        expected += a;
        mismatches += kept != a;
    }
    return (void *)(mismatches + (sum != expected));
}

static sem_t semaphore;
static void *post(void *argument)
{
    for (int i = 0; i < 100; i++)
        sem_post(&semaphore);
    return NULL;
}

static void *exits(void *argument)
{
    pthread_exit((void *)99L);
}

static int cleaned;
static void clean(void *argument)
{
    cleaned++;
}

static void *cancelled(void *argument)
{
    pthread_cleanup_push(clean, NULL);
    for (;;)
        pause();
    pthread_cleanup_pop(0);
    return NULL;
}

static pthread_key_t key;
static atomic_int destroyed;
static void destroy(void *value)
{
    atomic_fetch_add(&destroyed, (int)(long)value);
}

static void *keyed(void *argument)
{
    pthread_setspecific(key, argument);
    return pthread_getspecific(key);
}

static void *kill_target(void *argument)
{
    sigset_t set;
    int got;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigwait(&set, &got);
    return (void *)(long)got;
}

static void *deep_stack(void *argument)
{
    volatile char frame[700000]; /* far into a fresh stack */
    for (size_t i = 0; i < sizeof(frame); i += 1000)
        frame[i] = 1;
    return (void *)(long)frame[1000];
}

static atomic_bool spin_stop;
static void *spin(void *argument)
{
    long turns = 0;
    while (!atomic_load(&spin_stop))
        turns++;
    return (void *)(turns > 0 ? 0L : 1L);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_int once_count;
static void on_once(void)
{
    atomic_fetch_add(&once_count, 1);
}
static void *run_once(void *argument)
{
    pthread_once(&once, on_once);
    return NULL;
}

static void *lock_and_end(void *robust)
{
    pthread_mutex_lock(robust);
    return NULL; /* ends with it held */
}

static long run(int threads, void *(*body)(void *))
{
    pthread_t ids[THREADS];
    long sum = 0;
    for (long i = 0; i < threads; i++)
        CHECK_EQUAL(pthread_create(&ids[i], NULL, body, (void *)i), 0);
    for (int i = 0; i < threads; i++) {
        void *result;
        CHECK_EQUAL(pthread_join(ids[i], &result), 0);
        sum += (long)result;
    }
    return sum;
}

int main(void)
{
    void *result;
    pthread_t id;

    check_section("create and join");
    CHECK_EQUAL(run(THREADS, count), THREADS * (THREADS - 1) / 2);
    CHECK_EQUAL(counter, THREADS * 2000);
    CHECK_EQUAL(atomic_load(&atomic_counter), THREADS * 2000);
    pthread_create(&id, NULL, exits, NULL);
    pthread_join(id, &result);
    CHECK_EQUAL(result, 99);
    for (int i = 0; i < 1000; i++) { /* stacks and ids are reused */
        if (pthread_create(&id, NULL, exits, NULL))
            CHECK(!"create");
        pthread_join(id, NULL);
    }

    check_section("thread-local data");
    pthread_barrier_init(&barrier, NULL, THREADS);
    CHECK_EQUAL(run(THREADS, use_local), 0);
    CHECK_EQUAL(local, 7);
    pthread_key_create(&key, destroy);
    run(10, keyed);
    CHECK_EQUAL(destroyed, 45);

    check_section("conditions");
    run(8, pass);
    CHECK_EQUAL(token, 160);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 20000000;
    if (until.tv_nsec >= 1000000000)
        until.tv_sec++, until.tv_nsec -= 1000000000;
    pthread_mutex_lock(&mutex);
    CHECK_EQUAL(pthread_cond_timedwait(&cond, &mutex, &until), ETIMEDOUT);
    pthread_mutex_unlock(&mutex);

    check_section("semaphores");
    sem_init(&semaphore, 0, 0);
    pthread_create(&id, NULL, post, NULL);
    for (int i = 0; i < 100; i++)
        CHECK_EQUAL(sem_wait(&semaphore), 0);
    pthread_join(id, NULL);
    CHECK_ERRNO(sem_trywait(&semaphore), EAGAIN);

    check_section("registers across switches");
    CHECK_EQUAL(run(16, compute), 0);

    check_section("a thread that never calls is preempted");
    pthread_create(&id, NULL, spin, NULL);
    nanosleep(&(struct timespec){ 0, 30000000 }, NULL);
    atomic_store(&spin_stop, true);
    pthread_join(id, &result);
    CHECK_EQUAL(result, 0);

    check_section("cancellation");
    pthread_create(&id, NULL, cancelled, NULL);
    nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
    CHECK_EQUAL(pthread_cancel(id), 0);
    pthread_join(id, &result);
    CHECK(result == PTHREAD_CANCELED && cleaned == 1);

    check_section("signals to a thread");
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_create(&id, NULL, kill_target, NULL);
    CHECK_EQUAL(pthread_kill(id, SIGUSR2), 0);
    pthread_join(id, &result);
    CHECK_EQUAL(result, SIGUSR2);

    check_section("stacks");
    run(8, deep_stack);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 << 20);
    CHECK_EQUAL(pthread_create(&id, &attributes, deep_stack, NULL), 0);
    pthread_join(id, &result);
    CHECK_EQUAL(result, 1);
    run(16, run_once);
    CHECK_EQUAL(once_count, 1);

    check_section("robust mutex");
    pthread_mutexattr_t kind;
    pthread_mutex_t robust;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&robust, &kind);
    pthread_create(&id, NULL, lock_and_end, &robust);
    pthread_join(id, NULL);
    CHECK_EQUAL(pthread_mutex_lock(&robust), EOWNERDEAD);
    CHECK_EQUAL(pthread_mutex_consistent(&robust), 0);
    CHECK_EQUAL(pthread_mutex_unlock(&robust), 0);
    pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
    CHECK_EQUAL(pthread_rwlock_rdlock(&rw), 0);
    CHECK_EQUAL(pthread_rwlock_tryrdlock(&rw), 0);
    CHECK_EQUAL(pthread_rwlock_trywrlock(&rw), EBUSY);

    check_section("exit of a process with threads");
    pthread_create(&id, NULL, cancelled, NULL);
    pthread_create(&id, NULL, spin, NULL);
    return check_done();
}
