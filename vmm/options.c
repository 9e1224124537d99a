/* Options of `vmm`, by getopt_long. Every complaint is one line. */
#include "vmm/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/checked.h"
#include "common/log.h"
#include "hypercalls/layout.h"

/*
 * The default of --mem: enough for compilers, node and databases, and far from hurting a host of today when a program
 * runs wild. Memory costs nothing until it is used.
 */
#define MEM_DEFAULT (2ull << 30)
#define MEM_MIN (16ull << 20)
#define ENV_MAX 4096
#define NET_RATE_MIN 1024

extern char **environ;

enum option_id {
    OPT_APP = 256,
    OPT_ROOT,
    OPT_OVERLAY,
    OPT_BIND,
    OPT_TMPFS,
    OPT_DISK,
    OPT_ROOT_DISK,
    OPT_ENV,
    OPT_ENV_ALL,
    OPT_CWD,
    OPT_UID,
    OPT_GID,
    OPT_HOSTNAME,
    OPT_TTY,
    OPT_NET,
    OPT_ALLOW,
    OPT_PUBLISH,
    OPT_NET_RATE,
    OPT_NIC,
    OPT_MEM,
    OPT_TIMEOUT,
    OPT_CPU_TIME,
    OPT_PIDS,
    OPT_FSIZE,
    OPT_STRACE,
    OPT_NO_REWRITE,
    OPT_PREFAULT,
    OPT_STATS,
    OPT_PROFILE,
    OPT_REPORT,
    OPT_QUIET,
    OPT_VERBOSE,
    OPT_VERSION,
    OPT_HELP,
    OPT_DEBUG_KICK,
};

static const struct option long_options[] = {
    { "app", required_argument, NULL, OPT_APP },
    { "root", required_argument, NULL, OPT_ROOT },
    { "overlay", required_argument, NULL, OPT_OVERLAY },
    { "bind", required_argument, NULL, OPT_BIND },
    { "tmpfs", required_argument, NULL, OPT_TMPFS },
    { "disk", required_argument, NULL, OPT_DISK },
    { "root-disk", required_argument, NULL, OPT_ROOT_DISK },
    { "env", required_argument, NULL, OPT_ENV },
    { "env-all", no_argument, NULL, OPT_ENV_ALL },
    { "cwd", required_argument, NULL, OPT_CWD },
    { "uid", required_argument, NULL, OPT_UID },
    { "gid", required_argument, NULL, OPT_GID },
    { "hostname", required_argument, NULL, OPT_HOSTNAME },
    { "tty", no_argument, NULL, OPT_TTY },
    { "net", optional_argument, NULL, OPT_NET },
    { "allow", required_argument, NULL, OPT_ALLOW },
    { "publish", required_argument, NULL, OPT_PUBLISH },
    { "net-rate", required_argument, NULL, OPT_NET_RATE },
    { "nic", required_argument, NULL, OPT_NIC },
    { "mem", required_argument, NULL, OPT_MEM },
    { "timeout", required_argument, NULL, OPT_TIMEOUT },
    { "cpu-time", required_argument, NULL, OPT_CPU_TIME },
    { "prefault", no_argument, NULL, OPT_PREFAULT },
    { "pids", required_argument, NULL, OPT_PIDS },
    { "fsize", required_argument, NULL, OPT_FSIZE },
    { "strace", optional_argument, NULL, OPT_STRACE },
    { "stats", optional_argument, NULL, OPT_STATS },
    { "profile", required_argument, NULL, OPT_PROFILE },
    { "no-rewrite", no_argument, NULL, OPT_NO_REWRITE },
    { "report", required_argument, NULL, OPT_REPORT },
    { "quiet", no_argument, NULL, OPT_QUIET },
    { "verbose", no_argument, NULL, OPT_VERBOSE },
    { "version", no_argument, NULL, OPT_VERSION },
    { "help", no_argument, NULL, OPT_HELP },
    { "debug-kick-us", required_argument, NULL, OPT_DEBUG_KICK },
    { NULL, 0, NULL, 0 },
};

