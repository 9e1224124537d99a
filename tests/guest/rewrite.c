/*
 * System calls from the same few instructions, often enough that a sandbox may rewrite them: registers, flags, red zone, stepping,
 * jumps into the middle, signals, and text that is read, changed, moved, unmapped, or inherited. `rewrite again`: after an exec.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/ucontext.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

enum { HOT = 64, RED_ZONE = 128, PAGE = 4096, TF = 0x100, DF = 0x400, AC = 0x40000, STATUS = 0x8d5 };

/*
 * Three kinds of sites, in a page of their own that tests copy and map: with padding in reach; without, but behind a mov to eax;
 * and with neither.
 */
extern char sites_begin[], sites_end[];
extern char padded[], padded_syscall[], padded_end[], bare[], bare_syscall[], bare_end[], naked[], naked_syscall[],
    naked_end[], looped[], looped_syscall[], looped_end[];

__asm__(".pushsection .text\n"
        ".balign 4096\n"
        "sites_begin:\n"
        "padded: nop\n"
        "padded_syscall: syscall\n"
        "ret\n"
        "padded_end: .balign 16\n"
        "bare: mov $39, %eax\n" /* getpid */
        "bare_syscall: syscall\n"
        "ret\n"
        "bare_end: .fill 150, 1, 0x98\n" /* cwtl: no padding in reach */
        "ret\n"
        "naked: nop\n"
        "naked_syscall: syscall\n"
        "ret\n"
        "naked_end: .fill 150, 1, 0x98\n"
        "ret\n"
        ".balign 16\n"
        /* What follows the call looks like padding, but is reached: the call comes back to it. */
        "looped: push %rbx\n"
        "mov $3, %ebx\n"
        "1: mov $39, %eax\n"
        "looped_syscall: syscall\n"
        ".balign 16\n"
        "dec %ebx\n"
        "jnz 1b\n"
        "pop %rbx\n"
        "ret\n"
        "looped_end:\n"
        ".balign 4096\n"
        "sites_end:\n"
        ".popsection\n");

/* --- registers ----------------------------------------------------------------------------------- */

enum { RAX, RBX, RCX, RDX, RSI, RDI, RBP, R8, R9, R10, R11, R12, R13, R14, R15, FLAGS, REGISTERS };

uint64_t probe_in[REGISTERS], probe_out[REGISTERS], probe_sp, probe_target;

/* Load all registers from probe_in, fill the red zone that the site sees, call probe_target, store them all. */
void probe(void);
extern char probe_zone[];
__asm__(".pushsection .text\n"
        "probe: push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
        "mov %rsp, probe_sp(%rip)\n"
        "mov $16, %ecx\n"
        "1: mov %rcx, -144(%rsp,%rcx,8)\n loop 1b\n" /* rsp-136 … rsp-16: below the return address */
        "pushq probe_in+15*8(%rip)\n popfq\n"
        "mov probe_in(%rip), %rax\n mov probe_in+8(%rip), %rbx\n mov probe_in+16(%rip), %rcx\n"
        "mov probe_in+24(%rip), %rdx\n mov probe_in+32(%rip), %rsi\n mov probe_in+40(%rip), %rdi\n"
        "mov probe_in+48(%rip), %rbp\n mov probe_in+56(%rip), %r8\n mov probe_in+64(%rip), %r9\n"
        "mov probe_in+72(%rip), %r10\n mov probe_in+80(%rip), %r11\n mov probe_in+88(%rip), %r12\n"
        "mov probe_in+96(%rip), %r13\n mov probe_in+104(%rip), %r14\n mov probe_in+112(%rip), %r15\n"
        "call *probe_target(%rip)\n"
        "mov %rax, probe_out(%rip)\n mov %rbx, probe_out+8(%rip)\n mov %rcx, probe_out+16(%rip)\n"
        "mov %rdx, probe_out+24(%rip)\n mov %rsi, probe_out+32(%rip)\n mov %rdi, probe_out+40(%rip)\n"
        "mov %rbp, probe_out+48(%rip)\n mov %r8, probe_out+56(%rip)\n mov %r9, probe_out+64(%rip)\n"
        "mov %r10, probe_out+72(%rip)\n mov %r11, probe_out+80(%rip)\n mov %r12, probe_out+88(%rip)\n"
        "mov %r13, probe_out+96(%rip)\n mov %r14, probe_out+104(%rip)\n mov %r15, probe_out+112(%rip)\n"
        "mov probe_sp(%rip), %rbx\n sub %rsp, %rbx\n" /* 0, or rsp has been lost */
        "mov probe_sp(%rip), %rsp\n"
        "mov $16, %ecx\n xor %edx, %edx\n"
        "2: cmp %rcx, -144(%rsp,%rcx,8)\n setne %al\n movzbl %al, %eax\n add %eax, %edx\n loop 2b\n"
        "pushfq\n popq probe_out+15*8(%rip)\n"
        "pushq $0x202\n popfq\n"
        "mov %rdx, probe_in+16(%rip)\n" /* how much of the red zone has changed */
        "mov %rbx, probe_in+80(%rip)\n"
        "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n"
        "ret\n"
        ".popsection\n");

