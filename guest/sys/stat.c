/* stat(2), statx(2), statfs(2) and their relatives. */
#include <asm/stat.h>
#include <linux/stat.h>

#include "lib/kmalloc.h"
#include "lib/string.h"
#include "sys/file_util.h"
#include "sys/syscall.h"

static void fill_stat(const struct inode *i, struct stat *st)
{
    *st = (struct stat){
        .st_dev = i->sb->dev,
        .st_ino = i->ino,
        .st_nlink = i->nlink,
        .st_mode = i->mode,
        .st_uid = i->uid,
        .st_gid = i->gid,
        .st_rdev = i->rdev,
        .st_size = (long)i->size,
        .st_blksize = i->blksize,
        .st_blocks = (long)i->blocks,
        .st_atime = (uint64_t)i->atime.sec,
        .st_atime_nsec = i->atime.nsec,
        .st_mtime = (uint64_t)i->mtime.sec,
        .st_mtime_nsec = i->mtime.nsec,
        .st_ctime = (uint64_t)i->ctime.sec,
        .st_ctime_nsec = i->ctime.nsec,
    };
}

static long stat_inode(struct inode *inode, uaddr_t buf)
{
    struct stat st;
    int err = vfs_getattr(inode, STATX_BASIC_STATS);

    if (err < 0)
        return err;
    fill_stat(inode, &st);
    return put_user(st, buf);
}

/* Pipes and the like have no inode: an empty file of the anonymous kind. */
static long stat_file(const struct file *f, uaddr_t buf)
{
    struct inode *inode = file_vfs_inode(f);
    struct stat st = { .st_mode = 0600, .st_nlink = 1, .st_blksize = PAGE_SIZE };

    return inode ? stat_inode(inode, buf) : put_user(st, buf);
}

static long stat_path(int dirfd, uaddr_t path, uint32_t lookup, uaddr_t buf)
{
    struct path p;
    long err = user_path_lookup(dirfd, path, lookup, &p);

    if (err < 0)
        return err;
    err = stat_inode(p.dentry->inode, buf);
    path_put(&p);
    return err;
}

SYSCALL_DEFINE2(stat, uaddr_t, path, uaddr_t, buf)
{
    return stat_path(AT_FDCWD, path, LOOKUP_FOLLOW, buf);
}

SYSCALL_DEFINE2(lstat, uaddr_t, path, uaddr_t, buf)
{
    return stat_path(AT_FDCWD, path, 0, buf);
}

SYSCALL_DEFINE2(fstat, int, fd, uaddr_t, buf)
{
    struct file *f = fd_get(fd);
    long err;

    if (!f)
        return -EBADF;
    err = stat_file(f, buf);
    file_put(f);
    return err;
}

static uint32_t at_to_lookup(int flags)
{
    uint32_t lookup = flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW;

    return flags & AT_EMPTY_PATH ? lookup | LOOKUP_EMPTY : lookup;
}

/* "" with AT_EMPTY_PATH is the descriptor itself, whatever kind of file it is: how C libraries do fstat. */
static bool is_descriptor(int fd, uaddr_t path, int flags)
{
    char c = 0;

    return (flags & AT_EMPTY_PATH) && fd >= 0 && (!path || (get_user(c, path) == 0 && !c));
}

SYSCALL_DEFINE4(newfstatat, int, dirfd, uaddr_t, path, uaddr_t, buf, int, flags)
{
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE))
        return -EINVAL;
    if (is_descriptor(dirfd, path, flags)) {
        struct file *f = fd_get(dirfd);
        long err = f ? stat_file(f, buf) : -EBADF;

        file_put(f);
        return err;
    }
    return stat_path(dirfd, path, at_to_lookup(flags), buf);
}

/* --- statx --- */

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000u
#endif

static struct statx_timestamp statx_time(const struct timestamp *t)
{
    return (struct statx_timestamp){ .tv_sec = t->sec, .tv_nsec = t->nsec };
}

