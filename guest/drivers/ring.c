/*
 * The request ring to the gofer: message and bulk memory in the arena, submission, doorbell, completion, cancelling.
 *
 * The gofer is outside the VM and the shim trusts what it says, but a reply is decoded with bounds, so that a broken
 * gofer gives errors. There are as many requests as the queue has room for at four descriptors each: a submission
 * never fails.
 */
#include "drivers/ring.h"

#include "arch/bootinfo.h"
#include "arch/cpu.h"
#include "drivers/virtq.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "net/gofer.h"

#define REQUEST_COUNT 64
#define REQUEST_DESC_MAX 4 /* T, data out, R, data in */
#define BULK_COUNT_MAX 64

_Static_assert(REQUEST_COUNT *REQUEST_DESC_MAX <= ARENA_QUEUE_SIZE, "a submission must never lack descriptors");

static struct {
    struct virtq vq;
    struct arena_header *header;
    struct ring_request requests[REQUEST_COUNT];
    struct list free;
    struct wait_queue free_wait;
    void *bulk_free[BULK_COUNT_MAX]; /* a stack: the last one used is warm */
    size_t bulk_count;
    struct wait_queue bulk_wait;
    uint32_t urgent; /* requests out that somebody waits for */
    uint32_t slow;   /* those of them that wait for a disk */
    uint32_t lazy;   /* that nobody waits for */
    uint32_t hurry;  /* but somebody does after all */
    enum notify_mode notify_mode;
    bool dead;
} ring;

/*
 * Each request has two message buffers' worth of memory. Most T-messages are short: theirs lies in front of the reply's, so
 * that both are in one page and the request touches no more memory than that.
 */
#define SHORT_OUT_SIZE 1024u

static bool is_short(uint8_t type)
{
    switch (type) {
    case P9_Twalkx:
    case P9_Tlist:
    case P9_Twrite:
    case P9_Tsymlink:
        return false;
    default:
        return true; /* two names at most */
    }
}

/* A disk takes longer than it is worth to poll for. */
static bool is_slow(const struct ring_request *rq)
{
    return !rq->lazy && (rq->type == P9_Tfsync || rq->type == P9_Tsync);
}

static uint32_t *count_of(const struct ring_request *rq)
{
    return rq->lazy ? &ring.lazy : &ring.urgent;
}

static uint8_t *request_memory(const struct ring_request *rq)
{
    return (uint8_t *)ring.header + ARENA_BUFFERS_OFFSET + (size_t)(rq - ring.requests) * 2 * RING_MESSAGE_SIZE;
}

static uint8_t *out_buffer(const struct ring_request *rq)
{
    return request_memory(rq) + (is_short(rq->type) ? 0 : RING_MESSAGE_SIZE);
}

static uint8_t *in_buffer(const struct ring_request *rq)
{
    return request_memory(rq) + (is_short(rq->type) ? SHORT_OUT_SIZE : 0);
}

static void ring_doorbell(void)
{
    if (!doorbell(PORT_DOORBELL, 0))
        gate(GATE_DOORBELL, PORT_DOORBELL);
}

static void bulk_init(void)
{
    gpa_t begin = ALIGN_UP(boot_info.arena + ARENA_BUFFERS_OFFSET + 2ul * REQUEST_COUNT * RING_MESSAGE_SIZE,
                           RING_BULK_SIZE);
    gpa_t end = boot_info.arena + MIN(boot_info.arena_size, (uint64_t)ARENA_SIZE); /* behind it: hypercalls/net.h */
    size_t count = begin < end ? MIN((end - begin) / RING_BULK_SIZE, (size_t)BULK_COUNT_MAX) : 0;

    BUG_ON(count == 0);
    for (size_t i = count; i-- > 0;)
        ring.bulk_free[ring.bulk_count++] = gpa_to_ptr(begin + i * RING_BULK_SIZE);
    wait_queue_init(&ring.bulk_wait);
}

void ring_init(void)
{
    uint8_t *arena = gpa_to_ptr(boot_info.arena);

    ring.header = (struct arena_header *)arena;
    BUG_ON(ring.header->magic != ARENA_MAGIC);
    virtq_init(&ring.vq, ARENA_QUEUE_SIZE, arena + ARENA_DESC_OFFSET, arena + ARENA_AVAIL_OFFSET,
               arena + ARENA_USED_OFFSET);
    list_init(&ring.free);
    wait_queue_init(&ring.free_wait);
    for (size_t i = 0; i < REQUEST_COUNT; i++) {
        ring.requests[i].tag = (uint16_t)i;
        list_push_back(&ring.free, &ring.requests[i].node);
    }
    bulk_init();
    ring_set_notify(NOTIFY_NONE);
    sched_add_poller(ring_poll);
}

/* --- requests --- */

struct ring_request *ring_try_get(uint8_t type)
{
    struct ring_request *rq;

