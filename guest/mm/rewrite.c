/*
 * See rewrite.h. The stubs' memory (below APP_BASE, highest page first) is cut into cells of 32 bytes:
 *
 *     8 bytes    the slot: address of the code that follows; the site jumps through it
 *     24 bytes   mov $nr,%eax (REWRITE_SEVEN only); movabs $next_rip,%rcx; jmp *STUB_ENTRY
 *
 * Cell i belongs to site i. The first cell of the highest page holds the address of the shim's entry. Cells are never given to
 * another address: an app may have copied patched text away and bring it back (programs that move themselves to huge pages do).
 */
#include "mm/rewrite.h"

#include <asm/unistd.h>
#include <linux/mman.h>

#include "arch/cpu.h"
#include "arch/rewrite_plan.h"
#include "hypercalls/layout.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/mm.h"
#include "mm/pagetable.h"
#include "proc/thread.h"

#define CELL_SIZE 32u
#define CELLS_PER_PAGE (PAGE_SIZE / CELL_SIZE - 1)
#define STUB_TOP (APP_BASE - PAGE_SIZE) /* the highest page */
#define STUB_PAGES 15u                  /* page 0 stays unmapped */
#define STUB_ENTRY STUB_TOP
#define SITES_MAX (STUB_PAGES * CELLS_PER_PAGE)
#define SITES_STEP 32u

/* How often a site traps before it is rewritten: a copied page and a flush cost as much as 5 to 30 traps on software KVM. */
#define TRAPS_NEW_PAGE 8u
#define TRAPS_SAME_PAGE 2u /* where the page has been copied already, it costs next to nothing */

/* How often the old `syscall` of a site may be jumped to: each time costs a page fault. */
#define OLD_ENTRIES_MAX 8u

struct site {
    uaddr_t addr; /* of the `syscall` */
    uint32_t nr;  /* REWRITE_SEVEN: of the mov */
    struct rewrite_plan plan;
    bool live;     /* in the text, as far as we know */
    bool no_seven; /* its old `syscall` is jumped to too often for REWRITE_SEVEN */
    uint8_t old_entries;
    struct rewrite_original original;
};

struct rewrites {
    uint32_t count, capacity;
    struct site site[];
};

bool rewrite_enabled;

extern const char rewritten_ring3[];

/* --- which sites trap often --- */

struct trap_count {
    uaddr_t rip;
    uint64_t mm_id;
    uint32_t nr; /* the same each time, or NO_MOV */
    uint32_t count;
    bool given_up; /* rewritten, or it can't be */
};

#define TRAP_SETS 256u
static struct trap_count trap_counts[TRAP_SETS][2];

static struct trap_count *count_of(uaddr_t rip, uint64_t mm_id)
{
    struct trap_count *set = trap_counts[(rip ^ rip >> 8 ^ mm_id * 31) % TRAP_SETS];

    for (unsigned i = 0; i < 2; i++)
        if (set[i].rip == rip && set[i].mm_id == mm_id)
            return &set[i];
    set += set[0].count > set[1].count;
    *set = (struct trap_count){ .rip = rip, .mm_id = mm_id, .nr = NO_MOV };
    return set;
}

/* --- sites and stubs --- */

static uaddr_t cell_addr(uint32_t index)
{
    return STUB_TOP - index / CELLS_PER_PAGE * PAGE_SIZE + (index % CELLS_PER_PAGE + 1) * CELL_SIZE;
}

static uaddr_t page_of(const struct site *s)
{
    return PAGE_DOWN(s->addr);
}

static struct site *site_at(const struct mm *mm, uaddr_t addr)
{
    struct rewrites *r = mm->rewrites;

    for (uint32_t i = 0; r && i < r->count; i++)
        if (r->site[i].addr == addr)
            return &r->site[i];
    return NULL;
}

static bool reserve_site(struct mm *mm)
{
    struct rewrites *old = mm->rewrites, *new;
    uint32_t count = old ? old->count : 0;

    if (count == SITES_MAX)
        return false;
    if (old && count < old->capacity)
        return true;
    new = kmalloc(sizeof(*new) + (count + SITES_STEP) * sizeof(new->site[0]));
    if (!new)
        return false;
    if (old)
        memcpy(new, old, sizeof(*old) + count * sizeof(old->site[0]));
    new->count = count;
    new->capacity = count + SITES_STEP;
    kfree(old);
    mm->rewrites = new;
    return true;
}

