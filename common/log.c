/*
 * One-line messages for the operator; see log.h. No allocation, no stdio streams: it is used after a clone
 * and under seccomp.
 */
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_PREFIX "vmm: "

size_t log_escape(char *out, size_t out_size, const char *text, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        bool plain = c >= ' ' && c != 0x7f && c != '\\';

        if (n + (plain ? 1 : 4) >= out_size)
            break;
        if (plain) {
            out[n++] = (char)c;
            continue;
        }
        out[n++] = '\\';
        out[n++] = 'x';
        out[n++] = hex[c >> 4];
        out[n++] = hex[c & 15];
    }
    out[n] = '\0';
    return n;
}

static void write_line(const char *line, size_t len)
{
    ssize_t n;

    do
        n = write(STDERR_FILENO, line, len);
    while (n < 0 && errno == EINTR);
}

static size_t append(char *line, size_t pos, const char *text)
{
    return pos + log_escape(line + pos, LOG_LINE_MAX - 1 - pos, text, strlen(text));
}

void log_error(const char *what, const char *why, ...)
{
    char text[LOG_LINE_MAX];
    char line[LOG_LINE_MAX];
    size_t pos = 0;
    va_list ap;

    va_start(ap, why);
    vsnprintf(text, sizeof(text), why, ap);
    va_end(ap);
    pos = append(line, pos, LOG_PREFIX);
    if (what) {
        pos = append(line, pos, what);
        pos = append(line, pos, ": ");
    }
    pos = append(line, pos, text);
    line[pos++] = '\n';
    write_line(line, pos);
}

void log_errno(const char *what, int err)
{
    log_error(what, "%s", strerrordesc_np(abs(err)) ? strerrordesc_np(abs(err)) : "unknown error");
}
