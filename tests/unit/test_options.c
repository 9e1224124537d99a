/* The command line: sizes, durations, binds, and that bad input is refused. */
#include <criterion/criterion.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/options.h"

static int parse(struct options *opt, char **argv)
{
    int argc = 0;

    while (argv[argc])
        argc++;
    optind = 0;
    return options_parse(opt, argc, argv);
}

#define PARSE(opt, ...)                                                                            \
    ({                                                                                             \
        const char *args_[] = { "vmm", __VA_ARGS__, NULL };                                        \
        static char copies_[32][64];                                                               \
        static char *argv_[33];                                                                    \
        memset(argv_, 0, sizeof(argv_));                                                                \
        for (int i_ = 0; args_[i_]; i_++) {                                                        \
            snprintf(copies_[i_], sizeof(copies_[i_]), "%s", args_[i_]);                           \
            argv_[i_] = copies_[i_];                                                               \
        }                                                                                          \
        parse(opt, argv_);                                                                         \
    })

Test(options, sizes)
{
    uint64_t v;

    cr_assert(parse_size("4096", &v) && v == 4096);
    cr_assert(parse_size("64M", &v) && v == 64 << 20);
    cr_assert(parse_size("1.5g", &v) && v == 3ull << 29);
    cr_assert(parse_size("2KiB", &v) && v == 2048);
    cr_assert(!parse_size("", &v));
    cr_assert(!parse_size("-1", &v));
    cr_assert(!parse_size("12X", &v));
    cr_assert(!parse_size("1M1", &v));
    cr_assert(!parse_size("99999999999999999999T", &v));
}

Test(options, durations)
{
    uint64_t v;

    cr_assert(parse_duration("500ms", &v) && v == 500000000);
    cr_assert(parse_duration("2", &v) && v == 2000000000);
    cr_assert(parse_duration("1m", &v) && v == 60000000000);
    cr_assert(!parse_duration("0", &v));
    cr_assert(!parse_duration("5 parsecs", &v));
    cr_assert(!parse_duration("", &v));
}

Test(options, program_and_arguments)
{
    struct options opt;

    cr_assert_eq(PARSE(&opt, "--mem", "64M", "/bin/echo", "-n", "x"), 0);
    cr_assert_str_eq(opt.program, "/bin/echo");
    cr_assert_eq(opt.argc, 3);
    cr_assert_str_eq(opt.argv[1], "-n");
    cr_assert_eq(PARSE(&opt, "--app", "./bin", "--", "-x", "y"), 0);
    cr_assert_str_eq(opt.program, "./bin");
    cr_assert_eq(opt.argc, 3);
    cr_assert_str_eq(opt.argv[0], "./bin");
    cr_assert_str_eq(opt.argv[1], "-x");
}

Test(options, binds)
{
    struct options opt;

    cr_assert_eq(PARSE(&opt, "--bind", "/a:/b", "--bind", "c:/d:rw,cache=none", "--tmpfs", "/t", "prog"), 0);
    cr_assert_eq(opt.mount_count, 3);
    cr_assert(!opt.mounts[0].writable && opt.mounts[0].cache == CACHE_EXCLUSIVE);
    cr_assert(opt.mounts[1].writable && opt.mounts[1].cache == CACHE_NONE);
    cr_assert_null(opt.mounts[2].src);
    cr_assert_str_eq(opt.mounts[2].dst, "/t");
}

Test(options, a_writable_bind_is_shared_unless_said_otherwise)
{
    struct options opt;

    cr_assert_eq(PARSE(&opt, "--bind", "/a:/b:rw", "prog"), 0);
    cr_assert_eq(opt.mounts[0].cache, CACHE_SHARED);
    cr_assert_eq(PARSE(&opt, "--bind", "/a:/b:cache=exclusive,rw", "prog"), 0);
    cr_assert_eq(opt.mounts[0].cache, CACHE_EXCLUSIVE);
}

Test(options, bad_input_is_refused)
{
    struct options opt;

    cr_assert_eq(PARSE(&opt, "--frobnicate", "prog"), -1);
    cr_assert_eq(PARSE(&opt, "--mem", "12Q", "prog"), -1);
    cr_assert_eq(PARSE(&opt, "--mem", "1M", "prog"), -1);
    cr_assert_eq(PARSE(&opt, "--bind", "/a", "prog"), -1);
    cr_assert_eq(PARSE(&opt, "--bind", "/a:relative", "prog"), -1);
    cr_assert_eq(PARSE(&opt, "--bind", "/a:/b:wx", "prog"), -1);
    cr_assert_eq(PARSE(&opt, "--uid", "-3", "prog"), -1);
    cr_assert_eq(PARSE(&opt, "--timeout", "soon", "prog"), -1);
    cr_assert_eq(PARSE(&opt, "--app"), -1);
    cr_assert_eq(PARSE(&opt, "--quiet"), -1);
}

Test(options, environment)
{
    struct options opt;

    setenv("SECRET", "42", 1);
    setenv("PATH", "/bin", 1);
    cr_assert_eq(PARSE(&opt, "--env", "A=1", "--env", "PATH=/x", "prog"), 0);
    for (size_t i = 0; i < opt.env_count; i++) {
        cr_assert(strncmp(opt.env[i], "SECRET=", 7));
        cr_assert(strcmp(opt.env[i], "PATH=/bin"));
    }
    cr_assert_eq(PARSE(&opt, "--env", "SECRET", "prog"), 0);
    cr_assert_str_eq(opt.env[opt.env_count - 1], "SECRET=42");
}
