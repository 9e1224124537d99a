/* TF, AC and DF set by the program: across instructions, system calls, faults and signal handlers. */
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <unistd.h>

#include "check.h"

#define TF 0x100UL
#define DF 0x400UL
#define AC 0x40000UL

static volatile int traps, wrong_codes;
static volatile greg_t flags_in_handler, flags_in_context;
static volatile long last_code;

static greg_t current_flags(void)
{
    greg_t flags;
    __asm__ volatile("pushf\n\tpop %0" : "=r"(flags));
    return flags;
}

static void on_trap(int signal, siginfo_t *info, void *context)
{
    ucontext_t *u = context;
    traps++;
    wrong_codes += info->si_code != TRAP_TRACE || info->si_addr != (void *)u->uc_mcontext.gregs[REG_RIP];
    flags_in_handler = current_flags();
    if (traps == 1)
        flags_in_context = u->uc_mcontext.gregs[REG_EFL];
}

static void single_step(void)
{
    struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };
    check_section("single step");
    sigaction(SIGTRAP, &action, NULL);
    traps = 0;
    __asm__ volatile("pushf\n\torl $0x100, (%%rsp)\n\tpopf\n\t"
                     "nop\n\tnop\n\tnop\n\tnop\n\tnop\n\t"
                     "pushf\n\tandl $~0x100, (%%rsp)\n\tpopf" ::: "cc", "memory");
    CHECK_EQUAL(traps, 8); /* the nops, pushf, and, popf */
    CHECK_EQUAL(wrong_codes, 0);
    CHECK_EQUAL(flags_in_handler & TF, 0);
    CHECK_EQUAL(flags_in_context & TF, TF);

    check_section("single step over a system call");
    traps = 0;
    long result = SYS_getppid;
    __asm__ volatile("pushf\n\torl $0x100, (%%rsp)\n\tpopf\n\t"
                     "syscall\n\tnop\n\t"
                     "pushf\n\tandl $~0x100, (%%rsp)\n\tpopf"
                     : "+a"(result)::"rcx", "r11", "cc", "memory");
    CHECK(result >= 0);
    CHECK_EQUAL(traps, 4); /* nop, pushf, and, popf: Linux returns by iret, which traps one instruction later */
    CHECK_EQUAL(wrong_codes, 0);

    check_section("single step through many calls");
    traps = 0;
    int bad = 0;
    for (int i = 0; i < 40; i++) { /* often enough that call sites would be rewritten */
        result = SYS_getpid;
        long before = traps;
        __asm__ volatile("pushf\n\torl $0x100, (%%rsp)\n\tpopf\n\t"
                         "syscall\n\t"
                         "pushf\n\tandl $~0x100, (%%rsp)\n\tpopf"
                         : "+a"(result)::"rcx", "r11", "cc", "memory");
        bad += result != getpid() || traps - before != 3;
    }
    CHECK_EQUAL(bad, 0);

    check_section("single step over a page fault");
    char *fresh = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    traps = 0;
    __asm__ volatile("pushf\n\torl $0x100, (%%rsp)\n\tpopf\n\t"
                     "movb $1, (%0)\n\tmovb $2, 0x40000(%0)\n\t"
                     "pushf\n\tandl $~0x100, (%%rsp)\n\tpopf" ::"r"(fresh)
                     : "cc", "memory");
    CHECK_EQUAL(traps, 5);
    CHECK(fresh[0] == 1 && fresh[0x40000] == 2);
    munmap(fresh, 1 << 20);
    CHECK_EQUAL(wrong_codes, 0);
}

static sigjmp_buf escape;
static volatile siginfo_t seen;

static void on_bus(int signal, siginfo_t *info, void *context)
{
    memcpy((void *)&seen, info, sizeof(*info));
    flags_in_handler = current_flags();
    siglongjmp(escape, 1);
}

