/*
 * inotify(7): every event, in the order in which it comes, for files and directories; what each flag changes; the queue.
 * Watches are shown by the letter that stands for them, so that the output is the same everywhere.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define ALL IN_ALL_EVENTS

static const struct {
    uint32_t bit;
    const char *name;
} bits[] = {
    { IN_ACCESS, "ACCESS" },           { IN_MODIFY, "MODIFY" },
    { IN_ATTRIB, "ATTRIB" },           { IN_CLOSE_WRITE, "CLOSE_WRITE" },
    { IN_CLOSE_NOWRITE, "CLOSE_NOWRITE" }, { IN_OPEN, "OPEN" },
    { IN_MOVED_FROM, "MOVED_FROM" },   { IN_MOVED_TO, "MOVED_TO" },
    { IN_CREATE, "CREATE" },           { IN_DELETE, "DELETE" },
    { IN_DELETE_SELF, "DELETE_SELF" }, { IN_MOVE_SELF, "MOVE_SELF" },
    { IN_Q_OVERFLOW, "Q_OVERFLOW" },   { IN_IGNORED, "IGNORED" },
    { IN_ISDIR, "ISDIR" },
};

static int names[100]; /* letters by wd */
static char buf[65536] __attribute__((aligned(8)));
static uint32_t first_cookie;

static int watch(int fd, const char *path, uint32_t mask, char letter)
{
    int wd = inotify_add_watch(fd, path, mask);

    if (CHECK(wd > 0 && wd < 100))
        names[wd] = letter;
    return wd;
}

static void show_event(const struct inotify_event *e)
{
    bool first = true;

    printf("  %c ", e->wd < 0 ? '-' : names[e->wd]);
    for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
        if (e->mask & bits[i].bit) {
            printf("%s%s", first ? "" : "|", bits[i].name);
            first = false;
        }
    }
    if (e->cookie && !first_cookie)
        first_cookie = e->cookie;
    if (e->cookie)
        printf(" #%d", (int)(e->cookie - first_cookie));
    printf(e->len ? " %s (%u)\n" : "\n", e->name, e->len);
}

/* What has come since the last time. */
static void show(int fd, const char *title)
{
    ssize_t n;

    printf("%s\n", title);
    first_cookie = 0;
    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        for (char *p = buf; p < buf + n;) {
            const struct inotify_event *e = (struct inotify_event *)p;

            show_event(e);
            p += sizeof(*e) + e->len;
        }
    }
    CHECK_EQUAL(errno, EAGAIN);
}

/* How many events with this bit have come since the last time: for what depends on the kernel's version otherwise. */
static int count(int fd, uint32_t bit)
{
    ssize_t n = read(fd, buf, sizeof(buf));
    int found = 0;

    for (char *p = buf; p < buf + n; p += sizeof(struct inotify_event) + ((struct inotify_event *)p)->len)
        found += (((struct inotify_event *)p)->mask & bit) != 0;
    return found;
}

static void touch(const char *path)
{
    close(open(path, O_CREAT | O_WRONLY, 0644));
}

