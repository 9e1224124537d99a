/* The jail, seen from inside. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <asm/unistd.h>

#include "common/jail.h"
#include "gofer/seccomp.h"

static int in_child(unsigned layers, int (*child_main)(void *), int *ret_status)
{
    struct jail_child child;
    int err = jail_spawn(layers, child_main, NULL, &child);

    if (err)
        return err;
    waitpid(child.pid, ret_status, 0);
    close(child.pidfd);
    return 0;
}

static bool opens(const char *path)
{
    int fd = open(path, O_RDONLY);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* Each check that fails has an exit status of its own. */
static int look_around(void *arg)
{
    const struct jail_limits limits = { 1 << 20, 500 };
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct caps[2];
    struct rlimit limit;
    int proc_fd;

    (void)arg;
    proc_fd = jail_open_proc_fd();
    if (proc_fd < 0 || jail_change_root(proc_fd))
        return 1;
    if (jail_limit(&limits) > 500)
        return 2;
    if (jail_drop_privileges())
        return 3;
    if ((jail_layers() & JAIL_PID_NS) && getpid() != 1)
        return 4;
    if (jail_layers() & JAIL_ROOT) {
        if (opens("/etc/passwd") || opens("/proc/self/status") || opens("../../../etc/passwd"))
            return 5;
        if (opens("/../../status") || openat(proc_fd, "../status", O_RDONLY) >= 0)
            return 6;
        if (open("/new", O_CREAT | O_RDWR, 0600) >= 0)
            return 7;
    }
    if (syscall(__NR_capget, &header, caps) || caps[0].effective || caps[0].permitted || caps[1].effective)
        return 8;
    if (prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN) > 0 && geteuid() == 0)
        return 9;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE) != 0)
        return 10;
    if (getrlimit(RLIMIT_CORE, &limit) || limit.rlim_max || getrlimit(RLIMIT_FSIZE, &limit) ||
        limit.rlim_max != 1 << 20)
        return 11;
    if (jail_layers() & JAIL_NET_NS) {
        struct if_nameindex *names = if_nameindex();

        if (!names || !names[0].if_name || names[1].if_name)
            return 12; /* only lo */
    }
    if (unshare(CLONE_NEWNS) == 0 || setuid(12345) == 0)
        return 13;
    return 0;
}

Test(jail, all_layers)
{
    int status;

    cr_assert_eq(in_child(JAIL_NAMESPACES, look_around, &status), 0);
    cr_assert_eq(status, 0, "check %d", WEXITSTATUS(status));
}

/* What a host without user namespaces, or without any, leaves. */
Test(jail, fewer_layers)
{
    int status;

    cr_assert_eq(in_child(0, look_around, &status), 0);
    cr_assert_eq(status, 0, "check %d", WEXITSTATUS(status));
    cr_assert_eq(in_child(JAIL_USER_NS | JAIL_MOUNT_NS, look_around, &status), 0);
    cr_assert_eq(status, 0, "check %d", WEXITSTATUS(status));
}

static int self(void)
{
    jail_unshare(JAIL_NAMESPACES);
    return look_around(NULL);
}

static int self_as_nobody(void)
{
    if (setgid(65534) || setuid(65534))
        return 0;
    return self();
}

static int in_fork(int (*run)(void))
{
    int status;
    pid_t pid = fork();

    if (!pid)
        _exit(run());
    waitpid(pid, &status, 0);
    return status;
}

Test(jail, own_process)
{
    int status = in_fork(self);

    cr_assert_eq(status, 0, "check %d", WEXITSTATUS(status));
    status = in_fork(self_as_nobody);
    cr_assert_eq(status, 0, "check %d", WEXITSTATUS(status));
}

Test(jail, layer_names)
{
    unsigned n = 0;

    for (unsigned bit = 1; jail_layer_name(bit); bit <<= 1)
        n++;
    cr_assert_eq(n, 13);
    cr_assert_null(jail_layer_name(3));
}

/* The filter: what isn't listed ends the process. */

static int filtered(void)
{
    return jail_drop_privileges() || jail_filter(&seccomp_gofer);
}

static int filtered_clone3(void)
{
    if (filtered())
        return 1;
    return syscall(__NR_clone3, NULL, 0) < 0 && errno == ENOSYS ? 0 : 2;
}

static int filtered_socket(void)
{
    return filtered() ? 1 : socket(AF_UNIX, SOCK_STREAM, 0);
}

static int filtered_execve(void)
{
    return filtered() ? 1 : execl("/bin/true", "true", NULL);
}

static int filtered_create(void)
{
    return filtered() ? 1 : open("/tmp/x", O_CREAT | O_RDWR, 0600);
}

static int filtered_exec_map(void)
{
    return filtered() ? 1 : (int)syscall(__NR_mmap, NULL, 4096, 7, 0x22, -1, 0);
}

static int filtered_ptrace(void)
{
    return filtered() ? 1 : (int)syscall(__NR_ptrace, 0, 0, 0, 0);
}

static int filtered_device(void)
{
    return filtered() ? 1 : mknod("/tmp/x", S_IFCHR, makedev(1, 3));
}

static int filtered_sti(void)
{
    return filtered() ? 1 : (int)syscall(__NR_ioctl, 0, 0x5412 /* TIOCSTI */, "x");
}

Test(jail, filter)
{
    static int (*const killed[])(void) = { filtered_socket,   filtered_execve, filtered_create, filtered_exec_map,
                                           filtered_ptrace,   filtered_device, filtered_sti };

#ifdef VMM_SANITIZED
    cr_skip_test("the sanitizers' run-time needs more calls");
#endif
    cr_assert_eq(in_fork(filtered_clone3), 0);
    for (size_t i = 0; i < sizeof(killed) / sizeof(killed[0]); i++) {
        int status = in_fork(killed[i]);

        cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "attempt %zu: status %x", i, status);
    }
}
