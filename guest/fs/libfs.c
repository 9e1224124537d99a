/* Small pieces that several file systems share: directory entries, seeking, defaults of hooks. */
#include "fs/overlay.h"

bool dir_emit_dots(struct file *f, emit_fn emit, void *ctx)
{
    struct inode *dir = file_vfs_inode(f);
    struct inode *parent = f->dentry && f->dentry->parent->inode ? f->dentry->parent->inode : dir;

    if (f->pos == 0) {
        if (!emit(ctx, ".", 1, dir->ino, 1, 4))
            return false;
        f->pos = 1;
    }
    if (f->pos == 1) {
        if (!emit(ctx, "..", 2, parent->ino, 2, 4))
            return false;
        f->pos = 2;
    }
    return true;
}

loff_t seek_check(loff_t pos, loff_t max)
{
    return pos < 0 || pos > max ? -EINVAL : pos;
}

loff_t seek_generic(struct file *f, loff_t offset, int whence)
{
    loff_t size = (loff_t)f->inode->size;
    loff_t pos = offset;

    switch (whence) {
    case SEEK_SET:
        break;
    case SEEK_CUR:
        if (__builtin_add_overflow((loff_t)f->pos, offset, &pos))
            return -EOVERFLOW;
        break;
    case SEEK_END:
        if (__builtin_add_overflow(size, offset, &pos))
            return -EOVERFLOW;
        break;
    case SEEK_DATA:
    case SEEK_HOLE:
        if (offset < 0 || offset >= size)
            return -ENXIO;
        pos = whence == SEEK_DATA ? offset : size;
        break;
    default:
        return -EINVAL;
    }
    pos = seek_check(pos, INT64_MAX);
    if (pos >= 0)
        f->pos = (uint64_t)pos;
    return pos;
}

loff_t seek_dir(struct file *f, loff_t offset, int whence)
{
    loff_t pos = offset;

    if (whence == SEEK_CUR)
        pos = (loff_t)f->pos + offset;
    else if (whence != SEEK_SET)
        return -EINVAL;
    if (pos < 0)
        return -EINVAL;
    f->pos = (uint64_t)pos;
    return pos;
}

int fsync_nothing(struct file *f UNUSED, bool data_only UNUSED)
{
    return 0;
}

__attribute__((weak)) void mapping_truncated(struct inode *inode UNUSED, uint64_t new_size UNUSED)
{
}

__attribute__((weak)) void mapping_punched(struct inode *inode UNUSED, uint64_t start UNUSED, uint64_t end UNUSED)
{
}
