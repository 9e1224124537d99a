/*
 * A virtqueue whose driver is hostile: any descriptors, any indexes, changing between the device's steps.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/virtq.h"

#define BASE 0x2000000000
#define SIZE 16
#define STEPS_MAX 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct driver {
    _Alignas(16) struct virtq_desc desc[SIZE];
    uint16_t avail[2 + SIZE + 1];
    _Alignas(4) uint16_t used[2 + 4 * SIZE + 1];
    uint8_t data[512];
};

/* Touch every byte that the chain is said to have: a sanitizer sees what lies outside. */
static void use_chain(const struct virtq_chain *c)
{
    static volatile uint8_t sink;
    uint64_t in = 0, out = 0;

    for (size_t i = 0; i < c->in_count; i++) {
        for (size_t k = 0; k < c->in[i].iov_len; k++)
            sink = ((uint8_t *)c->in[i].iov_base)[k];
        in += c->in[i].iov_len;
    }
    for (size_t i = 0; i < c->out_count; i++)
        out += c->out[i].iov_len;
    if (in != c->in_size || out != c->out_size || c->head >= SIZE || c->in_count + c->out_count > VIRTQ_CHAIN_MAX)
        abort();
    (void)sink;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct driver *d = calloc(1, sizeof(*d));
    struct guest_region region = { { BASE }, sizeof(*d), (uint8_t *)d };
    struct guest_mem mem = { &region, 1 };
    struct virtq_layout layout = { SIZE,
                                   { BASE + offsetof(struct driver, desc) },
                                   { BASE + offsetof(struct driver, avail) },
                                   { BASE + offsetof(struct driver, used) },
                                   true,
                                   true,
                                   SIZE };
    static struct virtq_chain chain;
    struct virtq q;

    if (size > 4) { /* now and then a layout that isn't sane */
        layout.size = data[0] < 16 ? data[1] : SIZE;
        layout.avail.v += data[0] < 8 ? data[2] * 64u : 0;
        layout.used.v += data[0] < 4 ? data[3] * 64u : 0;
        data += 4;
        size -= 4;
    }
    if (virtq_init(&q, &mem, &layout) == 0) {
        for (int step = 0; step < STEPS_MAX && size >= 4; step++) {
            size_t at = (data[0] | data[1] << 8) % offsetof(struct driver, data);
            size_t len = data[2] % 24 + 1u;

            if (len > size - 3)
                len = size - 3;
            if (len > sizeof(*d) - at)
                len = sizeof(*d) - at;
            memcpy((uint8_t *)d + at, data + 3, len);
            data += 3 + len;
            size -= 3 + len;
            while (virtq_pop(&q, &chain) == 1) {
                use_chain(&chain);
                virtq_push(&q, chain.head, (uint32_t)chain.out_size);
                virtq_should_notify(&q);
                if (!virtq_has_avail(&q))
                    break;
            }
            virtq_enable_notify(&q);
        }
    }
    free(d);
    return 0;
}