static void check_calls(void)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), wd, bytes, file;

    check_section("calls");
    CHECK_OK(fd);
    CHECK_ERRNO(inotify_init1(0x40000000), EINVAL);
    CHECK_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQUAL(fcntl(fd, F_GETFL), O_NONBLOCK);
    CHECK_ERRNO(inotify_add_watch(fd, "missing", ALL), ENOENT);
    CHECK_ERRNO(inotify_add_watch(fd, ".", 0), EINVAL);
    CHECK_ERRNO(inotify_add_watch(fd, ".", 0x00100000), EINVAL);
    CHECK_ERRNO(inotify_add_watch(0, ".", ALL), EINVAL);
    CHECK_ERRNO(inotify_add_watch(-1, ".", ALL), EBADF);
    CHECK_ERRNO(inotify_add_watch(fd, NULL, ALL), EFAULT);
    touch("file");
    symlink("file", "link");
    CHECK_ERRNO(inotify_add_watch(fd, "file", ALL | IN_ONLYDIR), ENOTDIR);
    CHECK_ERRNO(inotify_add_watch(fd, "file", ALL | IN_MASK_ADD | IN_MASK_CREATE), EINVAL);
    wd = inotify_add_watch(fd, "file", IN_OPEN);
    CHECK_EQUAL(wd, 1);
    CHECK_EQUAL(inotify_add_watch(fd, "link", IN_OPEN), wd);
    CHECK_EQUAL(inotify_add_watch(fd, "link", IN_OPEN | IN_DONT_FOLLOW), 2);
    CHECK_ERRNO(inotify_add_watch(fd, "file", IN_OPEN | IN_MASK_CREATE), EEXIST);
    CHECK_ERRNO(inotify_rm_watch(fd, 99), EINVAL);
    CHECK_ERRNO(inotify_rm_watch(0, 1), EINVAL);
    CHECK_ERRNO(inotify_rm_watch(-1, 1), EBADF);
    CHECK_OK(inotify_rm_watch(fd, 2));
    CHECK_ERRNO(inotify_rm_watch(fd, 2), EINVAL);
    CHECK_EQUAL(inotify_add_watch(fd, ".", IN_OPEN), 3); /* numbers aren't used again */
    CHECK_ERRNO(read(fd, buf, 15), EINVAL);
    CHECK_OK(ioctl(fd, FIONREAD, &bytes));
    CHECK_EQUAL(bytes, 16);
    CHECK_EQUAL(read(fd, buf, 16), 16);
    CHECK_OK(ioctl(fd, FIONREAD, &bytes));
    CHECK_EQUAL(bytes, 0);
    CHECK_ERRNO(write(fd, buf, 1), EBADF);
    file = open("file", O_PATH); /* no event */
    CHECK_ERRNO(read(fd, buf, sizeof(buf)), EAGAIN);
    close(file);
    unlink("link");
    unlink("file");
    close(fd);
    if (fork() == 0) {
        if (mkdir("secret", 0300) || setgid(65534) || setuid(65534))
            _exit(2);
        _exit(inotify_add_watch(inotify_init(), "secret", ALL) == -1 && errno == EACCES ? 3 : 4);
    }
    int status;
    CHECK_OK(wait(&status));
    CHECK_EQUAL(status, 3 << 8);
    rmdir("secret");
}

static void check_files(int fd)
{
    struct timespec now[2] = { { 0, UTIME_NOW }, { 0, UTIME_NOW } }, atime[2] = { { 1, 0 }, { 0, UTIME_OMIT } },
                    mtime[2] = { { 0, UTIME_OMIT }, { 1, 0 } };
    int f;

    touch("f");
    watch(fd, ".", ALL, 'D');
    watch(fd, "f", ALL, 'F');
    f = open("f", O_RDWR);
    show(fd, "open");
    CHECK_EQUAL(write(f, "abc", 3), 3);
    show(fd, "write");
    CHECK_EQUAL(write(f, "", 0), 0);
    show(fd, "write nothing");
    CHECK_EQUAL(pread(f, buf, 2, 0), 2);
    CHECK_EQUAL(pread(f, buf, 2, 10), 0);
    show(fd, "read");
    CHECK_OK(ftruncate(f, 1));
    show(fd, "ftruncate");
    CHECK_OK(fallocate(f, 0, 0, 100));
    show(fd, "fallocate");
    CHECK_OK(fchmod(f, 0600));
    show(fd, "fchmod");
    CHECK_OK(chown("f", 0, 0));
    show(fd, "chown");
    CHECK_OK(futimens(f, now));
    show(fd, "utimes");
    CHECK_OK(futimens(f, atime));
    show(fd, "atime");
    CHECK_OK(futimens(f, mtime));
    show(fd, "mtime");
    if (fsetxattr(f, "user.x", "y", 1, 0) == 0) { /* a tmpfs before Linux 6.6 has none */
        CHECK_EQUAL(count(fd, IN_ATTRIB), 2);
        CHECK_OK(fremovexattr(f, "user.x"));
        CHECK_EQUAL(count(fd, IN_ATTRIB), 2);
    }
    close(dup(f));
    show(fd, "dup");
    close(f);
    show(fd, "close");
    CHECK_OK(truncate("f", 5));
    show(fd, "truncate");
    close(open("f", O_RDONLY));
    show(fd, "open and close");
    f = open("f", O_WRONLY | O_TRUNC); /* which of the two comes first has changed */
    CHECK_EQUAL(count(fd, IN_OPEN | IN_MODIFY), 4);
    close(f);
    show(fd, "close after O_TRUNC");
    CHECK_OK(link("f", "g"));
    show(fd, "link");
    CHECK_OK(unlink("f"));
    show(fd, "unlink the first name");
    CHECK_OK(unlink("g"));
    show(fd, "unlink the last");
    inotify_rm_watch(fd, names[1] == 'D' ? 1 : 0);
}

