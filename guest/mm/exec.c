/*
 * exec: from a file and its arguments to an address space whose first instruction can run.
 * Everything that can fail is done in the new address space while the old one still stands; then it
 * takes the old one's place.
 */
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/personality.h>
#include <linux/resource.h>

#include "arch/cpu.h"
#include "fs/file.h"
#include "hypercalls/layout.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "mm/exec.h"
#include "proc/process.h"

#define SCRIPT_DEPTH_MAX 5
#define BRK_RANDOM_BITS 13 /* 32 MiB */
#define MMAP_RANDOM_BITS 28
#define STACK_RANDOM_MAX (16ul << 30)
#define STACK_GAP_MIN (128ul << 20)

void exec_args_free(struct exec_args *args)
{
    kfree(args->data);
    memset(args, 0, sizeof(*args));
}

/* --- scripts --- */

/* Put n strings in front of args, whose first one gives way to filename. */
static long prepend(struct exec_args *args, const char *const *strings, size_t n,
                    const char *filename)
{
    size_t skip = args->argc ? strlen(args->data) + 1 : 0,
           size = args->size - skip + strlen(filename) + 1;
    char *data, *at;

    for (size_t i = 0; i < n; i++)
        size += strlen(strings[i]) + 1;
    data = at = kmalloc(size);
    if (!data)
        return size > exec_args_limit() ? -E2BIG : -ENOMEM;
    for (size_t i = 0; i < n; i++)
        at += strlcpy(at, strings[i], size) + 1;
    at += strlcpy(at, filename, size) + 1;
    memcpy(at, args->data + skip, args->size - skip);
    kfree(args->data);
    args->data = data;
    args->size = args->capacity = size;
    args->argc += (uint32_t)n + (args->argc ? 0 : 1);
    return 0;
}

/* x->file is a script: its interpreter takes its place. -ENOEXEC if it is neither. */
static long follow_script(struct exec *x, char *line, const char *name)
{
    const char *strings[2];
    struct file *interp;
    long r;

    r = script_parse(line, &strings[0], &strings[1]);
    if (r < 0)
        return r;
    interp = file_open_exec(AT_FDCWD, strings[0], 0);
    if (is_err(interp))
        return ptr_err(interp);
    r = prepend(x->args, strings, strings[1] ? 2 : 1, name);
    if (r < 0) {
        file_put(interp);
        return r;
    }
    file_put(x->file);
    x->file = interp;
    return 0;
}

/* Follow #! lines until x->file isn't a script; its head has been read then. */
static long resolve_scripts(struct exec *x)
{
    char *name = kmalloc(SCRIPT_LINE_MAX);
    const char *script = x->filename;
    long r = name ? 0 : -ENOMEM;

    for (int depth = 0; r == 0; depth++) {
        char *head;

        r = exec_read_head(x->file, &x->program);
        head = x->program.head;
        if (r < 0 || head[0] != '#' || head[1] != '!')
            break;
        r = depth == SCRIPT_DEPTH_MAX ? -ELOOP : follow_script(x, head, script);
        if (r == 0) {
            /* The interpreter's own name, should it be a script itself. */
            strlcpy(name, x->args->data, SCRIPT_LINE_MAX);
            script = name;
        }
    }
    kfree(name);
    return r;
}

/* --- images --- */

static struct file *open_interp_path(struct exec *x)
{
    const struct elf_image *elf = &x->program.elf;
    char *path = kmalloc(elf->interp_size);
    struct file *f;
    long r;

    if (!path)
        return err_ptr(-ENOMEM);
    r = exec_read(x->file, &x->program, path, elf->interp_size, elf->interp_offset);
    if (r == 0 && path[elf->interp_size - 1] != '\0')
        r = -ENOEXEC;
    f = r < 0 ? err_ptr(r) : file_open_exec(AT_FDCWD, path, 0);
    kfree(path);
    return f;
}

static long open_interp(struct exec *x)
{
    struct file *f;
    long r;

    if (!x->program.elf.interp_size)
        return 0;
    f = open_interp_path(x);
    if (is_err(f))
        return ptr_err(f);
    x->interp_file = f;
    r = exec_read_head(f, &x->interp);
    if (r == 0)
        r = elf_read(f, &x->interp);
    return r == -ENOEXEC ? -ELIBBAD : r;
}

static long read_images(struct exec *x)
{
    long r = resolve_scripts(x);

    if (r == 0)
        r = elf_read(x->file, &x->program);
    return r < 0 ? r : open_interp(x);
}

