/* The device tree that describes the machine to the shim (bindings: docs/architecture.md). */
#ifndef VMM_DEVTREE_H
#define VMM_DEVTREE_H

#include "vmm/options.h"
#include "vmm/view.h"
#include "vmm/vm.h"

/*
 * Write the tree to GPA_FDT and the program's strings behind the shim's image. tsc_khz as the guest sees it. stdio_open: bit n
 * for descriptor n. 0, or the exit status after one line (arguments too long: 126, as a shell says it).
 */
int devtree_write(struct vm *vm, const struct options *opt, const struct view *view, uint64_t tsc_khz,
                  unsigned stdio_open);

#endif
