/*
 * Parts of scattered messages. The memory behind the vectors may be a guest's: it is copied, never looked at in place.
 */
#ifndef COMMON_IOV_H
#define COMMON_IOV_H

#include <stddef.h>
#include <sys/uio.h>

/* Copy [off, off + len) of a vector out into dst, or src into it. Returns how many bytes were there. */
size_t iov_read(void *dst, const struct iovec *vec, size_t count, size_t off, size_t len);
size_t iov_write(const struct iovec *vec, size_t count, size_t off, const void *src, size_t len);

/* The part [off, off + len) as a vector in ret (room for count entries). Returns its number of entries. */
size_t iov_slice(const struct iovec *vec, size_t count, size_t off, size_t len, struct iovec *ret);

#endif