/* --- the address space --- */

/* Mappings go below the stack and what it may grow to (Linux: mmap_base). */
static void choose_mmap_top(struct mm *mm, bool randomize)
{
    uint64_t gap = rlimit(RLIMIT_STACK);

    if (gap < STACK_GAP_MIN)
        gap = STACK_GAP_MIN;
    gap = MIN(gap, (uint64_t)APP_END / 6 * 5) + (randomize ? STACK_RANDOM_MAX : 0);
    mm->mmap_top = PAGE_DOWN(APP_END - gap - exec_random_offset(MMAP_RANDOM_BITS, randomize));
}

/* The interpreter goes where mmap would put it. */
static long map_interp(struct exec *x)
{
    const struct elf_image *elf = &x->interp.elf;
    uint64_t span = elf->max - elf->min + elf->align;
    long r;

    if (elf->is_dynamic) {
        r = mm_mmap(x->mm, 0, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, NULL,
                    0);
        if (r < 0)
            return r;
        mm_munmap(x->mm, (uaddr_t)r, span);
        x->interp.bias = ALIGN_UP((uaddr_t)r, elf->align) - elf->min;
    }
    return elf_map(x->mm, x->interp_file, &x->interp);
}

static long map_images(struct exec *x, bool randomize)
{
    struct mm *mm = x->mm;
    long r;

    if (x->program.elf.is_dynamic)
        x->program.bias = elf_choose_base(&x->program.elf, randomize) - x->program.elf.min;
    r = elf_map(mm, x->file, &x->program);
    if (r < 0)
        return r;
    mm->exe = x->file;
    file_get(x->file);
    mm->brk_start = mm->brk =
        x->program.elf.max + x->program.bias + exec_random_offset(BRK_RANDOM_BITS, randomize);
    return x->interp_file ? map_interp(x) : 0;
}

static long build(struct exec *x)
{
    bool randomize = !(current->proc->personality & ADDR_NO_RANDOMIZE);
    long r;

    x->mm = mm_create();
    if (!x->mm)
        return -ENOMEM;
    choose_mmap_top(x->mm, randomize);
    r = map_images(x, randomize);
    if (r == 0)
        r = vdso_map(x->mm);
    return r < 0 ? r : exec_make_stack(x, randomize);
}

/* --- the change --- */

static void set_registers(const struct exec *x, struct regs *regs)
{
    memset(regs, 0, sizeof(*regs));
    regs->orig_rax = NO_SYSCALL;
    regs->rip = x->interp_file ? x->interp.elf.entry + x->interp.bias
                               : x->program.elf.entry + x->program.bias;
    regs->rsp = x->sp;
    regs->cs = USER_CS;
    regs->ss = USER_SS;
    regs->rflags = RING3_RFLAGS;
}

static void commit(struct exec *x, struct regs *regs)
{
    struct mm *old = current->proc->mm;

    current->proc->mm = current->mm = x->mm;
    mm_activate(x->mm);
    current->proc->personality &= ~(uint32_t)READ_IMPLIES_EXEC;
    proc_exec_commit(x->filename);
    set_registers(x, regs);
    if (old) {
        current->proc->min_faults += old->fault_count;
        mm_put(old);
    }
    x->mm = NULL;
}

static void release(struct exec *x)
{
    if (x->mm)
        mm_put(x->mm);
    if (x->interp_file)
        file_put(x->interp_file);
    if (x->file)
        file_put(x->file);
    exec_image_free(&x->program);
    exec_image_free(&x->interp);
    exec_args_free(x->args);
    kfree(x);
}

/* A program without arguments gets an empty argv[0], since many rely on one (Linux 5.18). */
static long ensure_argv0(struct exec_args *args)
{
    return args->argc ? 0 : prepend(args, NULL, 0, "");
}

long exec_program(struct file *file, const char *filename, struct exec_args *args,
                  struct regs *regs)
{
    struct exec *x = kzalloc(sizeof(*x));
    long r;

    if (!x) {
        file_put(file);
        exec_args_free(args);
        return -ENOMEM;
    }
    x->file = file;
    x->filename = filename;
    x->args = args;
    r = ensure_argv0(args);
    if (r == 0)
        r = read_images(x);
    if (r == 0)
        r = build(x);
    if (r == 0)
        r = proc_exec_begin();
    if (r == 0)
        commit(x, regs);
    release(x);
    return r;
}
