/* System V message queues (msgget(2), msgop(2), msgctl(2)). */
#include "ipc/ipc.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "sys/syscall.h"

#include <asm/msgbuf.h>
#include <linux/capability.h>
#include <linux/msg.h>

struct message {
    struct list node;
    int64_t type;
    uint64_t size;
    uint8_t data[];
};

struct queue {
    struct ipc_object ipc;
    struct list messages;
    uint64_t bytes, count, max_bytes;
    int64_t stime, rtime;
    int last_sender, last_receiver;
    struct wait_queue senders, receivers;
};

static void queue_free(struct ipc_object *o);
static struct ipc_set queues = { .free = queue_free };
static uint64_t total_bytes, total_count;

static struct queue *queue_of(struct ipc_object *o)
{
    return o ? container_of(o, struct queue, ipc) : NULL;
}

static void take_out(struct queue *q, struct message *m)
{
    list_remove(&m->node);
    q->bytes -= m->size;
    q->count--;
    total_bytes -= m->size;
    total_count--;
}

static void queue_free(struct ipc_object *o)
{
    struct queue *q = queue_of(o);
    struct message *m, *tmp;

    list_for_each_safe(m, tmp, &q->messages, node) {
        take_out(q, m);
        kfree(m);
    }
    kfree(q);
}

/* --- msgget --- */

static struct ipc_object *queue_create(const struct ipc_get *get UNUSED)
{
    struct queue *q = kzalloc(sizeof(*q));

    if (!q)
        return err_ptr(-ENOMEM);
    list_init(&q->messages);
    wait_queue_init(&q->senders);
    wait_queue_init(&q->receivers);
    q->max_bytes = ipc_limits.msgmnb;
    return &q->ipc;
}

SYSCALL_DEFINE2(msgget, int32_t, key, int, flags)
{
    const struct ipc_get get = {
        .set = &queues, .key = key, .flags = flags, .limit = (uint32_t)ipc_limits.msgmni, .create = queue_create
    };

    return ipc_get(&get);
}

/* --- msgsnd --- */

static bool has_room(const struct queue *q, uint64_t size)
{
    return size + q->bytes <= q->max_bytes && q->count + 1 <= q->max_bytes;
}

/* q is held by the caller. The message is the queue's on success. */
static long send(struct queue *q, struct message *m, int flags)
{
    long error = ipc_check(&q->ipc, IPC_WRITE);

    if (error == 0 && q->ipc.removed)
        error = -EIDRM;
    if (error == 0 && !has_room(q, m->size))
        error = flags & IPC_NOWAIT ? -EAGAIN : wait_until(&q->senders, q->ipc.removed || has_room(q, m->size), NEVER, true);
    if (error < 0)
        return error == -ERESTARTSYS ? -EINTR : error; /* never restarted: signal(7) */
    if (q->ipc.removed)
        return -EIDRM;
    list_push_back(&q->messages, &m->node);
    q->bytes += m->size;
    q->count++;
    total_bytes += m->size;
    total_count++;
    q->last_sender = current->proc->pid;
    q->stime = ipc_now();
    wait_wake_all(&q->receivers, 0);
    return 0;
}

static struct message *message_fetch(uaddr_t addr, uint64_t size)
{
    struct message *m = kmalloc(sizeof(*m) + size);

    if (!m)
        return err_ptr(-ENOMEM);
    m->size = size;
    if (get_user(m->type, addr) == 0 && copy_from_user(m->data, addr + sizeof(m->type), size) == 0)
        return m;
    kfree(m);
    return err_ptr(-EFAULT);
}

SYSCALL_DEFINE4(msgsnd, int, id, uaddr_t, addr, uint64_t, size, int, flags)
{
    struct message *m;
    struct queue *q;
    int64_t type;
    long error;

    if (get_user(type, addr) < 0)
        return -EFAULT;
    if (size > ipc_limits.msgmax || id < 0 || type < 1)
        return -EINVAL;
    m = message_fetch(addr, size);
    if (is_err(m))
        return ptr_err(m);
    m->type = type;
    q = queue_of(ipc_find(&queues, id));
    if (!q) {
        kfree(m);
        return -EINVAL;
    }
    ipc_object_get(&q->ipc);
    error = send(q, m, flags);
    if (error < 0)
        kfree(m);
    ipc_object_put(&queues, &q->ipc);
    return error;
}

