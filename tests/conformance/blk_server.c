/* Our virtio-blk device over vhost-user: blk_server SOCKET IMAGE [ro] */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "devices/blk.h"
#include "tests/conformance/vu_server.h"

static struct blk blk;

int main(int argc, char **argv)
{
    bool readonly = argc == 4 && strcmp(argv[3], "ro") == 0;
    int err;

    if (argc != 3 && !readonly) {
        fprintf(stderr, "usage: blk_server SOCKET IMAGE [ro]\n");
        return 2;
    }
    err = disk_open(&blk.disk, argv[2], readonly, true);
    if (err == 0)
        err = blk_init(&blk, &vu_memory, vu_irq, NULL, "conformance", &(struct blk_limits){ 0 });
    errno = -err;
    if (err < 0)
        vu_die(argv[2]);
    vu_serve(&blk.dev, 1, argv[1]);
    return 0;
}
