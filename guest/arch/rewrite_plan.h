/*
 * Where the jump that replaces a `syscall` instruction can go: pure logic on the bytes of one page, built on the host too.
 * docs/performance.md ("System-call sites") has the whole story.
 *
 * Both forms change bytes of one page only, so that a page that is dropped and read again is as it was, never half of it.
 */
#ifndef ARCH_REWRITE_PLAN_H
#define ARCH_REWRITE_PLAN_H

#include "lib/base.h"

#define SYSCALL_SIZE 2u      /* 0f 05 */
#define SHORT_JUMP_SIZE 2u   /* eb rel8 */
#define MOV_SIZE 5u          /* b8 imm32 */
#define SLOT_JUMP_SIZE 7u    /* ff 24 25 imm32: jmp *imm32 */
#define REWRITE_BYTES_MAX 16u /* most that is changed in a row */
#define REWRITE_HOPS_MAX 3u

enum rewrite_form {
    REWRITE_SEVEN, /* `mov $nr,%eax; syscall` becomes the jump through the slot, whose last bytes are 00 00 */
    REWRITE_PAD,   /* `syscall` becomes a short jump to padding, which holds the jump through the slot, or another short one */
};

/* Bytes of a page that change. */
struct rewrite_piece {
    uint16_t offset, size;
};

struct rewrite_plan {
    enum rewrite_form form;
    struct rewrite_piece jump; /* through the slot: padding, or the mov and the `syscall` */
    uint32_t hop_count;
    struct rewrite_piece hop[REWRITE_HOPS_MAX]; /* short jumps in padding between site and jump */
};

struct rewrite_original {
    uint8_t jump[REWRITE_BYTES_MAX], hop[REWRITE_HOPS_MAX][SLOT_JUMP_SIZE];
};

/*
 * The site is the `syscall` at offset site of the page. nr: the number that it was reached with each time, or
 * NO_MOV if that varied, or the first form is not wanted. False: neither form is possible.
 */
#define NO_MOV UINT32_MAX
bool rewrite_plan(const uint8_t page[PAGE_SIZE], uint32_t site, uint32_t nr, struct rewrite_plan *ret);

/* Make the site's jumps, through the slot (below 64 KiB); what was there goes to original first. */
void rewrite_apply(uint8_t page[PAGE_SIZE], uint32_t site, const struct rewrite_plan *plan, uint32_t slot,
                   struct rewrite_original *original);

/* Are those jumps there? */
bool rewrite_is_applied(const uint8_t page[PAGE_SIZE], uint32_t site, const struct rewrite_plan *plan, uint32_t slot);

/* Take them back. */
void rewrite_revert(uint8_t page[PAGE_SIZE], uint32_t site, const struct rewrite_plan *plan,
                    const struct rewrite_original *original);

/* jmp *slot, at p. */
void rewrite_put_slot_jump(uint8_t p[SLOT_JUMP_SIZE], uint32_t slot);

#endif
