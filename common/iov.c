/*
 * Parts of scattered messages; see iov.h.
 */
#include "common/iov.h"

#include <string.h>

#include "common/checked.h"

size_t iov_slice(const struct iovec *vec, size_t count, size_t off, size_t len, struct iovec *ret)
{
    size_t n = 0;

    for (size_t i = 0; i < count && len; i++) {
        size_t part;

        if (off >= vec[i].iov_len) {
            off -= vec[i].iov_len;
            continue;
        }
        part = min_size(vec[i].iov_len - off, len);
        ret[n].iov_base = (char *)vec[i].iov_base + off;
        ret[n++].iov_len = part;
        len -= part;
        off = 0;
    }
    return n;
}

size_t iov_read(void *dst, const struct iovec *vec, size_t count, size_t off, size_t len)
{
    size_t done = 0;

    for (size_t i = 0; i < count && done < len; i++) {
        size_t part;

        if (off >= vec[i].iov_len) {
            off -= vec[i].iov_len;
            continue;
        }
        part = min_size(vec[i].iov_len - off, len - done);
        memcpy((char *)dst + done, (const char *)vec[i].iov_base + off, part);
        done += part;
        off = 0;
    }
    return done;
}

size_t iov_write(const struct iovec *vec, size_t count, size_t off, const void *src, size_t len)
{
    size_t done = 0;

    for (size_t i = 0; i < count && done < len; i++) {
        size_t part;

        if (off >= vec[i].iov_len) {
            off -= vec[i].iov_len;
            continue;
        }
        part = min_size(vec[i].iov_len - off, len - done);
        memcpy((char *)vec[i].iov_base + off, (const char *)src + done, part);
        done += part;
        off = 0;
    }
    return done;
}
