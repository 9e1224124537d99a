/*
 * Jobs and their worker threads; see job.h.
 */
#include "gofer/job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/iov.h"
#include "gofer/engine.h"

/* Interrupts a worker's blocked read or write. */
#define SIGNAL_INTERRUPT SIGUSR2
/* A signal may come just before the worker blocks; so it is sent again after this time. */
#define CANCEL_AGAIN_MS 5
#define WORKER_STACK_SIZE (64u << 10)

static void on_interrupt(int signal)
{
    (void)signal;
}

int job_table_init(struct job_table *t, struct engine *answering)
{
    struct sigaction interrupt = { .sa_handler = on_interrupt }; /* no SA_RESTART */
    sigset_t set;

    *t = (struct job_table){ .done_fd = -1, .answering = answering };
    if (sigaction(SIGNAL_INTERRUPT, &interrupt, NULL) < 0)
        return -errno;
    /* The vmm, whose mask we have, keeps it from its own threads. */
    sigemptyset(&set);
    sigaddset(&set, SIGNAL_INTERRUPT);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    t->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (t->done_fd < 0)
        return -errno;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->work, NULL);
    return 0;
}

struct job *job_new(struct engine *e, const struct p9_io *io, uint8_t type, uint16_t tag, struct fid *fid)
{
    struct job_table *t = &e->jobs;

    for (size_t i = 0; i < JOB_MAX; i++) {
        struct job *job;

        if (t->slot[i])
            continue;
        job = calloc(1, sizeof(*job));
        if (!job)
            return NULL;
        job->type = type;
        job->tag = tag;
        job->fid = fid ? fid_get(fid) : NULL;
        job->fd = -1;
        job->io = *io;
        t->slot[i] = job;
        t->count++;
        return job;
    }
    return NULL;
}

void job_free(struct engine *e, struct job *job)
{
    struct job_table *t = &e->jobs;

    for (size_t i = 0; i < JOB_MAX; i++) {
        if (t->slot[i] != job)
            continue;
        t->slot[i] = NULL;
        t->count--;
    }
    if (job->own_fd)
        fd_close(&job->fd);
    if (job->fid)
        fid_put(job->fid);
    free(job);
}

