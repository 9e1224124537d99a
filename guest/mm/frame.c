/*
 * Frames of guest RAM. RAM is a few chunks (the first one at boot, then one for each
 * HYPERCALL_RAM_GROW), a chunk is blocks of 2 MiB, and a block has two bitmaps: which frames are in
 * use, and which may hold old bytes. All-zero tables describe memory that was never used, so that
 * nothing is written (and no host memory touched) before it is needed.
 *
 * Blocks serve one purpose at a time: single frames, a huge page, or page tables. A block whose
 * frames are all free can serve any. Single frames come from the fullest use of old blocks first,
 * so that others become whole again.
 */
#include "mm/frame.h"

#include "arch/cpu.h"
#include "hypercalls/hypercall.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/keep.h"

#define BLOCK_SIZE HUGE_SIZE
#define BLOCK_FRAMES 512u
#define BLOCK_WORDS (BLOCK_FRAMES / 64)
#define CHUNK_MAX 64
#define GROW_MIN (128ull << 20)
#define GROW_MAX (4ull << 30)


/* Tables that stay unused for others, so that new RAM can always be put into the direct map. */
#define TABLE_RESERVE 16

/*
 * As many frames with old content may lie around before they go back to the host: this, or a share
 * of what is in use.
 */
#define DIRTY_KEEP_MIN 1024u
#define DIRTY_KEEP_SHIFT 3

#define DISCARD_BATCH 128

/* Frames are had from the host in groups: one, or several where much is in use. */
#define GROUP_FRAMES 32u
#define POPULATE_MORE 4u
#define POPULATE_MORE_USED 1536u

enum block_state {
    BLOCK_FRESH,   /* never used; on no list */
    BLOCK_FREE,    /* used before, all frames free: free_blocks */
    BLOCK_PARTIAL, /* some frames free: partial_blocks, or partial_tables */
    BLOCK_FULL,    /* on no list */
};

struct block {
    uint64_t used[BLOCK_WORDS];
    uint64_t dirty[BLOCK_WORDS];
    struct list node;
    uint16_t used_count;
    uint16_t dirty_free; /* frames that are free and dirty */
    uint16_t had;        /* groups that the host was asked for, a bit each */
    uint8_t state;
    bool table; /* serves page tables */
};

struct chunk {
    gpa_t base, end;
    uint32_t *refs; /* for each frame */
    struct block *blocks;
    size_t block_count;
    size_t fresh; /* blocks from here on are fresh */
};

static struct chunk chunks[CHUNK_MAX];
static size_t chunk_count;
static uint64_t limit_frames, ram_bytes;
static uint64_t used_frames, table_free_frames;
static uint64_t dirty_whole,
    dirty_partial; /* free frames with old content, in free blocks and in partial ones */
static struct list free_blocks = LIST_INIT(free_blocks);
static struct list partial_blocks = LIST_INIT(partial_blocks);
static struct list partial_tables = LIST_INIT(partial_tables);

/* --- where things are --- */

static struct chunk *chunk_of(gpa_t gpa)
{
    for (size_t i = 0; i < chunk_count; i++) {
        if (gpa >= chunks[i].base && gpa < chunks[i].end)
            return &chunks[i];
    }
    panic("no RAM at %lx", gpa);
}

static uint32_t *refs_of(gpa_t gpa)
{
    struct chunk *c = chunk_of(gpa);

    return &c->refs[(gpa - c->base) >> PAGE_SHIFT];
}

static struct block *block_of(gpa_t gpa)
{
    struct chunk *c = chunk_of(gpa);

    return &c->blocks[(gpa - c->base) / BLOCK_SIZE];
}

static gpa_t block_gpa(const struct block *b)
{
    for (size_t i = 0; i < chunk_count; i++) {
        if (b >= chunks[i].blocks && b < chunks[i].blocks + chunks[i].block_count)
            return chunks[i].base + (uint64_t)(b - chunks[i].blocks) * BLOCK_SIZE;
    }
    panic("no block at %p", (const void *)b);
}

