/* What both clients say, and how they end. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/conformance/client.h"

void host_print(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vprintf(format, args);
    va_end(args);
}

void host_vfail(const char *format, va_list args)
{
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    exit(1);
}

void host_fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    host_vfail(format, args);
}