/* --- msgrcv --- */

static struct message *by_position(const struct queue *q, int64_t position)
{
    struct message *m;

    list_for_each(m, &q->messages, node)
        if (position-- == 0)
            return m;
    return NULL;
}

/* The first of the lowest type up to most. */
static struct message *lowest(const struct queue *q, int64_t most)
{
    struct message *m, *best = NULL;

    list_for_each(m, &q->messages, node)
        if (m->type <= most && (!best || m->type < best->type))
            best = m;
    return best;
}

static struct message *choose(const struct queue *q, int64_t type, int flags)
{
    struct message *m;

    if (flags & MSG_COPY)
        return by_position(q, type);
    if (type < 0)
        return lowest(q, type == INT64_MIN ? INT64_MAX : -type);
    list_for_each(m, &q->messages, node)
        if (type == 0 || (m->type == type) == !(flags & MSG_EXCEPT))
            return m;
    return NULL;
}

/* The message to be received: out of the queue, or with MSG_COPY a copy. q is held by the caller. */
static struct message *receive(struct queue *q, uint64_t size, int64_t type, int flags)
{
    struct message *m, *copy;
    long error = ipc_check(&q->ipc, IPC_READ);

    if (error == 0 && !choose(q, type, flags))
        error = flags & IPC_NOWAIT ? -ENOMSG :
                                     wait_until(&q->receivers, q->ipc.removed || choose(q, type, flags), NEVER, true);
    if (error < 0)
        return err_ptr(error == -ERESTARTSYS ? -EINTR : error);
    if (q->ipc.removed)
        return err_ptr(-EIDRM);
    m = choose(q, type, flags);
    if (m->size > size && !(flags & MSG_NOERROR))
        return err_ptr(-E2BIG);
    if (flags & MSG_COPY) {
        copy = kmalloc(sizeof(*m) + m->size);
        if (copy)
            memcpy(copy, m, sizeof(*m) + m->size);
        return copy ? copy : err_ptr(-ENOMEM);
    }
    take_out(q, m);
    q->last_receiver = current->proc->pid;
    q->rtime = ipc_now();
    wait_wake_all(&q->senders, 0);
    return m;
}

SYSCALL_DEFINE5(msgrcv, int, id, uaddr_t, addr, uint64_t, size, int64_t, type, int, flags)
{
    struct message *m;
    struct queue *q;
    uint64_t n;
    long ret;

    if (id < 0 || (int64_t)size < 0)
        return -EINVAL;
    if ((flags & MSG_COPY) && ((flags & MSG_EXCEPT) || !(flags & IPC_NOWAIT)))
        return -EINVAL;
    q = queue_of(ipc_find(&queues, id));
    if (!q)
        return -EINVAL;
    ipc_object_get(&q->ipc);
    m = receive(q, size, type, flags);
    ipc_object_put(&queues, &q->ipc);
    if (is_err(m))
        return ptr_err(m);
    n = MIN(size, m->size);
    ret = put_user(m->type, addr) < 0 || copy_to_user(addr + sizeof(m->type), m->data, n) < 0 ? -EFAULT : (long)n;
    kfree(m);
    return ret;
}

/* --- msgctl --- */

static long control_stat(int id, int cmd, uaddr_t buf)
{
    struct queue *q = queue_of(cmd == IPC_STAT ? ipc_find(&queues, id) : ipc_at(&queues, id));
    struct msqid64_ds ds;

    if (!q)
        return -EINVAL;
    if (cmd != MSG_STAT_ANY && ipc_check(&q->ipc, IPC_READ) < 0)
        return -EACCES;
    memset(&ds, 0, sizeof(ds));
    ipc_stat(&q->ipc, &ds.msg_perm);
    ds.msg_stime = q->stime;
    ds.msg_rtime = q->rtime;
    ds.msg_ctime = q->ipc.ctime;
    ds.msg_cbytes = q->bytes;
    ds.msg_qnum = q->count;
    ds.msg_qbytes = q->max_bytes;
    ds.msg_lspid = q->last_sender;
    ds.msg_lrpid = q->last_receiver;
    if (put_user(ds, buf) < 0)
        return -EFAULT;
    return cmd == IPC_STAT ? 0 : q->ipc.id;
}