static gpa_t frame_of(const struct block *b, unsigned int index)
{
    return block_gpa(b) + index * PAGE_SIZE;
}

static bool test_bit(const uint64_t *map, unsigned int i)
{
    return map[i / 64] >> (i % 64) & 1;
}

static void set_bit(uint64_t *map, unsigned int i)
{
    map[i / 64] |= 1ull << (i % 64);
}

static void clear_bit(uint64_t *map, unsigned int i)
{
    map[i / 64] &= ~(1ull << (i % 64));
}

/* --- chunks --- */

/* What the tables that describe RAM of so many bytes take. */
static uint64_t describing_size(uint64_t bytes)
{
    return PAGE_UP((bytes >> PAGE_SHIFT) * sizeof(uint32_t)) + PAGE_UP(bytes / BLOCK_SIZE * sizeof(struct block));
}

/*
 * Begin to use RAM [base, end), whose first reserved bytes are taken. The tables lie right after
 * those.
 */
static void chunk_add(gpa_t base, gpa_t end, uint64_t reserved)
{
    struct chunk *c = &chunks[chunk_count];
    size_t frames = (end - base) >> PAGE_SHIFT;
    size_t block_count = (end - base) / BLOCK_SIZE;
    uint64_t refs_size = PAGE_UP(frames * sizeof(uint32_t));
    uint64_t taken = PAGE_UP(reserved) + describing_size(end - base);

    if (taken >= block_count * BLOCK_SIZE)
        panic("%lu bytes of RAM are too few", end - base);
    c->base = base;
    c->end = base + block_count * BLOCK_SIZE;
    c->refs = gpa_to_ptr(base + PAGE_UP(reserved));
    c->blocks = gpa_to_ptr(base + PAGE_UP(reserved) + refs_size);
    c->block_count = block_count;
    chunk_count++;
    ram_bytes += end - base;
    for (uint64_t at = 0; at < taken; at += PAGE_SIZE) {
        struct block *b = &c->blocks[at / BLOCK_SIZE];

        set_bit(b->used, (unsigned int)(at % BLOCK_SIZE / PAGE_SIZE));
        b->used_count++;
    }
    used_frames += taken >> PAGE_SHIFT;
    c->fresh = taken / BLOCK_SIZE;
    for (size_t i = 0; i < c->fresh; i++)
        c->blocks[i].state = BLOCK_FULL;
    if (taken % BLOCK_SIZE) {
        c->blocks[c->fresh].state = BLOCK_PARTIAL;
        list_push_back(&partial_blocks, &c->blocks[c->fresh].node);
        c->fresh++;
    }
}

/* The block where the vmm has made the first tables serves the next ones too. */
static void adopt_boot_tables(struct chunk *c)
{
    size_t index = GPA_BOOT_PT / BLOCK_SIZE;
    struct block *b = &c->blocks[index];

    used_frames += BLOCK_FRAMES - b->used_count;
    *b = (struct block){ .table = true, .state = BLOCK_PARTIAL };
    for (unsigned int i = 0; i < (GPA_BOOT_PT_END - GPA_BOOT_PT) / PAGE_SIZE; i++) {
        set_bit(b->used, i);
        set_bit(b->dirty, i);
        b->used_count++;
    }
    c->fresh = MAX(c->fresh, index + 1);
    list_push_back(&partial_tables, &b->node);
    table_free_frames += BLOCK_FRAMES - b->used_count;
}

void frame_init(gpa_t first_free, gpa_t ram_end, uint64_t limit)
{
    ram_end = ALIGN_DOWN(ram_end, BLOCK_SIZE);
    limit_frames = limit >> PAGE_SHIFT;
    if (PAGE_UP(first_free) + describing_size(ram_end) > GPA_BOOT_PT)
        first_free = MAX(first_free, GPA_BOOT_PT + BLOCK_SIZE);
    chunk_add(0, ram_end, first_free);
    adopt_boot_tables(&chunks[0]);
}

