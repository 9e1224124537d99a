/*
 * Which frames of the sandbox's may go to sockets of the host's (passt). Whoever makes sockets for a sandbox reaches with them what
 * the invoking user reaches: the host's own services, metadata services of clouds. So destinations are looked at here, before a process
 * that doesn't.
 */
#ifndef DEVICES_GUARD_H
#define DEVICES_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUARD_HEAD 64u /* bytes of a frame that are looked at */

struct guard {
    uint8_t (*own)[16];  /* the host's addresses, IPv4 mapped; owned by the one who fills it */
    size_t own_count;
    bool has_dns;
    uint8_t dns[16];     /* goes out although its bits forbid it: an alias */
    bool has_passed;
    uint8_t passed[16];  /* the last that was let through */
};

/* head: a copy of the frame's first bytes, as many as there are up to GUARD_HEAD. */
bool guard_lets(struct guard *g, const uint8_t *head, size_t len);

#endif
