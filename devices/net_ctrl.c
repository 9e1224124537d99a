/* virtio-net's control queue (§5.1.6.5): which frames the driver wants, and which offloads. */
#include <errno.h>
#include <linux/if_tun.h>
#include <string.h>

#include "common/iov.h"
#include "devices/net.h"

#define ACK_SIZE 1u

void vnet_filter_reset(struct vnet_filter *filter)
{
    memset(filter, 0, sizeof(*filter));
}

/* --- the filter --- */

static bool listed(const struct vnet_macs *macs, const uint8_t mac[6])
{
    for (uint32_t i = 0; i < macs->count; i++)
        if (!memcmp(macs->mac[i], mac, 6))
            return true;
    return macs->overflow;
}

/* A driver that can't set filters gets what a network card would give it: its own, and all that is for several. */
bool vnet_filter_wants(const struct vnet *net, const uint8_t destination[6])
{
    static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
    const struct vnet_filter *f = &net->filter;

    if (f->promisc)
        return true;
    if (!memcmp(destination, broadcast, 6))
        return !f->nobcast;
    if (destination[0] & 1)
        return !f->nomulti && (f->allmulti || listed(&f->multicast, destination) ||
                               !virtio_has_feature(&net->dev, VIRTIO_NET_F_CTRL_RX));
    return !f->nouni && (f->alluni || !memcmp(net->config.mac, destination, 6) || listed(&f->unicast, destination));
}

/* --- commands --- */

static int set_mode(struct vnet *net, uint8_t command, uint8_t on)
{
    struct vnet_filter *f = &net->filter;
    bool *const modes[] = {
        [VIRTIO_NET_CTRL_RX_PROMISC] = &f->promisc, [VIRTIO_NET_CTRL_RX_ALLMULTI] = &f->allmulti,
        [VIRTIO_NET_CTRL_RX_ALLUNI] = &f->alluni,   [VIRTIO_NET_CTRL_RX_NOMULTI] = &f->nomulti,
        [VIRTIO_NET_CTRL_RX_NOUNI] = &f->nouni,     [VIRTIO_NET_CTRL_RX_NOBCAST] = &f->nobcast,
    };
    bool extra = command > VIRTIO_NET_CTRL_RX_ALLMULTI;

    if (command >= sizeof(modes) / sizeof(modes[0]) || on > 1 ||
        !virtio_has_feature(&net->dev, extra ? VIRTIO_NET_F_CTRL_RX_EXTRA : VIRTIO_NET_F_CTRL_RX))
        return -EINVAL;
    *modes[command] = on != 0;
    return 0;
}

/* A table is a count and as many addresses; *pos is where it begins. */
static int read_table(const struct virtq_chain *c, size_t *pos, struct vnet_macs *ret)
{
    uint32_t count;

    if (iov_read(&count, c->in, c->in_count, *pos, sizeof(count)) != sizeof(count))
        return -EINVAL;
    *pos += sizeof(count);
    if (count > (c->in_size - *pos) / 6)
        return -EINVAL;
    ret->overflow = count > NET_MACS_MAX;
    ret->count = ret->overflow ? 0 : count;
    iov_read(ret->mac, c->in, c->in_count, *pos, ret->count * 6);
    *pos += (size_t)count * 6;
    return 0;
}

static int set_tables(struct vnet *net, const struct virtq_chain *c, size_t pos)
{
    struct vnet_macs unicast, multicast;

    if (read_table(c, &pos, &unicast) < 0 || read_table(c, &pos, &multicast) < 0)
        return -EINVAL;
    net->filter.unicast = unicast;
    net->filter.multicast = multicast;
    return 0;
}

static int set_mac(struct vnet *net, uint8_t command, const struct virtq_chain *c, size_t pos)
{
    if (command == VIRTIO_NET_CTRL_MAC_TABLE_SET && virtio_has_feature(&net->dev, VIRTIO_NET_F_CTRL_RX))
        return set_tables(net, c, pos);
    if (command != VIRTIO_NET_CTRL_MAC_ADDR_SET || !virtio_has_feature(&net->dev, VIRTIO_NET_F_CTRL_MAC_ADDR) ||
        c->in_size - pos != 6)
        return -EINVAL;
    iov_read(net->config.mac, c->in, c->in_count, pos, 6);
    return 0;
}

uint8_t vnet_control(struct vnet *net, const struct virtq_chain *c)
{
    struct virtio_net_ctrl_hdr header;
    uint8_t on;
    int err = -EINVAL;

    if (iov_read(&header, c->in, c->in_count, 0, sizeof(header)) != sizeof(header))
        return VIRTIO_NET_ERR;
    if (header.class == VIRTIO_NET_CTRL_RX && c->in_size == sizeof(header) + 1) {
        iov_read(&on, c->in, c->in_count, sizeof(header), 1);
        err = set_mode(net, header.cmd, on);
    } else if (header.class == VIRTIO_NET_CTRL_MAC) {
        err = set_mac(net, header.cmd, c, sizeof(header));
    }
    return (uint8_t)(err < 0 ? VIRTIO_NET_ERR : VIRTIO_NET_OK);
}
