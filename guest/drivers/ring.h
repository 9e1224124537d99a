/*
 * Requests to the gofer: 9P messages over a virtqueue in the arena (hypercalls/arena.h, hypercalls/p9.h).
 *
 * A request is built in a message buffer of its own, submitted, waited for and given back:
 *
 *     struct ring_request *rq = ring_get(P9_Tclunk);
 *     p9_put32(&rq->out, fid);
 *     long err = ring_call(rq);       // 0, or -errno; the reply's fields are in rq->in
 *     ring_put(rq);
 *
 * Data of reads and writes goes through bulk buffers that are attached to the request. Everything here may sleep,
 * except where it says so. Once the gofer is dead every request fails with -EIO.
 */
#ifndef DRIVERS_RING_H
#define DRIVERS_RING_H

#include "hypercalls/arena.h"
#include "hypercalls/p9.h"
#include "lib/base.h"
#include "proc/thread.h"

#define RING_MESSAGE_SIZE 8192      /* of a T or R message without its bulk data */
#define RING_BULK_SIZE (256u << 10) /* of a bulk buffer */
#define RING_IO_HEADER 11           /* Rread's bytes before its data, and the size of Rlerror */

struct ring_request {
    struct list node;          /* free list */
    struct p9_cursor out;      /* the T-message: the header is there, the caller adds the fields */
    struct p9_cursor in;       /* after a successful call: the R-message's fields */
    const void *data_out;      /* in the arena: goes after the fields of the T-message; counted in its size */
    uint32_t data_out_size;
    void *data_in;             /* in the arena: the R-message's bytes from in_header on land here */
    uint32_t data_in_size;
    uint32_t in_header;        /* with data_in: how much of the reply comes before it */
    uint16_t tag;
    uint8_t type;              /* of the T-message */
    bool done;
    bool lazy;                 /* nobody waits: no doorbell, no kick for it */
    uint32_t reply_size;       /* bytes that the gofer wrote; 0: flushed, or the gofer is dead */
    struct thread *waiter;
    void (*complete)(struct ring_request *rq, long error); /* instead of a waiter: from the poller; mustn't sleep */
    void *context;             /* the submitter's, like cookie */
    uint64_t cookie;
};

/* Bring up the ring in the arena of boot_info. Called once at boot. */
void ring_init(void);

/* A request of this type (enum p9_type, a T). Waits for a free one. */
struct ring_request *ring_get(uint8_t type);
/* Same, but NULL instead of waiting. */
struct ring_request *ring_try_get(uint8_t type);
void ring_put(struct ring_request *rq);

/*
 * Send and wait. 0, or the -errno of Rlerror, -EIO for a dead gofer or a reply that makes no sense. The request stays the caller's.
 * The interruptible form sends Tflush when a signal comes: -ERESTARTSYS then, and the request has had no effect.
 */
long ring_call(struct ring_request *rq);
long ring_call_interruptible(struct ring_request *rq);

/* Send without waiting, for ring_wait later (pipelining) or with rq->complete set, which owns the request from then on. */
void ring_submit(struct ring_request *rq);
long ring_wait(struct ring_request *rq);
long ring_wait_interruptible(struct ring_request *rq);
/* Tell the gofer of what was submitted, if it sleeps. ring_wait does it too. */
void ring_notify(void);
/* Cancel a submitted request by Tflush, and wait until it is over; then as ring_wait. */
long ring_cancel(struct ring_request *rq);

/* Bulk buffers of RING_BULK_SIZE, page-aligned, in the arena. Hold one at most while waiting for another: use try. */
void *ring_bulk_get(void);
void *ring_bulk_try_get(void);
void ring_bulk_put(void *buf);

/*
 * For the scheduler. ring_poll takes completions and returns true if it woke a thread (it is registered with
 * sched_add_poller). Before idling: ring_set_notify(NOTIFY_IDLE), then ring_poll once more, then WAIT. Before the app runs:
 * NOTIFY_KICK if ring_urgent() says that somebody waits for a reply. NOTIFY_NONE when the shim polls again.
 */
bool ring_poll(void);
void ring_set_notify(enum notify_mode mode);
bool ring_urgent(void);
/* Does somebody wait for a reply that is worth polling for? */
bool ring_reply_near(void);

/* Something for the gofer lies elsewhere in the arena (after a full barrier): the doorbell, if it sleeps. */
void ring_wake_gofer(void);

/* At the end of the sandbox: sleep until something happens or the time comes. Runs no other thread. */
void ring_idle(uint64_t deadline_ns);

/* Somebody waits for lazy requests after all (true), no longer (false). */
void ring_hurry(bool on);

/* At the end of the sandbox: wait until *count, which completions lower, is 0 or the gofer is dead. Runs no other thread. */
void ring_drain(const uint32_t *count);

/* PENDING_GOFER_DEAD came: fail everything, now and from now on. */
void ring_gofer_dead(void);
bool ring_is_dead(void);

#endif