/* Ask the vmm for more RAM: half as much again as there is, within bounds. */
static bool grow(void)
{
    uint64_t limit = limit_frames << PAGE_SHIFT, want;
    gpa_t base = chunks[chunk_count - 1].end;
    int64_t added;

    if (base == GPA_RAM_HOLE_BASE)
        base = GPA_RAM_HOLE_END;
    if (chunk_count == CHUNK_MAX || ram_bytes + BLOCK_SIZE > limit || base >= GPA_RAM_END)
        return false;
    want = MIN(MAX(ALIGN_DOWN(ram_bytes / 2, BLOCK_SIZE), GROW_MIN), GROW_MAX);
    want = MIN(want, ALIGN_DOWN(limit - ram_bytes, BLOCK_SIZE));
    if (base < GPA_RAM_HOLE_BASE)
        want = MIN(want, GPA_RAM_HOLE_BASE - base);
    added = hypercall(HYPERCALL_RAM_GROW, want, 0, 0, 0, 0);
    if (added < (int64_t)BLOCK_SIZE || direct_map(base, (uint64_t)added, true) < 0)
        return false;
    chunk_add(base, base + (uint64_t)added, 0);
    return true;
}

/* --- blocks --- */

static struct block *fresh_block(bool above_small)
{
    for (size_t i = 0; i < chunk_count; i++) {
        struct chunk *c = &chunks[i];

        if (c->fresh == c->block_count)
            continue;
        /* A huge page leaves the small blocks to others: they join the free ones, untouched. */
        while (above_small && c->base + c->fresh * BLOCK_SIZE < GPA_SMALL_PAGES_END &&
               c->fresh + 1 < c->block_count) {
            struct block *b = &c->blocks[c->fresh++];

            b->state = BLOCK_FREE;
            list_push_back(&free_blocks, &b->node);
        }
        return &c->blocks[c->fresh++];
    }
    return NULL;
}

static struct block *free_block(bool above_small)
{
    struct block *b;

    list_for_each (b, &free_blocks, node) {
        if (above_small && block_gpa(b) < GPA_SMALL_PAGES_END)
            continue;
        list_remove(&b->node);
        dirty_whole -= b->dirty_free;
        return b;
    }
    return NULL;
}

/*
 * A block without used frames, on no list, its dirty frames not counted. Old ones first: their
 * memory is there already.
 */
static struct block *take_block(bool above_small)
{
    struct block *b = free_block(above_small);

    if (!b)
        b = fresh_block(above_small);
    if (!b && grow())
        b = fresh_block(above_small);
    if (!b && above_small)
        b = free_block(false);
    return b;
}

static void count_used(uint64_t frames)
{
    used_frames += frames;
    if (used_frames << PAGE_SHIFT > report.peak_memory_bytes)
        report.peak_memory_bytes = used_frames << PAGE_SHIFT;
}

/*
 * Where the host has small pages, a frame that was never used is had from it together with its neighbours, which are used next: that
 * is a tenth of what a fault for each costs, and software KVM maps up to eight pages at once, but only such as are there.
 */
static void populate(struct block *b, unsigned int i)
{
    unsigned int count = used_frames > POPULATE_MORE_USED ? POPULATE_MORE : 1, group = i / GROUP_FRAMES;
    gpa_t gpa = block_gpa(b);

    if (gpa + i * PAGE_SIZE < GPA_TABLES_READY || gpa >= GPA_SMALL_PAGES_END || (b->had >> group & 1))
        return;
    count = MIN(count, BLOCK_FRAMES / GROUP_FRAMES - group);
    b->had |= (uint16_t)(((1u << count) - 1) << group);
    hypercall(HYPERCALL_POPULATE, gpa + group * GROUP_FRAMES * PAGE_SIZE, count * GROUP_FRAMES * PAGE_SIZE, 0, 0, 0);
}

