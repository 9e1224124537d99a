/*
 * Page tables: walking, changing ranges, freeing tables, and the flushes that this needs. See
 * pagetable.h.
 */
#include "mm/pagetable.h"

#include <linux/mman.h>

#include "arch/cpu.h"
#include "lib/log.h"
#include "mm/frame.h"
#include "mm/keep.h"
#include "mm/mm.h"

#define TABLE_ENTRIES 512u
#define LEVEL_PD 2
#define LEVEL_PML4 4

static unsigned int level_shift(int level)
{
    return 12 + 9 * (unsigned int)(level - 1);
}

static unsigned int table_index(uaddr_t addr, int level)
{
    return (unsigned int)(addr >> level_shift(level)) & (TABLE_ENTRIES - 1);
}

static uint64_t *table_of(uint64_t entry)
{
    return gpa_to_ptr(entry & PTE_ADDR);
}

static bool is_huge(uint64_t entry)
{
    return entry & PTE_PS;
}

uint64_t pte_bits(uint32_t prot, bool write)
{
    uint64_t bits = PTE_OWNED | PTE_U | PTE_A;

    if (prot & (PROT_READ | PROT_WRITE | PROT_EXEC))
        bits |= PTE_P;
    if (write && (prot & PROT_WRITE))
        bits |= PTE_W | PTE_D;
    if (!(prot & PROT_EXEC))
        bits |= PTE_NX;
    return bits;
}

/* --- flushes --- */

static gpa_t loaded = BOOT_PML4; /* what CR3 holds */

void pt_load(gpa_t pml4)
{
    loaded = pml4;
    cpu_load_cr3(pml4);
}

void pt_flush_later(struct mm *mm, uaddr_t addr)
{
    mm->flush_count++;
    mm->flush_addr = addr;
}

/* A gate costs about 10 us on software KVM and a reload 30: one page, or everything. */
void pt_flush(struct mm *mm)
{
    uint32_t count = mm->flush_count;

    mm->flush_count = 0;
    if (count == 0 || !mm_is_active(mm))
        return;
    if (count == 1) {
        cpu_invlpg(mm->flush_addr);
        return;
    }
    pt_load(mm->pml4);
    pt_release_held(mm);
}

void pt_release_held(struct mm *mm)
{
    while (mm->held_count)
        frame_put(mm->held[--mm->held_count]);
}

void pt_flush_held(struct mm *mm)
{
    if (!mm->held_count)
        return;
    if (mm_is_active(mm))
        pt_load(mm->pml4);
    mm->flush_count = 0;
    pt_release_held(mm);
}

void pt_hold(struct mm *mm, gpa_t gpa)
{
    if (!mm_is_active(mm)) {
        frame_put(gpa);
        return;
    }
    if (mm->held_count == MM_HELD_MAX)
        pt_flush_held(mm);
    mm->held[mm->held_count++] = gpa;
}

/* --- walking --- */

/*
 * The page-directory entry for addr, NULL if there is no table. *ret_next: where what it stands for
 * ends, or where the next table may be.
 */
static uint64_t *find_pde(gpa_t pml4, uaddr_t addr, uaddr_t *ret_next)
{
    uint64_t *table = gpa_to_ptr(pml4);

    for (int level = LEVEL_PML4;; level--) {
        uint64_t *entry = &table[table_index(addr, level)];

        *ret_next = ALIGN_DOWN(addr, 1ull << level_shift(level)) + (1ull << level_shift(level));
        if (level == LEVEL_PD)
            return entry;
        if (!*entry)
            return NULL;
        table = table_of(*entry);
    }
}

static uint64_t *make_pde(struct mm *mm, uaddr_t addr)
{
    uint64_t *table = gpa_to_ptr(mm->pml4);

    for (int level = LEVEL_PML4;; level--) {
        uint64_t *entry = &table[table_index(addr, level)];
        gpa_t fresh;

        if (level == LEVEL_PD)
            return entry;
        if (!*entry) {
            fresh = frame_alloc_table();
            if (!fresh)
                return NULL;
            WRITE_ONCE(*entry, fresh | PTE_TABLE);
        }
        table = table_of(*entry);
    }
}

