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

static void try_plan(const uint8_t *data, size_t size)
{
    static uint8_t page[PAGE_SIZE], before[PAGE_SIZE];
    uint8_t original[REWRITE_BYTES_MAX];
    struct rewrite_plan plan;
    uint32_t site = (uint32_t)(data[0] | data[1] << 8) % PAGE_SIZE, nr = data[2];

    memset(page, 0x90, PAGE_SIZE);
    memcpy(page, data + 3, MIN(size - 3, PAGE_SIZE));
    memcpy(before, page, PAGE_SIZE);
    if (!rewrite_plan(page, site, nr, &plan))
        return;
    check(plan.size >= SLOT_JUMP_SIZE && plan.size <= REWRITE_BYTES_MAX && plan.jump + plan.size <= PAGE_SIZE);
    check(plan.form == REWRITE_SEVEN ? plan.jump + MOV_SIZE == site : plan.jump > site && plan.jump <= site + 2 + 127);
    rewrite_apply(page, site, &plan, 0xf020, original);
    check(rewrite_is_applied(page, site, &plan, 0xf020) && !rewrite_is_applied(page, site, &plan, 0xf040));
    for (uint32_t i = 0; i < PAGE_SIZE; i++)
        check(page[i] == before[i] || (i - site < SYSCALL_SIZE) || (i - plan.jump < plan.size));
    rewrite_revert(page, site, &plan, original);
    check(!memcmp(page, before, PAGE_SIZE));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_decode(data, size);
    if (size > 3)
        try_plan(data, size);
    return 0;
}
