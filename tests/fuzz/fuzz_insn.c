/* Bytes of a text page: the decoder stays inside them, a plan changes what it says and nothing else, and can be taken back. */
#include <stdlib.h>
#include <string.h>

#include "arch/insn.c"
#include "arch/rewrite_plan.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void try_decode(const uint8_t *data, size_t size)
{
    size_t n = MIN(size, (size_t)INSN_MAX + 1);
    uint8_t *copy = malloc(n ? n : 1); /* so that a read too far is seen */
    struct insn insn, shorter;

    memcpy(copy, data, n);
    if (insn_decode(copy, n, &insn)) {
        check(insn.size > 0 && insn.size <= INSN_MAX && insn.size <= n);
        check(!insn_decode(copy, insn.size - 1, &shorter));
        check(insn_decode(copy, insn.size, &shorter) && shorter.kind == insn.kind && shorter.size == insn.size);
    }
    free(copy);
}

static bool in_piece(const struct rewrite_piece *piece, uint32_t i)
{
    return i - piece->offset < piece->size;
}

static bool may_change(const struct rewrite_plan *plan, uint32_t site, uint32_t i)
{
    bool may = i - site < SYSCALL_SIZE || in_piece(&plan->jump, i);

    for (uint32_t k = 0; k < plan->hop_count; k++)
        may = may || in_piece(&plan->hop[k], i);
    return may;
}

/* Follow the short jumps from the site, as the CPU does. */
static void check_way(const uint8_t *page, uint32_t site, const struct rewrite_plan *plan)
{
    uint32_t at = plan->form == REWRITE_SEVEN ? site - MOV_SIZE : site;

    for (uint32_t i = 0; i <= REWRITE_HOPS_MAX && page[at] == 0xeb; i++)
        at += 2 + (uint32_t)(int8_t)page[at + 1];
    check(at == plan->jump.offset && !memcmp(page + at, "\xff\x24\x25\x20\xf0\0\0", 7));
}

static void try_plan(const uint8_t *data, size_t size)
{
    static uint8_t page[PAGE_SIZE], before[PAGE_SIZE];
    struct rewrite_original original;
    struct rewrite_plan plan;
    uint32_t site = (uint32_t)(data[0] | data[1] << 8) % PAGE_SIZE, nr = data[2];

    memset(page, 0x90, PAGE_SIZE);
    memcpy(page, data + 3, MIN(size - 3, PAGE_SIZE));
    memcpy(before, page, PAGE_SIZE);
    if (!rewrite_plan(page, site, nr, &plan))
        return;
    check(plan.jump.size >= SLOT_JUMP_SIZE && plan.jump.size <= REWRITE_BYTES_MAX && plan.jump.offset + plan.jump.size <= PAGE_SIZE);
    check(plan.form == REWRITE_SEVEN ? plan.jump.offset + MOV_SIZE == site : plan.jump.offset > site);
    rewrite_apply(page, site, &plan, 0xf020, &original);
    check(rewrite_is_applied(page, site, &plan, 0xf020) && !rewrite_is_applied(page, site, &plan, 0xf040));
    check_way(page, site, &plan);
    for (uint32_t i = 0; i < PAGE_SIZE; i++)
        check(page[i] == before[i] || may_change(&plan, site, i));
    rewrite_revert(page, site, &plan, &original);
    check(!memcmp(page, before, PAGE_SIZE));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_decode(data, size);
    if (size > 3)
        try_plan(data, size);
    return 0;
}
