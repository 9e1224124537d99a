/*
 * Pseudo-terminals: pty(7), termios(3), ioctl_tty(2). What each end reads is printed, so that the native run says what is
 * right; the line discipline is shown by tables of modes and keystrokes.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static int master, slave;

static void show(const char *what, const char *data, ssize_t n)
{
    int error = errno;

    printf("  %s: ", what);
    if (n < 0)
        printf("%s", check_errno_name(error));
    else
        printf("%zd \"", n);
    for (ssize_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)data[i];
        if (c >= 32 && c < 127 && c != '\\')
            putchar(c);
        else
            printf("\\%03o", c);
    }
    printf(n < 0 ? "\n" : "\"\n");
    fflush(stdout);
}

/* Natively, what one end writes takes a moment to the other; asking for input hurries it, on a busy machine. */
static void settle(void)
{
    struct timespec ts = { 0, 3000000 };
    struct pollfd ends[3] = { { slave, POLLIN, 0 }, { master, POLLIN, 0 }, { slave, POLLIN, 0 } };

    while (nanosleep(&ts, &ts) < 0)
        ;
    for (int i = 0; i < 3; i++)
        poll(&ends[i], 1, 0);
}

static int open_pair(void)
{
    master = posix_openpt(O_RDWR | O_NOCTTY);
    if (!CHECK(master >= 0))
        return -1;
    CHECK_OK(grantpt(master));
    CHECK_OK(unlockpt(master));
    slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    return CHECK(slave >= 0) ? 0 : -1;
}

static void close_pair(void)
{
    close(slave);
    close(master);
}

static ssize_t read_now(int fd, char *buf, size_t size)
{
    struct pollfd p = { fd, POLLIN, 0 };

    settle();
    if (poll(&p, 1, 20) == 0 || !(p.revents & POLLIN)) { /* a busy host's terminals take their time */
        errno = EAGAIN;
        return -1;
    }
    return read(fd, buf, size);
}

static void show_read(const char *what, int fd)
{
    char buf[9000];
    ssize_t n = read_now(fd, buf, sizeof(buf));

    show(what, buf, n);
}

static void type(const char *keys, size_t n)
{
    CHECK_EQUAL(write(master, keys, n), n);
}

#define TYPE(keys) type(keys, sizeof(keys) - 1)

/* --- names and nodes --- */

static void test_nodes(void)
{
    struct stat a, b;
    int number = -1, locked = -1;
    char name[32];

    check_section("nodes");
    master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK_OK(master);
    CHECK_OK(ioctl(master, TIOCGPTN, &number));
    CHECK_OK(ioctl(master, TIOCGPTLCK, &locked));
    CHECK_EQUAL(locked, 1);
    snprintf(name, sizeof(name), "/dev/pts/%d", number);
    CHECK(!strcmp(ptsname(master), name));
    CHECK_ERRNO(open(name, O_RDWR | O_NOCTTY), EIO);
    CHECK_OK(unlockpt(master));
    slave = open(name, O_RDWR | O_NOCTTY);
    CHECK_OK(slave);
    CHECK(isatty(slave));
    CHECK(isatty(master));
    CHECK(!strcmp(ttyname(slave), name));
    CHECK_OK(fstat(slave, &a));
    CHECK_OK(stat(name, &b));
    CHECK(S_ISCHR(a.st_mode));
    CHECK_EQUAL(a.st_ino, b.st_ino);
    CHECK_EQUAL(major(a.st_rdev), 136);
    CHECK_EQUAL(minor(a.st_rdev), number);
    CHECK_OK(fchmod(slave, 0600));
    CHECK_OK(stat(name, &b));
    CHECK_EQUAL(b.st_mode & 0777, 0600);
    CHECK_OK(stat("/dev/ptmx", &b));
    CHECK_EQUAL(b.st_rdev, makedev(5, 2));
    CHECK_ERRNO(lseek(slave, 0, SEEK_CUR), ESPIPE);
    CHECK_ERRNO(pread(slave, name, 1, 0), ESPIPE);
    CHECK_ERRNO(ioctl(slave, TIOCGPTN, &number), ENOTTY);
    CHECK_ERRNO(ioctl(slave, 0x5499, 0), ENOTTY);
    CHECK_ERRNO(ioctl(slave, TCGETS, 8), EFAULT);
    int peer = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
    CHECK_OK(peer);
    CHECK_EQUAL(write(peer, "x", 1), 1);
    show_read("peer's", master);
    CHECK(ttyname(peer) != NULL);
    close(peer);
    close(master);
    snprintf(name, sizeof(name), "/dev/pts/%d", number);
    CHECK_ERRNO(open(name, O_RDWR | O_NOCTTY), ENOENT);
    close(slave);
    CHECK_ERRNO(open("/dev/pts/99999", O_RDWR), ENOENT);
}

