/*
 * The 9P2000.L server, apart from any transport: it takes a T-message and makes its R-message.
 *
 * Messages lie in memory that the client may change at any time. The fields of a T-message are copied once into a
 * private buffer and decoded from there; only the bulk of Twrite and Rread moves between that memory and
 * the kernel directly. One thread runs the engine; what may block becomes a job (job.h).
 */
#ifndef GOFER_ENGINE_H
#define GOFER_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "gofer/fid.h"
#include "gofer/job.h"
#include "gofer/path.h"
#include "hypercalls/p9.h"

#define ENGINE_IN_MAX 8192              /* largest T-message without its bulk */
#define ENGINE_OUT_MAX (257u << 10)     /* largest R-message without its bulk: 256 KiB of Rlist */
#define ENGINE_SCRATCH_SIZE (64u << 10)
#define ENGINE_READ_HEADER 11           /* size type tag count */
#define ENGINE_WRITE_HEADER 23          /* size type tag fid offset count */
#define ENGINE_DONATED_MAX 4096

/* Result of an operation that became a job. Errors are -errno. */
#define ENGINE_DEFERRED 1

struct net;

struct engine_config {
    const struct export *exports;
    size_t export_count;
    bool by_number;         /* attach names are export/N and stdio/N; else paths */
    const int *stdio_fds;   /* three, or NULL; borrowed */
    int control_fd;         /* where donations go, or -1; borrowed */
    int proc_fd;            /* /proc/self/fd; borrowed */
    struct net *net;        /* NULL: no network; borrowed */
    size_t fid_max;
    uint32_t msize_max;     /* 0: P9_MSIZE_MAX */
    struct path_view view;
    void (*reply)(void *arg, uint32_t cookie, uint32_t len); /* an R-message of len bytes is in io->out; 0: none */
    void *reply_arg;
    bool reply_by_workers;  /* reply() may be called by any thread */
};

/* What the gofer knows of an inherited descriptor. */
enum stdio_kind { STDIO_CLOSED, STDIO_PLAIN, STDIO_PIPE, STDIO_SOCKET, STDIO_TTY, STDIO_OTHER };

struct stdio {
    enum stdio_kind kind;
    int fd;             /* given up with the last fid that the guest had of it */
    unsigned fid_count;
};

struct engine {
    struct engine_config config;
    struct fid_table fids;
    struct job_table jobs;
    struct stdio stdio[3];
    uint32_t msize;
    bool versioned;
    bool extended;       /* the client asked for P9_VERSION_VMM */
    uint32_t next_token;
    size_t donated_count;
    uint32_t drop[ENGINE_DONATED_MAX]; /* tokens whose DROP note is still to be sent */
    size_t drop_count;
    uint8_t in[ENGINE_IN_MAX];
    uint8_t out[ENGINE_OUT_MAX];
    _Alignas(8) uint8_t scratch[ENGINE_SCRATCH_SIZE]; /* directory entries */
};

/* A message under way in the engine's thread. */
struct request {
    struct p9_cursor in;  /* fields after the header */
    struct p9_cursor out; /* the R-message, header first */
    const struct p9_io *io;
    size_t size;          /* of the T-message */
    size_t bulk;          /* bytes that lie in io->out behind what `out` holds */
    uint16_t tag;
    uint8_t type;
};

/* config is copied; what it points to is borrowed. 0 or -errno. The struct is large: not for a stack. */
int engine_init(struct engine *e, const struct engine_config *config);

/* End all jobs that wait, close all fids. Jobs that run are waited for unless they can't be interrupted. */
void engine_destroy(struct engine *e);

/* Serve one T-message. Replies now or later. io is copied if needed. */
void engine_handle(struct engine *e, const struct p9_io *io);

/* Send what was left to send on the control socket. */
void engine_flush_drops(struct engine *e);

/* Make the R-message of a finished job, by any thread that reply() allows. */
void engine_reply_job(struct engine *e, const struct job *job);
/* What follows that: answer those who wanted it flushed, free it. */
void engine_end_job(struct engine *e, struct job *job);
/* Both. */
void engine_finish_job(struct engine *e, struct job *job);

/* Used by the operations. */
int request_end(const struct request *rq);                               /* all fields decoded? 0 or -EBADMSG */
int engine_fid(const struct engine *e, uint32_t number, struct fid **ret); /* 0 or -EBADF */
/* A directory of an export, one in which names may be made and removed, and that with a name for the kernel. 0 or -errno. */
int engine_dir(const struct engine *e, uint32_t number, struct fid **ret);
int engine_writable_dir(const struct engine *e, uint32_t number, struct fid **ret);
int engine_place(const struct engine *e, uint32_t number, const struct p9_str *wire_name, struct fid **ret_dir,
                 char ret_name[P9_NAME_MAX + 1]);
void engine_drop_tokens(struct engine *e, struct fid *fid);               /* its donations end */
void engine_drop_fid(struct engine *e, struct fid *fid);                 /* clunk: notes, table, reference */
uint32_t engine_iounit(const struct engine *e);

/* For clients of the extended dialect: the attributes of a file that was made. */
void engine_put_made(const struct engine *e, struct request *rq, const struct export *x, const struct statx *st);

#define X(number, name) int op_##name(struct engine *e, struct request *rq);
P9_LIST(X)
#undef X

/* Shared by the operations of several files. */
int fid_open(struct engine *e, struct fid *fid, uint32_t flags);
int open_flags_of(uint32_t wire_flags);
int stdio_attach(struct engine *e, struct fid *fid, unsigned index);
void stdio_detach(struct engine *e, unsigned index); /* a fid of it is gone */
int stdio_read(struct engine *e, struct request *rq, struct fid *fid, uint32_t count, bool nowait);
int stdio_write(struct engine *e, struct request *rq, struct fid *fid, uint32_t count, bool nowait);
int xattr_read(struct request *rq, const struct fid *fid, uint64_t offset, uint32_t count);
int xattr_write(struct request *rq, struct fid *fid, uint64_t offset, uint32_t count);
int xattr_clunk(struct engine *e, struct fid *fid);

#endif
