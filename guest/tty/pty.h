/*
 * Inside the pseudo-terminals. What the master writes arrives, goes through the line discipline (input.c) into the line buffer,
 * and is read by the slave (line.c); what the slave writes, and what the discipline echoes, goes through output.c into the
 * output queue, which the master reads. pty.c has the two ends as files, termios.c the calls that look and set.
 */
#ifndef TTY_PTY_H
#define TTY_PTY_H

#include <asm/ioctls.h>
#include <asm/termbits.h>

#include "lib/bytes.h"
#include "tty/tty.h"

#define LINE_SIZE 4096u         /* N_TTY_BUF_SIZE: the longest line, with its end (termios(3), "Canonical mode") */
#define QUEUE_LIMIT 65536u      /* bytes that may wait in either direction */
#define MASTER_BUFFER 4095u     /* what a master on Linux has already taken when the slave's output is flushed */
#define ECHO_LIMIT 4096u

/* asm-generic/termios.h can't be included beside termbits.h. */
struct tty_winsize {
    uint16_t row, col, xpixel, ypixel;
};

struct pty {
    struct tty tty; /* first: pty_of */
    uint32_t slave_files;
    bool master_open, locked, exclusive;
    bool slave_closed; /* it was open, and nobody has it open now */
    struct ktermios termios;
    struct tty_winsize size;

    /* input */
    struct bytes arrived;          /* from the master; the discipline hasn't taken it yet */
    uint8_t *line;                 /* ring of LINE_SIZE; the positions below only grow */
    uint32_t tail, head;           /* what the slave may read and what the discipline writes */
    uint32_t canon_head;           /* behind the last complete line */
    uint32_t line_end[LINE_SIZE / 32]; /* bit map: a line ends with this byte */
    bool literal_next;             /* VLNEXT came */
    bool erasing;                  /* ECHOPRT: between \ and / */

    /* output */
    struct bytes output, echo;     /* echo: waits because output is stopped or full */
    uint32_t column, canon_column; /* of the cursor, and where the line being typed began */
    uint32_t delivered;            /* of the output, when the discipline began with what arrived: not to be flushed */
    bool stopped, stopped_by_call; /* by VSTOP, by TCOOFF */
    bool packet;                   /* TIOCPKT */
    uint8_t packet_status;

    struct wait_queue slave_read, slave_write, master_read, master_write;
};

static inline struct pty *pty_of(struct tty *t)
{
    return (struct pty *)t;
}

static inline bool flag_i(const struct pty *p, uint32_t flag)
{
    return p->termios.c_iflag & flag;
}

static inline bool flag_o(const struct pty *p, uint32_t flag)
{
    return p->termios.c_oflag & flag;
}

static inline bool flag_l(const struct pty *p, uint32_t flag)
{
    return p->termios.c_lflag & flag;
}

static inline bool is_control(uint8_t c)
{
    return c < 32 || c == 127;
}

/* A later byte of a character, where characters are UTF-8. */
static inline bool is_continuation(const struct pty *p, uint8_t c)
{
    return flag_i(p, IUTF8) && (c & 0xc0) == 0x80;
}

/* --- input.c --- */

void input_process(struct pty *p);           /* take what has arrived, as far as there is room */
void input_flush(struct pty *p);             /* forget what hasn't been read */
void input_mode_changed(struct pty *p, const struct ktermios *old);

/* --- line.c: the slave reads --- */

bool line_available(const struct pty *p, bool for_poll);
uint32_t line_count(const struct pty *p);    /* FIONREAD */
ssize_t line_read(struct pty *p, struct file *f, struct iter *to);

/* --- output.c --- */

uint32_t output_room(const struct pty *p);   /* bytes that the slave may write now */
uint32_t output_write(struct pty *p, const uint8_t *data, uint32_t n); /* how many were taken */
void output_flush(struct pty *p, uint32_t keep);
void output_stop(struct pty *p);
void output_start(struct pty *p);
void output_packet_status(struct pty *p, uint8_t clear, uint8_t set);  /* in packet mode, tell the master */

/* Echo: raw bytes, a character as ECHOCTL wants it, and what has waited. */
void echo_raw(struct pty *p, uint8_t c);
void echo_char(struct pty *p, uint8_t c);
void echo_erase(struct pty *p, uint32_t columns); /* back and blank, without the output modes */
void echo_back(struct pty *p, uint32_t columns);  /* only back */
void echo_drain(struct pty *p);

/* --- termios.c --- */

extern const struct ktermios pty_termios_initial;
long pty_termios_ioctl(struct pty *p, bool on_master, uint32_t cmd, uint64_t arg); /* -ENOIOCTLCMD: not one of these */

/* --- for the bridge to the host's terminal (bridge.c) --- */

struct pty *pty_create(void); /* or err_ptr; its master is open, without a file */
void pty_resize(struct pty *p, const struct tty_winsize *size);

#endif
