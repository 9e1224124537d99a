/*
 * What POSIX and the man pages say of files, as a table of outcomes: every call on every kind of path, errno precedence, the rename
 * matrix, permissions, sticky directories, link counts, times, limits of names and paths, huge and sparse files.
 *
 *     posix DIRECTORY      an empty one; run as root, who becomes user 1000 for some of it
 *
 * Owners are not looked at: a share of the host has the owners that the host gives.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

static int top; /* the directory where everything happens */
static char long_name[300];

static const char *outcome(long ret)
{
    return ret >= 0 ? "ok" : strerrorname_np(errno);
}

static void put_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    if (fd < 0 || write(fd, text, strlen(text)) < 0) {
        perror(path);
        exit(1);
    }
    close(fd);
}

static void remove_all(const char *path)
{
    char sub[600];
    struct dirent *e;
    DIR *d;

    if (unlink(path) == 0 || errno == ENOENT)
        return;
    chmod(path, 0700);
    d = opendir(path);
    while (d && (e = readdir(d))) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name);
        remove_all(sub);
    }
    if (d)
        closedir(d);
    rmdir(path);
}

/* --- every call on every kind of path --- */

static void populate(void)
{
    static const char *const all[] = { "file", "dir", "full", "fifo", "to_file", "to_dir", "dangling", "loop", "loop2", "new", "other" };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        remove_all(all[i]);
    put_file("file", "text");
    mkdir("dir", 0755);
    mkdir("full", 0755);
    put_file("full/entry", "x");
    mkfifo("fifo", 0644);
    if (symlink("file", "to_file") || symlink("dir", "to_dir") || symlink("missing", "dangling") || symlink("loop2", "loop") ||
        symlink("loop", "loop2"))
        perror("symlink");
}

static long call_open(const char *p, int flags)
{
    int fd = open(p, flags | O_NONBLOCK | O_CLOEXEC, 0644);

    if (fd >= 0)
        close(fd);
    return fd < 0 ? -1 : 0;
}

static long rdonly(const char *p) { return call_open(p, O_RDONLY); }
static long rdwr(const char *p) { return call_open(p, O_RDWR); }
static long creat_(const char *p) { return call_open(p, O_RDWR | O_CREAT); }
static long excl(const char *p) { return call_open(p, O_RDWR | O_CREAT | O_EXCL); }
static long directory(const char *p) { return call_open(p, O_RDONLY | O_DIRECTORY); }
static long creat_directory(const char *p) { return call_open(p, O_RDONLY | O_CREAT | O_NOFOLLOW); }
static long nofollow(const char *p) { return call_open(p, O_RDONLY | O_NOFOLLOW); }
static long path_(const char *p) { return call_open(p, O_PATH | O_NOFOLLOW); }
static long trunc_(const char *p) { return call_open(p, O_WRONLY | O_TRUNC); }
static long mkdir_(const char *p) { return mkdir(p, 0755); }
static long mkfifo_(const char *p) { return mknod(p, S_IFIFO | 0644, 0); }
static long symlink_(const char *p) { return symlink("target", p); }
static long link_to(const char *p) { return link("file", p); }
static long link_from(const char *p) { return link(p, "other"); }
static long link_follow(const char *p) { return linkat(AT_FDCWD, p, AT_FDCWD, "other", AT_SYMLINK_FOLLOW); }
static long rename_to(const char *p) { return rename("file", p); }
static long rename_from(const char *p) { return rename(p, "other"); }
static long truncate_(const char *p) { return truncate(p, 2); }
static long chmod_(const char *p) { return chmod(p, 0700); }
static long chown_(const char *p) { return chown(p, -1, -1); }
static long utimens(const char *p) { return utimensat(AT_FDCWD, p, NULL, 0); }
static long utimens_link(const char *p) { return utimensat(AT_FDCWD, p, NULL, AT_SYMLINK_NOFOLLOW); }
static long unlink_(const char *p) { return unlink(p); }
static long rmdir_(const char *p) { return rmdir(p); }
static long access_(const char *p) { return access(p, R_OK); }
static long chdir_(const char *p)
{
    long ret = chdir(p);
    int err = errno;

    if (ret == 0 && fchdir(top)) /* by a path, another user might not come back */
        exit(1);
    errno = err;
    return ret;
}

static long stat_(const char *p)
{
    struct stat st;

    return stat(p, &st);
}

static long lstat_(const char *p)
{
    struct stat st;

    return lstat(p, &st);
}

static long readlink_(const char *p)
{
    char text[64];

    return readlink(p, text, sizeof(text));
}

