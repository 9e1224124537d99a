/*
 * The gofer's file system: write-behind. On mounts that nobody else changes, a write is sent and not waited for, as the
 * host's own page cache doesn't make a program wait for the disk either. The gofer serves the ring in order, so whatever is
 * asked later sees the data; what goes around the ring (the window) waits first.
 *
 * A late error is told by the next write, fsync or close of the file. So that "no space left" isn't late, this is only done
 * while the file system has plenty.
 */
#include "fs/gofer.h"

#include "lib/kmalloc.h"

#define WRITE_HEADER 23u
#define WRITE_COUNT_POS 19u /* of the count field in a Twrite */
#define INLINE_MAX (RING_MESSAGE_SIZE - WRITE_HEADER)
#define BULKS_MAX 16        /* bulk buffers on their way at once */
#define REQUESTS_MAX 40

#define SPACE_PLENTY (1ull << 30)
#define CREDIT_MAX (256ull << 20) /* bytes before the free space is looked at again */

static uint32_t requests_out, bulks_out;

/* No room: from now on who writes shall wait and see, for a while. */
static void no_credit(struct gofer_sb *gs)
{
    gs->credit = 0;
    gs->no_credit = 256;
}

/* Not all was written. The gofer says why, if it knows. */
static long short_error(struct ring_request *rq)
{
    uint32_t error = p9_get32(&rq->in);

    return rq->in.bad || error == 0 || error > 4095 ? -ENOSPC : -(long)error;
}

static void behind_done(struct ring_request *rq, long error)
{
    struct inode *inode = rq->context;
    struct gofer_inode *gi = gofer_i(inode);
    uint32_t size = rq->data_out_size ? rq->data_out_size : (uint32_t)rq->out.pos - WRITE_HEADER;
    uint32_t count = error == 0 ? p9_get32(&rq->in) : 0;

    if (error == 0 && (rq->in.bad || count != size))
        error = count < size && !rq->in.bad ? short_error(rq) : -EIO;
    if (error < 0) {
        no_credit(gofer_sb(inode->sb));
        gi->behind_error = (int)error;
        gofer_set_stale(gi);
    }
    if (rq->data_out) {
        ring_bulk_put((void *)(uintptr_t)rq->data_out);
        bulks_out--;
    }
    requests_out--;
    ring_put(rq);
    if (--gi->behind == 0)
        wait_wake_all(&gi->behind_wait, 0);
    inode_put(inode);
}

/* Is there so much space that n more bytes certainly fit? */
static bool space_is_plenty(struct inode *inode, uint64_t n)
{
    struct gofer_sb *gs = gofer_sb(inode->sb);
    struct statfs fs;
    uint64_t available;

    if (gs->credit >= n) {
        gs->credit -= n;
        return true;
    }
    gs->credit = 0;
    if (gs->no_credit > 0) { /* it wasn't so a moment ago */
        gs->no_credit--;
        return false;
    }
    if (inode->sb->ops->statfs(inode->sb, &fs) < 0)
        return false;
    available = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
    if (available < SPACE_PLENTY) {
        no_credit(gs);
        return false;
    }
    gs->credit = MIN(available / 8, CREDIT_MAX) - n;
    return true;
}

/* Put the data into the message, or beside it. Bytes that were taken. */
static uint32_t fill(struct ring_request *rq, struct iter *from, void *bulk, uint32_t size)
{
    uint8_t *data = bulk ? bulk : p9_take(&rq->out, size);
    uint32_t copied = (uint32_t)iter_copy_from(from, data, size);
    size_t end;

    if (!bulk)
        rq->out.pos -= size - copied;
    end = rq->out.pos;
    rq->out.pos = WRITE_COUNT_POS;
    p9_put32(&rq->out, copied);
    rq->out.pos = end;
    return copied;
}

static ssize_t send(struct inode *inode, uint32_t fid, struct iter *from, uint64_t offset)
{
    uint32_t size = (uint32_t)MIN(from->left, (uint64_t)RING_BULK_SIZE), copied;
    void *bulk = NULL;
    struct ring_request *rq;

    if (requests_out >= REQUESTS_MAX || (size > INLINE_MAX && bulks_out >= BULKS_MAX))
        return 0;
    if (size > INLINE_MAX && !(bulk = ring_bulk_try_get()))
        return 0;
    rq = ring_try_get(P9_Twrite);
    if (!rq) {
        if (bulk)
            ring_bulk_put(bulk);
        return 0;
    }
    p9_put32(&rq->out, fid);
    p9_put64(&rq->out, offset);
    p9_put32(&rq->out, 0); /* the count: fill sets it */
    copied = fill(rq, from, bulk, size);
    if (copied == 0) {
        ring_put(rq);
        if (bulk)
            ring_bulk_put(bulk);
        return -EFAULT;
    }
    rq->data_out = bulk;
    rq->data_out_size = bulk ? copied : 0;
    rq->context = inode;
    rq->complete = behind_done;
    rq->lazy = true;
    inode_get(inode);
    gofer_i(inode)->behind++;
    requests_out++;
    bulks_out += bulk != NULL;
    ring_submit(rq);
    ring_notify();
    return (ssize_t)copied;
}

long gofer_behind_error(struct inode *inode)
{
    struct gofer_inode *gi = gofer_i(inode);
    int error = gi->behind_error;

    gi->behind_error = 0;
    return error;
}

ssize_t gofer_behind_write(struct file *f, struct iter *from, uint64_t offset)
{
    struct inode *inode = f->inode;
    const struct gofer_handle *h = f->data;
    ssize_t done = 0, n = 0;

    if (!gofer_sb(inode->sb)->exclusive || (f->flags & (O_DSYNC | O_DIRECT)))
        return 0;
    ring_poll();
    n = gofer_behind_error(inode);
    if (n < 0)
        return n;
    while (from->left > 0 && space_is_plenty(inode, MIN(from->left, (uint64_t)RING_BULK_SIZE))) {
        n = send(inode, h->fid, from, offset + (uint64_t)done);
        if (n <= 0)
            break;
        done += n;
    }
    return done > 0 ? done : n < 0 ? n : 0;
}

void gofer_behind_wait(struct inode *inode)
{
    struct gofer_inode *gi = gofer_i(inode);

    if (gi->behind == 0)
        return;
    ring_poll();
    ring_notify();
    ring_hurry(true);
    wait_until(&gi->behind_wait, gi->behind == 0, NEVER, false);
    ring_hurry(false);
}

void gofer_behind_drain(void)
{
    ring_drain(&requests_out);
}
