/*
 * The gofer's file system: read-ahead. A file of an exclusive mount that is read from front to back is fetched in large
 * pieces while the app works on those before, and small reads are served from them without a request. There are ever more of them under
 * way, so that neither side needs the other's core at once; they are asked for several at a time.
 *
 * One stream for each inode. While a thread copies from it (which may sleep on a page fault) it is `busy`: others go past it,
 * and who wants it gone marks it.
 */
#include "fs/gofer.h"

#include "lib/kmalloc.h"
#include "lib/list.h"
#include "lib/string.h"

#define STREAMS_MAX 12
#define PIECES 6            /* of a stream, each in a bulk buffer */
#define PIECES_MAX 24u      /* of all streams: less than half of the arena */
#define SEQUENTIAL_READS 2  /* in a row before it begins */
#define FIRST_SIZE (64u << 10)

struct piece {
    struct ring_request *rq; /* under way; NULL: data is there */
    uint8_t *data;           /* a bulk buffer */
    uint64_t begin;
    uint32_t asked, size;    /* size: what came */
};

struct gofer_ahead {
    struct list node; /* all streams, the least recently used first */
    struct gofer_inode *owner;
    struct piece piece[PIECES]; /* one behind the other in the file; the first is being read */
    uint32_t count;
    uint32_t depth;             /* how many there may be now */
    bool busy, doomed;
};

static struct list streams = LIST_INIT(streams);
static size_t stream_count;
static uint32_t piece_count;

/* --- pieces --- */

static bool piece_start(struct piece *p, uint32_t fid, uint64_t begin, uint32_t size)
{
    struct ring_request *rq;
    uint8_t *data = piece_count < PIECES_MAX ? ring_bulk_try_get() : NULL;

    if (!data)
        return false;
    rq = ring_try_get(P9_Tread);
    if (!rq) {
        ring_bulk_put(data);
        return false;
    }
    *p = (struct piece){ .rq = rq, .data = data, .begin = begin, .asked = size };
    piece_count++;
    p9_put32(&rq->out, fid);
    p9_put64(&rq->out, begin);
    p9_put32(&rq->out, size);
    rq->data_in = data;
    rq->data_in_size = size;
    ring_submit(rq);
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
        ring_bulk_put(p->data);
    }
    piece_count--;
}

/* Wait for the data: none if it couldn't be read. */
static void piece_finish(struct piece *p)
{
    uint32_t count;

    if (!p->rq)
        return;
    if (ring_wait(p->rq) == 0) {
        count = p9_get32(&p->rq->in);
        p->size = p->rq->in.bad || count > p->asked ? 0 : count;
    }
    ring_put(p->rq);
    p->rq = NULL;
}

static bool piece_covers(const struct piece *p, uint64_t offset)
{
    return offset >= p->begin && offset < p->begin + (p->rq ? p->asked : p->size);
}

/* --- streams --- */

static void stream_free(struct gofer_ahead *a)
{
    a->owner->ahead = NULL;
    for (uint32_t i = 0; i < a->count; i++)
        piece_drop(&a->piece[i]);
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

    if (stream_count >= STREAMS_MAX || piece_count >= PIECES_MAX) {
        if (list_empty(&streams))
            return NULL;
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

static uint32_t next_size(const struct inode *inode, uint64_t begin, uint64_t size)
{
    uint64_t left = begin < inode->size ? inode->size - begin : 0;

    return (uint32_t)MIN(left, MIN(size, (uint64_t)RING_BULK_SIZE));
}

static void stream_begin_at(struct gofer_ahead *a, const struct inode *inode, uint32_t fid, uint64_t offset)
{
    a->depth = 1;
    a->count = piece_start(&a->piece[0], fid, offset, next_size(inode, offset, FIRST_SIZE));
}

/* Ask for more behind what there is, once half of it is used. */
static void fetch_ahead(struct gofer_ahead *a, const struct inode *inode, uint32_t fid)
{
    if (a->count > a->depth / 3 + 1)
        return;
    while (a->count <= a->depth && a->count < PIECES) {
        const struct piece *last = &a->piece[a->count - 1];
        uint64_t begin = last->begin + last->asked;
        uint32_t size = next_size(inode, begin, last->asked * 2ull);

        if (size == 0 || (!last->rq && last->size < last->asked) || !piece_start(&a->piece[a->count], fid, begin, size))
            break;
        a->count++;
    }
    ring_notify();
}

/* Let the first piece be the one with this offset. False: there is none. */
static bool move_on(struct gofer_ahead *a, uint64_t offset)
{
    uint32_t first = 0;

    while (first < a->count && !piece_covers(&a->piece[first], offset))
        first++;
    if (first == a->count)
        return false;
    for (uint32_t i = 0; i < first; i++)
        piece_drop(&a->piece[i]);
    a->count -= first;
    memmove(a->piece, a->piece + first, a->count * sizeof(a->piece[0]));
    a->depth = MIN(a->depth + first, (uint32_t)PIECES);
    return true;
}

/* Copy from the pieces. Bytes, or -EFAULT. */
static ssize_t copy_out(struct gofer_ahead *a, struct inode *inode, uint32_t fid, struct iter *to, uint64_t offset)
{
    struct piece *p = &a->piece[0];
    ssize_t done = 0;

    while (to->left > 0 && !a->doomed) {
        uint64_t at = offset + (uint64_t)done;
        size_t want, n;

        if (!move_on(a, at))
            break;
        fetch_ahead(a, inode, fid);
        piece_finish(p);
        if (!piece_covers(p, at))
            break;
        want = (size_t)MIN(p->begin + p->size - at, to->left);
        n = iter_copy_to(to, p->data + (at - p->begin), want);
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
    struct gofer_ahead *a;

    if (gi->sequential < SEQUENTIAL_READS || next_size(inode, offset, FIRST_SIZE) < PAGE_SIZE)
        return NULL;
    a = stream_new(gi);
    if (!a)
        return NULL;
    stream_begin_at(a, inode, fid, offset);
    if (a->count == 0) {
        stream_free(a);
        return NULL;
    }
    return a;
}

static bool stream_covers(const struct gofer_ahead *a, uint64_t offset)
{
    for (uint32_t i = 0; i < a->count; i++) {
        if (piece_covers(&a->piece[i], offset))
            return true;
    }
    return false;
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
    if (a && !a->busy && !stream_covers(a, offset)) {
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
