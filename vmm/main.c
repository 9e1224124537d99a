/*
 * vmm: run a Linux program in its own virtual machine.
 *
 * The gofer is started first and sets itself up while we make the VM and jail ourselves; then we start the event thread and become
 * the vCPU.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/jail.h"
#include "common/log.h"
#include "common/roles.h"
#include "common/thread.h"
#include "vmm/clock.h"
#include "vmm/cpu_state.h"
#include "vmm/devices.h"
#include "vmm/devtree.h"
#include "vmm/events.h"
#include "vmm/launch.h"
#include "vmm/net.h"
#include "vmm/options.h"
#include "vmm/passt.h"
#include "vmm/prefetch.h"
#include "vmm/report.h"
#include "vmm/stats.h"
#include "vmm/terminal.h"
#include "vmm/vcpu.h"
#include "vmm/version.h"
#include "vmm/view.h"

#define PREPARE_STACK_SIZE (64u << 10)

static struct sandbox sandbox;
static struct view view;
static struct net_plan net_plan;

static void mark(struct sandbox *sb, unsigned phase)
{
    sb->phase_ns[phase] = clock_host_mono_ns();
}

/* Which of 0 to 2 are open; the closed ones are filled, so that none of our own descriptors lands there. */
static unsigned take_stdio(void)
{
    unsigned open_bits = 0;

    for (int i = 0; i < 3; i++) {
        if (fcntl(i, F_GETFD) >= 0)
            open_bits |= 1u << i;
        else if (open("/dev/null", O_RDWR) != i)
            return open_bits;
    }
    return open_bits;
}

/*
 * The gofer has the program's stdin and stdout now: whoever is at their other ends must see it close them. Standard error stays ours
 * too. A host without /dev/null has to do without.
 */
static void leave_stdio(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0)
        return;
    dup3(null, STDIN_FILENO, O_CLOEXEC);
    dup3(null, STDOUT_FILENO, O_CLOEXEC);
    close(null);
}

static int open_output(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

    if (fd < 0)
        log_errno(path, errno);
    return fd;
}

/* What can be prepared beside the making of VM and jail. */
static void *prepare(void *arg)
{
    struct vm *vm = arg;

    return cpu_state_ask_cpuid(vm) < 0 || cpu_state_load_image(vm) < 0 ? NULL : vm;
}

static int make_machine(struct sandbox *sb, struct launch *l)
{
    void *prepared = NULL;
    pthread_t thread;
    int err = thread_start(&thread, PREPARE_STACK_SIZE, prepare, &sb->vm);

    if (err < 0) {
        log_errno("thread", err);
        return -1;
    }
    launch_spread_thread(l, thread);
    err = vm_create(&sb->vm);
    mark(sb, 2);
    if (!err)
        err = launch_jail_self(l);
    mark(sb, 3);
    launch_join_thread(l, thread, &prepared);
    return err < 0 || !prepared ? -1 : cpu_state_init_vcpu(&sb->vm);
}

static int start(struct sandbox *sb, struct launch *l, unsigned stdio_open)
{
    uint64_t tsc_khz;
    int status;

    if (launch_gofer(sb, l, &view, stdio_open) < 0)
        return STATUS_VMM_ERROR;
    leave_stdio();
    prefetch(sb->opt->root, view.program);
    mark(sb, 1);
    sb->doorbell_fd = l->doorbell_fd;
    if (vm_open(&sb->vm, sb->opt->mem_size, l->arena_fd, l->arena_size) < 0 || devices_open(sb) < 0)
        return STATUS_VMM_ERROR;
    launch_jail_user();
    if (make_machine(sb, l) < 0)
        return STATUS_VMM_ERROR;
    tsc_khz = clock_tsc_khz(sb->vm.vcpu_fd);
    if (!tsc_khz) {
        log_error("/dev/kvm", "doesn't know the TSC's frequency");
        return STATUS_VMM_ERROR;
    }
    status = devtree_write(&sb->vm, sb->opt, &view, tsc_khz, stdio_open);
    if (status)
        return status;
    sb->deadline_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (sb->deadline_fd < 0) {
        log_errno("timer", errno);
        return STATUS_VMM_ERROR;
    }
    clock_init(sb->vm.clock, tsc_khz);
    return 0;
}

