/* The mount tree, and the root that the sandbox starts with. Mounts are made at boot and stay. */
#include "arch/cpu.h"
#include "fs/erofs.h"
#include "fs/namei.h"
#include "fs/sysfs.h"
#include "fs/vfs.h"
#include "ipc/mqueue.h"
#include "lib/kmalloc.h"
#include "lib/log.h"
#include "lib/string.h"
#include "tty/tty.h"

struct path vfs_root;

static struct list mounts = LIST_INIT(mounts);
static int next_mount_id = 20; /* an ordinary system's first ones are about here */

struct mount *mount_first(void)
{
    return list_empty(&mounts) ? NULL : list_first(&mounts, struct mount, node);
}

struct mount *mount_next(struct mount *m)
{
    return m->node.next == &mounts ? NULL : list_first(&m->node, struct mount, node);
}

static struct mount *mount_alloc(struct superblock *sb, uint32_t flags)
{
    struct mount *m = kzalloc(sizeof(*m));

    if (!m)
        return NULL;
    m->refs = 1;
    m->id = next_mount_id++;
    m->sb = sb;
    m->root = sb->root;
    m->flags = flags;
    dentry_get(m->root);
    list_push_back(&mounts, &m->node);
    return m;
}

int vfs_mount(struct superblock *sb, const struct path *at, uint32_t flags)
{
    struct mount *m;

    if (S_ISDIR(at->dentry->inode->mode) != S_ISDIR(sb->root->inode->mode))
        return -ENOTDIR;
    m = mount_alloc(sb, flags);
    if (!m)
        return -ENOMEM;
    m->parent = at->mount;
    m->mountpoint = at->dentry;
    path_get(at);
    at->dentry->mounts++;
    return 0;
}

/* --- the root at boot: run by the first thread, before there is an app --- */

static _Noreturn void fail(const char *what, const char *where, long err)
{
    klog(LOG_ERROR, "can't build the root: %s %s: %s", what, where, error_text(err));
    hypercall(HYPERCALL_EXIT, EXIT_SETUP, (uint64_t)-err, 0, 0, 0);
    panic("EXIT came back");
}

/* Make the directories above dst; a mount point may be missing in what lies beneath. */
static void make_parents(const char *dst)
{
    char *path = kstrdup(dst);

    if (!path)
        fail("mount point", dst, -ENOMEM);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        int err;

        *slash = 0;
        err = vfs_mkdir(AT_FDCWD, path, 0755);
        if (err < 0 && err != -EEXIST)
            fail("directory", path, err);
        *slash = '/';
    }
    kfree(path);
}

/* The place to mount on, a directory or a file as sb's root is; made if it is missing. */
static struct path mount_point(const char *dst, bool directory)
{
    struct path at;
    int err = path_lookup(AT_FDCWD, dst, LOOKUP_FOLLOW, &at);

    if (err == -ENOENT) {
        make_parents(dst);
        err = directory ? vfs_mkdir(AT_FDCWD, dst, 0755) : vfs_mknod(AT_FDCWD, dst, S_IFREG | 0644, 0, NULL);
        if (err == 0 || err == -EEXIST)
            err = path_lookup(AT_FDCWD, dst, LOOKUP_FOLLOW, &at);
    }
    if (err < 0)
        fail("mount point", dst, err);
    return at;
}

static void mount_at_path(struct superblock *sb, const char *dst, uint32_t flags)
{
    struct path at;
    int err;

    if (is_err(sb) || !sb)
        fail("file system at", dst, sb ? ptr_err(sb) : -ENOMEM);
    at = mount_point(dst, S_ISDIR(sb->root->inode->mode));
    err = vfs_mount(sb, &at, flags);
    if (err < 0)
        fail("mount at", dst, err);
    path_put(&at);
}

/* Will something be mounted below dst? */
static bool holds_mount_points(const char *dst)
{
    size_t len = strlen(dst);

    for (size_t i = 0; i < boot_info.mount_count; i++) {
        const char *other = boot_info.mounts[i].dst;

        if (!strncmp(other, dst, len) && other[len] == '/')
            return true;
    }
    return false;
}

/*
 * A read-only share in which mount points may have to be made gets an overlay for them, and becomes read-only for the app when
 * the root is complete.
 */
static void mount_gofer(const struct boot_mount *m)
{
    struct superblock *sb = gofer_mount(m->export, m->readonly || m->overlay, m->cache);
    bool late = m->readonly && !m->overlay && holds_mount_points(m->dst);

    if ((m->overlay || late) && sb && !is_err(sb))
        sb = overlay_mount(sb, m->has_upper ? gofer_mount(m->upper, false, BOOT_CACHE_EXCLUSIVE) : tmpfs_mount(0755, 0),
                           m->has_upper);
    mount_at_path(sb, m->dst, late ? MNT_READONLY_LATE : m->readonly && !m->overlay ? MNT_READONLY : 0);
}

