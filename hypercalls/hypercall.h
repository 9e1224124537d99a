/*
 * The hypercall ABI between the shim and the vmm, and the pages that they share.
 *
 * A hypercall: the shim fills shared_page.call and writes GATE_HYPERCALL | number << 8 to PORT_HYPERCALL, or has that done in ring 0
 * by the gate (int3 with the same in eax), which costs software KVM as much again. The vmm copies the whole call once, checks the
 * copy, acts, and writes call.ret: >= 0, or a negative Linux errno. Everything that the shim writes is hostile to the vmm;
 * everything that the vmm writes is trusted by the shim.
 */
#ifndef HYPERCALLS_HYPERCALL_H
#define HYPERCALLS_HYPERCALL_H

#include "layout.h"

#define HYPERCALL_ABI_VERSION 2

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

/*
 * HYPERCALL(NUMBER, NAME, arguments…): the one list from which enum, names and statistics are made.
 *
 *   HELLO      (abi version)                     first call; refused on a version that isn't ours
 *   WAIT       (deadline_ns)                     idle until pending != 0 or CLOCK_MONOTONIC reaches deadline_ns (~0: never)
 *   EXIT       (kind, value, gpa of struct guest_report)  the app is done: enum exit_kind; counts for --report and --stats, 0: none;
 *                                                never returns
 *   DEADLINE   (deadline_ns)                     kick with PENDING_DEADLINE at that time even if the guest computes; ~0: none
 *   LOG        (level, gpa, len)                 text for the operator; len <= LOG_MAX
 *   RAM_GROW   (bytes)                           add RAM; returns the number of bytes added at the next RAM address
 *   DISCARD    (gpa of struct discard_range[], count)   give frames back to the host; they read as zero afterwards
 *   MAP        (gpa, token, offset, len, writable)      map a donated file at a window address
 *   UNMAP      (gpa, len)                        drop a window mapping
 *   TR_RETRY   ()                                the doorbell's `out` faulted in ring 3: try the other TSS type
 *   STOP       (signal)                          job control: the app stopped; the vmm stops itself too
 *   PROBE      (gpa, writable, replace)          can this window page be had? EFAULT: no, the host's disk is full or broken;
 *                                                with replace, a page of zeroes is there then, until the mapping goes
 *   LOAD       (gpa of count frames' gpas, count, token, offset) read a donated file into frames of RAM; what lies behind
 *                                                its end is zero; at most LOAD_MAX
 *   POPULATE   (gpa, len)                        have the host's memory behind RAM that is about to be used; at most POPULATE_MAX
 */
#define HYPERCALL_LIST(X)                                                                          \
    X(0, HELLO)                                                                                    \
    X(1, WAIT)                                                                                     \
    X(2, EXIT)                                                                                     \
    X(3, DEADLINE)                                                                                 \
    X(4, LOG)                                                                                      \
    X(5, RAM_GROW)                                                                                 \
    X(6, DISCARD)                                                                                  \
    X(7, MAP)                                                                                      \
    X(8, UNMAP)                                                                                    \
    X(9, TR_RETRY)                                                                                 \
    X(10, STOP)                                                                                    \
    X(11, PROBE)                                                                                   \
    X(12, POPULATE)                                                                                \
    X(13, LOAD)

enum hypercall {
#define X(number, name) HYPERCALL_##name = number,
    HYPERCALL_LIST(X)
#undef X
        HYPERCALL_COUNT
};

enum exit_kind {
    EXIT_STATUS = 0,   /* value: exit status of the app */
    EXIT_SIGNAL = 1,   /* value: signal that ended the app */
    EXIT_NOEXEC = 2,   /* value: errno; the app can't be executed (126, or 127 for ENOENT) */
    EXIT_PANIC = 3,    /* the shim found itself broken (125) */
    EXIT_GOFER = 4,    /* the gofer is gone (125) */
    EXIT_SETUP = 6,    /* value: errno; the sandbox couldn't be set up as asked for (125) */
    EXIT_NOMEM = 5,    /* --mem is used up and no call could fail (137) */
};

/* LOG levels. PROFILE text is a sample, "who pid\nframe". STRACE text goes to --strace's file, the others to stderr. BACKTRACE is an array of uint64_t addresses. */
enum log_level { LOG_ERROR = 0, LOG_WARN = 1, LOG_INFO = 2, LOG_DEBUG = 3, LOG_STRACE = 4, LOG_BACKTRACE = 5, LOG_PROFILE = 6, LOG_LEVEL_COUNT };
#define LOG_MAX 4096

#define DISCARD_MAX 512
#define POPULATE_MAX (2u << 20)
#define LOAD_MAX 128
struct discard_range {
    uint64_t gpa;
    uint64_t len;
};

