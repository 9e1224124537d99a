/* Changing attributes: who may, and what else changes with them (notify_change of Linux). */
#include <linux/capability.h>

#include "fs/namei.h"
#include "fs/notify.h"
#include "fs/vfs.h"

static int check_chown(const struct inode *inode, const struct attr *attr)
{
    bool owner = inode->uid == vfs_fsuid();

    if (vfs_capable(CAP_CHOWN))
        return 0;
    if ((attr->valid & ATTR_UID) && !(owner && attr->uid == inode->uid))
        return -EPERM;
    if ((attr->valid & ATTR_GID) && !(owner && (attr->gid == inode->gid || vfs_group_allowed(attr->gid))))
        return -EPERM;
    return 0;
}

/* A new owner must not inherit set-id programs. */
static void drop_setid(const struct inode *inode, struct attr *attr)
{
    uint32_t mode = attr->valid & ATTR_MODE ? attr->mode : inode->mode & 07777;
    uint32_t kept = mode & ~(uint32_t)S_ISUID;

    if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
        kept &= ~(uint32_t)S_ISGID;
    if (kept == mode)
        return;
    attr->mode = kept;
    attr->valid |= ATTR_MODE;
}

static int check_times(struct inode *inode, const struct attr *attr)
{
    if (vfs_owner(inode))
        return 0;
    if ((attr->valid & ATTR_ATIME_NOW) && (attr->valid & ATTR_MTIME_NOW))
        return vfs_permission(inode, MAY_WRITE);
    return -EPERM;
}

/* What inotify makes of a change: times as if the file had been used. */
static uint32_t change_event(uint32_t valid)
{
    uint32_t times = valid & (ATTR_ATIME | ATTR_MTIME);

    if (times == 0 || times == (ATTR_ATIME | ATTR_MTIME) || (valid & (ATTR_MODE | ATTR_UID | ATTR_GID)))
        return IN_ATTRIB;
    return times == ATTR_ATIME ? IN_ACCESS : IN_MODIFY;
}

int vfs_setattr(const struct path *p, struct attr *attr)
{
    struct inode *inode = p->dentry->inode;
    int err = p->mount ? vfs_want_write(p) : 0;

    if (err == 0 && (attr->valid & (ATTR_UID | ATTR_GID)))
        err = check_chown(inode, attr);
    if (err == 0 && (attr->valid & ATTR_MODE) && !vfs_owner(inode))
        err = -EPERM;
    if (err == 0 && (attr->valid & (ATTR_ATIME | ATTR_MTIME)) && !(attr->valid & ATTR_SIZE))
        err = check_times(inode, attr);
    if (err < 0)
        return err;
    if ((attr->valid & ATTR_MODE) && !vfs_capable(CAP_FSETID) && !vfs_group_allowed(inode->gid))
        attr->mode &= ~(uint32_t)S_ISGID;
    if ((attr->valid & (ATTR_UID | ATTR_GID)) && !S_ISDIR(inode->mode))
        drop_setid(inode, attr);
    err = inode->ops->setattr ? inode->ops->setattr(inode, attr) : -EPERM;
    if (err == 0)
        notify_dentry(p->dentry, change_event(attr->valid));
    return err;
}

/* A change of the content of a set-id file takes the privilege away, unless it comes with CAP_FSETID. */
void vfs_drop_setid(struct inode *inode)
{
    struct attr attr = { 0 };

    if (likely(!(inode->mode & (S_ISUID | S_ISGID)) || !S_ISREG(inode->mode)) || vfs_capable(CAP_FSETID))
        return;
    drop_setid(inode, &attr);
    if (attr.valid && inode->ops->setattr)
        inode->ops->setattr(inode, &attr);
}

void vfs_written(struct file *f)
{
    struct inode *inode = file_vfs_inode(f);

    if (inode)
        vfs_drop_setid(inode);
    notify_file(f, IN_MODIFY);
}

int vfs_truncate_inode(struct inode *inode, uint64_t size)
{
    struct attr attr = { .valid = ATTR_SIZE | ATTR_MTIME | ATTR_CTIME | ATTR_MTIME_NOW, .size = size };
    int err = inode->ops->setattr ? inode->ops->setattr(inode, &attr) : -EINVAL;

    if (err == 0)
        vfs_drop_setid(inode);
    return err;
}

int vfs_truncate(struct file *f, uint64_t size)
{
    int err = vfs_truncate_inode(file_vfs_inode(f), size);

    if (err == 0)
        notify_file(f, IN_MODIFY);
    return err;
}
