/*
 * Terminals: the host's, behind an inherited descriptor. Modes and sizes are the host's (Tioctl); job control, which
 * speaks of processes that the host doesn't know, is kept here. It is the controlling terminal of the first program's session.
 */
#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "fs/stdio.h"
#include "fs/stdio_impl.h"
#include "lib/string.h"
#include "proc/process.h"
#include "tty/pty.h"

#define IOCTL_DATA_MAX 64
#define DRAIN_RETRY_NS 5000000ull /* how often to look whether the output is out */

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

static long host_open(struct tty *t UNUSED, struct file *f)
{
    return stdio_open_tty(f);
}

static struct tty host_tty = { .open = host_open };

long host_tty_attach(struct file *f)
{
    long err = 0;

    if (!user_tty) {
        user_tty = &host_tty;
        tty_set_session(&host_tty, current->proc);
        err = tty_add_node(&host_tty);
    }
    if (err == 0 && !host_tty.inode)
        err = -ENODEV;
    return err < 0 ? err : tty_attach_node(&host_tty, f);
}

bool host_tty_size(const struct file *f, struct tty_winsize *ret)
{
    return host_ioctl(f->data, TIOCGWINSZ, NULL, 0, ret, sizeof(*ret)) >= 0;
}

long host_tty_check_read(void)
{
    return tty_check_read(&host_tty);
}

/* Commands that change something are the foreground's. */
static bool changes(const struct tty_command *c)
{
    return c->in > 0 && c->cmd != TIOCSWINSZ;
}

long tty_ioctl(struct stdio *s, struct file *f, uint32_t cmd, uint64_t arg)
{
    long ret;

    if (!s->is_tty && cmd != FIONREAD)
        return -ENOTTY;
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (commands[i].cmd != cmd)
            continue;
        ret = s->is_tty && changes(&commands[i]) ? tty_check_change(&host_tty) : 0;
        return ret < 0 ? ret : forward(s, &commands[i], arg);
    }
    ret = tty_job_ioctl(&host_tty, false, f, cmd, arg);
    return ret == -ENOIOCTLCMD ? -ENOTTY : ret;
}
