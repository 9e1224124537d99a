/*
 * Where the jump that replaces a `syscall` instruction can go: pure logic on the bytes of one page, built on the host too.
 * docs/performance.md ("System-call sites") has the whole story.
 *
 * Both forms change bytes of one page only, so that a page that is dropped and read again is as it was, never half of it.
 */
#ifndef ARCH_REWRITE_PLAN_H
#define ARCH_REWRITE_PLAN_H

#include "lib/base.h"

#define SYSCALL_SIZE 2u      /* 0f 05; eb rel8 */
#define MOV_SIZE 5u          /* b8 imm32 */
#define SLOT_JUMP_SIZE 7u    /* ff 24 25 imm32: jmp *imm32 */
#define REWRITE_BYTES_MAX 16u /* most that a form changes in a row */

enum rewrite_form {
    REWRITE_PAD,   /* `syscall` becomes a short jump to padding, which holds the jump through the slot */
    REWRITE_SEVEN, /* `mov $nr,%eax; syscall` becomes the jump through the slot, whose last bytes are 00 00 */
};

struct rewrite_plan {
    enum rewrite_form form;
    uint32_t jump; /* offset in the page of the jump through the slot */
    uint32_t size; /* bytes there that change: the whole padding, or the mov and the `syscall` */
};

/*
 * The site is the `syscall` at offset site of the page. nr: the number that it was reached with each time, or
 * NO_MOV if that varied. False: neither form is possible.
 */
#define NO_MOV UINT32_MAX
bool rewrite_plan(const uint8_t page[PAGE_SIZE], uint32_t site, uint32_t nr, struct rewrite_plan *ret);

/* Make the site's jumps, through the slot (below 64 KiB); its original bytes at plan->jump go to original first. */
void rewrite_apply(uint8_t page[PAGE_SIZE], uint32_t site, const struct rewrite_plan *plan, uint32_t slot,
                   uint8_t original[REWRITE_BYTES_MAX]);

/* Are those jumps there? */
bool rewrite_is_applied(const uint8_t page[PAGE_SIZE], uint32_t site, const struct rewrite_plan *plan, uint32_t slot);

/* Take them back. */
void rewrite_revert(uint8_t page[PAGE_SIZE], uint32_t site, const struct rewrite_plan *plan,
                    const uint8_t original[REWRITE_BYTES_MAX]);

/* jmp *slot, at p. */
void rewrite_put_slot_jump(uint8_t p[SLOT_JUMP_SIZE], uint32_t slot);

#endif