static void check_directories(int fd)
{
    DIR *dir;
    int wd = watch(fd, ".", ALL, 'D');

    show(fd, "directories");
    CHECK_OK(mkdir("sub", 0755));
    watch(fd, "sub", ALL, 'S');
    show(fd, "mkdir");
    touch("sub/x");
    show(fd, "create in it");
    dir = opendir("sub");
    while (readdir(dir))
        ;
    closedir(dir);
    show(fd, "read it");
    CHECK_OK(symlink("x", "sub/l"));
    CHECK_OK(mkfifo("sub/p", 0600));
    show(fd, "symlink and FIFO");
    CHECK_OK(rename("sub/x", "sub/a longer name than sixteen bytes"));
    show(fd, "rename in it");
    CHECK_OK(rename("sub/l", "moved"));
    show(fd, "rename out of it");
    touch("victim");
    watch(fd, "victim", ALL, 'V');
    show(fd, "victim");
    CHECK_OK(rename("moved", "victim"));
    show(fd, "rename over it");
    CHECK_OK(rename("sub", "dir"));
    show(fd, "rename the directory");
    CHECK_OK(chmod("dir", 0700));
    show(fd, "chmod the directory");
    touch("one");
    touch("dir/two");
    watch(fd, "one", ALL, '1');
    watch(fd, "dir/two", ALL, '2');
    show(fd, "two files");
    CHECK_OK(syscall(SYS_renameat2, AT_FDCWD, "one", AT_FDCWD, "dir/two", 2 /* RENAME_EXCHANGE */));
    show(fd, "exchange");
    unlink("one");
    unlink("dir/two");
    unlink("dir/p");
    unlink("dir/a longer name than sixteen bytes");
    show(fd, "unlink");
    CHECK_OK(rmdir("dir"));
    show(fd, "rmdir");
    unlink("victim");
    CHECK_OK(inotify_rm_watch(fd, wd));
    show(fd, "end");
}

/* Files that are open when their name goes. */
static void check_unlinked(int fd)
{
    int f, g, wd;

    touch("f");
    touch("g");
    f = open("f", O_RDWR);
    g = open("g", O_RDWR);
    wd = watch(fd, ".", ALL, 'D');
    watch(fd, "f", ALL, 'F');
    unlink("f");
    show(fd, "unlink an open file");
    CHECK_EQUAL(write(f, "x", 1), 1);
    show(fd, "write to it");
    close(f);
    show(fd, "close it");
    CHECK_EQUAL(watch(fd, ".", ALL | IN_EXCL_UNLINK, 'D'), wd);
    unlink("g");
    show(fd, "with IN_EXCL_UNLINK");
    CHECK_EQUAL(write(g, "x", 1), 1);
    close(g);
    show(fd, "written and closed");
    CHECK_OK(inotify_rm_watch(fd, wd));
    show(fd, "end");
}

