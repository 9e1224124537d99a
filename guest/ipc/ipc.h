/*
 * System V IPC (sysvipc(7)): what shared memory, semaphores and message queues have in common. Objects are found by key or
 * by id, have permissions of their own, and live until IPC_RMID.
 *
 * An object that was removed stays in memory while somebody waits on it or has it mapped; `removed` tells them.
 */
#ifndef IPC_IPC_H
#define IPC_IPC_H

#include <asm/ipcbuf.h>
#include <linux/ipc.h>

#include "fs/procfs.h"
#include "lib/base.h"

#define IPC_INDEX_MAX 32768u /* ids are sequence * IPC_INDEX_MAX + index, as Linux's */
#define IPC_READ 0444u       /* what ipc_check asks for: any of the three classes' bits */
#define IPC_WRITE 0222u


struct ipc_object {
    uint32_t refs;
    int id;
    int32_t key;
    uint32_t uid, gid, cuid, cgid;
    uint32_t mode;
    uint16_t seq;
    bool removed;
    int64_t ctime;
};

struct ipc_set {
    struct ipc_object **slots;
    uint32_t capacity, count;
    uint32_t last_index;
    uint16_t next_seq;
    void (*free)(struct ipc_object *o); /* the last reference is gone */
};

/* One of the calls that make: what differs between the three. */
struct ipc_get {
    struct ipc_set *set;
    int32_t key;
    int flags;
    uint32_t limit;                                             /* how many objects there may be: ENOSPC */
    struct ipc_object *(*create)(const struct ipc_get *get);    /* or err_ptr */
    long (*check)(struct ipc_object *o, const struct ipc_get *get); /* is the existing one big enough? */
    uint64_t size;
};

/* shmget, semget, msgget: an id, or -errno. */
long ipc_get(const struct ipc_get *get);

struct ipc_object *ipc_find(const struct ipc_set *set, int id); /* NULL: none; without a reference */
struct ipc_object *ipc_at(const struct ipc_set *set, int index);
int ipc_highest(const struct ipc_set *set); /* index, or 0 */

void ipc_object_get(struct ipc_object *o);
void ipc_object_put(struct ipc_set *set, struct ipc_object *o);
void ipc_remove(struct ipc_set *set, struct ipc_object *o); /* from the set; drops its reference */

long ipc_check(const struct ipc_object *o, uint32_t mode);  /* 0 or -EACCES */
bool ipc_owner(const struct ipc_object *o);                 /* may set and remove */
void ipc_stat(const struct ipc_object *o, struct ipc64_perm *ret);
long ipc_change(struct ipc_object *o, const struct ipc64_perm *perm); /* IPC_SET; -EPERM, -EINVAL */
int64_t ipc_now(void);                                      /* seconds */

/* What /proc/sys/kernel sets. */
struct ipc_limits {
    uint64_t shmmax, shmall, shmmni;
    uint64_t semmsl, semmns, semopm, semmni;
    uint64_t msgmax, msgmnb, msgmni;
    uint64_t mq_msg_default, mq_msg_max, mq_msgsize_default, mq_msgsize_max, mq_queues_max;
};

extern struct ipc_limits ipc_limits;
extern const struct proc_entry ipc_sysvipc[];
int ipc_show_limit(struct seq *s, const struct proc_node *node);
int ipc_store_limit(const struct proc_node *node, char *text, size_t n);
int shm_show(struct seq *s, const struct proc_node *node);
int sem_show(struct seq *s, const struct proc_node *node);
int msg_show(struct seq *s, const struct proc_node *node);

/* --- semaphores and threads (ipc/sem.c) --- */

long sem_clone(struct thread *t, uint64_t flags); /* the new thread shares current's SEM_UNDO list, or has none. -ENOMEM */
void sem_exit(struct thread *t);                  /* undo what t's list says, if nobody shares it */

#endif
