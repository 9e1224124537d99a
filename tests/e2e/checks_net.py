"""The network: sockets that lead out of the sandbox, who may be talked to, published ports. Peers are native, on this host's loopback."""

import contextlib
import difflib
import errno
import hashlib
import os
import random
import re
import signal
import socket
import struct
import subprocess
import threading
import time

from checks import Failure, Skip, check, expect, expect_message, finish, gofer_of, require, start, vmm, wait_line, workdir, write_file
import __main__ as runner

DATA = os.path.join(runner.TOP, 'tests', 'e2e', 'data')
HOST = '169.254.53.1'  # what the sandbox calls the host's 127.0.0.1


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def server(handler):
    """A native TCP server on loopback: handler(connection) in a thread for each. Yields its port."""
    listener = socket.create_server(('127.0.0.1', 0), backlog=128)

    def serve(connection):
        with connection, contextlib.suppress(OSError):
            handler(connection)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


class Peer:
    """The other end of tests/e2e/data/net_calls.py: the first connection commands what the others do."""

    def __init__(self):
        self.listener = socket.create_server(('127.0.0.1', 0), backlog=16)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                control = self.listener.accept()[0]
                control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with control, control.makefile('r') as lines:
                    self.connection = None
                    for line in lines:
                        control.sendall((self.obey(*line.split()) + '\n').encode())

    def read(self):
        """All that is there, and how it ends."""
        size = 0
        total = 0
        self.connection.setblocking(False)
        try:
            while data := self.connection.recv(1 << 20):
                size += len(data)
                total = (total + sum(data)) % 251
            return f'{size} {total} eof'
        except BlockingIOError:
            return f'{size} {total}'
        except OSError as e:
            return f'{size} {total} {errno.errorcode[e.errno]}'

    def obey(self, verb, size='0'):
        try:
            return self.act(verb, int(size)) or 'ok'
        except OSError as e:
            return errno.errorcode[e.errno]

    def act(self, verb, size):
        c = self.connection
        if verb == 'take':
            self.connection = self.listener.accept()[0]
        elif c is None:
            return 'gone'
        elif verb == 'send':
            c.setblocking(True)
            c.settimeout(5)
            c.sendall(bytes((i * 7 + size) % 256 for i in range(size)))
        elif verb == 'oob':
            c.send(b'!', socket.MSG_OOB)
        elif verb == 'read':
            return self.read()
        elif verb == 'shut':
            c.shutdown(socket.SHUT_WR)
        elif verb in ('close', 'reset'):
            if verb == 'reset':
                c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            c.close()
            self.connection = None
        elif verb == 'end':
            text = self.read()
            c.close()
            self.connection = None
            return text
        return None


@contextlib.contextmanager
def published(settings, log, *arguments):
    """vmm in the background; ended with SIGTERM."""
    process = start(settings, *arguments)
    try:
        yield process
    finally:
        process.kill()
        _, err = process.communicate()
        log.write(repr(err) + '\n')


