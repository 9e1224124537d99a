/*
 * System V semaphores (semget(2), semop(2), semctl(2)).
 *
 * Whoever changes a set also performs the operations of those who sleep on it, oldest first: a waiter gets what it waits
 * for even if the values change again before it runs.
 */
#include "ipc/ipc.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "sys/syscall.h"
#include "sys/timespec.h"

#include <asm/sembuf.h>
#include <linux/sched.h>
#include <linux/sem.h>

#define OPS_INLINE 8
#define OPS_MAX 500u /* whatever /proc says: they lie in memory during the call */
#define WAITING 1

struct semaphore {
    int32_t value;
    int32_t pid; /* of the last operation */
};

struct sem_set {
    struct ipc_object ipc;
    struct list waiters; /* struct sem_waiter */
    struct list undos;   /* struct sem_undo, by set_node */
    int64_t otime;
    uint32_t count;
    struct semaphore sem[];
};

/* What one SEM_UNDO list gives back to one set. */
struct sem_undo {
    struct list set_node, list_node;
    struct sem_set *set; /* not counted: the set takes its undos along */
    int16_t adjust[];
};

/* Shared by threads that were made with CLONE_SYSVSEM. */
struct sem_undo_list {
    uint32_t refs;
    struct list undos;
};

/* One semop(2), on its caller's stack. */
struct sem_waiter {
    struct list node;
    struct thread *thread;
    struct sembuf *ops;
    uint32_t op_count;
    struct sem_undo *undo;
    int pid;
    uint32_t blocking; /* which operation it waits for */
    int status;        /* WAITING, 0 or -errno */
};

static void set_free(struct ipc_object *o);
static struct ipc_set sets = { .free = set_free };
static uint64_t total_semaphores;

static struct sem_set *set_of(struct ipc_object *o)
{
    return o ? container_of(o, struct sem_set, ipc) : NULL;
}

static void set_free(struct ipc_object *o)
{
    struct sem_set *s = set_of(o);

    total_semaphores -= s->count;
    kfree(s);
}

/* --- semget --- */

static struct ipc_object *set_create(const struct ipc_get *get)
{
    struct sem_set *s;

    if (get->size == 0)
        return err_ptr(-EINVAL);
    if (total_semaphores + get->size > ipc_limits.semmns)
        return err_ptr(-ENOSPC);
    s = kzalloc(sizeof(*s) + get->size * sizeof(struct semaphore));
    if (!s)
        return err_ptr(-ENOMEM);
    s->count = (uint32_t)get->size;
    list_init(&s->waiters);
    list_init(&s->undos);
    total_semaphores += get->size;
    return &s->ipc;
}

static long set_suffices(struct ipc_object *o, const struct ipc_get *get)
{
    return get->size > set_of(o)->count ? -EINVAL : 0;
}

SYSCALL_DEFINE3(semget, int32_t, key, int, count, int, flags)
{
    const struct ipc_get get = { .set = &sets,
                                 .key = key,
                                 .flags = flags,
                                 .limit = (uint32_t)ipc_limits.semmni,
                                 .create = set_create,
                                 .check = set_suffices,
                                 .size = (uint64_t)count };

    if (count < 0 || (uint64_t)count > ipc_limits.semmsl)
        return -EINVAL;
    return ipc_get(&get);
}

/* --- operations --- */

/* The value, and what is to be undone, after one operation: 0, WAITING, or -ERANGE. */
static int apply(struct sem_set *s, struct sem_undo *undo, const struct sembuf *op)
{
    struct semaphore *sem = &s->sem[op->sem_num];
    int32_t value = sem->value + op->sem_op;

    if (op->sem_op == 0)
        return sem->value ? WAITING : 0;
    if (value < 0)
        return WAITING;
    if (value > SEMVMX)
        return -ERANGE;
    if (op->sem_flg & SEM_UNDO) {
        int32_t adjust = undo->adjust[op->sem_num] - op->sem_op;

        if (adjust < -SEMAEM - 1 || adjust > SEMAEM)
            return -ERANGE;
        undo->adjust[op->sem_num] = (int16_t)adjust;
    }
    sem->value = value;
    return 0;
}

static void take_back(struct sem_set *s, struct sem_undo *undo, const struct sembuf *op)
{
    s->sem[op->sem_num].value -= op->sem_op;
    if ((op->sem_flg & SEM_UNDO) && op->sem_op)
        undo->adjust[op->sem_num] = (int16_t)(undo->adjust[op->sem_num] + op->sem_op);
}

