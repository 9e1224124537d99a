/* Between stdio.c, stdio_poll.c and tty.c. */
#ifndef FS_STDIO_IMPL_H
#define FS_STDIO_IMPL_H

#include "drivers/ring.h"
#include "fs/vfs.h"

/* Blocking calls that go one after the other. */
struct stdio_turn {
    bool taken;
    struct wait_queue queue;
};

enum stdio_watch { WATCH_IN, WATCH_OUT, WATCH_OTHER, WATCH_COUNT };

struct stdio {
    uint32_t index;
    uint32_t fid;
    uint32_t mode;
    uint64_t ino;
    bool is_tty;
    struct stdio_turn read_turn, write_turn;
    struct wait_queue wait;        /* pollers */
    bool watched[WATCH_COUNT];     /* a Tpoll waits in the gofer */
};

extern const struct file_ops stdio_ops;

/* Input was taken, or there was none: watch for more if somebody polls. */
void stdio_rearm(struct stdio *s);
uint32_t stdio_poll_events(struct stdio *s, struct file *f, struct poll_table *table);

bool tty_probe(struct stdio *s);
long host_tty_attach(struct file *f); /* f is a descriptor of the host's terminal; -errno: it has no node */
long host_tty_check_read(void);
long tty_ioctl(struct stdio *s, struct file *f, uint32_t cmd, uint64_t arg);

#endif
