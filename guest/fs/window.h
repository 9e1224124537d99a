/* What mm tells the file system whose files are mapped in the window. */
#ifndef FS_WINDOW_H
#define FS_WINDOW_H

#include "lib/base.h"

/* The host has cut a file that was mapped at [gpa, gpa + len): don't believe what is known of its size. Doesn't sleep. */
void gofer_window_lost(gpa_t gpa, uint64_t len);

#endif
