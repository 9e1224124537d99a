/*
 * ptrace(2): a tracer looks at what its tracees do, natively and in the VM alike. Every function traces a child of its own
 * and checks each stop in turn.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <elf.h>
#include <linux/ptrace.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static pid_t child;
static int status;

#define EVENT(event) (SIGTRAP | (event) << 8)

static void nap(void)
{
    struct timespec ts = { 0, 5000000 };

    nanosleep(&ts, NULL);
}

static long request(long what, long addr, long data)
{
    return syscall(SYS_ptrace, what, child, addr, data);
}

static bool wait_stop(int wanted)
{
    pid_t pid = waitpid(child, &status, __WALL);

    if (CHECK(pid == child && WIFSTOPPED(status) && status >> 8 == wanted))
        return true;
    printf("    pid %s, status %#x, not a stop with %#x\n", pid == child ? "right" : "wrong", status, wanted);
    return false;
}

static void wait_end(int wanted)
{
    pid_t pid = waitpid(child, &status, __WALL);

    if (!CHECK(pid == child && status == wanted))
        printf("    pid %s, status %#x, not %#x\n", pid == child ? "right" : "wrong", status, wanted);
}

static void start(void (*body)(void))
{
    fflush(stdout);
    child = fork();
    if (child == 0) {
        syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        body();
        _exit(7);
    }
    wait_stop(SIGSTOP);
}

static void start_untraced(void (*body)(void))
{
    fflush(stdout);
    child = fork();
    if (child == 0) {
        body();
        _exit(7);
    }
}

/* --- signals --- */

static void body_signals(void)
{
    signal(SIGUSR1, SIG_IGN);
    raise(SIGUSR1); /* ignored, but its tracer sees it */
    signal(SIGUSR2, SIG_DFL);
    raise(SIGUSR2); /* the tracer takes it away */
    raise(SIGUSR2); /* the tracer makes another of it */
}

static void test_signals(void)
{
    siginfo_t info;
    uint64_t mask;

    check_section("signals");
    start(body_signals);
    CHECK_EQUAL(request(PTRACE_GETSIGINFO, 0, (long)&info), 0);
    CHECK_EQUAL(info.si_signo, SIGSTOP);
    CHECK_EQUAL(info.si_code, SI_TKILL);
    CHECK_EQUAL(info.si_pid, child);
    CHECK_EQUAL(request(PTRACE_CONT, 0, 0), 0);
    wait_stop(SIGUSR1);
    CHECK_EQUAL(request(PTRACE_GETSIGMASK, sizeof(mask), (long)&mask), 0);
    CHECK_EQUAL(request(PTRACE_GETSIGMASK, 4, (long)&mask), -1);
    CHECK_EQUAL(request(PTRACE_CONT, 0, SIGUSR1), 0);
    wait_stop(SIGUSR2);
    CHECK_EQUAL(request(PTRACE_CONT, 0, 0), 0);
    wait_stop(SIGUSR2);
    CHECK_EQUAL(waitpid(child, &status, WNOHANG | __WALL), 0);
    CHECK_EQUAL(request(PTRACE_CONT, 0, 999), -1);
    CHECK_EQUAL(request(PTRACE_CONT, 0, SIGTERM), 0);
    wait_end(SIGTERM);
    CHECK_EQUAL(request(PTRACE_CONT, 0, 0), -1);
    CHECK_EQUAL(errno, ESRCH);
}

/* --- system calls --- */

static void body_calls(void)
{
    syscall(SYS_getppid);
    if (syscall(SYS_getpgid, 0) != 1234) /* the tracer says so */
        _exit(1);
    if (syscall(SYS_getsid, 0) != 99) /* the tracer leaves it out */
        _exit(2);
    if (syscall(SYS_dup, 0) != getuid()) /* the tracer makes it getuid */
        _exit(3);
}

static long word(size_t offset)
{
    long value = -1;

    CHECK_EQUAL(request(PTRACE_PEEKUSER, (long)offset, (long)&value), 0);
    return value;
}

#define REG(name) offsetof(struct user_regs_struct, name)

