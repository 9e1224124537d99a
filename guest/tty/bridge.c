/* The pseudo-terminal of --tty: two threads of the shim's carry bytes between its master and the host. */
#include "tty/bridge.h"

#include "fs/fdtable.h"
#include "fs/poll.h"
#include "fs/stdio.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "proc/kthread.h"
#include "proc/process.h"
#include "tty/pty.h"

#define CHUNK 4096u

static struct pty *pty;
static struct file *host_in, *host_out, *host_terminal;
static bool resized, writing;
static struct wait_queue drained;

/* --- from the host --- */

static void type(const uint8_t *data, uint32_t n)
{
    while (n > 0) {
        uint32_t part = MIN(n, QUEUE_LIMIT - pty->arrived.count);

        if (part == 0) {
            wait_until(&pty->master_write, pty->arrived.count < QUEUE_LIMIT, NEVER, false);
            continue;
        }
        if (!bytes_put(&pty->arrived, data, part, QUEUE_LIMIT))
            return; /* no memory: as if nobody had typed it */
        data += part;
        n -= part;
        input_process(pty);
    }
}

/* Input that isn't a terminal's has an end. Typed once it ends a line that has begun, twice the input. */
static void type_end(bool in_line)
{
    const uint8_t ends[2] = { pty->termios.c_cc[VEOF], pty->termios.c_cc[VEOF] };

    type(ends, in_line ? 2 : 1);
}

static void carry_in(void)
{
    uint8_t *chunk = kmalloc(CHUNK);
    bool in_line = false;
    uint64_t pos = 0;

    while (chunk) {
        struct iter_segment seg;
        struct iter to;
        ssize_t n;

        iter_kernel(&to, &seg, chunk, CHUNK);
        n = host_in->ops->read(host_in, &to, &pos);
        if (n <= 0)
            break;
        in_line = chunk[n - 1] != '\n';
        type(chunk, (uint32_t)n);
    }
    type_end(in_line);
    for (;;)
        thread_park(NEVER, false);
}

/* --- to the host --- */

static void update_size(void)
{
    struct tty_winsize size;

    if (host_terminal && host_tty_size(host_terminal, &size))
        pty_resize(pty, &size);
}

static void put_out(const uint8_t *data, size_t n)
{
    struct iter_segment seg;
    struct iter from;
    uint64_t pos = 0;

    iter_kernel(&from, &seg, (void *)(uintptr_t)data, n);
    while (host_out && from.left > 0) {
        if (host_out->ops->write(host_out, &from, &pos) <= 0)
            return; /* nobody looks any more */
    }
}

static void carry_out(void)
{
    uint8_t *chunk = kmalloc(CHUNK);

    while (chunk) {
        const uint8_t *data;
        uint32_t n;

        wait_until(&pty->master_read, pty->output.count > 0 || resized, NEVER, false);
        if (resized) {
            resized = false;
            update_size();
        }
        data = bytes_front(&pty->output, &n);
        if (!data)
            continue;
        n = MIN(n, CHUNK);
        memcpy(chunk, data, n);
        bytes_drop(&pty->output, n);
        writing = true;
        echo_drain(pty);
        wait_wake_all(&pty->slave_write, EPOLLOUT | EPOLLWRNORM);
        put_out(chunk, n);
        writing = false;
        if (pty->output.count == 0)
            wait_wake_all(&drained, 0);
    }
    for (;;)
        thread_park(NEVER, false);
}

void bridge_resized(void)
{
    resized = true;
    if (pty)
        wait_wake_all(&pty->master_read, 0);
}

void bridge_finish(void)
{
    if (pty && host_out)
        wait_until(&drained, pty->output.count == 0 && !writing, NEVER, false);
}

/* --- start --- */

static long give_slave(void)
{
    static const struct file_ops no_ops;
    struct file *f = file_alloc(&no_ops, O_RDWR | FILE_UNCOUNTED);
    long err = f ? tty_attach_node(&pty->tty, f) : -ENOMEM;

    if (err == 0)
        err = pty->tty.open(&pty->tty, f);
    for (int i = 0; err >= 0 && i < 3; i++) {
        file_get(f);
        err = fd_install_at(current->files, i, f, false);
    }
    if (f)
        file_put(f);
    return err < 0 ? err : 0;
}

long bridge_start(struct file *in, struct file *out, struct file *terminal)
{
    long err;

    wait_queue_init(&drained);
    host_in = in;
    host_out = out;
    host_terminal = terminal;
    pty = pty_create();
    if (is_err(pty))
        return ptr_err(pty);
    user_tty = &pty->tty;
    update_size();
    err = give_slave();
    if (err == 0) {
        tty_set_session(&pty->tty, current->proc);
        err = kthread_start(carry_out);
    }
    if (err == 0 && in)
        err = kthread_start(carry_in);
    return err;
}
