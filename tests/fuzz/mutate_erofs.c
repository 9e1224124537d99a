/*
 * Thousands of mutations of good EROFS images, each read whole: mutate_erofs COUNT IMAGE...
 *
 * A fuzzer that starts from nothing rarely finds its way to the files; here most of an image is right and a few bytes of it are
 * wrong. The sanitizers end it on a bad access, fuzz_erofs.c's own checks on a result that can't be, an alarm on a hang; the seed
 * that is printed then repeats it.
 */
#include <stdio.h>
#include <unistd.h>

#include "tests/fuzz/fuzz_erofs.c"

#define CHANGES_MAX 64
#define HANG_SECONDS 20
#define SUPER_AT 1024u
#define SUPER_END 1152u

static uint64_t state;

static uint32_t random_below(uint32_t n)
{
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)((state >> 33) % n);
}

struct change {
    size_t at;
    uint8_t old;
};

/* One byte: anything, a bit, or one of the values at which things overflow. Metadata is in front: favour it. */
static struct change change(uint8_t *image_bytes, size_t size)
{
    static const uint8_t edges[] = { 0, 1, 0x7f, 0x80, 0xff };
    size_t span = size >> random_below(7);
    struct change c;

    c.at = random_below(20) ? random_below((uint32_t)(span ? span : 1)) : SUPER_AT + random_below(SUPER_END - SUPER_AT);
    c.old = image_bytes[c.at];
    switch (random_below(3)) {
    case 0:
        image_bytes[c.at] = (uint8_t)random_below(256);
        break;
    case 1:
        image_bytes[c.at] ^= (uint8_t)(1u << random_below(8));
        break;
    default:
        image_bytes[c.at] = edges[random_below(sizeof(edges))];
        break;
    }
    return c;
}

static void mutate(uint8_t *bytes, size_t size)
{
    struct change changes[CHANGES_MAX];
    unsigned count = 1 + random_below(random_below(2) ? 4 : CHANGES_MAX);

    for (unsigned i = 0; i < count; i++)
        changes[i] = change(bytes, size);
    alarm(HANG_SECONDS);
    LLVMFuzzerTestOneInput(bytes, size);
    for (unsigned i = count; i-- > 0;)
        bytes[changes[i].at] = changes[i].old;
}

static uint8_t *load(const char *path, size_t *ret_size)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes;
    long size;

    if (!f || fseek(f, 0, SEEK_END) < 0 || (size = ftell(f)) < (long)SUPER_END)
        return NULL;
    rewind(f);
    bytes = malloc((size_t)size);
    if (!bytes || fread(bytes, 1, (size_t)size, f) != (size_t)size)
        return NULL;
    fclose(f);
    *ret_size = (size_t)size;
    return bytes;
}

int main(int argc, char **argv)
{
    unsigned long count = argc > 2 ? strtoul(argv[1], NULL, 0) : 0;

    if (!count)
        return 2;
    for (int i = 2; i < argc; i++) {
        size_t size;
        uint8_t *bytes = load(argv[i], &size);

        if (!bytes) {
            perror(argv[i]);
            return 2;
        }
        LLVMFuzzerTestOneInput(bytes, size);
        printf("%s: %u reads, %llu bytes unpacked, unbroken\n", argv[i], work, (unsigned long long)unpacked);
        for (unsigned long seed = 1; seed <= count; seed++) {
            state = seed;
            mutate(bytes, size);
        }
        free(bytes);
    }
    return 0;
}
