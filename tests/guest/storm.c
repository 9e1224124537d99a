/*
 * A signal every 300 µs during every call that blocks: with SA_RESTART those that are restarted never fail, the others
 * say EINTR (signal(7), "Interruption of system calls"), and all of them do their work in the end. Then: many processes in a
 * row, many descriptors in one epoll, many forks. `storm N` does N rounds.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define FILE_NAME "/tmp/storm-file"
#define FIFO_NAME "/tmp/storm-fifo"

static int rounds = 1;
static char buf[1 << 16];

/* What the calls wait for. */
static int pipe_in[2], pipe_full[2], event, full_event, timer, epoll, watch, file_a, file_b, sem_id, msg_id, full_msg_id;
static mqd_t queue, full_queue;
static aio_context_t aio;
static uint32_t word;
static sem_t posix_sem;
static pid_t child;
static int fifo_fd = -1;

/* 1 if it did all of it; -1 stays, for EINTR. */
static long whole(ssize_t n, ssize_t expected)
{
    return n == expected ? 1 : n;
}

static long wait_read(void) { return read(pipe_in[0], buf, 1); }
static long wait_readv(void) { return readv(pipe_in[0], &(struct iovec){ buf, 1 }, 1); }
static void feed_pipe(void) { CHECK_EQUAL(write(pipe_in[1], "x", 1), 1); }
static long wait_write(void) { return whole(write(pipe_full[1], buf, 4096), 4096); }
static void drain_pipe(void) { CHECK_EQUAL(read(pipe_full[0], buf, 4096), 4096); }
static long wait_poll(void) { return poll(&(struct pollfd){ pipe_in[0], POLLIN, 0 }, 1, -1); }
static long wait_ppoll(void) { return ppoll(&(struct pollfd){ pipe_in[0], POLLIN, 0 }, 1, NULL, NULL); }
static void drain_input(void) { CHECK_EQUAL(read(pipe_in[0], buf, 1), 1); }

static long wait_select(void)
{
    fd_set set;

    FD_ZERO(&set);
    FD_SET(pipe_in[0], &set);
    return select(pipe_in[0] + 1, &set, NULL, NULL, NULL);
}

static long wait_epoll(void) { return epoll_wait(epoll, &(struct epoll_event){ 0 }, 1, -1); }
static long wait_eventfd(void) { return whole(read(event, buf, 8), 8); }
static void add_event(void) { CHECK_EQUAL(write(event, &(uint64_t){ 1 }, 8), 8); }
static long wait_eventfd_room(void) { return whole(write(full_event, &(uint64_t){ 5 }, 8), 8); }
static void take_event(void) { CHECK_EQUAL(read(full_event, buf, 8), 8); }
static void fill_event(void) { CHECK_EQUAL(write(full_event, &(uint64_t){ UINT64_MAX - 1 }, 8), 8); }
static long wait_timerfd(void) { return whole(read(timer, buf, 8), 8); }
static void set_timer(void) { timerfd_settime(timer, 0, &(struct itimerspec){ { 0, 0 }, { 0, 1000 } }, NULL); }
static long wait_inotify(void) { return whole(read(watch, buf, sizeof(buf)), sizeof(struct inotify_event)); }
static void touch(void) { close(open(FILE_NAME, O_RDONLY)); }
static long wait_futex(void) { return syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0); }

static void wake_futex(void)
{
    /* It may be between two attempts. */
    while (syscall(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0) == 0)
        usleep(100);
}

static long wait_posix_sem(void) { return sem_wait(&posix_sem); }
static void post_posix_sem(void) { sem_post(&posix_sem); }
static long wait_semop(void) { return semop(sem_id, &(struct sembuf){ 0, -1, 0 }, 1); }
static void post_semop(void) { semop(sem_id, &(struct sembuf){ 0, 1, 0 }, 1); }
static long wait_msgrcv(void) { return msgrcv(msg_id, buf, 100, 0, 0); }
static void send_msg(void) { msgsnd(msg_id, &(long){ 1 }, 0, 0); }
static long wait_msgsnd(void) { return msgsnd(full_msg_id, buf, 8000, 0); }
static void take_msg(void) { msgrcv(full_msg_id, buf, 8000, 0, 0); }
static long wait_mq_receive(void) { return mq_receive(queue, buf, 64, NULL); }
static void send_mq(void) { mq_send(queue, "", 0, 0); }
static long wait_mq_send(void) { return mq_send(full_queue, "x", 1, 0); }
static void take_mq(void) { mq_receive(full_queue, buf, 64, NULL); }
static long wait_flock(void) { return flock(file_b, LOCK_EX); }
static void lock_flock(void) { flock(file_a, LOCK_EX); }
static void unlock_flock(void) { flock(file_a, LOCK_UN); }
static void unlock_b(void) { flock(file_b, LOCK_UN); }

