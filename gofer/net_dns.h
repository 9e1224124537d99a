/*
 * Name service for a sandbox with an allow-list: names of the list lead where they led when it started, others don't exist (RFC 1035).
 * Pure: a question in, an answer out.
 */
#ifndef GOFER_NET_DNS_H
#define GOFER_NET_DNS_H

#include "common/net_plan.h"

#define NET_DNS_ANSWER_MAX 512 /* without EDNS, RFC 1035 4.2.1 */

/* Answer a query of size bytes into out (NET_DNS_ANSWER_MAX bytes). The answer's size; 0: not worth one. */
size_t net_dns_answer(const struct net_plan *plan, const uint8_t *query, size_t size, uint8_t *out);

#endif
