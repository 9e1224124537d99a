/*
 * Random mappings, protections, moves, advice and forks over a region, against a model of what each
 * page must hold. Argument: the number of steps (20000), and the seed.
 */
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define PAGE 4096ul
#define REGION_PAGES 4096ul /* 16 MiB: several huge pages */
#define FILE_PAGES 256ul
#define RUN_MAX 700

enum kind { NOTHING, ANON, FILE_PRIVATE, SHARED };

/* What a page is, and what its first and last words are: 0, or the stamp that was written last. */
static struct {
    unsigned char kind, prot;
    uint64_t stamp;
    unsigned int
        file_page; /* FILE_PRIVATE: where it comes from; stamp counts once it was written */
    bool written;
} model[REGION_PAGES];

static char *region;
static int file;
static uint64_t next_stamp = 1, random_state;
static sigjmp_buf jump;

static uint64_t random_u64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static size_t random_below(size_t n)
{
    return (size_t)(random_u64() % n);
}

static void on_fault(int signal)
{
    siglongjmp(jump, signal);
}

static char *page(size_t i)
{
    return region + i * PAGE;
}

static uint64_t file_stamp(unsigned int file_page)
{
    return 0xf11e0000ull + file_page;
}

static uint64_t expected(size_t i)
{
    return model[i].kind == FILE_PRIVATE && !model[i].written ? file_stamp(model[i].file_page)
                                                              : model[i].stamp;
}

/* Does touching the page give the signal that it must? Leaves the value read in *ret. */
static int touch(size_t i, bool write, uint64_t stamp, uint64_t *ret)
{
    volatile uint64_t *first = (volatile uint64_t *)page(i),
                      *last = (volatile uint64_t *)(page(i) + PAGE - 8);
    int signal = sigsetjmp(jump, 1);

    if (signal)
        return signal;
    if (write) {
        *first = stamp;
        *last = stamp;
    } else {
        *ret = *first == *last ? *first : ~0ull;
    }
    return 0;
}

static bool check_page(size_t i)
{
    bool readable = model[i].kind != NOTHING && model[i].prot != PROT_NONE;
    uint64_t value = 0;
    int signal = touch(i, false, 0, &value);

    if (!readable)
        return CHECK(signal == SIGSEGV);
    return CHECK(signal == 0) && CHECK(value == expected(i));
}

static void write_page(size_t i)
{
    bool writable = model[i].kind != NOTHING && (model[i].prot & PROT_WRITE);
    uint64_t stamp = next_stamp++;

    CHECK(touch(i, true, stamp, NULL) == (writable ? 0 : SIGSEGV));
    if (writable) {
        model[i].stamp = stamp;
        model[i].written = true;
    }
}

static int random_prot(void)
{
    static const int prots[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE,
                                 PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC };

    return prots[random_below(5)];
}

static void set_model(size_t i, enum kind kind, int prot, unsigned int file_page)
{
    model[i].kind = (unsigned char)kind;
    model[i].prot = (unsigned char)prot;
    model[i].stamp = 0;
    model[i].written = false;
    model[i].file_page = file_page;
}

static void step_map(size_t first, size_t count)
{
    int prot = random_prot(), flags = MAP_FIXED;
    enum kind kind = ANON + (enum kind)random_below(3);
    size_t file_page = 0;

    if (kind == FILE_PRIVATE) {
        file_page = random_below(FILE_PAGES);
        if (count > FILE_PAGES - file_page)
            count = FILE_PAGES - file_page;
    }
    flags |= kind == SHARED ? MAP_SHARED | MAP_ANONYMOUS
             : kind == ANON ? MAP_PRIVATE | MAP_ANONYMOUS
                            : MAP_PRIVATE;
    if (random_below(8) == 0)
        flags |= MAP_POPULATE;
    CHECK(mmap(page(first), count * PAGE, prot, flags, kind == FILE_PRIVATE ? file : -1,
               (off_t)(file_page * PAGE)) == page(first));
    for (size_t i = first; i < first + count; i++)
        set_model(i, kind, prot, (unsigned int)(file_page + (i - first)));
}

static void step_protect(size_t first, size_t count)
{
    int prot = random_prot();
    bool hole = false;
    size_t i;

    for (i = first; i < first + count && !hole; i++)
        hole = model[i].kind == NOTHING;
    if (hole)
        return;
    CHECK_OK(mprotect(page(first), count * PAGE, prot));
    for (i = first; i < first + count; i++)
        model[i].prot = (unsigned char)prot;
}

static void step_unmap(size_t first, size_t count)
{
    CHECK_OK(munmap(page(first), count * PAGE));
    for (size_t i = first; i < first + count; i++)
        set_model(i, NOTHING, 0, 0);
}

static void step_advise(size_t first, size_t count)
{
    static const int advices[] = { MADV_DONTNEED, MADV_DONTNEED, MADV_HUGEPAGE, MADV_NOHUGEPAGE,
                                   MADV_WILLNEED };
    int advice = advices[random_below(5)];

    madvise(page(first), count * PAGE, advice); /* holes are an error, but the rest is done */
    for (size_t i = first; advice == MADV_DONTNEED && i < first + count; i++) {
        if (model[i].kind == ANON)
            model[i].stamp = 0;
        if (model[i].kind == FILE_PRIVATE)
            model[i].written = false;
    }
}

