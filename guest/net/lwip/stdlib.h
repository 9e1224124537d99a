/* In place of the C library's, for lwIP: all that it takes of it. */
#ifndef LWIP_STDLIB_H
#define LWIP_STDLIB_H

static inline int atoi(const char *s)
{
    int v = 0;

    for (; *s >= '0' && *s <= '9' && v < 100000; s++)
        v = 10 * v + *s - '0';
    return v;
}

#endif
