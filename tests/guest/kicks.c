/*
 * What a host-side kicker runs against: loops of every kind that would show a register, flag, vector or
 * memory value lost at an interruption, and counts of the signals that arrived.
 *
 *   kicks SECONDS                        run that long; no signal is fine
 *   kicks SECONDS SIGNALS acknowledge    … or until SIGUSR1 came SIGNALS times; the handler answers "+" to each
 */
#include <immintrin.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static atomic_long usr1, winch;
static bool acknowledge;
static sigjmp_buf escape;

static void on_signal(int signal)
{
    atomic_fetch_add(signal == SIGUSR1 ? &usr1 : &winch, 1);
    if (signal == SIGUSR1 && acknowledge && write(1, "+", 1) != 1)
        _exit(3);
    /* vector registers of the interrupted code must survive what a handler does with them */
    __asm__ volatile("pxor %%xmm0, %%xmm0\n\tpxor %%xmm7, %%xmm7\n\tpxor %%xmm15, %%xmm15" ::: "xmm0", "xmm7", "xmm15");
}

static void on_fault(int signal)
{
    siglongjmp(escape, 1);
}

/* All general registers but rsp, four vector registers and the flags hold known values through a long loop. */
static long registers(void)
{
    long bad;
    __asm__ volatile(
        "push %%rbp\n\t"
        "mov $0x101, %%rax\n\tmov $0x202, %%rbx\n\tmov $0x404, %%rdx\n\tmov $0x505, %%rsi\n\tmov $0x606, %%rdi\n\t"
        "mov $0x707, %%rbp\n\tmov $0x808, %%r8\n\tmov $0x909, %%r9\n\tmov $0xa0a, %%r10\n\tmov $0xb0b, %%r11\n\t"
        "mov $0xc0c, %%r12\n\tmov $0xd0d, %%r13\n\tmov $0xe0e, %%r14\n\tmov $0xf0f, %%r15\n\t"
        "movq %%rax, %%xmm0\n\tmovq %%rbx, %%xmm7\n\tmovq %%r8, %%xmm8\n\tmovq %%r15, %%xmm15\n\t"
        "mov $20000, %%ecx\n\t"
        "stc\n\t"
        "1:\n\t"
        "jnc 2f\n\t"         /* carry is not touched by dec */
        "dec %%ecx\n\t"
        "jnz 1b\n\t"
        "xor %%ecx, %%ecx\n\t"
        "jmp 3f\n\t"
        "2: mov $1, %%ecx\n\t"
        "3:\n\t"
        "cmp $0x101, %%rax\n\tjne 4f\n\tcmp $0x202, %%rbx\n\tjne 4f\n\tcmp $0x404, %%rdx\n\tjne 4f\n\t"
        "cmp $0x505, %%rsi\n\tjne 4f\n\tcmp $0x606, %%rdi\n\tjne 4f\n\tcmp $0x707, %%rbp\n\tjne 4f\n\t"
        "cmp $0x808, %%r8\n\tjne 4f\n\tcmp $0x909, %%r9\n\tjne 4f\n\tcmp $0xa0a, %%r10\n\tjne 4f\n\t"
        "cmp $0xb0b, %%r11\n\tjne 4f\n\tcmp $0xc0c, %%r12\n\tjne 4f\n\tcmp $0xd0d, %%r13\n\tjne 4f\n\t"
        "cmp $0xe0e, %%r14\n\tjne 4f\n\tcmp $0xf0f, %%r15\n\tjne 4f\n\t"
        "movq %%xmm0, %%rax\n\tcmp $0x101, %%rax\n\tjne 4f\n\t"
        "movq %%xmm7, %%rax\n\tcmp $0x202, %%rax\n\tjne 4f\n\t"
        "movq %%xmm8, %%rax\n\tcmp $0x808, %%rax\n\tjne 4f\n\t"
        "movq %%xmm15, %%rax\n\tcmp $0xf0f, %%rax\n\tjne 4f\n\t"
        "jmp 5f\n\t"
        "4: add $1, %%ecx\n\t"
        "5: pop %%rbp\n\t"
        : "=c"(bad)
        :
        : "rax", "rbx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm7",
          "xmm8", "xmm15", "cc", "memory");
    return bad;
}

/* The red zone below the stack pointer survives. */
static long red_zone(void)
{
    long bad = 0;
    for (int round = 0; round < 200; round++) {
        long result;
        __asm__ volatile("mov $0x77, %%rax\n\t"
                         "mov %%rax, -8(%%rsp)\n\tmov %%rax, -64(%%rsp)\n\tmov %%rax, -128(%%rsp)\n\t"
                         "mov $100, %%ecx\n\t1: dec %%ecx\n\tjnz 1b\n\t"
                         "mov -8(%%rsp), %0\n\tadd -64(%%rsp), %0\n\tadd -128(%%rsp), %0"
                         : "=r"(result)::"rax", "rcx", "cc", "memory");
        bad += result != 3 * 0x77;
    }
    return bad;
}

