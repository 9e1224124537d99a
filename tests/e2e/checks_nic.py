"""Packets: a network device of the sandbox's own on a tap (--nic). All traffic stays in a network namespace that each test makes."""

import contextlib
import ctypes
import difflib
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time

import checks_net
from checks import Failure, Skip, check, expect_message, require, vmm, workdir, write_file
import __main__ as runner

HOST, GUEST = '10.77.0.1', '10.77.0.2'
HOST6, GUEST6 = 'fd77::1', 'fd77::2'
STATIC = f'addr={GUEST}/24,addr={GUEST6}/64,gw={HOST},dns={HOST}'


class Lab:
    """A network namespace with a tap, which ends with its one process."""

    def __init__(self, log):
        self.log = log
        self.children = []
        self.holder = subprocess.Popen(['unshare', '-n', 'sh', '-c', 'echo ready; exec sleep 600'], stdout=subprocess.PIPE)
        if self.holder.stdout.readline() != b'ready\n':
            raise Skip('no network namespaces here')
        self.run('ip', 'link', 'set', 'lo', 'up')
        self.run('ip', 'tuntap', 'add', 'dev', 'tap0', 'mode', 'tap', 'vnet_hdr')
        self.run('ip', 'addr', 'add', f'{HOST}/24', 'dev', 'tap0')
        self.run('ip', 'addr', 'add', f'{HOST6}/64', 'dev', 'tap0', 'nodad')
        self.run('ip', 'link', 'set', 'tap0', 'up')

    def enter(self, *arguments):
        return ['nsenter', '-t', str(self.holder.pid), '-n', *arguments]

    def run(self, *arguments, timeout=60, status=0):
        result = runner.run(self.enter(*arguments), timeout=timeout)
        runner.log_result(self.log, ' '.join(arguments), result)
        if result.timed_out or result.status != status:
            raise Failure(f'{" ".join(arguments)}: status {result.status}, {runner.shorten(result.err or result.out)!r}')
        return result.out

    def start(self, *arguments, **options):
        process = subprocess.Popen(self.enter(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, env=runner.ENVIRONMENT, **options)
        self.children.append(process)
        return process

    def vmm(self, settings, *arguments, nic=f'tap=tap0,{STATIC}', timeout=60):
        """Run a program in a sandbox on the tap; its standard output."""
        return self.run(settings.vmm, '--nic', nic, *arguments, timeout=timeout * settings.slow)

    def listener(self, address):
        """A listening socket of ours that lives there: a socket stays in the namespace in which it was made."""
        libc = ctypes.CDLL(None, use_errno=True)
        made = []

        def make():
            with open(f'/proc/{self.holder.pid}/ns/net') as there:
                if libc.setns(there.fileno(), 0) == 0:
                    made.append(socket.create_server((address, 0), backlog=16))

        thread = threading.Thread(target=make)  # which stays there, and ends
        thread.start()
        thread.join()
        return made[0]

    def end(self):
        for process in [*self.children, self.holder]:
            process.kill()
            process.wait()
            process.stdout.close()


@contextlib.contextmanager
def lab(log):
    if not os.path.exists('/dev/net/tun'):
        raise Skip('no /dev/net/tun')
    if os.geteuid():
        raise Skip('taps are made by root only')
    made = Lab(log)
    try:
        yield made
    finally:
        made.end()


def wait_port(made, address, port, timeout=20):
    """Until a server in the sandbox answers."""
    program = ('import socket, sys, time\nfor i in range(int(float(sys.argv[3]) * 20)):\n try:\n'
               '  socket.create_connection((sys.argv[1], int(sys.argv[2])), 1).close(); break\n'
               ' except OSError: time.sleep(0.05)\nelse: sys.exit(1)')
    made.run(sys.executable, '-c', program, address, str(port), str(timeout), timeout=timeout * 3)


def digest(data):
    return hashlib.sha256(data).hexdigest().encode()


def serve_files(made, directory, address, port):
    made.start(sys.executable, '-m', 'http.server', str(port), '--bind', address, '--directory', directory)
    wait_port(made, address, port)


@check()
def nic_options(settings, log):
    """Each refusal is one line."""
    for arguments, words in (
            (['--nic', 'wire'], ['--nic', 'wire']),
            (['--nic', 'tap=no-such-tap'], ['no-such-tap', 'no such tap']),
            (['--nic', 'tap=tap0,mac=01:00:00:00:00:01'], ['MAC']),
            (['--nic', 'tap=tap0,mtu=9'], ['MTU']),
            (['--nic', 'tap=tap0,addr=10.0.0.1'], ['ADDR/LEN']),
            (['--nic', 'tap=tap0,addr=10.0.0.1/33'], ['ADDR/LEN']),
            (['--nic', 'tap=tap0,speed=1'], ['speed=1']),
            (['--nic', 'tap=tap0', '--nic', 'tap=tap1'], ['--nic', 'one']),
            (['--nic', 'passt,speed=1'], ['speed=1']),
            (['--nic', 'tap=tap0,host'], ['host']),
            (['--nic', 'passt', '--allow', '10.0.0.1'], ['--nic', 'excludes --allow']),
            (['--nic', 'passt', '--publish', '80'], ['--publish', 'HOSTPORT:PORT']),
            (['--nic', 'tap=tap0', '--net'], ['--nic', 'excludes --net']),
            (['--publish', '8080:80', '--nic', 'tap=tap0'], ['--nic', 'excludes --publish'])):
        expect_message(vmm(settings, log, *arguments, '/bin/true'), 125, *words)


@check()
def nic_outgoing(settings, log):
    """From the sandbox to servers on the other end of the wire, by IPv4 and IPv6, with what is known of the device."""
    data = os.urandom(8 << 20)
    with lab(log) as made, workdir() as directory:
        write_file(os.path.join(directory, 'file'), data)
        serve_files(made, directory, '::', 8000)
        for address in HOST, f'[{HOST6}]':
            out = made.vmm(settings, '/bin/sh', '-c', f'curl -gsS http://{address}:8000/file | sha256sum')
            require(out.split()[0] == digest(data), f'{address}: other bytes came')
        for address in HOST, HOST6:
            out = made.vmm(settings, '/usr/bin/ping', '-c', '2', '-i', '0.1', '-W', '5', address)
            require(b' 0% packet loss' in out, f'ping: {out!r}')
        out = made.vmm(settings, '/bin/sh', '-c', f'curl -sS http://{HOST}:8001/ 2>&1; echo $?; cat /etc/resolv.conf')
        require(b'refused' in out or b"Couldn't connect" in out, f'a closed port: {out!r}')
        require(out.endswith(b'7\nnameserver ' + HOST.encode() + b'\n'), f'a closed port, and resolv.conf: {out!r}')


@check()
def nic_incoming(settings, log):
    """A server in the sandbox, reached by packets; and the sandbox answers a ping."""
    data = os.urandom(8 << 20)
    with lab(log) as made, workdir() as directory:
        write_file(os.path.join(directory, 'file'), data)
        made.start(settings.vmm, '--nic', f'tap=tap0,{STATIC}', '--bind', f'{directory}:/srv', '/usr/bin/python3', '-m',
                   'http.server', '8080', '--directory', '/srv')
        for address in GUEST, GUEST6:
            wait_port(made, address, 8080, 20 * settings.slow)
            made.run('ping', '-c', '2', '-i', '0.1', '-W', '5', address)
        for address in GUEST, f'[{GUEST6}]':
            out = made.run('curl', '-gsS', f'http://{address}:8080/file', timeout=60 * settings.slow)
            require(digest(out) == digest(data), f'{address}: other bytes came')


UDP_ECHO = '''
import socket, sys
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
s.bind((sys.argv[1], int(sys.argv[2])))
print('ready', flush=True)
while True:
    data, peer = s.recvfrom(65536)
    s.sendto(data[::-1], peer)
'''

UDP_ASK = '''
import socket, sys
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
for connected in False, True:
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(10)
    to = sys.argv[1], int(sys.argv[2])
    if connected:
        s.connect(to)
    for size in 0, 1, 1472, 1473, 9000, 60000:
        data = bytes(i * 7 % 251 for i in range(size))
        assert (s.send(data) if connected else s.sendto(data, to)) == size
        back, peer = s.recvfrom(65536)
        assert back == data[::-1] and peer[:2] == to, (size, len(back), peer)
s.connect((to[0], 10))
s.send(b'nobody is there')
try:
    s.recv(1)
except ConnectionRefusedError:
    print('echoed', s.getpeername()[1] == 10)
'''


@check()
def nic_datagrams(settings, log):
    """UDP both ways, in one frame and in fragments."""
    with lab(log) as made:
        for address in HOST, HOST6:
            server = made.start(sys.executable, '-c', UDP_ECHO, address, '9')
            require(server.stdout.readline() == b'ready\n', 'the host\'s server does not start')
            out = made.vmm(settings, '/usr/bin/python3', '-c', UDP_ASK, address, '9')
            require(out == b'echoed True\n', f'{address}: {out!r}')
        for address in GUEST, GUEST6:
            server = made.start(settings.vmm, '--nic', f'tap=tap0,{STATIC}', '/usr/bin/python3', '-c', UDP_ECHO, address, '9')
            require(server.stdout.readline() == b'ready\n', 'the server in the sandbox does not start')
            out = made.run(sys.executable, '-c', UDP_ASK, address, '9')
            require(out == b'echoed True\n', f'{address}: {out!r}')
            server.kill()
            server.wait()


class Peer(checks_net.Peer):
    """The one of checks_net, on a listener of our own."""

    def __init__(self, listener):
        self.listener = listener
        threading.Thread(target=self.serve, daemon=True).start()


@check()
def nic_calls(settings, log):
    """Random socket calls on connections to a peer that sends, ends and resets: as a native program has it. (Without urgent data.)"""
    program = os.path.join(checks_net.DATA, 'net_calls.py')
    with lab(log) as made, contextlib.closing(made.listener(HOST)) as listener:
        port = str(Peer(listener).listener.getsockname()[1])
        for seed in '1', '5':
            native = made.run('/usr/bin/python3', program, HOST, port, seed, '5')
            inside = made.vmm(settings, '--bind', f'{checks_net.DATA}:/data', '/usr/bin/python3', '/data/net_calls.py', HOST, port,
                              seed, '5')
            diff = list(difflib.unified_diff(native.decode().splitlines(), inside.decode().splitlines(), 'native', 'vm', lineterm=''))
            require(not diff, f'seed {seed}:\n' + '\n'.join(diff[:20]))


@check()
def nic_dhcp(settings, log):
    """An address, a gateway and a name server by DHCP, and a name that the server knows."""
    if not shutil.which('dnsmasq', path=runner.PATH):
        raise Skip('dnsmasq: not installed')
    with lab(log) as made, workdir() as directory:
        made.start('dnsmasq', '--keep-in-foreground', '--conf-file=/dev/null', '--no-resolv', '--no-hosts', '--user=root',
                   '--interface=tap0', '--bind-interfaces', '--pid-file=', f'--dhcp-leasefile={directory}/leases',
                   '--dhcp-range=10.77.0.50,10.77.0.50,1h', '--address=/server.test/10.77.0.9', '--dhcp-authoritative')
        out = made.vmm(settings, '/bin/sh', '-c', 'cat /etc/resolv.conf; ip -4 -br addr show eth0; ip route show default; '
                       'getent ahostsv4 server.test | head -1', nic='tap=tap0')
        for word in b'nameserver 10.77.0.1\n', b'10.77.0.50/24', b'default via 10.77.0.1', b'10.77.0.9 ':
            require(word in out, f'{word!r} is not in {out!r}')
        with open(f'{directory}/leases') as leases:
            require('10.77.0.50' in leases.read(), 'the server knows of no lease')


@check()
def nic_disturbed(settings, log):
    """Frames that are lost, doubled and out of order, with checksums that nobody has looked at: all bytes arrive, both ways."""
    data = os.urandom(1 << 20)
    with lab(log) as made, workdir() as directory:
        write_file(os.path.join(directory, 'file'), data)
        made.run('ip', 'addr', 'flush', 'dev', 'tap0')
        wire = made.start(sys.executable, os.path.join(runner.TOP, 'tests/e2e/data/bad_wire.py'), 'tap0', 'far0', '2')
        require(wire.stdout.readline() == b'ready\n', 'the wire does not start')
        made.run('ip', 'addr', 'add', f'{HOST}/24', 'dev', 'far0')
        made.run('ip', 'link', 'set', 'far0', 'up')
        serve_files(made, directory, HOST, 8000)
        out = made.vmm(settings, '/bin/sh', '-c', f'curl -sS http://{HOST}:8000/file | sha256sum')
        require(out.split()[0] == digest(data), 'other bytes came to the sandbox')
        made.start(settings.vmm, '--nic', f'tap=tap0,{STATIC}', '--bind', f'{directory}:/srv', '/usr/bin/python3', '-m',
                   'http.server', '8080', '--directory', '/srv')
        wait_port(made, GUEST, 8080, 20 * settings.slow)
        out = made.run('curl', '-sS', f'http://{GUEST}:8080/file', timeout=60 * settings.slow)
        require(digest(out) == digest(data), 'other bytes came from the sandbox')


PACKETS = os.path.join(runner.TOP, 'tests/e2e/data/packets.py')


@check()
def nic_packets(settings, log):
    """AF_PACKET: calls as they answer natively, and frames to and from the other end."""
    with lab(log) as made:
        share = '--bind', f'{os.path.dirname(PACKETS)}:/data'
        native = made.run('/usr/bin/python3', PACKETS, 'tap0', 'calls')
        inside = made.vmm(settings, *share, '/usr/bin/python3', '/data/packets.py', 'eth0', 'calls')
        diff = list(difflib.unified_diff(native.decode().splitlines(), inside.decode().splitlines(), 'native', 'vm', lineterm=''))
        require(not diff, '\n'.join(diff))
        out = made.vmm(settings, *share, '/usr/bin/python3', '/data/packets.py', 'eth0', 'frames', HOST, GUEST)
        require(out.decode() == """answer b'\\x00\\x02' True True ('eth0', 2054, 0, 1) 0
auxiliary (263, 8) 1 True True
question True True True
answer True True
statistics True 0 (0, 0)
cut 10 True
for another 3
for another: not seen
""", out.decode())
        result = made.run(settings.vmm, '--nic', f'tap=tap0,{STATIC}', '--uid', '1000', '/usr/bin/python3', '-c',
                          'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)', status=1)
        require(result == b'', f'anybody may look at frames: {result!r}')


UNREACHABLE = '''
import errno, socket, time
for kind, last in (socket.SOCK_STREAM, '200'), (socket.SOCK_DGRAM, '201'):
    for family, address in (socket.AF_INET, '10.77.0.' + last), (socket.AF_INET6, 'fd77::' + last):
        s = socket.socket(family, kind)
        s.settimeout(20)
        begin = time.monotonic()
        try:
            s.connect((address, 9))
            s.send(b'x')
            s.recv(1)
        except OSError as e:
            print(errno.errorcode.get(e.errno), 2 < time.monotonic() - begin < 10)
'''


@check()
def nic_unreachable(settings, log):
    """A neighbour that isn't there: EHOSTUNREACH, in about as long as natively."""
    with lab(log) as made:
        out = made.vmm(settings, '/usr/bin/python3', '-c', UNREACHABLE)
        require(out == b'EHOSTUNREACH True\n' * 4, f'{out!r}')
        # a datagram isn't lost because its sender ends before the neighbour has answered
        server = made.start(sys.executable, '-c', 'import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n'
                            's.bind(("", 7))\nprint("ready", flush=True)\nprint(s.recv(9).decode(), flush=True)')
        require(server.stdout.readline() == b'ready\n', 'no server')
        made.vmm(settings, '/usr/bin/python3', '-c', f'import socket; socket.socket(2, 2).sendto(b"last", ("{HOST}", 7))')
        require(server.stdout.readline() == b'last\n', 'the datagram is lost')


GROUPS = os.path.join(runner.TOP, 'tests/e2e/data/groups.py')


@check()
def nic_groups(settings, log):
    """Multicast groups both ways and among ourselves, and packets with a header of the program's own; calls as they answer natively."""
    share = '--bind', f'{os.path.dirname(GROUPS)}:/data', '/usr/bin/python3', '/data/groups.py'
    with lab(log) as made:
        for family in '-4', '-6':
            made.run('ip', family, 'route', 'add', 'default', 'dev', 'tap0')
        made.run('ip', '-6', 'route', 'add', 'ff00::/8', 'dev', 'tap0')
        native = made.run('/usr/bin/python3', GROUPS, 'calls')
        inside = made.vmm(settings, *share, 'calls')
        diff = list(difflib.unified_diff(native.decode().splitlines(), inside.decode().splitlines(), 'native', 'vm', lineterm=''))
        require(not diff, '\n'.join(diff))
        index = made.run('ip', '-o', 'link', 'show', 'tap0').split(b':')[0].decode()
        for group in '239.1.2.3', 'ff15::77':
            for hears, asks in (True, False), (False, True), (True, True):
                command = [settings.vmm, '--nic', f'tap=tap0,{STATIC}', *share] if hears else ['/usr/bin/python3', GROUPS]
                if hears and asks:
                    out = made.vmm(settings, '--bind', f'{os.path.dirname(GROUPS)}:/data', '/bin/sh', '-c',
                                   f'python3 /data/groups.py hear {group} 5000 >/tmp/heard & until [ -s /tmp/heard ]; do sleep 0.05; done; '
                                   f'python3 /data/groups.py say {group} 5000')
                else:
                    server = made.start(*command, 'hear', group, '5000', *([] if hears else [index]))
                    require(server.stdout.readline() == b'ready\n', f'{group}: nobody hears')
                    out = made.vmm(settings, *share, 'say', group, '5000') if asks else \
                        made.run('/usr/bin/python3', GROUPS, 'say', group, '5000', index)
                    server.wait()
                require(out == b"[b'olleh', b'olleh']\n", f'{group}, hears {hears}, asks {asks}: {out!r}')
        out = made.vmm(settings, *share, 'header', HOST)
        require(out == b'1 True True\n', f'a header of our own: {out!r}')


# --- passt ---

GATEWAY, GATEWAY6 = '10.77.0.254', 'fd77::fe'

HOSTILE = '''
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.settimeout(1)
try:
    s.connect((sys.argv[1], int(sys.argv[2])))
    print('open')
except OSError as e:
    print('closed')
'''


SERVE_ONE = '''
import socket, time
s = socket.create_server(('', 80))
print('ready', flush=True)
c = s.accept()[0]
c.recv(1000)
c.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\n' + bytes(i * 7 % 251 for i in range(1 << 20)))
c.close()
time.sleep(600)
'''


@contextlib.contextmanager
def passt_lab(log):
    """passt takes addresses and routes of the host, which need no device that works."""
    if not shutil.which('passt', path=runner.PATH):
        raise Skip('passt: not installed')
    with lab(log) as made:
        made.run('ip', 'route', 'add', 'default', 'via', GATEWAY, 'dev', 'tap0')
        made.run('ip', '-6', 'route', 'add', 'default', 'via', GATEWAY6, 'dev', 'tap0')
        yield made


def passts():
    """Which processes of passt's are there, zombies aside?"""
    found = set()
    for pid in filter(str.isdigit, os.listdir('/proc')):
        with contextlib.suppress(OSError):
            with open(f'/proc/{pid}/stat') as file:
                fields = file.read()
            if '(passt' in fields and fields.rsplit(')', 1)[1].split()[0] != 'Z':
                found.add(int(pid))
    return found


@check()
def nic_passt(settings, log):
    """Through passt: DHCP, connections to the host's loopback where that was allowed, and not where it wasn't."""
    data = os.urandom(8 << 20)
    with passt_lab(log) as made, workdir() as directory:
        write_file(os.path.join(directory, 'file'), data)
        serve_files(made, directory, '127.0.0.1', 8000)
        out = made.vmm(settings, '/bin/sh', '-c', 'ip -4 -br addr show eth0; ip route show default; '
                       f'curl -sS http://{GATEWAY}:8000/file | sha256sum', nic='passt,host')
        for word in f'{HOST}/24'.encode(), f'default via {GATEWAY} '.encode(), digest(data):
            require(word in out, f'{word!r} is not in {out!r}')
        out = made.vmm(settings, '/usr/bin/python3', '-c', HOSTILE, GATEWAY, '8000', nic='passt')
        require(out == b'closed\n', f'the host is reached through the gateway: {out!r}')


@check()
def nic_passt_guard(settings, log):
    """The host's own addresses are out of reach, though passt itself would go there."""
    with passt_lab(log) as made, contextlib.closing(made.listener(HOST)) as listener:
        port = str(listener.getsockname()[1])
        for nic, expected in ('passt', b'closed\n'), ('passt,host', b'open\n'):
            out = made.vmm(settings, '/usr/bin/python3', '-c', HOSTILE, HOST, port,
                           nic=f'{nic},addr=10.77.0.7/24,gw={GATEWAY}')
            require(out == expected, f'--nic {nic}: {out!r}')


@check()
def nic_passt_dns(settings, log):
    """A name server that listens on the host's loopback only is asked through an alias."""
    if not shutil.which('dnsmasq', path=runner.PATH):
        raise Skip('dnsmasq: not installed')
    with passt_lab(log) as made, workdir() as directory:
        resolv = write_file(os.path.join(directory, 'resolv.conf'), 'nameserver 127.0.0.1\n')
        made.start('dnsmasq', '--keep-in-foreground', '--conf-file=/dev/null', '--no-resolv', '--no-hosts', '--user=root',
                   '--interface=lo', '--bind-interfaces', '--pid-file=', '--address=/server.test/10.77.0.9')
        out = made.run('unshare', '-m', 'sh', '-c', 'mount --bind "$0" /etc/resolv.conf && exec "$@"', resolv, settings.vmm, '--nic',
                       'passt', '/bin/sh', '-c', 'cat /etc/resolv.conf; getent ahostsv4 server.test | head -1',
                       timeout=60 * settings.slow)
        require(out.startswith(b'nameserver 169.254.53.53\n10.77.0.9 '), f'{out!r}')


@check()
def nic_passt_published(settings, log):
    """A port of the host's leads to a server inside; and passt ends with the vmm, however that ends."""
    data = bytes(i * 7 % 251 for i in range(1 << 20))
    with passt_lab(log) as made:
        before = passts()
        server = made.start(settings.vmm, '--nic', 'passt', '--publish', '9000:80', '/usr/bin/python3', '-c', SERVE_ONE)
        require(server.stdout.readline() == b'ready\n', 'the server in the sandbox does not start')
        out = made.run('curl', '-sS', 'http://127.0.0.1:9000/', timeout=60 * settings.slow)
        require(out == data, 'other bytes came')
        require(passts() - before, 'there is no passt')
        server.kill()
        server.wait()
        deadline = time.monotonic() + 10 * settings.slow
        while passts() - before:
            require(time.monotonic() < deadline, 'passt is still there')
            time.sleep(0.02)


@check()
def nic_passt_missing(settings, log):
    """Without passt, or a network that it could use, one line says so."""
    if not shutil.which('passt', path=runner.PATH):
        expect_message(vmm(settings, log, '--nic', 'passt', '/bin/true'), 125, 'passt', 'not installed')
        return
    expect_message(vmm(settings, log, '--nic', 'passt', '/bin/true', env={**runner.ENVIRONMENT, 'PATH': '/nonexistent'}), 125,
                   'passt', 'not installed')
    result = runner.run(['unshare', '-n', settings.vmm, '--nic', 'passt', '/bin/true'], timeout=60)
    if b'unshare:' not in result.err:
        expect_message(result, 125, 'passt')
