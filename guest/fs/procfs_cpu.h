/* /proc/cpuinfo. */
#ifndef FS_PROCFS_CPU_H
#define FS_PROCFS_CPU_H

#include "fs/procfs.h"

int cpuinfo_show(struct seq *s);

#endif