static const char help_text[] =
    "Usage: vmm [OPTIONS] --app PROG [--] [ARGS...]\n"
    "       vmm [OPTIONS] PROG [ARGS...]\n"
    "       vmm gofer --help       serve files to other 9P clients\n"
    "Run an unmodified Linux program in its own KVM virtual machine.\n"
    "\n"
    "Files\n"
    "  --root DIR             DIR is the root; writes stay in memory (default: a view of the host)\n"
    "  --overlay UPPER        with --root: writes stay in UPPER, as with Linux's overlayfs\n"
    "  --bind SRC:DST[:OPT,…] share a file or directory: ro (default), rw, cache=exclusive|shared|none\n"
    "  --tmpfs DST            an empty directory in memory\n"
    "  --disk FILE[:OPT,…]    a disk, /dev/vda and on: ro, serial=S, iops=N, bps=SIZE\n"
    "  --root-disk NAME       the root is the EROFS on this disk, such as vda; writes stay in memory\n"
    "  --cwd DIR              working directory (default: /)\n"
    "Identity\n"
    "  --env K=V, --env K     set a variable; copy one of the host's\n"
    "  --env-all              copy all of the host's variables\n"
    "  --uid N, --gid N       user and group inside (default: 0)\n"
    "  --hostname NAME        (default: vmm)\n"
    "  --tty                  a terminal of the program's own, for shells and editors\n"
    "Network (default: none but loopback inside)\n"
    "  --net                  outgoing connections, but not to the host, private or special addresses\n"
    "  --allow HOST[:PORT]    only there: a name, an address or CIDR; may be private\n"
    "  --publish [ADDR:]HOSTPORT:PORT[/udp]  a port of the host's leads to one inside\n"
    "  --net=host-loopback    the host's own addresses too; 169.254.53.1 is its 127.0.0.1\n"
    "  --net-rate SIZE        bytes a second, each way\n"
    "  --nic tap[=NAME][,OPT,…]  instead: packets of its own; addr=ADDR/LEN (else DHCP), gw=, dns=, …\n"
    "  --nic passt[,host][,OPT,…]  the same without privileges; with the host itself\n"
    "Limits\n"
    "  --mem SIZE             memory, such as 512M (default: 2G)\n"
    "  --prefault             bring memory in when it is mapped, not when it is touched\n"
    "  --timeout DUR          wall time, such as 500ms, 30s, 5m\n"
    "  --cpu-time DUR         processor time\n"
    "  --pids N               threads and processes\n"
    "  --fsize SIZE           size of a file\n"
    "Diagnosis\n"
    "  --strace[=FILE]        every system call, to stderr or FILE\n"
    "  --stats[=FILE]         a table of exits, faults, gates and calls at the end\n"
    "  --profile FILE         a sample of where the guest is each millisecond, as perf script has it\n"
    "  --no-rewrite           leave system-call instructions in the program's text as they are\n"
    "  --report FILE          JSON: status, times, memory, counts\n"
    "  --quiet                no messages about the app's end\n"
    "  --version, --verbose   with both: what this host offers, and what of the jail is in force\n"
    "  --help\n"
    "\n"
    "Exit status: the app's; 128+N if signal N ended it; 125 error of vmm; 126 can't be executed;\n"
    "127 not found. Manual: vmm(1).\n";

bool parse_size(const char *text, uint64_t *ret)
{
    static const char units[] = "KMGT";
    uint64_t scale = 1;
    double value;
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    value = strtod(text, &end);
    if (*end) {
        const char *unit = strchr(units, *end >= 'a' ? *end - 32 : *end);

        if (!unit || !*unit)
            return false;
        scale = 1ull << (10 * (unit - units + 1));
        end++;
        if (!strcasecmp(end, "iB") || !strcasecmp(end, "B"))
            end += strlen(end);
    }
    if (*end || !(value * (double)scale < 1e18))
        return false;
    *ret = (uint64_t)(value * (double)scale);
    return true;
}

bool parse_duration(const char *text, uint64_t *ret)
{
    static const struct {
        const char *name;
        double ns;
    } units[] = { { "", 1e9 }, { "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { "m", 60e9 }, { "h", 3600e9 } };
    double value;
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    value = strtod(text, &end);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].name))
            continue;
        if (!(value * units[i].ns < 9e18))
            return false;
        *ret = (uint64_t)(value * units[i].ns);
        return *ret > 0;
    }
    return false;
}

static bool parse_number(const char *text, uint64_t max, uint64_t *ret)
{
    char *end;
    unsigned long long v;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    v = strtoull(text, &end, 10);
    if (errno || *end || v > max)
        return false;
    *ret = v;
    return true;
}

static int bad_value(const char *option, const char *value, const char *expected)
{
    log_error(option, "'%s' is not %s", value, expected);
    return -1;
}

