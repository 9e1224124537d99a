/*
 * The line discipline's input side: what each byte that arrives from the master means (termios(3): c_iflag, c_lflag, c_cc).
 * Never parks; wakes whoever reads.
 *
 * The line buffer holds LINE_SIZE bytes. A line that grows beyond loses what comes last but its end; with complete lines
 * in it (or in the other mode) further input stays in `arrived` until some is read.
 */
#include "tty/pty.h"

#include "fs/poll.h"
#include "lib/string.h"
#include "proc/signal.h"

#define DISABLED 0 /* _POSIX_VDISABLE */

static uint8_t *at(const struct pty *p, uint32_t pos)
{
    return &p->line[pos & (LINE_SIZE - 1)];
}

static bool is_char(const struct pty *p, int which, uint8_t c)
{
    return c != DISABLED && p->termios.c_cc[which] == c;
}

static void put(struct pty *p, uint8_t c)
{
    *at(p, p->head) = c;
    p->head++;
}

/* With PARMRK a real 0xff is told from the mark by being doubled. */
static void put_marked(struct pty *p, uint8_t c)
{
    if (c == 0xff && flag_i(p, PARMRK) && !flag_i(p, ISTRIP))
        put(p, c);
    put(p, c);
}

static void line_begins(struct pty *p)
{
    if (p->canon_head == p->head)
        p->canon_column = p->column;
}

static void finish_erasing(struct pty *p)
{
    if (!p->erasing)
        return;
    echo_raw(p, '/');
    p->erasing = false;
}

static void wake_reader(struct pty *p)
{
    wait_wake_all(&p->slave_read, EPOLLIN | EPOLLRDNORM);
}

/* --- VERASE, VWERASE, VKILL --- */

/* How wide the tab at `pos`, just erased, was: the text since the line's begin, or since the tab before, tells. */
static uint32_t tab_width(const struct pty *p, uint32_t pos)
{
    uint32_t columns = 0;
    bool after_tab = false;

    while (pos != p->canon_head) {
        uint8_t c = *at(p, --pos);

        if (c == '\t') {
            after_tab = true;
            break;
        }
        if (is_control(c))
            columns += flag_l(p, ECHOCTL) ? 2 : 0;
        else if (!is_continuation(p, c))
            columns++;
    }
    if (!after_tab)
        columns += p->canon_column;
    return 8 - (columns & 7);
}

static void show_erased(struct pty *p, uint8_t c, uint32_t bytes, bool one, uint8_t erase_char)
{
    if (flag_l(p, ECHOPRT)) {
        if (!p->erasing) {
            echo_raw(p, '\\');
            p->erasing = true;
        }
        echo_char(p, c);
        for (uint32_t i = 1; i < bytes; i++)
            echo_raw(p, *at(p, p->head + i));
    } else if (one && !flag_l(p, ECHOE)) {
        echo_char(p, erase_char);
    } else if (c == '\t') {
        echo_back(p, tab_width(p, p->head));
    } else if (!is_control(c)) {
        echo_erase(p, 1);
    } else if (flag_l(p, ECHOCTL)) {
        echo_erase(p, 2);
    }
}

/* Letters and digits of ASCII and of Latin-1, so that bytes of UTF-8 characters are parts of words. */
static bool is_word(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           (c >= 0xc0 && c != 0xd7 && c != 0xf7);
}

enum erase_kind { ERASE_CHAR, ERASE_WORD, ERASE_LINE };

static void erase_steps(struct pty *p, enum erase_kind kind, uint8_t erase_char)
{
    bool in_word = false;

    while (p->head != p->canon_head) {
        uint32_t pos = p->head, bytes;
        uint8_t c;

        do
            c = *at(p, --pos);
        while (is_continuation(p, c) && pos != p->canon_head);
        if (is_continuation(p, c)) /* no whole character */
            break;
        if (kind == ERASE_WORD) {
            if (is_word(c))
                in_word = true;
            else if (in_word)
                break;
        }
        bytes = p->head - pos;
        p->head = pos;
        if (flag_l(p, ECHO))
            show_erased(p, c, bytes, kind == ERASE_CHAR, erase_char);
        if (kind == ERASE_CHAR)
            break;
    }
    if (p->head == p->canon_head && flag_l(p, ECHO))
        finish_erasing(p);
}

