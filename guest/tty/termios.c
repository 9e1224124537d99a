/* Modes, sizes and queues of a pseudo-terminal: ioctl_tty(2). Called on either end, they concern the slave. */
#include "tty/pty.h"

#include "arch/uaccess.h"
#include "fs/poll.h"
#include "lib/string.h"
#include "proc/signal.h"

#define TERMIOS_SIZE 36u
#define TERMIOS2_SIZE 44u
#define TERMIO_CC 8u /* of termio's control characters */

struct old_termio {
    uint16_t iflag, oflag, cflag, lflag;
    uint8_t line, cc[TERMIO_CC];
};

_Static_assert(sizeof(struct termios) == TERMIOS_SIZE && sizeof(struct termios2) == TERMIOS2_SIZE, "ioctl_tty(2)");
_Static_assert(offsetof(struct ktermios, c_cc) == offsetof(struct termios, c_cc), "the same up to the speeds");

const struct ktermios pty_termios_initial = {
    .c_iflag = ICRNL | IXON,
    .c_oflag = OPOST | ONLCR,
    .c_cflag = B38400 | CS8 | CREAD,
    .c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
    .c_cc = { [VINTR] = 3, [VQUIT] = 28, [VERASE] = 127, [VKILL] = 21, [VEOF] = 4, [VMIN] = 1, [VSTART] = 17,
              [VSTOP] = 19, [VSUSP] = 26, [VREPRINT] = 18, [VDISCARD] = 15, [VWERASE] = 23, [VLNEXT] = 22 },
    .c_ispeed = 38400,
    .c_ospeed = 38400,
};

/* --- speeds: nothing runs at them, but what was set is shown --- */

static const uint32_t speeds[] = { 0,    50,   75,   110,   134,   150,    200,     300,    600,   1200,
                                   1800, 2400, 4800, 9600,  19200, 38400 };
static const uint32_t extended_speeds[] = { 57600,   115200,  230400,  460800,  500000,  576000,  921600, 1000000,
                                            1152000, 1500000, 2000000, 2500000, 3000000, 3500000, 4000000 };

/* The speed that a code of CBAUD stands for; BOTHER: other. */
static uint32_t speed_of(uint32_t code, uint32_t other)
{
    if (code == BOTHER)
        return other;
    if (code & CBAUDEX)
        return (code & 15) - 1 < ARRAY_SIZE(extended_speeds) ? extended_speeds[(code & 15) - 1] : 0;
    return speeds[code & 15];
}

static void fix_speeds(struct ktermios *t)
{
    uint32_t input = t->c_cflag >> IBSHIFT & CBAUD;

    t->c_ospeed = speed_of(t->c_cflag & CBAUD, t->c_ospeed);
    t->c_ispeed = input == B0 ? t->c_ospeed : speed_of(input, t->c_ispeed);
}

/* --- setting --- */

static bool uses_flow_keys(const struct ktermios *t)
{
    return (t->c_iflag & IXON) && t->c_cc[VSTOP] == 19 && t->c_cc[VSTART] == 17;
}

static void tell_packet_master(struct pty *p, const struct ktermios *old)
{
    bool now = uses_flow_keys(&p->termios);

    if (uses_flow_keys(old) != now)
        output_packet_status(p, TIOCPKT_DOSTOP | TIOCPKT_NOSTOP, now ? TIOCPKT_DOSTOP : TIOCPKT_NOSTOP);
    if ((old->c_lflag ^ p->termios.c_lflag) & EXTPROC)
        output_packet_status(p, 0, TIOCPKT_IOCTL);
}

static void apply(struct pty *p, struct ktermios *t)
{
    struct ktermios old = p->termios;

    fix_speeds(t);
    t->c_cflag = (t->c_cflag & ~(uint32_t)(CSIZE | PARENB)) | CS8 | CREAD;
    p->termios = *t;
    tell_packet_master(p, &old);
    input_mode_changed(p, &old);
}

static long read_termio(struct ktermios *t, uint64_t arg)
{
    struct old_termio old;

    if (copy_from_user(&old, arg, offsetof(struct old_termio, cc) + TERMIO_CC) < 0)
        return -EFAULT;
    t->c_iflag = (t->c_iflag & 0xffff0000u) | old.iflag;
    t->c_oflag = (t->c_oflag & 0xffff0000u) | old.oflag;
    t->c_cflag = (t->c_cflag & 0xffff0000u) | old.cflag;
    t->c_lflag = (t->c_lflag & 0xffff0000u) | old.lflag;
    t->c_line = old.line;
    memcpy(t->c_cc, old.cc, TERMIO_CC);
    return 0;
}

enum form { FORM_TERMIO, FORM_TERMIOS, FORM_TERMIOS2 };

/* All output is in the master's queue at once, so there is nothing to be waited for. */
static long set(struct pty *p, enum form form, bool flush, uint64_t arg)
{
    struct ktermios t = p->termios;
    long err = tty_check_change(&p->tty);

    if (err < 0)
        return err;
    if (form == FORM_TERMIO)
        err = read_termio(&t, arg);
    else
        err = copy_from_user(&t, arg, form == FORM_TERMIOS2 ? TERMIOS2_SIZE : TERMIOS_SIZE);
    if (err < 0)
        return -EFAULT;
    if (flush)
        input_flush(p);
    apply(p, &t);
    return 0;
}

static long get(const struct pty *p, enum form form, uint64_t arg)
{
    const struct ktermios *t = &p->termios;
    struct old_termio old = { .iflag = (uint16_t)t->c_iflag, .oflag = (uint16_t)t->c_oflag,
                              .cflag = (uint16_t)t->c_cflag, .lflag = (uint16_t)t->c_lflag, .line = t->c_line };

    if (form != FORM_TERMIO)
        return copy_to_user(arg, t, form == FORM_TERMIOS2 ? TERMIOS2_SIZE : TERMIOS_SIZE);
    memcpy(old.cc, t->c_cc, TERMIO_CC);
    return copy_to_user(arg, &old, sizeof(old));
}

