/*
 * Classic BPF programs as seccomp(2) takes them: checked once, then run on the data of a system call. Pure logic.
 */
#ifndef PROC_BPF_H
#define PROC_BPF_H

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "lib/base.h"

/* Is it one that ends, and reads only what is there? */
bool bpf_is_valid(const struct sock_filter *program, size_t count);

uint32_t bpf_run(const struct sock_filter *program, const struct seccomp_data *data);

#endif
