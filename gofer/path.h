/*
 * The only place where the gofer turns names into descriptors.
 *
 * A guest's name is one component, resolved beneath its parent's descriptor: never through a symlink, a
 * magic link or "..", and over a mount point only where the export says so. What is opened for I/O is a regular file
 * or a directory; FIFOs, sockets and device nodes of the host are never opened.
 */
#ifndef GOFER_PATH_H
#define GOFER_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "hypercalls/p9.h"

/* One shared file or directory. Opened at set-up, never changed. */
struct export {
    const char *name;     /* attach name of the socket transport: the host's path */
    int fd;               /* O_PATH, of a private mount where the kernel gives us one */
    mode_t mode;
    uint64_t dev;         /* device and inode number of its root */
    uint64_t ino;
    uint64_t mnt_id;
    bool writable;
    bool world_only;
    bool cross_mounts;    /* mounts below it are part of it */
    bool upper;           /* an overlay's upper layer */
    bool own_mount;       /* fd is a mount of our own, read-only unless writable */
    bool plain;           /* getdents(2) tells the numbers and types that statx(2) does */
    const char *const *names; /* all that there is at its top, sorted; NULL: everything */
    size_t name_count;
};

/* How attributes are shown to the client. */
struct path_view {
    uid_t overflow_uid;   /* what the kernel reports for owners outside our user namespace; -1: all are inside */
    uid_t invoker_uid;    /* shown as 0 (without a user namespace, which does it by itself); -1: nobody */
    gid_t invoker_gid;
};

/* Is this a name that may go to the kernel: 1 to 255 bytes, no '/', no NUL, not "." or ".."? 0, -EINVAL, -ENAMETOOLONG, -ENOENT. */
int path_check_name(const struct p9_str *name, char ret_name[P9_NAME_MAX + 1]);

/* Is this name at the top of the export one that isn't served? */
bool path_hidden(const struct export *x, const char *name);

/* Open a component of the directory dir_fd; flags as for open(2), O_CLOEXEC and O_NOFOLLOW are added. fd or -errno. */
int path_open_at(const struct export *x, int dir_fd, const char *name, int flags, mode_t mode);

/* Reopen an O_PATH descriptor for I/O through /proc/self/fd, held at proc_fd. fd or -errno. */
int path_reopen(int proc_fd, int fd, int flags);

/* "17" for descriptor 17: its name in /proc/self/fd. */
void path_fd_name(int fd, char ret_name[12]);

/* May a file of this mode be opened for I/O with these flags? 0, -EACCES, -EROFS, -EISDIR, -ELOOP … */
int path_check_open(const struct export *x, mode_t mode, int flags);

/* May entries of a directory of this mode be looked up? */
int path_check_search(const struct export *x, mode_t dir_mode);

/* Attributes of fd, or of name (no symlink followed) in fd. 0 or -errno. */
int path_stat(int fd, const char *name, struct statx *ret);

void path_attr(const struct export *x, const struct path_view *view, const struct statx *st, struct p9_attr *ret);
void path_qid(const struct export *x, const struct statx *st, struct p9_qid *ret); /* x may be NULL */
uint64_t path_number(const struct export *x, uint64_t ino); /* the qid's path of a file of the export's own device */

uint64_t path_dev(const struct statx *st);

#endif