def connect(port, timeout=20):
    """To a published port, as soon as somebody listens there."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return socket.create_connection(('127.0.0.1', port), timeout=timeout)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise Failure(f'nobody listens at port {port}')
            time.sleep(0.02)


def python(settings, log, program, *options, arguments=(), **kwargs):
    return vmm(settings, log, *options, 'python3', '-c', program, *map(str, arguments), **kwargs)


@check('hw')
def net_none_by_default(settings, log):
    result = python(settings, log, '''
import socket, errno
for family, kind, addr in ((2, 1, "8.8.8.8"), (2, 2, "8.8.8.8"), (10, 1, "2001:4860:4860::8888"), (2, 1, "169.254.53.1")):
    s = socket.socket(family, kind)
    print(errno.errorcode[s.connect_ex((addr, 53))])
''')
    expect(result, out=b'ENETUNREACH\n' * 4, err=b'')


@check()
def net_refusals(settings, log):
    """By every form of an address, connected and not; each told once to the operator."""
    result = python(settings, log, '''
import socket, errno
def code(f, *a):
    try: f(*a); return "ok"
    except OSError as e: return errno.errorcode[e.errno]
for addr in ("10.0.0.1", "169.254.169.254", "169.254.53.1", "192.168.1.1", "224.0.0.1", "100.100.100.200"):
    for family, text in ((2, addr), (10, "::ffff:" + addr), (10, "64:ff9b::" + addr)):
        tcp, udp, udp2 = socket.socket(family, 1), socket.socket(family, 2), socket.socket(family, 2)
        print(code(tcp.connect, (text, 80)), code(udp.connect, (text, 80)), code(udp2.sendto, b"x", (text, 80)))
''', '--net')
    expect(result, out=b'EACCES EACCES EACCES\n' * 18)
    lines = result.err.decode().splitlines()
    require(all(line.startswith('vmm: net: ') for line in lines), f'stderr: {lines}')
    for words in ('10.0.0.1 port 80 refused: private address; open it with --allow', '169.254.169.254 port 80 refused: link-local'):
        require(any(words in line for line in lines), f'nothing says {words!r}: {lines}')


@check()
def net_bad_options(settings, log):
    for option, value, word in (('--net', 'everything', 'host-loopback'), ('--allow', '10.0.0.0/33', '10.0.0.0/33'),
                                ('--allow', 'no-such-name.invalid', 'no-such-name.invalid'), ('--publish', '80', 'HOSTPORT'),
                                ('--publish', '192.0.2.77:1:1', '192.0.2.77'), ('--net-rate', 'fast', 'fast')):
        expect_message(vmm(settings, log, f'{option}={value}', '/bin/true'), 125, word)


@check()
def net_download(settings, log):
    """A megabyte by curl and by urllib, with a native server."""
    body = random.Random(1).randbytes(1 << 20)

    def http(connection):
        while b'\r\n\r\n' not in connection.recv(65536):
            pass
        connection.sendall(b'HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n' % len(body) + body)

    with server(http) as port:
        url = f'http://host.internal:{port}/'
        digest = hashlib.sha256(body).hexdigest().encode()
        expect(vmm(settings, log, '--net=host-loopback', '/bin/sh', '-c', f'curl -s {url} | sha256sum'), out=digest + b'  -\n')
        expect(python(settings, log, 'import urllib.request, hashlib, sys;'
                      'print(hashlib.sha256(urllib.request.urlopen(sys.argv[1]).read()).hexdigest())',
                      '--net=host-loopback', arguments=[url]), out=digest + b'\n', err=b'')


def same_calls(settings, log, seeds, count):
    peer = Peer()
    program = os.path.join(DATA, 'net_calls.py')
    for seed in seeds:
        native = runner.run(['python3', program, '127.0.0.1', str(peer.port), str(seed), str(count)], timeout=300)
        result = vmm(settings, log, '--net=host-loopback', '--bind', DATA + ':/d', 'python3', '/d/net_calls.py', HOST,
                     str(peer.port), str(seed), str(count), timeout=300)
        if result.out != native.out:
            different = list(difflib.unified_diff(native.out.decode().splitlines(), result.out.decode().splitlines(), 'native',
                                                  'vm', lineterm='', n=3))
            raise Failure(f'seed {seed}:\n' + '\n'.join(different[:40]) + result.err.decode())
        expect(result, native.status, err=native.err)


@check()
def net_calls(settings, log):
    """Random sequences of calls, natively and in the VM: results, poll and epoll agree."""
    same_calls(settings, log, (1, 2), 8)


@check('soak')
def net_calls_long(settings, log):
    same_calls(settings, log, range(3, 23), 40)


@check('hw')
def net_upload_survives_the_end(settings, log):
    """What a program has sent before it ends arrives, however slow the reader is."""
    got = []

    def slow(connection):
        size = 0
        while data := connection.recv(65536):
            size += len(data)
            time.sleep(0.01)
        got.append(size)

    with server(slow) as port:
        expect(python(settings, log, 'import socket, sys;'
                      'socket.create_connection(("169.254.53.1", int(sys.argv[1]))).sendall(bytes(6000000))',
                      '--net=host-loopback', arguments=[port]), out=b'', err=b'')
        deadline = time.monotonic() + 20
        while not got and time.monotonic() < deadline:
            time.sleep(0.01)
    require(got == [6000000], f'the reader got {got}')


@check()
def net_publish(settings, log):
    """An HTTP server inside, several connections one after another and at once; nobody listens before and after."""
    port = free_port()
    body = random.Random(2).randbytes(300000)
    with workdir() as path:
        write_file(os.path.join(path, 'file'), body)
        with published(settings, log, '--publish', f'{port}:8000', '--bind', path + ':/data', '--cwd', '/data', 'python3', '-m',
                       'http.server', '8000'):
            connect(port).close()
            results = [None] * 8

            def get(i):
                results[i] = subprocess.run(['curl', '-s', f'http://127.0.0.1:{port}/file'], capture_output=True).stdout
            threads = [threading.Thread(target=get, args=(i,)) for i in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            require(all(r == body for r in results), f'lengths {[len(r or b"") for r in results]}')
    with socket.socket() as s:
        require(s.connect_ex(('127.0.0.1', port)) != 0, 'somebody still listens')


@check('hw')
def net_publish_datagrams(settings, log):
    port = free_port(socket.SOCK_DGRAM)
    program = '''
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 5353))
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(70000)
    s.sendto(data[::-1], peer)
'''
    with published(settings, log, '--publish', f'{port}:5353/udp', 'python3', '-c', program) as process:
        wait_line(process.stdout)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(20)
            for size in (0, 1, 1400, 65507):
                data = random.Random(size).randbytes(size)
                s.sendto(data, ('127.0.0.1', port))
                require(s.recv(70000) == data[::-1], f'a datagram of {size} bytes')


@check()
def net_allowed_names(settings, log):
    """The sandbox's name service knows the names of the list, with the addresses that they had at the start, and no others."""
    program = '''
import socket, struct, sys
server = open("/etc/resolv.conf").read().split()[1]
def ask(name):
    q = struct.pack(">6H", 7, 256, 1, 0, 0, 0) + b"".join(bytes([len(p)]) + p for p in name.encode().split(b".")) + bytes((0, 0, 1, 0, 1))
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(10)
    s.sendto(q, (server, 53))
    r, peer = s.recvfrom(512)
    print(peer, r[3] & 15, socket.inet_ntoa(r[-4:]) if r[7] else "-")
ask("localhost")
ask("other.example")
q = struct.pack(">6H", 9, 256, 1, 0, 0, 0) + b"\\tlocalhost" + bytes((0, 0, 1, 0, 1))
s = socket.create_connection((server, 53), 10)
s.sendall((struct.pack(">H", len(q)) + q) * 3)
s.shutdown(socket.SHUT_WR)
r = b""
while d := s.recv(4096): r += d
print(len(r) == 3 * (2 + len(q) + 16), r[:2] == struct.pack(">H", len(q) + 16), socket.inet_ntoa(r[-4:]))
'''
    result = python(settings, log, program, '--allow', 'localhost')
    expect(result, out=b"('169.254.53.53', 53) 0 127.0.0.1\n('169.254.53.53', 53) 3 -\nTrue True 127.0.0.1\n", err=b'')