/* Frame i of b goes into use, here if touch. Returns whether its content is old bytes. */
static bool take_frame(struct block *b, unsigned int i, bool touch)
{
    bool dirty = test_bit(b->dirty, i);

    set_bit(b->used, i);
    set_bit(b->dirty, i);
    b->used_count++;
    if (dirty) {
        b->dirty_free--;
        dirty_partial--;
    } else if (touch) {
        populate(b, i);
    }
    if (b->used_count == BLOCK_FRAMES) {
        b->state = BLOCK_FULL;
        list_remove(&b->node);
    }
    return dirty;
}

static void release_frame(struct block *b, unsigned int i)
{
    clear_bit(b->used, i);
    b->used_count--;
    b->dirty_free++;
    dirty_partial++;
    if (b->used_count == 0) {
        if (b->state == BLOCK_PARTIAL)
            list_remove(&b->node);
        b->state = BLOCK_FREE;
        list_push_front(&free_blocks, &b->node);
        dirty_partial -= b->dirty_free;
        dirty_whole += b->dirty_free;
    } else if (b->state == BLOCK_FULL) {
        b->state = BLOCK_PARTIAL;
        list_push_front(&partial_blocks, &b->node);
    }
}

/* A free frame of a partial block, an old one if there is any. */
static unsigned int pick_frame(const struct block *b)
{
    for (unsigned int i = 0; b->dirty_free && i < BLOCK_WORDS; i++) {
        uint64_t candidates = b->dirty[i] & ~b->used[i];

        if (candidates)
            return i * 64 + (unsigned int)__builtin_ctzll(candidates);
    }
    for (unsigned int i = 0; i < BLOCK_WORDS; i++) {
        if (~b->used[i])
            return i * 64 + (unsigned int)__builtin_ctzll(~b->used[i]);
    }
    panic("a full block is on the partial list");
}

/* A whole block, to be used frame by frame. */
static struct block *open_block(void)
{
    struct block *b = take_block(false);

    if (b) {
        b->state = BLOCK_PARTIAL;
        list_push_front(&partial_blocks, &b->node);
        dirty_partial += b->dirty_free;
    }
    return b;
}

static struct block *partial_block(void)
{
    return list_empty(&partial_blocks) ? open_block()
                                       : list_first(&partial_blocks, struct block, node);
}

/* --- single frames --- */

static gpa_t alloc_one(bool *ret_dirty, bool will_load)
{
    struct block *b;
    unsigned int i;
    gpa_t gpa;

    if (used_frames >= limit_frames && !keep_drop())
        return 0;
    b = partial_block();
    if (!b)
        return 0;
    i = pick_frame(b);
    gpa = frame_of(b, i);
    *ret_dirty = take_frame(b, i, !will_load);
    *refs_of(gpa) = 1;
    count_used(1);
    return gpa;
}

gpa_t frame_alloc(void)
{
    bool dirty;

    return alloc_one(&dirty, false);
}

gpa_t frame_alloc_to_load(void)
{
    bool dirty;

    return alloc_one(&dirty, true);
}

gpa_t frame_zalloc(void)
{
    bool dirty = false;
    gpa_t gpa = alloc_one(&dirty, false);

    if (gpa && dirty)
        memset(gpa_to_ptr(gpa), 0, PAGE_SIZE);
    return gpa;
}

bool frame_is_ram(gpa_t gpa)
{
    return gpa < GPA_RAM_END;
}

void frame_get(gpa_t gpa)
{
    if (frame_is_ram(gpa))
        ++*refs_of(gpa);
}

static void free_frame(gpa_t gpa)
{
    struct block *b = block_of(gpa);

    release_frame(b, (unsigned int)(gpa % BLOCK_SIZE / PAGE_SIZE));
    used_frames--;
}

void frame_put(gpa_t gpa)
{
    uint32_t *refs;

    if (!frame_is_ram(gpa))
        return;
    refs = refs_of(gpa);
    BUG_ON(*refs == 0);
    if (--*refs)
        return;
    free_frame(gpa);
    frame_trim(false);
}