static int add_mount(struct options *opt, const struct mount_spec *spec)
{
    if (opt->mount_count == MOUNT_SPEC_MAX) {
        log_error("--bind", "more than %d mounts", MOUNT_SPEC_MAX);
        return -1;
    }
    opt->mounts[opt->mount_count++] = *spec;
    return 0;
}

static int parse_bind_option(struct mount_spec *m, bool *cache_said, const char *word)
{
    static const char *const modes[] = { [CACHE_EXCLUSIVE] = "cache=exclusive",
                                         [CACHE_SHARED] = "cache=shared",
                                         [CACHE_NONE] = "cache=none" };

    if (!strcmp(word, "ro") || !strcmp(word, "rw")) {
        m->writable = word[1] == 'w';
        return 0;
    }
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (!strcmp(word, modes[i])) {
            m->cache = (enum cache_mode)i;
            *cache_said = true;
            return 0;
        }
    }
    log_error("--bind", "unknown option '%s'", word);
    return -1;
}

/* SRC:DST[:OPT,…]. Read-only shares may be cached without asking again, writable ones are revalidated (design, §5). */
static int parse_bind(struct options *opt, char *text)
{
    struct mount_spec m = { .cache = CACHE_SHARED };
    char *dst = strchr(text, ':'), *opts, *save = NULL;
    bool cache_said = false;

    if (!dst || dst == text || dst[1] != '/')
        return bad_value("--bind", text, "SRC:DST[:OPT,…] with an absolute DST");
    *dst++ = '\0';
    opts = strchr(dst, ':');
    if (opts)
        *opts++ = '\0';
    m.src = text;
    m.dst = dst;
    for (char *word = opts ? strtok_r(opts, ",", &save) : NULL; word; word = strtok_r(NULL, ",", &save))
        if (parse_bind_option(&m, &cache_said, word) < 0)
            return -1;
    if (!cache_said && !m.writable)
        m.cache = CACHE_EXCLUSIVE;
    return add_mount(opt, &m);
}

static int parse_disk_option(struct disk_spec *d, char *word)
{
    if (!strcmp(word, "ro"))
        d->readonly = true;
    else if (!strncmp(word, "serial=", 7) && strlen(word + 7) <= 20)
        d->serial = word + 7;
    else if (!strncmp(word, "iops=", 5) && parse_number(word + 5, UINT32_MAX, &d->iops) && d->iops)
        return 0;
    else if (!strncmp(word, "bps=", 4) && parse_size(word + 4, &d->bps) && d->bps && d->bps < 1ull << 40)
        return 0;
    else
        return bad_value("--disk", word, "ro, serial=S (at most 20 bytes), iops=N or bps=SIZE");
    return 0;
}

/* FILE[:OPT,…]; a colon separates options as well as a comma. */
static int parse_disk(struct options *opt, char *text)
{
    struct disk_spec d = { .path = text };
    char *opts = strchr(text, ':'), *save = NULL;

    if (opt->disk_count == DISK_SPEC_MAX) {
        log_error("--disk", "more than %d disks", DISK_SPEC_MAX);
        return -1;
    }
    if (!*text || opts == text)
        return bad_value("--disk", text, "FILE[:OPT,…]");
    if (opts)
        *opts++ = '\0';
    for (char *word = opts ? strtok_r(opts, ":,", &save) : NULL; word; word = strtok_r(NULL, ":,", &save))
        if (parse_disk_option(&d, word) < 0)
            return -1;
    opt->disks[opt->disk_count++] = d;
    return 0;
}

/* --- environment --- */

static bool env_same_name(const char *a, const char *b)
{
    size_t n = strcspn(a, "=");

    return !strncmp(a, b, n) && b[n] == '=';
}

static int env_set(struct options *opt, const char *assignment)
{
    for (size_t i = 0; i < opt->env_count; i++) {
        if (env_same_name(assignment, opt->env[i])) {
            opt->env[i] = assignment;
            return 0;
        }
    }
    if (opt->env_count == ENV_MAX) {
        log_error("--env", "more than %d variables", ENV_MAX);
        return -1;
    }
    opt->env[opt->env_count++] = assignment;
    return 0;
}

