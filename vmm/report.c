/* Numbers and names of our own only: nothing in here needs escaping. */
#include "vmm/report.h"

#include <inttypes.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "syscall_names.h" /* generated from asm/unistd_64.h */
#include "vmm/clock.h"

static const char *const hypercall_names[HYPERCALL_COUNT] = {
#define X(number, name) [number] = #name,
    HYPERCALL_LIST(X)
#undef X
};

static const char *const phase_names[PHASE_COUNT] = {
    [PHASE_SHIM_ENTRY] = "shim_entry", [PHASE_MEMORY] = "memory", [PHASE_ROOT] = "root", [PHASE_EXEC] = "exec",
    [PHASE_APP] = "app",
};

static double seconds(const struct timeval *tv)
{
    return (double)tv->tv_sec + (double)tv->tv_usec * 1e-6;
}

static void put_calls(FILE *out, const char *key, const uint32_t *counts)
{
    const char *comma = "";

    fprintf(out, "  \"%s\": {", key);
    for (unsigned i = 0; i < SYSCALL_NR_MAX; i++) {
        if (!counts[i])
            continue;
        if (i < sizeof(syscall_names) / sizeof(syscall_names[0]) && syscall_names[i])
            fprintf(out, "%s\"%s\": %" PRIu32, comma, syscall_names[i], counts[i]);
        else
            fprintf(out, "%s\"%u\": %" PRIu32, comma, i, counts[i]);
        comma = ", ";
    }
    fprintf(out, "},\n");
}

static void put_exits(FILE *out, const struct exit_counts *c)
{
    const char *comma = "";

    fprintf(out,
            "  \"exits\": {\"total\": %" PRIu64 ", \"io\": %" PRIu64 ", \"interrupted\": %" PRIu64 ", \"diverted\": %" PRIu64
            ", \"queued\": %" PRIu64 ", \"recovered\": %" PRIu64 "},\n  \"hypercalls\": {",
            c->total, c->io, c->interrupted, c->diverted, c->queued, c->recovered);
    for (unsigned i = 0; i < HYPERCALL_COUNT; i++) {
        if (!c->hypercall[i])
            continue;
        fprintf(out, "%s\"%s\": %" PRIu64, comma, hypercall_names[i], c->hypercall[i]);
        comma = ", ";
    }
    fprintf(out, "},\n");
}

/* Phases in microseconds since the start of vmm; the shim's are TSC readings, converted by the clock page. */
static void put_phases(FILE *out, const struct sandbox *sb)
{
    static const char *const own[] = { "options", "gofer_started", "vm_created", "jailed", "run" };
    const struct clock_page *c = sb->vm.clock;
    const char *comma = "";

    fprintf(out, "  \"phases_us\": {");
    for (unsigned i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        fprintf(out, "%s\"%s\": %.1f", comma, own[i], (double)(sb->phase_ns[i] - sb->start_ns) * 1e-3);
        comma = ", ";
    }
    for (unsigned i = 0; i < PHASE_COUNT && sb->have_report; i++) {
        uint64_t tsc = sb->report.boot_tsc[i];
        double ns = (double)c->mono_ns + ((double)tsc - (double)c->tsc) * 1e6 / (double)c->tsc_khz;

        if (tsc)
            fprintf(out, "%s\"%s\": %.1f", comma, phase_names[i], (ns - (double)sb->start_ns) * 1e-3);
    }
    fprintf(out, "},\n");
}

void report_write(FILE *out, const struct sandbox *sb, int status)
{
    const struct guest_report *g = &sb->report;
    struct rusage self = { 0 };

    getrusage(RUSAGE_SELF, &self);
    fprintf(out, "{\n  \"status\": %d,\n", status);
    if (sb->ended && sb->exit_kind == EXIT_SIGNAL)
        fprintf(out, "  \"signal\": %" PRIu64 ",\n", sb->exit_value & 0x7f);
    else
        fprintf(out, "  \"signal\": null,\n");
    fprintf(out, "  \"wall_s\": %.6f,\n", (double)(clock_host_mono_ns() - sb->start_ns) * 1e-9);
    fprintf(out, "  \"cpu_s\": %.6f,\n", seconds(&self.ru_utime) + seconds(&self.ru_stime));
    fprintf(out, "  \"app_cpu_s\": %.6f,\n", (double)g->user_ns * 1e-9);
    fprintf(out, "  \"peak_memory_bytes\": %" PRIu64 ",\n", g->peak_memory_bytes);
    fprintf(out, "  \"vmm_max_rss_bytes\": %ld,\n", self.ru_maxrss * 1024);
    put_phases(out, sb);
    put_exits(out, &sb->counts);
    fprintf(out,
            "  \"guest\": {\"syscalls\": %" PRIu64 ", \"faults\": %" PRIu64 ", \"gates\": %" PRIu64 ", \"doorbells\": %" PRIu64
            ", \"switches\": %" PRIu64 ", \"traps\": %" PRIu64 ", \"rewritten_sites\": %" PRIu64 "},\n",
            g->syscalls, g->faults, g->gates, g->doorbells, g->switches, g->traps, g->sites);
    put_calls(out, "syscalls", g->syscall_count);
    put_calls(out, "enosys", g->enosys_count);
    fprintf(out, "  \"gofer_requests\": %" PRIu64 "\n}\n", g->gofer_requests);
}
