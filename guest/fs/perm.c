/*
 * Who may do what: permission bits, ownership, sticky directories, read-only mounts, by the credentials of the sandbox's own
 * users. At boot, before there is a thread, everything is allowed.
 */
#include <linux/capability.h>

#include "fs/namei.h"
#include "fs/vfs.h"
#include "proc/process.h"

static const struct cred *cred(void)
{
    return current && current->proc ? &current->proc->cred : NULL;
}

static bool fs_capable(int capability)
{
    return !cred() || (cred()->cap_effective >> capability & 1);
}

uint32_t vfs_fsuid(void)
{
    return cred() ? cred()->fsuid : 0;
}

uint32_t vfs_fsgid(void)
{
    return cred() ? cred()->fsgid : 0;
}

static bool fs_in_group(uint32_t gid)
{
    return !cred() || cred()->fsgid == gid || in_group(gid);
}

uint32_t vfs_new_gid(const struct inode *dir)
{
    return dir->mode & S_ISGID ? dir->gid : vfs_fsgid();
}

bool vfs_owner(const struct inode *inode)
{
    return inode->uid == vfs_fsuid() || fs_capable(CAP_FOWNER);
}

bool vfs_group_allowed(uint32_t gid)
{
    return fs_in_group(gid);
}

bool vfs_capable(int capability)
{
    return fs_capable(capability);
}

/* path_resolution(7): the first class that fits decides; capabilities come last. */
int vfs_permission(struct inode *inode, uint32_t mask)
{
    uint32_t bits = inode->mode;

    if ((mask & MAY_WRITE) && (inode->sb->flags & SB_READONLY) &&
        (S_ISREG(inode->mode) || S_ISDIR(inode->mode) || S_ISLNK(inode->mode)))
        return -EROFS;
    if (inode->uid == vfs_fsuid())
        bits >>= 6;
    else if (fs_in_group(inode->gid))
        bits >>= 3;
    if ((mask & ~bits & 7) == 0)
        return 0;
    if (S_ISDIR(inode->mode)) {
        if (!(mask & MAY_WRITE) && fs_capable(CAP_DAC_READ_SEARCH))
            return 0;
        return fs_capable(CAP_DAC_OVERRIDE) ? 0 : -EACCES;
    }
    if (mask == MAY_READ && fs_capable(CAP_DAC_READ_SEARCH))
        return 0;
    if ((!(mask & MAY_EXEC) || (inode->mode & 0111)) && fs_capable(CAP_DAC_OVERRIDE))
        return 0;
    return -EACCES;
}

int vfs_want_write(const struct path *p)
{
    if ((p->mount->flags & MNT_READONLY) || (p->dentry->sb->flags & SB_READONLY))
        return -EROFS;
    return 0;
}

int may_create(const struct dentry *dir)
{
    if (dir->deleted)
        return -ENOENT;
    return vfs_permission(dir->inode, MAY_WRITE | MAY_EXEC);
}

static bool sticky_forbids(const struct inode *dir, const struct inode *victim)
{
    return (dir->mode & S_ISVTX) && victim->uid != vfs_fsuid() && dir->uid != vfs_fsuid() &&
           !fs_capable(CAP_FOWNER);
}

int may_delete(const struct dentry *dir, const struct dentry *victim, bool want_dir)
{
    int err = vfs_permission(dir->inode, MAY_WRITE | MAY_EXEC);

    if (err < 0)
        return err;
    if (sticky_forbids(dir->inode, victim->inode))
        return -EPERM;
    if (want_dir && !S_ISDIR(victim->inode->mode))
        return -ENOTDIR;
    if (!want_dir && S_ISDIR(victim->inode->mode))
        return -EISDIR;
    if (dir->deleted)
        return -ENOENT;
    return 0;
}
