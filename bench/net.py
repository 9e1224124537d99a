"""The network: servers in the sandbox, reached by a published port, under load generators outside. Native and vmm take turns."""

import contextlib
import os
import re
import signal
import shutil
import socket
import subprocess
import tempfile
import time

NGINX = '''daemon off; worker_processes 1; error_log /dev/null; pid /tmp/bench-nginx.pid; user root;
events { worker_connections 1024; }
http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 10000000; client_body_temp_path /tmp; proxy_temp_path /tmp;
fastcgi_temp_path /tmp; uwsgi_temp_path /tmp; scgi_temp_path /tmp; server { listen PORT; root FILES; } }
'''

# Accepts, answers one byte and closes; and echoes what comes.
ECHO = '''
import socket, sys
s = socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=1024)
while True:
    c = s.accept()[0]
    c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        while d := c.recv(65536): c.sendall(d)
    except OSError: pass
    c.close()
'''


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def serving(runner, argv, options=()):
    """The server by this runner; yields the port on the host. PORT in argv is where it is to listen."""
    port = free_port()
    inside = port if runner.name == 'native' else 8080
    argv = [word.replace('PORT', str(inside)) for word in argv]
    if runner.name != 'native':
        argv = runner.command(argv, '--publish', f'{port}:{inside}', *options)
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               start_new_session=True)
    try:
        for _ in range(400):
            with contextlib.suppress(OSError):
                socket.create_connection(('127.0.0.1', port)).close()
                break
            time.sleep(0.02)
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def text_of(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120).stdout.replace('\r', '\n')


def redis(port, add):
    for clients, pipeline, count in ((1, 1, 10000), (50, 1, 60000), (50, 16, 300000)):
        out = text_of('redis-benchmark', '-p', str(port), '-t', 'get,set', '-n', str(count), '-c', str(clients), '-P', str(pipeline), '-q')
        for name, value in re.findall(r'(GET|SET): ([\d.]+) requests per second', out):
            add(f'redis {name}, {clients} clients, pipeline {pipeline}', 'kreq/s', float(value) / 1000)


def memcached(port, add):
    """20 connections, gets of 100 bytes, 16 under way in each."""
    sockets = [socket.create_connection(('127.0.0.1', port)) for _ in range(20)]
    sockets[0].sendall(b'set k 0 0 100\r\n' + bytes(100) + b'\r\n')
    sockets[0].recv(100)
    answer = len(b'VALUE k 0 100\r\n') + 102 + len(b'END\r\n')
    begin, done = time.perf_counter(), 0
    while time.perf_counter() - begin < 1:
        for s in sockets:
            s.sendall(b'get k\r\n' * 16)
        for s in sockets:
            s.recv(16 * answer, socket.MSG_WAITALL)
        done += 16 * len(sockets)
    add('memcached get, 20 clients, pipeline 16', 'kreq/s', done / (time.perf_counter() - begin) / 1000)
    for s in sockets:
        s.close()


def nginx(port, add):
    out = text_of('wrk', '-t1', '-c16', '-d2', f'http://127.0.0.1:{port}/1k')
    for value in re.findall(r'Requests/sec:\s+([\d.]+)', out):
        add('nginx 1 KiB, 16 clients', 'kreq/s', float(value) / 1000)
    out = text_of('wrk', '-t1', '-c16', '-d2', f'http://127.0.0.1:{port}/1m')
    for value in re.findall(r'requests in [\d.]+\w+, ([\d.]+)GB', out):
        add('nginx 1 MiB, 16 clients', 'MiB/s', float(value) * 1024 / 2)


def round_trip(port, add):
    s = socket.create_connection(('127.0.0.1', port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    times = []
    for _ in range(5000):
        begin = time.perf_counter()
        s.sendall(b'x')
        s.recv(1)
        times.append(time.perf_counter() - begin)
    s.close()
    times.sort()
    add('TCP round trip, median', 'us', times[len(times) // 2] * 1e6)
    add('TCP round trip, mean', 'us', sum(times) / len(times) * 1e6)
    begin = time.perf_counter()
    for _ in range(500):
        with socket.create_connection(('127.0.0.1', port)) as c:
            c.sendall(b'x')
            c.recv(1)
    add('connect, accept, one byte, close', 'us', (time.perf_counter() - begin) / 500 * 1e6)


def iperf(port, add):
    for title, option in (('iperf3 in', '-4'), ('iperf3 out', '-R')):
        for value in re.findall(r'([\d.]+) Mbits/sec\s+receiver', text_of('iperf3', '-c', '127.0.0.1', '-p', str(port), '-t', '2', '-f', 'm', option)):
            add(title, 'MiB/s', float(value) / 8 * 1e6 / (1 << 20))


def measure(settings, runners, results, Samples):
    runners = [r for r in runners if r.name in ('native', 'vmm')]
    by_title = {}

    with tempfile.TemporaryDirectory() as files:
        os.chmod(files, 0o755)
        for name, size in (('1k', 1024), ('1m', 1 << 20)):
            with open(os.path.join(files, name), 'wb') as file:
                file.write(os.urandom(size))
        for runner in runners:
            with open(os.path.join(files, runner.name + '.conf'), 'w') as file:
                file.write(NGINX.replace('FILES', files))
        cases = [(['redis-server', '--port', 'PORT', '--bind', '0.0.0.0', '--save', '', '--protected-mode', 'no'], redis),
                 (['memcached', '-u', 'root', '-l', '0.0.0.0', '-p', 'PORT'], memcached),
                 (['sh', '-c', f'sed s/PORT/PORT/ {files}/native.conf > /tmp/bench-nginx.conf; exec nginx -c /tmp/bench-nginx.conf'], nginx),
                 (['/usr/bin/python3', '-c', ECHO, 'PORT'], round_trip),
                 (['iperf3', '-s', '-p', 'PORT'], iperf)]
        for argv, load in cases:
            if not shutil.which(argv[0]) or (load is nginx and not (shutil.which('wrk') and shutil.which('nginx'))):
                continue
            for _ in range(settings.rounds):
                for runner in runners:
                    def add(title, unit, value):
                        if title not in by_title:
                            by_title[title] = Samples(title, unit, lower_is_better=unit == 'us')
                        by_title[title].add(runner.name, value)
                    command = [w.replace('s/PORT/', 's/PO[R]T/') for w in argv]
                    with serving(runner, command, ('--bind', f'{files}:{files}')) as port:
                        load(port, add)
    results += by_title.values()