static void kill_line(struct pty *p, uint8_t c)
{
    if (flag_l(p, ECHO) && flag_l(p, ECHOK) && flag_l(p, ECHOKE) && flag_l(p, ECHOE)) {
        erase_steps(p, ERASE_LINE, c);
        return;
    }
    p->head = p->canon_head;
    if (!flag_l(p, ECHO))
        return;
    finish_erasing(p);
    echo_char(p, c);
    if (flag_l(p, ECHOK))
        echo_raw(p, '\n');
}

static bool erase(struct pty *p, uint8_t c)
{
    bool word = is_char(p, VWERASE, c) && flag_l(p, IEXTEN);

    if (!is_char(p, VERASE, c) && !is_char(p, VKILL, c) && !word)
        return false;
    if (p->head == p->canon_head)
        return true;
    if (is_char(p, VERASE, c))
        erase_steps(p, ERASE_CHAR, c);
    else if (word)
        erase_steps(p, ERASE_WORD, c);
    else
        kill_line(p, c);
    return true;
}

/* --- canonical mode --- */

static void end_line(struct pty *p, uint8_t c)
{
    uint32_t i = p->head & (LINE_SIZE - 1);

    p->line_end[i / 32] |= 1u << (i % 32);
    put(p, c);
    p->canon_head = p->head;
    wake_reader(p);
}

static void reprint(struct pty *p, uint8_t c)
{
    finish_erasing(p);
    echo_char(p, c);
    echo_raw(p, '\n');
    for (uint32_t pos = p->canon_head; pos != p->head; pos++)
        echo_char(p, *at(p, pos));
}

/* True: c was one of the characters that edit or end a line. */
static bool canonical(struct pty *p, uint8_t c)
{
    bool extended = flag_l(p, IEXTEN);

    if (erase(p, c))
        return true;
    if (is_char(p, VLNEXT, c) && extended) {
        p->literal_next = true;
        if (flag_l(p, ECHO)) {
            finish_erasing(p);
            if (flag_l(p, ECHOCTL)) {
                echo_raw(p, '^');
                echo_raw(p, '\b');
            }
        }
        return true;
    }
    if (is_char(p, VREPRINT, c) && extended && flag_l(p, ECHO)) {
        reprint(p, c);
        return true;
    }
    if (c == '\n') {
        if (flag_l(p, ECHO) || flag_l(p, ECHONL))
            echo_raw(p, '\n');
        end_line(p, c);
        return true;
    }
    if (is_char(p, VEOF, c)) {
        end_line(p, DISABLED);
        return true;
    }
    if (is_char(p, VEOL, c) || (is_char(p, VEOL2, c) && extended)) {
        if (flag_l(p, ECHO)) {
            line_begins(p);
            echo_char(p, c);
        }
        if (c == 0xff && flag_i(p, PARMRK))
            put(p, c);
        end_line(p, c);
        return true;
    }
    return false;
}

/* --- any mode --- */

/* A newline that was typed as one shows as ^J where it ends no line. */
static void plain(struct pty *p, uint8_t c, bool converted)
{
    if (flag_l(p, ECHO)) {
        finish_erasing(p);
        line_begins(p);
        if (c == '\n' && converted)
            echo_raw(p, c);
        else
            echo_char(p, c);
    }
    put_marked(p, c);
}

static int signal_of(const struct pty *p, uint8_t c)
{
    if (!flag_l(p, ISIG))
        return 0;
    return is_char(p, VINTR, c) ? SIGINT : is_char(p, VQUIT, c) ? SIGQUIT : is_char(p, VSUSP, c) ? SIGTSTP : 0;
}

static void reset_line(struct pty *p)
{
    p->head = p->tail = p->canon_head = 0;
    memset(p->line_end, 0, sizeof(p->line_end));
    p->literal_next = p->erasing = false;
    output_packet_status(p, 0, TIOCPKT_FLUSHREAD);
}

