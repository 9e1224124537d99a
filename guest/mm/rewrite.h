/*
 * Rewritten call sites: a `syscall` instruction that traps often becomes a jump to a stub of its own, which enters the shim
 * without a trap. What the app sees is the same in both cases, but for the bytes of its text.
 *
 * Each address space has its own sites and stubs; the stubs lie below 64 KiB, where no app maps anything, and count as
 * shim: the vmm diverts no kick there.
 */
#ifndef MM_REWRITE_H
#define MM_REWRITE_H

#include "arch/regs.h"
#include "lib/base.h"

struct mm;
struct rewrites; /* the sites of an address space */

extern bool rewrite_enabled; /* not with --no-rewrite */

/* A `syscall` of the app's has trapped. Counts, and rewrites the site if it has come often. May sleep. */
void rewrite_trap(const struct regs *regs);

/*
 * An exception of the app's: did it come from what a site has become (its old `syscall` was jumped to, or it was
 * single-stepped)? Then regs are made what they are at the entry of that system call; true.
 */
bool rewrite_resume_fault(struct regs *regs);
bool rewrite_resume_step(struct regs *regs);

/* Before a signal frame shows it: an rip between a site and its stub is the site's. */
void rewrite_fix_rip(struct regs *regs);

/*
 * Give the sites in [start, end) their original text: before it becomes writable, moves, or is changed by others.
 * -ENOMEM or -EFAULT if a page can't be copied.
 */
long rewrite_undo(struct mm *mm, uaddr_t start, uaddr_t end);

/* buf holds n bytes of a page from addr: put the original text in. */
void rewrite_hide(const struct mm *mm, uaddr_t addr, void *buf, size_t n);

/* Put the sites that trap most into the report. */
void rewrite_report(void);

long rewrite_fork(const struct mm *parent, struct mm *child); /* -ENOMEM */
void rewrite_free(struct mm *mm);

#endif
