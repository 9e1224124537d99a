/*
 * A virtual machine: KVM's descriptors, guest-physical memory and its slots.
 *
 * The vCPU thread owns the struct; the event thread touches `shared` by atomics and the window under its lock only.
 */
#ifndef VMM_VM_H
#define VMM_VM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hypercalls/hypercall.h"

/* First piece of RAM: a slot of 64 GiB costs 60 ms and 130 MiB of kernel memory, one of 128 MiB 0.1 ms. */
#define RAM_INITIAL (128ull << 20)

/* Window memory gets its slots in pieces of this size, as mappings reach there. */
#define WINDOW_PIECE (64ull << 20)

struct window {
    uint64_t gpa, end;      /* guest-physical range */
    uint8_t *host;          /* reserved addresses of the same size */
    uint64_t slotted;       /* bytes from gpa on that have slots */
    bool writable;
};

struct vm {
    int kvm_fd, vm_fd, vcpu_fd;
    struct kvm_run *run;
    size_t run_size;
    uint32_t next_slot;
    uint32_t slot_max;

    uint8_t *ram;           /* host address of GPA 0; reserved up to ram_reserved */
    uint64_t ram_reserved;  /* bytes of guest-physical space, the hole included */
    uint64_t ram_end;       /* GPA up to which there is RAM */
    uint64_t ram_size;      /* RAM in bytes, the hole not counted */
    uint64_t mem_limit;

    int arena_fd;
    uint8_t *arena;
    size_t arena_size;

    struct window window_ro, window_rw;

    struct shared_page *shared;
    struct clock_page *clock;
};

/*
 * First half: open /dev/kvm, see what it can do, and reserve the host's addresses for RAM, arena and window. arena_fd is borrowed.
 * 0, or -1 after one line on stderr.
 */
int vm_open(struct vm *vm, uint64_t mem_limit, int arena_fd, size_t arena_size);

/* Second half: VM, vCPU, and the first memory slots. Needs no rights. 0, or -1 after one line. */
int vm_create(struct vm *vm);

/* RAM that there is from the start. */
static inline uint64_t vm_ram_initial(const struct vm *vm)
{
    return RAM_INITIAL < vm->mem_limit ? RAM_INITIAL : vm->mem_limit;
}

/* Host address of guest RAM [gpa, gpa + len), NULL if it isn't all RAM. */
void *vm_ram_ptr(const struct vm *vm, uint64_t gpa, uint64_t len);

/* Add at least `bytes` of RAM (rounded up, within --mem). Returns bytes added at the next RAM address, or -errno. */
int64_t vm_ram_grow(struct vm *vm, uint64_t bytes);

/* Make sure that [offset, offset + len) of a window has slots. 0 or -errno. */
int vm_window_reach(struct vm *vm, struct window *w, uint64_t offset, uint64_t len);

#endif