/* All operations or none. WAITING: not yet. */
static int perform(struct sem_set *s, struct sem_waiter *w)
{
    uint32_t i;
    int result = 0;

    for (i = 0; i < w->op_count && result == 0; i++)
        result = apply(s, w->undo, &w->ops[i]);
    if (result == 0) {
        for (i = 0; i < w->op_count; i++)
            s->sem[w->ops[i].sem_num].pid = w->pid;
        s->otime = ipc_now();
        return 0;
    }
    w->blocking = --i;
    while (i > 0)
        take_back(s, w->undo, &w->ops[--i]);
    return result == WAITING && (w->ops[w->blocking].sem_flg & IPC_NOWAIT) ? -EAGAIN : result;
}

static bool alters(const struct sem_waiter *w)
{
    for (uint32_t i = 0; i < w->op_count; i++)
        if (w->ops[i].sem_op)
            return true;
    return false;
}

static void finish(struct sem_waiter *w, int status)
{
    w->status = status;
    list_remove(&w->node);
    thread_wake(w->thread);
}

/* The values have changed: let those go on that can. Each change by one may let an older one go on. */
static void serve_waiters(struct sem_set *s)
{
    struct sem_waiter *w, *tmp;
    bool changed;

    do {
        changed = false;
        list_for_each_safe(w, tmp, &s->waiters, node) {
            int status = perform(s, w);

            if (status == WAITING)
                continue;
            changed = status == 0 && alters(w);
            finish(w, status);
            if (changed)
                break;
        }
    } while (changed);
}

/* --- SEM_UNDO --- */

static struct sem_undo_list *undo_list(struct thread *t)
{
    struct sem_undo_list *l = t->sem_undo;

    if (l)
        return l;
    l = kzalloc(sizeof(*l));
    if (!l)
        return NULL;
    l->refs = 1;
    list_init(&l->undos);
    t->sem_undo = l;
    return l;
}

/* Current's undo of this set, made if there is none; NULL: no memory. */
static struct sem_undo *undo_of(struct sem_set *s)
{
    struct sem_undo_list *l = undo_list(current);
    struct sem_undo *u;

    if (!l)
        return NULL;
    list_for_each(u, &l->undos, list_node)
        if (u->set == s)
            return u;
    u = kzalloc(sizeof(*u) + s->count * sizeof(u->adjust[0]));
    if (!u)
        return NULL;
    u->set = s;
    list_push_back(&l->undos, &u->list_node);
    list_push_back(&s->undos, &u->set_node);
    return u;
}

static void undo_free(struct sem_undo *u)
{
    list_remove(&u->list_node);
    list_remove(&u->set_node);
    kfree(u);
}

static void undo_apply(struct sem_undo *u)
{
    struct sem_set *s = u->set;

    for (uint32_t i = 0; i < s->count; i++) {
        if (!u->adjust[i])
            continue;
        s->sem[i].value = MIN(MAX(s->sem[i].value + u->adjust[i], 0), SEMVMX);
        s->sem[i].pid = current->proc->pid;
    }
    s->otime = ipc_now();
    undo_free(u);
    serve_waiters(s);
}

long sem_clone(struct thread *t, uint64_t flags)
{
    if (!(flags & CLONE_SYSVSEM))
        return 0;
    t->sem_undo = undo_list(current);
    if (!t->sem_undo)
        return -ENOMEM;
    t->sem_undo->refs++;
    return 0;
}

void sem_exit(struct thread *t)
{
    struct sem_undo_list *l = t->sem_undo;
    struct sem_undo *u, *tmp;

    t->sem_undo = NULL;
    if (!l || --l->refs > 0)
        return;
    list_for_each_safe(u, tmp, &l->undos, list_node)
        undo_apply(u);
    kfree(l);
}

/* --- semop --- */

static long check_ops(const struct sem_set *s, const struct sem_waiter *w)
{
    for (uint32_t i = 0; i < w->op_count; i++)
        if (w->ops[i].sem_num >= s->count)
            return -EFBIG;
    return ipc_check(&s->ipc, alters(w) ? IPC_WRITE : IPC_READ);
}

static bool wants_undo(const struct sem_waiter *w)
{
    for (uint32_t i = 0; i < w->op_count; i++)
        if (w->ops[i].sem_flg & SEM_UNDO)
            return true;
    return false;
}

static long wait_for_turn(struct sem_set *s, struct sem_waiter *w, uint64_t deadline_ns)
{
    int error = 0;

    list_push_back(&s->waiters, &w->node);
    while (w->status == WAITING && error == 0)
        error = thread_park(deadline_ns, true);
    if (w->status != WAITING)
        return w->status;
    list_remove(&w->node);
    return error == -ETIMEDOUT ? -EAGAIN : -EINTR; /* never restarted: signal(7) */
}