/* Tight loops of a system call, by the vDSO, by libc and by an own instruction. */
static long calls(void)
{
    long bad = 0, pid = getpid();
    for (int i = 0; i < 300; i++) {
        long result = SYS_getpid, rbx = 0x1234;
        __asm__ volatile("mov $0x55, %%r12\n\tsyscall\n\tcmp $0x55, %%r12\n\tje 1f\n\tmov $-1, %0\n\t1:"
                         : "+a"(result), "+b"(rbx)::"rcx", "r11", "r12", "cc", "memory");
        bad += result != pid || rbx != 0x1234;
        bad += syscall(SYS_getppid) < 0;
        struct timespec t;
        bad += clock_gettime(CLOCK_MONOTONIC, &t) != 0;
    }
    return bad;
}

/* Calls that fail are failed once, not restarted or lost: write and read keep step. */
static long pipe_traffic(void)
{
    static int ends[2];
    static unsigned char out, in;
    long bad = 0;
    if (!ends[1] && pipe(ends))
        return 1;
    for (int i = 0; i < 200; i++) {
        unsigned char byte;
        bad += write(ends[1], &out, 1) != 1;
        out++;
        bad += read(ends[0], &byte, 1) != 1 || byte != in;
        in++;
    }
    return bad;
}

/* First touches of fresh memory: a page fault is queued at any time. */
static long page_faults(void)
{
    long bad = 0;
    size_t size = 2 << 20;
    unsigned char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return 1;
    for (size_t i = 0; i < size; i += 4096) {
        bad += p[i] != 0;
        p[i + 1] = (unsigned char)(i >> 12);
    }
    for (size_t i = 0; i < size; i += 4096)
        bad += p[i + 1] != (unsigned char)(i >> 12);
    madvise(p, size, MADV_DONTNEED);
    for (size_t i = 0; i < size; i += 8 * 4096)
        bad += p[i + 1] != 0;
    munmap(p, size);
    return bad;
}

/* Faults that become signals. */
static long signal_faults(void)
{
    volatile long done = 0;
    for (volatile int i = 0; i < 100; i++)
        if (sigsetjmp(escape, 1) == 0)
            *(volatile char *)8 = 1;
        else
            done++;
    return done != 100;
}

/* Floating point of both kinds, and AVX where there is. */
__attribute__((target("avx"))) static long avx(void)
{
    __m256d a = _mm256_set_pd(1, 2, 3, 4), sum = _mm256_setzero_pd();
    double out[4];
    for (int i = 0; i < 5000; i++)
        sum = _mm256_add_pd(sum, a);
    _mm256_storeu_pd(out, sum);
    return out[0] != 20000 || out[1] != 15000 || out[2] != 10000 || out[3] != 5000;
}

static long floating(void)
{
    long double x = 1;
    for (int i = 0; i < 2000; i++)
        x = x * 1.0L + 0.25L;
    return (x != 501.0L) + (__builtin_cpu_supports("avx") ? avx() : 0);
}

/* Memory is copied by string instructions, which are interrupted in mid-way. */
static long strings(void)
{
    static unsigned char from[100000], to[100000];
    for (size_t i = 0; i < sizeof(from); i++)
        from[i] = (unsigned char)(i * 31);
    void *source = from, *target = to;
    size_t count = sizeof(to);
    memset(to, 0, sizeof(to));
    __asm__ volatile("rep movsb" : "+S"(source), "+D"(target), "+c"(count)::"memory");
    return memcmp(from, to, sizeof(to)) != 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        long (*body)(void);
    } loops[] = {
        { "registers", registers },       { "red zone", red_zone },       { "calls", calls },
        { "pipe", pipe_traffic },         { "page faults", page_faults }, { "signal faults", signal_faults },
        { "floating point", floating },   { "strings", strings },
    };
    enum { LOOPS = sizeof(loops) / sizeof(loops[0]) };
    long failures[LOOPS] = { 0 };
    double seconds = argc > 1 ? atof(argv[1]) : 1;
    long wanted = argc > 2 ? atol(argv[2]) : -1;
    acknowledge = argc > 3;
    struct timespec begin, now;
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGWINCH, &action, NULL);
    signal(SIGSEGV, on_fault);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    puts("ready");
    fflush(stdout);
    unsigned long round = 0;
    do {
        size_t which = round++ % LOOPS;
        failures[which] += loops[which].body();
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (((double)(now.tv_sec - begin.tv_sec) + (double)(now.tv_nsec - begin.tv_nsec) / 1e9 < seconds &&
              (wanted < 0 || atomic_load(&usr1) < wanted)) ||
             round < LOOPS);
    for (int i = 0; i < LOOPS; i++) {
        printf("%s: %ld wrong\n", loops[i].name, failures[i]);
        CHECK_EQUAL(failures[i], 0);
    }
    if (argc > 2) /* for the kicker, which compares with what it sent */
        fprintf(stderr, "SIGUSR1 %ld SIGWINCH %ld rounds %lu\n", atomic_load(&usr1), atomic_load(&winch), round);
    return check_done();
}
