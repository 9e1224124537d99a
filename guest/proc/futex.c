/*
 * Futexes (futex(2), and Documentation/locking/robust-futexes.rst for the lists of exiting threads).
 *
 * A waiter is on its thread's stack and in a hash table by key. The shim isn't preempted, so reading the word, comparing
 * and queueing are one step, provided that nothing in between parks: the word is read last.
 */
#include "proc/futex.h"

#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "fs/file.h"
#include "lib/kmalloc.h"
#include "lib/log.h"
#include "mm/mm.h"
#include "proc/process.h"
#include "proc/sched.h"

#include <linux/futex.h>

#define BUCKET_COUNT 256
#define SHARED_OBJECT 1ul /* tags the key of a shared mapping: an inode, not an mm */

/* What a word is known by: its address space and address, or for shared mappings its file and place in it. */
struct futex_key {
    uint64_t object;
    uint64_t offset;
};

struct futex_waiter {
    struct list node;
    struct futex_key key;
    struct thread *thread;
    uaddr_t addr;
    uint32_t bitset;
    bool requeue_pi;         /* waits in FUTEX_WAIT_REQUEUE_PI for target, */
    struct futex_key target; /* to which FUTEX_CMP_REQUEUE_PI moves it as a PI waiter */
    bool pi;
    bool woken; /* and taken from the queue by whoever did that; for PI: owns the lock */
};

static struct list buckets[BUCKET_COUNT];
static uint32_t pi_waiter_count;

static struct list *bucket_of(const struct futex_key *key)
{
    uint64_t hash = (key->object ^ key->offset * 0x9e3779b97f4a7c15ull) * 0xff51afd7ed558ccdull;
    struct list *l = &buckets[hash >> 56];

    if (!l->next)
        list_init(l);
    return l;
}

static bool key_equal(const struct futex_key *a, const struct futex_key *b)
{
    return a->object == b->object && a->offset == b->offset;
}

static long key_of(uaddr_t addr, bool shared, struct futex_key *ret)
{
    struct vma *vma;

    if (addr & 3)
        return -EINVAL;
    if (addr >= APP_END) /* a private one needs no memory to be woken */
        return -EFAULT;
    *ret = (struct futex_key){ (uint64_t)current->mm, addr };
    if (!shared)
        return 0;
    vma = mm_find(current->mm, addr);
    if (!vma || vma->start > addr)
        return -EFAULT;
    if ((vma->flags & VMA_SHARED) && vma->file) {
        ret->object = vma->file->inode ? (uint64_t)vma->file->inode : (uint64_t)vma->file;
        ret->object |= SHARED_OBJECT;
        ret->offset = vma->file_offset + (addr - vma->start);
    }
    return 0;
}

/* --- queues --- */

static void waiter_queue(struct futex_waiter *w)
{
    list_push_back(bucket_of(&w->key), &w->node);
    pi_waiter_count += w->pi;
}

static void waiter_unqueue(struct futex_waiter *w)
{
    list_remove(&w->node);
    pi_waiter_count -= w->pi;
}

static void waiter_wake(struct futex_waiter *w)
{
    waiter_unqueue(w);
    w->woken = true;
    thread_wake(w->thread);
}

static long wake_key(const struct futex_key *key, uint32_t count, uint32_t bitset)
{
    struct list *bucket = bucket_of(key);
    struct futex_waiter *w, *tmp;
    uint32_t woken = 0;

    list_for_each_safe(w, tmp, bucket, node) {
        if (woken >= count)
            break;
        if (!key_equal(&w->key, key))
            continue;
        if (w->pi || w->requeue_pi)
            return -EINVAL;
        if (!(w->bitset & bitset))
            continue;
        waiter_wake(w);
        woken++;
    }
    return woken;
}

/* Park until w is woken. On anything else w is out of the queue again. */
static long waiter_park(struct futex_waiter *w, uint64_t deadline_ns)
{
    while (!w->woken) {
        int ret = thread_park(deadline_ns, true);

        if (w->woken)
            break;
        if (ret < 0) {
            waiter_unqueue(w);
            return ret;
        }
    }
    return 0;
}

