/*
 * The shim's virtio-blk driver against a device that no one here wrote: a vhost-user front-end.
 *
 *   driver_client SOCKET IMAGE
 *
 * The driver's objects are the product's own (guest/drivers/virtio_blk.c, virtq.c); client_guest.c stands in for the rest of the shim.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "hypercalls/layout.h"
#include "tests/conformance/client.h"
#include "tests/conformance/vhost_user.h"

static int sock, kick_fd, call_fd;

static void send_message(struct vu_message *m, const int *fds, size_t fd_count)
{
    m->flags = VU_VERSION;
    if (vu_send(sock, m, fds, fd_count) < 0)
        host_fail("message %u: %s", m->request, strerror(errno));
}

static void ask(struct vu_message *m)
{
    int fds[VU_REGIONS_MAX];
    size_t n;
    uint32_t request = m->request;

    send_message(m, NULL, 0);
    if (vu_receive(sock, m, fds, &n) != 1 || m->request != request || !(m->flags & VU_REPLY))
        host_fail("message %u: no reply", request);
}

static uint64_t get(uint32_t request)
{
    struct vu_message m = { .request = request };

    ask(&m);
    return m.u.value;
}

static void set(uint32_t request, uint64_t value)
{
    struct vu_message m = { .request = request, .size = sizeof(m.u.value), .u.value = value };

    send_message(&m, NULL, 0);
}

static void set_state(uint32_t request, uint32_t num)
{
    struct vu_message m = { .request = request, .size = sizeof(m.u.state), .u.state = { 0, num } };

    send_message(&m, NULL, 0);
}

static void set_fd(uint32_t request, int fd)
{
    struct vu_message m = { .request = request, .size = sizeof(m.u.value) };

    send_message(&m, &fd, 1);
}

uint64_t host_get_features(void)
{
    uint64_t features = get(VU_GET_FEATURES), protocol;

    if (!(features >> VU_F_PROTOCOL_FEATURES & 1))
        host_fail("no protocol features");
    protocol = get(VU_GET_PROTOCOL_FEATURES);
    if (!(protocol >> VU_PROTOCOL_CONFIG & 1))
        host_fail("no access to the configuration");
    set(VU_SET_PROTOCOL_FEATURES, 1ull << VU_PROTOCOL_CONFIG);
    return features;
}

void host_set_features(uint64_t features)
{
    set(VU_SET_FEATURES, features | 1ull << VU_F_PROTOCOL_FEATURES);
}

void host_get_config(uint32_t offset, void *buf, uint32_t len)
{
    struct vu_message m = { .request = VU_GET_CONFIG, .size = 12 + VU_CONFIG_USED, .u.config = { .size = VU_CONFIG_USED } };

    ask(&m);
    if (m.size != 12 + VU_CONFIG_USED || offset + len > VU_CONFIG_USED)
        host_fail("configuration: %u bytes", m.size);
    memcpy(buf, m.u.config.bytes + offset, len);
}

void host_set_queue(uint32_t index, uint32_t size, uint64_t desc, uint64_t avail, uint64_t used)
{
    struct vu_message m = { .request = VU_SET_VRING_ADDR, .size = sizeof(m.u.ring) };

    if (index > 0)
        host_fail("disks have one queue");
    set_state(VU_SET_VRING_NUM, size);
    set_state(VU_SET_VRING_BASE, 0);
    m.u.ring.desc = DIRECT_BASE + desc;
    m.u.ring.avail = DIRECT_BASE + avail;
    m.u.ring.used = DIRECT_BASE + used;
    send_message(&m, NULL, 0);
}

void host_start(void)
{
    set_fd(VU_SET_VRING_CALL, call_fd);
    set_fd(VU_SET_VRING_KICK, kick_fd);
    set_state(VU_SET_VRING_ENABLE, 1);
}

void host_kick(uint32_t index)
{
    (void)index;
    eventfd_write(kick_fd, 1);
}

bool host_wait_call(uint32_t index, int timeout_ms)
{
    struct pollfd p = { call_fd, POLLIN, 0 };
    eventfd_t n;

    (void)index;
    return poll(&p, 1, timeout_ms) > 0 && eventfd_read(call_fd, &n) == 0;
}

static void connect_to(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    for (int tries = 0; connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0; tries++) {
        if (tries == 100)
            host_fail("%s: %s", path, strerror(errno));
        usleep(50000);
    }
    send_message(&(struct vu_message){ .request = VU_SET_OWNER }, NULL, 0);
}

/* Where the shim's pointers are, in memory that the device maps too. */
static uint8_t *share_memory(void)
{
    struct vu_message m = { .request = VU_SET_MEM_TABLE, .size = 8 + sizeof(struct vu_region) };
    int fd = memfd_create("memory", MFD_CLOEXEC);
    uint8_t *p;

    if (fd < 0 || ftruncate(fd, CLIENT_MEMORY) < 0)
        host_fail("memory: %s", strerror(errno));
    p = mmap((void *)DIRECT_BASE, CLIENT_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
    if (p != (void *)DIRECT_BASE)
        host_fail("memory at %p: %s", (void *)DIRECT_BASE, strerror(errno));
    m.u.memory.count = 1;
    m.u.memory.regions[0] = (struct vu_region){ 0, CLIENT_MEMORY, DIRECT_BASE, 0 };
    send_message(&m, &fd, 1);
    close(fd);
    return p;
}

int main(int argc, char **argv)
{
    struct stat st;
    uint8_t *model, *disk;
    int fd;

    if (argc != 3)
        return 2;
    fd = open(argv[2], O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        host_fail("%s: %s", argv[2], strerror(errno));
    model = malloc((size_t)st.st_size);
    if (!model || read(fd, model, (size_t)st.st_size) != st.st_size)
        host_fail("%s: can't be read", argv[2]);
    kick_fd = eventfd(0, EFD_CLOEXEC);
    call_fd = eventfd(0, EFD_CLOEXEC);
    connect_to(argv[1]);
    client_run(share_memory(), model, (uint64_t)st.st_size);
    disk = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (disk == MAP_FAILED || memcmp(disk, model, (size_t)st.st_size) != 0)
        host_fail("the image isn't what was written");
    return 0;
}
