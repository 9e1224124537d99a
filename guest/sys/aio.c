/*
 * Linux's asynchronous I/O: io_setup(2), io_submit(2), io_getevents(2), io_cancel(2), io_destroy(2).
 *
 * Reading, writing and fsync are done by io_submit itself, as Linux does it for whatever isn't O_DIRECT; only
 * IOCB_CMD_POLL waits. A context's number is the address of a page in the app's memory, because libaio looks there for
 * Linux's ring of events; that page holds none, so libaio asks by system call.
 */
#include "sys/aio.h"

#include "fs/eventfd.h"
#include "fs/poll.h"
#include "lib/kmalloc.h"
#include "mm/mm.h"
#include "proc/signal.h"
#include "sys/file_util.h"
#include "sys/syscall.h"
#include "sys/timespec.h"

#include <linux/aio_abi.h>
#include <linux/mman.h>

#define REQUESTS_MIN 127u        /* as many as Linux's smallest ring holds */
#define REQUESTS_TOTAL 65536u    /* fs.aio-max-nr */
#define REQUESTS_SANE (0x10000000u / sizeof(struct io_event)) /* beyond it Linux says EINVAL, not EAGAIN */
#define POLL_QUEUES 3            /* that one file's poll may add us to */

struct aio_context {
    struct list node;            /* mm->aio */
    uint32_t refs;
    uaddr_t id;
    uint32_t asked, capacity;    /* capacity: requests and events that weren't fetched */
    uint32_t used;
    bool destroyed;
    struct list done;            /* struct aio_request */
    struct list polls;
    uint32_t done_count;
    struct wait_queue wait;
};

struct aio_request {
    struct list node;            /* context's polls, then done */
    struct aio_context *ctx;     /* not counted: the context frees its requests */
    struct io_event event;
    struct file *resfd;          /* an eventfd, or NULL */
    /* IOCB_CMD_POLL */
    struct file *file;
    struct poll_table table;
    uint32_t events;
    bool submitting;             /* not complete before the submitter has seen it */
    uint32_t early;              /* what came meanwhile */
    size_t entry_count;
    bool failed;                 /* the file has more queues than we have entries */
    struct wait_entry entries[POLL_QUEUES];
};

static uint64_t asked_total;

/* --- contexts --- */

/* With a reference; NULL: there is none. */
static struct aio_context *context_find(uaddr_t id)
{
    struct aio_context *c;

    if (!current->mm->aio.next)
        return NULL;
    list_for_each(c, &current->mm->aio, node) {
        if (c->id == id) {
            c->refs++;
            return c;
        }
    }
    return NULL;
}

static void request_free(struct aio_request *r)
{
    for (size_t i = 0; i < r->entry_count; i++)
        wait_remove(&r->entries[i]);
    list_remove(&r->node);
    if (r->resfd)
        file_put(r->resfd);
    if (r->file)
        file_put(r->file);
    kfree(r);
}

static void context_put(struct aio_context *c)
{
    if (--c->refs > 0)
        return;
    while (!list_empty(&c->done))
        request_free(list_first(&c->done, struct aio_request, node));
    kfree(c);
}

/* No more events come of it; whoever waits for some is told. */
static void context_end(struct aio_context *c)
{
    list_remove(&c->node);
    c->destroyed = true;
    asked_total -= c->asked;
    while (!list_empty(&c->polls))
        request_free(list_first(&c->polls, struct aio_request, node));
    wait_wake_all(&c->wait, 0);
    context_put(c);
}

void aio_end(struct mm *mm)
{
    while (mm->aio.next && !list_empty(&mm->aio))
        context_end(list_first(&mm->aio, struct aio_context, node));
}

