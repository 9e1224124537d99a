/*
 * Terminals: the host's, behind an inherited descriptor. Modes and sizes are the host's (Tioctl); job control, which
 * speaks of processes that the host doesn't know, is kept here. There is one terminal and it is everybody's controlling one.
 */
#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "fs/stdio.h"
#include "fs/stdio_impl.h"
#include "lib/string.h"
#include "proc/process.h"

#include <asm/ioctls.h>
#include <asm/termbits.h>

#define IOCTL_DATA_MAX 64
#define DRAIN_RETRY_NS 5000000ull /* how often to look whether the output is out */

static int foreground_pgid;
static int session_id;

/* What goes in and out with each command; `value`: the argument itself is the input. */
static const struct tty_command {
    uint32_t cmd;
    uint8_t in, out;
    bool value;
} commands[] = {
    { TCGETS, 0, 36, false },    { TCSETS, 36, 0, false },     { TCSETSW, 36, 0, false },   { TCSETSF, 36, 0, false },
    { TCGETA, 0, 18, false },    { TCSETA, 18, 0, false },     { TCSETAW, 18, 0, false },   { TCSETAF, 18, 0, false },
    { TCGETS2, 0, 44, false },   { TCSETS2, 44, 0, false },    { TCSETSW2, 44, 0, false },  { TCSETSF2, 44, 0, false },
    { TIOCGWINSZ, 0, 8, false }, { TIOCSWINSZ, 8, 0, false },  { TIOCOUTQ, 0, 4, false },   { FIONREAD, 0, 4, false },
    { TCSBRK, 4, 0, true },      { TCSBRKP, 4, 0, true },      { TCXONC, 4, 0, true },      { TCFLSH, 4, 0, true },
};

static long host_ioctl(const struct stdio *s, uint32_t cmd, const void *in, size_t in_size, void *out, size_t out_size)
{
    struct ring_request *rq = ring_get(P9_Tioctl);
    struct p9_str data;
    long ret;

    p9_put32(&rq->out, s->fid);
    p9_put32(&rq->out, cmd);
    p9_put_str(&rq->out, in, in_size);
    ret = ring_call(rq);
    if (ret == 0) {
        ret = (long)p9_get32(&rq->in);
        data = p9_get_str(&rq->in);
        if (rq->in.bad || data.len < out_size)
            ret = -EIO;
        else
            memcpy(out, data.data, out_size);
    }
    ring_put(rq);
    return ret;
}

/* Commands that wait for the output to drain answer EAGAIN while it hasn't. */
static long host_ioctl_drain(const struct stdio *s, const struct tty_command *c, const void *in, void *out)
{
    long ret;

    while ((ret = host_ioctl(s, c->cmd, in, c->in, out, c->out)) == -EAGAIN) {
        if (thread_park(clock_mono_ns() + DRAIN_RETRY_NS, true) == -ERESTARTSYS)
            return -ERESTARTSYS;
    }
    return ret;
}

static long forward(const struct stdio *s, const struct tty_command *c, uint64_t arg)
{
    uint8_t in[IOCTL_DATA_MAX] = { 0 }, out[IOCTL_DATA_MAX];
    long ret;

    if (c->value)
        memcpy(in, &arg, sizeof(uint32_t));
    else if (c->in > 0 && copy_from_user(in, arg, c->in) < 0)
        return -EFAULT;
    ret = host_ioctl_drain(s, c, in, out);
    if (ret >= 0 && c->out > 0 && copy_to_user(arg, out, c->out) < 0)
        return -EFAULT;
    return ret;
}

bool tty_probe(struct stdio *s)
{
    uint8_t termios[36];

    return host_ioctl(s, TCGETS, NULL, 0, termios, sizeof(termios)) >= 0;
}

/* --- job control --- */

int stdio_foreground(void)
{
    return foreground_pgid;
}

static int foreground(void)
{
    return foreground_pgid ? foreground_pgid : current->proc->pgid;
}

static long set_foreground(uint64_t arg)
{
    int pgid;

    if (get_user(pgid, arg) < 0)
        return -EFAULT;
    if (pgid <= 0)
        return -EINVAL;
    if (!pgrp_exists(pgid))
        return -ESRCH;
    foreground_pgid = pgid;
    return 0;
}

static long set_controlling(void)
{
    session_id = current->proc->sid;
    foreground_pgid = current->proc->pgid;
    return 0;
}

static long put_int(int value, uint64_t arg)
{
    return put_user(value, arg) < 0 ? -EFAULT : 0;
}

static long job_control(uint32_t cmd, uint64_t arg)
{
    switch (cmd) {
    case TIOCGPGRP:
        return put_int(foreground(), arg);
    case TIOCSPGRP:
        return set_foreground(arg);
    case TIOCGSID:
        return put_int(session_id ? session_id : current->proc->sid, arg);
    case TIOCSCTTY:
        return set_controlling();
    case TIOCNOTTY:
        return 0;
    default:
        return -ENOTTY;
    }
}

long tty_ioctl(struct stdio *s, struct file *f UNUSED, uint32_t cmd, uint64_t arg)
{
    if (!s->is_tty && cmd != FIONREAD)
        return -ENOTTY;
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (commands[i].cmd == cmd)
            return forward(s, &commands[i], arg);
    }
    return job_control(cmd, arg);
}
