/* See insn.h. Tables are strings of 256 letters, one for each opcode, in rows of sixteen. */
#include "arch/insn.h"

/*
 * .  no operand bytes         m  ModRM            b  imm8 or rel8     z  imm16 or imm32 by operand size
 * B  ModRM and imm8           Z  ModRM and immz   w  imm16            e  imm16 and imm8 (enter)
 * v  immz, imm64 with REX.W   o  an address       r  rel32            g  ModRM, then imm by its reg field (f6, f7)
 * c  ModRM of a control register, always a register  !  not in 64-bit mode, a prefix, or not known
 */
static const char one_byte[] = "mmmmbz!!mmmmbz!!" /* 00 */
                               "mmmmbz!!mmmmbz!!" /* 10 */
                               "mmmmbz!!mmmmbz!!" /* 20 */
                               "mmmmbz!!mmmmbz!!" /* 30 */
                               "!!!!!!!!!!!!!!!!" /* 40 */
                               "................" /* 50 */
                               "!!!m!!!!zZbB...." /* 60 */
                               "bbbbbbbbbbbbbbbb" /* 70 */
                               "BZ!Bmmmmmmmmmmmm" /* 80 */
                               "..........!....." /* 90 */
                               "oooo....bz......" /* a0 */
                               "bbbbbbbbvvvvvvvv" /* b0 */
                               "BBw.!!BZe.w..b!." /* c0 */
                               "mmmm!!!.mmmmmmmm" /* d0 */
                               "bbbbbbbbrr!b...." /* e0 */
                               "!.!!..gg......mm" /* f0 */;

static const char two_byte[] = "mmmm!.....!.!m.B" /* 0f 00 */
                               "mmmmmmmmmmmmmmmm" /* 0f 10 */
                               "cccc!!!!mmmmmmmm" /* 0f 20 */
                               "......!.!!!!!!!!" /* 0f 30 */
                               "mmmmmmmmmmmmmmmm" /* 0f 40 */
                               "mmmmmmmmmmmmmmmm" /* 0f 50 */
                               "mmmmmmmmmmmmmmmm" /* 0f 60 */
                               "BBBBmmm.mm!!mmmm" /* 0f 70 */
                               "rrrrrrrrrrrrrrrr" /* 0f 80 */
                               "mmmmmmmmmmmmmmmm" /* 0f 90 */
                               "...mBm!!...mBmmm" /* 0f a0 */
                               "mmmmmmmmmmBmmmmm" /* 0f b0 */
                               "mmBmBBBm........" /* 0f c0 */
                               "mmmmmmmmmmmmmmmm" /* 0f d0 */
                               "mmmmmmmmmmmmmmmm" /* 0f e0 */
                               "mmmmmmmmmmmmmmmm" /* 0f f0 */;

_Static_assert(sizeof(one_byte) == 257 && sizeof(two_byte) == 257, "a letter for each opcode");

struct cursor {
    const uint8_t *p;
    size_t size, at;
    bool bad;
};

static uint8_t next_byte(struct cursor *c)
{
    if (c->at >= c->size || c->at >= INSN_MAX) {
        c->bad = true;
        return 0;
    }
    return c->p[c->at++];
}

static void skip(struct cursor *c, unsigned n)
{
    if (c->size - c->at < n || INSN_MAX - c->at < n)
        c->bad = true;
    else
        c->at += n;
}

/* ModRM, SIB and displacement (SDM vol. 2, table 2-2). Returns the ModRM byte. */
static uint8_t skip_modrm(struct cursor *c)
{
    uint8_t modrm = next_byte(c), mod = modrm >> 6, rm = modrm & 7, base = rm;

    if (mod == 3)
        return modrm;
    if (rm == 4)
        base = next_byte(c) & 7;
    if (mod == 1)
        skip(c, 1);
    else if (mod == 2 || base == 5)
        skip(c, 4);
    return modrm;
}

static int64_t signed_at(const struct cursor *c, unsigned n)
{
    uint32_t v = 0;

    if (c->bad)
        return 0;
    for (unsigned i = 0; i < n; i++)
        v |= (uint32_t)c->p[c->at - n + i] << (8 * i);
    return n == 1 ? (int8_t)v : (int32_t)v;
}

struct prefixes {
    bool operand_size, address_size, repeat, lock, rex, rex_w;
};

static uint8_t skip_prefixes(struct cursor *c, struct prefixes *x)
{
    for (;;) {
        uint8_t b = next_byte(c);

        switch (b) {
        case 0x66:
            x->operand_size = true;
            break;
        case 0x67:
            x->address_size = true;
            break;
        case 0xf2:
        case 0xf3:
            x->repeat = true;
            break;
        case 0xf0:
            x->lock = true;
            break;
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
        case 0x64:
        case 0x65:
            break;
        default:
            if ((b & 0xf0) != 0x40)
                return b;
            x->rex = true;
            x->rex_w = b & 8;
            continue;
        }
        x->rex = x->rex_w = false; /* counts only if it comes last */
        if (c->bad)
            return 0;
    }
}

