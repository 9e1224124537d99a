/* See virtio_net.h. */
#include "drivers/virtio_net.h"

#include "lib/kmalloc.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "net/stack.h"

#define QUEUE_SIZE 256
#define CTRL_SIZE 16
#define SMALL_MAX 128u /* buffers of a page, and of 17 */
#define LARGE_MAX 32u
#define HEADER_SIZE ((uint32_t)sizeof(struct virtio_net_hdr_v1))
#define SMALL_SIZE ((uint32_t)PAGE_SIZE - HEADER_SIZE)
#define LARGE_PAGES 17u
#define MTU_DEFAULT 1500
#define BIT(feature) (1ull << (feature))
#define FEATURES                                                                                   \
    (BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_MTU) | BIT(VIRTIO_NET_F_MRG_RXBUF) |                  \
     BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) |           \
     BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6))

_Static_assert(SMALL_MAX + LARGE_MAX <= QUEUE_SIZE, "a buffer that was got can be sent");

/* --- receiving --- */

static void give_page(struct virtio_net *net, void *page)
{
    struct virtq_segment seg = { ptr_to_gpa(page), PAGE_SIZE };

    if (virtio_add(&net->rx, &seg, 0, 1, page) < 0)
        frame_put(ptr_to_gpa(page));
}

static void frame_is_whole(struct virtio_net *net)
{
    struct virtio_net_hdr_v1 header;

    memcpy(&header, net->pieces[0].data, sizeof(header));
    net->pieces[0].data += HEADER_SIZE;
    net->pieces[0].len -= HEADER_SIZE;
    net->rx_frames++;
    stack_receive(net, &header, net->pieces, net->piece_count);
}

/* A frame comes in as many buffers as its header says (§5.1.6.4), one after the other. */
static void rx_used(struct virtio_vq *q, void *token, uint32_t len)
{
    struct virtio_net *net = q->owner;

    len = MIN(len, (uint32_t)PAGE_SIZE);
    if (net->piece_count == 0) {
        const struct virtio_net_hdr_v1 *header = token;

        net->piece_expected = len >= HEADER_SIZE ? header->num_buffers : 0;
        if (net->piece_expected == 0 || net->piece_expected > NET_PIECES_MAX) {
            klog(LOG_WARN, "network: the device gave a frame of %u buffers", net->piece_expected);
            give_page(net, token);
            return;
        }
    }
    net->rx_bytes += len;
    net->pieces[net->piece_count++] = (struct net_piece){ token, len };
    if (net->piece_count < net->piece_expected)
        return;
    frame_is_whole(net);
    for (uint32_t i = 0; i < net->piece_count; i++)
        give_page(net, (void *)((uintptr_t)net->pieces[i].data & PAGE_MASK));
    net->piece_count = 0;
    virtio_notify(q);
}

/* --- sending --- */

static struct net_buffer *new_buffer(bool large)
{
    struct net_buffer *b = kzalloc(sizeof(*b));
    uint8_t *memory = b ? pages_alloc(large ? LARGE_PAGES : 1) : NULL;

    if (!memory) {
        kfree(b);
        return NULL;
    }
    b->header = (struct virtio_net_hdr_v1 *)(void *)memory;
    b->data = memory + HEADER_SIZE;
    b->capacity = large ? NET_FRAME_MAX : SMALL_SIZE;
    b->large = large;
    return b;
}

static struct net_buffer *take_free(struct virtio_net *net, bool large)
{
    struct net_buffer **list = large ? &net->free_large : &net->free_small, *b = *list;
    uint32_t *count = large ? &net->large_count : &net->small_count;

    if (b) {
        *list = b->next;
    } else if (*count < (large ? LARGE_MAX : SMALL_MAX)) {
        b = new_buffer(large);
        *count += b != NULL;
    }
    return b;
}

struct net_buffer *virtio_net_buffer(struct virtio_net *net, uint32_t size)
{
    bool large = size > SMALL_SIZE;
    struct net_buffer *b;

    if (size > NET_FRAME_MAX)
        return NULL;
    b = take_free(net, large);
    if (!b) {
        virtio_reap(&net->tx);
        b = take_free(net, large);
    }
    if (!b) {
        net->was_full = true;
        net->tx.quiet = false;
        virtio_watch(&net->tx);
        virtio_reap(&net->tx); /* what came back before the device knew */
        b = take_free(net, large);
    }
    if (!b)
        return NULL;
    b->len = 0;
    memset(b->header, 0, HEADER_SIZE);
    return b;
}

void virtio_net_send(struct virtio_net *net, struct net_buffer *b)
{
    struct virtq_segment seg = { ptr_to_gpa(b->header), HEADER_SIZE + b->len };

    net->tx_frames++;
    net->tx_bytes += b->len;
    if (virtio_add(&net->tx, &seg, 1, 0, b) < 0)
        panic("network: no room for a buffer in its queue");
}

