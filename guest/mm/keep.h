/*
 * Mappings that a program makes, fills and drops again and again: their page tables are kept with the pages in them. Used by
 * pagetable.c, fault.c and frame.c only.
 */
#ifndef MM_KEEP_H
#define MM_KEEP_H

#include "hypercalls/layout.h"
#include "lib/base.h"

/* Mappings of this size up to 2 MiB are given 2 MiB of addresses to themselves, so that their table is theirs alone. */
#define KEEP_MIN_SIZE 0x80000ul

/* Take over a table that goes out of use, if it holds count pages in a row that are nobody else's, and nothing else. False: it stays. */
bool keep_table(gpa_t table, unsigned int count);

/* A kept table whose pages, zeroed, are exactly the entries [first, first + count) with these bits; 0: there is none. */
gpa_t keep_find(unsigned int first, unsigned int count, uint64_t bits);

/* Memory is short: give back what is kept. Returns whether that was anything. */
bool keep_drop(void);

uint64_t keep_frames(void); /* how many frames keep_drop would free */

#endif
