/*
 * Guest-physical to host addresses; see guest_mem.h.
 */
#include "common/guest_mem.h"

#include "common/checked.h"

void *guest_mem_ptr(const struct guest_mem *mem, gpa_t gpa, uint64_t len)
{
    for (size_t i = 0; i < mem->region_count; i++) {
        const struct guest_region *r = &mem->regions[i];

        if (gpa.v < r->gpa.v)
            continue;
        if (checked_range(gpa.v - r->gpa.v, len, r->size))
            return r->host + (gpa.v - r->gpa.v);
    }
    return NULL;
}
