/* Identity and limits: ids, uname, sysinfo, rlimits, usage, affinity, prctl, capabilities, scheduling. */
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

/* As many as there may be, in a wild order; a child has them too, and files of the group are open to it. */
static void many_groups(void)
{
    static gid_t given[65536], got[65536];
    int fd = open("/tmp/identity-groups", O_CREAT | O_RDWR | O_TRUNC, 0640), status, wrong = 0;

    for (unsigned i = 0; i < 65536; i++)
        given[i] = i * 40503u % 65536 * 2 + 1;
    CHECK_OK(fchown(fd, 3, 40001));
    CHECK_OK(fchmod(fd, 0640));
    CHECK_OK(setgroups(65536, given));
    CHECK_EQUAL(getgroups(65536, got), 65536);
    for (unsigned i = 0; i < 65536; i++)
        wrong += got[i] != i * 2 + 1;
    CHECK_EQUAL(wrong, 0);
    if (fork() == 0) {
        int n = getgroups(0, NULL);
        setresuid(1000, 1000, 1000);
        _exit(n == 65536 && open("/tmp/identity-groups", O_RDONLY) >= 0 && open("/tmp/identity-groups", O_RDWR) < 0 ? 0 : 1);
    }
    wait(&status);
    CHECK_EQUAL(status, 0);
    CHECK_OK(unlink("/tmp/identity-groups"));
    close(fd);
}

