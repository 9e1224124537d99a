/* --tty: the program gets a pseudo-terminal, and what it says and hears goes through vmm's own descriptors. */
#ifndef TTY_BRIDGE_H
#define TTY_BRIDGE_H

#include "fs/file.h"

/*
 * Make the terminal, give its slave to current as 0 to 2 and as the controlling terminal, and bridge its master: input comes
 * from `in`, output goes to `out` (taken; NULL: none), the size is that of `terminal` (borrowed from those; NULL: 0 by 0). 0 or -errno.
 */
long bridge_start(struct file *in, struct file *out, struct file *terminal);

/* The host's terminal has another size, perhaps. From anywhere. */
void bridge_resized(void);

/* The program has ended: wait until all it wrote is out. May park. */
void bridge_finish(void);

#endif
