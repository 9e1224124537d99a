/*
 * Donated files: descriptors that the gofer gave, by token, and where they are mapped in the guest's window.
 *
 * All functions may be called from both threads of the vmm; one lock guards the tables.
 */
#ifndef VMM_WINDOW_H
#define VMM_WINDOW_H

#include <stdint.h>
#include <sys/uio.h>

#include "common/roles.h"
#include "vmm/vm.h"

#define DONATED_MAX 4096   /* descriptors */
#define MAPPING_MAX 8192

/* The control socket to the gofer; borrowed. */
void window_init(int control_fd);

/*
 * Take what is waiting on the control socket. Returns 0; -EPIPE once the gofer is gone. READY and FAILED notes are
 * handed back through *ret_note if it isn't NULL (type 0: none).
 */
int window_drain(struct gofer_note *ret_note);

/* HYPERCALL_MAP and UNMAP: every argument is the guest's. 0 or -errno. */
int window_map(struct vm *vm, uint64_t gpa, uint64_t token, uint64_t offset, uint64_t len, uint64_t writable);
int window_unmap(struct vm *vm, uint64_t gpa, uint64_t len);

/*
 * HYPERCALL_PROBE: have one page of a mapping, for writing if need be. 0; -EFAULT if an access would be SIGBUS (no space,
 * an error of the disk), after which the page is anonymous if `replace` was set; -EINVAL, also where the kernel can't tell.
 */
int window_probe(struct vm *vm, uint64_t gpa, bool writable, bool replace);

/*
 * HYPERCALL_LOAD: read a donated file from offset on into pages of ours; zeroes behind its end. 0; -EBADF: no such token; what
 * preadv(2) says.
 */
int window_load(uint64_t token, uint64_t offset, const struct iovec *pages, unsigned count);

/* The byte at gpa, by a read. 0, or -EINVAL if there is none. */
int window_peek(uint64_t gpa, uint8_t *ret);

/*
 * KVM_RUN failed with EFAULT: put anonymous memory where a mapped file has become shorter. Returns 1 and the lost
 * range if there was one; 1 and an empty range if files are mapped, for then a page of one of them can't be had, KVM
 * doesn't say which, and the shim has to find it by PROBE; 0 if no file is to blame.
 */
int window_recover(struct vm *vm, uint64_t *ret_gpa, uint64_t *ret_len);

#endif