uint32_t frame_refs(gpa_t gpa)
{
    return frame_is_ram(gpa) ? *refs_of(gpa) : 1;
}

/* --- runs --- */

/* Zero the free frames of b that hold old bytes. */
static void clean_block(struct block *b, gpa_t gpa)
{
    for (unsigned int i = 0; i < BLOCK_FRAMES; i++) {
        if (test_bit(b->dirty, i))
            memset(gpa_to_ptr(gpa + i * PAGE_SIZE), 0, PAGE_SIZE);
    }
}

gpa_t frame_zalloc_huge(void)
{
    struct block *b;
    uint32_t *refs;
    gpa_t gpa;

    if (used_frames + BLOCK_FRAMES > limit_frames)
        return 0;
    b = take_block(true);
    if (!b)
        return 0;
    gpa = block_gpa(b);
    clean_block(b, gpa);
    b->dirty_free = 0;
    b->used_count = BLOCK_FRAMES;
    b->state = BLOCK_FULL;
    refs = refs_of(gpa);
    for (unsigned int i = 0; i < BLOCK_WORDS; i++)
        b->used[i] = b->dirty[i] = ~0ull;
    for (unsigned int i = 0; i < BLOCK_FRAMES; i++)
        refs[i] = 1;
    count_used(BLOCK_FRAMES);
    return gpa;
}

void frame_get_huge(gpa_t gpa)
{
    uint32_t *refs;

    if (!frame_is_ram(gpa))
        return;
    refs = refs_of(gpa);
    for (unsigned int i = 0; i < BLOCK_FRAMES; i++)
        refs[i]++;
}

bool frame_huge_is_exclusive(gpa_t gpa)
{
    const uint32_t *refs = refs_of(gpa);

    for (unsigned int i = 0; i < BLOCK_FRAMES; i++) {
        if (refs[i] != 1)
            return false;
    }
    return true;
}

void frame_put_huge(gpa_t gpa)
{
    struct block *b;

    if (!frame_is_ram(gpa))
        return;
    b = block_of(gpa);
    if (!frame_huge_is_exclusive(gpa)) {
        for (unsigned int i = 0; i < BLOCK_FRAMES; i++)
            frame_put(gpa + i * PAGE_SIZE);
        return;
    }
    memset(refs_of(gpa), 0, BLOCK_FRAMES * sizeof(uint32_t));
    memset(b->used, 0, sizeof(b->used));
    b->used_count = 0;
    b->dirty_free = BLOCK_FRAMES;
    b->state = BLOCK_FREE;
    list_push_front(&free_blocks, &b->node);
    dirty_whole += BLOCK_FRAMES;
    used_frames -= BLOCK_FRAMES;
    frame_trim(false);
}

/* The first of count free frames in a row in b; BLOCK_FRAMES if there are none. */
static unsigned int find_run(const struct block *b, unsigned int count)
{
    unsigned int run = 0;

    if (BLOCK_FRAMES - b->used_count < count)
        return BLOCK_FRAMES;
    for (unsigned int i = 0; i < BLOCK_FRAMES; i++) {
        run = test_bit(b->used, i) ? 0 : run + 1;
        if (run == count)
            return i + 1 - count;
    }
    return BLOCK_FRAMES;
}

/* Look a few partial blocks over, then take a whole one. */
static struct block *block_with_run(unsigned int count, unsigned int *ret_index)
{
    unsigned int tries = 8;
    struct block *b;

    list_for_each (b, &partial_blocks, node) {
        *ret_index = find_run(b, count);
        if (*ret_index < BLOCK_FRAMES)
            return b;
        if (--tries == 0)
            break;
    }
    *ret_index = 0;
    return open_block();
}

/* How many blocks of c from index on are unused, up to count. */
static size_t unused_blocks(const struct chunk *c, size_t index, size_t count)
{
    size_t n = 0;

    while (n < count && index + n < c->block_count &&
           (index + n >= c->fresh || c->blocks[index + n].state == BLOCK_FREE))
        n++;
    return n;
}

