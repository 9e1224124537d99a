/* seccomp(2): filters and what each action does, inheritance, threads, strict mode, bad programs. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RET(value) BPF_STMT(BPF_RET | BPF_K, value)
#define PROGRAM(...)                                                                               \
    (&(struct sock_fprog){ sizeof((struct sock_filter[]){ __VA_ARGS__ }) / sizeof(struct sock_filter), \
                           (struct sock_filter[]){ __VA_ARGS__ } })
/* This answer for one call, all others allowed. */
#define FOR(nr_, answer) \
    PROGRAM(LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr_, 0, 1), RET(answer), RET(SECCOMP_RET_ALLOW))

static long install(unsigned flags, struct sock_fprog *p)
{
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, p);
}

static int in_child(void (*fn)(void))
{
    int status;

    fflush(stdout);
    if (fork() == 0) {
        int before = check_failures;

        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        fn();
        fflush(stdout);
        _exit(check_failures != before);
    }
    CHECK_OK(wait(&status));
    return status & ~0x80; /* whether a core was written isn't our concern */
}

/* --- programs --- */

static void check_programs(void)
{
    struct sock_filter long_one[4097];
    uint32_t action = SECCOMP_RET_ERRNO, unknown = 0x12340000;

    CHECK_ERRNO(install(0, NULL), EFAULT);
    CHECK_ERRNO(install(0, &(struct sock_fprog){ 0, NULL }), EINVAL);
    CHECK_ERRNO(install(0, &(struct sock_fprog){ 1, NULL }), EINVAL);
    CHECK_ERRNO(install(0, &(struct sock_fprog){ 1, (void *)8 }), EFAULT);
    CHECK_ERRNO(install(0x8000, PROGRAM(RET(0))), EINVAL);
    for (int i = 0; i < 4097; i++)
        long_one[i] = (struct sock_filter)RET(SECCOMP_RET_ALLOW);
    CHECK_ERRNO(install(0, &(struct sock_fprog){ 4097, long_one }), EINVAL);
    CHECK_ERRNO(install(0, PROGRAM(LOAD(nr))), EINVAL);                                     /* no end */
    CHECK_ERRNO(install(0, PROGRAM(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), RET(0))), EINVAL); /* outside */
    CHECK_ERRNO(install(0, PROGRAM(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), RET(0))), EINVAL);
    CHECK_ERRNO(install(0, PROGRAM(BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0), RET(0))), EINVAL);
    CHECK_ERRNO(install(0, PROGRAM(BPF_STMT(BPF_LD | BPF_W | BPF_IND, 0), RET(0))), EINVAL);
    CHECK_ERRNO(install(0, PROGRAM(BPF_JUMP(BPF_JMP | BPF_JA, 5, 0, 0), RET(0))), EINVAL);
    CHECK_ERRNO(install(0, PROGRAM(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1), RET(0))), EINVAL);
    CHECK_ERRNO(install(0, PROGRAM(BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), RET(0))), EINVAL);
    CHECK_ERRNO(install(0, PROGRAM(BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32), RET(0))), EINVAL);
    CHECK_ERRNO(install(0, PROGRAM(BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 3), RET(0))), EINVAL);
    CHECK_ERRNO(install(0, PROGRAM(BPF_STMT(BPF_LD | BPF_MEM, 3), RET(0))), EINVAL); /* never written */
    CHECK_ERRNO(install(0, PROGRAM(BPF_STMT(BPF_ST, 16), RET(0))), EINVAL);
    CHECK_ERRNO(install(0, PROGRAM(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1), BPF_STMT(BPF_ST, 0),
                                   BPF_STMT(BPF_LD | BPF_MEM, 0), RET(0))), EINVAL); /* written on one way only */
    CHECK_ERRNO(syscall(SYS_seccomp, 99, 0, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, NULL), EINVAL);
    CHECK_OK(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action));
    CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &unknown), EOPNOTSUPP);
    CHECK_ERRNO(prctl(PR_SET_SECCOMP, 7, 0, 0, 0), EINVAL);
    CHECK_EQUAL(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 0);
}