@check()
def net_gofer_killed(settings, log):
    """In mid-transfer: the program hears of it, and nothing hangs."""
    def endless(connection):
        while True:
            connection.sendall(bytes(65536))

    program = '''
import socket, sys
s = socket.create_connection(("169.254.53.1", int(sys.argv[1])))
print("connected", flush=True)
while s.recv(65536): pass
'''
    with server(endless) as port:
        process = start(settings, '--net=host-loopback', 'python3', '-c', program, str(port))
        wait_line(process.stdout)
        os.kill(gofer_of(process), signal.SIGKILL)
        status, _, err = finish(process, log)
    require(status == 125, f'status {status}: {err}')


@check()
def net_rate_option(settings, log):
    def endless(connection):
        while True:
            connection.sendall(bytes(65536))

    program = '''
import socket, sys, time
s = socket.create_connection(("169.254.53.1", int(sys.argv[1])))
t, n = time.monotonic(), 0
while n < 1500000: n += len(s.recv(65536))
print(time.monotonic() - t > 1)
'''
    with server(endless) as port:
        expect(python(settings, log, program, '--net=host-loopback', '--net-rate', '1M', arguments=[port]), out=b'True\n', err=b'')


class DatagramPeer:
    """Answers datagrams with what it saw of them: TTL, TOS, the text, the sender's port; and tells stream clients their port."""

    def __init__(self, family=socket.AF_INET, address='127.0.0.1'):
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((address, 0))
        self.port = self.socket.getsockname()[1]
        for name in (socket.IP_RECVTOS, 12):  # IP_RECVTTL
            self.socket.setsockopt(socket.IPPROTO_IP, name, 1)
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 44)
        self.listener = socket.create_server((address, self.port))
        for serve in (self.answer, self.accept):
            threading.Thread(target=serve, daemon=True).start()

    def answer(self):
        with contextlib.suppress(OSError):
            while True:
                data, controls, _, peer = self.socket.recvmsg(2000, 200)
                seen = {kind: value[0] for _, kind, value in controls}
                self.socket.sendto(b'%d %d %s %d' % (seen[socket.IP_TTL], seen[socket.IP_TOS], data, peer[1]), peer)

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, peer = self.listener.accept()
                connection.sendall(b'%d' % peer[1])
                connection.close()


