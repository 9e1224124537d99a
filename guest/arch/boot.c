/* From the first instruction to the first program: bring the parts up in the order in which they need each other. */
#include "arch/bootinfo.h"
#include "arch/cpu.h"
#include "arch/entry.h"
#include "drivers/ring.h"
#include "drivers/virtio.h"
#include "fs/vfs.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/rewrite.h"
#include "net/gofer.h"
#include "net/stack.h"
#include "proc/process.h"
#include "proc/sched.h"
#include "sys/strace.h"

#define GATE_SLOW_US 4

extern char boot_stack[], boot_stack_top[];

bool cpu_faults_twice;

static void look_at_gate(void)
{
    uint64_t begin = rdtsc();

    cpu_invlpg(APP_BASE); /* nothing is there */
    cpu_faults_twice = (rdtsc() - begin) * 1000 / boot_info.tsc_khz >= GATE_SLOW_US;
}

_Noreturn void shim_main(void);
_Noreturn void shim_main(void)
{
    report.boot_tsc[PHASE_SHIM_ENTRY] = rdtsc();
    cpu_kstack_base = (uint64_t)boot_stack;
    cpu_kstack_top = (uint64_t)boot_stack_top;
    boot_info.log_level = LOG_WARN;
    if (hypercall(HYPERCALL_HELLO, HYPERCALL_ABI_VERSION, 0, 0, 0, 0) < 0)
        panic("the vmm speaks another hypercall ABI than %d", HYPERCALL_ABI_VERSION);
    bootinfo_parse((const void *)(DIRECT_BASE + GPA_FDT));
    strace_enabled = boot_info.strace;
    rewrite_enabled = !boot_info.no_rewrite;
    frame_init(boot_info.first_free, boot_info.ram_end, boot_info.mem_limit);
    fpu_init();
    look_at_gate();
    report.boot_tsc[PHASE_MEMORY] = rdtsc();
    strlcpy(system_hostname, boot_info.hostname, sizeof(system_hostname));
    sched_init();
    ring_init();
    gofer_net_init();
    virtio_init();
    stack_configure();
    vfs_init();
    report.boot_tsc[PHASE_ROOT] = rdtsc();
    process_start(boot_info.program, boot_info.cwd, boot_info.uid, boot_info.gid);
}
