/* The decoder against objdump on all of this machine's C libraries, and the plans for their call sites. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "arch/insn.h"
#include "arch/rewrite_plan.h"

struct library {
    uint8_t *bytes; /* padded with a page of zeroes */
    size_t size;
};

static bool load(const char *path, struct library *ret)
{
    FILE *f = fopen(path, "r");
    struct stat st;

    if (!f)
        return false;
    cr_assert_eq(fstat(fileno(f), &st), 0);
    ret->size = (size_t)st.st_size;
    ret->bytes = calloc(1, ret->size + 2 * PAGE_SIZE);
    cr_assert_eq(fread(ret->bytes, 1, ret->size, f), ret->size);
    fclose(f);
    return true;
}

/* The difference between addresses and offsets in the file of the executable segment. */
static uint64_t text_bias(const struct library *lib)
{
    uint64_t phoff, vaddr, offset;
    uint16_t count;
    uint32_t type, flags;

    memcpy(&phoff, lib->bytes + 32, 8);
    memcpy(&count, lib->bytes + 56, 2);
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *p = lib->bytes + phoff + 56 * i;

        memcpy(&type, p, 4);
        memcpy(&flags, p + 4, 4);
        memcpy(&offset, p + 8, 8);
        memcpy(&vaddr, p + 16, 8);
        if (type == 1 && (flags & 1))
            return vaddr - offset;
    }
    return 0;
}

struct totals {
    unsigned insns, unknown, wrong, sites, padded, seven;
};

static void check_site(const struct library *lib, uint64_t offset, struct totals *t)
{
    const uint8_t *page = lib->bytes + (offset & ~(uint64_t)4095);
    uint32_t site = offset & 4095, nr = NO_MOV;
    struct rewrite_plan plan;

    t->sites++;
    if (site > 5 && page[site - 5] == 0xb8)
        memcpy(&nr, page + site - 4, 4);
    if (!rewrite_plan(page, site, nr, &plan))
        return;
    t->padded += plan.form == REWRITE_PAD;
    t->seven += plan.form == REWRITE_SEVEN;
}

/* Each line of objdump is an address and the bytes there. */
static void check_library(const char *path, struct totals *t)
{
    char command[256], line[512];
    uint64_t bias, address, expected = 0;
    struct library lib;
    FILE *f;

    if (!load(path, &lib))
        return;
    bias = text_bias(&lib);
    snprintf(command, sizeof(command), "objdump -d -j .text --no-show-raw-insn %s", path);
    f = popen(command, "r");
    cr_assert(f);
    while (fgets(line, sizeof(line), f)) {
        char *colon = strchr(line, ':');
        struct insn insn;

        if (line[0] != ' ' || !colon || colon[1] != '\t') {
            expected = 0;
            continue;
        }
        address = strtoull(line, NULL, 16);
        t->wrong += expected && address != expected;
        if (expected && address != expected && t->wrong < 10)
            fprintf(stderr, "%s: the instruction before 0x%lx\n", path, address);
        expected = 0;
        t->insns++;
        if (strstr(line, "(bad)") || strstr(line, ".byte"))
            continue;
        if (strstr(colon, "\tsyscall"))
            check_site(&lib, address - bias, t);
        if (lib.bytes[address - bias] == 0x9b) /* objdump shows wait and what follows as one */
            continue;
        if (insn_decode(lib.bytes + (address - bias), INSN_MAX, &insn))
            expected = address + insn.size;
        else if (t->unknown++ < 10)
            fprintf(stderr, "%s: not decoded: %s", path, line);
    }
    pclose(f);
    free(lib.bytes);
}