/* Arithmetic: the answer is computed, and must be ERRNO with 42. */
static void check_arithmetic(void)
{
    CHECK_OK(install(0, PROGRAM(
        LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpid, 1, 0), RET(SECCOMP_RET_ALLOW),
        LOAD(args[0]),                          /* 1000 */
        BPF_STMT(BPF_ST, 7), BPF_STMT(BPF_LDX | BPF_IMM, 25),
        BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0), /* 40 */
        BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 3), /* 120 */
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 1), /* 60 */
        BPF_STMT(BPF_ALU | BPF_XOR | BPF_K, 1), /* 61 */
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_MEM, 7),          /* 1000 */
        BPF_STMT(BPF_ALU | BPF_SUB | BPF_X, 0), /* 939 */
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf2b), /* 811 */
        BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 1), /* 812 */
        BPF_STMT(BPF_ALU | BPF_NEG, 0), BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 854), /* 42 */
        BPF_STMT(BPF_LDX | BPF_W | BPF_LEN, 0), /* 64 */
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_X, 0, 1, 0), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 2, 1, 0),
        RET(SECCOMP_RET_ERRNO | 1), BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO), BPF_STMT(BPF_RET | BPF_A, 0))));
    errno = 0;
    CHECK_EQUAL(syscall(SYS_getpid, 1000), -1);
    CHECK_EQUAL(errno, 42);
    CHECK_EQUAL(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 2);
}

/* --- actions --- */

static void check_errno(void)
{
    pid_t pid = getpid();

    CHECK_OK(install(0, FOR(SYS_getuid, SECCOMP_RET_ERRNO | ENOTTY)));
    CHECK_ERRNO(syscall(SYS_getuid), ENOTTY);
    CHECK_EQUAL(syscall(SYS_getpid), pid);
    CHECK_OK(install(0, FOR(SYS_getuid, SECCOMP_RET_ERRNO | 0))); /* the newer one's number */
    CHECK_EQUAL(syscall(SYS_getuid), 0);
    CHECK_OK(install(0, FOR(SYS_getgid, SECCOMP_RET_ERRNO | 60000)));
    CHECK_EQUAL(syscall(SYS_getgid), -1);
    CHECK_EQUAL(errno, 4095);
    CHECK_OK(install(0, FOR(SYS_getppid, SECCOMP_RET_LOG)));
    CHECK(syscall(SYS_getppid) >= 0);
    CHECK_OK(install(0, FOR(SYS_getpgrp, SECCOMP_RET_TRACE)));
    CHECK_ERRNO(syscall(SYS_getpgrp), ENOSYS);
    if (fork() == 0) /* children have them, and so does what they execute */
        _exit(syscall(SYS_getpgrp) == -1 && errno == ENOSYS ? 3 : 4);
    int status;
    CHECK_OK(wait(&status));
    CHECK_EQUAL(status, 3 << 8);
    if (fork() == 0)
        execl("/proc/self/exe", "seccomp", "executed", NULL);
    CHECK_OK(wait(&status));
    CHECK_EQUAL(status, 3 << 8);
}

static volatile int trapped, reason, number, arch, code;

static void on_trap(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    trapped++;
    code = info->si_code;
    reason = info->si_errno;
    number = info->si_syscall;
    arch = (int)info->si_arch;
    if (uc->uc_mcontext.gregs[REG_RAX] == number)
        uc->uc_mcontext.gregs[REG_RAX] = 1234;
}

static void check_trap(void)
{
    struct sigaction sa = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };

    sigaction(SIGSYS, &sa, NULL);
    CHECK_OK(install(0, FOR(SYS_getuid, SECCOMP_RET_TRAP | 77)));
    CHECK_EQUAL(syscall(SYS_getuid), 1234);
    CHECK_EQUAL(trapped, 1);
    CHECK_EQUAL(code, 1 /* SYS_SECCOMP */);
    CHECK_EQUAL(reason, 77);
    CHECK_EQUAL(number, SYS_getuid);
    CHECK_EQUAL(arch, (int)AUDIT_ARCH_X86_64);
}

static void trap_without_handler(void)
{
    install(0, FOR(SYS_getuid, SECCOMP_RET_TRAP));
    syscall(SYS_getuid);
}

static void trap_blocked(void)
{
    sigset_t set;

    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    trap_without_handler();
}

static void kill_process(void)
{
    signal(SIGSYS, SIG_IGN);
    install(0, FOR(SYS_getuid, SECCOMP_RET_KILL_PROCESS));
    syscall(SYS_getuid);
}

