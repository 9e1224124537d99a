/*
 * The host's terminal under --tty: raw, so that every key reaches the program's own terminal, and as it was before on every
 * way out. A small process, the keeper, sets both; it notices by the end of a pipe when vmm is gone, however that came about.
 */
#ifndef VMM_TERMINAL_H
#define VMM_TERMINAL_H

/*
 * Start the keeper, if one of the descriptors 0 to 2 is a terminal; without one the calls below do nothing. Called while there
 * is one thread. 0, or -1 after a message.
 */
int terminal_begin(void);

/* Raw; and as it was before, for the time of a stop (SIGTSTP). */
void terminal_raw(void);
void terminal_as_before(void);

/* As it was before, for good: what ends vmm calls this first, so that messages come out well. */
void terminal_end(void);

#endif
