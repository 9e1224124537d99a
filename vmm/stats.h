/* --stats: what the guest cost the host, as a table; and --profile: where its time went. */
#ifndef VMM_STATS_H
#define VMM_STATS_H

#include <stdio.h>

#include "vmm/vcpu.h"

void stats_write(FILE *out, const struct sandbox *sb);

/*
 * From the vCPU thread, when a kick has stopped the guest: if a sample is due, write it, or, where the guest was in the
 * app, have the shim write it, which knows whose code that is.
 */
void profile_kick(struct sandbox *sb);

/* A sample of the shim's: "comm pid\nframe", both hostile. */
int64_t profile_log(struct sandbox *sb, const char *text, size_t size);

#endif
