/*
 * The shim's random generator: ChaCha20 (RFC 8439's block function) keyed by the host's getrandom, with the key replaced
 * after each request, so that earlier output can't be computed from a later state.
 */
#include "arch/bootinfo.h"
#include "arch/cpu.h"
#include "lib/string.h"

static uint32_t key[8];
static uint64_t counter;
static bool seeded;

static uint32_t rotl(uint32_t v, int n)
{
    return v << n | v >> (32 - n);
}

static void quarter(uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d)
{
    *a += *b;
    *d = rotl(*d ^ *a, 16);
    *c += *d;
    *b = rotl(*b ^ *c, 12);
    *a += *b;
    *d = rotl(*d ^ *a, 8);
    *c += *d;
    *b = rotl(*b ^ *c, 7);
}

static void block(uint32_t out[16])
{
    uint32_t in[16] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };

    memcpy(in + 4, key, sizeof(key));
    in[12] = (uint32_t)counter;
    in[13] = (uint32_t)(counter++ >> 32);
    memcpy(out, in, sizeof(in));
    for (int i = 0; i < 10; i++) {
        for (int j = 0; j < 4; j++)
            quarter(&out[j], &out[4 + j], &out[8 + j], &out[12 + j]);
        for (int j = 0; j < 4; j++)
            quarter(&out[j], &out[4 + (j + 1) % 4], &out[8 + (j + 2) % 4], &out[12 + (j + 3) % 4]);
    }
    for (int i = 0; i < 16; i++)
        out[i] += in[i];
}

void random_bytes(void *buf, size_t n)
{
    uint8_t *p = buf;
    uint32_t out[16];

    if (!seeded) {
        memcpy(key, boot_info.seed, sizeof(key));
        memset(boot_info.seed, 0, sizeof(boot_info.seed));
        seeded = true;
    }
    while (n) {
        size_t chunk = MIN(n, sizeof(out));

        block(out);
        memcpy(p, out, chunk);
        p += chunk;
        n -= chunk;
    }
    block(out);
    memcpy(key, out, sizeof(key));
    memset(out, 0, sizeof(out));
}
