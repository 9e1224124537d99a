/* See net.h. */
#include "vmm/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/net_policy.h"
#include "hypercalls/net.h"

#define HOST_MAX 256
#define PUBLISH_DEFAULT_ADDR "127.0.0.1"

extern char **environ;

bool net_is_wanted(const struct net_options *opt)
{
    return opt->outgoing || opt->publish_count;
}

/* --- text to numbers --- */

static bool parse_port(const char *text, size_t len, uint16_t *ret)
{
    unsigned long v = 0;

    if (!len || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        v = v * 10 + (unsigned long)(text[i] - '0');
    }
    *ret = (uint16_t)v;
    return v > 0 && v <= UINT16_MAX;
}

static bool copy_text(char *to, size_t size, const char *from, size_t len)
{
    if (!len || len >= size)
        return false;
    memcpy(to, from, len);
    to[len] = '\0';
    return true;
}

bool net_split_host(const char *text, char *host, size_t host_size, uint16_t *ret_port)
{
    const char *colon = strrchr(text, ':'), *end = text + strlen(text);

    *ret_port = 0;
    if (*text == '[') {
        const char *close = strchr(text, ']');

        if (!close || (close[1] && (close[1] != ':' || !parse_port(close + 2, strlen(close + 2), ret_port))))
            return false;
        return copy_text(host, host_size, text + 1, (size_t)(close - text - 1));
    }
    if (colon && strchr(text, ':') == colon) { /* more than one: IPv6 without a port */
        if (!parse_port(colon + 1, strlen(colon + 1), ret_port))
            return false;
        end = colon;
    }
    return copy_text(host, host_size, text, (size_t)(end - text));
}

static bool parse_address(const char *text, uint8_t addr[16], bool *ret_v4)
{
    memset(addr, 0, 16);
    addr[10] = addr[11] = 0xff;
    *ret_v4 = inet_pton(AF_INET, text, addr + 12) == 1;
    return *ret_v4 || inet_pton(AF_INET6, text, addr) == 1;
}

bool net_parse_range(const char *text, struct net_rule *ret)
{
    const char *slash = strchr(text, '/');
    char host[HOST_MAX];
    unsigned long bits;
    char *end;
    bool v4;

    if (!copy_text(host, sizeof(host), text, slash ? (size_t)(slash - text) : strlen(text)) ||
        !parse_address(host, ret->addr, &v4))
        return false;
    ret->prefix = 128;
    if (!slash)
        return true;
    bits = strtoul(slash + 1, &end, 10);
    if (slash[1] < '0' || slash[1] > '9' || *end || bits > (v4 ? 32 : 128))
        return false;
    ret->prefix = (uint8_t)(v4 ? bits + 96 : bits);
    return true;
}

/* [ADDR:]HOSTPORT:PORT[/udp|/tcp]; an IPv6 ADDR in brackets. */
bool net_parse_publish(const char *text, struct publish_spec *ret)
{
    const char *slash = strchr(text, '/'), *end = slash ? slash : text + strlen(text);
    const char *inside = NULL, *outside = text;

    *ret = (struct publish_spec){ .addr = PUBLISH_DEFAULT_ADDR };
    if (slash && strcmp(slash, "/udp") && strcmp(slash, "/tcp"))
        return false;
    ret->datagram = slash && slash[1] == 'u';
    for (const char *p = text; p < end; p++) {
        if (*p != ':')
            continue;
        outside = inside ? inside : text;
        inside = p + 1;
    }
    if (!inside || !parse_port(inside, (size_t)(end - inside), &ret->port) ||
        !parse_port(outside, (size_t)(inside - 1 - outside), &ret->host_port))
        return false;
    if (outside == text)
        return true;
    end = outside - 1;
    if (*text == '[') {
        text++;
        if (*--end != ']')
            return false;
    }
    return copy_text(ret->addr, sizeof(ret->addr), text, (size_t)(end - text));
}

/* --- names --- */

static int add_rule(struct net_plan *plan, const struct net_rule *rule)
{
    if (plan->rule_count == NET_RULE_MAX) {
        log_error("--allow", "more than %d addresses", NET_RULE_MAX);
        return -1;
    }
    plan->rules[plan->rule_count++] = *rule;
    return 0;
}

