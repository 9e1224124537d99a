/* Faults become the right signal with the right si_code and si_addr; handlers may fix things and return. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ucontext.h>
#include <unistd.h>

#include "check.h"

#define PAGE 4096UL

static sigjmp_buf escape;
static volatile siginfo_t seen;
static volatile greg_t seen_rip, seen_trapno, seen_error, seen_cr2;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    ucontext_t *u = context;
    memcpy((void *)&seen, info, sizeof(*info));
    seen_rip = u->uc_mcontext.gregs[REG_RIP];
    seen_trapno = u->uc_mcontext.gregs[REG_TRAPNO];
    seen_error = u->uc_mcontext.gregs[REG_ERR];
    seen_cr2 = u->uc_mcontext.gregs[REG_CR2];
    siglongjmp(escape, 1);
}

static void catch_all(int flags)
{
    static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
    struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | flags };
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        CHECK_OK(sigaction(signals[i], &action, NULL));
}

/* Run a statement that must raise this signal with this code. */
#define RAISES(statement, signal, code)                                                             \
    do {                                                                                            \
        memset((void *)&seen, 0, sizeof(seen));                                                     \
        if (sigsetjmp(escape, 1) == 0) {                                                            \
            statement;                                                                              \
            CHECK(!"no fault: " #statement);                                                        \
        } else {                                                                                    \
            CHECK_EQUAL(seen.si_signo, signal);                                                     \
            CHECK_EQUAL(seen.si_code, code);                                                        \
        }                                                                                           \
    } while (0)

static void divide_sse(void)
{
    unsigned mxcsr = 0x1f80 & ~0x200u; /* division by zero unmasked */
    double a = 1, b = 0;
    __asm__ volatile("ldmxcsr %1\n\tdivsd %2, %0" : "+x"(a) : "m"(mxcsr), "x"(b));
}

static void divide_x87(void)
{
    unsigned short control = 0x37b; /* division by zero unmasked */
    __asm__ volatile("fninit\n\tfldcw %0\n\tfldz\n\tfld1\n\tfdivp %%st, %%st(1)\n\tfwait" ::"m"(control));
}

static void codes(char *page)
{
    volatile char *p;
    volatile int one = 1, zero = 0, result = 0;

    check_section("page faults");
    RAISES(*(volatile char *)8 = 1, SIGSEGV, SEGV_MAPERR);
    CHECK(seen.si_addr == (void *)8 && seen_cr2 == 8 && seen_trapno == 14);
    CHECK_EQUAL(seen_error & 7, 6); /* user, write, not present */
    p = page;
    p[0] = 1;
    mprotect(page, PAGE, PROT_READ);
    RAISES(p[7] = 1, SIGSEGV, SEGV_ACCERR);
    CHECK(seen.si_addr == page + 7);
    CHECK_EQUAL(seen_error & 7, 7);
    mprotect(page, PAGE, PROT_NONE);
    RAISES((void)p[9], SIGSEGV, SEGV_ACCERR);
    CHECK(seen.si_addr == page + 9);
    mprotect(page, PAGE, PROT_READ | PROT_WRITE);
    RAISES(((void (*)(void))page)(), SIGSEGV, SEGV_ACCERR);
    CHECK(seen.si_addr == page && seen_rip == (greg_t)page);
    CHECK((seen_error & 0x10) != 0); /* instruction fetch */
    RAISES(((void (*)(void))0)(), SIGSEGV, SEGV_MAPERR);
    CHECK(seen.si_addr == NULL && seen_rip == 0);
    RAISES((void)*(volatile char *)0x7fffffffe000, SIGSEGV, seen.si_code); /* mapped or not: a fault */
    RAISES((void)*(volatile char *)0xffffffff81000000, SIGSEGV, SEGV_MAPERR);
    CHECK(seen.si_addr == (void *)0xffffffff81000000);

    check_section("general protection");
    RAISES((void)*(volatile char *)0x1234567812345678, SIGSEGV, SI_KERNEL);
    CHECK(seen.si_addr == NULL && seen_trapno == 13);
    RAISES(__asm__ volatile("hlt"), SIGSEGV, SI_KERNEL);
    RAISES(__asm__ volatile("cli"), SIGSEGV, SI_KERNEL);
    RAISES(__asm__ volatile("mov %%cr3, %%rax" ::: "rax"), SIGSEGV, SI_KERNEL);
    RAISES(__asm__ volatile("wrmsr" ::"a"(0), "d"(0), "c"(0xc0000082)), SIGSEGV, SI_KERNEL);
    RAISES(__asm__ volatile("inb $0x80, %%al" ::: "rax"), SIGSEGV, SI_KERNEL);
    RAISES(__asm__ volatile("outb %%al, $0x60" ::), SIGSEGV, SI_KERNEL);
    RAISES(__asm__ volatile("mov %0, %%ds" ::"r"(0x1234)), SIGSEGV, SI_KERNEL);
    RAISES(__asm__ volatile("movaps (%0), %%xmm0" ::"r"(page + 1)), SIGSEGV, SI_KERNEL);
    /* a ret to a non-canonical address, a jump to one */
    RAISES(__asm__ volatile("push %0\n\tret" ::"r"(0x8000000000000000)), SIGSEGV, SI_KERNEL);

    check_section("arithmetic");
    RAISES(result = one / zero, SIGFPE, FPE_INTDIV);
    CHECK(seen.si_addr == (void *)seen_rip);
    RAISES(__asm__ volatile("mov $-1, %%rax; mov $0x7fffffff, %%rdx; mov $1, %%rcx; idiv %%rcx" ::: "rax", "rdx", "rcx"),
           SIGFPE, FPE_INTDIV);
    RAISES(divide_sse(), SIGFPE, FPE_FLTDIV);
    unsigned normal = 0x1f80;
    __asm__ volatile("ldmxcsr %0" ::"m"(normal));
    RAISES(divide_x87(), SIGFPE, FPE_FLTDIV);
    __asm__ volatile("fninit");

    check_section("instructions");
    RAISES(__asm__ volatile("ud2"), SIGILL, ILL_ILLOPN);
    CHECK(seen.si_addr == (void *)seen_rip && seen_trapno == 6);
    RAISES(__asm__ volatile(".byte 0xf0, 0x90"), SIGILL, ILL_ILLOPN);
    RAISES(__asm__ volatile("int3"), SIGTRAP, SI_KERNEL);
    CHECK_EQUAL(seen_trapno, 3);
    RAISES(__asm__ volatile(".byte 0xcd, 3"), SIGTRAP, SI_KERNEL); /* int $3: Linux opens the gate to users */
    (void)result;
}

static void buses(void)
{
    check_section("bus errors");
    int fd = open("/tmp/faults", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK_OK(ftruncate(fd, PAGE));
    char *p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    p[0] = 1;
    RAISES(p[PAGE] = 1, SIGBUS, BUS_ADRERR);
    CHECK(seen.si_addr == p + PAGE);
    RAISES((void)*(volatile char *)(p + 2 * PAGE + 5), SIGBUS, BUS_ADRERR);
    CHECK(seen.si_addr == p + 2 * PAGE + 5);
    char buffer[8];
    CHECK_ERRNO(write(fd, p + PAGE, 8), EFAULT);
    CHECK_ERRNO(pread(fd, p + PAGE, 8, 0), EFAULT);
    CHECK_EQUAL(pread(fd, buffer, 8, 0), 8);
    munmap(p, 3 * PAGE);
    close(fd);
    unlink("/tmp/faults");
}

/* A handler that repairs the cause and returns: the instruction is executed again. */
static char *repair_page;
static volatile int repairs;

static void on_repair(int signal, siginfo_t *info, void *context)
{
    repairs++;
    mprotect(repair_page, PAGE, PROT_READ | PROT_WRITE);
}

/* A handler that changes the context: registers, flags, vector state, the instruction pointer. */
static void on_change(int signal, siginfo_t *info, void *context)
{
    ucontext_t *u = context;
    u->uc_mcontext.gregs[REG_RIP] += 2; /* over the ud2 */
    u->uc_mcontext.gregs[REG_RBX] = 0x1122334455667788;
    u->uc_mcontext.gregs[REG_R15] ^= 0xff;
    u->uc_mcontext.gregs[REG_EFL] |= 1; /* carry */
    u->uc_mcontext.fpregs->_xmm[5].element[0] = 0xdeadbeef;
}

static void contexts(char *page)
{
    struct sigaction action = { .sa_sigaction = on_repair, .sa_flags = SA_SIGINFO };
    check_section("repair and return");
    repair_page = page;
    sigaction(SIGSEGV, &action, NULL);
    for (int i = 0; i < 100; i++) {
        mprotect(page, PAGE, PROT_NONE);
        page[i] = (char)i;
        CHECK(page[i] == (char)i);
    }
    CHECK_EQUAL(repairs, 100);

    check_section("a changed context takes effect");
    action.sa_sigaction = on_change;
    sigaction(SIGILL, &action, NULL);
    unsigned long rbx = 1, r15 = 0xf00f;
    unsigned char carry;
    unsigned xmm5;
    __asm__ volatile("clc\n\tmovd %4, %%xmm5\n\tud2\n\tsetc %2\n\tmovd %%xmm5, %3"
                     : "+b"(rbx), "+r"(r15), "=r"(carry), "=r"(xmm5)
                     : "r"(7)
                     : "xmm5", "cc", "memory");
    CHECK_EQUAL(rbx, 0x1122334455667788);
    CHECK_EQUAL(carry, 1);
    CHECK_EQUAL(xmm5, 0xdeadbeef);

    register unsigned long fixed __asm__("r15") = 0xf00f;
    __asm__ volatile("ud2" : "+r"(fixed)::"rbx", "xmm5", "cc", "memory");
    CHECK_EQUAL(fixed, 0xf0f0);
}

static unsigned char alternate[256 * 1024] __attribute__((aligned(4096)));
static volatile bool on_alternate;

static void on_overflow(int signal, siginfo_t *info, void *context)
{
    char here;
    stack_t now;
    on_alternate = (unsigned char *)&here >= alternate && (unsigned char *)&here < alternate + sizeof(alternate);
    sigaltstack(NULL, &now);
    CHECK_EQUAL(now.ss_flags & SS_ONSTACK, SS_ONSTACK);
    CHECK_ERRNO(sigaltstack(&(stack_t){ .ss_flags = SS_DISABLE }, NULL), EPERM);
    siglongjmp(escape, 1);
}

static int recurse(volatile char *above)
{
    volatile char frame[8192];
    frame[0] = *above;
    return *above == 77 ? 0 : recurse(frame) + frame[0]; /* never 77, but the compiler can't know */
}

static void stacks(void)
{
    check_section("alternate stack");
    stack_t stack = { .ss_sp = alternate, .ss_size = sizeof(alternate) }, old;
    CHECK_OK(sigaltstack(&stack, &old));
    CHECK_EQUAL(old.ss_flags, SS_DISABLE);
    CHECK_ERRNO(sigaltstack(&(stack_t){ .ss_sp = alternate, .ss_size = 100 }, NULL), ENOMEM);
    struct sigaction action = { .sa_sigaction = on_overflow, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    sigaction(SIGSEGV, &action, NULL);
    for (int i = 0; i < 3; i++) {
        on_alternate = false;
        if (sigsetjmp(escape, 1) == 0)
            recurse(&(volatile char){ 0 }); /* until the stack's limit */
        CHECK(on_alternate);
    }
    CHECK_OK(sigaltstack(&(stack_t){ .ss_flags = SS_DISABLE }, NULL));
}

/* Restartable: many faults of every kind, to find what is lost or mixed up. */
static void many(char *page)
{
    check_section("many");
    catch_all(0);
    volatile int one = 1, zero = 0, sink;
    int wrong = 0;
    for (int i = 0; i < 3000; i++) {
        memset((void *)&seen, 0, sizeof(seen));
        if (sigsetjmp(escape, 1) == 0) {
            switch (i % 4) {
            case 0: *(volatile char *)(uintptr_t)(i * 16 % 4096) = 1; break;
            case 1: sink = one / zero; break;
            case 2: __asm__ volatile("ud2"); break;
            case 3: sink = *(volatile int *)(0x8000000000000000 + (unsigned long)i); break;
            }
        }
        static const int expected[] = { SIGSEGV, SIGFPE, SIGILL, SIGSEGV };
        wrong += seen.si_signo != expected[i % 4];
        if (i % 4 == 0)
            wrong += seen.si_addr != (void *)(uintptr_t)(i * 16 % 4096);
    }
    (void)sink;
    CHECK_EQUAL(wrong, 0);
}

int main(void)
{
    char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    catch_all(0);
    codes(page);
    buses();
    contexts(page);
    catch_all(0);
    stacks();
    many(page);
    return check_done();
}
