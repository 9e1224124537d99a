/* See nic.h. */
#include "vmm/nic.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "vmm/options.h"

#define MTU_MIN 1280u  /* IPv6's */
#define MTU_MAX 65521u /* a frame's length fits in 16 bits, with its Ethernet header */
#define BPS_MIN 1024u

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

bool nic_is_v4(const uint8_t addr[16])
{
    return !memcmp(addr, mapped, sizeof(mapped));
}

static int bad(const char *word, const char *expected)
{
    log_error("--nic", "'%s' is not %s", word, expected);
    return -1;
}

/* ADDR[/LEN] */
static bool read_addr(const char *text, bool with_prefix, struct nic_addr *ret)
{
    char copy[INET6_ADDRSTRLEN + 4], *slash, *end;
    struct nic_addr a = { 0 };
    unsigned long max;

    if (snprintf(copy, sizeof(copy), "%s", text) >= (int)sizeof(copy))
        return false;
    slash = strchr(copy, '/');
    if (!slash == with_prefix)
        return false;
    if (slash)
        *slash++ = '\0';
    if (inet_pton(AF_INET, copy, a.addr + 12) == 1) {
        memcpy(a.addr, mapped, sizeof(mapped));
        max = 32;
    } else if (inet_pton(AF_INET6, copy, a.addr) == 1) {
        max = 128;
    } else {
        return false;
    }
    if (slash) {
        unsigned long v = strtoul(slash, &end, 10);

        if (*slash < '0' || *slash > '9' || *end || v > max)
            return false;
        a.prefix = (uint8_t)v;
    }
    *ret = a;
    return true;
}

static int add_addr(struct nic_addr *list, size_t *count, size_t max, const char *text, bool with_prefix)
{
    if (*count == max) {
        log_error("--nic", "more than %zu addresses: '%s'", max, text);
        return -1;
    }
    if (!read_addr(text, with_prefix, &list[*count]))
        return bad(text, with_prefix ? "ADDR/LEN" : "an address");
    (*count)++;
    return 0;
}

static bool read_mac(const char *text, uint8_t mac[6])
{
    unsigned b[6];
    char rest;

    if (strlen(text) != 17 ||
        sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &rest) != 6)
        return false;
    for (int i = 0; i < 6; i++)
        mac[i] = (uint8_t)b[i];
    return !(mac[0] & 1); /* one for several isn't anybody's */
}

static int parse_option(struct nic_spec *nic, char *word)
{
    uint64_t v;

    if (!strncmp(word, "addr=", 5))
        return add_addr(nic->addrs, &nic->addr_count, NIC_ADDRS_MAX, word + 5, true);
    if (!strncmp(word, "gw=", 3))
        return add_addr(nic->gateways, &nic->gateway_count, NIC_GATEWAYS_MAX, word + 3, false);
    if (!strncmp(word, "dns=", 4))
        return add_addr(nic->dns, &nic->dns_count, NIC_DNS_MAX, word + 4, false);
    if (!strncmp(word, "mac=", 4)) {
        nic->has_mac = true;
        return read_mac(word + 4, nic->mac) ? 0 : bad(word + 4, "a unicast MAC address");
    }
    if (!strncmp(word, "mtu=", 4)) {
        if (!parse_size(word + 4, &v) || v < MTU_MIN || v > MTU_MAX)
            return bad(word + 4, "an MTU from 1280 to 65521");
        nic->mtu = (uint16_t)v;
        return 0;
    }
    if (!strncmp(word, "bps=", 4))
        return parse_size(word + 4, &nic->bps) && nic->bps >= BPS_MIN && nic->bps < 1ull << 40 ? 0
                                                                                              : bad(word + 4, "a size of 1K or more");
    if (nic->passt && !strcmp(word, "host")) {
        nic->passt_host = true;
        return 0;
    }
    return bad(word, nic->passt ? "host, mac=, mtu=, addr=, gw=, dns= or bps=" : "mac=, mtu=, addr=, gw=, dns= or bps=");
}

int nic_parse(struct nic_spec *nic, char *text)
{
    char *save = NULL, *kind = strtok_r(text, ",", &save);

    if (nic->wanted) {
        log_error("--nic", "one is all there can be");
        return -1;
    }
    *nic = (struct nic_spec){ .wanted = true };
    if (kind && !strncmp(kind, "tap=", 4) && kind[4] && strlen(kind + 4) < 16)
        nic->tap = kind + 4;
    else if (kind && !strcmp(kind, "passt"))
        nic->passt = true;
    else if (!kind || strcmp(kind, "tap"))
        return bad(kind ? kind : "", "tap, tap=NAME or passt");
    for (char *word = strtok_r(NULL, ",", &save); word; word = strtok_r(NULL, ",", &save))
        if (parse_option(nic, word) < 0)
            return -1;
    return 0;
}

bool nic_wants_dhcp(const struct nic_spec *nic)
{
    return nic->addr_count == 0;
}

void nic_resolv_conf(const struct nic_spec *nic, char *text, size_t size)
{
    size_t n = 0;

    text[0] = '\0';
    for (size_t i = 0; i < nic->dns_count && n < size; i++) {
        const uint8_t *a = nic->dns[i].addr;
        char name[INET6_ADDRSTRLEN];

        inet_ntop(nic_is_v4(a) ? AF_INET : AF_INET6, nic_is_v4(a) ? a + 12 : a, name, sizeof(name));
        n += (size_t)snprintf(text + n, size - n, "nameserver %s\n", name);
    }
}