static long statfs_(const char *p)
{
    struct statfs fs;

    return statfs(p, &fs);
}

static long opendir_(const char *p)
{
    DIR *d = opendir(p);

    return d ? closedir(d) : -1;
}

#define CALL(f, changes) { #f, f, changes }
static const struct {
    const char *name;
    long (*call)(const char *);
    bool changes;
} calls[] = {
    CALL(rdonly, 0),     CALL(rdwr, 0),        CALL(creat_, 1),      CALL(excl, 1),        CALL(directory, 0),   CALL(creat_directory, 1),
    CALL(nofollow, 0),   CALL(path_, 0),       CALL(trunc_, 1),      CALL(mkdir_, 1),      CALL(mkfifo_, 1),     CALL(symlink_, 1),
    CALL(link_to, 1),    CALL(link_from, 1),   CALL(link_follow, 1), CALL(rename_to, 1),   CALL(rename_from, 1), CALL(unlink_, 1),
    CALL(rmdir_, 1),      CALL(truncate_, 1),   CALL(chmod_, 1),      CALL(chown_, 1),      CALL(utimens, 1),     CALL(utimens_link, 1),
    CALL(access_, 0),    CALL(stat_, 0),       CALL(lstat_, 0),      CALL(readlink_, 0),   CALL(statfs_, 0),     CALL(opendir_, 0),
    CALL(chdir_, 0),
};

static void every_call_on_every_path(void)
{
    static const char *const paths[] = { "", "file", "dir", "full", "fifo", "missing", "to_file", "to_dir", "dangling", "loop", "new",
                                         "file/", "dir/", "full/", "fifo/", "missing/", "to_file/", "to_dir/", "dangling/", "loop/",
                                         "file/x", "missing/x", "to_file/x", "to_dir/x", "dangling/x", "loop/x", "fifo/x", "dir/x",
                                         "file/.", "dir/.", "to_dir/.", "file/..", "dir/..", "full/entry", ".", "..", "/", "full/../file",
                                         "missing/../file", "file/../file", "dir//x", long_name };

    populate();
    for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++) {
        printf("%s:", calls[c].name);
        for (size_t p = 0; p < sizeof(paths) / sizeof(paths[0]); p++) {
            const char *path = paths[p];
            bool outside = !strcmp(path, "..") || !strcmp(path, "/");
            long ret;

            if (outside && calls[c].changes)
                continue; /* not ours */
            ret = calls[c].call(path);
            printf(" %.20s=%s", path, outcome(ret));
            if (calls[c].changes && ret >= 0)
                populate();
        }
        putchar('\n');
    }
}

/* --- rename --- */

static void make(const char *name, unsigned kind)
{
    char sub[64];

    snprintf(sub, sizeof(sub), "%s/entry", name);
    switch (kind) {
    case 1: put_file(name, "text"); break;
    case 2: mkdir(name, 0755); break;
    case 3: mkdir(name, 0755); put_file(sub, "x"); break;
    case 4: if (symlink("file", name)) perror(name); break;
    case 5: mkfifo(name, 0644); break;
    case 6: if (link("same", name)) perror(name); break;
    }
}

static const char *look(const char *name)
{
    static char text[2][40];
    static unsigned n;
    struct stat st;

    n ^= 1;
    if (lstat(name, &st))
        return strerrorname_np(errno);
    snprintf(text[n], sizeof(text[n]), "%o/%lu", st.st_mode & S_IFMT, S_ISDIR(st.st_mode) ? 0ul : (unsigned long)st.st_nlink);
    return text[n];
}

static void rename_matrix(void)
{
    static const char *const kinds[] = { "none", "file", "dir", "full", "symlink", "fifo", "samefile" };
    const unsigned flags[] = { 0, 1 /* NOREPLACE */, 2 /* EXCHANGE */, 3, 8 };

    for (unsigned f = 0; f < sizeof(flags) / sizeof(flags[0]); f++) {
        for (unsigned a = 0; a < 7; a++) {
            for (unsigned b = 0; b < 7; b++) {
                const char *result;

                remove_all("from"), remove_all("to"), remove_all("same");
                put_file("same", "same");
                make("from", a), make("to", b);
                result = outcome(syscall(SYS_renameat2, AT_FDCWD, "from", AT_FDCWD, "to", flags[f]));
                printf("rename %u %s to %s: %s", flags[f], kinds[a], kinds[b], result);
                printf(", %s", look("from"));
                printf(" %s\n", look("to"));
            }
        }
    }
    remove_all("from"), remove_all("to"), remove_all("same");
    mkdir("from", 0755), mkdir("from/sub", 0755), mkdir("from/sub/deep", 0755);
    printf("into itself: %s", outcome(rename("from", "from/sub/x")));
    printf(" %s", outcome(rename("from", "from/x")));
    printf(" %s", outcome(rename("from/sub/deep", "from")));
    printf(" %s", outcome(rename("from/.", "x")));
    printf(" %s", outcome(rename("from/sub/..", "x")));
    printf(" %s\n", outcome(syscall(SYS_renameat2, AT_FDCWD, "from", AT_FDCWD, "from/sub", 2)));
    remove_all("from");
}