/* --- the line discipline --- */

static const struct script {
    const char *name;
    tcflag_t iflag, oflag, lflag; /* switched on; with OFF_ …: off */
    tcflag_t off_i, off_o, off_l;
    const char *keys;
    const char *written; /* by the slave, first */
} scripts[] = {
    { "default", 0, 0, 0, 0, 0, 0, "hello\r", NULL },
    { "control characters", 0, 0, 0, 0, 0, 0, "a\001b\033[A\tc\r", NULL },
    { "no ECHOCTL", 0, 0, 0, 0, 0, ECHOCTL, "a\001b\177\177c\r", NULL },
    { "erase", 0, 0, 0, 0, 0, 0, "ab\177\177\177c\001\177d\n", NULL },
    { "erase a tab", 0, 0, 0, 0, 0, 0, "ab\t\177c\t\tx\177\177\177d\n", NULL },
    { "erase a tab behind a prompt", 0, 0, 0, 0, 0, 0, "ab\t\177c\n", "prompt> " },
    { "erase without ECHOE", 0, 0, 0, 0, 0, ECHOE, "ab\177c\n", NULL },
    { "erase with ECHOPRT", 0, 0, ECHOPRT, 0, 0, 0, "abc\177\177d\177\177\177e\n", NULL },
    { "erase UTF-8", IUTF8, 0, 0, 0, 0, 0, "a\303\244\342\202\254\177\177\177\177x\n", NULL },
    { "erase bytes", 0, 0, 0, IUTF8, 0, 0, "a\303\244\177\177x\n", NULL },
    { "word", 0, 0, 0, 0, 0, 0, "one two_3  four, \027\027\027x\n", NULL },
    { "word without IEXTEN", 0, 0, 0, 0, 0, IEXTEN, "one two\027x\n", NULL },
    { "kill", 0, 0, 0, 0, 0, 0, "one two\025three\n", NULL },
    { "kill without ECHOKE", 0, 0, 0, 0, 0, ECHOKE, "one two\025three\n", NULL },
    { "kill without ECHOK", 0, 0, 0, 0, 0, ECHOK, "one two\025three\n", NULL },
    { "no echo", 0, 0, 0, 0, 0, ECHO, "ab\177c\025de\r", NULL },
    { "ECHONL", 0, 0, ECHONL, 0, 0, ECHO, "abc\n", NULL },
    { "reprint", 0, 0, 0, 0, 0, 0, "ab\001c\022d\n", NULL },
    { "literal", 0, 0, 0, 0, 0, 0, "a\026\003b\026\026\026\177c\026\n\n", NULL },
    { "literal without IEXTEN", 0, 0, 0, 0, 0, IEXTEN, "a\026b\n", NULL },
    { "end of file", 0, 0, 0, 0, 0, 0, "abc\004", NULL },
    { "end of file at once", 0, 0, 0, 0, 0, 0, "\004", NULL },
    { "no ICRNL", 0, 0, 0, ICRNL, 0, 0, "a\rb\n", NULL },
    { "INLCR", INLCR, 0, 0, ICRNL, 0, 0, "a\nb\r\004", NULL },
    { "IGNCR", IGNCR, 0, 0, 0, 0, 0, "a\rb\n", NULL },
    { "ISTRIP", ISTRIP, 0, 0, 0, 0, 0, "\341\342\n", NULL },
    { "IUCLC", IUCLC, 0, 0, 0, 0, 0, "AbC\n", NULL },
    { "PARMRK", PARMRK, 0, 0, ISTRIP, 0, 0, "a\377b\n", NULL },
    { "EOL", 0, 0, 0, 0, 0, 0, "a;b;\n", NULL },
    { "no ISIG", 0, 0, 0, 0, 0, ISIG, "a\003\032\034b\n", NULL },
    { "no ICANON", 0, 0, 0, 0, 0, ICANON, "ab\177\025\004c\r\n", NULL },
    { "no ICANON, no ECHO", 0, 0, 0, 0, 0, ICANON | ECHO, "ab\r", NULL },
    { "no OPOST", 0, 0, 0, 0, OPOST, 0, "a\r", "x\ny\tz\n" },
    { "output", 0, 0, 0, 0, 0, 0, "a\r", "x\ny\tz\r\n" },
    { "no ONLCR", 0, 0, 0, 0, ONLCR, 0, "\n", "x\ny\n" },
    { "OCRNL", 0, OCRNL, 0, 0, ONLCR, 0, "\n", "x\ry\r" },
    { "ONOCR", 0, ONOCR, 0, 0, 0, 0, "\n", "\rx\r\ry\n\r" },
    { "ONLRET", 0, ONLRET | ONOCR, 0, 0, ONLCR, 0, "\n", "x\n\ry\r" },
    { "OLCUC", 0, OLCUC, 0, 0, 0, 0, "abc\n", "xYz\n" },
    { "XTABS", 0, XTABS, 0, 0, 0, 0, "a\tb\t\177c\n", "\tx\t1234567\ty\b\b\tz\n" },
    { "EXTPROC", 0, 0, EXTPROC, 0, 0, 0, "a\177\003b\r", NULL },
    { "interrupt flushes", 0, 0, 0, 0, 0, 0, "abc\003def\n", NULL },
    { "NOFLSH", 0, 0, NOFLSH, 0, 0, 0, "abc\003def\n", NULL },
    { "suspend and quit", 0, 0, 0, 0, 0, 0, "a\032b\034c\n", NULL },
    { "stop, start", 0, 0, 0, 0, 0, 0, "ab\023c\021d\n", NULL },
    { "no IXON", 0, 0, 0, IXON, 0, 0, "ab\023c\021d\n", NULL },
    { "IXANY", IXANY, 0, 0, 0, 0, 0, "ab\023cd\n", NULL },
};

