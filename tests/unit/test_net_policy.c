/* Who may be talked to: addresses in all their forms, the list, routes; the name service; and the options' text. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gofer/net_dns.h"
#include "common/net_policy.h"
#include "vmm/net.h"

static void parse(const char *text, uint8_t addr[16])
{
    struct net_rule rule;

    cr_assert(net_parse_range(text, &rule), "%s", text);
    memcpy(addr, rule.addr, 16);
}

static enum net_class class_of(const char *text)
{
    uint8_t addr[16];

    parse(text, addr);
    return net_classify(addr);
}

static const struct {
    char text[48];
    enum net_class class;
} addresses[] = {
    { "0.0.0.0", NET_CLASS_UNSPECIFIED },        { "0.1.2.3", NET_CLASS_UNSPECIFIED },
    { "127.0.0.1", NET_CLASS_LOCAL },            { "127.255.255.254", NET_CLASS_LOCAL },
    { "128.0.0.1", NET_CLASS_PUBLIC },           { "126.255.255.255", NET_CLASS_PUBLIC },
    { "169.254.169.254", NET_CLASS_LINK_LOCAL }, { "169.253.255.255", NET_CLASS_PUBLIC },
    { "169.255.0.0", NET_CLASS_PUBLIC },         { "100.100.100.200", NET_CLASS_METADATA },
    { "168.63.129.16", NET_CLASS_METADATA },     { "192.0.0.192", NET_CLASS_METADATA },
    { "10.0.0.0", NET_CLASS_PRIVATE },           { "10.255.255.255", NET_CLASS_PRIVATE },
    { "11.0.0.0", NET_CLASS_PUBLIC },            { "9.255.255.255", NET_CLASS_PUBLIC },
    { "100.64.0.0", NET_CLASS_PRIVATE },         { "100.127.255.255", NET_CLASS_PRIVATE },
    { "100.128.0.0", NET_CLASS_PUBLIC },         { "100.63.255.255", NET_CLASS_PUBLIC },
    { "172.16.0.1", NET_CLASS_PRIVATE },         { "172.31.255.255", NET_CLASS_PRIVATE },
    { "172.32.0.0", NET_CLASS_PUBLIC },          { "172.15.255.255", NET_CLASS_PUBLIC },
    { "192.168.0.1", NET_CLASS_PRIVATE },        { "192.167.255.255", NET_CLASS_PUBLIC },
    { "192.169.0.0", NET_CLASS_PUBLIC },         { "198.18.0.1", NET_CLASS_PRIVATE },
    { "198.20.0.0", NET_CLASS_PUBLIC },          { "192.0.2.1", NET_CLASS_PRIVATE },
    { "224.0.0.1", NET_CLASS_MULTICAST },        { "239.255.255.255", NET_CLASS_MULTICAST },
    { "240.0.0.1", NET_CLASS_RESERVED },         { "255.255.255.254", NET_CLASS_RESERVED },
    { "255.255.255.255", NET_CLASS_BROADCAST },  { "8.8.8.8", NET_CLASS_PUBLIC },
    { "1.0.0.0", NET_CLASS_PUBLIC },             { "223.255.255.255", NET_CLASS_PUBLIC },
    /* IPv6 */
    { "::", NET_CLASS_UNSPECIFIED },             { "::1", NET_CLASS_LOCAL },
    { "2606:4700:4700::1111", NET_CLASS_PUBLIC }, { "fe80::1", NET_CLASS_LINK_LOCAL },
    { "febf::1", NET_CLASS_LINK_LOCAL },         { "fec0::1", NET_CLASS_PRIVATE },
    { "fd00:ec2::254", NET_CLASS_METADATA },     { "fd20:ce::254", NET_CLASS_METADATA },
    { "fd00::1", NET_CLASS_PRIVATE },            { "fc00::1", NET_CLASS_PRIVATE },
    { "fe00::1", NET_CLASS_PUBLIC },             { "ff02::1", NET_CLASS_MULTICAST },
    { "100::1", NET_CLASS_RESERVED },            { "2001:db8::1", NET_CLASS_PRIVATE },
    /* IPv4 inside IPv6 */
    { "::ffff:127.0.0.1", NET_CLASS_LOCAL },     { "::ffff:169.254.169.254", NET_CLASS_LINK_LOCAL },
    { "::ffff:10.0.0.1", NET_CLASS_PRIVATE },    { "::ffff:0.0.0.0", NET_CLASS_UNSPECIFIED },
    { "::ffff:255.255.255.255", NET_CLASS_BROADCAST }, { "::ffff:8.8.8.8", NET_CLASS_PUBLIC },
    { "::127.0.0.1", NET_CLASS_LOCAL },          { "::10.0.0.1", NET_CLASS_PRIVATE },
    { "::ffff:0:127.0.0.1", NET_CLASS_LOCAL },   { "2002:7f00:1::", NET_CLASS_LOCAL },
    { "2002:a9fe:a9fe::1", NET_CLASS_LINK_LOCAL }, { "2002:a00:1::1", NET_CLASS_PRIVATE },
    { "2002:808:808::1", NET_CLASS_PUBLIC },     { "64:ff9b::127.0.0.1", NET_CLASS_LOCAL },
    { "64:ff9b::169.254.169.254", NET_CLASS_LINK_LOCAL }, { "64:ff9b::8.8.8.8", NET_CLASS_PUBLIC },
    { "64:ff9b:1::8.8.8.8", NET_CLASS_PRIVATE }, { "2001:0:7f00:1::f7f7:f7f7", NET_CLASS_LOCAL },
    { "2001:0:808:808:0:0:80ff:fffe", NET_CLASS_LOCAL }, { "2001:0:808:808::f7f7:f7f7", NET_CLASS_PUBLIC },
    { "2606:4700::5efe:127.0.0.1", NET_CLASS_LOCAL }, { "2606:4700::200:5efe:10.0.0.1", NET_CLASS_PRIVATE },
};

