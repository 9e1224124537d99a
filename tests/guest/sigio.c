/*
 * Signal-driven input and output: fcntl(2), "Managing signals", and socket(7), tty(4), pipe(7), inotify(7). Every signal that comes is
 * shown with what it says, so that the native run decides.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#ifndef F_GETOWNER_UIDS
#define F_GETOWNER_UIDS 17
#endif

static int sig; /* what the files under test send */
static int first_fd;

/* Wait a moment for a signal of ours; SIGIO, SIGURG and sig are blocked throughout. 0: none came. */
static int next_signal(siginfo_t *info, int ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGIO);
    sigaddset(&set, SIGURG);
    sigaddset(&set, sig ? sig : SIGIO);
    memset(info, 0, sizeof(*info));
    return sigtimedwait(&set, info, &t) < 0 ? 0 : info->si_signo;
}

static const char *signal_name(int signo)
{
    return signo == SIGIO ? "IO" : signo == SIGURG ? "URG" : signo == SIGRTMIN + 1 ? "RT" : signo == SIGUSR1 ? "USR1" : "?";
}

/* Print what has come, up to the first silence. Repeats of one and the same are one: how often is nobody's promise. */
static void show_within(const char *what, int ms)
{
    siginfo_t info, last;

    memset(&last, 0, sizeof(last));
    printf("  %s:", what);
    while (next_signal(&info, last.si_signo ? 5 : ms)) {
        if (info.si_signo == last.si_signo && info.si_code == last.si_code && info.si_band == last.si_band && info.si_fd == last.si_fd)
            continue;
        last = info;
        printf(" %s code %d", signal_name(info.si_signo), info.si_code);
        if (info.si_code != SI_KERNEL)
            printf(" band %#lx fd %+d", info.si_band, info.si_fd - first_fd);
        printf(";");
    }
    printf("\n");
    fflush(stdout);
}

static void show(const char *what)
{
    show_within(what, 30);
}

/* Natively a terminal takes its time: what is written at one end gets to the other when a worker thread has come to it. */
static void show_late(const char *what)
{
    show_within(what, 5000);
}

static void arm(int fd)
{
    CHECK_OK(fcntl(fd, F_SETOWN, getpid()));
    CHECK_OK(fcntl(fd, F_SETSIG, sig));
    CHECK_OK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC));
}

static void fill(int fd)
{
    char block[4096];

    memset(block, 'x', sizeof(block));
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    while (write(fd, block, sizeof(block)) > 0)
        ;
}

static void empty(int fd)
{
    char block[4096];

    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    while (read(fd, block, sizeof(block)) > 0)
        ;
}

