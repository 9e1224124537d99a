/* System V IPC: shared memory, semaphores with undo, message queues; sysvipc(7) and the pages it names. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define KEY 0x5678abcd
#define ROUNDS 2000

union semun {
    int val;
    struct semid_ds *buf;
    unsigned short *array;
    struct seminfo *info;
};

static void nothing(int signo)
{
}

/* A handler without SA_RESTART, and one with: none of these calls is restarted by either (signal(7)). */
static void alarm_in(long us, int flags)
{
    struct sigaction sa = { .sa_handler = nothing, .sa_flags = flags };
    struct timespec ts = { 0, us * 1000 };
    pid_t parent = getpid();

    sigaction(SIGUSR1, &sa, NULL);
    if (fork() == 0) {
        nanosleep(&ts, NULL);
        kill(parent, SIGUSR1);
        _exit(0);
    }
}

static void reap(int expected)
{
    int status;

    CHECK_OK(wait(&status));
    CHECK_EQUAL(status, expected << 8);
}

/* Until that child sleeps in its call. */
static void until_asleep(pid_t pid)
{
    char path[32], state = '?';

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    for (int i = 0; i < 1000 && state != 'S'; i++) {
        FILE *f = fopen(path, "r");

        usleep(5000);
        if (f && fscanf(f, "%*d %*s %c", &state) != 1)
            state = '?';
        if (f)
            fclose(f);
    }
}

/* As another user, in a child. */
static void as_nobody(void (*fn)(int), int id)
{
    fflush(stdout);
    if (fork() == 0) {
        int before = check_failures;

        if (setgid(65534) || setuid(65534))
            _exit(2);
        fn(id);
        fflush(stdout);
        _exit(check_failures != before);
    }
    reap(0);
}

/* --- shared memory --- */

static void shm_stranger(int id)
{
    struct shmid_ds ds;

    CHECK_ERRNO((long)shmat(id, NULL, 0), EACCES);
    CHECK_ERRNO(shmctl(id, IPC_STAT, &ds), EACCES);
    CHECK_ERRNO(shmctl(id, IPC_RMID, NULL), EPERM);
    CHECK_ERRNO(shmctl(id, SHM_LOCK, NULL), EPERM);
    CHECK_ERRNO(shmget(KEY, 0, 0400), EACCES);
    CHECK_OK(shmget(KEY, 0, 0));
}

static void shm_reader(int id)
{
    CHECK_ERRNO((long)shmat(id, NULL, 0), EACCES);
    CHECK_OK((long)shmat(id, NULL, SHM_RDONLY));
}

static long attached(int id)
{
    struct shmid_ds ds;

    return shmctl(id, IPC_STAT, &ds) == 0 ? (long)ds.shm_nattch : -1;
}