/* --- permissions --- */

static void become(uid_t id)
{
    if (seteuid(0) || setegid(id) || seteuid(id))
        perror("seteuid");
}

static void permissions(void)
{
    chmod(".", 0777);
    for (unsigned mode = 0; mode < 8; mode++) {
        populate();
        mkdir("other", 0755), put_file("other/f", "x"), mkdir("other/d", 0755);
        chmod("file", 0700 | mode), chmod("other", 0700 | mode);
        become(1000);
        printf("mode %o: file", mode);
        printf(" r=%s", outcome(rdonly("file")));
        printf(" w=%s", outcome(call_open("file", O_WRONLY)));
        printf(" x=%s", outcome(access("file", X_OK)));
        printf(" eaccess=%s", outcome(faccessat(AT_FDCWD, "file", X_OK, AT_EACCESS)));
        printf(" trunc=%s", outcome(truncate_("file")));
        printf(" chmod=%s", outcome(chmod("file", 0777)));
        printf(" now=%s", outcome(utimens("file")));
        printf(" set=%s", outcome(utimensat(AT_FDCWD, "file", (struct timespec[2]){ { 1, 1 }, { 1, 1 } }, 0)));
        printf(" link=%s", outcome(link("file", "other/l")));
        printf("; dir");
        printf(" list=%s", outcome(opendir_("other")));
        printf(" stat=%s", outcome(stat_("other/f")));
        printf(" none=%s", outcome(stat_("other/none")));
        printf(" open=%s", outcome(rdonly("other/f")));
        printf(" mkdir=%s", outcome(mkdir("other/d", 0755)));
        printf(" creat=%s", outcome(excl("other/n")));
        printf(" rename=%s", outcome(rename("other/f", "other/g")));
        printf(" unlink=%s", outcome(unlink("other/g")));
        printf(" rmdir=%s", outcome(rmdir("other/d")));
        printf(" chdir=%s\n", outcome(chdir_("other")));
        become(0);
    }
}

static void sticky(void)
{
    populate();
    remove_all("sticky");
    mkdir("sticky", 0755), chmod("sticky", 01777);
    put_file("sticky/roots", "x"), mkdir("sticky/dir", 0777), put_file("sticky/too", "x");
    become(1000);
    printf("sticky: unlink=%s", outcome(unlink("sticky/roots")));
    printf(" rename=%s", outcome(rename("sticky/roots", "sticky/x")));
    printf(" rmdir=%s", outcome(rmdir("sticky/dir")));
    printf(" onto=%s", outcome(rename("sticky/roots", "sticky/too")));
    printf(" exchange=%s", outcome(syscall(SYS_renameat2, AT_FDCWD, "sticky/roots", AT_FDCWD, "sticky/too", 2)));
    printf(" creat=%s\n", outcome(excl("sticky/new")));
    become(0);
    remove_all("sticky");
}

/* --- link counts, open files without a name --- */

static unsigned long links_of(const char *path)
{
    struct stat st;

    return lstat(path, &st) ? 999 : st.st_nlink;
}

static void link_counts(void)
{
    struct stat st;
    char text[8] = "";
    int fd;

    populate();
    printf("links: dir %lu", links_of("full"));
    mkdir("full/a", 0755), mkdir("full/b", 0755);
    printf(" +2 %lu", links_of("full"));
    printf(" move %s", outcome(rename("full/a", "dir/a")));
    printf(" %lu %lu", links_of("full"), links_of("dir"));
    rmdir("full/b");
    printf(" -1 %lu", links_of("full"));
    link("file", "other"), link("file", "full/l");
    printf("; file %lu", links_of("file"));
    unlink("other");
    printf(" %lu", links_of("full/l"));
    fd = open("file", O_RDWR);
    unlink("file"), unlink("full/l");
    printf("; nameless %lu", fstat(fd, &st) ? 999ul : (unsigned long)st.st_nlink);
    printf(" write=%s", outcome(pwrite(fd, "more", 4, 4)));
    printf(" read=%zd", pread(fd, text, 8, 0));
    printf(" %.8s", text);
    printf(" chmod=%s\n", outcome(fchmod(fd, 0600)));
    close(fd);
    fd = open("dir/a", O_RDONLY | O_DIRECTORY);
    rmdir("dir/a");
    printf("removed directory: %lu", fstat(fd, &st) ? 999ul : (unsigned long)st.st_nlink);
    printf(" creat=%s", outcome(openat(fd, "x", O_CREAT | O_RDWR, 0644)));
    printf(" lookup=%s\n", outcome(faccessat(fd, "x", F_OK, 0)));
    close(fd);
}

