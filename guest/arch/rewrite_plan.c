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
static bool is_rewritten(const uint8_t *page, uint32_t at)
{
    for (uint32_t i = 0; i <= REWRITE_HOPS_MAX && at + SHORT_JUMP_SIZE <= PAGE_SIZE; i++) {
        if (is_slot_jump(page, at))
            return true;
        if (page[at] != 0xeb || page[at + 1] > SHORT_JUMP_REACH)
            return false;
        at += SHORT_JUMP_SIZE + page[at + 1];
    }
    return is_slot_jump(page, at);
}

struct search {
    const uint8_t *page;
    uint32_t reach;               /* farthest offset that a short jump gets to from the site or the last hop */
    struct rewrite_piece farther; /* the last padding that could be the next hop */
    uint32_t targets[TARGETS_MAX], target_count;
};

static void note_target(struct search *s, uint32_t at, const struct insn *insn)
{
    int64_t target = (int64_t)at + insn->target;

    if (insn->has_target && target > at && target < (int64_t)PAGE_SIZE && s->target_count < TARGETS_MAX)
        s->targets[s->target_count++] = (uint32_t)target;
}

static bool is_target(const struct search *s, uint32_t at)
{
    for (uint32_t i = 0; i < s->target_count; i++)
        if (s->targets[i] == at)
            return true;
    return false;
}

/* Can a short jump get to at, from the site or through what was found on the way? */
static bool reaches(struct search *s, uint32_t at, struct rewrite_plan *plan)
{
    if (at <= s->reach)
        return true;
    if (!s->farther.size || plan->hop_count == REWRITE_HOPS_MAX)
        return false;
    plan->hop[plan->hop_count++] = s->farther;
    s->reach = s->farther.offset + SHORT_JUMP_SIZE + SHORT_JUMP_REACH;
    s->farther.size = 0;
    return at <= s->reach;
}

/*
 * Decode forward from `from`, where an instruction is known to begin, to the first padding that follows an instruction which never
 * goes on behind itself. Behind such a one without padding, compilers put more code; tables of hand-written assembly would have to
 * contain a jump followed by an assembler's long nops up to an alignment to be taken for it.
 */
static bool find_padding(const uint8_t *page, uint32_t from, struct rewrite_plan *ret)
{
    struct search s = { .page = page, .reach = from + SHORT_JUMP_REACH };
    struct rewrite_plan plan = { .form = REWRITE_PAD };
    struct insn insn;
    uint32_t size;

    for (uint32_t at = from; at < PAGE_SIZE && insn_decode(page + at, PAGE_SIZE - at, &insn);) {
        bool leaves = insn.kind == INSN_LEAVES && !is_rewritten(page, at);

        note_target(&s, at, &insn);
        at += insn.size;
        if (!reaches(&s, at, &plan))
            return false;
        if (!leaves || is_target(&s, at))
            continue;
        size = padding_size(page, at);
        if (size >= SLOT_JUMP_SIZE) {
            plan.jump = (struct rewrite_piece){ (uint16_t)at, (uint16_t)size };
            *ret = plan;
            return true;
        }
        if (size >= SHORT_JUMP_SIZE)
            s.farther = (struct rewrite_piece){ (uint16_t)at, (uint16_t)size };
        at += size;
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
    if (!follows_mov(page, site, nr))
        return find_padding(page, next, ret);
    *ret = (struct rewrite_plan){ .form = REWRITE_SEVEN, .jump = { (uint16_t)(site - MOV_SIZE), SLOT_JUMP_SIZE } };
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

/* Move the piece to original; a nop cut in two might swallow what follows, so its place is filled with hlt. */
static void take_piece(uint8_t *page, struct rewrite_piece piece, uint8_t *original)
{
    memcpy(original, page + piece.offset, piece.size);
    memset(page + piece.offset, 0xf4, piece.size);
}

static void put_short_jump(uint8_t *page, uint32_t from, uint32_t to)
{
    page[from] = 0xeb;
    page[from + 1] = (uint8_t)(to - (from + SHORT_JUMP_SIZE));
}

static bool is_short_jump(const uint8_t *page, uint32_t from, uint32_t to)
{
    return page[from] == 0xeb && page[from + 1] == (uint8_t)(to - (from + SHORT_JUMP_SIZE));
}

/* Where hop i goes; i = hop_count is the jump through the slot itself. */
static uint32_t hop_offset(const struct rewrite_plan *plan, uint32_t i)
{
    return i < plan->hop_count ? plan->hop[i].offset : plan->jump.offset;
}

void rewrite_apply(uint8_t page[PAGE_SIZE], uint32_t site, const struct rewrite_plan *plan, uint32_t slot,
                   struct rewrite_original *original)
{
    take_piece(page, plan->jump, original->jump);
    rewrite_put_slot_jump(page + plan->jump.offset, slot);
    for (uint32_t i = plan->hop_count; i-- > 0;) {
        take_piece(page, plan->hop[i], original->hop[i]);
        put_short_jump(page, plan->hop[i].offset, hop_offset(plan, i + 1));
    }
    if (plan->form == REWRITE_PAD)
        put_short_jump(page, site, hop_offset(plan, 0));
}

bool rewrite_is_applied(const uint8_t page[PAGE_SIZE], uint32_t site, const struct rewrite_plan *plan, uint32_t slot)
{
    uint8_t jump[SLOT_JUMP_SIZE];

    rewrite_put_slot_jump(jump, slot);
    for (uint32_t i = 0; i < plan->hop_count; i++)
        if (!is_short_jump(page, plan->hop[i].offset, hop_offset(plan, i + 1)))
            return false;
    return !memcmp(page + plan->jump.offset, jump, SLOT_JUMP_SIZE) &&
           (plan->form == REWRITE_SEVEN || is_short_jump(page, site, hop_offset(plan, 0)));
}

void rewrite_revert(uint8_t page[PAGE_SIZE], uint32_t site, const struct rewrite_plan *plan,
                    const struct rewrite_original *original)
{
    memcpy(page + plan->jump.offset, original->jump, plan->jump.size);
    for (uint32_t i = 0; i < plan->hop_count; i++)
        memcpy(page + plan->hop[i].offset, original->hop[i], plan->hop[i].size);
    page[site] = 0x0f;
    page[site + 1] = 0x05;
}
