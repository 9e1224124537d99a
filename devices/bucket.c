/* See bucket.h. */
#include "devices/bucket.h"

#define NSEC 1000000000ull
#define BURSTS_PER_SECOND 10u

static int64_t burst(const struct bucket *b)
{
    return (int64_t)(b->rate / BURSTS_PER_SECOND ? b->rate / BURSTS_PER_SECOND : 1);
}

void bucket_init(struct bucket *b, uint64_t rate, uint64_t now_ns)
{
    *b = (struct bucket){ .rate = rate, .filled_ns = now_ns };
    b->tokens = burst(b);
}

static void fill(struct bucket *b, uint64_t now_ns)
{
    uint64_t elapsed = now_ns - b->filled_ns, gained;

    if (elapsed > 60 * NSEC)
        elapsed = 60 * NSEC;
    gained = (uint64_t)((unsigned __int128)elapsed * b->rate / NSEC);
    if (!gained)
        return;
    /* What a whole token doesn't take stays to be counted next time. */
    b->filled_ns = now_ns - (elapsed - (uint64_t)((unsigned __int128)gained * NSEC / b->rate));
    b->tokens += (int64_t)gained;
    if (b->tokens > burst(b))
        b->tokens = burst(b);
}

bool bucket_ready(struct bucket *b, uint64_t now_ns, uint64_t *ret_when)
{
    uint64_t missing;

    if (!b->rate)
        return true;
    fill(b, now_ns);
    if (b->tokens > 0)
        return true;
    missing = (uint64_t)(1 - b->tokens);
    *ret_when = now_ns + (uint64_t)((unsigned __int128)missing * NSEC / b->rate) + 1;
    return false;
}

void bucket_take(struct bucket *b, uint64_t tokens)
{
    if (b->rate)
        b->tokens -= (int64_t)tokens;
}