static void test_discipline(void)
{
    check_section("the line discipline");
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        const struct script *s = &scripts[i];
        struct termios t;

        if (open_pair())
            return;
        printf(" %s\n", s->name);
        CHECK_OK(tcgetattr(slave, &t));
        t.c_iflag = (t.c_iflag | s->iflag) & ~s->off_i;
        t.c_oflag = (t.c_oflag | s->oflag) & ~s->off_o;
        t.c_lflag = (t.c_lflag | s->lflag) & ~s->off_l;
        if (!strcmp(s->name, "EOL"))
            t.c_cc[VEOL] = ';';
        CHECK_OK(tcsetattr(slave, TCSANOW, &t));
        if (s->written)
            CHECK_EQUAL(write(slave, s->written, strlen(s->written)), strlen(s->written));
        settle();
        type(s->keys, strlen(s->keys));
        settle(); /* the echo is made by another thread of the kernel */
        show_read("master", master);
        int waiting = -1;
        settle();
        CHECK_OK(ioctl(slave, FIONREAD, &waiting));
        printf("  waiting %d\n", waiting);
        show_read("slave", slave);
        show_read("slave", slave);
        close_pair();
    }
}

static void test_modes(void)
{
    struct termios t = { 0 }, u = { 0 };
    char buf[100];

    check_section("modes");
    if (open_pair())
        return;
    CHECK_OK(tcgetattr(slave, &t));
    printf("  %#x %#x %#x %#x %u %u\n", t.c_iflag, t.c_oflag, t.c_cflag, t.c_lflag, cfgetispeed(&t), cfgetospeed(&t));
    show("cc", (char *)t.c_cc, 19);
    CHECK_OK(tcgetattr(master, &u));
    CHECK(!memcmp(&t, &u, sizeof(t)));
    cfsetspeed(&u, B115200);
    u.c_cflag = (u.c_cflag & ~(tcflag_t)CSIZE) | CS7 | PARENB;
    CHECK_OK(tcsetattr(master, TCSADRAIN, &u));
    CHECK_OK(tcgetattr(slave, &u));
    printf("  %#x %d\n", u.c_cflag, cfgetospeed(&u) == B115200);
    CHECK_OK(tcsetattr(slave, TCSANOW, &t));
    TYPE("line one\npart");
    settle();
    u = t;
    u.c_lflag &= ~(tcflag_t)ICANON;
    CHECK_OK(tcsetattr(slave, TCSANOW, &u)); /* what was typed becomes readable */
    show_read("no ICANON", slave);
    TYPE("abc");
    settle();
    CHECK_OK(tcsetattr(slave, TCSANOW, &t)); /* … and is a line of its own in the other direction */
    show_read("ICANON", slave);
    TYPE("abc\n");
    settle();
    CHECK_OK(tcsetattr(slave, TCSAFLUSH, &t));
    struct termios locked = { 0 };
    static const struct termios none;
    CHECK_OK(ioctl(slave, TIOCGLCKTRMIOS, &locked));
    CHECK(memcmp(&locked, &none, 36) == 0); /* the kernel's struct, which is shorter */
    CHECK_ERRNO(ioctl(slave, TIOCGLCKTRMIOS, NULL), EFAULT);
    show_read("flushed", slave);
    TYPE("abc\ndef\nghi");
    settle();
    show("part of a line", buf, read(slave, buf, 2));
    show("its rest", buf, read(slave, buf, 100));
    CHECK_OK(tcflush(slave, TCIFLUSH));
    show_read("flushed", slave);
    TYPE("12345\004");
    settle();
    show("all before the end of file", buf, read(slave, buf, 5));
    show_read("then", slave);
    CHECK_ERRNO(tcflush(slave, 77), EINVAL);
    CHECK_ERRNO(tcflow(slave, 77), EINVAL);
    CHECK_OK(tcdrain(slave));
    CHECK_OK(tcsendbreak(slave, 0));
    CHECK_OK(tcflow(slave, TCOOFF));
    CHECK_OK(fcntl(slave, F_SETFL, O_NONBLOCK));
    CHECK_ERRNO(write(slave, "x", 1), EAGAIN);
    struct pollfd p = { slave, POLLOUT, 0 };
    CHECK_EQUAL(poll(&p, 1, 0), 0);
    CHECK_OK(tcflow(slave, TCOON));
    CHECK_EQUAL(poll(&p, 1, 0), 1);
    CHECK_EQUAL(write(slave, "x", 1), 1);
    tcflush(master, TCIFLUSH);
    CHECK_OK(tcflow(slave, TCIOFF));
    show_read("stop character", master);
    CHECK_ERRNO(read(slave, buf, 1), EAGAIN);
    close_pair();
}

