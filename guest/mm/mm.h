/*
 * Address spaces: VMAs, page tables, faults, the memory calls.
 *
 * The shim isn't preempted, so a struct mm needs no lock as long as its holder doesn't sleep. What
 * may sleep says so (faults on file pages do); they look the VMA up again afterwards.
 */
#ifndef MM_MM_H
#define MM_MM_H

#include "lib/base.h"
#include "lib/list.h"
#include "lib/rbtree.h"

struct file;
struct inode;
struct regs;
struct rewrites;

enum vma_flags {
    VMA_SHARED = 1 << 0,
    VMA_GROWSDOWN = 1 << 1,
    VMA_LOCKED = 1 << 2,
    VMA_NORESERVE = 1 << 3,
    VMA_STACK = 1 << 4,
    VMA_SPECIAL = 1 << 5, /* vDSO and vvar: no frames of its own */
    VMA_DONTFORK = 1 << 6,
    VMA_WIPEONFORK = 1 << 7,
    VMA_HUGE = 1 << 8,
    VMA_NOHUGE = 1 << 9,
    VMA_SEALED = 1 << 10, /* mseal(2) */
    VMA_POLICY_SHIFT = 16, /* mbind(2): mode and mode flags, see sys/mempolicy.c */
    VMA_POLICY_MASK = 0x7f << VMA_POLICY_SHIFT,
};

struct vma {
    struct rb_node node;
    uaddr_t start; /* page-aligned */
    uaddr_t end;
    uint32_t prot;     /* PROT_READ | PROT_WRITE | PROT_EXEC */
    uint32_t flags;    /* enum vma_flags */
    struct file *file; /* NULL: anonymous; a reference. Shared anonymous memory has a tmpfs file */
    uint64_t file_offset; /* of start, in bytes, page-aligned */
    const char *name; /* "[heap]", "[stack]", "[vdso]" … or NULL; for /proc/self/maps; static */
    uint64_t gap;     /* free bytes before start; the most of it in this subtree (mm/vma.c) */
    uint64_t subtree_gap;
    uaddr_t next_fault;    /* where the next fault is if the app goes upwards */
    uint32_t fault_window; /* how much the last one brought in */
};

#define MM_HELD_MAX 32

struct mm {
    uint32_t refs;
    gpa_t pml4;
    struct rb_root vmas;
    uint64_t vma_count;
    uaddr_t brk_start, brk;
    uaddr_t mmap_top; /* mappings without a hint go below this */
    uaddr_t stack_top;
    uaddr_t code_start, code_end, data_start, data_end;
    uaddr_t arg_start, arg_end, env_start, env_end;
    uaddr_t vdso;
    uint64_t total_pages; /* mapped by VMAs */
    uint64_t rss_pages, rss_peak;
    uint64_t locked_pages;
    uint64_t auxv[64]; /* as the program got it, for /proc/self/auxv */
    size_t auxv_size;
    struct file *exe; /* /proc/self/exe; a reference */
    uint64_t fault_count;
    struct list all_node; /* every address space */
    uint64_t vma_seq;     /* changes with the VMAs: whoever slept compares it */
    uint64_t data_pages;  /* private writable, for RLIMIT_DATA */
    uint64_t shared_pages, stack_pages, exec_pages; /* mapped by VMAs, for /proc/PID/status */
    bool sealed;            /* some VMA is VMA_SEALED */
    uint32_t default_flags; /* VMA_LOCKED after mlockall(MCL_FUTURE) */
    uint32_t flush_count;   /* stale TLB entries (mm/pagetable.c) */
    uaddr_t flush_addr;
    gpa_t held[MM_HELD_MAX]; /* frames that a stale TLB entry may still show; a reference each */
    uint32_t held_count;
    struct list aio; /* struct aio_context; all zero until the first */
    uint64_t id;               /* never used again */
    uint64_t like;             /* the id of the one it was forked from; 0: none */
    struct rewrites *rewrites; /* mm/rewrite.h; NULL: no site yet */
};

extern struct list all_mms;

/* A process holds one reference on its mm, however many threads it has. */
struct mm *mm_create(void);            /* NULL: no memory. One reference */
struct mm *mm_fork(struct mm *parent); /* copy on write */
void mm_get(struct mm *mm);
void mm_put(struct mm *mm);      /* the last one frees everything */
void mm_activate(struct mm *mm); /* load its page tables, if they aren't */
bool mm_is_active(const struct mm *mm);

/* What a fault that can't be resolved means for the app. */
struct fault {
    int signo; /* 0: resolved */
    int si_code;
    uaddr_t addr;
};