uint64_t *pt_find(const struct mm *mm, uaddr_t addr, bool *ret_huge)
{
    uaddr_t next;
    uint64_t *pde = find_pde(mm->pml4, addr, &next);

    if (!pde || !*pde)
        return NULL;
    *ret_huge = is_huge(*pde);
    return *ret_huge ? pde : &table_of(*pde)[table_index(addr, 1)];
}

uint64_t *pt_make(struct mm *mm, uaddr_t addr)
{
    uint64_t *pde = make_pde(mm, addr);

    if (!pde)
        return NULL;
    if (!*pde) {
        gpa_t fresh = frame_alloc_table();

        if (!fresh)
            return NULL;
        WRITE_ONCE(*pde, fresh | PTE_TABLE);
    } else if (is_huge(*pde) && pt_split(mm, addr) < 0) {
        return NULL;
    }
    return &table_of(*pde)[table_index(addr, 1)];
}

/*
 * Call visit for each entry in [start, end) that isn't zero, with the address where its page
 * starts. Huge pages come as one, also when they lie only partly in the range.
 */
typedef void (*pt_visit)(struct mm *mm, uaddr_t addr, uint64_t *entry, bool huge, void *ctx);

static void pt_walk(struct mm *mm, uaddr_t start, uaddr_t end, pt_visit visit, void *ctx)
{
    uaddr_t next;

    for (uaddr_t addr = start; addr < end; addr = next) {
        uint64_t *pde = find_pde(mm->pml4, addr, &next);

        if (!pde || !*pde)
            continue;
        if (is_huge(*pde)) {
            visit(mm, ALIGN_DOWN(addr, HUGE_SIZE), pde, true, ctx);
            continue;
        }
        for (uint64_t *entry = &table_of(*pde)[table_index(addr, 1)]; addr < MIN(next, end);
             addr += PAGE_SIZE, entry++) {
            if (*entry)
                visit(mm, addr, entry, false, ctx);
        }
    }
}

/* --- tables as a whole --- */

/*
 * Trees of tables, without pages, that forked children of an address space had: the next one needs the same. Software KVM emulates
 * each write that builds a tree, and remembers for one that comes again what it has translated.
 */
#define SPARE_TREES 4u
#define SPARE_TABLES_MAX 64u

static struct spare_tree {
    gpa_t pml4; /* 0: none */
    uint64_t like;
} spare_trees[SPARE_TREES];

static gpa_t take_spare(uint64_t like)
{
    for (unsigned int i = 0; like && i < SPARE_TREES; i++) {
        gpa_t pml4 = spare_trees[i].pml4;

        if (pml4 && spare_trees[i].like == like) {
            spare_trees[i].pml4 = 0;
            return pml4;
        }
    }
    return 0;
}

gpa_t pt_create(uint64_t like)
{
    gpa_t gpa = take_spare(like);
    const uint64_t *boot = gpa_to_ptr(BOOT_PML4);
    uint64_t *table;

    if (gpa)
        return gpa;
    gpa = frame_alloc_table();
    if (gpa) {
        table = gpa_to_ptr(gpa);
        WRITE_ONCE(table[SHIM_PML4_INDEX], boot[SHIM_PML4_INDEX]);
    }
    return gpa;
}

static void free_subtree(uint64_t *table, int level, unsigned int entries)
{
    for (unsigned int i = 0; i < entries; i++) {
        if (!table[i] || is_huge(table[i]))
            continue;
        if (level > LEVEL_PD)
            free_subtree(table_of(table[i]), level - 1, TABLE_ENTRIES);
        frame_free_table(table[i] & PTE_ADDR);
    }
}

static void free_tree(gpa_t pml4)
{
    if (pml4 == loaded)
        pt_load(BOOT_PML4);
    free_subtree(gpa_to_ptr(pml4), LEVEL_PML4, SHIM_PML4_INDEX);
    frame_free_table(pml4);
}

/* How many tables there are below table, up to a little more than SPARE_TABLES_MAX. */
static unsigned int count_tables(const uint64_t *table, int level, unsigned int entries)
{
    unsigned int count = 0;

    for (unsigned int i = 0; i < entries && count <= SPARE_TABLES_MAX; i++) {
        if (!table[i])
            continue;
        count++;
        if (level > LEVEL_PD)
            count += count_tables(table_of(table[i]), level - 1, TABLE_ENTRIES);
    }
    return count;
}