    if (list_empty(&ring.free))
        return NULL;
    rq = list_first(&ring.free, struct ring_request, node);
    list_remove(&rq->node);
    rq->type = type;
    rq->done = false;
    rq->lazy = false;
    rq->data_out = NULL;
    rq->data_in = NULL;
    rq->data_out_size = 0;
    rq->data_in_size = 0;
    rq->in_header = RING_IO_HEADER;
    rq->waiter = NULL;
    rq->complete = NULL;
    p9_cursor_init(&rq->out, out_buffer(rq), is_short(type) ? SHORT_OUT_SIZE : RING_MESSAGE_SIZE);
    p9_begin(&rq->out, type, type == P9_Tversion ? P9_NOTAG : rq->tag);
    return rq;
}

/* Until the first thread runs there is nobody to park: spin, and let the host run in between. */
static void boot_wait(void)
{
    for (int i = 0; i < 20000; i++) {
        if (ring_poll())
            return;
        cpu_relax();
    }
    ring_set_notify(NOTIFY_IDLE);
    if (!ring_poll())
        hypercall(HYPERCALL_WAIT, NEVER, 0, 0, 0, 0);
    ring_set_notify(NOTIFY_NONE);
    if (__atomic_fetch_and(&shared_page()->pending, ~PENDING_COMPLETION, __ATOMIC_ACQ_REL) & PENDING_GOFER_DEAD)
        ring_gofer_dead();
    ring_poll();
}

static bool free_request_exists(void)
{
    return !list_empty(&ring.free);
}

struct ring_request *ring_get(uint8_t type)
{
    struct ring_request *rq = ring_try_get(type);

    while (!rq) {
        ring_notify();
        if (current)
            wait_until(&ring.free_wait, free_request_exists(), NEVER, false);
        else
            boot_wait();
        rq = ring_try_get(type);
    }
    return rq;
}

void ring_put(struct ring_request *rq)
{
    list_push_front(&ring.free, &rq->node);
    wait_wake_one(&ring.free_wait, 0);
}

/* --- bulk memory --- */

void *ring_bulk_try_get(void)
{
    return ring.bulk_count > 0 ? ring.bulk_free[--ring.bulk_count] : NULL;
}

void *ring_bulk_get(void)
{
    while (ring.bulk_count == 0) {
        if (current)
            wait_until(&ring.bulk_wait, ring.bulk_count > 0, NEVER, false);
        else
            boot_wait();
    }
    return ring_bulk_try_get();
}

void ring_bulk_put(void *buf)
{
    ring.bulk_free[ring.bulk_count++] = buf;
    wait_wake_one(&ring.bulk_wait, 0);
}

/* --- submission --- */

static struct virtq_segment segment(const void *ptr, size_t len)
{
    return (struct virtq_segment){ ptr_to_gpa(ptr), (uint32_t)len };
}

/* End the T-message; its size field counts the attached data too. False if a field did not fit. */
static bool message_finish(struct ring_request *rq)
{
    size_t size = p9_finish(&rq->out);

    if (size == 0)
        return false;
    rq->out.pos = 0;
    p9_put32(&rq->out, (uint32_t)size + rq->data_out_size);
    rq->out.pos = size;
    return true;
}

static void request_finish(struct ring_request *rq, uint32_t reply_size);

void ring_submit(struct ring_request *rq)
{
    struct virtq_segment seg[REQUEST_DESC_MAX];
    size_t out = 0, in = 0;
    bool fits = message_finish(rq);

    rq->done = false;
    *count_of(rq) += 1;
    ring.slow += is_slow(rq);
    if (ring.dead || !fits) {
        request_finish(rq, 0);
        return;
    }
    seg[out++] = segment(rq->out.data, rq->out.pos);
    if (rq->data_out_size > 0)
        seg[out++] = segment(rq->data_out, rq->data_out_size);
    seg[out + in++] = segment(in_buffer(rq), rq->data_in ? rq->in_header : RING_MESSAGE_SIZE);
    if (rq->data_in)
        seg[out + in++] = segment(rq->data_in, rq->data_in_size);
    report.gofer_requests++;
    BUG_ON(virtq_add(&ring.vq, seg, out, in, rq) < 0);
}

void ring_notify(void)
{
    if (ring.vq.avail_idx == ring.vq.notify_idx)
        return;
    /* The order matters: the gofer clears gofer_polling before it looks at the ring for the last time. */
    if (virtq_needs_notify(&ring.vq) && !READ_ONCE(ring.header->gofer_polling))
        ring_doorbell();
}

void ring_wake_gofer(void)
{
    if (!READ_ONCE(ring.header->gofer_polling))
        ring_doorbell();
}

/* --- completion --- */

/* What the reply means: 0 and rq->in at the first field, or -errno. */
static long reply_decode(struct ring_request *rq)
{
    uint8_t *reply = in_buffer(rq);
    uint32_t room = rq->data_in ? rq->in_header : RING_MESSAGE_SIZE;
    uint32_t size, error;
    uint8_t type;

    p9_cursor_init(&rq->in, reply, MIN(rq->reply_size, room));
    size = p9_get32(&rq->in);
    type = p9_get8(&rq->in);
    p9_get16(&rq->in);
    if (rq->in.bad || size > rq->reply_size)
        return -EIO;
    if (type == P9_Rlerror) {
        error = p9_get32(&rq->in);
        return rq->in.bad || error == 0 || error > 4095 ? -EIO : -(long)error;
    }
    return type == rq->type + 1 ? 0 : -EIO;
}

