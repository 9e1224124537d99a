/* A growing ring of bytes. */
#include "lib/bytes.h"

#include "lib/kmalloc.h"
#include "lib/string.h"

#define CAPACITY_MIN 256u

static bool grow(struct bytes *q, uint32_t want)
{
    uint32_t capacity = MAX(q->capacity, CAPACITY_MIN), first = MIN(q->count, q->capacity - q->head);
    uint8_t *data;

    while (capacity < want)
        capacity *= 2;
    data = kmalloc(capacity);
    if (!data)
        return false;
    if (q->count > 0) {
        memcpy(data, q->data + q->head, first);
        memcpy(data + first, q->data, q->count - first);
    }
    kfree(q->data);
    q->data = data;
    q->capacity = capacity;
    q->head = 0;
    return true;
}

bool bytes_put(struct bytes *q, const void *data, uint32_t n, uint32_t limit)
{
    uint32_t tail, first;

    if (n > limit || q->count > limit - n)
        return false;
    if (q->count + n > q->capacity && !grow(q, q->count + n))
        return false;
    tail = (q->head + q->count) & (q->capacity - 1);
    first = MIN(n, q->capacity - tail);
    memcpy(q->data + tail, data, first);
    memcpy(q->data, (const uint8_t *)data + first, n - first);
    q->count += n;
    return true;
}

const uint8_t *bytes_front(const struct bytes *q, uint32_t *ret_n)
{
    if (q->count == 0)
        return NULL;
    *ret_n = MIN(q->count, q->capacity - q->head);
    return q->data + q->head;
}

void bytes_drop(struct bytes *q, uint32_t n)
{
    q->count -= n;
    q->head = q->count > 0 ? (q->head + n) & (q->capacity - 1) : 0;
}

void bytes_truncate(struct bytes *q, uint32_t n)
{
    q->count = MIN(q->count, n);
}

void bytes_free(struct bytes *q)
{
    kfree(q->data);
    *q = (struct bytes){ 0 };
}
