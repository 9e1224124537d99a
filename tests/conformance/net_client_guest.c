/* net_client, the shim's side: what virtio_net.c needs beside client_shim.c, and the frames. Built with the shim's flags. */
#include "tests/conformance/client.h"

#include "drivers/virtio_net.h"
#include "lib/log.h"
#include "lib/string.h"
#include "net/stack.h"

#define TYPE_AT 12u
#define TYPE 0x88b5u /* for experiments (IEEE 802) */
#define FRAME_MIN 60u
#define FRAME_LONG 60000u
#define ROUNDS 2000u
#define BURST 300u /* more than a queue holds */
#define WAIT_MS 20000

static struct virtio_net *net;
static uint8_t expected[NET_FRAME_MAX], got[NET_FRAME_MAX];
static uint32_t got_len, frames_came, rooms, notified;
static uint64_t seed = 1;

/* --- the stack --- */

void stack_add_device(struct virtio_net *found)
{
    net = found;
}

void stack_receive(struct virtio_net *from UNUSED, const struct virtio_net_hdr_v1 *header, const struct net_piece *pieces, uint32_t count)
{
    uint32_t len = 0;

    if (header->gso_type != 0)
        host_fail("a segment that nobody has asked for");
    for (uint32_t i = 0; i < count; i++) {
        memcpy(got + len, pieces[i].data, pieces[i].len);
        len += pieces[i].len;
    }
    if (got[TYPE_AT] != TYPE >> 8 || got[TYPE_AT + 1] != (TYPE & 0xff))
        return; /* the host's own */
    got_len = len;
    frames_came++;
}

void stack_room(void)
{
    rooms++;
}

/* --- virtio.c's poller --- */

static void take_one(struct virtio_vq *q, uint32_t len, void *token)
{
    q->out--;
    q->used(q, token, len);
}

void virtio_reap(struct virtio_vq *q)
{
    uint32_t len;
    void *token;

    while ((token = virtq_take(&q->vq, &len)) != NULL)
        take_one(q, len, token);
}

/* Take chains until a frame is whole: by looking, then by a notification that we ask for. */
static void receive(uint32_t nth)
{
    uint32_t len;
    void *token;

    while (frames_came < nth) {
        for (int i = 0; i < 100 && !virtq_has_used(&net->rx.vq); i++)
            __builtin_ia32_pause();
        if (!virtq_has_used(&net->rx.vq)) {
            virtq_arm(&net->rx.vq);
            if (!virtq_has_used(&net->rx.vq)) {
                notified++;
                if (!host_wait_call(0, WAIT_MS))
                    host_fail("frame %u doesn't come", nth);
            }
            virtq_disarm(&net->rx.vq);
        }
        token = virtq_take(&net->rx.vq, &len);
        if (token)
            take_one(&net->rx, len, token);
    }
}

/* --- frames --- */

static uint32_t random_below(uint32_t n)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)((seed >> 33) % n);
}

static uint32_t random_size(void)
{
    return FRAME_MIN + random_below(random_below(4) ? 1500 : FRAME_LONG - FRAME_MIN);
}

static void fill(uint8_t *frame, uint32_t len, uint32_t number)
{
    memset(frame, 0xff, 6);
    memcpy(frame + 6, net->mac, 6);
    frame[TYPE_AT] = TYPE >> 8;
    frame[TYPE_AT + 1] = TYPE & 0xff;
    for (uint32_t i = TYPE_AT + 2; i < len; i++)
        frame[i] = (uint8_t)(i * 7 + number * 31 + (i >> 8));
}

static bool send(uint32_t len, uint32_t number)
{
    struct net_buffer *b = virtio_net_buffer(net, len);

    if (!b)
        return false;
    fill(b->data, len, number);
    b->len = len;
    virtio_net_send(net, b);
    return true;
}

static void expect_sent(uint32_t len, uint32_t number)
{
    static uint8_t came[NET_FRAME_MAX];
    uint32_t n = host_receive_frame(came, sizeof(came), WAIT_MS);

    fill(expected, len, number);
    if (n != len || memcmp(came, expected, len) != 0)
        host_fail("frame %u: %u bytes went, %u came, or others", number, len, n);
}

static void one_by_one(void)
{
    uint32_t before = frames_came;

    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t len = random_size();

        if (!send(len, i))
            host_fail("no buffer for frame %u", i);
        virtio_net_flush(net);
        expect_sent(len, i);
        len = random_size();
        fill(expected, len, ~i);
        host_send_frame(expected, len);
        receive(before + i + 1);
        if (got_len != len || memcmp(got, expected, len) != 0)
            host_fail("frame %u: %u bytes came, not %u, or others", i, got_len, len);
    }
}

/* All buffers go before any is announced; then we are told when there is room again. */
static void until_full(void)
{
    uint32_t sent = 0;

    while (send(1000, sent))
        sent++;
    if (!net->was_full)
        host_fail("there was no end of buffers");
    virtio_net_flush(net);
    for (uint32_t i = 0; i < sent; i++)
        expect_sent(1000, i);
    while (rooms == 0) {
        if (!virtq_has_used(&net->tx.vq) && !host_wait_call(1, WAIT_MS))
            host_fail("nobody tells of room");
        virtio_reap(&net->tx);
    }
    if (!send(FRAME_MIN, 1))
        host_fail("no buffer though there is room");
    virtio_net_flush(net);
    expect_sent(FRAME_MIN, 1);
}

/* More frames than there are buffers for, before anybody looks. */
static void burst(void)
{
    uint32_t before = frames_came;

    for (uint32_t i = 0; i < BURST; i++) {
        fill(expected, FRAME_MIN + i, i);
        host_send_frame(expected, FRAME_MIN + i);
    }
    for (uint32_t i = 0; i < BURST; i++) {
        receive(before + i + 1);
        fill(expected, FRAME_MIN + i, i);
        if (got_len != FRAME_MIN + i || memcmp(got, expected, got_len) != 0)
            host_fail("frame %u of a burst is another", i);
    }
}

void net_client_run(uint8_t *shared)
{
    static struct virtio_dev dev;

    client_memory(shared);
    virtio_net_probe(&dev);
    if (!net)
        host_fail("the driver doesn't find its device");
    one_by_one();
    until_full();
    burst();
    one_by_one();
    host_print("%u frames each way, %u of them waited for, features %lx\n", 2 * ROUNDS, notified, (unsigned long)dev.features);
}
