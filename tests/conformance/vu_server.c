/* See vu_server.h. */
#include "tests/conformance/vu_server.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/un.h>

#include "common/fd.h"
#include "tests/conformance/vhost_user.h"

static struct virtio_device *dev;
static struct guest_region regions[VU_REGIONS_MAX];
struct guest_mem vu_memory = { regions, 0 };
static struct vu_region table[VU_REGIONS_MAX];

struct queue {
    uint32_t size;
    uint64_t desc, avail, used; /* guest-physical */
    int kick_fd, call_fd;
    bool enabled;
};

static struct {
    uint64_t features;
    struct queue queues[VIRTIO_QUEUE_MAX];
    unsigned queue_count;
    int line_fd;
    bool running;
    unsigned starts;
} front;

void vu_die(const char *what)
{
    fprintf(stderr, "conformance server: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint32_t reg_read(uint32_t reg)
{
    uint32_t v;

    virtio_mmio_read(dev, reg, &v, sizeof(v));
    return v;
}

static void reg_write(uint32_t reg, uint32_t v)
{
    virtio_mmio_write(dev, reg, &v, sizeof(v));
}

static void reg_write64(uint32_t low, uint64_t v)
{
    reg_write(low, (uint32_t)v);
    reg_write(low + 4, (uint32_t)(v >> 32));
}

/* With the device's lock held: what the line means is read, and acknowledged, by the main loop. */
void vu_irq(void *arg, bool raised)
{
    (void)arg;
    if (raised)
        eventfd_write(front.line_fd, 1);
}

static void start(void)
{
    uint32_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;

    reg_write(VIRTIO_MMIO_STATUS, 0);
    reg_write(VIRTIO_MMIO_STATUS, status);
    for (uint32_t i = 0; i < 2; i++) {
        reg_write(VIRTIO_MMIO_DRIVER_FEATURES_SEL, i);
        reg_write(VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(front.features >> 32 * i));
    }
    status |= VIRTIO_CONFIG_S_FEATURES_OK;
    reg_write(VIRTIO_MMIO_STATUS, status);
    if (reg_read(VIRTIO_MMIO_STATUS) != status)
        vu_die("the features were refused");
    for (uint32_t i = 0; i < front.queue_count; i++) {
        const struct queue *q = &front.queues[i];

        reg_write(VIRTIO_MMIO_QUEUE_SEL, i);
        reg_write(VIRTIO_MMIO_QUEUE_NUM, q->size);
        reg_write64(VIRTIO_MMIO_QUEUE_DESC_LOW, q->desc);
        reg_write64(VIRTIO_MMIO_QUEUE_AVAIL_LOW, q->avail);
        reg_write64(VIRTIO_MMIO_QUEUE_USED_LOW, q->used);
        reg_write(VIRTIO_MMIO_QUEUE_READY, 1);
    }
    reg_write(VIRTIO_MMIO_STATUS, status | VIRTIO_CONFIG_S_DRIVER_OK);
    if (reg_read(VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET)
        vu_die("the queues were refused");
    front.running = true;
    front.starts++;
}

/* Nothing of the driver's memory is in use when the reset returns. */
static void stop(void)
{
    reg_write(VIRTIO_MMIO_STATUS, 0);
    front.running = false;
}

/* Rings run once all are laid out, have a kick, and are enabled, in whatever order that comes. */
static void start_if_complete(void)
{
    for (unsigned i = 0; i < front.queue_count; i++)
        if (!front.queues[i].enabled || front.queues[i].kick_fd < 0 || !front.queues[i].used)
            return;
    if (!front.running)
        start();
}

static void set_memory(const struct vu_message *m, const int *fds, size_t fd_count)
{
    stop();
    for (size_t i = 0; i < vu_memory.region_count; i++)
        munmap(regions[i].host - table[i].mmap_offset, regions[i].size + table[i].mmap_offset);
    vu_memory.region_count = 0;
    if (m->u.memory.count > VU_REGIONS_MAX || m->u.memory.count != fd_count)
        vu_die("a memory table that isn't one");
    for (size_t i = 0; i < fd_count; i++) {
        const struct vu_region r = m->u.memory.regions[i];
        uint8_t *p = mmap(NULL, r.size + r.mmap_offset, PROT_READ | PROT_WRITE, MAP_SHARED, fds[i], 0);

        if (p == MAP_FAILED)
            vu_die("the driver's memory");
        table[i] = r;
        regions[i] = (struct guest_region){ { r.gpa }, r.size, p + r.mmap_offset };
        close(fds[i]);
    }
    vu_memory.region_count = fd_count;
}

static uint64_t physical(uint64_t address)
{
    for (size_t i = 0; i < vu_memory.region_count; i++)
        if (address - table[i].address < table[i].size)
            return table[i].gpa + (address - table[i].address);
    vu_die("a ring outside of memory");
    return 0;
}

static void take_fd(int *slot, const struct vu_message *m, const int *fds, size_t fd_count)
{
    fd_close(slot);
    *slot = !(m->u.value & VU_NO_FD) && fd_count == 1 ? fds[0] : -1;
}

static void config(struct vu_message *m)
{
    uint32_t at = m->u.config.offset, n = m->u.config.size;

    if (n > VU_CONFIG_MAX || at > VU_CONFIG_MAX)
        vu_die("a configuration space that large");
    for (uint32_t i = 0; i < n; i++) {
        if (m->request == VU_GET_CONFIG)
            virtio_mmio_read(dev, VIRTIO_MMIO_CONFIG + at + i, &m->u.config.bytes[i], 1);
        else
            virtio_mmio_write(dev, VIRTIO_MMIO_CONFIG + at + i, &m->u.config.bytes[i], 1);
    }
}

/* The queue that a message is about. */
static struct queue *queue_of(uint32_t index)
{
    if (index >= front.queue_count)
        vu_die("a queue that isn't there");
    return &front.queues[index];
}

/* True: m has become the reply. */
static bool handle(struct vu_message *m, const int *fds, size_t fd_count)
{
    switch (m->request) {
    case VU_GET_FEATURES:
        m->u.value = dev->offered | 1ull << VU_F_PROTOCOL_FEATURES;
        m->size = 8;
        return true;
    case VU_GET_PROTOCOL_FEATURES:
        m->u.value = 1ull << VU_PROTOCOL_REPLY_ACK;
        if (dev->model->id != VIRTIO_ID_NET) /* its configuration is QEMU's */
            m->u.value |= 1ull << VU_PROTOCOL_CONFIG;
        m->size = 8;
        return true;
    case VU_GET_QUEUE_NUM:
        m->u.value = dev->model->queue_count;
        m->size = 8;
        return true;
    case VU_GET_CONFIG:
        config(m);
        return true;
    case VU_GET_VRING_BASE:
        pthread_mutex_lock(&dev->lock);
        m->u.state.num = dev->queues[m->u.state.index % VIRTIO_QUEUE_MAX].vq.next_avail;
        pthread_mutex_unlock(&dev->lock);
        stop();
        queue_of(m->u.state.index)->used = 0;
        fd_close(&queue_of(m->u.state.index)->kick_fd);
        return true;
    case VU_SET_CONFIG:
        config(m);
        break;
    case VU_SET_FEATURES:
        front.features = m->u.value & ~(1ull << VU_F_PROTOCOL_FEATURES);
        break;
    case VU_SET_MEM_TABLE:
        set_memory(m, fds, fd_count);
        break;
    case VU_SET_VRING_NUM:
        queue_of(m->u.state.index)->size = m->u.state.num;
        break;
    case VU_SET_VRING_BASE:
        if (m->u.state.num != 0)
            vu_die("a queue that begins in the middle");
        break;
    case VU_SET_VRING_ADDR:
        queue_of(m->u.ring.index)->desc = physical(m->u.ring.desc);
        queue_of(m->u.ring.index)->avail = physical(m->u.ring.avail);
        queue_of(m->u.ring.index)->used = physical(m->u.ring.used);
        break;
    case VU_SET_VRING_KICK:
        take_fd(&queue_of(m->u.value & 0xff)->kick_fd, m, fds, fd_count);
        break;
    case VU_SET_VRING_CALL:
        take_fd(&queue_of(m->u.value & 0xff)->call_fd, m, fds, fd_count);
        break;
    case VU_SET_VRING_ENABLE:
        queue_of(m->u.state.index)->enabled = m->u.state.num;
        if (!m->u.state.num)
            stop();
        break;
    default:
        break;
    }
    m->u.value = 0;
    m->size = 8;
    return m->flags & VU_NEED_REPLY;
}

static void interrupt(void)
{
    uint32_t why = reg_read(VIRTIO_MMIO_INTERRUPT_STATUS);

    fd_take_event(front.line_fd);
    if (reg_read(VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET)
        vu_die("the driver broke the rules");
    reg_write(VIRTIO_MMIO_INTERRUPT_ACK, why);
    for (unsigned i = 0; i < front.queue_count && (why & VIRTIO_MMIO_INT_VRING); i++)
        if (front.queues[i].call_fd >= 0)
            eventfd_write(front.queues[i].call_fd, 1);
}

static void serve(int sock)
{
    struct vu_message m;
    int fds[VU_REGIONS_MAX];
    size_t fd_count;

    for (;;) {
        struct pollfd p[2 + VIRTIO_QUEUE_MAX] = { { sock, POLLIN, 0 }, { front.line_fd, POLLIN, 0 } };
        eventfd_t n;

        for (unsigned i = 0; i < front.queue_count; i++)
            p[2 + i] = (struct pollfd){ front.queues[i].kick_fd, POLLIN, 0 };
        if (poll(p, 2 + front.queue_count, -1) < 0)
            vu_die("poll");
        if (p[1].revents)
            interrupt();
        for (unsigned i = 0; i < front.queue_count; i++)
            if (p[2 + i].revents && eventfd_read(front.queues[i].kick_fd, &n) == 0)
                reg_write(VIRTIO_MMIO_QUEUE_NOTIFY, i);
        if (!p[0].revents)
            continue;
        if (vu_receive(sock, &m, fds, &fd_count) <= 0)
            return;
        if (handle(&m, fds, fd_count)) {
            m.flags = VU_VERSION | VU_REPLY;
            if (vu_send(sock, &m, NULL, 0) < 0)
                return;
        }
        start_if_complete();
    }
}

static int accept_one(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), sock;

    if (strlen(path) >= sizeof(address.sun_path))
        vu_die(path);
    strcpy(address.sun_path, path);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0)
        vu_die(path);
    sock = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    if (sock < 0)
        vu_die(path);
    close(fd);
    return sock;
}

void vu_serve(struct virtio_device *device, unsigned queue_count, const char *path)
{
    int err;

    dev = device;
    front.queue_count = queue_count;
    for (unsigned i = 0; i < queue_count; i++)
        front.queues[i] = (struct queue){ .kick_fd = -1, .call_fd = -1 };
    front.line_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    err = virtio_thread_start(dev, NULL);
    errno = -err;
    if (err < 0)
        vu_die("thread");
    serve(accept_one(path));
    stop();
    printf("%u starts, event index %d, indirect %d, features %llx\n", front.starts, (int)(front.features >> VIRTIO_RING_F_EVENT_IDX & 1),
           (int)(front.features >> VIRTIO_RING_F_INDIRECT_DESC & 1), (unsigned long long)front.features);
}