static void test_owner(void)
{
    struct f_owner_ex owner;
    uid_t uids[2] = { 99, 99 };
    int p[2], other, devnull, status;

    check_section("owner");
    CHECK_OK(pipe(p));
    CHECK_EQUAL(fcntl(p[0], F_GETOWN), 0);
    CHECK_OK(fcntl(p[0], F_GETOWN_EX, &owner));
    CHECK_EQUAL(owner.type, F_OWNER_TID);
    CHECK_EQUAL(owner.pid, 0);
    CHECK_EQUAL(fcntl(p[0], F_GETSIG), 0);
    CHECK_OK(fcntl(p[0], F_SETOWN, getpid()));
    CHECK_EQUAL(fcntl(p[0], F_GETOWN), getpid());
    CHECK_OK(fcntl(p[0], F_GETOWN_EX, &owner));
    CHECK(owner.type == F_OWNER_PID && owner.pid == getpid());
    CHECK_OK(fcntl(p[0], F_SETOWN, -getpgrp()));
    CHECK_OK(fcntl(p[0], F_GETOWN_EX, &owner));
    CHECK(owner.type == F_OWNER_PGRP && owner.pid == getpgrp());
    owner = (struct f_owner_ex){ F_OWNER_TID, gettid() };
    CHECK_OK(fcntl(p[0], F_SETOWN_EX, &owner));
    CHECK_EQUAL(fcntl(p[0], F_GETOWN), gettid());
    CHECK_OK(fcntl(p[0], F_GETOWN_EX, &owner));
    CHECK(owner.type == F_OWNER_TID && owner.pid == gettid());
    CHECK_OK(fcntl(p[0], F_SETOWN, 0));
    CHECK_EQUAL(fcntl(p[0], F_GETOWN), 0);
    CHECK_ERRNO(fcntl(p[0], F_SETOWN, INT32_MIN), EINVAL);
    CHECK_ERRNO(fcntl(p[0], F_SETOWN, 4000000), ESRCH);
    CHECK_ERRNO(fcntl(p[0], F_SETOWN, -4000000), ESRCH);
    owner = (struct f_owner_ex){ 3, getpid() };
    CHECK_ERRNO(fcntl(p[0], F_SETOWN_EX, &owner), EINVAL);
    owner = (struct f_owner_ex){ -1, getpid() };
    CHECK_ERRNO(fcntl(p[0], F_SETOWN_EX, &owner), EINVAL);
    owner = (struct f_owner_ex){ F_OWNER_PGRP, 4000000 };
    CHECK_ERRNO(fcntl(p[0], F_SETOWN_EX, &owner), ESRCH);
    owner = (struct f_owner_ex){ F_OWNER_PID, -getpid() };
    CHECK_ERRNO(fcntl(p[0], F_SETOWN_EX, &owner), ESRCH);
    CHECK_ERRNO(fcntl(p[0], F_SETOWN_EX, 8), EFAULT);
    CHECK_ERRNO(fcntl(p[0], F_GETOWN_EX, 8), EFAULT);
    CHECK_ERRNO(fcntl(p[0], F_SETSIG, 65), EINVAL);
    CHECK_ERRNO(fcntl(p[0], F_SETSIG, -1), EINVAL);
    CHECK_OK(fcntl(p[0], F_SETSIG, 64));
    CHECK_EQUAL(fcntl(p[0], F_GETSIG), 64);
    CHECK_OK(fcntl(p[0], F_SETOWN, getpid()));
    CHECK_OK(fcntl(p[0], F_GETOWNER_UIDS, uids));
    CHECK(uids[0] == getuid() && uids[1] == geteuid());

    /* An owner that has ended is none any more. */
    other = fork();
    if (other == 0)
        _exit(0);
    CHECK_OK(fcntl(p[0], F_SETOWN, other));
    CHECK_OK(waitpid(other, &status, 0));
    CHECK_EQUAL(fcntl(p[0], F_GETOWN), 0);

    /* The flag on what never signals: ignored by fcntl, refused by ioctl. */
    devnull = open("/dev/null", O_RDWR);
    CHECK_OK(fcntl(devnull, F_SETFL, O_ASYNC));
    CHECK(!(fcntl(devnull, F_GETFL) & O_ASYNC));
    CHECK_OK(ioctl(devnull, FIOASYNC, &(int){ 0 }));
    CHECK_ERRNO(ioctl(devnull, FIOASYNC, &(int){ 1 }), ENOTTY);
    CHECK_OK(ioctl(p[0], FIOASYNC, &(int){ 1 }));
    CHECK(fcntl(p[0], F_GETFL) & O_ASYNC);
    CHECK_OK(ioctl(p[0], FIOASYNC, &(int){ 0 }));
    CHECK(!(fcntl(p[0], F_GETFL) & O_ASYNC));
    CHECK_ERRNO(ioctl(p[0], FIOASYNC, 8), EFAULT);
    close(devnull);
    close(p[0]);
    close(p[1]);
}

static void test_pipes(void)
{
    int p[2];

    check_section("pipes");
    CHECK_OK(pipe(p));
    first_fd = p[0];
    arm(p[0]);
    show("nothing yet");
    CHECK_EQUAL(write(p[1], "a", 1), 1);
    show("written");
    CHECK_EQUAL(write(p[1], "a", 1), 1);
    show("written again");
    fcntl(p[0], F_SETFL, 0);
    CHECK_EQUAL(write(p[1], "a", 1), 1);
    show("switched off");
    arm(p[0]);
    fcntl(p[0], F_SETOWN, 0);
    CHECK_EQUAL(write(p[1], "a", 1), 1);
    show("nobody's");
    arm(p[0]);
    close(p[1]);
    show("writer closed");
    close(p[0]);

    CHECK_OK(pipe(p));
    first_fd = p[0];
    arm(p[1]);
    show("writer");
    fill(p[1]);
    show("full");
    empty(p[0]);
    show("read");
    close(p[0]);
    show("reader closed");
    close(p[1]);
}

