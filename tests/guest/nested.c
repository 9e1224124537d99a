/*
 * Faults inside faults: signal frames on stack pages that are not mapped yet, faults in handlers, bad
 * pointers in calls made by handlers, frames with nowhere to go.
 */
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/ucontext.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define MIB (1UL << 20)

static sigjmp_buf escape;
static volatile int depth, handled;
static char *fresh;

/* Each level makes the next fault, on memory and stack that nobody touched before. */
static void on_segv(int signal, siginfo_t *info, void *context)
{
    volatile char frame[20000];
    int level = ++depth;
    frame[0] = frame[19999] = (char)level;
    fresh[(size_t)level * 4096] = 1; /* a page fault of the kernel's kind */
    if (level < 50)
        *(volatile char *)(uintptr_t)(level * 8) = 1; /* and one that becomes a signal, inside its own handler */
    if (frame[0] != (char)level || frame[19999] != (char)level)
        handled = -1000000;
    handled++;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 3; /* over movb $imm8, (%reg) */
}

static void on_jump(int signal, siginfo_t *info, void *context)
{
    handled++;
    siglongjmp(escape, 1);
}

static void on_call(int signal)
{
    char text[16];
    /* uaccess faults while a frame is live */
    handled += syscall(SYS_read, 0, 8, 10) == -1 || syscall(SYS_read, 0, 8, 10) == 0;
    handled += syscall(SYS_uname, 16) == -1 && errno == EFAULT;
    handled += syscall(SYS_getcwd, text, sizeof(text)) > 0;
}

static volatile int ticks;
static void on_tick(int signal)
{
    char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    p[5000] = 1;
    munmap(p, 65536);
    ticks++;
}

/* Move the stack pointer to address and touch nothing but it, then fault. */
static void fault_on_stack(uintptr_t stack)
{
    __asm__ volatile("mov %%rsp, %%r12\n\tmov %0, %%rsp\n\tmovb $1, (%1)\n\tmov %%r12, %%rsp" ::"r"(stack), "r"(8UL)
                     : "r12", "memory");
}

int main(void)
{
    struct sigaction action = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_NODEFER };

    check_section("a handler that faults, fifty deep");
    fresh = mmap(NULL, 64 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sigaction(SIGSEGV, &action, NULL);
    __asm__ volatile("movb $1, (%0)" ::"r"(8UL) : "memory");
    CHECK(handled > 0);
    sigemptyset(&action.sa_mask);

    check_section("a signal frame on an untouched stack page");
    action.sa_sigaction = on_jump;
    sigaction(SIGSEGV, &action, NULL);
    handled = 0;
    for (volatile int i = 1; i <= 60; i++) {
        uintptr_t stack = (uintptr_t)fresh + 4 * MIB + (uintptr_t)i * 65536 + (uintptr_t)(i % 16) * 16;
        if (sigsetjmp(escape, 1) == 0)
            fault_on_stack(stack);
    }
    CHECK_EQUAL(handled, 60);

    check_section("a frame across the border of mapped and unmapped");
    stack_t alternate = { .ss_sp = fresh + 32 * MIB, .ss_size = MIB };
    CHECK_OK(sigaltstack(&alternate, NULL));
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, NULL);
    handled = 0;
    for (volatile int i = 0; i < 20; i++) {
        CHECK_OK(madvise(fresh + 32 * MIB, MIB, MADV_DONTNEED));
        if (sigsetjmp(escape, 1) == 0)
            fault_on_stack(16); /* a stack pointer that is no stack at all */
    }
    CHECK_EQUAL(handled, 20);

    check_section("calls with bad pointers in handlers");
    handled = 0;
    signal(SIGUSR1, on_call);
    for (int i = 0; i < 100; i++)
        raise(SIGUSR1);
    CHECK_EQUAL(handled, 300);

    check_section("timer signals over faulting code");
    signal(SIGALRM, on_tick);
    struct itimerval timer = { { 0, 500 }, { 0, 500 } };
    setitimer(ITIMER_REAL, &timer, NULL);
    int wrong = 0;
    for (int round = 0; ticks < 100 && round < 10000; round++) {
        char *p = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (size_t i = 0; i < MIB; i += 4096) {
            wrong += p[i] != 0;
            p[i] = 1;
        }
        munmap(p, MIB);
    }
    timer = (struct itimerval){ 0 };
    setitimer(ITIMER_REAL, &timer, NULL);
    CHECK_EQUAL(wrong, 0);
    CHECK(ticks >= 100);
    return check_done();
}