long futex_wait(uaddr_t addr, bool shared, uint32_t value, uint64_t deadline_ns, uint32_t bitset)
{
    struct futex_waiter w = { .thread = current, .addr = addr, .bitset = bitset };
    uint32_t now;
    long error;

    if (bitset == 0)
        return -EINVAL;
    error = key_of(addr, shared, &w.key);
    if (error == 0)
        error = user_load32(addr, &now);
    if (error < 0)
        return error;
    if (now != value)
        return -EAGAIN;
    waiter_queue(&w);
    return waiter_park(&w, deadline_ns);
}

long futex_wake(uaddr_t addr, bool shared, uint32_t count, uint32_t bitset)
{
    struct futex_key key;
    long error;

    if (bitset == 0)
        return -EINVAL;
    error = key_of(addr, shared, &key);
    return error < 0 ? error : wake_key(&key, count, bitset);
}

/* --- requeue, wake-op --- */

static void waiter_move(struct futex_waiter *w, const struct futex_key *to, uaddr_t addr)
{
    list_remove(&w->node);
    w->key = *to;
    w->addr = addr;
    list_push_back(bucket_of(to), &w->node);
}

long futex_requeue(uaddr_t from, uaddr_t to, bool shared, uint32_t wake_count, uint32_t requeue_count,
                   const uint32_t *expected)
{
    struct futex_key key, key2;
    struct futex_waiter *w, *tmp;
    uint32_t done = 0, now;
    long error = key_of(from, shared, &key);

    if (error == 0)
        error = key_of(to, shared, &key2);
    if (error == 0 && expected)
        error = user_load32(from, &now);
    if (error < 0)
        return error;
    if (expected && now != *expected)
        return -EAGAIN;
    list_for_each_safe(w, tmp, bucket_of(&key), node) {
        if (done >= (uint64_t)wake_count + requeue_count)
            break;
        if (!key_equal(&w->key, &key))
            continue;
        if (w->pi || w->requeue_pi)
            return -EINVAL;
        if (done < wake_count)
            waiter_wake(w);
        else if (!key_equal(&key, &key2))
            waiter_move(w, &key2, to);
        done++;
    }
    return done;
}

static bool apply_operation(uint32_t op, uint32_t arg, uint32_t old, uint32_t *ret)
{
    switch (op) {
    case FUTEX_OP_SET:
        *ret = arg;
        return true;
    case FUTEX_OP_ADD:
        *ret = old + arg;
        return true;
    case FUTEX_OP_OR:
        *ret = old | arg;
        return true;
    case FUTEX_OP_ANDN:
        *ret = old & ~arg;
        return true;
    case FUTEX_OP_XOR:
        *ret = old ^ arg;
        return true;
    default:
        return false;
    }
}

static long compare(uint32_t cmp, int32_t old, int32_t arg)
{
    switch (cmp) {
    case FUTEX_OP_CMP_EQ:
        return old == arg;
    case FUTEX_OP_CMP_NE:
        return old != arg;
    case FUTEX_OP_CMP_LT:
        return old < arg;
    case FUTEX_OP_CMP_GE:
        return old >= arg;
    case FUTEX_OP_CMP_LE:
        return old <= arg;
    case FUTEX_OP_CMP_GT:
        return old > arg;
    default:
        return -ENOSYS;
    }
}

/* Carry out an encoded operation on the word and say whether the comparison with its old value holds: 0, 1 or -errno. */
static long operate(uaddr_t addr, uint32_t encoded)
{
    uint32_t op = encoded >> 28 & 7, cmp = encoded >> 24 & 15;
    int32_t arg = (int32_t)(encoded << 8) >> 20, cmp_arg = (int32_t)(encoded << 20) >> 20;
    uint32_t old, new, seen;
    long error;

    if (encoded >> 28 & FUTEX_OP_OPARG_SHIFT)
        arg = (int32_t)(1u << (arg & 31));
    error = user_load32(addr, &old);
    while (error == 0) {
        if (!apply_operation(op, (uint32_t)arg, old, &new))
            return -ENOSYS;
        error = user_cmpxchg32(addr, old, new, &seen);
        if (error == 0 && seen == old)
            return compare(cmp, (int32_t)old, cmp_arg);
        old = seen;
    }
    return error;
}

