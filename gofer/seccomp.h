/*
 * The gofer's system call filters, made at build time from seccomp_policy.h: without and with host sockets.
 */
#ifndef GOFER_SECCOMP_H
#define GOFER_SECCOMP_H

#include <linux/filter.h>

extern const struct sock_fprog seccomp_gofer;
extern const struct sock_fprog seccomp_gofer_net;

#endif
