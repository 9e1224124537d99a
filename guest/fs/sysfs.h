/* /sys. */
#ifndef FS_SYSFS_H
#define FS_SYSFS_H

struct superblock;

struct superblock *sysfs_mount(void);

#endif
