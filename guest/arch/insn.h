/*
 * How long an x86-64 instruction is, and whether it goes elsewhere: as much of a decoder as rewriting call sites needs.
 * Pure, built on the host too, fuzzed. Source: Intel SDM vol. 2, chapter 2 and appendix A.
 */
#ifndef ARCH_INSN_H
#define ARCH_INSN_H

#include "lib/base.h"

#define INSN_MAX 15u /* SDM vol. 2, 2.3.11 */

enum insn_kind {
    INSN_OTHER,
    INSN_NOP,    /* the forms that assemblers pad with: 90, 66 90, 0f 1f /0 */
    INSN_INT3,
    INSN_BRANCH, /* may go to target */
    INSN_LEAVES, /* never goes on behind itself: jmp, ret, ud2, hlt */
};

struct insn {
    uint32_t size;
    enum insn_kind kind;
    bool has_target;
    int64_t target; /* of direct branches and jumps, from the instruction's first byte */
};

/* Decode the instruction at p, of which size bytes can be read. False: none that this knows, or it is cut off. */
bool insn_decode(const uint8_t *p, size_t size, struct insn *ret);

#endif