Test(rewrite, decodes_the_c_library_as_objdump_does)
{
    struct totals t = { 0 };

    check_library("/lib/x86_64-linux-gnu/libc.so.6", &t);
    cr_assert_gt(t.insns, 100000);
    cr_assert_eq(t.wrong, 0, "%u of %u instructions are of another length", t.wrong, t.insns);
    cr_assert_eq(t.unknown, 0, "%u instructions aren't known", t.unknown);
    /* Debian 12 has 526 sites; what matters is that nearly all of them can be rewritten. */
    cr_assert_gt(t.sites, 300);
    cr_assert_gt((t.padded + t.seven) * 10, t.sites * 8, "%u of %u sites", t.padded + t.seven, t.sites);
}

Test(rewrite, decodes_musl_as_objdump_does)
{
    struct totals t = { 0 };

    check_library("/lib/ld-musl-x86_64.so.1", &t);
    if (t.insns == 0)
        cr_skip_test("musl isn't installed");
    cr_assert_eq(t.wrong, 0);
    cr_assert_eq(t.unknown, 0);
    cr_assert_gt((t.padded + t.seven) * 10, t.sites * 7, "%u of %u sites", t.padded + t.seven, t.sites);
}

struct known {
    uint8_t bytes[16];
    uint8_t size;
    uint8_t kind;
};

ParameterizedTestParameters(rewrite, known_instructions)
{
    static struct known rows[] = {
        { { 0x90 }, 1, INSN_NOP },
        { { 0x66, 0x90 }, 2, INSN_NOP },
        { { 0xf3, 0x90 }, 2, INSN_OTHER }, /* pause */
        { { 0x41, 0x90 }, 2, INSN_OTHER }, /* xchg r8 */
        { { 0x66, 0x2e, 0x0f, 0x1f, 0x84 }, 10, INSN_NOP },
        { { 0xcc }, 1, INSN_INT3 },
        { { 0xc3 }, 1, INSN_LEAVES },
        { { 0xf3, 0xc3 }, 2, INSN_LEAVES },
        { { 0xeb, 0x10 }, 2, INSN_LEAVES },
        { { 0xe9 }, 5, INSN_LEAVES },
        { { 0xff, 0x24, 0x25 }, 7, INSN_LEAVES },
        { { 0xff, 0xe0 }, 2, INSN_LEAVES },
        { { 0xff, 0xd0 }, 2, INSN_OTHER }, /* call */
        { { 0xe8 }, 5, INSN_OTHER },
        { { 0x0f, 0x0b }, 2, INSN_LEAVES },
        { { 0x74, 0x10 }, 2, INSN_BRANCH },
        { { 0x0f, 0x84 }, 6, INSN_BRANCH },
        { { 0x0f, 0x05 }, 2, INSN_OTHER },
        { { 0x48, 0xb8 }, 10, INSN_OTHER },
        { { 0xb8 }, 5, INSN_OTHER },
        { { 0x66, 0xb8 }, 4, INSN_OTHER },
        { { 0xf6, 0x04, 0x25 }, 8, INSN_OTHER },                   /* test imm8, [disp32] */
        { { 0xf7, 0xd0 }, 2, INSN_OTHER },                         /* not */
        { { 0x66, 0xf7, 0xc0 }, 5, INSN_OTHER },                   /* test imm16 */
        { { 0xc5, 0xf8, 0x77 }, 3, INSN_OTHER },                   /* vzeroupper */
        { { 0xc4, 0xe3, 0x7d, 0x39, 0xc1, 1 }, 6, INSN_OTHER },    /* vextracti128 */
        { { 0x62, 0xf1, 0xfe, 0x48, 0x6f, 0x47, 1 }, 7, INSN_OTHER }, /* vmovdqu64 zmm, disp8 */
        { { 0xa1 }, 9, INSN_OTHER },
        { { 0xc8 }, 4, INSN_OTHER },
        { { 0x06 }, 0, 0 }, /* not in 64-bit mode */
        { { 0xd5, 0x00 }, 0, 0 },
        { { 0x66, 0xe9 }, 0, 0 },
        { { 0xc4, 0xe4, 0x00, 0x00 }, 0, 0 },
    };

    return cr_make_param_array(struct known, rows, sizeof(rows) / sizeof(rows[0]));
}