static void test_fifos(void)
{
    char path[] = "/tmp/sigio-fifo-XXXXXX";
    int in, out;

    check_section("fifos");
    CHECK_OK(mkdtemp(path));
    CHECK_OK(chdir(path));
    CHECK_OK(mkfifo("fifo", 0600));
    in = open("fifo", O_RDONLY | O_NONBLOCK);
    first_fd = in;
    arm(in);
    out = open("fifo", O_WRONLY);
    show("opened for writing");
    CHECK_EQUAL(write(out, "a", 1), 1);
    show("written");
    close(out);
    show("closed");
    close(in);
    CHECK_OK(unlink("fifo"));
    CHECK_OK(chdir("/"));
    CHECK_OK(rmdir(path));
}

static void test_unix(int type, const char *name)
{
    struct pollfd p;
    int s[2];
    char c;

    check_section(name);
    CHECK_OK(socketpair(AF_UNIX, type, 0, s));
    first_fd = s[0];
    arm(s[0]);
    show("nothing yet");
    CHECK_EQUAL(write(s[1], "a", 1), 1);
    show("written");
    CHECK_EQUAL(read(s[0], &c, 1), 1);
    show("read");
    fill(s[0]);
    p = (struct pollfd){ s[0], POLLOUT, 0 };
    CHECK_EQUAL(poll(&p, 1, 0), 0);
    show("full");
    empty(s[1]);
    show("emptied");
    if (type != SOCK_DGRAM) {
        CHECK_OK(shutdown(s[1], SHUT_WR));
        show("peer's sending is over");
    }
    close(s[1]);
    show("peer closed");
    close(s[0]);
}

static void test_listener(int family)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "\0sigio" };
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr *addr = family == AF_UNIX ? (struct sockaddr *)&un : (struct sockaddr *)&in;
    socklen_t len = family == AF_UNIX ? sizeof(sa_family_t) + 6 : sizeof(in);
    int l = socket(family, SOCK_STREAM, 0), c, s;
    char byte;

    check_section(family == AF_UNIX ? "listener, unix" : "listener, tcp");
    if (family == AF_INET) {
        CHECK_OK(bind(l, addr, len));
        CHECK_OK(getsockname(l, addr, &len));
    } else {
        snprintf(un.sun_path + 1, 32, "sigio%d", getpid());
        len = (socklen_t)(sizeof(sa_family_t) + 1 + strlen(un.sun_path + 1));
        CHECK_OK(bind(l, addr, len));
    }
    CHECK_OK(listen(l, 5));
    first_fd = l;
    arm(l);
    c = socket(family, SOCK_STREAM, 0);
    CHECK_OK(connect(c, addr, len));
    show("connected");
    s = accept(l, NULL, NULL);
    CHECK(s >= 0 && !(fcntl(s, F_GETFL) & O_ASYNC));
    show("accepted");
    arm(s);
    CHECK_EQUAL(write(c, "ab", 2), 2);
    show("data");
    CHECK_EQUAL(read(s, &byte, 1), 1);
    if (family == AF_INET) {
        CHECK_EQUAL(send(c, "u", 1, MSG_OOB), 1);
        show("urgent data");
    }
    CHECK_OK(shutdown(c, SHUT_WR));
    show("shut down");
    close(c);
    show("closed");
    close(s);
    close(l);
}

static void test_udp(void)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(in);
    int s = socket(AF_INET, SOCK_DGRAM, 0), c = socket(AF_INET, SOCK_DGRAM, 0), owner = -1;

    check_section("udp");
    CHECK_OK(bind(s, (struct sockaddr *)&in, len));
    CHECK_OK(getsockname(s, (struct sockaddr *)&in, &len));
    first_fd = s;
    CHECK_OK(ioctl(s, FIOSETOWN, &(int){ getpid() }));
    CHECK_OK(ioctl(s, FIOGETOWN, &owner));
    CHECK_EQUAL(owner, getpid());
    CHECK_ERRNO(ioctl(s, SIOCSPGRP, &(int){ 4000000 }), ESRCH);
    CHECK_OK(fcntl(s, F_SETSIG, sig));
    CHECK_OK(ioctl(s, FIOASYNC, &(int){ 1 }));
    CHECK_EQUAL(sendto(c, "a", 1, 0, (struct sockaddr *)&in, len), 1);
    show("datagram");
    close(s);
    close(c);
}

