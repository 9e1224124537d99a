/* The objects of System V IPC: ids, keys, permissions, limits, and /proc/sysvipc. */
#include "ipc/ipc.h"

#include "arch/cpu.h"
#include "lib/kmalloc.h"
#include "lib/string.h"

#include <linux/capability.h>

#define SLOTS_FIRST 16u
#define SEQ_MAX (INT32_MAX / IPC_INDEX_MAX)

/* Linux's defaults (proc(5)). */
struct ipc_limits ipc_limits = {
    .shmmax = UINT64_MAX - (1ul << 24),
    .shmall = UINT64_MAX - (1ul << 24),
    .shmmni = 4096,
    .semmsl = 32000,
    .semmns = 1024000000,
    .semopm = 500,
    .semmni = 32000,
    .msgmax = 8192,
    .msgmnb = 16384,
    .msgmni = 32000,
    .mq_msg_default = 10,
    .mq_msg_max = 10,
    .mq_msgsize_default = 8192,
    .mq_msgsize_max = 8192,
    .mq_queues_max = 256,
};

int64_t ipc_now(void)
{
    return (int64_t)(clock_real_ns() / NSEC_PER_SEC);
}

/* --- the set --- */

static bool grow(struct ipc_set *set)
{
    uint32_t capacity = set->capacity ? set->capacity * 2 : SLOTS_FIRST;
    struct ipc_object **slots;

    if (capacity > IPC_INDEX_MAX)
        return false;
    slots = kcalloc(capacity, sizeof(struct ipc_object *));
    if (!slots)
        return false;
    memcpy(slots, set->slots, set->capacity * sizeof(struct ipc_object *));
    kfree(set->slots);
    set->slots = slots;
    set->capacity = capacity;
    return true;
}

/* The number changes when an index is used again, so that an old id doesn't mean the new object. */
static long insert(struct ipc_set *set, struct ipc_object *o)
{
    uint32_t index = 0;

    while (index < set->capacity && set->slots[index])
        index++;
    if (index == set->capacity && !grow(set))
        return -ENOMEM;
    if (set->count + set->last_index > 0 && index <= set->last_index)
        set->next_seq = set->next_seq >= SEQ_MAX ? 0 : (uint16_t)(set->next_seq + 1);
    set->last_index = index;
    o->seq = set->next_seq;
    o->id = (int)(o->seq * IPC_INDEX_MAX + index);
    set->slots[index] = o;
    set->count++;
    return o->id;
}

struct ipc_object *ipc_at(const struct ipc_set *set, int index)
{
    return index >= 0 && (uint32_t)index < set->capacity ? set->slots[index] : NULL;
}

struct ipc_object *ipc_find(const struct ipc_set *set, int id)
{
    struct ipc_object *o = id < 0 ? NULL : ipc_at(set, id % (int)IPC_INDEX_MAX);

    return o && o->id == id ? o : NULL;
}

int ipc_highest(const struct ipc_set *set)
{
    for (int i = (int)set->capacity - 1; i > 0; i--)
        if (set->slots[i])
            return i;
    return 0;
}

void ipc_object_get(struct ipc_object *o)
{
    o->refs++;
}

void ipc_object_put(struct ipc_set *set, struct ipc_object *o)
{
    if (--o->refs == 0)
        set->free(o);
}

void ipc_remove(struct ipc_set *set, struct ipc_object *o)
{
    set->slots[o->id % (int)IPC_INDEX_MAX] = NULL;
    set->count--;
    o->removed = true;
    ipc_object_put(set, o);
}

/* --- permissions --- */

/* sysvipc(7): creator and owner have the first class's rights, their groups the second's. */
long ipc_check(const struct ipc_object *o, uint32_t mode)
{
    const struct cred *c = &current->proc->cred;
    uint32_t wanted = (mode >> 6 | mode >> 3 | mode) & 7, granted = o->mode;

    if (c->euid == o->cuid || c->euid == o->uid)
        granted >>= 6;
    else if (c->egid == o->cgid || c->egid == o->gid || in_group(o->cgid) || in_group(o->gid))
        granted >>= 3;
    return (wanted & ~granted & 7) && !capable(CAP_IPC_OWNER) ? -EACCES : 0;
}

bool ipc_owner(const struct ipc_object *o)
{
    uint32_t euid = current->proc->cred.euid;

    return euid == o->cuid || euid == o->uid || capable(CAP_SYS_ADMIN);
}

void ipc_stat(const struct ipc_object *o, struct ipc64_perm *ret)
{
    *ret = (struct ipc64_perm){ .key = o->key,
                                .uid = o->uid,
                                .gid = o->gid,
                                .cuid = o->cuid,
                                .cgid = o->cgid,
                                .mode = o->mode,
                                .seq = o->seq };
}