static long operate(int id, struct sem_waiter *w, uint64_t deadline_ns)
{
    struct sem_set *s = set_of(ipc_find(&sets, id));
    long result;

    if (!s)
        return -EINVAL;
    result = check_ops(s, w);
    if (result == 0 && wants_undo(w)) {
        w->undo = undo_of(s);
        result = w->undo ? 0 : -ENOMEM;
    }
    if (result < 0)
        return result;
    w->status = perform(s, w);
    if (w->status == WAITING)
        return wait_for_turn(s, w, deadline_ns);
    if (w->status == 0 && alters(w))
        serve_waiters(s);
    return w->status;
}

static long fetch_and_operate(int id, uaddr_t ops, uint32_t count, uint64_t deadline_ns)
{
    struct sembuf fast[OPS_INLINE];
    struct sem_waiter w = { .thread = current, .ops = fast, .op_count = count, .pid = current->proc->pid };
    long result;

    if (id < 0 || count < 1)
        return -EINVAL;
    if (count > MIN(ipc_limits.semopm, OPS_MAX))
        return -E2BIG;
    if (count > OPS_INLINE)
        w.ops = kcalloc(count, sizeof(struct sembuf));
    if (!w.ops)
        return -ENOMEM;
    if (copy_from_user(w.ops, ops, count * sizeof(struct sembuf)) < 0)
        result = -EFAULT;
    else
        result = operate(id, &w, deadline_ns);
    if (w.ops != fast)
        kfree(w.ops);
    return result;
}

SYSCALL_DEFINE3(semop, int, id, uaddr_t, ops, uint32_t, count)
{
    return fetch_and_operate(id, ops, count, NEVER);
}

SYSCALL_DEFINE4(semtimedop, int, id, uaddr_t, ops, uint32_t, count, uaddr_t, timeout)
{
    uint64_t ns;
    long error;

    if (!timeout)
        return fetch_and_operate(id, ops, count, NEVER);
    error = timespec_read(timeout, &ns);
    return error < 0 ? error : fetch_and_operate(id, ops, count, deadline_after(ns));
}

/* --- semctl --- */

static long control_stat(int id, int cmd, uaddr_t buf)
{
    struct sem_set *s = set_of(cmd == IPC_STAT ? ipc_find(&sets, id) : ipc_at(&sets, id));
    struct semid64_ds ds;

    if (!s)
        return -EINVAL;
    if (cmd != SEM_STAT_ANY && ipc_check(&s->ipc, IPC_READ) < 0)
        return -EACCES;
    memset(&ds, 0, sizeof(ds));
    ipc_stat(&s->ipc, &ds.sem_perm);
    ds.sem_otime = s->otime;
    ds.sem_ctime = s->ipc.ctime;
    ds.sem_nsems = s->count;
    if (put_user(ds, buf) < 0)
        return -EFAULT;
    return cmd == IPC_STAT ? 0 : s->ipc.id;
}

static long control_info(int cmd, uaddr_t buf)
{
    struct seminfo info;

    memset(&info, 0, sizeof(info));
    info.semmni = (int)ipc_limits.semmni;
    info.semmns = (int)ipc_limits.semmns;
    info.semmsl = (int)ipc_limits.semmsl;
    info.semopm = (int)ipc_limits.semopm;
    info.semvmx = SEMVMX;
    info.semmnu = SEMMNU;
    info.semmap = SEMMAP;
    info.semume = SEMUME;
    info.semusz = cmd == SEM_INFO ? (int)sets.count : (int)SEMUSZ;
    info.semaem = cmd == SEM_INFO ? (int)total_semaphores : SEMAEM;
    return put_user(info, buf) < 0 ? -EFAULT : ipc_highest(&sets);
}

static int count_waiters(const struct sem_set *s, int number, bool for_zero)
{
    const struct sem_waiter *w;
    int count = 0;

    list_for_each(w, &s->waiters, node) {
        const struct sembuf *op = &w->ops[w->blocking];

        count += op->sem_num == number && (op->sem_op == 0) == for_zero;
    }
    return count;
}

static long control_one(const struct sem_set *s, int number, int cmd)
{
    if (number < 0 || (uint32_t)number >= s->count)
        return -EINVAL;
    switch (cmd) {
    case GETVAL:
        return s->sem[number].value;
    case GETPID:
        return s->sem[number].pid;
    default:
        return count_waiters(s, number, cmd == GETZCNT);
    }
}

static void values_set(struct sem_set *s)
{
    s->ipc.ctime = ipc_now();
    serve_waiters(s);
}