static long ofd_lock(int fd, int cmd, short type)
{
    return fcntl(fd, cmd, &(struct flock){ .l_type = type, .l_whence = SEEK_SET });
}

static long wait_lock(void) { return ofd_lock(file_b, F_OFD_SETLKW, F_WRLCK); }
static void lock_file(void) { ofd_lock(file_a, F_OFD_SETLK, F_WRLCK); }
static void unlock_file(void) { ofd_lock(file_a, F_OFD_SETLK, F_UNLCK); }
static void unlock_file_b(void) { ofd_lock(file_b, F_OFD_SETLK, F_UNLCK); }

static void start_child(void)
{
    child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
}

static void end_child(void) { kill(child, SIGKILL); }
static long wait_child(void) { return whole(waitpid(child, NULL, 0), child); }

static long wait_waitid(void)
{
    siginfo_t info;

    return waitid(P_PID, (id_t)child, &info, WEXITED);
}

static long wait_sigwait(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    return whole(sigwaitinfo(&set, NULL), SIGUSR2);
}

static void send_usr2(void) { kill(getpid(), SIGUSR2); }
static long wait_aio(void) { return syscall(SYS_io_getevents, aio, 1, 1, buf, NULL); }

static void start_aio(void)
{
    static struct iocb cb;
    struct iocb *list = &cb;

    cb = (struct iocb){ .aio_lio_opcode = IOCB_CMD_POLL, .aio_fildes = (uint32_t)pipe_in[0], .aio_buf = POLLIN };
    CHECK_EQUAL(syscall(SYS_io_submit, aio, 1, &list), 1);
}

static long wait_fifo(void)
{
    int fd = open(FIFO_NAME, O_RDONLY);

    if (fd >= 0)
        close(fd);
    return fd < 0 ? -1 : 0;
}

static void open_fifo(void) { fifo_fd = open(FIFO_NAME, O_WRONLY); }
static void close_fifo(void) { close(fifo_fd); }

/* restarts: with SA_RESTART. before and after belong to each round; release lets the call go on, from another thread. */
static const struct {
    const char *name;
    long (*block)(void);
    long result;
    void (*release)(void);
    bool restarts;
    void (*before)(void);
    void (*after)(void);
} calls[] = {
    { "read", wait_read, 1, feed_pipe, true, NULL, NULL },
    { "readv", wait_readv, 1, feed_pipe, true, NULL, NULL },
    { "write", wait_write, 1, drain_pipe, true, NULL, NULL },
    { "poll", wait_poll, 1, feed_pipe, false, NULL, drain_input },
    { "ppoll", wait_ppoll, 1, feed_pipe, false, NULL, drain_input },
    { "select", wait_select, 1, feed_pipe, false, NULL, drain_input },
    { "epoll_wait", wait_epoll, 1, feed_pipe, false, NULL, drain_input },
    { "eventfd", wait_eventfd, 1, add_event, true, NULL, NULL },
    { "eventfd full", wait_eventfd_room, 1, take_event, true, fill_event, take_event },
    { "timerfd", wait_timerfd, 1, set_timer, true, NULL, NULL },
    { "inotify", wait_inotify, 1, touch, true, NULL, NULL },
    { "futex", wait_futex, 0, wake_futex, true, NULL, NULL },
    { "sem_wait", wait_posix_sem, 0, post_posix_sem, true, NULL, NULL },
    { "semop", wait_semop, 0, post_semop, false, NULL, NULL },
    { "msgrcv", wait_msgrcv, 0, send_msg, false, NULL, NULL },
    { "msgsnd", wait_msgsnd, 0, take_msg, false, NULL, NULL },
    { "mq_receive", wait_mq_receive, 0, send_mq, true, NULL, NULL },
    { "mq_send", wait_mq_send, 0, take_mq, true, NULL, NULL },
    { "flock", wait_flock, 0, unlock_flock, true, lock_flock, unlock_b },
    { "F_OFD_SETLKW", wait_lock, 0, unlock_file, true, lock_file, unlock_file_b },
    { "waitpid", wait_child, 1, end_child, true, start_child, NULL },
    { "waitid", wait_waitid, 0, end_child, true, start_child, NULL },
    { "sigwaitinfo", wait_sigwait, 1, send_usr2, false, NULL, NULL },
    { "io_getevents", wait_aio, 1, feed_pipe, false, start_aio, drain_input },
    { "open a FIFO", wait_fifo, 0, open_fifo, true, NULL, close_fifo },
};