static void test_tty(void)
{
    struct termios raw;
    struct f_owner_ex owner;
    int master = posix_openpt(O_RDWR | O_NOCTTY), slave;
    char buf[64];

    check_section("terminals");
    CHECK_OK(grantpt(master));
    CHECK_OK(unlockpt(master));
    slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    first_fd = master;
    CHECK_OK(fcntl(slave, F_SETFL, O_RDWR | O_ASYNC));
    CHECK_OK(fcntl(slave, F_GETOWN_EX, &owner));
    CHECK(owner.type == F_OWNER_PID && owner.pid == getpid());
    CHECK_OK(fcntl(slave, F_SETSIG, sig));
    CHECK_EQUAL(write(master, "li", 2), 2);
    show("half a line");
    CHECK_EQUAL(write(master, "ne\n", 3), 3);
    show_late("a line");
    CHECK_EQUAL(read(slave, buf, sizeof(buf)), 5);
    show("read");
    CHECK_OK(tcgetattr(slave, &raw));
    cfmakeraw(&raw);
    CHECK_OK(tcsetattr(slave, TCSANOW, &raw));
    show("raw");
    CHECK_EQUAL(write(master, "x", 1), 1);
    show_late("a character");
    CHECK_EQUAL(write(slave, "y", 1), 1);
    show("written");
    fcntl(slave, F_SETFL, O_RDWR);
    empty(master);
    arm(master);
    CHECK_EQUAL(write(slave, "y", 1), 1);
    show_late("for the master");
    close(slave);
    show("slave closed");
    close(master);
}

static void test_inotify(void)
{
    char path[] = "/tmp/sigio-XXXXXX";
    int n = inotify_init();

    check_section("inotify");
    CHECK_OK(mkdtemp(path));
    CHECK_OK(inotify_add_watch(n, path, IN_ATTRIB));
    first_fd = n;
    arm(n);
    CHECK_OK(chmod(path, 0755));
    show("changed");
    close(n);
    CHECK_OK(rmdir(path));
}

/* F_NOTIFY: what happens in a directory. */
static void test_directory(void)
{
    char path[] = "/tmp/sigio-dir-XXXXXX";
    int dir, file, other;

    check_section("directories");
    CHECK_OK(mkdtemp(path));
    CHECK_OK(chdir(path));
    CHECK_OK(mkdir("sub", 0755));
    CHECK_OK(close(open("old", O_CREAT | O_WRONLY, 0644)));
    dir = open(".", O_RDONLY);
    first_fd = dir;
    file = open("old", O_RDWR);
    CHECK_ERRNO(fcntl(file, F_NOTIFY, DN_CREATE), ENOTDIR);
    CHECK_OK(fcntl(file, F_NOTIFY, 0));
    CHECK_OK(fcntl(dir, F_SETSIG, sig));
    CHECK_OK(fcntl(dir, F_NOTIFY, DN_CREATE));
    CHECK_EQUAL(fcntl(dir, F_GETOWN), getpid());
    CHECK_OK(close(open("new", O_CREAT | O_WRONLY, 0644)));
    show("created");
    CHECK_OK(close(open("new2", O_CREAT | O_WRONLY, 0644)));
    show("only once");
    CHECK_OK(fcntl(dir, F_NOTIFY, DN_MULTISHOT | DN_MODIFY));
    CHECK_EQUAL(write(file, "x", 1), 1);
    show("written");
    CHECK_EQUAL(write(file, "x", 1), 1);
    show("and again");
    CHECK_OK(chmod("old", 0600));
    show("changed, not asked for");
    CHECK_OK(fcntl(dir, F_NOTIFY, DN_MULTISHOT | DN_ATTRIB));
    CHECK_OK(chmod("old", 0644));
    show("changed");
    CHECK_OK(chmod(".", 0700));
    show("the directory itself");
    CHECK_EQUAL(write(file, "x", 1), 1);
    show("asked for before");
    CHECK_OK(fcntl(dir, F_NOTIFY, 0));
    CHECK_EQUAL(write(file, "x", 1), 1);
    show("no more");
    CHECK_OK(fcntl(dir, F_NOTIFY, DN_MULTISHOT | DN_RENAME));
    CHECK_OK(rename("new", "new3"));
    show("renamed");
    CHECK_OK(rename("new3", "sub/new"));
    show("moved away");
    CHECK_OK(rename("sub/new", "new"));
    show("moved in");
    CHECK_OK(fcntl(dir, F_NOTIFY, 0));
    CHECK_OK(fcntl(dir, F_NOTIFY, DN_MULTISHOT | DN_DELETE | DN_ACCESS));
    CHECK_OK(rename("new", "sub/new"));
    show("moved away");
    CHECK_OK(unlink("new2"));
    show("removed");
    CHECK_OK(lseek(file, 0, SEEK_SET));
    CHECK_EQUAL(read(file, path + strlen(path), 0), 0);
    show("nothing read");
    other = dup(dir);
    CHECK_OK(close(other)); /* any descriptor of it */
    CHECK_OK(rename("sub/new", "new"));
    CHECK_OK(unlink("new"));
    show("closed");
    CHECK_OK(close(file));
    CHECK_OK(close(dir));
    CHECK_OK(unlink("old"));
    CHECK_OK(rmdir("sub"));
    CHECK_OK(chdir("/"));
    CHECK_OK(rmdir(path));
}