void pt_destroy(gpa_t pml4, uint64_t like)
{
    static unsigned int next_out;
    struct spare_tree *place = NULL;

    if (!like || count_tables(gpa_to_ptr(pml4), LEVEL_PML4, SHIM_PML4_INDEX) > SPARE_TABLES_MAX) {
        free_tree(pml4);
        return;
    }
    for (unsigned int i = 0; i < SPARE_TREES && !place; i++) {
        if (!spare_trees[i].pml4)
            place = &spare_trees[i];
    }
    if (!place) {
        place = &spare_trees[next_out++ % SPARE_TREES];
        free_tree(place->pml4);
    }
    *place = (struct spare_tree){ pml4, like };
}

struct free_range {
    uaddr_t start, end, floor, ceiling;
};

/*
 * Free the tables below table, which starts at base, that touch [start, end) and lie in [floor,
 * ceiling) as a whole.
 */
static void free_tables(struct mm *mm, uint64_t *table, int level, uaddr_t base,
                        const struct free_range *r)
{
    uint64_t size = 1ull << level_shift(level);
    uaddr_t first = MAX(ALIGN_DOWN(r->start, size), base);

    for (uaddr_t at = first; at < r->end && at - base < size * TABLE_ENTRIES; at += size) {
        uint64_t *entry = &table[table_index(at, level)];

        if (!*entry || is_huge(*entry))
            continue;
        if (level > LEVEL_PD)
            free_tables(mm, table_of(*entry), level - 1, at, r);
        if (at >= r->floor && at + size <= r->ceiling) {
            frame_free_table(*entry & PTE_ADDR);
            WRITE_ONCE(*entry, 0);
            pt_flush_later(mm, at); /* the CPU caches upper entries too */
        }
    }
}

/* --- pages --- */

static void count_rss(struct mm *mm, int64_t pages)
{
    mm->rss_pages += (uint64_t)pages;
    mm->rss_peak = MAX(mm->rss_peak, mm->rss_pages);
}

void pt_set(struct mm *mm, uint64_t *entry, gpa_t gpa, uint64_t bits)
{
    if (!*entry)
        count_rss(mm, 1);
    WRITE_ONCE(*entry, gpa | bits);
}

bool pt_huge_is_free(const struct mm *mm, uaddr_t addr)
{
    uaddr_t next;
    const uint64_t *pde = find_pde(mm->pml4, addr, &next);

    return !pde || !*pde;
}

bool pt_set_huge(struct mm *mm, uaddr_t addr, gpa_t gpa, uint64_t bits)
{
    uint64_t *pde = make_pde(mm, addr);

    if (!pde || *pde)
        return false;
    WRITE_ONCE(*pde, gpa | bits | PTE_PS);
    count_rss(mm, TABLE_ENTRIES);
    return true;
}

long pt_split(struct mm *mm, uaddr_t addr)
{
    uaddr_t next;
    uint64_t *pde = find_pde(mm->pml4, addr, &next);
    uint64_t huge = *pde & ~PTE_PS;
    gpa_t fresh = frame_alloc_table();
    uint64_t *table;

    if (!fresh)
        return -ENOMEM;
    table = gpa_to_ptr(fresh);
    for (unsigned int i = 0; i < TABLE_ENTRIES; i++)
        table[i] = huge + i * PAGE_SIZE;
    WRITE_ONCE(*pde, fresh | PTE_TABLE);
    pt_flush_later(mm, addr);
    return 0;
}

/* Split the huge page that addr lies inside of, if any. */
static long split_at(struct mm *mm, uaddr_t addr)
{
    bool huge = false;

    if (addr % HUGE_SIZE && pt_find(mm, addr, &huge) && huge)
        return pt_split(mm, addr);
    return 0;
}

static void clear_page(struct mm *mm, uaddr_t addr, uint64_t *entry, bool huge, void *ctx UNUSED)
{
    uint64_t old = *entry;

    WRITE_ONCE(*entry, 0);
    if (old & PTE_P)
        pt_flush_later(mm, addr);
    count_rss(mm, huge ? -(int64_t)TABLE_ENTRIES : -1);
    if (huge)
        frame_put_huge(old & PTE_ADDR & ~(HUGE_SIZE - 1));
    else
        frame_put(old & PTE_ADDR);
}