void virtio_net_flush(struct virtio_net *net)
{
    virtio_notify(&net->tx);
}

static void tx_used(struct virtio_vq *q, void *token, uint32_t len UNUSED)
{
    struct virtio_net *net = q->owner;
    struct net_buffer *b = token, **list = b->large ? &net->free_large : &net->free_small;

    b->next = *list;
    *list = b;
    if (!net->was_full)
        return;
    net->was_full = false;
    q->quiet = true;
    stack_room();
}

/* --- what the device lets through (§5.1.6.5.1) --- */

struct command {
    struct virtio_net_ctrl_hdr header;
    uint8_t on, ack;
};

static void ctrl_used(struct virtio_vq *q UNUSED, void *token, uint32_t len UNUSED)
{
    kfree(token);
}

/* Nobody waits for the answer: it is sent before the frames that depend on it. */
static void command(struct virtio_net *net, uint8_t what, bool on)
{
    struct command *c = virtio_has(net->dev, VIRTIO_NET_F_CTRL_RX) ? kzalloc(sizeof(*c)) : NULL;
    struct virtq_segment seg[3];

    if (!c)
        return;
    c->header = (struct virtio_net_ctrl_hdr){ VIRTIO_NET_CTRL_RX, what };
    c->on = on;
    seg[0] = (struct virtq_segment){ ptr_to_gpa(&c->header), sizeof(c->header) };
    seg[1] = (struct virtq_segment){ ptr_to_gpa(&c->on), sizeof(c->on) };
    seg[2] = (struct virtq_segment){ ptr_to_gpa(&c->ack), sizeof(c->ack) };
    virtio_reap(&net->ctrl);
    if (virtio_add(&net->ctrl, seg, 2, 1, c) < 0)
        kfree(c);
    virtio_notify(&net->ctrl);
}

void virtio_net_promiscuous(struct virtio_net *net, bool on)
{
    command(net, VIRTIO_NET_CTRL_RX_PROMISC, on);
}

/* --- start-up --- */

static int fill_rx(struct virtio_net *net)
{
    for (uint32_t i = 0; i < net->rx.vq.size; i++) {
        gpa_t page = frame_alloc();

        if (!page)
            return -ENOMEM;
        give_page(net, gpa_to_ptr(page));
    }
    return 0;
}

static void read_config(struct virtio_net *net)
{
    const struct virtio_dev *dev = net->dev;

    if (virtio_has(dev, VIRTIO_NET_F_MAC))
        for (uint32_t i = 0; i < sizeof(net->mac); i++)
            virtio_config_read(dev, (uint32_t)offsetof(struct virtio_net_config, mac) + i, &net->mac[i], 1);
    net->mtu = MTU_DEFAULT;
    if (virtio_has(dev, VIRTIO_NET_F_MTU))
        virtio_config_read(dev, offsetof(struct virtio_net_config, mtu), &net->mtu, sizeof(net->mtu));
    net->can_checksum = virtio_has(dev, VIRTIO_NET_F_CSUM);
    net->can_segment4 = virtio_has(dev, VIRTIO_NET_F_HOST_TSO4);
    net->can_segment6 = virtio_has(dev, VIRTIO_NET_F_HOST_TSO6);
}

void virtio_net_probe(struct virtio_dev *dev)
{
    struct virtio_net *net = kzalloc(sizeof(*net));
    int err = net ? virtio_negotiate(dev, FEATURES) : -ENOMEM;

    if (err == 0 && !virtio_has(dev, VIRTIO_NET_F_MRG_RXBUF))
        err = -ENODEV; /* buffers are pages */
    if (err == 0) {
        net->dev = dev;
        net->rx.used = rx_used;
        net->tx.used = tx_used;
        net->rx.owner = net->tx.owner = net;
        net->tx.quiet = true;
        err = virtio_setup_queue(dev, 0, QUEUE_SIZE, &net->rx);
    }
    if (err == 0)
        err = virtio_setup_queue(dev, 1, QUEUE_SIZE, &net->tx);
    if (err == 0 && virtio_has(dev, VIRTIO_NET_F_CTRL_VQ)) {
        net->ctrl.used = ctrl_used;
        net->ctrl.owner = net;
        net->ctrl.quiet = true;
        err = virtio_setup_queue(dev, 2, CTRL_SIZE, &net->ctrl);
    }
    if (err == 0)
        err = fill_rx(net);
    if (err < 0) {
        klog(LOG_ERROR, "network device at 0x%lx: error %d", (unsigned long)dev->regs, -err);
        virtio_fail(dev);
        return;
    }
    read_config(net);
    virtio_start(dev);
    virtio_notify(&net->rx);
    command(net, VIRTIO_NET_CTRL_RX_ALLMULTI, true); /* the stack sorts them out */
    stack_add_device(net);
}
