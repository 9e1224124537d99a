/*
 * The device side of a split virtqueue; see virtq.h.
 */
#include "common/virtq.h"

#include <errno.h>
#include <string.h>

#include "common/checked.h"

#define RING_FLAGS 0
#define RING_IDX 1
#define RING_ENTRIES 2
#define AVAIL_NO_INTERRUPT 1u

/* Words of the used ring that one element takes. */
#define USED_ELEM_WORDS (sizeof(struct virtq_used_elem) / sizeof(uint16_t))

static const uint16_t *used_event(const struct virtq *q)
{
    return q->avail + RING_ENTRIES + q->size;
}

static uint16_t *avail_event(const struct virtq *q)
{
    return q->used + RING_ENTRIES + q->size * USED_ELEM_WORDS;
}

int virtq_init(struct virtq *q, const struct guest_mem *mem, const struct virtq_layout *layout)
{
    uint64_t size = layout->size;
    void *desc, *avail, *used;

    if (!is_power_of_two(size) || size > VIRTQ_SIZE_MAX)
        return -EINVAL;
    if (!layout->chain_max || layout->chain_max > VIRTQ_CHAIN_MAX)
        return -EINVAL;
    if (layout->desc.v % 16 || layout->avail.v % 2 || layout->used.v % 4)
        return -EINVAL;
    desc = guest_mem_ptr(mem, layout->desc, size * sizeof(struct virtq_desc));
    avail = guest_mem_ptr(mem, layout->avail, (RING_ENTRIES + size + 1) * sizeof(uint16_t));
    used = guest_mem_ptr(mem, layout->used,
                         (RING_ENTRIES + size * USED_ELEM_WORDS + 1) * sizeof(uint16_t));
    if (!desc || !avail || !used)
        return -EFAULT;
    *q = (struct virtq){ .mem = mem,
                         .desc = desc,
                         .avail = avail,
                         .used = used,
                         .size = layout->size,
                         .chain_max = layout->chain_max,
                         .event_idx = layout->event_idx,
                         .indirect = layout->indirect };
    return 0;
}

bool virtq_has_avail(const struct virtq *q)
{
    return guest_fetch16_acquire(q->avail + RING_IDX) != q->next_avail;
}

/* Where descriptors come from: the queue's own table, or an indirect one. */
struct desc_table {
    const struct virtq_desc *desc;
    uint32_t count;
};

/* An indirect table may lie at any address, so its entries are copied as bytes; each once, as everything. */
static int fetch_desc(const struct desc_table *t, uint32_t index, struct virtq_desc *ret)
{
    if (index >= t->count)
        return -EPROTO;
    memcpy(ret, (const uint8_t *)t->desc + index * sizeof(*ret), sizeof(*ret));
    __asm__ volatile("" : "+m"(*ret)); /* the copy is what is looked at from here on */
    return 0;
}

/* The table that d points to (§2.7.5.3): whole entries, not longer than the queue, the last of its chain. */
static int open_indirect(const struct virtq *q, const struct virtq_desc *d, struct desc_table *ret)
{
    if (!q->indirect || (d->flags & VIRTQ_DESC_NEXT) || !d->len || d->len % sizeof(*d))
        return -EPROTO;
    ret->count = d->len / (uint32_t)sizeof(*d);
    ret->desc = guest_mem_ptr(q->mem, (gpa_t){ d->addr }, d->len);
    return ret->desc && ret->count <= q->size ? 0 : -EPROTO;
}

static int add_desc(const struct virtq *q, struct virtq_chain *c, const struct virtq_desc *d)
{
    void *host = guest_mem_ptr(q->mem, (gpa_t){ d->addr }, d->len);
    struct iovec iov = { host, d->len };

    if (!host)
        return -EPROTO;
    if (d->flags & VIRTQ_DESC_WRITE) {
        c->out[c->out_count++] = iov;
        c->out_size += d->len;
        return 0;
    }
    if (c->out_count)
        return -EPROTO; /* readable ones come first (§2.7.4.2) */
    c->in[c->in_count++] = iov;
    c->in_size += d->len;
    return 0;
}

/* Collect the chain that starts at head. The cap on its length ends a loop too. */
static int walk_chain(const struct virtq *q, uint16_t head, struct virtq_chain *c)
{
    struct desc_table table = { q->desc, q->size };
    uint32_t index = head;

    c->head = head;
    c->in_count = 0;
    c->out_count = 0;
    c->in_size = 0;
    c->out_size = 0;
    for (size_t n = 0; n < q->chain_max; n++) {
        struct virtq_desc d;
        int err = fetch_desc(&table, index, &d);

        if (!err && (d.flags & VIRTQ_DESC_INDIRECT)) {
            err = table.desc == q->desc ? open_indirect(q, &d, &table) : -EPROTO;
            if (!err)
                err = fetch_desc(&table, 0, &d);
            if (!err && (d.flags & VIRTQ_DESC_INDIRECT))
                err = -EPROTO; /* no tables of tables */
        }
        if (!err)
            err = add_desc(q, c, &d);
        if (err)
            return err;
        if (!(d.flags & VIRTQ_DESC_NEXT))
            return 0;
        index = d.next;
    }
    return -EPROTO;
}

int virtq_pop(struct virtq *q, struct virtq_chain *ret_chain)
{
    uint16_t waiting;
    uint16_t head;

    if (q->broken)
        return -EPROTO;
    waiting = (uint16_t)(guest_fetch16_acquire(q->avail + RING_IDX) - q->next_avail);
    if (!waiting)
        return 0;
    if (waiting > q->size)
        goto broken;
    head = guest_fetch16(q->avail + RING_ENTRIES + (q->next_avail & (q->size - 1)));
    if (head >= q->size || walk_chain(q, head, ret_chain))
        goto broken;
    q->next_avail++;
    return 1;

broken:
    q->broken = true;
    return -EPROTO;
}

void virtq_push(struct virtq *q, uint16_t head, uint32_t written)
{
    size_t slot = q->next_used & (q->size - 1u);
    uint16_t *words = q->used + RING_ENTRIES + slot * USED_ELEM_WORDS;

    guest_store16(words, head);
    guest_store16(words + 1, 0);
    guest_store16(words + 2, (uint16_t)written);
    guest_store16(words + 3, (uint16_t)(written >> 16));
    q->next_used++;
    guest_store16_release(q->used + RING_IDX, q->next_used);
}

bool virtq_should_notify(struct virtq *q)
{
    uint16_t old = q->notified_used;
    uint16_t new = q->next_used;
    uint16_t event;

    if (old == new)
        return false;
    q->notified_used = new;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!q->event_idx)
        return !(guest_fetch16(q->avail + RING_FLAGS) & AVAIL_NO_INTERRUPT);
    event = guest_fetch16(used_event(q));
    return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

bool virtq_enable_notify(struct virtq *q)
{
    if (q->event_idx)
        guest_store16(avail_event(q), q->next_avail);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return virtq_has_avail(q);
}