static void seal_late_mounts(void)
{
    for (struct mount *m = mount_first(); m; m = mount_next(m))
        if (m->flags & MNT_READONLY_LATE)
            m->flags ^= MNT_READONLY_LATE | MNT_READONLY;
}

static void make_file(const struct boot_mount *m)
{
    struct file *f;
    struct iter it;
    struct iter_segment seg;
    uint64_t pos = 0;
    ssize_t n;

    make_parents(m->dst);
    f = vfs_open(AT_FDCWD, m->dst, O_WRONLY | O_CREAT | O_TRUNC, 0644, 0);
    if (is_err(f))
        fail("file", m->dst, ptr_err(f));
    iter_kernel(&it, &seg, (char *)(uintptr_t)m->text, m->text_len);
    n = f->ops->write(f, &it, &pos);
    if (n != (ssize_t)m->text_len)
        fail("file", m->dst, n < 0 ? n : -EIO);
    file_put(f);
}

static void make_symlink(const struct boot_mount *m)
{
    int err;

    make_parents(m->dst);
    err = vfs_symlink(m->text, AT_FDCWD, m->dst);
    if (err == -EEXIST) {
        err = vfs_unlink(AT_FDCWD, m->dst);
        if (err == 0)
            err = vfs_symlink(m->text, AT_FDCWD, m->dst);
    }
    if (err < 0)
        fail("symbolic link", m->dst, err);
}

static void mount_disk(const struct boot_mount *m)
{
    struct blkdev *dev = blkdev_by_name(m->text);
    struct superblock *sb;

    if (!dev)
        fail("no such disk", m->text, -ENODEV);
    sb = erofs_mount(dev);
    if (is_err(sb))
        fail("EROFS on", m->text, ptr_err(sb));
    mount_at_path(overlay_mount(sb, tmpfs_mount(0755, 0), false), m->dst, 0);
}

static void apply(const struct boot_mount *m)
{
    switch (m->kind) {
    case BOOT_MOUNT_GOFER:
        mount_gofer(m);
        break;
    case BOOT_MOUNT_TMPFS:
        mount_at_path(tmpfs_mount(m->readonly ? 0755 : 01777, 0), m->dst, m->readonly ? MNT_READONLY : 0);
        break;
    case BOOT_MOUNT_SYMLINK:
        make_symlink(m);
        break;
    case BOOT_MOUNT_FILE:
        make_file(m);
        break;
    case BOOT_MOUNT_DISK:
        mount_disk(m);
        break;
    }
}

/* Does a boot mount say what is at dst (or make something below it)? */
static bool covered(const char *dst)
{
    for (size_t i = 0; i < boot_info.mount_count; i++) {
        if (strcmp(boot_info.mounts[i].dst, dst) == 0)
            return true;
    }
    return false;
}

static void mount_default(const char *dst, struct superblock *(*make)(void))
{
    if (!covered(dst))
        mount_at_path(make(), dst, 0);
}

static struct superblock *make_tmp(void)
{
    return tmpfs_mount(01777, 0);
}

static void mount_root(void)
{
    struct superblock *sb = tmpfs_mount(0755, 0);

    if (!sb || is_err(sb))
        fail("tmpfs at", "/", sb ? ptr_err(sb) : -ENOMEM);
    vfs_root.mount = mount_alloc(sb, 0);
    if (!vfs_root.mount)
        fail("mount at", "/", -ENOMEM);
    vfs_root.dentry = sb->root;
    path_get(&vfs_root);
}

/* A boot mount on "/" itself becomes the root, rather than one on top of it. */
static void move_root_up(void)
{
    struct mount *top = vfs_root.mount;

    for (struct mount *m = mount_first(); m; m = mount_next(m)) {
        if (m->parent == top && m->mountpoint == top->root)
            top = m;
    }
    path_put(&vfs_root);
    vfs_root = (struct path){ top, top->root };
    path_get(&vfs_root);
}

/* What every program expects to find; a boot mount at the same place, or over it, wins. */
static void mount_defaults(void)
{
    mount_default("/proc", procfs_mount);
    mount_default("/sys", sysfs_mount);
    mount_default("/dev", devfs_mount);
    mount_default("/dev/pts", devpts_mount);
    mount_default("/dev/shm", make_tmp);
    mount_default("/dev/mqueue", mqueue_mount);
    mount_default("/tmp", make_tmp);
}

void vfs_init(void)
{
    const struct boot_mount *m = boot_info.mounts, *end = m + boot_info.mount_count;

    mount_root();
    gofer_prepare();
    if (m < end && strcmp(m->dst, "/") == 0) { /* --root, --root-disk */
        apply(m++);
        move_root_up();
    }
    mount_defaults();
    for (; m < end; m++) {
        apply(m);
        if (strcmp(m->dst, "/") == 0)
            move_root_up();
    }
    seal_late_mounts();
}