Test(net_policy, classes)
{
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
        cr_expect_eq(class_of(addresses[i].text), addresses[i].class, "%s: %s", addresses[i].text,
                     net_class_text(class_of(addresses[i].text)));
}

/* Every /16 of IPv4, in every form that carries it: a form is never more public than the address. */
Test(net_policy, forms_agree)
{
    static const char *const forms[] = { "::ffff:", "::", "::ffff:0:", "64:ff9b::", "2606:4700::5efe:" };

    for (unsigned high = 0; high < 65536; high++) {
        char v4[16], text[64];
        enum net_class class;

        snprintf(v4, sizeof(v4), "%u.%u.3.4", high >> 8, high & 255);
        class = class_of(v4);
        for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
            snprintf(text, sizeof(text), "%s%s", forms[i], v4);
            cr_assert_eq(class_of(text), class, "%s", text);
        }
        snprintf(text, sizeof(text), "2002:%x:304::1", high);
        cr_assert_eq(class_of(text), class, "%s", text);
        snprintf(text, sizeof(text), "2001:0:%x:304::f7f7:f7f7", high);
        cr_assert_eq(class_of(text), class, "%s", text);
        snprintf(text, sizeof(text), "2001:0:808:808::%x:%x", high ^ 0xffff, 0x304 ^ 0xffff);
        cr_assert_eq(class_of(text), class, "%s", text);
    }
}

static struct net_plan plan;

static int decide(const char *text, uint16_t port, enum net_route route)
{
    enum net_class why;
    uint8_t addr[16];

    parse(text, addr);
    return net_decide(&plan, addr, port, route, &why);
}

static void allow(const char *text, uint16_t port)
{
    struct net_rule *rule = &plan.rules[plan.rule_count++];

    cr_assert(net_parse_range(text, rule));
    rule->port = port;
    plan.listed = true;
}

Test(net_policy, no_network)
{
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
        cr_expect_eq(decide(addresses[i].text, 80, NET_ROUTE_UNICAST), -ENETUNREACH);
}

Test(net_policy, net_alone)
{
    plan.outgoing = true;
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        cr_expect_eq(decide(addresses[i].text, 80, NET_ROUTE_UNICAST),
                     addresses[i].class == NET_CLASS_PUBLIC ? 0 : -EACCES, "%s", addresses[i].text);
        cr_expect_eq(decide(addresses[i].text, 80, NET_ROUTE_LOCAL), -EACCES);
        cr_expect_eq(decide(addresses[i].text, 80, NET_ROUTE_BROADCAST), -EACCES);
        cr_expect_eq(decide(addresses[i].text, 80, NET_ROUTE_MULTICAST), -EACCES);
        cr_expect_neq(decide(addresses[i].text, 80, NET_ROUTE_NONE), 0);
    }
    cr_expect_eq(decide("8.8.8.8", 80, NET_ROUTE_NONE), -ENETUNREACH);
}

