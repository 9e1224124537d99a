/* Splitting paths into components (guest/fs/path.c). */
#include <criterion/criterion.h>
#include <string.h>

#include "fs/path.h"

static void expect(const char *text, const char *const *names, size_t count)
{
    size_t pos = 0;

    for (size_t i = 0; i < count; i++) {
        struct name n = path_next(text, &pos);

        cr_assert_eq(n.len, strlen(names[i]), "%s: component %zu has length %zu", text, i, n.len);
        cr_assert_eq(memcmp(n.str, names[i], n.len), 0);
    }
    cr_assert_eq(path_next(text, &pos).len, 0, "%s: more components", text);
    cr_assert(path_at_end(text, pos));
}

Test(path, components)
{
    const char *const usr[] = { "usr", "lib" };
    const char *const dots[] = { ".", "..", "..." };

    expect("", NULL, 0);
    expect("/", NULL, 0);
    expect("////", NULL, 0);
    expect("/usr/lib", usr, 2);
    expect("usr//lib/", usr, 2);
    expect("//usr/////lib//", usr, 2);
    expect("./../...", dots, 3);
}

Test(path, dots)
{
    const struct name dot = { ".x", 1 }, dotdot = { "..x", 2 }, three = { "...", 3 }, hidden = { ".x", 2 };

    cr_assert(name_is_dot(&dot));
    cr_assert_not(name_is_dotdot(&dot));
    cr_assert(name_is_dotdot(&dotdot));
    cr_assert_not(name_is_dotdot(&three));
    cr_assert_not(name_is_dot(&hidden));
}

Test(path, at_end)
{
    cr_assert(path_at_end("a/b", 3));
    cr_assert(path_at_end("a/b//", 3));
    cr_assert_not(path_at_end("a/b/./", 3)); /* "." is a component: the walk must see it */
}

static size_t gather(const char *text, size_t max, struct name *ret)
{
    size_t pos = 0;
    struct name first = path_next(text, &pos);

    return path_gather(text, pos, &first, 255, ret, max);
}

Test(path, gather)
{
    struct name names[16];
    char huge[600];

    cr_assert_eq(gather("a/b/c", 16, names), 3);
    cr_assert_eq(names[2].str[0], 'c');
    cr_assert_eq(gather("a/b/c", 2, names), 2);
    cr_assert_eq(gather("a/./c", 16, names), 1);
    cr_assert_eq(gather("a/b/../c", 16, names), 2);
    cr_assert_eq(gather("a//b/", 16, names), 2);

    memset(huge, 'x', sizeof(huge));
    memcpy(huge, "a/", 2);
    huge[2 + 256] = 0;
    cr_assert_eq(gather(huge, 16, names), 1, "a name that is too long was gathered");
    huge[2 + 255] = 0;
    cr_assert_eq(gather(huge, 16, names), 2);
}
