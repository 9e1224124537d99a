/* The vmm's system call filter: made at build time from seccomp_policy.h. */
#ifndef VMM_SECCOMP_H
#define VMM_SECCOMP_H

#include <linux/filter.h>

extern const struct sock_fprog seccomp_vmm;

#endif