static void keyboard_signal(struct pty *p, int signo, uint8_t c)
{
    tty_signal(&p->tty, signo);
    if (!flag_l(p, NOFLSH)) {
        bytes_free(&p->echo);
        output_flush(p, p->delivered);
        reset_line(p);
    }
    if (flag_i(p, IXON))
        output_start(p);
    if (flag_l(p, ECHO))
        echo_char(p, c);
    else
        echo_drain(p);
}

static bool flow_control(struct pty *p, uint8_t c)
{
    if (!flag_i(p, IXON))
        return false;
    if (is_char(p, VSTART, c)) {
        output_start(p);
        return true;
    }
    if (is_char(p, VSTOP, c)) {
        output_stop(p);
        return true;
    }
    return false;
}

static uint8_t strip(const struct pty *p, uint8_t c)
{
    if (flag_i(p, ISTRIP))
        c &= 0x7f;
    if (flag_i(p, IUCLC) && flag_l(p, IEXTEN) && c >= 'A' && c <= 'Z')
        c = (uint8_t)(c + 32);
    return c;
}

static void receive(struct pty *p, uint8_t c)
{
    bool converted = false;
    int signo;

    c = strip(p, c);
    if (flag_l(p, EXTPROC)) {
        put(p, c);
        return;
    }
    if (p->literal_next) {
        p->literal_next = false;
        plain(p, c, false);
        return;
    }
    if (flow_control(p, c))
        return;
    signo = signal_of(p, c);
    if (signo) {
        keyboard_signal(p, signo, c);
        return;
    }
    if (p->stopped && flag_i(p, IXON) && flag_i(p, IXANY))
        output_start(p);
    if (c == '\r') {
        if (flag_i(p, IGNCR))
            return;
        converted = flag_i(p, ICRNL);
        if (converted)
            c = '\n';
    } else if (c == '\n' && flag_i(p, INLCR)) {
        c = '\r';
    }
    if (!flag_l(p, ICANON) || !canonical(p, c))
        plain(p, c, converted);
}

/* Is there room for one more byte (that may become two)? An endless line makes it by giving up its last byte. */
static bool make_room(struct pty *p)
{
    uint32_t used = p->head - p->tail;
    bool endless = flag_l(p, ICANON) && p->canon_head == p->tail;
    uint32_t spare = flag_i(p, PARMRK) ? 2 : 1;

    if (used + spare < LINE_SIZE)
        return true;
    if (!endless)
        return false;
    if (used + spare > LINE_SIZE)
        p->head -= used + spare - LINE_SIZE;
    return true;
}

void input_process(struct pty *p)
{
    uint32_t n, before = p->arrived.count;
    uint32_t head = p->head;
    const uint8_t *data;

    p->delivered = MIN(p->output.count, MASTER_BUFFER);
    while ((data = bytes_front(&p->arrived, &n)) && make_room(p)) {
        uint8_t c = *data;

        bytes_drop(&p->arrived, 1);
        receive(p, c);
    }
    if (p->head != head && (!flag_l(p, ICANON) || flag_l(p, EXTPROC)))
        wake_reader(p);
    if (p->arrived.count < before)
        wait_wake_all(&p->master_write, EPOLLOUT | EPOLLWRNORM);
}

void input_flush(struct pty *p)
{
    reset_line(p);
    input_process(p);
}

/*
 * What has been typed of a line becomes readable when canonical mode ends; what lies there when it begins is a line.
 */
void input_mode_changed(struct pty *p, const struct ktermios *old)
{
    if ((old->c_lflag ^ p->termios.c_lflag) & (ICANON | EXTPROC)) {
        memset(p->line_end, 0, sizeof(p->line_end));
        if (!flag_l(p, ICANON) || p->head == p->tail) {
            p->canon_head = p->tail;
        } else {
            uint32_t i = (p->head - 1) & (LINE_SIZE - 1);

            p->line_end[i / 32] |= 1u << (i % 32);
            p->canon_head = p->head;
        }
        p->erasing = p->literal_next = false;
    }
    if (!flag_i(p, IXON) && (old->c_iflag & IXON))
        output_start(p);
    input_process(p);
    wait_wake_all(&p->slave_read, 0); /* O_ASYNC doesn't tell of this */
    wait_wake_all(&p->slave_write, 0);
}
