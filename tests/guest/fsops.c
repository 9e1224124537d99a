/*
 * Random operations on names: every result, errno and final state is printed, to be the same natively and in the VM.
 *
 *     fsops SEED STEPS [DIRECTORY]
 *
 * Works in DIRECTORY/fsops/work (default /tmp), with few names, so that they collide all the time.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FD_COUNT 8
#define PATH_SIZE 256
#define NAME_COUNT 9
#define PLAIN_NAMES 6

static const char *const names[NAME_COUNT] = { "a", "b", "c", "d", "dir", "sub", "link", "..", "." };

static uint32_t seed;
static int fds[FD_COUNT];
static char path[PATH_SIZE], other[PATH_SIZE];
static char data[9000];

static uint32_t pick(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

/* A path of one to three names; those with ".." start low enough not to leave the directory. */
static char *make_path(char *buf)
{
    uint32_t depth = 1 + pick(3);
    char text[PATH_SIZE / 2] = "";

    for (uint32_t i = 0; i < depth; i++) {
        if (i > 0)
            strcat(text, pick(20) == 0 ? "//" : "/");
        strcat(text, names[pick(pick(4) ? PLAIN_NAMES : NAME_COUNT)]);
    }
    if (pick(12) == 0)
        strcat(text, "/");
    snprintf(buf, PATH_SIZE, "%s%s", strstr(text, "..") ? "dir/sub/" : "", text);
    return buf;
}

static const char *outcome(long ret)
{
    static char text[32];

    if (ret < 0)
        snprintf(text, sizeof(text), "%s", strerrorname_np(errno));
    else
        snprintf(text, sizeof(text), "%ld", ret);
    return text;
}

/* Sizes and link counts of directories are their file system's own matter. */
static void show_stat(const char *what, const struct stat *st)
{
    if (S_ISDIR(st->st_mode))
        printf("%s: %o owner %u %s\n", what, st->st_mode, st->st_uid, st->st_nlink ? "" : "removed");
    else
        printf("%s: %o links %lu size %ld owner %u\n", what, st->st_mode, (unsigned long)st->st_nlink,
               (long)st->st_size, st->st_uid);
}

static void do_stat(const char *name, int flags)
{
    struct stat st;
    long ret = fstatat(AT_FDCWD, name, &st, flags);

    if (ret < 0)
        printf("stat %s: %s\n", name, outcome(ret));
    else
        show_stat(name, &st);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names, types, and whether readdir's inode number is stat's. */
static void do_list(const char *name)
{
    char *entries[64];
    int count = 0;
    DIR *dir = opendir(name);
    struct dirent *e;

    if (!dir) {
        printf("list %s: %s\n", name, outcome(-1));
        return;
    }
    while ((e = readdir(dir)) && count < 64) {
        struct stat st;
        bool same = fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == e->d_ino;

        if (asprintf(&entries[count], " %s/%d%s", e->d_name, e->d_type,
                     same || strcmp(e->d_name, "..") == 0 ? "" : "/number differs") < 0)
            abort();
        count++;
    }
    closedir(dir);
    qsort(entries, (size_t)count, sizeof(entries[0]), compare);
    printf("list %s:", name);
    for (int i = 0; i < count; i++) {
        printf("%s", entries[i]);
        free(entries[i]);
    }
    printf("\n");
}

static void do_open(void)
{
    static const int flags[] = {
        O_RDONLY, O_WRONLY, O_RDWR, O_CREAT | O_RDWR, O_CREAT | O_EXCL | O_WRONLY, O_CREAT | O_TRUNC | O_RDWR,
        O_RDONLY | O_DIRECTORY, O_RDONLY | O_NOFOLLOW, O_PATH, O_PATH | O_NOFOLLOW, O_TRUNC | O_WRONLY,
        O_CREAT | O_WRONLY | O_APPEND, O_CREAT | O_NOFOLLOW | O_RDWR, O_RDWR | O_DIRECTORY, O_CREAT | O_RDONLY,
        O_CREAT | O_RDONLY | O_TRUNC,
    };
    int flag = flags[pick(sizeof(flags) / sizeof(flags[0]))];
    uint32_t slot = pick(FD_COUNT), mode = 0600 + pick(128);
    int fd = open(make_path(path), flag, mode);

    printf("open %s %x %o: %s\n", path, flag, mode, fd < 0 ? outcome(fd) : "opened");
    if (fd < 0)
        return;
    if (fds[slot] >= 0)
        close(fds[slot]);
    fds[slot] = fd;
}

static void do_write(void)
{
    uint32_t slot = pick(FD_COUNT), n = pick(6000);

    memset(data, 'a' + (int)pick(26), n);
    printf("write %u %u: %s\n", slot, n, outcome(write(fds[slot], data, n)));
}

static void do_read(void)
{
    uint32_t slot = pick(FD_COUNT), n = pick(sizeof(data)), offset = pick(8000), sum = 0;
    long ret = pread(fds[slot], data, n, offset);

    for (long i = 0; i < ret; i++)
        sum = sum * 31 + (uint8_t)data[i];
    printf("pread %u %u: %s, %x\n", slot, n, outcome(ret), sum);
}

static void do_descriptor(uint32_t kind)
{
    uint32_t slot = pick(FD_COUNT);
    struct stat st;
    long ret;

    if (kind == 0) {
        uint32_t size = pick(9000);

        printf("ftruncate %u %u: %s\n", slot, size, outcome(ftruncate(fds[slot], size)));
    } else if (kind == 1) {
        ret = fstat(fds[slot], &st);
        if (ret < 0)
            printf("fstat %u: %s\n", slot, outcome(ret));
        else
            show_stat("fstat", &st);
    } else {
        make_path(path);
        if (!strstr(path, ".."))
            printf("mkdirat %u %s: %s\n", slot, path, fds[slot] < 0 ? "no" : outcome(mkdirat(fds[slot], path, 0777)));
    }
}

/* A nameless file that gets a name through /proc, as open(2) shows it. */
static void do_tmpfile(void)
{
    char link_path[64];
    int fd = open(".", O_TMPFILE | O_RDWR, 0600);

    if (fd < 0) {
        printf("tmpfile: %s\n", outcome(fd));
        return;
    }
    snprintf(link_path, sizeof(link_path), "/proc/self/fd/%d", fd);
    make_path(path);
    printf("tmpfile %s: %s\n", path, outcome(linkat(AT_FDCWD, link_path, AT_FDCWD, path, AT_SYMLINK_FOLLOW)));
    close(fd);
}

static void do_symlink(void)
{
    static const char *const targets[] = { "a", "../b", "dir", "dir/", "link", "nowhere", "sub/../a", "." };
    const char *target = targets[pick(8)];

    printf("symlink %s %s: %s\n", target, make_path(path), outcome(symlink(target, path)));
}

static void do_readlink(void)
{
    long ret = readlink(make_path(path), data, 100);

    if (ret < 0)
        printf("readlink %s: %s\n", path, outcome(ret));
    else
        printf("readlink %s: %.*s\n", path, (int)ret, data);
}

static void do_fifo(void)
{
    long ret = mknod(make_path(path), S_IFIFO | 0644, 0);

    printf("mkfifo %s: %s\n", path, outcome(ret));
    if (ret == 0)
        unlink(path); /* opening one would wait */
}

static void two_paths(uint32_t kind)
{
    uint32_t flags = 1 + pick(2); /* RENAME_NOREPLACE, RENAME_EXCHANGE */
    long ret;

    make_path(path);
    make_path(other);
    if (kind < 3)
        ret = rename(path, other);
    else if (kind == 3)
        ret = syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, other, flags);
    else
        ret = link(path, other);
    printf("%s %s %s %u: %s\n", kind < 4 ? "rename" : "link", path, other, kind == 3 ? flags : 0, outcome(ret));
}

