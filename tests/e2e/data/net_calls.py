"""Random sequences of socket calls on a connection to a peer that does as it is told; prints what each call gave and what poll and
epoll say. Native and in the VM alike: net_calls.py ADDRESS PORT SEED COUNT."""
import errno, fcntl, os, random, select, signal, socket, struct, sys, termios, time

address, port, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
rng = random.Random(seed)
signal.signal(signal.SIGPIPE, signal.SIG_IGN)
MSG = {name: getattr(socket, 'MSG_' + name) for name in ('PEEK', 'WAITALL', 'DONTWAIT', 'TRUNC', 'OOB')}
control = socket.create_connection((address, port))
control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def peer(*words):
    """Have the peer do something, and give it time to arrive."""
    control.sendall((' '.join(map(str, words)) + '\n').encode())
    answer = b''
    while not answer.endswith(b'\n'):
        answer += control.recv(100)
    time.sleep(0.02)
    return answer.decode().strip()


def attempt(f, *args):
    try:
        value = f(*args)
    except TimeoutError:
        return 'timeout'
    except OSError as e:
        return errno.errorcode[e.errno]
    if isinstance(value, bytes):
        return f'{len(value)} {value[:6].hex()} {sum(value) % 251}'
    return value


def events(s, ep):
    p = select.poll()
    p.register(s, 0x207f | select.POLLRDHUP)
    bits = [e for _, e in p.poll(0)]
    return '%x et %s' % (bits[0] if bits else 0, [hex(e) for _, e in ep.poll(0)])


def drained(s):
    """What was sent is with the peer's host or beyond."""
    for _ in range(100):
        if struct.unpack('i', fcntl.ioctl(s, termios.TIOCOUTQ, bytes(4)))[0] == 0:
            return
        time.sleep(0.01)


def episode(n):
    s = socket.socket()
    ep = select.epoll()
    blocking = rng.random() < 0.5
    print('new', n, peer('new'))
    if rng.random() < 0.1:
        print('before:', attempt(s.send, b'x'), attempt(s.recv, 1), attempt(s.getpeername), events(s, ep))
    s.setblocking(blocking)
    r = attempt(s.connect, (address, port))
    if r == 'EINPROGRESS':
        select.select([], [s], [], 5)
        r = None
    print('connect', r, s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), peer('take'))
    if rng.random() < 0.1:
        print('again:', attempt(s.connect, (address, port)))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.settimeout(0.05 if blocking else 0)
    if blocking and rng.random() < 0.5:
        s.setblocking(True)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack('ll', 0, 30000))
    ep.register(s, select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLPRI | select.EPOLLET)
    print('  ', events(s, ep))
    shut, gone = set(), False
    for _ in range(rng.randrange(3, 15)):
        if len(shut) == 2:
            break  # nothing but the peer's packets could be seen now
        op = rng.choice(['psend', 'psend', 'psend', 'pshut', 'pclose', 'preset', 'pread', 'recv', 'recv', 'recv', 'recv', 'peek', 'send', 'send',
                         'shutw', 'shutr', 'waitall', 'inq', 'error', 'recvinto', 'trunc', 'lowat', 'sendoob'])
        if op in ('pclose', 'preset', 'pshut', 'sendoob') and rng.random() < 0.6:
            continue
        if op in ('pclose', 'preset'):
            gone = True
        elif op == 'sendoob' and gone:
            continue  # two bytes, then a reset: how many were sent is a race
        size = rng.choice([1, 2, 10, 100, 1000, 5000, 30000])
        if op == 'psend':
            r = peer('send', size)
        elif op in ('pshut', 'pclose', 'preset', 'pread'):
            drained(s)
            time.sleep(0.02)
            r = peer(op[1:])
        elif op == 'recv':
            r = attempt(s.recv, size)
        elif op == 'peek':
            r = attempt(s.recv, size, MSG['PEEK'])
        elif op == 'trunc':
            r = attempt(s.recv, size, MSG['TRUNC'] | MSG['DONTWAIT'])
            r = r.split()[0] if isinstance(r, str) else r
        elif op == 'waitall':
            r = attempt(s.recv, size, MSG['WAITALL'] if rng.random() < .5 else MSG['WAITALL'] | MSG['DONTWAIT'])
        elif op == 'send':
            r = attempt(s.send, bytes(i % 256 for i in range(size)))
        elif op == 'sendoob':
            r = attempt(s.send, b'abc', MSG['OOB'])
        elif op == 'recvinto':
            a, b = bytearray(3), bytearray(size)
            r = attempt(s.recvmsg_into, [a, b])
            r = (r[0], r[2]) if isinstance(r, tuple) else r
        elif op in ('shutw', 'shutr'):
            shut.add(op)
            r = attempt(s.shutdown, socket.SHUT_WR if op == 'shutw' else socket.SHUT_RD)
        elif op == 'inq':
            r = struct.unpack('i', fcntl.ioctl(s, termios.FIONREAD, bytes(4)))[0]
        elif op == 'lowat':
            r = attempt(s.setsockopt, socket.SOL_SOCKET, socket.SO_RCVLOWAT, rng.choice([1, 10, 100]))
        else:
            r = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        drained(s)
        time.sleep(0.005)
        print('  ', op, size, r, '|', events(s, ep))
    if rng.random() < 0.2:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, rng.choice([0, 1])))
    drained(s)
    s.close()
    ep.close()
    time.sleep(0.01)
    print('  end:', peer('end'))


for n in range(count):
    episode(n)
