/* The memory calls: mmap with every flag, munmap, mprotect, mremap, madvise, mincore, msync, mlock, brk. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define PAGE 4096UL
#define MIB (1UL << 20)

static sigjmp_buf escape;
static volatile int fault_signal, fault_code;
static void *volatile fault_address;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    fault_signal = signal;
    fault_code = info->si_code;
    fault_address = info->si_addr;
    siglongjmp(escape, 1);
}

/* The signal that reading (or writing) one byte at p raises; 0 if none. */
static int touch(volatile char *p, bool write)
{
    fault_signal = 0;
    if (sigsetjmp(escape, 1))
        return fault_signal;
    if (write)
        *p = 1;
    else
        (void)*p;
    return 0;
}

static char *map(size_t size, int prot, int flags)
{
    char *p = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

static void anonymous(void)
{
    check_section("anonymous");
    char *p = map(16 * PAGE, PROT_READ | PROT_WRITE, 0);
    CHECK_EQUAL((uintptr_t)p % PAGE, 0);
    for (size_t i = 0; i < 16 * PAGE; i += 512)
        CHECK(p[i] == 0);
    memset(p, 0x5a, 16 * PAGE);
    CHECK_OK(munmap(p + 4 * PAGE, 4 * PAGE));
    CHECK_EQUAL(touch(p + 4 * PAGE, false), SIGSEGV);
    CHECK_EQUAL(fault_code, SEGV_MAPERR);
    CHECK(fault_address == p + 4 * PAGE);
    CHECK(p[4 * PAGE - 1] == 0x5a && p[8 * PAGE] == 0x5a);
    CHECK_OK(munmap(p, 16 * PAGE)); /* over the hole */
    CHECK_EQUAL(touch(p, false), SIGSEGV);
    CHECK_OK(munmap(p, 16 * PAGE)); /* nothing there is fine */

    CHECK_ERRNO(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EINVAL);
    CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_ANONYMOUS, -1, 0), EINVAL);
    CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 77, 0), EBADF);
    CHECK_ERRNO(mmap((void *)1, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), EINVAL);
    CHECK_ERRNO(mmap(NULL, SIZE_MAX & ~(PAGE - 1), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
    CHECK_ERRNO(munmap((void *)1, PAGE), EINVAL);
    CHECK_ERRNO(munmap(NULL, 0), EINVAL);
    CHECK_ERRNO(mmap((void *)0xffff800000000000, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
                ENOMEM);

    /* many small mappings, every second one unmapped */
    enum { COUNT = 400 };
    char *many[COUNT];
    for (int i = 0; i < COUNT; i++) {
        many[i] = map(2 * PAGE, PROT_READ | PROT_WRITE, 0);
        many[i][PAGE] = (char)i;
    }
    for (int i = 0; i < COUNT; i += 2)
        CHECK_OK(munmap(many[i], 2 * PAGE));
    for (int i = 1; i < COUNT; i += 2) {
        CHECK(many[i][PAGE] == (char)i);
        CHECK_OK(munmap(many[i], 2 * PAGE));
    }
}

static void flags(void)
{
    check_section("flags");
    char *p = map(8 * PAGE, PROT_READ | PROT_WRITE, 0);
    memset(p, 1, 8 * PAGE);
    CHECK(mmap(p + PAGE, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
          p + PAGE);
    CHECK(p[PAGE] == 0 && p[3 * PAGE - 1] == 0 && p[0] == 1 && p[3 * PAGE] == 1);
    CHECK_ERRNO(mmap(p, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
    CHECK_ERRNO(mmap(p + 7 * PAGE, 4 * PAGE, PROT_READ,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
                EEXIST);
    CHECK_OK(munmap(p, 8 * PAGE));
    CHECK(mmap(p, 8 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == p);
    /* a hint is honoured where there is room, and is only a hint where there is not */
    CHECK_OK(munmap(p, 8 * PAGE));
    CHECK(mmap(p, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == p);
    char *q = mmap(p, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(q != MAP_FAILED && q != p);

    p = map(64 * PAGE, PROT_READ | PROT_WRITE, MAP_POPULATE);
    unsigned char resident[64] = { 0 };
    CHECK_OK(mincore(p, 64 * PAGE, resident));
    int count = 0;
    for (int i = 0; i < 64; i++)
        count += resident[i] & 1;
    CHECK_EQUAL(count, 64);
    CHECK_OK(munmap(p, 64 * PAGE));

    p = map(PAGE, PROT_READ | PROT_WRITE, MAP_32BIT);
    CHECK((uintptr_t)p < 1UL << 31);
    *p = 1;
    CHECK_OK(munmap(p, PAGE));
    p = map(1 * MIB, PROT_READ | PROT_WRITE, MAP_STACK | MAP_NORESERVE);
    p[MIB - 1] = 1;
    CHECK_OK(munmap(p, MIB));

    /* GROWSDOWN: a fault in the page below extends the mapping */
    p = map(300 * PAGE, PROT_NONE, 0);
    CHECK_OK(munmap(p, 300 * PAGE));
    char *low = mmap(p + 298 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0);
    CHECK(low == p + 298 * PAGE);
    CHECK_EQUAL(touch(low, true), 0);
    CHECK_EQUAL(touch(low - 1, true), 0);
    CHECK_EQUAL(touch(low - PAGE - 8, true), 0);
    CHECK_OK(munmap(p, 300 * PAGE));

    CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_SHARED_VALIDATE | MAP_ANONYMOUS | 0x4000000, -1, 0), EINVAL);
}

static void reservation(void)
{
    check_section("reservation of 1 TiB");
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    size_t size = 1UL << 40;
    char *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(p != MAP_FAILED);
    clock_gettime(CLOCK_MONOTONIC, &b);
    CHECK((b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec < 50000000);
    CHECK_EQUAL(touch(p + size / 2, false), SIGSEGV);
    CHECK_EQUAL(fault_code, SEGV_ACCERR);
    CHECK_OK(mprotect(p + size / 2, 2 * MIB, PROT_READ | PROT_WRITE));
    p[size / 2] = 1;
    p[size / 2 + 2 * MIB - 1] = 2;
    CHECK_EQUAL(touch(p + size / 2 + 2 * MIB, false), SIGSEGV);
    CHECK_EQUAL(touch(p + size / 2 - 1, false), SIGSEGV);
    CHECK_OK(madvise(p + size / 2, 2 * MIB, MADV_DONTNEED));
    CHECK_EQUAL(p[size / 2], 0);
    CHECK_OK(munmap(p, size));
    CHECK_EQUAL(touch(p + size / 2, false), SIGSEGV);
    CHECK_EQUAL(fault_code, SEGV_MAPERR);
}

static void protection(void)
{
    check_section("protection");
    char *p = map(8 * PAGE, PROT_READ | PROT_WRITE, 0);
    memset(p, 7, 8 * PAGE);
    CHECK_OK(mprotect(p + PAGE, PAGE, PROT_READ));
    CHECK_EQUAL(touch(p + PAGE, false), 0);
    CHECK_EQUAL(touch(p + PAGE, true), SIGSEGV);
    CHECK_EQUAL(fault_code, SEGV_ACCERR);
    CHECK(fault_address == p + PAGE);
    CHECK_OK(mprotect(p + 2 * PAGE, PAGE, PROT_NONE));
    CHECK_EQUAL(touch(p + 2 * PAGE, false), SIGSEGV);
    CHECK_EQUAL(fault_code, SEGV_ACCERR);
    CHECK_OK(mprotect(p, 8 * PAGE, PROT_READ | PROT_WRITE));
    CHECK_EQUAL(touch(p + PAGE, true), 0);
    CHECK(p[2 * PAGE] == 7); /* contents survive PROT_NONE */
    CHECK_OK(munmap(p + 3 * PAGE, PAGE));
    CHECK_ERRNO(mprotect(p, 8 * PAGE, PROT_READ), ENOMEM);
    CHECK_EQUAL(touch(p + PAGE, true), SIGSEGV); /* up to the hole it was done */
    CHECK_ERRNO(mprotect(p + 1, PAGE, PROT_READ), EINVAL);
    CHECK_ERRNO(mprotect(p, PAGE, 0x1000), EINVAL);
    CHECK_OK(mprotect(p, 0, PROT_READ));
    munmap(p, 8 * PAGE);

    /* code: written, then executed; executing without PROT_EXEC faults */
    static const unsigned char code[] = { 0xb8, 42, 0, 0, 0, 0xc3 }; /* mov $42, %eax; ret */
    p = map(PAGE, PROT_READ | PROT_WRITE, 0);
    memcpy(p, code, sizeof(code));
    if (sigsetjmp(escape, 1) == 0) {
        ((int (*)(void))p)();
        CHECK(!"executed a page without PROT_EXEC");
    }
    CHECK_EQUAL(fault_signal, SIGSEGV);
    CHECK_EQUAL(fault_code, SEGV_ACCERR);
    CHECK(fault_address == p);
    CHECK_OK(mprotect(p, PAGE, PROT_READ | PROT_EXEC));
    CHECK_EQUAL(((int (*)(void))p)(), 42);
    CHECK_OK(mprotect(p, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC));
    p[1] = 43; /* self-modifying */
    CHECK_EQUAL(((int (*)(void))p)(), 43);
    munmap(p, PAGE);
}

static void remap(void)
{
    check_section("mremap");
    char *p = map(4 * PAGE, PROT_READ | PROT_WRITE, 0);
    for (int i = 0; i < 4; i++)
        p[i * PAGE] = (char)(i + 1);
    char *q = mremap(p, 4 * PAGE, 1024 * PAGE, MREMAP_MAYMOVE);
    CHECK(q != MAP_FAILED);
    CHECK(q[0] == 1 && q[3 * PAGE] == 4 && q[4 * PAGE] == 0 && q[1023 * PAGE] == 0);
    q[1023 * PAGE] = 9;
    CHECK(mremap(q, 1024 * PAGE, 2 * PAGE, 0) == q);
    CHECK(q[PAGE] == 2);
    CHECK_EQUAL(touch(q + 2 * PAGE, false), SIGSEGV);
    /* no room to grow in place without MAYMOVE */
    char *wall = mmap(q + 2 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(wall == q + 2 * PAGE);
    CHECK_ERRNO(mremap(q, 2 * PAGE, 4 * PAGE, 0), ENOMEM);
    char *target = map(8 * PAGE, PROT_NONE, 0);
    CHECK(mremap(q, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target + 3 * PAGE) == target + 3 * PAGE);
    CHECK(target[3 * PAGE] == 1 && target[4 * PAGE] == 2);
    CHECK_EQUAL(touch(q, false), SIGSEGV);
    CHECK_EQUAL(touch(target, false), SIGSEGV);
    CHECK_ERRNO(mremap(target + 3 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target + 4 * PAGE),
                EINVAL);
    char *kept = mremap(target + 3 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
    CHECK(kept != MAP_FAILED && kept[0] == 1);
    CHECK_EQUAL(target[3 * PAGE], 0);
    CHECK_ERRNO(mremap((void *)1, PAGE, PAGE, 0), EINVAL);
    CHECK_ERRNO(mremap(kept, PAGE, 0, 0), EINVAL);
    munmap(target, 8 * PAGE);
    CHECK_ERRNO(mremap(target, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EFAULT);
    /* a large heap, moved: page tables, not bytes */
    p = map(32 * MIB, PROT_READ | PROT_WRITE, 0);
    for (size_t i = 0; i < 32 * MIB; i += MIB)
        *(size_t *)(p + i) = i;
    wall = mmap(p + 32 * MIB, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    q = mremap(p, 32 * MIB, 64 * MIB, MREMAP_MAYMOVE);
    CHECK(q != MAP_FAILED);
    size_t bad = 0;
    for (size_t i = 0; i < 32 * MIB; i += MIB)
        bad += *(size_t *)(q + i) != i;
    CHECK_EQUAL(bad, 0);
    CHECK_EQUAL(q[64 * MIB - 1], 0);
    munmap(q, 64 * MIB);
}

static void advice(void)
{
    check_section("madvise and mincore");
    char *p = map(4 * MIB, PROT_READ | PROT_WRITE, 0);
    memset(p, 3, 4 * MIB);
    CHECK_OK(madvise(p + MIB, 2 * MIB, MADV_DONTNEED));
    size_t wrong = 0;
    for (size_t i = 0; i < 4 * MIB; i++)
        wrong += p[i] != (i >= MIB && i < 3 * MIB ? 0 : 3);
    CHECK_EQUAL(wrong, 0);
    CHECK_OK(madvise(p, MIB, MADV_FREE));
    p[0] = 5;
    CHECK_EQUAL(p[0], 5);
    static const int harmless[] = { MADV_NORMAL, MADV_RANDOM,   MADV_SEQUENTIAL, MADV_WILLNEED,
                                    MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_DONTFORK, MADV_DOFORK, MADV_DONTDUMP,
                                    MADV_DODUMP };
    for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
        if (!CHECK_OK(madvise(p, MIB, harmless[i])))
            printf("    advice %d\n", harmless[i]);
    CHECK_ERRNO(madvise(p, MIB, 12345), EINVAL);
    CHECK_ERRNO(madvise(p + 1, MIB, MADV_DONTNEED), EINVAL);
    unsigned char resident[4];
    CHECK_OK(mincore(p, 2 * PAGE, resident));
    CHECK_EQUAL(resident[0] & 1, 1);
    CHECK_ERRNO(mincore(p + 1, PAGE, resident), EINVAL);
    CHECK_OK(munmap(p, 4 * MIB));
    CHECK_ERRNO(mincore(p, PAGE, resident), ENOMEM);
    CHECK_ERRNO(madvise(p, PAGE, MADV_DONTNEED), ENOMEM);

    p = map(16 * PAGE, PROT_READ | PROT_WRITE, 0);
    CHECK_OK(mlock(p, 4 * PAGE));
    CHECK_OK(munlock(p, 4 * PAGE));
    CHECK_OK(mlock2(p, PAGE, MLOCK_ONFAULT));
    CHECK_OK(munlock(p, PAGE));
    CHECK_OK(mlockall(MCL_CURRENT));
    CHECK_OK(munlockall());
    munmap(p, 16 * PAGE);
    CHECK_ERRNO(mlock(p, PAGE), ENOMEM);
}

static void file_mappings(void)
{
    check_section("files");
    int fd = open("/tmp/memory-test", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK_OK(fd);
    char page[PAGE];
    for (int i = 0; i < 8; i++) {
        memset(page, 'a' + i, PAGE);
        CHECK_EQUAL(write(fd, page, PAGE), PAGE);
    }
    CHECK_EQUAL(write(fd, "tail", 4), 4);

    char *priv = mmap(NULL, 9 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    char *shared = mmap(NULL, 9 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *second = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 3 * PAGE);
    CHECK(priv != MAP_FAILED && shared != MAP_FAILED && second != MAP_FAILED);
    CHECK(priv[0] == 'a' && priv[8 * PAGE + 3] == 'l' && priv[8 * PAGE + 4] == 0 && shared[7 * PAGE] == 'h');
    priv[0] = 'P';
    CHECK_EQUAL(shared[0], 'a');
    CHECK_EQUAL(pread(fd, page, 1, 0), 1);
    CHECK_EQUAL(page[0], 'a');
    shared[3 * PAGE] = 'S';
    CHECK_EQUAL(second[0], 'S');
    CHECK_EQUAL(pread(fd, page, 1, 3 * PAGE), 1);
    CHECK_EQUAL(page[0], 'S');
    CHECK_EQUAL(pwrite(fd, "W", 1, 5 * PAGE), 1);
    CHECK_EQUAL(shared[5 * PAGE], 'W');
    CHECK_OK(msync(shared, 9 * PAGE, MS_SYNC));
    CHECK_OK(msync(shared, PAGE, MS_ASYNC));
    CHECK_ERRNO(msync(shared, PAGE, MS_ASYNC | MS_SYNC), EINVAL);
    CHECK_OK(madvise(priv, PAGE, MADV_DONTNEED));
    CHECK_EQUAL(priv[0], 'a'); /* the copy is dropped, the file shows again */
    CHECK_OK(madvise(shared, 9 * PAGE, MADV_DONTNEED));
    CHECK_EQUAL(shared[3 * PAGE], 'S');

    /* beyond the last page of the file */
    char *beyond = mmap(NULL, 16 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
    CHECK_EQUAL(touch(beyond + 9 * PAGE, false), SIGBUS);
    CHECK_EQUAL(fault_code, BUS_ADRERR);
    CHECK(fault_address == beyond + 9 * PAGE);
    CHECK_OK(ftruncate(fd, 16 * PAGE));
    CHECK_EQUAL(touch(beyond + 9 * PAGE, false), 0);
    CHECK_OK(ftruncate(fd, 2 * PAGE + 1));
    CHECK_EQUAL(touch(beyond + 9 * PAGE, false), SIGBUS);
    CHECK_EQUAL(touch(priv + 5 * PAGE, false), SIGBUS);
    CHECK_EQUAL(beyond[2 * PAGE + 1], 0); /* the rest of the last page is zeroed */
    munmap(beyond, 16 * PAGE);
    munmap(priv, 9 * PAGE);
    munmap(shared, 9 * PAGE);

    /* a mapping outlives the descriptor and the name */
    CHECK_EQUAL(pwrite(fd, "x", 1, 0), 1);
    shared = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    CHECK_OK(close(fd));
    CHECK_OK(unlink("/tmp/memory-test"));
    CHECK_EQUAL(shared[0], 'x');
    munmap(shared, PAGE);

    fd = open("/tmp/memory-test", O_RDONLY | O_CREAT | O_TRUNC, 0600);
    CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), EACCES);
    CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 1), EINVAL);
    shared = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    CHECK_ERRNO(mprotect(shared, PAGE, PROT_READ | PROT_WRITE), EACCES);
    close(fd);
    fd = open("/tmp/memory-test", O_WRONLY);
    CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0), EACCES);
    close(fd);
    unlink("/tmp/memory-test");
    fd = open("/tmp", O_RDONLY | O_DIRECTORY);
    CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0), ENODEV);
    close(fd);

    /* a program file of the read-only system */
    fd = open("/usr/bin/env", O_RDONLY);
    priv = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(priv != MAP_FAILED && !memcmp(priv, "\177ELF", 4));
    priv[0] = 1;
    CHECK_EQUAL(pread(fd, page, 4, 0), 4);
    CHECK(!memcmp(page, "\177ELF", 4));
    shared = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(shared != MAP_FAILED && shared[0] == 0x7f && priv[0] == 1);
    close(fd);

    fd = (int)syscall(SYS_memfd_create, "m", 1);
    CHECK_OK(fd);
    CHECK_OK(ftruncate(fd, 4 * PAGE));
    shared = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    second = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    shared[2 * PAGE] = 'm';
    CHECK_EQUAL(second[2 * PAGE], 'm');
    CHECK_EQUAL(pread(fd, page, 1, 2 * PAGE), 1);
    CHECK_EQUAL(page[0], 'm');

    check_section("shared anonymous");
    char *anon = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(anon != MAP_FAILED);
    anon[PAGE] = 4;
    char *twin = mremap(anon, 0, 4 * PAGE, MREMAP_MAYMOVE); /* size 0 of a shared mapping duplicates it */
    CHECK(twin != MAP_FAILED && twin != anon);
    if (twin != MAP_FAILED) {
        twin[0] = 8;
        CHECK_EQUAL(anon[0], 8);
        CHECK_EQUAL(twin[PAGE], 4);
    }
    CHECK_OK(madvise(anon, PAGE, MADV_DONTNEED));
    CHECK_EQUAL(anon[0], twin[0]); /* shared memory keeps its contents */
}

static void heap(void)
{
    check_section("brk");
    char *start = sbrk(0);
    CHECK(sbrk(64 * PAGE) == start);
    memset(start, 6, 64 * PAGE);
    CHECK_OK(brk(start + PAGE));
    CHECK_EQUAL(touch(start + 2 * PAGE, false), SIGSEGV);
    CHECK_OK(brk(start + 64 * PAGE));
    CHECK_EQUAL(start[0], 6);
    CHECK_EQUAL(start[2 * PAGE], 0); /* fresh again */
    CHECK_OK(brk(start));
    CHECK_EQUAL(syscall(SYS_brk, 0), (long)start);
    CHECK_EQUAL(syscall(SYS_brk, 1), (long)start); /* refused: unchanged */
    CHECK_EQUAL(syscall(SYS_brk, -4096L), (long)start);

    check_section("malloc");
    unsigned seed = 1;
    void *blocks[500] = { 0 };
    size_t sizes[500] = { 0 };
    size_t bad = 0;
    for (int i = 0; i < 20000; i++) {
        seed = seed * 1103515245 + 12345;
        int slot = (int)(seed >> 16) % 500;
        if (blocks[slot])
            bad += ((unsigned char *)blocks[slot])[sizes[slot] - 1] != (unsigned char)slot;
        free(blocks[slot]);
        sizes[slot] = (seed >> 8) % (i % 50 == 0 ? 1000000 : 3000) + 1;
        blocks[slot] = malloc(sizes[slot]);
        memset(blocks[slot], slot, sizes[slot]);
    }
    for (int i = 0; i < 500; i++)
        free(blocks[i]);
    CHECK_EQUAL(bad, 0);
}

/* How many of the longs at p aren't value. */
static size_t others(const char *p, size_t size, long value)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i += sizeof(long))
        n += *(const long *)(p + i) != value;
    return n;
}

static void fill(char *p, size_t size, long value)
{
    for (size_t i = 0; i < size; i += sizeof(long))
        *(long *)(p + i) = value;
}

/* A child that sees the parent's memory, writes to it, and maps and drops some of its own. */
static void fork_over(char *p, size_t size, long value)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        size_t bad = others(p, size, value);
        fill(p, size, ~value);
        char *own = map(size, PROT_READ | PROT_WRITE, 0);
        bad += others(own, size, 0);
        fill(own, size, ~value);
        munmap(own, size);
        munmap(p, size);
        _exit(bad ? 1 : 0);
    }
    CHECK_OK(waitpid(child, &status, 0));
    CHECK_EQUAL(status, 0);
    CHECK_EQUAL(others(p, size, value), 0);
}

/* Mappings of the same sizes come and go: each is new, and each that went is gone. */
static void repeated(void)
{
    check_section("repeated");
    char *live[3] = { NULL };
    size_t sizes[3] = { 0 };
    for (long round = 0; round < 60; round++) {
        size_t slot = (size_t)round % 3, size = (2 + (size_t)round * 7 % 3) * MIB / 2;
        char *p = live[slot];
        if (p) {
            CHECK_EQUAL(others(p, sizes[slot], round - 3), 0);
            if (round % 10 == 3)
                CHECK_OK(mprotect(p, sizes[slot] / 2, PROT_READ));
            CHECK_OK(munmap(p, sizes[slot]));
            CHECK_EQUAL(touch(p, false), SIGSEGV);
            CHECK_EQUAL(touch(p + sizes[slot] - 1, true), SIGSEGV);
        }
        int exec = round % 8 == 5 ? PROT_EXEC : 0;
        p = live[slot] = map(size, PROT_READ | PROT_WRITE | exec, 0);
        sizes[slot] = size;
        if (round % 4 == 1) /* one page first */
            CHECK_EQUAL(p[size - PAGE], 0);
        CHECK_EQUAL(others(p, size, 0), 0);
        fill(p, size, round);
        if (round % 9 == 4)
            fork_over(p, size, round);
        CHECK_EQUAL(touch(p + size - 1, true), 0);
        fill(p, size, round);
    }
    for (size_t i = 0; i < 3; i++)
        CHECK_OK(munmap(live[i], sizes[i]));
}

static void limits(void)
{
    check_section("limits");
    /* past any machine's memory: refused, not killed */
    CHECK_ERRNO(mmap(NULL, 1UL << 50, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
    struct rlimit old, limit;
    CHECK_OK(getrlimit(RLIMIT_AS, &old));
    limit = (struct rlimit){ 512 * MIB, old.rlim_max };
    CHECK_OK(setrlimit(RLIMIT_AS, &limit));
    CHECK_ERRNO(mmap(NULL, 1024 * MIB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
    CHECK_OK(setrlimit(RLIMIT_AS, &old));
    limit = (struct rlimit){ 0, RLIM_INFINITY };
    CHECK_OK(getrlimit(RLIMIT_DATA, &limit));
}

int main(void)
{
    struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    anonymous();
    flags();
    reservation();
    protection();
    remap();
    advice();
    file_mappings();
    heap();
    repeated();
    limits();
    return check_done();
}
