/*
 * The gofer's file system: read-ahead. A file of an exclusive mount that is read from front to back is fetched in large
 * pieces, the next one while the app works on the last, and small reads are served from them without a request.
 *
 * One stream for each inode. While a thread copies from it (which may sleep on a page fault) it is `busy`: others go past it,
 * and who wants it gone marks it.
 */
#include "fs/gofer.h"

#include "lib/kmalloc.h"
#include "lib/list.h"

#define STREAMS_MAX 12      /* of them hold two bulk buffers each: less than half of the arena */
#define SEQUENTIAL_READS 2  /* in a row before it begins */
#define FIRST_SIZE (64u << 10)

struct piece {
    struct ring_request *rq; /* under way; NULL: data is there, or nothing is */
    uint8_t *data;           /* a bulk buffer; NULL: no piece */
    uint64_t begin;
    uint32_t asked, size;    /* size: what came */
};

struct gofer_ahead {
    struct list node; /* all streams, the least recently used first */
    struct gofer_inode *owner;
    struct piece now, next;
    bool busy, doomed;
};

static struct list streams = LIST_INIT(streams);
static size_t stream_count;

/* --- pieces --- */

static bool piece_start(struct piece *p, uint32_t fid, uint64_t begin, uint32_t size)
{
    p->data = ring_bulk_try_get();
    if (!p->data)
        return false;
    p->rq = ring_try_get(P9_Tread);
    if (!p->rq) {
        ring_bulk_put(p->data);
        p->data = NULL;
        return false;
    }
    p->begin = begin;
    p->asked = size;
    p->size = 0;
    p9_put32(&p->rq->out, fid);
    p9_put64(&p->rq->out, begin);
    p9_put32(&p->rq->out, size);
    p->rq->data_in = p->data;
    p->rq->data_in_size = size;
    ring_submit(p->rq);
    ring_notify();
    return true;
}

/* Nobody wants it any more, but the gofer may still write into the buffer. */
static void piece_orphaned(struct ring_request *rq, long error UNUSED)
{
    ring_bulk_put(rq->data_in);
    ring_put(rq);
}

static void piece_drop(struct piece *p)
{
    if (p->rq && !p->rq->done) {
        p->rq->complete = piece_orphaned;
    } else {
        if (p->rq)
            ring_put(p->rq);
        if (p->data)
            ring_bulk_put(p->data);
    }
    *p = (struct piece){ 0 };
}

/* Wait for the data. False: it couldn't be read; the piece is gone. */
static bool piece_finish(struct piece *p)
{
    uint32_t count;

    if (!p->rq)
        return p->data != NULL;
    if (ring_wait(p->rq) < 0) {
        piece_drop(p);
        return false;
    }
    count = p9_get32(&p->rq->in);
    p->size = p->rq->in.bad || count > p->asked ? 0 : count;
    ring_put(p->rq);
    p->rq = NULL;
    return true;
}

static bool piece_covers(const struct piece *p, uint64_t offset)
{
    return p->data && offset >= p->begin && offset < p->begin + (p->rq ? p->asked : p->size);
}

/* --- streams --- */

static void stream_free(struct gofer_ahead *a)
{
    a->owner->ahead = NULL;
    piece_drop(&a->now);
    piece_drop(&a->next);
    list_remove(&a->node);
    stream_count--;
    kfree(a);
}

void gofer_ahead_drop(struct inode *inode)
{
    struct gofer_ahead *a = gofer_i(inode)->ahead;

    if (!a)
        return;
    if (a->busy)
        a->doomed = true;
    else
        stream_free(a);
}

static struct gofer_ahead *stream_new(struct gofer_inode *gi)
{
    struct gofer_ahead *a;

    if (stream_count >= STREAMS_MAX) {
        a = list_first(&streams, struct gofer_ahead, node);
        if (a->busy)
            return NULL;
        stream_free(a);
    }
    a = kzalloc(sizeof(*a));
    if (!a)
        return NULL;
    a->owner = gi;
    gi->ahead = a;
    list_push_back(&streams, &a->node);
    stream_count++;
    return a;
}

static uint32_t next_size(const struct inode *inode, uint64_t begin, uint32_t last_size)
{
    uint64_t left = begin < inode->size ? inode->size - begin : 0;

    return (uint32_t)MIN(left, MIN((uint64_t)last_size * 2, (uint64_t)RING_BULK_SIZE));
}

/* Fetch what comes behind the piece that is being read, once. */
static void prefetch(struct gofer_ahead *a, const struct inode *inode, uint32_t fid)
{
    uint64_t begin = a->now.begin + a->now.asked;
    uint32_t size = next_size(inode, begin, a->now.asked);

    if (!a->next.data && size > 0 && a->now.size == a->now.asked)
        piece_start(&a->next, fid, begin, size);
}

/* Copy from the piece at hand; moves on to the next one where it ends. Bytes, or -EFAULT. */
static ssize_t copy_out(struct gofer_ahead *a, struct inode *inode, uint32_t fid, struct iter *to, uint64_t offset)
{
    ssize_t done = 0;

    while (to->left > 0 && !a->doomed) {
        uint64_t at = offset + (uint64_t)done;
        size_t want, n;

        if (!piece_covers(&a->now, at) && piece_covers(&a->next, at)) {
            piece_drop(&a->now);
            a->now = a->next;
            a->next = (struct piece){ 0 };
        }
        if (!piece_covers(&a->now, at) || !piece_finish(&a->now) || !piece_covers(&a->now, at))
            break;
        prefetch(a, inode, fid);
        want = (size_t)MIN(a->now.begin + a->now.size - at, to->left);
        n = iter_copy_to(to, a->now.data + (at - a->now.begin), want);
        done += (ssize_t)n;
        if (n < want)
            return done > 0 ? done : -EFAULT;
    }
    return done;
}

/* Begin a stream at offset if the file is being read in order. */
static struct gofer_ahead *stream_begin(struct inode *inode, uint32_t fid, uint64_t offset)
{
    struct gofer_inode *gi = gofer_i(inode);
    uint32_t size = next_size(inode, offset, FIRST_SIZE);
    struct gofer_ahead *a;

    if (gi->sequential < SEQUENTIAL_READS || size < PAGE_SIZE)
        return NULL;
    a = stream_new(gi);
    if (a && !piece_start(&a->now, fid, offset, size)) {
        stream_free(a);
        return NULL;
    }
    return a;
}

ssize_t gofer_ahead_read(struct file *f, struct iter *to, uint64_t offset)
{
    struct inode *inode = f->inode;
    struct gofer_inode *gi = gofer_i(inode);
    const struct gofer_handle *h = f->data;
    struct gofer_ahead *a = gi->ahead;
    ssize_t n;

    gi->sequential = offset == gi->next_read ? gi->sequential + 1 : 0;
    gi->next_read = offset + to->left;
    if (a && !a->busy && !piece_covers(&a->now, offset) && !piece_covers(&a->next, offset)) {
        stream_free(a);
        a = NULL;
    }
    if (!a)
        a = stream_begin(inode, h->fid, offset);
    if (!a || a->busy)
        return 0;
    a->busy = true;
    n = copy_out(a, inode, h->fid, to, offset);
    a->busy = false;
    list_remove(&a->node);
    list_push_back(&streams, &a->node);
    if (a->doomed)
        stream_free(a);
    return n;
}