static long set_value(struct sem_set *s, int number, int value)
{
    struct sem_undo *u;

    if (number < 0 || (uint32_t)number >= s->count)
        return -EINVAL;
    if (value < 0 || value > SEMVMX)
        return -ERANGE;
    list_for_each(u, &s->undos, set_node)
        u->adjust[number] = 0;
    s->sem[number].value = value;
    s->sem[number].pid = current->proc->pid;
    values_set(s);
    return 0;
}

static long copy_all_in(struct sem_set *s, const uint16_t *values)
{
    struct sem_undo *u;

    for (uint32_t i = 0; i < s->count; i++)
        if (values[i] > SEMVMX)
            return -ERANGE;
    for (uint32_t i = 0; i < s->count; i++) {
        s->sem[i].value = values[i];
        s->sem[i].pid = current->proc->pid;
    }
    list_for_each(u, &s->undos, set_node)
        memset(u->adjust, 0, s->count * sizeof(u->adjust[0]));
    values_set(s);
    return 0;
}

/* GETALL and SETALL. Copying may sleep, so the set is held. */
static long control_all(struct sem_set *s, int cmd, uaddr_t array)
{
    size_t size = s->count * sizeof(uint16_t);
    uint16_t *values = kmalloc(size);
    long result = 0;

    if (!values)
        return -ENOMEM;
    ipc_object_get(&s->ipc);
    if (cmd == GETALL) {
        for (uint32_t i = 0; i < s->count; i++)
            values[i] = (uint16_t)s->sem[i].value;
        result = copy_to_user(array, values, size);
    } else {
        result = copy_from_user(values, array, size);
        if (result == 0)
            result = s->ipc.removed ? -EIDRM : copy_all_in(s, values);
    }
    ipc_object_put(&sets, &s->ipc);
    kfree(values);
    return result;
}

static void destroy(struct sem_set *s)
{
    struct sem_waiter *w, *next_waiter;
    struct sem_undo *u, *next_undo;

    list_for_each_safe(u, next_undo, &s->undos, set_node)
        undo_free(u);
    list_for_each_safe(w, next_waiter, &s->waiters, node)
        finish(w, -EIDRM);
    ipc_remove(&sets, &s->ipc);
}

static long control_owner(struct sem_set *s, int cmd, const struct semid64_ds *ds)
{
    if (cmd == IPC_SET)
        return ipc_change(&s->ipc, &ds->sem_perm);
    if (!ipc_owner(&s->ipc))
        return -EPERM;
    destroy(s);
    return 0;
}

static long control_values(int id, int number, int cmd, uint64_t arg)
{
    struct sem_set *s = set_of(ipc_find(&sets, id));

    if (!s)
        return -EINVAL;
    if (ipc_check(&s->ipc, cmd == SETVAL || cmd == SETALL ? IPC_WRITE : IPC_READ) < 0)
        return -EACCES;
    switch (cmd) {
    case GETALL:
    case SETALL:
        return control_all(s, cmd, arg);
    case SETVAL:
        return set_value(s, number, (int)arg);
    default:
        return control_one(s, number, cmd);
    }
}

SYSCALL_DEFINE4(semctl, int, id, int, number, int, cmd, uint64_t, arg)
{
    struct semid64_ds ds;
    struct sem_set *s;

    if (id < 0)
        return -EINVAL;
    switch (cmd) {
    case IPC_INFO:
    case SEM_INFO:
        return control_info(cmd, arg);
    case IPC_STAT:
    case SEM_STAT:
    case SEM_STAT_ANY:
        return control_stat(id, cmd, arg);
    case GETALL:
    case GETVAL:
    case GETPID:
    case GETNCNT:
    case GETZCNT:
    case SETVAL:
    case SETALL:
        return control_values(id, number, cmd, arg);
    case IPC_SET:
        if (get_user(ds, arg) < 0)
            return -EFAULT;
        break;
    case IPC_RMID:
        break;
    default:
        return -EINVAL;
    }
    s = set_of(ipc_find(&sets, id));
    return s ? control_owner(s, cmd, &ds) : -EINVAL;
}

int sem_show(struct seq *seq, const struct proc_node *node UNUSED)
{
    seq_puts(seq, "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n");
    for (uint32_t i = 0; i < sets.capacity; i++) {
        const struct sem_set *s = set_of(sets.slots[i]);

        if (s)
            seq_printf(seq, "%10d %10d  %4o %10lu %5u %5u %5u %5u %10lu %10lu\n", s->ipc.key, s->ipc.id, s->ipc.mode,
                       (unsigned long)s->count, s->ipc.uid, s->ipc.gid, s->ipc.cuid, s->ipc.cgid,
                       (unsigned long)s->otime, (unsigned long)s->ipc.ctime);
    }
    return 0;
}