SYSCALL_DEFINE2(io_setup, uint32_t, count, uaddr_t, id_addr)
{
    struct mm *mm = current->mm;
    struct aio_context *c;
    uint64_t id;

    if (get_user(id, id_addr) < 0)
        return -EFAULT;
    if (id || count == 0 || count > REQUESTS_SANE)
        return -EINVAL;
    if (count > REQUESTS_TOTAL - asked_total)
        return -EAGAIN;
    c = kzalloc(sizeof(*c));
    if (!c)
        return -ENOMEM;
    id = (uint64_t)mm_mmap(mm, 0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0);
    if (is_err((void *)id)) {
        kfree(c);
        return (long)id;
    }
    *c = (struct aio_context){ .refs = 1, .id = id, .asked = count, .capacity = MAX(count * 2, REQUESTS_MIN) };
    list_init(&c->done);
    list_init(&c->polls);
    wait_queue_init(&c->wait);
    if (!mm->aio.next)
        list_init(&mm->aio);
    list_push_back(&mm->aio, &c->node);
    asked_total += count;
    if (put_user(id, id_addr) == 0)
        return 0;
    context_end(c);
    mm_munmap(mm, id, PAGE_SIZE);
    return -EFAULT;
}

SYSCALL_DEFINE1(io_destroy, uaddr_t, id)
{
    struct aio_context *c = context_find(id);

    if (!c)
        return -EINVAL;
    context_end(c);
    context_put(c);
    mm_munmap(current->mm, id, PAGE_SIZE);
    return 0;
}

/* --- completion --- */

/* May run in any thread's context. */
static void complete(struct aio_request *r, long result)
{
    struct aio_context *c = r->ctx;

    for (size_t i = 0; i < r->entry_count; i++)
        wait_remove(&r->entries[i]);
    r->entry_count = 0;
    r->event.res = result;
    list_remove(&r->node);
    list_push_back(&c->done, &r->node);
    c->done_count++;
    if (r->resfd)
        eventfd_add(r->resfd, 1);
    wait_wake_all(&c->wait, 0);
}

/* --- IOCB_CMD_POLL --- */

static void poll_wake(struct wait_entry *e, uint32_t events)
{
    struct aio_request *r = e->data;

    events &= r->events;
    if (r->submitting)
        r->early |= events;
    else if (events)
        complete(r, events);
}

static void poll_add(struct poll_table *table, struct wait_queue *q)
{
    struct aio_request *r = container_of(table, struct aio_request, table);
    struct wait_entry *e;

    if (r->entry_count == POLL_QUEUES) {
        r->failed = true;
        return;
    }
    e = &r->entries[r->entry_count++];
    e->wake = poll_wake;
    e->data = r;
    wait_add(q, e);
}

static long submit_poll(struct aio_request *r, const struct iocb *iocb)
{
    uint32_t ready;

    if ((uint16_t)iocb->aio_buf != iocb->aio_buf || iocb->aio_offset || iocb->aio_nbytes || iocb->aio_rw_flags)
        return -EINVAL;
    r->events = (uint32_t)iocb->aio_buf | POLL_ALWAYS;
    r->table.add = poll_add;
    r->table.events = r->events;
    r->submitting = true; /* asking may sleep */
    ready = poll_file(r->file, &r->table) & r->events;
    r->submitting = false;
    if (r->failed || r->ctx->destroyed)
        return -EINVAL;
    list_push_back(&r->ctx->polls, &r->node);
    if (ready | r->early)
        complete(r, ready | r->early);
    return 0;
}

/* --- reading, writing, syncing --- */

