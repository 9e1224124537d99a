/*
 * Processes: what the threads of one program share; identity, limits, accounting, parents and children.
 * Pid 1 is the shim's own init, which reaps orphans; the app is pid 2.
 */
#ifndef PROC_PROCESS_H
#define PROC_PROCESS_H

#include "proc/thread.h"

#define NGROUPS 64
#define RLIMIT_COUNT 16

struct cred {
    uint32_t uid, euid, suid, fsuid;
    uint32_t gid, egid, sgid, fsgid;
    uint32_t groups[NGROUPS];
    uint32_t group_count;
    uint64_t cap_effective, cap_permitted, cap_inheritable, cap_bounding, cap_ambient;
    uint32_t securebits;
    bool no_new_privs;
};

struct rlimit64 {
    uint64_t cur, max;
};

struct process {
    struct list all_node;
    struct list sibling_node;
    struct list children;
    struct list threads;
    uint32_t thread_count;
    int pid;
    int pgid, sid;
    struct process *parent;
    struct thread *leader;
    struct mm *mm;
    struct sighand *sighand;     /* dispositions; proc/signal.h */
    struct sigqueue pending;     /* for the process as a whole */
    struct cred cred;
    struct rlimit64 rlimits[RLIMIT_COUNT];
    struct wait_queue child_wait;
    struct wait_queue exit_wait;  /* pidfds poll here */
    bool exiting, zombie, execed;
    int exit_status;             /* as wait4 reports it */
    int exit_signal;             /* to the parent: SIGCHLD */
    int death_signal;            /* PR_SET_PDEATHSIG */
    bool child_subreaper;
    bool dumpable;
    uint32_t personality;
    uint64_t start_ns;
    uint64_t cpu_ns, child_cpu_ns;
    uint64_t min_faults, maj_faults;
    uint64_t read_bytes, write_bytes;
    struct tty *tty;             /* controlling terminal */
};

extern struct process *init_process; /* pid 1 */
extern char system_hostname[65], system_domainname[65];

struct process *process_find(int pid);
struct thread *thread_find(int tid);

/*
 * Start the first program: make init and the app's process with stdio open, and run exec. Never returns.
 * Called once from the boot path (arch/boot.c) after memory, ring and root file system are up.
 */
_Noreturn void process_start(const char *program, const char *cwd, uint32_t uid, uint32_t gid);

/* End the whole thread group of current with this wait status (status << 8, or signal | core bit). */
_Noreturn void process_exit(int wait_status);

/* Signals (proc/signal.c), as far as others need them. code: SI_KERNEL, SI_USER, or the fault's; addr for faults. */
void signal_send_process(struct process *p, int signo, int code, int sender_pid, uint32_t sender_uid);
void signal_send_thread(struct thread *t, int signo, int code, int sender_pid, uint32_t sender_uid);
void signal_force_fault(int signo, int code, uaddr_t addr, int trapno, uint64_t error); /* to current; can't be ignored */

/* Permission: is current's effective uid 0 (or has it the capability)? */
bool capable(int capability);
bool in_group(uint32_t gid);

uint64_t rlimit(int which); /* current's soft limit */

#endif