static void check_flags(int fd)
{
    int wd;

    touch("f");
    wd = watch(fd, "f", IN_OPEN, 'F');
    CHECK_EQUAL(watch(fd, "f", IN_CLOSE_WRITE | IN_MASK_ADD, 'F'), wd);
    touch("f");
    show(fd, "IN_MASK_ADD");
    CHECK_EQUAL(watch(fd, "f", IN_CLOSE_WRITE, 'F'), wd);
    touch("f");
    show(fd, "replaced");
    CHECK_EQUAL(watch(fd, "f", IN_OPEN | IN_CLOSE | IN_ONESHOT, 'F'), wd);
    touch("f");
    touch("f");
    show(fd, "IN_ONESHOT");
    CHECK_ERRNO(inotify_rm_watch(fd, wd), EINVAL);
    wd = watch(fd, "f", IN_OPEN, 'F');
    for (int i = 0; i < 5; i++)
        close(open("f", O_RDONLY)); /* equal events become one */
    show(fd, "equal events");
    wd = watch(fd, "f", IN_OPEN | IN_CLOSE, 'F');
    CHECK_OK(inotify_rm_watch(fd, wd));
    show(fd, "inotify_rm_watch");
    unlink("f");
}

static void check_queue(void)
{
    int fd = inotify_init1(IN_NONBLOCK), count = 0, overflows = 0, ep = epoll_create1(0), status;
    struct epoll_event event = { EPOLLIN, { .u32 = 5 } };
    struct pollfd p = { fd, POLLIN | POLLOUT, 0 };
    ssize_t n;

    check_section("queue");
    touch("f");
    touch("g");
    CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
    CHECK_OK(inotify_add_watch(fd, ".", IN_ATTRIB));
    CHECK_EQUAL(poll(&p, 1, 0), 0);
    CHECK_EQUAL(epoll_wait(ep, &event, 1, 0), 0);
    for (int i = 0; i < 20000; i++)
        chmod(i % 2 ? "f" : "g", 0600);
    CHECK_EQUAL(poll(&p, 1, 0), 1);
    CHECK_EQUAL(p.revents, POLLIN);
    CHECK_EQUAL(epoll_wait(ep, &event, 1, 0), 1);
    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        for (char *c = buf; c < buf + n;) {
            const struct inotify_event *e = (struct inotify_event *)c;

            count++;
            overflows += (e->mask & IN_Q_OVERFLOW) && e->wd == -1;
            c += sizeof(*e) + e->len;
        }
    }
    CHECK_EQUAL(overflows, 1);
    CHECK_EQUAL(count, 16385);

    /* A reader that waits, and one whose buffer takes only the first. */
    fcntl(fd, F_SETFL, 0);
    if (fork() == 0) {
        usleep(20000);
        chmod("f", 0644);
        chmod("g", 0644);
        _exit(0);
    }
    CHECK_EQUAL(read(fd, buf, 40), 32);
    CHECK(strcmp(((struct inotify_event *)buf)->name, "f") == 0);
    CHECK_OK(wait(&status));
    CHECK_EQUAL(read(fd, buf, 40), 32);
    CHECK(strcmp(((struct inotify_event *)buf)->name, "g") == 0);
    unlink("f");
    unlink("g");
    close(fd);
    close(ep);
}

int main(void)
{
    char dir[] = "/tmp/inotify-XXXXXX";
    int fd;

    if (!mkdtemp(dir) || chdir(dir))
        return 2;
    check_calls();
    fd = inotify_init1(IN_NONBLOCK);
    check_files(fd);
    check_directories(fd);
    check_unlinked(fd);
    check_flags(fd);
    close(fd);
    check_queue();
    rmdir(dir);
    check_count = 0; /* depends on the file system */
    return check_done();
}
