/* The shim, linked into the executable, and its symbols for backtraces. */
#ifndef VMM_SHIM_IMAGE_H
#define VMM_SHIM_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "hypercalls/hypercall.h"

extern const uint8_t shim_image[], shim_image_end[];
extern const char shim_symbols[], shim_symbols_end[];

/* The header at the image's start; it is part of our own build and trusted. */
static inline const struct shim_header *shim_header(void)
{
    return (const struct shim_header *)(const void *)shim_image;
}

/* Name and offset of an address of the shim into buf ("schedule+0x12"); the address alone if it has none. */
void shim_symbolise(uint64_t address, char *buf, size_t size);

#endif