static long transfer(struct file *f, const struct iocb *iocb, bool write, bool vector, struct io_event *ret)
{
    struct iter_segment fast[SEGMENTS_ON_STACK];
    uint64_t pos = (uint64_t)iocb->aio_offset;
    void *to_free = NULL;
    transfer_fn fn;
    struct iter it;
    ssize_t n;
    long err;

    if (write ? !file_writable(f) : !file_readable(f))
        return -EBADF;
    if (iocb->aio_offset < 0 || (write ? !f->ops->write : !f->ops->read) || (int64_t)iocb->aio_nbytes < 0)
        return -EINVAL;
    err = file_transfer(iocb->aio_rw_flags, write, &fn);
    if (err < 0)
        return err;
    if (vector) {
        err = iter_import(&it, fast, iocb->aio_buf, iocb->aio_nbytes, &to_free);
    } else {
        iter_user(&it, fast, iocb->aio_buf, MIN(iocb->aio_nbytes, MAX_RW_COUNT));
        err = access_ok(iocb->aio_buf, it.left) ? 0 : -EFAULT;
    }
    if (err == 0) {
        n = fn(f, &it, &pos);
        ret->res = n <= -ERESTARTSYS && n >= -ERESTART_RESTARTBLOCK ? -EINTR : n;
    }
    kfree(to_free);
    return err;
}

static long synchronise(struct file *f, const struct iocb *iocb, bool data_only, struct io_event *ret)
{
    if (iocb->aio_buf || iocb->aio_offset || iocb->aio_nbytes || iocb->aio_rw_flags || !f->ops->fsync)
        return -EINVAL;
    ret->res = f->ops->fsync(f, data_only);
    return 0;
}

static long perform(struct aio_request *r, const struct iocb *iocb)
{
    long err;

    switch (iocb->aio_lio_opcode) {
    case IOCB_CMD_PREAD:
    case IOCB_CMD_PREADV:
        err = transfer(r->file, iocb, false, iocb->aio_lio_opcode == IOCB_CMD_PREADV, &r->event);
        break;
    case IOCB_CMD_PWRITE:
    case IOCB_CMD_PWRITEV:
        err = transfer(r->file, iocb, true, iocb->aio_lio_opcode == IOCB_CMD_PWRITEV, &r->event);
        break;
    case IOCB_CMD_FSYNC:
    case IOCB_CMD_FDSYNC:
        err = synchronise(r->file, iocb, iocb->aio_lio_opcode == IOCB_CMD_FDSYNC, &r->event);
        break;
    case IOCB_CMD_POLL:
        return submit_poll(r, iocb);
    default:
        return -EINVAL;
    }
    if (err == 0)
        complete(r, r->event.res);
    return err;
}

/* --- io_submit --- */

static long take_files(struct aio_request *r, const struct iocb *iocb)
{
    r->file = fd_get_io((int)iocb->aio_fildes);
    if (!r->file)
        return -EBADF;
    if (!(iocb->aio_flags & IOCB_FLAG_RESFD))
        return 0;
    r->resfd = fd_get_io((int)iocb->aio_resfd);
    if (!r->resfd)
        return -EBADF;
    return eventfd_is(r->resfd) ? 0 : -EINVAL;
}

static long submit(struct aio_context *c, uaddr_t addr)
{
    struct aio_request *r;
    uint32_t key = 0;
    struct iocb iocb;
    long err;

    if (get_user(iocb, addr) < 0)
        return -EFAULT;
    if (iocb.aio_reserved2)
        return -EINVAL;
    if (c->used >= c->capacity)
        return -EAGAIN;
    if (put_user(key, addr + offsetof(struct iocb, aio_key)) < 0)
        return -EFAULT;
    r = kzalloc(sizeof(*r));
    if (!r)
        return -EAGAIN;
    list_init(&r->node);
    r->ctx = c;
    r->event.data = iocb.aio_data;
    r->event.obj = addr;
    c->used++;
    err = take_files(r, &iocb);
    if (err == 0)
        err = perform(r, &iocb); /* once it is complete, another thread may fetch it */
    if (err < 0) {
        c->used--;
        request_free(r);
    }
    return err;
}

SYSCALL_DEFINE3(io_submit, uaddr_t, id, int64_t, count, uaddr_t, iocbs)
{
    struct aio_context *c;
    int64_t done = 0;
    long err = 0;

    if (count < 0)
        return -EINVAL;
    c = context_find(id);
    if (!c)
        return -EINVAL;
    for (count = MIN(count, (int64_t)c->capacity); done < count && err == 0; done += err == 0) {
        uaddr_t iocb;

        err = get_user(iocb, iocbs + (uint64_t)done * sizeof(iocb));
        if (err == 0)
            err = c->destroyed ? -EINVAL : submit(c, iocb);
    }
    context_put(c);
    return done > 0 ? done : err;
}

