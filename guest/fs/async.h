/*
 * Signal-driven input and output (fcntl(2), "Managing signals"): O_ASYNC, and whom and with what F_SETOWN and F_SETSIG say.
 *
 * A file's ops say by `async` what brings the signal: the queues that its poll waits in (async.c puts an entry there), or its own
 * calls of async_signal.
 */
#ifndef FS_ASYNC_H
#define FS_ASYNC_H

#include "fs/file.h"

/* F_OWNER_*: what an owner's number is. */
enum async_kind { ASYNC_THREAD, ASYNC_PROCESS, ASYNC_GROUP, ASYNC_KINDS };

/* F_SETOWN_EX, with current's ids to answer for it. id 0: nobody. 0, -ESRCH, -ENOMEM. */
long async_set_owner(struct file *f, enum async_kind kind, int id);
/* F_SETOWN and FIOSETOWN: a negative id is a group. Also -EINVAL. */
long async_set_owner_id(struct file *f, int id);
/* F_GETOWN_EX: 0 once the owner has ended. */
int async_owner(const struct file *f, enum async_kind *ret_kind);
/* F_GETOWN, FIOGETOWN: the same as one number. */
int async_owner_id(const struct file *f);
/* F_GETOWNER_UIDS: who set it. */
void async_owner_uids(const struct file *f, uint32_t ret[2]);

/* F_SETSIG, F_GETSIG; 0: SIGIO without further information. */
long async_set_signo(struct file *f, uint64_t signo);
int async_signo(const struct file *f);

/* O_ASYNC through descriptor fd. -ENOTTY: never signals; -ENOMEM. */
long async_switch(struct file *f, int fd, bool on);

/*
 * Something has happened that f's owner wants to know. reason: POLL_IN … POLL_HUP (sigaction(2)). Never parks. f may be NULL;
 * without O_ASYNC nothing is sent.
 */
void async_signal(const struct file *f, int reason);
/* Urgent data have come: SIGURG to the owner even without O_ASYNC. */
void async_urgent(const struct file *f);

/* F_NOTIFY: f belongs to current, if to nobody yet (0, -ENOMEM); and something has happened in that directory. */
long async_own(struct file *f);
void async_directory(const struct file *f, int fd);

/* A write to an ASYNC_BY_ROOM file found no room: the next POLL_OUT counts. */
void async_no_room(const struct file *f);

void async_released(struct file *f); /* for file_put */

#endif
