/*
 * Sockets that only messages refer to. A descriptor sent to a socket that is itself on its way somewhere may end up reachable
 * from nobody: both would stay for ever. When an AF_UNIX socket goes while others are in flight, we look for those whose every
 * reference comes from messages, take away what living sockets' messages hold, and close what is left.
 *
 * Beside this there is a bound on files in flight (scm.c).
 */
#include "net/scm.h"
#include "net/unix.h"

static uint64_t files_in_flight, unix_in_flight;
static bool running;

void unix_gc_enter(struct fd_bundle *b)
{
    if (b->in_flight)
        return;
    b->in_flight = true;
    files_in_flight += b->count;
    for (uint32_t i = 0; i < b->count; i++) {
        struct unix_sock *u = unix_of_file(b->files[i]);

        if (u) {
            u->in_flight++;
            unix_in_flight++;
        }
    }
}

void unix_gc_leave(struct fd_bundle *b)
{
    if (!b->in_flight)
        return;
    b->in_flight = false;
    files_in_flight -= b->count;
    for (uint32_t i = 0; i < b->count; i++) {
        struct unix_sock *u = unix_of_file(b->files[i]);

        if (u) {
            u->in_flight--;
            unix_in_flight--;
        }
    }
}

uint64_t unix_gc_in_flight(void)
{
    return files_in_flight;
}

/* Call fn for every candidate that a message in u's queue carries. */
static void scan_queue(struct unix_sock *u, void (*fn)(struct unix_sock *))
{
    struct packet *p;

    list_for_each(p, &u->s.rx.packets, node) {
        for (uint32_t i = 0; p->fds && i < p->fds->count; i++) {
            struct unix_sock *child = unix_of_file(p->fds->files[i]);

            if (child && child->gc_candidate)
                fn(child);
        }
    }
}

/* A listener's connections that nobody has accepted belong to it. */
static void scan(struct unix_sock *u, void (*fn)(struct unix_sock *))
{
    struct unix_sock *embryo;

    scan_queue(u, fn);
    list_for_each(embryo, &u->accepts, accept_node)
        scan_queue(embryo, fn);
}

static void drop_ref(struct unix_sock *u)
{
    u->gc_refs--;
}

static bool found_more;

static void reach(struct unix_sock *u)
{
    found_more |= !u->gc_reached;
    u->gc_reached = true;
}

static void find_candidates(void)
{
    struct unix_sock *u;

    list_for_each(u, &unix_all, all_node) {
        u->gc_candidate = u->in_flight > 0 && u->s.file && u->s.file->refs == u->in_flight;
        u->gc_reached = false;
        u->gc_refs = u->in_flight;
    }
    list_for_each(u, &unix_all, all_node) {
        if (u->gc_candidate)
            scan(u, drop_ref);
    }
}

/* What is left of references is held by the messages of sockets that live. */
static void mark_reachable(void)
{
    struct unix_sock *u;

    list_for_each(u, &unix_all, all_node) {
        if (u->gc_candidate && u->gc_refs > 0)
            u->gc_reached = true;
    }
    do {
        found_more = false;
        list_for_each(u, &unix_all, all_node) {
            if (u->gc_candidate && u->gc_reached)
                scan(u, reach);
        }
    } while (found_more);
}

static void move_bundles(struct unix_sock *u, struct packet_queue *to)
{
    struct packet *p, *tmp;

    list_for_each_safe(p, tmp, &u->s.rx.packets, node) {
        if (p->fds) {
            packet_unlink(&u->s.rx, p);
            packet_push(to, p);
        }
    }
}

void unix_gc_run(void)
{
    struct packet_queue garbage;
    struct unix_sock *u, *embryo;

    if (running || unix_in_flight == 0)
        return;
    running = true;
    packet_queue_init(&garbage);
    find_candidates();
    mark_reachable();
    list_for_each(u, &unix_all, all_node) {
        if (u->gc_candidate && !u->gc_reached) {
            move_bundles(u, &garbage);
            list_for_each(embryo, &u->accepts, accept_node)
                move_bundles(embryo, &garbage);
        }
    }
    packet_queue_purge(&garbage); /* closes files, which may sleep */
    running = false;
}
