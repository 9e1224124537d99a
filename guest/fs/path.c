/* The text of paths: components. Nothing here knows of files. */
#include "fs/path.h"

struct name path_next(const char *text, size_t *pos)
{
    struct name n;

    while (text[*pos] == '/')
        (*pos)++;
    n.str = text + *pos;
    n.len = 0;
    while (n.str[n.len] && n.str[n.len] != '/')
        n.len++;
    *pos += n.len;
    return n;
}

bool path_at_end(const char *text, size_t pos)
{
    return path_next(text, &pos).len == 0;
}

size_t path_gather(const char *text, size_t pos, const struct name *first, size_t name_max, struct name *ret, size_t max)
{
    size_t count = 1;

    ret[0] = *first;
    while (count < max) {
        struct name n = path_next(text, &pos);

        if (n.len == 0 || n.len > name_max || name_is_dot(&n) || name_is_dotdot(&n))
            break;
        ret[count++] = n;
    }
    return count;
}