static void check_shm_get(void)
{
    int id;

    check_section("shmget");
    CHECK_ERRNO(shmget(KEY, 4096, 0600), ENOENT);
    CHECK_ERRNO(shmget(KEY, 0, IPC_CREAT | 0600), EINVAL);
    id = shmget(KEY, 10000, IPC_CREAT | IPC_EXCL | 0600);
    CHECK_OK(id);
    CHECK_ERRNO(shmget(KEY, 10000, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    CHECK_EQUAL(shmget(KEY, 10000, IPC_CREAT | 0600), id);
    CHECK_EQUAL(shmget(KEY, 0, 0), id);
    CHECK_ERRNO(shmget(KEY, 10001, 0600), EINVAL);
    CHECK_ERRNO(shmget(IPC_PRIVATE, (size_t)-1, 0600), EINVAL);
    as_nobody(shm_stranger, id);
    struct shmid_ds ds;
    CHECK_OK(shmctl(id, IPC_STAT, &ds));
    ds.shm_perm.mode = 0644;
    CHECK_OK(shmctl(id, IPC_SET, &ds));
    as_nobody(shm_reader, id);
    CHECK_OK(shmctl(id, IPC_STAT, &ds));
    CHECK_EQUAL(ds.shm_perm.mode, 0644);
    CHECK_EQUAL(ds.shm_segsz, 10000);
    CHECK_EQUAL(ds.shm_cpid, getpid());
    CHECK_EQUAL(ds.shm_perm.__key, KEY);
    CHECK(time(NULL) - ds.shm_ctime < 10);
    CHECK_OK(shmctl(id, IPC_RMID, NULL));
    CHECK_ERRNO(shmctl(id, IPC_RMID, NULL), EINVAL);
    CHECK_ERRNO(shmctl(-1, IPC_STAT, &ds), EINVAL);
    CHECK_ERRNO(shmctl(id, 99, NULL), EINVAL);
}

static void check_shm_attach(void)
{
    int id = shmget(IPC_PRIVATE, 3 * 4096, 0600), pipes[2];
    char *a, *b, *c, byte;

    check_section("shmat");
    a = shmat(id, NULL, 0);
    CHECK((long)a != -1);
    CHECK_EQUAL(a[0] | a[8192], 0);
    b = shmat(id, NULL, SHM_RDONLY);
    a[5] = 'x';
    CHECK_EQUAL(b[5], 'x');
    CHECK_EQUAL(attached(id), 2);
    CHECK_ERRNO(mprotect(b, 4096, PROT_READ | PROT_WRITE), EACCES);
    CHECK_ERRNO((long)shmat(id, a + 1, 0), EINVAL);
    CHECK_ERRNO((long)shmat(id, a, 0), EINVAL);
    CHECK_ERRNO((long)shmat(id, NULL, SHM_REMAP), EINVAL);
    CHECK_ERRNO((long)shmat(id + 5, NULL, 0), EINVAL);
    CHECK((char *)shmat(id, a + 100, SHM_RND | SHM_REMAP) == a);
    CHECK_EQUAL(attached(id), 2);
    CHECK_EQUAL(a[5], 'x');
    CHECK_ERRNO(shmdt(a + 4096), EINVAL);
    CHECK_ERRNO(shmdt(a + 1), EINVAL);
    CHECK_OK(munmap(a + 4096, 4096)); /* the rest is two attachments */
    CHECK_EQUAL(attached(id), 3);
    CHECK_OK(pipe(pipes));
    fflush(stdout);
    if (fork() == 0) {
        a[6] = attached(id) == 6 ? 'y' : 'n';
        close(pipes[1]);
        _exit(read(pipes[0], &byte, 1) != 0);
    }
    close(pipes[0]);
    while (attached(id) != 6 || b[6] == 0)
        usleep(1000);
    CHECK_EQUAL(b[6], 'y');
    CHECK_OK(shmctl(id, IPC_RMID, NULL)); /* marked only */
    struct shmid_ds ds;
    CHECK_OK(shmctl(id, IPC_STAT, &ds));
    CHECK(ds.shm_perm.mode & SHM_DEST);
    CHECK_EQUAL(ds.shm_perm.__key, 0);
    c = shmat(id, NULL, 0);
    CHECK_EQUAL(c[5], 'x');
    CHECK_OK(shmdt(c));
    close(pipes[1]);
    reap(0);
    CHECK_EQUAL(attached(id), 3);
    CHECK_OK(shmdt(a));
    CHECK_EQUAL(attached(id), 1);
    CHECK_ERRNO(shmdt(a), EINVAL);
    CHECK_EQUAL(b[5], 'x');
    CHECK_OK(shmdt(b));
    CHECK_EQUAL(attached(id), -1);
    CHECK_EQUAL(errno, EINVAL);
}

/* A segment that was removed goes with the last process that has it; one that wasn't stays. */
static void check_shm_life(void)
{
    int id = shmget(IPC_PRIVATE, 4096, 0600);
    int kept = shmget(IPC_PRIVATE, 4096, 0600);
    struct shmid_ds ds;
    struct shm_info info;
    char *a;

    check_section("shm life");
    if (fork() == 0) {
        strcpy(shmat(kept, NULL, 0), "kept");
        shmat(id, NULL, 0);
        shmctl(id, IPC_RMID, NULL);
        if (attached(id) != 1)
            _exit(1);
        execl("/proc/self/exe", "sysvipc", "exit", NULL);
    }
    reap(0);
    CHECK_EQUAL(attached(id), -1);
    CHECK_EQUAL(attached(kept), 0);
    a = shmat(kept, NULL, 0);
    CHECK(strcmp(a, "kept") == 0);
    CHECK_OK(shmctl(kept, SHM_LOCK, NULL));
    CHECK_OK(shmctl(kept, IPC_STAT, &ds));
    CHECK_EQUAL(ds.shm_perm.mode, 0600 | SHM_LOCKED);
    CHECK_EQUAL(ds.shm_lpid, getpid());
    CHECK_OK(shmctl(kept, SHM_UNLOCK, NULL));
    CHECK_OK(shmctl(0, SHM_INFO, (void *)&info));
    CHECK(info.used_ids >= 1);
    CHECK_OK(shmctl(kept, IPC_RMID, NULL));
    CHECK_OK(shmdt(a));
    CHECK_ERRNO((long)shmat(kept, NULL, 0), EINVAL);
}

/* --- semaphores --- */

static int semaphore_call(int id, int num, int op, int flags)
{
    struct sembuf b = { num, op, flags };

    return semop(id, &b, 1);
}

static int value(int id, int num)
{
    return semctl(id, num, GETVAL);
}

static void sem_stranger(int id)
{
    struct sembuf zero = { 0, 0, 0 };

    CHECK_ERRNO(semop(id, &zero, 1), EACCES);
    CHECK_ERRNO(semctl(id, 0, GETVAL), EACCES);
    CHECK_ERRNO(semctl(id, 0, IPC_RMID), EPERM);
}

static void check_sem_basics(void)
{
    int id;
    unsigned short values[3] = { 1, 2, 3 }, got[3];
    struct semid_ds ds;
    struct sembuf ops[3];
    struct timespec ts = { 0, 20000000 }, bad = { 0, 1000000000 };

    check_section("semctl");
    CHECK_ERRNO(semget(KEY, 1, 0600), ENOENT);
    CHECK_ERRNO(semget(KEY, 0, IPC_CREAT | 0600), EINVAL);
    CHECK_ERRNO(semget(KEY, -1, IPC_CREAT | 0600), EINVAL);
    CHECK_ERRNO(semget(KEY, 100000, IPC_CREAT | 0600), EINVAL);
    id = semget(KEY, 3, IPC_CREAT | 0600);
    CHECK_OK(id);
    CHECK_ERRNO(semget(KEY, 4, 0600), EINVAL);
    CHECK_EQUAL(semget(KEY, 2, 0600), id);
    CHECK_OK(semctl(id, 0, SETALL, (union semun){ .array = values }));
    CHECK_OK(semctl(id, 0, GETALL, (union semun){ .array = got }));
    CHECK(memcmp(values, got, sizeof(got)) == 0);
    CHECK_OK(semctl(id, 1, SETVAL, (union semun){ .val = 7 }));
    CHECK_EQUAL(value(id, 1), 7);
    CHECK_EQUAL(semctl(id, 1, GETPID), getpid());
    CHECK_ERRNO(semctl(id, 1, SETVAL, (union semun){ .val = 32768 }), ERANGE);
    CHECK_ERRNO(semctl(id, 1, SETVAL, (union semun){ .val = -1 }), ERANGE);
    CHECK_ERRNO(semctl(id, 3, GETVAL), EINVAL);
    CHECK_ERRNO(semctl(id, 0, 99), EINVAL);
    values[2] = 40000;
    CHECK_ERRNO(semctl(id, 0, SETALL, (union semun){ .array = values }), ERANGE);
    CHECK_ERRNO(semctl(id, 0, SETALL, (union semun){ .array = NULL }), EFAULT);
    CHECK_OK(semctl(id, 0, IPC_STAT, (union semun){ .buf = &ds }));
    CHECK_EQUAL(ds.sem_nsems, 3);
    CHECK_EQUAL(ds.sem_otime, 0);
    as_nobody(sem_stranger, id);

    check_section("semop");
    CHECK_ERRNO(semop(id, ops, 0), EINVAL);
    CHECK_ERRNO(semop(id, ops, 501), E2BIG);
    CHECK_ERRNO(semop(id, NULL, 1), EFAULT);
    CHECK_ERRNO(semop(id + 1, ops, 1), EINVAL);
    CHECK_ERRNO(semaphore_call(id, 3, 1, 0), EFBIG);
    CHECK_ERRNO(semaphore_call(id, 0, 32767, 0), ERANGE);
    CHECK_ERRNO(semaphore_call(id, 0, 0, IPC_NOWAIT), EAGAIN);
    CHECK_ERRNO(semaphore_call(id, 0, -2, IPC_NOWAIT), EAGAIN);
    ops[0] = (struct sembuf){ 0, -1, 0 };
    ops[1] = (struct sembuf){ 1, -7, 0 };
    ops[2] = (struct sembuf){ 2, -4, IPC_NOWAIT };
    CHECK_ERRNO(semop(id, ops, 3), EAGAIN); /* none is done */
    CHECK_EQUAL(value(id, 0) * 100 + value(id, 1) * 10 + value(id, 2), 173);
    ops[2].sem_op = -3;
    CHECK_OK(semop(id, ops, 3));
    CHECK_EQUAL(value(id, 0) + value(id, 1) + value(id, 2), 0);
    CHECK_OK(semaphore_call(id, 0, 0, 0));
    ops[0] = (struct sembuf){ 0, 5, 0 }; /* up, then down again: the order counts */
    ops[1] = (struct sembuf){ 0, -5, 0 };
    CHECK_OK(semop(id, ops, 2));
    CHECK_OK(semctl(id, 0, IPC_STAT, (union semun){ .buf = &ds }));
    CHECK(ds.sem_otime != 0);
    ops[0] = (struct sembuf){ 0, -1, 0 };
    CHECK_ERRNO(semtimedop(id, ops, 1, &ts), EAGAIN);
    CHECK_ERRNO(semtimedop(id, ops, 1, &bad), EINVAL);
    alarm_in(20000, 0);
    CHECK_ERRNO(semop(id, ops, 1), EINTR);
    reap(0);
    alarm_in(20000, SA_RESTART);
    CHECK_ERRNO(semop(id, ops, 1), EINTR);
    reap(0);
    CHECK_OK(semctl(id, 0, IPC_RMID));
    CHECK_ERRNO(semctl(id, 0, IPC_RMID), EINVAL);
}

static void check_sem_waiting(void)
{
    int id = semget(IPC_PRIVATE, 2, 0600);
    struct sembuf both[2] = { { 0, -1, 0 }, { 1, -1, 0 } };

    check_section("sem waiting");
    if (fork() == 0)
        _exit(semop(id, both, 2));
    while (semctl(id, 0, GETNCNT) != 1)
        usleep(1000);
    CHECK_OK(semaphore_call(id, 0, 1, 0));
    while (semctl(id, 1, GETNCNT) != 1) /* now it is the second that it waits for */
        usleep(1000);
    CHECK_EQUAL(semctl(id, 0, GETNCNT), 0);
    CHECK_EQUAL(value(id, 0), 1);
    CHECK_OK(semaphore_call(id, 1, 1, 0));
    reap(0);
    CHECK_EQUAL(value(id, 0) + value(id, 1), 0);

    /* Whoever waits for zero is let go even if the value rises again at once. */
    CHECK_OK(semaphore_call(id, 0, 1, 0));
    if (fork() == 0)
        _exit(semaphore_call(id, 0, 0, 0));
    while (semctl(id, 0, GETZCNT) != 1)
        usleep(1000);
    CHECK_OK(semaphore_call(id, 0, -1, 0));
    CHECK_OK(semaphore_call(id, 0, 1, 0));
    reap(0);

    if (fork() == 0)
        _exit(semaphore_call(id, 1, -1, 0) == -1 && errno == EIDRM ? 5 : 6);
    while (semctl(id, 1, GETNCNT) != 1)
        usleep(1000);
    CHECK_OK(semctl(id, 0, IPC_RMID));
    reap(5);
}

static void *undo_thread(void *arg)
{
    CHECK_OK(semaphore_call(*(int *)arg, 0, 1, SEM_UNDO));
    return NULL;
}

static void check_sem_undo(void)
{
    int id = semget(IPC_PRIVATE, 2, 0600);
    pthread_t t;

    check_section("sem undo");
    if (fork() == 0) {
        semaphore_call(id, 0, 5, SEM_UNDO);
        semaphore_call(id, 0, -2, SEM_UNDO);
        semaphore_call(id, 1, 4, 0);
        _exit(value(id, 0) != 3);
    }
    reap(0);
    CHECK_EQUAL(value(id, 0), 0);
    CHECK_EQUAL(value(id, 1), 4);
    if (fork() == 0) { /* SETVAL forgets what was to be undone */
        semaphore_call(id, 0, 5, SEM_UNDO);
        semctl(id, 0, SETVAL, (union semun){ .val = 9 });
        _exit(0);
    }
    reap(0);
    CHECK_EQUAL(value(id, 0), 9);
    if (fork() == 0) { /* a killed process, and fork doesn't inherit */
        semaphore_call(id, 0, -9, SEM_UNDO);
        if (fork() == 0)
            _exit(0);
        wait(NULL);
        if (value(id, 0) != 0)
            _exit(1);
        kill(getpid(), SIGKILL);
    }
    int status;
    CHECK_OK(wait(&status));
    CHECK_EQUAL(status, SIGKILL);
    CHECK_EQUAL(value(id, 0), 9);
    if (fork() == 0) { /* the threads of a process share the list: nothing is undone at a thread's end */
        pthread_create(&t, NULL, undo_thread, &id);
        pthread_join(t, NULL);
        _exit(value(id, 0) != 10);
    }
    reap(0);
    CHECK_EQUAL(value(id, 0), 9);
    if (fork() == 0) { /* never below zero */
        semaphore_call(id, 0, 9, SEM_UNDO);
        semaphore_call(id, 0, -17, 0);
        _exit(0);
    }
    reap(0);
    CHECK_EQUAL(value(id, 0), 0);
    CHECK_OK(semctl(id, 0, IPC_RMID));
}

/* Two processes take turns. */
static void check_sem_turns(void)
{
    int id = semget(IPC_PRIVATE, 2, 0600);
    int *count, shm = shmget(IPC_PRIVATE, 4096, 0600);

    check_section("turns");
    count = shmat(shm, NULL, 0);
    shmctl(shm, IPC_RMID, NULL);
    semctl(id, 0, SETVAL, (union semun){ .val = 1 });
    for (int side = 0; side < 2; side++) {
        if (fork() == 0) {
            for (int i = 0; i < ROUNDS; i++) {
                if (semaphore_call(id, side, -1, 0) || *count % 2 != side)
                    _exit(1);
                ++*count;
                semaphore_call(id, !side, 1, 0);
            }
            _exit(0);
        }
    }
    reap(0);
    reap(0);
    CHECK_EQUAL(*count, 2 * ROUNDS);
    CHECK_OK(semctl(id, 0, IPC_RMID));
}

/* --- messages --- */

struct message {
    long type;
    char text[100];
};

static int put(int id, long type, const char *text, int flags)
{
    struct message m = { .type = type };

    strcpy(m.text, text);
    return msgsnd(id, &m, strlen(text), flags);
}

static const char *take(int id, long type, int flags)
{
    static struct message m;
    ssize_t n = msgrcv(id, &m, sizeof(m.text) - 1, type, flags);

    if (n < 0)
        return strerrorname_np(errno);
    m.text[n] = '\0';
    return m.text;
}

#define CHECK_TEXT(got, expected) CHECK(strcmp(got, expected) == 0)

static void msg_stranger(int id)
{
    CHECK_ERRNO(put(id, 1, "x", IPC_NOWAIT), EACCES);
    CHECK_TEXT(take(id, 0, IPC_NOWAIT), "EACCES");
}

static void check_messages(void)
{
    pid_t child;
    int id;
    struct msqid_ds ds;
    char big[8193];
    struct message m;

    check_section("messages");
    id = msgget(KEY, IPC_CREAT | IPC_EXCL | 0600);
    CHECK_OK(id);
    CHECK_ERRNO(msgget(KEY, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    CHECK_EQUAL(msgget(KEY, 0), id);
    as_nobody(msg_stranger, id);
    CHECK_ERRNO(put(id, 0, "x", 0), EINVAL);
    CHECK_ERRNO(put(id, -1, "x", 0), EINVAL);
    CHECK_ERRNO(put(id + 1, 1, "x", 0), EINVAL);
    CHECK_ERRNO(msgsnd(id, NULL, 1, 0), EFAULT);
    memset(big, 1, sizeof(big));
    CHECK_ERRNO(msgsnd(id, big, sizeof(big), 0), EINVAL);
    CHECK_ERRNO(msgrcv(id, &m, (size_t)-1, 0, 0), EINVAL);
    CHECK_TEXT(take(id, 0, IPC_NOWAIT), "ENOMSG");
    for (int i = 0; i < 6; i++)
        CHECK_OK(put(id, (long[]){ 3, 1, 2, 1, 5, 3 }[i], (const char *[]){ "a", "b", "c", "d", "e", "f" }[i], 0));
    CHECK_TEXT(take(id, 2, MSG_COPY | IPC_NOWAIT), "c"); /* the third, which stays */
    CHECK_TEXT(take(id, 9, MSG_COPY | IPC_NOWAIT), "ENOMSG");
    CHECK_TEXT(take(id, 0, MSG_COPY), "EINVAL");
    CHECK_TEXT(take(id, 2, 0), "c");
    CHECK_TEXT(take(id, 3, MSG_EXCEPT), "b");
    CHECK_TEXT(take(id, -4, 0), "d");
    CHECK_TEXT(take(id, -4, 0), "a");
    CHECK_TEXT(take(id, 7, IPC_NOWAIT), "ENOMSG");
    CHECK_TEXT(take(id, 0, 0), "e");
    CHECK_OK(msgctl(id, IPC_STAT, &ds));
    CHECK_EQUAL(ds.msg_qnum, 1);
    CHECK_EQUAL(ds.__msg_cbytes, 1);
    CHECK_EQUAL(ds.msg_qbytes, 16384);
    CHECK_EQUAL(ds.msg_lspid, getpid());
    CHECK_EQUAL(ds.msg_lrpid, getpid());
    CHECK_TEXT(take(id, 0, 0), "f");
    CHECK_OK(put(id, 1, "a long text", 0));
    CHECK_ERRNO(msgrcv(id, &m, 3, 0, 0), E2BIG);
    CHECK_EQUAL(msgrcv(id, &m, 3, 0, MSG_NOERROR), 3);
    CHECK_TEXT(take(id, 0, IPC_NOWAIT), "ENOMSG");
    CHECK_OK(put(id, 4, "", 0));
    CHECK_EQUAL(msgrcv(id, &m, 0, 0, 0), 0);
    CHECK_EQUAL(m.type, 4);
    alarm_in(20000, SA_RESTART);
    CHECK_TEXT(take(id, 0, 0), "EINTR");
    reap(0);

    check_section("full queue");
    ds.msg_qbytes = 10;
    CHECK_OK(msgctl(id, IPC_SET, &ds));
    CHECK_OK(put(id, 1, "0123456", 0));
    CHECK_ERRNO(put(id, 1, "0123", IPC_NOWAIT), EAGAIN);
    child = fork();
    if (child == 0)
        _exit(put(id, 2, "0123", 0));
    until_asleep(child);
    CHECK_TEXT(take(id, 0, 0), "0123456");
    reap(0);
    CHECK_TEXT(take(id, 0, 0), "0123");
    child = fork();
    if (child == 0)
        _exit(strcmp(take(id, 0, 0), "EIDRM") == 0 ? 5 : 6);
    until_asleep(child);
    CHECK_OK(msgctl(id, IPC_RMID, NULL));
    reap(5);
    CHECK_TEXT(take(id, 0, 0), "EINVAL");
}

/* Two processes send numbers back and forth through one queue. */
static void check_ping_pong(void)
{
    int id = msgget(IPC_PRIVATE, 0600);
    struct {
        long type;
        int number;
    } m;

    check_section("ping-pong");
    if (fork() == 0) {
        for (int i = 0; i < ROUNDS; i++) {
            if (msgrcv(id, &m, sizeof(int), 1, 0) != sizeof(int) || m.number != i)
                _exit(1);
            m.type = 2;
            msgsnd(id, &m, sizeof(int), 0);
        }
        _exit(0);
    }
    for (int i = 0; i < ROUNDS; i++) {
        m.type = 1;
        m.number = i;
        msgsnd(id, &m, sizeof(int), 0);
        if (msgrcv(id, &m, sizeof(int), 2, 0) != sizeof(int) || m.number != i)
            CHECK(false);
    }
    reap(0);
    CHECK_OK(msgctl(id, IPC_RMID, NULL));
}

/* --- /proc --- */

static void print_first_line(const char *path)
{
    FILE *f = fopen(path, "r");
    char line[300];

    if (CHECK(f != NULL) && fgets(line, sizeof(line), f))
        printf("%s", line);
    if (f)
        fclose(f);
}

/* The segment's line: key, size, attachments. */
static void check_proc(void)
{
    int id = shmget(KEY, 5000, IPC_CREAT | 0640), found = 0;
    char line[300];
    FILE *f;

    check_section("/proc");
    shmat(id, NULL, 0);
    print_first_line("/proc/sysvipc/shm");
    print_first_line("/proc/sysvipc/sem");
    print_first_line("/proc/sysvipc/msg");
    print_first_line("/proc/sys/kernel/sem");
    print_first_line("/proc/sys/kernel/shmmni");
    print_first_line("/proc/sys/kernel/msgmax");
    f = fopen("/proc/sysvipc/shm", "r");
    while (fgets(line, sizeof(line), f)) {
        int key, number, size, attach;

        if (sscanf(line, "%d %d %*d %d %*d %*d %d", &key, &number, &size, &attach) == 4 && number == id)
            found = key == KEY && size == 5000 && attach == 1;
    }
    fclose(f);
    CHECK(found);
    f = fopen("/proc/self/maps", "r");
    for (found = 0; fgets(line, sizeof(line), f);)
        found += strstr(line, "/SYSV5678abcd (deleted)") != NULL;
    fclose(f);
    CHECK_EQUAL(found, 1);
    CHECK_OK(shmctl(id, IPC_RMID, NULL));
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return 0;
    check_shm_get();
    check_shm_attach();
    check_shm_life();
    check_sem_basics();
    check_sem_waiting();
    check_sem_undo();
    check_sem_turns();
    check_messages();
    check_ping_pong();
    check_proc();
    return check_done();
}
