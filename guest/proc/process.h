/*
 * Processes: what the threads of one program share; identity, limits, accounting, parents and children.
 * Pid 1 is the shim's own init, which reaps orphans; the app is pid 2.
 */
#ifndef PROC_PROCESS_H
#define PROC_PROCESS_H

#include "proc/thread.h"

struct process;

/* setitimer's three. REAL runs on a timer; the others are looked at when CPU time is accounted. */
struct interval_timer {
    struct timer timer;         /* ITIMER_REAL */
    uint64_t expires;           /* ns: monotonic (REAL) or of the process's CPU time; NEVER: off */
    uint64_t interval;
    struct process *process;
};

#define RLIMIT_COUNT 16

/* Supplementary groups, in order; never changed once they are somebody's. */
struct group_list {
    uint32_t refs;
    uint32_t count;
    uint32_t gid[];
};

struct cred {
    uint32_t uid, euid, suid, fsuid;
    uint32_t gid, egid, sgid, fsgid;
    struct group_list *groups; /* a reference; NULL: none */
    uint64_t cap_effective, cap_permitted, cap_inheritable, cap_bounding, cap_ambient;
    uint32_t securebits;
    bool no_new_privs;
};

struct limit {
    uint64_t cur, max;
};

struct process {
    uint32_t refs;               /* the table of processes, pidfds */
    struct list all_node;        /* all_processes; also zombies */
    struct list sibling_node;
    struct list children;
    struct list tracees;         /* struct trace: threads that threads of it trace */
    struct list threads;
    uint32_t thread_count;
    int pid;
    int pgid, sid;
    struct process *parent;
    struct thread *leader;
    uint32_t ended_tracees;      /* threads that have ended and whose tracer has yet to wait for them: so long it isn't waited for */
    int creator;                 /* tid of the thread that made it: PTRACE_TRACEME */
    struct mm *mm;
    struct sighand *sighand;     /* dispositions; proc/signal.h */
    struct sigqueue pending;     /* for the process as a whole */
    struct cred cred;
    struct limit rlimits[RLIMIT_COUNT];
    struct wait_queue child_wait;
    struct wait_queue exit_wait;  /* pidfds poll here */
    bool exiting, zombie, execed;
    int exit_status;             /* as wait4 reports it */
    int exit_signal;             /* to the parent: SIGCHLD */
    int death_signal;            /* PR_SET_PDEATHSIG */
    struct thread *exec_thread;  /* has called exec: the others must end */
    bool stopped;                /* job control: no thread of it may run */
    int stop_signal;             /* by which; 0 once a wait call has reported it */
    int group_stop_signal;       /* the same, for tracers */
    bool continued;              /* SIGCONT came and no wait call has reported it */
    bool reaped;
    struct wait_queue signal_wait; /* signalfds poll here: a signal was queued */
    struct interval_timer itimers[3];
    struct list posix_timers;
    int next_posix_timer;
    bool cpu_timers;             /* some timer runs on its CPU time */
    uint64_t cpu_limit_signal_ns; /* RLIMIT_CPU: when SIGXCPU comes next */
    uint32_t membarrier;         /* registered commands */
    bool thp_disabled;
    uint32_t queued_signals;     /* entries in queues, against RLIMIT_SIGPENDING */
    uint64_t rss_peak, child_rss_peak; /* pages; rss_peak: of an ended process */
    uint64_t child_min_faults, child_maj_faults;
    uint64_t voluntary_switches, involuntary_switches; /* of ended threads */
    uint64_t child_voluntary_switches, child_involuntary_switches;
    bool child_subreaper;
    bool dumpable;
    uint32_t personality;
    int oom_score_adj;
    uint64_t start_ns;
    uint64_t cpu_ns, child_cpu_ns, child_system_ns;
    struct cpu_split split;
    uint64_t min_faults, maj_faults;
    uint64_t read_bytes, write_bytes;
    struct tty *tty;             /* controlling terminal; cleared when that goes */
    int tty_old_pgid;            /* session leaders: the foreground group of a terminal that was hung up */
};

extern struct process *init_process; /* pid 1 */
extern char system_hostname[65], system_domainname[65];

extern struct list all_processes;       /* by all_node, oldest first; without init */
extern uint32_t thread_total;           /* living threads */

/* References for those who keep a process beyond its reaping (pidfds). */
void process_get(struct process *p);
void process_put(struct process *p);

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

/*
 * For exec, in this order. proc_exec_begin: before the point of no return; ends the other threads of the process.
 * 0, or -EAGAIN if another thread is at it or a deadly signal came. proc_exec_commit: once current->mm and proc->mm
 * are the new program's; resets what a new program doesn't inherit (caught signals, altstack, robust list, rseq, close-on-exec
 * descriptors, timers, FPU, fs and gs base), sets comm and lets a vfork parent go on.
 */
long proc_exec_begin(void);
void proc_exec_commit(const char *filename);

/* Give current a descriptor table of its own. 0 or -ENOMEM. */
long proc_unshare_files(void);

/* Is there a process in this group? */
bool pgrp_exists(int pgid);

/* Send to every process of a group; false if there is none. */
bool signal_send_group(int pgid, int signo, int code, int sender_pid, uint32_t sender_uid);

/* Permission: is current's effective uid 0 (or has it the capability)? */
bool capable(int capability);
bool in_group(uint32_t gid);

/* Sorts g, whose references are counted from 1. NULL is fine for put. */
void group_list_sort(struct group_list *g);
void group_list_put(struct group_list *g);

uint64_t rlimit(int which); /* current's soft limit */

#endif