static volatile long storm_signals;

static void on_alarm(int signo)
{
    storm_signals++;
}

static void storm(bool on, int flags)
{
    struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = flags };
    struct itimerval it = { { 0, on ? 300 : 0 }, { 0, on ? 300 : 0 } };

    if (on)
        sigaction(SIGALRM, &sa, NULL);
    setitimer(ITIMER_REAL, &it, NULL);
}

static sem_t go;
static volatile long interrupted; /* how often the call under way came back with EINTR */
static volatile bool must_be;

/* Not before some signals have come, however slow the machine is; but it gives up after two seconds. */
static void *release_later(void *release)
{
    void (*fn)(void);
    long first;

    memcpy(&fn, release, sizeof(fn));
    while (sem_wait(&go))
        ;
    first = storm_signals;
    for (int i = 0; i < 400; i++) {
        usleep(5000);
        if (storm_signals - first > 3 && (interrupted > 0 || !must_be))
            break;
    }
    fn();
    return NULL;
}

static void run_call(size_t i, int flags)
{
    sigset_t alarm, old;
    pthread_t t;
    long result;

    interrupted = 0;
    must_be = !(flags && calls[i].restarts);
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    if (calls[i].before)
        calls[i].before();
    pthread_sigmask(SIG_BLOCK, &alarm, &old);
    CHECK_EQUAL(pthread_create(&t, NULL, release_later, (void *)&calls[i].release), 0);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    sem_post(&go);
    storm(true, flags);
    while ((result = calls[i].block()) == -1 && errno == EINTR)
        interrupted++;
    storm(false, 0);
    pthread_join(t, NULL);
    if (calls[i].after)
        calls[i].after();
    if (result != calls[i].result || (interrupted > 0) != must_be) {
        printf("%s, flags %#x: %ld, errno %d, interrupted %ld times\n", calls[i].name, flags, result, errno, interrupted);
        CHECK(false);
    }
}

static void prepare(void)
{
    struct mq_attr four = { .mq_maxmsg = 4, .mq_msgsize = 64 };
    sigset_t usr2;

    sigemptyset(&usr2);
    sigaddset(&usr2, SIGUSR2);
    sigprocmask(SIG_BLOCK, &usr2, NULL);
    CHECK_OK(pipe(pipe_in));
    CHECK_OK(pipe2(pipe_full, O_NONBLOCK));
    while (write(pipe_full[1], buf, 4096) == 4096)
        ;
    fcntl(pipe_full[1], F_SETFL, 0);
    event = eventfd(0, 0);
    full_event = eventfd(0, 0);
    timer = timerfd_create(CLOCK_MONOTONIC, 0);
    epoll = epoll_create1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, pipe_in[0], &(struct epoll_event){ EPOLLIN, { 0 } });
    file_a = open(FILE_NAME, O_CREAT | O_RDWR, 0600);
    file_b = open(FILE_NAME, O_RDWR);
    watch = inotify_init();
    inotify_add_watch(watch, FILE_NAME, IN_OPEN);
    mkfifo(FIFO_NAME, 0600);
    sem_id = semget(IPC_PRIVATE, 1, 0600);
    msg_id = msgget(IPC_PRIVATE, 0600);
    full_msg_id = msgget(IPC_PRIVATE, 0600);
    *(long *)buf = 1;
    for (int i = 0; i < 2; i++)
        CHECK_OK(msgsnd(full_msg_id, buf, 8000, 0));
    mq_unlink("/storm-a");
    mq_unlink("/storm-b");
    queue = mq_open("/storm-a", O_CREAT | O_RDWR, 0600, &four);
    full_queue = mq_open("/storm-b", O_CREAT | O_RDWR, 0600, &four);
    for (int i = 0; i < 4; i++)
        mq_send(full_queue, "x", 1, 0);
    CHECK_OK(syscall(SYS_io_setup, 4, &aio));
    sem_init(&posix_sem, 0, 0);
    sem_init(&go, 0, 0);
}

static void clean_up(void)
{
    semctl(sem_id, 0, IPC_RMID);
    msgctl(msg_id, IPC_RMID, NULL);
    msgctl(full_msg_id, IPC_RMID, NULL);
    mq_unlink("/storm-a");
    mq_unlink("/storm-b");
    unlink(FILE_NAME);
    unlink(FIFO_NAME);
}