static bool next_call(long nr, int op)
{
    struct ptrace_syscall_info info;

    memset(&info, 0xee, sizeof(info));
    CHECK_EQUAL(request(PTRACE_SYSCALL, 0, 0), 0);
    if (!wait_stop(SIGTRAP | 0x80))
        return false;
    long size = request(PTRACE_GET_SYSCALL_INFO, sizeof(info), (long)&info);
    CHECK_EQUAL(info.op, op);
    CHECK_EQUAL(info.arch, 0xc000003e);
    CHECK_EQUAL((long)info.instruction_pointer, word(REG(rip)));
    CHECK_EQUAL((long)info.stack_pointer, word(REG(rsp)));
    CHECK_EQUAL(word(REG(orig_rax)), nr);
    if (op == PTRACE_SYSCALL_INFO_ENTRY) {
        CHECK_EQUAL(size, offsetof(struct ptrace_syscall_info, entry) + sizeof(info.entry));
        CHECK_EQUAL(info.entry.nr, nr);
        CHECK_EQUAL(word(REG(rax)), -ENOSYS);
    } else {
        CHECK_EQUAL(size, offsetof(struct ptrace_syscall_info, exit.is_error) + 1);
        CHECK_EQUAL(info.exit.rval, word(REG(rax)));
    }
    return true;
}

static void test_calls(void)
{
    unsigned long message = 0;
    siginfo_t info;

    check_section("system calls");
    start(body_calls);
    CHECK_EQUAL(request(PTRACE_SETOPTIONS, 0, PTRACE_O_TRACESYSGOOD), 0);
    CHECK_EQUAL(request(PTRACE_SETOPTIONS, 0, 1 << 30), -1);
    CHECK_EQUAL(errno, EINVAL);
    if (!next_call(SYS_getppid, PTRACE_SYSCALL_INFO_ENTRY))
        return;
    CHECK_EQUAL(request(PTRACE_GETSIGINFO, 0, (long)&info), 0);
    CHECK_EQUAL(info.si_code, SIGTRAP | 0x80);
    CHECK_EQUAL(request(PTRACE_GETEVENTMSG, 0, (long)&message), 0);
    CHECK_EQUAL(message, PTRACE_EVENTMSG_SYSCALL_ENTRY);
    next_call(SYS_getppid, PTRACE_SYSCALL_INFO_EXIT);
    CHECK_EQUAL(word(REG(rax)), getpid());
    next_call(SYS_getpgid, PTRACE_SYSCALL_INFO_ENTRY);
    next_call(SYS_getpgid, PTRACE_SYSCALL_INFO_EXIT);
    CHECK_EQUAL(request(PTRACE_POKEUSER, REG(rax), 1234), 0);
    next_call(SYS_getsid, PTRACE_SYSCALL_INFO_ENTRY);
    CHECK_EQUAL(request(PTRACE_POKEUSER, REG(orig_rax), -1), 0);
    CHECK_EQUAL(request(PTRACE_POKEUSER, REG(rax), 99), 0);
    next_call(-1, PTRACE_SYSCALL_INFO_EXIT);
    CHECK_EQUAL(word(REG(rax)), 99);
    next_call(SYS_dup, PTRACE_SYSCALL_INFO_ENTRY);
    CHECK_EQUAL(request(PTRACE_POKEUSER, REG(orig_rax), SYS_getuid), 0);
    next_call(SYS_getuid, PTRACE_SYSCALL_INFO_EXIT);
    next_call(SYS_getuid, PTRACE_SYSCALL_INFO_ENTRY);
    next_call(SYS_getuid, PTRACE_SYSCALL_INFO_EXIT);
    next_call(SYS_exit_group, PTRACE_SYSCALL_INFO_ENTRY);
    CHECK_EQUAL(request(PTRACE_SYSCALL, 0, 0), 0);
    wait_end(7 << 8);
}

/* A blocking call is interrupted by a signal that nobody handles, and goes on. */
static int block_pipe[2];

static void body_blocking(void)
{
    char c;

    _exit(read(block_pipe[0], &c, 1) == 1 ? c : 1);
}

