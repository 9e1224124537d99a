/* See devices.h. */
#include "vmm/devices.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>

#include "common/log.h"
#include "devices/blk.h"
#include "devices/net.h"
#include "devices/tap.h"
#include "hypercalls/devices.h"
#include "vmm/launch.h"
#include "vmm/passt.h"

/* As with the gofer's doorbell (vcpu.c): a short-lived VM is better off with exits. */
#define DOORBELL_EXITS 64

static struct guest_region regions[2];
static struct guest_mem memory = { regions, 0 };
static struct virtio_device *devices[DEVICE_MAX];
static unsigned exits[DEVICE_MAX];
static unsigned device_count;

unsigned devices_count(const struct options *opt)
{
    return (unsigned)opt->disk_count + opt->nic.wanted;
}

/*
 * All that --mem allows, whether the guest has asked for it already or not: it is reserved memory of ours either way, and the
 * table never changes under a device's thread. Arena and window are not for devices.
 */
static void describe_memory(const struct vm *vm)
{
    uint64_t low = vm->ram_reserved < GPA_RAM_HOLE_BASE ? vm->ram_reserved : GPA_RAM_HOLE_BASE;

    regions[0] = (struct guest_region){ { 0 }, low, vm->ram };
    memory.region_count = 1;
    if (vm->ram_reserved > GPA_RAM_HOLE_END) {
        regions[1] = (struct guest_region){ { GPA_RAM_HOLE_END }, vm->ram_reserved - GPA_RAM_HOLE_END,
                                            vm->ram + GPA_RAM_HOLE_END };
        memory.region_count = 2;
    }
}

/* There is no interrupt controller: a pending bit and a kick. Nothing is to be done when the line falls. */
static void interrupt(void *arg, bool raised)
{
    if (raised)
        vcpu_kick(arg, PENDING_DEVICE);
}

static int open_disk(struct sandbox *sb, const struct disk_spec *spec)
{
    struct blk *blk = calloc(1, sizeof(*blk));
    int err;

    if (!blk) {
        log_errno(spec->path, ENOMEM);
        return -1;
    }
    err = disk_open(&blk->disk, spec->path, spec->readonly, true);
    if (err == -EWOULDBLOCK) {
        log_error(spec->path, "is in use by another sandbox");
        return -1;
    }
    if (err == -EINVAL) {
        log_error(spec->path, "is no disk: neither a file nor a block device, or empty");
        return -1;
    }
    if (!err)
        err = blk_init(blk, &memory, interrupt, sb, spec->serial, &(struct blk_limits){ spec->iops, spec->bps });
    if (err < 0) {
        log_errno(spec->path, err);
        return -1;
    }
    devices[device_count++] = &blk->dev;
    return 0;
}

/* A tap lets through what its network does: 65521 is what a frame of 16-bit length can carry. */
static uint16_t mtu_of(const struct nic_spec *nic, const struct wire *w)
{
    uint32_t mtu = nic->mtu ? nic->mtu : w->mtu;

    return (uint16_t)(mtu > 65521 ? 65521 : mtu);
}

static int open_tap(struct tap *tap, const char *name)
{
    const char *what = name ? name : "--nic tap";
    int err = tap_open(tap, name);

    if (err == -ENODEV || err == -ENOTSUP || err == -EBUSY)
        log_error(what, err == -ENODEV ? "there is no such tap" : err == -EBUSY ? "is in use" : "no tap with a virtio header");
    else if (err < 0)
        log_errno(what, err);
    return err < 0 ? -1 : 0;
}

/* The other end, or NULL after one line. */
static struct wire *open_wire(const struct options *opt)
{
    static struct stream stream;
    static struct tap tap;

    if (opt->nic.passt)
        return passt_start(&stream, opt) < 0 ? NULL : &stream.wire;
    return open_tap(&tap, opt->nic.tap) < 0 ? NULL : &tap.wire;
}

static int open_nic(struct sandbox *sb, const struct nic_spec *nic)
{
    struct vnet *net = calloc(1, sizeof(*net));
    uint8_t mac[6];
    int err = -ENOMEM;

    if (net) {
        net->wire = open_wire(sb->opt);
        if (!net->wire)
            return -1;
        err = getrandom(mac, sizeof(mac), 0) == (ssize_t)sizeof(mac) ? 0 : -EIO;
        mac[0] = (uint8_t)((mac[0] & 0xfc) | 2); /* one of our own making */
    }
    if (!err)
        err = vnet_init(net, &memory, interrupt, sb, nic->has_mac ? nic->mac : mac, mtu_of(nic, net->wire), nic->bps);
    if (err < 0) {
        log_errno("--nic", err);
        return -1;
    }
    devices[device_count++] = &net->dev;
    return 0;
}

int devices_open(struct sandbox *sb)
{
    describe_memory(&sb->vm);
    for (size_t i = 0; i < sb->opt->disk_count; i++)
        if (open_disk(sb, &sb->opt->disks[i]) < 0)
            return -1;
    return sb->opt->nic.wanted ? open_nic(sb, &sb->opt->nic) : 0;
}

int devices_start(void)
{
    for (unsigned i = 0; i < device_count; i++) {
        int err = virtio_thread_start(devices[i], launch_filter_thread);

        if (err < 0) {
            log_errno("device thread", err);
            return -1;
        }
    }
    return 0;
}

bool devices_mmio(uint64_t gpa, void *data, uint32_t len, bool is_write)
{
    uint64_t offset = gpa - GPA_DEVICES_BASE;

    if (gpa < GPA_DEVICES_BASE || offset / DEVICE_PAGE_SIZE >= device_count)
        return false;
    if (is_write)
        virtio_mmio_write(devices[offset / DEVICE_PAGE_SIZE], offset % DEVICE_PAGE_SIZE, data, len);
    else
        virtio_mmio_read(devices[offset / DEVICE_PAGE_SIZE], offset % DEVICE_PAGE_SIZE, data, len);
    return true;
}

void devices_doorbell(struct sandbox *sb, uint32_t number)
{
    struct kvm_ioeventfd io = { .datamatch = number, .addr = PORT_DEVICE, .len = 4,
                                .flags = KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH };

    if (number >= device_count)
        return;
    virtio_kick(devices[number]);
    io.fd = devices[number]->kick_fd;
    if (++exits[number] == DOORBELL_EXITS)
        (void)ioctl(sb->vm.vm_fd, KVM_IOEVENTFD, &io); /* refused: exits go on serving */
}