ParameterizedTest(struct known *k, rewrite, known_instructions)
{
    uint8_t bytes[32] = { 0 };
    struct insn insn;
    bool ok;

    memcpy(bytes, k->bytes, sizeof(k->bytes));
    ok = insn_decode(bytes, sizeof(bytes), &insn);
    cr_assert_eq(ok, k->size != 0, "%02x %02x", bytes[0], bytes[1]);
    if (!ok)
        return;
    cr_assert_eq(insn.size, k->size, "%02x %02x: %u bytes, not %u", bytes[0], bytes[1], insn.size, k->size);
    cr_assert_eq(insn.kind, k->kind, "%02x %02x: kind %d, not %d", bytes[0], bytes[1], insn.kind, k->kind);
    cr_assert_not(insn_decode(bytes, insn.size - 1, &insn));
}

/* --- plans --- */

static uint8_t page[PAGE_SIZE];

static bool plan_of(const char *code, size_t size, uint32_t site, uint32_t nr, struct rewrite_plan *ret)
{
    memset(page, 0x98, PAGE_SIZE);
    memcpy(page, code, size);
    return rewrite_plan(page, site, nr, ret);
}

#define PLAN(code, site, nr) plan_of(code, sizeof(code) - 1, site, nr, &plan)
#define NOP7 "\x0f\x1f\x80\0\0\0\0"

Test(rewrite, takes_padding_behind_a_return)
{
    struct rewrite_plan plan;

    cr_assert(PLAN("\x90\x31\xc0\x0f\x05\xc3\x66\x90" "\x66\x0f\x1f\x84\0\0\0\0\0\x90\x0f\x05", 3, NO_MOV) == false,
              "padding that ends nowhere");
    cr_assert(PLAN("\x90\x90\x90\x31\xc0\x0f\x05\xc3\x66\x66\x2e\x0f\x1f\x84\0\0\0\0\0\x0f\x1f\x44\0\0", 5, NO_MOV));
    cr_assert_eq(plan.form, REWRITE_PAD);
    cr_assert_eq(plan.jump.offset, 8);
    cr_assert_eq(plan.jump.size, 16);
    cr_assert(PLAN("\x90\x90\x90\x90\x31\xc0\x0f\x05\xc3" NOP7, 6, NO_MOV));
    cr_assert_eq(plan.jump.offset, 9);
    cr_assert(PLAN("\x90\x90\x90\x90\x31\xc0\x0f\x05\xc3\xcc\xcc\xcc\xcc\xcc\xcc\xcc", 6, NO_MOV), "int3");
}

Test(rewrite, leaves_what_may_be_reached)
{
    struct rewrite_plan plan;

    cr_assert_not(PLAN("\x90\x90\x90\x90\x90\x31\xc0\x0f\x05" NOP7, 7, NO_MOV), "nothing leaves before it");
    cr_assert_not(PLAN("\x90\x90\x31\xc0\x0f\x05\x74\x01\xc3" NOP7, 4, NO_MOV), "a branch goes there");
    cr_assert_not(PLAN("\x90\x90\x90\x90\x31\xc0\x0f\x05\xc3\x90\x90\x90\x90\x90\x90\x90", 6, NO_MOV), "room for a patch");
    cr_assert_not(PLAN("\x90\x90\x90\x90\x90\x90\x90\x90\x31\xc0\x0f\x05\xc3\x0f\x1f\0" NOP7 "\x98", 10, NO_MOV),
                  "a function that begins with nops");
    cr_assert_not(PLAN("\x90\x90\x90\x90\x90\x31\xc0\x0f\x05\xc3\x66\x0f\x1f\x44\0\0", 7, NO_MOV), "six bytes");
}