int main(void)
{
    check_section("ids");
    printf("uid %d gid %d euid %d egid %d\n", getuid(), getgid(), geteuid(), getegid());
    uid_t r, e, s;
    CHECK_OK(getresuid(&r, &e, &s));
    CHECK(r == e && e == s && r == getuid());
    CHECK_OK(getresgid(&r, &e, &s));
    gid_t groups[64];
    int count = getgroups(64, groups);
    CHECK(count >= 0);
    CHECK_EQUAL(getgroups(0, NULL), count);
    CHECK(getpid() > 1 && getppid() >= 0 && getpid() != getppid());
    CHECK_EQUAL(syscall(SYS_gettid), getpid());
    CHECK(getpgid(0) == getpgrp() && getsid(0) >= 0);
    CHECK_ERRNO(getpgid(999999), ESRCH);
    CHECK_OK(setuid(getuid()));
    CHECK_OK(setgid(getgid()));
    CHECK_OK(setreuid(-1, -1));
    if (getuid() == 0) {
        CHECK_OK(setgroups(2, (gid_t[]){ 5, 6 }));
        CHECK_EQUAL(getgroups(64, groups), 2);
        CHECK(groups[0] == 5 && groups[1] == 6);
        CHECK_OK(setgroups(3, (gid_t[]){ 9, 0, 9 }));
        CHECK_EQUAL(getgroups(64, groups), 3);
        CHECK(groups[0] == 0 && groups[1] == 9 && groups[2] == 9);
        CHECK_ERRNO(getgroups(2, groups), EINVAL);
        many_groups();
        CHECK_ERRNO(setgroups(65537, groups), EINVAL);
        CHECK_ERRNO(syscall(SYS_setgroups, -1, groups), EINVAL);
        CHECK_ERRNO(setgroups(3, (gid_t *)8), EFAULT);
        CHECK_EQUAL(getgroups(0, NULL), 65536);
        CHECK_OK(setgroups(0, NULL));
        CHECK_EQUAL(getgroups(0, (gid_t *)8), 0);
        CHECK_EQUAL(setfsuid(0), 0);
        CHECK_OK(setegid(7));
        CHECK_EQUAL(getegid(), 7);
        CHECK_OK(setegid(0));
        CHECK_OK(seteuid(1000));
        CHECK_EQUAL(geteuid(), 1000);
        CHECK_ERRNO(setuid(33), EPERM);
        CHECK_OK(seteuid(0));
    }

    check_section("uname and sysinfo");
    struct utsname name;
    CHECK_OK(uname(&name));
    CHECK(!strcmp(name.sysname, "Linux") && !strcmp(name.machine, "x86_64"));
    int major = 0, minor = 0;
    CHECK(sscanf(name.release, "%d.%d", &major, &minor) == 2 && major >= 4);
    CHECK(name.nodename[0] && name.version[0]);
    char host[65];
    CHECK_OK(gethostname(host, sizeof(host)));
    CHECK(!strcmp(host, name.nodename));
    struct sysinfo info;
    CHECK_OK(sysinfo(&info));
    CHECK(info.totalram > 0 && info.freeram <= info.totalram && info.mem_unit > 0 && info.uptime >= 0 &&
          info.procs >= 1);

    check_section("limits");
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        struct rlimit a, b;
        CHECK_OK(getrlimit(i, &a));
        CHECK_OK(syscall(SYS_prlimit64, 0, i, NULL, &b));
        CHECK(a.rlim_cur == b.rlim_cur && a.rlim_cur <= a.rlim_max);
        CHECK_OK(setrlimit(i, &a));
    }
    CHECK_ERRNO(getrlimit(99, &(struct rlimit){ 0 }), EINVAL);
    struct rusage usage;
    CHECK_OK(getrusage(RUSAGE_SELF, &usage));
    CHECK(usage.ru_maxrss > 0);
    CHECK_OK(getrusage(RUSAGE_CHILDREN, &usage));
    CHECK_EQUAL(usage.ru_utime.tv_sec, 0);
    CHECK_OK(getrusage(RUSAGE_THREAD, &usage));
    CHECK_ERRNO(getrusage(55, &usage), EINVAL);

    check_section("scheduling");
    cpu_set_t set;
    CPU_ZERO(&set);
    CHECK_OK(sched_getaffinity(0, sizeof(set), &set));
    CHECK(CPU_COUNT(&set) >= 1);
    CHECK_OK(sched_setaffinity(0, sizeof(set), &set));
    CPU_ZERO(&set);
    CHECK_ERRNO(sched_setaffinity(0, sizeof(set), &set), EINVAL);
    CHECK_OK(sched_yield());
    CHECK_EQUAL(sched_getscheduler(0), SCHED_OTHER);
    CHECK_EQUAL(sched_get_priority_max(SCHED_FIFO), 99);
    CHECK_EQUAL(getpriority(PRIO_PROCESS, 0), 0);
    CHECK_OK(setpriority(PRIO_PROCESS, 0, 5));
    CHECK_EQUAL(getpriority(PRIO_PROCESS, 0), 5);
    struct itimerval timer;
    CHECK_OK(getitimer(ITIMER_REAL, &timer));
    CHECK_EQUAL(timer.it_value.tv_sec, 0);

    check_section("prctl");
    char title[17] = { 0 };
    CHECK_OK(prctl(PR_SET_NAME, "a-long-name-that-is-cut"));
    CHECK_OK(prctl(PR_GET_NAME, title));
    CHECK(!strcmp(title, "a-long-name-tha"));
    CHECK_OK(prctl(PR_SET_DUMPABLE, 1)); /* a change of ids has cleared it */
    CHECK_EQUAL(prctl(PR_GET_DUMPABLE), 1);
    CHECK_OK(prctl(PR_SET_DUMPABLE, 0));
    CHECK_EQUAL(prctl(PR_GET_DUMPABLE), 0);
    CHECK_ERRNO(prctl(PR_SET_DUMPABLE, 7), EINVAL);
    CHECK_OK(prctl(PR_SET_PDEATHSIG, 0));
    CHECK_EQUAL(prctl(PR_GET_KEEPCAPS), 0);
    CHECK_EQUAL(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
    CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    CHECK_EQUAL(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    CHECK_EQUAL(prctl(PR_GET_TIMERSLACK), 50000);
    CHECK_EQUAL(prctl(PR_CAPBSET_READ, 0), 1);
    CHECK_ERRNO(prctl(99999), EINVAL);
    unsigned long base;
    CHECK_OK(syscall(SYS_arch_prctl, 0x1003 /* ARCH_GET_FS */, &base));
    CHECK(base != 0);
    CHECK_OK(syscall(SYS_arch_prctl, 0x1001 /* ARCH_SET_GS */, 0x12345000));
    CHECK_OK(syscall(SYS_arch_prctl, 0x1004 /* ARCH_GET_GS */, &base));
    CHECK_EQUAL(base, 0x12345000);
    CHECK_ERRNO(syscall(SYS_arch_prctl, 0x1001, 0x8000000000000000), EPERM);
    CHECK_ERRNO(syscall(SYS_arch_prctl, 0x9999, 0), EINVAL);

    check_section("capabilities");
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct caps[2];
    CHECK_OK(syscall(SYS_capget, &header, caps));
    CHECK_OK(syscall(SYS_capset, &header, caps));
    header.version = 5;
    CHECK_ERRNO(syscall(SYS_capget, &header, caps), EINVAL);
    CHECK_EQUAL(header.version, _LINUX_CAPABILITY_VERSION_3);

    check_section("unknown calls");
    CHECK_ERRNO(syscall(5000), ENOSYS);
    CHECK_ERRNO(syscall(-1), ENOSYS);
    CHECK_ERRNO(syscall(SYS_tuxcall), ENOSYS);
    CHECK_ERRNO(syscall(0x40000000 + 1), ENOSYS); /* x32 */
    CHECK_EQUAL(sysconf(_SC_PAGESIZE), 4096);
    CHECK_EQUAL(sysconf(_SC_CLK_TCK), 100);
    CHECK(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
    return check_done();
}