/* Calls with all flags that a program can set but TF; r11 shows what the site saw. */
static void check_registers(const char *title, void *function, char *after, uint64_t pushed,
                            uint64_t mask)
{
    static const uint64_t flags[] = { 0, STATUS, 0x001, 0x004, 0x010, 0x040, 0x080, 0x800, DF, AC, DF | AC | STATUS };
    check_section(title);
    for (int round = 0; round < HOT; round++) {
        uint64_t set = flags[round % (int)(sizeof(flags) / sizeof(flags[0]))] | 0x202;
        uint64_t want[REGISTERS];
        for (int i = 0; i < REGISTERS; i++)
            probe_in[i] = 0x0101010101010101u * (uint64_t)(i + 1) ^ (uint64_t)round << 56;
        probe_in[RAX] = SYS_getpid;
        probe_in[FLAGS] = set;
        memcpy(want, probe_in, sizeof(want));
        probe_target = (uint64_t)function;
        probe();
        bool same = true;
        for (int i = 0; i < REGISTERS; i++)
            if (i != RAX && i != RCX && i != R11 && i != FLAGS && probe_out[i] != want[i])
                same = false;
        if (!CHECK(same) | !CHECK(probe_out[RAX] == (uint64_t)getpid()) | !CHECK(probe_out[RCX] == (uint64_t)after) |
            !CHECK(((probe_out[R11] ^ set) & mask) == 0) | !CHECK((probe_out[FLAGS] & (DF | AC)) == (set & (DF | AC))) |
            !CHECK(probe_in[RCX] == pushed) | !CHECK(probe_in[R11] == 0)) {
            printf("    round %d, flags %#lx, r11 %#lx\n", round, (unsigned long)set, (unsigned long)probe_out[R11]);
            break;
        }
    }
}

/* The status flags right after the call, without an instruction in between that changes them. */
static void check_flags_kept(void *function)
{
    bool kept = true;
    for (uint64_t set = 0; set < 0x1000; set++) {
        uint64_t want = (set & STATUS) | 0x202, got, result = SYS_getpid;
        __asm__ volatile("push %[want]\n\tpopfq\n\tcall *%[function]\n\tpushfq\n\tpop %[got]"
                         : [got] "=&r"(got), "+a"(result)
                         : [want] "r"(want), [function] "r"(function)
                         : "rcx", "r11", "memory", "cc");
        kept = kept && got == want;
    }
    CHECK(kept);
}

