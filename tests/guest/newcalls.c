/*
 * Calls that few programs make, most of them younger than the C library's headers: mseal, the xattr calls by directory,
 * cachestat, statmount, process_madvise, NUMA policies and others. What a kernel doesn't have yet is left out natively.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "check.h"

#define PAGE 4096ul
#define NR_pidfd_open 434
#define NR_process_madvise 440
#define NR_process_mrelease 448
#define NR_set_mempolicy_home_node 450
#define NR_cachestat 451
#define NR_statmount 457
#define NR_listmount 458
#define NR_mseal 462
#define NR_setxattrat 463
#define NR_getxattrat 464
#define NR_listxattrat 465
#define NR_removexattrat 466

/* Does the kernel have the call? Then it doesn't say ENOSYS to nonsense. */
static bool have(long nr)
{
    return syscall(nr, -1, -1, -1, -1, -1, -1) != -1 || errno != ENOSYS;
}

static char *map(size_t pages, int prot, int flags)
{
    return mmap(NULL, pages * PAGE, prot, flags | MAP_ANONYMOUS, -1, 0);
}

static void check_mseal(void)
{
    char *p = map(4, PROT_READ, MAP_PRIVATE), *w = map(1, PROT_READ | PROT_WRITE, MAP_PRIVATE);

    check_section("mseal");
    if (!have(NR_mseal))
        return;
    CHECK_ERRNO(syscall(NR_mseal, p, PAGE, 1), EINVAL);
    CHECK_ERRNO(syscall(NR_mseal, p + 1, PAGE, 0), EINVAL);
    CHECK_ERRNO(syscall(NR_mseal, PAGE, PAGE, 0), ENOMEM);
    CHECK_OK(syscall(NR_mseal, p, 0, 0));
    CHECK_OK(syscall(NR_mseal, p + PAGE, 2 * PAGE, 0));
    CHECK_OK(syscall(NR_mseal, p + PAGE, 2 * PAGE, 0));
    CHECK_OK(syscall(NR_mseal, w, PAGE, 0));
    CHECK_ERRNO(munmap(p, 4 * PAGE), EPERM);
    CHECK_ERRNO(mprotect(p + PAGE, PAGE, PROT_NONE), EPERM);
    CHECK_ERRNO((long)mremap(p + PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EPERM);
    CHECK_ERRNO((long)mmap(p + 2 * PAGE, PAGE, PROT_READ, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EPERM);
    CHECK_ERRNO(madvise(p + PAGE, PAGE, MADV_DONTNEED), EPERM);
    CHECK_OK(madvise(p + PAGE, PAGE, MADV_WILLNEED));
    CHECK_OK(madvise(w, PAGE, MADV_DONTNEED)); /* who may write may do as much */
    w[0] = p[PAGE]; /* still readable and writable */
    CHECK_OK(munmap(p, PAGE));
    CHECK_OK(mprotect(p + 3 * PAGE, PAGE, PROT_NONE));
    fflush(stdout);
    if (fork() == 0)
        _exit(munmap(p + PAGE, PAGE) == -1 && errno == EPERM ? 3 : 4);
    int status;
    CHECK_OK(wait(&status));
    CHECK_EQUAL(status, 3 << 8);
}

static void check_xattrs(void)
{
    struct {
        uint64_t value;
        uint32_t size, flags;
    } set = { (uintptr_t) "hello", 5, 0 }, get;
    char buf[100] = "";
    int dir = open("/tmp", O_RDONLY | O_DIRECTORY), fd = open("/tmp/newcalls-x", O_CREAT | O_RDWR, 0600);

    check_section("xattrs");
    symlink("newcalls-x", "/tmp/newcalls-l");
    if (have(NR_setxattrat)) {
        get.value = (uintptr_t)buf;
        get.size = sizeof(buf);
        get.flags = 0;
        CHECK_ERRNO(syscall(NR_setxattrat, dir, "newcalls-x", 0x10, "user.a", &set, 16), EINVAL);
        CHECK_ERRNO(syscall(NR_setxattrat, dir, "newcalls-x", 0, "user.a", &set, 8), EINVAL);
        CHECK_ERRNO(syscall(NR_setxattrat, dir, "newcalls-x", 0, "user.a", &set, 5000), E2BIG);
        CHECK_OK(syscall(NR_setxattrat, dir, "newcalls-x", 0, "user.a", &set, 16));
        set.flags = XATTR_CREATE;
        CHECK_ERRNO(syscall(NR_setxattrat, dir, "newcalls-l", 0, "user.a", &set, 16), EEXIST);
        CHECK_OK(syscall(NR_setxattrat, fd, "", AT_EMPTY_PATH, "user.b", &set, 16));
        CHECK_EQUAL(syscall(NR_getxattrat, dir, "newcalls-l", 0, "user.b", &get, 16), 5);
        CHECK(memcmp(buf, "hello", 5) == 0);
        CHECK_ERRNO(syscall(NR_getxattrat, dir, "newcalls-l", AT_SYMLINK_NOFOLLOW, "user.b", &get, 16), ENODATA);
        get.flags = 1;
        CHECK_ERRNO(syscall(NR_getxattrat, dir, "newcalls-x", 0, "user.b", &get, 16), EINVAL);
        CHECK_EQUAL(syscall(NR_listxattrat, dir, "newcalls-x", 0, buf, sizeof(buf)), 14);
        CHECK_ERRNO(syscall(NR_listxattrat, dir, "newcalls-x", 0, buf, 3), ERANGE);
        CHECK_OK(syscall(NR_removexattrat, dir, "newcalls-x", 0, "user.a"));
        CHECK_ERRNO(syscall(NR_removexattrat, dir, "newcalls-x", 0, "user.a"), ENODATA);
    }
    unlink("/tmp/newcalls-x");
    unlink("/tmp/newcalls-l");
    close(fd);
    close(dir);
}

static void check_cachestat(void)
{
    struct {
        uint64_t off, len;
    } all = { 0, 0 }, part = { PAGE, 2 * PAGE };
    uint64_t st[5];
    int fd = memfd_create("cached", 0);
    static char page[PAGE];

    check_section("cachestat");
    if (have(NR_cachestat)) {
        CHECK_OK(ftruncate(fd, 10 * (long)PAGE));
        CHECK_OK(pwrite(fd, page, PAGE, PAGE));
        CHECK_OK(pwrite(fd, page, PAGE, 5 * PAGE));
        CHECK_OK(syscall(NR_cachestat, fd, &all, st, 0));
        CHECK_EQUAL(st[0], 2);
        CHECK_OK(syscall(NR_cachestat, fd, &part, st, 0));
        CHECK_EQUAL(st[0], 1);
        CHECK_ERRNO(syscall(NR_cachestat, fd, &all, st, 1), EINVAL);
        CHECK_ERRNO(syscall(NR_cachestat, -1, &all, st, 0), EBADF);
        CHECK_ERRNO(syscall(NR_cachestat, fd, NULL, st, 0), EFAULT);
        CHECK_ERRNO(syscall(NR_cachestat, fd, &all, NULL, 0), EFAULT);
    }
    close(fd);
}

static void check_mounts(void)
{
    struct {
        uint32_t size, spare;
        uint64_t id, param;
    } rq = { 24, 0, 0, 0x3f }, root = { 24, 0, UINT64_MAX, 0 };
    static struct {
        uint32_t size, opts;
        uint64_t mask;
        uint32_t major, minor;
        uint64_t magic;
        uint32_t sb_flags, fs_type;
        uint64_t id, parent;
        uint32_t old_id, old_parent;
        uint64_t more[5];
        uint32_t mnt_root, mnt_point;
        char rest[512 - 112];
        char text[1000];
    } sm;
    uint64_t ids[1000];
    struct statx sx;
    struct stat st;
    bool found = false;
    long n;

    check_section("mounts");
    if (!have(NR_statmount))
        return;
    CHECK_OK(statx(AT_FDCWD, "/proc", 0, 0x4000 /* STATX_MNT_ID_UNIQUE */, &sx));
    CHECK_OK(stat("/proc", &st));
    rq.id = sx.stx_mnt_id;
    CHECK_OK(syscall(NR_statmount, &rq, &sm, sizeof(sm), 0));
    CHECK_EQUAL(sm.mask & 0x3b, 0x3b);
    CHECK_EQUAL(sm.id, sx.stx_mnt_id);
    CHECK_EQUAL(makedev(sm.major, sm.minor), st.st_dev);
    CHECK_EQUAL(sm.magic, 0x9fa0);
    CHECK(strcmp(sm.text + sm.fs_type, "proc") == 0);
    CHECK(strcmp(sm.text + sm.mnt_point, "/proc") == 0);
    CHECK(strcmp(sm.text + sm.mnt_root, "/") == 0);
    CHECK(sm.size > 512);
    CHECK_ERRNO(syscall(NR_statmount, &rq, &sm, 513, 0), EOVERFLOW);
    CHECK_ERRNO(syscall(NR_statmount, &rq, &sm, sizeof(sm), 1), EINVAL);
    rq.size = 8;
    CHECK_ERRNO(syscall(NR_statmount, &rq, &sm, sizeof(sm), 0), EINVAL);
    rq.size = 24;
    rq.id = UINT64_MAX - 5;
    CHECK_ERRNO(syscall(NR_statmount, &rq, &sm, sizeof(sm), 0), ENOENT);
    n = syscall(NR_listmount, &root, ids, 1000, 0);
    CHECK(n > 0);
    for (long i = 0; i < n; i++) {
        found |= ids[i] == sx.stx_mnt_id;
        if (i > 0 && ids[i] <= ids[i - 1])
            CHECK(false);
    }
    CHECK(found);
    root.param = ids[0];
    CHECK_EQUAL(syscall(NR_listmount, &root, ids, 1000, 0), n - 1);
    CHECK_ERRNO(syscall(NR_listmount, &root, ids, 1000, 0x100), EINVAL);
    CHECK_ERRNO(syscall(NR_listmount, &root, ids, 2000000, 0), EOVERFLOW);
}

static void check_process_calls(void)
{
    char *p = map(4, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    struct iovec v[2] = { { p, PAGE }, { p + 2 * PAGE, 2 * PAGE } }, bad[2] = { { p, PAGE }, { (void *)PAGE, PAGE } };
    int self = (int)syscall(NR_pidfd_open, getpid(), 0), child, status;
    pid_t pid;

    check_section("process_madvise");
    CHECK_EQUAL(syscall(NR_process_madvise, self, v, 2, MADV_COLD, 0), 3 * PAGE);
    CHECK_EQUAL(syscall(NR_process_madvise, self, bad, 2, MADV_COLD, 0), PAGE);
    CHECK_ERRNO(syscall(NR_process_madvise, self, v, 2, MADV_COLD, 1), EINVAL);
    CHECK_ERRNO(syscall(NR_process_madvise, -1, v, 2, MADV_COLD, 0), EBADF);
    CHECK_ERRNO(syscall(NR_process_madvise, self, v, 2, 12345, 0), EINVAL);
    CHECK_ERRNO(syscall(NR_process_madvise, self, v, 1025, MADV_COLD, 0), EINVAL);
    fflush(stdout);
    pid = fork();
    if (pid == 0)
        pause();
    child = (int)syscall(NR_pidfd_open, pid, 0);
    CHECK_ERRNO(syscall(NR_process_madvise, child, v, 2, MADV_DONTNEED, 0), EINVAL);
    CHECK_ERRNO(syscall(NR_process_mrelease, child, 0), EINVAL);
    CHECK_ERRNO(syscall(NR_process_mrelease, child, 1), EINVAL);
    CHECK_ERRNO(syscall(NR_process_mrelease, -1, 0), EBADF);
    kill(pid, SIGKILL);
    CHECK_OK(waitpid(pid, &status, 0));
    CHECK_ERRNO(syscall(NR_process_mrelease, child, 0), ESRCH);
    close(child);
    close(self);
    munmap(p, 4 * PAGE);
}

static void check_policies(void)
{
    unsigned long node0 = 1, none = 0, got = 0;
    char *p = map(4, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    int mode = -1;

    check_section("NUMA policies");
    errno = 0;
    if (syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0) == -1 && errno == ENOSYS)
        return;
    CHECK_EQUAL(mode, MPOL_DEFAULT);
    CHECK_OK(syscall(SYS_set_mempolicy, MPOL_BIND, &node0, 64));
    CHECK_OK(syscall(SYS_get_mempolicy, &mode, &got, 1024, NULL, 0));
    CHECK_EQUAL(mode, MPOL_BIND);
    CHECK_EQUAL(got, 1);
    CHECK_ERRNO(syscall(SYS_set_mempolicy, MPOL_BIND, &none, 64), EINVAL);
    CHECK_ERRNO(syscall(SYS_set_mempolicy, 77, NULL, 0), EINVAL);
    CHECK_OK(syscall(SYS_mbind, p + PAGE, PAGE, MPOL_INTERLEAVE, &node0, 64, 0));
    CHECK_OK(syscall(SYS_get_mempolicy, &mode, &got, 1024, p + PAGE, MPOL_F_ADDR));
    CHECK_EQUAL(mode, MPOL_INTERLEAVE);
    CHECK_EQUAL(got, 1);
    CHECK_OK(syscall(SYS_get_mempolicy, &mode, &got, 1024, p, MPOL_F_ADDR));
    CHECK_EQUAL(mode, MPOL_DEFAULT); /* the memory's own, not the thread's */
    p[PAGE] = 1;
    CHECK_OK(syscall(SYS_get_mempolicy, &mode, NULL, 0, p + PAGE, MPOL_F_ADDR | MPOL_F_NODE));
    CHECK_EQUAL(mode, 0);
    CHECK_ERRNO(syscall(SYS_get_mempolicy, &mode, NULL, 0, p, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_mbind, p + 1, PAGE, MPOL_BIND, &node0, 64, 0), EINVAL);
    if (have(NR_set_mempolicy_home_node)) {
        CHECK_ERRNO(syscall(NR_set_mempolicy_home_node, p, PAGE, 0, 0), ENOENT);
        CHECK_ERRNO(syscall(NR_set_mempolicy_home_node, p + PAGE, PAGE, 0, 0), EOPNOTSUPP);
        CHECK_OK(syscall(SYS_mbind, p, PAGE, MPOL_BIND, &node0, 64, 0));
        CHECK_OK(syscall(NR_set_mempolicy_home_node, p, PAGE, 0, 0));
        CHECK_ERRNO(syscall(NR_set_mempolicy_home_node, p, PAGE, 0, 1), EINVAL);
    }
    CHECK_OK(syscall(SYS_mbind, p + PAGE, PAGE, MPOL_DEFAULT, NULL, 0, 0));
    fflush(stdout);
    if (fork() == 0)
        _exit(syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0) == 0 && mode == MPOL_BIND ? 3 : 4);
    int status;
    CHECK_OK(wait(&status));
    CHECK_EQUAL(status, 3 << 8);
    CHECK_OK(syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0));
    munmap(p, 4 * PAGE);
}

static void check_seals(void)
{
    int fd = memfd_create("sealed", MFD_ALLOW_SEALING);
    char *p;

    check_section("seals");
    CHECK_OK(ftruncate(fd, PAGE));
    p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    char *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    CHECK_OK(munmap(shared, PAGE));
    CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    CHECK_ERRNO((long)mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), EPERM);
    munmap(p, PAGE);
    close(fd);
}

