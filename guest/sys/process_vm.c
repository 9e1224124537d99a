/*
 * Calls on the memory of another process: process_vm_readv and process_vm_writev, which copy, and advice.
 */
#include <linux/capability.h>
#include <linux/mman.h>
#include <linux/uio.h>

#include "lib/kmalloc.h"
#include "mm/frame.h"
#include "mm/mm.h"
#include "proc/pidfd.h"
#include "proc/ptrace.h"
#include "proc/signal.h"
#include "sys/memory_advice.h"
#include "sys/syscall.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define VECTOR_MAX 1024

struct remote_copy {
    struct mm *mm;
    bool write;          /* to the other process */
    struct iovec *local; /* kmalloc; consumed as the copy goes on */
    size_t local_count;
    size_t done;
};

static uint64_t base_of(const struct iovec *v)
{
    return (uint64_t)v->iov_base;
}

static long fetch_vector(uaddr_t addr, uint64_t count, struct iovec **ret)
{
    struct iovec *v;
    uint64_t total = 0;

    if (count > VECTOR_MAX)
        return -EINVAL;
    v = kmalloc(MAX(count, 1ul) * sizeof(*v));
    if (!v)
        return -ENOMEM;
    *ret = v;
    if (copy_from_user(v, addr, count * sizeof(*v)) < 0)
        return -EFAULT;
    for (uint64_t i = 0; i < count; i++) {
        total += v[i].iov_len;
        if ((ssize_t)v[i].iov_len < 0 || (ssize_t)total < 0)
            return -EINVAL;
    }
    return 0;
}

/*
 * Copy n bytes, which lie in one page at ptr, from or to the caller's vector. False: as far as it
 * went, and no further.
 */
static bool copy_local(struct remote_copy *c, char *ptr, size_t n)
{
    while (n) {
        struct iovec *v = c->local;
        size_t part, left;

        if (!c->local_count)
            return false;
        part = MIN(n, v->iov_len);
        left = c->write ? copy_from_user_partial(ptr, base_of(v), part)
                        : copy_to_user_partial(base_of(v), ptr, part);
        c->done += part - left;
        if (left)
            return false;
        v->iov_base = (char *)v->iov_base + part;
        v->iov_len -= part;
        ptr += part;
        n -= part;
        if (!v->iov_len) {
            c->local++;
            c->local_count--;
        }
    }
    return true;
}

/* One range of the other process. The page is held: the caller's side may fault and sleep. */
static bool copy_remote(struct remote_copy *c, uaddr_t addr, uint64_t len)
{
    while (len) {
        size_t offset = addr & (PAGE_SIZE - 1), part = MIN(len, PAGE_SIZE - offset);
        bool more = false;
        char *page;
        gpa_t gpa;

        if (mm_pin_page(c->mm, addr, c->write ? FAULT_WRITE : 0, &gpa) < 0)
            return false;
        page = page_ptr(gpa, PAGE_SIZE);
        if (page)
            more = copy_local(c, page + offset, part);
        frame_put(gpa);
        if (!more)
            return false;
        addr += part;
        len -= part;
    }
    return true;
}

static long copy_vectors(struct mm *mm, struct iovec *local, uint64_t local_count,
                         const struct iovec *remote, uint64_t remote_count, bool write)
{
    struct remote_copy c = { .mm = mm, .write = write, .local = local, .local_count = local_count };
    uint64_t wanted = 0;

    for (uint64_t i = 0; i < remote_count; i++) {
        wanted += remote[i].iov_len;
        if (!copy_remote(&c, base_of(&remote[i]), remote[i].iov_len))
            break;
    }
    return c.done || !wanted || !c.local_count ? (long)c.done : -EFAULT;
}

static long process_vm(int pid, uaddr_t local_addr, uint64_t local_count, uaddr_t remote_addr,
                       uint64_t remote_count, uint64_t flags, bool write)
{
    struct iovec *local = NULL, *remote = NULL;
    struct thread *t;
    long r;

    if (flags)
        return -EINVAL;
    r = fetch_vector(local_addr, local_count, &local);
    if (r == 0)
        r = fetch_vector(remote_addr, remote_count, &remote);
    t = thread_find(pid);
    if (r == 0 && (!t || !t->mm))
        r = -ESRCH;
    if (r == 0 && !ptrace_may_access(t->proc))
        r = -EPERM;
    if (r == 0) {
        struct mm *mm = t->mm;

        mm_get(mm);
        r = copy_vectors(mm, local, local_count, remote, remote_count, write);
        mm_put(mm);
    }
    kfree(local);
    kfree(remote);
    return r;
}

SYSCALL_DEFINE6(process_vm_readv, int, pid, uaddr_t, local, uint64_t, local_count, uaddr_t, remote,
                uint64_t, remote_count, uint64_t, flags)
{
    return process_vm(pid, local, local_count, remote, remote_count, flags, false);
}

SYSCALL_DEFINE6(process_vm_writev, int, pid, uaddr_t, local, uint64_t, local_count, uaddr_t, remote,
                uint64_t, remote_count, uint64_t, flags)
{
    return process_vm(pid, local, local_count, remote, remote_count, flags, true);
}

/* --- process_madvise, process_mrelease --- */

/* What may be advised for others: nothing that changes what they read. */
static bool harmless_advice(int advice)
{
    return advice == MADV_COLD || advice == MADV_PAGEOUT || advice == MADV_WILLNEED || advice == MADV_COLLAPSE;
}

static long advise_vectors(struct mm *mm, const struct iovec *vec, uint64_t count, int advice)
{
    long done = 0, r;

    for (uint64_t i = 0; i < count; i++) {
        r = madvise_memory(mm, base_of(&vec[i]), vec[i].iov_len, advice);
        if (r < 0)
            return done ? done : r;
        done += (long)vec[i].iov_len;
    }
    return done;
}

static long advise_process(const struct process *p, const struct iovec *vec, uint64_t count, int advice)
{
    struct mm *mm = p->mm;
    long r;

    if (!mm)
        return -ESRCH;
    if (!ptrace_may_access(p) || (mm != current->mm && !capable(CAP_SYS_NICE)))
        return -EPERM;
    if (mm != current->mm && !harmless_advice(advice))
        return -EINVAL;
    mm_get(mm);
    r = advise_vectors(mm, vec, count, advice);
    mm_put(mm);
    return r;
}

SYSCALL_DEFINE5(process_madvise, int, pidfd, uaddr_t, vec_addr, uint64_t, count, int, advice, uint32_t, flags)
{
    struct iovec *vec = NULL;
    const struct process *p;
    struct file *f;
    long r;

    if (flags)
        return -EINVAL;
    r = fetch_vector(vec_addr, count, &vec);
    if (r < 0)
        return r;
    f = fd_get(pidfd);
    p = f ? pidfd_process(f) : NULL;
    r = p ? advise_process(p, vec, count, advice) : -EBADF;
    if (f)
        file_put(f);
    kfree(vec);
    return r;
}

/* The memory of a process that must end goes when it does, which is when it next runs: nothing is to be hurried here. */
SYSCALL_DEFINE2(process_mrelease, int, pidfd, uint32_t, flags)
{
    const struct process *p;
    struct file *f;
    long r = 0;

    if (flags)
        return -EINVAL;
    f = fd_get(pidfd);
    p = f ? pidfd_process(f) : NULL;
    if (!p)
        r = -EBADF;
    else if (!p->mm)
        r = -ESRCH;
    else if (!p->exiting && !(p->leader && signal_deadly_pending(p->leader)))
        r = -EINVAL;
    if (f)
        file_put(f);
    return r;
}
