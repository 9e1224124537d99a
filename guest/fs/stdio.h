/*
 * The descriptors that the sandbox was started with (0 to 2), as files. What they are on the host (terminal, pipe, file,
 * socket) shows in their attributes; reads, writes and polls are requests to the gofer.
 */
#ifndef FS_STDIO_H
#define FS_STDIO_H

#include "fs/vfs.h"

/* Attach those that are open and install them as 0, 1, 2 of current. 0 or -errno. */
long stdio_open_all(void);

/* A file for the sandbox's terminal (/dev/tty, /dev/console): the first of the descriptors that is one. -ENXIO: none is. */
long stdio_open_tty(struct file *f);

/* Its number among 0 to 2; -1: there is none. */
int stdio_tty(void);

/* The size of the host's terminal, which f is one of the descriptors of. */
struct tty_winsize;
bool host_tty_size(const struct file *f, struct tty_winsize *ret);

#endif
