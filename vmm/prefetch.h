/*
 * Have the host read a program ahead while the VM is made.
 */
#ifndef VMM_PREFETCH_H
#define VMM_PREFETCH_H

/* program: as the sandbox sees it; root_path: the directory that is its root, NULL for the host's. Never fails: a hint. */
void prefetch(const char *root_path, const char *program);

#endif
