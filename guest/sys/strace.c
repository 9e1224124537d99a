/*
 * One line for each system call, in strace(1)'s manner: the arguments by the table's signature, strings shown, and the result.
 * Lines are written when the call returns, except for calls that don't return or may park for long.
 */
#include "sys/strace.h"

#include "arch/uaccess.h"
#include "hypercalls/hypercall.h"
#include "lib/base.h"
#include "lib/log.h"
#include "lib/string.h"
#include "proc/process.h"
#include "sys/table.h"

#define STRING_SHOWN 64

bool strace_enabled;

static const char *const names[] = {
#define X(number, name, state, ...) [number] = #name,
    SYSCALL_LIST(X)
#undef X
};

const char *syscall_name(uint64_t nr)
{
    return nr < ARRAY_SIZE(names) ? names[nr] : NULL;
}

/*
 * How to show arguments: d number, x hexadecimal, o octal, s string, b buffer whose length is the next argument,
 * p pointer, F descriptor or AT_FDCWD. Calls that aren't listed show six hexadecimal words.
 */
static const struct {
    const char *name, *args;
} formats[] = {
    { "read", "Fpd" },        { "write", "Fbd" },         { "open", "sxo" },         { "close", "F" },
    { "stat", "sp" },         { "fstat", "Fp" },          { "lstat", "sp" },         { "poll", "pdd" },
    { "lseek", "Fdd" },       { "mmap", "pxxxFx" },       { "mprotect", "pxx" },     { "munmap", "px" },
    { "brk", "p" },           { "rt_sigaction", "dppd" }, { "rt_sigprocmask", "dppd" }, { "ioctl", "Fxp" },
    { "pread64", "Fpdd" },    { "pwrite64", "Fbdd" },     { "readv", "Fpd" },        { "writev", "Fpd" },
    { "access", "so" },       { "pipe", "p" },            { "sched_yield", "" },     { "mremap", "pxxxp" },
    { "madvise", "pxd" },     { "dup", "F" },             { "dup2", "Fd" },          { "dup3", "Fdx" },
    { "getpid", "" },         { "clone", "xpppx" },       { "fork", "" },            { "vfork", "" },
    { "execve", "spp" },      { "exit", "d" },            { "wait4", "dpxp" },       { "kill", "dd" },
    { "uname", "p" },         { "fcntl", "Fdx" },         { "flock", "Fd" },         { "fsync", "F" },
    { "truncate", "sd" },     { "ftruncate", "Fd" },      { "getdents64", "Fpd" },   { "getcwd", "px" },
    { "chdir", "s" },         { "fchdir", "F" },          { "rename", "ss" },        { "mkdir", "so" },
    { "rmdir", "s" },         { "creat", "so" },          { "link", "ss" },          { "unlink", "s" },
    { "symlink", "ss" },      { "readlink", "spd" },      { "chmod", "so" },         { "chown", "sdd" },
    { "umask", "o" },         { "gettid", "" },           { "futex", "pddppx" },     { "set_tid_address", "p" },
    { "exit_group", "d" },    { "openat", "Fsxo" },       { "mkdirat", "Fso" },      { "newfstatat", "Fspx" },
    { "unlinkat", "Fsx" },    { "renameat2", "FsFsx" },   { "readlinkat", "Fspd" },  { "faccessat", "Fso" },
    { "faccessat2", "Fsox" }, { "pipe2", "px" },          { "prlimit64", "ddpp" },   { "getrandom", "pdx" },
    { "statx", "Fsxxp" },     { "rseq", "pdxx" },         { "clone3", "px" },        { "arch_prctl", "xp" },
    { "statfs", "sp" },       { "fstatfs", "Fp" },        { "set_robust_list", "pd" }, { "tgkill", "ddd" },
    { "getuid", "" },         { "getgid", "" },           { "geteuid", "" },         { "getegid", "" },
    { "clock_nanosleep", "dxpp" }, { "clock_gettime", "dp" }, { "socket", "dxd" },   { "epoll_wait", "Fpdd" },
    { "openat2", "Fspd" },    { "close_range", "ddx" },   { "preadv", "Fpdd" },      { "pwritev", "Fpdd" },
    { "preadv2", "Fpddxx" },  { "pwritev2", "Fpddxx" },   { "sendfile", "FFpd" },    { "copy_file_range", "FpFpdx" },
    { "splice", "FpFpdx" },   { "tee", "FFdx" },          { "vmsplice", "Fpdx" },    { "getdents", "Fpd" },
    { "renameat", "FsFs" },   { "linkat", "FsFsx" },      { "symlinkat", "sFs" },    { "mknod", "sox" },
    { "mknodat", "Fsox" },    { "fchmod", "Fo" },         { "fchmodat", "Fso" },     { "fchmodat2", "Fsox" },
    { "fchown", "Fdd" },      { "lchown", "sdd" },        { "fchownat", "Fsddx" },   { "utime", "sp" },
    { "utimes", "sp" },       { "futimesat", "Fsp" },     { "utimensat", "Fspx" },   { "fallocate", "Fxdd" },
    { "fadvise64", "Fddd" },  { "readahead", "Fdd" },     { "sync", "" },            { "syncfs", "F" },
    { "fdatasync", "F" },     { "sync_file_range", "Fddx" }, { "chroot", "s" },      { "memfd_create", "sx" },
    { "setxattr", "sspdx" },  { "lsetxattr", "sspdx" },   { "fsetxattr", "Fspdx" },  { "getxattr", "sspd" },
    { "lgetxattr", "sspd" },  { "fgetxattr", "Fspd" },    { "listxattr", "spd" },    { "llistxattr", "spd" },
    { "flistxattr", "Fpd" },  { "removexattr", "ss" },    { "lremovexattr", "ss" },  { "fremovexattr", "Fs" },
    { "connect", "Fpd" },     { "bind", "Fpd" },          { "listen", "Fd" },        { "accept", "Fpp" },
    { "accept4", "Fppx" },    { "getsockname", "Fpp" },   { "getpeername", "Fpp" },  { "shutdown", "Fd" },
    { "socketpair", "dxdp" }, { "setsockopt", "Fddpd" },  { "getsockopt", "Fddpp" }, { "sendto", "Fbdxpd" },
    { "recvfrom", "Fpdxpp" }, { "sendmsg", "Fpx" },       { "recvmsg", "Fpx" },      { "sendmmsg", "Fpdx" },
    { "recvmmsg", "Fpdxp" },
};

