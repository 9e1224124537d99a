/* What mm and proc tell the gofer's file system. */
#ifndef FS_WINDOW_H
#define FS_WINDOW_H

#include "lib/base.h"

/* The host has cut a file that was mapped at [gpa, gpa + len): don't believe what is known of its size. Doesn't sleep. */
void gofer_window_lost(gpa_t gpa, uint64_t len);

/* Some page of some mapped file can't be had: from now on look at each before it is mapped. Doesn't sleep. */
void gofer_window_doubt(void);

/* In mm: a doubtful page has been found to be there, or not. */
void gofer_window_resolved(void);

/* The sandbox ends: see to it that what was written reaches the host. */
void gofer_behind_drain(void);

#endif
