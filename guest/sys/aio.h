/* Linux aio: what an address space's end needs of it. */
#ifndef SYS_AIO_H
#define SYS_AIO_H

struct mm;

/* The address space goes: its contexts end. May sleep. */
void aio_end(struct mm *mm);

#endif
