/* Descriptor tables: numbers to open files. Closing may sleep (flush, the last reference). */
#include <asm/resource.h>

#include "fs/fdtable.h"
#include "fs/locks.h"
#include "fs/notify.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "proc/process.h"

#define FD_TABLE_INITIAL 64u

static size_t limit(void)
{
    uint64_t nofile = rlimit(RLIMIT_NOFILE);

    return (size_t)MIN(nofile, FD_TABLE_MAX);
}

static int grow(struct fd_table *t, size_t needed)
{
    size_t capacity = MAX(t->numbers.capacity, FD_TABLE_INITIAL);
    size_t old = t->numbers.capacity;
    struct file **files;
    uint64_t *used, *cloexec;

    while (capacity < needed)
        capacity *= 2;
    files = kcalloc(capacity, sizeof(*files));
    used = kcalloc(capacity / 64, sizeof(*used));
    cloexec = kcalloc(capacity / 64, sizeof(*cloexec));
    if (!files || !used || !cloexec) {
        kfree(files);
        kfree(used);
        kfree(cloexec);
        return -ENOMEM;
    }
    if (old > 0) {
        memcpy(files, t->files, old * sizeof(*files));
        memcpy(used, t->numbers.used, old / 8);
        memcpy(cloexec, t->cloexec, old / 8);
    }
    kfree(t->files);
    kfree(t->numbers.used);
    kfree(t->cloexec);
    t->files = files;
    t->numbers.used = used;
    t->numbers.capacity = capacity;
    t->cloexec = cloexec;
    return 0;
}

struct fd_table *fd_table_create(void)
{
    struct fd_table *t = kzalloc(sizeof(*t));

    if (!t)
        return NULL;
    t->refs = 1;
    if (grow(t, FD_TABLE_INITIAL) < 0) {
        kfree(t);
        return NULL;
    }
    return t;
}

struct fd_table *fd_table_copy(struct fd_table *from)
{
    struct fd_table *t = kzalloc(sizeof(*t));

    if (!t)
        return NULL;
    t->refs = 1;
    if (grow(t, from->numbers.capacity) < 0) {
        kfree(t);
        return NULL;
    }
    for (size_t fd = 0; fd < from->numbers.capacity; fd++) {
        if (!from->files[fd])
            continue;
        t->files[fd] = from->files[fd];
        file_get(t->files[fd]);
        fdset_set(&t->numbers, fd);
    }
    memcpy(t->cloexec, from->cloexec, from->numbers.capacity / 8);
    return t;
}

void fd_table_get(struct fd_table *t)
{
    t->refs++;
}

static bool test_cloexec(const struct fd_table *t, size_t fd)
{
    return t->cloexec[fd / 64] >> (fd % 64) & 1;
}

static void mark_cloexec(struct fd_table *t, size_t fd, bool on)
{
    uint64_t bit = 1ull << (fd % 64);

    if (on)
        t->cloexec[fd / 64] |= bit;
    else
        t->cloexec[fd / 64] &= ~bit;
}

/* What close(2) does to the file of a descriptor that is gone from the table. Takes the reference. */
static int close_file(const struct fd_table *t, struct file *f)
{
    int err = 0;

    if (!(f->flags & O_PATH)) {
        locks_close_posix(f, t);
        if (unlikely(notify_watches) && S_ISDIR(file_mode(f)))
            notify_directory_closed(f, t);
        if (f->ops->flush)
            err = f->ops->flush(f);
    }
    file_put(f);
    return err;
}

static struct file *take(struct fd_table *t, size_t fd)
{
    struct file *f = fd < t->numbers.capacity ? t->files[fd] : NULL;

    if (!f)
        return NULL;
    t->files[fd] = NULL;
    mark_cloexec(t, fd, false);
    fdset_clear(&t->numbers, fd);
    return f;
}

void fd_table_put(struct fd_table *t)
{
    if (!t || --t->refs > 0)
        return;
    for (size_t fd = 0; fd < t->numbers.capacity; fd++) {
        struct file *f = take(t, fd);

        if (f)
            close_file(t, f);
    }
    kfree(t->files);
    kfree(t->numbers.used);
    kfree(t->cloexec);
    kfree(t);
}

