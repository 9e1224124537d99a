/* passt(1), Debian's package of that name, as the other end of the sandbox's network device: a process of its own that ends with us. */
#ifndef VMM_PASST_H
#define VMM_PASST_H

#include "devices/stream.h"
#include "vmm/options.h"

/* What follows from the host's settings: a name server that only the host can reach gets an alias. Before files are made from nic. */
void passt_plan(struct nic_spec *nic);

/* Start it and wait until it is ready; *ret is the wire to it. 0, or -1 after one line. Not with other threads. */
int passt_start(struct stream *ret, const struct options *opt);

#endif