/*
 * Move a run to another place in the region; both must not overlap, and the run must be of one
 * kind.
 */
static void step_move(size_t from, size_t count)
{
    size_t to = random_below(REGION_PAGES - count), i;

    for (i = from; i < from + count; i++) {
        if (model[i].kind == NOTHING || model[i].kind != model[from].kind ||
            model[i].prot != model[from].prot)
            return;
        if (model[i].kind == FILE_PRIVATE &&
            model[i].file_page != model[from].file_page + (i - from))
            return;
    }
    if (to < from + count && from < to + count)
        return;
    if (mremap(page(from), count * PAGE, count * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, page(to)) ==
        MAP_FAILED) {
        CHECK(errno == EFAULT); /* the run is several mappings */
        for (i = to; i < to + count; i++)
            set_model(i, NOTHING, 0, 0);
        munmap(page(to), count * PAGE);
        return;
    }
    for (i = 0; i < count; i++) {
        model[to + i] = model[from + i];
        set_model(from + i, NOTHING, 0, 0);
    }
}

/* The child sees the same, and what it writes stays its own unless it is shared. */
static void step_fork(void)
{
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        for (int i = 0; i < 300; i++)
            check_page(random_below(REGION_PAGES));
        for (int i = 0; i < 100; i++) {
            size_t at = random_below(REGION_PAGES);

            if (model[at].kind != SHARED)
                write_page(at);
            check_page(at);
        }
        _exit(check_failures ? 1 : 0);
    }
    for (int i = 0; i < 50; i++) {
        size_t at = random_below(REGION_PAGES);

        if (model[at].kind != SHARED)
            write_page(at);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
}

/* Another mapping of the same content through the call that copies. */
static void step_pipe(size_t at)
{
    uint64_t value[2] = { 0, 0 };
    int fds[2];

    if (model[at].kind == NOTHING || model[at].prot == PROT_NONE || pipe(fds) < 0)
        return;
    CHECK(write(fds[1], page(at), 8) == 8);
    CHECK(read(fds[0], value, 8) == 8);
    CHECK(value[0] == expected(at));
    value[0] = next_stamp++;
    CHECK(write(fds[1], value, 8) == 8);
    if (model[at].prot & PROT_WRITE) {
        CHECK(read(fds[0], page(at), 8) == 8);
        memcpy(page(at) + PAGE - 8, value, 8);
        model[at].stamp = value[0];
        model[at].written = true;
    } else {
        CHECK_ERRNO(read(fds[0], page(at), 8), EFAULT);
    }
    close(fds[0]);
    close(fds[1]);
}

static void step(void)
{
    size_t first = random_below(REGION_PAGES),
           count = 1 + random_below(random_below(4) ? 16 : RUN_MAX);

    if (random_below(16) == 0) { /* whole huge pages */
        first &= ~511ul;
        count = 1024;
    }
    if (count > REGION_PAGES - first)
        count = REGION_PAGES - first;
    switch (random_below(16)) {
    case 0:
    case 1:
    case 2:
        step_map(first, count);
        break;
    case 3:
    case 4:
        step_protect(first, count);
        break;
    case 5:
        step_unmap(first, count);
        break;
    case 6:
        step_advise(first, count);
        break;
    case 7:
        if (count < REGION_PAGES)
            step_move(first, count);
        break;
    case 8:
        step_pipe(first);
        break;
    case 9:
        if (random_below(16) == 0)
            step_fork();
        break;
    case 10:
    case 11:
        for (size_t i = first; i < first + count; i++)
            write_page(i);
        break;
    default:
        for (size_t i = first; i < first + count; i += 1 + random_below(4))
            check_page(i);
    }
}

static void make_file(void)
{
    char path[] = "/tmp/memory_random.XXXXXX";
    uint64_t words[PAGE / 8] = { 0 };

    file = mkstemp(path);
    unlink(path);
    for (unsigned int i = 0; i < FILE_PAGES; i++) {
        words[0] = words[PAGE / 8 - 1] = file_stamp(i);
        CHECK(write(file, words, PAGE) == PAGE);
    }
}

int main(int argc, char **argv)
{
    struct sigaction action = { .sa_handler = on_fault };
    int steps = argc > 1 ? atoi(argv[1]) : 20000;
    char *raw;

    random_state = 88172645463325252ull + (argc > 2 ? strtoull(argv[2], NULL, 0) : 0);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    make_file();
    raw = mmap(NULL, (REGION_PAGES + 512) * PAGE, PROT_NONE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    region = (char *)(((uintptr_t)raw + 512 * PAGE - 1) & ~(512 * PAGE - 1));
    munmap(region, REGION_PAGES * PAGE);
    for (int i = 0; i < steps && !check_failures; i++)
        step();
    for (size_t i = 0; i < REGION_PAGES && !check_failures; i++)
        check_page(i);
    check_count =
        steps; /* how often kernels merge mappings, and so let them move, is their business */
    return check_done();
}
