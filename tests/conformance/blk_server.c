/*
 * Our virtio-blk device for drivers that no one here wrote: a vhost-user-blk server on devices/.
 *
 *   blk_server SOCKET IMAGE [ro]
 *
 * Each message becomes what a driver on the MMIO transport would do with the registers, so that the status machine, the queues and the
 * requests of the product answer; only Linux's virtio-mmio driver itself is replaced. Ends when the front-end closes the socket, with a
 * line that says which features the driver took and how often it started.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/un.h>

#include "common/fd.h"
#include "devices/blk.h"
#include "tests/conformance/vhost_user.h"

static struct blk blk;
static struct virtio_device *const dev = &blk.dev;
static struct guest_region regions[VU_REGIONS_MAX];
static struct guest_mem memory = { regions, 0 };
static struct vu_region table[VU_REGIONS_MAX];

static struct {
    uint64_t features;
    uint32_t size;
    uint64_t desc, avail, used; /* guest-physical */
    int kick_fd, call_fd, line_fd;
    bool enabled, running;
    unsigned starts;
} front = { .kick_fd = -1, .call_fd = -1 };

static void die(const char *what)
{
    fprintf(stderr, "blk_server: %s: %s\n", what, strerror(errno));
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
static void irq(void *arg, bool raised)
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
        die("the features were refused");
    reg_write(VIRTIO_MMIO_QUEUE_SEL, 0);
    reg_write(VIRTIO_MMIO_QUEUE_NUM, front.size);
    reg_write64(VIRTIO_MMIO_QUEUE_DESC_LOW, front.desc);
    reg_write64(VIRTIO_MMIO_QUEUE_AVAIL_LOW, front.avail);
    reg_write64(VIRTIO_MMIO_QUEUE_USED_LOW, front.used);
    reg_write(VIRTIO_MMIO_QUEUE_READY, 1);
    reg_write(VIRTIO_MMIO_STATUS, status | VIRTIO_CONFIG_S_DRIVER_OK);
    if (reg_read(VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET)
        die("the queue was refused");
    front.running = true;
    front.starts++;
}

/* Nothing of the driver's memory is in use when the reset returns. */
static void stop(void)
{
    reg_write(VIRTIO_MMIO_STATUS, 0);
    front.running = false;
}

/* A ring runs once it is laid out, has a kick, and is enabled, in whatever order that comes. */
static void start_if_complete(void)
{
    if (front.enabled && !front.running && front.kick_fd >= 0 && front.used)
        start();
}

static void set_memory(const struct vu_message *m, const int *fds, size_t fd_count)
{
    stop();
    for (size_t i = 0; i < memory.region_count; i++)
        munmap(regions[i].host - table[i].mmap_offset, regions[i].size + table[i].mmap_offset);
    memory.region_count = 0;
    if (m->u.memory.count > VU_REGIONS_MAX || m->u.memory.count != fd_count)
        die("a memory table that isn't one");
    for (size_t i = 0; i < fd_count; i++) {
        const struct vu_region r = m->u.memory.regions[i];
        uint8_t *p = mmap(NULL, r.size + r.mmap_offset, PROT_READ | PROT_WRITE, MAP_SHARED, fds[i], 0);

        if (p == MAP_FAILED)
            die("the driver's memory");
        table[i] = r;
        regions[i] = (struct guest_region){ { r.gpa }, r.size, p + r.mmap_offset };
        close(fds[i]);
    }
    memory.region_count = fd_count;
}

static uint64_t physical(uint64_t address)
{
    for (size_t i = 0; i < memory.region_count; i++)
        if (address - table[i].address < table[i].size)
            return table[i].gpa + (address - table[i].address);
    die("a ring outside of memory");
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
        die("a configuration space that large");
    for (uint32_t i = 0; i < n; i++) {
        if (m->request == VU_GET_CONFIG)
            virtio_mmio_read(dev, VIRTIO_MMIO_CONFIG + at + i, &m->u.config.bytes[i], 1);
        else
            virtio_mmio_write(dev, VIRTIO_MMIO_CONFIG + at + i, &m->u.config.bytes[i], 1);
    }
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
        m->u.value = 1ull << VU_PROTOCOL_REPLY_ACK | 1ull << VU_PROTOCOL_CONFIG;
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
        m->u.state.num = dev->queues[0].vq.next_avail;
        pthread_mutex_unlock(&dev->lock);
        stop();
        front.used = 0;
        fd_close(&front.kick_fd);
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
        front.size = m->u.state.num;
        break;
    case VU_SET_VRING_BASE:
        if (m->u.state.num != 0)
            die("a queue that begins in the middle");
        break;
    case VU_SET_VRING_ADDR:
        front.desc = physical(m->u.ring.desc);
        front.avail = physical(m->u.ring.avail);
        front.used = physical(m->u.ring.used);
        break;
    case VU_SET_VRING_KICK:
        take_fd(&front.kick_fd, m, fds, fd_count);
        break;
    case VU_SET_VRING_CALL:
        take_fd(&front.call_fd, m, fds, fd_count);
        break;
    case VU_SET_VRING_ENABLE:
        front.enabled = m->u.state.num;
        if (!front.enabled)
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
        die("the driver broke the rules");
    reg_write(VIRTIO_MMIO_INTERRUPT_ACK, why);
    if ((why & VIRTIO_MMIO_INT_VRING) && front.call_fd >= 0)
        eventfd_write(front.call_fd, 1);
}

static void serve(int sock)
{
    struct vu_message m;
    int fds[VU_REGIONS_MAX];
    size_t fd_count;

    for (;;) {
        struct pollfd p[] = { { sock, POLLIN, 0 }, { front.line_fd, POLLIN, 0 }, { front.kick_fd, POLLIN, 0 } };
        eventfd_t n;

        if (poll(p, 3, -1) < 0)
            die("poll");
        if (p[1].revents)
            interrupt();
        if (p[2].revents && eventfd_read(front.kick_fd, &n) == 0)
            reg_write(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
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
        die(path);
    strcpy(address.sun_path, path);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0)
        die(path);
    sock = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    if (sock < 0)
        die(path);
    close(fd);
    return sock;
}

int main(int argc, char **argv)
{
    bool readonly = argc == 4 && strcmp(argv[3], "ro") == 0;
    int err;

    if (argc != 3 && !readonly) {
        fprintf(stderr, "usage: blk_server SOCKET IMAGE [ro]\n");
        return 2;
    }
    front.line_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    err = disk_open(&blk.disk, argv[2], readonly, true);
    if (err == 0)
        err = blk_init(&blk, &memory, irq, NULL, "conformance", &(struct blk_limits){ 0 });
    if (err == 0)
        err = virtio_thread_start(dev, NULL);
    errno = -err;
    if (err < 0)
        die(argv[2]);
    serve(accept_one(argv[1]));
    stop();
    printf("%u starts, event index %d, indirect %d\n", front.starts, (int)(front.features >> VIRTIO_RING_F_EVENT_IDX & 1),
           (int)(front.features >> VIRTIO_RING_F_INDIRECT_DESC & 1));
    return 0;
}
