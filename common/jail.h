/*
 * The jail of a host process: own namespaces, an empty root, no capabilities, limits, a system call filter.
 *
 * Used by both processes. Each layer is applied if the kernel allows it; the bits of those in force are remembered, so
 * that they can be shown. None of this is a substitute for another: a container that refuses user namespaces still
 * gets the rest. A user namespace and pid namespaces are for a process with one thread; the other layers are the calling thread's.
 */
#ifndef COMMON_JAIL_H
#define COMMON_JAIL_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* JAIL_LAYER_LIST(X): X(bit, NAME, "what --version --verbose shows"). */
#define JAIL_LAYER_LIST(X)                                                                         \
    X(0, USER_NS, "user namespace")                                                                \
    X(1, MOUNT_NS, "mount namespace")                                                              \
    X(2, PID_NS, "pid namespace")                                                                  \
    X(3, NET_NS, "network namespace")                                                              \
    X(4, IPC_NS, "ipc namespace")                                                                  \
    X(5, UTS_NS, "uts namespace")                                                                  \
    X(6, ROOT, "empty root")                                                                       \
    X(7, NO_CAPS, "no capabilities")                                                               \
    X(8, NO_NEW_PRIVS, "no new privileges")                                                        \
    X(9, PDEATHSIG, "ends with its parent")                                                        \
    X(10, NOT_DUMPABLE, "not dumpable")                                                            \
    X(11, RLIMITS, "resource limits")                                                              \
    X(12, SECCOMP, "seccomp")

enum jail_layer {
#define X(bit, name, text) JAIL_##name = 1 << (bit),
    JAIL_LAYER_LIST(X)
#undef X
};

#define JAIL_NAMESPACES                                                                            \
    (JAIL_USER_NS | JAIL_MOUNT_NS | JAIL_PID_NS | JAIL_NET_NS | JAIL_IPC_NS | JAIL_UTS_NS)

/* Text of one layer's bit; NULL if it is none. */
const char *jail_layer_name(unsigned layer);

/* Layers in force in the calling process. */
unsigned jail_layers(void);

/* False in a user namespace that knows one id only, so that other owners show as "nobody". */
bool jail_ids_complete(void);

struct jail_child {
    pid_t pid;
    int pidfd; /* owned by the caller */
};

/*
 * Start child_main(arg) as a clone of this process in new namespaces: those of `layers` that the kernel grants. It gets
 * SIGKILL when the calling thread ends, so call from a thread that lives as long as the process. The child's
 * result is its exit status. Costs the caller about 0.2 ms; the network namespace is made by the child itself.
 *
 * Ids: root keeps all of them as they are; anybody else becomes root in a namespace that knows this one id only.
 * Returns 0 or -errno.
 */
int jail_spawn(unsigned layers, int (*child_main)(void *arg), void *arg, struct jail_child *ret);

/*
 * Put the calling process, which has been set up and holds what it needs, into new namespaces: those of `layers` that
 * the kernel grants (a pid namespace can't be entered so). Never fails: what is refused is left out.
 */
void jail_unshare(unsigned layers);

/*
 * A descriptor of this process's own /proc/self/fd, as a mount of its own where we have a mount namespace: ".." doesn't
 * lead out of it. To be called before jail_change_root(). fd or -errno.
 */
int jail_open_proc_fd(void);

/*
 * The same for any file: *ret_own_mount tells whether it became a mount of its own (then read_only is enforced by it), *ret_alone
 * whether it is one without any mounts below it.
 */
int jail_open_mount(const char *path, bool read_only, bool recursive, bool *ret_own_mount, bool *ret_alone);

/*
 * Make proc_fd (see above, borrowed) root and working directory. All that is left to be named is the process's own
 * descriptors. Without a mount namespace only the working directory changes. 0 or -errno.
 */
int jail_change_root(int proc_fd);

struct jail_limits {
    uint64_t file_size;   /* UINT64_MAX: none */
    uint64_t descriptors; /* wanted; the host's hard limit is kept */
};

/* Set the limits. No core dumps, no SIGXFSZ. Returns how many descriptors may be open. */
uint64_t jail_limit(const struct jail_limits *limits);

/* Give up all capabilities for good, set no_new_privs, hide from ptrace and /proc. 0 or -errno. */
int jail_drop_privileges(void);

/* The last step: from here on only the filter's system calls. Made at build time, see seccomp.h. 0 or -errno. */
int jail_filter(const struct sock_fprog *filter);

/* Ignore the signals that the user sends to the whole process group: they are the app's, and the vmm passes them on. */
void jail_ignore_signals(void);

#endif
