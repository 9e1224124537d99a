/*
 * Terminals as the rest of the shim sees them: which one a session has, who is in its foreground, and its node in /dev/pts.
 * There are two kinds: pseudo-terminals (pty.c) and, where vmm was started on one, the host's (fs/tty.c). What both
 * share is in job.c.
 */
#ifndef TTY_TTY_H
#define TTY_TTY_H

#include "fs/vfs.h"

#define TTY_DEVICE_MAJOR 5   /* tty, console, ptmx */
#define PTS_DEVICE_MAJOR 136 /* pts/N */

struct process;

struct tty {
    struct list node;    /* in all_ttys, by index */
    int index;           /* N of /dev/pts/N */
    int sid, pgid;       /* the session whose controlling terminal it is, its foreground group; 0: none */
    struct inode *inode; /* in /dev/pts; a reference. NULL: no node any more */
    long (*open)(struct tty *t, struct file *f); /* f->ops and f->data, as inode_ops.open */
};

extern struct list all_ttys;

/* The terminal that stands for what vmm's user sits at: the host's, or --tty's. NULL: there is none. */
extern struct tty *user_tty;

/* --- /dev/pts (devpts.c) --- */

struct superblock *devpts_mount(void);
int tty_free_index(void);                /* -ENOSPC */
int tty_add_node(struct tty *t);         /* index is set; 0 or -ENOMEM */
void tty_remove_node(struct tty *t);
long tty_attach_node(struct tty *t, struct file *f); /* f's path and inode are the node's from now on */

/* /dev/tty and /dev/ptmx. 0 or -errno; f as in inode_ops.open. */
long tty_open_controlling(struct file *f);
long ptmx_open(struct file *f);

/* --- sessions and job control (job.c; credentials(7), POSIX "General Terminal Interface") --- */

/* May current, if t is its controlling terminal, change it (SIGTTOU) or read from it (SIGTTIN)? 0, -EIO, -ERESTARTSYS. */
long tty_check_change(const struct tty *t);
long tty_check_read(const struct tty *t);

/* A session leader without a terminal has opened this one. */
void tty_opened(struct tty *t, const struct file *f);

/* TIOCGPGRP, TIOCSPGRP, TIOCGSID, TIOCSCTTY, TIOCNOTTY; on a pty's master they speak of the slave. -ENOIOCTLCMD: another. */
#define ENOIOCTLCMD 515
long tty_job_ioctl(struct tty *t, bool on_master, const struct file *f, uint32_t cmd, uint64_t arg);

int tty_async_owner(const struct tty *t);        /* file_ops.async_owner: the foreground, else who asks; t may be NULL */
void tty_set_session(struct tty *t, struct process *leader);
void tty_hang_up(struct tty *t);                 /* the line is gone: tell the session leader, have no session any more */
void tty_signal(const struct tty *t, int signo); /* to the foreground group, if there is one */
void tty_process_exit(struct process *p);        /* a session leader takes its terminal with it */

#endif