struct line {
    char text[480];
    size_t len;
};

static void put(struct line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct line *l, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    l->len += (size_t)kvsnprintf(l->text + l->len, sizeof(l->text) - l->len, fmt, ap);
    va_end(ap);
    if (l->len > sizeof(l->text) - 1)
        l->len = sizeof(l->text) - 1;
}

static void put_bytes(struct line *l, const char *s, size_t n, bool more)
{
    put(l, "\"");
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\n')
            put(l, "\\n");
        else if (s[i] < ' ' || s[i] > '~' || s[i] == '"')
            put(l, "\\%o", (unsigned char)s[i]);
        else
            put(l, "%c", s[i]);
    }
    put(l, more ? "\"..." : "\"");
}

static void put_string(struct line *l, uaddr_t addr)
{
    char s[STRING_SHOWN + 1];
    ssize_t n = strncpy_from_user(s, addr, sizeof(s));

    if (n == -EFAULT)
        put(l, "0x%lx", addr);
    else
        put_bytes(l, s, n < 0 ? STRING_SHOWN : (size_t)n, n < 0);
}

static void put_buffer(struct line *l, uaddr_t addr, uint64_t len)
{
    char s[STRING_SHOWN];
    size_t n = MIN(len, sizeof(s));

    if (copy_from_user(s, addr, n) < 0)
        put(l, "0x%lx", addr);
    else
        put_bytes(l, s, n, len > n);
}

static void put_arg(struct line *l, char how, const uint64_t *arg)
{
    switch (how) {
    case 'd':
        put(l, "%ld", (long)arg[0]);
        break;
    case 'o':
        put(l, "%#o", (unsigned)arg[0]);
        break;
    case 's':
        put_string(l, arg[0]);
        break;
    case 'b':
        put_buffer(l, arg[0], arg[1]);
        break;
    case 'F':
        if ((int)arg[0] == -100)
            put(l, "AT_FDCWD");
        else
            put(l, "%d", (int)arg[0]);
        break;
    default:
        put(l, arg[0] ? "0x%lx" : "%lu", arg[0]);
    }
}

static const char *format_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
        if (!strcmp(formats[i].name, name))
            return formats[i].args;
    return "xxxxxx";
}

static void put_call(struct line *l, uint64_t nr, const uint64_t *arg)
{
    const char *name = syscall_name(nr);

    put(l, "[%d] ", current->tid);
    if (!name) {
        put(l, "syscall_%lu(", nr);
        name = "";
    } else {
        put(l, "%s(", name);
    }
    for (const char *f = format_of(name); *f; f++) {
        put_arg(l, *f, arg++);
        if (f[1])
            put(l, ", ");
    }
    put(l, ")");
}

/* The arguments, kept until the result is there: calls may change them (execve) or the registers (rt_sigreturn). */
void strace_enter(const struct regs *r)
{
    struct line l = { .len = 0 };
    const uint64_t arg[6] = { r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9 };

    put_call(&l, r->orig_rax, arg);
    klog_write(LOG_STRACE, l.text, l.len);
}

void strace_exit(const struct regs *regs UNUSED, uint64_t nr, long ret)
{
    struct line l = { .len = 0 };
    const char *name = syscall_name(nr);

    put(&l, "[%d]     %s = ", current->tid, name ? name : "?");
    if (ret < 0 && ret >= -4095)
        put(&l, "-%ld (errno)", -ret);
    else
        put(&l, ret > 4096 || ret < 0 ? "0x%lx" : "%ld", ret);
    klog_write(LOG_STRACE, l.text, l.len);
}

void strace_first_exec(const char *path, unsigned argc, unsigned envc)
{
    struct line l = { .len = 0 };

    put(&l, "[%d] execve(", current->tid);
    put_bytes(&l, path, strlen(path), false);
    put(&l, ", %u arguments, %u variables)", argc, envc);
    klog_write(LOG_STRACE, l.text, l.len);
}