def without_ports(text):
    """The last number of an answer is the client's port."""
    return re.sub(rb" \d+(?=['\"])", b' PORT', text)


@check()
def net_datagrams(settings, log):
    """Ancillary data, corks, queues of errors and source ports, natively and in the VM."""
    peer, closed = DatagramPeer(), free_port(socket.SOCK_DGRAM)
    program = os.path.join(DATA, 'net_datagrams.py')
    native = runner.run(['python3', program, '127.0.0.1', str(peer.port), str(closed)], timeout=60)
    result = vmm(settings, log, '--net=host-loopback', '--bind', DATA + ':/d', 'python3', '/d/net_datagrams.py', HOST, str(peer.port),
                 str(closed))
    if without_ports(result.out) != without_ports(native.out) or native.status:
        raise Failure('\n'.join(difflib.unified_diff(without_ports(native.out).decode().splitlines(),
                                                     without_ports(result.out).decode().splitlines(), 'native', 'vm', lineterm='', n=2)) +
                      native.err.decode() + result.err.decode())
    expect(result, native.status)


@check()
def net_source_ports(settings, log):
    """A port that another has is no error, as behind address translation; and a chosen one isn't open to strangers."""
    peer = DatagramPeer()
    program = '''
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", int(sys.argv[2])))
s.sendto(b"x", ("169.254.53.1", int(sys.argv[1])))
print(int(s.recv(100).split()[-1]) == int(sys.argv[2]), flush=True)
s.settimeout(1)
try: print(s.recv(100))
except TimeoutError: print("nothing")
'''
    expect(python(settings, log, program, '--net=host-loopback', arguments=[peer.port, peer.port]), out=b'False\nnothing\n', err=b'')
    chosen = free_port(socket.SOCK_DGRAM)
    process = start(settings, '--net=host-loopback', 'python3', '-c', program, str(peer.port), str(chosen))
    require(wait_line(process.stdout) == b'True\n', 'the port was not kept')
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for _ in range(3):
            stranger.sendto(b'evil', ('127.0.0.1', chosen))
            time.sleep(0.1)
    status, out, err = finish(process, log)
    require((status, out) == (0, b'nothing\n'), f'{status} {out} {err}')


def in_namespace(settings, log, script, timeout=60):
    """A shell script in a network namespace of its own, which ends with it; VMM is vmm."""
    setup = ('set -e; ip link set lo up; ip addr add 10.88.0.1/32 dev lo; ip addr add fd88::1/128 dev lo nodad;'
             'echo "0 2147483647" > /proc/sys/net/ipv4/ping_group_range; set +e\n')
    result = runner.run(['unshare', '-n', 'sh', '-c', setup + script.replace('VMM', settings.vmm)], timeout=timeout * settings.slow)
    runner.log_result(log, script, result)
    return result


