/*
 * A device of devices/ as a vhost-user server, for drivers that no one here wrote.
 *
 * Each message becomes what a driver on the MMIO transport would do with the registers, so that the status machine, the queues and the
 * requests of the product answer; only Linux's virtio-mmio driver itself is replaced.
 */
#ifndef TESTS_VU_SERVER_H
#define TESTS_VU_SERVER_H

#include "devices/virtio.h"

/* Memory that the driver has shared: for the device's init. */
extern struct guest_mem vu_memory;
void vu_irq(void *arg, bool raised);

/*
 * Serve dev, which has been set up with the two above, to the one who connects to path, until he closes the connection; queue_count: those
 * that he lays out. Then a line that says which features the driver took and how often it started.
 */
void vu_serve(struct virtio_device *device, unsigned queue_count, const char *path);
_Noreturn void vu_die(const char *what);

#endif