static long call_with(void *function, long number, long a, long b, long c)
{
    long result = number;
    __asm__ volatile("sub $128, %%rsp\n\tcall *%[function]\n\tadd $128, %%rsp"
                     : "+a"(result)
                     : [function] "r"(function), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory", "cc");
    return result;
}

static void heat(void *function)
{
    for (int i = 0; i < HOT; i++)
        if (call_with(function, SYS_getpid, 0, 0, 0) != getpid())
            CHECK(!"getpid");
}

/* --- stepping ------------------------------------------------------------------------------------- */

static long steps[64];
static volatile int step_count;

static void on_step(int signal, siginfo_t *info, void *context)
{
    long at = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] - (long)sites_begin;
    if (at >= 0 && at < PAGE && step_count < 64)
        steps[step_count++] = at;
}

/* The places at which a debugger would see the program stop. */
static void single_steps(const char *title, void *function)
{
    struct sigaction action = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO }, old;
    long result = SYS_getpid;
    sigaction(SIGTRAP, &action, &old);
    step_count = 0;
    __asm__ volatile("sub $128, %%rsp\n\tpushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\tcall *%[function]\n\t"
                     "pushfq\n\tandl $~0x100, (%%rsp)\n\tpopfq\n\tadd $128, %%rsp"
                     : "+a"(result)
                     : [function] "r"(function)
                     : "rcx", "r11", "memory", "cc");
    sigaction(SIGTRAP, &old, NULL);
    CHECK_EQUAL(result, getpid());
    printf("%s:", title);
    for (int i = 0; i < step_count; i++)
        printf(" %ld", steps[i]);
    printf("\n");
}

/* --- signals -------------------------------------------------------------------------------------- */

static volatile long strange_rips, ticks;

/* The program is somewhere in its own functions, never in padding or below 64 KiB. */
static void on_tick(int signal, siginfo_t *info, void *context)
{
    long rip = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    static char *const ranges[][2] = {
        { padded, padded_end }, { bare, bare_end }, { naked, naked_end }, { looped, looped_end }
    };
    bool inside = false;
    ticks++;
    for (int i = 0; i < 4; i++)
        inside = inside || (rip >= (long)ranges[i][0] && rip < (long)ranges[i][1]);
    if (rip < 65536 || (!inside && rip >= (long)sites_begin && rip < (long)sites_end))
        strange_rips++;
}

static void interrupted_anywhere(void)
{
    struct sigaction action = { .sa_sigaction = on_tick, .sa_flags = SA_SIGINFO | SA_RESTART };
    struct itimerval every = { { 0, 500 }, { 0, 500 } }, never = { 0 };
    struct timespec begin, now;
    bool right = true;
    pid_t pid = getpid();
    check_section("signals at any place");
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        for (int i = 0; i < 1000; i++) {
            right = right && call_with(padded, SYS_getpid, 0, 0, 0) == pid && call_with(bare, 0, 0, 0, 0) == pid;
            right = right && call_with(looped, 0, 0, 0, 0) == pid;
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (ticks < 200 && now.tv_sec - begin.tv_sec < 20 && right);
    setitimer(ITIMER_REAL, &never, NULL);
    CHECK(right);
    CHECK(ticks >= 200);
    CHECK_EQUAL(strange_rips, 0);
}

static volatile int usr1;

static void on_usr1(int signal, siginfo_t *info, void *context)
{
    usr1 = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] == (long)padded_syscall + 2 ? 1 : 2;
}

static int wake_pipe[2];

static void *poke(void *thread)
{
    usleep(20000);
    pthread_kill(*(pthread_t *)thread, SIGUSR1);
    usleep(20000);
    if (write(wake_pipe[1], "x", 1) != 1)
        _exit(1);
    return NULL;
}

/* A blocking call of a hot site: the frame, EINTR, and the restart. */
static void restarted(int flags, long want, int want_frame)
{
    struct sigaction action = { .sa_sigaction = on_usr1, .sa_flags = SA_SIGINFO | flags };
    pthread_t self = pthread_self(), other;
    char byte = 0;
    sigaction(SIGUSR1, &action, NULL);
    usr1 = 0;
    if (pipe(wake_pipe) || pthread_create(&other, NULL, poke, &self))
        _exit(1);
    CHECK_EQUAL(call_with(padded, SYS_read, wake_pipe[0], (long)&byte, 1), want);
    CHECK_EQUAL(usr1, want_frame);
    pthread_join(other, NULL);
    close(wake_pipe[0]);
    close(wake_pipe[1]);
}