long futex_wake_op(uaddr_t addr, uaddr_t addr2, bool shared, uint32_t count, uint32_t count2, uint32_t operation)
{
    struct futex_key key, key2;
    long ret = key_of(addr, shared, &key), holds, more;

    if (ret == 0)
        ret = key_of(addr2, shared, &key2);
    if (ret < 0)
        return ret;
    holds = operate(addr2, operation);
    if (holds < 0)
        return holds;
    ret = wake_key(&key, count, FUTEX_BITSET_MATCH_ANY);
    if (ret < 0 || !holds)
        return ret;
    more = wake_key(&key2, count2, FUTEX_BITSET_MATCH_ANY);
    return more < 0 ? more : ret + more;
}

/* --- several at once (futex_waitv) --- */

static long first_woken(const struct futex_waiter *w, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (w[i].woken)
            return (long)i;
    return -1;
}

/* Queue all; the first whose word has changed already ends it. */
static long queue_all(struct futex_waiter *w, const struct futex_wait_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t now;
        long error;

        w[i] = (struct futex_waiter){ .thread = current, .addr = items[i].addr, .bitset = FUTEX_BITSET_MATCH_ANY };
        list_init(&w[i].node);
        error = key_of(items[i].addr, items[i].shared, &w[i].key);
        if (error < 0)
            return error;
        waiter_queue(&w[i]);
        error = user_load32(items[i].addr, &now);
        if (error < 0)
            return error;
        if (now != items[i].value)
            return -EAGAIN;
    }
    return 0;
}

long futex_wait_multiple(const struct futex_wait_item *items, size_t count, uint64_t deadline_ns)
{
    struct futex_waiter *w = kcalloc(count, sizeof(*w));
    long ret, woken;

    if (!w)
        return -ENOMEM;
    ret = queue_all(w, items, count);
    while (ret == 0 && first_woken(w, count) < 0)
        ret = thread_park(deadline_ns, true);
    woken = first_woken(w, count);
    for (size_t i = 0; i < count; i++)
        if (w[i].node.next)
            list_remove(&w[i].node);
    kfree(w);
    return woken >= 0 ? woken : ret;
}

/* --- priority inheritance: with one class of priority a queue with handing over is all that is left of it --- */

static struct futex_waiter *first_pi_waiter(const struct futex_key *key, const struct futex_waiter *after)
{
    struct list *bucket = bucket_of(key);
    struct futex_waiter *w;

    list_for_each(w, bucket, node)
        if (w->pi && w != after && key_equal(&w->key, key))
            return w;
    return NULL;
}

/* Try once to take the word. 1: taken; 0: owned by another, and marked FUTEX_WAITERS if mark; -EAGAIN: changed meanwhile. */
static long pi_try(uaddr_t addr, const struct futex_key *key, bool mark)
{
    uint32_t tid = (uint32_t)current->tid, old, new, seen;
    long error = user_load32(addr, &old);

    if (error < 0)
        return error;
    if ((old & FUTEX_TID_MASK) == tid)
        return -EDEADLK;
    if (!(old & FUTEX_TID_MASK)) {
        new = tid | (old & FUTEX_OWNER_DIED) | (first_pi_waiter(key, NULL) ? FUTEX_WAITERS : 0);
        error = user_cmpxchg32(addr, old, new, &seen);
        return error < 0 ? error : seen == old ? 1 : -EAGAIN;
    }
    if (!thread_find((int)(old & FUTEX_TID_MASK)))
        return -ESRCH;
    if (!mark)
        return 0;
    error = user_cmpxchg32(addr, old, old | FUTEX_WAITERS, &seen);
    return error < 0 ? error : seen == old ? 0 : -EAGAIN;
}

long futex_lock_pi(uaddr_t addr, bool shared, uint64_t deadline_ns, bool try_only)
{
    struct futex_waiter w = { .thread = current, .addr = addr, .bitset = FUTEX_BITSET_MATCH_ANY, .pi = true };
    long ret = key_of(addr, shared, &w.key);

    if (ret < 0)
        return ret;
    do {
        ret = pi_try(addr, &w.key, !try_only);
    } while (ret == -EAGAIN);
    if (ret != 0)
        return ret < 0 ? ret : 0;
    if (try_only)
        return -EAGAIN;
    waiter_queue(&w);
    ret = waiter_park(&w, deadline_ns);
    return ret == -ERESTARTSYS ? -ERESTARTNOINTR : ret;
}