/* --- io_cancel --- */

/* What is cancelled still has its event: io_cancel(2) answers EINPROGRESS then. */
SYSCALL_DEFINE3(io_cancel, uaddr_t, id, uaddr_t, iocb, uaddr_t, result UNUSED)
{
    struct aio_context *c;
    struct aio_request *r;
    uint32_t key;
    long ret = -EINVAL;

    if (get_user(key, iocb + offsetof(struct iocb, aio_key)) < 0)
        return -EFAULT;
    if (key != 0)
        return -EINVAL;
    c = context_find(id);
    if (!c)
        return -EINVAL;
    list_for_each(r, &c->polls, node) {
        if (r->event.obj == iocb) {
            complete(r, 0);
            ret = -EINPROGRESS;
            break;
        }
    }
    context_put(c);
    return ret;
}

/* --- io_getevents --- */

static int64_t fetch(struct aio_context *c, int64_t count, uaddr_t events, int64_t done)
{
    while (done < count && c->done_count > 0) {
        struct aio_request *r = list_first(&c->done, struct aio_request, node);
        struct io_event event = r->event;

        c->done_count--;
        c->used--;
        request_free(r);
        if (copy_to_user(events + (uint64_t)done * sizeof(event), &event, sizeof(event)) < 0)
            return done > 0 ? done : -EFAULT;
        done++;
    }
    return done;
}

static long get_events(uaddr_t id, int64_t min, int64_t count, uaddr_t events, uint64_t deadline_ns)
{
    struct aio_context *c = context_find(id);
    int64_t done = 0;
    int err = 0;

    if (!c)
        return -EINVAL;
    if (min < 0 || count < min || count < 0) {
        context_put(c);
        return -EINVAL;
    }
    for (;;) {
        done = fetch(c, count, events, done);
        if (done < 0 || done >= min || err < 0 || c->destroyed)
            break;
        err = wait_until(&c->wait, c->done_count > 0 || c->destroyed, deadline_ns, true);
    }
    if (done == 0 && c->destroyed)
        done = -EINVAL;
    else if (done == 0 && err == -ERESTARTSYS)
        done = -EINTR;
    context_put(c);
    return done;
}

static long read_timeout(uaddr_t timeout, uint64_t *ret_deadline_ns)
{
    uint64_t ns;
    long err;

    *ret_deadline_ns = NEVER;
    if (!timeout)
        return 0;
    err = timespec_read(timeout, &ns);
    if (err == 0)
        *ret_deadline_ns = ns > 0 ? deadline_after(ns) : 0;
    return err;
}

SYSCALL_DEFINE5(io_getevents, uaddr_t, id, int64_t, min, int64_t, count, uaddr_t, events, uaddr_t, timeout)
{
    uint64_t deadline_ns;
    long err = read_timeout(timeout, &deadline_ns);

    return err < 0 ? err : get_events(id, min, count, events, deadline_ns);
}

SYSCALL_DEFINE6(io_pgetevents, uaddr_t, id, int64_t, min, int64_t, count, uaddr_t, events, uaddr_t, timeout, uaddr_t, sig)
{
    struct {
        uint64_t mask, size;
    } s = { 0 };
    uint64_t deadline_ns;
    long ret = read_timeout(timeout, &deadline_ns);

    if (ret == 0 && sig && get_user(s, sig) < 0)
        ret = -EFAULT;
    if (ret == 0)
        ret = signal_set_temporary_mask(s.mask, s.size);
    if (ret < 0)
        return ret;
    ret = get_events(id, min, count, events, deadline_ns);
    signal_restore_mask(ret == -EINTR);
    return ret;
}