static struct block *find_blocks(size_t count)
{
    for (size_t i = 0; i < chunk_count; i++) {
        size_t at = 0, n;

        for (; at + count <= chunks[i].block_count; at += n + 1) {
            n = unused_blocks(&chunks[i], at, count);
            if (n == count)
                return &chunks[i].blocks[at];
        }
    }
    return NULL;
}

/* Make a block that find_blocks found ready to have its frames taken. */
static void claim_block(struct chunk *c, struct block *b)
{
    size_t index = (size_t)(b - c->blocks);

    for (; c->fresh <= index; c->fresh++) {
        c->blocks[c->fresh].state = BLOCK_FREE;
        list_push_back(&free_blocks, &c->blocks[c->fresh].node);
    }
    list_remove(&b->node);
    dirty_whole -= b->dirty_free;
    dirty_partial += b->dirty_free;
    b->state = BLOCK_PARTIAL;
    list_push_front(&partial_blocks, &b->node);
}

/* Runs of more than a block: whole blocks in a row. */
static void *alloc_blocks(size_t count)
{
    size_t block_count = (count + BLOCK_FRAMES - 1) / BLOCK_FRAMES;
    struct block *b = find_blocks(block_count);
    struct chunk *c;
    uint32_t *refs;
    gpa_t gpa;

    if (!b && grow())
        b = find_blocks(block_count);
    if (!b)
        return NULL;
    gpa = block_gpa(b);
    c = chunk_of(gpa);
    refs = refs_of(gpa);
    for (size_t i = 0; i < block_count; i++)
        claim_block(c, &b[i]);
    for (size_t i = 0; i < count; i++) {
        take_frame(&b[i / BLOCK_FRAMES], (unsigned int)(i % BLOCK_FRAMES), true);
        refs[i] = 1;
    }
    refs[0] = (uint32_t)count;
    count_used(count);
    return gpa_to_ptr(gpa);
}

/*
 * The first frame's reference count holds the length of the run: pages of the shim's aren't shared.
 */
void *pages_alloc(size_t count)
{
    unsigned int index = 0;
    struct block *b;
    uint32_t *refs;
    gpa_t gpa;

    if (count == 0 || count > limit_frames || used_frames + count > limit_frames)
        return NULL;
    if (count > BLOCK_FRAMES)
        return alloc_blocks(count);
    b = block_with_run((unsigned int)count, &index);
    if (!b)
        return NULL;
    gpa = frame_of(b, index);
    refs = refs_of(gpa);
    for (unsigned int i = 0; i < count; i++) {
        take_frame(b, index + i, true);
        refs[i] = 1;
    }
    refs[0] = (uint32_t)count;
    count_used(count);
    return gpa_to_ptr(gpa);
}

size_t pages_count(const void *ptr)
{
    return *refs_of(ptr_to_gpa(ptr));
}

void pages_free(void *ptr, size_t count)
{
    gpa_t gpa = ptr_to_gpa(ptr);
    uint32_t *refs = refs_of(gpa);

    BUG_ON(refs[0] != count);
    for (size_t i = 0; i < count; i++) {
        refs[i] = 0;
        free_frame(gpa + i * PAGE_SIZE);
    }
    frame_trim(false);
}

/* --- page tables --- */

static struct block *table_block(void)
{
    struct block *b;

    /* A new block in good time: growing RAM takes tables itself. */
    if (table_free_frames <= TABLE_RESERVE && used_frames + BLOCK_FRAMES <= limit_frames) {
        b = take_block(false);
        if (b) {
            b->table = true;
            b->state = BLOCK_PARTIAL;
            list_push_back(&partial_tables, &b->node);
            table_free_frames += BLOCK_FRAMES;
            count_used(BLOCK_FRAMES);
        }
    }
    return list_empty(&partial_tables) ? NULL : list_first(&partial_tables, struct block, node);
}