/* Give the word, whose value is old, to the next waiter or to nobody. 0, or -EAGAIN if it has changed. */
static long pi_hand_over(uaddr_t addr, const struct futex_key *key, uint32_t old, uint32_t died)
{
    struct futex_waiter *next = first_pi_waiter(key, NULL);
    uint32_t new = died, seen;
    long error;

    if (next)
        new |= (uint32_t)next->thread->tid | (first_pi_waiter(key, next) ? FUTEX_WAITERS : 0);
    error = user_cmpxchg32(addr, old, new, &seen);
    if (error < 0)
        return error;
    if (seen != old)
        return -EAGAIN;
    if (next)
        waiter_wake(next);
    return 0;
}

long futex_unlock_pi(uaddr_t addr, bool shared)
{
    struct futex_key key;
    uint32_t old;
    long error = key_of(addr, shared, &key);

    while (error == 0) {
        error = user_load32(addr, &old);
        if (error == 0 && (old & FUTEX_TID_MASK) != (uint32_t)current->tid)
            return -EPERM;
        if (error == 0)
            error = pi_hand_over(addr, &key, old, 0);
        if (error != -EAGAIN)
            break;
        error = 0;
    }
    return error;
}

/* --- condition variables with PI mutexes: waiters go from the condition's word to the mutex's --- */

long futex_wait_requeue_pi(uaddr_t addr, uaddr_t to, bool shared, uint32_t value, uint64_t deadline_ns,
                           uint32_t bitset)
{
    struct futex_waiter w = { .thread = current, .addr = addr, .bitset = bitset, .requeue_pi = true };
    uint32_t now;
    long ret = key_of(addr, shared, &w.key);

    if (ret == 0)
        ret = key_of(to, shared, &w.target);
    if (ret == 0)
        ret = user_load32(addr, &now);
    if (ret < 0)
        return ret;
    if (bitset == 0 || key_equal(&w.key, &w.target))
        return -EINVAL;
    if (now != value)
        return -EAGAIN;
    waiter_queue(&w);
    ret = waiter_park(&w, deadline_ns);
    if (ret == -ERESTARTSYS) /* once moved, waiting for the condition again would be wrong */
        ret = w.pi ? -EAGAIN : -ERESTARTNOINTR;
    return ret;
}

/* Give the free word to w, or mark it as waited for. 1: w owns it; 0: w is to be queued for it. */
static long pi_take_for(const struct futex_waiter *w, uaddr_t addr, bool more)
{
    uint32_t old, new, seen;
    long error = user_load32(addr, &old);

    while (error == 0) {
        bool taken = !(old & FUTEX_TID_MASK);

        if (taken)
            new = (uint32_t)w->thread->tid | (old & FUTEX_OWNER_DIED) | (more ? FUTEX_WAITERS : 0);
        else
            new = old | FUTEX_WAITERS;
        error = user_cmpxchg32(addr, old, new, &seen);
        if (error == 0 && seen == old)
            return taken;
        old = seen;
    }
    return error;
}

static void waiter_become_pi(struct futex_waiter *w, uaddr_t addr)
{
    list_remove(&w->node);
    w->key = w->target;
    w->addr = addr;
    w->pi = true;
    waiter_queue(w);
}

static struct futex_waiter *first_waiter(const struct futex_key *key, const struct futex_waiter *after)
{
    struct futex_waiter *w;

    list_for_each(w, bucket_of(key), node)
        if (w != after && key_equal(&w->key, key))
            return w;
    return NULL;
}

