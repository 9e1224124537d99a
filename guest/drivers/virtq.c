/*
 * Split virtqueue, driver's side. The device is outside the VM and trusted by the shim; ids are checked all the same,
 * so that a broken device shows as lost requests and not as broken memory.
 */
#include "drivers/virtq.h"

#include "lib/log.h"

static uint16_t *used_event(struct virtq *vq)
{
    return &vq->avail->ring[vq->size];
}

static uint16_t *avail_event(struct virtq *vq)
{
    return (uint16_t *)&vq->used->ring[vq->size];
}

void virtq_init(struct virtq *vq, uint16_t size, void *desc, void *avail, void *used)
{
    BUG_ON(size == 0 || size > VIRTQ_SIZE_MAX || (size & (size - 1)) != 0);
    vq->size = size;
    vq->desc = desc;
    vq->avail = avail;
    vq->used = used;
    vq->free_head = 0;
    vq->free_count = size;
    vq->avail_idx = 0;
    vq->notify_idx = 0;
    vq->last_used = 0;
    for (uint16_t i = 0; i < size; i++) {
        vq->desc[i].next = (uint16_t)(i + 1);
        vq->token[i] = NULL;
    }
}

int virtq_add(struct virtq *vq, const struct virtq_segment *seg, size_t out_count, size_t in_count, void *token)
{
    size_t count = out_count + in_count;
    uint16_t head = vq->free_head, slot;
    struct virtq_desc *d = NULL;

    if (count == 0 || count > vq->free_count)
        return -ENOSPC;
    for (size_t i = 0; i < count; i++) {
        d = &vq->desc[vq->free_head];
        d->addr = seg[i].gpa;
        d->len = seg[i].len;
        d->flags = (uint16_t)((i >= out_count ? VIRTQ_DESC_WRITE : 0) | (i + 1 < count ? VIRTQ_DESC_NEXT : 0));
        vq->free_head = d->next;
    }
    vq->free_count = (uint16_t)(vq->free_count - count);
    vq->token[head] = token;

    slot = vq->avail_idx & (uint16_t)(vq->size - 1);
    WRITE_ONCE(vq->avail->ring[slot], head);
    vq->avail_idx++;
    __atomic_store_n(&vq->avail->idx, vq->avail_idx, __ATOMIC_RELEASE);
    return 0;
}

bool virtq_needs_notify(struct virtq *vq)
{
    uint16_t event, old = vq->notify_idx, new = vq->avail_idx;

    /* avail->idx must be visible before avail_event is read, or both sides may sleep (virtio 1.2 §2.7.10). */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    event = READ_ONCE(*avail_event(vq));
    vq->notify_idx = new;
    return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

/* Put the chain from head on back on the free list; at most `size` steps, so a broken table can't loop. */
static void chain_free(struct virtq *vq, uint16_t head)
{
    uint16_t i = head, count = 1;

    while ((vq->desc[i].flags & VIRTQ_DESC_NEXT) && count < vq->size) {
        i = vq->desc[i].next & (uint16_t)(vq->size - 1);
        count++;
    }
    vq->desc[i].next = vq->free_head;
    vq->free_head = head;
    vq->free_count = (uint16_t)(vq->free_count + count);
}

void *virtq_take(struct virtq *vq, uint32_t *ret_len)
{
    const struct virtq_used_elem *elem;
    uint32_t id, len;
    void *token;

    while (virtq_has_used(vq)) {
        elem = &vq->used->ring[vq->last_used & (uint16_t)(vq->size - 1)];
        id = READ_ONCE(elem->id);
        len = READ_ONCE(elem->len);
        vq->last_used++;
        if (id >= vq->size || !vq->token[id]) {
            klog(LOG_WARN, "virtqueue: the device returned chain %u, which wasn't out", id);
            continue;
        }
        token = vq->token[id];
        vq->token[id] = NULL;
        chain_free(vq, (uint16_t)id);
        *ret_len = len;
        return token;
    }
    return NULL;
}

void virtq_arm_after(struct virtq *vq, uint16_t skip)
{
    WRITE_ONCE(*used_event(vq), (uint16_t)(vq->last_used + skip));
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* An event that lies behind us comes again after 65535 others only (§2.7.7.2). */
void virtq_disarm(struct virtq *vq)
{
    WRITE_ONCE(*used_event(vq), (uint16_t)(vq->last_used - 1));
}