@check()
def net_ping(settings, log):
    """ICMP echo, natively and in the VM, inside the sandbox and out of it; by ping(8); and what the policy says."""
    if os.geteuid():
        raise Skip('network namespaces are made by root only')
    program = os.path.join(DATA, 'net_ping.py')
    everywhere = f'--net=host-loopback --bind {DATA}:/d'
    native = in_namespace(settings, log, f'exec python3 {program} 10.88.0.1 fd88::1 127.0.0.1 ::1')
    if native.status:
        raise Skip(f'no such sockets here: {native.err.decode()}')
    result = in_namespace(settings, log, f'exec VMM {everywhere} python3 /d/net_ping.py 10.88.0.1 fd88::1 127.0.0.1 ::1')
    expect(result, native.status, out=native.out, err=native.err)
    if b'iputils' in in_namespace(settings, log, 'ping -V').out:  # busybox's wants raw sockets
        expect(in_namespace(settings, log, 'exec VMM --net=host-loopback ping -c 2 -i 0.2 -q 10.88.0.1 > /dev/null'), err=b'')
    refused = in_namespace(settings, log, f'exec VMM --net=host-loopback --allow 10.88.0.1:80 --bind {DATA}:/d python3 /d/net_ping.py 10.88.0.1')
    expect(refused, out=b"['EACCES']\n", err=b'vmm: net: echo request to 10.88.0.1 refused: not in the list of --allow\n')
    closed = in_namespace(settings, log, f'echo "1 0" > /proc/sys/net/ipv4/ping_group_range; exec VMM {everywhere} python3 /d/net_ping.py 10.88.0.1')
    expect(closed, out=b"['EACCES']\n", err=b'')


@check()
def net_datagrams6(settings, log):
    if os.geteuid():
        raise Skip('network namespaces are made by root only')
    program = os.path.join(DATA, 'net_datagrams6.py')
    script = f'python3 {program} serve & sleep 0.5; CLIENT fd88::1; status=$?; kill $!; exit $status'
    native = in_namespace(settings, log, script.replace('CLIENT', f'python3 {program}'))
    if native.status:
        raise Skip(f'no network namespaces with IPv6 here: {native.err.decode()}')
    result = in_namespace(settings, log, script.replace('CLIENT', f'VMM --net=host-loopback --bind {DATA}:/d python3 /d/net_datagrams6.py'))
    expect(result, out=native.out, err=native.err)


@check('soak')
def net_slow_reader_of_a_gigabyte(settings, log):
    got = []

    def slow(connection):
        digest, size = hashlib.sha256(), 0
        while data := connection.recv(1 << 20):
            digest.update(data)
            size += len(data)
            if size % 50 == 0:
                time.sleep(0.01)
        got.append((size, digest.hexdigest()))

    program = '''
import socket, sys, hashlib
s = socket.create_connection(("169.254.53.1", int(sys.argv[1])))
block = bytes(range(256)) * 4096
h = hashlib.sha256()
for i in range(1024):
    s.sendall(block); h.update(block)
print(h.hexdigest())
'''
    with server(slow) as port:
        result = expect(python(settings, log, program, '--net=host-loopback', arguments=[port], timeout=600), err=b'')
        deadline = time.monotonic() + 60
        while not got and time.monotonic() < deadline:
            time.sleep(0.1)
    require(got == [(1 << 30, result.out.decode().strip())], f'{got}')


@check('soak')
def net_ten_thousand_connections(settings, log):
    """All open at once to an echo server inside, each used, then closed; twice, so that what is freed is used again."""
    port = free_port()
    program = '''
import asyncio
async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
async def main():
    server = await asyncio.start_server(echo, "0.0.0.0", 7, backlog=4096)
    print("ready", flush=True)
    await server.serve_forever()
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
asyncio.run(main())
'''
    import resource
    count = min(10000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 1000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with published(settings, log, '--publish', f'{port}:7', 'python3', '-c', program) as process:
        wait_line(process.stdout)
        for _ in range(2):
            connections = [connect(port, 60) for _ in range(count)]
            for i, c in enumerate(connections):
                c.sendall(struct.pack('<I', i))
            for i, c in enumerate(connections):
                require(c.recv(4, socket.MSG_WAITALL) == struct.pack('<I', i), f'connection {i}')
            for c in connections:
                c.close()
