/*
 * The gofer's system call filter: made at build time from seccomp_policy.h.
 */
#ifndef GOFER_SECCOMP_H
#define GOFER_SECCOMP_H

#include <linux/filter.h>

extern const struct sock_fprog seccomp_gofer;

#endif
