/* POSIX message queues: the file system that holds them. The calls are in ipc/mqueue_calls.c. */
#ifndef IPC_MQUEUE_H
#define IPC_MQUEUE_H

#include <linux/mqueue.h>

#include "fs/vfs.h"
#include "proc/process.h"

struct mq_message {
    struct list node;
    uint32_t priority;
    size_t size;
    uint8_t data[];
};

/* A sender without room, or a receiver without a message, on its thread's stack. Whoever serves it takes it off the list. */
struct mq_waiter {
    struct list node;
    struct thread *thread;
    struct mq_message *message; /* a sender's; or a receiver's once it has one */
    bool served;
};

struct mq {
    struct list all_node;
    struct list messages;            /* highest priority first, then oldest first */
    struct list senders, receivers;  /* struct mq_waiter, oldest first */
    struct wait_queue poll_wait;
    uint64_t max_count, max_size;    /* mq_maxmsg, mq_msgsize */
    uint64_t count, bytes;
    uint64_t charged;                /* against RLIMIT_MSGQUEUE of owner */
    uint32_t owner;
    struct process *notify;          /* registered by mq_notify: a reference */
    int notify_method, notify_signal; /* SIGEV_* */
    uint64_t notify_value;
    struct socket *notify_socket;    /* SIGEV_THREAD: a reference */
    uint8_t notify_cookie[NOTIFY_COOKIE_LEN];
};

struct superblock *mqueue_mount(void); /* the one file system of queues; err_ptr */

/* mq_open(3), mq_unlink(3). name has no slash. attr: NULL for the default. File or err_ptr. */
struct file *mqueue_open(const char *name, uint32_t flags, uint32_t mode, const struct mq_attr *attr);
int mqueue_unlink(const char *name);

struct mq *mqueue_of(const struct file *f); /* NULL: f is no queue */
void mqueue_forget_notify(struct mq *q); /* tells a socket that it won't hear of messages any more */
void mqueue_post_cookie(struct mq *q, uint8_t why); /* NOTIFY_WOKENUP, NOTIFY_REMOVED; and the socket is done */

#endif
