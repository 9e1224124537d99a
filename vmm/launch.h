/* Starting the gofer, and the jail of the vmm itself. */
#ifndef VMM_LAUNCH_H
#define VMM_LAUNCH_H

#include <pthread.h>
#include <sched.h>

#include "vmm/vcpu.h"
#include "vmm/view.h"

/* Channels to the gofer, made before it is started. */
struct launch {
    int arena_fd;
    size_t arena_size;
    int doorbell_fd;
    int control_fd;
    int proc_fd;       /* our root once we are jailed */
    pid_t gofer_pid;
    cpu_set_t cores;   /* that we may run on; empty: not known */
    unsigned gofer_layers;
};

/* Start the gofer's process; it sets itself up while we go on. stdio_open: bit n for descriptor n. 0, or -1 after one line. */
int launch_gofer(struct sandbox *sb, struct launch *l, const struct view *view, unsigned stdio_open);

/*
 * Keep others from our core, where the scheduler would let them wait for us: the gofer, which sleeps or sets itself up, until the
 * first request; a thread until we are going to wait for it.
 */
void launch_spread_gofer(const struct launch *l);
void launch_spread_thread(const struct launch *l, pthread_t thread);
void launch_join_thread(const struct launch *l, pthread_t thread, void **ret);

/* For --version: wait until the gofer has said that it is ready and jailed. 0, or -1 after one line. */
int launch_wait_ready(struct launch *l);

/* Into a user namespace, while there is a single thread; the host's files and devices are open by then. */
void launch_jail_user(void);

/*
 * Then give up what the calling thread doesn't need any more: namespaces, root, capabilities, limits. Threads that it starts
 * afterwards are born into them. 0, or -1 after one line.
 */
int launch_jail_self(struct launch *l);

/* The system call filter, for the calling thread. 0, or -1 after one line. */
int launch_filter_thread(void);

#endif