static void skip_operands(struct cursor *c, char form, uint8_t opcode, const struct prefixes *x)
{
    unsigned z = x->operand_size && !x->rex_w ? 2 : 4;
    uint8_t modrm;

    switch (form) {
    case '.':
        break;
    case 'm':
        skip_modrm(c);
        break;
    case 'c':
        skip(c, 1);
        break;
    case 'b':
        skip(c, 1);
        break;
    case 'z':
        skip(c, z);
        break;
    case 'w':
        skip(c, 2);
        break;
    case 'e':
        skip(c, 3);
        break;
    case 'r':
        skip(c, 4);
        break;
    case 'v':
        skip(c, x->rex_w ? 8 : z);
        break;
    case 'o':
        skip(c, x->address_size ? 4 : 8);
        break;
    case 'B':
        skip_modrm(c);
        skip(c, 1);
        break;
    case 'Z':
        skip_modrm(c);
        skip(c, z);
        break;
    case 'g':
        modrm = skip_modrm(c);
        if ((modrm & 0x38) < 0x10) /* test */
            skip(c, opcode & 1 ? z : 1);
        break;
    default:
        c->bad = true;
    }
}

/* VEX and EVEX (SDM vol. 2, 2.3 and 2.7): the opcode map is in the prefix, and there is always a ModRM but for vzeroupper. */
static void decode_vex(struct cursor *c, uint8_t first, const struct prefixes *x)
{
    unsigned map = 1;
    uint8_t opcode;

    if (x->operand_size || x->repeat || x->lock || x->rex) {
        c->bad = true;
        return;
    }
    if (first != 0xc5) {
        map = next_byte(c) & (first == 0x62 ? 7 : 0x1f);
        skip(c, first == 0x62 ? 1 : 0);
    }
    skip(c, 1);
    opcode = next_byte(c);
    if (map == 0 || map == 4 || map > 6 || (first != 0x62 && map > 3)) {
        c->bad = true;
    } else if (map == 1 && opcode == 0x77) {
        return;
    } else {
        skip_modrm(c);
        if (map == 3 || (map == 1 && two_byte[opcode] == 'B'))
            skip(c, 1);
    }
}

static void decode_two_byte(struct cursor *c, const struct prefixes *x, struct insn *ret)
{
    uint8_t opcode = next_byte(c);

    if (opcode == 0x38) {
        skip(c, 1);
        skip_modrm(c);
        return;
    }
    if (opcode == 0x3a) {
        skip(c, 1);
        skip_modrm(c);
        skip(c, 1);
        return;
    }
    /* SSE4a's extrq and insertq have immediates where vmread and vmwrite have none; 16-bit branches differ by maker. */
    if ((x->operand_size || x->repeat) && (opcode == 0x78 || opcode == 0x79))
        c->bad = true;
    if (x->operand_size && (opcode & 0xf0) == 0x80)
        c->bad = true;
    skip_operands(c, two_byte[opcode], opcode, x);
    if ((opcode & 0xf0) == 0x80) {
        ret->kind = INSN_BRANCH;
        ret->has_target = true;
        ret->target = signed_at(c, 4);
    } else if (opcode == 0x0b) {
        ret->kind = INSN_LEAVES;
    } else if (opcode == 0x1f && !x->repeat && !x->lock && !x->rex) {
        ret->kind = INSN_NOP;
    }
}

static void classify(const struct cursor *c, uint8_t opcode, size_t opcode_at, const struct prefixes *x, struct insn *ret)
{
    uint8_t reg = c->at > opcode_at + 1 ? c->p[opcode_at + 1] >> 3 & 7 : 0;

    switch (opcode) {
    case 0x70 ... 0x7f:
    case 0xe0 ... 0xe3:
        ret->kind = INSN_BRANCH;
        ret->has_target = true;
        ret->target = signed_at(c, 1);
        break;
    case 0xeb:
        ret->kind = INSN_LEAVES;
        ret->has_target = true;
        ret->target = signed_at(c, 1);
        break;
    case 0xe9:
        ret->kind = INSN_LEAVES;
        ret->has_target = true;
        ret->target = signed_at(c, 4);
        break;
    case 0xc2:
    case 0xc3:
    case 0xca:
    case 0xcb:
    case 0xcf:
    case 0xf4:
        ret->kind = INSN_LEAVES;
        break;
    case 0xff:
        if (reg == 4 || reg == 5)
            ret->kind = INSN_LEAVES;
        break;
    case 0xcc:
        ret->kind = INSN_INT3;
        break;
    case 0x90:
        if (!x->repeat && !x->lock && !x->rex)
            ret->kind = INSN_NOP;
        break;
    default:
        break;
    }
}

bool insn_decode(const uint8_t *p, size_t size, struct insn *ret)
{
    struct cursor c = { .p = p, .size = size };
    struct prefixes x = { 0 };
    uint8_t opcode = skip_prefixes(&c, &x);
    size_t opcode_at = c.at - 1;

    *ret = (struct insn){ .kind = INSN_OTHER };
    if (c.bad)
        return false;
    if (opcode == 0x0f) {
        decode_two_byte(&c, &x, ret);
    } else if (opcode == 0xc4 || opcode == 0xc5 || opcode == 0x62) {
        decode_vex(&c, opcode, &x);
    } else {
        if (x.operand_size && (opcode == 0xe8 || opcode == 0xe9)) /* 16-bit targets on AMD */
            return false;
        if (opcode == 0x8f && c.at < size && (p[c.at] & 0x38)) /* AMD's XOP */
            return false;
        skip_operands(&c, one_byte[opcode], opcode, &x);
        classify(&c, opcode, opcode_at, &x, ret);
    }
    ret->size = (uint32_t)c.at;
    ret->target += (int64_t)c.at;
    return !c.bad;
}
