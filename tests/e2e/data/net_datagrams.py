"""Datagram calls that a native peer answers, to be run natively and in the VM: what the answers and ancillary data say.

Arguments: address, port of a peer that answers with what it saw of a datagram, a port that nobody has.
"""
import errno
import select
import socket
import struct
import sys
import time

IP_RECVERR, IP_RECVTTL, IP_RECVTOS, IP_PKTINFO, IPV6_RECVERR = 11, 12, 13, 8, 25
MSG_ERRQUEUE, UDP_CORK, SO_TIMESTAMPNS = 0x2000, 1, 35
address, port, closed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def make():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    return s


def show(s, flags=0):
    s.settimeout(None if flags & MSG_ERRQUEUE else 20)  # with a timeout python would poll; the queue of errors never waits
    try:
        data, controls, out, peer = s.recvmsg(2000, 500, flags)
    except OSError as e:
        return errno.errorcode[e.errno]
    said = []
    for level, kind, value in controls:
        if (level, kind) == (0, IP_PKTINFO):
            said.append(('pktinfo', struct.unpack('i4s4s', value)[2] == local(s)))
        elif (level, kind) == (1, SO_TIMESTAMPNS):
            said.append(('time', abs(struct.unpack('qq', value)[0] - time.time()) < 20))
        elif (level, kind) == (0, IP_RECVERR):
            code, origin, kind, icmp, _, info, _ = struct.unpack('IBBBBII', value[:16])
            said.append((errno.errorcode[code], origin, kind, icmp, info, socket.inet_ntoa(value[20:24]) == address))
        else:
            said.append((level, kind, int.from_bytes(value, 'little')))
    return data, said, out, peer in ((address, port), (address, closed))


def local(s):
    """Its address, as the peer's replies come to it."""
    probe = make()
    probe.connect((address, port))
    return socket.inet_aton(probe.getsockname()[0])


def error(s):
    return errno.errorcode.get(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0)


def settle(s, mask):
    """Until poll says so: errors come from the network."""
    p = select.poll()
    p.register(s, mask)
    return p.poll(20000)[0][1]


# What the peer sees, and what is seen of it.
s = make()
for name in (IP_PKTINFO, IP_RECVTTL, IP_RECVTOS):
    s.setsockopt(socket.IPPROTO_IP, name, 1)
s.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
s.sendto(b'plain', (address, port))
print(show(s))
s.sendmsg([b'with ', b'ttl'], [(0, socket.IP_TTL, struct.pack('i', 5))], 0, (address, port))
print(show(s))
s.connect((address, port))
s.sendmsg([b'tos'], [(0, socket.IP_TOS, struct.pack('i', 8))])
print(show(s))
s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 99)
s.send(b'option')
print(show(s))

# Corks.
s.send(b'one ', socket.MSG_MORE)
s.send(b'two')
print(show(s)[0])
s.setsockopt(socket.IPPROTO_UDP, UDP_CORK, 1)
for text in (b'a', b'b', b'c' * 1300):
    s.send(text)
s.setsockopt(socket.IPPROTO_UDP, UDP_CORK, 0)
print(show(s)[0])

# Errors: a connected and an unconnected socket, the queue and SO_ERROR.
for connected in (True, False):
    s = make()
    if connected:
        s.connect((address, closed))
    s.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    print(show(s, MSG_ERRQUEUE))
    s.send(b'lost') if connected else s.sendto(b'lost', (address, closed))
    print(settle(s, 0))
    print(show(s, MSG_ERRQUEUE), error(s), show(s, MSG_ERRQUEUE))
    s.send(b'again') if connected else s.sendto(b'again', (address, closed))
    settle(s, 0)
    print(show(s), error(s), show(s, MSG_ERRQUEUE))
s = make()
s.connect((address, closed))
s.send(b'lost')
print(settle(s, 0), show(s, MSG_ERRQUEUE), show(s))

# Source ports: kept where they can be.
s = make()
s.bind(('0.0.0.0', 0))
mine = s.getsockname()[1]
s.sendto(b'from?', (address, port))
print(int(s.recv(100).split()[-1]) == mine)
s = socket.socket()
s.bind(('0.0.0.0', 0))
mine = s.getsockname()[1]
s.connect((address, port))
print(int(s.recv(100)) == mine, s.getsockname()[1] == mine)
try:
    socket.socket().bind(('192.0.2.77', 0))
except OSError as e:
    print(errno.errorcode[e.errno])
