/*
 * Classic BPF: McCanne and Jacobson, "The BSD Packet Filter", USENIX 1993; the subset of seccomp(2). Jumps go forward
 * only, so a program that passed bpf_is_valid ends.
 */
#include "proc/bpf.h"

#define MEM_ALL ((1u << BPF_MEMWORDS) - 1)

/* --- checking --- */

static bool is_known(const struct sock_filter *in)
{
    switch (in->code) {
    case BPF_LD | BPF_W | BPF_ABS:
        return in->k % 4 == 0 && in->k < sizeof(struct seccomp_data);
    case BPF_LD | BPF_MEM:
    case BPF_LDX | BPF_MEM:
    case BPF_ST:
    case BPF_STX:
        return in->k < BPF_MEMWORDS;
    case BPF_ALU | BPF_DIV | BPF_K:
        return in->k != 0;
    case BPF_ALU | BPF_LSH | BPF_K:
    case BPF_ALU | BPF_RSH | BPF_K:
        return in->k < 32;
    case BPF_LD | BPF_W | BPF_LEN:
    case BPF_LDX | BPF_W | BPF_LEN:
    case BPF_LD | BPF_IMM:
    case BPF_LDX | BPF_IMM:
    case BPF_MISC | BPF_TAX:
    case BPF_MISC | BPF_TXA:
    case BPF_RET | BPF_K:
    case BPF_RET | BPF_A:
    case BPF_ALU | BPF_NEG:
    case BPF_ALU | BPF_ADD | BPF_K:
    case BPF_ALU | BPF_ADD | BPF_X:
    case BPF_ALU | BPF_SUB | BPF_K:
    case BPF_ALU | BPF_SUB | BPF_X:
    case BPF_ALU | BPF_MUL | BPF_K:
    case BPF_ALU | BPF_MUL | BPF_X:
    case BPF_ALU | BPF_DIV | BPF_X:
    case BPF_ALU | BPF_AND | BPF_K:
    case BPF_ALU | BPF_AND | BPF_X:
    case BPF_ALU | BPF_OR | BPF_K:
    case BPF_ALU | BPF_OR | BPF_X:
    case BPF_ALU | BPF_XOR | BPF_K:
    case BPF_ALU | BPF_XOR | BPF_X:
    case BPF_ALU | BPF_LSH | BPF_X:
    case BPF_ALU | BPF_RSH | BPF_X:
    case BPF_JMP | BPF_JA:
    case BPF_JMP | BPF_JEQ | BPF_K:
    case BPF_JMP | BPF_JEQ | BPF_X:
    case BPF_JMP | BPF_JGE | BPF_K:
    case BPF_JMP | BPF_JGE | BPF_X:
    case BPF_JMP | BPF_JGT | BPF_K:
    case BPF_JMP | BPF_JGT | BPF_X:
    case BPF_JMP | BPF_JSET | BPF_K:
    case BPF_JMP | BPF_JSET | BPF_X:
        return true;
    default:
        return false;
    }
}

/* Where a jump goes, counted from the instruction after it. */
static bool jumps_inside(const struct sock_filter *in, size_t left)
{
    if (in->code == (BPF_JMP | BPF_JA))
        return in->k < left;
    return BPF_CLASS(in->code) != BPF_JMP || (in->jt < left && in->jf < left);
}

static bool reads_memory(const struct sock_filter *in)
{
    return in->code == (BPF_LD | BPF_MEM) || in->code == (BPF_LDX | BPF_MEM);
}

/*
 * No word of memory is read before it was written, on any path. written[pc]: the words that every jump to pc has written;
 * since jumps go forward, one pass is enough.
 */
static bool memory_is_written(const struct sock_filter *program, size_t count, uint16_t *written)
{
    uint16_t now = 0;

    for (size_t pc = 0; pc < count; pc++)
        written[pc] = MEM_ALL;
    for (size_t pc = 0; pc < count; pc++) {
        const struct sock_filter *in = &program[pc];

        now &= written[pc];
        if (reads_memory(in) && !(now & 1u << in->k))
            return false;
        switch (BPF_CLASS(in->code)) {
        case BPF_ST:
        case BPF_STX:
            now |= (uint16_t)(1u << in->k);
            break;
        case BPF_JMP:
            if (BPF_OP(in->code) == BPF_JA) {
                written[pc + 1 + in->k] &= now;
            } else {
                written[pc + 1 + in->jt] &= now;
                written[pc + 1 + in->jf] &= now;
            }
            now = MEM_ALL; /* what follows is reached by jumps only */
            break;
        default:
            break;
        }
    }
    return true;
}