static void test_blocking(void)
{
    check_section("a blocking call");
    CHECK_OK(pipe(block_pipe));
    start(body_blocking);
    CHECK_EQUAL(request(PTRACE_SETOPTIONS, 0, PTRACE_O_TRACESYSGOOD), 0);
    next_call(SYS_read, PTRACE_SYSCALL_INFO_ENTRY);
    CHECK_EQUAL(request(PTRACE_SYSCALL, 0, 0), 0);
    nap();
    CHECK_EQUAL(request(PTRACE_CONT, 0, 0), -1); /* it isn't stopped */
    CHECK_EQUAL(errno, ESRCH);
    kill(child, SIGCHLD);
    wait_stop(SIGTRAP | 0x80);
    CHECK_EQUAL(word(REG(rax)), -512); /* ERESTARTSYS */
    CHECK_EQUAL(request(PTRACE_SYSCALL, 0, 0), 0);
    wait_stop(SIGCHLD);
    next_call(SYS_read, PTRACE_SYSCALL_INFO_ENTRY); /* again */
    CHECK_EQUAL(write(block_pipe[1], "\011", 1), 1);
    next_call(SYS_read, PTRACE_SYSCALL_INFO_EXIT);
    CHECK_EQUAL(word(REG(rax)), 1);
    CHECK_EQUAL(request(PTRACE_CONT, 0, 0), 0);
    wait_end(9 << 8);
    close(block_pipe[0]);
    close(block_pipe[1]);
}

/* --- registers and memory --- */

static volatile long shared_word = 0x1122334455667788;
static const long constant = 42;
static double vector_value = 1.5;

static void body_registers(void)
{
    register double x __asm__("xmm7") = vector_value;

    __asm__ volatile("mov $0x1111, %%rbx\n\tmov $0x2222, %%r12\n\tint3\n\tmov %%rbx, %1" : "+x"(x), "=m"(shared_word) : : "rbx", "r12");
    _exit(x == 2.5 && shared_word == 0x3333 && *(const volatile long *)&constant == 43 ? 7 : 1);
}

static void test_registers(void)
{
    struct user_regs_struct regs, set;
    struct user_fpregs_struct fp;
    static uint8_t xstate[16384];
    struct iovec iov = { &set, sizeof(set) };
    siginfo_t info;
    long value = 0;
    char path[40];

    check_section("registers and memory");
    start(body_registers);
    CHECK_EQUAL(request(PTRACE_PEEKDATA, (long)&shared_word, (long)&value), 0);
    CHECK_EQUAL(value, 0x1122334455667788);
    CHECK_EQUAL(request(PTRACE_POKEDATA, (long)&constant, 43), 0); /* read-only for the program itself */
    CHECK_EQUAL(request(PTRACE_PEEKDATA, 8, (long)&value), -1);
    CHECK_EQUAL(errno, EIO);
    CHECK_EQUAL(request(PTRACE_CONT, 0, 0), 0);
    wait_stop(SIGTRAP);
    CHECK_EQUAL(request(PTRACE_GETSIGINFO, 0, (long)&info), 0);
    CHECK_EQUAL(info.si_code, SI_KERNEL);
    CHECK_EQUAL(request(PTRACE_GETREGS, 0, (long)&regs), 0);
    CHECK_EQUAL(regs.rbx, 0x1111);
    CHECK_EQUAL(regs.r12, 0x2222);
    CHECK_EQUAL(regs.cs, 0x33);
    CHECK_EQUAL(regs.ss, 0x2b);
    CHECK_EQUAL(regs.orig_rax, -1);
    CHECK(regs.fs_base != 0);
    CHECK_EQUAL(request(PTRACE_PEEKTEXT, (long)regs.rip - 1, (long)&value), 0);
    CHECK_EQUAL(value & 0xff, 0xcc);
    CHECK_EQUAL(request(PTRACE_GETREGSET, NT_PRSTATUS, (long)&iov), 0);
    CHECK_EQUAL(iov.iov_len, sizeof(set));
    CHECK(!memcmp(&regs, &set, sizeof(set)));
    CHECK_EQUAL(request(PTRACE_GETREGSET, 0x7777, (long)&iov), -1);
    CHECK_EQUAL(errno, EINVAL);
    regs.rbx = 0x3333;
    CHECK_EQUAL(request(PTRACE_SETREGS, 0, (long)&regs), 0);
    set.rbx = 0x3333; /* what comes before the refused one is set */
    set.cs = 0x10;
    CHECK_EQUAL(request(PTRACE_SETREGSET, NT_PRSTATUS, (long)&iov), -1);
    CHECK_EQUAL(request(PTRACE_PEEKUSER, 3, (long)&value), -1);
    CHECK_EQUAL(request(PTRACE_PEEKUSER, 1000, (long)&value), -1);
    CHECK_EQUAL(errno, EIO);
    CHECK_EQUAL(request(PTRACE_PEEKUSER, offsetof(struct user, u_debugreg[7]), (long)&value), 0);

    CHECK_EQUAL(request(PTRACE_GETFPREGS, 0, (long)&fp), 0);
    double x;
    memcpy(&x, &fp.xmm_space[7 * 4], sizeof(x));
    CHECK(x == 1.5);
    x = 2.0;
    memcpy(&fp.xmm_space[7 * 4], &x, sizeof(x));
    CHECK_EQUAL(request(PTRACE_SETFPREGS, 0, (long)&fp), 0);
    iov = (struct iovec){ xstate, sizeof(xstate) };
    CHECK_EQUAL(request(PTRACE_GETREGSET, NT_X86_XSTATE, (long)&iov), 0);
    CHECK(iov.iov_len >= 576 && iov.iov_len < sizeof(xstate));
    memcpy(&x, xstate + 160 + 7 * 16, sizeof(x));
    CHECK(x == 2.0);
    CHECK(xstate[464] & 3);
    x = 2.5;
    memcpy(xstate + 160 + 7 * 16, &x, sizeof(x));
    CHECK_EQUAL(request(PTRACE_SETREGSET, NT_X86_XSTATE, (long)&iov), 0);
    xstate[24] = xstate[25] = xstate[26] = 0xff; /* MXCSR that the CPU doesn't take */
    CHECK_EQUAL(request(PTRACE_SETREGSET, NT_X86_XSTATE, (long)&iov), -1);
    CHECK_EQUAL(errno, EINVAL);

    snprintf(path, sizeof(path), "/proc/%d/mem", child);
    int mem = open(path, O_RDWR);
    CHECK_OK(mem);
    CHECK_EQUAL(pread(mem, &value, sizeof(value), (long)&constant), sizeof(value));
    CHECK_EQUAL(value, 43);
    CHECK_EQUAL(pread(mem, &value, sizeof(value), 8), -1);
    CHECK_EQUAL(errno, EIO);
    close(mem);
    CHECK_EQUAL(request(PTRACE_CONT, 0, 0), 0);
    wait_end(7 << 8);
}

