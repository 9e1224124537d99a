/* --nic: the text as a struct, and the files that follow from it. */
#ifndef VMM_NIC_H
#define VMM_NIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NIC_ADDRS_MAX 3   /* the guest keeps a place for its link-local one */
#define NIC_GATEWAYS_MAX 2
#define NIC_DNS_MAX 3
#define NIC_PASST_MTU 32768 /* the longest frame that a stream socket takes as one piece, or nearly */

/* IPv4 is mapped (::ffff:a.b.c.d). */
struct nic_addr {
    uint8_t addr[16];
    uint8_t prefix; /* of its own family: up to 32 or 128 */
};

struct nic_spec {
    bool wanted;
    bool passt;        /* the other end is passt(1), not a tap */
    bool passt_host;   /* which may reach the host itself */
    bool passt_dns;    /* dns[0] is an alias for the host's first name server */
    const char *tap;   /* NULL: make one */
    uint8_t mac[6];
    bool has_mac;
    uint16_t mtu;      /* 0: the tap's */
    struct nic_addr addrs[NIC_ADDRS_MAX];
    size_t addr_count; /* 0: DHCP */
    struct nic_addr gateways[NIC_GATEWAYS_MAX];
    size_t gateway_count;
    struct nic_addr dns[NIC_DNS_MAX];
    size_t dns_count;
    uint64_t bps;
};

/* KIND[,OPT,…]; changes text, and keeps pointers into it. 0, or -1 after one line. */
int nic_parse(struct nic_spec *nic, char *text);

bool nic_is_v4(const uint8_t addr[16]);
bool nic_wants_dhcp(const struct nic_spec *nic);

/* The content of /etc/resolv.conf; empty if it comes by DHCP. */
void nic_resolv_conf(const struct nic_spec *nic, char *text, size_t size);

#endif
