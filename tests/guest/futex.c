/* Raw thread calls: clone, futex operations, set_tid_address, robust lists. */
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static uint32_t word, other;
static atomic_int woken, started;

static long futex(uint32_t *address, int op, uint32_t value, const void *timeout, uint32_t *address2, uint32_t value3)
{
    return syscall(SYS_futex, address, op, value, timeout, address2, value3);
}

static void *waiter(void *mask)
{
    atomic_fetch_add(&started, 1);
    long result = futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, (uint32_t)(long)mask);
    atomic_fetch_add(&woken, 1);
    return (void *)result;
}

static void settle(void)
{
    nanosleep(&(struct timespec){ 0, 30000000 }, NULL);
}

/* Start count threads that wait on word, with masks 1, 2, 4 … or all bits. */
static void start(pthread_t *ids, int count, bool own_bits)
{
    atomic_store(&started, 0);
    atomic_store(&woken, 0);
    for (int i = 0; i < count; i++)
        pthread_create(&ids[i], NULL, waiter, (void *)(own_bits ? 1L << i : 0xffffffffL));
    while (atomic_load(&started) < count)
        sched_yield();
    settle();
}

static char clone_stack[64 << 10] __attribute__((aligned(16)));
static volatile int clone_ran, child_tid = -1, parent_tid = -1;

static int clone_body(void *argument)
{
    clone_ran = (int)syscall(SYS_gettid);
    return 0;
}

int main(void)
{
    pthread_t ids[8];

    check_section("wait and wake");
    CHECK_ERRNO(futex(&word, FUTEX_WAIT, 1, NULL, NULL, 0), EAGAIN);
    struct timespec timeout = { 0, 10000000 };
    CHECK_ERRNO(futex(&word, FUTEX_WAIT, 0, &timeout, NULL, 0), ETIMEDOUT);
    CHECK_EQUAL(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
    CHECK_ERRNO(futex((uint32_t *)8, FUTEX_WAIT, 0, NULL, NULL, 0), EFAULT);
    CHECK_ERRNO(futex((uint32_t *)((char *)&word + 1), FUTEX_WAIT, 0, NULL, NULL, 0), EINVAL);
    timeout.tv_nsec = 2000000000;
    CHECK_ERRNO(futex(&word, FUTEX_WAIT, 0, &timeout, NULL, 0), EINVAL);
    CHECK_ERRNO(futex(&word, 77, 0, NULL, NULL, 0), ENOSYS);
    start(ids, 4, false);
    CHECK_EQUAL(futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 1);
    CHECK_EQUAL(futex(&word, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0), 3);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(ids[i], &result);
        CHECK(result == NULL);
    }

    check_section("bitset");
    start(ids, 4, true);
    CHECK_EQUAL(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 100, NULL, NULL, 4), 1);
    CHECK_EQUAL(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 100, NULL, NULL, 16), 0);
    CHECK_EQUAL(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 100, NULL, NULL, 3), 2);
    CHECK_EQUAL(futex(&word, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0), 1);
    for (int i = 0; i < 4; i++)
        pthread_join(ids[i], NULL);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0), EINVAL);
    clock_gettime(CLOCK_MONOTONIC, &timeout);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET, 0, &timeout, NULL, 1), ETIMEDOUT); /* absolute */
    clock_gettime(CLOCK_REALTIME, &timeout);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &timeout, NULL, 1), ETIMEDOUT);

    check_section("requeue");
    start(ids, 5, false);
    CHECK_ERRNO(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)10, &other, 99), EAGAIN);
    CHECK_EQUAL(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)10, &other, 0), 5);
    settle();
    CHECK_EQUAL(atomic_load(&woken), 1);
    CHECK_EQUAL(futex(&word, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0), 0);
    CHECK_EQUAL(futex(&other, FUTEX_REQUEUE_PRIVATE, 0, (void *)1, &word, 0), 1);
    CHECK_EQUAL(futex(&word, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0), 1);
    CHECK_EQUAL(futex(&other, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0), 3);
    for (int i = 0; i < 5; i++)
        pthread_join(ids[i], NULL);

    check_section("wake-op");
    start(ids, 2, false);
    other = 5;
    CHECK_EQUAL(futex(&word, FUTEX_WAKE_OP_PRIVATE, 10, (void *)10, &other,
                      (uint32_t)FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 5)),
                2);
    CHECK_EQUAL(other, 8);
    for (int i = 0; i < 2; i++)
        pthread_join(ids[i], NULL);

    check_section("shared between two mappings of one page");
    int fd = (int)syscall(SYS_memfd_create, "f", 0);
    CHECK_OK(ftruncate(fd, 4096));
    uint32_t *a = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint32_t *b = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(a != MAP_FAILED && b != MAP_FAILED && a != b);
    CHECK_EQUAL(futex(a, FUTEX_WAKE, 1, NULL, NULL, 0), 0);

    check_section("clone");
    int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_PARENT_SETTID |
                CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
    child_tid = 12345;
    CHECK(clone(clone_body, clone_stack + sizeof(clone_stack), flags, NULL, &parent_tid, NULL, &child_tid) > 0);
    while (child_tid != 0) {
        int now = child_tid;
        if (now != 0)
            futex((uint32_t *)(uintptr_t)&child_tid, FUTEX_WAIT, (uint32_t)now, &(struct timespec){ 0, 100000000 }, NULL, 0);
    }
    CHECK(clone_ran == parent_tid && clone_ran != getpid());
    CHECK_ERRNO(syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0), EINVAL);
    CHECK_EQUAL(syscall(SYS_set_tid_address, NULL), syscall(SYS_gettid));
    CHECK_ERRNO(syscall(SYS_tgkill, getpid(), 999999, 0), ESRCH);
    CHECK_OK(syscall(SYS_tgkill, getpid(), getpid(), 0));

    check_section("robust list");
    void *head;
    size_t size;
    CHECK_OK(syscall(SYS_get_robust_list, 0, &head, &size));
    CHECK(head != NULL && size == 24);
    CHECK_ERRNO(syscall(SYS_set_robust_list, head, 10), EINVAL);
    CHECK_OK(syscall(SYS_set_robust_list, head, 24));
    return check_done();
}
