/* See window.h. */
#include "vmm/window.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/fdpass.h"

#define PAGE 4096ull

#ifndef MADV_POPULATE_READ /* Linux 5.14 */
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

struct donated {
    uint32_t token;
    int fd;         /* -1: free */
    bool writable;
};

struct mapping {
    uint64_t gpa, len; /* len 0: free */
    uint64_t offset;   /* in the file */
    uint64_t lost;     /* bytes at the end that anonymous memory has replaced */
    struct window *window;
    int fd;            /* own duplicate: the token may be dropped while the mapping lives */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int control = -1;
static bool gofer_gone;
static struct donated donated[DONATED_MAX];
static uint32_t donated_used; /* entries below this have been used at least once */
static struct mapping mappings[MAPPING_MAX];
static uint32_t mappings_used;

void window_init(int control_fd)
{
    control = control_fd;
}

static struct donated *find_token(uint32_t token)
{
    for (uint32_t i = 0; i < donated_used; i++)
        if (donated[i].fd >= 0 && donated[i].token == token)
            return &donated[i];
    return NULL;
}

static struct donated *new_donated(void)
{
    for (uint32_t i = 0; i < donated_used; i++)
        if (donated[i].fd < 0)
            return &donated[i];
    return donated_used < DONATED_MAX ? &donated[donated_used++] : NULL;
}

/* Only a regular file with the promised access mode is taken (docs/threat-model.md). */
static bool acceptable(int fd, bool writable)
{
    struct stat st;
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (flags & O_PATH))
        return false;
    return (flags & O_ACCMODE) == (writable ? O_RDWR : O_RDONLY);
}

static void take_donation(const struct gofer_note *note, int fd)
{
    struct donated *d = acceptable(fd, note->value) && !find_token(note->token) ? new_donated() : NULL;

    if (!d) {
        close(fd);
        return;
    }
    *d = (struct donated){ note->token, fd, note->value };
}

static void drop_token(uint32_t token)
{
    struct donated *d = find_token(token);

    if (d) {
        close(d->fd);
        d->fd = -1;
    }
}

static int drain_locked(struct gofer_note *ret_note)
{
    while (!gofer_gone) {
        struct gofer_note note;
        int fd = -1;
        ssize_t n = fdpass_recv(control, &note, sizeof(note), MSG_DONTWAIT, &fd);

        if (n == -EAGAIN || n == -EINTR)
            return 0;
        if (n != (ssize_t)sizeof(note)) {
            gofer_gone = true;
            break;
        }
        if (note.type == GOFER_NOTE_DONATE && fd >= 0)
            take_donation(&note, fd);
        else if (fd >= 0)
            close(fd);
        if (note.type == GOFER_NOTE_DROP)
            drop_token(note.token);
        if ((note.type == GOFER_NOTE_READY || note.type == GOFER_NOTE_FAILED) && ret_note)
            *ret_note = note;
    }
    return -EPIPE;
}

int window_drain(struct gofer_note *ret_note)
{
    int err;

    pthread_mutex_lock(&lock);
    if (ret_note)
        ret_note->type = 0;
    err = drain_locked(ret_note);
    pthread_mutex_unlock(&lock);
    return err;
}

/* --- mappings --- */

static struct window *window_of(struct vm *vm, uint64_t gpa, uint64_t len)
{
    struct window *all[] = { &vm->window_ro, &vm->window_rw };

    for (size_t i = 0; i < 2; i++)
        if (gpa >= all[i]->gpa && checked_range(gpa - all[i]->gpa, len, all[i]->end - all[i]->gpa))
            return all[i];
    return NULL;
}

static struct mapping *overlapping(uint64_t gpa, uint64_t len)
{
    for (uint32_t i = 0; i < mappings_used; i++)
        if (mappings[i].len && gpa < mappings[i].gpa + mappings[i].len && mappings[i].gpa < gpa + len)
            return &mappings[i];
    return NULL;
}

static struct mapping *new_mapping(void)
{
    for (uint32_t i = 0; i < mappings_used; i++)
        if (!mappings[i].len)
            return &mappings[i];
    return mappings_used < MAPPING_MAX ? &mappings[mappings_used++] : NULL;
}