/* --- single steps --- */

static void body_steps(void)
{
    for (;;)
        __asm__ volatile("nop\n\tnop" : : : "memory");
}

static void body_step_call(void)
{
    syscall(SYS_getppid);
    _exit(3);
}

static void test_steps(void)
{
    siginfo_t info;
    long flags, before, after;
    int stops = 0;

    check_section("single steps");
    start(body_steps);
    for (int i = 0; i < 200; i++) {
        before = word(REG(rip));
        CHECK_EQUAL(request(PTRACE_SINGLESTEP, 0, 0), 0);
        if (!wait_stop(SIGTRAP))
            return;
        after = word(REG(rip));
        if (after == before + 1)
            stops++;
    }
    CHECK(stops > 20); /* the nops */
    CHECK_EQUAL(request(PTRACE_GETSIGINFO, 0, (long)&info), 0);
    CHECK_EQUAL(info.si_code, TRAP_TRACE);
    flags = word(offsetof(struct user_regs_struct, eflags));
    CHECK_EQUAL(flags & 0x100, 0);
    kill(child, SIGKILL);
    wait_end(SIGKILL);
    /* Over a system call: one step as well. */
    start(body_step_call);
    CHECK_EQUAL(request(PTRACE_SYSCALL, 0, 0), 0);
    wait_stop(SIGTRAP);
    before = word(REG(rip));
    CHECK_EQUAL(request(PTRACE_SINGLESTEP, 0, 0), 0);
    wait_stop(SIGTRAP);
    CHECK_EQUAL(word(REG(rip)), before);
    CHECK_EQUAL(word(REG(rax)), getpid());
    CHECK_EQUAL(request(PTRACE_CONT, 0, 0), 0);
    wait_end(3 << 8);
}

/* --- calls that the tracer makes instead (PTRACE_SYSEMU) --- */