static void *stop_and_go(void *pid)
{
    usleep(10000);
    kill(*(pid_t *)pid, SIGCONT);
    return NULL;
}

/* restart_syscall: another number than the site's. */
static void restart_syscall(void)
{
    struct timespec t = { 0, 60000000 };
    pid_t pid = getpid();
    pthread_t other;
    signal(SIGCONT, SIG_DFL);
    if (pthread_create(&other, NULL, stop_and_go, &pid))
        _exit(1);
    CHECK_EQUAL(call_with(padded, SYS_nanosleep, (long)&t, 0, 0), 0);
    pthread_join(other, NULL);
}

/* --- threads -------------------------------------------------------------------------------------- */

static volatile bool threads_right = true;

static void *hammer(void *argument)
{
    long tid = syscall(SYS_gettid);
    for (int i = 0; i < 3000; i++) {
        threads_right = threads_right && call_with(padded, SYS_gettid, 0, 0, 0) == tid &&
                        call_with(bare, 0, 0, 0, 0) == getpid() && call_with(naked, SYS_gettid, 0, 0, 0) == tid;
        if (i % 100 == 0)
            sched_yield();
    }
    return NULL;
}

static void threads(void)
{
    pthread_t t[4];
    check_section("threads");
    for (int i = 0; i < 4; i++)
        if (pthread_create(&t[i], NULL, hammer, NULL))
            _exit(1);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    CHECK(threads_right);
}

/* --- text that changes --------------------------------------------------------------------------- */

static char original[PAGE];

static int child_status(pid_t pid)
{
    int status = -1;
    waitpid(pid, &status, 0);
    return status;
}

static void forked(bool is_original)
{
    check_section("fork");
    pid_t pid = fork();
    if (pid == 0) {
        heat(padded);
        heat(bare);
        /* Changes of the child's are not the parent's. */
        if (mprotect(sites_begin, PAGE, PROT_READ | PROT_WRITE) ||
            (is_original && memcmp(sites_begin, original, PAGE)))
            _exit(2);
        memset(padded, 0xc3, 1);
        mprotect(sites_begin, PAGE, PROT_READ | PROT_EXEC);
        heat(naked);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            heat(bare);
            _exit(check_failures ? 1 : 3);
        }
        _exit(child_status(grandchild) == 3 << 8 && !check_failures ? 4 : 1);
    }
    heat(padded);
    CHECK_EQUAL(child_status(pid), 4 << 8);
    heat(padded);
    heat(bare);
}

/* What others read of our text, and write to it. */
static void from_outside(void)
{
    char copy[PAGE];
    int mem = open("/proc/self/mem", O_RDWR);
    check_section("text from outside");
    CHECK_EQUAL(pread(mem, copy, PAGE, (off_t)sites_begin), PAGE);
    CHECK(!memcmp(copy, original, PAGE));
    CHECK_EQUAL(pread(mem, copy, 5, (off_t)padded_syscall - 2), 5);
    CHECK(!memcmp(copy, original + (padded_syscall - sites_begin) - 2, 5));
    /* A debugger changes the number: of a copy of its own, and the jump is gone. */
    unsigned char number = SYS_getppid;
    CHECK_EQUAL(pwrite(mem, &number, 1, (off_t)bare + 1), 1);
    for (int i = 0; i < HOT; i++)
        CHECK_EQUAL(call_with(bare, 0, 0, 0, 0), getppid());
    number = SYS_getpid;
    CHECK_EQUAL(pwrite(mem, &number, 1, (off_t)bare + 1), 1);
    close(mem);
    heat(bare);
    heat(padded);
}

