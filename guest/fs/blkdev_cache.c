/* See blkdev_cache.h. */
#include "fs/blkdev_cache.h"

#include "lib/kmalloc.h"
#include "lib/string.h"
#include "mm/frame.h"

#define WINDOW_MIN 8u
#define DIRTY_MAX 2048u    /* pages: 8 MiB, then writing begins */
#define WRITING_MAX 1024u  /* pages on their way before a writer has to wait */
#define MEMORY_SHARE 4u    /* of memory for clean pages */
#define EVICT_BATCH 32u
#define GET_TRIES 8
#define EVICT_LOOK 256u    /* pages looked at for it */

static struct list lru = LIST_INIT(lru); /* the longest unused first */
static uint64_t page_count;
static struct wait_queue wait = { LIST_INIT(wait.entries) };

void cache_init(struct page_cache *c, uint64_t size)
{
    memset(c, 0, sizeof(*c));
    c->size = size;
    list_init(&c->dirty);
}

struct cached_page *cache_find(const struct page_cache *c, uint64_t index)
{
    return (struct cached_page *)(uintptr_t)page_map_get(&c->pages, index);
}

static void forget(struct cached_page *p)
{
    page_map_take(&p->cache->pages, p->index);
    list_remove(&p->lru);
    if (p->state & CACHED_DIRTY)
        p->cache->dirty_count--;
    list_remove(&p->dirty);
    frame_put(p->gpa);
    kfree(p);
    page_count--;
}

void cache_destroy(struct page_cache *c)
{
    uint64_t end = PAGE_UP(c->size) >> PAGE_SHIFT;

    for (uint64_t i = page_map_next(&c->pages, 0, end, false); i < end; i = page_map_next(&c->pages, i + 1, end, false))
        forget(cache_find(c, i));
    page_map_destroy(&c->pages);
}

static bool in_use(const struct cached_page *p)
{
    return (p->state & (CACHED_BUSY | CACHED_DIRTY | CACHED_WRITING)) || frame_refs(p->gpa) > 1;
}

static void evict(void)
{
    struct cached_page *p, *next;
    unsigned int looked = 0, done = 0;

    list_for_each_safe(p, next, &lru, lru) {
        if (++looked > EVICT_LOOK || done == EVICT_BATCH)
            return;
        if ((p->state & CACHED_SHARED) && frame_refs(p->gpa) == 1) {
            p->state &= ~(uint32_t)CACHED_SHARED;
            cache_mark_dirty(p->cache, p); /* its last change may have been by a mapping that is gone */
        }
        if (in_use(p)) {
            list_remove(&p->lru);
            list_push_back(&lru, &p->lru);
        } else {
            forget(p);
            done++;
        }
    }
}

static bool too_many(void)
{
    return page_count > frame_total() / MEMORY_SHARE || frame_free_count() < frame_total() / 16;
}

/* A page for index, in this state, with this frame. NULL: no memory; the frame stays the caller's. */
static struct cached_page *add(struct page_cache *c, uint64_t index, uint32_t state, gpa_t gpa)
{
    struct cached_page *p = kzalloc(sizeof(*p));

    if (!p)
        return NULL;
    if (page_map_set(&c->pages, index, (uintptr_t)p) < 0) {
        kfree(p);
        return NULL;
    }
    p->cache = c;
    p->index = index;
    p->state = state;
    p->gpa = gpa;
    list_init(&p->dirty);
    list_push_back(&lru, &p->lru);
    page_count++;
    return p;
}

static bool add_busy(struct page_cache *c, uint64_t index)
{
    gpa_t gpa;

    if (too_many())
        evict();
    gpa = frame_alloc();
    if (!gpa)
        return false;
    if (add(c, index, CACHED_BUSY, gpa))
        return true;
    frame_put(gpa);
    return false;
}

/* --- reading --- */