#ifndef PTRACE_SYSEMU
#define PTRACE_SYSEMU 31
#define PTRACE_SYSEMU_SINGLESTEP 32
#endif
#define PTRACE_SINGLEBLOCK_ 33

static void body_emulated(void)
{
    long a = syscall(SYS_getppid), b = syscall(0x8765, 1, 2, 3), c = syscall(SYS_getpgid, 0);

    _exit(a == 4711 && b == 6 && c == getpgrp() ? 0 : 1);
}

static void test_emulated(void)
{
    check_section("emulated calls");
    start(body_emulated);
    CHECK_EQUAL(request(PTRACE_SETOPTIONS, 0, PTRACE_O_TRACESYSGOOD), 0);
    CHECK_EQUAL(request(PTRACE_SYSEMU, 0, 99), -1); /* no such signal */
    CHECK_EQUAL(request(PTRACE_SYSEMU, 0, 0), 0);
    wait_stop(SIGTRAP | 0x80);
    CHECK_EQUAL(word(REG(orig_rax)), SYS_getppid);
    CHECK_EQUAL(word(REG(rax)), -ENOSYS);
    CHECK_EQUAL(request(PTRACE_POKEUSER, REG(rax), 4711), 0);
    CHECK_EQUAL(request(PTRACE_SYSEMU, 0, 0), 0); /* no stop at the end of a call that wasn't made */
    wait_stop(SIGTRAP | 0x80);
    CHECK_EQUAL(word(REG(orig_rax)), 0x8765);
    CHECK_EQUAL(request(PTRACE_POKEUSER, REG(rax), word(REG(rdi)) + word(REG(rsi)) + word(REG(rdx))), 0);
    CHECK_EQUAL(request(PTRACE_SYSCALL, 0, 0), 0); /* the call at hand stays left out, but its end is told */
    wait_stop(SIGTRAP | 0x80);
    CHECK_EQUAL(word(REG(rax)), 6);
    CHECK_EQUAL(request(PTRACE_SYSEMU_SINGLESTEP, 0, 0), 0);
    wait_stop(SIGTRAP);
    CHECK_EQUAL(request(PTRACE_CONT, 0, 0), 0);
    wait_end(0);
}

/* --- block steps (PTRACE_SINGLEBLOCK) --- */

extern const char block_loop[], block_end[], block_callee[], block_back[];

static void body_blocks(void)
{
    static char buffer[8];

    __asm__ volatile("mov $3, %%ecx\n"
                     "int3\n"
                     "block_loop: nop\n nop\n"
                     "dec %%ecx\n"
                     "jnz block_loop\n"
                     "nop\n"
                     "jmp 1f\n"
                     "nop\n"
                     "1: call block_callee\n"
                     "block_back: jc block_back\n"
                     "block_end: jmp block_end\n"
                     "block_callee: mov $4, %%ecx\n rep; stosb\n clc\n ret\n"
                     : : "D"(buffer) : "rcx", "rax", "memory");
}

/* A kernel in a VM may know nothing of branches (IA32_DEBUGCTL.BTF) and stop everywhere; the shim's does. */
static bool in_the_vm(void)
{
    struct utsname name;

    uname(&name);
    return strstr(name.version, "vmm");
}

static void test_blocks(void)
{
    const char *wanted[] = { block_loop, block_loop, NULL, block_callee, block_back, block_end, block_end };
    bool everywhere = false;
    long rip;

    check_section("block steps");
    start(body_blocks);
    CHECK_EQUAL(request(PTRACE_CONT, 0, 0), 0);
    wait_stop(SIGTRAP);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        CHECK_EQUAL(request(PTRACE_SINGLEBLOCK_, 0, 0), 0);
        if (!wait_stop(SIGTRAP))
            break;
        rip = word(REG(rip));
        if (i == 0 && rip == (long)block_loop + 1 && !in_the_vm())
            everywhere = true;
        if (wanted[i])
            CHECK(everywhere || rip == (long)wanted[i]);
    }
    kill(child, SIGKILL);
    wait_end(SIGKILL);
}

/* --- fork, exec, exit --- */

static void body_family(void)
{
    pid_t inner = fork();

    if (inner == 0)
        _exit(5);
    waitpid(inner, &status, 0);
    inner = vfork();
    if (inner == 0)
        _exit(6);
    waitpid(inner, &status, 0);
    execl("/bin/true", "true", NULL);
}