static int map_locked(struct vm *vm, struct window *w, uint64_t gpa, uint32_t token, uint64_t offset, uint64_t len)
{
    struct donated *d = find_token(token);
    struct mapping *m;
    int prot = w->writable ? PROT_READ | PROT_WRITE : PROT_READ, fd, err;

    if (!d)
        return -EBADF;
    if (w->writable && !d->writable)
        return -EACCES;
    if (overlapping(gpa, len))
        return -EEXIST;
    m = new_mapping();
    if (!m)
        return -ENFILE;
    err = vm_window_reach(vm, w, gpa - w->gpa, len);
    if (err < 0)
        return err;
    fd = fcntl(d->fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return -errno;
    if (mmap(w->host + (gpa - w->gpa), len, prot, MAP_SHARED | MAP_FIXED, fd, (off_t)offset) == MAP_FAILED) {
        err = -errno;
        close(fd);
        return err;
    }
    *m = (struct mapping){ .gpa = gpa, .len = len, .offset = offset, .window = w, .fd = fd };
    return 0;
}

int window_map(struct vm *vm, uint64_t gpa, uint64_t token, uint64_t offset, uint64_t len, uint64_t writable)
{
    struct window *w = window_of(vm, gpa, len);
    int err;

    if (!w || !len || (gpa | offset | len) % PAGE || w->writable != !!writable || token > UINT32_MAX ||
        offset > (uint64_t)INT64_MAX - len)
        return -EINVAL;
    pthread_mutex_lock(&lock);
    err = drain_locked(NULL);
    if (!err)
        err = map_locked(vm, w, gpa, (uint32_t)token, offset, len);
    pthread_mutex_unlock(&lock);
    return err;
}

int window_unmap(struct vm *vm, uint64_t gpa, uint64_t len)
{
    struct mapping *m;
    int err = -EINVAL;

    (void)vm;
    pthread_mutex_lock(&lock);
    m = len ? overlapping(gpa, len) : NULL;
    if (m && m->gpa == gpa && m->len == len) {
        /* Reserved addresses again: nothing of the file can be reached. */
        void *p = mmap(m->window->host + (gpa - m->window->gpa), len, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

        err = p == MAP_FAILED ? -errno : 0;
        if (!err) {
            close(m->fd);
            m->len = 0;
        }
    }
    pthread_mutex_unlock(&lock);
    return err;
}

static bool recover_one(struct mapping *m, uint64_t *ret_gpa, uint64_t *ret_len)
{
    int prot = m->window->writable ? PROT_READ | PROT_WRITE : PROT_READ;
    uint64_t valid = 0, start;
    struct stat st;

    if (fstat(m->fd, &st) < 0)
        return false;
    if ((uint64_t)st.st_size > m->offset)
        valid = (uint64_t)st.st_size - m->offset;
    valid = valid > m->len ? m->len : (valid + PAGE - 1) & ~(PAGE - 1);
    if (valid >= m->len - m->lost)
        return false;
    start = m->gpa + valid;
    if (mmap(m->window->host + (start - m->window->gpa), m->len - valid, prot,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
        return false;
    m->lost = m->len - valid;
    *ret_gpa = start;
    *ret_len = m->lost;
    return true;
}

int window_recover(struct vm *vm, uint64_t *ret_gpa, uint64_t *ret_len)
{
    bool found = false, any = false;

    (void)vm;
    pthread_mutex_lock(&lock);
    for (uint32_t i = 0; i < mappings_used && !found; i++) {
        if (mappings[i].len) {
            any = true;
            found = recover_one(&mappings[i], ret_gpa, ret_len);
        }
    }
    pthread_mutex_unlock(&lock);
    if (!found) {
        *ret_gpa = 0;
        *ret_len = 0;
    }
    return found || any;
}

static int probe_locked(const struct mapping *m, uint64_t gpa, bool writable, bool replace)
{
    uint8_t *page = m->window->host + (gpa - m->window->gpa);
    int prot = m->window->writable ? PROT_READ | PROT_WRITE : PROT_READ;

    if (madvise(page, PAGE, writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) == 0)
        return 0;
    if (errno != EFAULT)
        return -errno;
    if (replace &&
        mmap(page, PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
        return -errno;
    return -EFAULT;
}

static void clear_rest(const struct iovec *pages, unsigned count, size_t from)
{
    for (size_t i = from / PAGE, skip = from % PAGE; i < count; i++, skip = 0)
        memset((uint8_t *)pages[i].iov_base + skip, 0, PAGE - skip);
}

int window_load(uint64_t token, uint64_t offset, const struct iovec *pages, unsigned count)
{
    const struct donated *d = NULL;
    ssize_t n;
    int err;

    if (token > UINT32_MAX || offset % PAGE || offset > (uint64_t)INT64_MAX - count * PAGE)
        return -EINVAL;
    pthread_mutex_lock(&lock);
    err = drain_locked(NULL);
    if (!err)
        d = find_token((uint32_t)token);
    n = d ? preadv(d->fd, pages, (int)count, (off_t)offset) : -1;
    if (n < 0 && !err)
        err = d ? -errno : -EBADF;
    pthread_mutex_unlock(&lock);
    if (err < 0)
        return err;
    clear_rest(pages, count, (size_t)n);
    return 0;
}

int window_peek(uint64_t gpa, uint8_t *ret)
{
    struct iovec byte = { ret, 1 };
    const struct mapping *m;
    int err = -EINVAL;

    pthread_mutex_lock(&lock);
    m = overlapping(gpa, 1);
    if (m && preadv(m->fd, &byte, 1, (off_t)(m->offset + (gpa - m->gpa))) == 1)
        err = 0;
    pthread_mutex_unlock(&lock);
    return err;
}

int window_probe(struct vm *vm, uint64_t gpa, bool writable, bool replace)
{
    const struct mapping *m;
    int err = -EINVAL;

    (void)vm;
    if (gpa % PAGE)
        return err;
    pthread_mutex_lock(&lock);
    m = overlapping(gpa, PAGE);
    if (m && (m->window->writable || !writable))
        err = probe_locked(m, gpa, writable, replace);
    pthread_mutex_unlock(&lock);
    return err;
}
