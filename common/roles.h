/*
 * The launch contract between the two host processes: what the vmm decides and the gofer is told.
 *
 * The gofer is started by a clone of the vmm before either touches anything of the guest, so the
 * structs are passed by memory. vmm and gofer include this file and never each other.
 */
#ifndef COMMON_ROLES_H
#define COMMON_ROLES_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/net_plan.h"

enum cache_mode { CACHE_EXCLUSIVE, CACHE_SHARED, CACHE_NONE };

/* A file or directory of the host that the sandbox may reach. */
struct gofer_export {
    const char *host_path;  /* absolute, or relative to the cwd at launch; symlinks in it are followed once, at set-up */
    bool writable;
    bool world_only;        /* serve only what others may read (the default view of the host) */
    bool cross_mounts;      /* mounts of the host below it are served too */
    bool upper;             /* an overlay's upper layer: whiteouts may be made, and inode numbers differ from the lower one's */
    /*
     * Names that exist at the top of a read-only directory, sorted; the others aren't there. NULL: all. Lets one export take the
     * place of one for each harmless file of /etc. Static.
     */
    const char *const *names;
    size_t name_count;
    enum cache_mode cache;
};

struct gofer_config {
    const struct gofer_export *exports;
    size_t export_count;
    int stdio_fds[3];       /* -1: closed */
    int control_fd;         /* SOCK_SEQPACKET to the vmm: struct gofer_note */
    int arena_fd;           /* sealed memfd of arena_size bytes, seen by the guest at GPA_ARENA_BASE */
    size_t arena_size;
    int doorbell_fd;        /* eventfd that the guest's doorbell signals; read by the gofer */
    int call_fd;            /* eventfd: completion while the guest idles */
    int kick_fd;            /* eventfd: completion while the guest computes */
    uint64_t file_size_max; /* --fsize; UINT64_MAX: none */
    bool quiet;
    cpu_set_t cores;        /* that it may use from its first request on; until then the vmm has its say. Empty: not known */
    const struct net_plan *net; /* NULL: no network. Then the arena has no net region (hypercalls/net.h) */
};

/* Messages on the control socket, gofer to vmm. DONATE carries one descriptor by SCM_RIGHTS. */
enum gofer_note_type {
    GOFER_NOTE_READY = 1,  /* set up and jailed; value: enum jail_layer bits in force */
    GOFER_NOTE_FAILED = 2, /* set-up failed: text says what and why; the gofer ends */
    GOFER_NOTE_DONATE = 3, /* token names the descriptor; value: 1 if it is writable */
    GOFER_NOTE_DROP = 4,   /* the fid of this token was clunked */
};

struct gofer_note {
    uint32_t type;
    uint32_t token;
    uint64_t value;
    char text[240];
};

/*
 * The gofer's process: sets itself up (exports opened, namespaces, no capabilities, seccomp), says READY and
 * serves until the control socket closes. Returns the exit status. Takes every descriptor in config.
 */
int gofer_main(const struct gofer_config *config);

/* `vmm gofer …`: the same file server for other clients. argv[0] is the command's name. Returns the exit status. */
int gofer_server_main(int argc, char **argv);

#endif