Test(net_policy, list)
{
    plan.outgoing = true;
    allow("10.1.0.0/16", 0);
    allow("93.184.216.34", 443);
    allow("2606:4700::/32", 0);
    cr_expect_eq(decide("10.1.2.3", 80, NET_ROUTE_UNICAST), 0);
    cr_expect_eq(decide("::ffff:10.1.2.3", 80, NET_ROUTE_UNICAST), 0);
    cr_expect_eq(decide("10.2.0.0", 80, NET_ROUTE_UNICAST), -EACCES);
    cr_expect_eq(decide("93.184.216.34", 443, NET_ROUTE_UNICAST), 0);
    cr_expect_eq(decide("93.184.216.34", 80, NET_ROUTE_UNICAST), -EACCES);
    cr_expect_eq(decide("8.8.8.8", 443, NET_ROUTE_UNICAST), -EACCES);
    cr_expect_eq(decide("2606:4700::1", 1, NET_ROUTE_UNICAST), 0);
    cr_expect_eq(decide("2606:4701::1", 1, NET_ROUTE_UNICAST), -EACCES);
    /* An address of the host's own stays closed, whatever the list says. */
    cr_expect_eq(decide("10.1.2.3", 80, NET_ROUTE_LOCAL), -EACCES);
    cr_expect_eq(decide("10.1.255.255", 80, NET_ROUTE_BROADCAST), -EACCES);
}

/* "Everything" opens private addresses, but nothing of what is never let out; and a rule for IPv6 says nothing of IPv4. */
Test(net_policy, list_of_everything)
{
    plan.outgoing = true;
    allow("::/0", 0);
    cr_expect_eq(decide("8.8.8.8", 80, NET_ROUTE_UNICAST), -EACCES);
    cr_expect_eq(decide("fd00::1", 80, NET_ROUTE_UNICAST), 0);
    allow("0.0.0.0/0", 0);
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
        cr_expect_eq(decide(addresses[i].text, 80, NET_ROUTE_UNICAST),
                     addresses[i].class <= NET_CLASS_PRIVATE ? 0 : -EACCES, "%s", addresses[i].text);
}

Test(net_policy, host_loopback)
{
    plan.outgoing = plan.host_loopback = true;
    cr_expect_eq(decide("127.0.0.1", 80, NET_ROUTE_LOCAL), 0);
    cr_expect_eq(decide("8.8.8.8", 80, NET_ROUTE_LOCAL), 0);
    cr_expect_eq(decide("8.8.8.8", 80, NET_ROUTE_UNICAST), 0);
    cr_expect_eq(decide("10.0.0.1", 80, NET_ROUTE_UNICAST), -EACCES);
    cr_expect_eq(decide("0.0.0.0", 80, NET_ROUTE_LOCAL), -EACCES);
    cr_expect_eq(decide("169.254.169.254", 80, NET_ROUTE_LOCAL), -EACCES);
    allow("127.0.0.1", 8080);
    cr_expect_eq(decide("127.0.0.1", 80, NET_ROUTE_LOCAL), -EACCES);
    cr_expect_eq(decide("127.0.0.1", 8080, NET_ROUTE_LOCAL), 0);
}

/* --- names --- */

static size_t make_query(uint8_t *q, const char *name, uint16_t type)
{
    static const uint8_t head[12] = { 0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0 };
    size_t n = 12;

    memcpy(q, head, 12);
    while (*name) {
        size_t label = strcspn(name, ".");

        q[n++] = (uint8_t)label;
        memcpy(q + n, name, label);
        n += label;
        name += label + (name[label] == '.');
    }
    q[n++] = 0;
    q[n++] = (uint8_t)(type >> 8);
    q[n++] = (uint8_t)type;
    q[n++] = 0;
    q[n++] = 1;
    return n;
}

static void add_name(const char *name, const char *a, const char *b)
{
    size_t first = plan.rule_count;

    allow(a, 0);
    allow(b, 0);
    plan.names[plan.name_count++] = (struct net_name){ name, first, 2 };
}

Test(net_dns, answers)
{
    uint8_t q[512], out[NET_DNS_DATAGRAM_MAX];
    size_t n, len;

    add_name("db.example", "10.1.2.3", "2606:4700::7");
    n = make_query(q, "DB.example", 1);
    len = net_dns_answer(&plan, q, n, out, sizeof(out));
    cr_assert_eq(len, n + 16);
    cr_expect_arr_eq(out, "\x12\x34\x85\x80\0\1\0\1\0\0\0\0", 12);
    cr_expect_arr_eq(out + len - 6, "\0\4\12\1\2\3", 6);
    n = make_query(q, "db.example", 28);
    len = net_dns_answer(&plan, q, n, out, sizeof(out));
    cr_assert_eq(len, n + 28);
    n = make_query(q, "db.example", 16);
    len = net_dns_answer(&plan, q, n, out, sizeof(out));
    cr_assert_eq(len, n);
    cr_expect_eq(out[3] & 15, 0);
    n = make_query(q, "evil.example", 1);
    len = net_dns_answer(&plan, q, n, out, sizeof(out));
    cr_assert_eq(len, n);
    cr_expect_eq(out[3] & 15, 3);
}