/* The frame of the stubs' page at addr, writable through the direct map: made, or copied if a fork shares it. NULL: no memory. */
static uint8_t *stub_page(struct mm *mm, uaddr_t addr)
{
    uint64_t *entry = pt_make(mm, addr);
    gpa_t fresh;

    if (!entry)
        return NULL;
    if (*entry && frame_refs(*entry & PTE_ADDR) == 1)
        return gpa_to_ptr(*entry & PTE_ADDR);
    fresh = frame_zalloc();
    if (!fresh)
        return NULL;
    if (*entry) {
        memcpy(gpa_to_ptr(fresh), gpa_to_ptr(*entry & PTE_ADDR), PAGE_SIZE);
        frame_put(*entry & PTE_ADDR);
        pt_flush_later(mm, addr);
    }
    pt_set(mm, entry, fresh, pte_bits(PROT_READ | PROT_EXEC, false));
    pt_flush(mm);
    return gpa_to_ptr(fresh);
}

static uint8_t *put(uint8_t *p, const void *bytes, size_t n)
{
    memcpy(p, bytes, n);
    return p + n;
}

static bool write_stub(struct mm *mm, uint32_t index, const struct site *s)
{
    uaddr_t cell = cell_addr(index), code = cell + 8, next = s->addr + SYSCALL_SIZE;
    uint64_t entry = (uint64_t)rewritten_ring3;
    uint8_t *top = stub_page(mm, STUB_TOP), *page = stub_page(mm, PAGE_DOWN(cell)), *p;

    if (!top || !page)
        return false;
    put(top, &entry, 8);
    p = put(page + cell % PAGE_SIZE, &code, 8);
    if (s->plan.form == REWRITE_SEVEN) {
        *p++ = 0xb8; /* mov $nr,%eax */
        p = put(p, &s->nr, 4);
    }
    p = put(p, "\x48\xb9", 2); /* movabs $next,%rcx */
    p = put(p, &next, 8);
    rewrite_put_slot_jump(p, STUB_ENTRY);
    return true;
}

/* --- text --- */

/* What is mapped at addr, if it is; not brought in. */
static const uint8_t *text_page(const struct mm *mm, uaddr_t addr)
{
    bool huge = false;
    const uint64_t *entry = pt_find(mm, addr, &huge);

    if (!entry || !(*entry & PTE_P))
        return NULL;
    return page_ptr(pte_gpa(*entry, addr), PAGE_SIZE);
}

static bool text_is_ours(const struct mm *mm, uaddr_t addr)
{
    bool huge = false;
    const uint64_t *entry = pt_find(mm, addr, &huge);

    return entry && (*entry & PTE_P) && !huge && pt_is_exclusive(*entry, false);
}

/* Only text that nobody writes: of a file, private, not writable. JITs write into other kinds of memory. */
static bool may_rewrite(struct mm *mm, uaddr_t addr)
{
    const struct vma *vma = mm_find(mm, addr);

    return vma && vma->start <= addr && vma->file && !(vma->flags & (VMA_SHARED | VMA_SPECIAL)) &&
           (vma->prot & PROT_EXEC) && !(vma->prot & PROT_WRITE);
}

/* Make addr's site as planned from the bytes of page, whose frame is the app's own copy. */
static void rewrite(struct mm *mm, uaddr_t addr, uint32_t nr, uint8_t *page)
{
    struct site *s = site_at(mm, addr);
    struct rewrite_plan plan;
    uint32_t index;

    bool no_seven = s && s->no_seven;

    if ((!s && !reserve_site(mm)) || !rewrite_plan(page, addr % PAGE_SIZE, no_seven ? NO_MOV : nr, &plan))
        return;
    index = s ? (uint32_t)(s - mm->rewrites->site) : mm->rewrites->count;
    s = &mm->rewrites->site[index];
    *s = (struct site){ .addr = addr, .nr = nr, .plan = plan, .no_seven = no_seven };
    mm->rewrites->count = MAX(mm->rewrites->count, index + 1);
    if (!write_stub(mm, index, s))
        return;
    rewrite_apply(page, addr % PAGE_SIZE, &plan, (uint32_t)cell_addr(index), &s->original);
    s->live = true;
    report.sites++;
    cpu_serialize();
}