/* Ask for the missing pages of [first, first + n). */
static void ask(struct page_cache *c, uint64_t first, uint64_t n)
{
    uint64_t end = MIN(first + n, PAGE_UP(c->size) >> PAGE_SHIFT), start;

    while (first < end) {
        if (cache_find(c, first)) {
            first++;
            continue;
        }
        for (start = first; first < end && first - start < CACHE_RUN_MAX && !cache_find(c, first); first++)
            if (!add_busy(c, first))
                break;
        if (first == start)
            return; /* no memory: who needs the page will be told */
        c->fill(c, start, first - start);
    }
}

void cache_read_ahead(struct page_cache *c, struct readahead *ra, uint64_t first, uint64_t last)
{
    bool sequential = first == ra->next || first + 1 == ra->next;
    uint64_t begin;

    if (sequential)
        ra->window = MIN(MAX(ra->window * 2, WINDOW_MIN), CACHE_RUN_MAX);
    else
        ra->window = 0;
    ra->next = last + 1;
    ask(c, first, last + 1 - first);
    begin = sequential ? MAX(ra->end, last + 1) : last + 1;
    if (ra->window == 0)
        ra->end = begin;
    else if (begin <= last + 1 + ra->window / 2) {
        ask(c, begin, ra->window);
        ra->end = begin + ra->window;
    }
}

/* The page at index when it isn't busy any more; NULL: there is none. */
static struct cached_page *settled(struct page_cache *c, uint64_t index)
{
    struct cached_page *p;

    wait_until(&wait, !(p = cache_find(c, index)) || !(p->state & CACHED_BUSY), NEVER, false);
    return p;
}

static void use(struct cached_page *p)
{
    list_remove(&p->lru);
    list_push_back(&lru, &p->lru);
    frame_get(p->gpa);
}

long cache_get(struct page_cache *c, uint64_t index, struct cached_page **ret)
{
    struct cached_page *p = NULL;
    int error;

    /* What was read may be forgotten again before we run, if memory is short: try anew, but not for ever. */
    for (int tries = 0; !p && tries < GET_TRIES; tries++) {
        if (!cache_find(c, index))
            ask(c, index, 1);
        p = settled(c, index);
    }
    if (!p)
        return -ENOMEM;
    if (p->state & CACHED_FAILED) {
        error = p->error;
        forget(p);
        return error;
    }
    use(p);
    *ret = p;
    return 0;
}

long cache_put(struct page_cache *c, uint64_t index, gpa_t gpa, struct cached_page **ret)
{
    struct cached_page *p = settled(c, index);

    if (p) {
        memcpy(gpa_to_ptr(p->gpa), gpa_to_ptr(gpa), PAGE_SIZE);
        p->state = (p->state & ~(uint32_t)CACHED_FAILED) | CACHED_UPTODATE;
        frame_put(gpa);
    } else {
        if (too_many())
            evict();
        p = add(c, index, CACHED_UPTODATE, gpa);
        if (!p) {
            frame_put(gpa);
            return -ENOMEM;
        }
    }
    use(p);
    *ret = p;
    return 0;
}

void cache_filled(struct page_cache *c, uint64_t index, long error)
{
    struct cached_page *p = cache_find(c, index);

    p->state &= ~(uint32_t)CACHED_BUSY;
    p->state |= error < 0 ? CACHED_FAILED : CACHED_UPTODATE;
    p->error = (int)error;
}

void cache_wake(void)
{
    wait_wake_all(&wait, 0);
}

/* --- writing --- */

void cache_mark_dirty(struct page_cache *c, struct cached_page *p)
{
    if (p->state & CACHED_DIRTY)
        return;
    p->state |= CACHED_DIRTY;
    list_push_back(&c->dirty, &p->dirty);
    c->dirty_count++;
}

static bool can_write(const struct page_cache *c, uint64_t index)
{
    const struct cached_page *p = cache_find(c, index);

    return p && (p->state & CACHED_DIRTY) && !(p->state & CACHED_WRITING);
}

static void begin_write(struct page_cache *c, uint64_t first, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct cached_page *p = cache_find(c, first + i);

        p->state |= CACHED_WRITING;
        p->state &= ~(uint32_t)CACHED_DIRTY;
        list_remove(&p->dirty);
        c->dirty_count--;
        c->writing_count++;
    }
    c->write(c, first, n);
}