static int env_copy(struct options *opt, bool all)
{
    static const char *const harmless[] = { "PATH=", "HOME=", "TERM=", "LANG=", "LC_", "TZ=" };

    for (char **e = environ; *e; e++) {
        bool take = all && strchr(*e, '=');

        for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
            take = take || !strncmp(*e, harmless[i], strlen(harmless[i]));
        if (take && env_set(opt, *e) < 0)
            return -1;
    }
    return 0;
}

static int env_option(struct options *opt, const char *text)
{
    if (!*text)
        return bad_value("--env", text, "K=V or K");
    if (strchr(text, '='))
        return *text == '=' ? bad_value("--env", text, "K=V or K") : env_set(opt, text);
    for (char **e = environ; *e; e++)
        if (env_same_name(text, *e))
            return env_set(opt, *e);
    return 0; /* not set on the host: not set inside, as docker run has it */
}

/* --- network --- */

static int parse_net(struct options *opt, const char *arg)
{
    opt->net.outgoing = true;
    if (!arg)
        return 0;
    if (strcmp(arg, "host-loopback"))
        return bad_value("--net", arg, "host-loopback");
    opt->net.host_loopback = true;
    return 0;
}

static int add_text(const char *option, const char **list, size_t *count, size_t max, const char *text)
{
    if (*count == max) {
        log_error(option, "more than %zu of them", max);
        return -1;
    }
    list[(*count)++] = text;
    return 0;
}

/* --- the rest --- */

static int parse_one(struct options *opt, int id, char *arg)
{
    uint64_t v;

    switch (id) {
    case OPT_APP:
        opt->program = arg;
        return 0;
    case OPT_ROOT:
        opt->root = arg;
        return 0;
    case OPT_OVERLAY:
        opt->overlay = arg;
        return 0;
    case OPT_BIND:
        return parse_bind(opt, arg);
    case OPT_TMPFS:
        if (*arg != '/')
            return bad_value("--tmpfs", arg, "an absolute path");
        return add_mount(opt, &(struct mount_spec){ .dst = arg, .writable = true });
    case OPT_DISK:
        return parse_disk(opt, arg);
    case OPT_ROOT_DISK:
        if (strncmp(arg, "vd", 2) || strlen(arg) > 8)
            return bad_value("--root-disk", arg, "the name of a disk, such as vda or vda1");
        opt->root_disk = arg;
        return 0;
    case OPT_ENV:
        return env_option(opt, arg);
    case OPT_ENV_ALL:
        return env_copy(opt, true);
    case OPT_CWD:
        if (*arg != '/')
            return bad_value("--cwd", arg, "an absolute path");
        opt->cwd = arg;
        return 0;
    case OPT_UID:
    case OPT_GID:
        if (!parse_number(arg, UINT32_MAX - 1, &v))
            return bad_value(id == OPT_UID ? "--uid" : "--gid", arg, "a user or group number");
        *(id == OPT_UID ? &opt->uid : &opt->gid) = (uint32_t)v;
        return 0;
    case OPT_TTY:
        opt->tty = true;
        return 0;
    case OPT_HOSTNAME:
        if (!*arg || strlen(arg) > 64)
            return bad_value("--hostname", arg, "a name of 1 to 64 bytes");
        opt->hostname = arg;
        return 0;
    case OPT_NET:
        return parse_net(opt, arg);
    case OPT_ALLOW:
        opt->net.outgoing = true;
        return add_text("--allow", opt->net.allow, &opt->net.allow_count, ALLOW_SPEC_MAX, arg);
    case OPT_PUBLISH:
        return add_text("--publish", opt->net.publish, &opt->net.publish_count, PUBLISH_SPEC_MAX, arg);
    case OPT_NET_RATE:
        if (!parse_size(arg, &opt->net.rate) || opt->net.rate < NET_RATE_MIN)
            return bad_value("--net-rate", arg, "a size of 1K or more");
        return 0;
    case OPT_NIC:
        return nic_parse(&opt->nic, arg);
    case OPT_MEM:
        if (!parse_size(arg, &v))
            return bad_value("--mem", arg, "a size such as 512M");
        if (v < MEM_MIN || v > GPA_RAM_END / 2) {
            log_error("--mem", "%s is out of range (%lluM to %lluG)", arg, MEM_MIN >> 20,
                      (unsigned long long)GPA_RAM_END / 2 >> 30);
            return -1;
        }
        opt->mem_size = v & ~(uint64_t)(SLOT_ALIGN - 1);
        return 0;
    case OPT_TIMEOUT:
    case OPT_CPU_TIME:
        if (!parse_duration(arg, &v))
            return bad_value(id == OPT_TIMEOUT ? "--timeout" : "--cpu-time", arg, "a duration such as 500ms or 30s");
        *(id == OPT_TIMEOUT ? &opt->timeout_ns : &opt->cpu_time_ns) = v;
        return 0;
    case OPT_PIDS:
        if (!parse_number(arg, 1u << 22, &opt->pids_max) || !opt->pids_max)
            return bad_value("--pids", arg, "a number of 1 or more");
        return 0;
    case OPT_FSIZE:
        if (!parse_size(arg, &opt->file_size_max))
            return bad_value("--fsize", arg, "a size such as 100M");
        return 0;
    case OPT_STRACE:
        opt->strace = true;
        opt->strace_file = arg;
        return 0;
    case OPT_STATS:
        opt->stats = true;
        opt->stats_file = arg;
        return 0;
    case OPT_PROFILE:
        opt->profile_file = arg;
        return 0;
    case OPT_NO_REWRITE:
        opt->no_rewrite = true;
        return 0;
    case OPT_PREFAULT:
        opt->prefault = true;
        return 0;
    case OPT_REPORT:
        opt->report_file = arg;
        return 0;
    case OPT_QUIET:
        opt->quiet = true;
        return 0;
    case OPT_VERBOSE:
        opt->verbose++;
        return 0;
    case OPT_VERSION:
        opt->show_version = true;
        return 0;
    case OPT_DEBUG_KICK:
        return parse_number(arg, 1000000, &opt->debug_kick_us) ? 0 : bad_value("--debug-kick-us", arg, "a number");
    default:
        return -1;
    }
}