/*
 * The host's own way from names to addresses is nsswitch.conf(5), whose modules a static program can't load: getent(1) can.
 * Its output, or NULL and errno.
 */
static FILE *run_getent(const char *name, pid_t *ret_pid)
{
    char database[] = "ahosts", program[] = "getent";
    char *argv[] = { program, database, (char *)(uintptr_t)name, NULL };
    posix_spawn_file_actions_t actions;
    int fds[2], err;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return NULL;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    err = posix_spawnp(ret_pid, program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(fds[1]);
    if (err) {
        close(fds[0]);
        errno = err;
        return NULL;
    }
    return fdopen(fds[0], "re");
}

static bool has_rule(const struct net_plan *plan, size_t first, const struct net_rule *rule)
{
    for (size_t i = first; i < plan->rule_count; i++)
        if (!memcmp(plan->rules[i].addr, rule->addr, 16))
            return true;
    return false;
}

/* getent(1), ahosts: an address at the start of each line, each several times. */
static int add_lines(struct net_plan *plan, FILE *f, uint16_t port, size_t first)
{
    char line[512];

    while (fgets(line, sizeof(line), f)) {
        struct net_rule rule = { .prefix = 128, .port = port };
        bool v4;

        line[strcspn(line, " \t\n")] = '\0';
        if (parse_address(line, rule.addr, &v4) && !has_rule(plan, first, &rule) && add_rule(plan, &rule) < 0)
            return -1;
    }
    return 0;
}

static int add_name(struct net_plan *plan, const char *host, uint16_t port)
{
    size_t first = plan->rule_count;
    pid_t pid = -1;
    FILE *f = run_getent(host, &pid);
    int err;

    if (!f) {
        log_errno("getent", errno);
        return -1;
    }
    err = add_lines(plan, f, port, first);
    fclose(f);
    waitpid(pid, NULL, 0);
    if (err < 0)
        return -1;
    if (plan->rule_count == first) {
        log_error(host, "no such name, says getent; --allow needs its addresses at the start");
        return -1;
    }
    if (plan->name_count == NET_NAME_MAX) {
        log_error("--allow", "more than %d names", NET_NAME_MAX);
        return -1;
    }
    plan->names[plan->name_count++] = (struct net_name){ strdup(host), first, plan->rule_count - first };
    return plan->names[plan->name_count - 1].name ? 0 : -1;
}

static int add_allowed(struct net_plan *plan, const char *text)
{
    char host[HOST_MAX];
    struct net_rule rule;
    uint16_t port;

    if (!net_split_host(text, host, sizeof(host), &port) || host[0] == '-') {
        log_error("--allow", "'%s' is not HOST[:PORT]", text);
        return -1;
    }
    rule.port = port;
    if (net_parse_range(host, &rule))
        return add_rule(plan, &rule);
    if (strchr(host, '/') || strchr(host, ':')) {
        log_error("--allow", "'%s' is neither an address, a CIDR range nor a name", host);
        return -1;
    }
    return add_name(plan, host, port);
}

/* --- published ports --- */

static int bind_published(const struct publish_spec *spec)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(spec->host_port) };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(spec->host_port) };
    const struct sockaddr *sa = (const void *)&in;
    socklen_t size = sizeof(in);
    const int one = 1;
    int fd, err;

    if (inet_pton(AF_INET, spec->addr, &in.sin_addr) != 1) {
        if (inet_pton(AF_INET6, spec->addr, &in6.sin6_addr) != 1)
            return -EINVAL;
        sa = (const void *)&in6;
        size = sizeof(in6);
    }
    fd = socket(sa->sa_family, (spec->datagram ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (!spec->datagram)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (sa->sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    if (bind(fd, sa, size) == 0)
        return fd;
    err = -errno;
    close(fd);
    return err;
}

static int add_published(struct net_plan *plan, const char *text)
{
    struct publish_spec spec;
    int fd;

    if (!net_parse_publish(text, &spec)) {
        log_error("--publish", "'%s' is not [ADDR:]HOSTPORT:PORT[/udp]", text);
        return -1;
    }
    for (size_t i = 0; i < plan->publish_count; i++) {
        if (plan->publish[i].port == spec.port && plan->publish[i].datagram == spec.datagram) {
            log_error("--publish", "port %u twice", spec.port);
            return -1;
        }
    }
    fd = bind_published(&spec);
    if (fd < 0) {
        log_error("--publish", "%s: %s", text, strerror(-fd));
        return -1;
    }
    plan->publish[plan->publish_count++] = (struct net_publish){ fd, spec.port, spec.host_port, spec.datagram };
    return 0;
}

/* --- name servers --- */

static void add_server(struct net_plan *plan, const char *text, bool want_v4)
{
    char addr[64];
    bool v4;

    if (plan->server_count == NET_SERVER_MAX || !copy_text(addr, sizeof(addr), text, strcspn(text, "% \t\n")))
        return;
    if (!parse_address(addr, plan->servers[plan->server_count].addr, &v4) || v4 != want_v4)
        return;
    plan->server_count++;
}

/* IPv4's come first: the sandbox asks them by aliases in IPv4, and those of IPv6 only serve IPv6 sockets. */
static void find_servers(struct net_plan *plan)
{
    FILE *f = fopen("/etc/resolv.conf", "re");
    char line[512];

    if (!f)
        return;
    for (int v4 = 1; v4 >= 0; v4--) {
        rewind(f);
        while (fgets(line, sizeof(line), f))
            if (!strncmp(line, "nameserver", 10))
                add_server(plan, line + 10 + strspn(line + 10, " \t"), v4);
    }
    fclose(f);
}

bool net_host_dns_is_local(void)
{
    static struct net_plan plan; /* large */

    find_servers(&plan);
    return plan.server_count && net_classify(plan.servers[0].addr) == NET_CLASS_LOCAL;
}

/* /proc/net/if_inet6: address, index, prefix length, scope, flags, name; scope 0 is global. */
static bool host_has_v6(void)
{
    FILE *f = fopen("/proc/net/if_inet6", "re");
    bool found = false;
    unsigned scope;

    if (!f)
        return false;
    while (!found && fscanf(f, "%*s %*x %*x %x %*x %*s", &scope) == 1)
        found = scope == 0;
    fclose(f);
    return found;
}

int net_build(struct net_plan *plan, const struct net_options *opt)
{
    *plan = (struct net_plan){
        .outgoing = opt->outgoing,
        .host_loopback = opt->host_loopback,
        .listed = opt->allow_count > 0,
        .rate = opt->rate,
    };
    for (size_t i = 0; i < opt->allow_count; i++)
        if (add_allowed(plan, opt->allow[i]) < 0)
            return -1;
    for (size_t i = 0; i < opt->publish_count; i++)
        if (add_published(plan, opt->publish[i]) < 0)
            return -1;
    if (plan->outgoing && !plan->listed)
        find_servers(plan);
    plan->has_v6 = plan->outgoing && host_has_v6();
    return 0;
}

/* --- files --- */

static void add_server_line(char *text, size_t size, uint32_t i)
{
    uint32_t v4 = NET_DNS_ADDR(i);
    size_t n = strlen(text);

    snprintf(text + n, size - n, "nameserver %u.%u.%u.%u\n", v4 >> 24, v4 >> 16 & 255, v4 >> 8 & 255, v4 & 255);
}

void net_resolv_conf(const struct net_plan *plan, char *text, size_t size)
{
    uint32_t count = !plan || !plan->outgoing ? 0 : plan->listed ? 1 : (uint32_t)plan->server_count;

    text[0] = '\0';
    for (uint32_t i = 0; i < count; i++)
        add_server_line(text, size, i);
}

void net_hosts(const struct net_plan *plan, char *text, size_t size)
{
    uint32_t v4 = NET_HOST_ADDR;

    text[0] = '\0';
    if (plan && plan->host_loopback)
        snprintf(text, size, "%u.%u.%u.%u\thost.internal\n", v4 >> 24, v4 >> 16 & 255, v4 >> 8 & 255, v4 & 255);
}