void fd_table_close_on_exec(struct fd_table *t)
{
    for (size_t fd = 0; fd < t->numbers.capacity; fd++) {
        struct file *f = test_cloexec(t, fd) ? take(t, fd) : NULL;

        if (f)
            close_file(t, f);
    }
}

struct file *fd_table_file(struct fd_table *t, int fd)
{
    struct file *f = (size_t)(unsigned)fd < t->numbers.capacity ? t->files[fd] : NULL;

    if (f)
        file_get(f);
    return f;
}

int fd_table_next(const struct fd_table *t, int from)
{
    for (size_t fd = (size_t)from; fd < t->numbers.capacity; fd++) {
        if (t->files[fd])
            return (int)fd;
    }
    return -1;
}

struct file *fd_get(int fd)
{
    return fd_table_file(current->files, fd);
}

struct file *fd_get_io(int fd)
{
    struct file *f = fd_get(fd);

    if (f && (f->flags & O_PATH)) {
        file_put(f);
        return NULL;
    }
    return f;
}

static int reserve(struct fd_table *t, size_t lowest, bool cloexec)
{
    size_t fd = fdset_find_free(&t->numbers, lowest);
    int err;

    if (fd >= limit())
        return -EMFILE;
    if (fd >= t->numbers.capacity) {
        err = grow(t, fd + 1);
        if (err < 0)
            return err;
    }
    fdset_set(&t->numbers, fd);
    mark_cloexec(t, fd, cloexec);
    return (int)fd;
}

int fd_reserve(int lowest, bool cloexec)
{
    return reserve(current->files, (size_t)lowest, cloexec);
}

void fd_fill(int fd, struct file *f)
{
    current->files->files[fd] = f;
}

void fd_unreserve(int fd)
{
    mark_cloexec(current->files, (size_t)fd, false);
    fdset_clear(&current->files->numbers, (size_t)fd);
}

int fd_install(struct file *f, int lowest, bool cloexec)
{
    int fd = fd_reserve(lowest, cloexec);

    if (fd >= 0)
        fd_fill(fd, f);
    return fd;
}

int fd_install_or_put(struct file *f, bool cloexec)
{
    int fd;

    if (is_err(f))
        return (int)ptr_err(f);
    fd = fd_install(f, 0, cloexec);
    if (fd < 0)
        file_put(f);
    return fd;
}

int fd_install_at(struct fd_table *t, int fd, struct file *f, bool cloexec)
{
    size_t n = (size_t)(unsigned)fd;
    struct file *old;
    int err;

    if (n >= t->numbers.capacity) {
        err = grow(t, n + 1);
        if (err < 0)
            return err;
    }
    old = t->files[n];
    if (!old && fdset_test(&t->numbers, n))
        return -EBUSY; /* another thread is opening it */
    t->files[n] = f;
    fdset_set(&t->numbers, n);
    mark_cloexec(t, n, cloexec);
    if (old)
        close_file(t, old);
    return fd;
}

int fd_dup_to(struct file *f, int fd, bool cloexec)
{
    int err;

    if ((size_t)(unsigned)fd >= limit())
        return -EBADF;
    file_get(f);
    err = fd_install_at(current->files, fd, f, cloexec);
    if (err < 0)
        file_put(f);
    return err;
}

int fd_close(int fd)
{
    struct file *f = take(current->files, (size_t)(unsigned)fd);

    return f ? close_file(current->files, f) : -EBADF;
}

bool fd_table_cloexec(const struct fd_table *t, int fd)
{
    return test_cloexec(t, (size_t)fd);
}

bool fd_cloexec(int fd)
{
    return fd_table_cloexec(current->files, fd);
}

void fd_set_cloexec(int fd, bool on)
{
    mark_cloexec(current->files, (size_t)fd, on);
}

void fd_close_range(uint32_t first, uint32_t last, bool only_mark)
{
    struct fd_table *t = current->files;

    for (size_t fd = first; fd <= last && fd < t->numbers.capacity; fd++) {
        if (!t->files[fd])
            continue;
        if (only_mark)
            mark_cloexec(t, fd, true);
        else
            close_file(t, take(t, fd));
    }
}
