/*
 * Restartable sequences (rseq(2)): with one CPU, cpu_id is always 0; what remains is that a thread which lost the vCPU, or
 * gets a signal, inside a sequence goes on at the sequence's abort handler.
 */
#include "proc/signal.h"

#include <linux/rseq.h>

static bool rseq_clear(const struct thread *t)
{
    return clear_user(t->rseq + offsetof(struct rseq, rseq_cs), sizeof(uint64_t)) == 0;
}

/* The abort handler must be preceded by the signature that the thread registered, or it could be any code. */
static bool abort_is_signed(const struct thread *t, uaddr_t abort_ip)
{
    uint32_t signature;

    return get_user(signature, abort_ip - sizeof(signature)) == 0 && signature == t->rseq_sig;
}

bool rseq_fix_up(struct regs *regs)
{
    const struct thread *t = current;
    struct rseq_cs cs;
    uint64_t ptr;

    if (get_user(ptr, t->rseq + offsetof(struct rseq, rseq_cs)) < 0)
        return false;
    if (!ptr)
        return true;
    if (get_user(cs, ptr) < 0)
        return false;
    if (cs.version > 0 || cs.start_ip >= APP_END || cs.abort_ip >= APP_END ||
        cs.start_ip + cs.post_commit_offset < cs.start_ip || cs.abort_ip - cs.start_ip < cs.post_commit_offset)
        return false;
    if (regs->rip - cs.start_ip >= cs.post_commit_offset)
        return rseq_clear(t);
    if (!abort_is_signed(t, cs.abort_ip) || !rseq_clear(t))
        return false;
    regs->rip = cs.abort_ip;
    return true;
}
