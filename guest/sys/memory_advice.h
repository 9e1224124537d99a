/* What calls on memory that is mapped already share. */
#ifndef SYS_MEMORY_ADVICE_H
#define SYS_MEMORY_ADVICE_H

#include "mm/mm.h"

/* madvise(2) on any address space: 0 or -errno. May sleep. */
long madvise_memory(struct mm *mm, uaddr_t addr, uint64_t len, int advice);

/* Set and clear flags of all VMAs in [start, end), splitting them at its ends. Holes are skipped. -ENOMEM. */
long change_range_flags(struct mm *mm, uaddr_t start, uaddr_t end, uint32_t set, uint32_t clear);

#endif