static void say_time_limit(const struct sandbox *sb)
{
    uint32_t why = __atomic_load_n(&sb->timed_out, __ATOMIC_RELAXED);

    if (why && !sb->opt->quiet)
        log_error("app", "killed: %s is over", why == 1 ? "--timeout" : "--cpu-time");
}

static int run(struct sandbox *sb, const struct launch *l)
{
    int status, err;

    sb->vcpu_thread = pthread_self();
    sb->vcpu_tid = (int)syscall(SYS_gettid);
    vcpu_init_signal(sb);
    err = events_start(sb);
    if (err < 0) {
        log_errno("event thread", err);
        return STATUS_VMM_ERROR;
    }
    launch_spread_gofer(l);
    if (devices_start() < 0 || launch_filter_thread() < 0)
        return STATUS_VMM_ERROR;
    mark(sb, 4);
    terminal_raw();
    status = vcpu_run(sb);
    terminal_end();
    say_time_limit(sb);
    if (events_gofer_died() || (sb->ended && sb->exit_kind == EXIT_GOFER)) {
        log_error("gofer", "ended in mid-run");
        status = STATUS_VMM_ERROR;
    }
    return status;
}

int main(int argc, char **argv)
{
    static struct options opt;
    struct launch l = { .arena_fd = -1, .doorbell_fd = -1, .control_fd = -1, .proc_fd = -1 };
    struct sandbox *sb = &sandbox;
    unsigned stdio_open = take_stdio();
    FILE *report = NULL, *stats = NULL;
    int status;

    sb->start_ns = clock_host_mono_ns();
    syscall(SYS_close_range, 3, ~0u, 0);
    if (argc > 1 && !strcmp(argv[1], "gofer")) /* a program of that name: vmm --app gofer */
        return gofer_server_main(argc - 1, argv + 1);
    status = options_parse(&opt, argc, argv);
    if (opt.show_version)
        return version_print(opt.verbose);
    if (status)
        return status > 0 ? 0 : STATUS_VMM_ERROR;
    sb->opt = &opt;
    sb->strace_fd = STDERR_FILENO;
    if (opt.strace_file && (sb->strace_fd = open_output(opt.strace_file)) < 0)
        return STATUS_VMM_ERROR;
    sb->profile_fd = -1;
    if (opt.profile_file && (sb->profile_fd = open_output(opt.profile_file)) < 0)
        return STATUS_VMM_ERROR;
    if (opt.stats && !(stats = opt.stats_file ? fopen(opt.stats_file, "we") : stderr)) {
        log_errno(opt.stats_file, errno);
        return STATUS_VMM_ERROR;
    }
    if (opt.report_file && !(report = fopen(opt.report_file, "we"))) {
        log_errno(opt.report_file, errno);
        return STATUS_VMM_ERROR;
    }
    if (opt.nic.passt)
        passt_plan(&opt.nic);
    if (!opt.nic.wanted && net_is_wanted(&opt.net)) {
        if (net_build(&net_plan, &opt.net) < 0)
            return STATUS_VMM_ERROR;
        opt.net_plan = &net_plan;
    }
    events_block_signals();
    status = view_build(&view, &opt);
    mark(sb, 0);
    if (!status && opt.tty && terminal_begin() < 0)
        status = STATUS_VMM_ERROR;
    if (!status)
        status = start(sb, &l, stdio_open);
    if (!status)
        status = run(sb, &l);
    terminal_end();
    if (stats) {
        stats_write(stats, sb);
        fflush(stats);
    }
    if (report) {
        report_write(report, sb, status);
        fflush(report);
    }
    _exit(status);
}
