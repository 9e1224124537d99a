"""IPv6 datagrams with ancillary data. Arguments: serve, or the address of one that does; its port is 7001, and nobody has 7002."""
import errno
import select
import socket
import struct
import sys

PORT, CLOSED, IPV6_RECVERR, MSG_ERRQUEUE = 7001, 7002, 25, 0x2000
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
for name in (socket.IPV6_RECVHOPLIMIT, socket.IPV6_RECVTCLASS, socket.IPV6_RECVPKTINFO):
    s.setsockopt(socket.IPPROTO_IPV6, name, 1)

if sys.argv[1] == 'serve':
    s.bind(('::', PORT))
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 44)
    while True:
        data, controls, _, peer = s.recvmsg(2000, 200)
        seen = {kind: value[0] for _, kind, value in controls}
        s.sendto(b'%d %d %s' % (seen[socket.IPV6_HOPLIMIT], seen[socket.IPV6_TCLASS], data), peer)

address = sys.argv[1]


def show(flags=0):
    s.settimeout(None if flags else 20)
    try:
        data, controls, out, peer = s.recvmsg(2000, 500, flags)
    except OSError as e:
        return errno.errorcode[e.errno]
    said = []
    for level, kind, value in controls:
        if kind == socket.IPV6_PKTINFO:
            said.append(socket.inet_ntop(socket.AF_INET6, value[:16]))
        elif kind == IPV6_RECVERR:
            said.append((*struct.unpack('IBBBBII', value[:16])[:4], socket.inet_ntop(socket.AF_INET6, value[24:40])))
        else:
            said.append((level, kind, int.from_bytes(value, 'little')))
    return data, said, out, peer[:2]


for controls in ((), ((41, socket.IPV6_HOPLIMIT, 5),), ((41, socket.IPV6_TCLASS, 8), (41, socket.IPV6_HOPLIMIT, 6))):
    s.sendmsg([b'text'], [(level, kind, struct.pack('i', value)) for level, kind, value in controls], 0, (address, PORT))
    print(show())
source = socket.inet_pton(socket.AF_INET6, address) + bytes(4)
s.sendmsg([b'from'], [(41, socket.IPV6_PKTINFO, source)], 0, (address, PORT))
print(show())
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
s.sendto(b'lost', (address, CLOSED))
poll = select.poll()
poll.register(s, 0)
print(poll.poll(20000)[0][1], show(MSG_ERRQUEUE), show(MSG_ERRQUEUE))
for family, host in ((socket.AF_INET, '10.88.0.1'), (socket.AF_INET6, address)):  # an address of the host's as the source
    t = socket.socket(family, socket.SOCK_DGRAM)
    t.bind((host, 0))
    print(t.getsockname()[0], t.getsockname()[1] > 0)
    try:
        t.bind((host, 0))
    except OSError as e:
        print(errno.errorcode[e.errno])