static void rewrite_site(struct mm *mm, uaddr_t addr, uint32_t nr)
{
    const uint8_t *page = text_page(mm, addr);
    struct rewrite_plan plan;
    gpa_t gpa;

    /* First without a copy of the page, which most often is made for this. */
    if (!page || !may_rewrite(mm, addr) || !rewrite_plan(page, addr % PAGE_SIZE, nr, &plan))
        return;
    if (mm_pin_copy(mm, addr, &gpa) < 0)
        return;
    rewrite(mm, addr, nr, gpa_to_ptr(gpa));
    frame_put(gpa);
}

void rewrite_trap(const struct regs *regs)
{
    struct mm *mm = current->mm;
    struct trap_count *t;
    uint32_t nr;
    bool due;

    report.traps++;
    if (!rewrite_enabled)
        return;
    t = count_of(regs->rip, mm->id);
    if (t->given_up) {
        t->count++;
        return;
    }
    nr = regs->orig_rax < SYSCALL_NR_MAX ? (uint32_t)regs->orig_rax : NO_MOV;
    t->nr = t->count == 0 || t->nr == nr ? nr : NO_MOV;
    t->count++;
    due = t->count == TRAPS_NEW_PAGE ||
          (t->count == TRAPS_SAME_PAGE && text_is_ours(mm, regs->rip - SYSCALL_SIZE));
    /* Unwinders know the bytes of a signal's return. */
    if (!due || regs->orig_rax == __NR_rt_sigreturn)
        return;
    t->given_up = true;
    rewrite_site(mm, regs->rip - SYSCALL_SIZE, t->nr);
}

/* Insertion into the short list of those with the most traps. */
static void note_trapping(const struct trap_count *t)
{
    size_t i = ARRAY_SIZE(report.trapping);

    while (i > 0 && report.trapping[i - 1].count < t->count) {
        if (i < ARRAY_SIZE(report.trapping))
            report.trapping[i] = report.trapping[i - 1];
        i--;
    }
    if (i < ARRAY_SIZE(report.trapping)) {
        report.trapping[i].rip = t->rip;
        report.trapping[i].count = t->count;
        report.trapping[i].number = t->nr;
    }
}

void rewrite_report(void)
{
    for (unsigned i = 0; i < TRAP_SETS; i++)
        for (unsigned way = 0; way < 2; way++)
            if (trap_counts[i][way].count)
                note_trapping(&trap_counts[i][way]);
}

/* --- what arrives in between --- */

static void resume(struct regs *regs, const struct site *s)
{
    regs->rflags &= ~(uint64_t)RFLAGS_RF;
    regs->rip = s->addr + SYSCALL_SIZE;
    regs->rcx = regs->rip;
    regs->r11 = regs->rflags;
    regs->orig_rax = regs->rax;
}

/* Is rip at one of the jumps between the site and its stub? */
static bool is_on_the_way(const struct site *s, uaddr_t rip)
{
    for (uint32_t i = 0; i < s->plan.hop_count; i++)
        if (page_of(s) + s->plan.hop[i].offset == rip)
            return true;
    return page_of(s) + s->plan.jump.offset == rip;
}

/* The site whose padding rip is in front of. */
static struct site *site_of_padding(uaddr_t rip)
{
    struct rewrites *r = current->mm->rewrites;

    for (uint32_t i = 0; r && i < r->count; i++) {
        struct site *s = &r->site[i];

        if (s->live && s->plan.form == REWRITE_PAD && is_on_the_way(s, rip))
            return s;
    }
    return NULL;
}

bool rewrite_resume_step(struct regs *regs)
{
    struct rewrites *r = current->mm->rewrites;
    struct site *s = NULL;

    if (regs->rip >= APP_BASE) {
        s = site_of_padding(regs->rip);
    } else if (r) {
        for (uint32_t i = 0; i < r->count && !s; i++)
            if (regs->rip - cell_addr(i) < CELL_SIZE)
                s = &r->site[i];
        if (s && s->plan.form == REWRITE_SEVEN) {
            /* One step: the mov. The next is the old `syscall`. */
            regs->rax = s->nr;
            regs->rip = s->addr;
            return false;
        }
    }
    if (s)
        resume(regs, s);
    return s;
}

void rewrite_fix_rip(struct regs *regs)
{
    struct site *s = site_of_padding(regs->rip);

    if (s)
        regs->rip = s->addr;
}

/* --- back to the original --- */

