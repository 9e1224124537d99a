/* What file systems and mounts there are: ustat(2), sysfs(2), statmount(2), listmount(2), cachestat(2). */
#include "fs/tmpfs.h"
#include "fs/vfs.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "sys/syscall.h"

#include <linux/mount.h>

/* --- ustat, sysfs --- */

struct ustat {
    int32_t f_tfree;
    uint64_t f_tinode;
    char f_fname[6], f_fpack[6];
};

SYSCALL_DEFINE2(ustat, uint32_t, dev, uaddr_t, buf)
{
    struct ustat u;

    for (struct mount *m = mount_first(); m; m = mount_next(m)) {
        struct statfs st = { 0 };

        if (m->sb->dev != dev)
            continue;
        if (m->sb->ops && m->sb->ops->statfs && m->sb->ops->statfs(m->sb, &st) < 0)
            return -EINVAL;
        memset(&u, 0, sizeof(u));
        u.f_tfree = (int32_t)st.f_bfree;
        u.f_tinode = (uint64_t)st.f_ffree;
        return put_user(u, buf);
    }
    return -EINVAL;
}

/* Those that something is mounted from, and those that are mounted nowhere; as in /proc/filesystems. */
static const char *const fs_types[] = {
    "tmpfs", "proc", "sysfs", "devtmpfs", "devpts", "mqueue", "pipefs", "sockfs", "overlay", "9p",
};

static long type_index(uaddr_t name_addr)
{
    char name[32];
    ssize_t n = strncpy_from_user(name, name_addr, sizeof(name));

    if (n < 0)
        return n == -ENAMETOOLONG ? -EINVAL : n;
    for (size_t i = 0; i < ARRAY_SIZE(fs_types); i++)
        if (strcmp(fs_types[i], name) == 0)
            return (long)i;
    return -EINVAL;
}

SYSCALL_DEFINE3(sysfs, int, option, uint64_t, arg1, uaddr_t, arg2)
{
    switch (option) {
    case 1:
        return type_index(arg1);
    case 2:
        if (arg1 >= ARRAY_SIZE(fs_types))
            return -EINVAL;
        return copy_to_user(arg2, fs_types[arg1], strlen(fs_types[arg1]) + 1);
    case 3:
        return ARRAY_SIZE(fs_types);
    default:
        return -EINVAL;
    }
}

/* --- statmount, listmount --- */

/* Not in the headers of the oldest supported distribution. */
struct mount_request {
    uint32_t size, spare;
    uint64_t mnt_id, param, mnt_ns_id;
};

#define REQUEST_SIZE_MIN 24u
#define LIST_ROOT UINT64_MAX
#define LIST_REVERSE 1u
#define LIST_MAX 1000000u
#define TEXT_MAX 8192u

enum {
    WANT_SB_BASIC = 0x1,
    WANT_MNT_BASIC = 0x2,
    WANT_PROPAGATE_FROM = 0x4,
    WANT_MNT_ROOT = 0x8,
    WANT_MNT_POINT = 0x10,
    WANT_FS_TYPE = 0x20,
    WANT_MNT_NS_ID = 0x40,
    WANT_MNT_OPTS = 0x80,
    WANT_SB_SOURCE = 0x200,
    WANT_SUPPORTED = 0x1000,
};

#define WANT_ALL \
    (WANT_SB_BASIC | WANT_MNT_BASIC | WANT_PROPAGATE_FROM | WANT_MNT_ROOT | WANT_MNT_POINT | WANT_FS_TYPE | WANT_MNT_NS_ID | \
     WANT_MNT_OPTS | WANT_SB_SOURCE | WANT_SUPPORTED)

struct mount_status {
    uint32_t size, mnt_opts;
    uint64_t mask;
    uint32_t sb_dev_major, sb_dev_minor;
    uint64_t sb_magic;
    uint32_t sb_flags, fs_type;
    uint64_t mnt_id, mnt_parent_id;
    uint32_t mnt_id_old, mnt_parent_id_old;
    uint64_t mnt_attr, mnt_propagation, mnt_peer_group, mnt_master, propagate_from;
    uint32_t mnt_root, mnt_point;
    uint64_t mnt_ns_id;
    uint32_t fs_subtype, sb_source;
    uint32_t opt_num, opt_array, opt_sec_num, opt_sec_array;
    uint64_t supported_mask;
    uint32_t mnt_uidmap_num, mnt_uidmap, mnt_gidmap_num, mnt_gidmap;
    uint64_t spare[43];
};