static void test_long_lines(void)
{
    static char keys[9000], line[9000];
    struct termios t;
    int waiting;

    check_section("long lines");
    if (open_pair())
        return;
    CHECK_OK(tcgetattr(slave, &t));
    t.c_lflag &= ~(tcflag_t)ECHO;
    CHECK_OK(tcsetattr(slave, TCSANOW, &t));
    for (size_t i = 0; i < sizeof(keys); i++)
        keys[i] = (char)('a' + i % 26);
    keys[6000] = '\n';
    type(keys, 6001);
    settle();
    ssize_t n = read(slave, line, sizeof(line));
    CHECK_EQUAL(n, 4096);
    CHECK(!memcmp(line, keys, 4095));
    CHECK_EQUAL(line[4095], '\n');
    t.c_lflag &= ~(tcflag_t)ICANON;
    CHECK_OK(tcsetattr(slave, TCSANOW, &t));
    keys[6000] = 'x';
    type(keys, sizeof(keys));
    settle();
    CHECK_OK(ioctl(slave, FIONREAD, &waiting));
    CHECK_EQUAL(waiting, 4095);
    size_t done = 0;
    while (done < sizeof(line)) {
        n = read(slave, line + done, sizeof(line) - done);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    CHECK_EQUAL(done, sizeof(line));
    CHECK(!memcmp(line, keys, sizeof(line)));
    close_pair();
}

/* --- VMIN and VTIME --- */

static long elapsed_ds(const struct timespec *from)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return ((now.tv_sec - from->tv_sec) * 1000 + (now.tv_nsec - from->tv_nsec) / 1000000) / 100;
}

