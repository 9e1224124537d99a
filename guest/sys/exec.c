/*
 * execve and execveat: fetch path, arguments and environment from the app; the work is mm/exec.c's.
 */
#include <linux/fcntl.h>
#include <linux/limits.h>

#include "fs/file.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "mm/exec.h"
#include "proc/ptrace.h"
#include "sys/syscall.h"

#define STRING_MAX (32 * PAGE_SIZE) /* one argument with its NUL */
#define STRINGS_STEP 512
#define ROOM_FIRST 4096u

/* Room for n more bytes. */
static long reserve(struct exec_args *args, size_t n)
{
    size_t capacity = MAX(args->capacity, (size_t)ROOM_FIRST);
    char *data;

    while (capacity < args->size + n)
        capacity *= 2;
    if (capacity == args->capacity)
        return 0;
    data = krealloc(args->data, capacity);
    if (!data)
        return -ENOMEM;
    args->data = data;
    args->capacity = capacity;
    return 0;
}

/* Append the string at addr, a piece at a time: most are short. */
static long append_string(struct exec_args *args, uaddr_t addr, uint64_t limit)
{
    size_t len = 0;

    for (;;) {
        ssize_t r;

        if (reserve(args, STRINGS_STEP) < 0)
            return -ENOMEM;
        r = strncpy_from_user(args->data + args->size, addr + len, STRINGS_STEP);
        if (r >= 0) {
            args->size += (size_t)r + 1;
            return len + (size_t)r + 1 > STRING_MAX || args->size > limit ? -E2BIG : 0;
        }
        if (r != -ENAMETOOLONG)
            return r;
        args->size += STRINGS_STEP;
        len += STRINGS_STEP;
        if (len >= STRING_MAX || args->size > limit)
            return -E2BIG;
    }
}

/* Append the strings of a NULL-terminated vector; no vector is an empty one. */
static long append_vector(struct exec_args *args, uaddr_t vector, uint64_t limit,
                          uint32_t *ret_count)
{
    uint32_t count = 0;

    for (; vector; vector += sizeof(uaddr_t), count++) {
        uaddr_t string;
        long r = get_user(string, vector);

        if (r < 0)
            return r;
        if (!string)
            break;
        if ((uint64_t)count * sizeof(uaddr_t) > limit)
            return -E2BIG;
        r = append_string(args, string, limit);
        if (r < 0)
            return r;
    }
    *ret_count = count;
    return 0;
}

static long fetch_args(struct exec_args *args, uaddr_t argv, uaddr_t envp)
{
    uint64_t limit = exec_args_limit();
    long r;

    memset(args, 0, sizeof(*args));
    r = reserve(args, ROOM_FIRST);
    if (r == 0)
        r = append_vector(args, argv, limit, &args->argc);
    if (r == 0)
        r = append_vector(args, envp, limit, &args->envc);
    if (r < 0)
        exec_args_free(args);
    return r;
}

/* The name that the program is told it was run by (execveat(2), AT_EXECFN). */
static void name_of(char *name, size_t size, int dirfd, const char *path)
{
    if (dirfd == AT_FDCWD || *path == '/')
        strlcpy(name, path, size);
    else if (*path)
        ksnprintf(name, size, "/dev/fd/%d/%s", dirfd, path);
    else
        ksnprintf(name, size, "/dev/fd/%d", dirfd);
}

static long exec_path(int dirfd, const char *path, char *name, uaddr_t argv, uaddr_t envp,
                      int flags)
{
    struct exec_args args;
    struct file *file = file_open_exec(dirfd, path, flags);
    int old_tid = current->tid;
    long r;

    if (is_err(file))
        return ptr_err(file);
    r = fetch_args(&args, argv, envp);
    if (r < 0) {
        file_put(file);
        return r;
    }
    name_of(name, PATH_MAX + 32, dirfd, path);
    r = exec_program(file, name, &args, current->regs);
    if (r == 0)
        ptrace_exec(old_tid);
    return r;
}

static long do_exec(int dirfd, uaddr_t path_addr, uaddr_t argv, uaddr_t envp, int flags)
{
    char *path, *name;
    ssize_t r;

    if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
        return -EINVAL;
    path = kmalloc(PATH_MAX);
    name = kmalloc(PATH_MAX + 32);
    r = path && name ? strncpy_from_user(path, path_addr, PATH_MAX) : -ENOMEM;
    if (r == 0 && !(flags & AT_EMPTY_PATH))
        r = -ENOENT;
    if (r >= 0)
        r = exec_path(dirfd, path, name, argv, envp, flags);
    kfree(path);
    kfree(name);
    return r;
}

SYSCALL_DEFINE3(execve, uaddr_t, path, uaddr_t, argv, uaddr_t, envp)
{
    return do_exec(AT_FDCWD, path, argv, envp, 0);
}

SYSCALL_DEFINE5(execveat, int, dirfd, uaddr_t, path, uaddr_t, argv, uaddr_t, envp, int, flags)
{
    return do_exec(dirfd, path, argv, envp, flags);
}