/* --- who gets it --- */

static int thread_tid, thread_got;

static void *wait_in_thread(void *barrier)
{
    sigset_t set;
    struct timespec t = { 1, 0 };

    thread_tid = gettid();
    pthread_barrier_wait(barrier);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    thread_got = sigtimedwait(&set, NULL, &t);
    return NULL;
}

static void test_thread(void)
{
    struct f_owner_ex owner;
    pthread_barrier_t barrier;
    sigset_t pending;
    pthread_t t;
    int p[2];

    check_section("to a thread");
    CHECK_OK(pipe(p));
    pthread_barrier_init(&barrier, NULL, 2);
    CHECK_EQUAL(pthread_create(&t, NULL, wait_in_thread, &barrier), 0);
    pthread_barrier_wait(&barrier);
    owner = (struct f_owner_ex){ F_OWNER_TID, thread_tid };
    CHECK_OK(fcntl(p[0], F_SETOWN_EX, &owner));
    CHECK_OK(fcntl(p[0], F_SETSIG, SIGUSR1));
    CHECK_OK(fcntl(p[0], F_SETFL, O_ASYNC));
    CHECK_EQUAL(write(p[1], "a", 1), 1);
    pthread_join(t, NULL);
    CHECK_EQUAL(thread_got, SIGUSR1);
    CHECK_OK(sigpending(&pending));
    CHECK(!sigismember(&pending, SIGUSR1));
    for (int i = 0; i < 2000 && fcntl(p[0], F_GETOWN) != 0; i++)
        usleep(1000); /* joined doesn't mean gone yet */
    CHECK_EQUAL(fcntl(p[0], F_GETOWN), 0);
    close(p[0]);
    close(p[1]);
}

static int waits_for(int signo, int ready, bool may)
{
    struct timespec t = { may ? 5 : 0, may ? 0 : 50000000 };
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, signo);
    if (write(ready, "r", 1) != 1)
        return 1;
    return sigtimedwait(&set, NULL, &t) == (may ? signo : -1) ? 0 : 1;
}

static void test_group(void)
{
    int p[2], ready[2], status;
    pid_t child[3];
    char c;

    check_section("to a group");
    CHECK_OK(pipe(p));
    CHECK_OK(pipe(ready));
    for (int i = 0; i < 3; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            setpgid(0, i == 0 ? 0 : child[0]);
            _exit(waits_for(SIGUSR1, ready[1], true));
        }
        setpgid(child[i], child[0]);
        CHECK_EQUAL(read(ready[0], &c, 1), 1);
    }
    CHECK_OK(fcntl(p[0], F_SETOWN, -child[0]));
    CHECK_OK(fcntl(p[0], F_SETSIG, SIGUSR1));
    CHECK_OK(fcntl(p[0], F_SETFL, O_ASYNC));
    CHECK_EQUAL(write(p[1], "a", 1), 1);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(waitpid(child[i], &status, 0));
        CHECK_EQUAL(status, 0);
    }
    close(p[0]);
    close(p[1]);
    close(ready[0]);
    close(ready[1]);
}

/* Whoever set the owner must be allowed to signal it (fcntl(2), F_SETOWN). */
static void test_permission(void)
{
    int p[2], ready[2], status;
    pid_t target, setter;
    char c;

    check_section("permission");
    if (getuid() != 0) {
        printf("  not root\n");
        return;
    }
    CHECK_OK(pipe(p));
    CHECK_OK(pipe(ready));
    target = fork();
    if (target == 0)
        _exit(waits_for(SIGUSR1, ready[1], false));
    CHECK_EQUAL(read(ready[0], &c, 1), 1);
    setter = fork();
    if (setter == 0)
        _exit(setresuid(1000, 1000, 1000) < 0 || fcntl(p[0], F_SETOWN, target) < 0 || fcntl(p[0], F_SETSIG, SIGUSR1) < 0 ||
              fcntl(p[0], F_SETFL, O_ASYNC) < 0);
    CHECK_OK(waitpid(setter, &status, 0));
    CHECK_EQUAL(status, 0);
    CHECK_EQUAL(write(p[1], "a", 1), 1);
    CHECK_OK(waitpid(target, &status, 0));
    CHECK_EQUAL(status, 0);
    close(p[0]);
    close(p[1]);
    close(ready[0]);
    close(ready[1]);
}