static pid_t message_pid(void)
{
    unsigned long message = 0;

    CHECK_EQUAL(request(PTRACE_GETEVENTMSG, 0, (long)&message), 0);
    return (pid_t)message;
}

/* The child of the tracee, attached by itself. */
static void follow(pid_t inner, int code)
{
    pid_t outer = child;

    child = inner;
    wait_stop(SIGSTOP);
    CHECK_EQUAL(request(PTRACE_CONT, 0, 0), 0);
    wait_stop(EVENT(PTRACE_EVENT_EXIT));
    CHECK_EQUAL(message_pid(), code << 8);
    CHECK_EQUAL(request(PTRACE_CONT, 0, 0), 0);
    wait_end(code << 8);
    child = outer;
}

static void test_family(void)
{
    siginfo_t info;

    check_section("fork, exec, exit");
    start(body_family);
    CHECK_EQUAL(request(PTRACE_SETOPTIONS, 0, PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE |
                        PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT | PTRACE_O_TRACECLONE), 0);
    CHECK_EQUAL(request(PTRACE_CONT, 0, 0), 0);
    wait_stop(EVENT(PTRACE_EVENT_FORK));
    CHECK_EQUAL(request(PTRACE_GETSIGINFO, 0, (long)&info), 0);
    CHECK_EQUAL(info.si_code, EVENT(PTRACE_EVENT_FORK));
    pid_t inner = message_pid();
    CHECK(inner > 0 && inner != child);
    CHECK_EQUAL(request(PTRACE_CONT, 0, 0), 0);
    follow(inner, 5);
    wait_stop(SIGCHLD);
    CHECK_EQUAL(request(PTRACE_CONT, 0, SIGCHLD), 0);
    wait_stop(EVENT(PTRACE_EVENT_VFORK));
    inner = message_pid();
    CHECK_EQUAL(request(PTRACE_CONT, 0, 0), 0);
    follow(inner, 6);
    wait_stop(EVENT(PTRACE_EVENT_VFORK_DONE));
    CHECK_EQUAL(message_pid(), inner);
    CHECK_EQUAL(request(PTRACE_CONT, 0, 0), 0);
    wait_stop(SIGCHLD);
    CHECK_EQUAL(request(PTRACE_CONT, 0, SIGCHLD), 0);
    wait_stop(EVENT(PTRACE_EVENT_EXEC));
    CHECK_EQUAL(message_pid(), child);
    CHECK_EQUAL(request(PTRACE_CONT, 0, 0), 0);
    wait_stop(EVENT(PTRACE_EVENT_EXIT));
    CHECK_EQUAL(message_pid(), 0);
    CHECK_EQUAL(request(PTRACE_CONT, 0, 0), 0);
    wait_end(0);
    /* Without the option an exec is a plain SIGTRAP. */
    start(body_family);
    for (;;) {
        CHECK_EQUAL(request(PTRACE_CONT, 0, 0), 0);
        if (waitpid(child, &status, __WALL) != child || !WIFSTOPPED(status) || WSTOPSIG(status) != SIGCHLD)
            break;
    }
    CHECK_EQUAL(status, SIGTRAP << 8 | 0x7f);
    CHECK_EQUAL(request(PTRACE_CONT, 0, 0), 0);
    wait_end(0);
}

/* --- threads --- */

static void *thread_body(void *arg)
{
    return arg;
}

static void body_threads(void)
{
    pthread_t thread;

    for (int i = 0; i < 3; i++) {
        pthread_create(&thread, NULL, thread_body, NULL);
        pthread_join(thread, NULL);
    }
}