static void request_finish(struct ring_request *rq, uint32_t reply_size)
{
    rq->reply_size = reply_size;
    rq->done = true;
    *count_of(rq) -= 1;
    ring.slow -= is_slow(rq);
    if (rq->complete)
        rq->complete(rq, reply_decode(rq));
    else if (rq->waiter)
        thread_wake(rq->waiter);
}

/*
 * Ask to be told of completions: of the first one that isn't among as many as nobody waits for. (The gofer serves those without
 * waiting for anything, so where they come last they don't come late.)
 */
static void arm(void)
{
    bool all = ring.hurry > 0 || list_empty(&ring.free) || ring.bulk_count == 0;

    virtq_arm_after(&ring.vq, all ? 0 : (uint16_t)ring.lazy);
}

bool ring_poll(void)
{
    struct ring_request *rq;
    uint32_t len;
    bool any = false;

    report.polls++;
    do {
        while ((rq = virtq_take(&ring.vq, &len)) != NULL) {
            request_finish(rq, len);
            any = true;
        }
        /* used_event must follow, or the next completion would come unsignalled; then look again. */
        if (ring.notify_mode != NOTIFY_NONE)
            arm();
    } while (virtq_has_used(&ring.vq));
    return any;
}

long ring_wait(struct ring_request *rq)
{
    rq->waiter = current;
    while (!rq->done) {
        ring_notify();
        if (current)
            thread_park(NEVER, false);
        else
            boot_wait();
    }
    return reply_decode(rq);
}

long ring_call(struct ring_request *rq)
{
    ring_submit(rq);
    return ring_wait(rq);
}

/*
 * After Rflush the old request's chain comes back too: with its reply if that was made first, else empty or with an error.
 */
long ring_cancel(struct ring_request *rq)
{
    struct ring_request *flush;

    if (!rq->done) {
        flush = ring_get(P9_Tflush);
        p9_put16(&flush->out, rq->tag);
        ring_call(flush);
        ring_put(flush);
    }
    return ring_wait(rq);
}

long ring_wait_interruptible(struct ring_request *rq)
{
    long error;

    rq->waiter = current;
    while (!rq->done) {
        ring_notify();
        if (thread_park(NEVER, true) == -ERESTARTSYS)
            break;
    }
    if (rq->done)
        return ring_wait(rq);
    error = ring_cancel(rq);
    if (rq->reply_size == 0 || error == -EINTR)
        return ring.dead ? -EIO : -ERESTARTSYS;
    return error;
}

long ring_call_interruptible(struct ring_request *rq)
{
    ring_submit(rq);
    return ring_wait_interruptible(rq);
}

/* --- for the scheduler --- */

void ring_set_notify(enum notify_mode mode)
{
    if (ring.notify_mode == mode)
        return;
    ring.notify_mode = mode;
    __atomic_store_n(&ring.header->notify_mode, (uint32_t)mode, __ATOMIC_RELEASE);
    if (mode != NOTIFY_NONE)
        arm();
}

bool ring_urgent(void)
{
    return ring.urgent > 0;
}

bool ring_reply_near(void)
{
    return ring.urgent > ring.slow;
}

void ring_hurry(bool on)
{
    uint32_t change = on ? 1 : UINT32_MAX;

    ring.urgent += change;
    ring.hurry += change;
}

void ring_drain(const uint32_t *count)
{
    ring_hurry(true);
    ring_poll();
    while (READ_ONCE(*count) > 0 && !ring.dead) {
        ring_notify();
        boot_wait();
    }
    ring_hurry(false);
}

void ring_idle(uint64_t deadline_ns)
{
    ring_set_notify(NOTIFY_IDLE);
    if (!ring_poll() && !gofer_net_pending())
        hypercall(HYPERCALL_WAIT, deadline_ns, 0, 0, 0, 0);
    ring_set_notify(NOTIFY_NONE);
    if (__atomic_fetch_and(&shared_page()->pending, ~(PENDING_COMPLETION | PENDING_DEADLINE), __ATOMIC_ACQ_REL) &
        PENDING_GOFER_DEAD)
        ring_gofer_dead();
}

bool ring_is_dead(void)
{
    return ring.dead;
}

void ring_gofer_dead(void)
{
    if (ring.dead)
        return;
    ring.dead = true;
    ring_poll(); /* replies that were made before the end count */
    for (size_t i = 0; i < ring.vq.size; i++) {
        struct ring_request *rq = ring.vq.token[i];

        if (!rq)
            continue;
        ring.vq.token[i] = NULL;
        request_finish(rq, 0);
    }
}
