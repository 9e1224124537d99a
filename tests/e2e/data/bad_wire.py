"""A wire between a tap of vmm's and the host that loses, doubles and reorders frames: bad_wire.py TAP NEW PERCENT.

Makes a tap called NEW and says "ready" when it carries what TAP's device sends, and the other way round.
"""

import fcntl
import os
import random
import select
import socket
import struct
import sys

TUNSETIFF, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x400454ca, 2, 0x1000, 0x4000
SOL_PACKET, PACKET_VNET_HDR, PACKET_OUTGOING, ETH_P_ALL = 263, 15, 4, 3
ROOM = 1 << 17

name, new, percent = sys.argv[1], sys.argv[2], float(sys.argv[3])
random.seed(7)
tap = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(tap, TUNSETIFF, struct.pack('16sH22x', new.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
# Opened before any frame is of interest, with the header that says what a frame leaves to its receiver.
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
wire.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
wire.bind((name, ETH_P_ALL))
held = {tap: None, wire: None}


def send(to, frame):
    try:
        os.write(tap, frame) if to is tap else wire.send(frame)
    except OSError:
        pass  # lost


def disturb(to, frame):
    dice = random.uniform(0, 100)
    if dice < percent:
        return
    if dice < 2 * percent and held[to] is None:
        held[to] = frame  # after the next one
        return
    send(to, frame)
    if dice < 3 * percent:
        send(to, frame)
    if held[to] is not None:
        send(to, held[to])
        held[to] = None


print('ready', flush=True)
while True:
    readable, _, _ = select.select([tap, wire], [], [])
    if tap in readable:
        disturb(wire, os.read(tap, ROOM))
    if wire in readable:
        frame, address = wire.recvfrom(ROOM)
        if address[2] != PACKET_OUTGOING:
            disturb(tap, frame)