static void alignment(void)
{
    struct sigaction action = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO };
    static char area[64] __attribute__((aligned(16)));
    check_section("alignment check");
    sigaction(SIGBUS, &action, NULL);
    int value = 0;
    if (sigsetjmp(escape, 1) == 0) {
        __asm__ volatile("pushf\n\torl $0x40000, (%%rsp)\n\tpopf\n\tmov 1(%1), %0\n\t"
                         "pushf\n\tandl $~0x40000, (%%rsp)\n\tpopf"
                         : "=r"(value)
                         : "r"(area)
                         : "cc", "memory");
        CHECK(!"no alignment fault");
    } else {
        __asm__ volatile("pushf\n\tandl $~0x40000, (%%rsp)\n\tpopf" ::: "cc", "memory");
        CHECK_EQUAL(seen.si_signo, SIGBUS);
        CHECK_EQUAL(seen.si_code, BUS_ADRALN);
    }
    check_section("alignment check across system calls and faults");
    char *fresh = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int bad = 0;
    for (int i = 0; i < 40; i++) {
        long result = SYS_getppid;
        unsigned long flags = 0;
        __asm__ volatile("pushf\n\torl $0x40000, (%%rsp)\n\tpopf\n\t"
                         "syscall\n\t"
                         "movb $1, (%2)\n\t"
                         "pushf\n\tpop %1\n\t"
                         "pushf\n\tandl $~0x40000, (%%rsp)\n\tpopf"
                         : "+a"(result), "=&r"(flags)
                         : "r"(fresh + i * 8192)
                         : "rcx", "r11", "cc", "memory");
        bad += result < 0 || !(flags & AC);
    }
    CHECK_EQUAL(bad, 0);
    munmap(fresh, 1 << 20);
}

static volatile int usr_calls;

static void on_usr(int signal)
{
    usr_calls++;
    flags_in_handler = current_flags();
}

static void direction(void)
{
    check_section("direction flag across system calls");
    int bad = 0;
    char from[16] = "0123456789abcde", to[16];
    for (int i = 0; i < 40; i++) {
        long result = SYS_getppid;
        unsigned long flags;
        __asm__ volatile("std\n\tsyscall\n\tpushf\n\tcld\n\tpop %1"
                         : "+a"(result), "=r"(flags)::"rcx", "r11", "cc", "memory");
        bad += result < 0 || !(flags & DF);
        /* a call that copies, so that the kernel's own string instructions are involved */
        int ends[2];
        if (pipe(ends))
            abort();
        result = SYS_write;
        __asm__ volatile("std\n\tsyscall\n\tcld"
                         : "+a"(result)
                         : "D"(ends[1]), "S"(from), "d"(16)
                         : "rcx", "r11", "cc", "memory");
        bad += result != 16;
        result = SYS_read;
        __asm__ volatile("std\n\tsyscall\n\tcld"
                         : "+a"(result)
                         : "D"(ends[0]), "S"(to), "d"(16)
                         : "rcx", "r11", "cc", "memory");
        bad += result != 16 || memcmp(from, to, 16);
        close(ends[0]);
        close(ends[1]);
    }
    CHECK_EQUAL(bad, 0);

    check_section("direction flag across page faults");
    char *fresh = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *p = fresh + (1 << 20) - 1;
    unsigned long count = 1 << 20;
    __asm__ volatile("std\n\trep stosb\n\tcld" : "+D"(p), "+c"(count) : "a"(0x77) : "cc", "memory");
    int wrong = 0;
    for (int i = 0; i < 1 << 20; i++)
        wrong += fresh[i] != 0x77;
    CHECK_EQUAL(wrong, 0);
    munmap(fresh, 1 << 20);

    check_section("handlers start with the direction flag clear");
    signal(SIGUSR1, on_usr);
    unsigned long flags;
    long result = SYS_kill;
    __asm__ volatile("std\n\tsyscall\n\tpushf\n\tcld\n\tpop %1"
                     : "+a"(result), "=r"(flags)
                     : "D"(getpid()), "S"(SIGUSR1)
                     : "rcx", "r11", "cc", "memory");
    CHECK_EQUAL(usr_calls, 1);
    CHECK_EQUAL(flags_in_handler & DF, 0);
    CHECK_EQUAL(flags & DF, DF);
}

int main(void)
{
    single_step();
    alignment();
    direction();
    /* the flags that programs may toggle for ever: identification */
    greg_t before = current_flags();
    __asm__ volatile("pushf\n\txorl $0x200000, (%%rsp)\n\tpopf" ::: "cc", "memory");
    CHECK(((before ^ current_flags()) & 0x200000) != 0);
    return check_done();
}