/* Every cut and a lot of noise: no answer is longer than it may be, and nothing is read beyond the query (asan). */
Test(net_dns, hostile)
{
    uint8_t q[512], out[NET_DNS_DATAGRAM_MAX];
    uint32_t seed = 1;
    size_t n;

    add_name("db.example", "10.1.2.3", "2606:4700::7");
    n = make_query(q, "db.example", 1);
    for (size_t cut = 0; cut < n; cut++) {
        uint8_t *copy = malloc(cut + 1);

        memcpy(copy, q, cut);
        cr_assert_leq(net_dns_answer(&plan, copy, cut, out, sizeof(out)), NET_DNS_DATAGRAM_MAX);
        free(copy);
    }
    for (unsigned i = 0; i < 200000; i++) {
        size_t size;

        seed = seed * 1664525 + 1013904223;
        size = seed >> 23;
        for (size_t k = 0; k < size; k++) {
            seed = seed * 1664525 + 1013904223;
            q[k] = (uint8_t)(seed >> (seed & 0x10000 ? 24 : 30));
        }
        cr_assert_leq(net_dns_answer(&plan, q, size, out, sizeof(out)), NET_DNS_DATAGRAM_MAX);
    }
    memset(q, 0, sizeof(q));
    q[5] = 1;
    memset(q + 12, 63, sizeof(q) - 12);
    cr_assert_eq(net_dns_answer(&plan, q, sizeof(q), out, sizeof(out)), 12);
}

/* --- options --- */

Test(net_options, hosts)
{
    static const struct {
        char text[40], host[32];
        unsigned port;
    } good[] = {
        { "example.org", "example.org", 0 }, { "example.org:443", "example.org", 443 }, { "10.0.0.0/8", "10.0.0.0/8", 0 },
        { "10.0.0.0/8:53", "10.0.0.0/8", 53 }, { "::1", "::1", 0 }, { "[::1]:80", "::1", 80 }, { "[fd00::/8]", "fd00::/8", 0 },
    };
    static const char bad[][24] = { "", ":80", "a:", "a:0", "a:65536", "a:8x", "[::1", "[::1]80", "[::1]:", "[]:80" };
    char host[64];
    uint16_t port;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        cr_expect(net_split_host(good[i].text, host, sizeof(host), &port), "%s", good[i].text);
        cr_expect_str_eq(host, good[i].host);
        cr_expect_eq(port, good[i].port);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_not(net_split_host(bad[i], host, sizeof(host), &port), "%s", bad[i]);
}

Test(net_options, ranges)
{
    struct net_rule rule;

    cr_expect(net_parse_range("10.0.0.0/8", &rule) && rule.prefix == 104);
    cr_expect(net_parse_range("10.0.0.1", &rule) && rule.prefix == 128);
    cr_expect(net_parse_range("fd00::/8", &rule) && rule.prefix == 8);
    cr_expect_not(net_parse_range("10.0.0.0/33", &rule));
    cr_expect_not(net_parse_range("10.0.0.0/", &rule));
    cr_expect_not(net_parse_range("10.0.0/8", &rule));
    cr_expect_not(net_parse_range("fd00::/129", &rule));
    cr_expect_not(net_parse_range("name", &rule));
}

Test(net_options, publish)
{
    static const char bad[][32] = { "80", "80:", ":80", "x:80", "80:80/sctp", "1.2.3.4:80", "[::1:80:80", "0:80", "80:70000" };
    struct publish_spec p;

    cr_expect(net_parse_publish("8080:80", &p) && p.host_port == 8080 && p.port == 80 && !p.datagram);
    cr_expect_str_eq(p.addr, "127.0.0.1");
    cr_expect(net_parse_publish("0.0.0.0:8080:80/udp", &p) && p.host_port == 8080 && p.port == 80 && p.datagram);
    cr_expect_str_eq(p.addr, "0.0.0.0");
    cr_expect(net_parse_publish("[::1]:1:2/tcp", &p) && p.host_port == 1 && p.port == 2 && !p.datagram);
    cr_expect_str_eq(p.addr, "::1");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_not(net_parse_publish(bad[i], &p), "%s", bad[i]);
}
