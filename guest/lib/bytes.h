/* A queue of bytes in a ring that grows as it is needed, up to a limit. Empty if zeroed. */
#ifndef LIB_BYTES_H
#define LIB_BYTES_H

#include "lib/base.h"

struct bytes {
    uint8_t *data;
    uint32_t capacity, head, count; /* capacity: 0 or a power of two */
};

/* Append all n bytes, or nothing: false without memory, or beyond limit. */
bool bytes_put(struct bytes *q, const void *data, uint32_t n, uint32_t limit);
/* The run of bytes at the front that lies together; NULL: empty. */
const uint8_t *bytes_front(const struct bytes *q, uint32_t *ret_n);
void bytes_drop(struct bytes *q, uint32_t n);      /* from the front; at most count */
void bytes_truncate(struct bytes *q, uint32_t n);  /* keep the first n */
void bytes_free(struct bytes *q);

#endif