static void kill_thread_alone(void)
{
    install(0, FOR(SYS_getuid, SECCOMP_RET_KILL_THREAD));
    syscall(SYS_getuid);
}

static void unknown_action(void)
{
    install(0, FOR(SYS_getuid, 0x00070000));
    syscall(SYS_getuid);
}

static void *call_getuid(void *arg)
{
    syscall(SYS_getuid);
    *(int *)arg = 1;
    return NULL;
}

static void *wait_forever(void *arg)
{
    pause();
    return NULL;
}

static void kill_thread(void)
{
    int came_back = 0;
    pthread_t t;

    install(0, FOR(SYS_getuid, SECCOMP_RET_KILL_THREAD));
    pthread_create(&t, NULL, call_getuid, &came_back);
    pthread_join(t, NULL);
    _exit(came_back ? 1 : 9);
}

static void strict(void)
{
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0);
    syscall(SYS_exit, write(1, "", 0) == 0 ? 5 : 6);
}

static void strict_violated(void)
{
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0);
    syscall(SYS_getpid);
}

/* --- threads --- */

static int pipes[2];

static void *own_filter(void *arg)
{
    char c;

    install(0, FOR(SYS_getgid, SECCOMP_RET_ERRNO | EXFULL));
    if (write(pipes[1], "x", 1) != 1)
        return NULL;
    return read(pipes[0], &c, 0) < 0 ? arg : wait_forever(arg);
}

static void *getuid_after(void *arg)
{
    char c;

    if (read(pipes[0], &c, 1) != 1)
        return NULL;
    return (void *)(long)(syscall(SYS_getuid) == -1 && errno == EXFULL);
}

static void check_threads(void)
{
    pthread_t t, divergent;
    void *result;
    char c;

    CHECK_OK(pipe(pipes));
    pthread_create(&t, NULL, getuid_after, NULL);
    CHECK_OK(install(SECCOMP_FILTER_FLAG_TSYNC, FOR(SYS_getuid, SECCOMP_RET_ERRNO | EXFULL)));
    CHECK_EQUAL(write(pipes[1], "x", 1), 1);
    pthread_join(t, &result);
    CHECK(result != NULL);
    pthread_create(&divergent, NULL, own_filter, NULL);
    CHECK_EQUAL(read(pipes[0], &c, 1), 1);
    CHECK(install(SECCOMP_FILTER_FLAG_TSYNC, FOR(SYS_getuid, SECCOMP_RET_ALLOW)) > 0); /* its tid */
    CHECK_ERRNO(install(SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH, FOR(SYS_getuid, SECCOMP_RET_ALLOW)),
                ESRCH);
}

static void check_privilege(void)
{
    if (setgid(65534) || setuid(65534))
        _exit(2);
    CHECK_ERRNO(install(0, PROGRAM(RET(SECCOMP_RET_ALLOW))), EACCES);
    CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    CHECK_OK(install(0, PROGRAM(RET(SECCOMP_RET_ALLOW))));
}

int main(int argc, char **argv)
{
    int status;

    if (argc > 1)
        return syscall(SYS_getpgrp) == -1 && errno == ENOSYS ? 3 : 4;
    check_section("programs");
    CHECK_EQUAL(in_child(check_programs), 0);
    CHECK_EQUAL(in_child(check_arithmetic), 0);
    check_section("actions");
    CHECK_EQUAL(in_child(check_errno), 0);
    CHECK_EQUAL(in_child(check_trap), 0);
    CHECK_EQUAL(in_child(trap_without_handler), SIGSYS);
    CHECK_EQUAL(in_child(trap_blocked), SIGSYS);
    CHECK_EQUAL(in_child(kill_process), SIGSYS);
    CHECK_EQUAL(in_child(kill_thread_alone), SIGSYS);
    CHECK_EQUAL(in_child(unknown_action), SIGSYS);
    CHECK_EQUAL(in_child(kill_thread), 9 << 8);
    check_section("strict");
    CHECK_EQUAL(in_child(strict), 5 << 8);
    CHECK_EQUAL(in_child(strict_violated), SIGKILL);
    check_section("threads");
    CHECK_EQUAL(in_child(check_threads), 0);
    fflush(stdout);
    if (fork() == 0) {
        check_privilege();
        fflush(stdout);
        _exit(check_failures != 0);
    }
    CHECK_OK(wait(&status));
    CHECK_EQUAL(status, 0);
    return check_done();
}