static void test_raw(void)
{
    struct termios t;
    struct timespec start;
    char buf[100];

    check_section("VMIN and VTIME");
    if (open_pair())
        return;
    CHECK_OK(tcgetattr(slave, &t));
    cfmakeraw(&t);
    t.c_cc[VMIN] = 0;
    t.c_cc[VTIME] = 0;
    CHECK_OK(tcsetattr(slave, TCSANOW, &t));
    CHECK_EQUAL(read(slave, buf, 10), 0);
    TYPE("abc");
    show_read("0 0", slave);
    t.c_cc[VTIME] = 2;
    CHECK_OK(tcsetattr(slave, TCSANOW, &t));
    clock_gettime(CLOCK_MONOTONIC, &start);
    CHECK_EQUAL(read(slave, buf, 10), 0);
    long ds = elapsed_ds(&start);
    CHECK(ds >= 1 && ds < 20);
    t.c_cc[VMIN] = 4;
    t.c_cc[VTIME] = 1;
    CHECK_OK(tcsetattr(slave, TCSANOW, &t));
    TYPE("ab");
    show("4 1", buf, read(slave, buf, 10));
    TYPE("abcdef");
    settle();
    show("4 1", buf, read(slave, buf, 10));
    t.c_cc[VTIME] = 0;
    CHECK_OK(tcsetattr(slave, TCSANOW, &t));
    struct pollfd p = { slave, POLLIN, 0 };
    TYPE("abc");
    settle();
    CHECK_EQUAL(poll(&p, 1, 0), 0);
    CHECK_OK(fcntl(slave, F_SETFL, O_NONBLOCK));
    show("nonblocking below VMIN", buf, read(slave, buf, 10));
    TYPE("abcd");
    settle();
    CHECK_EQUAL(poll(&p, 1, 0), 1);
    show("nonblocking", buf, read(slave, buf, 10));
    show("nonblocking", buf, read(slave, buf, 10));
    close_pair();
}

/* --- packet mode --- */

static void test_packet(void)
{
    struct termios t;
    struct pollfd p;
    int on = 1, got = 0;

    check_section("packet mode");
    if (open_pair())
        return;
    CHECK_OK(ioctl(master, TIOCPKT, &on));
    CHECK_OK(ioctl(master, TIOCGPKT, &got));
    CHECK_EQUAL(got, 1);
    CHECK_EQUAL(write(slave, "data", 4), 4);
    show_read("data", master);
    CHECK_OK(tcflush(slave, TCIFLUSH));
    p = (struct pollfd){ master, POLLIN | POLLPRI, 0 };
    CHECK_EQUAL(poll(&p, 1, 0), 1);
    CHECK_EQUAL(p.revents, POLLIN | POLLPRI);
    show_read("flush", master);
    CHECK_OK(tcflow(slave, TCOOFF));
    show_read("stop", master);
    CHECK_OK(tcflow(slave, TCOON));
    show_read("start", master);
    CHECK_OK(tcgetattr(slave, &t));
    t.c_iflag &= ~(tcflag_t)IXON;
    CHECK_OK(tcsetattr(slave, TCSANOW, &t));
    show_read("no flow control", master);
    t.c_iflag |= IXON;
    CHECK_OK(tcsetattr(slave, TCSANOW, &t));
    show_read("flow control", master);
    CHECK_ERRNO(ioctl(slave, TIOCPKT, &on), ENOTTY);
    close_pair();
}

/* --- closing --- */

