/*
 * A token bucket: so much per second, a burst of what a tenth of a second gives. A request may overdraw it, and the next one waits
 * until that is paid back, so that requests of any size pass and the rate holds on average.
 */
#ifndef DEVICES_BUCKET_H
#define DEVICES_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct bucket {
    uint64_t rate; /* tokens per second; 0: no limit */
    int64_t tokens;
    uint64_t filled_ns;
};

void bucket_init(struct bucket *b, uint64_t rate, uint64_t now_ns);
/* May a request go now? If not, *ret_when (ns) is when to ask again. */
bool bucket_ready(struct bucket *b, uint64_t now_ns, uint64_t *ret_when);
void bucket_take(struct bucket *b, uint64_t tokens);

#endif