/* A queue of real-time signals that is full says so by a plain SIGIO. */
static void test_overflow(void)
{
    struct rlimit old, few;
    siginfo_t info;
    int p[2], queued = 0, plain = 0;

    check_section("overflow");
    CHECK_OK(pipe(p));
    first_fd = p[0];
    arm(p[0]);
    CHECK_OK(getrlimit(RLIMIT_SIGPENDING, &old));
    few = (struct rlimit){ 0, old.rlim_max };
    CHECK_OK(setrlimit(RLIMIT_SIGPENDING, &few));
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(write(p[1], "a", 1), 1);
    CHECK_OK(setrlimit(RLIMIT_SIGPENDING, &old));
    while (next_signal(&info, 20)) {
        queued += info.si_signo == sig;
        plain += info.si_signo == SIGIO;
    }
    CHECK(queued < 4);
    CHECK_EQUAL(plain, 1);
    close(p[0]);
    close(p[1]);
}

static void test_signalfd(void)
{
    struct signalfd_siginfo info = { 0 };
    sigset_t set;
    int p[2], s;

    check_section("signalfd");
    CHECK_OK(pipe(p));
    arm(p[0]);
    sigemptyset(&set);
    sigaddset(&set, sig);
    s = signalfd(-1, &set, 0);
    CHECK_EQUAL(write(p[1], "a", 1), 1);
    CHECK_EQUAL(read(s, &info, sizeof(info)), sizeof(info));
    CHECK(info.ssi_signo == (uint32_t)sig && info.ssi_code == POLL_IN && info.ssi_fd == p[0]);
    CHECK(info.ssi_band == (POLLIN | POLLRDNORM) && info.ssi_pid == 0 && info.ssi_uid == 0);
    close(s);
    close(p[0]);
    close(p[1]);
}

/* The signal interrupts whoever computes or sleeps, and its handler sees the descriptor. */
static volatile sig_atomic_t handled, handled_fd, handled_band;

static void on_signal(int signo, siginfo_t *info, void *context)
{
    (void)signo;
    (void)context;
    handled_fd = info->si_fd;
    handled_band = (int)info->si_band;
    handled = 1;
}

static void test_handler(void)
{
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO }, old;
    sigset_t set;
    int p[2], status;
    pid_t child;

    check_section("handler");
    CHECK_OK(pipe(p));
    arm(p[0]);
    CHECK_OK(sigaction(sig, &action, &old));
    sigemptyset(&set);
    sigaddset(&set, sig);
    CHECK_OK(sigprocmask(SIG_UNBLOCK, &set, NULL));
    child = fork();
    if (child == 0) {
        usleep(20000);
        _exit(write(p[1], "a", 1) != 1);
    }
    while (!handled)
        ;
    CHECK(handled_fd == p[0] && handled_band == (POLLIN | POLLRDNORM));
    CHECK_OK(waitpid(child, &status, 0));
    CHECK_EQUAL(status, 0);
    CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
    CHECK_OK(sigaction(sig, &old, NULL));
    close(p[0]);
    close(p[1]);
}

static void test_all(void)
{
    test_pipes();
    test_fifos();
    test_unix(SOCK_STREAM, "unix, streams");
    test_unix(SOCK_SEQPACKET, "unix, packets");
    test_unix(SOCK_DGRAM, "unix, datagrams");
    test_listener(AF_UNIX);
    test_listener(AF_INET);
    test_udp();
    test_tty();
    test_inotify();
    test_directory();
}

int main(void)
{
    sigset_t set;

    setvbuf(stdout, NULL, _IOLBF, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGIO);
    sigaddset(&set, SIGURG);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN + 1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    test_owner();
    test_all();
    sig = SIGRTMIN + 1;
    test_all();
    sig = SIGUSR1;
    test_pipes();
    sig = SIGIO;
    test_pipes();
    sig = SIGRTMIN + 1;
    test_thread();
    test_group();
    test_permission();
    test_overflow();
    test_signalfd();
    test_handler();
    return check_done();
}
