"""ICMP echo by datagram sockets (icmp(7)), natively and in the VM. Arguments: addresses."""
import errno
import socket
import struct
import sys

PROTOCOLS = {socket.AF_INET: (socket.IPPROTO_ICMP, 8, 0), socket.AF_INET6: (socket.IPPROTO_ICMPV6, 128, 129)}


def code(call, *arguments):
    try:
        return call(*arguments)
    except OSError as e:
        return errno.errorcode[e.errno]


def ping(address):
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    protocol, request, reply = PROTOCOLS[family]
    s = code(socket.socket, family, socket.SOCK_DGRAM, protocol)
    if isinstance(s, str):
        return s
    s.settimeout(20)
    if family == socket.AF_INET:
        s.setsockopt(socket.IPPROTO_IP, 12, 1)  # IP_RECVTTL
    else:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    said = []
    for text in (b'', b'x' * 56, b'y' * 1400):
        said.append(code(s.sendto, struct.pack('>BBHHH', request, 0, 0, 77, len(text)) + text, (address, 0)))
        if isinstance(said[-1], str):
            return said
        data, controls, _, peer = s.recvmsg(2000, 100)
        kind, icmp, _, number, sequence = struct.unpack('>BBHHH', data[:8])
        said.append((kind == reply, icmp, number == s.getsockname()[1], sequence, data[8:] == text, peer[0] == address, peer[1],
                     [int.from_bytes(c[2], 'little') for c in controls]))
    said.append(code(s.sendto, b'short', (address, 0)))
    said.append(code(s.sendto, struct.pack('>BBHHH', reply, 0, 0, 0, 0), (address, 0)))
    s.connect((address, 0))
    s.send(struct.pack('>BBHHH', request, 0, 0, 0, 5))
    said.append(s.recv(100)[6:])
    return said


for word in sys.argv[1:]:
    print(ping(word))
