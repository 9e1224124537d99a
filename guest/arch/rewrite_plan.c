/* See rewrite_plan.h. */
#include "arch/rewrite_plan.h"

#include "arch/insn.h"
#include "lib/string.h"

#define SHORT_JUMP_REACH 127u
#define TARGETS_MAX 16u
#define ALIGNMENT 16u     /* of functions; loops may have less */
#define ALIGNMENT_MIN 8u

/*
 * How many bytes of alignment padding can be had at offset `from`, which nothing falls into: whole nops, REWRITE_BYTES_MAX at most. Padding ends at an alignment; what lies behind
 * a multiple of 16 may be a function that begins with nops. Rows of one-byte nops are kept for somebody to patch (gcc's
 * -fpatchable-function-entry): assemblers pad with long ones, or with int3.
 */
static uint32_t padding_size(const uint8_t *page, uint32_t from)
{
    uint32_t at = from, size = 0;
    bool single = false;
    struct insn insn;

    while (at < PAGE_SIZE && insn_decode(page + at, PAGE_SIZE - at, &insn) &&
           (insn.kind == INSN_NOP || insn.kind == INSN_INT3)) {
        if (insn.kind == INSN_NOP && insn.size == 1) {
            if (single)
                return 0;
            single = true;
        }
        at += insn.size;
        if (at - from <= REWRITE_BYTES_MAX)
            size = at - from;
        if (at % ALIGNMENT == 0)
            break;
    }
    return at % ALIGNMENT_MIN == 0 ? size : 0;
}

static bool is_slot_jump(const uint8_t *page, uint32_t at)
{
    return at + SLOT_JUMP_SIZE <= PAGE_SIZE && page[at] == 0xff && page[at + 1] == 0x24 && page[at + 2] == 0x25 &&
           page[at + 5] == 0 && page[at + 6] == 0;
}

/* Was this a `syscall`? Then the stub comes back behind it. */
static bool is_rewritten(const uint8_t *page, uint32_t at, const struct insn *insn)
{
    int64_t target = (int64_t)at + insn->target;

    if (is_slot_jump(page, at))
        return true;
    return insn->has_target && insn->size == SYSCALL_SIZE && target > at && target < (int64_t)PAGE_SIZE &&
           is_slot_jump(page, (uint32_t)target);
}

struct targets {
    uint32_t offset[TARGETS_MAX];
    uint32_t count;
};

static void note_target(struct targets *t, uint32_t at, const struct insn *insn)
{
    int64_t target = (int64_t)at + insn->target;

    if (insn->has_target && target > at && target < (int64_t)PAGE_SIZE && t->count < TARGETS_MAX)
        t->offset[t->count++] = (uint32_t)target;
}

static bool is_target(const struct targets *t, uint32_t at)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (t->offset[i] == at)
            return true;
    return false;
}

/*
 * Decode forward from `from`, where an instruction is known to begin, to the first padding that follows an instruction which never
 * goes on behind itself. Behind such a one without padding, compilers put more code; tables of hand-written assembly would have to
 * contain a jump followed by an assembler's long nops up to an alignment to be taken for it.
 */
static bool find_padding(const uint8_t *page, uint32_t from, uint32_t limit, struct rewrite_plan *ret)
{
    struct targets targets = { .count = 0 };
    uint32_t at = from, padding;
    struct insn insn;

    while (at <= limit && at < PAGE_SIZE && insn_decode(page + at, PAGE_SIZE - at, &insn)) {
        bool leaves = insn.kind == INSN_LEAVES && !is_rewritten(page, at, &insn);

        note_target(&targets, at, &insn);
        at += insn.size;
        if (!leaves)
            continue;
        padding = padding_size(page, at);
        if (padding >= SLOT_JUMP_SIZE && !is_target(&targets, at)) {
            *ret = (struct rewrite_plan){ REWRITE_PAD, at, padding };
            return at <= limit;
        }
        at += padding;
    }
    return false;
}

static uint32_t load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Is what precedes the site `mov $nr,%eax`, and not the end of a longer instruction (41 b8: mov $nr,%r8d)? */
static bool follows_mov(const uint8_t *page, uint32_t site, uint32_t nr)
{
    if (nr == NO_MOV || site < MOV_SIZE + 1)
        return false;
    return page[site - MOV_SIZE] == 0xb8 && (page[site - MOV_SIZE - 1] & 0xf0) != 0x40 &&
           load32(page + site - MOV_SIZE + 1) == nr;
}

bool rewrite_plan(const uint8_t page[PAGE_SIZE], uint32_t site, uint32_t nr, struct rewrite_plan *ret)
{
    uint32_t next = site + SYSCALL_SIZE;

    if (next > PAGE_SIZE || page[site] != 0x0f || page[site + 1] != 0x05)
        return false;
    if (find_padding(page, next, next + SHORT_JUMP_REACH, ret))
        return true;
    if (!follows_mov(page, site, nr))
        return false;
    *ret = (struct rewrite_plan){ REWRITE_SEVEN, site - MOV_SIZE, SLOT_JUMP_SIZE };
    return true;
}

void rewrite_put_slot_jump(uint8_t p[SLOT_JUMP_SIZE], uint32_t slot)
{
    p[0] = 0xff;
    p[1] = 0x24;
    p[2] = 0x25;
    for (unsigned i = 0; i < 4; i++)
        p[3 + i] = (uint8_t)(slot >> (8 * i));
}

/* What is left of the padding becomes hlt, which ends it for whoever decodes it next; a nop cut in two might swallow what follows. */
void rewrite_apply(uint8_t page[PAGE_SIZE], uint32_t site, const struct rewrite_plan *plan, uint32_t slot,
                   uint8_t original[REWRITE_BYTES_MAX])
{
    memcpy(original, page + plan->jump, plan->size);
    memset(page + plan->jump, 0xf4, plan->size);
    rewrite_put_slot_jump(page + plan->jump, slot);
    if (plan->form == REWRITE_PAD) {
        page[site] = 0xeb;
        page[site + 1] = (uint8_t)(plan->jump - (site + SYSCALL_SIZE));
    }
}

bool rewrite_is_applied(const uint8_t page[PAGE_SIZE], uint32_t site, const struct rewrite_plan *plan, uint32_t slot)
{
    uint8_t jump[SLOT_JUMP_SIZE];

    rewrite_put_slot_jump(jump, slot);
    if (memcmp(page + plan->jump, jump, SLOT_JUMP_SIZE))
        return false;
    return plan->form == REWRITE_SEVEN ||
           (page[site] == 0xeb && page[site + 1] == (uint8_t)(plan->jump - (site + SYSCALL_SIZE)));
}

void rewrite_revert(uint8_t page[PAGE_SIZE], uint32_t site, const struct rewrite_plan *plan,
                    const uint8_t original[REWRITE_BYTES_MAX])
{
    memcpy(page + plan->jump, original, plan->size);
    page[site] = 0x0f;
    page[site + 1] = 0x05;
}
