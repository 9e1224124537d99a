/* Between the guest's side of driver_client (shim headers, shim flags) and the host's (the C library's). */
#ifndef TESTS_CONFORMANCE_CLIENT_H
#define TESTS_CONFORMANCE_CLIENT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENT_MEMORY (32ul << 20)

/* The device, over vhost-user or vhost. Each ends the program if the other side fails. */
uint64_t host_get_features(void);
void host_set_features(uint64_t features);
void host_get_config(uint32_t offset, void *buf, uint32_t len);
void host_set_queue(uint32_t index, uint32_t size, uint64_t desc, uint64_t avail, uint64_t used); /* guest-physical */
void host_start(void);
void host_kick(uint32_t index);
bool host_wait_call(uint32_t index, int timeout_ms); /* false: nothing came */

void host_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void host_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

_Noreturn void host_vfail(const char *format, va_list args);

void client_memory(uint8_t *start); /* CLIENT_MEMORY bytes */

/* The test of disks. memory: CLIENT_MEMORY bytes at DIRECT_BASE, which the device sees from address 0 on. model: what the disk must hold in the end. */
void client_run(uint8_t *memory, uint8_t *model, uint64_t model_size);

/* The test of networks. Frames without their virtio header; a frame is read whole, or 0 is returned: none within the time. */
void net_client_run(uint8_t *memory);
void host_send_frame(const uint8_t *frame, uint32_t len);
uint32_t host_receive_frame(uint8_t *frame, uint32_t size, int timeout_ms);

#endif
