"""packet(7): packets.py DEVICE calls: what calls say, alike on every device; packets.py DEVICE frames PEER: frames to and from PEER."""
import errno
import socket
import struct
import sys
import time

SOL_PACKET = 263
ADD_MEMBERSHIP, DROP_MEMBERSHIP, STATISTICS, AUXDATA, IGNORE_OUTGOING = 1, 2, 6, 8, 23
ETH_P_ALL, ETH_P_ARP, TYPE = 3, 0x0806, 0x88b5
device, mode = sys.argv[1:3]


def say(what, call):
    try:
        result = call()
    except OSError as e:
        result = errno.errorcode[e.errno]
    print(what, result)


def calls():
    index = socket.if_nametoindex(device)
    say('stream', lambda: socket.socket(socket.AF_PACKET, socket.SOCK_STREAM, 0))
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    dgram = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    raw.setblocking(False)
    say('nothing wanted', lambda: raw.recv(100))
    say('name', lambda: raw.getsockname()[1:4])
    say('peer', raw.getpeername)
    say('no device', lambda: raw.send(bytes(60)))
    say('bind', lambda: raw.bind((device, TYPE)))
    say('name', lambda: (raw.getsockname()[0] == device, raw.getsockname()[1:4], len(raw.getsockname()[4])))
    say('bind nowhere', lambda: raw.bind(('nowhere', TYPE)))
    say('short', lambda: raw.send(bytes(13)))
    say('long', lambda: raw.send(bytes(70000)))
    say('connect', lambda: raw.connect((device, TYPE)))
    say('listen', raw.listen)
    say('accept', raw.accept)
    say('shutdown', lambda: raw.shutdown(socket.SHUT_RD))
    say('datagram', lambda: dgram.send(b'x'))
    say('datagram', lambda: dgram.sendto(b'x', (device, TYPE, 0, 0, b'12')))
    say('out of band', lambda: raw.recv(100, socket.MSG_OOB))
    for name in ADD_MEMBERSHIP, DROP_MEMBERSHIP:
        say('short membership', lambda: raw.setsockopt(SOL_PACKET, name, bytes(4)))
        say('promiscuous', lambda: raw.setsockopt(SOL_PACKET, name, struct.pack('iHH8s', index, 1, 0, bytes(8))))
        say('multicast', lambda: raw.setsockopt(SOL_PACKET, name, struct.pack('iHH8s', index, 0, 6, b'\1\0\x5e\0\0\1')))
        say('multicast, short', lambda: raw.setsockopt(SOL_PACKET, name, struct.pack('iHH8s', index, 0, 5, b'\1\0\x5e\0\0\1')))
    say('no device', lambda: raw.setsockopt(SOL_PACKET, ADD_MEMBERSHIP, struct.pack('iHH8s', 77, 1, 0, bytes(8))))
    say('unknown', lambda: raw.setsockopt(SOL_PACKET, 99, 1))
    say('unknown', lambda: raw.getsockopt(SOL_PACKET, 99))
    for name in AUXDATA, IGNORE_OUTGOING:
        say('flag', lambda: raw.getsockopt(SOL_PACKET, name))
        say('flag', lambda: raw.setsockopt(SOL_PACKET, name, 1))
        say('flag', lambda: raw.getsockopt(SOL_PACKET, name))
    say('two', lambda: raw.setsockopt(SOL_PACKET, IGNORE_OUTGOING, 2))
    say('statistics', lambda: struct.unpack('II', raw.getsockopt(SOL_PACKET, STATISTICS, 8)))


def request(mac, own, peer):
    return struct.pack('!HHBBH6s4s6s4s', 1, 0x800, 6, 4, 1, mac, own, bytes(6), peer)


def frames(peer):
    everything = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    arp = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ARP))
    for s in everything, arp:
        s.settimeout(10)
    everything.bind((device, ETH_P_ALL))
    arp.setsockopt(SOL_PACKET, AUXDATA, 1)
    mac = everything.getsockname()[4]
    question = request(mac, socket.inet_aton(sys.argv[4]), socket.inet_aton(peer))
    assert arp.sendto(question, (device, ETH_P_ARP, 0, 0, b'\xff' * 6)) == 28
    answer, ancillary, flags, source = arp.recvmsg(1000, 100)
    status, length, snapped = struct.unpack('III', ancillary[0][2][:12])
    print('answer', answer[6:8], socket.inet_ntoa(answer[14:18]) == peer, answer[8:14] == source[4], source[:4], flags)
    print('auxiliary', ancillary[0][:2], status & 1, length >= 28, snapped == length)
    # the socket for everything saw both, the question as one that went out
    seen = {}
    while len(seen) < 2:
        frame, source = everything.recvfrom(2000)
        if frame[12:14] == b'\x08\x06':
            seen[source[2]] = frame
    print('question', seen[4][:6] == b'\xff' * 6, seen[4][6:12] == mac, seen[4][14:42] == question)
    print('answer', seen[0][:6] == mac, seen[0][14:42] == answer[:28])
    # a frame of everything's own isn't given back to it, but to others
    other = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    other.settimeout(10)
    mine = b'\xff' * 6 + mac + struct.pack('!H', TYPE) + bytes(100)
    everything.send(mine)
    while other.recv(2000) != mine:
        pass
    time.sleep(0.2)
    everything.setblocking(False)
    try:
        while True:
            assert everything.recv(2000) != mine
    except BlockingIOError:
        pass
    packets, drops = struct.unpack('II', other.getsockopt(SOL_PACKET, STATISTICS, 8))
    print('statistics', packets > 0, drops, struct.unpack('II', other.getsockopt(SOL_PACKET, STATISTICS, 8)))
    # cut short
    everything.close()
    arp.sendto(question, (device, ETH_P_ARP, 0, 0, b'\xff' * 6))
    data, _, flags, _ = arp.recvmsg(10)
    print('cut', len(data), flags & socket.MSG_TRUNC != 0)
    # as somebody else, whose frames come only to the promiscuous
    other.bind((device, ETH_P_ALL))
    fake, index = b'\x02\0\0\0\0\x77', socket.if_nametoindex(device)
    for name in ADD_MEMBERSHIP, DROP_MEMBERSHIP:
        other.setsockopt(SOL_PACKET, name, struct.pack('iHH8s', index, 1, 0, bytes(8)))
        other.send(b'\xff' * 6 + fake + struct.pack('!H', ETH_P_ARP) + request(fake, socket.inet_aton('10.77.0.77'), socket.inet_aton(peer)))
        other.settimeout(10 if name == ADD_MEMBERSHIP else 0.3)
        try:
            while True:
                frame, source = other.recvfrom(2000)
                if frame[:6] == fake:
                    print('for another', source[2])
                    break
        except TimeoutError:
            print('for another: not seen')


calls() if mode == 'calls' else frames(sys.argv[3])
