/* Timers in a red-black tree, the leftmost at hand. Called from everywhere in the shim; never parks. */
#include "proc/timer.h"

#include "proc/sched.h"

static struct rb_root timers;
static struct timer *nearest;

static struct timer *timer_of(struct rb_node *node)
{
    return node ? rb_entry(node, struct timer, node) : NULL;
}

void timer_cancel(struct timer *timer)
{
    if (!timer->armed)
        return;
    timer->armed = false;
    if (nearest == timer)
        nearest = timer_of(rb_next(&timer->node));
    rb_erase(&timers, &timer->node);
}

void timer_set(struct timer *timer, uint64_t deadline_ns)
{
    struct rb_node **link = &timers.node, *parent = NULL;
    bool leftmost = true;

    timer_cancel(timer);
    if (deadline_ns == NEVER)
        return;
    timer->deadline_ns = deadline_ns;
    while (*link) {
        parent = *link;
        if (deadline_ns < timer_of(parent)->deadline_ns) {
            link = &parent->left;
        } else { /* equals go right: first come, first served */
            link = &parent->right;
            leftmost = false;
        }
    }
    rb_link(&timer->node, parent, link);
    rb_insert_fixup(&timers, &timer->node);
    timer->armed = true;
    if (leftmost) {
        nearest = timer;
        sched_deadline_changed();
    }
}

uint64_t timer_nearest(void)
{
    return nearest ? nearest->deadline_ns : NEVER;
}

bool timer_expire(uint64_t now_ns)
{
    bool any = false;

    while (nearest && nearest->deadline_ns <= now_ns) {
        struct timer *timer = nearest;

        timer_cancel(timer);
        timer->fire(timer);
        any = true;
    }
    return any;
}
