/*
 * The command line as a struct. Strings point into argv.
 */
#ifndef VMM_OPTIONS_H
#define VMM_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/roles.h"
#include "vmm/nic.h"

/* Exit statuses of vmm itself, as docker run has them. */
enum { STATUS_VMM_ERROR = 125, STATUS_NOT_EXECUTABLE = 126, STATUS_NOT_FOUND = 127 };

#define MOUNT_SPEC_MAX 64

struct mount_spec {
    const char *src;       /* NULL: tmpfs */
    const char *dst;
    bool writable;
    enum cache_mode cache;
};

#define DISK_SPEC_MAX 8

struct disk_spec {
    const char *path;
    bool readonly;
    const char *serial;    /* NULL: none */
    uint64_t iops, bps;    /* 0: no limit */
};

#define ALLOW_SPEC_MAX 256
#define PUBLISH_SPEC_MAX NET_PUBLISH_MAX

/* --net and its like, as text; net.h makes a plan of it. */
struct net_options {
    bool outgoing, host_loopback;
    const char *allow[ALLOW_SPEC_MAX];
    size_t allow_count;
    const char *publish[PUBLISH_SPEC_MAX];
    size_t publish_count;
    uint64_t rate; /* bytes a second; 0: no limit */
};

struct options {
    const char *program;
    char **argv;           /* of the app, argv[0] as given */
    int argc;
    const char *root;      /* NULL: the default view of the host */
    const char *overlay;   /* the directory that keeps what is written to root; NULL: memory */
    struct mount_spec mounts[MOUNT_SPEC_MAX];
    size_t mount_count;
    struct disk_spec disks[DISK_SPEC_MAX];
    size_t disk_count;
    struct nic_spec nic;
    const char *root_disk; /* "vda": the root is the file system on it */
    const char **env;      /* K=V; static */
    size_t env_count;
    const char *cwd;
    uint32_t uid, gid;
    const char *hostname;
    struct net_options net;
    const struct net_plan *net_plan; /* made of it; NULL: no network */
    uint64_t mem_size;
    uint64_t timeout_ns;   /* 0: none */
    uint64_t cpu_time_ns;  /* 0: none */
    uint64_t pids_max;     /* UINT64_MAX: none */
    uint64_t file_size_max;
    bool tty;              /* a terminal of the program's own */
    bool strace;
    bool prefault;   /* mappings come with their pages */
    bool no_rewrite; /* leave the app's `syscall` instructions as they are */
    const char *strace_file; /* NULL: stderr */
    const char *report_file;
    bool stats;
    const char *stats_file; /* NULL: stderr */
    const char *profile_file;
    bool quiet;
    int verbose;
    bool show_version;
    uint64_t debug_kick_us; /* hidden: kick the vCPU all the time (tests) */
};

/*
 * Parse. Returns 0; 1 if --help or --version was asked for and is to end with status 0 (help is printed already); or
 * -1 after one line on stderr.
 */
int options_parse(struct options *opt, int argc, char **argv);

/* "64M", "1.5G", "4096": bytes. False if it isn't a size. */
bool parse_size(const char *text, uint64_t *ret);

/* "500ms", "2s", "1m", "1h", "10": nanoseconds, a bare number is seconds. */
bool parse_duration(const char *text, uint64_t *ret);

#endif
