/*
 * The virtio devices of a sandbox: opens what is behind them, connects the models in devices/ to the vCPU's exits, and starts their
 * threads.
 */
#ifndef VMM_DEVICES_H
#define VMM_DEVICES_H

#include "vmm/vcpu.h"

/* How many devices these options ask for; they are numbered in this order: disks, the network's. */
unsigned devices_count(const struct options *opt);

/* Open files and make the devices; after the gofer was started (it must not inherit them), before the jail. 0, or -1 after one line. */
int devices_open(struct sandbox *sb);

/* Start the threads; before the filter is installed. 0, or -1 after one line. */
int devices_start(void);

/* An MMIO exit. False: there is no device at gpa. */
bool devices_mmio(uint64_t gpa, void *data, uint32_t len, bool is_write);

/* An `out` to PORT_DEVICE that came out as an exit. Numbers that aren't devices are ignored. */
void devices_doorbell(struct sandbox *sb, uint32_t number);

#endif
