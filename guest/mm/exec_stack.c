/*
 * A new program's stack (x86-64 psABI 3.4.1): from the top down the file name, the strings of
 * environment and arguments, random bytes, the platform's name, then auxv, envp, argv and argc,
 * where rsp points.
 */
#include <linux/auxvec.h>
#include <linux/limits.h>
#include <linux/mman.h>
#include <linux/resource.h>

#include "arch/cpu.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "mm/exec.h"
#include "mm/vma.h"
#include "proc/process.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif
#ifndef AT_RSEQ_FEATURE_SIZE
#define AT_RSEQ_FEATURE_SIZE 27
#define AT_RSEQ_ALIGN 28
#endif

#define STACK_EXTRA 0x20000ul /* room below the arguments from the start, as in Linux */
#define ARGS_MAX (6ul << 20)
#define ARGS_MIN 0x20000ul
#define STACK_RANDOM_BITS 22
#define CLOCK_TICKS 100
#define HWCAP2_FSGSBASE 2
#define RSEQ_FEATURE_SIZE 28
#define RSEQ_ALIGN 32

/*
 * What a signal frame holds besides the vector state: ucontext, siginfo, return address, alignment.
 */
#define SIGNAL_FRAME_FIXED 576

static const char stack_name[] = "[stack]";

uint64_t exec_args_limit(void)
{
    return MAX(MIN(rlimit(RLIMIT_STACK) / 4, ARGS_MAX), ARGS_MIN);
}

uint64_t exec_random_offset(unsigned int bits, bool randomize)
{
    uint64_t r = 0;

    if (randomize)
        random_bytes(&r, sizeof(r));
    return (r & ((1ull << bits) - 1)) << PAGE_SHIFT;
}

/* cpuid traps: ask once. */
static uint32_t hwcap(void)
{
    static uint32_t edx;
    uint32_t out[4];

    if (!edx) {
        cpuid(1, 0, out);
        edx = out[3];
    }
    return edx;
}

/* --- auxv --- */

static void add_aux(struct mm *mm, uint64_t type, uint64_t value)
{
    size_t n = mm->auxv_size / sizeof(uint64_t);

    mm->auxv[n] = type;
    mm->auxv[n + 1] = value;
    mm->auxv_size += 2 * sizeof(uint64_t);
}

struct stack_strings {
    uaddr_t execfn, platform, random;
};

/* In Linux's order. */
static void make_auxv(struct exec *x, const struct stack_strings *s)
{
    const struct exec_image *p = &x->program;
    const struct cred *c = &current->proc->cred;
    struct mm *mm = x->mm;

    mm->auxv_size = 0;
    if (mm->vdso)
        add_aux(mm, AT_SYSINFO_EHDR, mm->vdso);
    add_aux(mm, AT_MINSIGSTKSZ, ALIGN_UP(fpu_size + SIGNAL_FRAME_FIXED, 64));
    add_aux(mm, AT_HWCAP, hwcap());
    add_aux(mm, AT_PAGESZ, PAGE_SIZE);
    add_aux(mm, AT_CLKTCK, CLOCK_TICKS);
    add_aux(mm, AT_PHDR, p->elf.phdr_addr ? p->elf.phdr_addr + p->bias : 0);
    add_aux(mm, AT_PHENT, sizeof(Elf64_Phdr));
    add_aux(mm, AT_PHNUM, p->elf.phdr_count);
    add_aux(mm, AT_BASE, x->interp_file ? x->interp.bias : 0);
    add_aux(mm, AT_FLAGS, 0);
    add_aux(mm, AT_ENTRY, p->elf.entry + p->bias);
    add_aux(mm, AT_UID, c->uid);
    add_aux(mm, AT_EUID, c->euid);
    add_aux(mm, AT_GID, c->gid);
    add_aux(mm, AT_EGID, c->egid);
    add_aux(mm, AT_SECURE, 0);
    add_aux(mm, AT_RANDOM, s->random);
    add_aux(mm, AT_HWCAP2, HWCAP2_FSGSBASE);
    add_aux(mm, AT_EXECFN, s->execfn);
    add_aux(mm, AT_PLATFORM, s->platform);
    add_aux(mm, AT_RSEQ_FEATURE_SIZE, RSEQ_FEATURE_SIZE);
    add_aux(mm, AT_RSEQ_ALIGN, RSEQ_ALIGN);
    add_aux(mm, AT_NULL, 0);
}

/* --- pointers --- */

/* Writes 64-bit words upwards, a page's worth at a time. */
struct word_writer {
    struct mm *mm;
    uaddr_t at;
    size_t count;
    uint64_t words[64];
};