/* --- size --- */

void pty_resize(struct pty *p, const struct tty_winsize *size)
{
    if (memcmp(&p->size, size, sizeof(*size)) == 0)
        return;
    p->size = *size;
    tty_signal(&p->tty, SIGWINCH);
}

static long set_size(struct pty *p, uint64_t arg)
{
    struct tty_winsize size;

    if (get_user(size, arg) < 0)
        return -EFAULT;
    pty_resize(p, &size);
    return 0;
}

/* --- queues --- */

/* What is input for one end is output for the other. */
static long flush(struct pty *p, bool on_master, uint64_t which)
{
    bool input = which == TCIFLUSH || which == TCIOFLUSH, output = which == TCOFLUSH || which == TCIOFLUSH;

    if (!input && !output)
        return -EINVAL;
    if (on_master) {
        if (input)
            bytes_truncate(&p->output, 0);
        if (output)
            bytes_truncate(&p->arrived, 0);
        wait_wake_all(input ? &p->slave_write : &p->master_write, EPOLLOUT | EPOLLWRNORM);
        return 0;
    }
    if (input)
        input_flush(p);
    if (output)
        output_flush(p, MASTER_BUFFER);
    return 0;
}

/* tcflow(3): the slave's own output, or what it asks of who types. On the master there is nothing to stop. */
static long flow(struct pty *p, bool on_master, uint64_t action)
{
    uint8_t c = p->termios.c_cc[action == TCIOFF ? VSTOP : VSTART];

    if (action > TCION)
        return -EINVAL;
    if (on_master)
        return 0;
    if (action == TCOOFF && !p->stopped_by_call) {
        output_stop(p);
        p->stopped_by_call = true;
    } else if (action == TCOON && p->stopped_by_call) {
        p->stopped_by_call = false;
        output_start(p);
    } else if ((action == TCIOFF || action == TCION) && c != 0) {
        bytes_put(&p->output, &c, 1, QUEUE_LIMIT);
        wait_wake_all(&p->master_read, EPOLLIN | EPOLLRDNORM);
    }
    return 0;
}

/* TIOCSLCKTRMIOS takes CAP_SYS_ADMIN, which nobody in the sandbox has: no mode is ever locked. */
static long get_locked(uint64_t arg)
{
    static const struct termios none;

    return copy_to_user(arg, &none, sizeof(none)) < 0 ? -EFAULT : 0;
}

static long put_int(int value, uint64_t arg)
{
    return put_user(value, arg) < 0 ? -EFAULT : 0;
}

static long checked(const struct pty *p, long (*fn)(struct pty *, bool, uint64_t), struct pty *self, bool on_master, uint64_t arg)
{
    long err = tty_check_change(&p->tty);

    return err < 0 ? err : fn(self, on_master, arg);
}

static long set_discipline(uint64_t arg)
{
    int discipline;

    if (get_user(discipline, arg) < 0)
        return -EFAULT;
    return discipline == 0 ? 0 : -EINVAL; /* N_TTY */
}

/* TIOCSTI, input that nobody typed, answers as where dev.tty.legacy_tiocsti is 0. */
static long others(struct pty *p, bool on_master, uint32_t cmd, uint64_t arg)
{
    switch (cmd) {
    case TIOCGWINSZ:
        return put_user(p->size, arg) < 0 ? -EFAULT : 0;
    case TIOCSWINSZ:
        return set_size(p, arg);
    case FIONREAD:
        return put_int((int)(on_master ? MIN(p->output.count, MASTER_BUFFER) : line_count(p)), arg);
    case TIOCOUTQ:
        return put_int(0, arg);
    case TCFLSH:
        return checked(p, flush, p, on_master, arg);
    case TCXONC:
        return checked(p, flow, p, on_master, arg);
    case TCSBRK:
    case TCSBRKP:
    case TIOCSBRK:
        return tty_check_change(&p->tty);
    case TIOCCBRK:
        return 0;
    case TIOCSTI:
        return -EIO;
    case TIOCGLCKTRMIOS:
        return get_locked(arg);
    case TIOCSLCKTRMIOS:
        return -EPERM;
    case TIOCGETD:
        return put_int(0, arg);
    case TIOCSETD:
        return set_discipline(arg);
    case TIOCGSOFTCAR:
        return put_int((p->termios.c_cflag & CLOCAL) != 0, arg);
    default:
        return -ENOIOCTLCMD;
    }
}

long pty_termios_ioctl(struct pty *p, bool on_master, uint32_t cmd, uint64_t arg)
{
    switch (cmd) {
    case TCGETS:
        return get(p, FORM_TERMIOS, arg);
    case TCGETS2:
        return get(p, FORM_TERMIOS2, arg);
    case TCGETA:
        return get(p, FORM_TERMIO, arg);
    case TCSETS:
    case TCSETSW:
        return set(p, FORM_TERMIOS, false, arg);
    case TCSETSF:
        return set(p, FORM_TERMIOS, true, arg);
    case TCSETS2:
    case TCSETSW2:
        return set(p, FORM_TERMIOS2, false, arg);
    case TCSETSF2:
        return set(p, FORM_TERMIOS2, true, arg);
    case TCSETA:
    case TCSETAW:
        return set(p, FORM_TERMIO, false, arg);
    case TCSETAF:
        return set(p, FORM_TERMIO, true, arg);
    default:
        return others(p, on_master, cmd, arg);
    }
}
