"""Run inside the sandbox: random reads and writes of a block device, cached, direct and mapped, against a copy in memory.

    disk_ops.py DEVICE SEED STEPS      ends with the SHA-256 of what the device must hold
"""
import fcntl
import hashlib
import mmap
import os
import random
import struct
import sys

BLKGETSIZE64, BLKFLSBUF, BLKDISCARD, BLKZEROOUT = 0x80081272, 0x1261, 0x1277, 0x127f
device, seed, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = random.Random(seed)
fd = os.open(device, os.O_RDWR)
direct = os.open(device, os.O_RDWR | os.O_DIRECT)
size = struct.unpack('Q', fcntl.ioctl(fd, BLKGETSIZE64, bytes(8)))[0]
model = bytearray(os.pread(fd, size, 0))
while len(model) < size:
    model += os.pread(fd, size - len(model), len(model))
shared = mmap.mmap(fd, size)
buffer = mmap.mmap(-1, 1 << 20)


def place(longest, unit):
    at = rng.randrange(size // unit) * unit
    return at, min(rng.randrange(1, longest // unit + 1) * unit, size - at)


def fail(what, at, n):
    sys.exit(f'{what}: wrong bytes in [{at}, {at + n})')


for step in range(steps):
    op = rng.randrange(12)
    if op < 3:
        at, n = place(300000, 1)
        if os.pread(fd, n, at) != model[at:at + n]:
            fail('read', at, n)
    elif op < 6:
        at, n = place(100000, 1)
        data = rng.randbytes(n)
        if os.pwrite(fd, data, at) != n:
            fail('short write', at, n)
        model[at:at + n] = data
    elif op == 6:
        at, n = place(1 << 19, 512)
        offset = rng.randrange(3) * 512
        view = memoryview(buffer)[offset:offset + n]
        if os.preadv(direct, [view], at) != n or view != model[at:at + n]:
            fail('direct read', at, n)
    elif op == 7:
        at, n = place(1 << 19, 512)
        data = rng.randbytes(n)
        offset = rng.randrange(3) * 512
        buffer[offset:offset + n] = data
        # two pieces, so that requests of several segments are made
        cut = n // 1024 * 512
        view = memoryview(buffer)
        parts = [view[offset:offset + cut], view[offset + cut:offset + n]] if cut else [view[offset:offset + n]]
        if os.pwritev(direct, parts, at) != n:
            fail('direct write', at, n)
        model[at:at + n] = data
    elif op == 8:
        at, n = place(20000, 1)
        if shared[at:at + n] != model[at:at + n]:
            fail('mapping', at, n)
        at, n = place(3000, 1)
        data = rng.randbytes(n)
        shared[at:at + n] = data
        model[at:at + n] = data
    elif op == 9:
        os.fsync(fd)
    elif op == 10:
        fcntl.ioctl(fd, BLKFLSBUF, 0)
    else:
        at, n = place(65536, 512)
        fcntl.ioctl(fd, BLKZEROOUT, struct.pack('QQ', at, n))
        model[at:at + n] = bytes(n)
shared.close()
print(hashlib.sha256(model).hexdigest())
