/* The text of paths: components. Pure logic, tested on the host. */
#ifndef FS_PATH_H
#define FS_PATH_H

#include "lib/base.h"

/* One component of a path; not terminated. */
struct name {
    const char *str;
    size_t len;
};

static inline bool name_is_dot(const struct name *n)
{
    return n->len == 1 && n->str[0] == '.';
}

static inline bool name_is_dotdot(const struct name *n)
{
    return n->len == 2 && n->str[0] == '.' && n->str[1] == '.';
}

/* The component at text + *pos, slashes skipped; *pos moves behind it. len 0: there is none. */
struct name path_next(const char *text, size_t *pos);

/* Is there nothing but slashes from pos on? */
bool path_at_end(const char *text, size_t pos);

/*
 * `first` and the ordinary names that follow it at text + pos, at most max: what can be looked up in one go. Stops before
 * ".", ".." and names longer than name_max. Returns how many.
 */
size_t path_gather(const char *text, size_t pos, const struct name *first, size_t name_max, struct name *ret, size_t max);

#endif
