/* See stats.h. Counts of the guest's are its claim; numbers only, so nothing needs escaping but the text of samples. */
#include "vmm/stats.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "hypercalls/hypercall.h"
#include "syscall_names.h" /* generated from asm/unistd_64.h */
#include "vmm/clock.h"
#include "vmm/shim_image.h"

struct table {
    FILE *out;
    double seconds;
    uint64_t calls;
};

static void row(const struct table *t, const char *name, uint64_t count)
{
    if (!count)
        return;
    fprintf(t->out, "%-32s %12" PRIu64 " %12.1f", name, count, (double)count / t->seconds);
    if (t->calls)
        fprintf(t->out, " %12.4f", (double)count / (double)t->calls);
    fprintf(t->out, "\n");
}

static void exit_rows(const struct table *t, const struct exit_counts *c)
{
    static const char *const names[HYPERCALL_COUNT] = {
#define X(number, name) [number] = "exit: hypercall " #name,
        HYPERCALL_LIST(X)
#undef X
    };

    row(t, "exits", c->total);
    for (unsigned i = 0; i < HYPERCALL_COUNT; i++)
        row(t, names[i], c->hypercall[i]);
    row(t, "exit: doorbell", c->doorbell);
    row(t, "exit: kick", c->interrupted);
    row(t, "exit: mmio", c->mmio);
    row(t, "exit: other", c->other);
    row(t, "kicks diverted", c->diverted);
    row(t, "kicks at a fault", c->queued);
    row(t, "window pages recovered", c->recovered);
}

static void guest_rows(const struct table *t, const struct guest_report *g)
{
    row(t, "system calls", g->syscalls);
    row(t, "  through rewritten sites", g->syscalls - g->traps);
    row(t, "  by trap", g->traps);
    row(t, "rewritten sites", g->sites);
    row(t, "jumps to their old instruction", g->old_entries);
    row(t, "page faults", g->faults);
    row(t, "gates", g->gates);
    row(t, "gate: load CR3", g->gate_count[GATE_LOAD_CR3]);
    row(t, "gate: invlpg", g->gate_count[GATE_INVLPG]);
    row(t, "gate: hypercall", g->gate_count[GATE_HYPERCALL]);
    row(t, "gate: doorbell", g->gate_count[GATE_DOORBELL]);
    row(t, "doorbells", g->doorbells);
    row(t, "polls", g->polls);
    row(t, "requests to the gofer", g->gofer_requests);
    row(t, "thread switches", g->switches);
}

static const char *call_name(uint64_t number)
{
    const char *name = NULL;

    if (number < sizeof(syscall_names) / sizeof(syscall_names[0]))
        name = syscall_names[number];
    return name ? name : "several";
}

void stats_write(FILE *out, const struct sandbox *sb)
{
    const struct guest_report *g = &sb->report;
    struct table t = { out, (double)(clock_host_mono_ns() - sb->start_ns) * 1e-9, g->syscalls };

    fprintf(out, "%-32s %12s %12s %12s\n", "", "count", "per second", "per call");
    exit_rows(&t, &sb->counts);
    if (!sb->have_report) {
        fprintf(out, "the guest has not reported\n");
        return;
    }
    guest_rows(&t, g);
    for (size_t i = 0; i < sizeof(g->trapping) / sizeof(g->trapping[0]) && g->trapping[i].count; i++)
        fprintf(out, "traps before 0x%012" PRIx64 "      %12" PRIu64 "  %s\n", g->trapping[i].rip, g->trapping[i].count,
                call_name(g->trapping[i].number));
}

/* --- profile --- */

/* The form of `perf script`: a header, the frame, an empty line. */
static int64_t put_sample(struct sandbox *sb, const char *who, const char *frame)
{
    uint64_t now = clock_host_mono_ns();
    char text[2048];
    int n = snprintf(text, sizeof(text), "%s %" PRIu64 ".%06" PRIu64 ": %u cpu-clock:\n\t%s\n\n", who, now / 1000000000,
                     now / 1000 % 1000000, PROFILE_PERIOD_NS, frame);

    if (n < 0 || (size_t)n >= sizeof(text))
        return -EINVAL;
    return write(sb->profile_fd, text, (size_t)n) < 0 ? -errno : 0;
}

void profile_kick(struct sandbox *sb)
{
    uint64_t rip = sb->vm.run->s.regs.regs.rip;
    char symbol[128] = "stub", frame[192];

    if (!__atomic_exchange_n(&sb->profile_due, 0, __ATOMIC_ACQ_REL))
        return;
    if (rip < DIRECT_BASE && rip >= APP_BASE) {
        __atomic_fetch_or(&sb->vm.shared->pending, PENDING_PROFILE, __ATOMIC_SEQ_CST);
        return;
    }
    if (rip >= DIRECT_BASE)
        shim_symbolise(rip, symbol, sizeof(symbol));
    snprintf(frame, sizeof(frame), "%16" PRIx64 " %s ([shim])", rip, symbol);
    put_sample(sb, "shim 0", frame);
}

int64_t profile_log(struct sandbox *sb, const char *text, size_t size)
{
    const char *end = memchr(text, '\n', size);
    char who[4 * 64], frame[4 * 320];

    if (sb->profile_fd < 0 || !end || end - text > 60 || size - (size_t)(end - text) > 310)
        return -EINVAL;
    log_escape(who, sizeof(who), text, (size_t)(end - text));
    log_escape(frame, sizeof(frame), end + 1, size - 1 - (size_t)(end - text));
    return put_sample(sb, who, frame);
}
