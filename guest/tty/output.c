/* From the slave to the master: output modes, echo, flow control (termios(3), c_oflag). Never parks. */
#include "tty/pty.h"

#include "fs/poll.h"


static void tell_master(struct pty *p)
{
    wait_wake_all(&p->master_read, EPOLLIN | EPOLLRDNORM);
}

void output_packet_status(struct pty *p, uint8_t clear, uint8_t set)
{
    if (!p->packet)
        return;
    p->packet_status = (uint8_t)((p->packet_status & ~clear) | set);
    wait_wake_all(&p->master_read, EPOLLIN | EPOLLRDNORM | EPOLLPRI);
}

uint32_t output_room(const struct pty *p)
{
    return p->stopped ? 0 : QUEUE_LIMIT - p->output.count;
}

static uint8_t upper(uint8_t c)
{
    return c >= 'a' && c <= 'z' ? (uint8_t)(c - 32) : c;
}

/*
 * What c becomes, in out; up to 8 bytes. Keeps track of the cursor's column. Returns how many.
 * Tabs count as wide even if they aren't expanded.
 */
static uint32_t process(struct pty *p, uint8_t c, uint8_t out[8])
{
    uint32_t n = 0, spaces;

    out[0] = c;
    switch (c) {
    case '\n':
        if (flag_o(p, ONLRET))
            p->column = 0;
        if (flag_o(p, ONLCR)) {
            p->column = p->canon_column = 0;
            out[n++] = '\r';
        }
        p->canon_column = p->column;
        out[n++] = '\n';
        return n;
    case '\r':
        if (flag_o(p, ONOCR) && p->column == 0)
            return 0;
        if (flag_o(p, OCRNL)) {
            out[0] = '\n';
            if (flag_o(p, ONLRET))
                p->column = p->canon_column = 0;
            return 1;
        }
        p->column = p->canon_column = 0;
        return 1;
    case '\t':
        spaces = 8 - (p->column & 7);
        p->column += spaces;
        if ((p->termios.c_oflag & TABDLY) != XTABS)
            return 1;
        while (n < spaces)
            out[n++] = ' ';
        return n;
    case '\b':
        if (p->column > 0)
            p->column--;
        return 1;
    default:
        if (is_control(c))
            return 1;
        if (flag_o(p, OLCUC))
            out[0] = upper(c);
        if (!is_continuation(p, c))
            p->column++;
        return 1;
    }
}

uint32_t output_write(struct pty *p, const uint8_t *data, uint32_t n)
{
    uint32_t done = 0;
    uint8_t out[8];

    echo_drain(p);
    if (!flag_o(p, OPOST)) {
        done = MIN(n, output_room(p));
        if (done > 0 && !bytes_put(&p->output, data, done, QUEUE_LIMIT))
            done = 0;
    } else {
        while (done < n && output_room(p) >= sizeof(out)) {
            uint32_t len = process(p, data[done], out);

            if (!bytes_put(&p->output, out, len, QUEUE_LIMIT))
                break;
            done++;
        }
    }
    if (done > 0)
        tell_master(p);
    return done;
}

void output_flush(struct pty *p, uint32_t keep)
{
    bytes_truncate(&p->output, keep);
    output_packet_status(p, 0, TIOCPKT_FLUSHWRITE);
    wait_wake_all(&p->slave_write, EPOLLOUT | EPOLLWRNORM);
}

/* --- flow control --- */

void output_stop(struct pty *p)
{
    if (p->stopped)
        return;
    p->stopped = true;
    output_packet_status(p, TIOCPKT_START, TIOCPKT_STOP);
}

void output_start(struct pty *p)
{
    if (!p->stopped || p->stopped_by_call)
        return;
    p->stopped = false;
    output_packet_status(p, TIOCPKT_STOP, TIOCPKT_START);
    echo_drain(p);
    wait_wake_all(&p->slave_write, EPOLLOUT | EPOLLWRNORM);
}

/* --- echo: never waits. What can't go out now is kept, and beyond a limit lost, as in Linux --- */

static void echo_put(struct pty *p, const uint8_t *data, uint32_t n)
{
    if (p->echo.count == 0 && output_room(p) >= n && bytes_put(&p->output, data, n, QUEUE_LIMIT))
        tell_master(p);
    else
        bytes_put(&p->echo, data, n, ECHO_LIMIT);
}

void echo_drain(struct pty *p)
{
    uint32_t n;
    const uint8_t *data;

    while ((data = bytes_front(&p->echo, &n))) {
        n = MIN(n, output_room(p));
        if (n == 0 || !bytes_put(&p->output, data, n, QUEUE_LIMIT))
            return;
        bytes_drop(&p->echo, n);
        tell_master(p);
    }
}

void echo_raw(struct pty *p, uint8_t c)
{
    uint8_t out[8] = { c };

    echo_put(p, out, flag_o(p, OPOST) ? process(p, c, out) : 1);
}

void echo_char(struct pty *p, uint8_t c)
{
    const uint8_t caret[2] = { '^', c ^ 0x40 };

    if (!flag_l(p, ECHOCTL) || !is_control(c) || c == '\t') {
        echo_raw(p, c);
        return;
    }
    echo_put(p, caret, sizeof(caret));
    p->column += 2;
}

void echo_erase(struct pty *p, uint32_t columns)
{
    static const uint8_t wipe[3] = { '\b', ' ', '\b' };

    for (; columns > 0; columns--) {
        echo_put(p, wipe, sizeof(wipe));
        if (p->column > 0)
            p->column--;
    }
}

void echo_back(struct pty *p, uint32_t columns)
{
    static const uint8_t back = '\b';

    for (; columns > 0; columns--) {
        echo_put(p, &back, 1);
        if (p->column > 0)
            p->column--;
    }
}
