/*
 * The run loop.
 *
 * A kick is a signal whose handler sets immediate_exit, so it can't be lost between a check and KVM_RUN. When it has stopped
 * the guest in the app's code, the vCPU is diverted to the shim's upcall entry; elsewhere the pending flag in the shared page
 * is enough, because the shim looks at it before it returns to the app (hypercalls/hypercall.h, shim_header.restart).
 */
#include "vmm/vcpu.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/log.h"
#include "hypercalls/devices.h"
#include "vmm/clock.h"
#include "vmm/devices.h"
#include "vmm/events.h"
#include "vmm/shim_image.h"
#include "vmm/stats.h"
#include "vmm/window.h"

#define KICK_SIGNAL SIGRTMIN
#define DOORBELL_EXITS 64
#define INT3 0xcc
#define INT 0xcd
#define HIDDEN_NS 10000000u     /* of the thread's CPU time: so long is a breakpoint thought to be queued, */
#define HIDDEN_RETRY_NS 200000u /* and so often the guest is entered meanwhile */
#define RFLAGS_FIXED_CLEAR 0x54500ull /* RF? AC NT DF TF: not in the shim */

static struct kvm_run *kicked_run;

static void on_kick(int signo)
{
    (void)signo;
    __atomic_store_n(&kicked_run->immediate_exit, 1, __ATOMIC_RELAXED);
}

void vcpu_init_signal(struct sandbox *sb)
{
    struct sigaction sa = { .sa_handler = on_kick };

    kicked_run = sb->vm.run;
    sigaction(KICK_SIGNAL, &sa, NULL);
}

void vcpu_kick(struct sandbox *sb, uint32_t pending)
{
    if (!__atomic_fetch_or(&sb->vm.shared->pending, pending, __ATOMIC_SEQ_CST) && pending)
        __atomic_fetch_add(&sb->kick_round, 1, __ATOMIC_RELAXED);
    if (__atomic_load_n(&sb->waiting, __ATOMIC_SEQ_CST))
        fd_signal_event(sb->wake_fd);
    else
        syscall(SYS_tgkill, getpid(), sb->vcpu_tid, KICK_SIGNAL);
}

/* --- diverting the guest --- */

static bool in_range(uint64_t rip, uint64_t *ret_begin)
{
    const struct shim_header *h = shim_header();

    for (unsigned i = 0; i < SHIM_RESTART_COUNT; i++) {
        if (rip >= h->restart[i].begin && rip < h->restart[i].end) {
            *ret_begin = h->restart[i].begin;
            return true;
        }
    }
    return false;
}

/* An exception that KVM has queued would be delivered at the new rip: then only the flag speaks. */
static bool exception_queued(const struct kvm_vcpu_events *e)
{
    return e->exception.injected || e->exception.pending || e->interrupt.injected || e->nmi.injected;
}

static bool read_app_byte(const struct sandbox *sb, uint64_t addr, uint8_t *ret)
{
    struct kvm_translation t = { .linear_address = addr };
    const uint8_t *p;

    if (ioctl(sb->vm.vcpu_fd, KVM_TRANSLATE, &t) < 0 || !t.valid)
        return false;
    p = vm_ram_ptr(&sb->vm, t.physical_address, 1);
    if (!p)
        return window_peek(t.physical_address, ret) == 0;
    *ret = __atomic_load_n(p, __ATOMIC_RELAXED);
    return true;
}