#define FAULT_PRESENT 1u /* bits of the CPU's error code (SDM vol. 3A, 4.7) */
#define FAULT_WRITE 2u
#define FAULT_EXEC 16u
#define FAULT_FORCE 0x10000u /* ours: the shim reads for somebody else, whatever the protection */

/* Bring in the page at addr. May sleep. Returns true if resolved; else *ret says which signal. */
bool mm_fault(struct mm *mm, uaddr_t addr, uint32_t error, struct fault *ret);

/*
 * The window page at gpa has lost its file (truncated): unmap it, so that the next access gives
 * SIGBUS.
 */
void mm_window_lost(gpa_t gpa, uint64_t len);
/* Take window pages out of all page tables: whoever wants them faults again. Doesn't sleep. */
void mm_window_clear(gpa_t gpa, uint64_t len);

/*
 * Some window page can't be had (the host has no space for it, or an I/O error), and it isn't known which: nothing of the window
 * stays mapped, so that whoever touched it faults again at its address. read and write are addresses that the shim itself may have
 * been at. False: it was no window page.
 */
bool mm_window_doubt(uint64_t read, uint64_t write);

/* Counts the pages that the shim found zeroes in, for want of the file's data: a copy that began before must not be used. */
extern uint32_t mm_window_faults;

/*
 * The whole pages of an inode's data in [from, to) are gone or have moved (truncate, hole punched,
 * window mapping replaced): drop them from every shared mapping, and from private ones (with their
 * own copies) if private. The next access asks the file again. to: UINT64_MAX for the rest.
 */
void mm_file_unmap(const struct inode *inode, uint64_t from, uint64_t to, bool private);

/*
 * Bring the pages of a range in, for MAP_POPULATE, mlock, exec; write: private ones get their own
 * copy. May sleep. -ENOMEM at a hole, -EFAULT where a fault would be a signal.
 */
long mm_populate(struct mm *mm, uaddr_t addr, uint64_t len, bool write);

/*
 * The calls, for exec and for sys/memory.c. prot, flags as mmap(2). Address or length errors and
 * ENOMEM as -errno.
 */
long mm_mmap(struct mm *mm, uaddr_t addr, uint64_t len, int prot, int flags, struct file *file,
             uint64_t offset);
long mm_munmap(struct mm *mm, uaddr_t addr, uint64_t len);
long mm_mprotect(struct mm *mm, uaddr_t addr, uint64_t len, int prot);
uaddr_t mm_brk(struct mm *mm, uaddr_t brk); /* the break afterwards, as the kernel's brk(2) */
long mm_mremap(struct mm *mm, uaddr_t old_addr, uint64_t old_len, uint64_t new_len, int flags,
               uaddr_t new_addr);

/*
 * Copy between the shim and any address space, for exec, ptrace-like reads (/proc/PID/mem, cmdline)
 * and signal set-up of others. Brings pages in; ignores protection against writing if force. 0,
 * -EFAULT or -ENOMEM.
 */
long mm_read(struct mm *mm, void *dst, uaddr_t src, size_t n);
long mm_write(struct mm *mm, uaddr_t dst, const void *src, size_t n, bool force);

/*
 * The page at addr, brought in for access (0 or FAULT_WRITE, | FAULT_FORCE), with a reference:
 * frame_put releases it. For I/O straight to the app's memory, and for futexes in shared memory.
 * May sleep. -EFAULT, -ENOMEM.
 */
long mm_pin_page(struct mm *mm, uaddr_t addr, uint32_t access, gpa_t *ret_gpa);

/*
 * The same, for changing a page that the app itself may not write (debuggers, exec): it gets a
 * private copy that stays read-only for the app. -EFAULT for shared mappings.
 */
long mm_pin_copy(struct mm *mm, uaddr_t addr, gpa_t *ret_gpa);

/* Does a shared mapping of the inode exist through which it may be written? */
bool mm_file_is_writable(const struct inode *inode);

/* Is any part of the range sealed (mseal(2))? */
bool mm_is_sealed(struct mm *mm, uaddr_t start, uaddr_t end);

struct vma *mm_find(struct mm *mm, uaddr_t addr); /* lowest with addr < end; may start above */
struct vma *mm_next(struct vma *vma);
struct vma *mm_first(struct mm *mm);

/*
 * Programs: replace current's program by the one at path. args is freed in any case. On success the
 * new address space is active and regs describe its first instruction. After the point of no return
 * an error kills the app.
 */
struct exec_args {
    char *data; /* argc + envc strings, each with its NUL, packed */
    size_t size;
    size_t capacity;
    uint32_t argc, envc;
};

struct path;
/* file: the reference goes to exec_program in any case. */
long exec_program(struct file *file, const char *filename, struct exec_args *args,
                  struct regs *regs);
void exec_args_free(struct exec_args *args);

#endif