/* The text page becomes writable: it must be the original then, and what is written counts. */
static void writable(void)
{
    check_section("text made writable");
    heat(padded);
    for (int round = 0; round < 4; round++) {
        CHECK_OK(mprotect(sites_begin, PAGE, PROT_READ | PROT_WRITE | (round & 1 ? PROT_EXEC : 0)));
        CHECK(!memcmp(sites_begin, original, PAGE));
        bare[1] = SYS_getppid;
        CHECK_OK(mprotect(sites_begin, PAGE, PROT_READ | PROT_EXEC));
        for (int i = 0; i < HOT; i++)
            CHECK_EQUAL(call_with(bare, 0, 0, 0, 0), getppid());
        heat(padded);
        CHECK_OK(mprotect(sites_begin, PAGE, PROT_READ | PROT_WRITE));
        bare[1] = SYS_getpid;
        CHECK_OK(mprotect(sites_begin, PAGE, PROT_READ | PROT_EXEC));
        heat(bare);
    }
    CHECK_OK(mprotect(sites_begin, PAGE, PROT_READ | PROT_WRITE));
    CHECK(!memcmp(sites_begin, original, PAGE));
    CHECK_OK(mprotect(sites_begin, PAGE, PROT_READ | PROT_EXEC));
}

static void *at(void *base, char *label)
{
    return (char *)base + (label - sites_begin);
}

static void *map_copy(int fd, void *where)
{
    return mmap(where, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | (where ? MAP_FIXED : 0), fd, 0);
}

static void mapped(void)
{
    char name[] = "/tmp/rewrite-XXXXXX", other[PAGE];
    int fd = mkstemp(name);
    void *p, *q;
    check_section("text unmapped, mapped over, moved, dropped");
    if (fd < 0 || write(fd, original, PAGE) != PAGE)
        _exit(1);
    p = map_copy(fd, NULL);
    for (int round = 0; round < 3; round++) {
        heat(at(p, padded));
        heat(at(p, bare));
        munmap(p, PAGE);
        CHECK(map_copy(fd, p) == p);
    }
    /* The private copy is dropped, and comes back from the file. */
    CHECK_OK(madvise(p, PAGE, MADV_DONTNEED));
    CHECK(!memcmp(p, original, PAGE));
    heat(at(p, padded));
    heat(at(p, bare));
    /* Moved: what comes back must come back to the new place. */
    q = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(mremap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, q) == q);
    CHECK(map_copy(fd, p) == p);
    munmap(p, PAGE);
    heat(at(q, padded));
    heat(at(q, bare));
    /* Other code at the same place: padded asks for another call, with padding elsewhere. */
    memcpy(other, original, PAGE);
    memcpy(other + (padded - sites_begin), "\xb8\x6e\0\0\0\x0f\x05\xc3", 8); /* getppid */
    CHECK_EQUAL(pwrite(fd, other, PAGE, 0), PAGE);
    CHECK(map_copy(fd, q) == q);
    for (int i = 0; i < HOT; i++)
        CHECK_EQUAL(call_with(at(q, padded), 0, 0, 0, 0), getppid());
    heat(at(q, bare));
    munmap(q, PAGE);
    close(fd);
    unlink(name);
}