/* Put the table of the only 2 MiB that [start, end) touches by, if they have no other pages and it is worth it. */
static bool keep_whole_table(struct mm *mm, const struct free_range *r)
{
    uaddr_t next, slot = ALIGN_DOWN(r->start, HUGE_SIZE);
    unsigned int count = (unsigned int)((r->end - r->start) >> PAGE_SHIFT);
    uint64_t *pde, old;

    if (r->end - r->start < KEEP_MIN_SIZE || r->end > slot + HUGE_SIZE || r->floor > slot ||
        r->ceiling < slot + HUGE_SIZE)
        return false;
    pde = find_pde(mm->pml4, slot, &next);
    old = pde ? *pde : 0;
    if (!old || is_huge(old) || !keep_table(old & PTE_ADDR, count))
        return false;
    WRITE_ONCE(*pde, 0);
    count_rss(mm, -(int64_t)count);
    pt_flush_later(mm, r->start);
    pt_flush_later(mm, r->end - PAGE_SIZE);
    return true;
}

long pt_hook_kept(struct mm *mm, uaddr_t start, uaddr_t end, uint64_t bits)
{
    unsigned int count = (unsigned int)((end - start) >> PAGE_SHIFT);
    gpa_t table;
    uint64_t *pde;

    if (end - start < KEEP_MIN_SIZE)
        return -ENOENT;
    pde = make_pde(mm, start);
    if (!pde)
        return -ENOMEM;
    table = *pde ? 0 : keep_find(table_index(start, 1), count, bits);
    if (!table)
        return -ENOENT;
    WRITE_ONCE(*pde, table | PTE_TABLE);
    count_rss(mm, count);
    return 0;
}

long pt_clear(struct mm *mm, uaddr_t start, uaddr_t end, uaddr_t floor, uaddr_t ceiling)
{
    struct free_range r = { start, end, floor, ceiling };

    if (keep_whole_table(mm, &r))
        return 0;
    if (split_at(mm, start) < 0 || split_at(mm, end) < 0)
        return -ENOMEM;
    pt_walk(mm, start, end, clear_page, NULL);
    if (floor < ceiling)
        free_tables(mm, gpa_to_ptr(mm->pml4), LEVEL_PML4, 0, &r);
    return 0;
}

struct protect_ctx {
    uint32_t prot;
    bool shared;
};

bool pt_is_exclusive(uint64_t entry, bool huge)
{
    gpa_t gpa = entry & PTE_ADDR;

    if (!frame_is_ram(gpa))
        return false;
    return huge ? frame_huge_is_exclusive(gpa & ~(HUGE_SIZE - 1)) : frame_refs(gpa) == 1;
}

/* Does going from one entry to the other take a right away that the TLB may still grant? */
static bool loses_rights(uint64_t old, uint64_t new)
{
    if (!(old & PTE_P))
        return false;
    return !(new &PTE_P) || (old & ~new &PTE_W) || (new & ~old &PTE_NX);
}

static void protect_page(struct mm *mm, uaddr_t addr, uint64_t *entry, bool huge, void *arg)
{
    const struct protect_ctx *ctx = arg;
    uint64_t old = *entry, new;
    bool write = ctx->prot & PROT_WRITE;

    if (write)
        write = ctx->shared ? (old & PTE_WRITE_OK) : pt_is_exclusive(old, huge);
    new = (old & (PTE_ADDR | PTE_PS | PTE_WRITE_OK)) | pte_bits(ctx->prot, write);
    if (new == old)
        return;
    WRITE_ONCE(*entry, new);
    if (loses_rights(old, new))
        pt_flush_later(mm, addr);
}

void pt_protect(struct mm *mm, uaddr_t start, uaddr_t end, uint32_t prot, bool shared)
{
    struct protect_ctx ctx = { prot, shared };

    pt_walk(mm, start, end, protect_page, &ctx);
}

long pt_split_edges(struct mm *mm, uaddr_t start, uaddr_t end)
{
    return split_at(mm, start) < 0 || split_at(mm, end) < 0 ? -ENOMEM : 0;
}

