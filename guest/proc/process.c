/* The tables of threads and processes, and the small questions about them. Making: clone.c; ending: exit.c. */
#include "proc/process.h"

#include "arch/cpu.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "proc/clone.h"
#include "proc/ptrace.h"
#include "proc/signal.h"

#define KSTACK_PAGES 4
#define KSTACK_MIN_SIZE 12288ul /* what must be left beside the vector state */
#define TID_MAX 32768           /* as Linux's pid_max: programs count on five digits */
#define HASH_SIZE 1024

static struct process init_storage = {
    .refs = 1,
    .children = LIST_INIT(init_storage.children),
    .tracees = LIST_INIT(init_storage.tracees),
    .threads = LIST_INIT(init_storage.threads),
    .posix_timers = LIST_INIT(init_storage.posix_timers),
    .child_wait.entries = LIST_INIT(init_storage.child_wait.entries),
    .exit_wait.entries = LIST_INIT(init_storage.exit_wait.entries),
    .signal_wait.entries = LIST_INIT(init_storage.signal_wait.entries),
    .pending.entries = LIST_INIT(init_storage.pending.entries),
    .pid = 1,
    .pgid = 1,
    .sid = 1,
    .cred.cap_effective = UINT64_MAX,
    .cred.cap_permitted = UINT64_MAX,
    .cred.cap_bounding = UINT64_MAX,
};

struct process *init_process = &init_storage;
struct list all_processes = LIST_INIT(all_processes);
uint32_t thread_total;
char system_hostname[65] = "vmm", system_domainname[65] = "(none)";

static struct thread *thread_hash[HASH_SIZE];
static int last_tid = 1;

/* --- ids --- */

static struct thread **hash_bucket(int tid)
{
    return &thread_hash[(unsigned)tid % HASH_SIZE];
}

struct thread *thread_find(int tid)
{
    struct thread *t = *hash_bucket(tid);

    while (t && t->tid != tid)
        t = t->hash_next;
    return t;
}

/* A process stays under its pid until it is reaped, by its leader's entry. */
struct process *process_find(int pid)
{
    struct thread *t;

    if (pid == 1)
        return init_process;
    t = thread_find(pid);
    return t && t->proc->pid == pid ? t->proc : NULL;
}

/* A pid must not come back while a process group or session bears its number. */
bool tid_in_use(int tid)
{
    struct process *p;

    if (thread_find(tid))
        return true;
    list_for_each(p, &all_processes, all_node)
        if (p->pgid == tid || p->sid == tid)
            return true;
    return false;
}

int tid_alloc(void)
{
    for (int i = 0; i < TID_MAX; i++) {
        last_tid = last_tid + 1 < TID_MAX ? last_tid + 1 : 300; /* Linux leaves the low ones to the system */
        if (!tid_in_use(last_tid))
            return last_tid;
    }
    return -EAGAIN;
}

static void thread_hash_add(struct thread *t)
{
    struct thread **bucket = hash_bucket(t->tid);

    t->hash_next = *bucket;
    *bucket = t;
}

void thread_unhash(struct thread *t)
{
    struct thread **link = hash_bucket(t->tid);

    while (*link && *link != t)
        link = &(*link)->hash_next;
    if (*link)
        *link = t->hash_next;
}

void thread_rename(struct thread *t, int tid)
{
    thread_unhash(t);
    t->tid = tid;
    thread_hash_add(t);
}

/* --- threads --- */

static size_t kstack_pages(void)
{
    size_t fpu = ALIGN_UP(fpu_size, 64);
    size_t spare = KSTACK_PAGES * PAGE_SIZE - KSTACK_MIN_SIZE;

    return fpu <= spare ? KSTACK_PAGES : KSTACK_PAGES + PAGE_UP(fpu) / PAGE_SIZE;
}

/* The vector state lies below the stack, in pages that would hardly be used otherwise. */
static bool kstack_create(struct thread *t)
{
    size_t pages = kstack_pages();
    uint8_t *base = pages_alloc(pages);

    if (!base)
        return false;
    t->fpu = base;
    memset(base, 0, fpu_size);
    t->kstack_base = (uint64_t)base + ALIGN_UP(fpu_size, 64);
    t->kstack_top = (uint64_t)base + pages * PAGE_SIZE;
    t->regs = (struct regs *)t->kstack_top - 1;
    return true;
}