static ssize_t socket_io(const struct job *job, struct iovec *vec, size_t count)
{
    struct msghdr msg = { .msg_iov = vec, .msg_iovlen = count };

    if (job->op == JOB_READ)
        return recvmsg(job->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    return sendmsg(job->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* One system call's worth of the job. */
static ssize_t job_step(const struct job *job)
{
    struct iovec vec[P9_IO_VECTORS];
    size_t n = iov_slice(job->vec, job->vec_count, job->done, job->total - job->done, vec);

    switch (job->op) {
    case JOB_READ:
        return job->socket ? socket_io(job, vec, n) : readv(job->fd, vec, (int)n);
    case JOB_WRITE:
        return job->socket ? socket_io(job, vec, n) : writev(job->fd, vec, (int)n);
    case JOB_PREAD:
        return preadv(job->fd, vec, (int)n, (off_t)(job->offset + job->done));
    case JOB_PWRITE:
        return pwritev(job->fd, vec, (int)n, (off_t)(job->offset + job->done));
    case JOB_FSYNC:
        return fsync(job->fd);
    case JOB_FDATASYNC:
        return fdatasync(job->fd);
    case JOB_SYNCFS:
        return syncfs(job->fd);
    case JOB_FALLOCATE:
        return fallocate(job->fd, (int)job->mode, (off_t)job->offset, (off_t)job->length);
    case JOB_POLL: {
        struct pollfd p = { .fd = job->fd, .events = job->events };
        int ready = poll(&p, 1, 0);

        if (ready == 0)
            errno = EAGAIN;
        return ready > 0 ? p.revents : -1;
    }
    }
    errno = EINVAL;
    return -1;
}

static bool is_cancelled(const struct job *job)
{
    return __atomic_load_n(&job->cancelled, __ATOMIC_RELAXED);
}

/* A write goes on until all is written; everything else is done after one step. */
static bool job_is_write(const struct job *job)
{
    return job->op == JOB_WRITE || job->op == JOB_PWRITE;
}

/*
 * Do what can be done. Returns false if the descriptor would block and the job is to be tried again; else
 * job->ret is set. What was written before an error counts, as write(2) has it.
 */
static bool job_try(struct job *job)
{
    for (;;) {
        ssize_t n = job_step(job);

        if (n < 0 && errno == EINTR && !is_cancelled(job))
            continue; /* meant for the job before this one */
        if (n < 0 && errno == EAGAIN && !is_cancelled(job))
            return false;
        if (n < 0) {
            job->ret = job->done ? (int64_t)job->done : errno == EAGAIN ? -EINTR : -errno;
            return true;
        }
        if (!job_is_write(job)) {
            job->ret = n;
            return true;
        }
        job->done += (size_t)n;
        if (n == 0 || job->done == job->total) {
            job->ret = (int64_t)job->done;
            return true;
        }
    }
}

/* The descriptor blocks, or somebody made the shared description O_NONBLOCK: then we wait by poll. */
static void worker_run(struct job *job)
{
    while (!job_try(job)) {
        struct pollfd p = { .fd = job->fd, .events = job->events };

        poll(&p, 1, -1); /* cut short by the cancelling signal: job_try() sees it */
    }
}

static bool is_stream(const struct job *job)
{
    return job->op == JOB_READ || job->op == JOB_WRITE;
}

/*
 * A stream is read by one worker at a time and written by one, or a client could tie up all of them with reads of
 * one silent terminal. Under the lock.
 */
static bool is_runnable(const struct job_table *t, const struct job *job)
{
    if (!is_stream(job))
        return true;
    for (size_t i = 0; i < JOB_MAX; i++) {
        const struct job *other = t->slot[i];

        if (other && other->state == JOB_RUNNING && other->op == job->op && other->fd == job->fd)
            return false;
    }
    return true;
}

/* Take a job out of the queue. Under the lock. */
static bool unqueue(struct job_table *t, struct job *job)
{
    struct job *previous = NULL;

    for (struct job *j = t->queue_head; j; previous = j, j = j->next) {
        if (j != job)
            continue;
        if (previous)
            previous->next = j->next;
        else
            t->queue_head = j->next;
        if (t->queue_tail == j)
            t->queue_tail = previous;
        return true;
    }
    return false;
}

static struct job *take_queued(struct job_table *t)
{
    struct job *job = t->queue_head;

    while (job && !is_runnable(t, job))
        job = job->next;
    if (job)
        unqueue(t, job);
    return job;
}

/*
 * Whoever waits for a disk needn't wait for the engine's thread to wake up besides, which frees the job and looks for the next request
 * meanwhile. A cancelled job is left to it, because Rflush must follow.
 */
static void finish(struct job_table *t, struct job *job)
{
    bool answered;

    pthread_mutex_lock(&t->lock);
    answered = t->answering && !job->cancelled && !is_stream(job);
    job->answered = answered;
    pthread_mutex_unlock(&t->lock);
    if (answered)
        engine_reply_job(t->answering, job); /* wakes somebody who may want our core: not under a lock */
    pthread_mutex_lock(&t->lock);
    job->state = JOB_DONE;
    job->next = t->done_head;
    t->done_head = job;
    if (t->queue_head)
        pthread_cond_signal(&t->work); /* it may have waited for this stream */
    __atomic_store_n(&t->done_pending, 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&t->lock);
    fd_signal_event(t->done_fd); /* if only to be awake for the next request */
}

static void *worker_main(void *arg)
{
    struct job_table *t = arg;

    pthread_mutex_lock(&t->lock);
    while (!t->stopping) {
        struct job *job = take_queued(t);

        if (!job) {
            t->idle++;
            pthread_cond_wait(&t->work, &t->lock);
            t->idle--;
            continue;
        }
        job->state = JOB_RUNNING;
        job->thread = pthread_self();
        pthread_mutex_unlock(&t->lock);
        worker_run(job);
        finish(t, job);
        pthread_mutex_lock(&t->lock);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

/* Under the lock. */
static int start_worker(struct job_table *t)
{
    pthread_attr_t attr;
    int err;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, WORKER_STACK_SIZE);
    err = pthread_create(&t->thread[t->threads], &attr, worker_main, t);
    pthread_attr_destroy(&attr);
    if (!err)
        t->threads++;
    return -err;
}

int job_queue(struct engine *e, struct job *job)
{
    struct job_table *t = &e->jobs;
    int err = 0;

    pthread_mutex_lock(&t->lock);
    if (!t->idle && t->threads < JOB_THREADS_MAX)
        err = start_worker(t);
    if (err && !t->threads)
        goto unlock;
    err = 0;
    job->state = JOB_QUEUED;
    job->next = NULL;
    if (t->queue_tail)
        t->queue_tail->next = job;
    else
        t->queue_head = job;
    t->queue_tail = job;
    t->storage += !is_stream(job);
    pthread_cond_signal(&t->work);
unlock:
    pthread_mutex_unlock(&t->lock);
    return err;
}

static void job_wait_ready(struct engine *e, struct job *job)
{
    job->state = JOB_WAITING;
    e->jobs.waiting++;
}

void job_start(struct engine *e, struct job *job, bool nowait)
{
    if (!job_try(job)) {
        if (!nowait) {
            job_wait_ready(e, job);
            return;
        }
        job->ret = job->done ? (int64_t)job->done : -EAGAIN;
    }
    job->state = JOB_DONE;
    engine_finish_job(e, job);
}

static void finish_waiting(struct engine *e, struct job *job)
{
    e->jobs.waiting--;
    job->state = JOB_DONE;
    engine_finish_job(e, job);
}

struct job *job_find(struct engine *e, uint16_t tag)
{
    struct job_table *t = &e->jobs;
    struct job *found = NULL;

    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < JOB_MAX && t->count && !found; i++) {
        struct job *job = t->slot[i];

        if (job && job->tag == tag && !job->is_flush && !job->answered)
            found = job;
    }
    pthread_mutex_unlock(&t->lock);
    return found;
}

void job_cancel(struct engine *e, struct job *job)
{
    struct job_table *t = &e->jobs;
    bool taken;

    if (job->cancelled || job->is_flush)
        return;
    if (job->state == JOB_WAITING) {
        job->ret = job->done ? (int64_t)job->done : -EINTR;
        finish_waiting(e, job);
        return;
    }
    pthread_mutex_lock(&t->lock);
    if (job->answered) {
        pthread_mutex_unlock(&t->lock);
        return;
    }
    taken = job->state == JOB_QUEUED && unqueue(t, job);
    if (!taken)
        __atomic_store_n(&job->cancelled, true, __ATOMIC_RELAXED);
    if (job->state == JOB_RUNNING && is_stream(job))
        pthread_kill(job->thread, SIGNAL_INTERRUPT);
    pthread_mutex_unlock(&t->lock);
    if (taken) {
        t->storage -= !is_stream(job);
        job->ret = -EINTR;
        job->state = JOB_DONE;
        engine_finish_job(e, job);
    } else {
        t->cancelling++;
    }
}

size_t job_pollfds(struct engine *e, struct pollfd *fds, size_t max, int *timeout_ms)
{
    struct job_table *t = &e->jobs;
    size_t n = 0;

    if (max)
        fds[n++] = (struct pollfd){ .fd = t->done_fd, .events = POLLIN };
    if (t->cancelling)
        *timeout_ms = CANCEL_AGAIN_MS;
    for (size_t i = 0, left = t->waiting; i < JOB_MAX && left && n < max; i++) {
        const struct job *job = t->slot[i];

        if (!job || job->state != JOB_WAITING || job->is_flush)
            continue;
        fds[n++] = (struct pollfd){ .fd = job->fd, .events = job->events };
        left--;
    }
    return n;
}

static struct job *take_done(struct job_table *t)
{
    struct job *list;

    fd_take_event(t->done_fd);
    pthread_mutex_lock(&t->lock);
    __atomic_store_n(&t->done_pending, 0, __ATOMIC_RELAXED);
    list = t->done_head;
    t->done_head = NULL;
    pthread_mutex_unlock(&t->lock);
    return list;
}

static void interrupt_again(struct job_table *t)
{
    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < JOB_MAX; i++) {
        const struct job *job = t->slot[i];

        if (job && job->cancelled && job->state == JOB_RUNNING && is_stream(job))
            pthread_kill(job->thread, SIGNAL_INTERRUPT);
    }
    pthread_mutex_unlock(&t->lock);
}

void job_run_ready(struct engine *e)
{
    struct job_table *t = &e->jobs;

    if (job_done_pending(t)) {
        for (struct job *job = take_done(t), *next; job; job = next) {
            next = job->next;
            if (job->cancelled)
                t->cancelling--;
            t->storage -= !is_stream(job);
            if (job->answered)
                engine_end_job(e, job);
            else
                engine_finish_job(e, job);
        }
    }
    if (t->cancelling)
        interrupt_again(t);
    for (size_t i = 0; i < JOB_MAX && t->waiting; i++) {
        struct job *job = t->slot[i];

        if (job && job->state == JOB_WAITING && !job->is_flush && job_try(job))
            finish_waiting(e, job);
    }
}

void job_table_destroy(struct engine *e)
{
    struct job_table *t = &e->jobs;

    for (size_t i = 0; i < JOB_MAX; i++) {
        if (t->slot[i])
            job_cancel(e, t->slot[i]);
    }
    while (t->count) {
        struct pollfd p = { .fd = t->done_fd, .events = POLLIN };

        poll(&p, 1, CANCEL_AGAIN_MS);
        job_run_ready(e);
    }
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    pthread_cond_broadcast(&t->work);
    pthread_mutex_unlock(&t->lock);
    for (size_t i = 0; i < t->threads; i++)
        pthread_join(t->thread[i], NULL);
    fd_close(&t->done_fd);
}