/* Bits of shared_page.pending; set by the vmm with an atomic or, taken by the shim with an exchange. */
#define PENDING_COMPLETION (1u << 0) /* a used ring moved while kicks were asked for */
#define PENDING_DEADLINE (1u << 1)
#define PENDING_SIGNAL (1u << 2)     /* look at host_signals */
#define PENDING_GOFER_DEAD (1u << 3)
#define PENDING_DEVICE (1u << 4)     /* a virtio device raised its interrupt */
#define PENDING_PROFILE (1u << 6)    /* --profile wants a sample of the app */
#define PENDING_TIMEOUT (1u << 5)    /* --timeout or --cpu-time: the app is to be killed (SIGKILL) */

struct hypercall_args {
    uint64_t arg[6];
    int64_t ret;
};

/*
 * One page at GPA_SHARED. The vmm accesses it by atomics and never trusts what it reads from it.
 */
struct shared_page {
    uint32_t pending;          /* vmm sets bits, shim takes them */
    uint32_t reserved0;
    uint64_t host_signals;     /* bit n-1: signal n came to the vmm; taken with an exchange */
    uint64_t upcall_rip;       /* where the app was when a kick diverted it to shim_header.upcall */
    uint64_t upcall_rflags;
    uint64_t fault_rip;        /* same, for shim_header.window_fault: a window page is gone */
    uint64_t fault_rflags;
    uint64_t fault_gpa;        /* start of the lost range, and its length; 0: some page can't be had, see PROBE */
    uint64_t fault_len;
    struct hypercall_args call;
};

/*
 * One page at GPA_CLOCK, written by the vmm, read by shim and vDSO:
 *   ns = mono_ns + ((rdtsc - tsc) * mult >> 32), read again while seq is odd or has changed.
 * Realtime is that plus real_offset_ns, boot time plus boot_offset_ns.
 */
struct clock_page {
    uint32_t seq;
    uint32_t reserved0;
    uint64_t tsc;
    uint64_t mono_ns;
    uint64_t mult;             /* 32.32 fixed point: nanoseconds per tick */
    uint64_t real_offset_ns;
    uint64_t boot_offset_ns;
    uint64_t tsc_khz;
};

/*
 * At the start of the shim's image: what the vmm must know of it. Addresses are guest-virtual.
 * restart: while rip is in [begin, end), a kick moves it back to begin.
 */
#define SHIM_MAGIC 0x6d696873766d6d31
#define SHIM_RESTART_COUNT 4
struct shim_header {
    uint64_t magic;
    uint32_t abi_version;
    uint32_t vector_count;     /* entries of stub[] that are used */
    uint64_t image_size;       /* bytes in the file */
    uint64_t memory_size;      /* with bss, page-aligned */
    uint64_t entry;            /* first instruction, ring 3 */
    uint64_t boot_stack;       /* rsp at entry */
    uint64_t syscall_stub;     /* LSTAR */
    uint64_t upcall;           /* kicked app is diverted here */
    uint64_t window_fault;     /* a lost window page diverts here */
    uint64_t ist_top[7];       /* IST1..IST7 */
    uint64_t stub[32];         /* IDT: exception stubs */
    uint8_t ist[32];           /* which IST each vector uses, 1..7 */
    struct {
        uint64_t begin;
        uint64_t end;
    } restart[SHIM_RESTART_COUNT];
};

/* Counts for --report; a claim of the guest's. */
#define SYSCALL_NR_MAX 512
struct guest_report {
    uint64_t syscalls;
    uint64_t faults;
    uint64_t gates;
    uint64_t doorbells;
    uint64_t switches;
    uint64_t traps;            /* system calls by the instruction itself; the others came from rewritten sites */
    uint64_t sites;            /* rewritten */
    uint64_t old_entries;      /* jumps to the `syscall` that a rewritten site had */
    uint64_t polls;            /* looks at the ring */
    uint64_t gate_count[4];    /* GATE_* */
    struct {
        uint64_t rip, count;
        uint64_t number;       /* of the last call */
    } trapping[8];             /* the sites that trapped most, as far as they were remembered */
    uint64_t gofer_requests;
    uint64_t peak_memory_bytes;
    uint64_t user_ns;
    uint64_t boot_tsc[8];      /* rdtsc at the shim's phases */
    uint32_t syscall_count[SYSCALL_NR_MAX];
    uint32_t enosys_count[SYSCALL_NR_MAX];
};

_Static_assert(sizeof(struct shared_page) == 64 + 56, "shared_page is ABI");
_Static_assert(sizeof(struct clock_page) == 56, "clock_page is ABI");

/* Boot phases in guest_report.boot_tsc. */
enum boot_phase { PHASE_SHIM_ENTRY, PHASE_MEMORY, PHASE_ROOT, PHASE_EXEC, PHASE_APP, PHASE_COUNT };

#endif /* __ASSEMBLER__ */

/* Operations of the ring-0 gate: int3 with rip in the shim and the operation in eax. */
#define GATE_LOAD_CR3 0  /* rdi: new CR3 */
#define GATE_INVLPG 1    /* rdi: address */
#define GATE_HYPERCALL 2 /* bits 8 and up of eax: number; the vmm sees eax as the port's value */
#define GATE_DOORBELL 3  /* edi: port, where the I/O bitmap isn't honoured */

#endif
