/* The codec of hypercalls/p9.h: every message there and back, and cut off at every byte. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "p9_layouts.h"

static uint64_t seed;

static uint64_t next_random(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return seed >> 11 ^ seed << 40;
}

static uint64_t random_bits(unsigned bytes)
{
    return bytes == 8 ? next_random() : next_random() & ((1ull << 8 * bytes) - 1);
}

static size_t random_text(char *text)
{
    size_t len = next_random() % 40;

    for (size_t i = 0; i < len; i++)
        text[i] = (char)next_random();
    return len;
}

static void random_attr(struct p9_attr *a)
{
    uint64_t *const wide = &a->nlink;

    a->qid = (struct p9_qid){ (uint8_t)random_bits(1), (uint32_t)random_bits(4), random_bits(8) };
    a->mode = (uint32_t)random_bits(4);
    a->uid = (uint32_t)random_bits(4);
    a->gid = (uint32_t)random_bits(4);
    for (size_t i = 0; i < 13; i++)
        wide[i] = random_bits(8);
}

/* Either write random fields, or read them and compare with what the same seed gives. */
struct coder {
    struct p9_cursor *c;
    bool reading;
    bool same;
};

static void code_int(struct coder *k, unsigned size, uint64_t v)
{
    if (k->reading)
        k->same &= p9_get_int(k->c, size) == v;
    else
        p9_put_int(k->c, v, size);
}

static void code_str(struct coder *k)
{
    char text[40];
    size_t len = random_text(text);

    if (k->reading) {
        struct p9_str s = p9_get_str(k->c);

        k->same &= s.len == len && (!len || (s.data && !memcmp(s.data, text, len)));
    } else {
        p9_put_str(k->c, text, len);
    }
}

static void code_qid(struct coder *k)
{
    struct p9_qid q = { (uint8_t)random_bits(1), (uint32_t)random_bits(4), random_bits(8) };

    if (k->reading) {
        struct p9_qid got = p9_get_qid(k->c);

        k->same &= got.type == q.type && got.version == q.version && got.path == q.path;
    } else {
        p9_put_qid(k->c, &q);
    }
}

static void code_attr(struct coder *k)
{
    struct p9_attr a = { 0 }, got = { 0 };

    random_attr(&a);
    if (k->reading) {
        p9_get_attr(k->c, &got);
        k->same &= !memcmp(&a.mode, &got.mode, sizeof(a) - offsetof(struct p9_attr, mode)) &&
                   a.qid.path == got.qid.path && a.qid.type == got.qid.type && a.qid.version == got.qid.version;
    } else {
        p9_put_attr(k->c, &a);
    }
}

static void code_data(struct coder *k)
{
    char text[40];
    size_t len = random_text(text);

    code_int(k, 4, len);
    if (k->reading) {
        const uint8_t *p = p9_take(k->c, len);

        k->same &= p && !memcmp(p, text, len);
    } else {
        p9_put_bytes(k->c, text, len);
    }
}

static void code(struct coder *k, const struct p9_layout *l)
{
    unsigned names = 0;

    for (const char *f = l->fields; *f; f++) {
        switch (*f) {
        case 's':
            code_str(k);
            break;
        case 'q':
            code_qid(k);
            break;
        case 'a':
            code_attr(k);
            break;
        case 'd':
            code_data(k);
            break;
        case 'N':
            names = (unsigned)(next_random() % (P9_WALK_MAX + 1));
            code_int(k, 2, names);
            break;
        case 'n':
        case 'w':
            for (unsigned i = 0; i < names; i++)
                *f == 'n' ? code_str(k) : code_qid(k);
            break;
        default:
            code_int(k, (unsigned)(*f - '0'), random_bits((unsigned)(*f - '0')));
        }
    }
}

static size_t encode(const struct p9_layout *l, uint64_t start, uint8_t *data, size_t size)
{
    struct p9_cursor c;
    struct coder k = { &c, false, true };

    p9_cursor_init(&c, data, size);
    p9_begin(&c, l->type, 7);
    seed = start;
    code(&k, l);
    return p9_finish(&c);
}

static bool decode(const struct p9_layout *l, uint64_t start, uint8_t *data, size_t size, bool *bad)
{
    struct p9_cursor c;
    struct coder k = { &c, true, true };

    p9_cursor_init(&c, data, size);
    k.same = p9_get32(&c) == size;
    k.same &= p9_get8(&c) == l->type;
    k.same &= p9_get16(&c) == 7;
    seed = start;
    code(&k, l);
    *bad = c.bad;
    return k.same && c.pos == size;
}

Test(p9, every_message_goes_there_and_back)
{
    uint8_t data[4096];
    bool bad;

    for (size_t i = 0; i < P9_LAYOUT_COUNT; i++) {
        for (uint64_t start = 1; start < 50; start++) {
            size_t size = encode(&p9_layouts[i], start, data, sizeof(data));

            cr_assert_neq(size, 0);
            cr_assert(decode(&p9_layouts[i], start, data, size, &bad) && !bad, "type %u", p9_layouts[i].type);
        }
    }
}

Test(p9, every_type_is_in_the_table)
{
    bool seen[256] = { false };

    for (size_t i = 0; i < P9_LAYOUT_COUNT; i++)
        seen[p9_layouts[i].type] = true;
#define X(number, name) cr_assert(seen[number + 1], #name); cr_assert(number == P9_Tlerror || seen[number], #name);
    P9_LIST(X)
#undef X
}

Test(p9, a_message_that_is_cut_off_is_bad)
{
    uint8_t data[4096];
    bool bad;

    for (size_t i = 0; i < P9_LAYOUT_COUNT; i++) {
        size_t size = encode(&p9_layouts[i], 3, data, sizeof(data));

        for (size_t cut = 0; cut < size; cut++) {
            uint8_t *exact = malloc(cut + 1); /* so that a sanitizer sees a read beyond it */

            memcpy(exact, data, cut);
            decode(&p9_layouts[i], 3, exact, cut, &bad);
            free(exact);
            cr_assert(bad, "type %u cut at %zu", p9_layouts[i].type, cut);
        }
    }
}

Test(p9, a_message_that_does_not_fit_is_not_finished)
{
    uint8_t data[4096];

    for (size_t i = 0; i < P9_LAYOUT_COUNT; i++) {
        size_t size = encode(&p9_layouts[i], 5, data, sizeof(data));

        for (size_t room = 0; room < size; room++)
            cr_assert_eq(encode(&p9_layouts[i], 5, data, room), 0);
    }
}

Test(p9, sizes_of_the_fixed_parts)
{
    uint8_t data[256];
    struct p9_attr a = { 0 };
    struct p9_cursor c;

    p9_cursor_init(&c, data, sizeof(data));
    p9_put_attr(&c, &a);
    cr_assert_eq(c.pos, P9_ATTR_SIZE);
    p9_cursor_init(&c, data, sizeof(data));
    p9_put_str(&c, (const char *)data, 70000);
    cr_assert(c.bad);
}