/* A program that moves its text to other memory: away, and back to the same place. */
static void replaced_by_a_copy(void)
{
    char copy[PAGE];
    check_section("text copied to anonymous memory");
    heat(padded);
    heat(bare);
    memcpy(copy, sites_begin, PAGE);
    CHECK(mmap(sites_begin, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == sites_begin);
    memcpy(sites_begin, copy, PAGE);
    CHECK_OK(mprotect(sites_begin, PAGE, PROT_READ | PROT_EXEC));
    heat(padded);
    heat(bare);
    heat(looped);
}

/* Code that is written, run often, and written anew in the same memory. */
static void jit(void)
{
    static const unsigned char code[] = { 0xb8, SYS_getpid, 0, 0, 0, 0x0f, 0x05, 0xc3, 0x0f, 0x1f, 0x80, 0, 0, 0, 0, 0x90 };
    unsigned char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check_section("generated code");
    for (int round = 0; round < 20; round++) {
        memcpy(p, code, sizeof(code));
        p[1] = round & 1 ? SYS_getpid : SYS_getppid;
        for (int i = 0; i < HOT; i++)
            CHECK_EQUAL(call_with(p, 0, 0, 0, 0), round & 1 ? getpid() : getppid());
        /* What was padding becomes code. */
        memcpy(p + 8, "\xb8\x07\0\0\0\xc3", 6);
        CHECK_EQUAL(call_with(p + 8, 0, 0, 0, 0), 7);
        CHECK_EQUAL(call_with(p, 0, 0, 0, 0), round & 1 ? getpid() : getppid());
    }
    munmap(p, PAGE);
}

static volatile int faults_seen;
static volatile void *fault_address;

static void on_segv(int signal, siginfo_t *info, void *context)
{
    faults_seen++;
    fault_address = info->si_addr;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 3; /* mov (%rdi),%al, with padding */
}

/* Addresses below 64 KiB belong to nobody. */
static void low_memory(void)
{
    struct sigaction action = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO };
    check_section("low memory");
    sigaction(SIGSEGV, &action, NULL);
    __asm__ volatile("mov %%al, (%%rdi)\n\tnop" ::"D"(0xf008L), "a"(0) : "memory");
    CHECK(faults_seen == 1 && fault_address == (void *)0xf008L);
    signal(SIGSEGV, SIG_DFL);
    CHECK_ERRNO(open((char *)0xf000L, O_RDONLY), EFAULT);
    CHECK_ERRNO(read(-1, (void *)0xf000L, 8), EBADF);
    int fd = open("/dev/null", O_WRONLY), ends[2];
    if (fd < 0 || pipe(ends))
        _exit(1);
    CHECK_ERRNO(write(ends[1], (void *)0xf000L, 8), EFAULT);
    CHECK_ERRNO(pipe((int *)0xf000L), EFAULT);
    CHECK_ERRNO(munmap((void *)0xf000L, PAGE) ? -1 : 0, 0);
    heat(padded);
    close(fd);
    close(ends[0]);
    close(ends[1]);
}

int main(int argc, char **argv)
{
    memcpy(original, sites_begin, PAGE); /* before anything ran there */
    single_steps("steps, padded, cold", padded);
    single_steps("steps, bare, cold", bare);
    check_registers("registers, padded", padded, padded_syscall + 2, 0, ~0x10000ul);
    check_registers("registers, bare", bare, bare_syscall + 2, 0, ~0x10000ul);
    check_registers("registers, naked", naked, naked_syscall + 2, 0, ~0x10000ul);
    check_registers("registers, looped", looped, looped_syscall + 2, 1, DF | AC);
    check_flags_kept(padded);
    check_flags_kept(bare);
    single_steps("steps, padded", padded);
    single_steps("steps, bare", bare);
    single_steps("steps, looped", looped);
    interrupted_anywhere();
    check_section("interrupted calls");
    restarted(0, -EINTR, 1);
    restarted(SA_RESTART, 1, 2);
    restart_syscall();
    threads();
    check_section("jumps to the old instruction");
    for (int i = 0; i < HOT; i++) {
        CHECK_EQUAL(call_with(padded_syscall, SYS_getppid, 0, 0, 0), getppid());
        CHECK_EQUAL(call_with(bare_syscall, i & 1 ? SYS_getppid : SYS_getpid, 0, 0, 0), i & 1 ? getppid() : getpid());
        CHECK_EQUAL(call_with(bare_syscall, i & 1 ? -1 : 100000, 0, 0, 0), -ENOSYS);
        CHECK_EQUAL(call_with(bare, 0, 0, 0, 0), getpid());
    }
    if (argc < 2) {
        forked(true);
        from_outside();
        writable();
        mapped();
        jit();
        low_memory();
        replaced_by_a_copy();
        forked(false); /* a copy of rewritten text stays one */
        if (!check_done())
            execv("/proc/self/exe", (char *[]){ argv[0], "again", NULL });
        return 1;
    }
    return check_done();
}
