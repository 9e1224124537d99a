/* Moving bytes between the shim and the memory that a read fills or a write drains. May sleep (faults of the app). */
#include "arch/uaccess.h"
#include "fs/file.h"
#include "lib/string.h"

void iter_kernel(struct iter *it, struct iter_segment *seg, void *buf, size_t n)
{
    seg->base = (uint64_t)buf;
    seg->len = n;
    *it = (struct iter){ .segments = seg, .segment_count = 1, .left = n, .kernel = true };
}

void iter_user(struct iter *it, struct iter_segment *seg, uaddr_t buf, size_t n)
{
    seg->base = buf;
    seg->len = n;
    *it = (struct iter){ .segments = seg, .segment_count = 1, .left = n };
}

/* The run that the iter stands in, skipping empty segments. 0 at the end. */
static size_t iter_run(struct iter *it, uint64_t *ret_addr)
{
    const struct iter_segment *seg;

    while (it->segment < it->segment_count && it->offset == it->segments[it->segment].len) {
        it->segment++;
        it->offset = 0;
    }
    if (it->left == 0 || it->segment == it->segment_count)
        return 0;
    seg = &it->segments[it->segment];
    *ret_addr = seg->base + it->offset;
    return MIN(seg->len - it->offset, it->left);
}

void iter_advance(struct iter *it, size_t n)
{
    uint64_t addr;

    while (n > 0) {
        size_t run = MIN(iter_run(it, &addr), n);

        if (run == 0)
            return;
        it->offset += run;
        it->left -= run;
        n -= run;
    }
}

enum iter_op { ITER_FILL, ITER_DRAIN, ITER_ZERO };

/* Bytes of the run that were done; the app's memory may end earlier. */
static size_t move_run(enum iter_op op, bool kernel, uint64_t addr, char *buf, size_t n)
{
    if (kernel) {
        if (op == ITER_FILL)
            memcpy((void *)addr, buf, n);
        else if (op == ITER_DRAIN)
            memcpy(buf, (const void *)addr, n);
        else
            memset((void *)addr, 0, n);
        return n;
    }
    if (op == ITER_FILL)
        return n - copy_to_user_partial(addr, buf, n);
    if (op == ITER_DRAIN)
        return n - copy_from_user_partial(buf, addr, n);
    return clear_user(addr, n) < 0 ? 0 : n;
}

static size_t iter_move(struct iter *it, enum iter_op op, char *buf, size_t n)
{
    size_t done = 0;
    uint64_t addr = 0;

    while (done < n) {
        size_t run = MIN(iter_run(it, &addr), n - done);
        size_t moved;

        if (run == 0)
            break;
        moved = move_run(op, it->kernel, addr, buf ? buf + done : NULL, run);
        iter_advance(it, moved);
        done += moved;
        if (moved < run)
            break;
    }
    return done;
}

size_t iter_copy_to(struct iter *it, const void *src, size_t n)
{
    return iter_move(it, ITER_FILL, (char *)(uintptr_t)src, n);
}

size_t iter_copy_from(struct iter *it, void *dst, size_t n)
{
    return iter_move(it, ITER_DRAIN, dst, n);
}

size_t iter_zero(struct iter *it, size_t n)
{
    return iter_move(it, ITER_ZERO, NULL, n);
}