/*
 * Tables that software KVM still shadows are write-protected, and it emulates each write until it
 * notices: plain moves, and only where there is something to clear.
 */
static void clear_table(uint64_t *table)
{
    for (unsigned int i = 0; i < PAGE_SIZE / sizeof(*table); i++) {
        if (READ_ONCE(table[i]))
            WRITE_ONCE(table[i], 0);
    }
}

gpa_t frame_alloc_table(void)
{
    struct block *b = table_block();
    unsigned int i;
    gpa_t gpa;

    if (!b)
        return 0;
    i = pick_frame(b);
    gpa = frame_of(b, i);
    if (test_bit(b->dirty, i)) {
        clear_table(gpa_to_ptr(gpa));
        b->dirty_free--;
    } else {
        populate(b, i);
    }
    set_bit(b->used, i);
    set_bit(b->dirty, i);
    table_free_frames--;
    if (++b->used_count == BLOCK_FRAMES) {
        b->state = BLOCK_FULL;
        list_remove(&b->node);
    }
    return gpa;
}

/*
 * Blocks of tables stay what they are: a chunk that changes sides often would be mapped small and
 * large by turns.
 */
void frame_free_table(gpa_t gpa)
{
    struct block *b = block_of(gpa);

    clear_bit(b->used, (unsigned int)(gpa % BLOCK_SIZE / PAGE_SIZE));
    b->used_count--;
    b->dirty_free++;
    table_free_frames++;
    if (b->state == BLOCK_FULL) {
        b->state = BLOCK_PARTIAL;
        list_push_front(&partial_tables, &b->node);
    }
}

/* --- back to the host --- */

static struct discard_range discard_ranges[DISCARD_BATCH];
static size_t discard_count;

static void discard_flush(void)
{
    if (discard_count)
        hypercall(HYPERCALL_DISCARD, ptr_to_gpa(discard_ranges), discard_count, 0, 0, 0);
    discard_count = 0;
}

static void discard_add(gpa_t gpa, uint64_t len)
{
    discard_ranges[discard_count++] = (struct discard_range){ gpa, len };
    if (discard_count == DISCARD_BATCH)
        discard_flush();
}

static void discard_block(struct block *b)
{
    gpa_t gpa = block_gpa(b);
    unsigned int begin = 0, i = 0;

    while (i < BLOCK_FRAMES) {
        begin = i;
        while (i < BLOCK_FRAMES && test_bit(b->dirty, i) && !test_bit(b->used, i)) {
            b->had &= (uint16_t)~(1u << i / GROUP_FRAMES);
            clear_bit(b->dirty, i++);
        }
        if (i > begin)
            discard_add(gpa + begin * PAGE_SIZE, (i - begin) * PAGE_SIZE);
        else
            i++;
    }
    b->dirty_free = 0;
}

/* Discard blocks of the list until *dirty, the count of their dirty frames, is down to keep. */
static void discard_list(struct list *blocks, uint64_t *dirty, uint64_t keep)
{
    struct block *b;

    list_for_each (b, blocks, node) {
        if (*dirty <= keep)
            break;
        *dirty -= b->dirty_free;
        if (b->dirty_free)
            discard_block(b);
    }
    discard_flush();
}

/*
 * Single frames of used blocks are worth it only when they are many: the host's huge pages break up
 * under that.
 */
void frame_trim(bool all)
{
    uint64_t keep = MAX(DIRTY_KEEP_MIN, used_frames >> DIRTY_KEEP_SHIFT);

    if (unlikely(all || dirty_whole > keep))
        discard_list(&free_blocks, &dirty_whole, all ? 0 : keep / 2);
    if (unlikely(all || dirty_partial > 4 * keep))
        discard_list(&partial_blocks, &dirty_partial, all ? 0 : keep);
}

uint64_t frame_total(void)
{
    return limit_frames;
}

uint64_t frame_free_count(void)
{
    uint64_t used = used_frames - keep_frames();

    return limit_frames > used ? limit_frames - used : 0;
}
