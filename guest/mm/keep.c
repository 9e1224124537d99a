/*
 * Page tables that outlive their mapping. Software KVM remembers what it has translated for a table as long as that isn't written
 * to: a table that is unhooked from its directory as it is and hooked in again costs two emulated writes and one shadow fault, where
 * clearing and filling it costs a fault for every eight pages. See keep.h.
 *
 * Only private pages that nobody else has a reference to are kept, and they are zeroed before they are used again.
 */
#include "mm/keep.h"

#include "lib/string.h"
#include "mm/frame.h"
#include "mm/pagetable.h"

#define TABLE_ENTRIES 512u
#define KEPT_TABLES 4u
#define KEPT_FRAMES 1024u

struct kept {
    gpa_t table; /* 0: unused */
    uint64_t bits;
    uint16_t first, count;
};

static struct kept pool[KEPT_TABLES];
static uint64_t kept_frames;
static unsigned int next_out; /* whose turn it is to make room */

uint64_t keep_frames(void)
{
    return kept_frames;
}

static uint64_t *entries_of(const struct kept *k)
{
    return (uint64_t *)gpa_to_ptr(k->table) + k->first;
}

static void forget(struct kept *k)
{
    kept_frames -= k->count;
    k->table = 0;
}

static void give_back(struct kept *k)
{
    uint64_t *entry = entries_of(k);
    gpa_t table = k->table;
    unsigned int count = k->count;

    forget(k); /* first: freeing frames may come here again */
    for (unsigned int i = 0; i < count; i++) {
        gpa_t gpa = entry[i] & PTE_ADDR;

        WRITE_ONCE(entry[i], 0);
        frame_put(gpa);
    }
    frame_free_table(table);
}

bool keep_drop(void)
{
    bool any = kept_frames;

    for (unsigned int i = 0; i < KEPT_TABLES; i++) {
        if (pool[i].table)
            give_back(&pool[i]);
    }
    return any;
}

/* Fill in which entries of its table are in use. False unless that is one run of pages with equal bits, ours alone. */
static bool describe(struct kept *k)
{
    const uint64_t *table = gpa_to_ptr(k->table);
    unsigned int first = 0, end;

    while (first < TABLE_ENTRIES && !table[first])
        first++;
    if (first == TABLE_ENTRIES)
        return false;
    k->bits = table[first] & ~PTE_ADDR;
    if (!(k->bits & PTE_P) || !(k->bits & PTE_W))
        return false;
    for (end = first; end < TABLE_ENTRIES && table[end]; end++) {
        if ((table[end] & ~PTE_ADDR) != k->bits || !pt_is_exclusive(table[end], false))
            return false;
    }
    k->first = (uint16_t)first;
    k->count = (uint16_t)(end - first);
    for (; end < TABLE_ENTRIES; end++) {
        if (table[end])
            return false;
    }
    return true;
}

/* A place in the pool, such that no more than KEPT_FRAMES are kept with count more. */
static struct kept *make_room(unsigned int count)
{
    struct kept *k;

    for (unsigned int i = 0; i < KEPT_TABLES && kept_frames + count <= KEPT_FRAMES; i++) {
        if (!pool[i].table)
            return &pool[i];
    }
    do {
        k = &pool[next_out++ % KEPT_TABLES];
        if (k->table)
            give_back(k);
    } while (kept_frames + count > KEPT_FRAMES);
    return k;
}

bool keep_table(gpa_t table, unsigned int count)
{
    struct kept k = { .table = table };

    if (frame_free_count() < frame_total() / 8 || !describe(&k) || k.count != count)
        return false;
    *make_room(k.count) = k;
    kept_frames += k.count;
    return true;
}

gpa_t keep_find(unsigned int first, unsigned int count, uint64_t bits)
{
    for (struct kept *k = pool; k < pool + KEPT_TABLES; k++) {
        gpa_t table = k->table;

        if (!table || k->first != first || k->count != count || k->bits != bits)
            continue;
        for (unsigned int i = 0; i < count; i++)
            memset(gpa_to_ptr(entries_of(k)[i] & PTE_ADDR), 0, PAGE_SIZE);
        forget(k);
        return table;
    }
    return 0;
}
