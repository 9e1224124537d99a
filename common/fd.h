/*
 * Ownership of file descriptors: an owner's variable holds the descriptor or -1.
 */
#ifndef COMMON_FD_H
#define COMMON_FD_H

#include <stddef.h>
#include <stdint.h>

/* Close what *fd owns, if anything, and leave -1. errno is kept. */
void fd_close(int *fd);

/* Hand over what *fd owns: *fd becomes -1. */
int fd_take(int *fd);

/* A CLOEXEC duplicate, or -errno. */
int fd_dup(int fd);

/* Close every descriptor from 3 up that is not in keep[] (borrowed; -1 entries are ignored). 0 or -errno. */
int fd_close_others(const int *keep, size_t keep_count);

/* Add one to an eventfd; a full counter is as good as one more. */
void fd_signal_event(int fd);

/* Take an eventfd's count; 0 if there is none (only for non-blocking ones, or after poll). */
uint64_t fd_take_event(int fd);

#endif