static long control_info(int cmd, uaddr_t buf)
{
    struct msginfo info;

    memset(&info, 0, sizeof(info));
    info.msgmni = (int)ipc_limits.msgmni;
    info.msgmax = (int)ipc_limits.msgmax;
    info.msgmnb = (int)ipc_limits.msgmnb;
    info.msgssz = MSGSSZ;
    info.msgseg = (unsigned short)MSGSEG;
    info.msgpool = cmd == MSG_INFO ? (int)queues.count : (int)MSGPOOL;
    info.msgmap = cmd == MSG_INFO ? (int)total_count : (int)MSGMAP;
    info.msgtql = cmd == MSG_INFO ? (int)total_bytes : (int)MSGTQL;
    return put_user(info, buf) < 0 ? -EFAULT : ipc_highest(&queues);
}

static long control_set(struct queue *q, const struct msqid64_ds *ds)
{
    long error;

    if (!ipc_owner(&q->ipc))
        return -EPERM;
    if (ds->msg_qbytes > ipc_limits.msgmnb && !capable(CAP_SYS_RESOURCE))
        return -EPERM;
    error = ipc_change(&q->ipc, &ds->msg_perm);
    if (error < 0)
        return error;
    q->max_bytes = ds->msg_qbytes;
    /* Who may receive and what fits may have changed. */
    wait_wake_all(&q->senders, 0);
    wait_wake_all(&q->receivers, 0);
    return 0;
}

static long control_remove(struct queue *q)
{
    if (!ipc_owner(&q->ipc))
        return -EPERM;
    ipc_object_get(&q->ipc);
    ipc_remove(&queues, &q->ipc);
    wait_wake_all(&q->senders, 0);
    wait_wake_all(&q->receivers, 0);
    ipc_object_put(&queues, &q->ipc);
    return 0;
}

SYSCALL_DEFINE3(msgctl, int, id, int, cmd, uaddr_t, buf)
{
    struct msqid64_ds ds;
    struct queue *q;

    if (id < 0 || cmd < 0)
        return -EINVAL;
    switch (cmd) {
    case IPC_INFO:
    case MSG_INFO:
        return control_info(cmd, buf);
    case IPC_STAT:
    case MSG_STAT:
    case MSG_STAT_ANY:
        return control_stat(id, cmd, buf);
    case IPC_SET:
        if (get_user(ds, buf) < 0)
            return -EFAULT;
        break;
    case IPC_RMID:
        break;
    default:
        return -EINVAL;
    }
    q = queue_of(ipc_find(&queues, id));
    if (!q)
        return -EINVAL;
    return cmd == IPC_SET ? control_set(q, &ds) : control_remove(q);
}

int msg_show(struct seq *s, const struct proc_node *node UNUSED)
{
    seq_puts(s, "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime"
                "      rtime      ctime\n");
    for (uint32_t i = 0; i < queues.capacity; i++) {
        const struct queue *q = queue_of(queues.slots[i]);

        if (q)
            seq_printf(s, "%10d %10d  %4o %10lu %10lu %5u %5u %5u %5u %5u %5u %10lu %10lu %10lu\n", q->ipc.key, q->ipc.id,
                       q->ipc.mode, (unsigned long)q->bytes, (unsigned long)q->count, (unsigned)q->last_sender,
                       (unsigned)q->last_receiver, q->ipc.uid, q->ipc.gid, q->ipc.cuid, q->ipc.cgid,
                       (unsigned long)q->stime, (unsigned long)q->rtime, (unsigned long)q->ipc.ctime);
    }
    return 0;
}