bool bpf_is_valid(const struct sock_filter *program, size_t count)
{
    static uint16_t written[BPF_MAXINSNS]; /* nothing in here sleeps */

    if (count == 0 || count > BPF_MAXINSNS)
        return false;
    for (size_t pc = 0; pc < count; pc++)
        if (!is_known(&program[pc]) || !jumps_inside(&program[pc], count - pc - 1))
            return false;
    return BPF_CLASS(program[count - 1].code) == BPF_RET && memory_is_written(program, count, written);
}

/* --- running --- */

struct machine {
    uint32_t a, x;
    uint32_t mem[BPF_MEMWORDS];
};

static uint32_t load_word(const struct seccomp_data *data, uint32_t offset)
{
    return ((const uint32_t *)data)[offset / 4];
}

static void load(struct machine *m, const struct sock_filter *in, const struct seccomp_data *data)
{
    uint32_t value;

    switch (BPF_MODE(in->code)) {
    case BPF_ABS:
        value = load_word(data, in->k);
        break;
    case BPF_LEN:
        value = sizeof(*data);
        break;
    case BPF_MEM:
        value = m->mem[in->k];
        break;
    default: /* BPF_IMM */
        value = in->k;
    }
    if (BPF_CLASS(in->code) == BPF_LD)
        m->a = value;
    else
        m->x = value;
}

/* False: a division by zero, which ends the program with 0. */
static bool calculate(struct machine *m, const struct sock_filter *in)
{
    uint32_t operand = BPF_SRC(in->code) == BPF_X ? m->x : in->k;

    switch (BPF_OP(in->code)) {
    case BPF_ADD:
        m->a += operand;
        break;
    case BPF_SUB:
        m->a -= operand;
        break;
    case BPF_MUL:
        m->a *= operand;
        break;
    case BPF_DIV:
        if (operand == 0)
            return false;
        m->a /= operand;
        break;
    case BPF_AND:
        m->a &= operand;
        break;
    case BPF_OR:
        m->a |= operand;
        break;
    case BPF_XOR:
        m->a ^= operand;
        break;
    case BPF_LSH:
        m->a <<= operand & 31;
        break;
    case BPF_RSH:
        m->a >>= operand & 31;
        break;
    default: /* BPF_NEG */
        m->a = 0 - m->a;
    }
    return true;
}

static uint32_t jump(const struct machine *m, const struct sock_filter *in)
{
    uint32_t operand = BPF_SRC(in->code) == BPF_X ? m->x : in->k;
    bool taken;

    switch (BPF_OP(in->code)) {
    case BPF_JA:
        return in->k;
    case BPF_JEQ:
        taken = m->a == operand;
        break;
    case BPF_JGE:
        taken = m->a >= operand;
        break;
    case BPF_JGT:
        taken = m->a > operand;
        break;
    default: /* BPF_JSET */
        taken = (m->a & operand) != 0;
    }
    return taken ? in->jt : in->jf;
}

uint32_t bpf_run(const struct sock_filter *program, const struct seccomp_data *data)
{
    struct machine m = { 0 };

    for (const struct sock_filter *in = program;; in++) {
        switch (BPF_CLASS(in->code)) {
        case BPF_LD:
        case BPF_LDX:
            load(&m, in, data);
            break;
        case BPF_ST:
            m.mem[in->k] = m.a;
            break;
        case BPF_STX:
            m.mem[in->k] = m.x;
            break;
        case BPF_ALU:
            if (!calculate(&m, in))
                return 0;
            break;
        case BPF_JMP:
            in += jump(&m, in);
            break;
        case BPF_MISC:
            if (BPF_MISCOP(in->code) == BPF_TAX)
                m.x = m.a;
            else
                m.a = m.x;
            break;
        default: /* BPF_RET */
            return BPF_RVAL(in->code) == BPF_A ? m.a : in->k;
        }
    }
}