static void check_storm(void)
{
    prepare();
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        for (int round = 0; round < rounds; round++) {
            run_call(i, SA_RESTART);
            run_call(i, 0);
        }
    }
    clean_up();
}

/* --- a hundred processes in a row --- */

static void pass_on(int in, int out)
{
    ssize_t n;

    while ((n = read(in, buf, sizeof(buf))) > 0) {
        for (ssize_t i = 0; i < n; i++)
            buf[i]++;
        for (ssize_t done = 0, w; done < n; done += w) {
            w = write(out, buf + done, (size_t)(n - done));
            if (w <= 0)
                _exit(1);
        }
    }
    _exit(n != 0);
}

static void check_chain(int length, size_t bytes)
{
    int first[2], in, next[2], status;
    size_t got = 0, wrong = 0;
    ssize_t n;

    CHECK_OK(pipe(first));
    in = first[0];
    for (int i = 0; i < length; i++) {
        CHECK_OK(pipe(next));
        if (fork() == 0) {
            close(first[1]);
            close(next[0]);
            pass_on(in, next[1]);
        }
        close(in);
        close(next[1]);
        in = next[0];
    }
    if (fork() == 0) {
        close(in);
        for (size_t done = 0; done < bytes; done += sizeof(buf)) {
            memset(buf, (int)(done / sizeof(buf)), sizeof(buf));
            if (write(first[1], buf, sizeof(buf)) != sizeof(buf))
                _exit(1);
        }
        _exit(0);
    }
    close(first[1]);
    while ((n = read(in, buf, sizeof(buf))) > 0) {
        for (ssize_t i = 0; i < n; i++, got++)
            wrong += buf[i] != (char)(got / sizeof(buf) + (size_t)length);
    }
    close(in);
    CHECK_EQUAL(got, bytes);
    CHECK_EQUAL(wrong, 0);
    for (int i = 0; i <= length; i++) {
        CHECK_OK(wait(&status));
        CHECK_EQUAL(status, 0);
    }
}

/* --- ten thousand descriptors in one epoll --- */

static void check_descriptors(int count)
{
    struct rlimit limit = { (rlim_t)count + 100, (rlim_t)count + 100 };
    int ep, *fds = calloc((size_t)count, sizeof(int)), ready = 0, n;
    struct epoll_event events[64];
    char *expected = calloc((size_t)count, 1);

    CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
    ep = epoll_create1(0);
    for (int i = 0; i < count; i++) {
        fds[i] = eventfd(0, EFD_NONBLOCK);
        if (fds[i] < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &(struct epoll_event){ EPOLLIN | EPOLLET, { .u32 = (uint32_t)i } }))
            CHECK(false);
    }
    srandom(1);
    for (int i = 0; i < 1000 * rounds; i++) {
        int which = (int)(random() % count);

        CHECK_EQUAL(write(fds[which], &(uint64_t){ 1 }, 8), 8);
        ready += !expected[which];
        expected[which] = 1;
        if (i % 100 < 99)
            continue;
        while ((n = epoll_wait(ep, events, 64, 0)) > 0) {
            for (int k = 0; k < n; k++) {
                ready -= expected[events[k].data.u32];
                expected[events[k].data.u32] = 0;
            }
        }
        CHECK_EQUAL(ready, 0);
    }
    for (int i = 0; i < count; i++)
        close(fds[i]);
    CHECK_EQUAL(epoll_wait(ep, events, 64, 0), 0);
    close(ep);
    free(fds);
    free(expected);
}

static void check_forks(int count)
{
    int status, failed = 0;

    for (int i = 0; i < count; i++) {
        pid_t pid = fork();

        if (pid == 0)
            _exit(i & 0x7f);
        failed += pid < 0 || waitpid(pid, &status, 0) != pid || status != (i & 0x7f) << 8;
    }
    CHECK_EQUAL(failed, 0);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        rounds = atoi(argv[1]);
    check_section("every call that blocks");
    check_storm();
    check_section("a chain of 100 processes");
    check_chain(100, rounds > 1 ? 64 * sizeof(buf) : 2 * sizeof(buf));
    check_section("10000 descriptors");
    check_descriptors(10000);
    check_section("forks");
    check_forks(rounds > 1 ? 10000 : 200);
    check_count = 0; /* how many depends on the rounds */
    return check_done();
}