static void test_closing(void)
{
    struct pollfd p;
    char buf[10], name[64];

    check_section("closing");
    if (open_pair())
        return;
    strcpy(name, ptsname(master));
    CHECK_EQUAL(write(slave, "last", 4), 4);
    close(slave);
    settle();
    p = (struct pollfd){ master, POLLIN | POLLOUT, 0 };
    CHECK_EQUAL(poll(&p, 1, 0), 1);
    printf("  slave closed, data left: %#x\n", p.revents);
    show("data left", buf, read(master, buf, sizeof(buf)));
    CHECK_EQUAL(poll(&p, 1, 0), 1);
    printf("  slave closed: %#x\n", p.revents);
    CHECK_ERRNO(read(master, buf, 1), EIO);
    TYPE("typed before it is open\n");
    slave = open(name, O_RDWR | O_NOCTTY);
    CHECK_OK(slave);
    CHECK_EQUAL(poll(&p, 1, 0), 1);
    CHECK(!(p.revents & POLLHUP));
    show_read("slave", slave);
    close(master);
    p = (struct pollfd){ slave, POLLIN | POLLOUT, 0 };
    CHECK_EQUAL(poll(&p, 1, 0), 1);
    printf("  master closed: %#x\n", p.revents);
    CHECK_EQUAL(read(slave, buf, 1), 0);
    CHECK_ERRNO(write(slave, "x", 1), EIO);
    CHECK_ERRNO(ioctl(slave, TIOCGWINSZ, buf), EIO);
    CHECK(!isatty(slave));
    CHECK_ERRNO(open(name, O_RDWR | O_NOCTTY), ENOENT);
    close(slave);
}

static void test_epoll(void)
{
    struct epoll_event e = { .events = EPOLLIN | EPOLLET }, got;
    char buf[100];

    check_section("epoll");
    if (open_pair())
        return;
    int ep = epoll_create1(0);
    CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, slave, &e));
    CHECK_EQUAL(epoll_wait(ep, &got, 1, 0), 0);
    TYPE("no line yet");
    settle();
    CHECK_EQUAL(epoll_wait(ep, &got, 1, 0), 0);
    TYPE("\n");
    CHECK_EQUAL(epoll_wait(ep, &got, 1, 1000), 1);
    CHECK_EQUAL(got.events, EPOLLIN);
    CHECK_EQUAL(epoll_wait(ep, &got, 1, 0), 0);
    TYPE("more\n");
    CHECK_EQUAL(epoll_wait(ep, &got, 1, 1000), 1);
    CHECK_EQUAL(read(slave, buf, sizeof(buf)), 12);
    close(ep);
    close_pair();
}

/* --- sessions and job control --- */

static volatile sig_atomic_t signals_seen;

static void note(int signo)
{
    signals_seen |= 1 << (signo % 31);
}

static void catch(int signo)
{
    struct sigaction sa = { .sa_handler = note };

    sigaction(signo, &sa, NULL);
}

static bool seen(int signo)
{
    for (int i = 0; i < 300 && !(signals_seen & 1 << (signo % 31)); i++)
        settle();
    bool yes = signals_seen & 1 << (signo % 31);
    signals_seen &= ~(1 << (signo % 31));
    return yes;
}

static int status_of(pid_t child)
{
    int status = -1;

    while (waitpid(child, &status, WUNTRACED) < 0 && errno == EINTR)
        ;
    return status;
}

/* A group of its own in the background. */
static pid_t background(int (*body)(void))
{
    int go[2];
    char c;

    if (pipe(go))
        return -1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 1; i < 32; i++)
            signal(i, SIG_DFL);
        close(go[1]);
        if (read(go[0], &c, 1) < 0)
            _exit(99);
        _exit(body());
    }
    setpgid(child, child);
    close(go[0]);
    close(go[1]);
    return child;
}

static int body_read(void)
{
    char c;

    return read(slave, &c, 1) == 1 ? 0 : errno;
}

static int body_read_ignoring(void)
{
    signal(SIGTTIN, SIG_IGN);
    return body_read();
}

static int body_write(void)
{
    return write(slave, "x", 1) == 1 ? 0 : errno;
}

static int body_set(void)
{
    struct termios t;

    tcgetattr(slave, &t);
    return tcsetattr(slave, TCSANOW, &t) ? errno : 0;
}

static int body_set_ignoring(void)
{
    signal(SIGTTOU, SIG_IGN);
    return body_set();
}

static int body_foreground(void)
{
    return tcsetpgrp(slave, getpgrp()) ? errno : 0;
}

static void end(pid_t child)
{
    kill(child, SIGKILL);
    kill(child, SIGCONT);
    waitpid(child, NULL, 0);
}