static long flush_words(struct word_writer *w)
{
    long r = mm_write(w->mm, w->at, w->words, w->count * sizeof(w->words[0]), true);

    w->at += w->count * sizeof(w->words[0]);
    w->count = 0;
    return r;
}

static long write_word(struct word_writer *w, uint64_t word)
{
    w->words[w->count++] = word;
    return w->count == ARRAY_SIZE(w->words) ? flush_words(w) : 0;
}

/*
 * Pointers to count strings that lie packed at *string, then NULL. data is the shim's copy of them.
 */
static long write_pointers(struct word_writer *w, uint32_t count, const char **data,
                           uaddr_t *string)
{
    for (uint32_t i = 0; i < count; i++) {
        size_t len = strlen(*data) + 1;
        long r = write_word(w, *string);

        if (r < 0)
            return r;
        *string += len;
        *data += len;
    }
    return write_word(w, 0);
}

static long write_vectors(struct exec *x, uaddr_t strings)
{
    struct word_writer w = { .mm = x->mm, .at = x->sp };
    const char *data = x->args->data;
    uaddr_t string = strings;
    long r;

    r = write_word(&w, x->args->argc);
    x->mm->arg_start = string;
    if (r == 0)
        r = write_pointers(&w, x->args->argc, &data, &string);
    x->mm->arg_end = x->mm->env_start = string;
    if (r == 0)
        r = write_pointers(&w, x->args->envc, &data, &string);
    x->mm->env_end = string;
    if (r == 0)
        r = flush_words(&w);
    return r < 0 ? r : mm_write(x->mm, w.at, x->mm->auxv, x->mm->auxv_size, true);
}

/* --- the stack as a whole --- */

static long make_vma(struct exec *x, uaddr_t top, uint64_t size)
{
    uint32_t prot = PROT_READ | PROT_WRITE | (x->program.elf.exec_stack ? PROT_EXEC : 0);
    uint64_t room = MIN(PAGE_DOWN(rlimit(RLIMIT_STACK)), size + STACK_EXTRA);
    struct vma *vma;

    if (size > room)
        return -E2BIG;
    vma = vma_alloc(top - room, top, prot, VMA_GROWSDOWN | VMA_STACK | x->mm->default_flags, NULL,
                    0, stack_name);
    if (!vma)
        return -ENOMEM;
    vma_insert(x->mm, vma);
    x->mm->stack_top = top;
    return 0;
}

/* Push bytes below *at. */
static long push(struct mm *mm, uaddr_t *at, const void *bytes, size_t n)
{
    *at -= n;
    return mm_write(mm, *at, bytes, n, true);
}

static long push_strings(struct exec *x, uaddr_t top, struct stack_strings *s, uaddr_t *ret_strings,
                         uaddr_t *at)
{
    static const char platform[] = "x86_64";
    uint8_t random[16];
    uint64_t jitter = 0;
    long r;

    *at = top - sizeof(uint64_t); /* Linux ends with an empty word */
    r = push(x->mm, at, x->filename, strlen(x->filename) + 1);
    s->execfn = *at;
    if (r == 0)
        r = push(x->mm, at, x->args->data, x->args->size);
    *ret_strings = *at;
    random_bytes(&jitter, sizeof(jitter));
    *at = ALIGN_DOWN(*at - (jitter & 0xff0), 16);
    if (r == 0)
        r = push(x->mm, at, platform, sizeof(platform));
    s->platform = *at;
    random_bytes(random, sizeof(random));
    if (r == 0)
        r = push(x->mm, at, random, sizeof(random));
    s->random = *at;
    return r;
}

long exec_make_stack(struct exec *x, bool randomize)
{
    uaddr_t top = APP_END - exec_random_offset(STACK_RANDOM_BITS, randomize), strings = 0, at = 0;
    uint64_t pointers = (x->args->argc + (uint64_t)x->args->envc + 3) * sizeof(uint64_t);
    uint64_t size =
        x->args->size + strlen(x->filename) + pointers + PAGE_SIZE + sizeof(x->mm->auxv);
    struct stack_strings s = { 0 };
    long r;

    if (x->args->size + strlen(x->filename) + 1 + pointers > exec_args_limit())
        return -E2BIG;
    r = make_vma(x, top, PAGE_UP(size));
    if (r == 0)
        r = push_strings(x, top, &s, &strings, &at);
    if (r < 0)
        return r;
    make_auxv(x, &s);
    x->sp = ALIGN_DOWN(at - x->mm->auxv_size - pointers, 16);
    return write_vectors(x, strings);
}