struct clear_gpa_ctx {
    gpa_t gpa;
    uint64_t len;
};

static void clear_page_gpa(struct mm *mm, uaddr_t addr, uint64_t *entry, bool huge, void *arg)
{
    const struct clear_gpa_ctx *ctx = arg;
    gpa_t gpa = *entry & PTE_ADDR;
    uint64_t size = huge ? HUGE_SIZE : PAGE_SIZE;

    /* What goes too far with a huge page comes back with the next fault: it has no content of its own here. */
    if (gpa < ctx->gpa + ctx->len && gpa + size > ctx->gpa)
        clear_page(mm, addr, entry, huge, NULL);
}

void pt_clear_gpa(struct mm *mm, uaddr_t start, uaddr_t end, gpa_t gpa, uint64_t len)
{
    struct clear_gpa_ctx ctx = { gpa, len };

    pt_walk(mm, start, end, clear_page_gpa, &ctx);
}

/* --- fork and mremap --- */

/* One entry of parent for child too. */
static uint64_t share_entry(struct mm *parent, uaddr_t addr, uint64_t *entry, bool huge,
                            bool shared)
{
    gpa_t gpa = *entry & PTE_ADDR;

    if (!shared && (*entry & PTE_W)) {
        WRITE_ONCE(*entry, *entry & ~PTE_W);
        pt_flush_later(parent, addr);
    }
    if (huge)
        frame_get_huge(gpa & ~(HUGE_SIZE - 1));
    else
        frame_get(gpa);
    return *entry;
}

long pt_copy(struct mm *parent, struct mm *child, uaddr_t start, uaddr_t end, bool shared)
{
    uaddr_t next;

    for (uaddr_t addr = start; addr < end; addr = next) {
        uint64_t *from = find_pde(parent->pml4, addr, &next), *to;

        if (!from || !*from)
            continue;
        if (is_huge(*from)) {
            to = make_pde(child, addr);
            if (!to)
                return -ENOMEM;
            if (*to) /* an empty table of a tree that was used before */
                frame_free_table(*to & PTE_ADDR);
            WRITE_ONCE(*to, share_entry(parent, addr, from, true, shared));
            count_rss(child, TABLE_ENTRIES);
            continue;
        }
        from = &table_of(*from)[table_index(addr, 1)];
        to = pt_make(child, addr);
        if (!to)
            return -ENOMEM;
        for (; addr < MIN(next, end); addr += PAGE_SIZE, from++, to++) {
            if (!*from)
                continue;
            WRITE_ONCE(*to, share_entry(parent, addr, from, false, shared));
            count_rss(child, 1);
        }
    }
    return 0;
}

/* Move the huge page at *from as a whole. */
static bool move_huge(struct mm *mm, uint64_t *from, uaddr_t from_addr, uaddr_t to_addr,
                      uint64_t left)
{
    uint64_t *to;

    if (from_addr % HUGE_SIZE || to_addr % HUGE_SIZE || left < HUGE_SIZE)
        return false;
    to = make_pde(mm, to_addr);
    if (!to || *to)
        return false;
    WRITE_ONCE(*to, *from);
    WRITE_ONCE(*from, 0);
    pt_flush_later(mm, from_addr);
    return true;
}

long pt_move(struct mm *mm, uaddr_t from, uaddr_t to, uint64_t len)
{
    uaddr_t next;

    for (uint64_t done = 0; done < len; done = next - from) {
        uint64_t *source = find_pde(mm->pml4, from + done, &next), *target;

        if (!source || !*source)
            continue;
        if (is_huge(*source)) {
            if (move_huge(mm, source, from + done, to + done, len - done))
                continue;
            if (pt_split(mm, from + done) < 0)
                return -ENOMEM;
        }
        next = from + done + PAGE_SIZE;
        source = &table_of(*source)[table_index(from + done, 1)];
        if (!*source)
            continue;
        target = pt_make(mm, to + done);
        if (!target)
            return -ENOMEM;
        WRITE_ONCE(*target, *source);
        WRITE_ONCE(*source, 0);
        pt_flush_later(mm, from + done);
    }
    return 0;
}