static void fill_statx(const struct inode *i, struct statx *sx)
{
    *sx = (struct statx){
        .stx_mask = STATX_BASIC_STATS | STATX_BTIME,
        .stx_blksize = i->blksize,
        .stx_nlink = i->nlink,
        .stx_uid = i->uid,
        .stx_gid = i->gid,
        .stx_mode = (uint16_t)i->mode,
        .stx_ino = i->ino,
        .stx_size = i->size,
        .stx_blocks = i->blocks,
        .stx_atime = statx_time(&i->atime),
        .stx_btime = statx_time(&i->btime),
        .stx_ctime = statx_time(&i->ctime),
        .stx_mtime = statx_time(&i->mtime),
        .stx_rdev_major = vfs_major(i->rdev),
        .stx_rdev_minor = vfs_minor(i->rdev),
        .stx_dev_major = vfs_major(i->sb->dev),
        .stx_dev_minor = vfs_minor(i->sb->dev),
    };
}

static long statx_inode(struct inode *inode, const struct mount *mount, uint32_t mask, uaddr_t buf)
{
    struct statx sx = { .stx_mask = STATX_BASIC_STATS, .stx_mode = 0600, .stx_nlink = 1, .stx_blksize = PAGE_SIZE };
    int err = inode ? vfs_getattr(inode, mask) : 0;

    if (err < 0)
        return err;
    if (inode)
        fill_statx(inode, &sx);
    if (mount) {
        sx.stx_mask |= mask & STATX_MNT_ID_UNIQUE ? STATX_MNT_ID_UNIQUE : STATX_MNT_ID;
        sx.stx_mnt_id = mask & STATX_MNT_ID_UNIQUE ? mount_unique_id(mount) : (uint32_t)mount->id;
    }
    return put_user(sx, buf);
}

SYSCALL_DEFINE5(statx, int, dirfd, uaddr_t, path, int, flags, uint32_t, mask, uaddr_t, buf)
{
    struct path p;
    long err;

    if (mask & STATX__RESERVED)
        return -EINVAL;
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE))
        return -EINVAL;
    if ((flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE)
        return -EINVAL;
    if (is_descriptor(dirfd, path, flags)) {
        struct file *f = fd_get(dirfd);

        err = f ? statx_inode(file_vfs_inode(f), f->mount, mask, buf) : -EBADF;
        file_put(f);
        return err;
    }
    err = user_path_lookup(dirfd, path, at_to_lookup(flags), &p);
    if (err < 0)
        return err;
    err = statx_inode(p.dentry->inode, p.mount, mask, buf);
    path_put(&p);
    return err;
}

/* --- file systems --- */

#define ST_RDONLY 0x1
#define ST_VALID 0x20
#define PIPEFS 0x50495045
#define ANON_INODE_FS 0x09041934

static long statfs_sb(struct superblock *sb, const struct mount *mount, uaddr_t buf)
{
    struct statfs st = { .f_type = sb->magic, .f_bsize = PAGE_SIZE, .f_frsize = PAGE_SIZE, .f_namelen = VFS_NAME_MAX };
    int err = sb->ops && sb->ops->statfs ? sb->ops->statfs(sb, &st) : 0;

    if (err < 0)
        return err;
    st.f_type = sb->magic;
    st.f_fsid.val[0] = (int)sb->dev;
    st.f_flags = ST_VALID;
    if ((sb->flags & SB_READONLY) || (mount && (mount->flags & MNT_READONLY)))
        st.f_flags |= ST_RDONLY;
    return put_user(st, buf);
}

SYSCALL_DEFINE2(statfs, uaddr_t, path, uaddr_t, buf)
{
    struct path p;
    long err = user_path_lookup(AT_FDCWD, path, LOOKUP_FOLLOW, &p);

    if (err < 0)
        return err;
    err = statfs_sb(p.dentry->sb, p.mount, buf);
    path_put(&p);
    return err;
}

SYSCALL_DEFINE2(fstatfs, int, fd, uaddr_t, buf)
{
    struct file *f = fd_get(fd);
    struct statfs st = { .f_type = PIPEFS, .f_bsize = PAGE_SIZE, .f_frsize = PAGE_SIZE, .f_namelen = VFS_NAME_MAX };
    struct inode *inode;
    long err;

    if (!f)
        return -EBADF;
    inode = file_vfs_inode(f);
    if (!inode)
        st.f_type = ANON_INODE_FS;
    err = inode && inode->sb ? statfs_sb(inode->sb, f->mount, buf) : put_user(st, buf);
    file_put(f);
    return err;
}
