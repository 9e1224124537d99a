/* What AF_UNIX messages carry beside bytes: descriptors (SCM_RIGHTS) and credentials (unix(7)). */
#ifndef NET_SCM_H
#define NET_SCM_H

#include "net/socket.h"

/* Open files in a message that hasn't been received; each is a reference. */
struct fd_bundle {
    uint32_t count;
    bool in_flight;        /* counted by the collector: it is in a queue */
    struct file *files[];
};

struct scm {
    struct ucred cred;     /* the sender's, or what it gave */
    bool cred_given;
    struct fd_bundle *fds; /* NULL: none */
};

/*
 * Read a sender's ancillary data. 0 (release by scm_release, or take the bundle); EINVAL, EBADF, EPERM, ESRCH,
 * ETOOMANYREFS (more in flight than RLIMIT_NOFILE), ENOMEM.
 */
int scm_parse(const struct socket_msg *msg, struct scm *ret);
void scm_release(struct scm *scm);

/* The sender's identity as SCM_CREDENTIALS has it. */
struct ucred scm_own_cred(void);

void fd_bundle_free(struct fd_bundle *b);
struct fd_bundle *fd_bundle_copy(const struct fd_bundle *b); /* for MSG_PEEK; NULL: no memory */

/* Give them to current as descriptors, as many as fit. Frees the bundle. */
void scm_deliver_fds(struct socket_msg *msg, struct fd_bundle *b);
/* SCM_CREDENTIALS and SCM_PIDFD if the receiver wants them. has_cred false: the sender's weren't noted. */
void scm_deliver_cred(struct socket *s, struct socket_msg *msg, bool has_cred, const struct ucred *cred);

/* --- the collector of sockets that only messages refer to (unix_gc.c) --- */

void unix_gc_enter(struct fd_bundle *b); /* the bundle goes into a queue */
void unix_gc_leave(struct fd_bundle *b);
uint64_t unix_gc_in_flight(void);        /* files in messages */
void unix_gc_run(void);                  /* close what can't be reached; harmless when called from within */

#endif