static int complain(int c, char **argv)
{
    const char *what = argv[optind - 1];

    if (c == ':')
        log_error(what, "needs an argument");
    else
        log_error(what, "unknown option (see vmm --help)");
    return -1;
}

static int check_root(const struct options *opt)
{
    if (!opt->root_disk)
        return 0;
    if (opt->root || opt->overlay) {
        log_error("--root-disk", "excludes %s", opt->root ? "--root" : "--overlay");
        return -1;
    }
    if (opt->root_disk[2] < 'a' || opt->root_disk[2] >= 'a' + (int)opt->disk_count) {
        log_error("--root-disk", "there is no %s: say --disk FILE too", opt->root_disk);
        return -1;
    }
    return 0;
}

static int check_network(const struct options *opt)
{
    const struct net_options *n = &opt->net;

    if (opt->nic.passt && n->publish_count && !n->outgoing && !n->rate)
        return 0; /* passt listens for them */
    if (!opt->nic.wanted || !(n->outgoing || n->publish_count || n->rate))
        return 0;
    log_error("--nic", "excludes %s", n->rate ? "--net-rate" : n->publish_count && !opt->nic.passt ? "--publish" : n->allow_count ? "--allow" : "--net");
    return -1;
}

int options_parse(struct options *opt, int argc, char **argv)
{
    static const char *env[ENV_MAX + 1]; /* options are parsed once in a process */
    int c;

    *opt = (struct options){
        .env = env,
        .cwd = "/",
        .hostname = "vmm",
        .mem_size = MEM_DEFAULT,
        .pids_max = UINT64_MAX,
        .file_size_max = UINT64_MAX,
    };
    if (env_copy(opt, false) < 0)
        return -1;
    opterr = 0;
    while ((c = getopt_long(argc, argv, "+:", long_options, NULL)) != -1) {
        if (c == '?' || c == ':')
            return complain(c, argv);
        if (c == OPT_HELP) {
            fputs(help_text, stdout);
            return 1;
        }
        if (parse_one(opt, c, optarg) < 0)
            return -1;
    }
    if (opt->show_version)
        return 1;
    if (check_root(opt) < 0 || check_network(opt) < 0)
        return -1;
    opt->argv = argv + optind;
    opt->argc = argc - optind;
    if (!opt->program) {
        if (!opt->argc) {
            log_error("no program", "say vmm PROG, or see vmm --help");
            return -1;
        }
        opt->program = opt->argv[0];
        return 0;
    }
    /* --app PROG ARGS…: argv[0] is PROG. The slot before the first argument is free: it held an option or "--". */
    opt->argv--;
    opt->argc++;
    opt->argv[0] = (char *)(uintptr_t)opt->program;
    return 0;
}