long ipc_change(struct ipc_object *o, const struct ipc64_perm *perm)
{
    if (!ipc_owner(o))
        return -EPERM;
    if (perm->uid == UINT32_MAX || perm->gid == UINT32_MAX)
        return -EINVAL;
    o->uid = perm->uid;
    o->gid = perm->gid;
    o->mode = (o->mode & ~0777u) | (perm->mode & 0777);
    o->ctime = ipc_now();
    return 0;
}

/* --- making and finding --- */

static long make(const struct ipc_get *get)
{
    const struct cred *c = &current->proc->cred;
    struct ipc_object *o;
    long id;

    if (get->set->count >= MIN(get->limit, IPC_INDEX_MAX))
        return -ENOSPC;
    o = get->create(get);
    if (is_err(o))
        return ptr_err(o);
    o->refs = 1;
    o->key = get->key;
    o->uid = o->cuid = c->euid;
    o->gid = o->cgid = c->egid;
    o->mode |= (uint32_t)get->flags & 0777;
    o->ctime = ipc_now();
    id = insert(get->set, o);
    if (id < 0)
        ipc_object_put(get->set, o);
    return id;
}

long ipc_get(const struct ipc_get *get)
{
    long error;

    if (get->key == IPC_PRIVATE)
        return make(get);
    for (uint32_t i = 0; i < get->set->capacity; i++) {
        struct ipc_object *o = get->set->slots[i];

        if (!o || o->key != get->key)
            continue;
        if ((get->flags & IPC_CREAT) && (get->flags & IPC_EXCL))
            return -EEXIST;
        error = get->check ? get->check(o, get) : 0;
        if (error == 0)
            error = ipc_check(o, (uint32_t)get->flags & 0777);
        return error < 0 ? error : o->id;
    }
    return get->flags & IPC_CREAT ? make(get) : -ENOENT;
}

/* --- /proc --- */

static const struct {
    const char *name;
    uint64_t *values[4];
    uint64_t max;
} limit_files[] = {
    { "shmmax", { &ipc_limits.shmmax }, UINT64_MAX },
    { "shmall", { &ipc_limits.shmall }, UINT64_MAX },
    { "shmmni", { &ipc_limits.shmmni }, IPC_INDEX_MAX },
    { "sem", { &ipc_limits.semmsl, &ipc_limits.semmns, &ipc_limits.semopm, &ipc_limits.semmni }, INT32_MAX },
    { "msgmax", { &ipc_limits.msgmax }, INT32_MAX },
    { "msgmnb", { &ipc_limits.msgmnb }, INT32_MAX },
    { "msgmni", { &ipc_limits.msgmni }, IPC_INDEX_MAX },
    { "msg_default", { &ipc_limits.mq_msg_default }, 65536 }, /* from here on fs.mqueue: mq_overview(7) */
    { "msg_max", { &ipc_limits.mq_msg_max }, 65536 },
    { "msgsize_default", { &ipc_limits.mq_msgsize_default }, 16 << 20 },
    { "msgsize_max", { &ipc_limits.mq_msgsize_max }, 16 << 20 },
    { "queues_max", { &ipc_limits.mq_queues_max }, INT32_MAX },
};

static size_t limit_index(const struct proc_node *node)
{
    size_t i = 0;

    while (i < ARRAY_SIZE(limit_files) - 1 && strcmp(limit_files[i].name, node->entry->name) != 0)
        i++;
    return i;
}

int ipc_show_limit(struct seq *s, const struct proc_node *node)
{
    size_t f = limit_index(node);

    for (size_t i = 0; i < ARRAY_SIZE(limit_files[f].values) && limit_files[f].values[i]; i++)
        seq_printf(s, "%s%lu", i > 0 ? "\t" : "", (unsigned long)*limit_files[f].values[i]);
    seq_puts(s, "\n");
    return 0;
}

/* The next number in *text, which moves on. */
static bool take_number(char **text, uint64_t *ret)
{
    char *start = *text, *end, saved;
    bool ok;

    while (*start == ' ' || *start == '\t' || *start == '\n')
        start++;
    for (end = start; *end >= '0' && *end <= '9'; end++)
        ;
    saved = *end;
    *end = '\0';
    ok = parse_u64(start, ret);
    *end = saved;
    *text = end;
    return ok;
}

int ipc_store_limit(const struct proc_node *node, char *text, size_t n UNUSED)
{
    size_t f = limit_index(node);
    uint64_t values[4];
    size_t count = 0;

    while (count < ARRAY_SIZE(values) && limit_files[f].values[count] && take_number(&text, &values[count])) {
        if (values[count] > limit_files[f].max)
            return -EINVAL;
        count++;
    }
    if (count == 0)
        return -EINVAL;
    for (size_t i = 0; i < count; i++)
        *limit_files[f].values[i] = values[i];
    return 0;
}

const struct proc_entry ipc_sysvipc[] = {
    PROC_FILE("msg", 0444, msg_show),
    PROC_FILE("sem", 0444, sem_show),
    PROC_FILE("shm", 0444, shm_show),
    { 0 },
};
