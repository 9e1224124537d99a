/*
 * /dev: a tmpfs with the usual nodes in it, and what the character devices do.
 */
#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "fs/blkdev.h"
#include "fs/vfs.h"
#include "mm/frame.h"
#include "lib/string.h"
#include "tty/tty.h"

#include <linux/mman.h>
#include <linux/random.h>

#define MEM_MAJOR 1
#define ENTROPY_BITS 256

/* --- reading and writing --- */

static ssize_t null_read(struct file *f UNUSED, struct iter *to UNUSED, uint64_t *pos UNUSED)
{
    return 0;
}

static ssize_t null_write(struct file *f UNUSED, struct iter *from, uint64_t *pos UNUSED)
{
    ssize_t n = (ssize_t)from->left;

    iter_advance(from, (size_t)n);
    return n;
}

static ssize_t zero_read(struct file *f UNUSED, struct iter *to, uint64_t *pos UNUSED)
{
    static const uint8_t zeroes[256];
    size_t want = to->left, n = iter_zero(to, want), more;

    /* Up to the last byte before a bad address, which the fast way doesn't do. */
    while (n < want && (more = iter_copy_to(to, zeroes, MIN(want - n, sizeof(zeroes)))) > 0)
        n += more;
    return n > 0 || want == 0 ? (ssize_t)n : -EFAULT;
}

static ssize_t full_write(struct file *f UNUSED, struct iter *from UNUSED, uint64_t *pos UNUSED)
{
    return -ENOSPC;
}

static ssize_t random_read(struct file *f UNUSED, struct iter *to, uint64_t *pos UNUSED)
{
    uint8_t chunk[256];
    size_t done = 0;

    while (to->left > 0) {
        size_t n = (size_t)MIN(to->left, (uint64_t)sizeof(chunk)), copied;

        random_bytes(chunk, n);
        copied = iter_copy_to(to, chunk, n);
        done += copied;
        if (copied < n)
            return done > 0 ? (ssize_t)done : -EFAULT;
    }
    return (ssize_t)done;
}

static long random_ioctl(struct file *f UNUSED, uint32_t cmd, uint64_t arg)
{
    int bits = ENTROPY_BITS;

    switch (cmd) {
    case RNDGETENTCNT:
        return put_user(bits, arg);
    case RNDADDTOENTCNT:
    case RNDADDENTROPY:
    case RNDZAPENTCNT:
    case RNDCLEARPOOL:
    case RNDRESEEDCRNG:
        return 0; /* the generator was seeded by the host and needs none of the app's */
    default:
        return -EINVAL;
    }
}

static loff_t null_seek(struct file *f, loff_t offset UNUSED, int whence UNUSED)
{
    f->pos = 0;
    return 0;
}

/* --- mapping /dev/zero: anonymous memory by another name. Shared, it is a nameless tmpfs file. --- */

#define SHARED_ZERO_SIZE (1ull << 46)

static int zero_mmap(struct file *f, int prot UNUSED, int flags)
{
    struct file *memory;

    if ((flags & MAP_TYPE) == MAP_PRIVATE || f->data)
        return 0;
    memory = tmpfs_file_create("dev/zero", SHARED_ZERO_SIZE);
    if (is_err(memory))
        return (int)ptr_err(memory);
    f->data = memory;
    return 0;
}

static int zero_page(struct file *f, uint64_t offset, bool write, gpa_t *ret_gpa, uint64_t *ret_run)
{
    struct file *memory = f->data;
    gpa_t gpa;

    if (memory)
        return memory->ops->page(memory, offset, write, ret_gpa, ret_run);
    gpa = frame_zalloc();
    if (!gpa)
        return -ENOMEM;
    *ret_gpa = gpa;
    *ret_run = PAGE_SIZE;
    return 0;
}

static void zero_release(struct file *f)
{
    if (f->data)
        file_put(f->data);
}

static const struct file_ops null_ops = { .read = null_read, .write = null_write, .seek = null_seek };
static const struct file_ops zero_ops = {
    .read = zero_read,
    .write = null_write,
    .seek = null_seek,
    .mmap = zero_mmap,
    .page = zero_page,
    .release = zero_release,
};
static const struct file_ops full_ops = { .read = zero_read, .write = full_write, .seek = null_seek };
static const struct file_ops random_ops = {
    .read = random_read,
    .write = null_write,
    .seek = null_seek,
    .ioctl = random_ioctl,
};

/* --- the nodes --- */

static const struct device {
    const char *name;
    uint32_t major, minor;
    uint32_t mode;
    const struct file_ops *ops; /* NULL: terminals */
} devices[] = {
    { "null", MEM_MAJOR, 3, 0666, &null_ops },      { "zero", MEM_MAJOR, 5, 0666, &zero_ops },
    { "full", MEM_MAJOR, 7, 0666, &full_ops },      { "random", MEM_MAJOR, 8, 0666, &random_ops },
    { "urandom", MEM_MAJOR, 9, 0666, &random_ops }, { "tty", TTY_DEVICE_MAJOR, 0, 0666, NULL },
    { "console", TTY_DEVICE_MAJOR, 1, 0600, NULL }, { "ptmx", TTY_DEVICE_MAJOR, 2, 0666, NULL },
};

static const struct {
    const char *name, *target;
} links[] = {
    { "fd", "/proc/self/fd" },
    { "stdin", "/proc/self/fd/0" },
    { "stdout", "/proc/self/fd/1" },
    { "stderr", "/proc/self/fd/2" },
};

static long open_terminal(uint32_t minor, struct file *f)
{
    switch (minor) {
    case 0:
        return tty_open_controlling(f);
    case 1:
        return user_tty ? user_tty->open(user_tty, f) : -ENXIO;
    default:
        return ptmx_open(f);
    }
}

long chrdev_open(struct inode *inode, struct file *f)
{
    for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
        if (inode->rdev != vfs_makedev(devices[i].major, devices[i].minor))
            continue;
        if (!devices[i].ops)
            return open_terminal(devices[i].minor, f);
        f->ops = devices[i].ops;
        return 0;
    }
    return -ENXIO;
}

static long keep(struct inode *inode)
{
    if (is_err(inode))
        return ptr_err(inode);
    inode_put(inode);
    return 0;
}

static struct name name_of(const char *s)
{
    return (struct name){ s, strlen(s) };
}

static long make_node(struct inode *root, const struct device *d)
{
    struct name name = name_of(d->name);

    return keep(root->ops->mknod(root, &name, S_IFCHR | d->mode, vfs_makedev(d->major, d->minor)));
}

static long populate(struct inode *root)
{
    struct name shm = name_of("shm"), pts = name_of("pts");
    long err = keep(root->ops->mkdir(root, &shm, 01777));

    if (err == 0)
        err = keep(root->ops->mkdir(root, &pts, 0755));
    for (size_t i = 0; err == 0 && i < ARRAY_SIZE(devices); i++)
        err = make_node(root, &devices[i]);
    if (err == 0)
        err = blkdev_make_nodes(root);
    for (size_t i = 0; err == 0 && i < ARRAY_SIZE(links); i++) {
        struct name name = name_of(links[i].name);

        err = keep(root->ops->symlink(root, &name, links[i].target));
    }
    return err;
}

struct superblock *devfs_mount(void)
{
    struct superblock *sb = tmpfs_mount(0755, 0);
    long err;

    if (is_err(sb))
        return sb;
    sb->type = "devtmpfs";
    sb->source = "dev";
    err = populate(sb->root->inode);
    return err < 0 ? err_ptr(err) : sb;
}