void thread_free_stack(struct thread *t)
{
    if (t->fpu)
        pages_free(t->fpu, kstack_pages());
    t->fpu = NULL;
    t->regs = NULL;
}

struct thread *thread_create(struct process *p, int tid)
{
    struct thread *t = kzalloc(sizeof(*t));

    if (!t)
        return NULL;
    if (!kstack_create(t)) {
        kfree(t);
        return NULL;
    }
    t->tid = tid;
    t->proc = p;
    t->state = THREAD_PARKED;
    t->start_ns = clock_mono_ns();
    t->timer_slack_ns = 50000;
    sigqueue_init(&t->pending);
    process_get(p);
    return t;
}

void thread_destroy(struct thread *t)
{
    thread_free_stack(t);
    if (t->proc->leader == t)
        t->proc->leader = NULL;
    process_put(t->proc);
    kfree(t);
}

void thread_enter(struct thread *t)
{
    list_push_back(&t->proc->threads, &t->proc_node);
    t->proc->thread_count++;
    thread_total++;
    thread_hash_add(t);
}

/* --- processes --- */

struct process *process_create(void)
{
    struct process *p = kzalloc(sizeof(*p));

    if (!p)
        return NULL;
    p->refs = 1;
    list_init(&p->all_node);
    list_init(&p->sibling_node);
    list_init(&p->children);
    list_init(&p->tracees);
    list_init(&p->threads);
    list_init(&p->posix_timers);
    sigqueue_init(&p->pending);
    wait_queue_init(&p->child_wait);
    wait_queue_init(&p->exit_wait);
    wait_queue_init(&p->signal_wait);
    for (size_t i = 0; i < ARRAY_SIZE(p->itimers); i++) {
        p->itimers[i].expires = NEVER;
        p->itimers[i].process = p;
    }
    p->start_ns = clock_mono_ns();
    p->exit_signal = SIGCHLD;
    p->cpu_limit_signal_ns = NEVER;
    return p;
}

void process_get(struct process *p)
{
    p->refs++;
}

void process_put(struct process *p)
{
    if (--p->refs > 0)
        return;
    if (p->leader)
        ptrace_forget(p->leader);
    kfree(p->leader);
    group_list_put(p->cred.groups);
    kfree(p);
}

bool pgrp_exists(int pgid)
{
    struct process *p;

    list_for_each(p, &all_processes, all_node)
        if (p->pgid == pgid)
            return true;
    return false;
}

/* --- credentials and limits --- */

bool capable(int capability)
{
    return current->proc->cred.cap_effective >> capability & 1;
}

static bool in_list(const struct group_list *g, uint32_t gid)
{
    uint32_t low = 0, high = g->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (g->gid[middle] == gid)
            return true;
        if (g->gid[middle] < gid)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

bool in_group(uint32_t gid)
{
    const struct cred *c = &current->proc->cred;

    if (c->fsgid == gid)
        return true;
    return c->groups && in_list(c->groups, gid);
}

/* Heap sort: the list is as long as the app likes. */
static void sift_down(uint32_t *gid, uint32_t root, uint32_t count)
{
    uint32_t child;

    while ((child = 2 * root + 1) < count) {
        uint32_t value = gid[root];

        child += child + 1 < count && gid[child + 1] > gid[child];
        if (gid[child] <= value)
            return;
        gid[root] = gid[child];
        gid[child] = value;
        root = child;
    }
}

void group_list_sort(struct group_list *g)
{
    for (uint32_t i = g->count / 2; i-- > 0;)
        sift_down(g->gid, i, g->count);
    for (uint32_t n = g->count; n > 1; n--) {
        uint32_t last = g->gid[n - 1];

        g->gid[n - 1] = g->gid[0];
        g->gid[0] = last;
        sift_down(g->gid, 0, n - 1);
    }
}

void group_list_put(struct group_list *g)
{
    if (g && --g->refs == 0)
        kfree(g);
}

uint64_t rlimit(int which)
{
    return current->proc->rlimits[which].cur;
}
