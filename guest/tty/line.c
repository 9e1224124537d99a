/* The slave reads: whole lines, or bytes by VMIN and VTIME (termios(3), "Canonical and noncanonical mode"). */
#include "tty/pty.h"

#include "arch/cpu.h"
#include "fs/poll.h"

#define DECISECOND_NS (NSEC_PER_SEC / 10)
#define CHUNK 256u

static bool canonical(const struct pty *p)
{
    return flag_l(p, ICANON) && !flag_l(p, EXTPROC);
}

bool line_available(const struct pty *p, bool for_poll)
{
    uint32_t min = p->termios.c_cc[VMIN];

    if (canonical(p))
        return p->canon_head != p->tail;
    if (!for_poll || p->termios.c_cc[VTIME] || min == 0)
        min = 1;
    return p->head - p->tail >= min;
}

static bool is_end(const struct pty *p, uint32_t pos)
{
    uint32_t i = pos & (LINE_SIZE - 1);

    return p->line_end[i / 32] >> (i % 32) & 1;
}

static uint8_t byte_at(const struct pty *p, uint32_t pos)
{
    return p->line[pos & (LINE_SIZE - 1)];
}

/* An end of file, typed as VEOF, ends a line without being part of it. */
static bool is_eof(const struct pty *p, uint32_t pos)
{
    return is_end(p, pos) && byte_at(p, pos) == 0;
}

uint32_t line_count(const struct pty *p)
{
    uint32_t n = p->canon_head - p->tail;

    if (!canonical(p))
        return p->head - p->tail;
    for (uint32_t pos = p->tail; pos != p->canon_head; pos++)
        n -= is_eof(p, pos);
    return n;
}

static void take(struct pty *p, uint32_t n)
{
    for (; n > 0; n--, p->tail++) {
        uint32_t i = p->tail & (LINE_SIZE - 1);

        p->line_end[i / 32] &= ~(1u << (i % 32));
    }
}

/*
 * Copy up to limit bytes from the buffer, of a line no more than its end. Bytes, or -EFAULT if none could be copied. *ret_end: the
 * line's end was among them.
 */
static ssize_t copy_out(struct pty *p, struct iter *to, uint32_t limit, bool by_line, bool *ret_end)
{
    uint8_t chunk[CHUNK];
    uint32_t n = 0;
    size_t copied;

    limit = MIN(limit, CHUNK);
    *ret_end = false;
    while (n < limit && !*ret_end) {
        if (by_line && is_eof(p, p->tail + n))
            break;
        *ret_end = by_line && is_end(p, p->tail + n);
        chunk[n] = byte_at(p, p->tail + n);
        n++;
    }
    copied = iter_copy_to(to, chunk, n);
    take(p, (uint32_t)copied);
    return copied > 0 || n == 0 ? (ssize_t)copied : -EFAULT;
}

/* An end of file right behind what fills the reader's buffer is taken along. */
static ssize_t read_line(struct pty *p, struct iter *to)
{
    ssize_t done = 0, n;
    bool end = false;

    while (!end && p->tail != p->canon_head) {
        if (is_eof(p, p->tail)) {
            take(p, 1);
            break;
        }
        if (to->left == 0)
            break;
        n = copy_out(p, to, (uint32_t)MIN(to->left, (uint64_t)(p->canon_head - p->tail)), true, &end);
        if (n < 0)
            return done > 0 ? done : n;
        done += n;
    }
    return done;
}

static ssize_t read_bytes(struct pty *p, struct iter *to)
{
    ssize_t done = 0, n;
    bool end;

    while (to->left > 0 && p->head != p->tail) {
        n = copy_out(p, to, (uint32_t)MIN(to->left, (uint64_t)(p->head - p->tail)), false, &end);
        if (n < 0)
            return done > 0 ? done : n;
        done += n;
    }
    return done;
}

/* 1: something may be there; 0: give up (the time is over, or the line is dead); or -errno. */
static long wait_for_input(struct pty *p, const struct file *f, uint64_t deadline)
{
    long err;

    if (!p->master_open || deadline == 0)
        return 0;
    if (f->flags & O_NONBLOCK)
        return -EAGAIN;
    err = wait_until(&p->slave_read, line_available(p, false) || !p->master_open, deadline, true);
    if (err == -ETIMEDOUT)
        return 0;
    return err < 0 ? err : 1;
}

/* VMIN > 0: VTIME runs between bytes. VMIN = 0: it is how long to wait for the first. 0: not at all. */
static uint64_t first_deadline(const struct pty *p)
{
    uint64_t time = p->termios.c_cc[VTIME];

    if (canonical(p) || p->termios.c_cc[VMIN] > 0)
        return NEVER;
    return time > 0 ? clock_mono_ns() + time * DECISECOND_NS : 0;
}

ssize_t line_read(struct pty *p, struct file *f, struct iter *to)
{
    bool by_line = canonical(p);
    uint64_t deadline = first_deadline(p), between = p->termios.c_cc[VTIME] * DECISECOND_NS;
    ssize_t minimum = by_line ? 0 : MAX(p->termios.c_cc[VMIN], 1), done = 0, n;

    while (to->left > 0) {
        if (!line_available(p, false)) {
            long err = wait_for_input(p, f, deadline);

            if (err <= 0)
                return done > 0 ? done : err;
            continue;
        }
        n = canonical(p) ? read_line(p, to) : read_bytes(p, to);
        input_process(p);
        if (n < 0)
            return done > 0 ? done : n;
        done += n;
        if (by_line || canonical(p) || done >= minimum)
            break;
        if (p->termios.c_cc[VMIN] > 0 && between > 0)
            deadline = clock_mono_ns() + between;
    }
    return done;
}