static void one_path(uint32_t kind)
{
    uint32_t n = pick(9000);

    make_path(path);
    switch (kind) {
    case 0:
        printf("mkdir %s: %s\n", path, outcome(mkdir(path, 0700 + n % 64)));
        break;
    case 1:
        printf("rmdir %s: %s\n", path, outcome(rmdir(path)));
        break;
    case 2:
        printf("unlink %s: %s\n", path, outcome(unlink(path)));
        break;
    case 3:
        printf("chmod %s: %s\n", path, outcome(chmod(path, 0700 | n % 01000)));
        break;
    case 4:
        printf("truncate %s %u: %s\n", path, n, outcome(truncate(path, n)));
        break;
    case 5:
        printf("access %s %u: %s\n", path, n % 8, outcome(faccessat(AT_FDCWD, path, (int)(n % 8), 0)));
        break;
    case 6:
        do_stat(path, n % 2 ? AT_SYMLINK_NOFOLLOW : 0);
        break;
    default:
        do_list(path);
    }
}

static void step(void)
{
    uint32_t op = pick(32);

    if (op < 8)
        one_path(op);
    else if (op < 12)
        one_path(op % 3);
    else if (op < 17)
        two_paths(op - 12);
    else if (op < 22)
        do_open();
    else if (op < 24)
        do_write();
    else if (op < 25)
        do_read();
    else if (op < 28)
        do_descriptor(op - 25);
    else if (op == 28)
        do_symlink();
    else if (op == 29)
        do_readlink();
    else if (op == 30)
        do_fifo();
    else
        do_tmpfile();
}

static bool enter(const char *name)
{
    return (mkdir(name, 0777) == 0 || errno == EEXIST) && chdir(name) == 0;
}

int main(int argc, char **argv)
{
    int steps = argc > 2 ? atoi(argv[2]) : 1000;
    const char *const places[] = { ".", "a", "b", "c", "d", "dir", "dir/sub", "dir/a", "a/a", "b/a", "sub" };

    seed = argc > 1 ? (uint32_t)atoi(argv[1]) : 1;
    umask(022);
    if (chdir(argc > 3 ? argv[3] : "/tmp") < 0 || !enter("fsops") || !enter("work")) {
        perror("fsops");
        return 1;
    }
    for (int i = 0; i < FD_COUNT; i++)
        fds[i] = -1;
    for (int i = 0; i < steps; i++) {
        printf("%d ", i);
        step();
    }
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        do_list(places[i]);
    return 0;
}