Test(rewrite, takes_the_mov_before_a_syscall)
{
    struct rewrite_plan plan;

    cr_assert(PLAN("\x90\xb8\x27\0\0\0\x0f\x05", 6, 0x27));
    cr_assert_eq(plan.form, REWRITE_SEVEN);
    cr_assert_eq(plan.jump.offset, 1);
    cr_assert_not(PLAN("\x90\xb8\x27\0\0\0\x0f\x05", 6, 0x28), "another number");
    cr_assert_not(PLAN("\x90\xb8\x27\0\0\0\x0f\x05", 6, NO_MOV), "it varies");
    cr_assert_not(PLAN("\x41\xb8\x27\0\0\0\x0f\x05", 6, 0x27), "mov to r8d");
    cr_assert_not(PLAN("\x90\xb8\x27\0\0\0\x0f\x34", 6, 0x27), "not a syscall");
}

/* Through five bytes of padding to seven that are too far away, and not to eight bytes that none leads to. */
Test(rewrite, hops_through_small_padding)
{
    static const char five[] = "\x90\x0f\x05\x31\xc0\x31\xc0\x31\xc0\x90\xc3\x0f\x1f\x44\0\0", last[] = "\xc3" NOP7;
    struct rewrite_original original;
    struct rewrite_plan plan;

    cr_assert_not(plan_of(five, sizeof(five) - 1, 1, NO_MOV, &plan));
    memcpy(page + 136, last, sizeof(last) - 1);
    cr_assert(rewrite_plan(page, 1, NO_MOV, &plan));
    cr_assert_eq(plan.hop_count, 1);
    cr_assert_eq(plan.hop[0].offset, 11);
    cr_assert_eq(plan.hop[0].size, 5);
    cr_assert_eq(plan.jump.offset, 137);
    rewrite_apply(page, 1, &plan, 0xf020, &original);
    cr_assert_eq(memcmp(page + 1, "\xeb\x08", 2), 0);
    cr_assert_eq(memcmp(page + 11, "\xeb\x7c\xf4\xf4\xf4", 5), 0);
    cr_assert(rewrite_is_applied(page, 1, &plan, 0xf020));
    rewrite_revert(page, 1, &plan, &original);
    cr_assert_eq(memcmp(page, five, sizeof(five) - 1), 0);
    memcpy(page + 136, "\x98\x98\x98\x98\x98\x98\x98\x98", 8);
    memcpy(page + 144, last, sizeof(last) - 1);
    cr_assert_not(rewrite_plan(page, 1, NO_MOV, &plan), "too far for the hop as well");
}

/* A site that has been rewritten still comes back: padding behind it is reached. */
Test(rewrite, knows_its_own_jumps)
{
    struct rewrite_original original;
    struct rewrite_plan plan, second;
    static const char code[] = "\x90\x0f\x05\xb8\x27\0\0\0\x0f\x05\x66\x66\x2e\x0f\x1f\x84\0\0\0\0\0\x0f\x1f\0";

    cr_assert(plan_of(code, sizeof(code) - 1, 8, 0x27, &plan));
    cr_assert_eq(plan.form, REWRITE_SEVEN);
    rewrite_apply(page, 8, &plan, 0xf020, &original);
    cr_assert_not(rewrite_plan(page, 1, NO_MOV, &second));
    rewrite_revert(page, 8, &plan, &original);
    cr_assert_eq(memcmp(page, code, sizeof(code) - 1), 0);
}

Test(rewrite, stays_in_the_page)
{
    struct rewrite_plan plan;

    memset(page, 0x98, PAGE_SIZE);
    memcpy(page + PAGE_SIZE - 2, "\x0f\x05", 2);
    cr_assert_not(rewrite_plan(page, PAGE_SIZE - 2, NO_MOV, &plan));
    cr_assert_not(rewrite_plan(page, PAGE_SIZE - 1, NO_MOV, &plan));
    memcpy(page + PAGE_SIZE - 7, "\x0f\x05\xc3\x0f\x1f\x40\0", 7);
    cr_assert_not(rewrite_plan(page, PAGE_SIZE - 7, NO_MOV, &plan), "four bytes of padding");
}
