/*
 * The set-up of exports; see exports.h.
 */
#include "gofer/exports.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <linux/magic.h>
#include <unistd.h>

#include "common/jail.h"

#define OVERFLOW_ID 65534 /* /proc/sys/kernel/overflowuid is never changed in practice */

/*
 * File systems whose directories tell the numbers that stat(2) does. Subvolumes (btrfs) and layers (overlayfs) have numbers of
 * their own.
 */
static bool is_plain(uint32_t magic)
{
    return magic == EXT4_SUPER_MAGIC || magic == XFS_SUPER_MAGIC || magic == TMPFS_MAGIC || magic == EROFS_SUPER_MAGIC_V1 ||
           magic == SQUASHFS_MAGIC;
}

/* procfs has magic links and other processes' memory: it can't be shared. */
static int check_file_system(int fd, bool *ret_plain)
{
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0)
        return -errno;
    *ret_plain = is_plain((uint32_t)fs.f_type);
    return fs.f_type == PROC_SUPER_MAGIC ? -EOPNOTSUPP : 0;
}

static int open_one(struct export *x, const struct gofer_export *wanted)
{
    bool alone, plain = false;
    struct statx st;
    int err;

    *x = (struct export){ .name = wanted->host_path,
                          .writable = wanted->writable,
                          .world_only = wanted->world_only,
                          .cross_mounts = wanted->cross_mounts,
                          .upper = wanted->upper,
                          .names = wanted->names,
                          .name_count = wanted->name_count };
    x->fd = jail_open_mount(wanted->host_path, !wanted->writable, wanted->cross_mounts, &x->own_mount, &alone);
    if (x->fd < 0)
        return x->fd;
    err = path_stat(x->fd, "", &st);
    if (!err)
        err = check_file_system(x->fd, &plain);
    if (!err && !S_ISREG(st.stx_mode) && !S_ISDIR(st.stx_mode))
        err = -EOPNOTSUPP;
    if (err) {
        close(x->fd);
        return err;
    }
    x->mode = st.stx_mode;
    x->dev = path_dev(&st);
    x->ino = st.stx_ino;
    x->mnt_id = st.stx_mnt_id;
    x->plain = alone && plain;
    return 0;
}

struct path_view exports_view(void)
{
    struct path_view view = { (uid_t)-1, (uid_t)-1, (gid_t)-1 };
    bool mapped = jail_layers() & JAIL_USER_NS;

    if (!jail_ids_complete())
        view.overflow_uid = OVERFLOW_ID;
    if (!mapped && geteuid() != 0) {
        view.invoker_uid = geteuid();
        view.invoker_gid = getegid();
    }
    return view;
}

void exports_close(struct exports *exports)
{
    while (exports->count)
        close(exports->list[--exports->count].fd);
    free(exports->list);
    exports->list = NULL;
}

int exports_open(struct exports *exports, const struct gofer_config *config, const char **ret_what)
{
    exports->count = 0;
    exports->list = calloc(config->export_count + 1, sizeof(exports->list[0]));
    if (!exports->list)
        return -ENOMEM;
    for (size_t i = 0; i < config->export_count; i++) {
        int err = open_one(&exports->list[i], &config->exports[i]);

        if (err) {
            *ret_what = config->exports[i].host_path;
            exports_close(exports);
            return err;
        }
        exports->count++;
    }
    return 0;
}
