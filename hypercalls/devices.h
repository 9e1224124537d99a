/*
 * Virtio devices: where their registers are, how their queues are notified, and what goes beyond virtio 1.2 (docs/virtio.md).
 */
#ifndef HYPERCALLS_DEVICES_H
#define HYPERCALLS_DEVICES_H

/* One page of registers for each device, in the hole of RAM; mapped by the shim as one piece of 2 MiB. */
#define GPA_DEVICES_BASE 0xff000000
#define DEVICE_PAGE_SIZE 0x1000
#define DEVICE_MAX 16

/*
 * A 4-byte `out` of a device's number to this port is as good as a write to its QueueNotify, for all its queues, and costs a tenth
 * on software KVM. Open to ring 3.
 */
#define PORT_DEVICE 0x24

/* Status of a block request, beside VIRTIO_BLK_S_*: the host has no room for the data. Linux takes it as an I/O error. */
#define BLK_S_NO_SPACE 0x40

#endif