static bool is_in_text(const uint8_t *page, const struct site *s, uint32_t index)
{
    return page && rewrite_is_applied(page, s->addr % PAGE_SIZE, &s->plan, (uint32_t)cell_addr(index));
}

static long undo_site(struct mm *mm, struct site *s, uint32_t index)
{
    const uint8_t *page = text_page(mm, s->addr);
    gpa_t gpa;
    long r;

    if (is_in_text(page, s, index)) {
        r = mm_pin_copy(mm, s->addr, &gpa);
        if (r < 0)
            return r;
        rewrite_revert(gpa_to_ptr(gpa), s->addr % PAGE_SIZE, &s->plan, &s->original);
        frame_put(gpa);
        cpu_serialize();
    }
    s->live = false;
    return 0;
}

long rewrite_undo(struct mm *mm, uaddr_t start, uaddr_t end)
{
    struct rewrites *r = mm->rewrites;

    start = PAGE_DOWN(start);
    end = PAGE_UP(end);
    for (uint32_t i = 0; r && i < r->count; i++) {
        struct site *s = &r->site[i];
        long error = s->live && s->addr >= start && s->addr < end ? undo_site(mm, s, i) : 0;

        if (error < 0)
            return error;
    }
    return 0;
}

bool rewrite_resume_fault(struct regs *regs)
{
    struct mm *mm = current->mm;
    struct site *s = site_at(mm, regs->rip);

    if (!s || !s->live || s->plan.form != REWRITE_SEVEN)
        return false;
    resume(regs, s);
    report.old_entries++;
    if (++s->old_entries == OLD_ENTRIES_MAX && undo_site(mm, s, (uint32_t)(s - mm->rewrites->site)) == 0) {
        s->no_seven = true;
        rewrite_site(mm, s->addr, NO_MOV);
    }
    return true;
}

static void hide_bytes(uaddr_t addr, uint8_t *buf, size_t n, uaddr_t at, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (at + i - addr < n)
            buf[at + i - addr] = bytes[i];
}

static void hide_piece(uaddr_t addr, uint8_t *buf, size_t n, const struct site *s, struct rewrite_piece piece,
                       const uint8_t *original)
{
    hide_bytes(addr, buf, n, page_of(s) + piece.offset, original, piece.size);
}

void rewrite_hide(const struct mm *mm, uaddr_t addr, void *buf, size_t n)
{
    static const uint8_t syscall_insn[SYSCALL_SIZE] = { 0x0f, 0x05 };
    struct rewrites *r = mm->rewrites;

    for (uint32_t i = 0; r && i < r->count; i++) {
        const struct site *s = &r->site[i];

        if (!s->live || page_of(s) != PAGE_DOWN(addr) || !is_in_text(text_page(mm, s->addr), s, i))
            continue;
        hide_piece(addr, buf, n, s, s->plan.jump, s->original.jump);
        for (uint32_t k = 0; k < s->plan.hop_count; k++)
            hide_piece(addr, buf, n, s, s->plan.hop[k], s->original.hop[k]);
        hide_bytes(addr, buf, n, s->addr, syscall_insn, SYSCALL_SIZE);
    }
}

/* --- address spaces --- */

long rewrite_fork(const struct mm *parent, struct mm *child)
{
    const struct rewrites *r = parent->rewrites;

    if (!r)
        return 0;
    child->rewrites = kmalloc(sizeof(*r) + r->capacity * sizeof(r->site[0]));
    if (!child->rewrites)
        return -ENOMEM;
    memcpy(child->rewrites, r, sizeof(*r) + r->count * sizeof(r->site[0]));
    for (uint32_t i = 0; i < r->count; i += CELLS_PER_PAGE) {
        uaddr_t addr = PAGE_DOWN(cell_addr(i));
        bool huge = false;
        const uint64_t *from = pt_find(parent, addr, &huge);
        uint64_t *to;

        if (!from || !*from)
            continue;
        to = pt_make(child, addr);
        if (!to)
            return -ENOMEM;
        frame_get(*from & PTE_ADDR);
        pt_set(child, to, *from & PTE_ADDR, *from & ~PTE_ADDR);
    }
    return 0;
}

void rewrite_free(struct mm *mm)
{
    if (!mm->rewrites)
        return;
    pt_clear(mm, PAGE_SIZE, APP_BASE, 0, 0);
    kfree(mm->rewrites);
    mm->rewrites = NULL;
}
