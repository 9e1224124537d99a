"""Multicast and raw packets with headers: groups.py calls: what calls say; groups.py hear|say GROUP PORT [IFINDEX]; groups.py header PEER."""
import errno
import socket
import struct
import sys
import time


def say(what, call):
    try:
        result = call()
    except OSError as e:
        result = errno.errorcode[e.errno]
    print(what, result)


def family_of(group):
    return socket.AF_INET6 if ':' in group else socket.AF_INET


def join(s, group, join=True):
    name, any_device = (socket.IPPROTO_IPV6, struct.pack('I', int(sys.argv[4]) if len(sys.argv) > 4 else 0)) if ':' in group else \
        (socket.IPPROTO_IP, bytes(4))
    option = (socket.IPV6_JOIN_GROUP if join else socket.IPV6_LEAVE_GROUP) if ':' in group else \
        (socket.IP_ADD_MEMBERSHIP if join else socket.IP_DROP_MEMBERSHIP)
    s.setsockopt(name, option, socket.inet_pton(family_of(group), group) + any_device)


def calls():
    for good, bad in ('239.1.2.3', '10.1.2.3'), ('ff15::77', 'fd00::1'):
        s = socket.socket(family_of(good), socket.SOCK_DGRAM)
        say('join', lambda: join(s, good))
        say('again', lambda: join(s, good))
        say('no group', lambda: join(s, bad))
        say('leave', lambda: join(s, good, False))
        say('again', lambda: join(s, good, False))
        say('bind', lambda: s.bind((good, 5000)))
        say('name', lambda: s.getsockname()[:2])
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for i in range(21):
        say('many', lambda: join(s, f'239.1.3.{i}'))
    say('short', lambda: s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, bytes(7)))
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    say('included', lambda: s.getsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL))
    say('short', lambda: s.sendto(bytes(19), ('10.77.0.9', 0)))
    say('header too long', lambda: s.sendto(b'\x46' + bytes(19), ('10.77.0.9', 0)))
    say('too long', lambda: s.sendto(b'\x45' + bytes(1999), ('10.77.0.9', 0)))
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    say('included', lambda: s.getsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL))


def hear(group, port):
    """Two sockets, both bound to the port; the answer goes to who has asked."""
    both = []
    for address in '', group:
        s = socket.socket(family_of(group), socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.settimeout(10)
        s.bind((address, port))
        both.append(s)
    join(both[0], group)
    print('ready', flush=True)
    for s in both:
        data, peer = s.recvfrom(100)
        s.sendto(data[::-1], peer)
    join(both[0], group, False)
    time.sleep(1)  # answers may wait for the neighbour's address, and would go with us


def ask(group, port):
    s = socket.socket(family_of(group), socket.SOCK_DGRAM)
    s.settimeout(10)
    if ':' in group:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, int(sys.argv[4]) if len(sys.argv) > 4 else 0)
    s.sendto(b'hello', (group, port))
    print(sorted(s.recvfrom(100)[0] for _ in range(2)))


def header(peer):
    """A ping with a header of our own making, of which the system fills in what it must."""
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    answers = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    answers.settimeout(10)
    echo = struct.pack('!BBHHH', 8, 0, 0, 77, 1) + b'payload!'
    total = sum(struct.unpack(f'!{len(echo) // 2}H', echo))
    total = ~((total >> 16) + (total & 0xffff)) & 0xffff
    echo = echo[:2] + struct.pack('!H', total) + echo[4:]
    head = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 0, 0, 0, 9, 1, 0, bytes(4), socket.inet_aton(peer))
    s.sendto(head + echo, (peer, 0))
    while True:
        answer = answers.recv(1000)
        if answer[20] == 0:
            break
    print(answer[9], socket.inet_ntoa(answer[12:16]) == peer, answer[24:36] == echo[4:])


mode = sys.argv[1]
if mode == 'calls':
    calls()
elif mode == 'header':
    header(sys.argv[2])
else:
    (hear if mode == 'hear' else ask)(sys.argv[2], int(sys.argv[3]))