_Static_assert(sizeof(struct mount_status) == 512, "struct statmount");

/* The mount's text goes behind the struct; the struct has its offset. */
struct mount_text {
    char *data;
    uint32_t len;
    bool full;
};

static long fetch_request(uaddr_t addr, struct mount_request *ret)
{
    uint32_t size;

    if (get_user(size, addr) < 0)
        return -EFAULT;
    if (size > PAGE_SIZE)
        return -E2BIG;
    if (size < REQUEST_SIZE_MIN)
        return -EINVAL;
    *ret = (struct mount_request){ 0 };
    for (uint32_t i = sizeof(*ret); i < size; i++) {
        uint8_t byte;

        if (get_user(byte, addr + i) < 0)
            return -EFAULT;
        if (byte)
            return -E2BIG;
    }
    if (copy_from_user(ret, addr, MIN(size, (uint32_t)sizeof(*ret))) < 0)
        return -EFAULT;
    return ret->spare ? -EINVAL : 0;
}

/* What lies beneath the root that the sandbox sees isn't reachable. */
static struct mount *first_visible(void)
{
    return vfs_root.mount;
}

static struct mount *find_mount(uint64_t id)
{
    struct mount *m;

    for (m = first_visible(); m && mount_unique_id(m) != id; m = mount_next(m))
        ;
    return m;
}

static uint32_t add_text(struct mount_text *t, const char *s, size_t n)
{
    uint32_t at = t->len;

    if (n + 1 > TEXT_MAX - t->len) {
        t->full = true;
        return 0;
    }
    memcpy(t->data + at, s, n);
    t->data[at + n] = '\0';
    t->len += (uint32_t)n + 1;
    return at;
}

static uint32_t add_path(struct mount_text *t, struct mount *m)
{
    struct path at = { m, m->root };
    char buf[1024], *text;
    ssize_t n = path_text(&at, NULL, buf, sizeof(buf), &text);

    if (n < 0) {
        t->full = true;
        return 0;
    }
    return add_text(t, text, (size_t)n);
}

static bool is_readonly(const struct mount *m)
{
    return (m->flags & MNT_READONLY) || (m->sb->flags & SB_READONLY);
}

static void fill_status(struct mount *m, uint64_t want, struct mount_status *s, struct mount_text *t)
{
    if (want & WANT_SB_BASIC) {
        s->sb_dev_major = vfs_major(m->sb->dev);
        s->sb_dev_minor = vfs_minor(m->sb->dev);
        s->sb_magic = m->sb->magic;
        s->sb_flags = is_readonly(m) ? MS_RDONLY : 0;
    }
    if (want & WANT_MNT_BASIC) {
        const struct mount *parent = m == vfs_root.mount || !m->parent ? m : m->parent;

        s->mnt_id = mount_unique_id(m);
        s->mnt_parent_id = mount_unique_id(parent);
        s->mnt_id_old = (uint32_t)m->id;
        s->mnt_parent_id_old = (uint32_t)parent->id;
        s->mnt_attr = (is_readonly(m) ? MOUNT_ATTR_RDONLY : 0) | MOUNT_ATTR_RELATIME;
        s->mnt_propagation = MS_PRIVATE;
    }
    if (want & WANT_MNT_ROOT)
        s->mnt_root = add_text(t, "/", 1);
    if (want & WANT_MNT_POINT)
        s->mnt_point = add_path(t, m);
    if (want & WANT_FS_TYPE)
        s->fs_type = add_text(t, m->sb->type, strlen(m->sb->type));
    if (want & WANT_SB_SOURCE)
        s->sb_source = add_text(t, m->sb->source, strlen(m->sb->source));
    if (want & WANT_MNT_OPTS)
        s->mnt_opts = add_text(t, "", 0);
    if (want & WANT_MNT_NS_ID)
        s->mnt_ns_id = 1; /* there is one */
    if (want & WANT_SUPPORTED)
        s->supported_mask = WANT_ALL;
    s->mask = want;
}

