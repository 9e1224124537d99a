/*
 * Names to descriptors; see path.h.
 */
#include "gofer/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

/* openat2 gives EAGAIN when a rename or mount happens meanwhile; the host may do that all day. */
#define OPEN_RETRIES 32

#define DEVICE_MIX 0x9e3779b97f4a7c15u
#define UPPER_MIX (1ull << 62) /* an upper layer may be on the same file system as the lower one, or on another */

int path_check_name(const struct p9_str *name, char ret_name[P9_NAME_MAX + 1])
{
    if (!name->len)
        return -ENOENT;
    if (name->len > P9_NAME_MAX)
        return -ENAMETOOLONG;
    if (memchr(name->data, '/', name->len) || memchr(name->data, '\0', name->len))
        return -EINVAL;
    if (name->data[0] == '.' && (name->len == 1 || (name->len == 2 && name->data[1] == '.')))
        return -EINVAL;
    memcpy(ret_name, name->data, name->len);
    ret_name[name->len] = '\0';
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, *(const char *const *)b);
}

bool path_hidden(const struct export *x, const char *name)
{
    return x->names && !bsearch(name, x->names, x->name_count, sizeof(x->names[0]), compare_names);
}

/* Magic-link file systems lead out of any export; nothing of them is served. */
static int refuse_procfs(int fd)
{
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0)
        return -errno;
    return fs.f_type == PROC_SUPER_MAGIC ? -ENOENT : 0;
}

int path_open_at(const struct export *x, int dir_fd, const char *name, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOFOLLOW),
        .mode = mode,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    long fd = -1;
    int err;

    /* O_PATH|O_NOFOLLOW on a symlink is what we want; RESOLVE_NO_SYMLINKS allows exactly that. */
    if (!x->cross_mounts)
        how.resolve |= RESOLVE_NO_XDEV;
    for (int i = 0; i < OPEN_RETRIES; i++) {
        fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    if (fd < 0)
        return errno == EXDEV ? -ENOENT : -errno; /* a host mount that isn't shared isn't there */
    err = x->cross_mounts ? refuse_procfs((int)fd) : 0;
    if (err) {
        close((int)fd);
        return err;
    }
    return (int)fd;
}

void path_fd_name(int fd, char ret_name[12])
{
    snprintf(ret_name, 12, "%d", fd);
}

int path_reopen(int proc_fd, int fd, int flags)
{
    char name[12];
    int opened;

    path_fd_name(fd, name);
    opened = openat(proc_fd, name, (flags & ~O_NOFOLLOW) | O_CLOEXEC);
    return opened < 0 ? -errno : opened;
}

int path_check_search(const struct export *x, mode_t dir_mode)
{
    if (!S_ISDIR(dir_mode))
        return -ENOTDIR;
    return x->world_only && !(dir_mode & S_IXOTH) ? -EACCES : 0;
}

int path_check_open(const struct export *x, mode_t mode, int flags)
{
    bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);

    if (S_ISLNK(mode))
        return -ELOOP;
    if (!S_ISREG(mode) && !S_ISDIR(mode))
        return S_ISFIFO(mode) || S_ISSOCK(mode) ? -ENXIO : -EACCES;
    if (S_ISDIR(mode) && writes)
        return -EISDIR;
    if (!S_ISDIR(mode) && (flags & O_DIRECTORY))
        return -ENOTDIR;
    if (writes && !x->writable)
        return -EROFS;
    if (x->world_only && !(mode & S_IROTH))
        return -EACCES;
    return 0;
}

int path_stat(int fd, const char *name, struct statx *ret)
{
    int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name ? 0 : AT_EMPTY_PATH);

    return statx(fd, name, flags, STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID, ret) < 0 ? -errno : 0;
}

uint64_t path_dev(const struct statx *st)
{
    return makedev(st->stx_dev_major, st->stx_dev_minor);
}

uint64_t path_number(const struct export *x, uint64_t ino)
{
    return x->upper ? ino ^ UPPER_MIX : ino;
}

void path_qid(const struct export *x, const struct statx *st, struct p9_qid *ret)
{
    ret->type = S_ISDIR(st->stx_mode) ? P9_QTDIR : S_ISLNK(st->stx_mode) ? P9_QTSYMLINK : P9_QTFILE;
    /* Changes when the data does: clients compare versions to keep or drop what they cached. */
    ret->version = (uint32_t)st->stx_mtime.tv_sec ^ (st->stx_mtime.tv_nsec << 2) ^ (uint32_t)(st->stx_size << 8);
    ret->path = x ? path_number(x, st->stx_ino) : st->stx_ino;
    /* Files of another file system below the export may have the same inode number. */
    if (x && path_dev(st) != x->dev)
        ret->path ^= (path_dev(st) * DEVICE_MIX) << 32;
}

static uint32_t shown_id(uint32_t id, uint32_t overflow, uint32_t invoker, bool world_only)
{
    if (id == invoker)
        return 0;
    /*
     * An ordinary user's namespace knows one id. What the system's own directories show as "nobody" then is
     * root's in truth; elsewhere it may be anybody's.
     */
    if (world_only && id == overflow)
        return 0;
    return id;
}

void path_attr(const struct export *x, const struct path_view *view, const struct statx *st, struct p9_attr *ret)
{
    bool world = x && x->world_only;

    path_qid(x, st, &ret->qid);
    ret->mode = st->stx_mode;
    ret->uid = shown_id(st->stx_uid, view->overflow_uid, view->invoker_uid, world);
    ret->gid = shown_id(st->stx_gid, view->overflow_uid, view->invoker_gid, world);
    ret->nlink = st->stx_nlink;
    ret->rdev = makedev(st->stx_rdev_major, st->stx_rdev_minor);
    ret->size = st->stx_size;
    ret->blksize = st->stx_blksize;
    ret->blocks = st->stx_blocks;
    ret->atime_sec = (uint64_t)st->stx_atime.tv_sec;
    ret->atime_nsec = st->stx_atime.tv_nsec;
    ret->mtime_sec = (uint64_t)st->stx_mtime.tv_sec;
    ret->mtime_nsec = st->stx_mtime.tv_nsec;
    ret->ctime_sec = (uint64_t)st->stx_ctime.tv_sec;
    ret->ctime_nsec = st->stx_ctime.tv_nsec;
    ret->btime_sec = st->stx_mask & STATX_BTIME ? (uint64_t)st->stx_btime.tv_sec : 0;
    ret->btime_nsec = st->stx_mask & STATX_BTIME ? st->stx_btime.tv_nsec : 0;
}