static void expect_stop(const char *what, int (*body)(void), int signo)
{
    pid_t child = background(body);
    int status = status_of(child);

    if (!CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == signo))
        printf("    %s: status %#x\n", what, status);
    if (WIFSTOPPED(status))
        end(child);
}

static void expect_exit(const char *what, int (*body)(void), int code)
{
    int status = status_of(background(body));

    if (!CHECK(WIFEXITED(status) && WEXITSTATUS(status) == code))
        printf("    %s: status %#x\n", what, status);
}

static int orphan_body(void)
{
    struct timespec ts = { 0, 30000000 };
    pid_t child = fork();

    if (child > 0)
        _exit(0);
    while (getppid() != 1 && nanosleep(&ts, NULL) == 0)
        if (getppid() != getpgrp())
            break;
    nanosleep(&ts, NULL);
    char c;
    int error = read(slave, &c, 1) < 0 ? errno : 0;
    signal(SIGTTOU, SIG_IGN);
    char text[40];
    int n = snprintf(text, sizeof(text), "orphan: %s", check_errno_name(error));
    _exit(write(slave, text, (size_t)n) == n ? 0 : 1);
}

/* The leader of a session whose terminal is the slave. */
static void leader(void)
{
    struct termios t;
    struct winsize size = { 33, 77, 0, 0 };
    pid_t child;
    int status;

    CHECK_OK(setsid());
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    CHECK_ERRNO(tcgetpgrp(slave), ENOTTY);
    CHECK_ERRNO(tcgetsid(slave), ENOTTY);
    CHECK_ERRNO(tcsetpgrp(slave, getpgrp()), ENOTTY);
    CHECK_OK(ioctl(slave, TIOCSCTTY, 0));
    CHECK_OK(ioctl(slave, TIOCSCTTY, 0));
    CHECK_EQUAL(tcgetpgrp(slave), getpid());
    CHECK_EQUAL(tcgetsid(slave), getpid());
    CHECK_EQUAL(tcgetpgrp(master), getpid());
    int tty = open("/dev/tty", O_RDWR);
    CHECK_OK(tty);
    CHECK_EQUAL(write(tty, "through tty", 11), 11);
    show_read("master", master);
    CHECK_EQUAL(tcgetpgrp(tty), getpid());
    CHECK_ERRNO(tcsetpgrp(slave, 0x7ffffff), ESRCH);
    CHECK_ERRNO(tcsetpgrp(slave, -1), EINVAL);
    CHECK_ERRNO(tcsetpgrp(slave, getppid()), EPERM);

    catch(SIGINT);
    catch(SIGQUIT);
    catch(SIGWINCH);
    TYPE("\003");
    CHECK(seen(SIGINT));
    TYPE("\034");
    CHECK(seen(SIGQUIT));
    CHECK_OK(ioctl(master, TIOCSWINSZ, &size));
    CHECK(seen(SIGWINCH));
    CHECK_OK(ioctl(master, TIOCSWINSZ, &size));
    settle();
    CHECK(!(signals_seen & 1 << SIGWINCH));
    memset(&size, 0, sizeof(size));
    CHECK_OK(ioctl(tty, TIOCGWINSZ, &size));
    CHECK_EQUAL(size.ws_row, 33);
    CHECK_EQUAL(size.ws_col, 77);

    expect_stop("read", body_read, SIGTTIN);
    expect_exit("read, SIGTTIN ignored", body_read_ignoring, EIO);
    expect_exit("write", body_write, 0);
    CHECK_OK(tcgetattr(slave, &t));
    t.c_lflag |= TOSTOP;
    CHECK_OK(tcsetattr(slave, TCSANOW, &t));
    expect_stop("write with TOSTOP", body_write, SIGTTOU);
    t.c_lflag &= ~(tcflag_t)TOSTOP;
    CHECK_OK(tcsetattr(slave, TCSANOW, &t));
    expect_stop("tcsetattr", body_set, SIGTTOU);
    expect_exit("tcsetattr, SIGTTOU ignored", body_set_ignoring, 0);
    expect_stop("tcsetpgrp", body_foreground, SIGTTOU);
    tcflush(master, TCIFLUSH);
    status = status_of(background(orphan_body));
    CHECK(WIFEXITED(status));
    settle();
    for (int i = 0; i < 100; i++) {
        int waiting = 0;
        ioctl(master, FIONREAD, &waiting);
        if (waiting)
            break;
        settle();
    }
    show_read("master", master);

    /* A job comes to the foreground, is suspended, continued and interrupted. */
    child = background(body_read);
    status = status_of(child);
    CHECK(WIFSTOPPED(status));
    CHECK_OK(tcsetpgrp(slave, child));
    CHECK_EQUAL(tcgetpgrp(slave), child);
    kill(-child, SIGCONT);
    settle();
    TYPE("\032");
    status = status_of(child);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
    kill(-child, SIGCONT);
    settle();
    TYPE("\003");
    status = status_of(child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
    CHECK_EQUAL(tcgetpgrp(slave), child); /* nobody is there any more */
    signal(SIGTTOU, SIG_IGN);
    CHECK_OK(tcsetpgrp(slave, getpgrp()));
    signal(SIGTTOU, SIG_DFL);

    /* Giving it up. */
    catch(SIGHUP);
    catch(SIGCONT);
    CHECK_OK(ioctl(slave, TIOCNOTTY));
    CHECK(seen(SIGHUP));
    CHECK(seen(SIGCONT));
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    CHECK_ERRNO(tcgetpgrp(slave), ENOTTY);
    CHECK_ERRNO(ioctl(slave, TIOCNOTTY), ENOTTY);

    /* An open gives it back; O_NOCTTY and a writer's don't. */
    close(open(ptsname(master), O_RDWR | O_NOCTTY));
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    close(open(ptsname(master), O_WRONLY));
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    close(open(ptsname(master), O_RDWR));
    CHECK_EQUAL(tcgetpgrp(slave), getpid());

    /* The line is cut. */
    signals_seen = 0;
    close(master);
    CHECK(seen(SIGHUP));
    CHECK(seen(SIGCONT));
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    close(slave);
}

/* The exit of a leader is felt by the foreground. */
static void leader_that_ends(int report)
{
    char c;
    int ready[2];

    CHECK_OK(setsid());
    CHECK_OK(ioctl(slave, TIOCSCTTY, 0));
    CHECK_OK(pipe(ready));
    fflush(stdout);
    if (fork() == 0) {
        signals_seen = 0;
        catch(SIGHUP);
        setpgid(0, 0);
        signal(SIGTTOU, SIG_IGN);
        tcsetpgrp(slave, getpid());
        if (write(ready[1], "r", 1) != 1)
            _exit(1);
        c = seen(SIGHUP) ? 'h' : '-';
        if (write(report, &c, 1) != 1)
            _exit(1);
        c = open("/dev/tty", O_RDWR) < 0 && errno == ENXIO ? 'n' : 't';
        _exit(write(report, &c, 1) != 1);
    }
    CHECK_EQUAL(read(ready[0], &c, 1), 1);
}

/* The child alone has the master. */
static void in_child(void (*fn)(void))
{
    int status = -1;

    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        check_count = check_failures = 0;
        fn();
        check_done();
        fflush(stdout);
        _exit(check_failures != 0);
    }
    close(master);
    waitpid(child, &status, 0);
    CHECK_EQUAL(status, 0);
    close(slave);
}

static int report_pipe[2];

static void end_leader(void)
{
    leader_that_ends(report_pipe[1]);
}

static void test_sessions(void)
{
    char c[2] = { 0 };

    check_section("sessions");
    if (open_pair())
        return;
    in_child(leader);
    check_section("a leader's end");
    if (open_pair() || !CHECK(pipe(report_pipe) == 0))
        return;
    in_child(end_leader);
    CHECK_EQUAL(read(report_pipe[0], c, 1), 1);
    CHECK_EQUAL(read(report_pipe[0], c + 1, 1), 1);
    CHECK_EQUAL(c[0], 'h');
    CHECK_EQUAL(c[1], 'n');
}

int main(void)
{
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    alarm(60);
    test_nodes();
    test_discipline();
    test_modes();
    test_long_lines();
    test_raw();
    test_packet();
    test_closing();
    test_epoll();
    test_sessions();
    return check_done();
}
