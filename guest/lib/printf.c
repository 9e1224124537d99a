/* snprintf for the shim: the conversions that string.h names, no more. */
#include "lib/string.h"

struct sink {
    char *buf;
    size_t size;
    size_t len; /* what would have been written */
};

struct spec {
    bool left, zero, alt;
    int width, precision; /* precision -1: none */
};

static void sink_put(struct sink *s, char c)
{
    if (s->len + 1 < s->size)
        s->buf[s->len] = c;
    s->len++;
}

static void sink_pad(struct sink *s, char c, int n)
{
    while (n-- > 0)
        sink_put(s, c);
}

static void put_string(struct sink *s, const struct spec *spec, const char *text)
{
    int len;

    if (!text)
        text = "(null)";
    len = (int)(spec->precision >= 0 ? strnlen(text, (size_t)spec->precision) : strlen(text));
    if (!spec->left)
        sink_pad(s, ' ', spec->width - len);
    for (int i = 0; i < len; i++)
        sink_put(s, text[i]);
    if (spec->left)
        sink_pad(s, ' ', spec->width - len);
}

static void put_number(struct sink *s, const struct spec *spec, uint64_t v, bool negative, unsigned base, bool upper)
{
    const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    const char *prefix = negative ? "-" : spec->alt && base == 16 ? "0x" : spec->alt && base == 8 ? "0" : "";
    char tmp[24];
    int n = 0, zeroes, total;

    do {
        tmp[n++] = digits[v % base];
        v /= base;
    } while (v);
    zeroes = spec->precision > n ? spec->precision - n : 0;
    total = n + zeroes + (int)strlen(prefix);
    if (spec->zero && !spec->left && spec->precision < 0 && spec->width > total) {
        zeroes += spec->width - total;
        total = spec->width;
    }
    if (!spec->left)
        sink_pad(s, ' ', spec->width - total);
    for (const char *p = prefix; *p; p++)
        sink_put(s, *p);
    sink_pad(s, '0', zeroes);
    while (n)
        sink_put(s, tmp[--n]);
    if (spec->left)
        sink_pad(s, ' ', spec->width - total);
}

static int parse_int(const char **fmt, va_list *ap)
{
    int v = 0;

    if (**fmt == '*') {
        (*fmt)++;
        return va_arg(*ap, int);
    }
    while (**fmt >= '0' && **fmt <= '9')
        v = v * 10 + (*(*fmt)++ - '0');
    return v;
}

static const char *parse_spec(const char *fmt, struct spec *spec, va_list *ap)
{
    *spec = (struct spec){ .precision = -1 };
    for (;; fmt++) {
        if (*fmt == '-')
            spec->left = true;
        else if (*fmt == '0')
            spec->zero = true;
        else if (*fmt == '#')
            spec->alt = true;
        else
            break;
    }
    spec->width = parse_int(&fmt, ap);
    if (*fmt == '.') {
        fmt++;
        spec->precision = parse_int(&fmt, ap);
    }
    return fmt;
}

int kvsnprintf(char *buf, size_t size, const char *fmt, va_list args)
{
    struct sink s = { buf, size, 0 };
    va_list ap;

    va_copy(ap, args);
    while (*fmt) {
        struct spec spec;
        int longs = 0;

        if (*fmt != '%') {
            sink_put(&s, *fmt++);
            continue;
        }
        fmt = parse_spec(fmt + 1, &spec, &ap);
        for (; *fmt == 'l' || *fmt == 'z' || *fmt == 'j'; fmt++)
            longs++;
        switch (*fmt) {
        case 'd':
        case 'i': {
            int64_t v = longs ? va_arg(ap, long) : va_arg(ap, int);

            put_number(&s, &spec, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0, 10, false);
            break;
        }
        case 'u':
        case 'x':
        case 'X':
        case 'o': {
            uint64_t v = longs ? va_arg(ap, unsigned long) : va_arg(ap, unsigned);

            put_number(&s, &spec, v, false, *fmt == 'u' ? 10 : *fmt == 'o' ? 8 : 16, *fmt == 'X');
            break;
        }
        case 'p':
            spec.alt = true;
            put_number(&s, &spec, (uint64_t)va_arg(ap, void *), false, 16, false);
            break;
        case 'c':
            sink_put(&s, (char)va_arg(ap, int));
            break;
        case 's':
            put_string(&s, &spec, va_arg(ap, const char *));
            break;
        case '\0':
            fmt--;
            break;
        default:
            sink_put(&s, *fmt);
        }
        fmt++;
    }
    va_end(ap);
    if (size)
        buf[MIN(s.len, size - 1)] = '\0';
    return (int)s.len;
}

int ksnprintf(char *buf, size_t size, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = kvsnprintf(buf, size, fmt, ap);
    va_end(ap);
    return n;
}
