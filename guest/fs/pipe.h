/*
 * Pipes and FIFOs. What splice, tee and vmsplice need beyond reading and writing is here too.
 */
#ifndef FS_PIPE_H
#define FS_PIPE_H

#include "fs/vfs.h"

struct pipe;

/* Both ends of a new pipe; flags: O_NONBLOCK, O_DIRECT. ret[0] reads, ret[1] writes. 0 or -errno. */
long pipe_create(uint32_t flags, struct file *ret[2]);

/* The pipe behind a file, or NULL. */
struct pipe *pipe_of(const struct file *f);

/* F_GETPIPE_SZ and F_SETPIPE_SZ: bytes, or -errno (EBADF: not a pipe). */
long pipe_get_size(const struct file *f);
long pipe_set_size(struct file *f, uint64_t size);

/* For splice and tee: bytes that can be read, and written without blocking. */
uint64_t pipe_bytes(const struct pipe *p);
uint64_t pipe_room(const struct pipe *p);
/* Wait until there is something (1), or the other side is gone (0; writing: -EPIPE with SIGPIPE). -EAGAIN, -ERESTARTSYS. */
long pipe_wait_data(struct pipe *p, bool nonblock);
long pipe_wait_room(struct pipe *p, bool nonblock);
/* Copy from the front without taking it, after `skip` bytes; take n bytes away. */
size_t pipe_peek(struct pipe *p, uint64_t skip, struct iter *to);
void pipe_consume(struct pipe *p, uint64_t n);

#endif
