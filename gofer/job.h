/*
 * Requests that can't be answered at once: they wait for a descriptor to become ready, in the engine's own poll, or
 * run in one of a few worker threads.
 *
 * The table, and everything of a job but what the worker fills in, belongs to the engine's thread. Threads are started
 * when first needed, so that a sandbox that never blocks has none.
 */
#ifndef GOFER_JOB_H
#define GOFER_JOB_H

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define P9_IO_VECTORS 32

#define JOB_MAX 256
#define JOB_THREADS_MAX 10 /* of which six may be stuck in reads and writes of stdio */

struct engine;
struct fid;

/* Where a message lies: the client's memory, or the socket transport's buffers. */
struct p9_io {
    struct iovec in[P9_IO_VECTORS];
    struct iovec out[P9_IO_VECTORS];
    size_t in_count;
    size_t out_count;
    size_t in_size;
    size_t out_size;
    uint32_t cookie; /* the transport's name for the request */
};

enum job_op {
    JOB_POLL,      /* ready: flags holds the events asked for */
    JOB_READ,      /* stream */
    JOB_WRITE,
    JOB_PREAD,     /* at offset */
    JOB_PWRITE,
    JOB_FSYNC,
    JOB_FDATASYNC,
    JOB_SYNCFS,
    JOB_FALLOCATE,
};

enum job_state { JOB_FREE, JOB_WAITING, JOB_QUEUED, JOB_RUNNING, JOB_DONE };

struct job {
    /* Set by the engine when the job is made. */
    enum job_op op;
    uint8_t type;
    uint16_t tag;
    struct fid *fid;       /* a reference */
    int fd;                /* what to work on; stays open by that reference, */
    bool own_fd;           /* or is the job's own */
    bool socket;           /* recvmsg and sendmsg rather than readv and writev */
    short events;
    uint32_t mode;
    uint64_t offset;
    uint64_t length;
    struct p9_io io;
    struct iovec vec[P9_IO_VECTORS];
    size_t vec_count;
    size_t total;
    /* Engine's thread. */
    bool cancelled;
    bool answered;         /* the worker has replied: under the pool's lock */
    bool is_flush;         /* a Tflush that waits for another job */
    struct job *flush_of;
    struct job *next;      /* pool queue or done list: under the pool's lock */
    /* Result: worker, then engine. */
    enum job_state state;  /* QUEUED, RUNNING, DONE under the pool's lock */
    pthread_t thread;
    size_t done;
    int64_t ret;
};

struct job_table {
    struct job *slot[JOB_MAX];
    size_t count;          /* not free */
    size_t waiting;
    size_t storage;        /* with the workers, and no stream: waits for a disk most likely */
    size_t cancelling;     /* cancelled, but a worker still runs them */
    /* Pool. */
    struct engine *answering; /* workers reply through it; NULL: they leave it to the engine's thread */
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct job *queue_head;
    struct job *queue_tail;
    struct job *done_head;
    pthread_t thread[JOB_THREADS_MAX];
    size_t threads;
    size_t idle;
    bool stopping;
    int done_fd;           /* eventfd: something is on the done list */
    uint32_t done_pending; /* the same as an atomic, for a loop that polls */
};

/* With answering, workers reply to transfers and syncs themselves. 0 or -errno. */
int job_table_init(struct job_table *t, struct engine *answering);

/* Cancel what can be, wait for the rest, end the threads. */
void job_table_destroy(struct engine *e);

/* A job for the message in io, holding a reference to fid (may be NULL). NULL: too many. */
struct job *job_new(struct engine *e, const struct p9_io *io, uint8_t type, uint16_t tag, struct fid *fid);
void job_free(struct engine *e, struct job *job);

/*
 * Do it in the engine's thread on a descriptor that doesn't block. It answers now, or once job->fd has been
 * ready for job->events; with nowait it answers EAGAIN (or the part that was done) rather than later.
 */
void job_start(struct engine *e, struct job *job, bool nowait);

/* Hand it to a worker. 0 or -errno (no thread could be started). */
int job_queue(struct engine *e, struct job *job);

/*
 * The job under way that has yet to answer to this tag, or NULL. Where workers answer, its reply may then come after an Rflush that
 * didn't find it: a client of the ring tells replies apart by their chains.
 */
struct job *job_find(struct engine *e, uint16_t tag);

/* End a job early if that is possible; it then answers EINTR. */
void job_cancel(struct engine *e, struct job *job);

/* For the transport's loop: descriptors to wait for. Returns how many were added, at most max; a timeout in *timeout_ms if one is needed. */
size_t job_pollfds(struct engine *e, struct pollfd *fds, size_t max, int *timeout_ms);

/* Something of that happened, or may have: take finished jobs, try those that wait. */
void job_run_ready(struct engine *e);

/* Cheap: is there anything for job_run_ready() that a worker finished? */
static inline bool job_done_pending(const struct job_table *t)
{
    return __atomic_load_n(&t->done_pending, __ATOMIC_ACQUIRE) != 0;
}

#endif