static void test_threads(void)
{
    int clones = 0, starts = 0, ends = 0;
    pid_t main_thread;

    check_section("threads");
    start(body_threads);
    main_thread = child;
    CHECK_EQUAL(request(PTRACE_SETOPTIONS, 0, PTRACE_O_TRACECLONE), 0);
    CHECK_EQUAL(request(PTRACE_CONT, 0, 0), 0);
    for (;;) {
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0 || (pid == main_thread && !WIFSTOPPED(status)))
            break;
        if (WIFEXITED(status)) {
            ends++;
            continue;
        }
        if (status >> 8 == EVENT(PTRACE_EVENT_CLONE))
            clones++;
        else if (status >> 8 == SIGSTOP && pid != main_thread)
            starts++;
        child = pid;
        CHECK_EQUAL(request(PTRACE_CONT, 0, 0), 0);
    }
    CHECK_EQUAL(status, 7 << 8);
    CHECK_EQUAL(clones, 3);
    CHECK_EQUAL(starts, 3);
    CHECK_EQUAL(ends, 3);
    CHECK_ERRNO(waitpid(-1, &status, __WALL), ECHILD);
}

/* --- attaching --- */

static void body_spin(void)
{
    for (volatile int i = 0;; i++)
        ;
}

static void body_sleep(void)
{
    for (;;)
        pause();
}

static int tracer_of(pid_t pid)
{
    char path[40], line[100];
    int tracer = -1;

    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "TracerPid: %d", &tracer) == 1)
            break;
    if (file)
        fclose(file);
    return tracer;
}

static void test_attach(void)
{
    void (*bodies[])(void) = { body_spin, body_sleep };

    check_section("attach");
    for (int i = 0; i < 2; i++) {
        start_untraced(bodies[i]);
        nap();
        CHECK_EQUAL(tracer_of(child), 0);
        CHECK_EQUAL(request(PTRACE_ATTACH, 0, 0), 0);
        wait_stop(SIGSTOP);
        CHECK_EQUAL(tracer_of(child), getpid());
        CHECK_EQUAL(request(PTRACE_ATTACH, 0, 0), -1);
        CHECK_EQUAL(errno, EPERM);
        CHECK(word(REG(rip)) != 0);
        CHECK_EQUAL(request(PTRACE_DETACH, 0, 0), 0);
        CHECK_EQUAL(tracer_of(child), 0);
        CHECK_EQUAL(request(PTRACE_CONT, 0, 0), -1);
        CHECK_EQUAL(errno, ESRCH);
        nap();
        CHECK_EQUAL(waitpid(child, &status, WNOHANG | WUNTRACED), 0);
        CHECK_EQUAL(request(PTRACE_ATTACH, 0, 0), 0);
        wait_stop(SIGSTOP);
        CHECK_EQUAL(request(PTRACE_DETACH, 0, SIGTERM), 0);
        wait_end(SIGTERM);
    }
    child = getpid();
    CHECK_EQUAL(request(PTRACE_ATTACH, 0, 0), -1);
    CHECK_EQUAL(errno, EPERM);
    child = 0x3fffffff;
    CHECK_EQUAL(request(PTRACE_ATTACH, 0, 0), -1);
    CHECK_EQUAL(errno, ESRCH);
}

static void test_seize(void)
{
    siginfo_t info;

    check_section("seize");
    start_untraced(body_sleep);
    nap();
    CHECK_EQUAL(request(PTRACE_SEIZE, 0, 1l << 30), -1);
    CHECK_EQUAL(errno, EIO);
    CHECK_EQUAL(request(PTRACE_SEIZE, 0, PTRACE_O_TRACESYSGOOD), 0);
    nap();
    CHECK_EQUAL(waitpid(child, &status, WNOHANG | __WALL), 0);
    CHECK_EQUAL(request(PTRACE_INTERRUPT, 0, 0), 0);
    wait_stop(EVENT(PTRACE_EVENT_STOP));
    CHECK_EQUAL(request(PTRACE_CONT, 0, 0), 0);
    /* Job control: the stop, listening, and what ends it. */
    kill(child, SIGSTOP);
    wait_stop(SIGSTOP);
    CHECK_EQUAL(request(PTRACE_LISTEN, 0, 0), -1);
    CHECK_EQUAL(errno, EIO);
    CHECK_EQUAL(request(PTRACE_CONT, 0, SIGSTOP), 0);
    wait_stop(SIGSTOP | PTRACE_EVENT_STOP << 8);
    CHECK_EQUAL(request(PTRACE_GETSIGINFO, 0, (long)&info), 0);
    CHECK_EQUAL(info.si_signo, SIGSTOP);
    CHECK_EQUAL(request(PTRACE_LISTEN, 0, 0), 0);
    nap();
    CHECK_EQUAL(waitpid(child, &status, WNOHANG | __WALL), 0);
    CHECK_EQUAL(request(PTRACE_CONT, 0, 0), -1);
    kill(child, SIGCONT);
    wait_stop(EVENT(PTRACE_EVENT_STOP));
    CHECK_EQUAL(request(PTRACE_CONT, 0, 0), 0);
    wait_stop(SIGCONT);
    CHECK_EQUAL(request(PTRACE_CONT, 0, 0), 0);
    kill(child, SIGKILL);
    wait_end(SIGKILL);
}