/* Is there an int3, `int 3` or `int 4`, about to be executed or just executed? */
static bool at_breakpoint(const struct sandbox *sb, uint64_t rip)
{
    uint8_t byte;

    if (read_app_byte(sb, rip, &byte) && (byte == INT3 || byte == INT))
        return true;
    if (!read_app_byte(sb, rip - 1, &byte))
        return false;
    if (byte == 3 || byte == 4)
        return read_app_byte(sb, rip - 2, &byte) && byte == INT;
    return byte == INT3;
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec ts = { 0 };

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/*
 * KVM hides that such an exception is queued (it couldn't tell the instruction's length), and setting rip drops it on some hosts
 * and has it delivered at the new rip on others. So the app goes on, meets the shim in its exception's entry, and is kicked again
 * for the case that it doesn't: that there is none, and only its code looks like it. There is none if it is still here after some
 * milliseconds of running, for entering the guest delivers what is queued.
 */
static bool may_hide_breakpoint(struct sandbox *sb, uint64_t rip)
{
    uint32_t round = __atomic_load_n(&sb->kick_round, __ATOMIC_RELAXED);
    uint64_t now;

    if (!at_breakpoint(sb, rip))
        return false;
    now = thread_cpu_ns();
    if (sb->hidden.rip != rip || sb->hidden.round != round) {
        sb->hidden.rip = rip;
        sb->hidden.round = round;
        sb->hidden.since_ns = now;
    }
    if (now - sb->hidden.since_ns > HIDDEN_NS)
        return false;
    events_kick_later(HIDDEN_RETRY_NS);
    return true;
}

static void set_rip(struct kvm_run *run, uint64_t rip)
{
    run->s.regs.regs.rip = rip;
    run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
}

static void after_kick(struct sandbox *sb)
{
    struct kvm_run *run = sb->vm.run;
    struct kvm_regs *regs = &run->s.regs.regs;
    struct shared_page *shared = sb->vm.shared;
    uint64_t begin;

    sb->counts.interrupted++;
    profile_kick(sb);
    if (!__atomic_load_n(&shared->pending, __ATOMIC_SEQ_CST))
        return;
    if (regs->rip >= DIRECT_BASE || regs->rip < APP_BASE) { /* the shim, or a stub of a rewritten call site */
        if (in_range(regs->rip, &begin) && !exception_queued(&run->s.regs.events))
            set_rip(run, begin);
        return;
    }
    if (exception_queued(&run->s.regs.events) || may_hide_breakpoint(sb, regs->rip)) {
        sb->counts.queued++;
        return;
    }
    sb->counts.diverted++;
    __atomic_store_n(&shared->upcall_rip, regs->rip, __ATOMIC_RELAXED);
    __atomic_store_n(&shared->upcall_rflags, regs->rflags, __ATOMIC_RELAXED);
    regs->rflags &= ~RFLAGS_FIXED_CLEAR;
    set_rip(run, shim_header()->upcall);
}

/*
 * A window page whose file has shrunk: zeroes are there now, and the shim is told before the access is tried again. Or
 * one that the host's file system can't give: then the shim finds out which.
 */
static bool after_efault(struct sandbox *sb)
{
    struct kvm_run *run = sb->vm.run;
    struct kvm_regs *regs = &run->s.regs.regs;
    struct shared_page *shared = sb->vm.shared;
    uint64_t gpa, len;

    if (!window_recover(&sb->vm, &gpa, &len))
        return false;
    sb->counts.recovered++;
    __atomic_store_n(&shared->fault_gpa, gpa, __ATOMIC_RELAXED);
    __atomic_store_n(&shared->fault_len, len, __ATOMIC_RELAXED);
    __atomic_store_n(&shared->fault_rip, regs->rip, __ATOMIC_RELAXED);
    __atomic_store_n(&shared->fault_rflags, regs->rflags, __ATOMIC_RELAXED);
    regs->rflags &= ~RFLAGS_FIXED_CLEAR;
    set_rip(run, shim_header()->window_fault);
    return true;
}

/* --- exits --- */

static int broken(struct sandbox *sb, const char *what)
{
    const struct kvm_regs *regs = &sb->vm.run->s.regs.regs;
    char where[128];

    shim_symbolise(regs->rip, where, sizeof(where));
    log_error("virtual machine", "%s at %s, rsp 0x%llx", what, where, (unsigned long long)regs->rsp);
    return STATUS_VMM_ERROR;
}

/*
 * The first doorbells come out as exits, the others go to the gofer's eventfd inside KVM. Registering the eventfd starts an SRCU
 * grace period, for which the end of the VM has to wait: 13 ms where a program that lives for 5 ms needs ten doorbells.
 */
static void ring_doorbell(struct sandbox *sb)
{
    struct kvm_ioeventfd io = { .addr = PORT_DOORBELL, .len = 4, .fd = sb->doorbell_fd, .flags = KVM_IOEVENTFD_FLAG_PIO };

    fd_signal_event(sb->doorbell_fd);
    if (++sb->counts.doorbell == DOORBELL_EXITS)
        (void)ioctl(sb->vm.vm_fd, KVM_IOEVENTFD, &io); /* refused: exits go on serving */
}

static int handle_io(struct sandbox *sb)
{
    struct kvm_run *run = sb->vm.run;
    char text[64];
    uint32_t value;

    sb->counts.io++;
    if (run->io.direction != KVM_EXIT_IO_OUT || run->io.size != 4 || run->io.count != 1)
        return broken(sb, "a port access that no shim makes");
    memcpy(&value, (const uint8_t *)run + run->io.data_offset, sizeof(value));
    switch (run->io.port) {
    case PORT_HYPERCALL:
        hypercall_dispatch(sb, value >> 8);
        return 0;
    case PORT_DOORBELL:
        ring_doorbell(sb);
        return 0;
    case PORT_DEVICE:
        devices_doorbell(sb, value);
        return 0;
    default:
        snprintf(text, sizeof(text), "`out` to port 0x%x", run->io.port);
        return broken(sb, text);
    }
}

static int handle_exit(struct sandbox *sb)
{
    struct kvm_run *run = sb->vm.run;
    char text[96];

    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        return handle_io(sb);
    case KVM_EXIT_INTR:
        return 0;
    case KVM_EXIT_MMIO:
        sb->counts.mmio++;
        if (devices_mmio(run->mmio.phys_addr, run->mmio.data, run->mmio.len, run->mmio.is_write))
            return 0;
        snprintf(text, sizeof(text), "%s guest-physical 0x%" PRIx64 ", where there is nothing to %s",
                 run->mmio.is_write ? "write to" : "read from", (uint64_t)run->mmio.phys_addr,
                 run->mmio.is_write ? "write" : "read");
        return broken(sb, text);
    case KVM_EXIT_SHUTDOWN:
        return broken(sb, "triple fault");
    case KVM_EXIT_FAIL_ENTRY:
        snprintf(text, sizeof(text), "entry failed, hardware reason 0x%llx",
                 (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
        return broken(sb, text);
    case KVM_EXIT_INTERNAL_ERROR:
        snprintf(text, sizeof(text), "KVM internal error %u", run->internal.suberror);
        return broken(sb, text);
    default:
        snprintf(text, sizeof(text), "exit reason %u", run->exit_reason);
        return broken(sb, text);
    }
}

static int final_status(struct sandbox *sb)
{
    switch (sb->exit_kind) {
    case EXIT_STATUS:
        return (int)(sb->exit_value & 0xff);
    case EXIT_SIGNAL:
        return 128 + (int)(sb->exit_value & 0x7f);
    case EXIT_NOEXEC:
        return sb->exit_value == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
    case EXIT_NOMEM:
        return 128 + SIGKILL;
    default:
        return STATUS_VMM_ERROR;
    }
}

int vcpu_run(struct sandbox *sb)
{
    struct vm *vm = &sb->vm;

    vm->run->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_EVENTS;
    while (!sb->ended) {
        int r = ioctl(vm->vcpu_fd, KVM_RUN, 0), err = errno, status = 0;

        sb->counts.total++;
        if (r == 0) {
            status = handle_exit(sb);
        } else if (err == EINTR || err == EAGAIN) {
            __atomic_store_n(&vm->run->immediate_exit, 0, __ATOMIC_RELAXED);
            after_kick(sb);
        } else if (err != EFAULT || !after_efault(sb)) {
            char text[64];

            snprintf(text, sizeof(text), "KVM_RUN: %s", strerror(err));
            status = broken(sb, text);
        }
        if (status)
            return status;
    }
    return final_status(sb);
}
