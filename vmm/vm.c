/* KVM set-up and memory slots. See vm.h, docs/memory-map.md. */
#include "vmm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/log.h"
#include "hypercalls/arena.h"

#define KVM_TSS_ADDRESS 0xfffbd000ul /* three pages in the hole, for VT-x without unrestricted guest */

static int fail(const char *what)
{
    log_errno(what, errno);
    return -1;
}

static int check_extensions(struct vm *vm)
{
    static const struct {
        int cap;
        const char *name;
    } needed[] = {
        { KVM_CAP_READONLY_MEM, "read-only memory" },
        { KVM_CAP_SYNC_REGS, "synchronised registers" },
        { KVM_CAP_IMMEDIATE_EXIT, "immediate exit" },
        { KVM_CAP_IOEVENTFD, "ioeventfd" },
    };

    if (ioctl(vm->kvm_fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
        log_error("/dev/kvm", "API version %d is not %d", ioctl(vm->kvm_fd, KVM_GET_API_VERSION, 0), KVM_API_VERSION);
        return -1;
    }
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        if (ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, needed[i].cap) <= 0) {
            log_error("/dev/kvm", "no %s", needed[i].name);
            return -1;
        }
    }
    vm->slot_max = (uint32_t)ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);
    return 0;
}

static int add_slot(struct vm *vm, uint64_t gpa, uint64_t size, uint8_t *host, bool readonly)
{
    struct kvm_userspace_memory_region region = {
        .slot = vm->next_slot,
        .flags = readonly ? KVM_MEM_READONLY : 0,
        .guest_phys_addr = gpa,
        .memory_size = size,
        .userspace_addr = (uint64_t)host,
    };

    if (vm->next_slot >= vm->slot_max)
        return -ENOSPC;
    if (ioctl(vm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
        return -errno;
    vm->next_slot++;
    return 0;
}

/* Reserve addresses, 2 MiB aligned so that huge pages line up with guest-physical ones. */
static uint8_t *reserve(uint64_t size, int prot)
{
    uint8_t *p = mmap(NULL, size + SLOT_ALIGN, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uint64_t skip;

    if (p == MAP_FAILED)
        return NULL;
    skip = -(uint64_t)p & (SLOT_ALIGN - 1);
    return p + skip;
}

static int init_window(struct window *w, uint64_t gpa, uint64_t end, bool writable)
{
    *w = (struct window){ .gpa = gpa, .end = end, .writable = writable };
    w->host = reserve(end - gpa, PROT_NONE);
    return w->host ? 0 : -1;
}

static int init_arena(struct vm *vm, int arena_fd, size_t arena_size)
{
    uint8_t *p = reserve(arena_size, PROT_NONE);
    struct arena_header *header;

    if (!p || mmap(p, arena_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, arena_fd, 0) == MAP_FAILED)
        return -1;
    vm->arena = p;
    vm->arena_fd = arena_fd;
    vm->arena_size = arena_size;
    header = (struct arena_header *)(void *)p;
    header->magic = ARENA_MAGIC;
    header->version = HYPERCALL_ABI_VERSION;
    return 0;
}

static int reserve_memory(struct vm *vm, int arena_fd, size_t arena_size)
{
    const uint64_t hole = GPA_RAM_HOLE_END - GPA_RAM_HOLE_BASE;

    vm->ram_reserved = vm->mem_limit > GPA_RAM_HOLE_BASE ? vm->mem_limit + hole : vm->mem_limit;
    vm->ram = reserve(vm->ram_reserved, PROT_READ | PROT_WRITE);
    if (!vm->ram)
        return fail("guest memory");
    madvise(vm->ram, vm->ram_reserved, MADV_HUGEPAGE);
    madvise(vm->ram + GPA_BOOT_PT, GPA_SMALL_PAGES_END - GPA_BOOT_PT, MADV_NOHUGEPAGE);
    madvise(vm->ram, vm->ram_reserved, MADV_DONTDUMP);
    if (init_arena(vm, arena_fd, arena_size) < 0)
        return fail("arena");
    if (init_window(&vm->window_ro, GPA_WINDOW_RO_BASE, GPA_WINDOW_RO_END, false) < 0 ||
        init_window(&vm->window_rw, GPA_WINDOW_RW_BASE, GPA_WINDOW_RW_END, true) < 0)
        return fail("window");
    vm->shared = (struct shared_page *)(void *)(vm->ram + GPA_SHARED);
    vm->clock = (struct clock_page *)(void *)(vm->ram + GPA_CLOCK);
    return 0;
}

int vm_open(struct vm *vm, uint64_t mem_limit, int arena_fd, size_t arena_size)
{
    *vm = (struct vm){ .vm_fd = -1, .vcpu_fd = -1, .arena_fd = -1, .mem_limit = mem_limit };
    vm->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (vm->kvm_fd < 0)
        return fail("/dev/kvm");
    if (check_extensions(vm) < 0)
        return -1;
    return reserve_memory(vm, arena_fd, arena_size);
}

static int make_slots(struct vm *vm)
{
    int err;

    if (vm_ram_grow(vm, vm_ram_initial(vm)) < 0)
        return fail("guest memory");
    err = add_slot(vm, GPA_ARENA_BASE, vm->arena_size, vm->arena, false);
    if (err < 0) {
        log_errno("arena", err);
        return -1;
    }
    /* Every dynamic program maps files. Added while the vCPU runs, a slot takes up to 6 ms (SRCU grace periods). */
    err = vm_window_reach(vm, &vm->window_ro, 0, WINDOW_PIECE);
    if (err < 0) {
        log_errno("window", err);
        return -1;
    }
    return 0;
}

int vm_create(struct vm *vm)
{
    do
        vm->vm_fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
    while (vm->vm_fd < 0 && errno == EINTR);
    if (vm->vm_fd < 0)
        return fail("KVM_CREATE_VM");
    if (ioctl(vm->vm_fd, KVM_SET_TSS_ADDR, KVM_TSS_ADDRESS) < 0)
        return fail("KVM_SET_TSS_ADDR");
    vm->vcpu_fd = ioctl(vm->vm_fd, KVM_CREATE_VCPU, 0);
    if (vm->vcpu_fd < 0)
        return fail("KVM_CREATE_VCPU");
    vm->run_size = (size_t)ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    vm->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu_fd, 0);
    if (vm->run == MAP_FAILED)
        return fail("vCPU page");
    return make_slots(vm);
}

void *vm_ram_ptr(const struct vm *vm, uint64_t gpa, uint64_t len)
{
    if (!checked_range(gpa, len, vm->ram_end))
        return NULL;
    if (gpa < GPA_RAM_HOLE_END && gpa + len > GPA_RAM_HOLE_BASE)
        return NULL;
    return vm->ram + gpa;
}

int64_t vm_ram_grow(struct vm *vm, uint64_t bytes)
{
    uint64_t left = vm->mem_limit - vm->ram_size, base = vm->ram_end;
    int err;

    if (!left)
        return -ENOMEM;
    if (bytes > left)
        bytes = left;
    if (!checked_align_up(bytes, SLOT_ALIGN, &bytes) || bytes > left)
        bytes = left;
    if (base == GPA_RAM_HOLE_BASE)
        base = GPA_RAM_HOLE_END;
    if (base < GPA_RAM_HOLE_BASE && bytes > GPA_RAM_HOLE_BASE - base)
        bytes = GPA_RAM_HOLE_BASE - base;
    err = add_slot(vm, base, bytes, vm->ram + base, false);
    if (err < 0)
        return err;
    vm->ram_end = base + bytes;
    vm->ram_size += bytes;
    return (int64_t)bytes;
}

int vm_window_reach(struct vm *vm, struct window *w, uint64_t offset, uint64_t len)
{
    uint64_t end;

    if (!checked_add(offset, len, &end) || end > w->end - w->gpa)
        return -EINVAL;
    while (w->slotted < end) {
        int err = add_slot(vm, w->gpa + w->slotted, WINDOW_PIECE, w->host + w->slotted, !w->writable);

        if (err < 0)
            return err;
        w->slotted += WINDOW_PIECE;
    }
    return 0;
}