/* The old way: a group stop tells its signal and has no siginfo. */
static void test_group_stop(void)
{
    siginfo_t info;

    check_section("group stop");
    start(body_sleep);
    CHECK_EQUAL(request(PTRACE_CONT, 0, SIGSTOP), 0);
    wait_stop(SIGSTOP);
    CHECK_EQUAL(request(PTRACE_GETSIGINFO, 0, (long)&info), -1);
    CHECK_EQUAL(errno, EINVAL);
    CHECK_EQUAL(request(PTRACE_CONT, 0, 0), 0);
    nap();
    CHECK_EQUAL(waitpid(child, &status, WNOHANG | __WALL), 0);
    kill(child, SIGKILL);
    wait_end(SIGKILL);
}

/* A tracer that isn't the parent, and that goes away. */
static void test_other_tracer(void)
{
    int go[2];
    char c;

    check_section("another tracer");
    CHECK_OK(pipe(go));
    for (int kill_too = 0; kill_too < 2; kill_too++) {
        start_untraced(body_sleep);
        pid_t target = child, tracer = fork();
        if (tracer == 0) {
            request(PTRACE_SEIZE, 0, kill_too ? PTRACE_O_EXITKILL : 0);
            if (!kill_too) {
                kill(child, SIGUSR1);
                waitpid(child, &status, __WALL);
                request(PTRACE_CONT, 0, 0);
                kill(child, SIGTERM);
                waitpid(child, &status, __WALL);
                c = (char)WSTOPSIG(status);
                request(PTRACE_CONT, 0, SIGTERM);
                waitpid(child, &status, __WALL); /* the tracer is told first */
                nap();
                _exit(write(go[1], &c, 1) == 1 && WIFSIGNALED(status) ? WTERMSIG(status) : 99);
            }
            _exit(0);
        }
        CHECK_EQUAL(waitpid(tracer, &status, 0), tracer);
        CHECK_EQUAL(status, kill_too ? 0 : SIGTERM << 8);
        if (!kill_too) {
            CHECK_EQUAL(read(go[0], &c, 1), 1);
            CHECK_EQUAL(c, SIGTERM);
        }
        child = target;
        wait_end(kill_too ? SIGKILL : SIGTERM);
    }
    close(go[0]);
    close(go[1]);
}

static void test_wait(void)
{
    siginfo_t info;

    check_section("waitid");
    start(body_sleep);
    CHECK_EQUAL(request(PTRACE_CONT, 0, 0), 0);
    kill(child, SIGUSR1);
    memset(&info, 0, sizeof(info));
    CHECK_EQUAL(waitid(P_PID, (id_t)child, &info, WSTOPPED | WNOWAIT | __WALL), 0);
    CHECK_EQUAL(info.si_code, CLD_TRAPPED);
    CHECK_EQUAL(info.si_status, SIGUSR1);
    CHECK_EQUAL(waitid(P_PID, (id_t)child, &info, WEXITED | __WALL), 0); /* stops of tracees are told always */
    CHECK_EQUAL(info.si_code, CLD_TRAPPED);
    CHECK_EQUAL(syscall(SYS_ptrace, PTRACE_KILL, child, 0, 0), 0);
    CHECK_EQUAL(waitid(P_PID, (id_t)child, &info, WEXITED | __WALL), 0);
    CHECK_EQUAL(info.si_code, CLD_KILLED);
    CHECK_EQUAL(info.si_status, SIGKILL);
}

int main(void)
{
    alarm(60);
    test_signals();
    test_calls();
    test_blocking();
    test_registers();
    test_steps();
    test_emulated();
    test_blocks();
    test_family();
    test_threads();
    test_attach();
    test_seize();
    test_group_stop();
    test_other_tracer();
    test_wait();
    return check_done();
}