void cache_written(struct page_cache *c, uint64_t index, long error)
{
    struct cached_page *p = cache_find(c, index);

    p->state &= ~(uint32_t)CACHED_WRITING;
    c->writing_count--;
    if (error < 0)
        c->write_error = (int)error; /* the page counts as clean, as on Linux: writing it again would fail for ever */
}

/* Pages that were mapped writable may have changed without our knowledge, as long as somebody has them. */
static void redirty_shared(struct page_cache *c, uint64_t first, uint64_t last)
{
    uint64_t end = MIN(last + 1, PAGE_UP(c->size) >> PAGE_SHIFT);

    for (uint64_t i = page_map_next(&c->pages, first, end, false); i < end; i = page_map_next(&c->pages, i + 1, end, false)) {
        struct cached_page *p = cache_find(c, i);

        if (!(p->state & CACHED_SHARED) || !(p->state & CACHED_UPTODATE))
            continue;
        cache_mark_dirty(c, p);
        if (frame_refs(p->gpa) == 1)
            p->state &= ~(uint32_t)CACHED_SHARED; /* once more, then it is an ordinary page */
    }
}

static void start_writes(struct page_cache *c, uint64_t first, uint64_t last)
{
    struct cached_page *p, *next;
    uint64_t from, to, left = c->dirty_count;

    /* The run around a dirty page leaves the list with it, so start anew after each. */
    while (left-- > 0 && !list_empty(&c->dirty)) {
        bool found = false;

        list_for_each_safe(p, next, &c->dirty, dirty) {
            if (p->index < first || p->index > last || (p->state & CACHED_WRITING))
                continue;
            found = true;
            break;
        }
        if (!found)
            return;
        for (from = p->index; from > first && p->index - from < CACHE_RUN_MAX / 2 && can_write(c, from - 1);)
            from--;
        for (to = p->index + 1; to <= last && to - from < CACHE_RUN_MAX && can_write(c, to);)
            to++;
        begin_write(c, from, to - from);
    }
}

static bool range_is_written(const struct page_cache *c, uint64_t first, uint64_t last)
{
    uint64_t end = MIN(last + 1, PAGE_UP(c->size) >> PAGE_SHIFT);

    if (c->writing_count == 0)
        return true;
    for (uint64_t i = page_map_next(&c->pages, first, end, false); i < end; i = page_map_next(&c->pages, i + 1, end, false))
        if (cache_find(c, i)->state & CACHED_WRITING)
            return false;
    return true;
}

void cache_write_back(struct page_cache *c, uint64_t first, uint64_t last, bool wait_for_it)
{
    if (!c->write)
        return;
    if (wait_for_it) /* what is being written now may have been dirtied again */
        wait_until(&wait, range_is_written(c, first, last), NEVER, false);
    redirty_shared(c, first, last);
    start_writes(c, first, last);
    if (wait_for_it)
        wait_until(&wait, range_is_written(c, first, last), NEVER, false);
}

void cache_throttle(struct page_cache *c)
{
    if (c->dirty_count < DIRTY_MAX)
        return;
    start_writes(c, 0, UINT64_MAX - 1);
    wait_until(&wait, c->writing_count <= WRITING_MAX, NEVER, false);
}

void cache_drop(struct page_cache *c, uint64_t first, uint64_t last)
{
    uint64_t end = MIN(last + 1, PAGE_UP(c->size) >> PAGE_SHIFT);

    for (uint64_t i = page_map_next(&c->pages, first, end, false); i < end; i = page_map_next(&c->pages, i + 1, end, false)) {
        struct cached_page *p = cache_find(c, i);

        if (!(p->state & (CACHED_BUSY | CACHED_WRITING)) && frame_refs(p->gpa) == 1)
            forget(p);
    }
}

bool cache_has(const struct page_cache *c, uint64_t first, uint64_t last)
{
    uint64_t end = MIN(last + 1, PAGE_UP(c->size) >> PAGE_SHIFT);

    return page_map_next(&c->pages, first, end, false) < end;
}

bool cache_is_writing(const struct page_cache *c)
{
    return c->writing_count > 0;
}