static long put_status(const struct mount_status *s, const struct mount_text *t, uaddr_t buf, size_t size)
{
    if (t->full || (t->len > 0 && size < sizeof(*s) + t->len))
        return -EOVERFLOW;
    if (copy_to_user(buf, s, MIN(size, sizeof(*s))) < 0)
        return -EFAULT;
    return t->len > 0 ? copy_to_user(buf + sizeof(*s), t->data, t->len) : 0;
}

SYSCALL_DEFINE4(statmount, uaddr_t, request, uaddr_t, buf, size_t, size, uint32_t, flags)
{
    struct mount_status s = { 0 };
    struct mount_text t = { 0 };
    struct mount_request rq;
    struct mount *m;
    long err;

    if (flags)
        return -EINVAL;
    err = fetch_request(request, &rq);
    if (err < 0)
        return err;
    if (rq.mnt_ns_id > 1)
        return -ENOENT;
    m = find_mount(rq.mnt_id);
    if (!m)
        return -ENOENT;
    t.data = kmalloc(TEXT_MAX);
    if (!t.data)
        return -ENOMEM;
    fill_status(m, rq.param & WANT_ALL, &s, &t);
    s.size = (uint32_t)sizeof(s) + t.len;
    err = put_status(&s, &t, buf, size);
    kfree(t.data);
    return err;
}

static bool lies_below(const struct mount *m, const struct mount *above)
{
    for (; m && m != vfs_root.mount; m = m->parent)
        if (m->parent == above)
            return true;
    return false;
}

SYSCALL_DEFINE4(listmount, uaddr_t, request, uaddr_t, ids, size_t, count, uint32_t, flags)
{
    const struct mount *above;
    struct mount_request rq;
    uint64_t last = 0;
    size_t n = 0;
    long err;

    if (flags & ~LIST_REVERSE)
        return -EINVAL;
    if (count > LIST_MAX)
        return -EOVERFLOW;
    err = fetch_request(request, &rq);
    if (err < 0)
        return err;
    above = rq.mnt_id == LIST_ROOT ? vfs_root.mount : find_mount(rq.mnt_id);
    if (!above || rq.mnt_ns_id > 1)
        return -ENOENT;
    last = rq.param ? rq.param : flags & LIST_REVERSE ? UINT64_MAX : 0;
    while (n < count) {
        uint64_t best = 0;

        /* By ascending or descending id, whatever the order of the list. */
        for (const struct mount *m = first_visible(); m; m = mount_next((struct mount *)(uintptr_t)m)) {
            uint64_t id = mount_unique_id(m);
            bool beyond = flags & LIST_REVERSE ? id < last : id > last;

            if (beyond && lies_below(m, above) && (!best || (flags & LIST_REVERSE ? id > best : id < best)))
                best = id;
        }
        if (!best)
            break;
        if (put_user(best, ids + n * sizeof(best)) < 0)
            return -EFAULT;
        last = best;
        n++;
    }
    return (long)n;
}

/* --- cachestat --- */

struct cache_range {
    uint64_t off, len;
};

struct cache_status {
    uint64_t nr_cache, nr_dirty, nr_writeback, nr_evicted, nr_recently_evicted;
};

/* Files of the host's have their pages in the host's cache: none of them are in here. Those of tmpfs are in memory, and dirty. */
SYSCALL_DEFINE4(cachestat, int, fd, uaddr_t, range, uaddr_t, status, uint32_t, flags)
{
    struct cache_status st = { 0 };
    struct cache_range r;
    struct file *f = fd_get_io(fd);
    uint64_t end;

    if (!f)
        return -EBADF;
    if (get_user(r, range) < 0) {
        file_put(f);
        return -EFAULT;
    }
    if (flags) {
        file_put(f);
        return -EINVAL;
    }
    end = r.len == 0 || r.off + r.len < r.off ? UINT64_MAX : r.off + r.len;
    if (f->ops == &tmpfs_file_ops)
        st.nr_cache = st.nr_dirty = tmpfs_page_count(f->inode, r.off >> PAGE_SHIFT, PAGE_UP(MIN(end, UINT64_MAX - PAGE_SIZE)) >> PAGE_SHIFT);
    file_put(f);
    return put_user(st, status);
}