static void check_remapping(void)
{
    char *p = map(4, PROT_READ | PROT_WRITE, MAP_SHARED);

    check_section("remap_file_pages");
    for (int i = 0; i < 4; i++)
        p[(size_t)i * PAGE] = (char)('a' + i);
    CHECK_OK(syscall(SYS_remap_file_pages, p, PAGE, 0, 3, 0));
    CHECK_EQUAL(p[0], 'd');
    p[0] = 'z';
    CHECK_EQUAL(p[3 * PAGE], 'z');
    CHECK_ERRNO(syscall(SYS_remap_file_pages, p, PAGE, PROT_READ, 3, 0), EINVAL);
    munmap(p, 4 * PAGE);
    p = map(1, PROT_READ, MAP_PRIVATE);
    CHECK_ERRNO(syscall(SYS_remap_file_pages, p, PAGE, 0, 0, 0), EINVAL);
    munmap(p, PAGE);

}

static void check_oldest_calls(void)
{
    struct {
        int32_t tfree;
        uint64_t tinode;
        char names[12];
    } u;
    char name[100] = "";
    struct stat st;
    long proc;

    check_section("ustat");
    if (have(SYS_ustat)) {
        CHECK_OK(stat("/dev/shm", &st));
        CHECK_OK(syscall(SYS_ustat, (unsigned)st.st_dev, &u));
        CHECK(u.tfree > 0);
        CHECK_ERRNO(syscall(SYS_ustat, 0xfffffu, &u), EINVAL);
        CHECK_ERRNO(syscall(SYS_ustat, (unsigned)st.st_dev, NULL), EFAULT);
    }
    check_section("sysfs");
    if (have(SYS_sysfs)) {
        proc = syscall(SYS_sysfs, 1, "proc");
        CHECK(proc >= 0);
        CHECK_OK(syscall(SYS_sysfs, 2, proc, name));
        CHECK(strcmp(name, "proc") == 0);
        CHECK(syscall(SYS_sysfs, 3) > proc);
        CHECK_ERRNO(syscall(SYS_sysfs, 1, "no such type"), EINVAL);
        CHECK_ERRNO(syscall(SYS_sysfs, 4), EINVAL);
    }
}

int main(void)
{
    check_mseal();
    check_xattrs();
    check_cachestat();
    check_mounts();
    check_process_calls();
    check_policies();
    check_seals();
    check_remapping();
    check_oldest_calls();
    printf("%d failed\n", check_failures);
    return check_failures != 0;
}
