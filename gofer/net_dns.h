/*
 * Name service for a sandbox with an allow-list: names of the list lead where they led when it started, others don't exist (RFC 1035).
 * Pure: a question in, an answer out.
 */
#ifndef GOFER_NET_DNS_H
#define GOFER_NET_DNS_H

#include "common/net_plan.h"

#define NET_DNS_QUERY_MAX 512u
#define NET_DNS_DATAGRAM_MAX 512u /* without EDNS, RFC 1035 4.2.1 */
#define NET_DNS_STREAM_MAX 32768u /* more than all rules make */

/* Answer a query of at most NET_DNS_QUERY_MAX bytes into out, of at least as many. The answer's size; 0: not worth one. */
size_t net_dns_answer(const struct net_plan *plan, const uint8_t *query, size_t size, uint8_t *out, size_t room);

#endif
