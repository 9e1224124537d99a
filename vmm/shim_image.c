/* Symbols of the shim: lines of "address name" in ascending order, as the build wrote them. */
#include "vmm/shim_image.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void shim_symbolise(uint64_t address, char *buf, size_t size)
{
    const char *line = shim_symbols, *best = NULL;
    uint64_t best_address = 0;

    while (line < shim_symbols_end) {
        const char *end = memchr(line, '\n', (size_t)(shim_symbols_end - line));
        char *name;
        uint64_t at = strtoull(line, &name, 16);

        if (at > address || !end)
            break;
        best = name + 1;
        best_address = at;
        line = end + 1;
    }
    if (!best || address - best_address > 0x10000) {
        snprintf(buf, size, "0x%" PRIx64, address);
        return;
    }
    snprintf(buf, size, "%.*s+0x%" PRIx64, (int)strcspn(best, "\n"), best, address - best_address);
}