long futex_cmp_requeue_pi(uaddr_t from, uaddr_t to, bool shared, uint32_t requeue_count, uint32_t expected)
{
    struct futex_key key, key2;
    struct futex_waiter *w;
    uint32_t now;
    uint64_t done = 0;
    long ret = key_of(from, shared, &key);

    if (ret == 0)
        ret = key_of(to, shared, &key2);
    if (ret == 0 && key_equal(&key, &key2))
        ret = -EINVAL;
    if (ret == 0)
        ret = user_load32(from, &now);
    if (ret < 0)
        return ret;
    if (now != expected)
        return -EAGAIN;
    /* One may get the lock, requeue_count more are to wait for it. */
    while (done <= requeue_count && (w = first_waiter(&key, NULL)) != NULL) {
        if (!w->requeue_pi || !key_equal(&w->target, &key2))
            return -EINVAL;
        ret = pi_take_for(w, to, requeue_count > 0 && first_waiter(&key, w));
        if (ret < 0)
            return done > 0 ? (long)done : ret;
        if (ret > 0)
            waiter_wake(w);
        else
            waiter_become_pi(w, to);
        done++;
    }
    return (long)done;
}

/* A PI futex of t with waiters, in t's address space; NULL: none. */
static struct futex_waiter *pi_waiter_for(const struct thread *t)
{
    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        struct futex_waiter *w;
        uint32_t word;

        if (!buckets[i].next)
            continue;
        list_for_each(w, &buckets[i], node)
            if (w->pi && w->thread->mm == t->mm && mm_read(t->mm, &word, w->addr, sizeof(word)) == 0 &&
                (word & FUTEX_TID_MASK) == (uint32_t)t->tid)
                return w;
    }
    return NULL;
}

static void pi_owner_died(struct thread *t)
{
    struct futex_waiter *w;

    while (pi_waiter_count > 0 && (w = pi_waiter_for(t)) != NULL) {
        struct futex_key key = w->key;
        uaddr_t addr = w->addr;
        uint32_t old;

        if (user_load32(addr, &old) < 0 || pi_hand_over(addr, &key, old, FUTEX_OWNER_DIED) < 0)
            return;
    }
}

/* --- the end of a thread --- */

/* handle_futex_death() of Linux: mark the word, wake one. pending: the entry was being locked or unlocked. */
static long robust_word(struct thread *t, uaddr_t addr, bool pi, bool pending)
{
    uint32_t old, seen;
    long error;

    if (addr & 3)
        return -EINVAL;
    error = user_load32(addr, &old);
    while (error == 0) {
        if (pending && !pi && old == 0) {
            futex_wake(addr, true, 1, FUTEX_BITSET_MATCH_ANY);
            return 0;
        }
        if ((old & FUTEX_TID_MASK) != (uint32_t)t->tid)
            return 0;
        error = user_cmpxchg32(addr, old, (old & FUTEX_WAITERS) | FUTEX_OWNER_DIED, &seen);
        if (error < 0)
            return error;
        if (seen == old)
            break;
        old = seen;
    }
    if (error == 0 && !pi && (old & FUTEX_WAITERS))
        futex_wake(addr, true, 1, FUTEX_BITSET_MATCH_ANY);
    return error;
}

/* The list is the app's memory and may be anything: its length is bounded. Bit 0 of an entry says PI. */
static void robust_list_exit(struct thread *t)
{
    struct robust_list_head head;
    uaddr_t entry, next, pending;

    if (copy_from_user(&head, t->robust_list, sizeof(head)) < 0)
        return;
    entry = (uaddr_t)head.list.next;
    pending = (uaddr_t)head.list_op_pending;
    for (int i = 0; i < ROBUST_LIST_LIMIT && (entry & ~1ul) != t->robust_list; i++) {
        bool bad = get_user(next, entry & ~1ul) < 0;

        if ((entry & ~1ul) != (pending & ~1ul) &&
            robust_word(t, (entry & ~1ul) + (uint64_t)head.futex_offset, entry & 1, false) < 0)
            return;
        if (bad)
            return;
        entry = next;
    }
    if (pending & ~1ul)
        robust_word(t, (pending & ~1ul) + (uint64_t)head.futex_offset, pending & 1, true);
}

void futex_thread_exit(struct thread *t)
{
    if (t->robust_list)
        robust_list_exit(t);
    t->robust_list = 0;
    if (pi_waiter_count > 0)
        pi_owner_died(t);
}

void futex_clear_tid(uaddr_t addr)
{
    uint32_t zero = 0;

    if (put_user(zero, addr) == 0)
        futex_wake(addr, true, 1, FUTEX_BITSET_MATCH_ANY);
}