/* --- times --- */

static struct stat before_file, before_dir;

static void tick(const char *file, const char *dir)
{
    nanosleep(&(struct timespec){ 0, 12000000 }, NULL); /* more than a tick of any kernel */
    lstat(file, &before_file), lstat(dir, &before_dir);
}

static bool later(struct timespec a, struct timespec b)
{
    return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

static void show_times(const char *what, const char *file, const char *dir)
{
    struct stat st = before_file, ds = before_dir;

    if (lstat(file, &st))
        st = before_file;
    lstat(dir, &ds);
    printf("%s: file %s%s, dir %s%s\n", what, later(st.st_mtim, before_file.st_mtim) ? "m" : "-", later(st.st_ctim, before_file.st_ctim) ? "c" : "-",
           later(ds.st_mtim, before_dir.st_mtim) ? "m" : "-", later(ds.st_ctim, before_dir.st_ctim) ? "c" : "-");
}

#define TIMES(statement, file) (tick(file, "dir"), (void)(statement), show_times(#statement, file, "dir"))

static void times(void)
{
    int fd;

    populate();
    put_file("dir/f", "text");
    fd = open("dir/f", O_RDWR);
    TIMES(write(fd, "x", 1), "dir/f");
    TIMES(pwrite(fd, "x", 0, 0), "dir/f");
    TIMES(ftruncate(fd, 1), "dir/f");
    TIMES(ftruncate(fd, 1), "dir/f");
    TIMES(truncate("dir/f", 9), "dir/f");
    TIMES(fchmod(fd, 0600), "dir/f");
    TIMES(chmod("dir/f", 0600), "dir/f");
    TIMES(fallocate(fd, 0, 0, 100), "dir/f");
    TIMES(link("dir/f", "dir/l"), "dir/f");
    TIMES(unlink("dir/l"), "dir/f");
    TIMES(rename("dir/f", "dir/g"), "dir/g");
    TIMES(mkdir("dir/d", 0755), "dir/g");
    TIMES(rmdir("dir/d"), "dir/g");
    TIMES(symlink("x", "dir/s"), "dir/g");
    TIMES(unlink("dir/s"), "dir/g");
    TIMES(rdonly("dir/g"), "dir/g");
    TIMES(creat_("dir/g"), "dir/g");
    TIMES(trunc_("dir/g"), "dir/g");
    TIMES(rename("dir/g", "out"), "out");
    TIMES(rename("out", "dir/g"), "dir/g");
    close(fd);
    utimensat(AT_FDCWD, "dir/g", (struct timespec[2]){ { 1111, 222 }, { 3333, 444 } }, 0);
    lstat("dir/g", &before_file);
    printf("set: %ld.%09ld %ld.%09ld\n", before_file.st_atim.tv_sec, before_file.st_atim.tv_nsec, before_file.st_mtim.tv_sec,
           before_file.st_mtim.tv_nsec);
    utimensat(AT_FDCWD, "dir/g", (struct timespec[2]){ { 0, UTIME_OMIT }, { 5, 6 } }, 0);
    lstat("dir/g", &before_file);
    printf("omit: %ld %ld\n", before_file.st_atim.tv_sec, before_file.st_mtim.tv_sec);
    printf("bad nsec: %s\n", outcome(utimensat(AT_FDCWD, "dir/g", (struct timespec[2]){ { 0, 1000000000 }, { 5, 6 } }, 0)));
}

/* --- limits --- */

static void limits(void)
{
    char path[5000], name[256];
    size_t len = 0;

    memset(name, 'n', 255), name[255] = '\0';
    printf("limits: 255=%s", outcome(mkdir(name, 0755)));
    printf(" 256=%s", outcome(mkdir(long_name, 0755)));
    printf(" symlink=%s", outcome(symlink(name, "s")));
    rmdir(name), unlink("s");
    while (len + 2 < 4094)
        memcpy(path + len, "./", 2), len += 2;
    strcpy(path + len, "x");
    printf(" %zu=%s", strlen(path), outcome(creat_(path)));
    memcpy(path + len, "./xyz", 6);
    printf(" %zu=%s", strlen(path), outcome(creat_(path)));
    unlink("x");
    memset(path, 't', 4095), path[4095] = '\0';
    printf(" target 4095=%s", outcome(symlink(path, "s")));
    unlink("s");
    path[4095] = 't', path[4096] = '\0';
    printf(" target 4096=%s\n", outcome(symlink(path, "s")));
    unlink("s");
    for (unsigned i = 0; i < 42; i++) {
        char from[16], to[16];

        snprintf(from, sizeof(from), "l%u", i), snprintf(to, sizeof(to), "l%u", i + 1);
        unlink(from);
        if (symlink(i == 41 ? "." : to, from))
            perror(from);
    }
    printf("links in a row: 40=%s", outcome(stat_("l2")));
    printf(" 41=%s\n", outcome(stat_("l1")));
    for (unsigned i = 0; i < 42; i++) {
        snprintf(name, sizeof(name), "l%u", i);
        unlink(name);
    }
}

static void large_and_sparse(void)
{
    const off_t far = (1ll << 33) + 12345;
    char data[4096], *aligned = aligned_alloc(4096, 4096);
    struct stat st;
    int fd = open("large", O_RDWR | O_CREAT | O_TRUNC, 0644);

    memset(data, 'd', sizeof(data));
    printf("large: write=%zd", pwrite(fd, data, sizeof(data), far));
    fstat(fd, &st);
    printf(" size=%lld sparse=%d", (long long)st.st_size, st.st_blocks < 1000);
    printf(" hole=%zd", pread(fd, data, 1, 1ll << 32));
    printf(",%d", data[0]);
    printf(" data=%zd", pread(fd, data, sizeof(data), far));
    printf(",%c", data[4095]);
    printf(" end=%zd", pread(fd, data, 1, far + 4096));
    printf(" SEEK_DATA=%d", lseek(fd, 0, SEEK_DATA) <= far && lseek(fd, 0, SEEK_DATA) >= 0);
    printf(" SEEK_HOLE=%lld", (long long)lseek(fd, far, SEEK_HOLE));
    printf(" beyond=%s", outcome(lseek(fd, far + 4097, SEEK_DATA)));
    printf(" negative=%s", outcome(lseek(fd, -1, SEEK_SET)));
    printf(" truncate=%s", outcome(ftruncate(fd, (1ll << 34) + 1)));
    printf(" %s", outcome(ftruncate(fd, -1)));
    fstat(fd, &st);
    printf(" size=%lld\n", (long long)st.st_size);
    printf("punch=%s", outcome(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, far & ~4095ll, 8192)));
    printf(" read=%zd", pread(fd, data, 1, far));
    printf(",%d\n", data[0]);
    close(fd);
    fd = open("large", O_RDWR | O_DIRECT);
    if (fd >= 0 && aligned) {
        memset(aligned, 'a', 4096);
        printf("O_DIRECT: %zd", pwrite(fd, aligned, 4096, 8192));
        memset(aligned, 0, 4096);
        printf(" %zd", pread(fd, aligned, 4096, 8192));
        printf(" %c\n", aligned[0]);
        close(fd);
    } else {
        printf("O_DIRECT: 4096 4096 a\n"); /* file systems that don't know it are not to be told from those that do */
    }
    free(aligned);
    unlink("large");
}

static void appending(void)
{
    char text[16] = "";
    int a = open("app", O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0644), b = open("app", O_RDWR | O_APPEND);

    printf("append: %zd", write(a, "one", 3));
    printf(" %zd", write(b, "two", 3));
    printf(" %zd", pwrite(a, "three", 5, 0));
    printf(" %.11s", pread(a, text, 15, 0) > 0 ? text : "");
    printf(" at %lld %lld", (long long)lseek(a, 0, SEEK_CUR), (long long)lseek(b, 0, SEEK_CUR));
    printf(" sync=%s", outcome(fsync(a)));
    printf(" %s\n", outcome(fdatasync(b)));
    close(a), close(b), unlink("app");
}

int main(int argc, char **argv)
{
    if (argc < 2 || chdir(argv[1]) || (top = open(".", O_RDONLY | O_DIRECTORY)) < 0) {
        perror("posix");
        return 1;
    }
    umask(022);
    memset(long_name, 'n', 256);
    every_call_on_every_path();
    rename_matrix();
    permissions();
    sticky();
    link_counts();
    times();
    limits();
    large_and_sparse();
    appending();
    return 0;
}
