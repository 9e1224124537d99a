/*
 * Cached pages of something big and slow: a block device, or the unpacked pages of a compressed file.
 *
 * A page is busy while it is being filled, then up to date; whoever needs it waits on one queue for all. Clean pages that nobody maps
 * are forgotten, the longest unused first, once there are more than a share of memory allows.
 */
#ifndef FS_BLKDEV_CACHE_H
#define FS_BLKDEV_CACHE_H

#include "fs/tmpfs.h"
#include "lib/list.h"

#define CACHE_RUN_MAX 128u /* pages that are asked for at once */

enum cached_state {
    CACHED_BUSY = 1 << 0,     /* being filled */
    CACHED_UPTODATE = 1 << 1,
    CACHED_FAILED = 1 << 2,   /* filling it failed: told to the first who asks */
    CACHED_DIRTY = 1 << 3,
    CACHED_WRITING = 1 << 4,
    CACHED_SHARED = 1 << 5,   /* was mapped writable: dirty as long as somebody has it */
};

struct cached_page {
    struct list lru;   /* of all caches */
    struct list dirty; /* page_cache.dirty */
    struct page_cache *cache;
    uint64_t index;
    gpa_t gpa;         /* one reference */
    uint32_t state;
    int error;
};

struct page_cache {
    uint64_t size; /* bytes */
    /*
     * Fill pages [first, first + n), which are busy: cache_filled() for each, now or later. Mustn't wait for other pages of the same
     * cache.
     */
    void (*fill)(struct page_cache *c, uint64_t first, size_t n);
    /* Write the dirty pages [first, first + n), which are marked as being written: cache_written() for each. NULL: read-only. */
    void (*write)(struct page_cache *c, uint64_t first, size_t n);
    void *owner;
    struct page_map pages; /* struct cached_page * by index */
    struct list dirty;
    uint64_t dirty_count;
    uint64_t writing_count;
    int write_error; /* the last one, until fsync tells it */
};

/* How a reader goes along: how far to look ahead. Zeroed at open. */
struct readahead {
    uint64_t next; /* page after the last read */
    uint64_t end;  /* asked for up to here */
    uint32_t window;
};

void cache_init(struct page_cache *c, uint64_t size);
void cache_destroy(struct page_cache *c); /* nothing is busy, dirty or being written any more */

/* Pages [first, last] are about to be read: ask for them, and for those that come next if reading is sequential. Doesn't wait. */
void cache_read_ahead(struct page_cache *c, struct readahead *ra, uint64_t first, uint64_t last);

/*
 * The page, up to date; its frame has a reference for the caller (frame_put). -ENOMEM, or what filling it gave.
 */
long cache_get(struct page_cache *c, uint64_t index, struct cached_page **ret);
/* New content for a whole page, without reading the old one. Takes the frame at gpa, also on failure. As cache_get otherwise. */
long cache_put(struct page_cache *c, uint64_t index, gpa_t gpa, struct cached_page **ret);
void cache_mark_dirty(struct page_cache *c, struct cached_page *p);

/* Write what is dirty in [first, last]. wait: until it is written. */
void cache_write_back(struct page_cache *c, uint64_t first, uint64_t last, bool wait);
/* Forget what is cached of [first, last], dirty or not, but for pages that somebody maps. */
void cache_drop(struct page_cache *c, uint64_t first, uint64_t last);
/* Is any page of [first, last] cached? */
bool cache_has(const struct page_cache *c, uint64_t first, uint64_t last);
/* A writer has dirtied pages: don't let there be too many. */
void cache_throttle(struct page_cache *c);

/* --- for fill and write --- */
struct cached_page *cache_find(const struct page_cache *c, uint64_t index);
void cache_filled(struct page_cache *c, uint64_t index, long error);
void cache_written(struct page_cache *c, uint64_t index, long error);
void cache_wake(void); /* after a batch of the above */

/* For the end of the sandbox: no dirty and no busy page is left waiting for a thread. */
bool cache_is_writing(const struct page_cache *c);

#endif
