/* Packets and their queues. Never sleeps. */
#include "net/packet.h"

#include "lib/kmalloc.h"
#include "mm/frame.h"
#include "net/scm.h"
#include "net/socket.h"

#define INLINE_MAX 1984u  /* kmalloc's largest class */
#define OVERHEAD 256u     /* Linux: struct sk_buff */
#define SHARED_INFO 320u  /* Linux: struct skb_shared_info, behind the data */

void packet_queue_init(struct packet_queue *q)
{
    *q = (struct packet_queue){ 0 };
    list_init(&q->packets);
}

struct packet *packet_alloc(uint32_t capacity)
{
    bool is_inline = sizeof(struct packet) + capacity <= INLINE_MAX;
    struct packet *p = kmalloc(sizeof(*p) + (is_inline ? capacity : 0));

    if (!p)
        return NULL;
    *p = (struct packet){ .capacity = capacity, .data = (uint8_t *)(p + 1) };
    if (!is_inline) {
        p->pages = (uint32_t)(PAGE_UP(capacity) / PAGE_SIZE);
        p->capacity = p->pages * (uint32_t)PAGE_SIZE;
        p->data = pages_alloc(p->pages);
        if (!p->data) {
            kfree(p);
            return NULL;
        }
    }
    list_init(&p->node);
    return p;
}

static void uncharge(struct packet *p)
{
    struct socket *s = p->sender;

    if (!s)
        return;
    p->sender = NULL;
    s->send_charge -= p->charge;
    if (s->ops->write_space)
        s->ops->write_space(s);
    socket_put(s);
}

void packet_free(struct packet *p)
{
    if (p->fds)
        fd_bundle_free(p->fds);
    uncharge(p);
    if (p->pages)
        pages_free(p->data, p->pages);
    kfree(p);
}

void packet_queue_purge(struct packet_queue *q)
{
    struct packet *p;

    while ((p = packet_first(q))) {
        packet_unlink(q, p);
        packet_free(p);
    }
}

static uint32_t round_to_class(size_t n)
{
    uint32_t size = 512;

    while (size < n && size < PAGE_SIZE)
        size *= 2;
    return n <= size ? size : (uint32_t)PAGE_UP(n);
}

uint32_t packet_truesize(size_t n)
{
    return OVERHEAD + round_to_class(ALIGN_UP(n, 64) + SHARED_INFO);
}

void packet_charge(struct packet *p, struct socket *s, size_t bytes)
{
    socket_get(s);
    p->sender = s;
    p->charge = packet_truesize(bytes);
    s->send_charge += p->charge;
}

void packet_push(struct packet_queue *q, struct packet *p)
{
    list_push_back(&q->packets, &p->node);
    q->count++;
    q->bytes += p->len;
    q->charge += p->charge;
}

struct packet *packet_first(const struct packet_queue *q)
{
    return list_empty(&q->packets) ? NULL : list_first(&q->packets, struct packet, node);
}

void packet_unlink(struct packet_queue *q, struct packet *p)
{
    list_remove(&p->node);
    q->count--;
    q->bytes -= p->len;
    q->charge -= p->charge;
}
